//! What a command costs, and loading an account, by how many events the account has: 10 to 1,000,000. Starts a PostgreSQL
//! of its own.
//!
//! `cargo bench -p benches --bench history -- 1000000 > benches/results/history.md` takes one to two minutes; the number is
//! that of the longest history. All lengths are measured in turns, so that whatever else the machine does hits them alike.

#[path = "stack/book.rs"]
#[allow(dead_code, reason = "it uses a part of it")]
mod book;

use std::collections::HashMap;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use benches::{print_machine, told};
use ledger::{AccountId, Policy, decide};
use servers::testing::Postgres;
use store::{EventStore, Writer, WriterOptions, migrate};

use book::{append, deposit, open, process};

/// Lengths of histories; those beyond the longest one wanted are left out.
const EVENTS: [u64; 6] = [10, 100, 1_000, 10_000, 100_000, 1_000_000];
/// How many accounts of each there are, so that what is measured does not make the short ones long.
const ACCOUNTS: [u64; 6] = [400, 400, 40, 8, 1, 1];
const ROUNDS: u64 = 400;
const BATCH: u64 = 256;
const BATCH_ROUNDS: u64 = 40;
/// How many decisions one measurement has.
const DECISIONS: u32 = 100;
/// How much more the longest history may cost than the shortest, in per cent.
const MORE_MAX: f64 = 10.0;

/// Accounts with histories of one length, and what was measured on them.
struct Length {
    events: u64,
    accounts: Vec<AccountId>,
    decide: Vec<Duration>,
    warm: Vec<Duration>,
    batch: Vec<Duration>,
    load: Vec<Duration>,
    cold: Vec<Duration>,
}

impl Length {
    fn account(&self, round: u64) -> &AccountId {
        let index = usize::try_from(round).expect("it is small") % self.accounts.len();
        &self.accounts[index]
    }
}

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` runs it, too, without this.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("this takes minutes: run it with `cargo bench -p benches --bench history`");
        return;
    }
    let wanted = std::env::args().find_map(|argument| argument.parse().ok());
    let longest: u64 = wanted.unwrap_or(1_000_000);
    let server = Postgres::start().await;
    let url = server.fresh_database("history").await;
    migrate::migrate(&url)
        .await
        .expect("the tables can be made");
    let store = EventStore::connect_lazy(&url, &store::Options::default()).expect("it is a URL");
    print_place(&server, longest);
    let mut writer = Writer::new(store.clone(), WriterOptions::default());
    let mut numbers = 1..;
    let mut lengths = Vec::new();
    for (events, accounts) in EVENTS.into_iter().zip(ACCOUNTS) {
        if events <= longest {
            lengths.push(fill(&store, &mut writer, events, accounts, &mut numbers).await);
        }
    }
    measure(&store, &mut writer, &mut lengths, &mut numbers).await;
    print(&lengths);
}

/// Deposits alone, behind the opening.
async fn fill(
    store: &EventStore,
    writer: &mut Writer,
    events: u64,
    accounts: u64,
    numbers: &mut impl Iterator<Item = u64>,
) -> Length {
    let name = |index| -> AccountId {
        let name = format!("EVENTS-{events}-{index}");
        name.parse().expect("it is an id")
    };
    let accounts: Vec<AccountId> = (0..accounts).map(name).collect();
    let of_all = events * accounts.len() as u64;
    let first = numbers.next().expect("there are enough");
    let through = first + of_all - 1;
    // One event of each account after the other.
    append(store, writer, first..=through, |number| {
        let index = usize::try_from(number - first).expect("it is small");
        let account_id = accounts[index % accounts.len()].clone();
        if index < accounts.len() {
            open(number, account_id)
        } else {
            deposit(number, account_id)
        }
    })
    .await;
    numbers.nth(usize::try_from(of_all).expect("it is small"));
    Length {
        events,
        accounts,
        decide: Vec::new(),
        warm: Vec::new(),
        batch: Vec::new(),
        load: Vec::new(),
        cold: Vec::new(),
    }
}

/// In each round every length once, beginning with another one each time.
async fn measure(
    store: &EventStore,
    writer: &mut Writer,
    lengths: &mut [Length],
    numbers: &mut impl Iterator<Item = u64>,
) {
    let mut number = || numbers.next().expect("there are enough");
    for round in 0..ROUNDS {
        lengths.rotate_left(1);
        for length in &mut *lengths {
            let account_id = length.account(round).clone();
            length.decide.push(decisions(store, &account_id).await);

            let command = [deposit(number(), account_id.clone())];
            let now = store.now().await.expect("it answers");
            let began = Instant::now();
            process(writer, &command, now).await;
            length.warm.push(began.elapsed());

            let began = Instant::now();
            let loaded = store.load(std::slice::from_ref(&account_id)).await;
            length.load.push(began.elapsed());
            let version = loaded.expect("it answers")[0].version.get();
            assert!(version > length.events, "{account_id} has {version} events");

            // Nothing is remembered by this one. What the other one remembers it puts right below.
            let options = WriterOptions {
                accounts_cached_max: NonZeroUsize::MIN,
                ..WriterOptions::default()
            };
            let mut cold = Writer::new(store.clone(), options);
            let command = [deposit(number(), account_id.clone())];
            let began = Instant::now();
            process(&mut cold, &command, now).await;
            length.cold.push(began.elapsed());
            // Conflicts, and is decided anew: from now on the account is as it is in the store.
            process(writer, &[deposit(number(), account_id)], now).await;
        }
    }
    for round in 0..BATCH_ROUNDS {
        lengths.rotate_left(1);
        for length in &mut *lengths {
            let account_id = length.account(round).clone();
            let commands: Vec<_> = (0..BATCH)
                .map(|_| deposit(number(), account_id.clone()))
                .collect();
            let now = store.now().await.expect("it answers");
            let began = Instant::now();
            process(writer, &commands, now).await;
            length.batch.push(began.elapsed());
        }
    }
    lengths.sort_by_key(|length| length.events);
}

/// How long one takes, without a database.
async fn decisions(store: &EventStore, account_id: &AccountId) -> Duration {
    let account = store.account(account_id).await.expect("it answers");
    let account = account.expect("it is there");
    let command = deposit(0, account_id.clone());
    let now = account.last_recorded_at.next_microsecond();
    let accounts = HashMap::from([(account_id.clone(), account)]);
    let began = Instant::now();
    for _ in 0..DECISIONS {
        let decided = decide(black_box(&accounts), &command, now, &Policy::default());
        black_box(&decided).as_ref().expect("it is accepted");
    }
    began.elapsed() / DECISIONS
}

fn print(lengths: &[Length]) {
    println!(
        "Medians, in µs: of {ROUNDS} for each length, {BATCH_ROUNDS} for batches, all lengths in turns. `decide`: a deposit, in memory, \
         with the event's hash. `append 1`, `append {BATCH}`: so many deposits into the account, which the writer \
         remembers, in one batch: decided and committed. `load`: the account from the event store. `cold`: one deposit by a writer \
         that does not remember the account: loaded, decided and committed. (What was measured has added to the histories.)\n"
    );
    println!(
        "| events | accounts | decide | append 1 | append {BATCH} | per deposit | load | cold |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    for length in lengths {
        let row = [
            &length.decide,
            &length.warm,
            &length.batch,
            &length.load,
            &length.cold,
        ]
        .map(|taken| median_us(taken));
        let [decide, warm, batch, load, cold] = row;
        println!(
            "| {} | {} | {decide:.2} | {warm:.0} | {batch:.0} | {:.2} | {load:.0} | {cold:.0} |",
            length.events,
            length.accounts.len(),
            batch / BATCH as f64,
        );
        rows.push(row);
    }
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return;
    };
    let more: Vec<f64> = first
        .iter()
        .zip(last)
        .map(|(first, last)| 100.0 * (last / first - 1.0))
        .collect();
    println!(
        "| more for the longest, % | | {:+.1} | {:+.1} | {:+.1} | | {:+.1} | {:+.1} |",
        more[0], more[1], more[2], more[3], more[4]
    );
    let within = more.iter().filter(|more| **more <= MORE_MAX).count();
    println!(
        "\nTarget: the longest history costs at most {MORE_MAX} % more than the shortest. {within} of {} figures are within it.",
        more.len()
    );
}

fn median_us(taken: &[Duration]) -> f64 {
    let mut sorted = taken.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2].as_secs_f64() * 1e6
}

/// On what, with what, by whom it can be repeated.
fn print_place(server: &Postgres, longest: u64) {
    let postgres = server.programs().join("postgres");
    println!("# Commands and loading, by the length of the history\n");
    println!("`cargo bench -p benches --bench history -- {longest}`\n");
    print_machine(&[":/store", ":/ledger", ":/benches/benches"]);
    println!(
        "| event store | {}, on this machine, `fsync` off, else as it comes (128 MB of `shared_buffers`) |\n",
        told(&postgres.to_string_lossy(), &["--version"])
    );
}
