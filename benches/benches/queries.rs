//! What the queries of the HTTP API take, one at a time, on a ledger of some size: 1,000,000 events of 100,000 accounts, one
//! of which has every tenth transfer. Starts servers and a `chronicle run` of its own. (Many readers at once, while commands
//! arrive: `http_reads`.)
//!
//! `cargo build --release && cargo bench -p benches --bench queries -- 1000000 > benches/results/queries.md` takes some
//! minutes; the number is that of the events.

mod stack;

use std::time::{Duration, Instant};

use benches::{micros, print_machine, told};
use serde_json::Value;
use store::{Writer, WriterOptions};

use stack::book::{Book, account, spread};
use stack::http::Connection;
use stack::{Stack, release_build};

const EVENTS: u64 = 1_000_000;
const QUESTIONS: u64 = 1_000;
/// Of those that look at much.
const LONG_QUESTIONS: u64 = 20;
/// The account that every tenth transfer is from or to.
const BUSY: u64 = 0;

/// What there is to ask about.
struct Known {
    book: Book,
    /// Where pages of all accounts begin.
    of_accounts: Vec<String>,
    /// Where pages of the busy account's lines begin.
    of_lines: Vec<String>,
    /// Some lines of the busy account.
    lines: Vec<Value>,
}

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` runs it, too, without this.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("this takes minutes: run it with `cargo bench -p benches --bench queries`");
        return;
    }
    let wanted = std::env::args().find_map(|argument| argument.parse().ok());
    let book = Book::of_events(wanted.unwrap_or(EVENTS));
    let stack = Stack::start(release_build()).await;
    print_place(&stack, book);
    let store = stack.store();
    let mut writer = Writer::new(store.clone(), WriterOptions::default());
    book.fill(&store, &mut writer).await;
    stack.bring_in_step(book.events()).await;
    let run = stack.run().await;
    let mut connection = Connection::open(&run.address).await;
    let known = look(&mut connection, book).await;
    println!(
        "{} events of {} accounts; the busy one has {} lines. Each row: {QUESTIONS} questions ({LONG_QUESTIONS} where it says \
         so), one after the other on one connection, each about something else, after some that do not count. Pages have 50 \
         items. `bytes`: of the last answer.\n",
        book.events(),
        book.accounts,
        known.lines.len(),
    );
    println!("| query | asked of | p50 µs | p99 µs | max µs | bytes |");
    println!("|---|---|---|---|---|---|");
    read_model(&mut connection, &known).await;
    event_store(&mut connection, &known).await;
    stack.verify_if_small(book.events()).await;
    run.stop().await;
}

/// Pages through all accounts, and all lines of the busy one.
async fn look(connection: &mut Connection, book: Book) -> Known {
    let (of_accounts, accounts) = walk(connection, "/accounts", "accounts").await;
    assert_eq!(accounts.len() as u64, book.accounts);
    let path = format!("/accounts/{}/transactions", account(BUSY));
    let (of_lines, lines) = walk(connection, &path, "transactions").await;
    Known {
        book,
        of_accounts,
        of_lines,
        lines,
    }
}

/// Where its pages begin, and what is on them.
async fn walk(connection: &mut Connection, path: &str, items: &str) -> (Vec<String>, Vec<Value>) {
    let (mut cursors, mut all) = (Vec::new(), Vec::new());
    let mut from = String::new();
    loop {
        let (status, body) = connection
            .ask("GET", &format!("{path}?limit=500{from}"), "")
            .await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        let mut page: Value = serde_json::from_slice(&body).expect("it is JSON");
        let Value::Array(found) = page[items].take() else {
            panic!("{path} has no {items}")
        };
        all.extend(found);
        let Some(cursor) = page["next_cursor"].as_str() else {
            return (cursors, all);
        };
        from = format!("&cursor={cursor}");
        cursors.push(cursor.to_owned());
    }
}

/// What the read model answers.
async fn read_model(connection: &mut Connection, known: &Known) {
    let of = "read model";
    let busy = account(BUSY);
    let any = |number| account(spread(number) % known.book.accounts);
    // A small ledger has one page.
    let from = |cursors: &[String], number| {
        let cursor = one_of(cursors, number);
        cursor.map_or(String::new(), |cursor| format!("?cursor={cursor}"))
    };
    ask(
        connection,
        "an account: `/accounts/{id}`",
        of,
        QUESTIONS,
        |number| format!("/accounts/{}", any(number)),
    )
    .await;
    ask(
        connection,
        "accounts, first page: `/accounts`",
        of,
        QUESTIONS,
        |_| "/accounts".to_owned(),
    )
    .await;
    ask(connection, "accounts, any page", of, QUESTIONS, |number| {
        format!("/accounts{}", from(&known.of_accounts, number))
    })
    .await;
    ask(
        connection,
        "accounts by balance, first page (20 times)",
        of,
        LONG_QUESTIONS,
        |_| "/accounts?sort=balance&order=desc".to_owned(),
    )
    .await;
    ask(
        connection,
        "lines of an account: `/accounts/{id}/transactions`",
        of,
        QUESTIONS,
        |number| format!("/accounts/{}/transactions", any(number)),
    )
    .await;
    ask(
        connection,
        "lines of the busy account, first page",
        of,
        QUESTIONS,
        |_| format!("/accounts/{busy}/transactions"),
    )
    .await;
    ask(
        connection,
        "lines of the busy account, any page",
        of,
        QUESTIONS,
        |number| {
            let from = from(&known.of_lines, number);
            format!("/accounts/{busy}/transactions{from}")
        },
    )
    .await;
    ask(
        connection,
        "lines of the busy account of one type, counted (20 times)",
        of,
        LONG_QUESTIONS,
        |_| format!("/accounts/{busy}/transactions?type=transfer_in"),
    )
    .await;
    ask(
        connection,
        "a transfer: `/transfers/{id}`",
        of,
        QUESTIONS,
        |number| {
            let transfer_id = of_line(known, number, "transfer_id");
            format!("/transfers/{transfer_id}")
        },
    )
    .await;
}

/// What the event store answers, and the feed.
async fn event_store(connection: &mut Connection, known: &Known) {
    let of = "event store";
    let busy = account(BUSY);
    ask(
        connection,
        "a balance in the past: `/accounts/{id}/balance-at`, the busy account",
        of,
        QUESTIONS,
        |number| {
            let timestamp = of_line(known, number, "timestamp");
            format!("/accounts/{busy}/balance-at?timestamp={timestamp}")
        },
    )
    .await;
    ask(
        connection,
        "history: `/accounts/{id}/history`, the busy account, any page",
        of,
        QUESTIONS,
        |number| {
            let after = spread(number) % known.lines.len() as u64;
            format!("/accounts/{busy}/history?after_version={after}")
        },
    )
    .await;
    ask(
        connection,
        "an outcome: `/commands/{id}`",
        of,
        QUESTIONS,
        |number| {
            let command_id = of_line(known, number, "command_id");
            format!("/commands/{command_id}")
        },
    )
    .await;
    ask(
        connection,
        "newest events: `/events`",
        "feed",
        QUESTIONS,
        |_| "/events".to_owned(),
    )
    .await;
}

fn one_of<T>(items: &[T], number: u64) -> Option<&T> {
    let count = items.len().max(1) as u64;
    let index = usize::try_from(spread(number) % count).expect("it is an index");
    items.get(index)
}

/// A field of some line of the busy account; not of the last one, which is its opening and no transfer.
fn of_line<'a>(known: &'a Known, number: u64, field: &str) -> &'a str {
    let lines = &known.lines[..known.lines.len() - 1];
    let line = one_of(lines, number).expect("there are lines");
    line[field].as_str().expect("it is text")
}

async fn ask(
    connection: &mut Connection,
    name: &str,
    of: &str,
    questions: u64,
    path: impl Fn(u64) -> String,
) {
    let mut taken: Vec<Duration> = Vec::new();
    let mut bytes = 0;
    let before = questions / 10;
    for number in 0..before + questions {
        let path = path(number);
        let began = Instant::now();
        let (status, body) = connection.ask("GET", &path, "").await;
        let took = began.elapsed();
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        bytes = body.len();
        if number >= before {
            taken.push(took);
        }
    }
    taken.sort_unstable();
    println!(
        "| {name} | {of} | {} | {} | {} | {bytes} |",
        micros(&taken, 500),
        micros(&taken, 990),
        micros(&taken, 1_000)
    );
}

/// On what, with what, by whom it can be repeated.
fn print_place(stack: &Stack, book: Book) {
    let postgres = stack.postgres.programs().join("postgres");
    println!("# Queries over HTTP\n");
    println!(
        "`cargo bench -p benches --bench queries -- {}`\n",
        book.events()
    );
    print_machine(&[":/pipeline", ":/store", ":/sinks", ":/benches/benches"]);
    println!(
        "| both databases | one {}, on this machine, `fsync` off, else as it comes (128 MB of `shared_buffers`) |\n",
        told(&postgres.to_string_lossy(), &["--version"])
    );
}
