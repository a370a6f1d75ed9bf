//! Three small ledgers of known content, made by the project's own writer and projections, and the means to break them.
//!
//! | account | versions |
//! |---|---|
//! | A, USD, overdraft limit 50 | 1 opened with 100.00 · 2 deposit 25.00 · 3 withdrawal 110.00 · 4 transfer of 30.00 to B · 5 transfer of 5.00 from B |
//! | B, USD | 1 opened with 0.00 · 2 transfer of 30.00 from A · 3 transfer of 5.00 to A |
//! | C, EUR | 1 opened with 7.50 · 2 deposit 2.50 |
//!
//! A withdrawal of 100.00 from C is rejected. The commands' ids end in 1 … 9, in the order of [`commands`].
//!
//! The eventful one has all in USD, and the commands' ids end in 1 … 23, in the order of [`eventful_commands`]:
//!
//! | account | versions |
//! |---|---|
//! | E | 1 opened with 100.00 · 2 hold 1 of 30.00 · 3 capture of 10.00 · 4, 5 final capture of 5.00 · 6 metadata · 7 transfer of 20.00 to F · 8, 9 of it, 4.00 and 6.00 back |
//! | F | 1 opened with 0.00 · 2 deposit 5.00 · 3 overdraft limit 10.00 · 4 transfer of 20.00 from E · 5, 6 of it, 4.00 and 6.00 back · 7 hold 2 of 5.00 · 8 frozen for credits |
//! | G | 1 opened with 1.00 · 2 deposit 30.00 · 3 all of it back |
//! | H | 1 opened with 3.00 · 2 frozen · 3 credits allowed · 4 unfrozen · 5, 6 closed, 3.00 to I |
//! | I | 1 opened with 0.00 · 2 transfer of 3.00 from H |
//!
//! A withdrawal of 5.00 from G is rejected.
//!
//! The batched one has P and Q in USD, R and S in EUR, and the commands' ids end in 1 … 12, in the order of
//! [`batched_commands`]:
//!
//! | account | versions |
//! |---|---|
//! | P | 1 opened with 100.00 · 2 posting of 10.00 out · 3 transfer of 20.00 to Q · 4 posting of 2.00 in · 5, 6 transfers of 3.00 and 4.00 to Q · 7, 8 these back · 9 the first posting back · 10 transfer of 2.00 to Q · 11 of it, 1.00 back |
//! | Q | 1 opened with 0.00 · 2 posting of 10.00 in · 3 deposit 1.00 · 4 transfer of 20.00 from P · 5 posting of 2.00 out · 6, 7 transfers of 3.00 and 4.00 from P · 8, 9 these back · 10 the first posting back · 11 transfer of 2.00 from P · 12 of it, 1.00 back · 13 deposit 1.00 |
//! | R | 1 opened with 50.00 · 2 posting of 5.00 out · 3 it back |
//! | S | 1 opened with 0.00 · 2 posting of 5.00 in · 3 it back |
//!
//! Command 5 is the posting in both currencies. Command 6 is a batch of Q 3, of P 3 and Q 4, and of Q 5 and P 4; 8 is one
//! of two transfers, and 12 one of a reversal and a deposit. The batch 7 is rejected.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{Batch, Delivery, Sink};
use ledger::{Command, CommandId, Event, Hash, HoldId, Outcome, Timestamp, codec};
use operators::{Decided, FeedEvent};
use sinks::EventFeed;
use sinks::projection::{
    AccountBalance, DailyTotals, Holds, Projection, ProjectionSink, Transactions, Transfers,
};
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Executor};
use store::{EventStore, Processed, Writer, WriterOptions};
use transport::Nats;
use transport::streams::{self, Limits};
use uuid::Uuid;

use crate::report::Report;
use crate::support::Ledger;

/// The id of the `number`th command.
pub(crate) fn command_id(number: u128) -> CommandId {
    Uuid::from_u128(0x0123_4567_89ab_4cde_8f01_0000_0000_0000 + number).into()
}

/// The name of the `number`th hold.
pub(crate) fn hold_id(number: u128) -> HoldId {
    Uuid::from_u128(0x0123_4567_89ab_4cde_8f02_0000_0000_0000 + number).into()
}

/// A command of the given fields, which are written as JSON without the braces.
pub(crate) fn command(number: u128, fields: &str) -> Command {
    let body = format!("{{\"command_id\":\"{}\",{fields}}}", command_id(number));
    codec::json::decode_command(body.as_bytes()).unwrap()
}

fn commands() -> Vec<Command> {
    [
        r#""type":"create_account","account_id":"A","owner_name":"Ann","currency":"USD","initial_balance":"100.00","overdraft_limit":"50""#,
        r#""type":"create_account","account_id":"B","owner_name":"Bob","currency":"USD""#,
        r#""type":"create_account","account_id":"C","owner_name":"Cleo","currency":"EUR","initial_balance":"7.50""#,
        r#""type":"deposit","account_id":"A","amount":"25","actor":"teller-3""#,
        r#""type":"withdraw","account_id":"A","amount":"110","metadata":{"invoice":"77"}"#,
        r#""type":"transfer","from_account_id":"A","to_account_id":"B","amount":"30","description":"rent""#,
        r#""type":"withdraw","account_id":"C","amount":"100""#,
        r#""type":"deposit","account_id":"C","amount":"2.5""#,
        r#""type":"transfer","from_account_id":"B","to_account_id":"A","amount":"5""#,
    ]
    .into_iter()
    .zip(1..)
    .map(|(fields, number)| command(number, fields))
    .collect()
}

fn eventful_commands() -> Vec<Command> {
    let (first, second) = (hold_id(1), hold_id(2));
    let back = |fields: &str, number| {
        format!(
            r#""type":"reverse","reversed_command_id":"{}","reason":"a mistake",{fields}"#,
            command_id(number)
        )
    };
    [
        r#""type":"create_account","account_id":"E","owner_name":"Eve","currency":"USD","initial_balance":"100""#.to_owned(),
        format!(r#""type":"hold","account_id":"E","hold_id":"{first}","amount":"30""#),
        format!(r#""type":"capture","account_id":"E","hold_id":"{first}","amount":"10""#),
        format!(r#""type":"capture","account_id":"E","hold_id":"{first}","amount":"5","final":true"#),
        r#""type":"create_account","account_id":"F","owner_name":"Fay","currency":"USD""#.to_owned(),
        r#""type":"update_account","account_id":"E","account_metadata":{"tier":"gold"}"#.to_owned(),
        r#""type":"deposit","account_id":"F","amount":"5""#.to_owned(),
        r#""type":"set_overdraft_limit","account_id":"F","overdraft_limit":"10""#.to_owned(),
        r#""type":"transfer","from_account_id":"E","to_account_id":"F","amount":"20""#.to_owned(),
        back(r#""account_id":"E","amount":"4""#, 9),
        back(r#""account_id":"E","amount":"6""#, 9),
        format!(
            r#""type":"hold","account_id":"F","hold_id":"{second}","amount":"5","hold_expires_at":"2126-01-31T12:00:00Z","description":"a room""#
        ),
        r#""type":"freeze_account","account_id":"F","scope":"credits","reason":"a claim""#.to_owned(),
        r#""type":"create_account","account_id":"G","owner_name":"Gil","currency":"USD","initial_balance":"1""#.to_owned(),
        r#""type":"deposit","account_id":"G","amount":"30""#.to_owned(),
        back(r#""account_id":"G""#, 15),
        r#""type":"withdraw","account_id":"G","amount":"5""#.to_owned(),
        r#""type":"create_account","account_id":"H","owner_name":"Hal","currency":"USD","initial_balance":"3""#.to_owned(),
        r#""type":"freeze_account","account_id":"H","reason":"a claim""#.to_owned(),
        r#""type":"unfreeze_account","account_id":"H","scope":"credits""#.to_owned(),
        r#""type":"unfreeze_account","account_id":"H""#.to_owned(),
        r#""type":"create_account","account_id":"I","owner_name":"Ida","currency":"USD""#.to_owned(),
        r#""type":"close_account","account_id":"H","sweep_to_account_id":"I""#.to_owned(),
        r#""type":"set_account_rules","account_id":"I","daily_debit_amount_max":"2.5","maximum_balance":"100","allowed_counterparties":["E"]"#.to_owned(),
        r#""type":"withdraw","account_id":"I","amount":"1""#.to_owned(),
    ]
    .into_iter()
    .zip(1..)
    .map(|(fields, number)| command(number, &fields))
    .collect()
}

fn batched_commands() -> Vec<Command> {
    let open = |account: &str, currency: &str, balance: &str| {
        format!(
            r#""type":"create_account","account_id":"{account}","owner_name":"O","currency":"{currency}","initial_balance":"{balance}""#
        )
    };
    let transfer = |from: &str, to: &str, amount: &str| {
        format!(
            r#""type":"transfer","from_account_id":"{from}","to_account_id":"{to}","amount":"{amount}""#
        )
    };
    let post = |entries: &[(&str, &str, &str)]| {
        let entries: Vec<String> = entries
            .iter()
            .map(|(account, direction, amount)| {
                format!(
                    r#"{{"account_id":"{account}","direction":"{direction}","amount":"{amount}"}}"#
                )
            })
            .collect();
        format!(r#""type":"post","entries":[{}]"#, entries.join(","))
    };
    let batch = |commands: &[String]| {
        let commands: Vec<String> = commands
            .iter()
            .map(|fields| format!("{{{fields}}}"))
            .collect();
        format!(r#""type":"batch","commands":[{}]"#, commands.join(","))
    };
    let back = |number, more: &str| {
        format!(
            r#""type":"reverse","account_id":"P","reversed_command_id":"{}","reason":"a mistake"{more}"#,
            command_id(number)
        )
    };
    let deposit = r#""type":"deposit","account_id":"Q","amount":"1","description":"one""#;
    [
        open("P", "USD", "100"),
        open("Q", "USD", "0"),
        open("R", "EUR", "50"),
        open("S", "EUR", "0"),
        post(&[
            ("P", "debit", "10"),
            ("R", "debit", "5"),
            ("Q", "credit", "10"),
            ("S", "credit", "5"),
        ]) + r#","description":"a deal""#,
        batch(&[
            deposit.to_owned(),
            transfer("P", "Q", "20"),
            post(&[("Q", "debit", "2"), ("P", "credit", "2")]),
        ]) + r#","actor":"teller-3","description":"the batch's own""#,
        batch(&[
            transfer("Q", "P", "1"),
            r#""type":"withdraw","account_id":"Q","amount":"1000""#.to_owned(),
        ]),
        batch(&[transfer("P", "Q", "3"), transfer("P", "Q", "4")]),
        back(8, ""),
        back(5, ""),
        transfer("P", "Q", "2"),
        batch(&[back(11, r#","amount":"1""#), deposit.to_owned()]),
    ]
    .into_iter()
    .zip(1..)
    .map(|(fields, number)| command(number, &fields))
    .collect()
}

/// The ledger.
pub(crate) struct Book {
    pub(crate) ledger: Ledger,
    pub(crate) store: EventStore,
    pub(crate) nats: Nats,
    /// The event store, as its owner.
    pub(crate) owner: PgPool,
    pub(crate) read_model: PgPool,
    /// How many messages the feed has.
    published: u64,
}

impl Book {
    /// Servers and tables, with nothing in them.
    pub(crate) async fn empty() -> Self {
        let ledger = Ledger::new().await;
        Self {
            store: EventStore::connect_lazy(&ledger.event_store, &store::Options::default())
                .unwrap(),
            nats: ledger.connect().await,
            owner: ledger.event_store().await,
            read_model: ledger.read_model().await,
            published: 0,
            ledger,
        }
    }

    /// The first ledger described above, in the event store, the feed and all read models.
    pub(crate) async fn written() -> Self {
        Self::of(&commands()).await
    }

    /// The eventful one.
    pub(crate) async fn eventful() -> Self {
        Self::of(&eventful_commands()).await
    }

    /// The batched one.
    pub(crate) async fn batched() -> Self {
        Self::of(&batched_commands()).await
    }

    async fn of(commands: &[Command]) -> Self {
        let mut book = Self::empty().await;
        let events = book.process(commands).await;
        book.publish(events.clone()).await;
        book.project(events).await;
        book
    }

    /// Decides and commits commands; answers with their events.
    pub(crate) async fn process(&self, commands: &[Command]) -> Vec<Event> {
        let mut writer = Writer::new(self.store.clone(), WriterOptions::default());
        let now = || Timestamp::from_date_time(time::OffsetDateTime::now_utc());
        let processed = writer.process(commands, &now).await.unwrap();
        let events = |processed| match processed {
            Processed::Committed { events, .. } => events,
            other => panic!("{other:?}"),
        };
        processed.into_iter().flat_map(events).collect()
    }

    /// Publishes events to the feed.
    pub(crate) async fn publish(&mut self, events: Vec<Event>) {
        let mut feed = EventFeed::new(self.nats.clone(), Limits::default());
        feed.open().await.unwrap();
        self.published += events.len() as u64;
        let item = Decided {
            outcome: Outcome::of(command_id(0), Ok(&[])),
            events,
            reply_to: None,
        };
        feed.write(&batch(vec![(1, item)])).await.unwrap();
    }

    /// Applies events, the last of which is the last of the feed, to all read models.
    pub(crate) async fn project(&self, events: Vec<Event>) {
        let first = self.published + 1 - events.len() as u64;
        let items = (first..).zip(
            events
                .into_iter()
                .map(|event| FeedEvent::Event(Arc::new(event))),
        );
        let batch = batch(items.collect());
        self.project_with(AccountBalance, &batch).await;
        self.project_with(Transactions, &batch).await;
        self.project_with(Transfers, &batch).await;
        self.project_with(Holds, &batch).await;
        self.project_with(DailyTotals, &batch).await;
    }

    pub(crate) async fn project_with<P: Projection>(
        &self,
        projection: P,
        batch: &Batch<FeedEvent>,
    ) {
        let (nats, pool) = (self.nats.clone(), self.read_model.clone());
        let mut sink = ProjectionSink::new(
            projection,
            nats,
            Limits::default(),
            &pool,
            self.store.clone(),
        );
        sink.open().await.unwrap();
        sink.write(batch).await.unwrap();
    }

    /// Runs SQL on the event store as its owner; it must change something.
    pub(crate) async fn tamper(&self, sql: &str) {
        change(&self.owner, sql).await;
    }

    /// Runs SQL on the read model; it must change something.
    pub(crate) async fn tamper_read_model(&self, sql: &str) {
        change(&self.read_model, sql).await;
    }

    /// What a column of the read model holds, as SQL.
    pub(crate) async fn literal(&self, table: &str, column: &str, of: &str) -> String {
        let sql = format!("SELECT quote_nullable({column}::text) FROM {table} WHERE {of}");
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&self.read_model)
            .await
            .unwrap()
    }

    /// Rewrites what a command asked for, with the fingerprint that belongs to it.
    pub(crate) async fn rewrite_command(
        &self,
        command_id: CommandId,
        alter: impl Fn(&mut Command),
    ) {
        let mut command = self.store.command(command_id).await.unwrap().unwrap();
        alter(&mut command);
        let body = String::from_utf8(codec::json::encode_command(&command)).unwrap();
        let written = sqlx::query(
            "UPDATE commands SET body = $2::text::jsonb, fingerprint = $3 WHERE command_id = $1",
        )
        .bind(command_id.as_uuid())
        .bind(body)
        .bind(command.fingerprint().as_bytes().as_slice())
        .execute(&self.owner);
        assert_eq!(written.await.unwrap().rows_affected(), 1);
    }

    /// Rewrites an account's history as somebody would who may write everything: changes its events, seals each anew,
    /// and links each to the one before.
    pub(crate) async fn rewrite(&self, account_id: &str, alter: impl Fn(&mut Event)) {
        let mut previous = Hash::ZERO;
        for mut event in self.history(account_id).await {
            alter(&mut event);
            event.prev_hash = previous;
            event.hash = event.compute_hash();
            previous = event.hash;
            self.overwrite(&event).await;
        }
    }

    /// Changes one event and seals it anew; the link behind it breaks.
    pub(crate) async fn reseal(&self, account_id: &str, version: u64, alter: impl Fn(&mut Event)) {
        let events = self.history(account_id).await;
        let mut event = events
            .into_iter()
            .find(|event| event.version.get() == version)
            .unwrap();
        alter(&mut event);
        event.hash = event.compute_hash();
        self.overwrite(&event).await;
    }

    pub(crate) async fn history(&self, account_id: &str) -> Vec<Event> {
        self.store
            .history(&account_id.parse().unwrap(), ledger::Version::NONE, 100)
            .await
            .unwrap()
    }

    async fn overwrite(&self, event: &Event) {
        let written = sqlx::query(
            "UPDATE events SET data = $3::text::jsonb, balance_after = $4, recorded_at = $5, prev_hash = $6, hash = $7,
                held_after = $8, part = $9
             WHERE account_id = $1 AND version = $2",
        )
        .bind(event.account_id.as_str())
        .bind(i64::try_from(event.version.get()).unwrap())
        .bind(codec::json::encode_event_data(event))
        .bind(event.balance_after.value())
        .bind(event.recorded_at.to_date_time())
        .bind(event.prev_hash.as_bytes().as_slice())
        .bind(event.hash.as_bytes().as_slice())
        .bind((!event.held_after.is_zero()).then(|| event.held_after.value()))
        .bind(event.part.map(i64::from))
        .execute(&self.owner);
        assert_eq!(written.await.unwrap().rows_affected(), 1);
    }

    /// What `chronicle verify` says, without waiting for anything.
    pub(crate) async fn verify(&self, code: i32) -> Report {
        Report(
            self.ledger
                .json(&["verify", "--wait-seconds", "0"], code)
                .await,
        )
    }

    /// What `chronicle verify` says of a ledger in which exactly these invariants are violated.
    pub(crate) async fn violates(&self, invariants: &[&str]) -> Report {
        let report = self.verify(1).await;
        let found: BTreeSet<&str> = report.violated();
        assert_eq!(
            found,
            invariants.iter().copied().collect(),
            "{:#}",
            report.0
        );
        report
    }

    /// The commands stream as the intake would make it.
    pub(crate) async fn commands_stream(&self) -> async_nats::jetstream::stream::Stream {
        streams::commands(&self.nats.jetstream, 1, &Limits::default())
            .await
            .unwrap()
    }

    /// The streams that an intake makes besides the feed.
    pub(crate) async fn intake_streams(&self) {
        self.commands_stream().await;
        streams::dead_letters(&self.nats.jetstream, &Limits::default())
            .await
            .unwrap();
    }
}

async fn change(pool: &PgPool, sql: &str) {
    let changed = pool.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    assert!(changed.rows_affected() > 0, "nothing was changed by {sql}");
}

/// A batch of these items at these positions.
pub(crate) fn batch<T>(items: Vec<(u64, T)>) -> Batch<T> {
    let last_position = items.last().map_or(0, |(position, _)| *position);
    let delivery = |(position, item)| Delivery {
        position,
        origin: None,
        item,
    };
    Batch {
        deliveries: items.into_iter().map(delivery).collect(),
        last_position,
    }
}
