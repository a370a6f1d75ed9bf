//! Random sequences of commands, judged step by step by a model that does the same with whole numbers.
//!
//! 45,000 sequences by default, of more than a million commands. `CHRONICLE_TEST_SEQUENCES` says how many, `CHRONICLE_TEST_SEED` where to begin: the
//! sequence with the number n is made of the seed + n. A failure prints its seed and the fewest steps that still fail.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

mod ask;
mod asking;
mod combined;
mod combining;
mod dates;
mod history;
mod judge;
mod model;
mod names;
#[path = "../support/random.rs"]
mod random;
mod reversals;
mod reversing;
mod rules;
mod same;
mod sequence;
mod tally;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ask::{Ask, Step};
use judge::check;
use random::from_environment;
use sequence::generate;
use tally::Tally;

const SEQUENCES: u64 = 45_000;
const SEED: u64 = 0x00c0_ffee;
/// One sequence in so many is looked at more closely, at a cost of several times its own.
const CLOSE_LOOK_EVERY: u64 = 32;

#[test]
fn a_million_random_commands_hold_every_invariant() {
    let sequences = from_environment("CHRONICLE_TEST_SEQUENCES", SEQUENCES);
    let first_seed = from_environment("CHRONICLE_TEST_SEED", SEED);
    let begin = Instant::now();
    let (next, total) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let failure: Mutex<Option<u64>> = Mutex::new(None);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut tally = Tally::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= sequences || failure.lock().unwrap().is_some() {
                        break;
                    }
                    let seed = first_seed.wrapping_add(number);
                    if run(&generate(seed), close_look(seed), &mut tally).is_err() {
                        failure.lock().unwrap().get_or_insert(seed);
                    }
                }
                total.lock().unwrap().add(&tally);
            });
        }
    });
    if let Some(seed) = *failure.lock().unwrap() {
        panic!("{}", describe_failure(seed));
    }
    let tally = total.into_inner().unwrap();
    println!(
        "{} steps in {sequences} sequences from seed {first_seed} in {:.1} s: {tally:#?}",
        tally.commands,
        begin.elapsed().as_secs_f64()
    );
    if sequences >= SEQUENCES {
        assert!(tally.commands >= 1_000_000, "{} steps", tally.commands);
        tally.check_nothing_was_missed();
    }
}

/// The model must be able to disagree: otherwise the test above proves nothing.
#[test]
fn a_sequence_that_goes_wrong_is_noticed_and_made_short() {
    let steps = generate(SEED);
    let fails = |steps: &[Step]| {
        steps
            .iter()
            .any(|step| matches!(step.ask, Ask::Withdraw { .. }))
    };
    assert!(fails(&steps));
    let shortest = shortened(steps, fails);
    assert_eq!(shortest.len(), 1);
}

fn close_look(seed: u64) -> bool {
    seed.is_multiple_of(CLOSE_LOOK_EVERY)
}

/// [`check`] that takes a panic for an error.
fn run(steps: &[Step], close: bool, tally: &mut Tally) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| check(steps, close, tally))).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        Err(format!("panicked: {message:?}"))
    })
}

fn describe_failure(seed: u64) -> String {
    let close = close_look(seed);
    let fails = |steps: &[Step]| run(steps, close, &mut Tally::default()).is_err();
    let steps = shortened(generate(seed), fails);
    let reason = run(&steps, close, &mut Tally::default()).unwrap_err();
    let listing: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
    format!(
        "seed {seed}: {reason}\nthe fewest steps:\n{}\nagain: CHRONICLE_TEST_SEED={seed} CHRONICLE_TEST_SEQUENCES=1 cargo test -p ledger --test random_sequences",
        listing.join("\n")
    )
}

/// Leaves out one step after the other, as long as what is left still fails.
fn shortened(mut steps: Vec<Step>, fails: impl Fn(&[Step]) -> bool) -> Vec<Step> {
    let mut index = 0;
    while index < steps.len() {
        let mut fewer = steps.clone();
        fewer.remove(index);
        if fails(&fewer) {
            steps = fewer;
            index = 0;
        } else {
            index += 1;
        }
    }
    steps
}
