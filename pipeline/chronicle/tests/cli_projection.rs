//! `chronicle projection`, over offsets that the test has put there.

mod cli_support;

use cli_support::{Done, Place};
use serde_json::{Value, json};
use servers::testing;
use sqlx::postgres::PgPool;
use transport::streams;

const PROJECTIONS: [&str; 4] = ["account_balance", "holds", "transactions", "transfers"];

struct ReadModel {
    place: Place,
    url: String,
    pool: PgPool,
}

impl ReadModel {
    async fn new() -> Self {
        let url = testing::postgres().await.fresh_database("cli").await;
        sinks::read_model::migrate(&url)
            .await
            .expect("the tables can be made");
        let pool = PgPool::connect(&url).await.expect("PostgreSQL runs");
        Self {
            place: Place::new().await,
            url,
            pool,
        }
    }

    async fn ask(&self, arguments: &[&str]) -> Done {
        let ours = ["projection"];
        self.place
            .chronicle(&[&ours[..], arguments, &["--read-model-url", &self.url]].concat())
            .await
    }

    /// The projection has read the feed of that life up to there.
    async fn stands(&self, projection: &str, stream_id: &str, offset: i64) {
        sqlx::query("INSERT INTO projection_offsets (projection, stream_id, epoch, last_sequence, updated_at) VALUES ($1, $2, 3, $3, now())")
            .bind(projection)
            .bind(stream_id)
            .bind(offset)
            .execute(&self.pool)
            .await
            .expect("it can be put there");
    }

    async fn rows(&self, query: &'static str) -> Vec<(String, i64, String)> {
        sqlx::query_as(query)
            .fetch_all(&self.pool)
            .await
            .expect("it can be read")
    }
}

fn column(lines: &[Value], name: &str) -> Vec<Value> {
    lines.iter().map(|line| line[name].clone()).collect()
}

#[tokio::test]
async fn the_list_says_how_far_each_is_behind() {
    let read_model = ReadModel::new().await;
    // Before anything has run: all of them, and nothing known.
    let lines = read_model
        .ask(&["list", "-o", "json"])
        .await
        .exits(0)
        .lines();
    assert_eq!(
        column(&lines, "projection"),
        PROJECTIONS.map(|name| json!(name))
    );
    assert_eq!(column(&lines, "offset"), PROJECTIONS.map(|_| Value::Null));

    let stream = read_model.place.feed().await;
    for _ in 0..5 {
        let published = read_model
            .place
            .nats
            .jetstream
            .publish("ledger.events.A", "x".into())
            .await;
        published.unwrap().await.unwrap();
    }
    let life = streams::identity(&stream);
    read_model.stands("account_balance", &life, 5).await;
    read_model.stands("holds", &life, 5).await;
    read_model.stands("transactions", &life, 2).await;
    read_model.stands("transfers", "another life", 99).await;
    let done = read_model
        .ask(&["list", "-o", "json"])
        .await
        .exits(0)
        .says("chronicle projection adopt-stream transfers");
    let lines = done.lines();
    assert_eq!(
        column(&lines, "head"),
        [json!(5), json!(5), json!(5), Value::Null]
    );
    assert_eq!(
        column(&lines, "lag_events"),
        [json!(0), json!(0), json!(3), Value::Null]
    );
    assert_eq!(column(&lines, "epoch"), [3, 3, 3, 3]);
    read_model
        .ask(&["list"])
        .await
        .exits(0)
        .prints("LAG")
        .prints("another life");

    // The offsets are known without NATS, too.
    read_model.place.server.stop().await;
    let done = read_model
        .ask(&["list", "-o", "json"])
        .await
        .exits(0)
        .says("the head of the feed is not known");
    assert_eq!(column(&done.lines(), "offset"), [5, 5, 2, 99]);
}

#[tokio::test]
async fn a_new_feed_is_adopted_by_name_or_by_all() {
    const OFFSETS: &str =
        "SELECT projection, last_sequence, stream_id FROM projection_offsets ORDER BY projection";
    let read_model = ReadModel::new().await;
    read_model
        .ask(&["adopt-stream", "transfers"])
        .await
        .exits(1)
        .says("there is no feed")
        .prints_nothing();
    let life = streams::identity(&read_model.place.feed().await);
    read_model
        .ask(&["adopt-stream", "transfers"])
        .await
        .exits(1)
        .says("has never run")
        .prints_nothing();
    for name in ["account_balance", "transfers"] {
        read_model.stands(name, "an old life", 7).await;
    }
    let document = read_model
        .ask(&["adopt-stream", "projection.transfers", "-o", "json"])
        .await
        .exits(0)
        .document();
    assert_eq!(
        document,
        json!({"projection": "transfers", "adopted": true, "stream_id": life, "before": "an old life"})
    );
    let row = |name: &str, offset: i64, life: &str| (name.to_owned(), offset, life.to_owned());
    assert_eq!(
        read_model.rows(OFFSETS).await,
        [
            row("account_balance", 7, "an old life"),
            row("transfers", 0, &life)
        ]
    );
    let all = read_model
        .ask(&["adopt-stream", "--all"])
        .await
        .exits(0)
        .prints("reads this feed already");
    assert!(
        all.out
            .contains("account_balance goes on with the feed made"),
        "{all:#?}"
    );
    assert!(all.err.contains("transactions"), "{all:#?}");
    assert_eq!(
        read_model.rows(OFFSETS).await,
        [row("account_balance", 0, &life), row("transfers", 0, &life)]
    );
}

#[tokio::test]
async fn a_skip_is_recorded_with_who_and_why() {
    const SKIPS: &str =
        "SELECT reason, last_sequence, skipped_by FROM projection_skips ORDER BY last_sequence";
    let read_model = ReadModel::new().await;
    let skip = [
        "skip",
        "transfers",
        "--sequence",
        "1",
        "--reason",
        "damaged in the mail",
        "-o",
        "json",
    ];
    read_model
        .ask(&skip)
        .await
        .exits(1)
        .says("has no message at sequence 1")
        .prints_nothing();
    let life = streams::identity(&read_model.place.feed().await);
    read_model
        .ask(&skip)
        .await
        .exits(1)
        .says("has no message at sequence 1")
        .prints_nothing();
    let published = read_model
        .place
        .nats
        .jetstream
        .publish("ledger.events.A", "no event".into())
        .await;
    published.unwrap().await.unwrap();
    read_model
        .ask(&skip)
        .await
        .exits(1)
        .says("has never run")
        .prints_nothing();
    read_model.stands("transfers", &life, 0).await;
    let document = read_model.ask(&skip).await.exits(0).document();
    assert_eq!(
        document,
        json!({"projection": "transfers", "sequence": 1, "event_id": null, "reason": "damaged in the mail", "skipped_by": "tester"})
    );
    assert_eq!(
        read_model.rows(SKIPS).await,
        [("damaged in the mail".to_owned(), 1, "tester".to_owned())]
    );
}
