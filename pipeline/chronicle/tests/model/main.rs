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
mod course;
mod flight;
#[path = "../../../../ledger/tests/random_sequences/model/mod.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod model;
mod names;
mod present;
#[path = "../../../../ledger/tests/support/random.rs"]
mod random;
#[path = "../../../../ledger/tests/random_sequences/same.rs"]
mod same;
#[path = "../support/mod.rs"]
mod support;
#[path = "../../../../ledger/tests/random_sequences/wire.rs"]
mod wire;

use std::time::{Duration, Instant};

use ledger::Timestamp;
use random::from_environment;
use support::Ledger;

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
    let mut random = random::Random::seeded(chosen);
    let ledger = Ledger::new().await;
    let mut process = ledger.run(&[], &[]).await;
    let mut flight = Flight::new(&ledger).await;
    let mut course = Course::new(random.next());

    let begin = Instant::now();
    let mut published = 0;
    for kill in 1..=KILLS + 1 {
        // Somewhere in the second half of its share, the last one at the end.
        let share = steps * kill / (KILLS + 1);
        let early = usize::try_from(steps / (KILLS + 1) / 2).unwrap().max(1);
        let until = if kill > KILLS {
            steps
        } else {
            share - u64::try_from(random.below(early)).unwrap()
        };
        flight.publish(&mut course, until - published).await;
        published = until;
        if kill <= KILLS {
            process.kill().await;
            println!(
                "killed after {published} of {steps} commands, with {} in flight",
                flight.unanswered()
            );
            process = ledger.start(&[], &[]).await;
            flight.resend_unanswered(&mut course).await;
        }
    }
    flight.until_answered(&course).await;
    let seconds = begin.elapsed().as_secs_f64();
    let questions = flight.questions();
    println!(
        "{questions} commands were answered in {seconds:.1} s: {:.0} a second",
        f64::from(u32::try_from(questions).unwrap()) / seconds
    );
    process.until_ready().await;

    let end = Timestamp::from_date_time(time::OffsetDateTime::now_utc() + HOLD_LASTS);
    let timed = course.timed_holds(TIMED_HOLDS, end.unix_microseconds());
    flight.publish_these(&course, timed).await;
    flight.until_answered(&course).await;
    present::until_holds_have_ended(&ledger, end).await;
    let too_late = course.timer_has_ended_all(end.unix_microseconds());
    flight.publish_these(&course, too_late).await;
    flight.until_answered(&course).await;

    let answered = Instant::now();
    present::until_projected(&ledger, &course).await;
    println!(
        "the read models stood still {:.1} s after the last answer",
        answered.elapsed().as_secs_f64()
    );
    assert_eq!(process.stop().await, Some(0));
    present::check(&ledger, &course).await;
    println!("{:#?}", course.tally);
    course
        .tally
        .check_nothing_was_missed(steps >= STEPS_FOR_EVERY_CODE);
    let begin = Instant::now();
    present::verify(&ledger).await;
    println!(
        "chronicle verify is clean, in {:.1} s",
        begin.elapsed().as_secs_f64()
    );
}
