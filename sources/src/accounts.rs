//! All accounts of the event store, over and over: what the comparison walks along.
//!
//! A pass is a row of steps: some accounts at a time in the database's order of ids, then what belongs to no account, part
//! by part. Then it rests, and begins anew. Where a pass stood is what the sink has kept ([`Place`]), so one that was
//! interrupted goes on there. Accounts that are opened behind the walk are met by the next pass.
//!
//! State: one step.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use engine::{Delivery, Failure, NothingToSettle, Opened, Resume, Source};
use futures::{StreamExt, stream};
use ledger::AccountId;
use store::{EventStore, Head};

/// How many accounts are one step at most.
const ACCOUNTS_AT_A_TIME: u32 = 100;
/// How many events they have together at most, unless one has more by itself: what an interruption does again.
const EVENTS_AT_A_TIME: u64 = 10_000;
/// How long to rest after everything has been walked over.
const REST: Duration = Duration::from_secs(5);

/// A step of a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Walk {
    /// The next accounts.
    Accounts {
        /// The one before them; `None`: they are the first.
        after: Option<AccountId>,
        /// They, in the database's order, with their newest versions; at least one.
        heads: Vec<Head>,
    },
    /// All accounts have been walked over: a part of what belongs to none of them.
    Remainder(Part),
}

/// What belongs to no single account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Sums over all accounts: first, for they are gathered on the walk, and are lost with the process.
    Totals,
    /// Rows of accounts, and the versions that count as applied.
    Accounts,
    /// Lines.
    Transactions,
    /// Transfers.
    Transfers,
    /// Holds.
    Holds,
}

impl Part {
    /// All, in the order in which they come.
    pub const ALL: [Self; 5] = [
        Self::Totals,
        Self::Accounts,
        Self::Transactions,
        Self::Transfers,
        Self::Holds,
    ];

    /// As [`Place`] shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Totals => "totals",
            Self::Accounts => "accounts",
            Self::Transactions => "transactions",
            Self::Transfers => "transfers",
            Self::Holds => "holds",
        }
    }

    fn next(self) -> Option<Self> {
        let mut parts = Self::ALL.into_iter().skip_while(|part| *part != self);
        parts.nth(1)
    }
}

impl Walk {
    /// Where the pass stands when this step is done.
    pub fn place(&self) -> Place {
        match self {
            Self::Accounts { heads, .. } => match heads.last() {
                Some(last) => Place::Behind(last.account_id.clone()),
                None => Place::Begin,
            },
            Self::Remainder(part) => match part.next() {
                Some(_) => Place::Done(*part),
                None => Place::Begin,
            },
        }
    }

    /// Whether a pass is over with this step.
    pub fn is_last(&self) -> bool {
        self.place() == Place::Begin
    }
}

/// Where a pass stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Place {
    /// Nothing of it is done.
    #[default]
    Begin,
    /// Everything up to and including this account is done.
    Behind(AccountId),
    /// All accounts are done, and the remainder up to and including this part.
    Done(Part),
}

/// Stands before a part, as it can stand in no account's id.
const PART: char = '*';

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin => Ok(()),
            Self::Behind(account_id) => formatter.write_str(account_id.as_str()),
            Self::Done(part) => write!(formatter, "{PART}{}", part.as_str()),
        }
    }
}

impl FromStr for Place {
    type Err = ledger::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let part = text.strip_prefix(PART);
        let part = part.and_then(|name| Part::ALL.into_iter().find(|part| part.as_str() == name));
        match part {
            Some(part) => Ok(Self::Done(part)),
            None if text.is_empty() => Ok(Self::Begin),
            None => text.parse().map(Self::Behind),
        }
    }
}

/// The source.
pub struct Accounts {
    store: EventStore,
}

impl Accounts {
    /// A source over this event store.
    pub fn new(store: EventStore) -> Self {
        Self { store }
    }
}

impl Source for Accounts {
    type Item = Walk;

    async fn open(self, resume: Option<Resume>) -> Result<Opened<Walk>, Failure> {
        let (position, mark) = resume.map_or((0, None), |resume| (resume.position, resume.mark));
        let place = mark.unwrap_or_default().parse().map_err(|error| {
            Failure::fatal("the place where the comparison stood is no account").because(error)
        })?;
        let walker = Walker {
            store: self.store,
            position,
            place,
            rests: false,
        };
        let deliveries = stream::try_unfold(walker, |mut walker| async {
            let item = walker.next().await?;
            walker.position += 1;
            let delivery = Delivery {
                position: walker.position,
                origin: None,
                item,
            };
            Ok(Some((delivery, walker)))
        });
        Ok(Opened {
            deliveries: deliveries.boxed(),
            settler: Box::new(NothingToSettle),
        })
    }

    fn describe(&self) -> String {
        format!("event store, all accounts again and again, {ACCOUNTS_AT_A_TIME} at a time")
    }
}

struct Walker {
    store: EventStore,
    position: u64,
    place: Place,
    /// A pass is over.
    rests: bool,
}

impl Walker {
    async fn next(&mut self) -> Result<Walk, Failure> {
        if self.rests {
            tokio::time::sleep(REST).await;
        }
        let walk = match &self.place {
            Place::Begin => self.accounts(None).await?,
            Place::Behind(account_id) => self.accounts(Some(account_id.clone())).await?,
            Place::Done(part) => Walk::Remainder(part.next().unwrap_or(Part::ALL[0])),
        };
        self.place = walk.place();
        self.rests = walk.is_last();
        Ok(walk)
    }

    async fn accounts(&self, after: Option<AccountId>) -> Result<Walk, Failure> {
        let mut heads = self
            .store
            .heads(after.as_ref(), ACCOUNTS_AT_A_TIME)
            .await
            .map_err(failure)?;
        if heads.is_empty() {
            return Ok(Walk::Remainder(Part::ALL[0]));
        }
        let mut events = 0;
        let fit = heads.iter().take_while(|head| {
            events += head.version.get();
            events <= EVENTS_AT_A_TIME
        });
        let fit = fit.count().max(1);
        heads.truncate(fit);
        Ok(Walk::Accounts { after, heads })
    }
}

fn failure(error: store::Error) -> Failure {
    let failure = if error.is_transient() {
        Failure::retry
    } else {
        Failure::fatal
    };
    failure("the event store cannot be asked for its accounts".to_owned()).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_as_it_was_kept() {
        let places = [Place::Begin, Place::Behind("ACC-1".parse().expect("an id"))];
        for place in places {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        assert!("*".parse::<Place>().is_err());
    }

    #[test]
    fn the_parts_come_one_after_the_other_and_end_the_pass() {
        let mut part = Part::ALL[0];
        for expected in &Part::ALL[1..] {
            assert_eq!(Walk::Remainder(part).place(), Place::Done(part));
            part = part.next().expect("one more");
            assert_eq!(part, *expected);
        }
        assert!(Walk::Remainder(part).is_last());
    }
}
