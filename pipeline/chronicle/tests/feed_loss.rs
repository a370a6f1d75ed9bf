//! The feed loses messages, its newest ones, or everything: the read models come to the same rows as a fresh fold of the
//! event store, or a projection stops and says what to do.

// How long it takes is worth seeing.
#![allow(clippy::print_stdout)]
#![allow(clippy::type_complexity)] // tables of cases

mod support;

use std::path::{Path, PathBuf};

use async_nats::jetstream::stream::Stream;
use ledger::codec::{decode_command, json};
use ledger::{Command, Timestamp};
use serde_json::Value;
use sqlx::Row;
use store::{Processed, Writer, WriterOptions};
use support::books::Books;
use support::random::Random;
use support::workload::{Workload, until_settled};
use support::{Ledger, Process, eventually, text};
use tokio::time::Instant;
use transport::{streams, subjects};

const INTAKE: [&str; 2] = ["--only", "intake"];
const PROJECTIONS: [&str; 10] = [
    "--only",
    "projection.daily_totals",
    "--only",
    "projection.holds",
    "--only",
    "projection.account_balance",
    "--only",
    "projection.transactions",
    "--only",
    "projection.transfers",
];

/// The feed as a stream.
async fn feed(ledger: &Ledger) -> Stream {
    ledger
        .connect()
        .await
        .jetstream
        .get_stream(streams::EVENTS)
        .await
        .expect("there is a feed")
}

async fn last_sequence(ledger: &Ledger) -> u64 {
    feed(ledger).await.cached_info().state.last_sequence
}

/// Where each projection stands, by name.
async fn offsets(ledger: &Ledger) -> Vec<(String, u64)> {
    let rows =
        sqlx::query("SELECT projection, last_sequence FROM projection_offsets ORDER BY projection");
    let rows = rows
        .fetch_all(&ledger.read_model().await)
        .await
        .expect("the read model can be read");
    let offset = |row: &sqlx::postgres::PgRow| {
        u64::try_from(row.get::<i64, _>("last_sequence")).expect("it is not negative")
    };
    rows.iter()
        .map(|row| (row.get("projection"), offset(row)))
        .collect()
}

/// Waits until every projection stands at the end of the feed.
async fn until_read(ledger: &Ledger) {
    let last = last_sequence(ledger).await;
    eventually("the projections to read the feed to its end", || async {
        let offsets = offsets(ledger).await;
        offsets.len() == PROJECTIONS.len() / 2 && offsets.iter().all(|(_, offset)| *offset >= last)
    })
    .await;
}

/// A ledger with an intake process, and projections that have read everything so far and are stopped.
async fn with_projections_stopped(name: &str) -> (Ledger, Process, Workload) {
    let ledger = Ledger::new().await;
    let intake = ledger.run(&INTAKE, &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded(name)).await;
    let projections = ledger.run(&PROJECTIONS, &[]).await;
    workload.publish(150).await;
    until_settled(&ledger).await;
    until_read(&ledger).await;
    ledger.until_converged().await;
    assert_eq!(projections.stop().await, Some(0));
    (ledger, intake, workload)
}

/// Starts the projections, and waits until they are right.
async fn projections_converge(ledger: &Ledger, after: &str) -> Process {
    let started = Instant::now();
    let projections = ledger.run(&PROJECTIONS, &[]).await;
    ledger.until_converged().await;
    println!("{after}: right {:?} after the start", started.elapsed());
    ledger.verify().await;
    projections
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_while_the_projections_are_stopped_and_behind() {
    let (ledger, intake, mut workload) = with_projections_stopped("purged").await;
    let stream = feed(&ledger).await;
    // Up to where the feed is purged: given the projections' offset and the feed's end. Nothing is published afterwards,
    // so no account gets another event.
    let purges: [(&str, fn(u64, u64) -> u64); 6] = [
        ("before the offset", |offset, _| offset - 1),
        ("up to the offset", |offset, _| offset),
        ("one more than the offset", |offset, _| offset + 1),
        ("half of what is not read", |offset, last| {
            offset.midpoint(last)
        }),
        ("all but the last", |_, last| last - 1),
        ("all", |_, last| last),
    ];
    for (what, through) in purges {
        workload.publish(60).await;
        until_settled(&ledger).await;
        let offset = offsets(&ledger).await[0].1;
        let last = last_sequence(&ledger).await;
        assert!(
            last > offset + 5,
            "the projections are not behind: {offset} of {last}"
        );
        stream
            .purge()
            .sequence(through(offset, last) + 1)
            .await
            .expect("it can be purged");
        let projections = projections_converge(&ledger, what).await;
        until_read(&ledger).await;
        assert_eq!(projections.stop().await, Some(0));
    }
    assert_eq!(intake.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_before_the_projections_have_ever_run() {
    let ledger = Ledger::new().await;
    let intake = ledger.run(&INTAKE, &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("never run")).await;
    workload.publish(150).await;
    until_settled(&ledger).await;
    feed(&ledger).await.purge().await.expect("it can be purged");
    let projections = projections_converge(&ledger, "never run").await;
    // And it goes on from there.
    workload.publish(150).await;
    until_settled(&ledger).await;
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(projections.stop().await, Some(0));
    assert_eq!(intake.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn single_messages_deleted_anywhere() {
    let (ledger, intake, mut workload) = with_projections_stopped("deleted").await;
    let mut random = Random::seeded("deleted, where");
    let stream = feed(&ledger).await;
    for round in 0..2 {
        let offset = offsets(&ledger).await[0].1;
        workload.publish(150).await;
        until_settled(&ledger).await;
        let last = last_sequence(&ledger).await;
        // The one applied last, the one to come next, neighbours, some anywhere, and (once) the last one.
        let mut doomed = vec![offset, offset + 1, offset + 10, offset + 11, offset + 12];
        doomed.extend((0..8).map(|_| offset + 13 + random.below(last - offset - 13)));
        if round == 1 {
            doomed.push(last);
        }
        doomed.sort_unstable();
        doomed.dedup();
        for sequence in doomed {
            stream
                .delete_message(sequence)
                .await
                .unwrap_or_else(|error| panic!("sequence {sequence}: {error}"));
        }
        let projections = projections_converge(&ledger, "deleted").await;
        assert_eq!(projections.stop().await, Some(0));
    }
    assert_eq!(intake.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_again_and_again_under_running_projections() {
    let ledger = Ledger::new().await;
    let intake = ledger
        .run(&["--only", "intake", "--batch-max", "64"], &[])
        .await;
    let projections = ledger
        .run(&[&PROJECTIONS[..], &["--batch-max", "16"]].concat(), &[])
        .await;
    let mut workload = Workload::new(&ledger, Random::seeded("purged under load")).await;
    workload.publish(20).await;
    let answers = workload.answers();
    let stream = feed(&ledger).await;
    let purging = async {
        let mut purged = 0;
        while answers.count() < 1_500 {
            purged += stream.purge().await.expect("it can be purged").purged;
        }
        println!("{purged} messages purged under load");
    };
    tokio::join!(purging, workload.publish(1_480));
    until_settled(&ledger).await;
    let began = Instant::now();
    ledger.until_converged().await;
    println!(
        "purged under load: right {:?} after the last command",
        began.elapsed()
    );
    ledger.verify().await;
    assert_eq!(projections.stop().await, Some(0));
    assert_eq!(intake.stop().await, Some(0));
}

/// Does the work of intake, only faster: commits so many deposits, and publishes their events.
async fn deposit(ledger: &Ledger, account: &str, count: usize) {
    let mut writer = Writer::new(ledger.store(), WriterOptions::default());
    let deposits: Vec<Command> = (0..count)
        .map(|_| {
            let body = serde_json::json!({"command_id": uuid::Uuid::new_v4(), "type": "deposit", "account_id": account, "amount": "1"});
            decode_command(None, body.to_string().as_bytes()).expect("it is a command")
        })
        .collect();
    let now = || Timestamp::from_date_time(time::OffsetDateTime::now_utc());
    let processed = writer
        .process(&deposits, &now)
        .await
        .expect("the event store takes them");
    let nats = ledger.connect().await;
    let mut stored = Vec::new();
    for processed in processed {
        let Processed::Committed { events, .. } = processed else {
            panic!("{processed:?}");
        };
        for event in events {
            let publish = nats.jetstream.publish(
                subjects::event(&event.account_id),
                json::encode_event(&event).into(),
            );
            stored.push(publish.await.expect("it can be published"));
        }
    }
    for stored in stored {
        stored.await.expect("it is stored");
    }
}

/// A projection that is far behind loses the end of the feed, and nothing comes after it that would show the hole.
#[tokio::test(flavor = "multi_thread")]
async fn purged_to_the_end_under_a_projection_that_is_far_behind() {
    let ledger = Ledger::new().await;
    let intake = ledger.run(&INTAKE, &[]).await;
    let projections = ledger.run(&PROJECTIONS, &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("far behind")).await;
    workload.publish(50).await;
    until_settled(&ledger).await;
    until_read(&ledger).await;
    ledger.until_converged().await;
    projections.signal("STOP");
    // More than a projection asks for at a time, so that the rest is only in the stream.
    deposit(&ledger, &workload.account_name(0), 4_000).await;
    feed(&ledger).await.purge().await.expect("it can be purged");
    projections.signal("CONT");
    let began = Instant::now();
    ledger.until_converged().await;
    println!("purged to the end: right {:?} later", began.elapsed());
    ledger.verify().await;
    assert_eq!(projections.stop().await, Some(0));
    assert_eq!(intake.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_full_drops_its_oldest_events() {
    let ledger = Ledger::new().await;
    let intake = ledger
        .run(&["--only", "intake", "--feed-mib-max", "1"], &[])
        .await;
    let mut workload = Workload::new(&ledger, Random::seeded("full")).await;
    workload.publish(4_000).await;
    until_settled(&ledger).await;
    let state = feed(&ledger).await.cached_info().state.clone();
    assert!(state.first_sequence > 1, "the feed was to be full");
    let projections = projections_converge(&ledger, "full").await;
    assert_eq!(projections.stop().await, Some(0));
    assert_eq!(intake.stop().await, Some(0));
}

/// Waits until all projections of the process have stopped, which ends it, and says why they have.
async fn until_stopped(mut projections: Process) -> String {
    assert_eq!(projections.ended().await, Some(4), "{}", projections.log());
    projections.log()
}

/// All projections have stopped since the feed was made anew, and say which command mends it; then the command, and
/// everything is well again.
async fn stopped_until_the_feed_is_adopted(ledger: &Ledger, projections: Process) {
    let log = until_stopped(projections).await;
    for name in sinks::projection::NAMES {
        let command = format!("run: chronicle projection adopt-stream {name}");
        assert!(log.contains(&command), "it does not say {command:?}\n{log}");
    }
    // Starting again is no way around it.
    let again = ledger.start(&PROJECTIONS, &[]).await;
    until_stopped(again).await;
    let adopted = ledger
        .chronicle(&["projection", "adopt-stream", "--all"])
        .await;
    assert!(adopted.status.success(), "{}", text(&adopted.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_and_made_anew() {
    let ledger = Ledger::new().await;
    let intake = ledger.run(&INTAKE, &[]).await;
    let projections = ledger.run(&PROJECTIONS, &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("made anew")).await;
    workload.publish(150).await;
    until_settled(&ledger).await;
    until_read(&ledger).await;
    let nats = ledger.connect().await;
    nats.jetstream
        .delete_stream(streams::EVENTS)
        .await
        .expect("it can be deleted");
    // Intake goes on, and makes it anew if nobody else has.
    workload.publish(150).await;
    until_settled(&ledger).await;
    stopped_until_the_feed_is_adopted(&ledger, projections).await;
    let projections = projections_converge(&ledger, "made anew").await;
    workload.publish(50).await;
    until_settled(&ledger).await;
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(projections.stop().await, Some(0));
    assert_eq!(intake.stop().await, Some(0));
}

/// An operator removes the stream of commands and makes it again: nothing that is stored in the new one is lost, though
/// its sequences are those of commands that were settled in the old one.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_stream_deleted_and_made_anew() {
    let (ledger, process) = Ledger::running().await;
    let mut workload = Workload::new(&ledger, Random::seeded("commands made anew")).await;
    let nats = ledger.connect().await;
    for _ in 0..5 {
        workload.publish(100).await;
        until_settled(&ledger).await;
        let stream = nats
            .jetstream
            .get_stream(streams::COMMANDS)
            .await
            .expect("it is there");
        let config = stream.cached_info().config.clone();
        nats.jetstream
            .delete_stream(streams::COMMANDS)
            .await
            .expect("it can be deleted");
        nats.jetstream
            .create_stream(config)
            .await
            .expect("it can be made");
        workload.publish(80).await;
        workload.answers().until(workload.len()).await;
        until_settled(&ledger).await;
    }
    workload.check_agreement(&ledger).await;
    ledger.check_feed_is_complete().await;
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

/// Where the server keeps its streams.
fn data_of_nats(ledger: &Ledger) -> PathBuf {
    ledger.nats.folder().join("data")
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status();
    assert!(copied.expect("cp is there").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_nats_lost_while_everything_runs() {
    let ledger = Ledger::new().await;
    let intake = ledger.run(&INTAKE, &[]).await;
    let projections = ledger.run(&PROJECTIONS, &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("wiped, running")).await;
    workload.publish(150).await;
    until_settled(&ledger).await;
    ledger.nats.kill().await;
    std::fs::remove_dir_all(data_of_nats(&ledger)).expect("it can be removed");
    ledger.nats.restart().await.expect("it starts");
    stopped_until_the_feed_is_adopted(&ledger, projections).await;
    let projections = projections_converge(&ledger, "wiped, running").await;
    // The same accounts go on; sequences have begun anew, so the first workload cannot tell what it published when.
    let mut after = workload.continued(&ledger).await;
    after.publish(150).await;
    after.check_agreement(&ledger).await;
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(projections.stop().await, Some(0));
    assert_eq!(intake.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_nats_lost_while_everything_is_stopped() {
    let (ledger, intake, mut workload) = with_projections_stopped("wiped, stopped").await;
    workload.publish(100).await;
    until_settled(&ledger).await;
    assert_eq!(intake.stop().await, Some(0));
    ledger.nats.stop().await;
    std::fs::remove_dir_all(data_of_nats(&ledger)).expect("it can be removed");
    ledger.nats.restart().await.expect("it starts");
    let intake = ledger.run(&INTAKE, &[]).await;
    let projections = ledger.start(&PROJECTIONS, &[]).await;
    stopped_until_the_feed_is_adopted(&ledger, projections).await;
    let projections = projections_converge(&ledger, "wiped, stopped").await;
    let mut after = workload.continued(&ledger).await;
    after.publish(150).await;
    after.check_agreement(&ledger).await;
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(projections.stop().await, Some(0));
    assert_eq!(intake.stop().await, Some(0));
}

/// The machine of NATS dies and comes back without its newest messages: an old copy of its data is put in their place.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_feed_lost_and_noticed_by_the_offset_beyond_it() {
    let (ledger, intake, mut workload) = with_projections_stopped("end lost").await;
    assert_eq!(intake.stop().await, Some(0));
    // Commands wait when the copy is made: they will come again.
    workload.publish(50).await;
    let old = take_copy(&ledger).await;
    let all = ledger.run(&[], &[]).await;
    workload.publish(100).await;
    workload.answers().until(workload.len()).await;
    until_settled(&ledger).await;
    until_read(&ledger).await;
    let offset = offsets(&ledger).await[0].1;
    let outcomes = outcomes(&ledger).await;
    assert_eq!(all.stop().await, Some(0));

    put_back(&ledger, &old).await;
    assert!(
        last_sequence(&ledger).await < offset,
        "the end of the feed was to be lost"
    );
    let projections = projections_converge(&ledger, "end lost").await;
    let intake = ledger.run(&INTAKE, &[]).await;
    // The commands of the copy have their outcomes, and keep them.
    until_settled(&ledger).await;
    assert_eq!(self::outcomes(&ledger).await, outcomes);
    let mut after = workload.continued(&ledger).await;
    after.publish(150).await;
    after.check_agreement(&ledger).await;
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(projections.stop().await, Some(0));
    assert_eq!(intake.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_feed_lost_and_its_sequences_given_to_other_events() {
    let (ledger, intake, mut workload) = with_projections_stopped("rewritten").await;
    assert_eq!(intake.stop().await, Some(0));
    let old = take_copy(&ledger).await;
    let all = ledger.run(&[], &[]).await;
    workload.publish(100).await;
    workload.answers().until(workload.len()).await;
    until_settled(&ledger).await;
    until_read(&ledger).await;
    let offset = offsets(&ledger).await[0].1;
    assert_eq!(all.stop().await, Some(0));

    put_back(&ledger, &old).await;
    // Only intake runs, until the feed is longer than it was.
    let intake = ledger.run(&INTAKE, &[]).await;
    let mut after = workload.continued(&ledger).await;
    after.publish(300).await;
    after.check_agreement(&ledger).await;
    assert!(
        last_sequence(&ledger).await > offset,
        "the feed was to be longer than the offset"
    );
    let projections = projections_converge(&ledger, "rewritten").await;
    let log = projections.log();
    assert!(
        log.contains("the feed was rewound and written anew"),
        "{log}"
    );
    assert_eq!(projections.stop().await, Some(0));
    assert_eq!(intake.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_feed_lost_under_running_processes() {
    let (ledger, intake, mut workload) = with_projections_stopped("end lost, running").await;
    assert_eq!(intake.stop().await, Some(0));
    let old = take_copy(&ledger).await;
    let all = ledger.run(&[], &[]).await;
    workload.publish(100).await;
    workload.answers().until(workload.len()).await;
    until_settled(&ledger).await;
    until_read(&ledger).await;

    put_back(&ledger, &old).await;
    let mut after = workload.continued(&ledger).await;
    after.publish(20).await;
    after.check_agreement(&ledger).await;
    let began = Instant::now();
    ledger.until_converged().await;
    println!("end lost, running: right {:?} later", began.elapsed());
    ledger.verify().await;
    assert_eq!(all.stop().await, Some(0));
}

/// A copy of all that NATS has stored.
async fn take_copy(ledger: &Ledger) -> PathBuf {
    let copy_at = ledger.folder.path().join("old");
    ledger.nats.stop().await;
    copy(&data_of_nats(ledger), &copy_at);
    ledger.nats.restart().await.expect("it starts");
    copy_at
}

/// The server dies and comes back with the copy.
async fn put_back(ledger: &Ledger, old: &Path) {
    let data = data_of_nats(ledger);
    ledger.nats.kill().await;
    std::fs::remove_dir_all(&data).expect("it can be removed");
    copy(old, &data);
    ledger.nats.restart().await.expect("it starts");
}

/// Every outcome, as it is stored.
async fn outcomes(ledger: &Ledger) -> Vec<String> {
    let rows = sqlx::query(
        "SELECT command_id::text || outcome::text AS line FROM commands ORDER BY command_id",
    );
    let rows = rows
        .fetch_all(&ledger.event_store().await)
        .await
        .expect("the event store can be read");
    rows.iter().map(|row| row.get("line")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_and_never_published_and_the_command_is_lost_too() {
    let ledger = Ledger::new().await;
    let warm = ledger.run(&[], &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("never published")).await;
    workload.publish(20).await;
    until_settled(&ledger).await;
    until_read(&ledger).await;
    assert_eq!(warm.stop().await, Some(0));

    let mut dying = ledger
        .start(&INTAKE, &[("CHRONICLE_FAULT", "after_commit:1")])
        .await;
    workload.publish(100).await;
    assert_eq!(dying.ended().await, None);
    let nats = ledger.connect().await;
    let commands = nats
        .jetstream
        .get_stream(streams::COMMANDS)
        .await
        .expect("it is there");
    commands.purge().await.expect("it can be purged");
    let published = ledger.feed().await.len();
    let stored = ledger.stored_events().await.len();
    assert!(
        stored > published,
        "something was to be committed and not published: {stored} and {published}"
    );

    let projections = projections_converge(&ledger, "never published").await;
    assert_eq!(projections.stop().await, Some(0));
}

/// The state of a pipeline, by `/readyz`.
async fn state_of(process: &Process, pipeline: &str) -> Value {
    let (_, readiness) = process.readyz().await.expect("it answers");
    let pipelines = readiness["pipelines"]
        .as_array()
        .expect("it lists pipelines")
        .clone();
    let found = pipelines
        .into_iter()
        .find(|snapshot| snapshot["pipeline"] == pipeline);
    found.unwrap_or_else(|| panic!("there is no {pipeline}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_message_stops_the_projections_loudly_and_can_be_skipped() {
    let (ledger, process) = Ledger::running().await;
    let mut workload = Workload::new(&ledger, Random::seeded("poison")).await;
    workload.publish(100).await;
    workload.check(&ledger).await;

    let nats = ledger.connect().await;
    let poison = nats
        .jetstream
        .publish("ledger.events.X", "this is no event".into())
        .await
        .expect("it can be published");
    let sequence = poison.await.expect("it is stored").sequence;
    for name in sinks::projection::NAMES {
        let pipeline = format!("projection.{name}");
        eventually("the projections to stop", || async {
            state_of(&process, &pipeline).await["state"] == "stopped"
        })
        .await;
        let reason = state_of(&process, &pipeline).await["reason"].to_string();
        let mends = format!("chronicle projection skip {name} --sequence {sequence} --reason");
        assert!(reason.contains(&mends), "{reason}");
        assert!(reason.contains("ledger.events.X"), "{reason}");
    }
    // Intake goes on; the process says that it is not well.
    let answers = workload.answers();
    workload.publish(100).await;
    answers.until(200).await;
    assert_eq!(state_of(&process, "intake").await["state"], "running");
    assert_eq!(process.readyz().await.expect("it answers").0, 503);
    // Told to stop, it says by its exit code that a person has to act.
    assert_eq!(process.stop().await, Some(4));

    // Alone, too; and starting again is no way around it.
    let mut alone = ledger.start(&["--only", "projection.transfers"], &[]).await;
    assert_eq!(alone.ended().await, Some(4), "{}", alone.log());

    skip(&ledger, "account_balance", sequence).await;
    let mut some = ledger.start(&PROJECTIONS, &[]).await;
    let pool = ledger.read_model().await;
    let expected = Books::fold(&ledger.stored_events().await);
    eventually("the projection that skips it to go on", || async {
        Books::read(&pool).await.account_balance == expected.account_balance
    })
    .await;
    for stopped in ["projection.transactions", "projection.transfers"] {
        assert_eq!(state_of(&some, stopped).await["state"], "stopped");
    }
    assert_eq!(
        state_of(&some, "projection.account_balance").await["state"],
        "running"
    );
    some.signal("TERM");
    assert_eq!(some.ended().await, Some(4));

    skip(&ledger, "transactions", sequence).await;
    skip(&ledger, "transfers", sequence).await;
    skip(&ledger, "holds", sequence).await;
    skip(&ledger, "daily_totals", sequence).await;
    let process = ledger.run(&[], &[]).await;
    ledger.until_converged().await;
    workload.publish(20).await;
    until_settled(&ledger).await;
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

async fn skip(ledger: &Ledger, name: &str, sequence: u64) {
    let sequence = sequence.to_string();
    let skipped = ledger
        .chronicle(&[
            "projection",
            "skip",
            name,
            "--sequence",
            &sequence,
            "--reason",
            "published by hand",
        ])
        .await;
    assert!(skipped.status.success(), "{}", text(&skipped.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_event_stops_the_projections_and_can_be_skipped() {
    let (ledger, process) = Ledger::running().await;
    let mut workload = Workload::new(&ledger, Random::seeded("forged")).await;
    workload.publish(50).await;
    workload.check(&ledger).await;
    let genuine = ledger
        .messages(streams::EVENTS)
        .await
        .pop()
        .expect("there are events");
    let mut event: Value = serde_json::from_slice(&genuine.payload).expect("it is JSON");
    event["version"] = (event["version"].as_u64().expect("it is a number") + 1).into();
    event["balance_after"] = "1000000.00".into();
    let nats = ledger.connect().await;
    let forged = nats
        .jetstream
        .publish(genuine.subject, event.to_string().into())
        .await
        .expect("it can be published");
    let sequence = forged.await.expect("it is stored").sequence;
    for name in sinks::projection::NAMES {
        let pipeline = format!("projection.{name}");
        eventually("the projections to stop", || async {
            state_of(&process, &pipeline).await["state"] == "stopped"
        })
        .await;
    }
    // Nothing of it has been applied.
    ledger.until_converged().await;
    assert_eq!(process.stop().await, Some(4));

    // It looks like an event, and is none: the skip is of the message, and they go on past it.
    for name in sinks::projection::NAMES {
        skip(&ledger, name, sequence).await;
    }
    let process = ledger.run(&[], &[]).await;
    workload.publish(50).await;
    workload.check(&ledger).await;
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
