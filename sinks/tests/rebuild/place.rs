//! An event store with events in it, a read model, and a NATS.

use engine::{Batch, Delivery, Failure, Sink};
use operators::FeedEvent;
use servers::testing;
use sinks::projection::audit::Order;
use sinks::projection::digest::{TableDigest, Which, digest};
use sinks::projection::shadow::{self, Shadow, Walked};
use sinks::projection::swap::{Swap, Swapped};
use sinks::projection::{Definition, Page, Projection, ProjectionSink};
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Executor};
use store::{EventStore, Processed, Writer, WriterOptions};
use transport::Nats;
use transport::streams::{self, Limits};

use crate::support;

pub(crate) const ORDER: Order<'static> = Order {
    by: "tester",
    reason: Some("a test"),
};

pub(crate) struct Place {
    _server: testing::Nats,
    nats: Nats,
    pub(crate) url: String,
    pub(crate) pool: PgPool,
    pub(crate) store: EventStore,
    store_url: String,
    /// How many commands were decided.
    decided: u64,
    writer: Writer,
}

impl Place {
    pub(crate) async fn new() -> Self {
        Self::at(testing::postgres().await.fresh_database("rebuild").await).await
    }

    /// With this read model, which has no tables yet.
    pub(crate) async fn at(url: String) -> Self {
        let server = testing::Nats::start().await;
        let nats = Nats::connect(&server.url()).await.expect("NATS runs");
        sinks::read_model::migrate(&url)
            .await
            .expect("the tables can be made");
        let store_url = testing::event_store_url("rebuild_store").await;
        store::migrate::migrate(&store_url)
            .await
            .expect("the tables can be made");
        let store = EventStore::connect_lazy(&store_url, &store::Options::default())
            .expect("the URL is right");
        Self {
            _server: server,
            nats,
            pool: sinks::read_model::connect_lazy(&url, 8).expect("the URL is right"),
            url,
            writer: Writer::new(store.clone(), WriterOptions::default()),
            store,
            store_url,
            decided: 0,
        }
    }

    /// The same with this many commands decided; some are refused.
    pub(crate) async fn with_commands(commands: u64) -> Self {
        let mut place = Self::new().await;
        place.decide(commands).await;
        place
    }

    /// Decides this many more commands.
    pub(crate) async fn decide(&mut self, commands: u64) {
        let batch: Vec<_> = (self.decided..self.decided + commands)
            .map(support::command)
            .collect();
        self.decided += commands;
        let now = self.store.now().await.expect("it answers");
        for part in batch.chunks(500) {
            let processed = self.writer.process(part, &|| now).await;
            for processed in processed.expect("it takes them") {
                assert!(matches!(processed, Processed::Committed { .. }));
            }
        }
    }

    /// A sink over these connections.
    pub(crate) fn sink_on<P: Projection + Default>(&self, pool: &PgPool) -> ProjectionSink<P> {
        ProjectionSink::new(
            P::default(),
            self.nats.clone(),
            Limits::default(),
            pool,
            self.store.clone(),
        )
    }

    /// A copy of the projection that runs: it has made up for everything.
    pub(crate) async fn live<P: Projection + Default>(&self) -> ProjectionSink<P> {
        let mut sink = self.sink_on::<P>(&self.pool);
        sink.open().await.expect("it can be opened");
        sink
    }

    pub(crate) async fn stream_id(&self) -> String {
        let stream = streams::events(&self.nats.jetstream, &Limits::default()).await;
        streams::identity(&stream.expect("the stream can be made"))
    }

    pub(crate) async fn prepare<P: Projection>(&self) -> Shadow {
        let stream_id = self.stream_id().await;
        shadow::prepare(&self.pool, Definition::of::<P>(), &stream_id, 0, &ORDER)
            .await
            .expect("it can be made")
    }

    /// Builds a copy, or goes on with one, by small pages.
    pub(crate) async fn build<P: Projection + Default>(
        &self,
        told: impl FnMut(&Walked),
    ) -> Result<Shadow, Failure> {
        let shadow = self.prepare::<P>().await;
        let mut sink = self.sink_on::<P>(&shadow.pool);
        sink.walk(shadow.walked.clone(), PAGE, None, told).await?;
        let definition = Definition::of::<P>();
        shadow::finish_tables(&self.pool, definition).await?;
        Ok(shadow)
    }

    pub(crate) async fn swap<P: Projection>(&self) -> Swapped {
        let swap = Swap::begin(&self.pool, Definition::of::<P>()).await;
        let swap = swap.expect("the offset can be locked");
        swap.take_shadow(&ORDER, true)
            .await
            .expect("it can be swapped")
    }

    pub(crate) async fn digest<P: Projection>(&self, which: Which) -> Option<Vec<TableDigest>> {
        digest(&self.pool, Definition::of::<P>(), which)
            .await
            .expect("it can be read")
    }

    /// Runs a statement on the read model.
    pub(crate) async fn execute(&self, statement: &str) {
        let done = self.pool.execute(AssertSqlSafe(statement.to_owned())).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// One number.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
            .fetch_one(&self.pool)
            .await
            .unwrap_or_else(|error| panic!("{query}: {error}"))
    }
}

pub(crate) const PAGE: Page = Page {
    events: 7,
    bytes: 1_000_000,
};

/// A batch of the feed with nothing in it.
pub(crate) fn empty_batch(last_position: u64) -> Batch<FeedEvent> {
    let deliveries: Vec<Delivery<FeedEvent>> = Vec::new();
    Batch {
        deliveries,
        last_position,
    }
}

impl Place {
    /// Copies what one account has to this many more accounts, with SQL: events in number, not in earnest. Answers with
    /// how many there are.
    pub(crate) async fn multiply(&self, accounts: i64) -> u64 {
        let owner = PgPool::connect(&self.store_url)
            .await
            .expect("the event store runs");
        let columns = "event_type, command_id, data, balance_after, actor, recorded_at, prev_hash, hash, profile_version,
            profile, held_after, part";
        let copy = format!(
            "INSERT INTO events (account_id, version, event_id, {columns})
             SELECT 'COPY-' || number, version, gen_random_uuid(), {columns}
             FROM events, generate_series(1, {accounts}) AS number WHERE account_id = 'ACC-1'"
        );
        owner
            .execute(AssertSqlSafe(copy))
            .await
            .expect("it can be copied");
        self.store.events_total().await.expect("it answers")
    }
}
