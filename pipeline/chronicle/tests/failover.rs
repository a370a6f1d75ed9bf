//! Two at once: two intake processes on one partition, two pipelines over one event store, two copies of a projection.

// Takeover times are worth seeing.
#![allow(clippy::print_stdout)]

mod support;

use std::net::TcpListener;
use std::time::Duration;

use async_nats::jetstream::consumer::{FromConsumer, pull};
use futures::StreamExt;
use serde_json::Value;
use support::books::Books;
use support::random::Random;
use support::workload::{Workload, in_flight};
use support::{Ledger, Process, eventually};
use tokio::time::Instant;
use transport::{streams, subjects};

const INTAKE: [&str; 2] = ["--only", "intake"];
const PROJECTIONS: [&str; 10] = [
    "--only",
    "projection.account_balance",
    "--only",
    "projection.transactions",
    "--only",
    "projection.transfers",
    "--only",
    "projection.holds",
    "--only",
    "projection.daily_totals",
];

/// An event store that takes connections and never says a word: whoever takes commands to it gets stuck with them.
struct BlackHole {
    listener: TcpListener,
}

impl BlackHole {
    fn new() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").expect("there is a free port"),
        }
    }

    fn url(&self) -> String {
        let port = self.listener.local_addr().expect("it is bound").port();
        format!("postgres://chronicle_app@127.0.0.1:{port}/nowhere?sslmode=disable")
    }
}

/// An intake process that takes commands and cannot decide them.
async fn start_stuck(ledger: &Ledger, black_hole: &BlackHole, flags: &[&str]) -> Process {
    let environment = [("CHRONICLE_EVENT_STORE_URL", black_hole.url())];
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let process = ledger.start(&[&INTAKE, flags].concat(), &environment).await;
    let nats = ledger.connect().await;
    eventually("the intake's consumer", || async {
        let Ok(stream) = nats.jetstream.get_stream(streams::COMMANDS).await else {
            return false;
        };
        stream
            .consumer_info("intake-0")
            .await
            .is_ok_and(|info| info.num_waiting > 0)
    })
    .await;
    process
}

async fn until_in_flight(ledger: &Ledger, count: usize) {
    eventually(&format!("{count} commands in flight"), || async {
        in_flight(ledger).await == count
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_had_taken_is_decided_before_what_came_later() {
    let ledger = Ledger::new().await;
    let black_hole = BlackHole::new();
    let mut workload = Workload::new(&ledger, Random::seeded("in flight")).await;
    let stuck = start_stuck(&ledger, &black_hole, &[]).await;
    // The accounts are being opened when the process dies; the deposits come after it.
    workload.publish(10).await;
    until_in_flight(&ledger, 10).await;
    let standby = ledger.run(&[], &[]).await;
    stuck.kill().await;
    let killed = Instant::now();
    workload.publish(100).await;
    workload.answers().until(110).await;
    println!(
        "taken over, with new commands coming, after {:?}",
        killed.elapsed()
    );
    workload.check(&ledger).await;
    assert_eq!(standby.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_had_taken_is_taken_over_though_nothing_new_comes() {
    let ledger = Ledger::new().await;
    let black_hole = BlackHole::new();
    let mut workload = Workload::new(&ledger, Random::seeded("in flight, silence")).await;
    let stuck = start_stuck(&ledger, &black_hole, &[]).await;
    workload.publish(60).await;
    until_in_flight(&ledger, 60).await;
    let standby = ledger.run(&[], &[]).await;
    stuck.kill().await;
    let killed = Instant::now();
    workload.answers().until(60).await;
    println!("taken over, in silence, after {:?}", killed.elapsed());
    workload.check(&ledger).await;
    assert_eq!(standby.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_process_that_had_used_up_all_credit_does_not_block_the_other() {
    let ledger = Ledger::new().await;
    let black_hole = BlackHole::new();
    let credit = ["--credit", "5"];
    let mut workload = Workload::new(&ledger, Random::seeded("credit")).await;
    let stuck = start_stuck(&ledger, &black_hole, &credit).await;
    workload.publish(80).await;
    until_in_flight(&ledger, 5).await;
    let standby = ledger.run(&credit, &[]).await;
    stuck.kill().await;
    let killed = Instant::now();
    workload.answers().until(80).await;
    println!(
        "taken over, with all credit used up, after {:?}",
        killed.elapsed()
    );
    workload.check(&ledger).await;
    assert_eq!(standby.stop().await, Some(0));
}

/// JetStream delivers again what a client has not acknowledged, piece by piece, as the time of each piece runs out, and
/// new messages in between.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_client_had_taken_at_different_times_is_not_passed_over() {
    const DELIVERED_AGAIN_AFTER: Duration = Duration::from_secs(6);
    let ledger = Ledger::new().await;
    let first = ledger.run(&[], &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("at different times")).await;
    workload.publish(10).await;
    workload.answers().until(10).await;
    assert_eq!(first.stop().await, Some(0));

    // A client that takes commands and never acknowledges one: the test itself.
    let nats = ledger.connect().await;
    let stream = nats
        .jetstream
        .get_stream(streams::COMMANDS)
        .await
        .expect("it is there");
    let consumer = stream
        .get_consumer::<pull::Config>("intake-0")
        .await
        .expect("it is there");
    let pulling = consumer
        .stream()
        .group("intake")
        .expires(Duration::from_secs(3))
        .heartbeat(Duration::from_secs(1));
    let mut taken = pulling.messages().await.expect("it can be pulled");
    workload.publish(1).await;
    let message = taken
        .next()
        .await
        .expect("it goes on")
        .expect("it is a message");
    message.ack().await.expect("it can be acknowledged");

    let standby = ledger.run(&[], &[]).await;
    let config = pull::Config {
        ack_wait: DELIVERED_AGAIN_AFTER,
        ..pull::Config::try_from_consumer_config(consumer.cached_info().config.clone())
            .expect("it is a pull consumer")
    };
    stream
        .update_consumer(config)
        .await
        .expect("it can be changed");
    workload.publish(20).await;
    let began = Instant::now();
    for _ in 0..20 {
        taken
            .next()
            .await
            .expect("it goes on")
            .expect("it is a message");
    }
    // Keeps asking, and so its place, until the first ones' time is nearly over.
    let rest = DELIVERED_AGAIN_AFTER
        .checked_sub(Duration::from_secs(2))
        .expect("it is longer");
    let nothing = tokio::time::timeout_at(began + rest, taken.next()).await;
    assert!(nothing.is_err(), "nothing was published");
    workload.publish(20).await;
    for _ in 0..20 {
        taken
            .next()
            .await
            .expect("it goes on")
            .expect("it is a message");
    }
    drop(taken);
    let died = Instant::now();
    workload.answers().until(10 + 15).await;
    workload.publish(100).await;
    workload.answers().until(10 + 20 + 20 + 100).await;
    println!("taken over, in pieces, after {:?}", died.elapsed());
    // The one that the test has acknowledged is nobody's: it is still in the stream, so it is handed out, too.
    workload.check(&ledger).await;
    assert_eq!(standby.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_the_other_takes_over_in_order() {
    let ledger = Ledger::new().await;
    let small = ["--batch-max", "16"];
    let active = ledger.run(&[&INTAKE, &small[..]].concat(), &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("killed under load")).await;
    workload.publish(20).await;
    let answers = workload.answers();
    answers.until(20).await;
    let standby = ledger.run(&[&INTAKE, &small[..]].concat(), &[]).await;
    let projections = ledger.run(&PROJECTIONS, &[]).await;
    let killing = async {
        answers.until(300).await;
        active.kill().await;
        let (killed, answered) = (Instant::now(), answers.count());
        answers.until(answered + 100).await;
        println!("taken over under load after {:?}", killed.elapsed());
    };
    tokio::join!(killing, workload.publish(3_000));
    workload.check(&ledger).await;
    ledger.check_feed_is_in_order().await;
    assert_eq!(standby.stop().await, Some(0));
    assert_eq!(projections.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_the_active_one_hands_over_at_once() {
    let ledger = Ledger::new().await;
    let active = ledger.run(&INTAKE, &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("hands over")).await;
    workload.publish(20).await;
    let answers = workload.answers();
    answers.until(20).await;
    let standby = ledger.run(&INTAKE, &[]).await;
    let projections = ledger.run(&PROJECTIONS, &[]).await;
    assert_eq!(active.stop().await, Some(0));
    let stopped = Instant::now();
    workload.publish(1).await;
    answers.until(21).await;
    println!("handed over after {:?}", stopped.elapsed());
    assert!(
        stopped.elapsed() < Duration::from_secs(2),
        "it took {:?}",
        stopped.elapsed()
    );
    workload.check(&ledger).await;
    assert_eq!(standby.stop().await, Some(0));
    assert_eq!(projections.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_for_a_while_and_woken_up_again_it_does_no_harm() {
    let ledger = Ledger::new().await;
    let small = ["--batch-max", "16"];
    let intakes = [
        ledger.run(&[&INTAKE, &small[..]].concat(), &[]).await,
        ledger.run(&[&INTAKE, &small[..]].concat(), &[]).await,
    ];
    let projections = ledger.run(&PROJECTIONS, &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("zombies")).await;
    let answers = workload.answers();
    // Whichever is active: each of them is stopped once.
    for zombie in [0, 1] {
        let answered = answers.count();
        let stopping = async {
            answers.until(answered + 200).await;
            intakes[zombie].signal("STOP");
            let stopped = Instant::now();
            let answered_then = answers.count();
            answers.until(answered + 1_500).await;
            println!(
                "{} more answers {:?} after the stop",
                answers.count() - answered_then,
                stopped.elapsed()
            );
            intakes[zombie].signal("CONT");
        };
        tokio::join!(stopping, workload.publish(1_500));
        workload.publish(200).await;
        answers.until(answered + 1_700).await;
    }
    workload.check(&ledger).await;
    for intake in intakes {
        assert_eq!(intake.stop().await, Some(0));
    }
    assert_eq!(projections.stop().await, Some(0));
}

/// Each partition goes over by itself. Accounts are spread over the partitions, so what becomes of a transfer depends on
/// which of two partitions is faster; but one account's commands stay in order.
#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_with_several_partitions() {
    let ledger = Ledger::new().await;
    let partitions = ["--partitions", "4", "--batch-max", "16"];
    let one = ledger.run(&[&INTAKE, &partitions[..]].concat(), &[]).await;
    let other = ledger.run(&[&INTAKE, &partitions[..]].concat(), &[]).await;
    let projections = ledger.run(&PROJECTIONS, &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("several partitions")).await;
    let answers = workload.answers();
    let killing = async {
        answers.until(300).await;
        one.kill().await;
    };
    tokio::join!(killing, workload.publish(2_000));
    workload.check_agreement(&ledger).await;
    for (message, answers) in workload.told() {
        // The account that is debited, or the only one; the other account of a transfer may be another partition's.
        let account = subjects::account_of(&message.subject);
        let unknown = |answer: &Value| {
            let rejection = &answer["rejection"];
            rejection["code"] == "account_not_found" && rejection["data"]["account_id"] == account
        };
        let of_nobody = account == "NOBODY";
        assert_eq!(
            answers.iter().any(unknown),
            of_nobody,
            "{message:?} overtook the opening of its account"
        );
    }
    ledger.check_feed_is_complete().await;
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(other.stop().await, Some(0));
    assert_eq!(projections.stop().await, Some(0));
}

/// Two whole pipelines, each with a NATS and a read model of its own, over one event store: two writers are really at
/// work on the same commands at the same time, and nothing but the primary keys stands between them.
#[tokio::test(flavor = "multi_thread")]
async fn two_writers_on_the_same_commands_at_the_same_time() {
    let one = Ledger::new().await;
    let other = Ledger::on(one.event_store_owner.clone()).await;
    let processes = [
        one.run(&["--batch-max", "64"], &[]).await,
        other.run(&["--batch-max", "50"], &[]).await,
    ];
    let mut random = Random::seeded("two writers");
    let seed = random.next();
    // The same seed: the same messages.
    let mut first = Workload::new(&one, Random::new(seed)).await;
    let mut second = Workload::new(&other, Random::new(seed)).await;
    tokio::join!(first.publish(1_000), second.publish(1_000));
    assert_eq!(first.messages().len(), second.messages().len());

    // And once more, each in an order of its own.
    let opened = first.messages().len();
    first.publish(700).await;
    let mut messages = first.messages()[opened..].to_vec();
    for index in (1..messages.len()).rev() {
        messages.swap(index, random.index(index + 1));
    }
    second.publish_these(&messages).await;

    tokio::join!(first.check_agreement(&one), second.check_agreement(&other));
    // Neither feed has all events: the rest comes from the event store.
    println!(
        "read models: {:?} and {:?}",
        one.until_converged().await,
        other.until_converged().await
    );
    one.verify().await;
    other.verify().await;
    for process in processes {
        assert_eq!(process.stop().await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_copies_of_a_projection_the_first_is_fenced_and_says_so() {
    let ledger = Ledger::new().await;
    let balance = ["--only", "projection.account_balance"];
    let rest = ledger
        .run(&[&INTAKE, &PROJECTIONS[2..]].concat(), &[])
        .await;
    let mut fenced = ledger.run(&balance, &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("two copies")).await;
    workload.publish(100).await;
    workload.check(&ledger).await;

    // The second takes over; then it is held, so that whatever changes is the first one's doing.
    let second = ledger.run(&balance, &[]).await;
    second.signal("STOP");
    let pool = ledger.read_model().await;
    let before = Books::read(&pool).await;
    workload.publish(100).await;
    assert_eq!(fenced.ended().await, Some(4), "{}", fenced.log());
    let log = fenced.log();
    assert!(
        log.contains("projection account_balance is fenced: another copy of it has started"),
        "{log}"
    );
    assert_eq!(
        Books::read(&pool).await.account_balance,
        before.account_balance,
        "the fenced copy has changed rows"
    );
    second.signal("CONT");
    workload.check(&ledger).await;
    assert_eq!(second.stop().await, Some(0));
    assert_eq!(rest.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_copy_that_is_fenced_says_so_without_waiting_for_an_event() {
    let ledger = Ledger::new().await;
    let mut first = ledger.run(&PROJECTIONS, &[]).await;
    let second = ledger.run(&PROJECTIONS, &[]).await;
    assert_eq!(first.ended().await, Some(4), "{}", first.log());
    for name in sinks::projection::NAMES {
        let words = format!("projection {name} is fenced");
        assert!(first.log().contains(&words), "{}", first.log());
    }
    assert_eq!(second.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_copy_that_starts_under_load_leaves_exact_rows() {
    let ledger = Ledger::new().await;
    let small = ["--batch-max", "8"];
    let intake = ledger.run(&INTAKE, &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("a second copy under load")).await;
    let mut copies = vec![ledger.run(&[&PROJECTIONS, &small[..]].concat(), &[]).await];
    let starting = async {
        for _ in 0..2 {
            copies.push(ledger.run(&[&PROJECTIONS, &small[..]].concat(), &[]).await);
        }
    };
    tokio::join!(starting, workload.publish(3_000));
    workload.check(&ledger).await;
    let last = copies.pop().expect("there are three");
    assert_eq!(last.stop().await, Some(0));
    // Each of the others stops at its next event, or has stopped.
    let last = ledger.run(&PROJECTIONS, &[]).await;
    workload.publish(10).await;
    for mut copy in copies {
        assert_eq!(copy.ended().await, Some(4), "{}", copy.log());
        assert!(copy.log().contains("is fenced"), "{}", copy.log());
    }
    workload.check(&ledger).await;
    assert_eq!(last.stop().await, Some(0));
    assert_eq!(intake.stop().await, Some(0));
}
