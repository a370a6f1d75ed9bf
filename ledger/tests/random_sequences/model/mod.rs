//! The ledger once more, as simply as it can be said: whole numbers of minor units, no decimals, no events, no types of
//! the crate but the words for rejections. What `decide` does is judged by it.

mod combined;
mod holds;
mod life;
mod movements;
mod reversals;
mod rules;

use std::collections::BTreeMap;

use ledger::RejectionCode;

pub(crate) use combined::Refused;
pub(crate) use reversals::Moved;
pub(crate) use rules::{DAY, Rules, Today};

use crate::ask::{Amount, Ask, HOLDS, LARGEST, Terms};

/// How far a business date may be from the time of recording, in microseconds: 366 days.
pub(crate) const EFFECTIVE_MAX: i64 = 366 * 24 * 3_600 * 1_000_000;

/// An account in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Book {
    pub(crate) currency: &'static str,
    pub(crate) exponent: u32,
    pub(crate) balance: i128,
    pub(crate) overdraft: i128,
    pub(crate) debits_frozen: bool,
    pub(crate) credits_frozen: bool,
    pub(crate) closed: bool,
    pub(crate) owner: u8,
    pub(crate) notes: u8,
    pub(crate) reason: Option<u8>,
    pub(crate) holds: [Option<Held>; HOLDS],
    pub(crate) rules: Rules,
    /// What has left it on the last day on which anything has, while its rules say that this is counted.
    pub(crate) today: Option<Today>,
    pub(crate) version: u64,
    pub(crate) last_recorded_at: i64,
}

/// A hold in the model: where its money went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) amount: i128,
    pub(crate) captured: i128,
    pub(crate) released: i128,
    pub(crate) expired: i128,
    pub(crate) expires_at: Option<i64>,
}

impl Held {
    pub(crate) fn remaining(&self) -> i128 {
        self.amount - self.captured - self.released - self.expired
    }

    fn is_over(&self, at: i64) -> bool {
        self.expires_at.is_some_and(|end| at >= end)
    }
}

/// One event as the model sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) account: usize,
    pub(crate) version: u64,
    pub(crate) what: &'static str,
    pub(crate) amount: Option<i128>,
    pub(crate) balance: i128,
    pub(crate) held: i128,
    pub(crate) recorded_at: i64,
    pub(crate) counterparty: Option<usize>,
    pub(crate) hold: Option<(usize, Held)>,
    pub(crate) undone: Option<Undone>,
    pub(crate) effective_at: Option<i64>,
    /// The place of the transfer's first half among all lines of the command, and of the posting's first entry.
    pub(crate) transfer: Option<u32>,
    pub(crate) posting: Option<u32>,
    /// Which command of a batch it is of.
    pub(crate) part: Option<u32>,
}

/// What changed the balance of an account, by how much, and when: by the clock and by the books.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) account: usize,
    pub(crate) units: i128,
    pub(crate) recorded_at: i64,
    pub(crate) effective_at: i64,
}

/// What a line moves back: of which command, how much of it by then, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Undone {
    pub(crate) command: u64,
    pub(crate) back: i128,
    pub(crate) reason: u8,
}

/// All accounts, and what has come in from outside and gone out by currency.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    /// By the accounts' numbers.
    books: BTreeMap<usize, Book>,
    pub(crate) from_outside: BTreeMap<&'static str, i128>,
    /// What each accepted command moved, by the commands' numbers; see [`Model::process_named`].
    pub(crate) moved: BTreeMap<u64, Moved>,
    /// Everything that changed a balance, in the order in which it happened.
    pub(crate) entries: Vec<Entry>,
    /// Which command of a batch, and which entry of a posting, the newest refusal was about.
    pub(crate) refused: Refused,
}

type Lines = Result<Vec<Line>, RejectionCode>;

/// The decimals of the currencies that the sequences use; the others are none.
pub(crate) fn exponent_of(currency: &str) -> Option<u32> {
    match currency {
        "JPY" => Some(0),
        "USD" | "EUR" => Some(2),
        "BHD" => Some(3),
        "CLF" => Some(4),
        _ => None,
    }
}

fn minor_units(amount: Amount, exponent: u32) -> Result<i128, RejectionCode> {
    if amount.scale > exponent {
        return Err(RejectionCode::InvalidAmount);
    }
    let units = amount.digits * 10_i128.pow(exponent - amount.scale);
    if units.abs() > LARGEST {
        return Err(RejectionCode::AmountOverflow);
    }
    Ok(units)
}

fn not_negative(amount: Amount, exponent: u32) -> Result<i128, RejectionCode> {
    match minor_units(amount, exponent)? {
        units if units < 0 => Err(RejectionCode::InvalidAmount),
        units => Ok(units),
    }
}

impl Book {
    /// As the ledger calls it.
    pub(crate) fn status(&self) -> &'static str {
        match (self.closed, self.debits_frozen, self.credits_frozen) {
            (true, _, _) => "closed",
            (_, true, true) => "frozen",
            (_, true, false) => "debits_frozen",
            (_, false, true) => "credits_frozen",
            (_, false, false) => "active",
        }
    }

    pub(crate) fn held(&self) -> i128 {
        self.holds.iter().flatten().map(Held::remaining).sum()
    }

    fn positive(&self, amount: Amount) -> Result<i128, RejectionCode> {
        match minor_units(amount, self.exponent)? {
            units if units > 0 => Ok(units),
            _ => Err(RejectionCode::InvalidAmount),
        }
    }

    fn moved(&self, amount: Amount, currency: Option<&str>) -> Result<i128, RejectionCode> {
        if currency.is_some_and(|code| code != self.currency) {
            return Err(RejectionCode::CurrencyMismatch);
        }
        self.positive(amount)
    }

    fn can_pay(&self, units: i128) -> Result<(), RejectionCode> {
        if self.balance + self.overdraft - self.held() >= units {
            Ok(())
        } else {
            Err(RejectionCode::InsufficientFunds)
        }
    }

    fn can_take(&self, units: i128) -> Result<(), RejectionCode> {
        if self.balance + units + self.overdraft <= LARGEST {
            Ok(())
        } else {
            Err(RejectionCode::AmountOverflow)
        }
    }

    fn open_hold(&self, hold: usize) -> Result<Held, RejectionCode> {
        let reserved = self.holds[hold].ok_or(RejectionCode::HoldNotFound)?;
        if reserved.remaining() > 0 {
            Ok(reserved)
        } else {
            Err(RejectionCode::HoldClosed)
        }
    }

    /// What is meant by so much of a hold.
    fn part_of(&self, reserved: Held, amount: Option<Amount>) -> Result<i128, RejectionCode> {
        let units = amount.map_or(Ok(reserved.remaining()), |amount| self.positive(amount))?;
        if units > reserved.remaining() {
            return Err(RejectionCode::AmountExceedsHold);
        }
        Ok(units)
    }
}

/// What moves money has the business date of its command.
fn date(lines: &mut [Line], terms: Terms) {
    for line in lines {
        if line.what.starts_with("Money") && terms.effective_at.is_some() {
            line.effective_at = terms.effective_at;
        }
    }
}

impl Model {
    /// An account; `None` when it has not been opened.
    pub(crate) fn known(&self, account: usize) -> Option<&Book> {
        self.books.get(&account)
    }

    /// When the command would be recorded.
    pub(crate) fn recorded_at(&self, ask: &Ask, now: i64) -> i64 {
        let concerned = self.concerned(ask).into_iter();
        let known = concerned.filter_map(|account| self.known(account));
        known.fold(now, |at, book| at.max(book.last_recorded_at + 1))
    }

    /// Does what is asked, or says why not and changes nothing.
    pub(crate) fn process(&mut self, ask: &Ask, terms: Terms, now: i64) -> Lines {
        let at = self.recorded_at(ask, now);
        self.refused = Refused::default();
        self.check_terms(ask, terms, at)?;
        let mut lines = self.all_or_nothing(ask, at)?;
        date(&mut lines, terms);
        for line in &lines {
            let Some(units) = line.amount else { continue };
            let units = match line.what {
                "AccountCreated" | "MoneyDeposited" => units,
                "MoneyWithdrawn" => -units,
                _ => continue,
            };
            self.entries.push(Entry {
                account: line.account,
                units,
                recorded_at: at,
                effective_at: line.effective_at.unwrap_or(at),
            });
        }
        Ok(lines)
    }

    /// What was in the account at one instant by the books, as it was known at another by the clock.
    pub(crate) fn balance_by_date(&self, account: usize, effective: i64, known: i64) -> i128 {
        self.entries
            .iter()
            .filter(|entry| entry.account == account)
            .filter(|entry| entry.recorded_at <= known && entry.effective_at <= effective)
            .map(|entry| entry.units)
            .sum()
    }

    /// What is asked, without its terms. After a refusal some of it may be done.
    fn act(&mut self, ask: &Ask, at: i64) -> Lines {
        match *ask {
            Ask::Open {
                account,
                currency,
                initial,
                overdraft,
            } => self.open(account, currency, (initial, overdraft), at),
            Ask::Deposit {
                account,
                amount,
                currency,
            } => self.deposit(account, amount, currency, at),
            Ask::Withdraw {
                account,
                amount,
                currency,
            } => self.withdraw(account, amount, currency, at),
            Ask::Transfer {
                from,
                to,
                amount,
                currency,
            } => self.transfer((from, to), amount, currency, at),
            Ask::Freeze {
                account,
                reach,
                reason,
            } => self.freeze(account, reach, reason, at),
            Ask::Unfreeze { account, reach, .. } => self.unfreeze(account, reach, at),
            Ask::Close { account, sweep_to } => self.close(account, sweep_to, at),
            Ask::Limit { account, overdraft } => self.limit(account, overdraft, at),
            Ask::Update {
                account,
                owner,
                notes,
            } => self.update(account, owner, notes, at),
            Ask::Hold {
                account,
                hold,
                amount,
                currency,
                expires_at,
            } => {
                let reserved = |units| Held {
                    amount: units,
                    captured: 0,
                    released: 0,
                    expired: 0,
                    expires_at,
                };
                self.place_hold((account, hold), amount, currency, reserved, at)
            }
            Ask::Capture {
                account,
                hold,
                amount,
                is_final,
                to,
            } => self.capture((account, hold), amount, is_final, to, at),
            Ask::Release {
                account,
                hold,
                amount,
            } => self.release(account, hold, amount, at),
            Ask::Expire { account, hold } => self.expire(account, hold, at),
            Ask::Reverse {
                account,
                command,
                amount,
                reason,
            } => self.reverse((account, command), amount, reason, at),
            Ask::Post { ref entries } => self.post(entries, at),
            Ask::Batch { ref parts } => self.batch(parts, at),
            Ask::Exchange {
                from,
                to,
                taker,
                giver,
                amount,
                price,
            } => self.exchange([from, taker, giver, to], amount, price, at),
            Ask::Rules {
                account,
                ref limits,
            } => self.set_rules(account, limits, at),
        }
    }

    fn check_terms(&self, ask: &Ask, terms: Terms, at: i64) -> Result<(), RejectionCode> {
        let first = self.known(ask.account());
        if terms.expires_at.is_some_and(|over| at >= over) {
            return Err(RejectionCode::Expired);
        }
        if terms.not_before.is_some_and(|begin| at < begin) {
            return Err(RejectionCode::TooEarly);
        }
        if let Some(effective_at) = terms.effective_at
            && (effective_at < at - EFFECTIVE_MAX || effective_at > at + EFFECTIVE_MAX)
        {
            return Err(RejectionCode::EffectiveAtOutOfWindow);
        }
        if let Some(expected) = terms.expected_version {
            let actual = first.map_or(0, |book| book.version);
            if actual != expected {
                let missed = actual == 0 && !matches!(ask, Ask::Open { .. });
                return Err(if missed {
                    RejectionCode::AccountNotFound
                } else {
                    RejectionCode::VersionConflict
                });
            }
        }
        if let Some(least) = terms.balance_at_least {
            let book = first.ok_or(RejectionCode::AccountNotFound)?;
            if book.balance < minor_units(least, book.exponent)? {
                return Err(RejectionCode::BalanceCondition);
            }
        }
        Ok(())
    }

    fn check_two(&self, from: usize, to: usize) -> Result<(), RejectionCode> {
        if from == to {
            return Err(RejectionCode::SameAccount);
        }
        self.book(from)?;
        self.book(to).map(drop)
    }

    fn book(&self, account: usize) -> Result<Book, RejectionCode> {
        self.known(account)
            .copied()
            .ok_or(RejectionCode::AccountNotFound)
    }

    fn unclosed(&self, account: usize) -> Result<Book, RejectionCode> {
        let book = self.book(account)?;
        if book.closed {
            return Err(RejectionCode::AccountClosed);
        }
        Ok(book)
    }

    fn debited(&self, account: usize) -> Result<Book, RejectionCode> {
        let book = self.unclosed(account)?;
        if book.debits_frozen {
            return Err(RejectionCode::AccountFrozen);
        }
        Ok(book)
    }

    fn credited(&self, account: usize) -> Result<Book, RejectionCode> {
        let book = self.unclosed(account)?;
        if book.credits_frozen {
            return Err(RejectionCode::AccountFrozen);
        }
        Ok(book)
    }

    fn book_mut(&mut self, account: usize) -> &mut Book {
        self.books.get_mut(&account).expect("the caller saw it")
    }

    fn hold_mut(&mut self, account: usize, hold: usize) -> &mut Held {
        let reserved = self.book_mut(account).holds[hold].as_mut();
        reserved.expect("the caller saw it")
    }

    fn hold_line(
        &mut self,
        account: usize,
        what: &'static str,
        units: i128,
        hold: usize,
        at: i64,
    ) -> Line {
        Line {
            hold: Some((hold, *self.hold_mut(account, hold))),
            ..self.line(account, what, Some(units), at)
        }
    }

    /// The next line of the account, as its book is now.
    fn line(&mut self, account: usize, what: &'static str, amount: Option<i128>, at: i64) -> Line {
        let book = self.book_mut(account);
        book.version += 1;
        book.last_recorded_at = at;
        Line {
            account,
            version: book.version,
            what,
            amount,
            balance: book.balance,
            held: book.held(),
            recorded_at: at,
            counterparty: None,
            hold: None,
            undone: None,
            effective_at: None,
            transfer: None,
            posting: None,
            part: None,
        }
    }
}
