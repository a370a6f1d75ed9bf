//! The picture: rates, backlog, lag and memory over the time, with the phases behind them.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::course::Course;
use crate::sample::{PROGRAMS, Sample};
use crate::stack::{OTHERS, THROTTLED};

const SIZE: (u32, u32) = (1_200, 1_200);
const HEAD_PIXELS: u32 = 76;
/// What the names of the curves have on the right: on the curves they would hide something.
const NAMES_PIXELS: u32 = 210;
const NAME_HEIGHT: i32 = 20;
/// Rates are means over so many samples: one of a quarter of a second alone is restless.
const SMOOTHED_OVER: usize = 4;
/// Colours that the colour-blind can tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];
/// Behind every second phase, on a background of its own so that a dark page does no harm.
const SHADE: RGBColor = RGBColor(236, 239, 244);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Points = Vec<(f64, f64)>;

/// One curve with its name.
struct Curve {
    name: String,
    points: Points,
}

/// Writes it as SVG.
pub(crate) fn draw(course: &Course, file: &Path) -> anyhow::Result<()> {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD_PIXELS);
    draw_head(course, &head)?;
    let panels = body.split_evenly((4, 1));
    let samples = &course.seen.samples;
    draw_panel(
        course,
        &panels[0],
        "commands and outcomes a second",
        &rates(samples),
    )?;
    let waiting = curve("waiting in LEDGER_COMMANDS", samples, |it| {
        it.waiting as f64
    });
    draw_panel(course, &panels[1], "commands that wait", &[waiting])?;
    draw_panel(
        course,
        &panels[2],
        "seconds behind the feed",
        &lags(samples),
    )?;
    draw_panel(course, &panels[3], "resident memory, MiB", &memory(samples))?;
    root.present()?;
    Ok(())
}

fn curve(name: &str, samples: &[Sample], value: impl Fn(&Sample) -> f64) -> Curve {
    Curve {
        name: name.to_owned(),
        points: samples.iter().map(|it| (it.at, value(it))).collect(),
    }
}

fn rates(samples: &[Sample]) -> Vec<Curve> {
    let rate = |name: &str, count: fn(&Sample) -> u64| Curve {
        name: name.to_owned(),
        points: samples
            .windows(SMOOTHED_OVER + 1)
            .map(|window| {
                let (first, last) = (&window[0], &window[SMOOTHED_OVER]);
                let counted = count(last).saturating_sub(count(first)) as f64;
                (last.at, counted / (last.at - first.at))
            })
            .collect(),
    };
    vec![
        rate("taken by the stream", |it| it.taken),
        rate("refused by the stream", |it| it.refused),
        rate("outcomes committed", |it| it.outcomes),
    ]
}

fn lags(samples: &[Sample]) -> Vec<Curve> {
    let names = std::iter::once(THROTTLED).chain(OTHERS);
    names
        .enumerate()
        .map(|(index, name)| curve(name, samples, |it| it.lags[index].seconds))
        .collect()
}

fn memory(samples: &[Sample]) -> Vec<Curve> {
    let mebibytes =
        |index: usize, name: &str| curve(name, samples, |it| it.memory_kib[index] as f64 / 1024.0);
    let all = PROGRAMS.iter().enumerate();
    all.map(|(index, name)| mebibytes(index, name)).collect()
}

/// The title, and what the numbers of the phases mean.
fn draw_head(course: &Course, area: &Area<'_>) -> anyhow::Result<()> {
    let title = ("sans-serif", 22).into_font().color(&BLACK);
    area.draw_text(
        "Backpressure: each stage held up in turn under load",
        &title,
        (16, 12),
    )?;
    let small = ("sans-serif", 14).into_font().color(&BLACK);
    let names: Vec<String> = course
        .spans
        .iter()
        .zip(1..)
        .map(|((phase, _, _), number)| format!("{number} {}", phase.short_name()))
        .collect();
    area.draw_text(&names.join("   "), &small, (16, 48))?;
    Ok(())
}

fn draw_panel(
    course: &Course,
    area: &Area<'_>,
    title: &str,
    curves: &[Curve],
) -> anyhow::Result<()> {
    let end = course.spans.last().map_or(1.0, |(_, _, to)| *to);
    let values = curves.iter().flat_map(|curve| &curve.points);
    let top = values.map(|(_, value)| *value).fold(1.0, f64::max) * 1.15;
    let (plot, names) = area.split_horizontally(SIZE.0 - NAMES_PIXELS);
    draw_names(curves, &names)?;
    let mut chart = ChartBuilder::on(&plot)
        .caption(title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..end, 0.0..top)?;
    let shades = course.spans.iter().skip(1).step_by(2);
    chart.draw_series(
        shades.map(|(_, from, to)| Rectangle::new([(*from, 0.0), (*to, top)], SHADE.filled())),
    )?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(16)
        .x_label_formatter(&|value| format!("{value:.0} s"))
        .y_label_formatter(&|value| thousands(*value))
        .label_style(("sans-serif", 12))
        .draw()?;
    for (curve, colour) in curves.iter().zip(COLOURS) {
        let points = curve.points.iter().copied();
        chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
    }
    let anchor = Pos::new(HPos::Center, VPos::Top);
    let numbers = ("sans-serif", 12).into_font().color(&BLACK).pos(anchor);
    chart.draw_series(course.spans.iter().zip(1..).map(|((_, from, to), number)| {
        let place = (f64::midpoint(*from, *to), top);
        Text::new(format!("{number}"), place, &numbers)
    }))?;
    Ok(())
}

/// Which colour is which curve.
fn draw_names(curves: &[Curve], area: &Area<'_>) -> anyhow::Result<()> {
    let anchor = Pos::new(HPos::Left, VPos::Center);
    let style = ("sans-serif", 12).into_font().color(&BLACK).pos(anchor);
    for ((curve, colour), row) in curves.iter().zip(COLOURS).zip(2..) {
        let y = row * NAME_HEIGHT;
        let line = PathElement::new([(0, y), (18, y)], colour.stroke_width(3));
        area.draw(&line)?;
        area.draw_text(&curve.name, &style, (26, y))?;
    }
    Ok(())
}

/// 12000 as 12,000.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
