//! The picture: what each workload has reached, before its ceiling.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde_json::Value;

use crate::runs::FAST;

const WIDTH: i32 = 900;
const ROW: i32 = 44;
const TOP: i32 = 64;
const NAMES: i32 = 170;
/// For the figure behind the longest bar.
const RIGHT: i32 = 190;
const REACHED: RGBColor = RGBColor(0, 114, 178);
const CEILING: RGBColor = RGBColor(214, 220, 226);
const INK: RGBColor = RGBColor(32, 36, 40);

/// One workload.
struct Row<'a> {
    name: &'a str,
    reached: f64,
    ceiling: Option<f64>,
}

/// Writes it as SVG, on a background of its own so that a dark page does no harm. Batches are left out: their commands are
/// of another size.
pub(crate) fn draw(runs: &[Value], file: &Path) -> anyhow::Result<()> {
    let rows: Vec<Row<'_>> = runs
        .iter()
        .take(FAST)
        .filter_map(|run| {
            Some(Row {
                name: if run["one_read_model"].as_bool()? {
                    "uniform, 1 read model"
                } else {
                    run["workload"].as_str()?
                },
                reached: run["commands_per_second"].as_f64()?,
                ceiling: run["ceiling_per_second"].as_f64(),
            })
        })
        .filter(|row| row.name != "batch")
        .collect();
    let most = rows
        .iter()
        .map(|row| row.reached.max(row.ceiling.unwrap_or_default()))
        .fold(1.0, f64::max);
    let count = i32::try_from(rows.len())?;
    let height = u32::try_from(TOP + count * ROW + 20)?;
    let root = SVGBackend::new(file, (u32::try_from(WIDTH)?, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let words = |size: i32, at: HPos| {
        ("sans-serif", size)
            .into_font()
            .color(&INK)
            .pos(Pos::new(at, VPos::Center))
    };
    root.draw(&Text::new(
        "Commands a second, from being published to being projected",
        (16, 22),
        words(18, HPos::Left),
    ))?;
    root.draw(&Text::new(
        "blue: the ledger · grey: the same input and output without a ledger",
        (16, 46),
        words(14, HPos::Left),
    ))?;
    let length = |rate: f64| {
        let widest = f64::from(WIDTH - NAMES - RIGHT);
        // Pixels: there are fewer of them than an i32 can count.
        #[expect(clippy::cast_possible_truncation, reason = "pixels of a picture")]
        let pixels = (widest * rate / most).round() as i32;
        pixels
    };
    for (row, top) in rows
        .iter()
        .zip((TOP..).step_by(ROW.unsigned_abs() as usize))
    {
        let bar = |rate: f64, inset: i32, colour: RGBColor| {
            Rectangle::new(
                [
                    (NAMES, top + inset),
                    (NAMES + length(rate), top + ROW - 8 - inset),
                ],
                colour.filled(),
            )
        };
        let middle = top + (ROW - 8) / 2;
        if let Some(ceiling) = row.ceiling {
            root.draw(&bar(ceiling, 0, CEILING))?;
        }
        root.draw(&bar(row.reached, 7, REACHED))?;
        root.draw(&Text::new(
            row.name,
            (NAMES - 10, middle),
            words(15, HPos::Right),
        ))?;
        let share = row.ceiling.map_or_else(String::new, |ceiling| {
            format!(" of {ceiling:.0} ({:.0} %)", 100.0 * row.reached / ceiling)
        });
        let end = NAMES + length(row.reached.max(row.ceiling.unwrap_or_default())) + 8;
        root.draw(&Text::new(
            format!("{:.0}{share}", row.reached),
            (end, middle),
            words(15, HPos::Left),
        ))?;
    }
    root.present()?;
    Ok(())
}
