//! What a ledger holds now: streams, dead letters, balances.

use std::collections::BTreeMap;

use sqlx::Row;
use transport::dead_letter::{self, Letter};
use transport::stored::StoredMessages;
use transport::streams;

use super::{Ledger, eventually};

impl Ledger {
    /// How many messages a stream holds; 0 when it has not been made yet.
    pub async fn messages_in(&self, stream: &str) -> u64 {
        let nats = self.connect().await;
        let stream = streams::existing(&nats.jetstream, stream)
            .await
            .expect("JetStream answers");
        stream.map_or(0, |stream| stream.cached_info().state.messages)
    }

    /// Waits until every command is settled: the stream of commands is empty.
    pub async fn until_settled(&self) {
        eventually("the stream of commands to be empty", || async {
            self.messages_in(streams::COMMANDS).await == 0
        })
        .await;
    }

    /// All dead letters, oldest first, each of them readable.
    pub async fn dead_letters(&self) -> Vec<Letter> {
        let nats = self.connect().await;
        let stream = streams::existing(&nats.jetstream, streams::DEAD_LETTERS)
            .await
            .expect("JetStream answers");
        let Some(stream) = stream else {
            return Vec::new();
        };
        let state = stream.cached_info().state.clone();
        let stored = StoredMessages::new(
            nats.jetstream,
            streams::DEAD_LETTERS,
            "ledger.dead_letters.*",
            1,
        );
        let mut letters = Vec::new();
        let mut parts = Vec::new();
        for sequence in state.first_sequence..=state.last_sequence {
            let Some(found) = stored.at(sequence).await.expect("JetStream answers") else {
                continue;
            };
            assert_eq!(found.problem, None, "the headers of a letter can be read");
            parts.push(found.message);
            let (_, _, count) = dead_letter::part_of(parts.last().expect("one was just added"))
                .expect("it is a letter");
            if parts.len() == count {
                letters.push(dead_letter::decode(&parts).expect("the letter is readable"));
                parts.clear();
            }
        }
        assert!(parts.is_empty(), "a letter is incomplete");
        letters
    }

    /// What the read model says is in each account, and at which version.
    pub async fn balances(&self) -> BTreeMap<String, (String, i64)> {
        let pool = self.read_model().await;
        let rows = sqlx::query(
            "SELECT account_id, balance::text AS balance, version FROM account_balance",
        );
        let rows = rows
            .fetch_all(&pool)
            .await
            .expect("the read model can be read");
        rows.iter()
            .map(|row| {
                (
                    row.get("account_id"),
                    (row.get("balance"), row.get("version")),
                )
            })
            .collect()
    }

    /// What the event store says is in an account.
    pub async fn balance(&self, account_id: &str) -> String {
        let account = self.json(&["account", account_id], 0).await;
        account["balance"]
            .as_str()
            .expect("a balance is a string")
            .to_owned()
    }

    /// How many commands and events the event store holds.
    pub async fn counts(&self) -> (i64, i64) {
        let counts = "SELECT (SELECT count(*) FROM commands) AS commands, (SELECT count(*) FROM events) AS events";
        let row = sqlx::query(counts)
            .fetch_one(&self.event_store().await)
            .await
            .expect("the event store can be read");
        (row.get("commands"), row.get("events"))
    }
}
