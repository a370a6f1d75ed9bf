//! The running pipeline against the model of `ledger/tests/random_sequences`, which does the same with whole numbers:
//! random commands of every type over a few hundred accounts of several currencies, to real servers, with all pipelines
//! and the timer at work, and a process that is killed now and then.
//!
//! `CHRONICLE_TEST_STEPS` says how many commands, `CHRONICLE_TEST_SEED` which ones; the seed is printed.
//!
//! One partition is decided in the order of its stream, so the outcome of every command is known when it is published.
//! What the writer's clock shows is not: instants that commands name lie decades away from it. The holds that the timer is
//! to end come last, when nothing else is under way.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy takes the helpers of a test for no test"
)]

#[path = "../../../../ledger/tests/random_sequences/ask.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod ask;
#[path = "../../../../ledger/tests/random_sequences/asking.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod asking;
#[path = "../../../../ledger/tests/random_sequences/combining.rs"]
mod combining;
mod course;
mod flight;
#[path = "../../../../ledger/tests/random_sequences/model/mod.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod model;
mod names;
mod present;
#[path = "../../../../ledger/tests/support/random.rs"]
mod random;
#[path = "../../../../ledger/tests/random_sequences/reversing.rs"]
mod reversing;
#[path = "../../../../ledger/tests/random_sequences/same.rs"]
mod same;
#[path = "../support/mod.rs"]
mod support;
#[path = "../../../../ledger/tests/random_sequences/wire.rs"]
mod wire;

use std::time::{Duration, Instant};

use ledger::Timestamp;
use random::{Random, from_environment};
use support::{Ledger, Process};

use course::Course;
use flight::Flight;

const STEPS: u64 = 10_000;
/// How often the process is killed.
const KILLS: u64 = 3;
/// From so many steps on every code of a rejection must have been met.
const STEPS_FOR_EVERY_CODE: u64 = 200_000;
/// How many holds the timer is to end.
const TIMED_HOLDS: usize = 100;
/// How long such a hold lasts: longer than placing all of them takes.
const HOLD_LASTS: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn the_running_pipeline_does_what_the_model_does_whatever_is_asked_and_however_often_it_dies()
{
    let steps = from_environment("CHRONICLE_TEST_STEPS", STEPS);
    let chosen = support::random::Random::seeded("model").next();
    let mut random = Random::seeded(chosen);
    let begin = Instant::now();
    let ledger = Ledger::new().await;
    let process = ledger.run(&[], &[]).await;
    let mut flight = Flight::new(&ledger).await;
    let mut course = Course::new(random.next(), steps);
    report("everything runs", begin);

    let begin = Instant::now();
    let mut process =
        publish_while_it_dies(&ledger, process, &mut flight, &mut course, steps, random).await;
    let questions = f64::from(u32::try_from(flight.questions()).unwrap());
    let a_second = questions / begin.elapsed().as_secs_f64();
    report(
        &format!("{questions} commands were answered, {a_second:.0} a second,"),
        begin,
    );
    let begin = Instant::now();
    process.until_ready().await;
    report("everything is ready", begin);
    let_holds_end(&ledger, &mut flight, &mut course).await;
    report("the timer has ended holds", begin);
    let begin = Instant::now();
    present::until_projected(&ledger, &course).await;
    report("the read models have everything", begin);
    assert_eq!(process.stop().await, Some(0));

    let begin = Instant::now();
    present::check(&ledger, &course).await;
    report("everything is as the model has it", begin);
    println!("{:#?}", course.tally);
    course.check_nothing_was_missed(steps >= STEPS_FOR_EVERY_CODE);
    let begin = Instant::now();
    present::verify(&ledger).await;
    report("chronicle verify is clean", begin);
}

fn report(what: &str, begin: Instant) {
    println!("{what} after {:.1} s", begin.elapsed().as_secs_f64());
}

/// Publishes so many commands to a process that is killed now and then; answers with the one that lives when all are
/// answered.
async fn publish_while_it_dies(
    ledger: &Ledger,
    mut process: Process,
    flight: &mut Flight,
    course: &mut Course,
    steps: u64,
    mut random: Random,
) -> Process {
    let shares = KILLS + 1;
    let half = usize::try_from(steps / shares / 2).unwrap().max(1);
    let mut published = 0;
    for kill in 1..shares {
        // Somewhere in the second half of its share.
        let early = u64::try_from(random.below(half)).unwrap();
        let until = (steps * kill / shares).saturating_sub(early).max(published);
        flight.publish(course, until - published).await;
        published = until;
        process.kill().await;
        println!(
            "killed after {published} of {steps} commands, with {} in flight",
            flight.unanswered()
        );
        process = ledger.start(&[], &[]).await;
        flight.resend_unanswered(course).await;
    }
    flight.publish(course, steps - published).await;
    flight.until_answered(course).await;
    process
}

/// Places holds that the timer is to end, and waits until it has.
async fn let_holds_end(ledger: &Ledger, flight: &mut Flight, course: &mut Course) {
    let end = Timestamp::from_date_time(time::OffsetDateTime::now_utc() + HOLD_LASTS);
    let timed = course.timed_holds(TIMED_HOLDS, end.unix_microseconds());
    flight.publish_these(course, timed).await;
    flight.until_answered(course).await;
    present::until_holds_have_ended(ledger, end).await;
    let too_late = course.timer_has_ended_all(end.unix_microseconds());
    flight.publish_these(course, too_late).await;
    flight.until_answered(course).await;
}
