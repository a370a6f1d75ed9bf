//! The result of a run, for programs; [`print`](super::print) has it for people.

use std::collections::BTreeMap;

use benches::ceiling::Measured;
use benches::machine::Machine;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::processes::Cost;
use super::stack::Versions;
use crate::arguments::BenchArguments;

/// A latency, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
    /// How many commands that is of.
    pub(super) samples: u64,
}

impl From<&Histogram<u64>> for Latency {
    fn from(histogram: &Histogram<u64>) -> Self {
        let ms = |microseconds: u64| microseconds as f64 / 1_000.0;
        let at = |quantile| ms(histogram.value_at_quantile(quantile));
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(histogram.max()),
            samples: histogram.len(),
        }
    }
}

/// What one program has cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ProcessCost {
    pub(super) name: &'static str,
    pub(super) cpu_seconds: f64,
    pub(super) cpu_seconds_per_command: f64,
    pub(super) peak_rss_mb: f64,
}

impl ProcessCost {
    pub(super) fn of(cost: &Cost, commands: u64) -> Self {
        Self {
            name: cost.name,
            cpu_seconds: cost.cpu_seconds,
            cpu_seconds_per_command: per(cost.cpu_seconds, commands),
            peak_rss_mb: cost.peak_rss_mb,
        }
    }
}

fn per(amount: f64, commands: u64) -> f64 {
    if commands == 0 {
        0.0
    } else {
        amount / commands as f64
    }
}

/// What the bare loop has done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Ceiling {
    pub(super) commands: u64,
    pub(super) events: u64,
    /// In how many append statements.
    pub(super) appends: u64,
    pub(super) elapsed_seconds: f64,
    pub(super) commands_per_second: f64,
}

impl From<&Measured> for Ceiling {
    fn from(measured: &Measured) -> Self {
        Self {
            commands: measured.commands,
            events: measured.events,
            appends: measured.appends,
            elapsed_seconds: measured.elapsed.as_secs_f64(),
            commands_per_second: measured.commands_per_second(),
        }
    }
}

/// What took part.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Place {
    pub(super) cores: usize,
    pub(super) processor: String,
    pub(super) memory: String,
    pub(super) kernel: String,
    pub(super) load_before: String,
    pub(super) chronicle: &'static str,
    pub(super) commit: &'static str,
    pub(super) build: &'static str,
    pub(super) compiler: &'static str,
    pub(super) nats_server: String,
    pub(super) event_store: String,
    pub(super) read_model: String,
    /// Whether the ledger was the bench's own, and all of it on this machine.
    pub(super) own_stack: bool,
}

impl Place {
    pub(super) fn of(machine: Machine, versions: Versions, own_stack: bool) -> Self {
        Self {
            cores: machine.cores,
            processor: machine.processor,
            memory: machine.memory,
            kernel: machine.kernel,
            load_before: machine.load_before,
            chronicle: env!("CARGO_PKG_VERSION"),
            commit: env!("BUILD_COMMIT"),
            build: env!("BUILD_PROFILE"),
            compiler: env!("BUILD_COMPILER"),
            nats_server: versions.nats_server,
            event_store: versions.event_store,
            read_model: versions.read_model,
            own_stack,
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Settings {
    pub(super) workload: &'static str,
    pub(super) through: &'static str,
    /// Commands a second; absent when it was as fast as it goes.
    pub(super) rate: Option<u32>,
    pub(super) seconds: u32,
    pub(super) seed: u64,
    pub(super) accounts: u32,
    pub(super) in_flight_max: u32,
    /// `account_balance` ran alone.
    pub(super) one_read_model: bool,
}

impl Settings {
    pub(super) fn of(arguments: &BenchArguments, in_flight_max: u32) -> Self {
        Self {
            workload: arguments.workload.as_str(),
            through: arguments.through.as_str(),
            rate: arguments.rate,
            seconds: arguments.seconds,
            seed: arguments.seed,
            accounts: arguments.accounts,
            in_flight_max,
            one_read_model: arguments.one_read_model,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figures {
    /// How many were sent.
    pub(super) commands: u64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    /// The refused ones, by code.
    pub(super) refusals: BTreeMap<String, u64>,
    /// How many have no outcome; there should be none.
    pub(super) without_outcome: u64,
    /// How many answers were lost on the way, so that the event store was asked.
    pub(super) answers_looked_up: u64,
    /// From the beginning until the last one showed in `account_balance`.
    pub(super) elapsed_seconds: f64,
    /// By that time.
    pub(super) commands_per_second: f64,
    /// By the time until the last outcome.
    pub(super) outcomes_per_second: f64,
    /// By the time until every read model had all of it.
    pub(super) all_projected_per_second: f64,
    pub(super) outcome_ms: Latency,
    pub(super) projection_ms: Latency,
    /// How often it was looked whether commands show, on average: by about so much the latencies are too long at most.
    pub(super) projection_looked_every_ms: f64,
    pub(super) processes: Vec<ProcessCost>,
    /// The highest of the ledger's own process; absent when that is not known.
    pub(super) peak_rss_mb: Option<f64>,
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) settings: Settings,
    #[serde(flatten)]
    pub(super) figures: Figures,
    pub(super) ceiling: Option<Ceiling>,
    pub(super) ceiling_per_second: Option<f64>,
    /// `commands_per_second` by `ceiling_per_second`.
    pub(super) share_of_ceiling: Option<f64>,
    pub(super) place: Place,
    /// The document of `chronicle verify`.
    pub(super) verify: serde_json::Value,
}

impl Report {
    pub(super) fn new(
        settings: Settings,
        figures: Figures,
        ceiling: Option<Ceiling>,
        place: Place,
        verify: serde_json::Value,
    ) -> Self {
        let ceiling_per_second = ceiling.map(|it| it.commands_per_second);
        let share = ceiling_per_second.filter(|it| *it > 0.0);
        Self {
            share_of_ceiling: share.map(|ceiling| figures.commands_per_second / ceiling),
            settings,
            figures,
            ceiling,
            ceiling_per_second,
            place,
            verify,
        }
    }
}
