//! Money that moves, in the model.

use ledger::RejectionCode;

use super::rules::Change;
use super::{Line, Lines, Model};
use crate::ask::Amount;

impl Model {
    pub(super) fn deposit(
        &mut self,
        account: usize,
        amount: Amount,
        currency: Option<&str>,
        at: i64,
    ) -> Lines {
        let book = self.credited(account)?;
        let units = book.moved(amount, currency)?;
        book.can_take(units)?;
        self.allow(account, None, Change::In(units), at)?;
        Ok(vec![self.credit(account, units, None, at)])
    }

    pub(super) fn withdraw(
        &mut self,
        account: usize,
        amount: Amount,
        currency: Option<&str>,
        at: i64,
    ) -> Lines {
        let book = self.debited(account)?;
        let units = book.moved(amount, currency)?;
        book.can_pay(units)?;
        self.allow(account, None, Change::Out(units), at)?;
        Ok(vec![self.counted(account, units, None, at)])
    }

    pub(super) fn transfer(
        &mut self,
        (from, to): (usize, usize),
        amount: Amount,
        currency: Option<&str>,
        at: i64,
    ) -> Lines {
        self.check_two(from, to)?;
        let (debited, credited) = (self.debited(from)?, self.credited(to)?);
        if debited.currency != credited.currency {
            return Err(RejectionCode::CurrencyMismatch);
        }
        let units = debited.moved(amount, currency)?;
        debited.can_pay(units)?;
        self.both(from, to, Change::Out(units), None, at)
    }

    /// The one that pays is looked at first, then the one that is paid.
    pub(super) fn both(
        &mut self,
        from: usize,
        to: usize,
        out: Change,
        hold: Option<usize>,
        at: i64,
    ) -> Lines {
        let units = out.units();
        self.allow(from, Some(to), out, at)?;
        self.book(to)?.can_take(units)?;
        self.allow(to, Some(from), Change::In(units), at)?;
        let first = match hold {
            Some(_) => self.debit(from, units, Some(to), hold, at),
            None => self.counted(from, units, Some(to), at),
        };
        let mut lines = vec![first, self.credit(to, units, Some(from), at)];
        for line in &mut lines {
            line.transfer = Some(0);
        }
        Ok(lines)
    }

    /// A debit that the account's rules count.
    pub(super) fn counted(
        &mut self,
        account: usize,
        units: i128,
        to: Option<usize>,
        at: i64,
    ) -> Line {
        self.count(account, units, at);
        self.debit(account, units, to, None, at)
    }

    pub(super) fn debit(
        &mut self,
        account: usize,
        units: i128,
        to: Option<usize>,
        hold: Option<usize>,
        at: i64,
    ) -> Line {
        let book = self.book_mut(account);
        book.balance -= units;
        let currency = book.currency;
        if to.is_none() {
            *self.from_outside.entry(currency).or_default() -= units;
        }
        if let Some(hold) = hold {
            self.hold_mut(account, hold).captured += units;
        }
        Line {
            counterparty: to,
            hold: hold.map(|hold| (hold, *self.hold_mut(account, hold))),
            ..self.line(account, "MoneyWithdrawn", Some(units), at)
        }
    }

    pub(super) fn credit(
        &mut self,
        account: usize,
        units: i128,
        from: Option<usize>,
        at: i64,
    ) -> Line {
        let book = self.book_mut(account);
        book.balance += units;
        let currency = book.currency;
        if from.is_none() {
            *self.from_outside.entry(currency).or_default() += units;
        }
        Line {
            counterparty: from,
            ..self.line(account, "MoneyDeposited", Some(units), at)
        }
    }
}
