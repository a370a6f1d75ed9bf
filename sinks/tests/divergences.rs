//! The sink `divergences` keeps the contract of sinks, on a real PostgreSQL; and only who holds the lease writes.

use engine::testing::contract::sink::{self, SinkUnderTest};
use engine::{Batch, Delivery, RetryClass, Sink};
use ledger::Version;
use servers::testing;
use sinks::Divergences;
use sinks::divergences::{self, Compared, Divergence};
use sources::{Part, Walk};
use sqlx::Row;
use sqlx::postgres::PgPool;
use store::Head;
use uuid::Uuid;

struct Place {
    pool: PgPool,
    process: Uuid,
}

impl Place {
    async fn new() -> Self {
        let url = testing::postgres().await.fresh_database("read_model").await;
        sinks::read_model::migrate(&url)
            .await
            .expect("the tables can be made");
        Self {
            pool: sinks::read_model::connect_lazy(&url, 4).expect("the URL is right"),
            process: Uuid::new_v4(),
        }
    }
}

/// Ten accounts, again and again, of which every third differs in the first passes.
fn step(number: usize) -> Compared {
    let account = |number: usize| format!("ACC-{number}");
    if number % 11 == 10 {
        return Compared {
            walk: Walk::Remainder(Part::Holds),
            events: 0,
            divergences: Vec::new(),
            not_compared: Vec::new(),
        };
    }
    let name = account(number % 11);
    let differs = (number % 11).is_multiple_of(3) && number < 30;
    let divergence = Divergence {
        place: "transactions".to_owned(),
        invariant: "convergence".to_owned(),
        account_id: Some(name.clone()),
        version: Some(2),
        message: "the row does not say what the event says".to_owned(),
        expected: Some("amount 1.00".to_owned()),
        found: Some(format!("amount {number}.00")),
    };
    Compared {
        walk: Walk::Accounts {
            after: (!number.is_multiple_of(11))
                .then(|| account(number % 11 - 1).parse().expect("an id")),
            heads: vec![Head {
                account_id: name.parse().expect("an id"),
                version: Version::new(3),
            }],
        },
        events: 3,
        divergences: differs.then_some(divergence).into_iter().collect(),
        not_compared: Vec::new(),
    }
}

impl SinkUnderTest for Place {
    type Sink = Divergences;

    async fn build(&self) -> Divergences {
        Divergences::new(&self.pool, self.process)
    }

    fn items(&self, count: usize) -> Vec<Compared> {
        (0..count).map(step).collect()
    }

    /// Everything but the holder and the clock.
    async fn effect(&self) -> String {
        let sql = "SELECT concat_ws(' ', step, place, accounts, events, passes, pass_ended_at IS NULL) AS row FROM comparison
            UNION ALL
            SELECT concat_ws(' ', place, invariant, subject, found_by, account_id, version, message, expected, found,
                gone_at IS NULL) FROM divergences ORDER BY 1";
        let rows = sqlx::query(sql).fetch_all(&self.pool).await;
        let rows = rows.expect("the database runs");
        let rows = rows.iter().map(|row| row.get::<String, _>("row"));
        rows.filter(|row| !row.starts_with("0 "))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

fn one(number: usize) -> Batch<Compared> {
    let position = number as u64 + 1;
    Batch {
        last_position: position,
        deliveries: vec![Delivery {
            position,
            origin: None,
            item: step(number),
        }],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_sink_must_do() {
    sink::duplicate_batch(Place::new).await;
    sink::crash_after_commit_before_settle(Place::new).await;
    sink::slow_peer(Place::new).await;
    sink::shutdown_with_work_in_flight(Place::new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_lease_rests_and_who_has_lost_it_writes_nothing() {
    let place = Place::new().await;
    let mut first = place.build().await;
    first.open().await.expect("nobody has it");
    first.write(&one(0)).await.expect("it has the lease");

    let mut second = Divergences::new(&place.pool, Uuid::new_v4());
    let refused = second.open().await.expect_err("it is taken");
    assert_eq!(refused.class(), RetryClass::Rest, "{}", refused.chain());

    // The first has hung for too long.
    sqlx::query("UPDATE comparison SET leased_until = clock_timestamp() - interval '1 second'")
        .execute(&place.pool)
        .await
        .expect("time can be turned");
    let resume = second
        .open()
        .await
        .expect("it has run out")
        .expect("a place");
    assert_eq!(
        (resume.position, resume.mark.as_deref()),
        (1, Some("ACC-0"))
    );
    let before = place.effect().await;
    for lost in [first.write(&one(1)).await, first.write(&one(0)).await] {
        let lost = lost.expect_err("another has the lease");
        assert_eq!(lost.class(), RetryClass::Rest, "{}", lost.chain());
    }
    assert_eq!(place.effect().await, before, "it must change nothing");
    second.write(&one(1)).await.expect("it has the lease");
    assert_ne!(place.effect().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_seen_again_is_one_row_and_what_is_not_is_gone_since_then() {
    let place = Place::new().await;
    let mut sink = place.build().await;
    sink.open().await.expect("nobody has it");
    let present = async || {
        divergences::known(&place.pool, false, 100)
            .await
            .expect("the database runs")
    };
    for number in 0..11 {
        sink.write(&one(number)).await.expect("it has the lease");
    }
    let first = present().await;
    assert_eq!(first.len(), 4, "{first:?}");
    for number in 11..22 {
        sink.write(&one(number)).await.expect("it has the lease");
    }
    let again = present().await;
    assert_eq!(again.len(), 4);
    for (first, again) in first.iter().zip(&again) {
        assert_eq!(first.divergence.account_id, again.divergence.account_id);
        assert_eq!(first.first_seen_at, again.first_seen_at);
        assert!(first.last_seen_at < again.last_seen_at);
        assert_ne!(first.divergence.found, again.divergence.found);
    }
    // Of the third pass only accounts 0, 3 and 6 are walked over while they differ.
    for number in 22..33 {
        sink.write(&one(number)).await.expect("it has the lease");
    }
    assert_eq!(present().await.len(), 3);
    for number in 33..44 {
        sink.write(&one(number)).await.expect("it has the lease");
    }
    assert_eq!(present().await, []);
    let all = divergences::known(&place.pool, true, 100).await;
    let all = all.expect("the database runs");
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|known| known.gone_at.is_some()), "{all:?}");
    let course = divergences::course(&place.pool).await;
    let course = course.expect("the database runs").expect("it has begun");
    assert_eq!(
        (course.passes, course.accounts, course.events),
        (4, 40, 120)
    );
    assert_eq!((course.place, course.present), (None, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_compared_does_not_count_as_gone() {
    let place = Place::new().await;
    let mut sink = place.build().await;
    sink.open().await.expect("nobody has it");
    sink.write(&one(0)).await.expect("it has the lease");
    let again = |position: u64, not_compared: &[&str]| Batch {
        last_position: position,
        deliveries: vec![Delivery {
            position,
            origin: None,
            item: Compared {
                divergences: Vec::new(),
                not_compared: not_compared.iter().map(ToString::to_string).collect(),
                ..step(0)
            },
        }],
    };
    let is_there = async || {
        let known = divergences::known(&place.pool, false, 100).await;
        known.expect("the database runs").len() == 1
    };
    for (position, not_compared, stays) in [(2, &["transactions"][..], true), (3, &["feed"], false)]
    {
        assert!(is_there().await);
        let written = sink.write(&again(position, not_compared)).await;
        written.expect("it has the lease");
        assert_eq!(is_there().await, stays, "{not_compared:?}");
    }
}
