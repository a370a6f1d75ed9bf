//! What building a read model anew costs, next to inserting the same rows with bare SQL. Starts a PostgreSQL and a NATS of
//! its own; the events are made by the writer as intake uses it.
//!
//! `cargo bench -p benches --bench rebuild -- 1000000 > benches/results/rebuild.md` takes some minutes; the number is that of
//! the events.

use std::time::{Duration, Instant};

use benches::{print_machine, told};
use futures::TryStreamExt;
use ledger::{
    AccountId, Action, Command, Conditions, CreateAccount, Deposit, PlaceHold, Transfer, Withdraw,
};
use servers::testing::{Nats as NatsServer, Postgres};
use sinks::projection::audit::Order;
use sinks::projection::digest::{Which, digest};
use sinks::projection::{
    AccountBalance, DailyTotals, Definition, Holds, Page, Projection, ProjectionSink, Transactions,
    Transfers, shadow,
};
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Executor, Row};
use store::{EventStore, Writer, WriterOptions};
use transport::Nats;
use transport::streams::{self, Limits};

/// Unless a number is given.
const EVENTS: u64 = 1_000_000;
const EVENTS_PER_ACCOUNT: u64 = 100;
const BATCH: usize = 2_000;
/// How many rows one bare INSERT has.
const ROWS: usize = 2_000;
const ORDER: Order<'static> = Order {
    by: "the bench",
    reason: None,
};

/// The servers, and how many events the store has.
struct Place {
    nats: Nats,
    read_model: PgPool,
    store: EventStore,
    events: u64,
}

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` runs it, too, without this.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("this takes minutes: run it with `cargo bench -p benches --bench rebuild`");
        return;
    }
    let wanted = std::env::args().find_map(|argument| argument.parse().ok());
    let wanted: u64 = wanted.unwrap_or(EVENTS);
    let postgres = Postgres::start().await;
    let server = NatsServer::start().await;
    let nats = Nats::connect(&server.url()).await.expect("NATS runs");
    let store_url = postgres.fresh_database("event_store").await;
    store::migrate::migrate(&store_url)
        .await
        .expect("the tables can be made");
    let url = postgres.fresh_database("read_model").await;
    sinks::read_model::migrate(&url)
        .await
        .expect("the tables can be made");
    let options = store::Options::default();
    let store = EventStore::connect_lazy(&store_url, &options).expect("it is a URL");
    print_place(&postgres, wanted);
    fill(&store, wanted).await;
    let place = Place {
        nats,
        read_model: sinks::read_model::connect_lazy(&url, 8).expect("it is a URL"),
        events: store.events_total().await.expect("it answers"),
        store,
    };
    println!(
        "{} events of {} accounts. `walk`: read, guarded and applied, in transactions of 2000 events with offset, versions \
         and place. `indexes`: those that only readers need, and VACUUM (ANALYZE). `bare`: the rows that came of it, as 2000 to a \
         statement (`INSERT … SELECT FROM unnest`), each a transaction, into an empty table with all its indexes; nothing is \
         read from the event store, nothing decoded, no versions, no offset. `copy`: one `INSERT … SELECT`, the same way.\n",
        place.events,
        wanted / EVENTS_PER_ACCOUNT
    );
    println!(
        "| projection | rows | walk s | events/s | indexes s | all s | bare s | bare rows/s | copy s | all ÷ bare |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    measure::<AccountBalance>(&place).await;
    measure::<Transactions>(&place).await;
    measure::<Transfers>(&place).await;
    measure::<Holds>(&place).await;
    measure::<DailyTotals>(&place).await;
}

async fn measure<P: Projection + Default>(place: &Place) {
    let definition = Definition::of::<P>();
    let limits = Limits::default();
    let stream = streams::events(&place.nats.jetstream, &limits).await;
    let stream_id = streams::identity(&stream.expect("the stream can be made"));
    let began = Instant::now();
    let shadow = shadow::prepare(&place.read_model, definition, &stream_id, 0, &ORDER)
        .await
        .expect("it can be made");
    let mut sink = ProjectionSink::new(
        P::default(),
        place.nats.clone(),
        limits,
        &shadow.pool,
        place.store.clone(),
    );
    let mut walked = 0;
    sink.walk(shadow.walked, Page::default(), None, |reached| {
        walked = reached.events;
    })
    .await
    .expect("it can be built");
    assert_eq!(walked, place.events);
    let walk = began.elapsed();
    let began = Instant::now();
    shadow::finish_tables(&place.read_model, definition)
        .await
        .expect("the indexes can be made");
    let indexes = began.elapsed();
    let all = walk + indexes;
    let tables = digest(&place.read_model, definition, Which::Shadow).await;
    let rows = tables.expect("it can be read").expect("it is there")[0].rows;
    let bare = bare(place, P::NAME, rows).await;
    let copy = copy(place, P::NAME).await;
    println!(
        "| {} | {rows} | {:.1} | {:.0} | {:.1} | {:.1} | {:.1} | {:.0} | {:.1} | {:.1} |",
        P::NAME,
        walk.as_secs_f64(),
        place.events as f64 / walk.as_secs_f64(),
        indexes.as_secs_f64(),
        all.as_secs_f64(),
        bare.as_secs_f64(),
        rows as f64 / bare.as_secs_f64(),
        copy.as_secs_f64(),
        all.as_secs_f64() / bare.as_secs_f64(),
    );
}

/// An empty table like the one of the live model, indexes and all.
async fn empty_table(place: &Place, table: &str) {
    let sql = format!(
        "DROP SCHEMA IF EXISTS bare CASCADE; CREATE SCHEMA bare;
         CREATE TABLE bare.{table} (LIKE public.{table} INCLUDING ALL)"
    );
    place
        .read_model
        .execute(AssertSqlSafe(sql))
        .await
        .expect("it can be made");
}

/// The rows of the copy, inserted by statements of 2000. Only the inserts count.
async fn bare(place: &Place, table: &str, rows: u64) -> Duration {
    empty_table(place, table).await;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT column_name::text, udt_name::text FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position",
    )
    .bind(table)
    .fetch_all(&place.read_model)
    .await
    .expect("it can be read");
    let list = |of: fn((usize, &(String, String))) -> String| {
        let texts: Vec<String> = columns.iter().enumerate().map(of).collect();
        texts.join(", ")
    };
    let select = format!(
        "SELECT {} FROM public_shadow_{table}.{table}",
        list(|(_, (name, _))| format!("{name}::text"))
    );
    let insert = format!(
        "INSERT INTO bare.{table} ({}) SELECT {} FROM unnest({}) AS u({})",
        list(|(_, (name, _))| name.clone()),
        list(|(index, (_, kind))| format!("u.c{index}::{kind}")),
        list(|(index, _)| format!("${}::text[]", index + 1)),
        list(|(index, _)| format!("c{index}")),
    );
    let mut taken = Duration::ZERO;
    let mut found = sqlx::query(AssertSqlSafe(select))
        .fetch(&place.read_model)
        .try_chunks(ROWS);
    let mut inserted = 0;
    while let Some(chunk) = found.try_next().await.expect("it can be read") {
        let mut statement = sqlx::query(AssertSqlSafe(insert.clone()));
        for index in 0..columns.len() {
            let values: Vec<Option<String>> = chunk.iter().map(|row| row.get(index)).collect();
            statement = statement.bind(values);
        }
        let began = Instant::now();
        let done = statement.execute(&place.read_model).await;
        taken += began.elapsed();
        inserted += done.expect("it can be inserted").rows_affected();
    }
    assert_eq!(inserted, rows);
    taken
}

/// The rows of the copy, inserted by one statement.
async fn copy(place: &Place, table: &str) -> Duration {
    empty_table(place, table).await;
    let sql = format!("INSERT INTO bare.{table} SELECT * FROM public_shadow_{table}.{table}");
    let mut connection = place.read_model.acquire().await.expect("it runs").detach();
    connection
        .execute("SET statement_timeout = 0")
        .await
        .expect("it can be set");
    let began = Instant::now();
    connection
        .execute(AssertSqlSafe(sql))
        .await
        .expect("it can be copied");
    began.elapsed()
}

/// Deposits, withdrawals, transfers and now and then a hold, on all accounts in turns.
async fn fill(store: &EventStore, events: u64) {
    let accounts = (events / EVENTS_PER_ACCOUNT).max(2);
    let mut writer = Writer::new(store.clone(), WriterOptions::default());
    let (mut number, mut written) = (0, 0);
    while written < events {
        let commands: Vec<Command> = (0..BATCH)
            .map(|_| {
                number += 1;
                command(number, accounts)
            })
            .collect();
        let now = store.now().await.expect("it answers");
        let processed = writer.process(&commands, &|| now).await;
        for processed in processed.expect("the event store takes it") {
            if let store::Processed::Committed { events, .. } = processed {
                written += events.len() as u64;
            }
        }
    }
}

fn command(number: u64, accounts: u64) -> Command {
    let account = |index: u64| -> AccountId {
        format!("ACC-{}", index % accounts)
            .parse()
            .expect("it is an id")
    };
    let (account_id, other) = (account(number - 1), account(number));
    let action = if number <= accounts {
        Action::CreateAccount(CreateAccount {
            account_id,
            owner_name: format!("Owner {number}"),
            currency: "USD".parse().expect("it is a code"),
            initial_balance: 1_000.into(),
            overdraft_limit: 1_000_000.into(),
        })
    } else {
        // By the round, so that each account has all of it.
        match (number / accounts) % 8 {
            0..=2 => Action::Deposit(Deposit {
                account_id,
                amount: 7.into(),
                currency: None,
            }),
            3 | 4 => Action::Withdraw(Withdraw {
                account_id,
                amount: 3.into(),
                currency: None,
            }),
            5 | 6 => Action::Transfer(Transfer {
                from_account_id: account_id,
                to_account_id: other,
                amount: 2.into(),
                currency: None,
            }),
            _ => Action::Hold(PlaceHold {
                account_id,
                hold_id: uuid::Uuid::from_u64_pair(number, 1).into(),
                amount: 1.into(),
                currency: None,
                hold_expires_at: None,
            }),
        }
    };
    Command {
        command_id: uuid::Uuid::from_u64_pair(spread(number), number).into(),
        action,
        description: Some("Riverbank Properties, paying the rent".to_owned()),
        actor: Some("teller-3".to_owned()),
        metadata: std::collections::BTreeMap::new(),
        conditions: Conditions::default(),
        effective_at: None,
    }
}

/// Ids are spread as random ones are.
fn spread(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// On what, with what, by whom it can be repeated.
fn print_place(server: &Postgres, events: u64) {
    let postgres = server.programs().join("postgres");
    println!("# Building a read model anew\n");
    println!("`cargo bench -p benches --bench rebuild -- {events}`\n");
    print_machine(&[":/store", ":/ledger", ":/sinks", ":/benches/benches"]);
    println!(
        "| both databases | one {}, on this machine, `fsync` off, else as it comes (128 MB of `shared_buffers`) |\n",
        told(&postgres.to_string_lossy(), &["--version"])
    );
}
