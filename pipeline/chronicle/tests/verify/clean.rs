//! What is right is not reported.

use serde_json::json;

use crate::book::Book;
use crate::report::INVARIANTS;
use crate::support::text;

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_ledger_is_clean() {
    let book = Book::written().await;
    book.intake_streams().await;
    let report = book.verify(0).await;
    assert_eq!(report.0["ok"], true);
    for name in INVARIANTS {
        let invariant = report.invariant(name);
        assert_eq!(
            (&invariant["status"], report.count(name)),
            (&json!("ok"), 0),
            "{:#}",
            report.0
        );
    }
    let totals = &report.0["totals"];
    assert_eq!(
        json!([
            totals["accounts"],
            totals["events"],
            totals["commands"],
            totals["accepted"],
            totals["rejected"],
            totals["transfers"]
        ]),
        json!([3, 10, 9, 8, 1, 2])
    );
    assert_eq!(
        totals["currencies"],
        json!([
            {"currency":"EUR","balances":"10.00","initial":"7.50","deposits":"2.50","withdrawals":"0.00","transferred":"0.00"},
            {"currency":"USD","balances":"15.00","initial":"100.00","deposits":"25.00","withdrawals":"110.00","transferred":"35.00"},
        ])
    );
    assert_eq!(
        report.invariant("exactly_once")["checked"],
        json!({"events":10,"rows":15})
    );
    assert_eq!(
        report.invariant("atomic_command")["checked"],
        json!({"commands":8,"events":10})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_ledger_is_clean_and_says_what_is_not_there() {
    let book = Book::empty().await;
    let report = book.verify(0).await;
    assert_eq!(report.0["ok"], true);
    assert_eq!(report.invariant("bounded")["status"], "not_checked");
    assert_eq!(report.invariant("no_silent_loss")["status"], "not_checked");
    let message = report.invariant("single_applier")["message"]
        .as_str()
        .unwrap();
    assert!(message.contains("transfers has never run"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_has_a_line_for_each_invariant() {
    let book = Book::written().await;
    book.intake_streams().await;
    let output = book.ledger.chronicle(&["verify"]).await;
    let out = text(&output.stdout);
    for name in INVARIANTS {
        let lines: Vec<&str> = out
            .lines()
            .filter(|line| line.trim_start().starts_with(&format!("{name} ")))
            .collect();
        assert_eq!(lines.len(), 1, "{out}");
        assert!(lines[0].contains(" ok "), "{out}");
    }
    assert!(text(&output.stderr).contains("nothing is violated"));
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offender_stands_below_the_table_with_what_is_expected_and_found() {
    let book = Book::written().await;
    book.tamper_read_model("UPDATE account_balance SET balance = 16 WHERE account_id = 'B'")
        .await;
    let output = book
        .ledger
        .chronicle(&["verify", "--wait-seconds", "0"])
        .await;
    let out = text(&output.stdout);
    assert!(
        out.contains(
            "convergence: 1 in all\n  account_balance, account B version 3: the row does not say what the events make of \
             the account; expected balance 25.00, found balance 16"
        ),
        "{out}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_exit_code_3() {
    let book = Book::written().await;
    for (flag, url, words) in [
        (
            "--nats-url",
            "nats://127.0.0.1:1",
            "NATS at nats://127.0.0.1:1 cannot be reached",
        ),
        (
            "--event-store-url",
            "postgres://chronicle_app@127.0.0.1:1/event_store",
            "event store",
        ),
        (
            "--read-model-url",
            "postgres://chronicle_owner@127.0.0.1:1/read_model",
            "read model",
        ),
    ] {
        let output = book.ledger.chronicle(&["verify", flag, url]).await;
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{err}");
        assert!(err.contains(words), "{err}");
        assert_eq!(text(&output.stdout), "");
    }
}
