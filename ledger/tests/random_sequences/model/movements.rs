//! Money that moves, in the model.

use ledger::RejectionCode;

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
        Ok(vec![self.debit(account, units, None, None, at)])
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
        credited.can_take(units)?;
        Ok(self.both(from, to, units, None, at))
    }

    pub(super) fn both(
        &mut self,
        from: usize,
        to: usize,
        units: i128,
        hold: Option<usize>,
        at: i64,
    ) -> Vec<Line> {
        let mut lines = vec![
            self.debit(from, units, Some(to), hold, at),
            self.credit(to, units, Some(from), at),
        ];
        for line in &mut lines {
            line.transfer = Some(0);
        }
        lines
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
