//! How long `chronicle run` takes until it is ready when there are 1,000,000 accounts, and how much memory as many accounts
//! take in the writer's cache. Starts servers of its own. It belongs to the package `chronicle`, so that the program is
//! built with it.
//!
//! `cargo bench -p chronicle --bench start_up -- 1000000 > benches/results/start_up.md` takes some minutes; the number is that
//! of the accounts, and a second one that of the starts.

// Results go to stdout, to be kept.
#![allow(clippy::print_stdout)]

#[path = "../benches/stack/mod.rs"]
mod stack;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use benches::print_machine;
use ledger::Command;
use serde_json::json;
use store::{EventStore, Writer, WriterOptions};

use stack::book::{account, append, open, spread};
use stack::http::Connection;
use stack::{Stack, resident_kb};

/// The program's own allocator: it decides how much memory an account takes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ACCOUNTS: u64 = 1_000_000;
/// How many others there are: opened first, so that what every batch needs for a while is in memory.
const OTHERS: u64 = 10_000;
const STARTS: u64 = 10;
/// Until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` runs it, too, without this.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("this takes minutes: run it with `cargo bench -p chronicle --bench start_up`");
        return;
    }
    let mut wanted = std::env::args().filter_map(|argument| argument.parse().ok());
    let accounts: u64 = wanted.next().unwrap_or(ACCOUNTS).max(10);
    let starts: u64 = wanted.next().unwrap_or(STARTS).max(1);
    let stack = Stack::start(PathBuf::from(env!("CARGO_BIN_EXE_chronicle"))).await;
    print_place(&stack, accounts, starts);
    memory(&stack.store(), accounts).await;
    stack.bring_in_step(accounts + OTHERS).await;
    start_up(&stack, accounts, starts).await;
    let run = stack.run().await;
    stack.verify_if_small(accounts + OTHERS).await;
    run.stop().await;
}

/// A writer opens the accounts and keeps all of them.
async fn memory(store: &EventStore, accounts: u64) {
    println!("## A full cache of accounts\n");
    println!(
        "A writer (`--accounts-cached-max {accounts}`) opens accounts, in batches of 2000, and keeps every one. Resident memory \
         of its process (this one) with the program's allocator, above what it was before the first account. Account ids of 11 \
         bytes, owners' names of up to 13, no metadata, no rules: such texts come on top.\n"
    );
    println!("| accounts | MB | bytes an account | bytes an account since the row above |");
    println!("|---|---|---|---|");
    let mut forgetful = Writer::new(store.clone(), remembering(1));
    let others = accounts + 1..=accounts + OTHERS;
    append(store, &mut forgetful, others, opening).await;
    drop(forgetful);
    let before = resident_kb("self");
    let mut writer = Writer::new(store.clone(), remembering(accounts));
    let (mut opened, mut told, mut last) = (0, 0, before);
    for part in 1..=10 {
        let through = accounts * part / 10;
        append(store, &mut writer, opened + 1..=through, opening).await;
        opened = through;
        if [1, 5, 10].contains(&part) {
            let now = resident_kb("self");
            let bytes = now.saturating_sub(before) * 1024;
            let since = now.saturating_sub(last) * 1024 / (opened - told);
            println!(
                "| {opened} | {:.1} | {} | {since} |",
                bytes as f64 / 1e6,
                bytes / opened
            );
            (told, last) = (opened, now);
        }
    }
}

fn remembering(accounts: u64) -> WriterOptions {
    let accounts = usize::try_from(accounts).ok().and_then(NonZeroUsize::new);
    WriterOptions {
        accounts_cached_max: accounts.expect("there are some"),
        ..WriterOptions::default()
    }
}

fn opening(number: u64) -> Command {
    open(number, account(number - 1))
}

/// All pipelines with the API, on the same servers, again and again.
async fn start_up(stack: &Stack, accounts: u64, starts: u64) {
    println!("\n## From the start until it is ready\n");
    println!(
        "{accounts} accounts, and {OTHERS} more, with one event each; the feed has all of them, and the read models are in step. \
         `ready`: from the start of `chronicle run` with all pipelines and `--http` until `/readyz` answers 200. `first outcome`: \
         from then until a deposit into some account is answered with 201. `MB`: resident memory then. Stopped by SIGTERM each \
         time.\n"
    );
    println!("| start | ready ms | first outcome ms | MB |");
    println!("|---|---|---|---|");
    let mut ready = Vec::new();
    for start in 1..=starts {
        let run = stack.run().await;
        let mut connection = Connection::open(&run.address).await;
        let index = spread(start) % accounts;
        let deposit = json!({"account_id": account(index), "amount": "1.00"}).to_string();
        let began = Instant::now();
        let (status, body) = connection.ask("POST", "/commands/deposit", &deposit).await;
        let answered = began.elapsed();
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
        println!(
            "| {start} | {} | {:.1} | {:.0} |",
            run.ready_after.as_millis(),
            answered.as_secs_f64() * 1e3,
            run.resident_kb() as f64 * 1024.0 / 1e6
        );
        ready.push(run.ready_after);
        run.stop().await;
    }
    ready.sort_unstable();
    let slowest = ready[ready.len() - 1];
    println!(
        "\nTarget: ready within {} s. Median {} ms, slowest {} ms: {}.",
        READY_WITHIN.as_secs(),
        ready[ready.len() / 2].as_millis(),
        slowest.as_millis(),
        if slowest <= READY_WITHIN {
            "reached"
        } else {
            "missed"
        }
    );
}

/// On what, with what, by whom it can be repeated.
fn print_place(stack: &Stack, accounts: u64, starts: u64) {
    let postgres = stack.postgres.programs().join("postgres");
    println!("# Start-up, and the memory of a full cache\n");
    println!("`cargo bench -p chronicle --bench start_up -- {accounts} {starts}`\n");
    print_machine(&[":/pipeline", ":/store", ":/ledger", ":/sinks", ":/benches"]);
    println!(
        "| both databases | one {}, on this machine, `fsync` off, else as it comes (128 MB of `shared_buffers`) |\n",
        benches::told(&postgres.to_string_lossy(), &["--version"])
    );
}
