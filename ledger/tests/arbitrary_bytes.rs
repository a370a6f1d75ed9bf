//! No bytes from outside make a decoder panic, and whatever a decoder lets through can be worked with.
//!
//! 200,000 inputs by default, each to every decoder: random bytes, and valid bodies that were mutated.
//! `CHRONICLE_TEST_INPUTS` says how many, `CHRONICLE_TEST_SEED` where to begin; a failure prints both its input and the
//! seed that makes it alone.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

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
    Account, AccountId, Command, CommandId, Currency, CurrencyCode, Event, Hash, Timestamp, decide,
    parse_decimal,
};
use support::random::{Random, from_environment};
use support::{Given, deposit, given, open, transfer, withdraw};

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
        tally.check_nothing_was_missed();
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
    fn check_nothing_was_missed(&self) {
        assert!(self.commands > 5_000 && self.events > 5_000, "{self:?}");
        for code in [
            "duplicate_field",
            "invalid_account_id",
            "invalid_amount",
            "invalid_bincode",
            "invalid_command_id",
            "invalid_currency",
            "invalid_event",
            "invalid_field",
            "invalid_json",
            "invalid_metadata",
            "invalid_text",
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
    if let Ok(events) = decide(&before.accounts, command, now) {
        let mut accounts = before.accounts.clone();
        for event in &events {
            let state = accounts.remove(&event.account_id);
            Account::fold(state, event).unwrap();
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
    let state = before.accounts.get(&event.account_id).cloned();
    let states = [None, state];
    states
        .into_iter()
        .any(|state| match Account::fold(state, event) {
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
    for name in ["AccountCreated", "MoneyDeposited", "MoneyWithdrawn", text] {
        drop(json::decode_event_data(name, text));
    }
}

/// Valid bodies of every kind, and the accounts that their events would follow upon.
struct Samples {
    bodies: Vec<Vec<u8>>,
    before: Given,
    commands: u64,
    events: u64,
}

impl Samples {
    fn new() -> Self {
        let plain = || {
            given([
                open("A", "100").with_overdraft_limit("50"),
                open("B", "0.50").because("π").noting("k", "v"),
            ])
        };
        let requests = [
            open("C", "1")
                .in_currency("JPY")
                .with_overdraft_limit("7")
                .because("new"),
            deposit("A", "0.01")
                .because("wages 😀")
                .noting("invoice", "77")
                .noting("a", ""),
            withdraw("A", "150")
                .in_currency("USD")
                .expecting_version(1)
                .by("teller-3"),
            transfer("A", "B", "25.00")
                .because("\"rent\"\n")
                .expecting_version(1),
        ];
        let mut bodies = Vec::new();
        let (mut commands, mut events) = (0, 0);
        for request in requests {
            bodies.push(json::encode_command(&request.command));
            bodies.push(binary::encode_command(&request.command));
            commands += 1;
            let after = plain().when(request).then_accepted();
            for event in &after.events[2..] {
                bodies.push(json::encode_event(event));
                bodies.push(binary::encode_event(event));
                events += 2;
            }
        }
        Self {
            bodies,
            before: plain(),
            commands,
            events,
        }
    }

    /// The input that `seed` stands for.
    fn input(&self, seed: u64) -> Vec<u8> {
        let mut random = Random::seeded(seed);
        if random.chance(15) {
            return random_bytes(&mut random);
        }
        let mut body = random.pick(&self.bodies).clone();
        let mutations = [1, 1, 1, 2, 3][random.below(5)];
        for _ in 0..mutations {
            let other = random.pick(&self.bodies);
            mutate(&mut random, &mut body, other);
        }
        body
    }
}

fn random_bytes(random: &mut Random) -> Vec<u8> {
    let length = random.below(300);
    let mut bytes = random.bytes(length);
    // Past the first check, where there is one.
    match random.below(4) {
        0 => bytes.insert(0, binary::FORMAT_VERSION),
        1 => bytes.insert(0, b'{'),
        2 => bytes.iter_mut().for_each(|byte| *byte = b' ' + *byte % 95),
        _ => {}
    }
    bytes
}

/// What has a meaning somewhere: in JSON, in numbers, in lengths and flags of bincode.
const TOKENS: [&[u8]; 34] = [
    b"null",
    b"true",
    b"0",
    b"-1",
    b"-0",
    b"1e2",
    b"1e400",
    b"1e-30",
    b"9007199254740993",
    b"18446744073709551615",
    b"99999999999999999999999999.99",
    b"0.30000000000000004",
    b"\"\"",
    b"\"x\"",
    b"\"\\u0000\"",
    b"\"\\ud800\"",
    b"\\u0000",
    b"\\ud83d\\ude00",
    b"{}",
    b"[]",
    b"{\"a\":{}}",
    b",",
    b"\"amount\":\"1\",",
    b"USD",
    b"EUR",
    b"XAU",
    b"9999-12-31T23:59:59-23:59",
    b"0000-01-01T00:00:00Z",
    b"\xef\xbb\xbf",
    b"\xff\xff\xff\xff",
    b"\xfb\xff\xff",
    b"\xfd\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\0\0\0\0\0\0\0\x80",
    b"\0",
];

fn mutate(random: &mut Random, body: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(body.len() + 1);
    let end = (at + random.below(12)).min(body.len());
    match random.below(10) {
        0 => drop(body.drain(at..end)),
        1 => drop(body.splice(at..end, random.bytes(end - at))),
        2 => {
            let copy = body[at..end].to_vec();
            let target = random.below(body.len() + 1);
            drop(body.splice(target..target, copy));
        }
        3 => {
            let from = random.below(other.len());
            let length = random.below(40);
            let part = other[from..].iter().take(length).copied();
            drop(body.splice(at..end, part));
        }
        4 => body.truncate(at),
        5 => {
            let token = *random.pick(&TOKENS);
            drop(body.splice(at..end, token.iter().copied()));
        }
        6..=8 => replace_value(random, body, at),
        _ => {
            if let Some(byte) = body.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
}

/// Puts a token in the place of the JSON string or number after `at`, so that the body stays JSON and the mistake is
/// met further inside; of bytes that are no JSON, in the place of a few.
fn replace_value(random: &mut Random, body: &mut Vec<u8>, at: usize) {
    let token = *random.pick(&TOKENS);
    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b'{');
    let Some(begin) = body[at..].iter().position(|byte| *byte == b':') else {
        let end = (at + token.len()).min(body.len());
        drop(body.splice(at..end, token.iter().copied()));
        return;
    };
    let begin = at + begin + 1;
    let length = body[begin..].iter().position(ends);
    let end = length.map_or(body.len(), |length| begin + length);
    // Half of the time inside the quotes, if there are any.
    let quoted = end >= begin + 2 && body[begin] == b'"' && body[end - 1] == b'"';
    if quoted && random.chance(50) {
        drop(body.splice(begin + 1..end - 1, token.iter().copied()));
    } else {
        drop(body.splice(begin..end, token.iter().copied()));
    }
}
