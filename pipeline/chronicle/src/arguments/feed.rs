//! The tasks of `chronicle feed`.

use std::num::NonZeroU32;

use clap::{Args, Subcommand};
use ledger::Timestamp;

use super::Tuning;

/// What can be done for the feed.
#[derive(Debug, Subcommand)]
pub(crate) enum FeedTask {
    /// Make the feed anew from the event store: lost, cut off, or begun in the middle
    Restore(Box<RestoreArguments>),
}

/// `chronicle feed restore`
#[derive(Debug, Args)]
#[command(after_help = "\
The events of each account come in the order of their versions, each with the header Chronicle-Restored, and what is recorded \
meanwhile comes behind them: intake waits until the feed is whole. Projections go on with the new feed and apply nothing twice. \
A restoration that was interrupted goes on where it was when the command is given again.

  chronicle feed restore --replace --dry-run
  chronicle feed restore --replace
  chronicle feed restore                     # goes on with one that was interrupted")]
pub(crate) struct RestoreArguments {
    /// Remove the feed that is there first, with its consumers
    #[arg(long)]
    pub(crate) replace: bool,
    /// Only what was recorded at this instant or later, where the feed has no room for everything: RFC 3339
    #[arg(long, value_name = "TIMESTAMP")]
    pub(crate) since: Option<Timestamp>,
    /// Say what it would do, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Publish at most so many events a second
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<NonZeroU32>,
    /// Leave the projections as they are: they have to be told later, with `chronicle projection adopt-stream --all`
    #[arg(long)]
    pub(crate) no_adopt: bool,
    /// Why; kept with what is told to the projections
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) tuning: Box<Tuning>,
}
