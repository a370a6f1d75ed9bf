//! What the read models hold, and what a fresh fold of the event store says that they must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures::StreamExt;
use ledger::{Event, EventData, EventId, Hold, Money, Rules, Scope, Version};
use rust_decimal::Decimal;
use sqlx::Row;
use sqlx::postgres::PgPool;
use store::EventStore;
use tokio::time::Instant;
use transport::{message, streams};

use super::{DEADLINE, Ledger};

/// The rows of the read models: one line per row, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Books {
    pub account_balance: Vec<String>,
    pub transactions: Vec<String>,
    pub transfers: Vec<String>,
    pub holds: Vec<String>,
    pub daily_totals: Vec<String>,
}

/// What is known of an account; the columns of `account_balance` behind its key.
#[derive(Default)]
struct Known {
    owner_name: String,
    balance: String,
    currency: String,
    overdraft_limit: String,
    debits_frozen: bool,
    credits_frozen: bool,
    is_closed: bool,
    version: String,
    held: String,
    freeze_reason: String,
    metadata: BTreeMap<String, String>,
    rules: BTreeMap<&'static str, String>,
}

impl Known {
    /// Takes in the account's next event.
    fn take(&mut self, event: &Event) {
        let covers = |scope: Scope, other: Scope| scope == other || scope == Scope::All;
        match &event.data {
            EventData::AccountCreated(created) => {
                self.owner_name.clone_from(&created.owner_name);
                self.currency = event.currency().code().to_string();
                self.overdraft_limit = created.overdraft_limit.to_string();
            }
            EventData::AccountFrozen(changed) => {
                self.debits_frozen |= covers(changed.scope, Scope::Debits);
                self.credits_frozen |= covers(changed.scope, Scope::Credits);
                self.freeze_reason = changed.reason.clone().unwrap_or_default();
            }
            EventData::AccountUnfrozen(changed) => {
                self.debits_frozen &= !covers(changed.scope, Scope::Debits);
                self.credits_frozen &= !covers(changed.scope, Scope::Credits);
                if !self.debits_frozen && !self.credits_frozen {
                    self.freeze_reason.clear();
                }
            }
            EventData::AccountClosed(_) => self.is_closed = true,
            EventData::OverdraftLimitSet(set) => {
                self.overdraft_limit = set.overdraft_limit.to_string();
            }
            EventData::AccountUpdated(updated) => {
                if let Some(owner_name) = &updated.owner_name {
                    self.owner_name.clone_from(owner_name);
                }
                if let Some(metadata) = &updated.account_metadata {
                    self.metadata.clone_from(metadata);
                }
            }
            EventData::AccountRulesSet(set) => self.rules = rules(&set.rules),
            EventData::MoneyDeposited(_)
            | EventData::MoneyWithdrawn(_)
            | EventData::HoldPlaced(_)
            | EventData::HoldReleased(_)
            | EventData::HoldExpired(_) => {}
        }
        self.balance = event.balance_after.to_string();
        self.held = plain(&event.held_after.to_string());
        self.version = event.version.get().to_string();
    }

    fn status(&self) -> &'static str {
        match (self.is_closed, self.debits_frozen, self.credits_frozen) {
            (true, _, _) => "closed",
            (false, true, true) => "frozen",
            (false, true, false) => "debits_frozen",
            (false, false, true) => "credits_frozen",
            (false, false, false) => "active",
        }
    }

    fn line(&self, account_id: &str) -> String {
        let metadata: Vec<String> = self
            .metadata
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let rules: Vec<String> = self
            .rules
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        [
            account_id,
            &self.owner_name,
            &self.balance,
            &self.currency,
            &self.overdraft_limit,
            self.status(),
            &self.version,
            &self.held,
            &self.freeze_reason,
            &metadata.join(","),
            &rules.join(","),
        ]
        .join("|")
    }
}

/// Rules by their names, as the read model has them.
fn rules(rules: &Rules<Money>) -> BTreeMap<&'static str, String> {
    let amount = |name, amount: Option<Money>| Some((name, amount?.to_string()));
    let allowed = rules.allowed_counterparties.as_ref().map(|allowed| {
        let names: Vec<String> = allowed.iter().map(|name| format!("\"{name}\"")).collect();
        ("allowed_counterparties", format!("[{}]", names.join(", ")))
    });
    let count = rules.daily_debit_count_max;
    [
        allowed,
        amount("daily_debit_amount_max", rules.daily_debit_amount_max),
        count.map(|count| ("daily_debit_count_max", count.to_string())),
        amount("maximum_balance", rules.maximum_balance),
        amount("minimum_balance", rules.minimum_balance),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A number without zeros at its end: what is held is `0` or `0.00` where nothing ever was.
fn plain(number: &str) -> String {
    if number.contains('.') {
        number
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned()
    } else {
        number.to_owned()
    }
}

/// What kind of line an event is.
fn kind(data: &EventData) -> &'static str {
    match data {
        EventData::AccountCreated(_) => "opening",
        EventData::MoneyDeposited(moved) if moved.posting_id.is_some() => "posting_in",
        EventData::MoneyWithdrawn(moved) if moved.posting_id.is_some() => "posting_out",
        EventData::MoneyDeposited(moved) if moved.transfer.is_some() => "transfer_in",
        EventData::MoneyDeposited(_) => "deposit",
        EventData::MoneyWithdrawn(moved) if moved.transfer.is_some() => "transfer_out",
        EventData::MoneyWithdrawn(moved) if moved.hold.is_some() => "capture",
        EventData::MoneyWithdrawn(_) => "withdrawal",
        EventData::AccountFrozen(_) => "freeze",
        EventData::AccountUnfrozen(_) => "unfreeze",
        EventData::AccountClosed(_) => "closing",
        EventData::OverdraftLimitSet(_) => "overdraft_limit",
        EventData::AccountUpdated(_) => "update",
        EventData::AccountRulesSet(_) => "rules",
        EventData::HoldPlaced(_) => "hold",
        EventData::HoldReleased(_) => "release",
        EventData::HoldExpired(_) => "expiry",
    }
}

/// What an event adds to the balance, and to what is held, if it changes that.
fn amounts(data: &EventData) -> (String, String) {
    match data {
        EventData::AccountCreated(created) => (created.initial_balance.to_string(), String::new()),
        EventData::MoneyDeposited(moved) => (moved.amount.to_string(), String::new()),
        EventData::MoneyWithdrawn(moved) => {
            let taken = format!("-{}", moved.amount);
            let held = moved.hold.as_ref().map(|_| taken.clone());
            (taken, held.unwrap_or_default())
        }
        EventData::HoldPlaced(changed) => ("0".to_owned(), changed.amount.to_string()),
        EventData::HoldReleased(changed) | EventData::HoldExpired(changed) => {
            ("0".to_owned(), format!("-{}", changed.amount))
        }
        EventData::AccountFrozen(_)
        | EventData::AccountUnfrozen(_)
        | EventData::AccountClosed(_)
        | EventData::OverdraftLimitSet(_)
        | EventData::AccountUpdated(_)
        | EventData::AccountRulesSet(_) => ("0".to_owned(), String::new()),
    }
}

/// The line of an event in `transactions`.
fn transaction(event: &Event) -> String {
    let (amount, held) = amounts(&event.data);
    let leg = event.data.transfer();
    let held_after = plain(&event.held_after.to_string());
    [
        event.account_id.to_string(),
        event.version.get().to_string(),
        event.event_id.to_string(),
        kind(&event.data).to_owned(),
        plain(&amount),
        event.balance_after.to_string(),
        leg.map_or(String::new(), |leg| leg.transfer_id.to_string()),
        leg.map_or(String::new(), |leg| leg.counterparty_account_id.to_string()),
        plain(&held),
        if held_after == "0" {
            String::new()
        } else {
            held_after
        },
        event
            .data
            .hold()
            .map_or(String::new(), |hold| hold.hold_id.to_string()),
        event
            .data
            .reversal()
            .map_or(String::new(), |reversal| reversal.command_id.to_string()),
        event
            .data
            .posting_id()
            .map_or(String::new(), |posting_id| posting_id.to_string()),
        event
            .data
            .effective_at()
            .map_or(String::new(), |at| at.unix_microseconds().to_string()),
    ]
    .join("|")
}

/// The row of a hold after an event that changed it.
fn hold_row(event: &Event, hold: &Hold) -> String {
    let status = match (&event.data, hold.remaining.is_zero()) {
        (EventData::HoldExpired(_), true) => "expired",
        (EventData::HoldReleased(_), true) if hold.captured.is_zero() => "released",
        (_, true) => "captured",
        (_, false) => "open",
    };
    let expires_at = hold.expires_at.map(|at| at.unix_microseconds().to_string());
    [
        event.account_id.to_string(),
        hold.hold_id.to_string(),
        hold.amount.to_string(),
        hold.captured.to_string(),
        hold.remaining.to_string(),
        event.currency().code().to_string(),
        status.to_owned(),
        event.version.get().to_string(),
        expires_at.unwrap_or_default(),
    ]
    .join("|")
}

/// The rows of `daily_totals`: counts and sums of the events that change a balance.
fn daily_totals(events: &[Event]) -> Vec<String> {
    let mut totals: BTreeMap<String, (u64, Decimal)> = BTreeMap::new();
    for event in events {
        let (EventData::AccountCreated(_)
        | EventData::MoneyDeposited(_)
        | EventData::MoneyWithdrawn(_)) = &event.data
        else {
            continue;
        };
        let (amount, _) = amounts(&event.data);
        let amount: Decimal = amount.parse().expect("an amount is a number");
        let day = event.recorded_at.to_date_time().date();
        let row = format!(
            "{}|{:04}-{:02}-{:02}|{}",
            event.currency().code(),
            day.year(),
            u8::from(day.month()),
            day.day(),
            kind(&event.data)
        );
        let (count, sum) = totals.entry(row).or_default();
        *count += 1;
        *sum += amount.abs();
    }
    totals
        .into_iter()
        .map(|(row, (count, sum))| format!("{row}|{count}|{sum}"))
        .collect()
}

impl Books {
    /// A fresh fold of these events, written independently of the projections.
    pub fn fold(events: &[Event]) -> Self {
        let mut accounts: BTreeMap<&str, Known> = BTreeMap::new();
        let mut transfers: BTreeMap<String, String> = BTreeMap::new();
        let mut holds: BTreeMap<(&str, String), String> = BTreeMap::new();
        let mut transactions = Vec::new();
        for event in events {
            let account_id = event.account_id.as_str();
            accounts.entry(account_id).or_default().take(event);
            transactions.push(transaction(event));
            if let (EventData::MoneyWithdrawn(moved), Some(leg)) =
                (&event.data, event.data.transfer())
            {
                let row = format!(
                    "{}|{account_id}|{}|{}|{}|completed",
                    leg.transfer_id,
                    leg.counterparty_account_id,
                    moved.amount,
                    event.currency().code()
                );
                transfers.insert(leg.transfer_id.to_string(), row);
            }
            if let Some(hold) = event.data.hold() {
                holds.insert(
                    (account_id, hold.hold_id.to_string()),
                    hold_row(event, hold),
                );
            }
        }
        let sorted = |rows: Vec<String>| {
            let mut rows = rows;
            rows.sort_unstable();
            rows
        };
        let lines = accounts.iter().map(|(id, account)| account.line(id));
        Self {
            account_balance: sorted(lines.collect()),
            transactions: sorted(transactions),
            transfers: sorted(transfers.into_values().collect()),
            holds: sorted(holds.into_values().collect()),
            daily_totals: sorted(daily_totals(events)),
        }
    }

    /// What the read models hold.
    pub async fn read(pool: &PgPool) -> Self {
        Self {
            account_balance: rows(
                pool,
                "SELECT concat_ws('|', account_id, owner_name, balance, currency, overdraft_limit, status, version, \
                 trim_scale(held), coalesce(freeze_reason, ''), \
                 (SELECT coalesce(string_agg(key || '=' || value, ',' ORDER BY key COLLATE \"C\"), '') \
                    FROM jsonb_each_text(metadata)), \
                 (SELECT coalesce(string_agg(key || '=' || value, ',' ORDER BY key COLLATE \"C\"), '') \
                    FROM jsonb_each_text(rules))) AS line \
                 FROM account_balance",
            )
            .await,
            transactions: rows(
                pool,
                "SELECT concat_ws('|', account_id, version, transaction_id, type, trim_scale(amount), balance_after, \
                 coalesce(transfer_id::text, ''), coalesce(counterparty_account_id, ''), \
                 coalesce(trim_scale(held)::text, ''), coalesce(trim_scale(held_after)::text, ''), \
                 coalesce(hold_id::text, ''), coalesce(reversed_command_id::text, ''), \
                 coalesce(posting_id::text, ''),
                 coalesce((extract(epoch FROM effective_at) * 1000000)::bigint::text, '')) AS line FROM transactions",
            )
            .await,
            transfers: rows(
                pool,
                "SELECT concat_ws('|', transfer_id, from_account_id, to_account_id, amount, currency, status) AS line \
                 FROM transfers",
            )
            .await,
            holds: rows(
                pool,
                "SELECT concat_ws('|', account_id, hold_id, amount, captured, remaining, currency, status, version, \
                 coalesce((extract(epoch FROM expires_at) * 1000000)::bigint::text, '')) AS line FROM holds",
            )
            .await,
            daily_totals: rows(
                pool,
                "SELECT concat_ws('|', currency, day, type, count, amount) AS line FROM daily_totals",
            )
            .await,
        }
    }
}

async fn rows(pool: &PgPool, statement: &'static str) -> Vec<String> {
    let rows = sqlx::query(statement)
        .fetch_all(pool)
        .await
        .expect("the read model can be read");
    let mut lines: Vec<String> = rows.iter().map(|row| row.get("line")).collect();
    lines.sort_unstable();
    lines
}

impl Ledger {
    /// The event store, as the application sees it.
    pub fn store(&self) -> EventStore {
        EventStore::connect_lazy(&self.event_store, &store::Options::default())
            .expect("the URL is right")
    }

    /// Every event of the event store, account by account.
    pub async fn stored_events(&self) -> Vec<Event> {
        const PAGE: u32 = 1_000;
        let store = self.store();
        let mut events = Vec::new();
        let mut after = None;
        loop {
            let heads = store
                .heads(after.as_ref(), PAGE)
                .await
                .expect("the event store can be read");
            let Some(last) = heads.last() else {
                return events;
            };
            after = Some(last.account_id.clone());
            for head in &heads {
                let mut version = Version::NONE;
                loop {
                    let history = store.history(&head.account_id, version, PAGE).await;
                    let history = history.expect("the event store can be read");
                    let Some(last) = history.last() else {
                        break;
                    };
                    version = last.version;
                    events.extend(history);
                }
            }
        }
    }

    /// Waits until every read model equals a fresh fold of the event store; says how long it took. `steadily` is the
    /// longest that it may take.
    pub async fn until_converged(&self) -> Duration {
        let started = Instant::now();
        let pool = self.read_model().await;
        let expected = Books::fold(&self.stored_events().await);
        loop {
            let present = Books::read(&pool).await;
            if present == expected {
                return started.elapsed();
            }
            assert!(
                started.elapsed() < DEADLINE,
                "the read models do not converge\naccount_balance: {}\ntransactions: {}\ntransfers: {}\nholds: {}\n\
                 daily_totals: {}",
                difference(&expected.account_balance, &present.account_balance),
                difference(&expected.transactions, &present.transactions),
                difference(&expected.transfers, &present.transfers),
                difference(&expected.holds, &present.holds),
                difference(&expected.daily_totals, &present.daily_totals),
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Every message of a stream, in order; none, if there is no such stream.
    pub async fn messages(&self, stream: &str) -> Vec<engine::Message> {
        let nats = self.connect().await;
        let found = streams::existing(&nats.jetstream, stream)
            .await
            .expect("NATS answers");
        let Some(found) = found else {
            return Vec::new();
        };
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            memory_storage: true,
            ..pull::Config::default()
        };
        let consumer = found
            .create_consumer(config)
            .await
            .expect("the stream can be read");
        let mut messages = Vec::new();
        loop {
            let mut batch = consumer
                .fetch()
                .max_messages(1_000)
                .messages()
                .await
                .expect("the stream can be read");
            let before = messages.len();
            while let Some(found) = batch.next().await {
                let found = found.expect("the stream can be read");
                messages.push(message::from_jetstream(&found).expect("it lies in a stream"));
            }
            if messages.len() == before {
                return messages;
            }
        }
    }

    /// The events of the feed, in order.
    pub async fn feed(&self) -> Vec<Event> {
        let messages = self.messages(streams::EVENTS).await;
        let decode = |message: &engine::Message| {
            ledger::codec::json::decode_event(&message.payload).expect("the feed holds events")
        };
        messages.iter().map(decode).collect()
    }

    /// The feed holds each event of the event store, and no others.
    pub async fn check_feed_is_complete(&self) {
        let stored: BTreeSet<EventId> = self
            .stored_events()
            .await
            .iter()
            .map(|event| event.event_id)
            .collect();
        let published: BTreeSet<EventId> = self
            .feed()
            .await
            .iter()
            .map(|event| event.event_id)
            .collect();
        let missing: Vec<&EventId> = stored.difference(&published).collect();
        let unknown: Vec<&EventId> = published.difference(&stored).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "the feed lacks {missing:?} and has {unknown:?} too many"
        );
    }

    /// In the feed each account's events come in the order of their versions, repetitions aside.
    pub async fn check_feed_is_in_order(&self) {
        let mut newest: BTreeMap<String, u64> = BTreeMap::new();
        for event in self.feed().await {
            let newest = newest.entry(event.account_id.to_string()).or_default();
            let version = event.version.get();
            assert!(
                version <= *newest + 1,
                "version {version} of {} comes after {newest}",
                event.account_id
            );
            *newest = version.max(*newest);
        }
    }
}

/// The first lines that are in one list only.
fn difference(expected: &[String], present: &[String]) -> String {
    let (wanted, found): (BTreeSet<&String>, BTreeSet<&String>) =
        (expected.iter().collect(), present.iter().collect());
    let missing: Vec<_> = wanted.difference(&found).take(3).collect();
    let extra: Vec<_> = found.difference(&wanted).take(3).collect();
    format!(
        "{} rows, expected {}; missing {missing:?}; too many {extra:?}",
        present.len(),
        expected.len()
    )
}
