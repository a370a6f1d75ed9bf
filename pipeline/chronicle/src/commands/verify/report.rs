//! What was found: one finding per invariant, its counts, and the first few offenders.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::ContentArrangement;
use ledger::CommandId;
use serde::Serialize;

use super::conservation::CurrencyTotals;
use crate::output::{self, Format};

/// How many offenders are kept per invariant; the rest is counted.
const VIOLATIONS_KEPT_MAX: usize = 10;

/// The invariants of DESIGN §3, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Invariant {
    AppendOnly,
    GaplessVersions,
    OneOutcome,
    AtomicCommand,
    NoOverdraft,
    Conservation,
    MonotonicTime,
    ExactlyOnce,
    SingleApplier,
    Convergence,
    Bounded,
    NoSilentLoss,
}

const NAMES: [&str; 12] = [
    "append_only",
    "gapless_versions",
    "one_outcome",
    "atomic_command",
    "no_overdraft",
    "conservation",
    "monotonic_time",
    "exactly_once",
    "single_applier",
    "convergence",
    "bounded",
    "no_silent_loss",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Violated,
    NotChecked,
}

impl Status {
    /// For people: what needs them is loud.
    fn shown(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Violated => "VIOLATED",
            Self::NotChecked => "not checked",
        }
    }
}

/// One offender: where it is, and what is expected and found there.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Violation {
    #[serde(skip_serializing_if = "Option::is_none")]
    projection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<CommandId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    message: String,
}

impl Violation {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// The projection whose read model it is about.
    pub(super) fn of(mut self, projection: &str) -> Self {
        self.projection = Some(projection.to_owned());
        self
    }

    pub(super) fn account(mut self, account_id: &str) -> Self {
        self.account_id = Some(account_id.to_owned());
        self
    }

    /// An account and one of its versions.
    pub(super) fn at(mut self, account_id: &str, version: i64) -> Self {
        self.version = Some(version);
        self.account(account_id)
    }

    pub(super) fn command(mut self, command_id: CommandId) -> Self {
        self.command_id = Some(command_id);
        self
    }

    /// What should be there, and what is.
    #[expect(clippy::needless_pass_by_value, reason = "numbers, texts and ids alike, without a & at every caller")]
    pub(super) fn values(mut self, expected: impl ToString, found: impl ToString) -> Self {
        self.expected = Some(expected.to_string());
        self.found = Some(found.to_string());
        self
    }

    fn line(&self) -> String {
        let mut places = Vec::new();
        if let Some(projection) = &self.projection {
            places.push(projection.clone());
        }
        if let Some(account_id) = &self.account_id {
            let version = self.version.map(|version| format!(" version {version}"));
            places.push(format!("account {account_id}{}", version.unwrap_or_default()));
        }
        if let Some(command_id) = &self.command_id {
            places.push(format!("command {command_id}"));
        }
        let mut line = places.join(", ");
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&self.message);
        if let (Some(expected), Some(found)) = (&self.expected, &self.found) {
            let _ = write!(line, "; expected {expected}, found {found}");
        }
        line
    }
}

#[derive(Debug, Clone, Default)]
struct Finding {
    /// How many of what were looked at.
    checked: BTreeMap<&'static str, u64>,
    notes: Vec<String>,
    /// Why some of it was not looked at.
    open: Vec<String>,
    violations: Vec<Violation>,
    violations_total: u64,
}

impl Finding {
    fn status(&self) -> Status {
        if self.violations_total > 0 {
            Status::Violated
        } else if self.open.is_empty() {
            Status::Ok
        } else {
            Status::NotChecked
        }
    }

    fn message(&self) -> String {
        let parts: Vec<&str> = self.open.iter().chain(&self.notes).map(String::as_str).collect();
        parts.join("; ")
    }

    fn counts(&self) -> String {
        let counts: Vec<String> = self
            .checked
            .iter()
            .map(|(things, count)| {
                let things = things.replace('_', " ");
                format!("{count} {}", if *count == 1 { singular(&things) } else { things })
            })
            .collect();
        counts.join(", ")
    }
}

fn singular(things: &str) -> String {
    match things.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => things.strip_suffix('s').unwrap_or(things).to_owned(),
    }
}

/// All findings.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    findings: [Finding; NAMES.len()],
}

/// What the ledger holds, beside the findings.
#[derive(Debug, Default, Serialize)]
pub(super) struct Totals {
    pub(super) accounts: u64,
    pub(super) events: u64,
    pub(super) commands: u64,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) transfers: u64,
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

#[derive(Serialize)]
struct ReportJson<'a> {
    ok: bool,
    invariants: Vec<FindingJson<'a>>,
    totals: &'a Totals,
}

impl Report {
    fn finding(&mut self, invariant: Invariant) -> &mut Finding {
        &mut self.findings[invariant as usize]
    }

    /// An offender.
    pub(super) fn violated(&mut self, invariant: Invariant, violation: Violation) {
        let finding = self.finding(invariant);
        finding.violations_total += 1;
        if finding.violations.len() < VIOLATIONS_KEPT_MAX {
            finding.violations.push(violation);
        }
    }

    /// Offenders that were counted and not kept.
    pub(super) fn violated_too(&mut self, invariant: Invariant, count: u64) {
        self.finding(invariant).violations_total += count;
    }

    /// How many of what were looked at; adds up.
    pub(super) fn checked(&mut self, invariant: Invariant, things: &'static str, count: u64) {
        *self.finding(invariant).checked.entry(things).or_default() += count;
    }

    /// How it was looked at, or what else there is to know.
    pub(super) fn note(&mut self, invariant: Invariant, note: impl Into<String>) {
        self.finding(invariant).notes.push(note.into());
    }

    /// Something was not looked at, and why.
    pub(super) fn not_checked(&mut self, invariant: Invariant, reason: impl Into<String>) {
        self.finding(invariant).open.push(reason.into());
    }

    /// How many offenders there are.
    pub(super) fn violations(&self, invariant: Invariant) -> u64 {
        self.findings[invariant as usize].violations_total
    }

    /// Whether nothing is violated.
    pub(super) fn is_ok(&self) -> bool {
        self.findings.iter().all(|finding| finding.violations_total == 0)
    }

    pub(super) fn print(&self, totals: &Totals, format: Format) -> anyhow::Result<()> {
        match format {
            Format::Json => output::json(&ReportJson {
                ok: self.is_ok(),
                invariants: NAMES.into_iter().zip(&self.findings).map(finding_json).collect(),
                totals,
            }),
            Format::Table => self.print_table(totals),
        }
    }

    fn print_table(&self, totals: &Totals) -> anyhow::Result<()> {
        let mut table = output::table(&["invariant", "status", "looked at", "remark"], &[]);
        // On a terminal long remarks go on below; elsewhere each invariant is one line.
        table.set_content_arrangement(ContentArrangement::Dynamic);
        for (name, finding) in NAMES.into_iter().zip(&self.findings) {
            table.add_row([name.to_owned(), finding.status().shown().to_owned(), finding.counts(), finding.message()]);
        }
        output::line(table)?;
        for (name, finding) in NAMES.into_iter().zip(&self.findings) {
            if finding.violations_total == 0 {
                continue;
            }
            output::line(format_args!("\n{name}: {} in all", finding.violations_total))?;
            for violation in &finding.violations {
                output::line(format_args!("  {}", violation.line()))?;
            }
            let more = finding.violations_total - finding.violations.len() as u64;
            if more > 0 {
                output::line(format_args!("  … and {more} more"))?;
            }
        }
        let violated = self.findings.iter().filter(|finding| finding.violations_total > 0).count();
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
        message: finding.message(),
        violations_total: finding.violations_total,
        violations: &finding.violations,
    }
}
