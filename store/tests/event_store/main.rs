//! The event store against a real database: PostgreSQL, or whatever `CHRONICLE_TEST_EVENT_STORE_URL` names.
//!
//! One program, so that all topics share one server. Tests work on accounts that nobody else has, in a database that
//! they share; those that look at everything, or change the tables, have a database of their own.
#![allow(clippy::inconsistent_digit_grouping)] // 100_00 is 100.00 in cents
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

mod accounts;
mod appending;
mod batches;
mod by_date;
mod commands;
mod connecting;
mod cost;
mod damage;
mod faults;
mod heads;
mod history;
mod holds;
mod large_batches;
mod migrating;
mod prepared_plans;
mod races;
mod refused;
mod rejections;
mod repeats;
mod restarts;
mod reversals;
mod rights;
mod snapshots;
mod time_travel;
mod walking;
mod writing;
