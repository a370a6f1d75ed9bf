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

use std::collections::{BTreeMap, HashMap};

use ledger::{
    Account, AccountId, Accounts, Action, Batch, Book, Capture, CloseAccount, Command, CommandId,
    Conditions, CreateAccount, Deposit, Direction, Entry, Event, Exchange, ExpireHold,
    FreezeAccount, Hold, HoldId, Money, Original, PlaceHold, Policy, Post, Price, Rejection,
    RejectionCode, Release, Reverse, Rules, Scope, SetAccountRules, SetOverdraftLimit, Sum,
    Timestamp, Transfer, UnfreezeAccount, UpdateAccount, Version, Withdraw, decide, parse_decimal,
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

/// Exchanges money through the accounts `USD` and `EUR`.
pub(crate) fn exchange(from: &str, to: &str, amount: &str, price: Price) -> Request {
    request(Action::Exchange(Exchange {
        from_account_id: account_id(from),
        to_account_id: account_id(to),
        from_clearing_account_id: account_id("USD"),
        to_clearing_account_id: account_id("EUR"),
        amount: decimal(amount),
        price,
    }))
}

/// Freezes an account for the reason `audit`; see [`Request::reasoning`] for others.
pub(crate) fn freeze(account: &str, scope: Scope) -> Request {
    request(Action::FreezeAccount(FreezeAccount {
        account_id: account_id(account),
        scope,
        reason: "audit".to_owned(),
    }))
}

pub(crate) fn unfreeze(account: &str, scope: Scope) -> Request {
    request(Action::UnfreezeAccount(UnfreezeAccount {
        account_id: account_id(account),
        scope,
        reason: None,
    }))
}

pub(crate) fn close(account: &str) -> Request {
    request(Action::CloseAccount(CloseAccount {
        account_id: account_id(account),
        sweep_to_account_id: None,
    }))
}

/// Closes an account, what is left in it going to another.
pub(crate) fn sweep(account: &str, to: &str) -> Request {
    request(Action::CloseAccount(CloseAccount {
        account_id: account_id(account),
        sweep_to_account_id: Some(account_id(to)),
    }))
}

pub(crate) fn set_overdraft_limit(account: &str, limit: &str) -> Request {
    request(Action::SetOverdraftLimit(SetOverdraftLimit {
        account_id: account_id(account),
        overdraft_limit: decimal(limit),
    }))
}

/// No rules at all; see [`Request::minimum`] and those behind it for some.
pub(crate) fn rules(account: &str) -> Request {
    request(Action::SetAccountRules(SetAccountRules {
        account_id: account_id(account),
        rules: Rules::default(),
    }))
}

pub(crate) fn rename(account: &str, owner_name: &str) -> Request {
    request(Action::UpdateAccount(UpdateAccount {
        account_id: account_id(account),
        owner_name: Some(owner_name.to_owned()),
        account_metadata: None,
    }))
}

/// Replaces the account's own metadata.
pub(crate) fn describe<const N: usize>(account: &str, entries: [(&str, &str); N]) -> Request {
    request(Action::UpdateAccount(UpdateAccount {
        account_id: account_id(account),
        owner_name: None,
        account_metadata: Some(texts(entries)),
    }))
}

/// Reserves money on an account; the hold's id is the number.
pub(crate) fn hold(account: &str, number: u128, amount: &str) -> Request {
    request(Action::Hold(PlaceHold {
        account_id: account_id(account),
        hold_id: hold_id(number),
        amount: decimal(amount),
        currency: None,
        hold_expires_at: None,
    }))
}

/// Takes all that a hold still holds; see [`Request::only`], [`Request::at_last`] and [`Request::to`].
pub(crate) fn capture(account: &str, number: u128) -> Request {
    request(Action::Capture(Capture {
        account_id: account_id(account),
        hold_id: hold_id(number),
        amount: None,
        is_final: false,
        to_account_id: None,
    }))
}

/// Gives back all that a hold still holds; see [`Request::only`].
pub(crate) fn release(account: &str, number: u128) -> Request {
    request(Action::Release(Release {
        account_id: account_id(account),
        hold_id: hold_id(number),
        amount: None,
    }))
}

pub(crate) fn expire_hold(account: &str, number: u128) -> Request {
    request(Action::ExpireHold(ExpireHold {
        account_id: account_id(account),
        hold_id: hold_id(number),
    }))
}

/// Moves back all that the command with that number has moved and that has not been moved back yet; see
/// [`Request::only`] and [`Request::reasoning`]. The commands of a history are numbered from 1 on; one that comes later gets its number from
/// [`Request::number`].
pub(crate) fn reverse(account: &str, number: u128) -> Request {
    request(Action::Reverse(Reverse {
        account_id: account_id(account),
        reversed_command_id: command_id(number),
        amount: None,
        reason: "mistake".to_owned(),
    }))
}

/// What an account has less in a posting.
pub(crate) fn debit(account: &str, amount: &str) -> Entry {
    entry(account, Direction::Debit, amount)
}

/// What an account has more in a posting.
pub(crate) fn credit(account: &str, amount: &str) -> Entry {
    entry(account, Direction::Credit, amount)
}

fn entry(account: &str, direction: Direction, amount: &str) -> Entry {
    Entry {
        account_id: account_id(account),
        direction,
        amount: decimal(amount),
        currency: None,
    }
}

/// Moves money between any number of accounts at once.
pub(crate) fn post(entries: impl IntoIterator<Item = Entry>) -> Request {
    let entries = entries.into_iter().collect();
    request(Action::Post(Post { entries }))
}

/// Several commands at once; they get the id and the actor of the batch.
pub(crate) fn batch(requests: impl IntoIterator<Item = Request>) -> Request {
    let commands = requests.into_iter().map(|request| request.command);
    request(Action::Batch(Batch {
        commands: commands.collect(),
    }))
}

pub(crate) fn command_id(number: u128) -> CommandId {
    Uuid::from_u128(number).into()
}

pub(crate) fn hold_id(number: u128) -> HoldId {
    Uuid::from_u128(number).into()
}

pub(crate) fn texts<const N: usize>(entries: [(&str, &str); N]) -> BTreeMap<String, String> {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
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
        effective_at: None,
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
        self.shared()
    }

    /// What the commands of a batch have of the batch.
    fn shared(mut self) -> Self {
        let (command_id, actor) = (self.command.command_id, self.command.actor.clone());
        if let Action::Batch(batch) = &mut self.command.action {
            for part in &mut batch.commands {
                part.command_id = command_id;
                part.actor.clone_from(&actor);
            }
        }
        self
    }

    /// Gives the command a number, by which it can be reversed.
    pub(crate) fn number(mut self, number: u128) -> Self {
        self.command.command_id = command_id(number);
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
            Action::Hold(action) => action.currency = Some(code),
            other => panic!("{other:?} names no currency"),
        }
        self
    }

    fn rule(mut self, change: impl FnOnce(&mut Rules<rust_decimal::Decimal>)) -> Self {
        match &mut self.command.action {
            Action::SetAccountRules(action) => change(&mut action.rules),
            other => panic!("{other:?} sets no rules"),
        }
        self
    }

    pub(crate) fn minimum(self, amount: &str) -> Self {
        self.rule(|rules| rules.minimum_balance = Some(decimal(amount)))
    }

    pub(crate) fn maximum(self, amount: &str) -> Self {
        self.rule(|rules| rules.maximum_balance = Some(decimal(amount)))
    }

    pub(crate) fn daily_amount(self, amount: &str) -> Self {
        self.rule(|rules| rules.daily_debit_amount_max = Some(decimal(amount)))
    }

    pub(crate) fn daily_count(self, count: u32) -> Self {
        self.rule(|rules| rules.daily_debit_count_max = Some(count))
    }

    pub(crate) fn only_with<const N: usize>(self, accounts: [&str; N]) -> Self {
        let accounts = accounts.into_iter().map(account_id).collect();
        self.rule(|rules| rules.allowed_counterparties = Some(accounts))
    }

    /// Only so much of the hold, or of what the earlier command moved.
    pub(crate) fn only(mut self, amount: &str) -> Self {
        match &mut self.command.action {
            Action::Capture(action) => action.amount = Some(decimal(amount)),
            Action::Release(action) => action.amount = Some(decimal(amount)),
            Action::Reverse(action) => action.amount = Some(decimal(amount)),
            other => panic!("{other:?} takes no part of anything"),
        }
        self
    }

    /// The last capture: the rest of the hold is released.
    pub(crate) fn at_last(mut self) -> Self {
        match &mut self.command.action {
            Action::Capture(action) => action.is_final = true,
            other => panic!("{other:?} is no capture"),
        }
        self
    }

    /// What is captured goes to this account.
    pub(crate) fn to(mut self, account: &str) -> Self {
        match &mut self.command.action {
            Action::Capture(action) => action.to_account_id = Some(account_id(account)),
            other => panic!("{other:?} is no capture"),
        }
        self
    }

    /// The hold ends by itself then.
    pub(crate) fn until(mut self, instant: &str) -> Self {
        match &mut self.command.action {
            Action::Hold(action) => action.hold_expires_at = Some(timestamp(instant)),
            other => panic!("{other:?} places no hold"),
        }
        self
    }

    pub(crate) fn reasoning(mut self, reason: &str) -> Self {
        match &mut self.command.action {
            Action::FreezeAccount(action) => reason.clone_into(&mut action.reason),
            Action::UnfreezeAccount(action) => action.reason = Some(reason.to_owned()),
            Action::Reverse(action) => reason.clone_into(&mut action.reason),
            other => panic!("{other:?} has no reason"),
        }
        self
    }

    pub(crate) fn if_balance_at_least(mut self, amount: &str) -> Self {
        self.command.conditions.if_balance_at_least = Some(decimal(amount));
        self
    }

    pub(crate) fn not_before(mut self, instant: &str) -> Self {
        self.command.conditions.not_before = Some(timestamp(instant));
        self
    }

    pub(crate) fn expiring_at(mut self, instant: &str) -> Self {
        self.command.conditions.expires_at = Some(timestamp(instant));
        self
    }

    /// The business date.
    pub(crate) fn effective(mut self, instant: &str) -> Self {
        self.command.effective_at = Some(timestamp(instant));
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
        self.shared()
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

/// Accounts and holds as a history of accepted commands leaves them.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) book: Book,
    pub(crate) events: Vec<Event>,
}

/// The history: commands that must all be accepted, a second apart unless they say when. The same history is the same
/// to the last hash.
pub(crate) fn given(history: impl IntoIterator<Item = Request>) -> Given {
    let mut given = Given {
        book: Book::default(),
        events: Vec::new(),
    };
    let mut clock = timestamp(MORNING);
    for (number, request) in (1..).zip(history) {
        let request = request.numbered(number);
        let now = request.at.unwrap_or(clock);
        let events = decide(&given.book, &request.command, now, &Policy::default())
            .unwrap_or_else(|rejection| panic!("the history holds {request:?}: {rejection}"));
        given.record(&events);
        clock = Timestamp::from_unix_microseconds(clock.unix_microseconds() + 1_000_000);
    }
    given
}

impl Given {
    fn record(&mut self, events: &[Event]) {
        for event in events {
            let account = self.book.apply(event);
            let account = account.expect("a decided event can be applied");
            assert_eq!(account.balance, event.balance_after);
            assert_eq!(account.held, event.held_after);
            assert!(!account.held.is_negative(), "{account:?}");
            let available = account.available().expect("what is available is a number");
            assert!(!available.is_negative(), "{account:?}");
        }
        if let Some(original) = Original::of(events) {
            self.book.insert_original(original);
        }
        self.events.extend_from_slice(events);
        self.check_holds();
        self.check_reversals();
    }

    /// On every account of a command, what has been moved back of it is what its reversals have moved, and never more
    /// than it moved; and the book knows.
    fn check_reversals(&self) {
        let mut sums: HashMap<(&AccountId, CommandId), Money> = HashMap::new();
        for event in &self.events {
            let (Some(reversal), Some(amount)) = (event.data.reversal(), event.data.amount())
            else {
                continue;
            };
            let zero = Money::zero(amount.currency());
            let key = (&event.account_id, reversal.command_id);
            let sum = sums.entry(key).or_insert(zero);
            *sum = sum.checked_add(amount).expect("less than was moved");
            assert_eq!(reversal.reversed, *sum, "{event:?}");
            let original = self.book.original(reversal.command_id);
            let original = original.expect("what is reversed is known");
            assert!(original.reversed.is_some(), "{original:?}");
            let whole = original.whole(&event.account_id);
            let whole = whole.expect("it moved money on that account");
            assert!(sum.value() <= whole.value(), "{event:?}");
            let goes_out = matches!(event.data, ledger::EventData::MoneyWithdrawn(_));
            let is_moved_back = |movement: &ledger::Movement| {
                movement.account_id == event.account_id && movement.came_in == goes_out
            };
            assert!(original.movements.iter().any(is_moved_back), "{event:?}");
        }
        for ((account_id, command_id), sum) in sums {
            let original = self.book.original(command_id);
            let original = original.expect("what is reversed is known");
            if original.account_id == *account_id {
                assert_eq!(original.reversed, Some(sum));
            }
        }
    }

    /// What is held on an account is what its open holds hold.
    fn check_holds(&self) {
        let mut newest: HashMap<(&AccountId, HoldId), &Hold> = HashMap::new();
        for event in &self.events {
            if let Some(hold) = event.data.hold() {
                newest.insert((&event.account_id, hold.hold_id), hold);
            }
        }
        let mut sums: HashMap<&AccountId, Sum> = HashMap::new();
        for ((account_id, hold_id), hold) in newest {
            assert_eq!(self.book.hold(account_id, hold_id), Some(hold));
            let zero = Sum::zero(hold.remaining.currency());
            let sum = sums.entry(account_id).or_insert(zero);
            *sum = sum.plus(hold.remaining);
        }
        for account in self.book.accounts() {
            let zero = Sum::zero(account.currency());
            let sum = sums.get(&account.account_id).copied().unwrap_or(zero);
            assert_eq!(sum, zero.plus(account.held), "{account:?}");
        }
    }

    pub(crate) fn account(&self, name: &str) -> &Account {
        let account = self.book.account(&account_id(name));
        account.expect("the test's account exists")
    }

    pub(crate) fn hold(&self, account: &str, number: u128) -> &Hold {
        let hold = self.book.hold(&account_id(account), hold_id(number));
        hold.expect("the test's hold exists")
    }

    pub(crate) fn when(self, request: Request) -> Decision {
        let request = request.numbered(1_000 + self.events.len());
        let now = request.at.unwrap_or(timestamp(NOON));
        let result = decide(&self.book, &request.command, now, &Policy::default());
        let again = decide(&self.book, &request.command, now, &Policy::default());
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
        let part = event
            .part
            .map(|part| usize::try_from(part).expect("a small number"));
        let own = match (&command.action, part) {
            (Action::Batch(_), Some(part)) => &command.parts()[part],
            (Action::Batch(_), None) => panic!("it is of no part: {event:?}"),
            (_, part) => {
                assert_eq!(part, None, "it is no batch");
                command
            }
        };
        assert_eq!(event.data.description(), own.description.as_deref());
        assert_eq!(event.data.metadata(), &own.metadata);
        assert_eq!(event.recorded_at, events[0].recorded_at);
        let moves_money = matches!(
            event.data,
            ledger::EventData::MoneyDeposited(_) | ledger::EventData::MoneyWithdrawn(_)
        );
        let effective_at = command.effective_at.filter(|_| moves_money);
        assert_eq!(event.data.effective_at(), effective_at);
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

/// `A v2 MoneyWithdrawn 30.00 USD, balance 70.00`, and of what is held, what there is to say: `held 20.00`, then the
/// event's hold as it is afterwards, `hold 1: 30.00 captured, 20.00 remain`; what has been moved back so far, `5.00 of
/// command 3 moved back`; and of an event of a batch, `part 2`.
fn summary(event: &Event) -> String {
    use std::fmt::Write as _;

    let mut text = format!(
        "{} v{} {}",
        event.account_id,
        event.version,
        event.data.type_name()
    );
    if let Some(amount) = event.data.amount() {
        write!(text, " {amount} {}", event.currency()).expect("a text grows");
    }
    write!(text, ", balance {}", event.balance_after).expect("a text grows");
    if !event.held_after.is_zero() {
        write!(text, ", held {}", event.held_after).expect("a text grows");
    }
    if let Some(hold) = event.data.hold() {
        let number = hold.hold_id.as_uuid().as_u128();
        let (captured, remaining) = (hold.captured, hold.remaining);
        write!(
            text,
            ", hold {number}: {captured} captured, {remaining} remain"
        )
        .expect("a text grows");
    }
    if let Some(reversal) = event.data.reversal() {
        let number = reversal.command_id.as_uuid().as_u128();
        write!(
            text,
            ", {} of command {number} moved back",
            reversal.reversed
        )
        .expect("a text grows");
    }
    if let Some(part) = event.part {
        write!(text, ", part {part}").expect("a text grows");
    }
    text
}
