//! The server programs that the dev stack and all tests run on: nats-server, PostgreSQL, and CockroachDB where it is
//! installed. Finds or fetches them, starts them on loopback, and sees to it that none outlives its starter.
//!
//! ```no_run
//! # async fn example() -> Result<(), servers::Error> {
//! use servers::{NatsServer, Postgres, nats, postgres};
//!
//! let nats = NatsServer::start(nats::Options::new(".chronicle/nats")).await?;
//! let postgres = Postgres::start(postgres::Options { port: 5432, ..postgres::Options::new(".chronicle/postgres") }).await?;
//! postgres.create_database("read_model").await?;
//! println!("{} {}", nats.url(), postgres.database_url("read_model"));
//! postgres.stop().await;
//! nats.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! What it guarantees: a server that is returned has answered; its data survive a restart; when this process ends, by
//! whatever cause, its servers end. What it does not: run anything in production, or listen beyond 127.0.0.1.
//!
//! Tests use [`testing`]; drills make a connection bad with a [`Proxy`]. A program of one's own that needs the same care is a [`Child`].

mod account;
mod child;
pub mod cockroach;
mod error;
mod folder;
mod http;
pub mod locate;
pub mod nats;
mod poll;
mod port;
pub mod postgres;
mod process;
mod process_table;
mod program;
mod proxy;
mod scratch;
mod server;
mod spawn;
mod sql;
mod start;
pub mod testing;
mod wire;

pub use child::Child;
pub use cockroach::Cockroach;
pub use error::Error;
pub use nats::NatsServer;
pub use postgres::Postgres;
pub use program::{Ports, Program};
pub use proxy::{Forwarded, Proxy};
pub use server::Server;
