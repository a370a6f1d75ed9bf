//! Every sink keeps the contract of sinks, on a real nats-server and a real PostgreSQL.

mod support;

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use engine::testing::contract::sink::{self, SinkUnderTest};
use futures::StreamExt;
use ledger::{Command, Outcome};
use operators::{Decided, FeedEvent};
use servers::testing;
use sinks::projection::{
    AccountBalance, DailyTotals, Holds, Projection, ProjectionSink, Transactions, Transfers,
};
use sinks::{Commands, EventFeed, Outcomes};
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Row};
use store::EventStore;
use support::history;
use transport::Nats;
use transport::streams::{self, Limits};

/// A read model of its own.
struct ReadModel<P> {
    _server: testing::Nats,
    nats: Nats,
    pool: PgPool,
    store: EventStore,
    projection: PhantomData<P>,
}

impl<P> ReadModel<P> {
    async fn new() -> Self {
        let server = testing::Nats::start().await;
        let nats = Nats::connect(&server.url())
            .await
            .expect("the server has just been started");
        let postgres = testing::postgres().await;
        let read_model = postgres.fresh_database("read_model").await;
        sinks::read_model::migrate(&read_model)
            .await
            .expect("the tables can be made");
        let event_store = postgres.fresh_database("event_store").await;
        store::migrate::migrate(&event_store)
            .await
            .expect("the tables can be made");
        Self {
            _server: server,
            nats,
            pool: sinks::read_model::connect_lazy(&read_model, 4).expect("the URL is right"),
            store: EventStore::connect_lazy(&event_store, &store::Options::default())
                .expect("the URL is right"),
            projection: PhantomData,
        }
    }
}

impl<P: Projection + Default> SinkUnderTest for ReadModel<P> {
    type Sink = ProjectionSink<P>;

    async fn build(&self) -> ProjectionSink<P> {
        ProjectionSink::new(
            P::default(),
            self.nats.clone(),
            Limits::default(),
            &self.pool,
            self.store.clone(),
        )
    }

    fn items(&self, count: usize) -> Vec<FeedEvent> {
        history(count)
            .into_iter()
            .map(|event| FeedEvent::Event(Arc::new(event)))
            .collect()
    }

    /// Every row of the projection, with its versions and its offset, but for the epoch and the clock.
    async fn effect(&self) -> String {
        let statements = [
            format!(
                "SELECT row_to_json(t)::text AS row FROM {} AS t ORDER BY 1",
                P::NAME
            ),
            "SELECT row_to_json(t)::text AS row FROM projection_versions AS t ORDER BY 1"
                .to_owned(),
            "SELECT coalesce(max(last_sequence), 0)::text AS row FROM projection_offsets"
                .to_owned(),
        ];
        let mut effect = String::new();
        for statement in statements {
            let rows = sqlx::query(AssertSqlSafe(statement))
                .fetch_all(&self.pool)
                .await;
            for row in rows.expect("the read model can be read") {
                effect.push_str(row.get("row"));
                effect.push('\n');
            }
        }
        effect
    }
}

/// A feed of its own, or somebody who listens.
struct Ears {
    _server: testing::Nats,
    nats: Nats,
    heard: Arc<Mutex<BTreeSet<String>>>,
}

impl Ears {
    async fn new() -> Self {
        let server = testing::Nats::start().await;
        let nats = Nats::connect(&server.url())
            .await
            .expect("the server has just been started");
        let heard = Arc::new(Mutex::new(BTreeSet::new()));
        let mut messages = nats
            .client
            .subscribe("ledger.outcomes.*")
            .await
            .expect("it can be subscribed to");
        nats.client
            .flush()
            .await
            .expect("the server knows the subscription");
        let collected = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let text = format!(
                    "{} {}",
                    message.subject,
                    String::from_utf8_lossy(&message.payload)
                );
                collected
                    .lock()
                    .expect("nobody panics with it")
                    .insert(text);
            }
        });
        Self {
            _server: server,
            nats,
            heard,
        }
    }

    /// Decisions as they come from `validate`.
    fn decisions(count: usize) -> Vec<Decided> {
        history(count)
            .into_iter()
            .map(|event| Decided {
                outcome: Outcome::of(event.command_id, Ok(std::slice::from_ref(&event))),
                events: vec![event],
                reply_to: None,
            })
            .collect()
    }
}

struct Feed(Ears);

impl SinkUnderTest for Feed {
    type Sink = EventFeed;

    async fn build(&self) -> EventFeed {
        EventFeed::new(self.0.nats.clone(), Limits::default())
    }

    fn items(&self, count: usize) -> Vec<Decided> {
        Ears::decisions(count)
    }

    /// The messages of the stream, in order. (All rules pass within JetStream's duplicate window.)
    async fn effect(&self) -> String {
        let stream = streams::events(&self.0.nats.jetstream, &Limits::default())
            .await
            .expect("there is a stream");
        let last = stream.cached_info().state.last_sequence;
        let mut effect = String::new();
        for sequence in 1..=last {
            let message = stream
                .get_raw_message(sequence)
                .await
                .expect("nothing is missing");
            let payload = String::from_utf8_lossy(&message.payload);
            effect.push_str(&[message.subject.as_str(), " ", &payload, "\n"].concat());
        }
        effect
    }
}

struct OwnCommands(Ears);

impl SinkUnderTest for OwnCommands {
    type Sink = Commands;

    async fn build(&self) -> Commands {
        Commands::new(self.0.nats.clone(), 1, Limits::default())
    }

    fn items(&self, count: usize) -> Vec<Command> {
        (0..).map(support::command).take(count).collect()
    }

    /// The messages of the stream, in any order. (All rules pass within JetStream's duplicate window.)
    async fn effect(&self) -> String {
        let stream = streams::existing(&self.0.nats.jetstream, streams::COMMANDS)
            .await
            .expect("the server answers");
        let Some(stream) = stream else {
            return String::new();
        };
        let mut messages = Vec::new();
        for sequence in 1..=stream.cached_info().state.last_sequence {
            let message = stream
                .get_raw_message(sequence)
                .await
                .expect("nothing is missing");
            messages.push(String::from_utf8_lossy(&message.payload).into_owned());
        }
        messages.sort();
        messages.join("\n")
    }
}

struct Answers(Ears);

impl SinkUnderTest for Answers {
    type Sink = Outcomes;

    async fn build(&self) -> Outcomes {
        Outcomes::new(self.0.nats.clone())
    }

    fn items(&self, count: usize) -> Vec<Decided> {
        Ears::decisions(count)
    }

    /// What was heard: an answer that comes twice says the same twice.
    async fn effect(&self) -> String {
        // What the server has sent before it answers this has arrived before it.
        self.0.nats.client.flush().await.expect("the server runs");
        tokio::task::yield_now().await;
        let mut before = usize::MAX;
        loop {
            let heard = self.0.heard.lock().expect("nobody panics with it").clone();
            if heard.len() == before {
                return heard.into_iter().collect::<Vec<_>>().join("\n");
            }
            before = heard.len();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn account_balance() {
    sink::all(async || ReadModel::<AccountBalance>::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions() {
    sink::all(async || ReadModel::<Transactions>::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers() {
    sink::all(async || ReadModel::<Transfers>::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds() {
    sink::all(async || ReadModel::<Holds>::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn daily_totals() {
    sink::all(async || ReadModel::<DailyTotals>::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands() {
    sink::all(async || OwnCommands(Ears::new().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_feed() {
    sink::all(async || Feed(Ears::new().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes() {
    sink::all(async || Answers(Ears::new().await)).await;
}
