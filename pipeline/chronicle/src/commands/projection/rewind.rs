//! `chronicle projection rewind`: says what moving an offset would do, and does it when it is told to.

use std::process::ExitCode;

use serde::Serialize;
use sinks::projection::orders::{self, Done, Rewind};

use super::{feed, known, never_ran, order};
use crate::commands::reach;
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;
use crate::standing::{Feed, standings};

/// What is wanted.
pub(super) struct Wish<'a> {
    pub(super) to: u64,
    pub(super) forward: bool,
    pub(super) execute: bool,
    pub(super) reason: Option<&'a str>,
}

/// What would be done, or was.
#[derive(Debug, Serialize)]
struct Plan {
    projection: &'static str,
    from: u64,
    to: u64,
    /// The last sequence of the feed.
    head: u64,
    /// The first sequence that the feed still has.
    first: u64,
    /// Messages that will be read again, of those that the feed still has.
    read_again: u64,
    /// Messages that will be passed over.
    passed_over: u64,
    /// Messages behind the new offset that the feed does not have any more.
    gone: u64,
    /// Whether it was done.
    executed: bool,
}

impl Plan {
    fn of(projection: &'static str, from: u64, to: u64, feed: &Feed) -> Self {
        let lost = feed.first.saturating_sub(1);
        Self {
            projection,
            from,
            to,
            head: feed.head,
            first: feed.first,
            read_again: from.saturating_sub(to.max(lost)),
            passed_over: to.saturating_sub(from),
            gone: lost.saturating_sub(to),
            executed: false,
        }
    }

    fn words(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{}: the offset stands at {} and is to stand at {}; the feed has {} to {}",
            self.projection, self.from, self.to, self.first, self.head
        )];
        if self.read_again > 0 {
            lines.push(format!(
                "{} messages are read again; what they have in them is applied already, and is skipped by its version: no row \
                 changes",
                self.read_again
            ));
        }
        if self.passed_over > 0 {
            lines.push(format!(
                "{} messages are passed over; what they have in them is missing until the comparison with the event store \
                 brings it, within a minute or two of idleness",
                self.passed_over
            ));
        }
        if self.gone > 0 {
            lines.push(format!(
                "{} messages behind the new offset are not in the feed any more: the projection compares all accounts with the \
                 event store first",
                self.gone
            ));
        }
        lines
    }
}

pub(super) async fn execute(
    servers: &ServerArguments,
    name: &str,
    wish: &Wish<'_>,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let projection = known(name)?;
    let read_model = servers.read_model()?;
    let standings = standings(&read_model)
        .await
        .map_err(|error| reach::read_model_failed(servers, &error))?;
    let standing = standings
        .into_iter()
        .find(|standing| standing.projection == projection);
    let standing = standing.ok_or_else(|| never_ran(name))?;
    let from = standing.offset.ok_or_else(|| never_ran(name))?;
    let feed = feed(servers)
        .await?
        .ok_or_else(|| exit::no("there is no feed, so there is nothing to read again"))?;
    if standing.has_read_another(&feed) {
        return Err(exit::no(format!(
            "{projection} has read another feed than the one that is there now; first: chronicle projection adopt-stream \
             {projection}"
        )));
    }
    let mut plan = Plan::of(projection, from, wish.to, &feed);
    check(&plan, wish)?;
    if wish.execute {
        let by = reach::operator();
        let move_it = Rewind {
            stream_id: &feed.identity,
            from,
            to: wish.to,
        };
        let order = order(&by, wish.reason);
        let done = orders::rewind(&read_model, projection, &move_it, &order)
            .await
            .map_err(|error| reach::read_model_failed(servers, &error))?;
        if done != Done::Changed {
            return Err(exit::no(format!(
                "the offset of {projection} has moved since it was looked at ({from}), and was left alone: pause the projection \
                 first, or try again"
            )));
        }
        plan.executed = true;
    }
    print(&plan, output)
}

/// What is never done by accident.
fn check(plan: &Plan, wish: &Wish<'_>) -> anyhow::Result<()> {
    let (from, to) = (plan.from, plan.to);
    if to == from {
        return Err(exit::no(format!(
            "the offset of {} stands at {from} already",
            plan.projection
        )));
    }
    if to > plan.head {
        return Err(exit::usage(format!(
            "the feed ends at sequence {}, so no offset can stand at {to}",
            plan.head
        )));
    }
    if to > from && !wish.forward {
        return Err(exit::usage(format!(
            "{to} lies ahead of the offset, which stands at {from}; to pass over what is in between: --forward"
        )));
    }
    if to < from && wish.forward {
        return Err(exit::usage(format!(
            "{to} lies behind the offset, which stands at {from}, and --forward was given"
        )));
    }
    Ok(())
}

fn print(plan: &Plan, output: Format) -> anyhow::Result<ExitCode> {
    match output {
        Format::Json => output::json(plan)?,
        Format::Table => {
            for line in plan.words() {
                output::line(line)?;
            }
            output::line(if plan.executed {
                "done: a copy that runs goes on from there by itself"
            } else {
                "nothing was changed; to do it, say --execute"
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
