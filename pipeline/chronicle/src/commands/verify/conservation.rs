//! Money is neither made nor lost: sums per currency, and the two halves of transfers.
//!
//! Sums are whole numbers of the currency's smallest unit in 128 bits, for they can have more digits than an amount.
//! State: six sums per currency of ISO 4217.

use std::collections::BTreeMap;

use ledger::{Currency, Event, EventData, Money};
use serde::Serialize;

use super::report::{Invariant, Report, Violation};

/// An amount in the currency's smallest unit.
fn units(money: Money) -> i128 {
    money.value().mantissa()
}

/// What moved, in the currency's smallest unit. `None` = more than 128 bits hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flow {
    initial: i128,
    deposits: i128,
    withdrawals: i128,
    /// By transfers and postings, from other accounts of the ledger.
    transfers_in: i128,
    transfers_out: i128,
}

impl Flow {
    /// Adds an event. `None` when the sum does not fit.
    #[must_use]
    pub(super) fn with(mut self, event: &Event) -> Option<Self> {
        let Some(change) = event.data.balance_change() else {
            return Some(self);
        };
        let amount = units(change).checked_abs()?;
        let sum = match (&event.data, event.data.is_internal()) {
            (EventData::AccountCreated(_), _) => &mut self.initial,
            (EventData::MoneyDeposited(_), false) => &mut self.deposits,
            (EventData::MoneyDeposited(_), true) => &mut self.transfers_in,
            (_, false) => &mut self.withdrawals,
            (_, true) => &mut self.transfers_out,
        };
        *sum = sum.checked_add(amount)?;
        Some(self)
    }

    fn and(self, other: Self) -> Option<Self> {
        Some(Self {
            initial: self.initial.checked_add(other.initial)?,
            deposits: self.deposits.checked_add(other.deposits)?,
            withdrawals: self.withdrawals.checked_add(other.withdrawals)?,
            transfers_in: self.transfers_in.checked_add(other.transfers_in)?,
            transfers_out: self.transfers_out.checked_add(other.transfers_out)?,
        })
    }

    /// Initial + deposits − withdrawals: what all balances of a currency must add up to.
    fn outside(&self) -> Option<i128> {
        self.initial
            .checked_add(self.deposits)?
            .checked_sub(self.withdrawals)
    }

    /// What the flow makes of nothing: the balance of one account.
    fn balance(&self) -> Option<i128> {
        self.outside()?
            .checked_add(self.transfers_in)?
            .checked_sub(self.transfers_out)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    flow: Flow,
    /// The newest balances.
    balances: i128,
    overflowed: bool,
    /// How many accounts of the currency are in none of the sums.
    left_out: u64,
}

/// The sums of all currencies.
#[derive(Debug, Default)]
pub(super) struct Conservation {
    currencies: BTreeMap<Currency, Sums>,
    /// How many accounts whose currency is not known are in none of the sums.
    left_out: u64,
}

/// One currency's sums, as decimals.
#[derive(Debug, Serialize)]
pub(super) struct CurrencyTotals {
    currency: String,
    balances: String,
    initial: String,
    deposits: String,
    withdrawals: String,
    transferred: String,
}

impl Conservation {
    /// Adds an account's newest balance and what moved it.
    pub(super) fn add(&mut self, newest: Money, flow: Flow) {
        let sums = self.currencies.entry(newest.currency()).or_default();
        match (
            sums.flow.and(flow),
            sums.balances.checked_add(units(newest)),
        ) {
            (Some(flow), Some(balances)) => (sums.flow, sums.balances) = (flow, balances),
            _ => sums.overflowed = true,
        }
    }

    /// An account with rows that cannot be read is in none of the sums of its currency, if that is known.
    pub(super) fn leave_out(&mut self, currency: Option<Currency>) {
        match currency {
            Some(currency) => self.currencies.entry(currency).or_default().left_out += 1,
            None => self.left_out += 1,
        }
    }

    /// Compares the sums.
    pub(super) fn judge(&self, report: &mut Report) {
        let invariant = Invariant::Conservation;
        report.checked(invariant, "currencies", self.currencies.len() as u64);
        for (currency, sums) in &self.currencies {
            let (flow, exponent) = (sums.flow, currency.exponent());
            let left_out = sums.left_out + self.left_out;
            if left_out > 0 {
                let reason = format!(
                    "accounts with damaged rows, not in the sums of {currency}: {left_out}"
                );
                report.not_checked(invariant, reason);
                continue;
            }
            let Some(outside) = flow.outside().filter(|_| !sums.overflowed) else {
                report.not_checked(
                    invariant,
                    format!("the sums of {currency} do not fit into 128 bits"),
                );
                continue;
            };
            if outside != sums.balances {
                let message = format!(
                    "{currency}: the newest balances do not add up to initial + deposits − withdrawals"
                );
                let violation = Violation::new(message)
                    .values(decimal(outside, exponent), decimal(sums.balances, exponent));
                report.violated(invariant, violation);
            }
            if flow.transfers_in != flow.transfers_out {
                let message =
                    format!("{currency}: transfers and postings do not add up to nothing");
                let (debited, credited) = (
                    decimal(flow.transfers_out, exponent),
                    decimal(flow.transfers_in, exponent),
                );
                let violation = Violation::new(message).values(
                    format!("{debited} credited, as was debited"),
                    format!("{credited} credited"),
                );
                report.violated(invariant, violation);
            }
        }
    }

    pub(super) fn totals(&self) -> Vec<CurrencyTotals> {
        let totals = |(currency, sums): (&Currency, &Sums)| {
            let shown = |units| decimal(units, currency.exponent());
            CurrencyTotals {
                currency: currency.code().to_string(),
                balances: shown(sums.balances),
                initial: shown(sums.flow.initial),
                deposits: shown(sums.flow.deposits),
                withdrawals: shown(sums.flow.withdrawals),
                transferred: shown(sums.flow.transfers_out),
            }
        };
        self.currencies.iter().map(totals).collect()
    }
}

/// Whether the newest balance of an account is what its events add up to; says what they add up to if not.
pub(super) fn balance_difference(flow: &Flow, newest: Money) -> Option<String> {
    let balance = flow.balance()?;
    (balance != units(newest)).then(|| decimal(balance, newest.currency().exponent()))
}

/// Whether a balance, without what is held of it, lies below what the overdraft limit allows; all of one currency.
pub(super) fn is_overdrawn(balance: Money, held: Money, overdraft_limit: Money) -> bool {
    // Each has at most 27 digits.
    units(balance) - units(held) + units(overdraft_limit) < 0
}

/// Whole units as a decimal. Can have more digits than any decimal type holds.
fn decimal(units: i128, exponent: u32) -> String {
    let places = exponent as usize;
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let sign = if units < 0 { "-" } else { "" };
    if places == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

/// Checks that each transfer among the events of one command has two halves that agree.
pub(super) fn check_transfers(events: &[&Event], report: &mut Report) -> u64 {
    let mut transfers: BTreeMap<_, Vec<&Event>> = BTreeMap::new();
    for event in events {
        if let Some(leg) = event.data.transfer() {
            transfers.entry(leg.transfer_id).or_default().push(event);
        }
    }
    for (transfer_id, halves) in &transfers {
        let Some(first) = halves.first() else {
            continue;
        };
        let violation = |message: String| {
            let version = i64::try_from(first.version.get()).unwrap_or(i64::MAX);
            Violation::new(format!("transfer {transfer_id} {message}"))
                .at(first.account_id.as_str(), version)
                .command(first.command_id)
        };
        let is_debit = |event: &&&Event| matches!(event.data, EventData::MoneyWithdrawn(_));
        let debits = halves.iter().filter(is_debit).count();
        let credits = halves.len() - debits;
        if (debits, credits) != (1, 1) {
            let violation = violation("needs two halves".to_owned())
                .values("1 debit and 1 credit", format!("{debits} and {credits}"));
            report.violated(Invariant::Conservation, violation);
            continue;
        }
        let second = halves[1];
        if let (Some(amount), Some(other)) = (first.data.amount(), second.data.amount())
            && amount != other
        {
            let shown = |money: Money| format!("{money} {}", money.currency());
            let violation =
                violation("moves different amounts".to_owned()).values(shown(amount), shown(other));
            report.violated(Invariant::Conservation, violation);
        }
        let names = |event: &Event, other: &Event| {
            event
                .data
                .transfer()
                .is_some_and(|leg| leg.counterparty_account_id == other.account_id)
        };
        if !names(first, second) || !names(second, first) {
            report.violated(
                Invariant::Conservation,
                violation("has halves that do not name each other".to_owned()),
            );
        }
        // That both are recorded at the same time is monotonic_time's, for all events of a command.
    }
    transfers.len() as u64
}

/// Checks that each posting among the events of one command adds up to nothing, in each currency.
pub(super) fn check_postings(events: &[&Event], report: &mut Report) -> u64 {
    let mut postings: BTreeMap<_, Vec<&Event>> = BTreeMap::new();
    for event in events {
        if let Some(posting_id) = event.data.posting_id() {
            postings.entry(posting_id).or_default().push(event);
        }
    }
    for (posting_id, entries) in &postings {
        let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
        for entry in entries {
            if let Some(change) = entry.data.balance_change() {
                // Each has at most 27 digits, and a command has not more than some thousands of events.
                *sums.entry(change.currency()).or_default() += units(change);
            }
        }
        let Some(first) = entries.first() else {
            continue;
        };
        for (currency, sum) in sums.into_iter().filter(|(_, sum)| *sum != 0) {
            let version = i64::try_from(first.version.get()).unwrap_or(i64::MAX);
            let found = format!("{} {currency}", decimal(sum, currency.exponent()));
            let violation = Violation::new(format!(
                "the entries of posting {posting_id} do not balance"
            ))
            .at(first.account_id.as_str(), version)
            .command(first.command_id)
            .values(format!("0 {currency}"), found);
            report.violated(Invariant::Conservation, violation);
        }
    }
    postings.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_become_decimals_of_any_length() {
        assert_eq!(decimal(0, 2), "0.00");
        assert_eq!(decimal(-5, 2), "-0.05");
        assert_eq!(decimal(123_456, 2), "1234.56");
        assert_eq!(decimal(-7, 0), "-7");
        assert_eq!(
            decimal(i128::MAX, 4),
            "17014118346046923173168730371588410.5727"
        );
    }
}
