//! Every source keeps the contract of sources, on a real nats-server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::testing::contract::source::{self, SourceUnderTest};
use engine::{Delivery, Opened, Source};
use futures::StreamExt;
use servers::testing;
use sources::{
    DueHold, DueHolds, FeedItem, Incoming, JetStreamCommands, JetStreamCommandsConfig,
    JetStreamEvents, Runs,
};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;
use transport::streams::{self, Limits};
use transport::{Nats, headers};
use uuid::Uuid;

/// A server of its own for each log.
struct Log {
    server: testing::Nats,
    nats: Nats,
    appended: AtomicUsize,
}

impl Log {
    async fn new() -> Self {
        let server = testing::Nats::start().await;
        let nats = Nats::connect(&server.url())
            .await
            .expect("the server has just been started");
        Self {
            server,
            nats,
            appended: AtomicUsize::new(0),
        }
    }

    /// Publishes `count` messages, each with an id of its own.
    async fn publish(&self, subject: &str, count: usize) {
        for _ in 0..count {
            let number = self.appended.fetch_add(1, Ordering::Relaxed);
            let mut map = async_nats::HeaderMap::new();
            map.insert(headers::MESSAGE_ID, format!("message-{number}").as_str());
            let publish = self.nats.jetstream.publish_with_headers(
                subject.to_owned(),
                map,
                format!("{number}").into(),
            );
            publish
                .await
                .expect("it can be published")
                .await
                .expect("it is stored");
        }
    }

    /// A connection as a new process would have one.
    async fn connect_again(&self) -> Nats {
        Nats::connect(&self.server.url())
            .await
            .expect("the server runs")
    }
}

/// Where the sources of one log run: a source that follows another in its process is more careful.
#[derive(Clone)]
enum Process {
    Same(Runs),
    Another,
}

impl Process {
    fn runs(&self) -> Runs {
        match self {
            Self::Same(runs) => runs.clone(),
            Self::Another => Runs::default(),
        }
    }
}

/// One of several partitions: the messages of the others are not its own.
struct Commands {
    log: Log,
    config: JetStreamCommandsConfig,
    process: Process,
}

impl Commands {
    async fn new(partitions: u32, process: Process) -> Self {
        let log = Log::new().await;
        streams::commands(&log.nats.jetstream, partitions, &Limits::default())
            .await
            .expect("the stream can be made");
        let config = JetStreamCommandsConfig {
            partitions,
            partition: partitions - 1,
            credit: 50,
            ..JetStreamCommandsConfig::default()
        };
        Self {
            log,
            config,
            process,
        }
    }

    /// An account of the partition that is read.
    fn account(&self) -> &'static str {
        // By JetStream's partition(2,1): this one lands in partition 1.
        if self.config.partitions == 1 {
            "ACC-1"
        } else {
            "ACC-0"
        }
    }
}

impl SourceUnderTest for Commands {
    type Source = JetStreamCommands;

    async fn append(&self, count: usize) {
        for _ in 0..count {
            self.log
                .publish(&format!("ledger.commands.{}", self.account()), 1)
                .await;
            if self.config.partitions > 1 {
                self.log.publish("ledger.commands.ACC-1", 1).await;
            }
        }
    }

    async fn build(&self) -> JetStreamCommands {
        let config = JetStreamCommandsConfig {
            runs: self.process.runs(),
            ..self.config.clone()
        };
        JetStreamCommands::new(self.log.connect_again().await, config)
    }

    fn identity(&self, item: &Incoming) -> String {
        String::from_utf8_lossy(&item.message.payload).into_owned()
    }

    fn in_flight_max(&self) -> Option<usize> {
        Some(self.config.credit)
    }
}

/// Holds that are over, in a read model of their own.
struct Due {
    pool: PgPool,
    appended: AtomicUsize,
}

impl Due {
    async fn new() -> Self {
        let postgres = testing::postgres().await;
        let pool = PgPool::connect(&postgres.fresh_database("read_model").await)
            .await
            .expect("the database has just been made");
        sqlx::migrate!("../migrations/read_model")
            .run(&pool)
            .await
            .expect("the tables can be made");
        Self {
            pool,
            appended: AtomicUsize::new(0),
        }
    }

    async fn insert(&self, number: u128, remaining: i32, expires_at: &str) {
        let statement = format!(
            "INSERT INTO holds (account_id, hold_id, amount, captured, remaining, currency, status, expires_at, version,
                placed_at, updated_at)
             VALUES ('ACC-1', $1, 5, 0, $2, 'USD', 'open', {expires_at}, 1, now(), now())"
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(Uuid::from_u128(number))
            .bind(remaining)
            .execute(&self.pool)
            .await
            .expect("a hold can be written");
    }
}

impl SourceUnderTest for Due {
    type Source = DueHolds;

    async fn append(&self, count: usize) {
        for _ in 0..count {
            let number = self.appended.fetch_add(1, Ordering::Relaxed) as u128;
            self.insert(3 * number, 5, "clock_timestamp()").await;
            // Neither over nor open.
            self.insert(3 * number + 1, 5, "clock_timestamp() + interval '1 hour'")
                .await;
            self.insert(3 * number + 2, 0, "clock_timestamp()").await;
        }
    }

    async fn build(&self) -> DueHolds {
        DueHolds::new(&self.pool)
    }

    fn identity(&self, item: &DueHold) -> String {
        assert_eq!(item.attempt, 1);
        item.hold_id.to_string()
    }
}

/// The feed, read by a sink that keeps the offset.
struct Events {
    log: Log,
    process: Process,
}

impl SourceUnderTest for Events {
    type Source = JetStreamEvents;

    async fn append(&self, count: usize) {
        self.log.publish("ledger.events.ACC-1", count).await;
    }

    async fn build(&self) -> JetStreamEvents {
        JetStreamEvents::new(self.log.connect_again().await, Limits::default())
            .among(&self.process.runs())
    }

    fn identity(&self, item: &FeedItem) -> String {
        match item {
            FeedItem::Message(message) => {
                String::from_utf8_lossy(&message.message().payload).into_owned()
            }
            FeedItem::Lost { why } => panic!("nothing was lost, and it says: {why}"),
        }
    }

    fn remembers(&self) -> bool {
        false
    }

    fn mark(&self, item: &FeedItem) -> Option<String> {
        match item {
            FeedItem::Message(message) => message
                .message()
                .header(headers::MESSAGE_ID)
                .map(str::to_owned),
            FeedItem::Lost { .. } => None,
        }
    }
}

async fn events(process: impl Fn() -> Process) {
    source::all(async || {
        let log = Log::new().await;
        streams::events(&log.nats.jetstream, &Limits::default())
            .await
            .expect("the stream can be made");
        Events {
            log,
            process: process(),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_only_partition() {
    source::all(async || Commands::new(1, Process::Another).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_one_partition_of_two() {
    source::all(async || Commands::new(2, Process::Another).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_again_in_the_same_process() {
    source::all(async || Commands::new(2, Process::Same(Runs::default())).await).await;
}

/// No log lies behind this source, so positions count within one run, and the rules that compare them over several runs
/// are told here by what is delivered.
#[tokio::test(flavor = "multi_thread")]
async fn holds_that_are_over() {
    source::delivers_in_order(Due::new).await;

    let due = Due::new().await;
    due.append(6).await;
    let (_, first) = take(&due, 6).await;
    let (mut opened, again) = take(&due, 6).await;
    let holds = |deliveries: &[Delivery<DueHold>]| -> Vec<DueHold> {
        deliveries
            .iter()
            .map(|delivery| delivery.item.clone())
            .collect()
    };
    assert_eq!(
        holds(&again),
        holds(&first),
        "what nobody settled must come again"
    );
    for _ in 0..2 {
        let settled = opened.settler.settle(again[1].position).await;
        settled.expect("the read model answers");
    }
    drop(opened);
    let (_, rest) = take(&due, 4).await;
    assert_eq!(
        holds(&rest),
        holds(&first[2..]),
        "what is settled must not come again"
    );
}

/// Opens the source anew and takes so many.
async fn take(due: &Due, count: usize) -> (Opened<DueHold>, Vec<Delivery<DueHold>>) {
    let mut opened = due.build().await.open(None).await.expect("it opens");
    let mut taken = Vec::with_capacity(count);
    while taken.len() < count {
        let delivery = opened.deliveries.next().await.expect("it goes on");
        taken.push(delivery.expect("the read model answers"));
    }
    (opened, taken)
}

/// A request that came to nothing is made again after a while, by another command.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_still_there_is_delivered_again_as_another_attempt() {
    let due = Due::new().await;
    due.append(1).await;
    for attempt in 1..=3 {
        let (mut opened, delivered) = take(&due, 1).await;
        assert_eq!(delivered[0].item.attempt, attempt);
        let settled = opened.settler.settle(delivered[0].position).await;
        settled.expect("the read model answers");
        sqlx::query(
            "UPDATE hold_expiry_requests SET requested_at = clock_timestamp() - interval '61 seconds'",
        )
        .execute(&due.pool)
        .await
        .expect("time can be turned back");
    }
    sqlx::query("UPDATE holds SET remaining = 0")
        .execute(&due.pool)
        .await
        .expect("the hold can end");
    let mut opened = due.build().await.open(None).await.expect("it opens");
    let nothing = tokio::time::timeout(Duration::from_secs(2), opened.deliveries.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM hold_expiry_requests")
        .fetch_one(&due.pool)
        .await
        .expect("it can be read");
    assert_eq!(left, 0, "requests for holds that are gone are forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_from_the_feed() {
    events(|| Process::Another).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_from_the_feed_again_in_the_same_process() {
    events(|| Process::Same(Runs::default())).await;
}
