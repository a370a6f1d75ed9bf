//! The `chronicle` binary: the ledger's pipelines, the stack to develop on, and the tools around them.
//!
//! Data goes to stdout, talk to stderr. Exit codes: see [`exit`].

// Output goes through `output`: data to stdout, talk to stderr.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod commands;
mod comparison;
mod exit;
mod health;
mod http;
mod links;
mod metrics;
mod output;
mod rebuild;
mod run;
mod servers_at;
mod standing;
mod submission;
mod topology;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, Task};

/// Commands and events are many small values that one thread makes and another drops, which is what glibc's allocator is
/// slow at: see docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(&arguments);
    if let Err(error) = ledger::declare(arguments.currencies.iter().copied()) {
        return exit::failure(&exit::usage(error.to_string()));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return exit::failure(&error.into()),
    };
    let result = runtime.block_on(commands::execute(arguments));
    // A blocking read of a terminal must not hold the process up.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    match result {
        Ok(code) => code,
        Err(error) => exit::failure(&error),
    }
}

/// The log goes to stderr; `RUST_LOG` says how much. Without it, `run` and `dev` tell what they do; the other subcommands
/// are tools, which say themselves what matters, and end their connections without regret.
fn start_log(arguments: &Arguments) {
    let usual = match arguments.task {
        Task::Dev(_) | Task::Run(_) => "info,sqlx=warn,async_nats=warn",
        _ => "warn,transport=error",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if arguments.log_json {
        builder.json().init();
    } else {
        builder.with_target(false).compact().init();
    }
}
