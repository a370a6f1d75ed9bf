//! All accounts of the event store, over and over: what the comparison walks along.
//!
//! A pass is a row of steps: some accounts at a time in the database's order of ids, then one step for the rows that
//! belong to no account. Then it rests, and begins anew. Where a pass stood is what the sink has kept ([`Place`]), so one
//! that was interrupted goes on there. Accounts that are opened behind the walk are met by the next pass.
//!
//! State: one step.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use engine::{Delivery, Failure, NothingToSettle, Opened, Resume, Source};
use futures::{StreamExt, stream};
use ledger::AccountId;
use store::EventStore;

/// How many accounts are one step: few enough that a step is short, and enough that a step's own cost does not matter.
const ACCOUNTS_AT_A_TIME: u32 = 100;
/// How long to rest after everything has been walked over.
const REST: Duration = Duration::from_secs(5);

/// A step of a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Walk {
    /// The next accounts.
    Accounts {
        /// The one before them; `None`: they are the first.
        after: Option<AccountId>,
        /// They, in the database's order; at least one.
        accounts: Vec<AccountId>,
    },
    /// All accounts have been walked over: what belongs to none of them. The last step of a pass.
    Remainder,
}

impl Walk {
    /// Where the pass stands when this step is done.
    pub fn place(&self) -> Place {
        match self {
            Self::Accounts { accounts, .. } => match accounts.last() {
                Some(last) => Place::Behind(last.clone()),
                None => Place::Begin,
            },
            Self::Remainder => Place::Begin,
        }
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
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin => Ok(()),
            Self::Behind(account_id) => formatter.write_str(account_id.as_str()),
        }
    }
}

impl FromStr for Place {
    type Err = ledger::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Ok(Self::Begin),
            account_id => account_id.parse().map(Self::Behind),
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
            next: Next::Accounts(place),
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

/// What comes next.
enum Next {
    Accounts(Place),
    /// A pass is over.
    Pause,
}

struct Walker {
    store: EventStore,
    position: u64,
    next: Next,
}

impl Walker {
    async fn next(&mut self) -> Result<Walk, Failure> {
        let place = match std::mem::replace(&mut self.next, Next::Pause) {
            Next::Accounts(place) => place,
            Next::Pause => {
                tokio::time::sleep(REST).await;
                Place::Begin
            }
        };
        let after = match place {
            Place::Begin => None,
            Place::Behind(account_id) => Some(account_id),
        };
        let heads = self
            .store
            .heads(after.as_ref(), ACCOUNTS_AT_A_TIME)
            .await
            .map_err(failure)?;
        if heads.is_empty() {
            return Ok(Walk::Remainder);
        }
        let accounts = heads.into_iter().map(|head| head.account_id).collect();
        let walk = Walk::Accounts { after, accounts };
        self.next = Next::Accounts(walk.place());
        Ok(walk)
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
    }
}
