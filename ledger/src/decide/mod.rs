//! The decision: what a command does to the accounts as they are. Pure: the same accounts, command, time and policy
//! give the same events or the same rejection.

mod batches;
mod conditions;
mod holds;
mod life;
mod movements;
mod reversals;
mod rules;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use rust_decimal::Decimal;

use crate::account::{Account, Status};
use crate::command::{Action, Command};
use crate::event::{Event, EventData, Hold};
use crate::hash::Hash;
use crate::ids::{AccountId, CommandId, HoldId, Version};
use crate::money::{Currency, CurrencyCode, Money};
use crate::original::Original;
use crate::overlay::Overlay;
use crate::policy::Policy;
use crate::rejection::Rejection;
use crate::timestamp::Timestamp;

/// The accounts, holds and earlier commands that a decision can look at.
pub trait Accounts {
    /// The account's present state; `None` when it does not exist.
    fn account(&self, account_id: &AccountId) -> Option<&Account>;

    /// The present state of a hold of the account; `None` when it does not exist.
    fn hold(&self, account_id: &AccountId, hold_id: HoldId) -> Option<&Hold>;

    /// What an earlier command did; `None` when it was not accepted.
    fn original(&self, command_id: CommandId) -> Option<&Original>;
}

/// Accounts alone: there are no holds and no earlier commands in it. See [`Book`](crate::Book) for one that has them.
impl<S: std::hash::BuildHasher> Accounts for HashMap<AccountId, Account, S> {
    fn account(&self, account_id: &AccountId) -> Option<&Account> {
        self.get(account_id)
    }

    fn hold(&self, _: &AccountId, _: HoldId) -> Option<&Hold> {
        None
    }

    fn original(&self, _: CommandId) -> Option<&Original> {
        None
    }
}

/// Accounts alone: there are no holds and no earlier commands in it. See [`Book`](crate::Book) for one that has them.
impl Accounts for BTreeMap<AccountId, Account> {
    fn account(&self, account_id: &AccountId) -> Option<&Account> {
        self.get(account_id)
    }

    fn hold(&self, _: &AccountId, _: HoldId) -> Option<&Hold> {
        None
    }

    fn original(&self, _: CommandId) -> Option<&Original> {
        None
    }
}

/// Decides a command: the events that it makes, in order, or why it is refused.
///
/// Every event gets the same `recorded_at`: `now`, or one microsecond after the newest event of the accounts concerned
/// if that is later, so that time rises within an account even when the clock does not. The command's own times are
/// compared with that instant, too, and so is its business date with what `policy` allows.
///
/// Of several reasons to refuse a command, the first of these is given: its time (`expires_at`, `not_before`,
/// `effective_at`), `expected_version`, `if_balance_at_least`, the same account twice, an account that is there or not,
/// closed or frozen, the hold or the earlier command, the currency, the amount, nothing that would change, entries that do
/// not balance, the counterparties of a posting's or an exchange's accounts; then, event by event, the funds, overflow of a
/// balance or of what a day has seen, the rules of the account. Of a batch, the first command that is refused says why. The
/// earlier command says what a reversal does to which accounts: whether it can be reversed is said before anything is
/// said of the other account or of a freeze, and how much of it is left, after that.
pub fn decide(
    accounts: &impl Accounts,
    command: &Command,
    now: Timestamp,
    policy: &Policy,
) -> Result<Vec<Event>, Rejection> {
    let mut decision = Decision::begin(accounts, command, now, policy);
    decision.decide()?;
    Ok(decision.events)
}

/// A command, half decided: what its events so far have made of the accounts.
struct Decision<'a> {
    before: &'a dyn Accounts,
    command: &'a Command,
    policy: &'a Policy,
    /// Which command of a batch it is.
    part: Option<u32>,
    /// How many events the batch has made before it.
    first_index: u32,
    /// The invariant `monotonic_time`: never before, and never at, the newest event of an account concerned.
    recorded_at: Timestamp,
    events: Vec<Event>,
    /// For a command that makes many events: what they have made of the accounts so far.
    after: Option<Overlay<'a>>,
}

impl<'a> Decision<'a> {
    fn begin(
        before: &'a dyn Accounts,
        command: &'a Command,
        now: Timestamp,
        policy: &'a Policy,
    ) -> Self {
        let originals = command
            .reversed_command_ids()
            .filter_map(|(account_id, command_id)| original_of(before, account_id, command_id));
        let recorded_at = command
            .account_ids()
            .chain(originals.flat_map(Original::account_ids))
            .filter_map(|account_id| before.account(account_id))
            .map(|account| account.last_recorded_at.next_microsecond())
            .fold(now, Timestamp::max);
        Self {
            before,
            command,
            policy,
            part: None,
            first_index: 0,
            recorded_at,
            events: Vec::new(),
            after: None,
        }
    }

    fn decide(&mut self) -> Result<(), Rejection> {
        self.check_conditions()?;
        // The command outlives what is decided about it.
        let command: &'a Command = self.command;
        match &command.action {
            Action::CreateAccount(action) => self.create_account(action),
            Action::Deposit(action) => self.deposit(action),
            Action::Withdraw(action) => self.withdraw(action),
            Action::Transfer(action) => self.transfer(action),
            Action::FreezeAccount(action) => self.freeze_account(action),
            Action::UnfreezeAccount(action) => self.unfreeze_account(action),
            Action::CloseAccount(action) => self.close_account(action),
            Action::SetOverdraftLimit(action) => self.set_overdraft_limit(action),
            Action::UpdateAccount(action) => self.update_account(action),
            Action::Hold(action) => self.place_hold(action),
            Action::Capture(action) => self.capture(action),
            Action::Release(action) => self.release(action),
            Action::ExpireHold(action) => self.expire_hold(action),
            Action::Reverse(action) => self.reverse(action),
            Action::Post(action) => self.post(action),
            Action::Batch(action) => self.batch(action),
            Action::Exchange(action) => self.exchange(action),
            Action::SetAccountRules(action) => self.set_account_rules(action),
        }
    }

    /// From here on, what the events make of the accounts is kept: looking it up then costs the same however many events
    /// there are.
    fn keep_accounts(&mut self) {
        self.after = Some(Overlay::over(self.before));
    }

    /// The account, with the events so far. Only the few commands that make several events on one account pay for a copy.
    fn account(&self, account_id: &AccountId) -> Option<Cow<'_, Account>> {
        if let Some(after) = &self.after {
            return after.account(account_id).map(Cow::Borrowed);
        }
        let before = self.before.account(account_id).map(Cow::Borrowed);
        self.events
            .iter()
            .filter(|event| event.account_id == *account_id)
            .fold(before, |account, event| {
                let account = Account::fold(account.map(Cow::into_owned), event);
                Some(Cow::Owned(account.expect("the event was made to follow")))
            })
    }

    /// An account that is there, open or closed.
    fn existing(&self, account_id: &AccountId) -> Result<Cow<'_, Account>, Rejection> {
        self.account(account_id)
            .ok_or_else(|| Rejection::account_not_found(account_id))
    }

    /// An account that can still change.
    fn open(&self, account_id: &AccountId) -> Result<Cow<'_, Account>, Rejection> {
        let account = self.existing(account_id)?;
        if account.status == Status::Closed {
            return Err(Rejection::account_closed(account_id));
        }
        Ok(account)
    }

    /// An account that money can leave.
    fn debitable(&self, account_id: &AccountId) -> Result<Cow<'_, Account>, Rejection> {
        let account = self.open(account_id)?;
        if account.status.allows_debits() {
            Ok(account)
        } else {
            Err(Rejection::account_frozen(&account, "debits"))
        }
    }

    /// An account that money can come to.
    fn creditable(&self, account_id: &AccountId) -> Result<Cow<'_, Account>, Rejection> {
        let account = self.open(account_id)?;
        if account.status.allows_credits() {
            Ok(account)
        } else {
            Err(Rejection::account_frozen(&account, "credits"))
        }
    }

    /// The first event of a new account.
    fn record_opening(&mut self, account_id: &AccountId, data: EventData, balance: Money) {
        self.seal(Event {
            event_id: self.next_event_id(),
            account_id: account_id.clone(),
            version: Version::FIRST,
            data,
            balance_after: balance,
            held_after: Money::zero(balance.currency()),
            command_id: self.command.command_id,
            part: self.part,
            actor: self.command.actor.clone(),
            recorded_at: self.recorded_at,
            prev_hash: Hash::ZERO,
            hash: Hash::ZERO,
        });
    }

    /// The next event of an account that is there.
    fn record(&mut self, account_id: &AccountId, data: EventData) -> Result<(), Rejection> {
        let account = self.existing(account_id)?;
        let overflow = |_| Rejection::balance_overflow(account_id);
        let balance_after = account.balance_after(&data).map_err(overflow)?;
        let held_after = account.held_after(&data).map_err(overflow)?;
        check_room(account_id, balance_after, account.overdraft_limit)?;
        self.check_rules(&account, &data, balance_after, held_after)?;
        let event = Event {
            event_id: self.next_event_id(),
            account_id: account_id.clone(),
            version: account.version.next(),
            data,
            balance_after,
            held_after,
            command_id: self.command.command_id,
            part: self.part,
            actor: self.command.actor.clone(),
            recorded_at: self.recorded_at,
            prev_hash: account.last_hash,
            hash: Hash::ZERO,
        };
        self.seal(event);
        Ok(())
    }

    fn next_event_id(&self) -> crate::ids::EventId {
        self.command.command_id.event_id(self.next_index())
    }

    /// The place of the next event among all events of the command, or of its batch.
    fn next_index(&self) -> u32 {
        let count = u32::try_from(self.events.len()).expect("a command makes few events");
        self.first_index + count
    }

    fn seal(&mut self, mut event: Event) {
        event.hash = event.compute_hash();
        if let Some(after) = &mut self.after {
            after.apply(&event);
        }
        self.events.push(event);
    }
}

/// The command that this one reverses, which was sent to the same account: another account's is none of its business, nor
/// is its time.
fn original_of<'a>(
    before: &'a dyn Accounts,
    account_id: &AccountId,
    command_id: CommandId,
) -> Option<&'a Original> {
    before
        .original(command_id)
        .filter(|original| original.account_id == *account_id)
}

/// An amount of the account's currency, with no more decimals than it has, above zero.
fn positive_amount(amount: Decimal, currency: Currency) -> Result<Money, Rejection> {
    positive_money("amount", amount, currency)
}

/// The same, in another field.
fn positive_money(field: &str, amount: Decimal, currency: Currency) -> Result<Money, Rejection> {
    let money =
        Money::new(amount, currency).map_err(|error| Rejection::invalid_amount(field, &error))?;
    if money.is_positive() {
        Ok(money)
    } else {
        Err(Rejection::amount_out_of_range(
            field,
            amount,
            "more than zero",
        ))
    }
}

fn not_negative(field: &str, amount: Decimal, currency: Currency) -> Result<Money, Rejection> {
    let money =
        Money::new(amount, currency).map_err(|error| Rejection::invalid_amount(field, &error))?;
    if money.is_negative() {
        Err(Rejection::amount_out_of_range(
            field,
            amount,
            "zero or more",
        ))
    } else {
        Ok(money)
    }
}

/// The currency that a command names is the account's.
fn check_named_currency(account: &Account, named: Option<CurrencyCode>) -> Result<(), Rejection> {
    let own = account.currency().code();
    match named {
        Some(code) if code != own => {
            Err(Rejection::currency_mismatch(&account.account_id, own, code))
        }
        _ => Ok(()),
    }
}

/// The invariant `no_overdraft`.
fn check_funds(account: &Account, amount: Money) -> Result<(), Rejection> {
    let overflow = |_| Rejection::balance_overflow(&account.account_id);
    let available = account.available().map_err(overflow)?;
    let rest = available.checked_sub(amount).map_err(overflow)?;
    if rest.is_negative() {
        Err(Rejection::insufficient_funds(account, available, amount))
    } else {
        Ok(())
    }
}

/// What is available must stay a number, too: a balance up to the last digit would make every later debit fail.
fn check_room(
    account_id: &AccountId,
    balance: Money,
    overdraft_limit: Money,
) -> Result<(), Rejection> {
    balance
        .checked_add(overdraft_limit)
        .map(drop)
        .map_err(|_| Rejection::balance_overflow(account_id))
}
