//! Events as double entries: where the money came from and where it went, in one place for all journals.

use std::fmt;

use ledger::{AccountCreated, Currency, Event, EventData, Money};

use super::book::Entry;

/// One transaction: what places have more and less, which is nothing in each currency.
pub(super) struct Transaction<'a> {
    /// What happened, for those who gave no description.
    pub(super) kind: &'static str,
    /// The event that stands for it.
    pub(super) event: &'a Event,
    pub(super) postings: Vec<Posting<'a>>,
}

/// What one place has more or less.
pub(super) struct Posting<'a> {
    pub(super) place: Place<'a>,
    pub(super) amount: Signed,
}

/// Where money can be.
pub(super) enum Place<'a> {
    /// In the account of this event.
    Account(&'a Event),
    /// Outside of the ledger: where deposits come from, and withdrawals go.
    External,
    /// Where accounts have from what they begin with.
    Opening,
}

/// An amount of money, with its sign and its currency.
pub(super) struct Signed {
    is_less: bool,
    amount: Money,
}

impl Signed {
    /// What it is an amount of.
    pub(super) fn currency(&self) -> Currency {
        self.amount.currency()
    }

    /// Without its currency.
    pub(super) fn number(&self) -> String {
        // No -0.00.
        let sign = if self.is_less && self.amount.is_positive() {
            "-"
        } else {
            ""
        };
        format!("{sign}{}", self.amount)
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.number(), self.currency())
    }
}

/// The transaction that an event makes. `None` for one that moves no money, and for one that is told with another: the
/// credit of a transfer with its debit, and the entries of a posting with the first of them.
pub(super) fn transaction(entry: &Entry) -> Option<Transaction<'_>> {
    let event = &entry.event;
    let here = Place::Account(event);
    let (kind, postings) = match &event.data {
        EventData::AccountCreated(created) => {
            let amount = created.initial_balance;
            (
                "opening",
                vec![more(here, amount), less(Place::Opening, amount)],
            )
        }
        EventData::MoneyDeposited(moved) | EventData::MoneyWithdrawn(moved)
            if moved.posting_id.is_some() =>
        {
            if entry.others.is_empty() {
                return None;
            }
            let entries = std::iter::once(event).chain(&entry.others);
            ("posting", entries.filter_map(of_entry).collect())
        }
        EventData::MoneyDeposited(moved) if moved.transfer.is_some() => return None,
        EventData::MoneyDeposited(moved) => {
            let amount = moved.amount;
            (
                "deposit",
                vec![more(here, amount), less(Place::External, amount)],
            )
        }
        EventData::MoneyWithdrawn(moved) => {
            let amount = moved.amount;
            if let Some(credit) = entry.others.first() {
                let there = more(Place::Account(credit), amount);
                ("transfer", vec![less(here, amount), there])
            } else {
                let kind = match moved.hold {
                    Some(_) => "capture",
                    None => "withdrawal",
                };
                (
                    kind,
                    vec![less(here, amount), more(Place::External, amount)],
                )
            }
        }
        EventData::AccountFrozen(_)
        | EventData::AccountUnfrozen(_)
        | EventData::AccountClosed(_)
        | EventData::OverdraftLimitSet(_)
        | EventData::AccountUpdated(_)
        | EventData::AccountRulesSet(_)
        | EventData::HoldPlaced(_)
        | EventData::HoldReleased(_)
        | EventData::HoldExpired(_) => return None,
    };
    let kind = match event.data.reversal() {
        Some(_) => "reversal",
        None => kind,
    };
    Some(Transaction {
        kind,
        event,
        postings,
    })
}

/// What an entry of a posting does to its account.
fn of_entry(event: &Event) -> Option<Posting<'_>> {
    let here = Place::Account(event);
    match &event.data {
        EventData::MoneyDeposited(moved) => Some(more(here, moved.amount)),
        EventData::MoneyWithdrawn(moved) => Some(less(here, moved.amount)),
        _ => None,
    }
}

fn more(place: Place<'_>, amount: Money) -> Posting<'_> {
    let amount = Signed {
        is_less: false,
        amount,
    };
    Posting { place, amount }
}

fn less(place: Place<'_>, amount: Money) -> Posting<'_> {
    let amount = Signed {
        is_less: true,
        amount,
    };
    Posting { place, amount }
}

/// What an account was opened with, if this is the event that opened it.
pub(super) fn opening(event: &Event) -> Option<&AccountCreated> {
    match &event.data {
        EventData::AccountCreated(created) => Some(created),
        _ => None,
    }
}
