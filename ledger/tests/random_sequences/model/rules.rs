//! The rules of accounts, in the model.

use ledger::RejectionCode;

use super::reversals::Movement;
use super::{Book, Lines, Model, minor_units, not_negative};
use crate::ask::{Allowed, LARGEST, Limits};

/// A day, in microseconds.
pub(crate) const DAY: i64 = 24 * 3_600 * 1_000_000;

/// What an account must obey, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rules {
    pub(crate) minimum: Option<i128>,
    pub(crate) maximum: Option<i128>,
    pub(crate) daily_amount: Option<i128>,
    pub(crate) daily_count: Option<u32>,
    pub(crate) allowed: Option<Allowed>,
}

impl Rules {
    /// Whether what leaves the account is counted.
    pub(crate) fn count_days(&self) -> bool {
        self.daily_amount.is_some() || self.daily_count.is_some()
    }

    pub(crate) fn allow(&self, other: usize) -> bool {
        self.allowed
            .is_none_or(|allowed| allowed.accounts().any(|one| one == other))
    }
}

/// What has left an account on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Today {
    /// Days since 1970.
    pub(crate) day: i64,
    pub(crate) units: i128,
    pub(crate) count: u32,
}

/// What is to happen to an account, for its rules.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    In(i128),
    Out(i128),
    /// Out, for it had come in by a command that is moved back.
    Back(i128),
    /// Out, for the account is closed.
    Swept(i128),
    /// Out, and was held.
    Taken(i128),
    Held(i128),
}

impl Change {
    pub(super) fn units(self) -> i128 {
        let (Self::In(units)
        | Self::Out(units)
        | Self::Back(units)
        | Self::Swept(units)
        | Self::Taken(units)
        | Self::Held(units)) = self;
        units
    }

    /// Whether it uses up something of the day, whatever the rules say of that.
    fn is_counted(self) -> bool {
        matches!(self, Self::Out(_) | Self::Swept(_) | Self::Held(_))
    }
}

impl Book {
    /// What this day has seen so far.
    pub(crate) fn on_day(&self, at: i64) -> (i128, u32) {
        let day = at.div_euclid(DAY);
        match self.today {
            Some(today) if today.day == day => (today.units, today.count),
            _ => (0, 0),
        }
    }
}

impl Model {
    pub(super) fn set_rules(&mut self, account: usize, limits: &Limits, at: i64) -> Lines {
        let book = self.unclosed(account)?;
        let daily_amount = limits
            .daily_amount
            .map(|amount| not_negative(amount, book.exponent));
        let daily_amount = daily_amount.transpose()?;
        let of = |amount: Option<_>| {
            amount
                .map(|amount| minor_units(amount, book.exponent))
                .transpose()
        };
        let (maximum, minimum) = (of(limits.maximum)?, of(limits.minimum)?);
        if maximum
            .zip(minimum)
            .is_some_and(|(most, least)| most < least)
        {
            return Err(RejectionCode::InvalidAmount);
        }
        let rules = Rules {
            minimum,
            maximum,
            daily_amount,
            daily_count: limits.daily_count,
            allowed: limits.allowed,
        };
        if rules == book.rules {
            return Err(RejectionCode::NoChange);
        }
        let book = self.book_mut(account);
        book.rules = rules;
        if !rules.count_days() {
            book.today = None;
        }
        Ok(vec![self.line(account, "AccountRulesSet", None, at)])
    }

    /// Whether the account's rules allow it; `other` is where it comes from or goes to.
    pub(super) fn allow(
        &self,
        account: usize,
        other: Option<usize>,
        change: Change,
        at: i64,
    ) -> Result<(), RejectionCode> {
        let book = self.book(account)?;
        let (rules, units) = (book.rules, change.units());
        let (spent, times) = book.on_day(at);
        let is_counted = rules.count_days() && change.is_counted();
        if is_counted && spent + units > LARGEST {
            return Err(RejectionCode::AmountOverflow);
        }
        if other.is_some_and(|other| !rules.allow(other)) {
            return Err(RejectionCode::CounterpartyNotAllowed);
        }
        match change {
            Change::In(_) => match rules.maximum {
                Some(most) if book.balance + units > most => {
                    Err(RejectionCode::AboveMaximumBalance)
                }
                _ => Ok(()),
            },
            Change::Swept(_) | Change::Taken(_) => Ok(()),
            Change::Out(_) | Change::Back(_) | Change::Held(_) => {
                let left = book.balance - book.held() - units;
                if rules.minimum.is_some_and(|least| left < least) {
                    return Err(RejectionCode::BelowMinimumBalance);
                }
                if !is_counted {
                    return Ok(());
                }
                if rules.daily_amount.is_some_and(|most| spent + units > most) {
                    return Err(RejectionCode::DailyAmountExceeded);
                }
                if rules.daily_count.is_some_and(|most| times >= most) {
                    return Err(RejectionCode::DailyCountExceeded);
                }
                Ok(())
            }
        }
    }

    /// The day has seen one more.
    pub(super) fn count(&mut self, account: usize, units: i128, at: i64) {
        let book = self.book_mut(account);
        if book.rules.count_days() {
            let (spent, times) = book.on_day(at);
            book.today = Some(Today {
                day: at.div_euclid(DAY),
                units: spent + units,
                count: times + 1,
            });
        }
    }

    /// The place of the first whose rules do not allow one on the other side: accounts, and whether they pay.
    pub(super) fn stranger(&self, sides: &[(usize, bool)]) -> Option<usize> {
        sides.iter().position(|(account, pays)| {
            let rules = self.known(*account).map(|book| book.rules);
            let mut others = sides
                .iter()
                .filter(|(other, other_pays)| other_pays != pays && other != account);
            rules.is_some_and(|rules| others.any(|(other, _)| !rules.allow(*other)))
        })
    }

    /// The entries of each posting that is moved back stand for one another, as they did.
    pub(super) fn check_sides_back(&self, movements: &[Movement]) -> Result<(), RejectionCode> {
        for first in movements.iter().filter(|one| one.posting.is_some()) {
            let of_it = movements.iter().filter(|one| one.posting == first.posting);
            let sides: Vec<_> = of_it.map(|one| (one.account, one.came_in)).collect();
            if self.stranger(&sides).is_some() {
                return Err(RejectionCode::CounterpartyNotAllowed);
            }
        }
        Ok(())
    }
}
