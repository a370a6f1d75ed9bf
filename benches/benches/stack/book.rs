//! What fills an event store: commands made from their numbers alone, decided and appended by the writer as intake uses
//! it. So every row is what it would be in earnest: hashes, chain, command, outcome.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ledger::{AccountId, Action, Command, Conditions, CreateAccount, Deposit, Timestamp, Transfer};
use store::{EventStore, Processed, Writer};

/// How many commands are decided together.
pub(crate) const BATCH: usize = 2_000;
/// One transfer in so many is from or to the busy account.
const BUSY_EVERY: u64 = 10;

/// Accounts, and transfers between them: every tenth is from the first account or to it, the others are between accounts
/// chosen evenly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Book {
    pub(crate) accounts: u64,
    pub(crate) transfers: u64,
}

impl Book {
    /// About as many events as that, ten to an account.
    pub(crate) fn of_events(events: u64) -> Self {
        let accounts = (events / 10).max(2);
        Self {
            accounts,
            transfers: (events - accounts.min(events)) / 2,
        }
    }

    pub(crate) fn events(self) -> u64 {
        self.accounts + 2 * self.transfers
    }

    pub(crate) async fn fill(self, store: &EventStore, writer: &mut Writer) {
        let numbers = 1..=self.accounts + self.transfers;
        let events = append(store, writer, numbers, |number| self.command(number)).await;
        assert_eq!(events, self.events());
    }

    /// The first ones open the accounts.
    fn command(self, number: u64) -> Command {
        if number <= self.accounts {
            return open(number, account(number - 1));
        }
        let any = spread(number) % self.accounts;
        let mut other = spread(number + (1 << 40)) % self.accounts;
        let (from, to) = match number % (2 * BUSY_EVERY) {
            0 => (0, any),
            BUSY_EVERY => (any, 0),
            _ => (any, other),
        };
        // Nobody transfers to himself.
        other = if from == to {
            (to + 1) % self.accounts
        } else {
            to
        };
        transfer(number, account(from), account(other))
    }
}

/// Has the writer decide and append these commands, all of which are accepted. Answers with the number of their events.
pub(crate) async fn append(
    store: &EventStore,
    writer: &mut Writer,
    numbers: RangeInclusive<u64>,
    command: impl Fn(u64) -> Command,
) -> u64 {
    let mut events = 0;
    let numbers: Vec<u64> = numbers.collect();
    for numbers in numbers.chunks(BATCH) {
        let commands: Vec<Command> = numbers.iter().map(|number| command(*number)).collect();
        let now = store.now().await.expect("it answers");
        events += process(writer, &commands, now).await;
    }
    events
}

/// One batch, all of which is accepted. Answers with the number of its events.
pub(crate) async fn process(writer: &mut Writer, commands: &[Command], now: Timestamp) -> u64 {
    let processed = writer.process(commands, &|| now).await;
    let events = |processed: &Processed| match processed {
        Processed::Committed { events, .. } if !events.is_empty() => events.len() as u64,
        other => panic!("{other:?}"),
    };
    let processed = processed.expect("the event store takes it");
    processed.iter().map(events).sum()
}

pub(crate) fn account(index: u64) -> AccountId {
    format!("ACC-{index:07}").parse().expect("it is an id")
}

/// Opens an account with a million in it.
pub(crate) fn open(number: u64, account_id: AccountId) -> Command {
    command(
        number,
        Action::CreateAccount(CreateAccount {
            account_id,
            owner_name: format!("Owner {number}"),
            currency: "USD".parse().expect("it is a code"),
            initial_balance: 1_000_000.into(),
            overdraft_limit: 0.into(),
        }),
    )
}

pub(crate) fn deposit(number: u64, account_id: AccountId) -> Command {
    command(
        number,
        Action::Deposit(Deposit {
            account_id,
            amount: 7.into(),
            currency: None,
        }),
    )
}

fn transfer(number: u64, from_account_id: AccountId, to_account_id: AccountId) -> Command {
    command(
        number,
        Action::Transfer(Transfer {
            from_account_id,
            to_account_id,
            amount: 2.into(),
            currency: None,
        }),
    )
}

fn command(number: u64, action: Action) -> Command {
    Command {
        command_id: uuid::Uuid::from_u64_pair(spread(number), number).into(),
        action,
        description: Some("Riverbank Properties, paying the rent".to_owned()),
        actor: Some("teller-3".to_owned()),
        metadata: BTreeMap::new(),
        conditions: Conditions::default(),
        effective_at: None,
    }
}

/// Spreads numbers as random ones are, the same in each run: the last step of splitmix64.
pub(crate) fn spread(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
