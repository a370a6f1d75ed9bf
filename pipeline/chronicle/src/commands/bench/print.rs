//! The result of a run, for people.

use std::fmt::Write as _;

use super::report::{Latency, Report};
use crate::output;

/// Prints it.
pub(super) fn print(report: &Report) -> anyhow::Result<()> {
    output::line(title(report))?;
    output::line("")?;
    print_rates(report)?;
    output::line("")?;
    print_latencies(report)?;
    if !report.figures.processes.is_empty() {
        output::line("")?;
        print_processes(report)?;
    }
    output::line("")?;
    print_place(report)?;
    output::line("")
}

fn title(report: &Report) -> String {
    let settings = &report.settings;
    let pace = match settings.rate {
        Some(rate) => format!("{} commands a second", count(rate.into())),
        None => "as fast as it goes".to_owned(),
    };
    format!(
        "{} through {}, {pace} for {} s, {} accounts, at most {} in flight, seed {}",
        settings.workload,
        match settings.through {
            "http" => "HTTP",
            _ => "NATS",
        },
        settings.seconds,
        count(settings.accounts.into()),
        count(settings.in_flight_max.into()),
        settings.seed
    )
}

fn print_rates(report: &Report) -> anyhow::Result<()> {
    let figures = &report.figures;
    let mut table = output::table(
        &["commands", "count", "a second", ""],
        &["count", "a second"],
    );
    let mut row = |what: &str, count: String, rate: Option<f64>, remark: String| {
        table.add_row([
            what.to_owned(),
            count,
            rate.map(whole).unwrap_or_default(),
            remark,
        ]);
    };
    let share = report
        .share_of_ceiling
        .map(|share| format!("{:.1} % of the ceiling", share * 100.0));
    row(
        "published to projected",
        count(figures.commands),
        Some(figures.commands_per_second),
        share.unwrap_or_default(),
    );
    row(
        "  to outcome",
        String::new(),
        Some(figures.outcomes_per_second),
        String::new(),
    );
    row(
        "  to all read models",
        String::new(),
        Some(figures.all_projected_per_second),
        String::new(),
    );
    row("accepted", count(figures.accepted), None, String::new());
    let codes: Vec<String> = figures
        .refusals
        .iter()
        .map(|(code, number)| format!("{code} {}", count(*number)))
        .collect();
    row("refused", count(figures.refused), None, codes.join(", "));
    if figures.without_outcome > 0 {
        row(
            "WITHOUT OUTCOME",
            count(figures.without_outcome),
            None,
            "see `chronicle verify`".to_owned(),
        );
    }
    if figures.answers_looked_up > 0 {
        row(
            "answers lost",
            count(figures.answers_looked_up),
            None,
            "looked up in the event store".to_owned(),
        );
    }
    if let Some(ceiling) = &report.ceiling {
        row(
            "ceiling",
            count(ceiling.commands),
            Some(ceiling.commands_per_second),
            format!(
                "the same I/O without a ledger, {} commands an append",
                whole(ceiling.commands as f64 / ceiling.appends.max(1) as f64)
            ),
        );
    }
    output::line(table)
}

fn print_latencies(report: &Report) -> anyhow::Result<()> {
    let columns = ["p50", "p90", "p99", "p99.9", "max", "commands"];
    let mut table = output::table(&[&["latency, ms"], &columns[..]].concat(), &columns);
    let row = |name: &str, latency: &Latency| {
        [
            name.to_owned(),
            format!("{:.2}", latency.p50),
            format!("{:.2}", latency.p90),
            format!("{:.2}", latency.p99),
            format!("{:.2}", latency.p999),
            format!("{:.2}", latency.max),
            count(latency.samples),
        ]
    };
    table.add_row(row("to outcome", &report.figures.outcome_ms));
    table.add_row(row("to projection", &report.figures.projection_ms));
    output::line(table)
}

fn print_processes(report: &Report) -> anyhow::Result<()> {
    let columns = ["cpu seconds", "microseconds a command", "peak mb"];
    let mut table = output::table(&[&["process"], &columns[..]].concat(), &columns);
    for cost in &report.figures.processes {
        table.add_row([
            cost.name.to_owned(),
            format!("{:.2}", cost.cpu_seconds),
            format!("{:.1}", cost.cpu_seconds_per_command * 1e6),
            whole(cost.peak_rss_mb),
        ]);
    }
    output::line(table)
}

fn print_place(report: &Report) -> anyhow::Result<()> {
    let place = &report.place;
    let mut table = output::table(&["", "measured on"], &[]);
    for (what, value) in [
        (
            "machine",
            format!(
                "{} cores, {}, {}, Linux {}",
                place.cores, place.processor, place.memory, place.kernel
            ),
        ),
        ("load before", place.load_before.clone()),
        (
            "chronicle",
            format!(
                "{}, commit {}, {} build, {}",
                place.chronicle, place.commit, place.build, place.compiler
            ),
        ),
        ("NATS", place.nats_server.clone()),
        ("event store", place.event_store.clone()),
        ("read model", place.read_model.clone()),
    ] {
        table.add_row([what.to_owned(), value]);
    }
    output::line(table)
}

/// A rate or a size without decimals.
fn whole(number: f64) -> String {
    let rounded = format!("{:.0}", number.max(0.0));
    rounded.parse().map_or(rounded, count)
}

/// A number with commas, as 1,234,567.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        let _ = write!(text, "{digit}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_threes() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(whole(1_234.6), "1,235");
    }
}
