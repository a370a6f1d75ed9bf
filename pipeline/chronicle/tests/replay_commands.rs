//! Publishing everything that was ever asked again: 100,000 commands, from a file and out of the event store, and nothing
//! changes.

mod support;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use ledger::codec::json;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;
use support::random::Random;
use support::{Ledger, text};
use transport::streams;

const COMMANDS: usize = 100_000;
const ACCOUNTS: usize = 500;
/// How long one run over all of them may take.
const RUN_MAX: Duration = Duration::from_mins(5);

/// Makes commands up.
struct Author {
    random: Random,
    /// Holds with their accounts, and movements of money with theirs: what later commands are about.
    holds: Vec<(String, String)>,
    movements: Vec<(String, String)>,
}

impl Author {
    fn account(&mut self) -> String {
        format!("ACC-{}", self.random.index(ACCOUNTS))
    }

    fn id(&mut self) -> String {
        self.random.uuid().to_string()
    }

    /// Often more than there is.
    fn amount(&mut self) -> String {
        format!(
            "{}.{:02}",
            self.random.below(150),
            self.random.below(99) + 1
        )
    }

    fn command(&mut self, index: usize) -> Value {
        let id = self.id();
        if index < ACCOUNTS {
            return json!({"command_id": id, "type": "create_account", "account_id": format!("ACC-{index}"),
                "owner_name": "Somebody", "currency": "USD", "initial_balance": "100.00"});
        }
        let (account, amount) = (self.account(), self.amount());
        match self.random.below(100) {
            0..28 => self.movement(json!({"command_id": id, "type": "deposit", "account_id": account, "amount": amount})),
            28..53 => {
                self.movement(json!({"command_id": id, "type": "withdraw", "account_id": account, "amount": amount}))
            }
            53..75 => {
                let to = self.account();
                json!({"command_id": id, "type": "transfer", "from_account_id": account, "to_account_id": to,
                    "amount": amount, "description": "rent"})
            }
            75..81 => {
                let hold_id = self.id();
                self.holds.push((account.clone(), hold_id.clone()));
                json!({"command_id": id, "type": "hold", "account_id": account, "hold_id": hold_id, "amount": amount})
            }
            81..86 if !self.holds.is_empty() => {
                let index = self.random.index(self.holds.len());
                let (account, hold_id) = self.holds[index].clone();
                let kind = if index.is_multiple_of(2) { "capture" } else { "release" };
                json!({"command_id": id, "type": kind, "account_id": account, "hold_id": hold_id})
            }
            86..92 if !self.movements.is_empty() => {
                let index = self.random.index(self.movements.len());
                let (account, reversed) = self.movements[index].clone();
                json!({"command_id": id, "type": "reverse", "account_id": account, "reversed_command_id": reversed,
                    "reason": "a mistake"})
            }
            92..98 => {
                let (to, more) = (self.account(), self.amount());
                json!({"command_id": id, "type": "batch", "commands": [
                    {"type": "deposit", "account_id": account, "amount": amount},
                    {"type": "withdraw", "account_id": account, "amount": more},
                    {"type": "deposit", "account_id": to, "amount": more}]})
            }
            _ => json!({"command_id": id, "type": "withdraw", "account_id": "NOBODY", "amount": amount,
                "expected_version": 3}),
        }
    }

    fn movement(&mut self, command: Value) -> Value {
        let word = |name: &str| command[name].as_str().expect("it is there").to_owned();
        self.movements
            .push((word("account_id"), word("command_id")));
        command
    }

    /// A line for each command, and at the end some ids that are used for other commands: those become dead letters.
    fn file(mut self) -> String {
        let mut lines = String::new();
        let mut last = Value::Null;
        for index in 0..COMMANDS {
            last = self.command(index);
            writeln!(lines, "{last}").expect("memory takes it");
        }
        for amount in 1..=3 {
            let other = json!({"command_id": last["command_id"], "type": "deposit", "account_id": "ACC-0",
                "amount": amount});
            writeln!(lines, "{other}").expect("memory takes it");
        }
        lines
    }
}

/// All that is to stay as it is.
#[derive(Debug, PartialEq, Eq)]
struct Book {
    commands: i64,
    events: i64,
    /// Of all events with their hashes, by account and version.
    history: String,
    /// Of all outcomes with the commands' fingerprints and times, by id.
    outcomes: String,
    /// Of all rows of each read model.
    read_models: Vec<String>,
    /// How many messages have ever been in the feed, and are in it.
    feed: (u64, u64),
    dead_letters: u64,
}

impl Ledger {
    async fn book(&self) -> Book {
        const PAGE: u32 = 2_000;
        let (commands, events) = self.counts().await;
        let mut snapshot = self.store().snapshot().await.expect("it can be read");
        let (mut history, mut outcomes) = (Sha256::new(), Sha256::new());
        let mut last = None;
        loop {
            let after = last
                .as_ref()
                .map(|(account_id, version)| (account_id, *version));
            let page = snapshot.events(after, PAGE).await.expect("it can be read");
            for event in &page {
                history.update(json::encode_event(event));
            }
            let Some(event) = page.last() else { break };
            last = Some((event.account_id.clone(), event.version));
        }
        let mut after = None;
        loop {
            let page = snapshot
                .commands(after, PAGE)
                .await
                .expect("it can be read");
            for stored in &page {
                outcomes.update(format!("{stored:?}"));
            }
            let Some(stored) = page.last() else { break };
            after = Some(stored.outcome.command_id);
        }
        snapshot.close().await.expect("it can be read");
        let mut read_models = Vec::new();
        let pool = self.read_model().await;
        for table in [
            "account_balance",
            "transactions",
            "transfers",
            "holds",
            "daily_totals",
            "projection_versions",
        ] {
            let digest =
                format!("SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} AS t");
            read_models.push(
                sqlx::query_scalar(AssertSqlSafe(digest))
                    .fetch_one(&pool)
                    .await
                    .expect("it can be read"),
            );
        }
        let nats = self.connect().await;
        let feed = nats
            .jetstream
            .get_stream(streams::EVENTS)
            .await
            .expect("it can be read");
        let state = &feed.cached_info().state;
        Book {
            commands,
            events,
            history: hex::encode(history.finalize()),
            outcomes: hex::encode(outcomes.finalize()),
            read_models,
            feed: (state.last_sequence, state.messages),
            dead_letters: self.messages_in(streams::DEAD_LETTERS).await,
        }
    }

    /// As [`verify`](Self::verify), with the time that so many take.
    async fn verify_all(&self) {
        let run = self
            .command()
            .args(["verify", "--wait-seconds", "120"])
            .output();
        let output = tokio::time::timeout(RUN_MAX, run)
            .await
            .expect("it ends")
            .expect("it runs");
        assert!(output.status.success(), "{}", text(&output.stdout));
    }

    /// Runs `chronicle` over all of them; answers with its one document.
    async fn run_over_all(&self, arguments: &[&str], code: i32) -> Value {
        let begun = Instant::now();
        let run = self.command().args(["-o", "json"]).args(arguments).output();
        let output = tokio::time::timeout(RUN_MAX, run)
            .await
            .expect("it ends")
            .expect("it runs");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        let document = serde_json::from_slice(&output.stdout).expect("it is JSON");
        println!(
            "{arguments:?}: {:.1} s: {document}",
            begun.elapsed().as_secs_f64()
        );
        document
    }
}

#[tokio::test]
async fn a_hundred_thousand_commands_again_and_again_change_nothing() {
    let (ledger, mut process) = Ledger::running().await;
    let author = Author {
        random: Random::seeded("commands again"),
        holds: Vec::new(),
        movements: Vec::new(),
    };
    std::fs::write(ledger.folder.path().join("first.ndjson"), author.file()).unwrap();
    let first = ledger
        .run_over_all(&["send", "--file", "first.ndjson"], 1)
        .await;
    ledger.verify_all().await;
    let before = ledger.book().await;
    assert_eq!(before.commands, i64::try_from(COMMANDS).unwrap());
    assert_eq!(before.dead_letters, 3);
    let (accepted, rejected) = (&first["accepted"], &first["rejected"]);
    let refused: u64 = rejected
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_u64)
        .sum();
    assert!(
        refused > 5_000 && rejected.as_object().unwrap().len() > 5,
        "{first}"
    );
    assert!(accepted.as_u64().unwrap() > 50_000, "{first}");

    // As a file out of the event store.
    let written = ledger
        .run_over_all(&["replay", "commands", "--into", "again.ndjson"], 0)
        .await;
    assert_eq!(written["replayed"], COMMANDS);
    let second = ledger
        .run_over_all(&["send", "--file", "again.ndjson"], 1)
        .await;
    assert_eq!(
        (&second["accepted"], &second["rejected"]),
        (accepted, rejected)
    );
    assert_eq!(ledger.book().await, before);

    // And directly: each answer is compared with the outcome that is stored.
    let third = ledger
        .run_over_all(&["replay", "commands", "--into", "commands"], 0)
        .await;
    assert_eq!(
        (&third["replayed"], &third["changed"]),
        (&COMMANDS.into(), &0.into())
    );
    assert_eq!(
        (&third["accepted"], &third["rejected"]),
        (accepted, &refused.into())
    );
    assert_eq!(ledger.book().await, before);
    ledger.verify_all().await;
    process.until_ready().await;
}
