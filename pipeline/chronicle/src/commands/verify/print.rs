//! How a report is printed: one line per invariant, then the offenders; or one JSON document.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::ContentArrangement;
use serde::Serialize;

use super::conservation::CurrencyTotals;
use super::repair::Repair;
use super::report::{Finding, NAMES, Report, Status, Violation};
use crate::output::{self, Format};

/// What the ledger holds, beside the findings.
#[derive(Debug, Default, Serialize)]
pub(super) struct Totals {
    pub(super) accounts: u64,
    pub(super) events: u64,
    pub(super) commands: u64,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) transfers: u64,
    pub(super) postings: u64,
    pub(super) currencies: Vec<CurrencyTotals>,
    pub(super) elapsed_ms: u64,
}

#[derive(Serialize)]
struct FindingJson<'a> {
    name: &'static str,
    status: Status,
    checked: &'a BTreeMap<&'static str, u64>,
    message: String,
    violations_total: u64,
    violations: &'a [Violation],
}

/// The whole report, for programs.
#[derive(Serialize)]
pub(super) struct ReportJson<'a> {
    ok: bool,
    invariants: Vec<FindingJson<'a>>,
    totals: &'a Totals,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<RepairJson<'a>>,
}

#[derive(Serialize)]
struct RepairJson<'a> {
    #[serde(flatten)]
    repair: &'a Repair,
    /// What was found before anything was repaired.
    before: Vec<FindingJson<'a>>,
}

impl Report {
    /// Prints it; `repair` is what was mended, and the report before that.
    pub(super) fn print(
        &self,
        totals: &Totals,
        repair: Option<(&Repair, &Self)>,
        format: Format,
    ) -> anyhow::Result<()> {
        match format {
            Format::Json => output::json(&self.document(totals, repair)),
            Format::Table => self.print_table(totals),
        }
    }

    pub(super) fn document<'a>(
        &'a self,
        totals: &'a Totals,
        repair: Option<(&'a Repair, &'a Self)>,
    ) -> ReportJson<'a> {
        ReportJson {
            ok: self.is_ok(),
            invariants: self.invariants(),
            totals,
            repair: repair.map(|(repair, before)| RepairJson {
                repair,
                before: before.invariants(),
            }),
        }
    }

    fn invariants(&self) -> Vec<FindingJson<'_>> {
        NAMES
            .into_iter()
            .zip(&self.findings)
            .map(finding_json)
            .collect()
    }

    fn print_table(&self, totals: &Totals) -> anyhow::Result<()> {
        let mut table = output::table(&["invariant", "status", "looked at", "remark"], &[]);
        // On a terminal long remarks go on below; elsewhere each invariant is one line.
        table.set_content_arrangement(ContentArrangement::Dynamic);
        for (name, finding) in NAMES.into_iter().zip(&self.findings) {
            table.add_row([
                name.to_owned(),
                shown(finding.status()).to_owned(),
                counts(finding),
                message(finding),
            ]);
        }
        output::line(table)?;
        for (name, finding) in NAMES.into_iter().zip(&self.findings) {
            if finding.violations_total == 0 {
                continue;
            }
            output::line(format_args!(
                "\n{name}: {} in all",
                finding.violations_total
            ))?;
            for violation in &finding.violations {
                output::line(format_args!("  {}", line(violation)))?;
            }
            let more = finding.violations_total - finding.violations.len() as u64;
            if more > 0 {
                output::line(format_args!("  … and {more} more"))?;
            }
        }
        let violated = self
            .findings
            .iter()
            .filter(|finding| finding.violations_total > 0)
            .count();
        let verdict = match violated {
            0 => "nothing is violated".to_owned(),
            1 => "1 invariant is VIOLATED".to_owned(),
            many => format!("{many} invariants are VIOLATED"),
        };
        output::say(format_args!("{verdict} ({} ms)", totals.elapsed_ms));
        Ok(())
    }
}

fn finding_json<'a>((name, finding): (&'static str, &'a Finding)) -> FindingJson<'a> {
    FindingJson {
        name,
        status: finding.status(),
        checked: &finding.checked,
        message: message(finding),
        violations_total: finding.violations_total,
        violations: &finding.violations,
    }
}

/// For people: what needs them is loud.
fn shown(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Violated => "VIOLATED",
        Status::NotChecked => "not checked",
    }
}

fn line(violation: &Violation) -> String {
    let mut places = Vec::new();
    if let Some(projection) = &violation.projection {
        places.push(projection.clone());
    }
    if let Some(account_id) = &violation.account_id {
        let version = violation
            .version
            .map(|version| format!(" version {version}"));
        places.push(format!(
            "account {account_id}{}",
            version.unwrap_or_default()
        ));
    }
    if let Some(command_id) = &violation.command_id {
        places.push(format!("command {command_id}"));
    }
    let mut line = places.join(", ");
    if !line.is_empty() {
        line.push_str(": ");
    }
    line.push_str(&violation.message);
    if let (Some(expected), Some(found)) = (&violation.expected, &violation.found) {
        let _ = write!(line, "; expected {expected}, found {found}");
    }
    line
}

fn message(finding: &Finding) -> String {
    let parts: Vec<&str> = finding
        .open
        .iter()
        .chain(&finding.notes)
        .map(String::as_str)
        .collect();
    parts.join("; ")
}

fn counts(finding: &Finding) -> String {
    let counts: Vec<String> = finding
        .checked
        .iter()
        .map(|(things, count)| {
            let things = things.replace('_', " ");
            format!(
                "{count} {}",
                if *count == 1 {
                    singular(&things)
                } else {
                    things
                }
            )
        })
        .collect();
    counts.join(", ")
}

fn singular(things: &str) -> String {
    match things.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => things.strip_suffix('s').unwrap_or(things).to_owned(),
    }
}
