//! What is there in the end, in the event store and in the read models, is what the model has.

use std::collections::BTreeMap;
use std::time::Duration;

use ledger::{AccountId, CommandId, HoldId, Outcome, Sum, Timestamp, Verdict};
use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::time::Instant;
use transport::streams;

use crate::course::{Course, dates};
use crate::flight::check_outcome;
use crate::model::{Book, Held, Rules};
use crate::names::name_of;
use crate::same::{same_account, same_hold};
use crate::support::{DEADLINE, Ledger, eventually, text};
use crate::wire::{hold_id, names, notes, owner_name, reason};

/// How long a check of everything may take.
const VERIFY_MAX: Duration = Duration::from_mins(20);

/// Waits until the timer has ended all holds that end then.
pub(crate) async fn until_holds_have_ended(ledger: &Ledger, end: Timestamp) {
    let read_model = ledger.read_model().await;
    // Not before all of them have been projected.
    until_standing(ledger).await;
    eventually("the timer to end the holds", || async {
        let open = "SELECT count(*) FROM holds WHERE expires_at = $1 AND remaining > 0";
        let open = sqlx::query_scalar::<_, i64>(open).bind(end.to_date_time());
        open.fetch_one(&read_model).await.unwrap() == 0
    })
    .await;
}

/// Waits until the read models have all events of the model.
pub(crate) async fn until_projected(ledger: &Ledger, course: &Course) {
    until_standing(ledger).await;
    let read_model = ledger.read_model().await;
    let versions = "SELECT sum(version)::bigint FROM account_balance";
    let versions: i64 = sqlx::query_scalar(versions)
        .fetch_one(&read_model)
        .await
        .unwrap();
    let expected: u64 = books(course).map(|(_, book)| book.version).sum();
    assert_eq!(u64::try_from(versions), Ok(expected), "events in all");
}

/// Waits until every projection has come to the end of the feed, as long as it takes while they move.
async fn until_standing(ledger: &Ledger) {
    let read_model = ledger.read_model().await;
    let nats = ledger.connect().await;
    let mut moved = (Instant::now(), 0);
    loop {
        let feed = streams::existing(&nats.jetstream, streams::EVENTS).await;
        let feed = feed.unwrap().expect("the feed is there");
        let newest = i64::try_from(feed.cached_info().state.last_sequence).unwrap();
        let offset = "SELECT min(last_sequence) FROM projection_offsets";
        let offset: i64 = sqlx::query_scalar(offset)
            .fetch_one(&read_model)
            .await
            .unwrap();
        if offset == newest {
            return;
        }
        if offset > moved.1 {
            moved = (Instant::now(), offset);
        }
        assert!(
            moved.0.elapsed() < DEADLINE,
            "a projection stands still at {offset} of {newest}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Holds everything against the model. Nothing may be under way.
pub(crate) async fn check(ledger: &Ledger, course: &Course) {
    check_outcomes(ledger, course).await;
    check_accounts(ledger, course).await;
    check_stored_holds(ledger, course).await;
    check_balances(ledger, course).await;
    check_rules(ledger, course).await;
    check_balances_by_date(ledger, course).await;
    check_holds(ledger, course).await;
}

/// `chronicle verify`, with time enough for a large book.
pub(crate) async fn verify(ledger: &Ledger) {
    let run = ledger.command().arg("verify").output();
    let output = tokio::time::timeout(VERIFY_MAX, run).await;
    let output = output.expect("it ends").expect("it can be started");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "chronicle verify\n{out}\n{err}");
}

fn books(course: &Course) -> impl Iterator<Item = (usize, &Book)> {
    (0..course.accounts()).filter_map(|number| Some((number, course.model.known(number)?)))
}

/// One outcome per id, the model's; and one per hold that the timer has ended.
async fn check_outcomes(ledger: &Ledger, course: &Course) {
    let mut snapshot = ledger.store().snapshot().await.unwrap();
    let mut last: Option<CommandId> = None;
    let (mut known, mut expired) = (0, 0);
    loop {
        let page = snapshot.commands(last, 1_000).await.unwrap();
        let Some(newest) = page.last() else { break };
        last = Some(newest.outcome.command_id);
        for stored in &page {
            let id = stored.outcome.command_id.as_uuid().as_u128();
            match u64::try_from(id) {
                Ok(id) => {
                    check_outcome(&stored.outcome, id, course);
                    known += 1;
                }
                Err(_) => expired += usize::from(is_of_the_timer(&stored.outcome)),
            }
        }
    }
    snapshot.close().await.unwrap();
    assert_eq!(known, course.fates().len(), "outcomes");
    assert_eq!(expired, course.timed(), "holds that the timer ended");
}

/// Whether it ended a hold. It may ask twice, and comes too late with the second.
fn is_of_the_timer(outcome: &Outcome) -> bool {
    match &outcome.verdict {
        Verdict::Accepted { events } => {
            assert_eq!(events.len(), 1, "{outcome:?}");
            true
        }
        Verdict::Rejected { rejection, .. } => {
            let code = rejection.code.as_str();
            assert!(
                ["hold_closed", "hold_not_due"].contains(&code),
                "{outcome:?}"
            );
            false
        }
    }
}

/// Every account, from the event store; and no others.
async fn check_accounts(ledger: &Ledger, course: &Course) {
    let store = ledger.store();
    let numbers: Vec<usize> = (0..course.accounts()).collect();
    for some in numbers.chunks(500) {
        let ids: Vec<AccountId> = some.iter().map(|number| name_of(*number).clone()).collect();
        let loaded = store.load(&ids).await.unwrap();
        let mut loaded: BTreeMap<_, _> = loaded
            .iter()
            .map(|account| (&account.account_id, account))
            .collect();
        for number in some {
            let account = loaded.remove(name_of(*number));
            match (account, course.model.known(*number)) {
                (Some(account), Some(book)) => {
                    let same = same_account(account, book);
                    same.unwrap_or_else(|error| panic!("{}: {error}", account.account_id));
                }
                (account, book) => assert!(account.is_none() && book.is_none(), "{number}"),
            }
        }
    }
}

/// What is in accounts by business date, as it is known now.
async fn check_balances_by_date(ledger: &Ledger, course: &Course) {
    let store = ledger.store();
    let mut moved = 0;
    for (number, book) in books(course).step_by(7) {
        for date in dates() {
            let at = Timestamp::from_unix_microseconds(date);
            let then = store
                .balance_by_date(name_of(number), at, Timestamp::MAX)
                .await;
            let found = then.unwrap().what.unwrap();
            let expected = course.model.balance_by_date(number, date, i64::MAX);
            let currency = found.known.currency();
            let shown = written(expected, book.exponent);
            let expected_sum = Sum::from_database(&shown, currency);
            assert_eq!(Some(found.balance), expected_sum, "{number} at {at}");
            moved += u32::from(expected != 0 && expected != book.balance);
        }
    }
    assert!(moved > 0, "no business date made a difference");
}

/// Every hold, from the event store.
async fn check_stored_holds(ledger: &Ledger, course: &Course) {
    let store = ledger.store();
    let known: BTreeMap<(AccountId, HoldId), (usize, &Held)> = books(course)
        .flat_map(|(number, book)| {
            let holds = book.holds.iter().enumerate();
            holds.filter_map(move |(hold, held)| {
                let key = (name_of(number).clone(), hold_id(hold));
                Some((key, (hold, held.as_ref()?)))
            })
        })
        .collect();
    let keys: Vec<_> = known.keys().cloned().collect();
    for some in keys.chunks(500) {
        let loaded = store.holds(some).await.unwrap();
        assert_eq!(loaded.len(), some.len(), "holds");
        for (account_id, hold) in loaded {
            let (number, held) = known[&(account_id.clone(), hold.hold_id)];
            let same = same_hold(&hold, number, held);
            same.unwrap_or_else(|error| panic!("{account_id}: {error}"));
        }
    }
}

/// Whole minor units, as a number without trailing zeros: NUMERIC keeps numbers, and their spelling by chance.
fn written(units: i128, exponent: u32) -> String {
    let digits = usize::try_from(exponent).unwrap();
    let one = 10_i128.pow(exponent);
    let sign = if units < 0 { "-" } else { "" };
    let (whole, rest) = ((units / one).abs(), (units % one).abs());
    // What all have together can have more digits than a decimal.
    let rest = format!("{rest:0digits$}");
    match rest.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        rest => format!("{sign}{whole}.{rest}"),
    }
}

fn line(row: &PgRow) -> String {
    row.get("line")
}

async fn lines(ledger: &Ledger, statement: &'static str) -> Vec<String> {
    let pool = ledger.read_model().await;
    let rows = sqlx::query(statement).fetch_all(&pool).await.unwrap();
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.sort_unstable();
    lines
}

fn compare(what: &str, mut expected: Vec<String>, present: &[String]) {
    expected.sort_unstable();
    assert_eq!(expected.len(), present.len(), "{what}");
    for (expected, present) in expected.iter().zip(present) {
        assert_eq!(present, expected, "{what}: the ledger has, the model has");
    }
}

/// `account_balance`, and what all accounts of a currency have together.
async fn check_balances(ledger: &Ledger, course: &Course) {
    let present = lines(
        ledger,
        "SELECT concat_ws('|', account_id, owner_name, trim_scale(balance), currency, trim_scale(overdraft_limit),
            status, version, trim_scale(held), coalesce(freeze_reason, ''), metadata) AS line
         FROM account_balance",
    )
    .await;
    let row = |(number, book): (usize, &Book)| {
        let money = |units| written(units, book.exponent);
        let notes = notes(book.notes);
        let metadata = match notes.get("note") {
            Some(note) => format!(r#"{{"note": "{note}"}}"#),
            None => "{}".to_owned(),
        };
        [
            name_of(number).to_string(),
            owner_name(book.owner),
            money(book.balance),
            book.currency.to_owned(),
            money(book.overdraft),
            book.status().to_owned(),
            book.version.to_string(),
            money(book.held()),
            book.reason.map(reason).unwrap_or_default(),
            metadata,
        ]
        .join("|")
    };
    let expected = books(course).map(row).collect();
    compare("account_balance", expected, &present);

    let present = lines(
        ledger,
        "SELECT concat_ws('|', currency, trim_scale(sum(balance))) AS line FROM account_balance GROUP BY currency",
    )
    .await;
    let expected = course.model.from_outside.iter().map(|(currency, units)| {
        let exponent = crate::model::exponent_of(currency).unwrap();
        format!("{currency}|{}", written(*units, exponent))
    });
    compare("conservation", expected.collect(), &present);
}

/// The rules in `account_balance`.
async fn check_rules(ledger: &Ledger, course: &Course) {
    let present = lines(
        ledger,
        "SELECT concat_ws('|', account_id, coalesce(trim_scale((rules->>'minimum_balance')::numeric)::text, '-'),
            coalesce(trim_scale((rules->>'maximum_balance')::numeric)::text, '-'),
            coalesce(trim_scale((rules->>'daily_debit_amount_max')::numeric)::text, '-'),
            coalesce(rules->>'daily_debit_count_max', '-'), coalesce(rules->>'allowed_counterparties', '-')) AS line
         FROM account_balance WHERE rules <> '{}'",
    )
    .await;
    let row = |(number, book): (usize, &Book)| {
        let none = || "-".to_owned();
        let rules = book.rules;
        let money =
            |units: Option<i128>| units.map_or_else(none, |units| written(units, book.exponent));
        let allowed = |allowed| {
            let names: Vec<String> = names(allowed)
                .iter()
                .map(|name| format!("\"{name}\""))
                .collect();
            format!("[{}]", names.join(", "))
        };
        [
            name_of(number).to_string(),
            money(rules.minimum),
            money(rules.maximum),
            money(rules.daily_amount),
            rules
                .daily_count
                .map_or_else(none, |count| count.to_string()),
            rules.allowed.map_or_else(none, allowed),
        ]
        .join("|")
    };
    let has_some = |(_, book): &(usize, &Book)| book.rules != Rules::default();
    let expected = books(course).filter(has_some).map(row).collect();
    compare("rules of account_balance", expected, &present);
}

/// How the last of a hold went.
fn status(held: &Held) -> &'static str {
    match (held.remaining(), held.expired, held.captured) {
        (1.., _, _) => "open",
        (_, 1.., _) => "expired",
        (_, _, 0) => "released",
        _ => "captured",
    }
}

/// `holds`.
async fn check_holds(ledger: &Ledger, course: &Course) {
    let present = lines(
        ledger,
        "SELECT concat_ws('|', account_id, hold_id, trim_scale(amount), trim_scale(captured), trim_scale(remaining),
            currency, status, coalesce((extract(epoch FROM expires_at) * 1000000)::bigint::text, '')) AS line
         FROM holds",
    )
    .await;
    let rows_of = |(number, book): (usize, &Book)| {
        let money = |units| written(units, book.exponent);
        let row = |(hold, held): (usize, &Held)| {
            [
                name_of(number).to_string(),
                hold_id(hold).to_string(),
                money(held.amount),
                money(held.captured),
                money(held.remaining()),
                book.currency.to_owned(),
                status(held).to_owned(),
                held.expires_at.map(|at| at.to_string()).unwrap_or_default(),
            ]
            .join("|")
        };
        let holds = book.holds.iter().enumerate();
        let holds = holds.filter_map(|(hold, held)| Some((hold, held.as_ref()?)));
        holds.map(row).collect::<Vec<_>>()
    };
    let expected = books(course).flat_map(rows_of).collect();
    compare("holds", expected, &present);
}
