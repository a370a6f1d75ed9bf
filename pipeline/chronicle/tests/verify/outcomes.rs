//! Commands, their one outcome, and the events that it names.

use serde_json::json;

use crate::book::{Book, command_id};

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_without_its_event() {
    let book = Book::written().await;
    let outcome = r#"{"status":"accepted","events":[{"account_id":"A","version":6,"event_id":"00000000-0000-8000-8000-000000000001"}]}"#;
    book.tamper(&format!(
        "INSERT INTO commands (command_id, account_id, command_type, fingerprint, body, outcome, recorded_at)
         SELECT command_id, account_id, command_type, fingerprint, body, '{outcome}', recorded_at FROM (
            SELECT '{new}'::uuid AS command_id, account_id, command_type, fingerprint, body, recorded_at FROM commands
            WHERE command_id = '{old}'
         ) AS copy",
        new = command_id(50),
        old = command_id(4),
    ))
    .await;
    let report = book.violates(&["one_outcome", "atomic_command"]).await;
    report.names(
        "atomic_command",
        &json!({"account_id":"A","version":6,"command_id":command_id(50),"found":"nothing"}),
    );
    // The body is another command's.
    report.names(
        "one_outcome",
        &json!({"command_id":command_id(50),"message":"does not say what its body says"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_an_outcome() {
    let book = Book::written().await;
    book.tamper(&format!(
        "DELETE FROM commands WHERE command_id = '{}'",
        command_id(5)
    ))
    .await;
    let report = book.violates(&["atomic_command"]).await;
    assert_eq!(report.count("atomic_command"), 1);
    report.names(
        "atomic_command",
        &json!({
            "account_id":"A","version":3,"command_id":command_id(5),"message":"has no outcome"
        }),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_names_another_event() {
    let book = Book::written().await;
    book.tamper(&format!(
        "UPDATE commands SET outcome = jsonb_set(outcome, '{{events,0,event_id}}', '\"00000000-0000-8000-8000-000000000001\"') \
         WHERE command_id = '{}'",
        command_id(5)
    ))
    .await;
    let report = book.violates(&["atomic_command"]).await;
    report.names("atomic_command", &json!({
        "account_id":"A","version":3,"command_id":command_id(5),"expected":"00000000-0000-8000-8000-000000000001"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_leaves_an_event_out() {
    let book = Book::written().await;
    book.tamper(&format!(
        "UPDATE commands SET outcome = jsonb_set(outcome, '{{events}}', jsonb_build_array(outcome->'events'->0)) \
         WHERE command_id = '{}'",
        command_id(6)
    ))
    .await;
    let report = book.violates(&["atomic_command", "conservation"]).await;
    report.names("atomic_command", &json!({"account_id":"B","version":2,"command_id":command_id(6),"message":"does not name it"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_names_another_commands_event() {
    let book = Book::written().await;
    book.tamper(&format!(
        "UPDATE commands SET outcome = (SELECT outcome FROM commands WHERE command_id = '{}') WHERE command_id = '{}'",
        command_id(4),
        command_id(5)
    ))
    .await;
    let report = book.violates(&["atomic_command"]).await;
    report.names("atomic_command", &json!({
        "account_id":"A","version":2,"command_id":command_id(5),"message":"names an event of another command"
    }));
    report.names("atomic_command", &json!({"account_id":"A","version":3,"command_id":command_id(5),"message":"does not name it"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_command_with_events() {
    let book = Book::written().await;
    book.tamper(&format!(
        "UPDATE commands SET outcome = jsonb_set(outcome, '{{status}}', '\"rejected\"') WHERE command_id = '{}'",
        command_id(4)
    ))
    .await;
    let report = book.violates(&["one_outcome"]).await;
    report.names("one_outcome", &json!({"account_id":"A","command_id":command_id(4),"message":"it is rejected and names events"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_command_without_events() {
    let book = Book::written().await;
    let outcome = r#"{"status":"accepted","events":[]}"#;
    book.tamper(&format!(
        "UPDATE commands SET outcome = '{outcome}' WHERE command_id = '{}'",
        command_id(7)
    ))
    .await;
    let report = book.violates(&["atomic_command"]).await;
    report.names(
        "atomic_command",
        &json!({"account_id":"C","command_id":command_id(7),"message":"has no events"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_body_does_not_have_its_fingerprint() {
    let book = Book::written().await;
    book.tamper(&format!(
        "UPDATE commands SET body = jsonb_set(body, '{{amount}}', '\"99\"') WHERE command_id = '{}'",
        command_id(7)
    ))
    .await;
    let report = book.violates(&["one_outcome"]).await;
    report.names(
        "one_outcome",
        &json!({"account_id":"C","command_id":command_id(7),"message":"fingerprint"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_fingerprint() {
    let book = Book::written().await;
    book.tamper(&format!("UPDATE commands SET fingerprint = prev_hash FROM events WHERE version = 1 AND events.account_id = 'A' AND commands.command_id = '{}'", command_id(7))).await;
    let report = book.violates(&["one_outcome"]).await;
    report.names(
        "one_outcome",
        &json!({"command_id":command_id(7),"found":"0".repeat(64)}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_with_only_one_half() {
    let book = Book::written().await;
    book.tamper("DELETE FROM events WHERE account_id = 'A' AND version = 5")
        .await;
    let report = book
        .violates(&[
            "atomic_command",
            "conservation",
            "exactly_once",
            "convergence",
        ])
        .await;
    report.names("conservation", &json!({
        "account_id":"B","version":3,"command_id":command_id(9),"expected":"1 debit and 1 credit","found":"1 and 0"
    }));
    report.names(
        "conservation",
        &json!({"message":"USD: transfers and postings do not add up","found":"30.00 credited"}),
    );
    report.names(
        "atomic_command",
        &json!({"account_id":"A","version":5,"command_id":command_id(9)}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_whose_halves_differ() {
    let book = Book::written().await;
    let amount = |text: &str| {
        ledger::Money::new(
            ledger::parse_decimal(text).unwrap(),
            ledger::Currency::lookup("USD".parse().unwrap()).unwrap(),
        )
        .unwrap()
    };
    book.rewrite("B", |event| {
        let ledger::EventData::MoneyDeposited(moved) = &mut event.data else {
            event.balance_after = amount(if event.version.get() == 1 { "0" } else { "26" });
            return;
        };
        moved.amount = amount("31");
        event.balance_after = amount("31");
    })
    .await;
    let report = book
        .violates(&["atomic_command", "conservation", "convergence"])
        .await;
    report.names("conservation", &json!({
        "account_id":"A","version":4,"command_id":command_id(6),"message":"different amounts","expected":"30.00 USD","found":"31.00 USD"
    }));
    report.names("conservation", &json!({"message":"USD: the newest balances do not add up","expected":"15.00","found":"16.00"}));
}
