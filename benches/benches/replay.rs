//! How many events a second a replay reads from the event store, by the size of its pages; checks and folds in memory; and
//! brings into a read model. Starts a PostgreSQL of its own.
//!
//! `cargo bench -p benches --bench replay -- 1000000 > benches/results/replay.md` takes one to two minutes; the number is that
//! of the events.

#[path = "stack/book.rs"]
#[allow(dead_code, reason = "it uses a part of it")]
mod book;

use std::time::{Duration, Instant};

use benches::{print_machine, told};
use ledger::{Account, AccountId, Event, Version};
use servers::testing::Postgres;
use sinks::projection::{DEFINITIONS, Page, Recording, replay};
use sqlx::postgres::PgPool;
use store::{EventStore, Writer, WriterOptions, migrate};

use book::Book;

const EVENTS: u64 = 1_000_000;
/// `chronicle replay` reads 1000 at a time, a rebuild 2000.
const PAGES: [(&str, Read, u32); 4] = [
    ("replay", Read::Behind, 100),
    ("replay", Read::Behind, 1_000),
    ("replay", Read::Behind, 10_000),
    ("rebuild", Read::After, 2_000),
];
/// How many events are brought into each read model.
const INTO_READ_MODELS: u64 = 100_000;

/// How a page is read.
#[derive(Debug, Clone, Copy)]
enum Read {
    /// As `chronicle replay` does.
    Behind,
    /// As a rebuild does: never more than so many bytes.
    After,
}

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` runs it, too, without this.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("this takes minutes: run it with `cargo bench -p benches --bench replay`");
        return;
    }
    let wanted = std::env::args().find_map(|argument| argument.parse().ok());
    let book = Book::of_events(wanted.unwrap_or(EVENTS));
    let server = Postgres::start().await;
    let url = server.fresh_database("replay").await;
    migrate::migrate(&url)
        .await
        .expect("the tables can be made");
    let store = EventStore::connect_lazy(&url, &store::Options::default()).expect("it is a URL");
    print_place(&server, book);
    let mut writer = Writer::new(store.clone(), WriterOptions::default());
    book.fill(&store, &mut writer).await;
    reading(&store, book).await;
    folding(&store, book).await;
    into_read_models(&server, &store, book).await;
}

/// Everything, page by page, one after the other on one connection.
async fn reading(store: &EventStore, book: Book) {
    println!("## Reading from the event store\n");
    println!(
        "All {} events of {} accounts, by account and version, one page after the other. `replay`: as `chronicle replay \
         --from-event-store` reads; `rebuild`: as the walk of a rebuild, which also measures each page's bytes.\n",
        book.events(),
        book.accounts
    );
    println!("| read for | events a page | s | events/s | ms a page |");
    println!("|---|---|---|---|---|");
    for (name, read, limit) in PAGES {
        let (mut pages, mut events) = (0_u64, 0);
        let began = Instant::now();
        walk(store, read, limit, |page| {
            pages += 1;
            events += page.len() as u64;
        })
        .await;
        let took = began.elapsed().as_secs_f64();
        assert_eq!(events, book.events());
        println!(
            "| {name} | {limit} | {took:.1} | {:.0} | {:.2} |",
            events as f64 / took,
            took * 1e3 / pages as f64
        );
    }
}

/// In memory, on what the walk brings; only the work itself counts.
async fn folding(store: &EventStore, book: Book) {
    println!("\n## Checking and folding in memory\n");
    println!(
        "The same events, on one core. `fold`: that each follows upon the one before it (version, chain, time), and the state \
         after it. `check`: the canonical form, and SHA-256 over it.\n"
    );
    println!("| what | s | events/s |");
    println!("|---|---|---|");
    let (mut check, mut fold) = (Duration::ZERO, Duration::ZERO);
    let mut state: Option<Account> = None;
    walk(store, Read::Behind, 2_000, |page| {
        let began = Instant::now();
        for event in page {
            event.check_hash().expect("its hash is right");
        }
        let checked = Instant::now();
        for event in page {
            let before = state.take_if(|account| account.account_id == event.account_id);
            state = Some(Account::fold(before, event).expect("it follows"));
        }
        check += checked - began;
        fold += checked.elapsed();
    })
    .await;
    for (name, took) in [
        ("fold", fold),
        ("check", check),
        ("check and fold", check + fold),
    ] {
        let took = took.as_secs_f64();
        println!(
            "| {name} | {took:.2} | {:.0} |",
            book.events() as f64 / took
        );
    }
}

/// The first events, by pages of 1000, each a transaction: into empty tables, and once more into the same.
async fn into_read_models(server: &Postgres, store: &EventStore, book: Book) {
    let events = book.events().min(INTO_READ_MODELS);
    println!("\n## Into read models\n");
    println!(
        "The first {events} of them, as `chronicle replay --to-projection` applies them: 1000 to a transaction, each event's \
         hash checked, versions read and written. `again`: all of it is there, and is skipped. Reading from the event store \
         is not in the figures.\n"
    );
    println!("| projection | applied s | events/s | again s | events/s |");
    println!("|---|---|---|---|---|");
    let url = server.fresh_database("read_model").await;
    sinks::read_model::migrate(&url)
        .await
        .expect("the tables can be made");
    let pool = sinks::read_model::connect_lazy(&url, 2).expect("it is a URL");
    for definition in DEFINITIONS {
        // As a projection's first start leaves it.
        sqlx::query(
            "INSERT INTO projection_offsets (projection, stream_id, epoch, last_sequence, updated_at, definition)
             VALUES ($1, 'none', 1, 0, now(), $2)",
        )
        .bind(definition.name)
        .bind(definition.version)
        .execute(&pool)
        .await
        .expect("it can be written");
        let applied = bring(store, &pool, definition.name, events, true).await;
        let again = bring(store, &pool, definition.name, events, false).await;
        println!(
            "| {} | {:.1} | {:.0} | {:.1} | {:.0} |",
            definition.name,
            applied.as_secs_f64(),
            events as f64 / applied.as_secs_f64(),
            again.as_secs_f64(),
            events as f64 / again.as_secs_f64(),
        );
    }
}

async fn bring(
    store: &EventStore,
    pool: &PgPool,
    projection: &str,
    events: u64,
    is_new: bool,
) -> Duration {
    let mut recording = Recording::new("the bench".to_owned(), None);
    let mut taken = Duration::ZERO;
    let (mut after, mut brought): (Option<(AccountId, Version)>, u64) = (None, 0);
    while brought < events {
        let limit = u32::try_from((events - brought).min(1_000)).expect("it is small");
        let page = page(store, Read::Behind, after.as_ref(), limit).await;
        let last = page.last().expect("there are so many");
        after = Some((last.account_id.clone(), last.version));
        let count = page.len() as u64;
        brought += count;
        let began = Instant::now();
        let replayed = replay(pool, projection, page, &mut recording).await;
        taken += began.elapsed();
        let replayed = replayed.expect("it can be applied");
        let expected = if is_new { (count, 0) } else { (0, count) };
        assert_eq!((replayed.applied, replayed.skipped), expected);
        assert!(replayed.ahead.is_empty());
    }
    taken
}

/// Every page.
async fn walk(store: &EventStore, read: Read, limit: u32, mut seen: impl FnMut(&[Event])) {
    let mut after = None;
    loop {
        let page = page(store, read, after.as_ref(), limit).await;
        let Some(last) = page.last() else { break };
        after = Some((last.account_id.clone(), last.version));
        seen(&page);
    }
}

async fn page(
    store: &EventStore,
    read: Read,
    after: Option<&(AccountId, Version)>,
    limit: u32,
) -> Vec<Event> {
    let after = after.map(|(account_id, version)| (account_id, *version));
    let page = match read {
        Read::Behind => store.events_behind(after, limit).await,
        Read::After => {
            store
                .events_after(after, limit, Page::default().bytes)
                .await
        }
    };
    page.expect("it answers")
}

/// On what, with what, by whom it can be repeated.
fn print_place(server: &Postgres, book: Book) {
    let postgres = server.programs().join("postgres");
    println!("# Replaying\n");
    println!(
        "`cargo bench -p benches --bench replay -- {}`\n",
        book.events()
    );
    print_machine(&[":/store", ":/ledger", ":/sinks", ":/benches/benches"]);
    println!(
        "| both databases | one {}, on this machine, `fsync` off, else as it comes (128 MB of `shared_buffers`) |\n",
        told(&postgres.to_string_lossy(), &["--version"])
    );
}
