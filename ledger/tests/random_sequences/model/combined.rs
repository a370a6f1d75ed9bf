//! Postings, batches and exchanges, in the model: all of it or nothing.

use std::collections::BTreeMap;

use ledger::RejectionCode;

use super::rules::Change;
use super::{Book, Line, Lines, Model, date};
use crate::ask::{Amount, Ask, Entry, LARGEST, Part, Price};

/// What of a command a refusal is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The command of a batch.
    pub(crate) part: Option<usize>,
    /// The entry of a posting.
    pub(crate) entry: Option<usize>,
}

/// What a refusal puts back.
struct Saved {
    books: Vec<(usize, Option<Book>)>,
    from_outside: BTreeMap<&'static str, i128>,
    back: Vec<(u64, i128)>,
}

/// The number of a line among those of its command.
pub(super) fn index(number: usize) -> u32 {
    u32::try_from(number).expect("a command has few lines")
}

impl Model {
    /// What a command changes step by step is put back when a later step is refused.
    pub(super) fn all_or_nothing(&mut self, ask: &Ask, at: i64) -> Lines {
        if !matches!(
            ask,
            Ask::Post { .. } | Ask::Batch { .. } | Ask::Reverse { .. } | Ask::Exchange { .. }
        ) {
            return self.act(ask, at);
        }
        let saved = self.saved(ask);
        let done = self.act(ask, at);
        if done.is_err() {
            self.put_back(saved);
        }
        done
    }

    fn saved(&self, ask: &Ask) -> Saved {
        let accounts = self.concerned(ask).into_iter();
        let back = reversed_by(ask).into_iter();
        Saved {
            books: accounts
                .map(|account| (account, self.known(account).copied()))
                .collect(),
            from_outside: self.from_outside.clone(),
            back: back
                .filter_map(|command| Some((command, self.moved.get(&command)?.back)))
                .collect(),
        }
    }

    fn put_back(&mut self, saved: Saved) {
        for (account, book) in saved.books {
            match book {
                Some(book) => self.books.insert(account, book),
                None => self.books.remove(&account),
            };
        }
        self.from_outside = saved.from_outside;
        for (command, back) in saved.back {
            let moved = self.moved.get_mut(&command).expect("it was there before");
            moved.back = back;
        }
    }

    /// Every account that a command is about: that it names, or that the command that it reverses moved money on.
    pub(super) fn concerned(&self, ask: &Ask) -> Vec<usize> {
        match ask {
            Ask::Batch { parts } => {
                let parts = parts.iter();
                parts.flat_map(|part| self.concerned(&part.ask)).collect()
            }
            Ask::Post { entries } => entries.iter().map(|entry| entry.account).collect(),
            Ask::Exchange {
                from,
                to,
                taker,
                giver,
                ..
            } => vec![*from, *taker, *giver, *to],
            Ask::Reverse {
                account, command, ..
            } => {
                let moved = self.moved_by(*account, *command).into_iter();
                let movements = moved.flat_map(|moved| &moved.movements);
                let accounts = movements.map(|movement| movement.account);
                std::iter::once(*account).chain(accounts).collect()
            }
            ask => std::iter::once(ask.account()).chain(ask.other()).collect(),
        }
    }

    /// All entries are looked at before the sums are, and the sums before any money moves.
    pub(super) fn post(&mut self, entries: &[Entry], at: i64) -> Lines {
        let mut units = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            let known = self.units_of(entry);
            units.push(known.map_err(|code| self.refuse_entry(number, code))?);
        }
        let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
        for (entry, (currency, units)) in entries.iter().zip(&units) {
            *sums.entry(currency).or_default() += if entry.is_debit { -units } else { *units };
        }
        if sums.values().any(|sum| *sum != 0) {
            return Err(RejectionCode::Unbalanced);
        }
        let sides: Vec<_> = entries.iter().map(|it| (it.account, it.is_debit)).collect();
        if let Some(number) = self.stranger(&sides) {
            return Err(self.refuse_entry(number, RejectionCode::CounterpartyNotAllowed));
        }
        let mut lines = Vec::new();
        for (number, (entry, (_, units))) in entries.iter().zip(units).enumerate() {
            let line = self.enter(entry.account, entry.is_debit, units, at);
            let line = line.map_err(|code| self.refuse_entry(number, code))?;
            lines.push(Line {
                posting: Some(0),
                ..line
            });
        }
        Ok(lines)
    }

    fn units_of(&self, entry: &Entry) -> Result<(&'static str, i128), RejectionCode> {
        let book = if entry.is_debit {
            self.debited(entry.account)?
        } else {
            self.credited(entry.account)?
        };
        let units = book.moved(entry.amount, entry.currency)?;
        Ok((book.currency, units))
    }

    /// What a posting moves comes from no outside: its lines make up for each other.
    fn enter(
        &mut self,
        account: usize,
        is_debit: bool,
        units: i128,
        at: i64,
    ) -> Result<Line, RejectionCode> {
        let book = self.book(account)?;
        if is_debit {
            book.can_pay(units)?;
            self.allow(account, None, Change::Out(units), at)?;
            Ok(self.counted(account, units, None, at))
        } else {
            book.can_take(units)?;
            self.allow(account, None, Change::In(units), at)?;
            Ok(self.credit(account, units, None, at))
        }
    }

    /// From the first to the second, in one currency, and from the third to the fourth in another.
    pub(super) fn exchange(
        &mut self,
        accounts: [usize; 4],
        amount: Amount,
        price: Price,
        at: i64,
    ) -> Lines {
        let [from, taker, giver, to] = accounts;
        for (paying, paid) in [(from, taker), (giver, to)] {
            self.check_two(paying, paid)?;
            self.debited(paying)?;
            self.credited(paid)?;
        }
        let (sold, bought) = (self.book(from)?, self.book(to)?);
        if self.book(taker)?.currency != sold.currency
            || self.book(giver)?.currency != bought.currency
        {
            return Err(RejectionCode::CurrencyMismatch);
        }
        if sold.currency == bought.currency {
            return Err(RejectionCode::SameCurrency);
        }
        let units = sold.positive(amount)?;
        let worth = match price {
            Price::ToAmount(worth) => bought.positive(worth)?,
            Price::Rate(rate) => worth(units, sold.exponent, rate, bought.exponent)?,
        };
        let entries = [
            (from, true, units),
            (taker, false, units),
            (giver, true, worth),
            (to, false, worth),
        ];
        let sides = entries.map(|(account, is_debit, _)| (account, is_debit));
        if self.stranger(&sides).is_some() {
            return Err(RejectionCode::CounterpartyNotAllowed);
        }
        let mut lines = Vec::new();
        for (account, is_debit, units) in entries {
            let line = self.enter(account, is_debit, units, at)?;
            lines.push(Line {
                posting: Some(0),
                ..line
            });
        }
        Ok(lines)
    }

    fn refuse_entry(&mut self, number: usize, code: RejectionCode) -> RejectionCode {
        self.refused.entry = Some(number);
        code
    }

    /// One after the other, all at the same instant.
    pub(super) fn batch(&mut self, parts: &[Part], at: i64) -> Lines {
        let mut all: Vec<Line> = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            self.refused.part = Some(number);
            self.check_terms(&part.ask, part.terms, at)?;
            let mut lines = self.act(&part.ask, at)?;
            date(&mut lines, part.terms);
            let first = index(all.len());
            all.extend(lines.into_iter().map(|line| Line {
                transfer: line.transfer.map(|transfer| first + transfer),
                posting: line.posting.map(|posting| first + posting),
                part: Some(index(number)),
                ..line
            }));
        }
        Ok(all)
    }

    /// These accounts alone, and what some of the newest commands moved that had been sent to them: to try something out.
    pub(crate) fn only(&self, accounts: &[usize], newest: usize) -> Self {
        let known = accounts.iter().filter_map(|account| {
            let book = self.known(*account)?;
            Some((*account, *book))
        });
        let moved = self.moved.iter().rev().take(newest);
        let moved = moved.filter(|(_, moved)| accounts.contains(&moved.ask.account()));
        Self {
            books: known.collect(),
            moved: moved.map(|(id, moved)| (*id, moved.clone())).collect(),
            ..Self::default()
        }
    }
}

/// Half to even, in whole numbers: twice the rest against the divisor.
fn worth(units: i128, from: u32, rate: Amount, to: u32) -> Result<i128, RejectionCode> {
    if rate.digits <= 0 {
        return Err(RejectionCode::InvalidAmount);
    }
    let product = units
        .checked_mul(rate.digits)
        .ok_or(RejectionCode::AmountOverflow)?;
    let decimals = from + rate.scale;
    let worth = if decimals <= to {
        product
            .checked_mul(10_i128.pow(to - decimals))
            .ok_or(RejectionCode::AmountOverflow)?
    } else {
        let divisor = 10_i128.pow(decimals - to);
        let (whole, rest) = (product / divisor, product % divisor);
        let half = divisor / 2;
        whole + i128::from(rest > half || (rest == half && whole % 2 == 1))
    };
    match worth {
        0 => Err(RejectionCode::InvalidAmount),
        worth if worth > LARGEST => Err(RejectionCode::AmountOverflow),
        worth => Ok(worth),
    }
}

fn reversed_by(ask: &Ask) -> Vec<u64> {
    match ask {
        Ask::Batch { parts } => {
            let parts = parts.iter();
            parts.flat_map(|part| reversed_by(&part.ask)).collect()
        }
        Ask::Reverse { command, .. } => vec![*command],
        _ => Vec::new(),
    }
}
