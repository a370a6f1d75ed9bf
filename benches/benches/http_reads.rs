//! What readers over HTTP wait while commands arrive: 32 connections ask for accounts and their transactions, as fast as
//! they are answered, while others deposit. Starts a whole stack of its own.
//!
//! `cargo build --release && cargo bench -p benches --bench http_reads > benches/results/http_reads.md`

mod stack;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use benches::{micros, print_machine};
use serde_json::{Value, json};
use tokio::process::Command;

use stack::http::Connection;
use stack::release_build;

const READERS: usize = 32;
const WRITERS: [usize; 2] = [0, 4];
const ACCOUNTS: usize = 200;
const LINES: usize = 100;
const FOR: Duration = Duration::from_secs(15);

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` runs it, too, without this.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("this takes a minute: run it with `cargo bench -p benches --bench http_reads`");
        return;
    }
    let chronicle = release_build();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut stack = Command::new(&chronicle)
        .arg("dev")
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("chronicle can be started");
    let address = until_ready(&chronicle, &folder).await;
    fill(&address).await;

    println!("# Reading over HTTP while commands arrive\n");
    println!("`cargo bench -p benches --bench http_reads`\n");
    print_machine(&[":/pipeline", ":/store", ":/sinks", ":/benches/benches"]);
    println!("| stack | `chronicle dev`, all of it on this machine, readers and writers, too |\n");
    println!(
        "{READERS} connections read `/accounts/{{id}}` and the newest 50 of `/accounts/{{id}}/transactions` in turn, for {} s, \
         over {ACCOUNTS} accounts of {LINES} lines; meanwhile so many connections deposit, each waiting for its outcome.\n",
        FOR.as_secs()
    );
    println!(
        "| writers | commands/s | reads/s | read | p50 µs | p90 µs | p99 µs | p99.9 µs | max µs | 5xx |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for writers in WRITERS {
        run(&address, writers).await;
    }
    let verified = Command::new(&chronicle)
        .arg("verify")
        .current_dir(folder.path())
        .output()
        .await
        .expect("chronicle can be started");
    assert!(
        verified.status.success(),
        "the ledger is not clean any more"
    );
    println!("\n`chronicle verify` was clean afterwards.");
    let pid = stack.id().expect("it runs").to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(told.expect("kill is there").success());
    stack.wait().await.expect("it ends");
}

async fn until_ready(chronicle: &PathBuf, folder: &tempfile::TempDir) -> String {
    let began = Instant::now();
    loop {
        let status = Command::new(chronicle)
            .args(["status", "-o", "json"])
            .current_dir(folder.path())
            .output()
            .await
            .expect("chronicle can be started");
        if status.status.success() {
            let status: Value = serde_json::from_slice(&status.stdout).expect("it is JSON");
            let url = status["http"].as_str().expect("it serves HTTP");
            return url.trim_start_matches("http://").to_owned();
        }
        assert!(
            began.elapsed() < Duration::from_mins(2),
            "it does not become ready"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn account(index: usize) -> String {
    format!("READ-{index}")
}

/// Opens the accounts and gives each its lines.
async fn fill(address: &str) {
    let mut filling = tokio::task::JoinSet::new();
    for part in 0..32 {
        let address = address.to_owned();
        filling.spawn(async move {
            let mut connection = Connection::open(&address).await;
            for index in (part..ACCOUNTS).step_by(32) {
                let open = json!({"account_id": account(index), "owner_name": "Reader", "currency": "USD"});
                let (opened, _) = connection
                    .ask("POST", "/commands/create-account", &open.to_string())
                    .await;
                assert_eq!(opened, 201);
                for _ in 1..LINES {
                    assert_eq!(deposit(&mut connection, index).await, 201);
                }
            }
        });
    }
    filling.join_all().await;
}

async fn deposit(connection: &mut Connection, index: usize) -> u16 {
    let command = json!({"account_id": account(index), "amount": "1.00"}).to_string();
    connection
        .ask("POST", "/commands/deposit", &command)
        .await
        .0
}

async fn run(address: &str, writers: usize) {
    let over = Arc::new(AtomicBool::new(false));
    let commands = Arc::new(AtomicU64::new(0));
    let mut writing = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let (address, over, commands) =
            (address.to_owned(), Arc::clone(&over), Arc::clone(&commands));
        writing.spawn(async move {
            let mut connection = Connection::open(&address).await;
            let mut index = writer;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(deposit(&mut connection, index % ACCOUNTS).await, 201);
                commands.fetch_add(1, Ordering::Relaxed);
                index += writers;
            }
        });
    }
    let mut reading = tokio::task::JoinSet::new();
    for reader in 0..READERS {
        let address = address.to_owned();
        reading.spawn(async move {
            let mut connection = Connection::open(&address).await;
            let mut took = [Vec::new(), Vec::new()];
            let (mut failed, mut index, began) = ([0_u64; 2], reader, Instant::now());
            while began.elapsed() < FOR {
                for (kind, rest) in ["", "/transactions"].into_iter().enumerate() {
                    let path = format!("/accounts/{}{rest}", account(index % ACCOUNTS));
                    let asked = Instant::now();
                    let (status, _) = connection.ask("GET", &path, "").await;
                    took[kind].push(asked.elapsed());
                    failed[kind] += u64::from(status != 200);
                }
                index += 7;
            }
            (took, failed)
        });
    }
    let mut took = [Vec::new(), Vec::new()];
    let mut failed = [0, 0];
    for (of_one, failed_of_one) in reading.join_all().await {
        for (kind, of_kind) in of_one.into_iter().enumerate() {
            took[kind].extend(of_kind);
            failed[kind] += failed_of_one[kind];
        }
    }
    over.store(true, Ordering::Relaxed);
    writing.join_all().await;
    let seconds = FOR.as_secs();
    let commands = commands.load(Ordering::Relaxed) / seconds;
    for (kind, name) in ["account", "transactions"].into_iter().enumerate() {
        let took = &mut took[kind];
        took.sort_unstable();
        println!(
            "| {writers} | {commands} | {} | {name} | {} | {} | {} | {} | {} | {} |",
            took.len() as u64 / seconds,
            micros(took, 500),
            micros(took, 900),
            micros(took, 990),
            micros(took, 999),
            micros(took, 1_000),
            failed[kind]
        );
    }
}
