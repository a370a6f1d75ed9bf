//! Money that is moved back, in the model: of each accepted command, who paid, who got it, and how much of it is back.

use ledger::RejectionCode;

use super::{Line, Lines, Model, Undone};
use crate::ask::{Amount, Ask, Terms};

/// What an accepted command moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moved {
    pub(crate) ask: Ask,
    pub(crate) paid: Option<usize>,
    pub(crate) got: Option<usize>,
    pub(crate) units: i128,
    pub(crate) back: i128,
    /// Whether it was the last capture of a hold, and some of the hold was left.
    pub(crate) released: bool,
}

impl Moved {
    fn by(ask: Ask, lines: &[Line]) -> Self {
        let on = |what| lines.iter().find(|line| line.what == what);
        let (debit, credit) = (on("MoneyWithdrawn"), on("MoneyDeposited"));
        Self {
            ask,
            paid: debit.map(|line| line.account),
            got: credit.map(|line| line.account),
            units: debit.or(credit).and_then(|line| line.amount).unwrap_or(0),
            back: 0,
            released: on("HoldReleased").is_some(),
        }
    }

    pub(crate) fn rest(&self) -> i128 {
        self.units - self.back
    }

    /// By what it asked for, whatever came of it.
    pub(crate) fn is_reversible(&self) -> bool {
        matches!(
            self.ask,
            Ask::Deposit { .. } | Ask::Withdraw { .. } | Ask::Transfer { .. } | Ask::Capture { .. }
        )
    }
}

impl Model {
    /// [`Self::process`], and keeps what was moved under the command's number, so that it can be reversed.
    pub(crate) fn process_named(&mut self, id: u64, ask: Ask, terms: Terms, now: i64) -> Lines {
        let lines = self.process(ask, terms, now)?;
        self.moved.insert(id, Moved::by(ask, &lines));
        Ok(lines)
    }

    /// What the command with that number moved, if it was sent to that account.
    pub(crate) fn moved_by(&self, account: usize, command: u64) -> Option<Moved> {
        let moved = self.moved.get(&command).copied()?;
        (moved.ask.account() == account).then_some(moved)
    }

    /// The accounts besides the one that it names which a command concerns: those of the command that it reverses.
    pub(super) fn concerned(&self, ask: Ask) -> [Option<usize>; 2] {
        let Ask::Reverse {
            account, command, ..
        } = ask
        else {
            return [None; 2];
        };
        let moved = self.moved_by(account, command);
        moved.map_or([None; 2], |moved| [moved.paid, moved.got])
    }

    pub(super) fn reverse(
        &mut self,
        (account, command): (usize, u64),
        amount: Option<Amount>,
        reason: u8,
        at: i64,
    ) -> Lines {
        let book = self.unclosed(account)?;
        let moved = self
            .moved_by(account, command)
            .ok_or(RejectionCode::CommandNotFound)?;
        if !moved.is_reversible() {
            return Err(RejectionCode::NotReversible);
        }
        let taken_from = moved.got.map(|got| self.debited(got)).transpose()?;
        let given_to = moved.paid.map(|paid| self.credited(paid)).transpose()?;
        if moved.rest() == 0 {
            return Err(RejectionCode::AlreadyReversed);
        }
        let units = amount.map_or(Ok(moved.rest()), |amount| book.positive(amount))?;
        if units > moved.rest() {
            return Err(RejectionCode::AmountExceedsRest);
        }
        if let Some(taken_from) = taken_from {
            let covered = taken_from.can_pay(units);
            covered.map_err(|_| RejectionCode::ReversalUncovered)?;
        }
        if let Some(given_to) = given_to {
            given_to.can_take(units)?;
        }
        let mut lines = match (moved.got, moved.paid) {
            (Some(got), Some(paid)) => self.both(got, paid, units, None, at),
            (Some(got), None) => vec![self.debit(got, units, None, None, at)],
            (None, Some(paid)) => vec![self.credit(paid, units, None, at)],
            (None, None) => unreachable!("each of the four moves money"),
        };
        let back = moved.back + units;
        if let Some(moved) = self.moved.get_mut(&command) {
            moved.back = back;
        }
        for line in &mut lines {
            line.undone = Some(Undone {
                command,
                back,
                reason,
            });
        }
        Ok(lines)
    }
}
