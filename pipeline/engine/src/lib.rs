//! The stream-processing engine: sources, operators and sinks, and how they run.
//!
//! Owns batching, bounded queues, settlement, dead-letter routing, supervision, shutdown and the description of a
//! topology. Knows nothing of NATS, SQL or money.

mod batching;
mod component;
mod counters;
mod description;
mod failure;
pub mod fault;
mod flow;
mod message;
mod operate;
mod pause;
mod queue;
mod run;
mod stage;
mod status;
mod supervise;
pub mod testing;
mod topology;

pub use batching::Batching;
pub use component::{
    Cause, DeadLetter, DeadLetters, NothingToSettle, Opened, Operator, Resume, Settler, Sink,
    Source, Step,
};
pub use counters::{BatchSizes, NodeSnapshot};
pub use description::{Description, Edge, Format, Kind, Node, render};
pub use failure::{Failure, RetryClass};
pub use message::{Batch, Delivery, Message};
pub use run::Finished;
pub use status::{LastFailure, PipelineSnapshot, PipelineStatus, Progress, State};
pub use supervise::supervise;
pub use topology::{DRAIN_WITHIN, Ending, Named, Stage, Topology};
