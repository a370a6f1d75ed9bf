//! The flags of `chronicle replay`.

use std::num::NonZeroU32;

use clap::{Args, Subcommand};
use ledger::{AccountId, CommandId, EventData, Timestamp, Version};

/// `chronicle replay`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:

  chronicle replay --into stdout | head
  chronicle replay --from-time 2026-01-31T00:00:00Z --account ALICE --into alice.ndjson
  chronicle replay --into events.ndjson --resume
  chronicle replay --from-sequence 1000 --rate 500/s --into subject replay.events
  chronicle replay --into projection transactions --dry-run
  chronicle replay --from-event-store --into projection transactions
  chronicle replay commands --into commands

A replay that is interrupted says which command goes on with it. It moves no offset and publishes nothing under the live \
subjects.

Exit codes: 0 done; 1 not all of it (the feed no longer has it, interrupted, or a projection lacks what comes before); 2 the \
call was wrong; 3 a server failed."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct ReplayArguments {
    #[command(subcommand)]
    pub(crate) task: Option<ReplayTask>,
    /// Begin at this sequence of the feed; without a beginning, at the first that the feed has ever had
    #[arg(long, value_name = "N", conflicts_with = "from_time", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from_sequence: Option<u64>,
    /// Begin with what the feed stored at this instant (the event store recorded), or later
    #[arg(long, value_name = "TIMESTAMP")]
    pub(crate) from_time: Option<Timestamp>,
    /// End with this sequence; without an end, with what is the last one now
    #[arg(long, value_name = "M", conflicts_with = "to_time", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) to_sequence: Option<u64>,
    /// End with what the feed stored at this instant (the event store recorded), or before
    #[arg(long, value_name = "TIMESTAMP")]
    pub(crate) to_time: Option<Timestamp>,
    /// Only this account's
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<AccountId>,
    /// Only events of this type, e.g. MoneyDeposited; may be repeated
    #[arg(long = "type", value_name = "TYPE", value_parser = event_type)]
    pub(crate) types: Vec<String>,
    /// At most so many events a second
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub(crate) rate: Option<NonZeroU32>,
    /// Where to: `stdout`, the name of a file, `subject NAME` or `projection NAME`
    #[arg(long, value_name = "TARGET", num_args = 1..=2, required = true)]
    pub(crate) into: Vec<String>,
    /// Go on behind the last complete line of a file that is there
    #[arg(long)]
    pub(crate) resume: bool,
    /// Go on with a replay into a subject: what its messages are marked with
    #[arg(long, value_name = "ID", value_parser = replay_id)]
    pub(crate) replay_id: Option<String>,
    /// Why; kept in the log of the projection that lacked something
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Leave out what the feed no longer has
    #[arg(long, conflicts_with = "from_event_store")]
    pub(crate) skip_missing: bool,
    /// Read the event store, which has everything, by account and version; times are those of recording
    #[arg(long, conflicts_with_all = ["from_sequence", "to_sequence"])]
    pub(crate) from_event_store: bool,
    /// Go on behind this event of the event store
    #[arg(long, value_name = "ACCOUNT:VERSION", value_parser = event_place, requires = "from_event_store")]
    pub(crate) after: Option<(AccountId, Version)>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What else can be replayed.
#[derive(Debug, Subcommand)]
pub(crate) enum ReplayTask {
    /// Write all commands that have an outcome, or publish them again, which changes nothing
    Commands(ReplayCommands),
}

/// `chronicle replay commands`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:

  chronicle replay commands --into commands.ndjson
  chronicle send --file commands.ndjson
  chronicle replay commands --from-time 2026-01-31T00:00:00Z --into commands

The same id and the same body get the outcome that they have had, accepted or rejected: nothing changes.

Exit codes: 0 done; 1 not all of it, or an outcome is another one than before; 2 the call was wrong; 3 a server failed.")]
pub(crate) struct ReplayCommands {
    /// Begin with those that were decided at this instant, or later
    #[arg(long, value_name = "TIMESTAMP")]
    pub(crate) from_time: Option<Timestamp>,
    /// End with those that were decided at this instant, or before; now, if it is not given
    #[arg(long, value_name = "TIMESTAMP")]
    pub(crate) to_time: Option<Timestamp>,
    /// Only those that were sent to this account
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<AccountId>,
    /// At most so many commands a second
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub(crate) rate: Option<NonZeroU32>,
    /// Where to: `stdout`, the name of a file, or `commands` to publish them again
    #[arg(long, value_name = "TARGET")]
    pub(crate) into: String,
    /// Go on behind the last complete line of a file that is there
    #[arg(long)]
    pub(crate) resume: bool,
    /// Go on behind this command
    #[arg(long, value_name = "ID", conflicts_with = "resume")]
    pub(crate) after: Option<CommandId>,
    /// How many commands may wait for their outcome at a time
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) in_flight: u32,
    /// How long to wait for an outcome, in seconds
    #[arg(long, default_value_t = 30, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) wait_seconds: u64,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `500`, or `500/s`.
fn rate(text: &str) -> Result<NonZeroU32, String> {
    text.strip_suffix("/s")
        .unwrap_or(text)
        .parse()
        .map_err(|_| "a rate is a whole number of events in a second, such as 500/s".to_owned())
}

fn event_type(text: &str) -> Result<String, String> {
    if EventData::TYPE_NAMES.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "there is no such type of event; there are {}",
            EventData::TYPE_NAMES.join(", ")
        ))
    }
}

/// Goes into a header and before a colon.
fn replay_id(text: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err("an id has 1 to 64 of A-Z a-z 0-9 _ -".to_owned())
    }
}

fn event_place(text: &str) -> Result<(AccountId, Version), String> {
    let place = text.rsplit_once(':').and_then(|(account_id, version)| {
        Some((
            account_id.parse().ok()?,
            Version::new(version.parse().ok()?),
        ))
    });
    place.ok_or_else(|| "an event is named by account and version, as in ALICE:42".to_owned())
}
