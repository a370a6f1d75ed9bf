//! The builder that puts a pipeline together, node by node, and the topology that comes of it.
//!
//! Owns the shape of a pipeline: one source, any number of operators in a row, one or more sinks in a row, and perhaps
//! dead letters. The types see to it that each node takes what the one before makes. Building runs nothing: a topology
//! can be described without a server in reach.
//!
//! ```text
//! Topology::named("intake")
//!     .source("commands", commands)
//!     .then("decode", decode)
//!     .then("validate", validate)
//!     .into("event_feed", event_feed)
//!     .into("outcomes", outcomes)
//!     .dead_letters("dead_letters", dead_letters)
//!     .build()
//! ```
//!
//! Each node is a task, so it works on batch n + 1 while the next one works on batch n; batches never overtake. With
//! `queue_batches` places in each queue, at most `(operators + sinks + 1) * (queue_batches + 1)` batches are in flight.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::batching::Batching;
use crate::component::{DeadLetters, Operator, Sink, Source};
use crate::description::{Description, Edge, Kind, Node};
use crate::failure::Failure;
use crate::flow::{Assembly, Flow, FromSource, NamedSink, ThroughOperator};
use crate::operate::{AnyDeadLetters, DeadLetterNode};
use crate::run::{Finished, Launch, Line};
use crate::status::PipelineStatus;

/// How long a shutdown waits for what is in flight, unless the topology says otherwise.
pub const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// A pipeline that is ready to run, once: its components are used up by the run.
pub struct Topology {
    blueprint: Blueprint,
    launch: Box<dyn Launch>,
}

impl Topology {
    /// Begins a pipeline.
    pub fn named(name: impl Into<String>) -> Named {
        Named { name: name.into() }
    }

    /// The pipeline's name.
    pub fn name(&self) -> &str {
        &self.blueprint.name
    }

    /// What it consists of.
    pub fn describe(&self) -> Description {
        self.blueprint.describe()
    }

    /// The most records that it has taken from its source and not settled at any moment.
    pub fn in_flight_records_max(&self) -> usize {
        let stages = self.blueprint.nodes.len(); // operators and sinks; the source's place is the settlement's
        let batching = &self.blueprint.batching;
        stages
            .saturating_mul(batching.queue_batches.saturating_add(1))
            .saturating_mul(batching.records_max)
    }

    /// Opens the dead letters, all sinks in their order, then the source, and runs until the source ends, `shutdown` is cancelled, or
    /// something fails.
    ///
    /// At shutdown the source is read no more; what is in flight goes through all stages and is settled, until the
    /// drain deadline passes. Dropping the future aborts everything.
    ///
    /// # Errors
    ///
    /// The first failure of any node. Everything that was not settled by then is abandoned.
    pub async fn run(
        self,
        status: PipelineStatus,
        shutdown: CancellationToken,
    ) -> Result<Finished, Failure> {
        let Blueprint {
            name,
            nodes,
            batching,
            drain_within,
            dead_letters,
        } = self.blueprint;
        let last_resort = dead_letters.as_ref().map(|(node, _)| node);
        let names = || {
            nodes
                .iter()
                .chain(last_resort)
                .map(|node| node.name.as_str())
        };
        if let Some(twice) = names().find(|one| names().filter(|other| other == one).count() > 1) {
            return Err(Failure::fatal(format!(
                "pipeline \"{name}\" has two nodes called \"{twice}\": give each its own name"
            )));
        }
        status.begin_run(names());
        let dead_letters = dead_letters.map(|(node, letters)| DeadLetterNode {
            counters: status.node(&node.name),
            node: Arc::from(node.name),
            letters,
        });
        Line::new(&name, batching, dead_letters, status, shutdown)
            .operate(self.launch, drain_within)
            .await
    }
}

/// What is known of a pipeline apart from the components themselves.
struct Blueprint {
    name: String,
    /// Source, operators and sinks, in their order.
    nodes: Vec<Node>,
    batching: Batching,
    drain_within: Duration,
    dead_letters: Option<(Node, Arc<dyn AnyDeadLetters>)>,
}

impl Blueprint {
    fn describe(&self) -> Description {
        let mut nodes = self.nodes.clone();
        let mut edges: Vec<Edge> = nodes
            .windows(2)
            .map(|pair| Edge {
                from: pair[0].name.clone(),
                to: pair[1].name.clone(),
            })
            .collect();
        if let Some((last_resort, _)) = &self.dead_letters {
            let operators = nodes.iter().filter(|node| node.kind == Kind::Operator);
            edges.extend(operators.map(|operator| Edge {
                from: operator.name.clone(),
                to: last_resort.name.clone(),
            }));
            nodes.push(last_resort.clone());
        }
        Description {
            pipeline: self.name.clone(),
            nodes,
            edges,
        }
    }

    fn add(&mut self, name: &str, kind: Kind, detail: String) {
        self.nodes.push(Node {
            name: name.to_owned(),
            kind,
            detail,
        });
    }

    fn bury_in(&mut self, name: &str, letters: impl DeadLetters) {
        let node = Node {
            name: name.to_owned(),
            kind: Kind::DeadLetters,
            detail: letters.describe(),
        };
        self.dead_letters = Some((node, Arc::new(letters)));
    }
}

/// A pipeline that has a name and needs a source.
pub struct Named {
    name: String,
}

impl Named {
    /// Where its data enters.
    pub fn source<S: Source>(self, name: &str, source: S) -> Stage<S::Item> {
        let mut blueprint = Blueprint {
            name: self.name,
            nodes: Vec::new(),
            batching: Batching::default(),
            drain_within: DRAIN_WITHIN,
            dead_letters: None,
        };
        blueprint.add(name, Kind::Source, source.describe());
        Stage {
            blueprint,
            flow: Box::new(FromSource {
                node: Arc::from(name),
                source,
            }),
        }
    }
}

/// A pipeline up to its source or to one of its operators, which hands on items of type `T`.
pub struct Stage<T> {
    blueprint: Blueprint,
    flow: Box<dyn Flow<T>>,
}

impl<T: Send + 'static> Stage<T> {
    /// How its batches are gathered; [`Batching::default`] if never called.
    #[must_use]
    pub fn batching(mut self, batching: Batching) -> Self {
        self.blueprint.batching = batching.at_least_one();
        self
    }

    /// How long a shutdown waits for what is in flight; [`DRAIN_WITHIN`] if never called.
    #[must_use]
    pub fn drain_within(mut self, deadline: Duration) -> Self {
        self.blueprint.drain_within = deadline;
        self
    }

    /// What happens to the items next.
    pub fn then<O: Operator<Input = T>>(mut self, name: &str, operator: O) -> Stage<O::Output> {
        self.blueprint
            .add(name, Kind::Operator, operator.describe());
        Stage {
            blueprint: self.blueprint,
            flow: Box::new(ThroughOperator {
                upstream: self.flow,
                node: Arc::from(name),
                operator,
            }),
        }
    }

    /// Where the items leave.
    pub fn into<S: Sink<Item = T>>(self, name: &str, sink: S) -> Ending<T>
    where
        T: Sync,
    {
        Ending {
            blueprint: self.blueprint,
            flow: self.flow,
            sinks: Vec::new(),
        }
        .into(name, sink)
    }
}

/// A pipeline that has a sink, and can be built.
pub struct Ending<T> {
    blueprint: Blueprint,
    flow: Box<dyn Flow<T>>,
    sinks: Vec<NamedSink<T>>,
}

impl<T: Send + Sync + 'static> Ending<T> {
    /// Another sink: it sees a batch when the write of the one before has returned.
    #[must_use]
    pub fn into<S: Sink<Item = T>>(mut self, name: &str, sink: S) -> Self {
        self.blueprint.add(name, Kind::Sink, sink.describe());
        self.sinks.push(NamedSink {
            node: Arc::from(name),
            sink: Box::new(sink),
        });
        self
    }

    /// Where operators' dead letters go. Without it a dead letter stops the pipeline, loudly.
    #[must_use]
    pub fn dead_letters<D: DeadLetters>(mut self, name: &str, letters: D) -> Self {
        self.blueprint.bury_in(name, letters);
        self
    }

    /// The pipeline.
    pub fn build(self) -> Topology {
        Topology {
            blueprint: self.blueprint,
            launch: Box::new(Assembly {
                flow: self.flow,
                sinks: self.sinks,
            }),
        }
    }
}
