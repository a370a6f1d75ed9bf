//! What a replay has done, or would do.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use ledger::{AccountId, Timestamp};
use serde::Serialize;

use super::event::Counts;
use super::plan::{Plan, Source};
use super::target::projection::Lacking;
use super::target::{Destination, Target};
use crate::arguments::ReplayArguments;
use crate::exit;
use crate::output::{self, Format};

/// Where events come from, and where they go.
#[derive(Serialize)]
pub(super) struct Route<'a> {
    /// `feed` or `event_store`.
    from: &'static str,
    /// Of the feed.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_sequence: Option<u64>,
    /// Of the event store.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a AccountId>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    types: &'a [String],
    into: String,
    /// Of a subject: the stream that takes it, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_id: Option<String>,
}

impl<'a> Route<'a> {
    /// Of this replay.
    pub(super) fn of(
        arguments: &'a ReplayArguments,
        plan: &Plan,
        destination: &Destination,
        target: Option<&Target>,
    ) -> Self {
        let mut route = Self {
            from: "feed",
            from_sequence: None,
            to_sequence: None,
            from_time: None,
            to_time: None,
            after: None,
            account: arguments.account.as_ref(),
            types: &arguments.types,
            into: told(destination),
            stream: None,
            replay_id: None,
        };
        match &plan.source {
            Source::Feed { from, through, .. } => {
                route.from_sequence = Some(*from);
                route.to_sequence = Some(*through);
            }
            Source::EventStore { after, through, .. } => {
                route.from = "event_store";
                route.from_time = arguments.from_time;
                route.to_time = Some(*through);
                let place =
                    |(account_id, version): &(AccountId, _)| format!("{account_id}:{version}");
                route.after = after.as_ref().map(place);
            }
        }
        if let Some(Target::Subject(subject)) = target {
            route.stream.clone_from(&subject.stream);
            route.replay_id = Some(subject.replay_id.clone());
        }
        route
    }

    /// For people.
    pub(super) fn told(&self) -> String {
        let mut text = match (self.from_sequence, self.to_sequence) {
            (Some(from), Some(through)) => format!("the feed, sequences {from} to {through}"),
            _ => "the event store, by account and version".to_owned(),
        };
        if let Some(after) = &self.after {
            let _ = write!(text, ", behind {after}");
        }
        if let Some(from) = self.from_time {
            let _ = write!(text, ", from {from}");
        }
        if let Some(through) = self.to_time {
            let _ = write!(text, ", recorded until {through}");
        }
        if let Some(account) = self.account {
            let _ = write!(text, ", only account {account}");
        }
        if !self.types.is_empty() {
            let _ = write!(text, ", only {}", self.types.join(", "));
        }
        text
    }

    /// Where it goes, for people.
    fn told_into(&self) -> String {
        let mut text = self.into.clone();
        let Some(replay_id) = &self.replay_id else {
            return text;
        };
        let _ = match &self.stream {
            Some(stream) => write!(text, ", kept by the stream {stream}"),
            None => write!(
                text,
                ", which no stream keeps: only whoever listens gets it"
            ),
        };
        let _ = write!(text, ", as replay {replay_id}");
        text
    }
}

fn told(destination: &Destination) -> String {
    match destination {
        Destination::Stdout => "stdout".to_owned(),
        Destination::File(path) => path.display().to_string(),
        Destination::Subject(name) => format!("subject {name}"),
        Destination::Projection(name) => format!("projection {name}"),
    }
}

/// What would be done.
#[derive(Serialize)]
struct Planned<'a> {
    #[serde(flatten)]
    route: Route<'a>,
    /// Null when nobody knows.
    events_max: Option<u64>,
    /// At the rate that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_max: Option<u64>,
}

/// Prints what would be done.
pub(super) fn print_plan(
    arguments: &ReplayArguments,
    plan: &Plan,
    route: Route<'_>,
    output: Format,
) -> anyhow::Result<()> {
    let seconds_max = arguments
        .rate
        .zip(plan.at_most)
        .map(|(rate, count)| count.div_ceil(u64::from(rate.get())));
    if output == Format::Json {
        return output::json(&Planned {
            route,
            events_max: plan.at_most,
            seconds_max,
        });
    }
    output::line(format!("from  {}", route.told()))?;
    output::line(format!("into  {}", route.told_into()))?;
    let count = plan
        .at_most
        .map_or("nobody knows how many".to_owned(), |count| {
            format!("at most {count}")
        });
    let rate = arguments
        .rate
        .zip(seconds_max)
        .map_or_else(String::new, |(rate, seconds)| {
            format!(", at {rate} a second {seconds} s")
        });
    output::line(format!("what  {count} events{rate}"))?;
    output::line("nothing was done")
}

/// What was done.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    #[serde(flatten)]
    route: Route<'a>,
    replayed: u64,
    filtered: u64,
    missing: u64,
    unreadable: u64,
    /// What the stream had already under this replay's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<u64>,
    /// Of a projection.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<u64>,
    /// What comes behind versions that the projection lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
    /// The first accounts that lack some, and which they lack first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lacking: Vec<Lacking>,
    seconds: f64,
}

impl<'a> Report<'a> {
    /// Of a replay that is over.
    pub(super) fn of(route: Route<'a>, target: &Target, counts: Counts, elapsed: Duration) -> Self {
        let mut report = Self {
            route,
            replayed: counts.replayed,
            filtered: counts.filtered,
            missing: counts.missing,
            unreadable: counts.unreadable,
            duplicates: None,
            applied: None,
            skipped: None,
            left_out: None,
            lacking: Vec::new(),
            seconds: (elapsed.as_secs_f64() * 1_000.0).round() / 1_000.0,
        };
        match target {
            Target::Lines(_) => {}
            Target::Subject(subject) => {
                report.duplicates = subject.stream.as_ref().map(|_| subject.duplicates);
            }
            Target::Projection(projection) => {
                report.applied = Some(projection.applied);
                report.skipped = Some(projection.skipped);
                report.left_out = Some(projection.ahead);
                report.lacking.clone_from(&projection.lacking);
            }
        }
        report
    }

    /// 1 when a projection could not take everything.
    pub(super) fn exit_code(&self) -> ExitCode {
        if self.left_out.unwrap_or_default() > 0 {
            ExitCode::from(exit::NO)
        } else {
            ExitCode::SUCCESS
        }
    }

    /// Prints it; on stderr when stdout has the events.
    pub(super) fn print(&self, destination: &Destination, output: Format) -> anyhow::Result<()> {
        match (output, destination) {
            (Format::Json, Destination::Stdout) => output::say(serde_json::to_string(self)?),
            (Format::Json, _) => output::json(self)?,
            (Format::Table, Destination::Stdout) => output::say(self.told()),
            (Format::Table, _) => output::line(self.told())?,
        }
        Ok(())
    }

    fn told(&self) -> String {
        let mut text = format!(
            "replayed {} events into {} in {:.1} s",
            self.replayed,
            self.route.told_into(),
            self.seconds
        );
        let more = [
            (Some(self.filtered), "of other types or times"),
            (Some(self.missing), "missing"),
            (Some(self.unreadable), "that are no events"),
            (self.duplicates, "that the stream had already"),
        ];
        for (count, what) in more {
            if let Some(count) = count.filter(|count| *count > 0) {
                let _ = write!(text, "; {count} {what}");
            }
        }
        if let (Some(applied), Some(skipped)) = (self.applied, self.skipped) {
            let _ = write!(
                text,
                "; {applied} were applied, {skipped} had been applied before"
            );
        }
        if let Some(left_out) = self.left_out.filter(|count| *count > 0) {
            let lacking: Vec<String> = self
                .lacking
                .iter()
                .map(|lacking| format!("{} from version {}", lacking.account_id, lacking.version))
                .collect();
            let _ = write!(
                text,
                "; {left_out} were left out, for they come behind events that are missing there: {}. Replay from before \
                 them, or with --from-event-store",
                lacking.join(", ")
            );
        }
        text
    }
}
