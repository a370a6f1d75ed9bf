//! What is claimed, each with its figure, and whether it holds.

use std::fmt::Write as _;

use crate::commands::ACCOUNTS;
use crate::course::Course;
use crate::options::Options;
use crate::phase::Phase;
use crate::sample::{OURS, PROGRAMS, Sample};

/// By how much a process of ours may grow over what it had at the end of the base line, in MiB: while something is held
/// up and the backlog grows, and while it catches up, with all its pipelines full.
const GROWTH_MAX_MIB: [(&str, [Phase; 3], f64); 2] = [
    (
        "while a backlog grows",
        [
            Phase::Throttled,
            Phase::ReadModelStopped,
            Phase::EventStoreStopped,
        ],
        48.0,
    ),
    (
        "while it is worked off",
        [Phase::Unthrottled, Phase::ReadModelBack, Phase::Drain],
        128.0,
    ),
];
/// How far the read models that nothing is the matter with may be behind.
const OTHERS_LAG_MAX_S: f64 = 3.0;
/// What of the published commands is decided while something behind intake is held up.
const OUTCOMES_SHARE_MIN: f64 = 0.9;
/// How far the throttled read model falls behind, as a share of the time: less, and the throttle was none.
const THROTTLED_LAG_SHARE_MIN: f64 = 0.5;
/// JetStream's own words.
const FULL: &str = "maximum messages exceeded";
const FULL_THROUGH_HTTP: &str = "429 too_many_commands";

/// A sentence that holds or does not.
pub(crate) struct Claim {
    pub(crate) what: String,
    pub(crate) figure: String,
    pub(crate) holds: bool,
}

fn claim(holds: bool, what: impl Into<String>, figure: String) -> Claim {
    Claim {
        what: what.into(),
        figure,
        holds,
    }
}

/// All of them.
pub(crate) fn of(course: &Course, options: &Options) -> Vec<Claim> {
    let mut claims: Vec<Claim> = (0..OURS)
        .flat_map(|program| memory(course, program))
        .collect();
    claims.extend([
        limits(course),
        held_up(course, options),
        unaffected(course),
        goes_on(course, Phase::Throttled, "one read model is throttled"),
        goes_on(
            course,
            Phase::ReadModelStopped,
            "the read models' PostgreSQL is stopped",
        ),
        stream_is_full(course, options),
        refused(course),
        refused_through_http(course),
        answered(course),
        nothing_lost(course),
        refused_is_refused(course),
        conserved(course),
        verified(course),
    ]);
    claims
}

/// What a program had at the end of the base line: the mean of its last quarter, in MiB.
pub(crate) fn memory_at_rest(course: &Course, program: usize) -> f64 {
    let all: Vec<f64> = course
        .during(Phase::Baseline)
        .map(|sample| mebibytes(sample, program))
        .collect();
    let last = &all[all.len() * 3 / 4..];
    last.iter().sum::<f64>() / last.len().max(1) as f64
}

/// What a program had at the most in a phase, in MiB.
pub(crate) fn memory_max(course: &Course, phase: Phase, program: usize) -> f64 {
    let all = course.during(phase);
    all.map(|sample| mebibytes(sample, program))
        .fold(0.0, f64::max)
}

fn mebibytes(sample: &Sample, program: usize) -> f64 {
    sample.memory_kib[program] as f64 / 1024.0
}

/// How many a second of what is counted, in a phase.
pub(crate) fn per_second(course: &Course, phase: Phase, count: impl Fn(&Sample) -> u64) -> f64 {
    let mut samples = course.during(phase);
    let (Some(first), Some(last)) = (samples.next(), samples.next_back()) else {
        return 0.0;
    };
    (count(last) - count(first)) as f64 / (last.at - first.at)
}

/// The greatest of something in a phase.
pub(crate) fn greatest(course: &Course, phase: Phase, of: impl Fn(&Sample) -> f64) -> f64 {
    course.during(phase).map(of).fold(0.0, f64::max)
}

fn memory(course: &Course, program: usize) -> impl Iterator<Item = Claim> {
    let at_rest = memory_at_rest(course, program);
    GROWTH_MAX_MIB.into_iter().map(move |(when, phases, growth_max)| {
        let worst = phases
            .map(|phase| (memory_max(course, phase, program), phase))
            .into_iter()
            .max_by(|one, other| one.0.total_cmp(&other.0));
        let (most, phase) = worst.unwrap_or((0.0, Phase::Baseline));
        claim(
            at_rest > 0.0 && most > 0.0 && most - at_rest <= growth_max,
            format!(
                "memory of {} {when}: at most {growth_max:.0} MiB more than at the end of the baseline",
                PROGRAMS[program]
            ),
            format!(
                "{at_rest:.1} MiB, at the most {most:.1} ({:+.1}; {})",
                most - at_rest,
                phase.short_name()
            ),
        )
    })
}

fn limits(course: &Course) -> Claim {
    let seen = &course.seen;
    let mut figure = format!(
        "{} comparisons, {} past the limit",
        seen.compared,
        seen.past_limits.len()
    );
    if let Some(first) = seen.past_limits.first() {
        let _ = write!(figure, ", e.g. {first}");
    }
    claim(
        seen.compared > 0 && seen.past_limits.is_empty(),
        "no queue holds more batches, and no pipeline more records in flight, than its limit",
        figure,
    )
}

fn held_up(course: &Course, options: &Options) -> Claim {
    let lag = greatest(course, Phase::Throttled, |it| it.throttled_lag().seconds);
    let samples = course.during(Phase::Throttled);
    let full = samples.clone().filter(|sample| sample.throttled_is_full);
    let share = full.count() as f64 / samples.count().max(1) as f64;
    let least = options.phase.as_secs_f64() * THROTTLED_LAG_SHARE_MIN;
    claim(
        lag >= least && share > 0.0,
        format!(
            "the throttled read model really falls behind (by {least:.0} s at least), and its queues are full"
        ),
        format!(
            "{lag:.1} s, {:.0} events; a queue full in {:.0} % of the looks; {} in flight at the most",
            greatest(course, Phase::Throttled, |it| it.throttled_lag().events
                as f64),
            share * 100.0,
            greatest(course, Phase::Throttled, |it| it.in_flight[1] as f64),
        ),
    )
}

fn unaffected(course: &Course) -> Claim {
    let of = |phase| greatest(course, phase, |it| it.others_lag().seconds);
    let phases = [
        Phase::Throttled,
        Phase::Unthrottled,
        Phase::EventStoreStopped,
    ];
    let most = phases.map(of).into_iter().fold(0.0, f64::max);
    claim(
        most <= OTHERS_LAG_MAX_S,
        format!(
            "the other read models are unaffected by the throttled one, and by the event store's end: at most \
             {OTHERS_LAG_MAX_S:.0} s behind"
        ),
        format!("{most:.2} s; {:.2} s in the baseline", of(Phase::Baseline)),
    )
}

fn goes_on(course: &Course, phase: Phase, while_what: &str) -> Claim {
    let outcomes = per_second(course, phase, |it| it.outcomes);
    let taken = per_second(course, phase, |it| it.taken);
    claim(
        taken > 0.0 && outcomes >= taken * OUTCOMES_SHARE_MIN,
        format!(
            "intake goes on while {while_what}: outcomes at {:.0} % of the commands published, or more",
            OUTCOMES_SHARE_MIN * 100.0
        ),
        format!("{outcomes:.0} outcomes a second of {taken:.0} commands"),
    )
}

fn stream_is_full(course: &Course, options: &Options) -> Claim {
    let limit = options.commands_waiting_max();
    let all = Phase::ALL.map(|phase| greatest(course, phase, |it| it.waiting as f64));
    let most = all.into_iter().fold(0.0, f64::max);
    let stopped = greatest(course, Phase::EventStoreStopped, |it| it.waiting as f64);
    claim(
        stopped >= limit as f64 && most <= limit as f64,
        format!(
            "the event store stopped, LEDGER_COMMANDS fills up to its limit of {limit}, and no further"
        ),
        format!("{stopped:.0} waited"),
    )
}

fn refused(course: &Course) -> Claim {
    let through_nats = course
        .texts
        .iter()
        .filter(|(text, _)| !text.starts_with("HTTP"));
    let (full, other): (Vec<_>, Vec<_>) = through_nats.partition(|(text, _)| text.contains(FULL));
    let count: u64 = full.iter().map(|(_, count)| *count).sum();
    let mut figure = format!("{count} times");
    for (text, count) in full.iter().take(1).chain(&other) {
        let _ = write!(figure, "; `{text}` ({count})");
    }
    claim(
        count > 0 && other.is_empty(),
        format!("publishers are then refused, with `{FULL}` and with nothing else"),
        figure,
    )
}

fn refused_through_http(course: &Course) -> Claim {
    let is_fine = |text: &str| text.starts_with('2') || text == FULL_THROUGH_HTTP;
    let answers: Vec<String> = course
        .answers
        .iter()
        .filter(|((phase, _), _)| *phase == Phase::EventStoreStopped)
        .map(|((_, text), count)| format!("`{text}` ({count})"))
        .collect();
    let full = (Phase::EventStoreStopped, FULL_THROUGH_HTTP.to_owned());
    let all_fine = course.answers.keys().all(|(_, text)| is_fine(text));
    claim(
        all_fine && course.answers.contains_key(&full),
        format!("through HTTP they get `{FULL_THROUGH_HTTP}` then, and 2xx in all other cases"),
        format!("event store stopped: {}", answers.join(", ")),
    )
}

fn answered(course: &Course) -> Claim {
    let lost = &course.lost;
    claim(
        lost.unknown == 0,
        "every publisher is told what has become of its command",
        format!(
            "{} taken, {} refused, {} without an answer (of these {} were taken)",
            lost.taken, lost.refused, lost.unknown, lost.unknown_with_outcome
        ),
    )
}

fn nothing_lost(course: &Course) -> Claim {
    let lost = &course.lost;
    claim(
        lost.taken > ACCOUNTS && lost.without_outcome == 0 && lost.twice == 0,
        "every command that the stream has taken has exactly one outcome in the event store",
        format!(
            "{} commands, {} without, {} twice; {} outcomes in all",
            lost.taken, lost.without_outcome, lost.twice, lost.outcomes
        ),
    )
}

fn refused_is_refused(course: &Course) -> Claim {
    let lost = &course.lost;
    claim(
        lost.refused_with_outcome == 0 && lost.strangers == 0,
        "no command that was refused has one, and none that nobody has sent",
        format!(
            "{} refused, {} of them with an outcome; {} unknown ones",
            lost.refused, lost.refused_with_outcome, lost.strangers
        ),
    )
}

fn conserved(course: &Course) -> Claim {
    let lost = &course.lost;
    claim(
        lost.rejected == 0 && lost.units_found == lost.units_expected.to_string(),
        "the balances add up to what was deposited (`conservation`), and nothing was rejected",
        format!(
            "{} USD, expected {}; {} rejected",
            lost.units_found, lost.units_expected, lost.rejected
        ),
    )
}

fn verified(course: &Course) -> Claim {
    let lost = &course.lost;
    let code = lost
        .verify_code
        .map_or("none".to_owned(), |code| code.to_string());
    claim(
        lost.verify_code == Some(0),
        "`chronicle verify` finds nothing",
        format!("exit code {code} {}", lost.verify_text)
            .trim()
            .to_owned(),
    )
}
