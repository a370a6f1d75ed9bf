//! `chronicle export`: the whole book for other programs, now and at any instant.
//!
//! Whether those programs take it, and find the same balances, is tested in `tools`, which `.ci/export` runs.
#![allow(clippy::unwrap_used, reason = "these are tests")]

#[path = "../cli_support/mod.rs"]
mod cli_support;

mod book;
mod formats;
mod instants;
mod targets;
mod texts;
mod tools;
