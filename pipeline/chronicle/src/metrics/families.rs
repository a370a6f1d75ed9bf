//! Every metric there is: its name, its type, and what it means.
//!
//! Names are `chronicle_<noun>_<unit>`, with `_total` behind those that only rise, and are written in full, to be found.
//! docs/operations.md has the same list with the labels; a test holds one against the other.

use prometheus_client::metrics::MetricType;

/// One metric.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: MetricType,
    pub(super) help: &'static str,
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    let kind = MetricType::Counter;
    Family { name, kind, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    let kind = MetricType::Gauge;
    Family { name, kind, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Family {
    let kind = MetricType::Histogram;
    Family { name, kind, help }
}

pub(super) const BUILD: Family = gauge(
    "chronicle_build_info",
    "Always 1; the label says which version this is.",
);
pub(super) const PROCESS_START: Family = gauge(
    "chronicle_process_start_time_seconds",
    "When the pipelines of this process were started, in seconds since 1970.",
);
pub(super) const PROCESS_MEMORY: Family = gauge(
    "chronicle_process_resident_memory_bytes",
    "Physical memory that this process occupies, in bytes; missing where there is no /proc.",
);
pub(super) const SERVER_UP: Family = gauge(
    "chronicle_server_up",
    "1 when the server answered within 2 seconds when it was last asked (every 5 seconds), else 0.",
);

pub(super) const COMMANDS: Family = counter(
    "chronicle_commands_total",
    "Commands by what became of them: accepted and rejected when that is committed, dead-lettered when the letter is kept, \
     repeated each time that one with an outcome is delivered again.",
);
pub(super) const APPEND_DURATION: Family = histogram(
    "chronicle_append_duration_seconds",
    "How long appends to the event store took that were committed, in seconds: one statement for a whole batch.",
);
pub(super) const CONFLICTING_APPENDS: Family = counter(
    "chronicle_conflicting_appends_total",
    "Appends that met another writer's and changed nothing; their batch was decided anew.",
);
pub(super) const AMBIGUOUS_APPENDS: Family = counter(
    "chronicle_ambiguous_appends_total",
    "Appends of which it was unknown whether they had committed; the outcomes were looked up.",
);
pub(super) const FAILED_APPENDS: Family = counter(
    "chronicle_failed_appends_total",
    "Appends that the event store did not take for any other reason; nothing was changed by them.",
);
pub(super) const REDECIDED_BATCHES: Family = counter(
    "chronicle_redecided_batches_total",
    "How often a batch was decided anew after a conflicting or ambiguous append.",
);

pub(super) const FEED_PUBLISHED: Family = counter(
    "chronicle_feed_published_events_total",
    "Events that the feed has acknowledged, those included that it had already.",
);
pub(super) const FEED_DUPLICATES: Family = counter(
    "chronicle_feed_duplicate_events_total",
    "Events that the feed has acknowledged and dropped, because it had them already.",
);
pub(super) const FEED_REPUBLISHED: Family = counter(
    "chronicle_feed_republished_events_total",
    "Events of commands with an outcome that were handed on to be published again, since that may never have happened.",
);
pub(super) const FEED_FAILURES: Family = counter(
    "chronicle_feed_failed_publishes_total",
    "Publishes that could not be sent or were not acknowledged; each ends a run, and the next run publishes its batch again.",
);

pub(super) const PIPELINE_STATE: Family = gauge(
    "chronicle_pipeline_state",
    "1 for the state that the pipeline is in, 0 for the others.",
);
pub(super) const PIPELINE_RUNS: Family = counter(
    "chronicle_pipeline_runs_total",
    "Runs of the pipeline that have begun.",
);
pub(super) const PIPELINE_FAILED_RUNS: Family = counter(
    "chronicle_pipeline_failed_runs_total",
    "Runs of the pipeline that have failed.",
);
pub(super) const PIPELINE_ATTEMPT: Family = gauge(
    "chronicle_pipeline_attempt_runs",
    "Runs that have failed since the trouble of a pipeline began that is retrying; 0 in every other state.",
);
pub(super) const PIPELINE_SETTLED: Family = counter(
    "chronicle_pipeline_settled_records_total",
    "Records that the pipeline is done with, those skipped or buried included.",
);
pub(super) const PIPELINE_IN_FLIGHT: Family = gauge(
    "chronicle_pipeline_in_flight_records",
    "Records that were taken from the source and are not settled yet.",
);
pub(super) const PIPELINE_BATCH: Family = histogram(
    "chronicle_pipeline_batch_records",
    "How many records the batches had that came from the source.",
);
pub(super) const PIPELINE_LAST_BATCH: Family = gauge(
    "chronicle_pipeline_last_batch_seconds",
    "How long the batch that was settled last took from its gathering to its settlement, in seconds.",
);

pub(super) const NODE_IN: Family = counter(
    "chronicle_node_input_records_total",
    "Records that the node has taken in; a source takes none.",
);
pub(super) const NODE_OUT: Family = counter(
    "chronicle_node_output_records_total",
    "Records that the node has handed on or, for a sink, written.",
);
pub(super) const NODE_SKIPPED: Family = counter(
    "chronicle_node_skipped_records_total",
    "Records that the node had nothing to do for.",
);
pub(super) const NODE_DEAD_LETTERED: Family = counter(
    "chronicle_node_dead_lettered_records_total",
    "Records that the node gave up, and that are dead letters now.",
);
pub(super) const NODE_BATCHES: Family = counter(
    "chronicle_node_batches_total",
    "Batches that the node has finished.",
);
pub(super) const NODE_BUSY: Family = counter(
    "chronicle_node_busy_seconds_total",
    "Time that the node has spent at work, in seconds.",
);
pub(super) const NODE_BLOCKED: Family = counter(
    "chronicle_node_blocked_seconds_total",
    "Time that the node has waited for room in the next node's queue, in seconds: backpressure.",
);
pub(super) const NODE_WORKING: Family = gauge(
    "chronicle_node_working_seconds",
    "How long the node has been at work on its present batch, in seconds; 0 at rest. One that rises and rises hangs.",
);
pub(super) const NODE_QUEUE: Family = gauge(
    "chronicle_node_queue_batches",
    "Batches that wait in front of the node.",
);
pub(super) const NODE_QUEUE_MAX: Family = gauge(
    "chronicle_node_queue_max_batches",
    "Batches that can wait in front of the node.",
);

pub(super) const LAG_UP: Family = gauge(
    "chronicle_projection_lag_up",
    "1 when the lag of the projection was found out when it was last asked for (every 5 seconds); 0 when a server did not \
     answer, or the projection has read another feed: then its lag is missing.",
);
pub(super) const OFFSET: Family = gauge(
    "chronicle_projection_offset_sequence",
    "The last sequence of the feed that the projection has applied.",
);
pub(super) const LAG_EVENTS: Family = gauge(
    "chronicle_projection_lag_events",
    "How many messages of the feed the projection has not applied.",
);
pub(super) const LAG_SECONDS: Family = gauge(
    "chronicle_projection_lag_seconds",
    "How long the oldest message that the projection has not applied has been in the feed, in seconds; 0 when there is none.",
);

pub(super) const STREAM_LAST: Family = gauge(
    "chronicle_stream_last_sequence",
    "The sequence of the last message that the stream has stored; missing when NATS does not answer.",
);
pub(super) const STREAM_MESSAGES: Family =
    gauge("chronicle_stream_messages", "Messages in the stream.");
pub(super) const STREAM_MESSAGES_MAX: Family = gauge(
    "chronicle_stream_max_messages",
    "Messages that the stream can hold; missing when it has no such limit.",
);
pub(super) const STREAM_BYTES: Family =
    gauge("chronicle_stream_bytes", "Size of the stream, in bytes.");
pub(super) const STREAM_BYTES_MAX: Family = gauge(
    "chronicle_stream_max_bytes",
    "Size that the stream can have, in bytes; missing when it has no such limit.",
);

pub(super) const COMPARISON_EVENTS: Family = counter(
    "chronicle_comparison_events_total",
    "Events that were compared in the background, everywhere, with the event store, by whichever process; missing when the \
     read model does not answer.",
);
pub(super) const COMPARISON_PASSES: Family = counter(
    "chronicle_comparison_passes_total",
    "How often that comparison has come to the end of everything.",
);
pub(super) const COMPARISON_ENDED: Family = gauge(
    "chronicle_comparison_last_pass_time_seconds",
    "When that was last, in seconds since 1970; missing before.",
);
pub(super) const DIVERGENCES: Family = gauge(
    "chronicle_divergences",
    "What is known to differ from the event store: in a read model, the feed, or the event store itself.",
);
