//! `chronicle replay commands`: what was asked of the ledger, once more.
//!
//! A settled command leaves its stream, but its body and its outcome stay in the event store for ever. They are read from
//! there in the order in which they were decided, and by id within a microsecond (in which no two are about one account).
//! Whoever publishes one again gets the outcome that it has had, so this is harmless however often it is done.

mod publish;
mod stored;

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;

use ledger::codec::json;
use ledger::{CommandId, Timestamp};
use serde::Serialize;
use store::{CommandPlace, CommandRange, EventStore};

use self::stored::StoredCommands;
use super::go_on::CommandLine;
use super::pace::Pace;
use super::progress::Progress;
use super::target::lines::{Out, Tail};
use crate::arguments::ReplayCommands;
use crate::commands::{as_of, reach};
use crate::exit;
use crate::output::{self, Closed, Format};
use crate::servers_at::ServerArguments;

/// Where commands go.
enum Destination<'a> {
    Stdout,
    File(&'a Path),
    /// The live subjects.
    Commands,
}

impl<'a> Destination<'a> {
    fn read(into: &'a str) -> Self {
        match into {
            "stdout" | "-" => Self::Stdout,
            "commands" => Self::Commands,
            path => Self::File(Path::new(path)),
        }
    }
}

/// What was done, or would be.
#[derive(Debug, Default, Serialize)]
struct Report {
    into: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_time: Option<Timestamp>,
    to_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<CommandId>,
    /// How many there are at most, of a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    commands_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<u64>,
    /// What came back of those that were published: the same outcomes as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<u64>,
    /// Answers that were others than the stored outcomes: always 0, or the event store was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

/// How far it has come.
#[derive(Debug, Default)]
struct Counts {
    replayed: u64,
    accepted: u64,
    rejected: u64,
    changed: u64,
    /// The last one up to which everything is done.
    done: Option<CommandId>,
}

pub(super) async fn execute(
    servers: &ServerArguments,
    arguments: &ReplayCommands,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let destination = Destination::read(&arguments.into);
    let tail = match destination {
        Destination::File(path) => Tail::of(path, arguments.resume)?,
        _ if arguments.resume => return Err(exit::usage("--resume is for files")),
        _ => Tail::default(),
    };
    let failed = |error| reach::event_store_failed(servers, &error);
    let store = servers.event_store()?;
    let now = store.now().await.map_err(failed)?;
    let through = arguments.to_time.unwrap_or(now);
    as_of::check_past("--to-time", through, now)?;
    let range = CommandRange {
        from: arguments
            .from_time
            .unwrap_or(Timestamp::from_unix_microseconds(0)),
        through,
        account_id: arguments.account.clone(),
    };
    let after = match &tail.line {
        Some(line) => Some(command_of(line, &arguments.into)?),
        None => arguments.after,
    };
    let behind = match after {
        Some(command_id) => Some(place(servers, &store, command_id).await?),
        None => None,
    };
    let mut report = Report {
        into: arguments.into.clone(),
        from_time: arguments.from_time,
        to_time: Some(through),
        after,
        ..Report::default()
    };
    // What lies behind the place to go on from is counted from its instant on.
    let counted = CommandRange {
        from: behind.map_or(range.from, |place| place.recorded_at),
        ..range.clone()
    };
    let total = store.command_count(&counted).await.map_err(failed)?;
    if arguments.dry_run {
        report.commands_max = Some(total);
        return print(&report, output, &destination).map(|()| ExitCode::SUCCESS);
    }
    let commands = StoredCommands::new(servers, store.clone(), range, behind);
    let is_shared = matches!(destination, Destination::Stdout) && io::stdout().is_terminal();
    let mut progress = Progress::new(Some(total), "commands", is_shared);
    let mut counts = Counts::default();
    let all = match destination {
        Destination::Commands => {
            publish::publish(
                servers,
                arguments,
                store,
                commands,
                &mut progress,
                &mut counts,
            )
            .await
        }
        Destination::Stdout => {
            let out = Out::open(None, arguments.rate.is_some())?;
            write(out, arguments, commands, &mut progress, &mut counts).await
        }
        Destination::File(path) => {
            let out = Out::open(Some((path, &tail)), arguments.rate.is_some())?;
            write(out, arguments, commands, &mut progress, &mut counts).await
        }
    };
    report.seconds = Some((progress.end().as_secs_f64() * 1_000.0).round() / 1_000.0);
    match all {
        Ok(true) => {}
        Ok(false) => {
            return Err(ended_early(
                arguments,
                through,
                &counts,
                exit::no("interrupted"),
            ));
        }
        Err(error) => return Err(ended_early(arguments, through, &counts, error)),
    }
    report.replayed = Some(counts.replayed);
    if matches!(destination, Destination::Commands) {
        report.accepted = Some(counts.accepted);
        report.rejected = Some(counts.rejected);
        report.changed = Some(counts.changed);
    }
    print(&report, output, &destination)?;
    Ok(if counts.changed > 0 {
        ExitCode::from(exit::NO)
    } else {
        ExitCode::SUCCESS
    })
}

/// The command on the last line of a file.
fn command_of(line: &[u8], name: &str) -> anyhow::Result<CommandId> {
    let command = json::decode_command(line).map_err(|malformed| {
        exit::usage(format!(
            "the last line of {name} is no command, so nothing can go on behind it; give another file ({malformed})"
        ))
    })?;
    Ok(command.command_id)
}

/// Where a command stands among all.
async fn place(
    servers: &ServerArguments,
    store: &EventStore,
    command_id: CommandId,
) -> anyhow::Result<CommandPlace> {
    let found = store.outcomes(&[command_id]).await;
    let found = found.map_err(|error| reach::event_store_failed(servers, &error))?;
    let stored = found.first().ok_or_else(|| {
        exit::no(format!(
            "the event store has no command {command_id} to go on behind"
        ))
    })?;
    Ok(CommandPlace {
        recorded_at: stored.recorded_at,
        command_id,
    })
}

/// Writes them, one a line. Says whether that was all.
async fn write(
    mut out: Out,
    arguments: &ReplayCommands,
    mut commands: StoredCommands<'_>,
    progress: &mut Progress,
    counts: &mut Counts,
) -> anyhow::Result<bool> {
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut pace = Pace::new(arguments.rate);
    let mut ended = false;
    while !ended {
        let next = async {
            let next = commands.next().await?;
            pace.wait().await;
            anyhow::Ok(next)
        };
        let next = tokio::select! {
            biased;
            interrupted = &mut interrupted => {
                interrupted?;
                break;
            }
            next = next => next,
        };
        match next {
            Ok(Some(stored)) => {
                out.line(&json::encode_command(&stored.command))?;
                counts.replayed += 1;
                counts.done = Some(stored.command.command_id);
            }
            Ok(None) => ended = true,
            Err(error) => {
                out.finish()?;
                return Err(error);
            }
        }
        progress.show(counts.replayed, counts.replayed);
    }
    out.finish()?;
    Ok(ended)
}

/// Says how to go on.
fn ended_early(
    arguments: &ReplayCommands,
    through: Timestamp,
    counts: &Counts,
    error: anyhow::Error,
) -> anyhow::Error {
    let Some(done) = counts.done.filter(|_| !error.is::<Closed>()) else {
        return error;
    };
    let is_file = matches!(Destination::read(&arguments.into), Destination::File(_));
    let mut line = CommandLine::new("chronicle replay commands");
    line.flag("from-time", arguments.from_time);
    line.flag("to-time", Some(through));
    line.flag("account", arguments.account.as_ref());
    line.flag("rate", arguments.rate.map(|rate| format!("{rate}/s")));
    if is_file {
        line.switch("resume", true);
    } else {
        line.flag("after", Some(done));
    }
    line.flag("into", Some(&arguments.into));
    output::say(format!(
        "replayed up to command {done}, included. What goes on: {}",
        line.into_text()
    ));
    error
}

fn print(report: &Report, output: Format, destination: &Destination<'_>) -> anyhow::Result<()> {
    let is_data = matches!(destination, Destination::Stdout) && report.replayed.is_some();
    match (output, is_data) {
        (Format::Json, true) => output::say(serde_json::to_string(report)?),
        (Format::Json, false) => output::json(report)?,
        (Format::Table, true) => output::say(told(report)),
        (Format::Table, false) => output::line(told(report))?,
    }
    Ok(())
}

/// For people.
fn told(report: &Report) -> String {
    let into = match report.into.as_str() {
        "commands" => "the live subjects of commands",
        name => name,
    };
    let Some(replayed) = report.replayed else {
        return format!(
            "at most {} commands would be replayed into {into}; nothing was done",
            report.commands_max.unwrap_or_default()
        );
    };
    let mut text = format!(
        "replayed {replayed} commands into {into} in {:.1} s",
        report.seconds.unwrap_or_default()
    );
    if let (Some(accepted), Some(rejected), Some(changed)) =
        (report.accepted, report.rejected, report.changed)
    {
        let _ = write!(
            text,
            ": {accepted} were accepted and {rejected} rejected, as before"
        );
        if changed > 0 {
            let _ = write!(
                text,
                "; {changed} got another answer than the stored outcome: run `chronicle verify`"
            );
        }
    }
    text
}
