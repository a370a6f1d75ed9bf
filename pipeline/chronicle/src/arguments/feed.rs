//! The tasks of `chronicle feed`.

use std::num::NonZeroU32;

use clap::{Args, Subcommand};
use ledger::Timestamp;
use transport::restoring::Changes;

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
A restoration that was interrupted goes on where it was when the command is given again. A feed that has no room for \
everything is not begun with.

  chronicle feed restore --replace --dry-run
  chronicle feed restore --replace
  chronicle feed restore                     # goes on with one that was interrupted
  chronicle feed restore --abandon           # opens the feed without its past, so that intake goes on")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
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
    /// Give up a restoration that was begun: what it has published is removed, and the feed is opened empty
    #[arg(long, conflicts_with_all = ["replace", "since", "rate", "feed_mib_max", "stream_replicas"])]
    pub(crate) abandon: bool,
    /// How many bytes of events the feed keeps, in MiB; without it, as many as the old one
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) feed_mib_max: Option<u32>,
    /// How many servers hold the feed; without it, as many as the old one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5))]
    pub(crate) stream_replicas: Option<u32>,
    /// Leave the projections as they are: they have to be told later, with `chronicle projection adopt-stream --all`
    #[arg(long)]
    pub(crate) no_adopt: bool,
    /// Why; kept with what is told to the projections
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

impl RestoreArguments {
    /// In what the feed is not to be as the old one was.
    pub(crate) fn changes(&self) -> Changes {
        const MEBIBYTE: i64 = 1024 * 1024;
        let as_usize = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Changes {
            bytes_max: self.feed_mib_max.map(|max| i64::from(max) * MEBIBYTE),
            replicas: self.stream_replicas.map(as_usize),
        }
    }
}
