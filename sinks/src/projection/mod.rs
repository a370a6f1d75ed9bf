//! Projections: read models that hold the effect of each event exactly once.
//!
//! A projection is one file in this folder: its name, its tables, and how a run of events changes them. Offset, fence,
//! order guard and catching up are the same for all of them and live in [`ProjectionSink`].
//!
//! Money goes to the database as text and becomes NUMERIC there: a decimal that is sent in binary loses its zeros, and
//! whoever reads the table would find `0` for `0.00`.

mod account_balance;
mod guard;
mod holds;
mod offset;
mod replay;
mod sink;
mod transactions;
mod transfers;

use std::future::Future;

use ledger::Event;
use sqlx::PgConnection;

pub use account_balance::AccountBalance;
pub use holds::Holds;
pub use offset::{Adopted, Skip, Standing, adopt_stream, skip, standings};
pub use replay::{Ahead, ReplayError, Replayed, replay};
pub use sink::ProjectionSink;
pub use transactions::Transactions;
pub use transfers::Transfers;

/// One read model.
pub trait Projection: Send + Sync + 'static {
    /// Its name, as in `projection.<name>`.
    const NAME: &'static str;

    /// Changes the rows by these events, within the transaction that also moves the offset. The events of each account
    /// come in order and without a hole, each exactly once.
    fn apply(
        &self,
        transaction: &mut PgConnection,
        events: &[Event],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// The names of all projections.
pub const NAMES: [&str; 4] = [
    AccountBalance::NAME,
    Transactions::NAME,
    Transfers::NAME,
    Holds::NAME,
];
