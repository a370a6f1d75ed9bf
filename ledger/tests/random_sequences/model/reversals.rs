//! Money that is moved back, in the model: of each accepted command, what it moved, and how much of it is back.

use std::collections::BTreeMap;

use ledger::RejectionCode;

use super::combined::index;
use super::rules::Change;
use super::{Line, Lines, Model, Undone};
use crate::ask::{Amount, Ask, LARGEST, Terms};

/// What an accepted command moved.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moved {
    pub(crate) ask: Ask,
    pub(crate) movements: Vec<Movement>,
    /// How much is back on the account that it was sent to.
    pub(crate) back: i128,
    /// Whether it was the last capture of a hold, and some of the hold was left.
    pub(crate) released: bool,
}

/// One line that moved money.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Movement {
    pub(crate) account: usize,
    pub(crate) came_in: bool,
    pub(crate) units: i128,
    pub(crate) counterparty: Option<usize>,
    transfer: Option<u32>,
    pub(crate) posting: Option<u32>,
}

impl Movement {
    fn of(line: &Line) -> Option<Self> {
        let came_in = line.what == "MoneyDeposited";
        let is_movement = came_in || line.what == "MoneyWithdrawn";
        is_movement.then_some(Self {
            account: line.account,
            came_in,
            units: line.amount.unwrap_or(0),
            counterparty: line.counterparty,
            transfer: line.transfer,
            posting: line.posting,
        })
    }
}

impl Moved {
    fn by(ask: &Ask, lines: &[Line]) -> Self {
        Self {
            ask: ask.clone(),
            movements: lines.iter().filter_map(Movement::of).collect(),
            back: 0,
            released: lines.iter().any(|line| line.what == "HoldReleased"),
        }
    }

    fn account_of(&self, came_in: bool) -> Option<usize> {
        let mut movements = self.movements.iter();
        let movement = movements.find(|movement| movement.came_in == came_in)?;
        Some(movement.account)
    }

    /// The first that had less.
    pub(crate) fn paid(&self) -> Option<usize> {
        self.account_of(false)
    }

    /// The first that had more.
    pub(crate) fn got(&self) -> Option<usize> {
        self.account_of(true)
    }

    /// What can go back on the account that it was sent to: the one amount that it moved, or all of them together.
    pub(crate) fn units(&self) -> i128 {
        let sent_to = self.ask.account();
        let movements = self.movements.iter();
        let own = movements.filter(|movement| movement.account == sent_to);
        own.map(|movement| movement.units).sum()
    }

    pub(crate) fn rest(&self) -> i128 {
        self.units() - self.back
    }

    /// By what it asked for, whatever came of it.
    pub(crate) fn is_reversible(&self) -> bool {
        self.ask.moves_money()
    }

    /// Whether a part of it can go back.
    pub(crate) fn is_divisible(&self) -> bool {
        self.ask.moves_once()
    }
}

impl Model {
    /// [`Self::process`], and keeps what was moved under the command's number, so that it can be reversed.
    pub(crate) fn process_named(&mut self, id: u64, ask: &Ask, terms: Terms, now: i64) -> Lines {
        let lines = self.process(ask, terms, now)?;
        self.moved.insert(id, Moved::by(ask, &lines));
        Ok(lines)
    }

    /// What the command with that number moved, if it was sent to that account.
    pub(crate) fn moved_by(&self, account: usize, command: u64) -> Option<&Moved> {
        let moved = self.moved.get(&command)?;
        (moved.ask.account() == account).then_some(moved)
    }

    pub(super) fn reverse(
        &mut self,
        (account, command): (usize, u64),
        amount: Option<Amount>,
        reason: u8,
        at: i64,
    ) -> Lines {
        self.unclosed(account)?;
        let moved = self
            .moved_by(account, command)
            .cloned()
            .ok_or(RejectionCode::CommandNotFound)?;
        if !moved.is_reversible() {
            return Err(RejectionCode::NotReversible);
        }
        for movement in moved.movements.iter().rev() {
            if movement.came_in {
                self.debited(movement.account)?;
            } else {
                self.credited(movement.account)?;
            }
        }
        let part = self.part_to_reverse(&moved, amount)?;
        self.check_sides_back(&moved.movements)?;
        let (mut lines, mut sums) = (Vec::new(), BTreeMap::new());
        let (mut transfer, mut posting) = (None, None);
        for movement in moved.movements.iter().rev() {
            let (units, before) = part.map_or((movement.units, 0), |part| (part, moved.back));
            let back = sums.entry(movement.account).or_insert(before);
            *back += units;
            let first = index(lines.len());
            lines.push(Line {
                undone: Some(Undone {
                    command,
                    back: *back,
                    reason,
                }),
                transfer: same_or_new(&mut transfer, movement.transfer, first),
                posting: same_or_new(&mut posting, movement.posting, first),
                ..self.move_back(movement, units, *back, at)?
            });
        }
        if let Some(moved) = self.moved.get_mut(&command) {
            moved.back = sums[&account];
        }
        Ok(lines)
    }

    /// How much of the one amount that was moved goes back; `None` for all of several.
    fn part_to_reverse(
        &self,
        moved: &Moved,
        amount: Option<Amount>,
    ) -> Result<Option<i128>, RejectionCode> {
        if !moved.is_divisible() {
            return match amount {
                _ if moved.back > 0 => Err(RejectionCode::AlreadyReversed),
                Some(_) => Err(RejectionCode::NotReversible),
                None => Ok(None),
            };
        }
        if moved.rest() == 0 {
            return Err(RejectionCode::AlreadyReversed);
        }
        let book = self.book(moved.ask.account())?;
        let units = amount.map_or(Ok(moved.rest()), |amount| book.positive(amount))?;
        if units > moved.rest() {
            return Err(RejectionCode::AmountExceedsRest);
        }
        Ok(Some(units))
    }

    fn move_back(
        &mut self,
        movement: &Movement,
        units: i128,
        back: i128,
        at: i64,
    ) -> Result<Line, RejectionCode> {
        let book = self.book(movement.account)?;
        if movement.came_in {
            let covered = book.can_pay(units);
            covered.map_err(|_| RejectionCode::ReversalUncovered)?;
        }
        if back > LARGEST {
            return Err(RejectionCode::AmountOverflow);
        }
        let (account, counterparty) = (movement.account, movement.counterparty);
        if movement.came_in {
            self.allow(account, counterparty, Change::Back(units), at)?;
            return Ok(self.debit(account, units, counterparty, None, at));
        }
        book.can_take(units)?;
        self.allow(account, counterparty, Change::In(units), at)?;
        Ok(self.credit(account, units, counterparty, at))
    }
}

/// Lines that belong together and stand side by side do so on the way back, too: what `old` is there is named after the
/// first of them.
fn same_or_new(last: &mut Option<(u32, u32)>, old: Option<u32>, first: u32) -> Option<u32> {
    let old = old?;
    let (_, new) = *last
        .filter(|(same, _)| *same == old)
        .get_or_insert((old, first));
    *last = Some((old, new));
    Some(new)
}
