//! given / when / then for [`ledger::decide`], and commands that read like sentences.
//!
//! ```text
//! given([open("A", "100.00")])
//!     .when(withdraw("A", "30"))
//!     .then_events(["A v2 MoneyWithdrawn 30.00 USD, balance 70.00"]);
//! ```
//!
//! Every decision that passes through here is also held to what all of them promise: ids derived from the command's,
//! its words carried along, hashes that fit, and events that apply.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod random;

use std::collections::BTreeMap;

use ledger::{
    Account, AccountId, Action, Command, Conditions, CreateAccount, Deposit, Event, Rejection,
    RejectionCode, Timestamp, Transfer, Version, Withdraw, decide, parse_decimal,
};
use uuid::Uuid;

/// When the history of a scenario begins.
pub(crate) const MORNING: &str = "2026-01-31T08:00:00.000000Z";
/// What the clock shows when its command comes.
pub(crate) const NOON: &str = "2026-01-31T12:00:00.000000Z";

/// A command, and what the clock shows when it is decided.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) command: Command,
    at: Option<Timestamp>,
}

pub(crate) fn account_id(text: &str) -> AccountId {
    text.parse().expect("the test names an account")
}

pub(crate) fn timestamp(text: &str) -> Timestamp {
    text.parse().expect("the test names an instant")
}

/// Opens an account in USD; see [`Request::in_currency`] for others.
pub(crate) fn open(account: &str, initial_balance: &str) -> Request {
    request(Action::CreateAccount(CreateAccount {
        account_id: account_id(account),
        owner_name: format!("owner of {account}"),
        currency: "USD".parse().expect("USD is a currency"),
        initial_balance: decimal(initial_balance),
        overdraft_limit: decimal("0"),
    }))
}

pub(crate) fn deposit(account: &str, amount: &str) -> Request {
    request(Action::Deposit(Deposit {
        account_id: account_id(account),
        amount: decimal(amount),
        currency: None,
    }))
}

pub(crate) fn withdraw(account: &str, amount: &str) -> Request {
    request(Action::Withdraw(Withdraw {
        account_id: account_id(account),
        amount: decimal(amount),
        currency: None,
    }))
}

pub(crate) fn transfer(from: &str, to: &str, amount: &str) -> Request {
    request(Action::Transfer(Transfer {
        from_account_id: account_id(from),
        to_account_id: account_id(to),
        amount: decimal(amount),
        currency: None,
    }))
}

fn decimal(text: &str) -> rust_decimal::Decimal {
    parse_decimal(text).expect("the test names a decimal")
}

fn request(action: Action) -> Request {
    let command = Command {
        command_id: Uuid::nil().into(),
        action,
        description: None,
        actor: None,
        metadata: BTreeMap::new(),
        conditions: Conditions::default(),
    };
    Request { command, at: None }
}

impl Request {
    /// Gives the command the id `number`, unless the test has named it.
    fn numbered(mut self, number: usize) -> Self {
        let id = &mut self.command.command_id;
        if id.as_uuid().is_nil() {
            let number = u128::try_from(number).expect("a small number");
            *id = Uuid::from_u128(number).into();
        }
        self
    }

    pub(crate) fn named(mut self, command_id: &str) -> Self {
        self.command.command_id = command_id.parse().expect("the test names a command");
        self
    }

    pub(crate) fn in_currency(mut self, code: &str) -> Self {
        let code = code.parse().expect("the test names a currency code");
        match &mut self.command.action {
            Action::CreateAccount(action) => action.currency = code,
            Action::Deposit(action) => action.currency = Some(code),
            Action::Withdraw(action) => action.currency = Some(code),
            Action::Transfer(action) => action.currency = Some(code),
        }
        self
    }

    pub(crate) fn with_overdraft_limit(mut self, limit: &str) -> Self {
        if let Action::CreateAccount(action) = &mut self.command.action {
            action.overdraft_limit = decimal(limit);
        }
        self
    }

    pub(crate) fn expecting_version(mut self, version: u64) -> Self {
        self.command.conditions.expected_version = Some(Version::new(version));
        self
    }

    pub(crate) fn because(mut self, description: &str) -> Self {
        self.command.description = Some(description.to_owned());
        self
    }

    pub(crate) fn by(mut self, actor: &str) -> Self {
        self.command.actor = Some(actor.to_owned());
        self
    }

    pub(crate) fn noting(mut self, key: &str, value: &str) -> Self {
        let metadata = &mut self.command.metadata;
        metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn at(mut self, clock: &str) -> Self {
        self.at = Some(timestamp(clock));
        self
    }
}

/// Accounts as a history of accepted commands leaves them.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) accounts: BTreeMap<AccountId, Account>,
    pub(crate) events: Vec<Event>,
}

/// The history: commands that must all be accepted, a second apart unless they say when. The same history is the same
/// to the last hash.
pub(crate) fn given(history: impl IntoIterator<Item = Request>) -> Given {
    let mut given = Given {
        accounts: BTreeMap::new(),
        events: Vec::new(),
    };
    let mut clock = timestamp(MORNING);
    for (number, request) in (1..).zip(history) {
        let request = request.numbered(number);
        let now = request.at.unwrap_or(clock);
        let events = decide(&given.accounts, &request.command, now)
            .unwrap_or_else(|rejection| panic!("the history holds {request:?}: {rejection}"));
        given.record(&events);
        clock = Timestamp::from_unix_microseconds(clock.unix_microseconds() + 1_000_000);
    }
    given
}

impl Given {
    fn record(&mut self, events: &[Event]) {
        for event in events {
            let state = self.accounts.remove(&event.account_id);
            let account = Account::fold(state, event).expect("a decided event can be applied");
            self.accounts.insert(event.account_id.clone(), account);
        }
        self.events.extend_from_slice(events);
    }

    pub(crate) fn account(&self, name: &str) -> &Account {
        let account = self.accounts.get(&account_id(name));
        account.expect("the test's account exists")
    }

    pub(crate) fn when(self, request: Request) -> Decision {
        let request = request.numbered(1_000 + self.events.len());
        let now = request.at.unwrap_or(timestamp(NOON));
        let result = decide(&self.accounts, &request.command, now);
        let again = decide(&self.accounts, &request.command, now);
        assert_eq!(
            result, again,
            "the same accounts, command and time decide the same"
        );
        if let Ok(events) = &result {
            check_promises(&request.command, events);
        }
        Decision {
            given: self,
            request,
            result,
        }
    }
}

/// What every accepted command's events promise.
fn check_promises(command: &Command, events: &[Event]) {
    assert!(!events.is_empty(), "an accepted command makes events");
    for (index, event) in (0..).zip(events) {
        assert_eq!(event.event_id, command.command_id.event_id(index));
        assert_eq!(event.command_id, command.command_id);
        assert_eq!(event.actor, command.actor);
        assert_eq!(event.data.description(), command.description.as_deref());
        assert_eq!(event.data.metadata(), &command.metadata);
        assert_eq!(event.recorded_at, events[0].recorded_at);
        event.check_hash().expect("the hash is the event's own");
    }
}

/// What became of the scenario's command.
pub(crate) struct Decision {
    given: Given,
    request: Request,
    pub(crate) result: Result<Vec<Event>, Rejection>,
}

impl Decision {
    /// The command was accepted with these events, such as `A v2 MoneyWithdrawn 30.00 USD, balance 70.00`; gives the
    /// accounts as they are then.
    #[track_caller]
    pub(crate) fn then_events<const N: usize>(self, expected: [&str; N]) -> Given {
        match &self.result {
            Ok(events) => {
                let actual: Vec<String> = events.iter().map(summary).collect();
                assert_eq!(actual, expected, "the events of {:?}", self.request.command);
            }
            Err(rejection) => panic!("rejected: {rejection} ({:?})", self.request.command),
        }
        self.then_accepted()
    }

    /// The command was accepted; gives the accounts as they are then.
    #[track_caller]
    pub(crate) fn then_accepted(self) -> Given {
        let events = match self.result {
            Ok(events) => events,
            Err(rejection) => panic!("rejected: {rejection} ({:?})", self.request.command),
        };
        let mut given = self.given;
        given.record(&events);
        given
    }

    /// The command was refused with this code, these words and these figures; gives the accounts as they were.
    #[track_caller]
    pub(crate) fn then_rejected<const N: usize>(
        self,
        code: RejectionCode,
        message: &str,
        data: [(&str, &str); N],
    ) -> Given {
        let rejection = match self.result {
            Ok(events) => panic!(
                "accepted: {:?}",
                events.iter().map(summary).collect::<Vec<_>>()
            ),
            Err(rejection) => rejection,
        };
        assert_eq!(rejection.message, message);
        assert_eq!(rejection.code, code);
        let actual: Vec<(&str, &str)> = rejection
            .data
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut expected = data;
        expected.sort_unstable();
        assert_eq!(actual, expected);
        self.given
    }

    /// The command was refused with this code.
    #[track_caller]
    pub(crate) fn then_code(self, code: RejectionCode) {
        match self.result {
            Ok(events) => panic!(
                "accepted: {:?}",
                events.iter().map(summary).collect::<Vec<_>>()
            ),
            Err(rejection) => assert_eq!(rejection.code, code, "{rejection}"),
        }
    }
}

fn summary(event: &Event) -> String {
    format!(
        "{} v{} {} {} {}, balance {}",
        event.account_id,
        event.version,
        event.data.type_name(),
        event.data.amount(),
        event.currency(),
        event.balance_after
    )
}
