//! Batches and postings, broken: what an entry moved, which command of a batch made an event, what does not balance.

use ledger::{Action, CommandId, Event, EventData, Money, MoneyMoved};
use rust_decimal::Decimal;
use serde_json::json;

use crate::book::{Book, command_id};
use crate::support::books::Books;

/// So many cents of the same currency.
fn cents(like: Money, cents: i64) -> Money {
    Money::new(Decimal::new(cents, 2), like.currency()).unwrap()
}

fn moved(event: &mut Event) -> &mut MoneyMoved {
    match &mut event.data {
        EventData::MoneyDeposited(moved) | EventData::MoneyWithdrawn(moved) => moved,
        other => panic!("{other:?} moves nothing"),
    }
}

/// The posting of Q's version 5 takes half a dollar less: everything behind it has that more.
async fn rewrite_posting(book: &Book) {
    book.rewrite("Q", |event| {
        if event.version.get() == 5 {
            let moved = moved(event);
            moved.amount = cents(moved.amount, 1_50);
        }
        if event.version.get() >= 5 {
            let more = event.balance_after.value() + Decimal::new(50, 2);
            event.balance_after = Money::new(more, event.balance_after.currency()).unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_with_batches_and_postings_is_clean() {
    let book = Book::batched().await;
    book.intake_streams().await;
    let report = book.verify(0).await;
    assert_eq!(report.0["ok"], true, "{:#}", report.0);
    let checked = &report.invariant("conservation")["checked"];
    assert_eq!(
        json!([
            checked["transfers"],
            checked["postings"],
            checked["reversals"]
        ]),
        json!([7, 3, 3])
    );
    assert_eq!(
        Books::read(&book.read_model).await,
        Books::fold(&book.ledger.stored_events().await)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_moved_something_else() {
    let book = Book::batched().await;
    rewrite_posting(&book).await;
    let report = book
        .violates(&["atomic_command", "conservation", "convergence"])
        .await;
    report.names(
        "atomic_command",
        &json!({"command_id": command_id(6), "message": "the events are not what the command asks for",
            "expected": "MoneyWithdrawn Q 2 in posting", "found": "MoneyWithdrawn Q 1.5 in posting"}),
    );
    report.names("atomic_command", &json!({"found": "of commands[2]"}));
    report.names(
        "conservation",
        &json!({"account_id": "Q", "version": 5, "command_id": command_id(6), "message": "do not balance",
            "expected": "0 USD", "found": "0.50 USD"}),
    );
    report.names(
        "conservation",
        &json!({"message": "USD: transfers and postings do not add up to nothing"}),
    );
    assert_eq!(report.count("conservation"), 3, "{:#}", report.0);
}

/// Whoever may write everything changes what the command asked for, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_posting_that_was_asked_for_and_does_not_balance() {
    let book = Book::batched().await;
    rewrite_posting(&book).await;
    book.rewrite_command(command_id(6), |command| {
        if let Action::Batch(batch) = &mut command.action
            && let Action::Post(post) = &mut batch.commands[2].action
        {
            post.entries[0].amount = Decimal::new(15, 1);
        }
    })
    .await;
    let report = book.violates(&["conservation", "convergence"]).await;
    report.names(
        "conservation",
        &json!({"account_id": "Q", "version": 5, "message": "do not balance", "found": "0.50 USD"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_another_posting() {
    let book = Book::batched().await;
    let other = command_id(6).posting_id(0);
    book.rewrite("S", |event| {
        if event.version.get() == 2 {
            moved(event).posting_id = Some(other);
        }
    })
    .await;
    let report = book
        .violates(&["atomic_command", "conservation", "convergence"])
        .await;
    report.names(
        "atomic_command",
        &json!({"command_id": command_id(5), "found": format!("MoneyDeposited S 5 in posting {other}")}),
    );
    for found in ["-5.00 EUR", "5.00 EUR"] {
        report.names(
            "conservation",
            &json!({"command_id": command_id(5), "message": "do not balance", "found": found}),
        );
    }
    report.names(
        "convergence",
        &json!({"projection": "transactions", "account_id": "S", "version": 2, "expected": "posting_id"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_moved_to_another_command_of_its_batch() {
    let book = Book::batched().await;
    for (part, shown) in [
        (Some(1), "MoneyDeposited Q 1 of commands[1]"),
        (Some(7), "MoneyDeposited Q 1 of commands[7]"),
        (None, "MoneyDeposited Q 1, "),
    ] {
        book.rewrite("Q", |event| {
            if event.version.get() == 3 {
                event.part = part;
            }
        })
        .await;
        let report = book.violates(&["atomic_command"]).await;
        report.names(
            "atomic_command",
            &json!({"command_id": command_id(6), "message": "not what the command asks for", "found": shown}),
        );
        report.names(
            "atomic_command",
            &json!({"account_id": "Q", "version": 3, "command_id": command_id(6),
                "message": "the command's outcome names another command of the batch", "expected": "commands[0]"}),
        );
    }
    // A command that is no batch has no parts.
    let book = Book::batched().await;
    book.rewrite("P", |event| {
        if event.version.get() == 10 {
            event.part = Some(0);
        }
    })
    .await;
    let report = book.violates(&["atomic_command"]).await;
    report.names(
        "atomic_command",
        &json!({"command_id": command_id(11), "found": "of commands[0]"}),
    );
    // The hash covers it.
    book.tamper("UPDATE events SET part = 1 WHERE account_id = 'Q' AND version = 3")
        .await;
    let report = book.violates(&["append_only", "atomic_command"]).await;
    report.names("append_only", &json!({"account_id": "Q", "version": 3}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_names_another_command_of_the_batch() {
    let book = Book::batched().await;
    let id = command_id(8);
    for (part, found) in [("1", "commands[1]"), ("null", "none")] {
        book.tamper(&format!(
            "UPDATE commands SET outcome = jsonb_set(outcome, '{{events,0,part}}', '{part}') WHERE command_id = '{id}'"
        ))
        .await;
        let report = book.violates(&["atomic_command"]).await;
        assert_eq!(report.count("atomic_command"), 1);
        report.names(
            "atomic_command",
            &json!({"account_id": "P", "version": 5, "command_id": id, "expected": found, "found": "commands[0]",
                "message": "the command's outcome names another command of the batch"}),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_which_a_command_is_missing_or_was_changed() {
    let book = Book::batched().await;
    let id = command_id(8);
    let body = book.store.command(id).await.unwrap().unwrap();
    let asked_for_less = |command: &mut ledger::Command| {
        if let Action::Batch(batch) = &mut command.action {
            batch.commands.pop();
        }
    };
    book.rewrite_command(id, asked_for_less).await;
    let report = book.violates(&["atomic_command"]).await;
    report.names(
        "atomic_command",
        &json!({"command_id": id, "found": "MoneyDeposited Q 4 in transfer"}),
    );
    let described = |command: &mut ledger::Command| {
        *command = body.clone();
        if let Action::Batch(batch) = &mut command.action {
            batch.commands[1].description = Some("rent".to_owned());
        }
    };
    book.rewrite_command(id, described).await;
    let report = book.violates(&["atomic_command"]).await;
    report.names(
        "atomic_command",
        &json!({"command_id": id, "expected": "rent"}),
    );
    book.rewrite_command(id, |command| *command = body.clone())
        .await;
    book.verify(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reversal_of_several_movements_that_does_not_add_up() {
    let book = Book::batched().await;
    book.rewrite("P", |event| {
        if event.version.get() == 8
            && let Some(reversal) = &mut moved(event).reversal
        {
            reversal.reversed = cents(reversal.reversed, 6_99);
        }
    })
    .await;
    let report = book.violates(&["conservation"]).await;
    report.names(
        "conservation",
        &json!({"account_id": "P", "version": 8, "command_id": command_id(9), "expected": "7.00", "found": "6.99"}),
    );
    report.names(
        "conservation",
        &json!({"command_id": command_id(9),
            "message": "all of the rest was asked for, and not all of it was moved back"}),
    );
}

/// A command of a batch reverses one that there is not: what it asks for, and what its events say, changed alike.
#[tokio::test(flavor = "multi_thread")]
async fn a_reversal_in_a_batch_of_a_command_that_was_not_accepted() {
    let book = Book::batched().await;
    let (other, batch): (CommandId, CommandId) = (command_id(77), command_id(12));
    for account in ["P", "Q"] {
        book.rewrite(account, |event| {
            if event.command_id == batch
                && let Some(reversal) = &mut moved(event).reversal
            {
                reversal.command_id = other;
            }
        })
        .await;
        book.tamper(&format!(
            "UPDATE events SET thread_key = '{account}/reversal/{other}'
             WHERE command_id = '{batch}' AND account_id = '{account}' AND part = 0"
        ))
        .await;
    }
    book.rewrite_command(batch, |command| {
        if let Action::Batch(batch) = &mut command.action
            && let Action::Reverse(action) = &mut batch.commands[0].action
        {
            action.reversed_command_id = other;
        }
    })
    .await;
    book.tamper_read_model(&format!(
        "UPDATE transactions SET reversed_command_id = '{other}'
         WHERE command_id = '{batch}' AND reversed_command_id IS NOT NULL"
    ))
    .await;
    let report = book.violates(&["conservation"]).await;
    assert_eq!(report.count("conservation"), 1, "{:#}", report.0);
    report.names(
        "conservation",
        &json!({"command_id": batch,
            "message": format!("it reverses command {other}: no command was accepted that it could reverse")}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_line_says_of_a_posting_is_compared() {
    let book = Book::batched().await;
    for (version, column, value) in [
        (2, "posting_id", "gen_random_uuid()"),
        (2, "posting_id", "NULL"),
        (2, "type", "'deposit'"),
        (5, "type", "'posting_in'"),
        (1, "posting_id", "gen_random_uuid()"),
    ] {
        let of = format!("account_id = 'Q' AND version = {version}");
        let before = book.literal("transactions", column, &of).await;
        book.tamper_read_model(&format!(
            "UPDATE transactions SET {column} = {value} WHERE {of}"
        ))
        .await;
        let report = book.violates(&["convergence"]).await;
        assert_eq!(report.count("convergence"), 1, "{column}");
        report.names(
            "convergence",
            &json!({"projection": "transactions", "account_id": "Q", "version": version, "expected": column, "found": column}),
        );
        book.tamper_read_model(&format!(
            "UPDATE transactions SET {column} = {before} WHERE {of}"
        ))
        .await;
    }
    book.verify(0).await;
}
