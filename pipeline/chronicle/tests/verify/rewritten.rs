//! Histories whose hashes are right, because whoever changed them computed them anew or changed what no hash covers.

use ledger::EventData;
use rust_decimal::Decimal;
use serde_json::json;

use crate::book::{Book, command_id};

/// An amount of the same currency.
fn money(like: ledger::Money, value: Decimal) -> ledger::Money {
    ledger::Money::new(value, like.currency()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_written_anew_throughout_shows_by_what_the_commands_asked_for() {
    let book = Book::written().await;
    let more = Decimal::new(100, 0);
    book.rewrite("C", |event| {
        event.balance_after = money(event.balance_after, event.balance_after.value() + more);
        if let EventData::AccountCreated(created) = &mut event.data {
            created.initial_balance = money(
                created.initial_balance,
                created.initial_balance.value() + more,
            );
        }
    })
    .await;
    let report = book.violates(&["atomic_command", "convergence"]).await;
    report.names("atomic_command", &json!({
        "account_id":"C","command_id":command_id(3),"expected":"AccountCreated C 7.5 EUR","found":"AccountCreated C 107.5 EUR"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_description_is_not_what_the_command_said() {
    let book = Book::written().await;
    book.rewrite("C", |event| {
        if let EventData::MoneyDeposited(moved) = &mut event.data {
            moved.description = Some("gift".to_owned());
        }
    })
    .await;
    let report = book.violates(&["atomic_command", "convergence"]).await;
    report.names(
        "atomic_command",
        &json!({"command_id":command_id(8),"found":"gift"}),
    );
    report.names("convergence", &json!({"projection":"transactions","expected":"description gift","found":"description none"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_below_the_overdraft_limit() {
    let book = Book::written().await;
    // After version 4 there were −15.00 in it, and after version 5 −10.00.
    book.rewrite("A", |event| {
        if let EventData::AccountCreated(created) = &mut event.data {
            created.overdraft_limit = money(created.overdraft_limit, Decimal::new(12, 0));
        }
    })
    .await;
    book.tamper("UPDATE events SET profile = jsonb_set(profile, '{overdraft_limit}', '\"12.00\"') WHERE account_id = 'A' AND version = 1").await;
    let report = book
        .violates(&["no_overdraft", "atomic_command", "convergence"])
        .await;
    assert_eq!(report.count("no_overdraft"), 1);
    report.names("no_overdraft", &json!({
        "account_id":"A","version":4,"command_id":command_id(6),"expected":"-12.00 or more","found":"-15.00"
    }));
    report.names("convergence", &json!({"projection":"account_balance","expected":"overdraft_limit 12.00","found":"overdraft_limit 50"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_profile_which_no_hash_covers() {
    let book = Book::written().await;
    book.tamper("UPDATE events SET profile = jsonb_set(profile, '{overdraft_limit}', '\"999.00\"') WHERE account_id = 'B' AND version = 1").await;
    let report = book.violates(&["append_only"]).await;
    report.names(
        "append_only",
        &json!({"account_id":"B","version":1,"message":"the profile","found":"999.00"}),
    );
    book.tamper("UPDATE events SET profile = jsonb_set(profile, '{overdraft_limit}', '\"0.00\"') WHERE account_id = 'B' AND version = 1").await;
    book.verify(0).await;
    book.tamper("UPDATE events SET profile_version = 2 WHERE account_id = 'B' AND version = 3")
        .await;
    let report = book.violates(&["append_only"]).await;
    report.names(
        "append_only",
        &json!({"account_id":"B","version":3,"expected":"1","found":"2"}),
    );
}
