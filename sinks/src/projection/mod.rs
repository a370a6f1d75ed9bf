//! Projections: read models that hold the effect of each event exactly once.
//!
//! A projection is one file in this folder: its name, its tables, and how a run of events changes them. Offset, fence,
//! order guard and catching up are the same for all of them and live in [`ProjectionSink`].
//!
//! A read model can be built anew beside the live one ([`shadow`]), by the same code over connections that see the copy
//! alone, and then takes its place ([`swap`]). What operators order is in [`orders`], and recorded in [`audit`].
//!
//! Money goes to the database as text and becomes NUMERIC there: a decimal that is sent in binary loses its zeros, and
//! whoever reads the table would find `0` for `0.00`.

mod account_balance;
pub mod audit;
mod bookkeeping;
mod committing;
mod copies;
mod daily_totals;
pub mod digest;
mod guard;
mod holds;
mod locks;
mod making_up;
pub mod obstacles;
mod offset;
mod opening;
pub mod orders;
mod pace;
pub mod repair;
mod replay;
pub mod retired;
mod rights;
mod schemas;
pub mod shadow;
mod shapes;
mod sink;
mod skips;
mod standing;
pub mod swap;
mod transactions;
mod transfers;
mod walk;

use std::future::Future;

use ledger::Event;
use sqlx::PgConnection;

pub use account_balance::AccountBalance;
pub use copies::Error;
pub use daily_totals::DailyTotals;
pub use guard::{Applied, Guarded, guard};
pub use holds::Holds;
pub use opening::Renew;
pub use orders::{Adopted, adopt_stream};
pub use pace::Pace;
pub use replay::{Ahead, Recording, ReplayError, Replayed, replay};
pub use sink::ProjectionSink;
pub use skips::{Skip, skip};
pub use standing::{Pause, Standing, standings};
pub use transactions::Transactions;
pub use transfers::Transfers;
pub use walk::Page;

/// One read model.
pub trait Projection: Send + Sync + 'static {
    /// Its name, as in `projection.<name>`.
    const NAME: &'static str;
    /// Its own tables.
    const TABLES: &'static [&'static str];
    /// The version of its definition: to be raised when events would make other rows than before. Then the rows that are
    /// there are replaced by new ones, built beside them, when the new program starts.
    const DEFINITION: i32;

    /// Changes the rows by these events, within the transaction that also moves the offset. The events of each account
    /// come in order and without a hole, each exactly once.
    fn apply(
        &self,
        transaction: &mut PgConnection,
        events: &[&Event],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// What a projection is, without its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// Its own tables.
    pub tables: &'static [&'static str],
    /// The version of its definition.
    pub version: i32,
}

impl Definition {
    /// Of this projection.
    pub const fn of<P: Projection>() -> Self {
        Self {
            name: P::NAME,
            tables: P::TABLES,
            version: P::DEFINITION,
        }
    }
}

/// All projections, in the order of [`NAMES`].
pub const DEFINITIONS: [Definition; NAMES.len()] = [
    Definition::of::<AccountBalance>(),
    Definition::of::<Transactions>(),
    Definition::of::<Transfers>(),
    Definition::of::<Holds>(),
    Definition::of::<DailyTotals>(),
];

/// The names of all projections.
pub const NAMES: [&str; 5] = [
    AccountBalance::NAME,
    Transactions::NAME,
    Transfers::NAME,
    Holds::NAME,
    DailyTotals::NAME,
];
