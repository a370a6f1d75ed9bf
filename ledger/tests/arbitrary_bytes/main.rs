//! No bytes from outside make a decoder panic, and whatever a decoder lets through can be worked with.
//!
//! 200,000 inputs by default, each to every decoder: random bytes, and valid bodies that were mutated.
//! `CHRONICLE_TEST_INPUTS` says how many, `CHRONICLE_TEST_SEED` where to begin; a failure prints both its input and the
//! seed that makes it alone.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

mod samples;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ledger::codec::{
    CONTENT_TYPE_BINCODE, CONTENT_TYPE_JSON, Malformed, binary, decode_command, json,
};
use ledger::{
    AccountId, Book, Command, CommandId, Currency, CurrencyCode, Event, EventData, Hash, Policy,
    Timestamp, decide, parse_decimal,
};
use samples::Samples;
use support::Given;
use support::random::from_environment;

const INPUTS: u64 = 200_000;
const SEED: u64 = 0x00c0_ffee;

#[test]
fn two_hundred_thousand_inputs_panic_no_decoder() {
    let inputs = from_environment("CHRONICLE_TEST_INPUTS", INPUTS);
    let first_seed = from_environment("CHRONICLE_TEST_SEED", SEED);
    let (samples, begin) = (Samples::new(), Instant::now());
    let (next, total) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let failure = Mutex::new(None);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut tally = Tally::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= inputs || failure.lock().unwrap().is_some() {
                        break;
                    }
                    let seed = first_seed.wrapping_add(number);
                    let input = samples.input(seed);
                    let run = AssertUnwindSafe(|| feed(&samples.before, &input, &mut tally));
                    if catch_unwind(run).is_err() {
                        failure.lock().unwrap().get_or_insert((seed, input));
                    }
                }
                total.lock().unwrap().add(&tally);
            });
        }
    });
    if let Some((seed, input)) = failure.lock().unwrap().as_ref() {
        panic!(
            "seed {seed}, see the panic above: {:?}\nagain: CHRONICLE_TEST_SEED={seed} CHRONICLE_TEST_INPUTS=1 cargo test -p ledger --test arbitrary_bytes",
            String::from_utf8_lossy(input)
        );
    }
    let tally = total.into_inner().unwrap();
    println!(
        "{inputs} inputs from seed {first_seed} in {:.1} s: {tally:#?}",
        begin.elapsed().as_secs_f64()
    );
    if inputs >= 10_000 {
        tally.check_nothing_was_missed(inputs);
    }
}

#[test]
fn every_beginning_of_every_sample_panics_no_decoder() {
    let samples = Samples::new();
    let mut tally = Tally::default();
    for sample in &samples.bodies {
        for length in 0..=sample.len() {
            feed(&samples.before, &sample[..length], &mut tally);
        }
    }
    assert_eq!(tally.commands, 2 * samples.commands);
    assert_eq!(tally.events, samples.events);
}

#[test]
fn every_bit_of_every_sample_can_flip() {
    let samples = Samples::new();
    let mut tally = Tally::default();
    for sample in &samples.bodies {
        for bit in 0..8 * sample.len() {
            let mut flipped = sample.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            feed(&samples.before, &flipped, &mut tally);
        }
    }
    assert!(tally.commands > 1_000 && tally.events > 1_000, "{tally:?}");
}

/// What the inputs have met.
#[derive(Debug, Default)]
struct Tally {
    commands: u64,
    events: u64,
    followed: u64,
    refused: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.commands += other.commands;
        self.events += other.events;
        self.followed += other.followed;
        for (code, count) in &other.refused {
            *self.refused.entry(code).or_default() += count;
        }
    }

    /// Mutations that never get past the first check would prove nothing about the later ones.
    fn check_nothing_was_missed(&self, inputs: u64) {
        let few = inputs / 50;
        assert!(self.commands > few && self.events > few, "{self:?}");
        for code in [
            "duplicate_field",
            "invalid_account_id",
            "invalid_amount",
            "invalid_bincode",
            "invalid_command_id",
            "invalid_currency",
            "invalid_event",
            "invalid_field",
            "invalid_hold_id",
            "invalid_json",
            "invalid_metadata",
            "invalid_text",
            "invalid_timestamp",
            "missing_field",
            "not_utf8",
            "unknown_event_type",
            "unknown_field",
            "unknown_type",
            "unsupported_format_version",
        ] {
            assert!(
                self.refused.contains_key(code),
                "never met {code}: {self:?}"
            );
        }
    }
}

/// Gives the input to every decoder, and works with what comes out.
fn feed(before: &Given, input: &[u8], tally: &mut Tally) {
    for content_type in [CONTENT_TYPE_JSON, CONTENT_TYPE_BINCODE] {
        match decode_command(Some(content_type), input) {
            Ok(command) => {
                tally.commands += 1;
                work_with_command(before, &command);
            }
            Err(malformed) => refused(&malformed, tally),
        }
    }
    for decoded in [json::decode_event(input), binary::decode_event(input)] {
        match decoded {
            Ok(event) => {
                tally.events += 1;
                tally.followed += u64::from(work_with_event(before, &event));
            }
            Err(malformed) => refused(&malformed, tally),
        }
    }
    if let Ok(text) = std::str::from_utf8(input) {
        parse(text);
    }
}

fn refused(malformed: &Malformed, tally: &mut Tally) {
    *tally.refused.entry(malformed.code).or_default() += 1;
    assert!(!malformed.message.is_empty());
    assert!(malformed.message.len() < 1_000, "{malformed}");
}

fn work_with_command(before: &Given, command: &Command) {
    let again = json::decode_command(&json::encode_command(command)).unwrap();
    assert_eq!(&again, command);
    let again = binary::decode_command(&binary::encode_command(command)).unwrap();
    assert_eq!(&again, command);
    assert_eq!(again.fingerprint(), command.fingerprint());
    let now = support::timestamp(support::NOON);
    if let Ok(events) = decide(&before.book, command, now, &Policy::default()) {
        let mut book = before.book.clone();
        for event in &events {
            book.apply(event).unwrap();
        }
    }
}

/// Whether the event also follows upon the history.
fn work_with_event(before: &Given, event: &Event) -> bool {
    let again = json::decode_event(&json::encode_event(event)).unwrap();
    assert_eq!(&again, event);
    let again = binary::decode_event(&binary::encode_event(event)).unwrap();
    assert_eq!(&again, event);
    assert_eq!(again.compute_hash(), event.compute_hash());
    let empty = Book::default();
    [&empty, &before.book]
        .into_iter()
        .any(|book| match book.clone().apply(event) {
            Ok(account) => account.available().is_ok(),
            Err(broken) => broken.to_string().is_empty(),
        })
}

fn parse(text: &str) {
    drop(parse_decimal(text).map(|value| value.to_string()));
    drop(text.parse::<Timestamp>().map(|at| at.to_string()));
    drop(text.parse::<AccountId>());
    drop(text.parse::<CommandId>());
    drop(text.parse::<Hash>());
    drop(text.parse::<CurrencyCode>().map(Currency::lookup));
    for name in EventData::TYPE_NAMES.into_iter().chain([text]) {
        drop(json::decode_event_data(name, text));
    }
}
