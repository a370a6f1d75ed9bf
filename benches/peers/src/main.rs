//! `peers`: how fast others do the same kind of work on this machine, for a comparison in one run.
//!
//! ```text
//! for each row: new PostgreSQL ─> accounts ─> [drive: tasks, one command after the other] ─> check the books ─> row
//!               and, with --chronicle, `chronicle bench`                                            ─> row
//! ```
//!
//! What is compared and what is not: README.md beside this.

mod chronicle;
mod cqrs_es;
mod database;
mod drive;
// The ledger's own description of a machine; it needs nothing but the standard library.
#[path = "../../src/machine.rs"]
#[allow(unreachable_pub)] // public in the library that it belongs to
mod machine;
mod plain;
mod print;
mod random;
mod report;
mod runs;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use self::chronicle::Chronicle;
use self::database::Databases;
use self::report::{Place, Report};

/// Measures how fast cqrs-es with postgres-es, and plain PostgreSQL, do what a ledger does, on this machine.
///
/// Without --database-url it starts a PostgreSQL of its own for each row (fsync on), and takes it away again.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// How long each row is measured
    #[arg(long, default_value_t = 20, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// The same seed makes the same commands
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// A PostgreSQL to measure on instead, whose role may make a schema
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The data of the servers lie below it: on the disk that is to be measured
    #[arg(long, default_value = ".chronicle", value_name = "DIR")]
    data_dir: PathBuf,
    /// Measure this `chronicle`, too, afterwards
    #[arg(long, value_name = "PATH")]
    chronicle: Option<PathBuf>,
    /// Write the result as a page into this file, too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// The form of the result on stdout
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let databases = Databases::new(arguments.database_url.as_deref(), &arguments.data_dir)?;
    let measured = tokio::select! {
        measured = measure(arguments, &databases) => measured,
        // What was started is dropped with the other branch, and ends with it.
        stopped = stop_signal() => {
            stopped.and(Err(anyhow::anyhow!("stopped before it was measured")))
        }
    };
    let cleaned = databases.clean().await;
    let report = measured?;
    cleaned?;
    if let Some(path) = &arguments.markdown {
        std::fs::write(path, print::markdown(&report))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    match arguments.output {
        Format::Text => print!("{}", print::text(&report)),
        Format::Json => println!("{}", serde_json::to_string(&report)?),
    }
    Ok(())
}

async fn measure(arguments: &Arguments, databases: &Databases) -> anyhow::Result<Report> {
    let described = databases.fresh().await?.describe().await?;
    let own_database = arguments.database_url.is_none();
    let mut place = Place::look(described, own_database);
    let mut rows = runs::measure(databases, arguments.seconds, arguments.seed).await?;
    if let Some(program) = &arguments.chronicle {
        let chronicle = Chronicle {
            program: program.clone(),
            data_dir: arguments.data_dir.clone(),
            seconds: arguments.seconds,
            seed: arguments.seed,
            accounts: runs::MANY_ACCOUNTS,
        };
        let (more, described) = chronicle.measure().await?;
        rows.extend(more);
        place.chronicle = Some(described);
    }
    Ok(Report {
        seconds: arguments.seconds,
        seed: arguments.seed,
        place,
        rows,
    })
}

/// Ctrl-C, or SIGTERM.
async fn stop_signal() -> anyhow::Result<()> {
    let mut terminated =
        signal(SignalKind::terminate()).context("SIGTERM cannot be listened to")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        _ = terminated.recv() => Ok(()),
    }
}
