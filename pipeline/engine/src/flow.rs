//! How a topology becomes tasks.
//!
//! Owns the order of starting: the dead letters and every sink are opened before the source, and every stage waits at its
//! queue before the first delivery. Stages are started from the last to the first, because each needs the queue behind it.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::batching::Batcher;
use crate::component::{Operator, Resume, Source};
use crate::counters::NodeCounters;
use crate::failure::Failure;
use crate::operate::{DeadLetterNode, OperatorNode};
use crate::queue::{Outlet, queue};
use crate::run::{Broken, Launch, Line, guarded};
use crate::stage::{AnySink, gather, settle, write};

/// A pipeline up to the point where it hands on items of type `T`.
pub(crate) trait Flow<T>: Send {
    /// Starts everything up to here; batches go to `outlet`.
    fn start(
        self: Box<Self>,
        line: &mut Line,
        outlet: Outlet<T>,
    ) -> BoxFuture<'_, Result<(), Broken>>;
}

/// The beginning of every flow.
pub(crate) struct FromSource<S> {
    pub(crate) node: Arc<str>,
    pub(crate) source: S,
}

impl<S: Source> Flow<S::Item> for FromSource<S> {
    fn start(
        self: Box<Self>,
        line: &mut Line,
        outlet: Outlet<S::Item>,
    ) -> BoxFuture<'_, Result<(), Broken>> {
        Box::pin(async move {
            let Self { node, source } = *self;
            let opening = source.open(line.resume.take());
            let opened = guarded(Arc::clone(&line.pipeline), Arc::clone(&node), opening).await?;
            if let Some(settlement) = line.settlement.take() {
                line.spawn(&node, settlement(opened.settler));
            }
            let batcher = Batcher::new(
                &node,
                opened.deliveries,
                &line.batching,
                line.shutdown.clone(),
            );
            let counters = line.counters(&node);
            let gathering = gather(
                batcher,
                outlet,
                counters,
                line.status.clone(),
                line.over.clone(),
            );
            line.spawn(&node, gathering);
            Ok(())
        })
    }
}

/// A flow with one more operator behind it.
pub(crate) struct ThroughOperator<O: Operator> {
    pub(crate) upstream: Box<dyn Flow<O::Input>>,
    pub(crate) node: Arc<str>,
    pub(crate) operator: O,
}

impl<O: Operator> Flow<O::Output> for ThroughOperator<O> {
    fn start(
        self: Box<Self>,
        line: &mut Line,
        outlet: Outlet<O::Output>,
    ) -> BoxFuture<'_, Result<(), Broken>> {
        let counters = line.counters(&self.node);
        let (before, inlet) = queue(line.batching.queue_batches, Arc::clone(&counters));
        let operator_node = OperatorNode {
            pipeline: Arc::clone(&line.pipeline),
            node: Arc::clone(&self.node),
            dead_letters: line.dead_letters.clone(),
            counters,
        };
        line.spawn(
            &self.node,
            operator_node.operate(self.operator, inlet, outlet),
        );
        self.upstream.start(line, before)
    }
}

/// A sink and its name.
pub(crate) struct NamedSink<T> {
    pub(crate) node: Arc<str>,
    pub(crate) sink: Box<dyn AnySink<T>>,
}

/// A whole pipeline, not yet started.
pub(crate) struct Assembly<T> {
    pub(crate) flow: Box<dyn Flow<T>>,
    pub(crate) sinks: Vec<NamedSink<T>>,
}

impl<T: Send + Sync + 'static> Launch for Assembly<T> {
    fn launch(mut self: Box<Self>, line: &mut Line) -> BoxFuture<'_, Result<(), Broken>> {
        Box::pin(async move {
            if let Some(DeadLetterNode { node, letters, .. }) = &line.dead_letters {
                guarded(Arc::clone(&line.pipeline), Arc::clone(node), letters.open()).await?;
            }
            line.resume = open_all(&mut self.sinks, &line.pipeline).await?;
            let mut outlet = prepare_settlement(line);
            for NamedSink { node, sink } in self.sinks.into_iter().rev() {
                let counters = line.counters(&node);
                let (before, inlet) = queue(line.batching.queue_batches, Arc::clone(&counters));
                let idle_after = line.batching.idle_after;
                line.spawn(&node, write(sink, inlet, outlet, counters, idle_after));
                outlet = before;
            }
            self.flow.start(line, outlet).await
        })
    }
}

/// Opens the sinks in their order; the one that keeps the offset says where the source begins.
async fn open_all<T: Send + Sync + 'static>(
    sinks: &mut [NamedSink<T>],
    pipeline: &Arc<str>,
) -> Result<Option<Resume>, Broken> {
    let mut keeper: Option<(Arc<str>, Resume)> = None;
    for NamedSink { node, sink } in sinks {
        let opened = guarded(Arc::clone(pipeline), Arc::clone(node), sink.open()).await?;
        let Some(resume) = opened else { continue };
        if let Some((first, _)) = keeper {
            return Err(Broken::at(
                node,
                Failure::fatal(format!(
                    "sinks \"{first}\" and \"{node}\" of pipeline \"{pipeline}\" both keep an offset: the source \
                     can follow only one; put one of them into a pipeline of its own"
                )),
            ));
        }
        keeper = Some((Arc::clone(node), resume));
    }
    Ok(keeper.map(|(_, resume)| resume))
}

/// The queue behind the last sink, and what settles the batches in it once the source is open.
fn prepare_settlement<T: Send + 'static>(line: &mut Line) -> Outlet<T> {
    let batches = line.batching.queue_batches;
    let (outlet, inlet) = queue(batches, Arc::new(NodeCounters::default()));
    let status = line.status.clone();
    let over = line.over.clone().drop_guard();
    line.settlement = Some(Box::new(move |settler| {
        Box::pin(async move {
            let _over = over;
            settle(settler, inlet, status).await
        })
    }));
    outlet
}
