//! Money that is held, in the model.

use ledger::RejectionCode;

use super::rules::Change;
use super::{Held, Lines, Model};
use crate::ask::Amount;

impl Model {
    /// `reserved` says how a hold of so many units begins.
    pub(super) fn place_hold(
        &mut self,
        (account, hold): (usize, usize),
        amount: Amount,
        currency: Option<&str>,
        reserved: impl Fn(i128) -> Held,
        at: i64,
    ) -> Lines {
        let book = self.debited(account)?;
        if book.holds[hold].is_some() {
            return Err(RejectionCode::HoldExists);
        }
        if reserved(0).is_over(at) {
            return Err(RejectionCode::HoldExpired);
        }
        let units = book.moved(amount, currency)?;
        book.can_pay(units)?;
        self.allow(account, None, Change::Held(units), at)?;
        self.count(account, units, at);
        self.book_mut(account).holds[hold] = Some(reserved(units));
        Ok(vec![self.hold_line(account, "HoldPlaced", units, hold, at)])
    }

    pub(super) fn capture(
        &mut self,
        (account, hold): (usize, usize),
        amount: Option<Amount>,
        is_final: bool,
        to: Option<usize>,
        at: i64,
    ) -> Lines {
        if let Some(to) = to {
            self.check_two(account, to)?;
        }
        let book = self.debited(account)?;
        let credited = to.map(|to| self.credited(to)).transpose()?;
        let reserved = book.open_hold(hold)?;
        if reserved.is_over(at) {
            return Err(RejectionCode::HoldExpired);
        }
        if credited.is_some_and(|credited| credited.currency != book.currency) {
            return Err(RejectionCode::CurrencyMismatch);
        }
        let units = book.part_of(reserved, amount)?;
        let mut lines = match to {
            Some(to) => self.both(account, to, Change::Taken(units), Some(hold), at)?,
            None => vec![self.debit(account, units, None, Some(hold), at)],
        };
        let rest = reserved.remaining() - units;
        if is_final && rest > 0 {
            self.hold_mut(account, hold).released += rest;
            lines.push(self.hold_line(account, "HoldReleased", rest, hold, at));
        }
        Ok(lines)
    }

    pub(super) fn release(
        &mut self,
        account: usize,
        hold: usize,
        amount: Option<Amount>,
        at: i64,
    ) -> Lines {
        let book = self.unclosed(account)?;
        let reserved = book.open_hold(hold)?;
        let units = book.part_of(reserved, amount)?;
        self.hold_mut(account, hold).released += units;
        Ok(vec![self.hold_line(
            account,
            "HoldReleased",
            units,
            hold,
            at,
        )])
    }

    pub(super) fn expire(&mut self, account: usize, hold: usize, at: i64) -> Lines {
        let reserved = self.unclosed(account)?.open_hold(hold)?;
        if !reserved.is_over(at) {
            return Err(RejectionCode::HoldNotDue);
        }
        let units = reserved.remaining();
        self.hold_mut(account, hold).expired += units;
        Ok(vec![self.hold_line(
            account,
            "HoldExpired",
            units,
            hold,
            at,
        )])
    }
}
