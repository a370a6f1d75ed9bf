//! What was found: one finding per invariant, its counts, and the first few offenders.

use std::collections::{BTreeMap, BTreeSet};

use ledger::CommandId;
use serde::Serialize;
use uuid::Uuid;

use super::damages::Damages;

/// How many offenders are kept per invariant and place; the rest is counted.
const VIOLATIONS_KEPT_MAX: usize = 10;
/// How many are kept of a place when it is one per account.
const ACCOUNTS_KEPT_MAX: usize = 1_000;

/// What stands in the place of a projection when the feed is meant.
pub(super) const FEED: &str = "feed";

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

pub(super) const NAMES: [&str; 12] = [
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
pub(super) enum Status {
    Ok,
    Violated,
    NotChecked,
}

/// One offender: where it is, and what is expected and found there.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Violation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) projection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command_id: Option<CommandId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) found: Option<String>,
    pub(super) message: String,
    /// Whether it is rows of the projection that are wrong, which can be made anew.
    #[serde(skip)]
    pub(super) is_of_rows: bool,
    /// The transfer whose row it is.
    #[serde(skip)]
    pub(super) transfer_id: Option<Uuid>,
}

impl Violation {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..Self::default()
        }
    }

    /// The projection whose read model it is about.
    pub(super) fn of(mut self, projection: &str) -> Self {
        self.projection = Some(projection.to_owned());
        self
    }

    /// Rows of this projection's read model are wrong.
    pub(super) fn of_rows(mut self, projection: &str) -> Self {
        self.is_of_rows = true;
        self.of(projection)
    }

    /// It is the row of this transfer.
    pub(super) fn transfer(mut self, transfer_id: Uuid) -> Self {
        self.transfer_id = Some(transfer_id);
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
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers, texts and ids alike, without a & at every caller"
    )]
    pub(super) fn values(mut self, expected: impl ToString, found: impl ToString) -> Self {
        self.expected = Some(expected.to_string());
        self.found = Some(found.to_string());
        self
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Finding {
    /// How many of what were looked at.
    pub(super) checked: BTreeMap<&'static str, u64>,
    pub(super) notes: Vec<String>,
    /// Why some of it was not looked at.
    pub(super) open: Vec<String>,
    pub(super) violations: Vec<Violation>,
    pub(super) violations_total: u64,
}

impl Finding {
    pub(super) fn status(&self) -> Status {
        if self.violations_total > 0 {
            Status::Violated
        } else if self.open.is_empty() {
            Status::Ok
        } else {
            Status::NotChecked
        }
    }
}

/// All findings.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    pub(super) findings: [Finding; NAMES.len()],
    /// The rows that can be made anew.
    pub(super) damages: Damages,
    /// Why nothing may be mended from the event store, if that is so.
    pub(super) mend_nothing: Option<String>,
    /// Whether of each place and account the first offender is kept, instead of the first few of each place.
    is_by_account: bool,
    /// The places of which not all was kept that would have been.
    pub(super) cut_off: BTreeSet<Option<String>>,
}

impl Report {
    /// One that keeps of each place and account the first offender.
    pub(super) fn by_account() -> Self {
        Self {
            is_by_account: true,
            ..Self::default()
        }
    }

    fn finding(&mut self, invariant: Invariant) -> &mut Finding {
        &mut self.findings[invariant as usize]
    }

    /// An offender.
    pub(super) fn violated(&mut self, invariant: Invariant, violation: Violation) {
        self.damages.take(&violation);
        let finding = &mut self.findings[invariant as usize];
        finding.violations_total += 1;
        let place = violation.projection.as_deref();
        let of_place = finding
            .violations
            .iter()
            .filter(|kept| kept.projection.as_deref() == place);
        let account_id = violation.account_id.as_deref();
        let is_known =
            |kept: &Violation| account_id.is_some() && kept.account_id.as_deref() == account_id;
        if !self.is_by_account {
            if of_place.count() < VIOLATIONS_KEPT_MAX {
                finding.violations.push(violation);
            }
        } else if of_place.clone().count() >= ACCOUNTS_KEPT_MAX {
            self.cut_off.insert(violation.projection);
        } else if !of_place.clone().any(is_known) {
            finding.violations.push(violation);
        }
    }

    /// Nothing may be mended, and this is why; the first reason stays.
    pub(super) fn mend_nothing(&mut self, reason: impl Into<String>) {
        if self.mend_nothing.is_none() {
            self.mend_nothing = Some(reason.into());
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

    /// Takes over what another report has about one invariant, and whether anything may be mended.
    pub(super) fn take(&mut self, other: Self, invariant: Invariant) {
        if let Some(reason) = other.mend_nothing {
            self.mend_nothing(reason);
        }
        let theirs = other.findings.into_iter().nth(invariant as usize);
        let Some(theirs) = theirs else {
            return;
        };
        for (things, count) in theirs.checked {
            self.checked(invariant, things, count);
        }
        let kept = theirs.violations.len() as u64;
        for violation in theirs.violations {
            self.violated(invariant, violation);
        }
        let own = self.finding(invariant);
        own.violations_total += theirs.violations_total - kept;
        own.notes.extend(theirs.notes);
        own.open.extend(theirs.open);
    }

    /// How many offenders there are.
    pub(super) fn violations(&self, invariant: Invariant) -> u64 {
        self.findings[invariant as usize].violations_total
    }

    /// Whether all of it was looked at.
    pub(super) fn is_checked(&self, invariant: Invariant) -> bool {
        self.findings[invariant as usize].open.is_empty()
    }

    /// Whether nothing is violated.
    pub(super) fn is_ok(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.violations_total == 0)
    }
}
