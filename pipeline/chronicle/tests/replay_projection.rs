//! `chronicle replay --into projection`, beside a pipeline that runs: holes are filled, nothing is applied twice, no offset
//! moves and nobody is fenced.

mod support;

use serde_json::Value;
use sqlx::{PgPool, Row};
use support::random::Random;
use support::raw::RawPublisher;
use support::workload::Workload;
use support::{Ledger, text};

const PROJECTIONS: [&str; 5] = [
    "account_balance",
    "transactions",
    "transfers",
    "holds",
    "daily_totals",
];

impl Ledger {
    /// Replays into a projection; the exit code must be `code`.
    async fn replay(&self, projection: &str, arguments: &[&str], code: i32) -> Value {
        let into = ["replay", "--into", "projection", projection];
        self.json(&[&into, arguments].concat(), code).await
    }

    /// Whether every invariant holds.
    async fn is_whole(&self) -> bool {
        let verified = self.chronicle(&["verify", "--wait-seconds", "1"]).await;
        verified.status.success()
    }
}

/// A ledger with some history that its read models have seen, its process, and the read models.
async fn with_history(seed: &str, count: usize) -> (Ledger, support::Process, Workload, PgPool) {
    let (ledger, process) = Ledger::running().await;
    let mut workload = Workload::new(&ledger, Random::seeded(seed)).await;
    workload.publish(count).await;
    ledger.until_settled().await;
    ledger.verify().await;
    let read_model = ledger.read_model().await;
    (ledger, process, workload, read_model)
}

/// The last sequence of a projection, and what else its row has that only its owner moves.
async fn offset(read_model: &PgPool, projection: &str) -> (i64, String) {
    let row = sqlx::query(
        "SELECT last_sequence, stream_id FROM projection_offsets WHERE projection = $1",
    );
    let row = row
        .bind(projection)
        .fetch_one(read_model)
        .await
        .expect("the read model works");
    (row.get("last_sequence"), row.get("stream_id"))
}

/// Takes an account's newest lines away, and the record that they were applied.
async fn make_hole(read_model: &PgPool, account: &str, last: i64) -> u64 {
    let taken = sqlx::query("DELETE FROM transactions WHERE account_id = $1 AND version > $2")
        .bind(account)
        .bind(last)
        .execute(read_model)
        .await
        .expect("the read model works");
    let record = if last == 0 {
        "DELETE FROM projection_versions WHERE projection = 'transactions' AND account_id = $1 AND version > $2"
    } else {
        "UPDATE projection_versions SET version = $2 WHERE projection = 'transactions' AND account_id = $1"
    };
    let record = sqlx::query(record).bind(account).bind(last);
    record
        .execute(read_model)
        .await
        .expect("the read model works");
    taken.rows_affected()
}

#[tokio::test]
async fn a_hole_is_filled_beside_the_running_copy_which_goes_on() {
    let (ledger, mut process, mut workload, read_model) = with_history("a hole", 400).await;
    let (hurt, gone) = (workload.account_name(3), workload.account_name(5));
    let before = offset(&read_model, "transactions").await;
    let missing = make_hole(&read_model, &hurt, 3).await + make_hole(&read_model, &gone, 0).await;
    assert!(missing > 20, "{missing}");
    assert!(!ledger.is_whole().await);

    let planned = ledger.replay("transactions", &["--dry-run"], 0).await;
    assert!(
        !ledger.is_whole().await,
        "a plan changes nothing: {planned}"
    );
    let why = ["--reason", "a hole", "--rate", "200/s"];
    let done = ledger.replay("transactions", &why, 0).await;
    assert_eq!(done["applied"], missing, "{done}");
    assert_eq!(
        done["applied"].as_u64().unwrap() + done["skipped"].as_u64().unwrap(),
        done["replayed"].as_u64().unwrap()
    );
    assert_eq!(offset(&read_model, "transactions").await, before);
    // Again there is nothing to do.
    let again = ledger.replay("transactions", &[], 0).await;
    assert_eq!(
        (&again["applied"], &again["skipped"]),
        (&0.into(), &done["replayed"])
    );

    // One order, however many transactions it took; and none for what had nothing to do.
    let log = ledger
        .chronicle(&["-o", "json", "projection", "log", "transactions"])
        .await;
    let log = text(&log.stdout);
    assert_eq!(log.lines().count(), 1, "{log}");
    let entry: Value = serde_json::from_str(&log).expect("it is JSON");
    assert_eq!(entry["action"], "replayed", "{entry}");
    assert_eq!(entry["reason"], "a hole", "{entry}");
    assert!(entry["by"].is_string(), "{entry}");
    assert_eq!(entry["details"]["applied"], missing, "{entry}");
    let from = format!("the feed, sequences 1 to {}", done["to_sequence"]);
    assert_eq!(entry["details"]["from"], from, "{entry}");

    // The running copy remembers nothing that is out of date: it goes on, and everything fits.
    workload.publish(300).await;
    ledger.until_settled().await;
    ledger.verify().await;
    process.until_ready().await;
    let log = process.log();
    assert!(
        !log.contains("fenced") && !log.contains("a person has to act"),
        "{log}"
    );
}

#[tokio::test]
async fn a_replay_that_has_nothing_to_add_is_not_even_noticed() {
    let (ledger, process, _, read_model) = with_history("nothing to add", 200).await;
    let rows = "SELECT json_agg(o ORDER BY projection)::text FROM projection_offsets AS o";
    let before: String = sqlx::query_scalar(rows)
        .fetch_one(&read_model)
        .await
        .unwrap();
    for projection in PROJECTIONS {
        for source in [&[][..], &["--from-event-store"]] {
            let done = ledger.replay(projection, source, 0).await;
            assert_eq!(done["applied"], 0, "{done}");
            assert_eq!(done["skipped"], done["replayed"], "{done}");
            assert!(done["skipped"].as_u64().unwrap() > 100, "{done}");
        }
    }
    let after: String = sqlx::query_scalar(rows)
        .fetch_one(&read_model)
        .await
        .unwrap();
    assert_eq!(after, before);
    let orders: i64 = sqlx::query_scalar("SELECT count(*) FROM projection_audit")
        .fetch_one(&read_model)
        .await
        .unwrap();
    assert_eq!(orders, 0);
    assert!(!process.log().contains("set back"), "{}", process.log());
}

#[tokio::test]
async fn replays_race_with_the_running_copies_and_every_event_is_applied_once() {
    let (ledger, mut process, mut workload, _) = with_history("a race", 50).await;
    let publishing = async {
        for _ in 0..20 {
            workload.publish(100).await;
        }
    };
    let replaying = async {
        let mut applied = 0;
        for round in 0..6 {
            for projection in PROJECTIONS {
                let source: &[&str] = if round % 2 == 0 {
                    &["--from-event-store"]
                } else {
                    &[]
                };
                let done = ledger.replay(projection, source, 0).await;
                applied += done["applied"].as_u64().unwrap();
            }
        }
        applied
    };
    let ((), applied) = tokio::join!(publishing, replaying);
    println!("the replays were faster with {applied} events");
    ledger.until_settled().await;
    ledger.verify().await;
    process.until_ready().await;
    let log = process.log();
    assert!(!log.contains("a person has to act"), "{log}");
}

#[tokio::test]
async fn what_comes_behind_a_hole_is_left_out_and_the_event_store_has_the_rest() {
    let (ledger, process, workload, read_model) = with_history("behind a hole", 300).await;
    let account = workload.account_name(0);
    // The copy that runs would make up for it at its next start.
    assert_eq!(process.stop().await, Some(0));
    let missing = make_hole(&read_model, &account, 2).await;
    let events = ledger
        .chronicle(&["-o", "json", "events", "--account", &account])
        .await;
    let events = text(&events.stdout);
    let line: Value = serde_json::from_str(events.lines().nth(5).unwrap()).unwrap();
    let sequence = line["sequence"].to_string();
    let late = ["--from-sequence", &sequence];
    let done = ledger.replay("transactions", &late, 1).await;
    assert_eq!(
        (&done["applied"], &done["left_out"]),
        (&0.into(), &(missing - 3).into())
    );
    assert_eq!(done["lacking"][0]["account_id"], account.as_str());
    assert_eq!(done["lacking"][0]["version"], 3);
    let told = ["replay", "--into", "projection", "transactions"];
    let told = ledger.chronicle(&[&told[..], &late].concat()).await;
    let told = text(&told.stdout);
    assert!(
        told.contains(&format!("are missing there: {account} from version 3.")),
        "{told}"
    );

    let after = format!("{account}:1");
    let stored = [
        "--from-event-store",
        "--account",
        &account,
        "--after",
        &after,
    ];
    let done = ledger.replay("transactions", &stored, 0).await;
    assert_eq!(
        (&done["applied"], &done["skipped"]),
        (&missing.into(), &1.into())
    );
    ledger.verify().await;
}

#[tokio::test]
async fn rows_that_the_record_does_not_know_of_are_not_touched() {
    let (ledger, _process, workload, read_model) = with_history("disagreement", 200).await;
    let account = workload.account_name(1);
    let forgotten = sqlx::query(
        "UPDATE projection_versions SET version = version - 2 WHERE projection = 'transactions' AND account_id = $1",
    );
    forgotten.bind(&account).execute(&read_model).await.unwrap();
    let lines = "SELECT count(*) FROM transactions";
    let before: i64 = sqlx::query_scalar(lines)
        .fetch_one(&read_model)
        .await
        .unwrap();
    let into = ["replay", "--into", "projection", "transactions"];
    let refused = ledger.chronicle(&into).await;
    let words = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{words}");
    assert!(
        words.contains("its record of what is applied disagree"),
        "{words}"
    );
    let after: i64 = sqlx::query_scalar(lines)
        .fetch_one(&read_model)
        .await
        .unwrap();
    assert_eq!(after, before);
}

#[tokio::test]
async fn an_event_that_an_operator_has_skipped_stays_skipped() {
    let (ledger, process, workload, read_model) = with_history("skipped", 200).await;
    assert_eq!(process.stop().await, Some(0));
    let account = workload.account_name(2);
    let missing = make_hole(&read_model, &account, 4).await;
    let events = ledger
        .chronicle(&["-o", "json", "events", "--account", &account])
        .await;
    let line: Value = serde_json::from_str(text(&events.stdout).lines().nth(4).unwrap()).unwrap();
    let sequence = line["sequence"].to_string();
    let skip = [
        "projection",
        "skip",
        "transactions",
        "--sequence",
        &sequence,
        "--reason",
        "x",
    ];
    ledger.json(&skip, 0).await;
    let done = ledger.replay("transactions", &[], 0).await;
    assert_eq!(done["applied"], missing, "{done}");
    let versions: Vec<i64> = sqlx::query_scalar(
        "SELECT version FROM transactions WHERE account_id = $1 ORDER BY version LIMIT 6",
    )
    .bind(&account)
    .fetch_all(&read_model)
    .await
    .unwrap();
    assert_eq!(versions, [1, 2, 3, 4, 6, 7]);
}

#[tokio::test]
async fn a_projection_must_be_there_and_takes_every_type() {
    let ledger = Ledger::new().await;
    let refused = async |arguments: &[&str], code: i32, words: &str| {
        let into = ["replay", "--into", "projection"];
        let refused = ledger.chronicle(&[&into, arguments].concat()).await;
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
    };
    refused(&["balances"], 2, "there is no projection \"balances\"").await;
    refused(&["holds"], 1, "projection holds has never run").await;
    refused(
        &["holds", "--type", "HoldPlaced"],
        2,
        "--type cannot be used with it",
    )
    .await;
    let reason = ["replay", "--into", "-", "--reason", "x"];
    let refused = ledger.chronicle(&reason).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("--reason is for projections"));
}

#[tokio::test]
async fn a_message_that_costs_its_receivers_the_connection_does_not_end_a_replay() {
    let (ledger, process, mut workload, _) = with_history("poison", 60).await;
    // The projections stop at it; that is theirs to say.
    assert_eq!(process.stop().await, Some(0));
    let mut raw = RawPublisher::connect(&ledger).await;
    let event = b"no event";
    raw.store(
        b"ledger.events.X",
        b"NATS/1.0\r\nBad Name: \xff\r\n\r\n",
        event,
    )
    .await;
    let _intake = ledger.run(&["--only", "intake"], &[]).await;
    workload.publish(60).await;
    ledger.until_settled().await;
    let all = ledger.chronicle(&["replay", "--into", "stdout"]).await;
    let said = text(&all.stderr);
    assert!(all.status.success(), "{said}");
    assert!(
        said.contains("(ledger.events.X) is no event, and is left out"),
        "{said}"
    );
    let (_, events) = ledger.counts().await;
    let printed = text(&all.stdout).lines().count();
    assert_eq!(i64::try_from(printed).unwrap(), events);
}
