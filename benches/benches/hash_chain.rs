//! What the hash chain costs: per event the canonical form and SHA-256 over it, and to check a history.

mod scene;

use std::collections::{BTreeMap, HashMap};

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use ledger::codec::json;
use ledger::{
    Account, AccountId, Action, Command, Deposit, Event, Hash, Timestamp, Transfer, decide, limits,
};
use sha2::{Digest, Sha256};

use scene::{NOW, account_id, accounts_and_transfer, command, event_of, opening};

/// Without any texts; with those of an ordinary command; with all that a command can have.
const TEXTS: [&str; 3] = ["none", "usual", "most"];
/// How long the history is that is checked.
const EVENTS: u64 = 1_000;

fn main() {
    divan::main();
}

/// Both: what each event costs when it is made, and when it is checked.
#[divan::bench(args = TEXTS)]
fn canonical_form_and_sha256(bencher: Bencher, texts: &str) {
    let event = event_with(texts);
    bencher
        .counter(BytesCount::new(canonical(&event).len()))
        .bench(|| black_box(&event).compute_hash());
}

/// The digest alone, over the same bytes.
#[divan::bench(args = TEXTS)]
fn sha256(bencher: Bencher, texts: &str) {
    let event = event_with(texts);
    let bytes = canonical(&event);
    let digest = <[u8; 32]>::from(Sha256::digest(&bytes));
    assert_eq!(Hash::from(digest), event.hash);
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench(|| Sha256::digest(black_box(&bytes)));
}

/// A history of one account: every hash, every link, every balance.
#[divan::bench(sample_count = 20)]
fn check_history(bencher: Bencher) {
    let history = history();
    bencher.counter(ItemsCount::new(history.len())).bench(|| {
        let mut state = None;
        for event in black_box(&history) {
            event.check_hash().expect("its hash is right");
            state = Some(Account::fold(state, event).expect("it follows"));
        }
        state
    });
}

/// The same without the events' own hashes: links and balances.
#[divan::bench(sample_count = 20)]
fn fold_history(bencher: Bencher) {
    let history = history();
    bencher.counter(ItemsCount::new(history.len())).bench(|| {
        let mut state = None;
        for event in black_box(&history) {
            state = Some(Account::fold(state, event).expect("it follows"));
        }
        state
    });
}

/// What is hashed: the event's JSON without the member `hash`.
fn canonical(event: &Event) -> Vec<u8> {
    let whole = String::from_utf8(json::encode_event(event)).expect("JSON is UTF-8");
    whole
        .replace(&format!("\"hash\":\"{}\",", event.hash), "")
        .into_bytes()
}

fn event_with(texts: &str) -> Event {
    let (accounts, usual) = accounts_and_transfer();
    let command = match texts {
        "none" => Command {
            description: None,
            actor: None,
            metadata: BTreeMap::new(),
            ..usual
        },
        "usual" => usual,
        _ => Command {
            description: Some("d".repeat(limits::DESCRIPTION_BYTES_MAX)),
            actor: Some("a".repeat(limits::ACTOR_BYTES_MAX)),
            metadata: (0..limits::METADATA_ENTRIES_MAX)
                .map(|number| {
                    let key = format!("{number:0>width$}", width = limits::METADATA_KEY_BYTES_MAX);
                    (key, "v".repeat(limits::METADATA_VALUE_BYTES_MAX))
                })
                .collect(),
            ..usual
        },
    };
    event_of(&accounts, &command)
}

/// Deposits and transfers away, of one account.
fn history() -> Vec<Event> {
    let (mut accounts, _) = accounts_and_transfer();
    let mut history = Vec::new();
    let first = event_of(&HashMap::new(), &opening(10, "ACC-3"));
    remember(&mut accounts, &first);
    history.push(first);
    for number in 1..EVENTS {
        let action = if number % 2 == 0 {
            Action::Deposit(Deposit {
                account_id: account_id("ACC-3"),
                amount: 25.into(),
                currency: None,
            })
        } else {
            Action::Transfer(Transfer {
                from_account_id: account_id("ACC-3"),
                to_account_id: account_id("ACC-1"),
                amount: 25.into(),
                currency: None,
            })
        };
        let later = NOW.unix_microseconds() + i64::try_from(number).expect("it is small");
        let now = Timestamp::from_unix_microseconds(later);
        let command = command(10 + number, action);
        let events = decide(&accounts, &command, now, &ledger::Policy::default());
        for event in events.expect("there is money") {
            remember(&mut accounts, &event);
            if event.account_id == account_id("ACC-3") {
                history.push(event);
            }
        }
    }
    history
}

fn remember(accounts: &mut HashMap<AccountId, Account>, event: &Event) {
    let state = accounts.remove(&event.account_id);
    let account = Account::fold(state, event).expect("it follows");
    accounts.insert(account.account_id.clone(), account);
}
