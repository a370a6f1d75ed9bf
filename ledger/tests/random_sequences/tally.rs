//! What the sequences have met, so that a case that is never reached is noticed.

use std::collections::BTreeMap;

use ledger::RejectionCode;

/// What the sequences have met.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) commands: u64,
    pub(crate) accepted: BTreeMap<&'static str, u64>,
    pub(crate) rejected: BTreeMap<RejectionCode, u64>,
    pub(crate) sent_again: u64,
    pub(crate) events: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.commands += other.commands;
        self.sent_again += other.sent_again;
        self.events += other.events;
        for (name, count) in &other.accepted {
            *self.accepted.entry(name).or_default() += count;
        }
        for (code, count) in &other.rejected {
            *self.rejected.entry(*code).or_default() += count;
        }
    }

    /// A sequence test that never reaches a case does not test it.
    pub(crate) fn check_nothing_was_missed(&self) {
        for name in ["create_account", "deposit", "withdraw", "transfer"] {
            let count = self.accepted.get(name).copied().unwrap_or(0);
            assert!(count > 1_000, "only {count} accepted {name}");
        }
        for code in [
            RejectionCode::AccountNotFound,
            RejectionCode::AccountExists,
            RejectionCode::InsufficientFunds,
            RejectionCode::CurrencyMismatch,
            RejectionCode::SameAccount,
            RejectionCode::InvalidAmount,
            RejectionCode::AmountOverflow,
            RejectionCode::UnknownCurrency,
            RejectionCode::VersionConflict,
            RejectionCode::IdempotencyConflict,
        ] {
            let count = self.rejected.get(&code).copied().unwrap_or(0);
            assert!(count > 100, "only {count} rejected {code}");
        }
        let accepted: u64 = self.accepted.values().sum();
        assert!(accepted * 3 > self.commands, "most commands were refused");
        assert!(self.sent_again > 1_000);
    }
}
