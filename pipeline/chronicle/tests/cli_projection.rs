//! `chronicle projection`, over offsets that the test has put there.

mod cli_support;

use cli_support::feed::genuine_and_damaged;
use cli_support::{Done, Place};
use ledger::codec::json as event_json;
use serde_json::{Value, json};
use servers::testing;
use sqlx::postgres::PgPool;
use transport::streams;

const PROJECTIONS: [&str; 5] = [
    "account_balance",
    "daily_totals",
    "holds",
    "transactions",
    "transfers",
];

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
    read_model.stands("daily_totals", &life, 5).await;
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
        [json!(5), json!(5), json!(5), json!(5), Value::Null]
    );
    assert_eq!(
        column(&lines, "lag_events"),
        [json!(0), json!(0), json!(0), json!(3), Value::Null]
    );
    assert_eq!(column(&lines, "epoch"), [3, 3, 3, 3, 3]);
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
    assert_eq!(column(&done.lines(), "offset"), [5, 5, 5, 2, 99]);
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

/// What a projection stops at is skipped by its sequence, whatever it looks like; an event that it would apply, by its id.
#[tokio::test]
async fn a_skip_is_of_the_event_only_where_a_projection_would_take_it_for_one() {
    let read_model = ReadModel::new().await;
    let place = &read_model.place;
    let life = streams::identity(&place.feed().await);
    read_model.stands("transfers", &life, 0).await;
    let (genuine, damaged) = genuine_and_damaged("A");
    let written = event_json::encode_event(&genuine);
    place.publish("ledger.events.A", written.clone()).await;
    place.publish("ledger.events.A", damaged).await;
    let mut newer = async_nats::HeaderMap::new();
    newer.insert(
        transport::headers::SCHEMA_VERSION,
        (ledger::SCHEMA_VERSION + 1).to_string(),
    );
    let published =
        place
            .nats
            .jetstream
            .publish_with_headers("ledger.events.A", newer, written.into());
    published.await.unwrap().await.unwrap();
    let skip = async |sequence: &str| {
        let arguments = ["skip", "transfers", "--sequence", sequence];
        let rest = ["--reason", "it is to be passed over", "-o", "json"];
        let done = read_model.ask(&[arguments, rest].concat()).await;
        done.exits(0).document()["event_id"].clone()
    };
    assert_eq!(skip("1").await, json!(genuine.event_id.to_string()));
    assert_eq!(skip("2").await, Value::Null);
    // It is an event, which this program is too old for.
    read_model
        .ask(&["skip", "transfers", "--sequence", "3", "--reason", "x"])
        .await
        .exits(1)
        .says("sequence 3 (ledger.events.A) is not skipped")
        .says("upgrade this process first")
        .prints_nothing();
    let by_id: Vec<(i64, bool)> = sqlx::query_as(
        "SELECT last_sequence, event_id IS NOT NULL FROM projection_skips ORDER BY last_sequence",
    )
    .fetch_all(&read_model.pool)
    .await
    .expect("it can be read");
    assert_eq!(by_id, [(1, true), (2, false)]);
}

#[tokio::test]
async fn nothing_is_skipped_of_a_feed_that_is_being_restored() {
    let read_model = ReadModel::new().await;
    let place = &read_model.place;
    let life = streams::identity(&place.restored_feed().await);
    read_model.stands("transfers", &life, 0).await;
    place
        .publish("ledger.restored_events.A", b"no event".to_vec())
        .await;
    read_model
        .ask(&["skip", "transfers", "--sequence", "1", "--reason", "x"])
        .await
        .exits(1)
        .says("the feed is being restored")
        .prints_nothing();
}

#[tokio::test]
async fn a_pause_is_shown_and_recorded_and_taken_back() {
    let read_model = ReadModel::new().await;
    let life = streams::identity(&read_model.place.feed().await);
    let pause = [
        "pause",
        "holds",
        "--reason",
        "a long migration",
        "-o",
        "json",
    ];
    read_model
        .ask(&pause)
        .await
        .exits(1)
        .says("has never run")
        .prints_nothing();
    read_model.stands("holds", &life, 0).await;
    read_model
        .ask(&["pause", "holds", "--reason", " "])
        .await
        .exits(2)
        .says("needs a reason");
    for changed in [true, false] {
        let document = read_model.ask(&pause).await.exits(0).document();
        assert_eq!(
            document,
            json!({"projection": "holds", "paused": true, "changed": changed})
        );
    }
    let lines = read_model.ask(&["list", "-o", "json"]).await.lines();
    assert_eq!(lines[2]["paused"]["reason"], "a long migration");
    read_model
        .ask(&["list"])
        .await
        .prints("paused by tester: a long migration");
    read_model
        .ask(&["resume", "holds"])
        .await
        .exits(0)
        .prints("goes on");
    read_model
        .ask(&["resume", "holds"])
        .await
        .exits(0)
        .prints("was not paused");
    let log = read_model
        .ask(&["log", "holds", "-o", "json"])
        .await
        .lines();
    assert_eq!(column(&log, "action"), ["paused", "resumed"]);
    assert_eq!(column(&log, "by"), ["tester", "tester"]);
    read_model
        .ask(&["log"])
        .await
        .exits(0)
        .prints("a long migration");
}

#[tokio::test]
async fn an_offset_is_moved_by_an_order_that_says_so_and_never_by_accident() {
    const OFFSET: &str = "SELECT projection, last_sequence, stream_id FROM projection_offsets";
    let read_model = ReadModel::new().await;
    let stream = read_model.place.feed().await;
    for _ in 0..9 {
        let jetstream = &read_model.place.nats.jetstream;
        let published = jetstream.publish("ledger.events.A", "x".into()).await;
        published.unwrap().await.unwrap();
    }
    let life = streams::identity(&stream);
    let stands_at = |offset: i64| [("transfers".to_owned(), offset, life.clone())];
    read_model.stands("transfers", &life, 6).await;
    let rewind = async |to: &str, flags: &[&str]| {
        let order = ["rewind", "transfers", "--to-sequence", to];
        read_model.ask(&[&order[..], flags].concat()).await
    };
    rewind("2", &[])
        .await
        .exits(0)
        .prints("4 messages are read again")
        .prints("nothing was changed");
    rewind("8", &["--execute"]).await.exits(2).says("--forward");
    rewind("2", &["--execute", "--forward"]).await.exits(2);
    rewind("6", &["--execute"]).await.exits(1).says("already");
    rewind("10", &["--execute", "--forward"])
        .await
        .exits(2)
        .says("the feed ends at sequence 9");
    assert_eq!(read_model.rows(OFFSET).await, stands_at(6));

    let document = rewind("2", &["--execute", "--reason", "to be sure", "-o", "json"])
        .await
        .exits(0)
        .document();
    assert_eq!(
        document,
        json!({"projection": "transfers", "from": 6, "to": 2, "head": 9, "first": 1, "read_again": 4, "passed_over": 0,
               "gone": 0, "executed": true})
    );
    assert_eq!(read_model.rows(OFFSET).await, stands_at(2));
    rewind("8", &["--execute", "--forward"])
        .await
        .exits(0)
        .prints("6 messages are passed over");
    assert_eq!(read_model.rows(OFFSET).await, stands_at(8));
    stream.purge().sequence(6).await.expect("it can be purged");
    rewind("2", &[])
        .await
        .exits(0)
        .prints("3 messages are read again")
        .prints("3 messages behind the new offset are not in the feed any more");
    let log = read_model.ask(&["log", "-o", "json"]).await.lines();
    assert_eq!(column(&log, "action"), ["rewound", "rewound"]);
    assert_eq!(log[0]["details"], json!({"from": 6, "to": 2}));
}

#[tokio::test]
async fn nothing_is_known_of_copies_that_are_not_there() {
    let read_model = ReadModel::new().await;
    read_model
        .ask(&["digest", "holds", "--shadow"])
        .await
        .exits(1)
        .says("no shadow copy");
    read_model
        .ask(&["rollback", "holds"])
        .await
        .exits(1)
        .says("no earlier model");
    read_model
        .ask(&["prune", "holds"])
        .await
        .exits(1)
        .says("no earlier model");
    let digest = read_model.ask(&["digest", "holds", "-o", "json"]).await;
    let tables = digest.exits(0).document()["tables"].clone();
    assert_eq!(tables[0]["rows"], 0);
    read_model.ask(&["log"]).await.exits(0);
}
