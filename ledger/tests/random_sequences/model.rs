//! The ledger once more, as simply as it can be said: whole numbers of minor units, no decimals, no events, no types of
//! the crate but the words for rejections. What `decide` does is judged by it.

use std::collections::BTreeMap;

use ledger::RejectionCode;

/// How many accounts a sequence plays with.
pub(crate) const ACCOUNTS: usize = 4;
/// The largest number of minor units that the ledger keeps.
pub(crate) const LARGEST: i128 = 10_i128.pow(27) - 1;

/// `digits` × 10^-`scale`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) digits: i128,
    pub(crate) scale: u32,
}

/// What a command asks for; accounts are numbers below [`ACCOUNTS`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ask {
    Open {
        account: usize,
        currency: &'static str,
        initial: Amount,
        overdraft: Amount,
    },
    Deposit {
        account: usize,
        amount: Amount,
        currency: Option<&'static str>,
    },
    Withdraw {
        account: usize,
        amount: Amount,
        currency: Option<&'static str>,
    },
    Transfer {
        from: usize,
        to: usize,
        amount: Amount,
        currency: Option<&'static str>,
    },
}

/// Two amounts are the same when they are the same number.
impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        let without_zeros = |amount: &Self| {
            let (mut digits, mut scale) = (amount.digits, amount.scale);
            while scale > 0 && digits % 10 == 0 {
                digits /= 10;
                scale -= 1;
            }
            (digits, scale)
        };
        without_zeros(self) == without_zeros(other)
    }
}

/// An account in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Book {
    pub(crate) currency: &'static str,
    pub(crate) exponent: u32,
    pub(crate) balance: i128,
    pub(crate) overdraft: i128,
    pub(crate) version: u64,
    pub(crate) last_recorded_at: i64,
}

/// One event as the model sees it: positive comes in, negative goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) account: usize,
    pub(crate) version: u64,
    pub(crate) change: i128,
    pub(crate) balance: i128,
    pub(crate) recorded_at: i64,
    pub(crate) counterparty: Option<usize>,
}

/// All accounts, and what has come in from outside and gone out by currency.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) books: [Option<Book>; ACCOUNTS],
    pub(crate) from_outside: BTreeMap<&'static str, i128>,
}

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

impl Book {
    fn moved(&self, amount: Amount, currency: Option<&str>) -> Result<i128, RejectionCode> {
        if currency.is_some_and(|code| code != self.currency) {
            return Err(RejectionCode::CurrencyMismatch);
        }
        match minor_units(amount, self.exponent)? {
            units if units > 0 => Ok(units),
            _ => Err(RejectionCode::InvalidAmount),
        }
    }

    fn can_pay(&self, units: i128) -> Result<(), RejectionCode> {
        if self.balance + self.overdraft >= units {
            Ok(())
        } else {
            Err(RejectionCode::InsufficientFunds)
        }
    }

    fn can_hold(&self, units: i128) -> Result<(), RejectionCode> {
        if self.balance + units + self.overdraft <= LARGEST {
            Ok(())
        } else {
            Err(RejectionCode::AmountOverflow)
        }
    }
}

impl Model {
    /// Does what is asked, or says why not and changes nothing.
    pub(crate) fn process(
        &mut self,
        ask: Ask,
        expected_version: Option<u64>,
        now: i64,
    ) -> Result<Vec<Line>, RejectionCode> {
        let first = match ask {
            Ask::Open { account, .. }
            | Ask::Deposit { account, .. }
            | Ask::Withdraw { account, .. } => account,
            Ask::Transfer { from, .. } => from,
        };
        if let Some(expected) = expected_version {
            let actual = self.books[first].map_or(0, |book| book.version);
            if actual != expected {
                let missed = actual == 0 && !matches!(ask, Ask::Open { .. });
                return Err(if missed {
                    RejectionCode::AccountNotFound
                } else {
                    RejectionCode::VersionConflict
                });
            }
        }
        match ask {
            Ask::Open {
                account,
                currency,
                initial,
                overdraft,
            } => self.open(account, currency, initial, overdraft, now),
            Ask::Deposit {
                account,
                amount,
                currency,
            } => {
                let book = self.book(account)?;
                let units = book.moved(amount, currency)?;
                book.can_hold(units)?;
                *self.from_outside.entry(book.currency).or_default() += units;
                let recorded_at = now.max(book.last_recorded_at + 1);
                Ok(vec![self.change(account, units, recorded_at, None)])
            }
            Ask::Withdraw {
                account,
                amount,
                currency,
            } => {
                let book = self.book(account)?;
                let units = book.moved(amount, currency)?;
                book.can_pay(units)?;
                *self.from_outside.entry(book.currency).or_default() -= units;
                let recorded_at = now.max(book.last_recorded_at + 1);
                Ok(vec![self.change(account, -units, recorded_at, None)])
            }
            Ask::Transfer {
                from,
                to,
                amount,
                currency,
            } => {
                if from == to {
                    return Err(RejectionCode::SameAccount);
                }
                let (debited, credited) = (self.book(from)?, self.book(to)?);
                if debited.currency != credited.currency {
                    return Err(RejectionCode::CurrencyMismatch);
                }
                let units = debited.moved(amount, currency)?;
                debited.can_pay(units)?;
                credited.can_hold(units)?;
                let recorded_at = now
                    .max(debited.last_recorded_at + 1)
                    .max(credited.last_recorded_at + 1);
                Ok(vec![
                    self.change(from, -units, recorded_at, Some(to)),
                    self.change(to, units, recorded_at, Some(from)),
                ])
            }
        }
    }

    fn open(
        &mut self,
        account: usize,
        currency: &'static str,
        initial: Amount,
        overdraft: Amount,
        now: i64,
    ) -> Result<Vec<Line>, RejectionCode> {
        if self.books[account].is_some() {
            return Err(RejectionCode::AccountExists);
        }
        let exponent = exponent_of(currency).ok_or(RejectionCode::UnknownCurrency)?;
        let not_negative = |amount| match minor_units(amount, exponent)? {
            units if units < 0 => Err(RejectionCode::InvalidAmount),
            units => Ok(units),
        };
        let balance = not_negative(initial)?;
        let overdraft = not_negative(overdraft)?;
        if balance + overdraft > LARGEST {
            return Err(RejectionCode::AmountOverflow);
        }
        *self.from_outside.entry(currency).or_default() += balance;
        self.books[account] = Some(Book {
            currency,
            exponent,
            balance: 0,
            overdraft,
            version: 0,
            last_recorded_at: now,
        });
        Ok(vec![self.change(account, balance, now, None)])
    }

    fn book(&self, account: usize) -> Result<Book, RejectionCode> {
        self.books[account].ok_or(RejectionCode::AccountNotFound)
    }

    fn change(
        &mut self,
        account: usize,
        change: i128,
        recorded_at: i64,
        counterparty: Option<usize>,
    ) -> Line {
        let book = self.books[account]
            .as_mut()
            .expect("the caller has seen it");
        book.balance += change;
        book.version += 1;
        book.last_recorded_at = recorded_at;
        Line {
            account,
            version: book.version,
            change,
            balance: book.balance,
            recorded_at,
            counterparty,
        }
    }
}
