//! The result, for people: a table on the terminal, and a page.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use crate::report::{Report, Row};

const COLUMNS: [&str; 13] = [
    "system",
    "workload",
    "accounts",
    "at once",
    "commands",
    "a second",
    "p50 ms",
    "p90",
    "p99",
    "p99.9",
    "max",
    "retries",
    "wrong views",
];
/// The first columns are words, the others numbers.
const WORDS: usize = 2;

/// What has to be known to read the table.
const NOTES: [&str; 5] = [
    "`at once`: for the peers tasks, each of which waits for its answer before it sends the next command; for the ledger commands in \
     flight. As fast as it goes, the ledger's latencies say only how many were in flight: hold its row with 20 against the peers'.",
    "`a second`: for the peers until the answer; for the ledger until its read model shows the command.",
    "`retries`: tries of cqrs-es that ended in a conflict, and were made again at once. Latencies have them in.",
    "`wrong views`: accounts whose read model is wrong for good. cqrs-es brings the view up to date after the commit, and of two \
     that do so at once one is lost. Plain PostgreSQL has no read model: the balance is in the same transaction.",
    "At the end of each row the books were right: what was there at first, and deposits less withdrawals, is there; no balance below \
     zero; as many lines or events as accepted commands; each balance what its lines come to. The ledger's by `chronicle verify`.",
];

/// The table, as text.
pub(crate) fn text(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(COLUMNS.map(str::to_uppercase));
    for column in table.column_iter_mut().skip(WORDS) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for row in &report.rows {
        table.add_row(cells(row));
    }
    let mut text = format!("{}\n\n{table}\n\n", title(report));
    let mut place = Table::new();
    place.load_style(presets::NOTHING);
    for (what, value) in place_of(report) {
        place.add_row([what, value.as_str()]);
    }
    let _ = writeln!(text, "{place}");
    text
}

/// A page to keep.
pub(crate) fn markdown(report: &Report) -> String {
    let mut page = format!(
        "# Peers, in one run\n\n`cargo run --release --manifest-path benches/peers/Cargo.toml`, {}. What is compared, and what is \
         not: [benches/peers](../peers/README.md).\n\n| | |\n|---|---|\n",
        title(report)
    );
    for (what, value) in place_of(report) {
        let _ = writeln!(page, "| {what} | {value} |");
    }
    let _ = writeln!(page, "\n| {} |", COLUMNS.join(" | "));
    let lines = (0..COLUMNS.len()).map(|index| if index < WORDS { "---" } else { "---:" });
    let _ = writeln!(page, "|{}|", lines.collect::<Vec<_>>().join("|"));
    for row in &report.rows {
        let _ = writeln!(page, "| {} |", cells(row).join(" | "));
    }
    page.push('\n');
    for note in NOTES {
        let _ = writeln!(page, "- {note}");
    }
    page
}

fn title(report: &Report) -> String {
    format!("{} s for each row, seed {}", report.seconds, report.seed)
}

fn place_of(report: &Report) -> Vec<(&'static str, String)> {
    let place = &report.place;
    let whose = if place.own_database {
        "started for each row"
    } else {
        "named by --database-url"
    };
    let mut rows = vec![
        (
            "machine",
            format!(
                "{} cores, {}, {}, Linux {}",
                place.cores, place.processor, place.memory, place.kernel
            ),
        ),
        ("load before (1, 5, 15 minutes)", place.load_before.clone()),
        (
            "peers",
            format!(
                "commit {}, {} build, {}",
                place.commit, place.build, place.compiler
            ),
        ),
        (
            "cqrs-es",
            format!(
                "cqrs-es {}, postgres-es {}, sqlx {}",
                place.cqrs_es, place.postgres_es, place.sqlx
            ),
        ),
        ("PostgreSQL", format!("{}, {whose}", place.database)),
    ];
    if let Some(chronicle) = &place.chronicle {
        rows.push(("Chronicle Ledger", chronicle.clone()));
    }
    rows
}

fn cells(row: &Row) -> [String; COLUMNS.len()] {
    let latency = &row.latency_ms;
    let ms = |value: f64| format!("{value:.2}");
    let some = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), count);
    [
        row.system.to_owned(),
        row.workload.clone(),
        count(row.accounts),
        count(row.at_once),
        count(row.commands),
        whole(row.commands_per_second),
        ms(latency.p50),
        ms(latency.p90),
        ms(latency.p99),
        ms(latency.p999),
        ms(latency.max),
        some(row.retries),
        some(row.wrong_views),
    ]
}

/// A rate without decimals.
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
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Latency, Place};

    #[test]
    fn the_page_has_a_cell_for_each_column() {
        let latency_ms = Latency {
            p50: 1.0,
            p90: 2.0,
            p99: 3.0,
            p999: 4.0,
            max: 12.345,
        };
        let row = Row {
            system: "PostgreSQL",
            workload: "transfer".to_owned(),
            accounts: 10_000,
            at_once: 8,
            commands: 1_234_567,
            accepted: 1_234_567,
            refused: 0,
            elapsed_seconds: 2.0,
            commands_per_second: 617_283.5,
            outcomes_per_second: None,
            latency_ms,
            retries: Some(0),
            wrong_views: None,
        };
        let report = Report {
            seconds: 2,
            seed: 1,
            place: Place::look("PostgreSQL 18".to_owned(), true),
            rows: vec![row],
        };
        let page = markdown(&report);
        let lines: Vec<&str> = page.lines().filter(|line| line.contains("---:")).collect();
        assert_eq!(lines.len(), 1);
        let bars = |line: &str| line.matches('|').count();
        let row = page
            .lines()
            .find(|line| line.contains("1,234,567"))
            .unwrap();
        assert_eq!((bars(lines[0]), bars(row)), (14, 14));
        assert!(row.ends_with("| 12.35 | 0 | - |"), "{row}");
        assert!(text(&report).contains("617,284"));
    }
}
