//! Starts nats-server and PostgreSQL in a folder, prints where they are, and stops them when standard input ends.
//!
//! `cargo run -p servers --example serve -- FOLDER`
#![allow(
    clippy::print_stdout,
    reason = "a program that tells where its servers are"
)]

use std::path::PathBuf;

use servers::{NatsServer, Postgres, nats, postgres};

#[tokio::main]
async fn main() -> Result<(), servers::Error> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::DEBUG)
        .init();
    let folder = PathBuf::from(
        std::env::args()
            .nth(1)
            .unwrap_or_else(|| ".chronicle".to_owned()),
    );
    let nats = NatsServer::start(nats::Options::new(folder.join("nats"))).await?;
    println!("{} {}", nats.url(), nats.pid());
    let postgres = Postgres::start(postgres::Options::new(folder.join("postgres"))).await?;
    postgres.create_database("example").await?;
    println!("{} {}", postgres.database_url("example"), postgres.pid());
    tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop))
        .await
        .ok();
    postgres.stop().await;
    nats.stop().await;
    Ok(())
}
