//! `chronicle bench`: how fast the ledger is, next to a bare loop that does the same I/O.
//!
//! ```text
//! stack ─> accounts are opened ─> [run: tickets ─> through_nats | through_http ─> tally]  ─> verify ─> ceiling ─> report
//!                                  watch: account_balance      processes: CPU, memory
//! ```
//!
//! The load is open: a command has a time at which it is to be sent, and its latency counts from then. So a ledger that
//! stands still is charged with all that should have been sent meanwhile. How the figures come about, and what they do not
//! say: docs/performance.md.

mod ceiling;
mod http_client;
mod pipelines;
mod print;
mod processes;
mod progress;
mod projected;
mod random;
mod report;
mod run;
mod stack;
mod tally;
mod through_http;
mod through_nats;
mod tickets;
mod watch;
mod workload;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use benches::machine::Machine;

use self::processes::{Measurement, Program};
use self::progress::Phase;
use self::report::{Ceiling, Figures, Latency, Place, ProcessCost, Report, Settings};
use self::run::Run;
use self::stack::{LEDGER, Stack};
use self::tickets::{Clock, Tickets};
use self::watch::{Shown, Watch};
use self::workload::Workload;
use crate::arguments::{BenchArguments, Through, WorkloadName};
use crate::commands::verify;
use crate::exit;
use crate::output::{self, Format};
use crate::run::stop_signal;
use crate::servers_at::ServerArguments;

/// The name that the bench has among the processes.
const ITSELF: &str = "bench";
/// How many accounts may wait to be opened at a time.
const OPENED_AT_A_TIME: usize = 8_192;
/// How often to look for commands in the projection; the second one at rates that leave room for it.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const LOOK_EVERY_AT_LEISURE: Duration = Duration::from_millis(1);
const LEISURELY_RATE_MAX: u32 = 1_000;
/// How many connections a load through HTTP may have.
const CONNECTIONS_MAX: u32 = 10_000;
const VERIFY_WAITS_FOR: Duration = Duration::from_mins(1);

pub(crate) async fn execute(
    servers: &ServerArguments,
    arguments: &BenchArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let stop = stop_signal();
    tokio::select! {
        measured = measure(servers, arguments, output) => measured,
        // What was started is dropped with the other branch, and ends with it.
        () = stop.cancelled() => Err(exit::no("stopped before it was measured")),
    }
}

async fn measure(
    servers: &ServerArguments,
    arguments: &BenchArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let in_flight_max = in_flight_max(arguments)?;
    let machine = Machine::look();
    let stack = Stack::start(servers, arguments).await?;
    let versions = stack.versions().await?;
    let workload = Arc::new(Workload::new(arguments, stack.run)?);
    let figures = tokio::select! {
        figures = figures(&stack, &workload, arguments, in_flight_max) => figures?,
        failed = stack.failed() => return Err(failed),
    };
    let all = if arguments.one_read_model {
        let _phase = Phase::begin("the other read models catch up", None);
        let all = stack.run_all().await?;
        projected::wait(&stack.nats, &stack.read_model, Clock::start()).await?;
        all
    } else {
        None
    };
    let checked = {
        let _phase = Phase::begin("verifying", None);
        let (store, pool) = (&stack.event_store, &stack.read_model);
        verify::check(&stack.nats, store, pool, VERIFY_WAITS_FOR).await?
    };
    if let Some(all) = all {
        all.stop().await;
    }
    let ceiling = ceiling(&stack, &workload, arguments).await?;
    let report = Report::new(
        Settings::of(arguments, in_flight_max),
        figures,
        ceiling,
        Place::of(machine, versions, stack.own.is_some()),
        checked.document()?,
    );
    match output {
        Format::Json => output::json(&report)?,
        Format::Table => {
            print::print(&report)?;
            checked.print(Format::Table)?;
        }
    }
    let is_well = checked.is_ok() && report.figures.without_outcome == 0;
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::NO)
    })
}

/// How many commands may wait for their outcome.
fn in_flight_max(arguments: &BenchArguments) -> anyhow::Result<u32> {
    let usual = arguments.through.in_flight_usual(arguments.rate.is_some());
    let wanted = arguments.in_flight.unwrap_or(usual);
    if arguments.through == Through::Http && wanted > CONNECTIONS_MAX {
        return Err(exit::usage(format!(
            "--in-flight {wanted} through HTTP would take as many connections; give {CONNECTIONS_MAX} or less"
        )));
    }
    Ok(wanted)
}

/// Opens the accounts and runs the load.
async fn figures(
    stack: &Stack,
    workload: &Arc<Workload>,
    arguments: &BenchArguments,
    in_flight_max: u32,
) -> anyhow::Result<Figures> {
    open_accounts(stack, workload).await?;
    let mut programs = stack.programs();
    programs.push(Program::itself(ITSELF));
    let look_every = match arguments.rate {
        Some(rate) if rate <= LEISURELY_RATE_MAX => LOOK_EVERY_AT_LEISURE,
        _ => LOOK_EVERY,
    };
    let measurement = Measurement::begin(programs);
    let clock = Clock::start();
    let tickets = match arguments.rate {
        Some(rate) => Tickets::paced(clock, rate, arguments.seconds)?,
        None => Tickets::free(clock, Duration::from_secs(arguments.seconds.into())),
    };
    let pool = stack.read_model.clone();
    let watch = Watch::start(pool, Arc::clone(workload), clock, look_every);
    let of_workload = Arc::clone(workload);
    let run = Run::new(
        clock,
        Box::new(move |number| of_workload.command(number)),
        tickets,
        usize::try_from(in_flight_max)?,
        Some(watch),
    );
    let phase = Phase::begin(
        &format!("measuring {}", arguments.workload.as_str()),
        Some(&run),
    );
    let without_outcome = send(stack, arguments.through, in_flight_max, &run).await?;
    let projected = projected::wait(&stack.nats, &stack.read_model, clock).await?;
    let shown = match &run.watch {
        Some(watch) => watch.finish().await?,
        None => Shown::default(),
    };
    let costs = measurement.end();
    drop(phase);

    let tally = run.tally();
    let commands = run.sent();
    let rate = |until_us: u64| commands as f64 / (until_us.max(1) as f64 / 1e6);
    Ok(Figures {
        commands,
        accepted: tally.accepted,
        refused: tally.refused(),
        refusals: tally.refusals.clone(),
        without_outcome,
        answers_looked_up: tally.looked_up,
        elapsed_seconds: projected.balances_at as f64 / 1e6,
        commands_per_second: rate(projected.balances_at),
        outcomes_per_second: rate(tally.last_at),
        all_projected_per_second: rate(projected.all_at),
        outcome_ms: Latency::from(&tally.latencies),
        projection_ms: Latency::from(&shown.latencies),
        projection_looked_every_ms: shown.looked_every.as_secs_f64() * 1e3,
        peak_rss_mb: costs
            .iter()
            .find(|cost| cost.name == LEDGER)
            .map(|cost| cost.peak_rss_mb),
        processes: costs
            .iter()
            .map(|cost| ProcessCost::of(cost, commands))
            .collect(),
    })
}

/// Opens the accounts, with money in them, and waits until the projections have them.
async fn open_accounts(stack: &Stack, workload: &Arc<Workload>) -> anyhow::Result<()> {
    let clock = Clock::start();
    let of_workload = Arc::clone(workload);
    let run = Run::new(
        clock,
        Box::new(move |number| of_workload.opening(number)),
        Tickets::counted(clock, workload.accounts()),
        OPENED_AT_A_TIME,
        None,
    );
    let _phase = Phase::begin("opening accounts", Some(&run));
    let without_outcome = through_nats::send(&stack.nats, &stack.event_store, &run).await?;
    let (accepted, refusals) = {
        let tally = run.tally();
        (tally.accepted, tally.refusals.clone())
    };
    anyhow::ensure!(
        accepted == workload.accounts(),
        "of {} accounts {accepted} could be opened, {without_outcome} have no outcome; refused: {refusals:?}",
        workload.accounts()
    );
    projected::wait(&stack.nats, &stack.read_model, clock).await?;
    Ok(())
}

async fn send(
    stack: &Stack,
    through: Through,
    in_flight_max: u32,
    run: &Arc<Run>,
) -> anyhow::Result<u64> {
    match through {
        Through::Nats => through_nats::send(&stack.nats, &stack.event_store, run).await,
        Through::Http => {
            let address = stack
                .http
                .as_ref()
                .context("the HTTP API of this ledger is not known")?;
            let connections = usize::try_from(in_flight_max)?;
            through_http::send(address, connections, &stack.event_store, run).await
        }
    }
}

/// The bare loop, for as long as the run, on servers that have nothing else to do any more.
async fn ceiling(
    stack: &Stack,
    workload: &Arc<Workload>,
    arguments: &BenchArguments,
) -> anyhow::Result<Option<Ceiling>> {
    if arguments.no_ceiling {
        return Ok(None);
    }
    if arguments.workload == WorkloadName::Batch {
        output::say("no ceiling: the bare loop knows no commands with more than two events");
        return Ok(None);
    }
    let Some(own) = &stack.own else {
        output::say(
            "no ceiling: it needs databases of its own, and a ledger that stands still; leave the URLs out to have it",
        );
        return Ok(None);
    };
    let _phase = Phase::begin("measuring the ceiling", None);
    let samples = ceiling::samples(stack, workload).await?;
    own.pipelines.stop().await;
    let publish_for = Duration::from_secs(arguments.seconds.into());
    // Whatever the load's own bound is: the ceiling is what goes at most.
    let in_flight_max = usize::try_from(Through::Nats.in_flight_usual(false))?;
    let measured = ceiling::run(own, samples, workload, publish_for, in_flight_max).await?;
    Ok(Some(Ceiling::from(&measured)))
}
