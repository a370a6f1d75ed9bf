//! `chronicle verify --repair`: what is wrong with the rows of a read model is found with its first account and version,
//! mended from the event store, and the same as before; what the event store does not vouch for is left alone.

use std::collections::BTreeMap;

use ledger::Hash;
use serde_json::{Value, json};

use crate::book::{Book, command, command_id, hold_id};
use crate::support::random::Random;
use crate::support::workload::{Workload, until_settled};
use crate::support::{Ledger, text};

const NAMES: [&str; 5] = [
    "account_balance",
    "transactions",
    "transfers",
    "holds",
    "daily_totals",
];
const REPAIR: [&str; 4] = ["verify", "--wait-seconds", "0", "--repair"];

/// The digests of all read models.
async fn digests(book: &Book) -> BTreeMap<&'static str, Value> {
    let mut digests = BTreeMap::new();
    for name in NAMES {
        let digest = book.ledger.json(&["projection", "digest", name], 0).await;
        digests.insert(name, digest);
    }
    digests
}

/// The items of a repair.
fn items(report: &Value) -> &[Value] {
    report["repair"]["items"]
        .as_array()
        .map_or(&[], Vec::as_slice)
}

/// How many repairs are recorded, with whoever ordered them and why.
async fn recorded(book: &Book, projection: &str) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM projection_audit WHERE projection = $1 AND action = 'repaired' AND reason = 'a test' AND by <> ''",
    )
    .bind(projection)
    .fetch_one(&book.read_model)
    .await
    .unwrap()
}

/// Damages rows, sees them named, mended, and the same as before.
async fn mends(book: &Book, damage: &[&str], projection: &str, first: (&str, Option<i64>)) {
    let before = digests(book).await;
    for sql in damage {
        book.tamper_read_model(sql).await;
    }
    let damaged = digests(book).await;
    assert_ne!(damaged, before, "{damage:?}");

    let plan = book
        .ledger
        .json(&[&REPAIR[..], &["--dry-run"]].concat(), 1)
        .await;
    let named = items(&plan).iter().any(|item| {
        item["projection"] == projection
            && item["mended"].is_null()
            && (item["account_id"] == first.0 && item["version"] == json!(first.1))
    });
    assert!(named, "{damage:?}: {:#}", plan["repair"]);
    assert_eq!(digests(book).await, damaged);

    let arguments = [&REPAIR[..], &["--reason", "a test"]].concat();
    let report = book.ledger.json(&arguments, 0).await;
    assert!(!items(&report).is_empty());
    for item in items(&report) {
        assert_eq!(item["mended"], true, "{damage:?}: {item:#}");
        assert_eq!(item["projection"], projection);
    }
    assert_eq!(digests(book).await, before, "{damage:?}");
    book.verify(0).await;
    assert!(recorded(book, projection).await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_account_balance_are_mended() {
    let book = Book::eventful().await;
    for (damage, first) in [
        (
            "UPDATE account_balance SET balance = balance + 0.01 WHERE account_id = 'F'",
            ("F", Some(8)),
        ),
        (
            "DELETE FROM account_balance WHERE account_id = 'E'",
            ("E", Some(9)),
        ),
        (
            "INSERT INTO account_balance (account_id, owner_name, balance, currency, overdraft_limit, status, version,
                opened_at, updated_at)
             SELECT 'GHOST', owner_name, balance, currency, overdraft_limit, status, version, opened_at, updated_at
             FROM account_balance WHERE account_id = 'E'",
            ("GHOST", None),
        ),
        (
            "UPDATE account_balance SET version = 10 - version WHERE account_id IN ('G', 'E')",
            ("E", Some(1)),
        ),
        (
            "UPDATE account_balance SET held = held + 1, metadata = '{}', rules = '{}', status = 'closed'",
            ("E", Some(9)),
        ),
    ] {
        mends(&book, &[damage], "account_balance", first).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_transactions_are_mended() {
    let book = Book::eventful().await;
    for (damage, first) in [
        (
            "UPDATE transactions SET amount = amount + 1 WHERE account_id = 'F' AND version >= 2",
            ("F", Some(2)),
        ),
        (
            "DELETE FROM transactions WHERE account_id = 'E' AND version IN (3, 7)",
            ("E", Some(3)),
        ),
        (
            "INSERT INTO transactions (transaction_id, account_id, version, type, amount, currency, balance_after, command_id,
                timestamp)
             SELECT gen_random_uuid(), account_id, 77, type, amount, currency, balance_after, command_id, timestamp
             FROM transactions WHERE account_id = 'G' AND version = 2",
            ("G", Some(77)),
        ),
        // 2 and 3 change places.
        (
            "UPDATE transactions SET version = -version WHERE account_id = 'G' AND version IN (2, 3);
             UPDATE transactions SET version = 5 + version WHERE account_id = 'G' AND version < 0",
            ("G", Some(2)),
        ),
    ] {
        let statements: Vec<&str> = damage.split(';').collect();
        mends(&book, &statements, "transactions", first).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_transfers_are_mended() {
    let book = Book::written().await;
    for (damage, first) in [
        (
            "UPDATE transfers SET amount = amount + 1 WHERE amount = 30",
            ("A", Some(4)),
        ),
        ("DELETE FROM transfers WHERE amount = 5", ("A", Some(5))),
        (
            "INSERT INTO transfers SELECT gen_random_uuid(), from_account_id, to_account_id, amount, currency, status,
                debit_applied, credit_applied, description, command_id, timestamp FROM transfers WHERE amount = 30",
            ("A", None),
        ),
        // The two change places, but for their ids.
        (
            "UPDATE transfers SET amount = 35 - amount, from_account_id = to_account_id, to_account_id = from_account_id",
            ("A", Some(4)),
        ),
        // A row that looks as if no event had made it is known by its id.
        (
            "UPDATE transfers SET command_id = gen_random_uuid(), credit_applied = false, status = 'pending' WHERE amount = 30",
            ("A", Some(4)),
        ),
    ] {
        mends(&book, &[damage], "transfers", first).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_holds_are_mended() {
    let book = Book::eventful().await;
    let extra = format!(
        "INSERT INTO holds (account_id, hold_id, amount, captured, remaining, currency, status, version, placed_at, updated_at)
         SELECT 'G', hold_id, amount, captured, remaining, currency, status, 2, placed_at, updated_at
         FROM holds WHERE hold_id = '{}'",
        hold_id(1)
    );
    for (damage, first) in [
        (
            "UPDATE holds SET remaining = remaining + 1 WHERE account_id = 'F'",
            ("F", Some(7)),
        ),
        ("DELETE FROM holds WHERE account_id = 'E'", ("E", Some(2))),
        (extra.as_str(), ("G", Some(2))),
        // The one is too low then, the other one at a version that is no event of a hold.
        ("UPDATE holds SET version = 12 - version", ("E", Some(7))),
    ] {
        mends(&book, &[damage], "holds", first).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn daily_totals_are_built_anew_unless_an_earlier_model_is_kept() {
    let book = Book::written().await;
    let before = digests(&book).await;
    let prune = ["projection", "prune", "daily_totals"];
    let wrong = "UPDATE daily_totals SET amount = amount + 1 WHERE type = 'withdrawal'";
    for damage in [
        wrong,
        "DELETE FROM daily_totals WHERE type = 'deposit'",
        "INSERT INTO daily_totals SELECT 'CHF', day, type, count, amount FROM daily_totals LIMIT 1",
        // A row is under another type.
        "UPDATE daily_totals SET type = CASE type WHEN 'deposit' THEN 'transfer_out' ELSE 'deposit' END
         WHERE currency = 'EUR' AND type IN ('deposit', 'transfer_out')",
    ] {
        book.tamper_read_model(damage).await;
        let arguments = [&REPAIR[..], &["--reason", "a test"]].concat();
        let report = book.ledger.json(&arguments, 0).await;
        let [item] = items(&report) else {
            panic!("{:#}", report["repair"]);
        };
        assert_eq!(
            (&item["projection"], &item["mended"]),
            (&json!("daily_totals"), &json!(true))
        );
        assert_eq!(digests(&book).await, before, "{damage}");
        book.ledger.json(&prune, 0).await;
    }
    assert_eq!(recorded(&book, "daily_totals").await, 4);

    book.tamper_read_model(wrong).await;
    book.ledger.json(&REPAIR, 0).await;
    // While the damaged one is kept, another rebuild could not swap. That keeps nothing else from being mended.
    book.tamper_read_model(wrong).await;
    book.tamper_read_model("DELETE FROM transactions WHERE account_id = 'A' AND version = 3")
        .await;
    let report = book.ledger.json(&REPAIR, 1).await;
    let [lines, totals] = items(&report) else {
        panic!("{report:#}");
    };
    assert_eq!(
        (&lines["projection"], &lines["mended"]),
        (&json!("transactions"), &json!(true))
    );
    assert_eq!(
        (&totals["projection"], &totals["mended"]),
        (&json!("daily_totals"), &json!(false))
    );
    let why = totals["why"].as_str().unwrap();
    assert!(
        why.contains("chronicle projection prune daily_totals"),
        "{why}"
    );
    book.ledger.json(&prune, 0).await;
    book.ledger.json(&REPAIR, 0).await;
    assert_eq!(digests(&book).await, before);
}

/// Damages a row, repairs, and sees that nothing was changed, and why.
async fn mends_nothing(book: &Book, why: &str) {
    book.tamper_read_model("UPDATE account_balance SET balance = 999 WHERE account_id = 'B'")
        .await;
    let damaged = digests(book).await;
    let report = book.ledger.json(&REPAIR, 1).await;
    let refused = report["repair"]["refused"].as_str().unwrap_or_default();
    assert!(refused.contains(why), "{:#}", report["repair"]);
    assert!(items(&report).iter().all(|item| item["mended"].is_null()));
    assert_eq!(digests(book).await, damaged);
    let orders: i64 = sqlx::query_scalar("SELECT count(*) FROM projection_audit")
        .fetch_one(&book.read_model)
        .await
        .unwrap();
    assert_eq!(orders, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_of_versions_takes_no_rows_with_it() {
    for damage in [
        "UPDATE projection_versions SET version = 2 WHERE projection = 'transactions' AND account_id = 'E'",
        "DELETE FROM projection_versions WHERE projection = 'account_balance' AND account_id = 'F'",
        "DELETE FROM projection_versions WHERE projection = 'transactions' AND account_id = 'G'",
    ] {
        let book = Book::eventful().await;
        let before = digests(&book).await;
        book.tamper_read_model(damage).await;
        let report = book.ledger.json(&REPAIR, 0).await;
        assert!(!items(&report).is_empty(), "{damage}");
        assert_eq!(digests(&book).await, before, "{damage}");
        book.verify(0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_damaged_event_store_nothing_is_mended() {
    let book = Book::written().await;
    let sql = format!(
        "UPDATE events SET prev_hash = decode('{}', 'hex') WHERE account_id = 'C' AND version = 2",
        Hash::ZERO
    );
    book.tamper(&sql).await;
    mends_nothing(&book, "the event store itself is damaged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_mended_when_the_event_store_has_lost_its_newest_events() {
    let book = Book::written().await;
    let events = "DELETE FROM events WHERE account_id = 'C' AND version = 2";
    book.tamper(events).await;
    book.tamper(&format!(
        "DELETE FROM commands WHERE command_id = '{}'",
        command_id(8)
    ))
    .await;
    mends_nothing(&book, "the event store does not have it").await;

    // When the read models have not come so far, the feed tells.
    for sql in [
        "DELETE FROM transactions WHERE account_id = 'C' AND version = 2",
        "UPDATE projection_versions SET version = 1 WHERE account_id = 'C'",
        "UPDATE account_balance SET version = 1, balance = 7.50, updated_at = opened_at WHERE account_id = 'C'",
        "DELETE FROM daily_totals WHERE currency = 'EUR' AND type = 'deposit'",
    ] {
        book.tamper_read_model(sql).await;
    }
    let report = book.ledger.json(&REPAIR, 1).await;
    let refused = report["repair"]["refused"].as_str().unwrap();
    assert!(
        refused.contains("the feed has version 2 of account C"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_feed_nothing_is_mended() {
    let book = Book::written().await;
    let jetstream = &book.nats.jetstream;
    jetstream
        .delete_stream(transport::streams::EVENTS)
        .await
        .unwrap();
    mends_nothing(&book, "there is no feed").await;
}

/// Two damaged read models are both named, however many rows of the one are wrong.
#[tokio::test(flavor = "multi_thread")]
async fn many_wrong_rows_of_one_read_model_do_not_hide_another() {
    let book = Book::eventful().await;
    book.tamper_read_model("UPDATE transactions SET amount = amount + 1")
        .await;
    book.tamper_read_model(
        "UPDATE account_balance SET balance = balance + 1 WHERE account_id = 'I'",
    )
    .await;
    let report = book.violates(&["convergence"]).await;
    report.names(
        "convergence",
        &json!({"projection":"account_balance","account_id":"I"}),
    );
    let report = book.ledger.json(&REPAIR, 0).await;
    assert_eq!(items(&report).len(), 6, "{:#}", report["repair"]);
    book.verify(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_event_is_in_the_rows_after_a_repair() {
    let book = Book::written().await;
    let event = book.history("A").await.remove(2);
    book.tamper_read_model(&format!(
        "INSERT INTO projection_skips SELECT 'transactions', stream_id, 6, '{}', 'a test', 'tester', now()
         FROM projection_offsets WHERE projection = 'transactions'",
        event.event_id
    ))
    .await;
    let damage = "DELETE FROM transactions WHERE account_id = 'A' AND version = 3";
    mends(&book, &[damage], "transactions", ("A", Some(3))).await;
}

/// A repair and a copy that is behind: only what counts as applied is in the rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_that_is_behind_is_mended_up_to_where_it_is() {
    let mut book = Book::written().await;
    let later = [command(
        30,
        r#""type":"deposit","account_id":"A","amount":"1""#,
    )];
    let events = book.process(&later).await;
    book.publish(events.clone()).await;
    book.tamper_read_model(
        "UPDATE transactions SET amount = 7 WHERE account_id = 'A' AND version = 2",
    )
    .await;
    let report = book.ledger.json(&REPAIR, 1).await;
    assert_eq!(items(&report).len(), 1, "{:#}", report["repair"]);
    assert_eq!(items(&report)[0]["events"], 5);
    book.project(events).await;
    book.verify(0).await;
}

/// Commands flow and all projections run: what they apply meanwhile is applied once, and nobody is fenced.
#[tokio::test(flavor = "multi_thread")]
async fn while_commands_flow_and_projections_run_rows_are_mended() {
    let (ledger, process) = Ledger::running().await;
    let mut workload = Workload::new(&ledger, Random::seeded("repaired under load")).await;
    workload.publish(300).await;
    until_settled(&ledger).await;
    ledger.until_converged().await;
    let read_model = ledger.read_model().await;
    for sql in [
        "UPDATE transactions SET amount = amount + 1 WHERE version = 2",
        "DELETE FROM account_balance WHERE account_id IN (SELECT account_id FROM account_balance ORDER BY account_id LIMIT 3)",
        "UPDATE transfers SET amount = amount + 1",
        "UPDATE daily_totals SET count = count + 1",
    ] {
        let changed = sqlx::query(sql).execute(&read_model).await.unwrap();
        assert!(changed.rows_affected() > 0, "{sql}");
    }
    let report = ledger
        .json(&["verify", "--repair", "--reason", "a test"], 0)
        .await;
    let mended = items(&report).iter().filter(|item| item["mended"] == true);
    assert_eq!(
        mended.count(),
        items(&report).len(),
        "{:#}",
        report["repair"]
    );
    let publishing = workload.publish_stubbornly(300);
    let repairing = async {
        sqlx::query("UPDATE transactions SET amount = amount + 1 WHERE version = 2")
            .execute(&read_model)
            .await
            .unwrap();
        ledger.json(&["verify", "--repair"], 0).await
    };
    let ((), report) = tokio::join!(publishing, repairing);
    assert!(!items(&report).is_empty());
    workload.check_agreement(&ledger).await;
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

/// For people: the plan, what became of each, and what is there now.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_says_in_words_what_it_does() {
    let book = Book::written().await;
    book.tamper_read_model("DELETE FROM transactions WHERE account_id = 'A' AND version = 3")
        .await;
    book.tamper_read_model("UPDATE transfers SET amount = 31 WHERE amount = 30")
        .await;
    let dry = book
        .ledger
        .chronicle(&[&REPAIR[..], &["--dry-run"]].concat())
        .await;
    assert_eq!(dry.status.code(), Some(1));
    let plan = text(&dry.stdout);
    for words in [
        "to be made anew from the event store:",
        "transactions, account A, wrong from version 3: the event counts as applied, and its row is missing",
        "transfers, transfer ",
    ] {
        assert!(plan.contains(words), "{words}: {plan}");
    }
    let done = book.ledger.chronicle(&REPAIR).await;
    assert_eq!(done.status.code(), Some(0));
    let words = text(&done.stdout);
    for line in [
        "made anew: 2 of 2",
        "transactions, account A, wrong from version 3: mended, from 5 events",
        "and compared again:",
    ] {
        assert!(words.contains(line), "{line}: {words}");
    }
    let clean = book.ledger.chronicle(&REPAIR).await;
    assert_eq!(clean.status.code(), Some(0));
    let words = text(&clean.stdout);
    assert!(
        words.contains("there are no rows to be repaired"),
        "{words}"
    );
}
