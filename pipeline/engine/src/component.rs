//! The three things that a pipeline is made of, and what each must do.
//!
//! | kind | must |
//! |---|---|
//! | [`Source`] | deliver in order of position, from the first unsettled one; forget nothing that is not settled; survive the same settle twice |
//! | [`Operator`] | answer a batch with one [`Step`] per input, in the same order; keep no delivery back |
//! | [`Sink`] | return from `write` only when the batch is durable (or harmless to repeat); survive the same batch twice |
//!
//! All of them are built anew for every run of a pipeline and thrown away with it: after a failure nothing that
//! lived in memory is trusted.

use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::failure::Failure;
use crate::message::{Batch, Delivery, Message};

/// Where a sink stands in its source's log, from the sink's own durable record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// Everything up to and including this position has been applied; 0 = nothing yet.
    pub position: u64,
    /// What stood at that position (e.g. an event id), if known: lets a source notice that its log was rewound and
    /// written anew.
    pub mark: Option<String>,
}

/// Where data enters a pipeline.
pub trait Source: Send + 'static {
    /// What it delivers.
    type Item: Send + 'static;

    /// Starts to deliver: from behind `resume` when the sink keeps the offset, else from the first position that has
    /// not been settled.
    fn open(
        self,
        resume: Option<Resume>,
    ) -> impl Future<Output = Result<Opened<Self::Item>, Failure>> + Send;

    /// What it reads, for people; shown by `describe`.
    fn describe(&self) -> String;
}

/// A source that has been opened.
pub struct Opened<T> {
    /// Deliveries in order of position. Ends only at shutdown; an error ends the run.
    pub deliveries: BoxStream<'static, Result<Delivery<T>, Failure>>,
    /// How to tell the source what is done.
    pub settler: Box<dyn Settler>,
}

/// Tells a source what is done. Only the engine holds one.
pub trait Settler: Send {
    /// Everything up to and including `position` is done and need not be delivered again. Positions never fall.
    fn settle(&mut self, position: u64) -> BoxFuture<'_, Result<(), Failure>>;

    /// Called once after the last settlement of a run that ends in order: time to write down what was only noted. What
    /// this does not achieve costs a repetition, nothing more.
    fn finish(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// For sources whose sink keeps the offset.
pub struct NothingToSettle;

impl Settler for NothingToSettle {
    fn settle(&mut self, _position: u64) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What an operator makes of one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<T> {
    /// It goes on as this.
    Emit(T),
    /// There is nothing to do for it; the reason is counted.
    Skip(&'static str),
    /// It can never be processed. It is written to the pipeline's dead letters before its batch goes on; a pipeline
    /// without dead letters stops here, loudly.
    DeadLetter(Cause),
}

/// Why something is a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// A stable word for programs.
    pub code: &'static str,
    /// A sentence for people: what is wrong with it and what to do.
    pub message: String,
}

/// What happens on the way.
pub trait Operator: Send + 'static {
    /// What it takes.
    type Input: Send + Sync + 'static;
    /// What it makes of it.
    type Output: Send + Sync + 'static;

    /// One step for each input, in the order of the inputs.
    fn apply(
        &mut self,
        batch: Vec<Self::Input>,
    ) -> impl Future<Output = Result<Vec<Step<Self::Output>>, Failure>> + Send;

    /// What it does, for people; shown by `describe`.
    fn describe(&self) -> String;
}

/// Where data leaves a pipeline.
pub trait Sink: Send + 'static {
    /// What it takes.
    type Item: Send + Sync + 'static;

    /// Called once before the source is opened. A sink that keeps the offset takes its fence here and says where it
    /// stands; all others answer `None`.
    fn open(&mut self) -> impl Future<Output = Result<Option<Resume>, Failure>> + Send {
        async { Ok(None) }
    }

    /// Writes the batch; returns when it is durable.
    fn write(
        &mut self,
        batch: &Batch<Self::Item>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Called when nothing has arrived for [`Batching::idle_after`](crate::Batching): time for upkeep in small steps.
    fn idle(&mut self) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }

    /// What it writes, for people; shown by `describe`.
    fn describe(&self) -> String;
}

/// One delivery that can never be processed.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The message, as it came.
    pub origin: Arc<Message>,
    /// The node that gave it up.
    pub node: String,
    /// Why.
    pub cause: Cause,
}

/// Where a pipeline writes its dead letters.
pub trait DeadLetters: Send + Sync + 'static {
    /// Called once before the sinks and the source are opened: there must be a place for the first dead letter.
    fn open(&self) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }

    /// Returns when all of them are durable.
    fn bury(&self, letters: Vec<DeadLetter>) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Where they go, for people; shown by `describe`.
    fn describe(&self) -> String;
}
