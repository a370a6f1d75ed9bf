//! What a scrape reads, and in which samples it shows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use engine::{NodeSnapshot, PipelineSnapshot, PipelineStatus, State};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use sinks::FeedSnapshot;
use sinks::divergences::{PLACE_EVENT_STORE, PLACE_FEED};
use sinks::projection;
use store::WriterSnapshot;
use tokio::sync::watch;

use super::exposition::{Distribution, Labels, Page};
use super::observation::{Observed, StreamState};
use super::{Intakes, families, process};

/// All that is measured.
#[derive(Debug)]
pub(super) struct Everything {
    statuses: Arc<Vec<(String, PipelineStatus)>>,
    intakes: Intakes,
    observed: watch::Receiver<Observed>,
    started_at: SystemTime,
}

impl Everything {
    pub(super) fn new(
        statuses: Arc<Vec<(String, PipelineStatus)>>,
        intakes: Intakes,
        observed: watch::Receiver<Observed>,
    ) -> Self {
        Self {
            statuses,
            intakes,
            observed,
            started_at: SystemTime::now(),
        }
    }

    fn intakes(&self, pipelines: &[PipelineSnapshot]) -> Vec<Intake> {
        let intakes = pipelines.iter().filter(|one| is_intake(&one.pipeline));
        intakes
            .map(|pipeline| {
                let counters = self.intakes.of(&pipeline.pipeline);
                Intake {
                    pipeline: pipeline.pipeline.clone(),
                    writer: counters.commands.writer.snapshot(),
                    events_again: counters.commands.events_again(),
                    feed: counters.feed.snapshot(),
                    dead_lettered: dead_lettered(&pipeline.nodes),
                }
            })
            .collect()
    }
}

impl Collector for Everything {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::new(encoder);
        let pipelines: Vec<PipelineSnapshot> = self
            .statuses
            .iter()
            .map(|(_, status)| status.snapshot())
            .collect();
        let intakes = self.intakes(&pipelines);
        let observed = self.observed.borrow().clone();
        own_process(&mut page, self.started_at)?;
        servers(&mut page, &observed)?;
        commands(&mut page, &intakes)?;
        appends(&mut page, &intakes)?;
        feeds(&mut page, &intakes)?;
        states(&mut page, &pipelines)?;
        progress(&mut page, &pipelines)?;
        records(&mut page, &pipelines)?;
        work(&mut page, &pipelines)?;
        lags(&mut page, &observed)?;
        comparison(&mut page, &observed)?;
        streams(&mut page, &observed)
    }
}

/// What one intake pipeline has counted.
struct Intake {
    pipeline: String,
    writer: WriterSnapshot,
    events_again: u64,
    feed: FeedSnapshot,
    dead_lettered: BTreeMap<String, u64>,
}

fn is_intake(pipeline: &str) -> bool {
    pipeline == "intake" || pipeline.starts_with("intake.")
}

/// The dead letters of all nodes by code.
fn dead_lettered(nodes: &[NodeSnapshot]) -> BTreeMap<String, u64> {
    let mut by_code = BTreeMap::new();
    for (code, count) in nodes.iter().flat_map(|node| &node.dead_letter_codes) {
        *by_code.entry(code.clone()).or_default() += count;
    }
    by_code
}

fn own_process(page: &mut Page<'_>, started_at: SystemTime) -> fmt::Result {
    let version = [([("version", env!("CARGO_PKG_VERSION"))], 1_u64)];
    page.gauges(&families::BUILD, version)?;
    let started_at = started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    page.gauges(&families::PROCESS_START, [([], started_at.as_secs_f64())])?;
    let memory = process::resident_memory_bytes();
    page.gauges(&families::PROCESS_MEMORY, memory.map(|bytes| ([], bytes)))
}

fn servers(page: &mut Page<'_>, observed: &Observed) -> fmt::Result {
    let servers = observed.servers.iter();
    let samples = servers.map(|(name, up)| ([("server", *name)], u64::from(*up)));
    page.gauges(&families::SERVER_UP, samples)
}

fn commands(page: &mut Page<'_>, intakes: &[Intake]) -> fmt::Result {
    let samples = intakes.iter().flat_map(|intake| {
        let labels = |outcome, code| -> Labels<'_, 3> {
            [
                ("pipeline", intake.pipeline.as_str()),
                ("outcome", outcome),
                ("code", code),
            ]
        };
        let mut samples = vec![
            (labels("accepted", ""), intake.writer.accepted),
            (labels("repeated", ""), intake.writer.repeated),
        ];
        let rejected = intake.writer.rejected.iter();
        samples.extend(rejected.map(|(code, count)| (labels("rejected", code.as_str()), *count)));
        let dead_lettered = intake.dead_lettered.iter();
        samples.extend(dead_lettered.map(|(code, count)| (labels("dead_lettered", code), *count)));
        samples
    });
    page.counters(&families::COMMANDS, samples)
}

fn appends(page: &mut Page<'_>, intakes: &[Intake]) -> fmt::Result {
    let durations = intakes.iter().map(|intake| {
        let buckets = intake.writer.durations.iter();
        let distribution = Distribution {
            buckets: buckets
                .map(|(bound_us, count)| (bound_us.map_or(f64::INFINITY, seconds), *count))
                .collect(),
            sum: seconds(intake.writer.duration_us),
        };
        ([("pipeline", intake.pipeline.as_str())], distribution)
    });
    page.histograms(&families::APPEND_DURATION, durations)?;
    let of_writer = |read: fn(&WriterSnapshot) -> u64| {
        let read = move |intake: &Intake| read(&intake.writer);
        by_intake(intakes, read)
    };
    page.counters(
        &families::CONFLICTING_APPENDS,
        of_writer(|writer| writer.conflicts),
    )?;
    page.counters(
        &families::AMBIGUOUS_APPENDS,
        of_writer(|writer| writer.ambiguous),
    )?;
    page.counters(
        &families::FAILED_APPENDS,
        of_writer(|writer| writer.failures),
    )?;
    page.counters(
        &families::REDECIDED_BATCHES,
        of_writer(|writer| writer.decided_anew),
    )
}

fn feeds(page: &mut Page<'_>, intakes: &[Intake]) -> fmt::Result {
    let published = by_intake(intakes, |intake| intake.feed.acknowledged);
    page.counters(&families::FEED_PUBLISHED, published)?;
    let duplicates = by_intake(intakes, |intake| intake.feed.duplicates);
    page.counters(&families::FEED_DUPLICATES, duplicates)?;
    let again = by_intake(intakes, |intake| intake.events_again);
    page.counters(&families::FEED_REPUBLISHED, again)?;
    let failures = by_intake(intakes, |intake| intake.feed.failures);
    page.counters(&families::FEED_FAILURES, failures)
}

fn by_intake(
    intakes: &[Intake],
    read: impl Fn(&Intake) -> u64,
) -> impl Iterator<Item = (Labels<'_, 1>, u64)> {
    let samples = intakes.iter();
    samples.map(move |intake| ([("pipeline", intake.pipeline.as_str())], read(intake)))
}

fn states(page: &mut Page<'_>, pipelines: &[PipelineSnapshot]) -> fmt::Result {
    const STATES: [&str; 6] = [
        "starting", "running", "retrying", "paused", "stopped", "drained",
    ];
    let samples = pipelines.iter().flat_map(|pipeline| {
        let present = state_name(&pipeline.state);
        STATES.map(|state| {
            let labels = [("pipeline", pipeline.pipeline.as_str()), ("state", state)];
            (labels, u64::from(state == present))
        })
    });
    page.gauges(&families::PIPELINE_STATE, samples)?;
    let runs = by_pipeline(pipelines, |pipeline| pipeline.runs);
    page.counters(&families::PIPELINE_RUNS, runs)?;
    let failed = by_pipeline(pipelines, |pipeline| pipeline.failed_runs);
    page.counters(&families::PIPELINE_FAILED_RUNS, failed)?;
    let attempt = by_pipeline(pipelines, |pipeline| match pipeline.state {
        State::Retrying { attempt, .. } => u64::from(attempt),
        _ => 0,
    });
    page.gauges(&families::PIPELINE_ATTEMPT, attempt)
}

fn state_name(state: &State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Running => "running",
        State::Retrying { .. } => "retrying",
        State::Paused { .. } => "paused",
        State::Stopped { .. } => "stopped",
        State::Drained => "drained",
    }
}

fn progress(page: &mut Page<'_>, pipelines: &[PipelineSnapshot]) -> fmt::Result {
    let settled = by_pipeline(pipelines, |pipeline| pipeline.progress.settled_records);
    page.counters(&families::PIPELINE_SETTLED, settled)?;
    let in_flight = by_pipeline(pipelines, |pipeline| pipeline.in_flight_records);
    page.gauges(&families::PIPELINE_IN_FLIGHT, in_flight)?;
    let batches = by_pipeline(pipelines, |pipeline| {
        let sizes = pipeline.batch_sizes.counts.iter();
        Distribution {
            buckets: sizes
                .map(|(bound, count)| (bound.map_or(f64::INFINITY, |bound| bound as f64), *count))
                .collect(),
            sum: pipeline.batch_sizes.records as f64,
        }
    });
    page.histograms(&families::PIPELINE_BATCH, batches)?;
    let last = by_pipeline(pipelines, |pipeline| seconds(pipeline.progress.batch_us));
    page.gauges(&families::PIPELINE_LAST_BATCH, last)
}

fn by_pipeline<V>(
    pipelines: &[PipelineSnapshot],
    read: impl Fn(&PipelineSnapshot) -> V,
) -> impl Iterator<Item = (Labels<'_, 1>, V)> {
    let samples = pipelines.iter();
    samples.map(move |pipeline| ([("pipeline", pipeline.pipeline.as_str())], read(pipeline)))
}

fn records(page: &mut Page<'_>, pipelines: &[PipelineSnapshot]) -> fmt::Result {
    let taken = by_node(pipelines, |node| Some(node.records_in));
    page.counters(&families::NODE_IN, taken)?;
    let handed_on = by_node(pipelines, |node| Some(node.records_out));
    page.counters(&families::NODE_OUT, handed_on)?;
    let skipped = nodes(pipelines).flat_map(|([pipeline, name], node)| {
        let reasons = node.skipped.iter();
        reasons.map(move |(reason, count)| ([pipeline, name, ("reason", reason.as_str())], *count))
    });
    page.counters(&families::NODE_SKIPPED, skipped)?;
    let dead_lettered = by_node(pipelines, |node| Some(node.dead_lettered));
    page.counters(&families::NODE_DEAD_LETTERED, dead_lettered)?;
    let batches = by_node(pipelines, |node| Some(node.batches));
    page.counters(&families::NODE_BATCHES, batches)
}

fn work(page: &mut Page<'_>, pipelines: &[PipelineSnapshot]) -> fmt::Result {
    let busy = by_node(pipelines, |node| Some(seconds(node.busy_us)));
    page.counters(&families::NODE_BUSY, busy)?;
    let blocked = by_node(pipelines, |node| Some(seconds(node.blocked_us)));
    page.counters(&families::NODE_BLOCKED, blocked)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    let working = by_node(pipelines, |node| {
        let since_ms = node.busy_since_unix_ms.unwrap_or(now_ms);
        Some(seconds(
            now_ms.saturating_sub(since_ms).saturating_mul(1_000),
        ))
    });
    page.gauges(&families::NODE_WORKING, working)?;
    let has_queue = |node: &NodeSnapshot| node.queue_batches_max > 0;
    let waiting = by_node(pipelines, |node| {
        has_queue(node).then_some(node.queue_batches)
    });
    page.gauges(&families::NODE_QUEUE, waiting)?;
    let places = by_node(pipelines, |node| {
        has_queue(node).then_some(node.queue_batches_max)
    });
    page.gauges(&families::NODE_QUEUE_MAX, places)
}

/// All nodes, with their labels.
fn nodes(pipelines: &[PipelineSnapshot]) -> impl Iterator<Item = (Labels<'_, 2>, &NodeSnapshot)> {
    pipelines.iter().flat_map(|pipeline| {
        let nodes = pipeline.nodes.iter();
        nodes.map(|node| {
            let labels = [
                ("pipeline", pipeline.pipeline.as_str()),
                ("node", node.name.as_str()),
            ];
            (labels, node)
        })
    })
}

/// A value of each node that has it.
fn by_node<V>(
    pipelines: &[PipelineSnapshot],
    read: impl Fn(&NodeSnapshot) -> Option<V>,
) -> impl Iterator<Item = (Labels<'_, 2>, V)> {
    nodes(pipelines).filter_map(move |(labels, node)| Some((labels, read(node)?)))
}

fn lags(page: &mut Page<'_>, observed: &Observed) -> fmt::Result {
    let projections = || {
        let projections = observed.projections.iter();
        projections.map(|one| ([("projection", one.name.as_str())], one))
    };
    let lags = || projections().filter_map(|(labels, one)| Some((labels, one.lag?)));
    let is_known = projections().map(|(labels, one)| (labels, u64::from(one.lag.is_some())));
    page.gauges(&families::LAG_UP, is_known)?;
    let offsets = projections().filter_map(|(labels, one)| Some((labels, one.offset?)));
    page.gauges(&families::OFFSET, offsets)?;
    page.gauges(
        &families::LAG_EVENTS,
        lags().map(|(labels, lag)| (labels, lag.events)),
    )?;
    page.gauges(
        &families::LAG_SECONDS,
        lags().map(|(labels, lag)| (labels, lag.age.as_secs_f64())),
    )
}

fn comparison(page: &mut Page<'_>, observed: &Observed) -> fmt::Result {
    let course = || observed.course.iter();
    page.counters(
        &families::COMPARISON_EVENTS,
        course().map(|course| ([], course.events)),
    )?;
    page.counters(
        &families::COMPARISON_PASSES,
        course().map(|course| ([], course.passes)),
    )?;
    let ended = course().filter_map(|course| course.pass_ended_at);
    page.gauges(
        &families::COMPARISON_ENDED,
        ended.map(|at| ([], at.unix_timestamp_nanos() as f64 / 1e9)),
    )?;
    let present = course().flat_map(|course| {
        places().map(|place| {
            let known = course.present.iter().find(|(known, _)| known == place);
            ([("place", place)], known.map_or(0, |(_, count)| *count))
        })
    });
    page.gauges(&families::DIVERGENCES, present)
}

fn streams(page: &mut Page<'_>, observed: &Observed) -> fmt::Result {
    let by_stream = |read: fn(&StreamState) -> Option<u64>| {
        let streams = observed.streams.iter();
        streams.filter_map(move |stream| Some(([("stream", stream.name)], read(stream)?)))
    };
    page.gauges(
        &families::STREAM_LAST,
        by_stream(|stream| Some(stream.last_sequence)),
    )?;
    page.gauges(
        &families::STREAM_MESSAGES,
        by_stream(|stream| Some(stream.messages)),
    )?;
    page.gauges(
        &families::STREAM_MESSAGES_MAX,
        by_stream(|stream| stream.messages_max),
    )?;
    page.gauges(
        &families::STREAM_BYTES,
        by_stream(|stream| Some(stream.bytes)),
    )?;
    page.gauges(
        &families::STREAM_BYTES_MAX,
        by_stream(|stream| stream.bytes_max),
    )
}

/// Everything that is compared with the event store, and it with itself.
fn places() -> impl Iterator<Item = &'static str> {
    let others = [PLACE_EVENT_STORE, PLACE_FEED];
    others.into_iter().chain(projection::NAMES)
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}
