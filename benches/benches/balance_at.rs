//! What a balance at a random microsecond costs, on one account of a thousand to a million events; and what the whole
//! book's totals cost. Starts a PostgreSQL of its own with its usual settings, and checks every answer.
//!
//! `cargo bench -p benches --bench balance_at > benches/results/balance_at.md` takes some minutes. The history is made by
//! the writer as intake uses it, so every row is what it would be in earnest: hashes, chain, command.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use benches::{micros, print_machine, told};
use ledger::{
    AccountId, Action, Command, Conditions, CreateAccount, Deposit, Money, Timestamp, Version,
    Withdraw,
};
use servers::testing::Postgres;
use store::{EventStore, Processed, Writer, WriterOptions, migrate};

const SEED: u64 = 20_260_131;
const EVENTS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const BATCH: usize = 2_000;
const QUESTIONS: usize = 10_000;
const BOOKS: [usize; 3] = [1_000, 10_000, 100_000];
const TOTALS: usize = 5;

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` runs it, too, without this.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("this takes minutes: run it with `cargo bench -p benches --bench balance_at`");
        return;
    }
    let server = Postgres::start().await;
    print_place(&server);
    balances(&database(&server, "balance_at").await).await;
    totals(&server).await;
}

async fn database(server: &Postgres, name: &str) -> EventStore {
    let url = server.fresh_database(name).await;
    migrate::migrate(&url)
        .await
        .expect("the tables can be made");
    EventStore::connect_lazy(&url, &store::Options::default()).expect("it is a URL")
}

/// One account, asked as it grows.
async fn balances(store: &EventStore) {
    println!("## A balance at a random microsecond\n");
    println!(
        "{QUESTIONS} questions one after the other on one connection, each for another microsecond between the first event and \
         the last. `now` is the same for the present state.\n"
    );
    println!(
        "| events | p50 µs | p99 µs | max µs | now p50 µs | now p99 µs | read back to front, events/s |"
    );
    println!("|---|---|---|---|---|---|---|");
    let account_id: AccountId = "GROWING".parse().expect("it is an id");
    let mut history = History::begin(store, &account_id).await;
    let mut random = Random(SEED);
    for events in EVENTS {
        history.grow(events, &mut random).await;
        // The statements are prepared, and what is read often is in memory.
        ask(store, &history, QUESTIONS / 10, &mut random).await;
        let mut then = ask(store, &history, QUESTIONS, &mut random).await;
        let mut now = Vec::with_capacity(QUESTIONS);
        for _ in 0..QUESTIONS {
            let began = Instant::now();
            let account = store.account(&account_id).await.expect("it answers");
            now.push(began.elapsed());
            let version = account.map(|account| account.version);
            assert_eq!(version, Some(version_of(events)));
        }
        let rate = read_back(store, &history).await;
        then.sort_unstable();
        now.sort_unstable();
        println!(
            "| {events} | {} | {} | {} | {} | {} | {rate:.0} |",
            micros(&then, 500),
            micros(&then, 990),
            micros(&then, 1000),
            micros(&now, 500),
            micros(&now, 990),
        );
    }
}

/// An account's history, in the event store and as it must be told.
struct History<'a> {
    account_id: &'a AccountId,
    writer: Writer,
    /// When the next command will be decided.
    clock: Timestamp,
    /// The balance from each instant on, in order.
    balances: Vec<(Timestamp, Money)>,
}

impl<'a> History<'a> {
    async fn begin(store: &EventStore, account_id: &'a AccountId) -> Self {
        let clock = store.now().await.expect("it answers");
        let mut history = Self {
            account_id,
            writer: Writer::new(store.clone(), WriterOptions::default()),
            clock,
            balances: Vec::new(),
        };
        history.append(&[create(1, account_id)], &[clock]).await;
        history
    }

    /// Deposits and withdrawals, a microsecond to a tenth of a second apart, until there are so many events. Most of it
    /// lies in the future: a history cannot be made up behind the database's clock.
    async fn grow(&mut self, events: usize, random: &mut Random) {
        while self.balances.len() < events {
            let count = BATCH.min(events - self.balances.len());
            let mut commands = Vec::with_capacity(count);
            let mut times = Vec::with_capacity(count);
            for index in 0..count {
                let number = self.balances.len() + index + 1;
                commands.push(if index % 2 == 0 {
                    deposit(number, self.account_id)
                } else {
                    withdraw(number, self.account_id)
                });
                let gap = [1, 1_000, 100_000][random.below(3)];
                let gap = i64::try_from(1 + random.below(gap)).expect("it is small");
                self.clock =
                    Timestamp::from_unix_microseconds(self.clock.unix_microseconds() + gap);
                times.push(self.clock);
            }
            self.append(&commands, &times).await;
        }
    }

    async fn append(&mut self, commands: &[Command], times: &[Timestamp]) {
        let next = std::sync::atomic::AtomicUsize::new(0);
        // One reading per command; a batch that had to be decided anew would read on.
        let clock = || {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            times[index]
        };
        let processed = self.writer.process(commands, &clock).await;
        for processed in processed.expect("the event store takes it") {
            let Processed::Committed { events, .. } = processed else {
                panic!("{processed:?}")
            };
            self.balances.extend(
                events
                    .iter()
                    .map(|event| (event.recorded_at, event.balance_after)),
            );
        }
    }

    /// How many events there were at an instant.
    fn events_at(&self, at: Timestamp) -> usize {
        self.balances
            .partition_point(|(recorded_at, _)| *recorded_at <= at)
    }
}

async fn ask(
    store: &EventStore,
    history: &History<'_>,
    questions: usize,
    random: &mut Random,
) -> Vec<Duration> {
    let first = history.balances[0].0.unix_microseconds();
    let last = history.balances[history.balances.len() - 1].0;
    let length = usize::try_from(last.unix_microseconds() - first).expect("time rises");
    let mut taken = Vec::with_capacity(questions);
    for _ in 0..questions {
        let step = i64::try_from(random.below(length + 1)).expect("it is an instant");
        let at = Timestamp::from_unix_microseconds(first + step);
        let began = Instant::now();
        let then = store.account_at(history.account_id, at).await;
        taken.push(began.elapsed());
        let account = then.expect("it answers").what.expect("it was open");
        let events = history.events_at(at);
        assert_eq!(account.version, version_of(events), "at {at}");
        assert_eq!(account.balance, history.balances[events - 1].1, "at {at}");
    }
    taken
}

/// All of it, the newest event first, in pages of 500: what `chronicle explain` reads.
async fn read_back(store: &EventStore, history: &History<'_>) -> f64 {
    let began = Instant::now();
    let (mut before, mut read) = (None, 0);
    loop {
        let page = store.history_back(history.account_id, before, 500).await;
        let page = page.expect("it answers");
        let Some(last) = page.last() else { break };
        before = Some(last.version);
        read += page.len();
    }
    assert_eq!(read, history.balances.len());
    read as f64 / began.elapsed().as_secs_f64()
}

/// Books of many accounts with two events each.
async fn totals(server: &Postgres) {
    println!("\n## The totals of the whole book\n");
    println!(
        "`totals_at`, {TOTALS} times, on accounts of two events each, asked for the instant of the first.\n"
    );
    println!("| accounts | median ms | accounts/s |");
    println!("|---|---|---|");
    for accounts in BOOKS {
        let store = database(server, "totals").await;
        // Far enough ahead for all of it to be appended in time.
        let now = store.now().await.expect("it answers");
        let opened = Timestamp::from_unix_microseconds(now.unix_microseconds() + 3_600_000_000);
        let later = opened.next_microsecond();
        let ids: Vec<AccountId> = (1..=accounts)
            .map(|number| format!("ACC-{number}").parse().expect("it is an id"))
            .collect();
        let mut writer = Writer::new(store.clone(), WriterOptions::default());
        for (part, ids) in ids.chunks(BATCH).enumerate() {
            let first = part * BATCH + 1;
            let numbered = || (first..).zip(ids);
            let open: Vec<Command> = numbered().map(|(number, id)| create(number, id)).collect();
            let more: Vec<Command> = numbered()
                .map(|(number, id)| deposit(accounts + number, id))
                .collect();
            for (commands, at) in [(open, opened), (more, later)] {
                let fresh = move || at;
                let processed = writer.process(&commands, &fresh).await;
                assert_eq!(processed.expect("it takes it").len(), commands.len());
            }
        }
        let mut taken = Vec::new();
        for _ in 0..TOTALS {
            let began = Instant::now();
            let totals = store.totals_at(opened).await.expect("it answers").what;
            taken.push(began.elapsed());
            assert_eq!(totals[0].accounts, accounts as u64);
            assert_eq!(totals[0].balance.to_string(), format!("{accounts}00.00"));
        }
        taken.sort_unstable();
        let median = taken[TOTALS / 2];
        println!(
            "| {accounts} | {:.0} | {:.0} |",
            median.as_secs_f64() * 1e3,
            accounts as f64 / median.as_secs_f64()
        );
    }
}

fn version_of(events: usize) -> Version {
    Version::new(events as u64)
}

/// The value below which so many per cent lie, in microseconds.
fn create(number: usize, account_id: &AccountId) -> Command {
    command(
        number,
        Action::CreateAccount(CreateAccount {
            account_id: account_id.clone(),
            owner_name: "Alice".to_owned(),
            currency: "USD".parse().expect("it is a code"),
            initial_balance: 100.into(),
            overdraft_limit: 0.into(),
        }),
    )
}

fn deposit(number: usize, account_id: &AccountId) -> Command {
    command(
        number,
        Action::Deposit(Deposit {
            account_id: account_id.clone(),
            amount: 7.into(),
            currency: None,
        }),
    )
}

fn withdraw(number: usize, account_id: &AccountId) -> Command {
    command(
        number,
        Action::Withdraw(Withdraw {
            account_id: account_id.clone(),
            amount: 3.into(),
            currency: None,
        }),
    )
}

/// Its id is spread as a random one's is.
fn command(number: usize, action: Action) -> Command {
    let mut random = Random(number as u64);
    Command {
        command_id: uuid::Uuid::from_u64_pair(random.next(), random.next()).into(),
        action,
        description: Some("Riverbank Properties, paying the rent".to_owned()),
        actor: Some("teller-3".to_owned()),
        metadata: BTreeMap::from([("invoice".to_owned(), number.to_string())]),
        conditions: Conditions::default(),
        effective_at: None,
    }
}

/// splitmix64: the same numbers in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("it is below the limit")
    }
}

/// On what, with what, by whom it can be repeated.
fn print_place(server: &Postgres) {
    let postgres = server.programs().join("postgres");
    println!("# A balance at any microsecond\n");
    println!("`cargo bench -p benches --bench balance_at`, seed {SEED}\n");
    print_machine(&[":/store", ":/ledger", ":/benches/benches"]);
    println!(
        "| event store | {}, on this machine, `fsync` off, else as it comes (128 MB of `shared_buffers`) |\n",
        told(&postgres.to_string_lossy(), &["--version"])
    );
}
