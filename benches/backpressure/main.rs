//! Backpressure: what becomes of the ledger when commands come far faster than its slowest stage can take them.
//!
//! Starts a NATS, two PostgreSQLs (event store and read models) and two `chronicle run` of its own: one with intake and
//! all read models but one, and one with the read model `transactions` alone, whose connections go through a proxy that
//! can be throttled. Then it holds each stage up in turn under load, looks at everything four times a second, lets go,
//! and counts what became of every command.
//!
//! `cargo bench --workspace --bench backpressure -- --seconds-per-phase 60 --out benches/results` takes some six minutes;
//! with `--quick` it is a rehearsal of less than one. The exit code is 1 if anything that is claimed does not hold.
//! How it is measured, and what is claimed: docs/performance.md.

// Results go to stdout, to be kept.
#![allow(clippy::print_stdout)]

mod chart;
mod claims;
mod commands;
mod course;
mod http;
mod load;
mod lost;
mod memory;
mod metrics;
mod options;
mod phase;
mod probe;
mod process;
mod report;
mod sample;
mod sampler;
mod stack;
mod verdicts;

use std::process::ExitCode;

use anyhow::Context;
use benches::machine::Machine;

use self::options::Options;
use self::report::Report;
use self::stack::Stack;

fn main() -> anyhow::Result<ExitCode> {
    // `cargo test --all-targets` runs it, too, without this.
    let Some(options) = Options::read(std::env::args().skip(1))? else {
        println!("this takes minutes: run it with `cargo bench --workspace --bench backpressure`");
        return Ok(ExitCode::SUCCESS);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(&options))
}

async fn measure(options: &Options) -> anyhow::Result<ExitCode> {
    let machine = Machine::look();
    let stack = Stack::start(options).await?;
    let course = course::run(&stack, options).await?;
    let claims = claims::of(&course, options);
    let report = Report {
        machine: &machine,
        options,
        programs: &stack.programs().await?,
        course: &course,
        claims: &claims,
    };
    let page = report.page();
    println!("{page}");
    if let Some(folder) = &options.out {
        std::fs::create_dir_all(folder)?;
        let file = folder.join("backpressure.md");
        std::fs::write(&file, &page)
            .with_context(|| format!("{} cannot be written", file.display()))?;
        chart::draw(&course, &folder.join("backpressure.svg"))?;
    }
    let holds = claims.iter().all(|claim| claim.holds);
    if !holds {
        for process in [&stack.main, &stack.throttled] {
            eprintln!("\n{} has logged at last:\n{}", process.name, process.tail());
        }
    }
    stack.stop().await?;
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
