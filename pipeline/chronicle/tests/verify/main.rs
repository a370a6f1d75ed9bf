//! `chronicle verify` against real servers: a clean ledger is clean, and each thing that is broken on purpose is reported
//! by the right invariants, with the offender named.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod batches;
mod book;
mod chain;
mod clean;
mod damaged;
mod dates;
mod deep;
mod eventful;
mod intake;
mod lagging;
mod outcomes;
mod read_models;
mod repair;
mod report;
mod rewritten;
mod rights;
mod streams;
#[path = "../support/mod.rs"]
mod support;
