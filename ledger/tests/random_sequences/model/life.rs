//! An account's life, in the model.

use ledger::RejectionCode;

use super::rules::Change;
use super::{Book, Lines, Model, Rules, exponent_of, not_negative};
use crate::ask::{Amount, HOLDS, LARGEST, Reach};

impl Model {
    pub(super) fn open(
        &mut self,
        account: usize,
        currency: &'static str,
        (initial, overdraft): (Amount, Amount),
        at: i64,
    ) -> Lines {
        if self.known(account).is_some() {
            return Err(RejectionCode::AccountExists);
        }
        let exponent = exponent_of(currency).ok_or(RejectionCode::UnknownCurrency)?;
        let balance = not_negative(initial, exponent)?;
        let overdraft = not_negative(overdraft, exponent)?;
        if balance + overdraft > LARGEST {
            return Err(RejectionCode::AmountOverflow);
        }
        *self.from_outside.entry(currency).or_default() += balance;
        let book = Book {
            currency,
            exponent,
            balance,
            overdraft,
            debits_frozen: false,
            credits_frozen: false,
            closed: false,
            owner: 0,
            notes: 0,
            reason: None,
            holds: [None; HOLDS],
            rules: Rules::default(),
            today: None,
            version: 0,
            last_recorded_at: at,
        };
        self.books.insert(account, book);
        Ok(vec![self.line(
            account,
            "AccountCreated",
            Some(balance),
            at,
        )])
    }

    pub(super) fn freeze(&mut self, account: usize, reach: Reach, reason: u8, at: i64) -> Lines {
        let before = self.unclosed(account)?;
        let book = self.book_mut(account);
        book.debits_frozen |= reach.debits;
        book.credits_frozen |= reach.credits;
        if *book == before {
            return Err(RejectionCode::NoChange);
        }
        book.reason = Some(reason);
        Ok(vec![self.line(account, "AccountFrozen", None, at)])
    }

    pub(super) fn unfreeze(&mut self, account: usize, reach: Reach, at: i64) -> Lines {
        let before = self.unclosed(account)?;
        let book = self.book_mut(account);
        book.debits_frozen &= !reach.debits;
        book.credits_frozen &= !reach.credits;
        if *book == before {
            return Err(RejectionCode::NoChange);
        }
        if !book.debits_frozen && !book.credits_frozen {
            book.reason = None;
        }
        Ok(vec![self.line(account, "AccountUnfrozen", None, at)])
    }

    pub(super) fn close(&mut self, account: usize, sweep_to: Option<usize>, at: i64) -> Lines {
        if let Some(to) = sweep_to {
            self.check_two(account, to)?;
        }
        let book = self.unclosed(account)?;
        if book.debits_frozen || book.credits_frozen {
            return Err(RejectionCode::AccountFrozen);
        }
        let credited = sweep_to.map(|to| self.credited(to)).transpose()?;
        if book.held() > 0 {
            return Err(RejectionCode::HoldsOpen);
        }
        if credited.is_some_and(|credited| credited.currency != book.currency) {
            return Err(RejectionCode::CurrencyMismatch);
        }
        let mut lines = Vec::new();
        match (sweep_to, credited) {
            (Some(to), Some(_)) if book.balance > 0 => {
                lines = self.both(account, to, Change::Swept(book.balance), None, at)?;
            }
            _ if book.balance != 0 => return Err(RejectionCode::BalanceNotZero),
            _ => {}
        }
        self.book_mut(account).closed = true;
        lines.push(self.line(account, "AccountClosed", None, at));
        Ok(lines)
    }

    pub(super) fn limit(&mut self, account: usize, overdraft: Amount, at: i64) -> Lines {
        let book = self.unclosed(account)?;
        let overdraft = not_negative(overdraft, book.exponent)?;
        if overdraft == book.overdraft {
            return Err(RejectionCode::NoChange);
        }
        if book.balance + overdraft > LARGEST {
            return Err(RejectionCode::AmountOverflow);
        }
        if book.balance + overdraft < book.held() {
            return Err(RejectionCode::OverdraftInUse);
        }
        self.book_mut(account).overdraft = overdraft;
        Ok(vec![self.line(
            account,
            "OverdraftLimitSet",
            Some(overdraft),
            at,
        )])
    }

    pub(super) fn update(
        &mut self,
        account: usize,
        owner: Option<u8>,
        notes: Option<u8>,
        at: i64,
    ) -> Lines {
        let before = self.unclosed(account)?;
        let book = self.book_mut(account);
        book.owner = owner.unwrap_or(book.owner);
        book.notes = notes.unwrap_or(book.notes);
        if *book == before {
            return Err(RejectionCode::NoChange);
        }
        Ok(vec![self.line(account, "AccountUpdated", None, at)])
    }
}
