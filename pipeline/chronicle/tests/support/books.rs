//! What the read models hold, and what a fresh fold of the event store says that they must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures::StreamExt;
use ledger::{Event, EventData, EventId, Version};
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
}

impl Books {
    /// A fresh fold of these events, written independently of the projections.
    pub fn fold(events: &[Event]) -> Self {
        let mut balances: BTreeMap<&str, [String; 6]> = BTreeMap::new();
        let mut transfers: BTreeMap<String, [String; 5]> = BTreeMap::new();
        let mut transactions = Vec::new();
        for event in events {
            let account_id = event.account_id.as_str();
            let currency = event.currency().code().to_string();
            let version = event.version.get().to_string();
            let balance = event.balance_after.to_string();
            let (kind, amount) = match &event.data {
                EventData::AccountCreated(created) => {
                    let row = [
                        created.owner_name.clone(),
                        balance.clone(),
                        currency.clone(),
                        created.overdraft_limit.to_string(),
                        "active".to_owned(),
                        version.clone(),
                    ];
                    balances.insert(account_id, row);
                    ("opening", created.initial_balance.to_string())
                }
                EventData::MoneyDeposited(moved) if moved.transfer.is_some() => {
                    ("transfer_in", moved.amount.to_string())
                }
                EventData::MoneyDeposited(moved) => ("deposit", moved.amount.to_string()),
                EventData::MoneyWithdrawn(moved) if moved.transfer.is_some() => {
                    ("transfer_out", format!("-{}", moved.amount))
                }
                EventData::MoneyWithdrawn(moved) => ("withdrawal", format!("-{}", moved.amount)),
                other => panic!("the workloads of these tests make no {}", other.type_name()),
            };
            let row = balances
                .get_mut(account_id)
                .expect("an account is opened first");
            row[1].clone_from(&balance);
            row[5].clone_from(&version);
            let leg = event.data.transfer();
            let transfer_id =
                leg.map_or(String::new(), |leg| leg.transfer_id.as_uuid().to_string());
            let counterparty = leg.map_or("", |leg| leg.counterparty_account_id.as_str());
            transactions.push(
                [
                    account_id,
                    &version,
                    &event.event_id.to_string(),
                    kind,
                    &amount,
                    &balance,
                    &transfer_id,
                    counterparty,
                ]
                .join("|"),
            );
            if kind == "transfer_out" {
                let row = [
                    account_id.to_owned(),
                    counterparty.to_owned(),
                    amount.trim_start_matches('-').to_owned(),
                    currency,
                    "completed".to_owned(),
                ];
                transfers.insert(transfer_id, row);
            }
        }
        transactions.sort_unstable();
        let lines = |(key, row): (String, Vec<String>)| format!("{key}|{}", row.join("|"));
        Self {
            account_balance: balances
                .into_iter()
                .map(|(key, row)| lines((key.to_owned(), row.to_vec())))
                .collect(),
            transactions,
            transfers: transfers
                .into_iter()
                .map(|(key, row)| lines((key, row.to_vec())))
                .collect(),
        }
    }

    /// What the read models hold.
    pub async fn read(pool: &PgPool) -> Self {
        Self {
            account_balance: rows(
                pool,
                "SELECT concat_ws('|', account_id, owner_name, balance, currency, overdraft_limit, status, version) AS line \
                 FROM account_balance",
            )
            .await,
            transactions: rows(
                pool,
                "SELECT concat_ws('|', account_id, version, transaction_id, type, amount, balance_after, \
                 coalesce(transfer_id::text, ''), coalesce(counterparty_account_id, '')) AS line FROM transactions",
            )
            .await,
            transfers: rows(
                pool,
                "SELECT concat_ws('|', transfer_id, from_account_id, to_account_id, amount, currency, status) AS line \
                 FROM transfers",
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
                "the read models do not converge\naccount_balance: {}\ntransactions: {}\ntransfers: {}",
                difference(&expected.account_balance, &present.account_balance),
                difference(&expected.transactions, &present.transactions),
                difference(&expected.transfers, &present.transfers),
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
