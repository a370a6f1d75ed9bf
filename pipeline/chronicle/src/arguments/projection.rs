//! The subcommands of `chronicle projection`.

use std::num::NonZeroU32;

use clap::{Args, Subcommand};

use super::Tuning;

/// `chronicle projection`
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectionTask {
    /// List them with their offsets
    List,
    /// Build a read model anew beside the live one, compare it with the event store, and swap
    Rebuild(Box<RebuildArguments>),
    /// Go back to the read model from before the last swap; done twice, all is as before
    Rollback {
        /// The projection, e.g. account_balance
        name: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Remove the read model from before the last swap
    Prune {
        /// The projection, e.g. account_balance
        name: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Show a number for the rows of a read model: equal rows, equal digests
    Digest(DigestArguments),
    /// Let a projection rest, now and after each restart, until it is resumed
    Pause {
        /// The projection, e.g. account_balance
        name: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Let a projection go on that was paused
    Resume {
        /// The projection, e.g. account_balance
        name: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Say what moving an offset would do; with --execute, move it
    Rewind {
        /// The projection, e.g. account_balance
        name: String,
        /// Where the offset is to stand: the next message that is read is the one behind
        #[arg(long, value_name = "N")]
        to_sequence: u64,
        /// Move it forwards: what is passed over comes from the event store
        #[arg(long)]
        forward: bool,
        /// Do it
        #[arg(long)]
        execute: bool,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Show what was ordered: who, when, what and why
    Log {
        /// The projection; all of them, if it is not given
        name: Option<String>,
        /// Show at most so many, the newest
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,
    },
    /// Go on with a feed that was lost and made anew
    AdoptStream {
        /// The projection, e.g. account_balance
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// All of them
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Skip one message of the feed at the next start, with a reason that is recorded
    Skip {
        /// The projection, e.g. account_balance
        name: String,
        /// The message's sequence
        #[arg(long, value_name = "N")]
        sequence: u64,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

/// `chronicle projection rebuild`
#[derive(Debug, Args)]
#[command(after_help = "\
The live read model is untouched until the swap, which is one transaction; readers see the one or the other. A rebuild that \
was interrupted goes on where it was when the command is given again. What was live is kept for `rollback` until `prune`.

  chronicle projection rebuild account_balance --dry-run
  chronicle projection rebuild account_balance --rate 5000
  chronicle projection rebuild --all          # also when the whole database is gone: makes it, with its tables")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct RebuildArguments {
    /// The projection, e.g. account_balance
    #[arg(required_unless_present = "all")]
    pub(crate) name: Option<String>,
    /// All of them, one after the other; makes the database and its tables if they are missing
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
    /// Say what it would do, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Apply at most so many events a second; more than arrive, or it never catches up
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<NonZeroU32>,
    /// Remove what an earlier swap has kept for a rollback, when swapping
    #[arg(long)]
    pub(crate) prune_older: bool,
    /// Remove a copy that was begun and not finished, instead of building
    #[arg(long, conflicts_with_all = ["dry_run", "rate", "prune_older"])]
    pub(crate) discard: bool,
    /// Why
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) tuning: Box<Tuning>,
}

/// `chronicle projection digest`
#[derive(Debug, Args)]
pub(crate) struct DigestArguments {
    /// The projection, e.g. account_balance
    pub(crate) name: String,
    /// Of the copy that is being built
    #[arg(long, conflicts_with = "retired")]
    pub(crate) shadow: bool,
    /// Of the read model from before the last swap
    #[arg(long)]
    pub(crate) retired: bool,
}
