//! What the ledger does besides moving money, broken: holds, freezes, reversals, and what their read models say.

use ledger::{Action, CommandId, EventData, Money};
use rust_decimal::Decimal;
use serde_json::json;

use crate::book::{Book, command_id, hold_id};
use crate::support::books::Books;

/// So many cents of the same currency.
fn cents(like: Money, cents: i64) -> Money {
    Money::new(Decimal::new(cents, 2), like.currency()).unwrap()
}

/// What of the event's original has been moved back, said otherwise; the event alone.
fn set_reversed(data: &mut EventData, cents_reversed: i64) {
    if let EventData::MoneyDeposited(moved) | EventData::MoneyWithdrawn(moved) = data
        && let Some(reversal) = &mut moved.reversal
    {
        reversal.reversed = cents(reversal.reversed, cents_reversed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eventful_ledger_is_clean() {
    let book = Book::eventful().await;
    book.intake_streams().await;
    let report = book.verify(0).await;
    assert_eq!(report.0["ok"], true, "{:#}", report.0);
    assert_eq!(
        report.invariant("exactly_once")["checked"],
        json!({"events": 30, "rows": 41, "hold events": 5})
    );
    assert_eq!(report.invariant("conservation")["checked"]["reversals"], 3);
    // The other tests' own fold of such a book comes to the same.
    assert_eq!(
        Books::read(&book.read_model).await,
        Books::fold(&book.ledger.stored_events().await)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reversal_that_moves_more_back_than_was_moved() {
    let book = Book::eventful().await;
    // A cent less was paid in than is paid back: 1.00, 30.99, 0.99.
    book.rewrite("G", |event| match &mut event.data {
        EventData::MoneyDeposited(moved) => {
            moved.amount = cents(moved.amount, 29_99);
            event.balance_after = cents(event.balance_after, 30_99);
        }
        EventData::MoneyWithdrawn(_) => event.balance_after = cents(event.balance_after, 99),
        _ => {}
    })
    .await;
    let report = book
        .violates(&["atomic_command", "conservation", "convergence"])
        .await;
    report.names(
        "conservation",
        &json!({
            "account_id": "G", "version": 3, "command_id": command_id(16),
            "message": format!("it reverses command {}: more was moved back than it moved", command_id(15))
        }),
    );
    assert_eq!(report.count("conservation"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_reversal_that_do_not_add_up() {
    let book = Book::eventful().await;
    book.rewrite("E", |event| {
        if event.command_id == command_id(11) {
            set_reversed(&mut event.data, 9_99);
        }
    })
    .await;
    let report = book.violates(&["conservation"]).await;
    assert_eq!(report.count("conservation"), 1);
    report.names(
        "conservation",
        &json!({
            "account_id": "E", "version": 9, "command_id": command_id(11), "expected": "10.00", "found": "9.99",
            "message": format!("what has been moved back of command {} does not add up", command_id(9))
        }),
    );
    // The other half still adds up; with it, the two halves say that more was moved back than was moved.
    book.rewrite("E", |event| {
        if event.command_id == command_id(11) {
            set_reversed(&mut event.data, 20_01);
        }
    })
    .await;
    let report = book.violates(&["conservation"]).await;
    report.names(
        "conservation",
        &json!({"account_id": "F", "command_id": command_id(11), "message": "more was moved back than it moved"}),
    );
}

/// What a reversal says it reverses, and what it was asked to, changed alike.
#[tokio::test(flavor = "multi_thread")]
async fn a_reversal_of_a_command_that_was_not_accepted_or_cannot_be_reversed() {
    let book = Book::eventful().await;
    let (deposit, reversal) = (command_id(15), command_id(16));
    let reverses = async |other: CommandId| {
        book.rewrite("G", |event| {
            if let EventData::MoneyWithdrawn(moved) = &mut event.data
                && let Some(reversal) = &mut moved.reversal
            {
                reversal.command_id = other;
            }
        })
        .await;
        book.rewrite_command(reversal, |command| {
            if let Action::Reverse(action) = &mut command.action {
                action.reversed_command_id = other;
            }
        })
        .await;
        book.tamper(&format!(
            "UPDATE events SET thread_key = 'G/reversal/{other}' WHERE command_id = '{reversal}'"
        ))
        .await;
        book.tamper_read_model(&format!(
            "UPDATE transactions SET reversed_command_id = '{other}' WHERE command_id = '{reversal}'"
        ))
        .await;
    };
    // The 17th was rejected; nobody has heard of the 77th; the 14th opened G; the 9th is a transfer of others, the 7th
    // a deposit of F.
    for (number, problem) in [
        (17, "no command was accepted that it could reverse"),
        (77, "no command was accepted that it could reverse"),
        (14, "that one cannot be reversed"),
        (9, "that one has another number of movements"),
        (7, "its movements are not those in the other direction"),
    ] {
        let other = command_id(number);
        reverses(other).await;
        let report = book.violates(&["conservation"]).await;
        assert_eq!(report.count("conservation"), 1);
        report.names(
            "conservation",
            &json!({"account_id": "G", "version": 3, "command_id": reversal,
                "message": format!("it reverses command {other}: {problem}")}),
        );
    }
    reverses(deposit).await;
    book.verify(0).await;
}

/// 30.00 were held on E; 10.00 were captured of them, then 5.00 finally.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_whose_parts_do_not_follow() {
    let book = Book::eventful().await;
    for (captured, remaining) in [(10_01, 20_00), (10_00, 19_99), (10_01, 19_99)] {
        book.rewrite("E", |event| {
            if event.version.get() == 3
                && let EventData::MoneyWithdrawn(moved) = &mut event.data
                && let Some(hold) = &mut moved.hold
            {
                hold.captured = cents(hold.captured, captured);
                hold.remaining = cents(hold.remaining, remaining);
            }
        })
        .await;
        let report = book.violates(&["conservation"]).await;
        let message = format!(
            "hold {}: what is captured and what remains are not what the event makes of them",
            hold_id(1)
        );
        for version in [3, 4] {
            report.names(
                "conservation",
                &json!({"account_id": "E", "version": version, "message": message}),
            );
        }
        assert_eq!(report.count("conservation"), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_after_that_does_not_follow() {
    let book = Book::eventful().await;
    book.rewrite("E", |event| {
        if event.version.get() == 3 {
            event.held_after = cents(event.held_after, 20_01);
        }
    })
    .await;
    let report = book.violates(&["conservation", "convergence"]).await;
    report.names(
        "conservation",
        &json!({"account_id": "E", "version": 3, "message": "held_after", "expected": "20.00", "found": "20.01"}),
    );
    report.names(
        "convergence",
        &json!({"projection": "transactions", "account_id": "E", "version": 3, "expected": "held_after 20.01"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_key_that_no_hash_covers() {
    let book = Book::eventful().await;
    let threads = [
        (2, format!("E/hold/{}", hold_id(1))),
        (8, format!("E/reversal/{}", command_id(9))),
    ];
    for (version, right) in threads {
        for (wrong, shown) in [("'E/hold/elsewhere'", "E/hold/elsewhere"), ("NULL", "none")] {
            book.tamper(&format!(
                "UPDATE events SET thread_key = {wrong} WHERE account_id = 'E' AND version = {version}"
            ))
            .await;
            let report = book.violates(&["append_only"]).await;
            assert_eq!(report.count("append_only"), 1);
            report.names(
                "append_only",
                &json!({"account_id": "E", "version": version, "message": "thread_key", "expected": right, "found": shown}),
            );
        }
        book.tamper(&format!(
            "UPDATE events SET thread_key = '{right}' WHERE account_id = 'E' AND version = {version}"
        ))
        .await;
    }
    book.tamper("UPDATE events SET thread_key = 'E/hold/x' WHERE account_id = 'E' AND version = 1")
        .await;
    let report = book.violates(&["append_only"]).await;
    report.names(
        "append_only",
        &json!({"account_id": "E", "version": 1, "expected": "none", "found": "E/hold/x"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_of_holds_is_compared() {
    let book = Book::eventful().await;
    let id = hold_id(2);
    for (column, value) in [
        ("amount", "amount + 0.01"),
        ("captured", "captured + 0.01"),
        ("remaining", "remaining - 0.01"),
        ("currency", "'EUR'"),
        ("status", "'released'"),
        ("expires_at", "expires_at + interval '1 microsecond'"),
        ("description", "'a car'"),
        ("placed_at", "placed_at - interval '1 microsecond'"),
        ("updated_at", "updated_at + interval '1 microsecond'"),
    ] {
        let before = book
            .literal("holds", column, &format!("hold_id = '{id}'"))
            .await;
        book.tamper_read_model(&format!(
            "UPDATE holds SET {column} = {value} WHERE hold_id = '{id}'"
        ))
        .await;
        let report = book.violates(&["convergence"]).await;
        report.names(
            "convergence",
            &json!({"projection": "holds", "account_id": "F", "message": id.to_string(), "expected": column, "found": column}),
        );
        book.tamper_read_model(&format!(
            "UPDATE holds SET {column} = {before} WHERE hold_id = '{id}'"
        ))
        .await;
    }
    book.verify(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_that_are_missing_behind_or_nobodys() {
    let book = Book::eventful().await;
    let (closed, open) = (hold_id(1), hold_id(2));
    book.tamper_read_model(&format!(
        "UPDATE holds SET version = 3 WHERE hold_id = '{closed}'"
    ))
    .await;
    let report = book.violates(&["exactly_once", "convergence"]).await;
    report.names(
        "exactly_once",
        &json!({"projection": "holds", "account_id": "E", "version": 5, "message": "behind", "expected": "version 5",
            "found": "version 3"}),
    );
    book.tamper_read_model(&format!(
        "UPDATE holds SET version = 5 WHERE hold_id = '{closed}'"
    ))
    .await;

    let nobodys = hold_id(9);
    book.tamper_read_model(&format!(
        "INSERT INTO holds SELECT account_id, '{nobodys}', amount, captured, remaining, currency, status, expires_at, description,
            version, placed_at, updated_at FROM holds WHERE hold_id = '{open}'"
    ))
    .await;
    let report = book.violates(&["exactly_once"]).await;
    assert_eq!(report.count("exactly_once"), 1);
    report.names(
        "exactly_once",
        &json!({"projection": "holds", "account_id": "F", "message": format!("hold {nobodys}: the row belongs to no hold")}),
    );
    // As many rows as there are holds, and one is another's.
    book.tamper_read_model(&format!("DELETE FROM holds WHERE hold_id = '{open}'"))
        .await;
    let report = book.violates(&["exactly_once"]).await;
    assert_eq!(report.count("exactly_once"), 2);
    report.names(
        "exactly_once",
        &json!({"projection": "holds", "account_id": "F", "message": format!("hold {open}: the event counts as applied, and the row is missing")}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_and_what_is_known_of_an_account_is_compared() {
    let book = Book::eventful().await;
    for (account, column, value) in [
        ("F", "held", "held - 0.01"),
        ("E", "held", "0.01"),
        ("F", "status", "'active'"),
        ("F", "freeze_reason", "'another'"),
        ("E", "freeze_reason", "'frozen'"),
        ("E", "metadata", "'{}'"),
        ("F", "metadata", r#"'{"tier": "gold"}'"#),
        ("F", "rules", r#"'{"minimum_balance": "1.00"}'"#),
        ("I", "rules", "'{}'"),
    ] {
        let of = format!("account_id = '{account}'");
        let before = book.literal("account_balance", column, &of).await;
        book.tamper_read_model(&format!(
            "UPDATE account_balance SET {column} = {value} WHERE {of}"
        ))
        .await;
        let report = book.violates(&["convergence"]).await;
        assert_eq!(report.count("convergence"), 1);
        report.names(
            "convergence",
            &json!({"projection": "account_balance", "account_id": account, "expected": column, "found": column}),
        );
        book.tamper_read_model(&format!(
            "UPDATE account_balance SET {column} = {before} WHERE {of}"
        ))
        .await;
    }
    book.verify(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_line_says_of_holds_and_reversals_is_compared() {
    let book = Book::eventful().await;
    for (version, column, value) in [
        (3, "held", "held + 0.01"),
        (3, "held", "NULL"),
        (3, "held_after", "held_after + 0.01"),
        (3, "held_after", "NULL"),
        (3, "hold_id", "gen_random_uuid()"),
        (1, "held", "1"),
        (1, "hold_id", "gen_random_uuid()"),
        (8, "reversed_command_id", "gen_random_uuid()"),
        (8, "reversed_command_id", "NULL"),
        (1, "reversed_command_id", "gen_random_uuid()"),
    ] {
        let of = format!("account_id = 'E' AND version = {version}");
        let before = book.literal("transactions", column, &of).await;
        book.tamper_read_model(&format!(
            "UPDATE transactions SET {column} = {value} WHERE {of}"
        ))
        .await;
        let report = book.violates(&["convergence"]).await;
        assert_eq!(report.count("convergence"), 1, "{column}");
        report.names(
            "convergence",
            &json!({"projection": "transactions", "account_id": "E", "version": version, "expected": column, "found": column}),
        );
        book.tamper_read_model(&format!(
            "UPDATE transactions SET {column} = {before} WHERE {of}"
        ))
        .await;
    }
    book.verify(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_of_a_day_is_compared_and_no_hash_covers_it() {
    let book = Book::eventful().await;
    let of = "account_id = 'I' AND version = 4";
    for (value, found) in [
        (r#"jsonb_set(day_debits, '{amount}', '"0.50"')"#, "0.50"),
        ("day_debits - 'amount'", "missing field"),
        ("NULL", "none"),
    ] {
        book.tamper(&format!(
            "UPDATE events SET day_debits = {value} WHERE {of}"
        ))
        .await;
        let report = book.violates(&["append_only"]).await;
        report.names(
            "append_only",
            &json!({"account_id": "I", "version": 4, "message": "counted", "expected": "1.00", "found": found}),
        );
        book.tamper(&format!(
            r#"UPDATE events SET day_debits = jsonb_set(day_debits, '{{amount}}', '"1.00"') WHERE {of}"#
        ))
        .await;
    }
}
