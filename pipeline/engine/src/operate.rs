//! What an operator does with a batch, and what becomes of the records that it gives up.
//!
//! Owns the loop of an operator and the way to the dead letters. Guarantees that dead letters are durable before their
//! batch goes on, that a pipeline without dead letters stops at the first of them, and that an operator which does not
//! answer each input with one step settles nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::component::{Cause, DeadLetter, DeadLetters, Operator, Step};
use crate::counters::NodeCounters;
use crate::failure::Failure;
use crate::message::{Batch, Delivery, Message};
use crate::queue::{Inlet, Outlet, Parcel};
use crate::run::Broken;

/// Dead letters whose type has been forgotten.
pub(crate) trait AnyDeadLetters: Send + Sync {
    fn open(&self) -> BoxFuture<'_, Result<(), Failure>>;
    fn bury(&self, letters: Vec<DeadLetter>) -> BoxFuture<'_, Result<(), Failure>>;
}

impl<D: DeadLetters> AnyDeadLetters for D {
    fn open(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(DeadLetters::open(self))
    }

    fn bury(&self, letters: Vec<DeadLetter>) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(DeadLetters::bury(self, letters))
    }
}

/// The dead-letter node of a running pipeline.
#[derive(Clone)]
pub(crate) struct DeadLetterNode {
    pub(crate) node: Arc<str>,
    pub(crate) letters: Arc<dyn AnyDeadLetters>,
    pub(crate) counters: Arc<NodeCounters>,
}

/// The node of an operator in a running pipeline.
pub(crate) struct OperatorNode {
    pub(crate) pipeline: Arc<str>,
    pub(crate) node: Arc<str>,
    pub(crate) dead_letters: Option<DeadLetterNode>,
    pub(crate) counters: Arc<NodeCounters>,
}

impl OperatorNode {
    /// Applies the operator to each batch and hands on what it makes of it.
    pub(crate) async fn operate<O: Operator>(
        self,
        mut operator: O,
        mut inlet: Inlet<O::Input>,
        outlet: Outlet<O::Output>,
    ) -> Result<(), Broken> {
        while let Some(parcel) = inlet.next().await {
            self.counters.took(parcel.batch.deliveries.len());
            let working = self.counters.work();
            let answer = answer(&self.pipeline, &self.node, &mut operator, parcel.batch).await;
            drop(working);
            let answer = answer.map_err(|failure| Broken::at(&self.node, failure))?;
            // Dead letters are durable before their batch goes on: once it is settled nobody delivers them again.
            self.bury(answer.letters).await?;
            self.counters.skipped(&answer.skipped);
            self.counters.finished(answer.batch.deliveries.len());
            let parcel = Parcel {
                batch: answer.batch,
                records: parcel.records,
                gathered_at: parcel.gathered_at,
            };
            if outlet.send(parcel, &self.counters).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn bury(&self, letters: Vec<Letter>) -> Result<(), Broken> {
        let Some(first) = letters.first() else {
            return Ok(());
        };
        let Some(dead_letters) = &self.dead_letters else {
            return Err(Broken::at(
                &self.node,
                self.poison(first, "the pipeline has no dead letters"),
            ));
        };
        let mut dead = Vec::with_capacity(letters.len());
        for letter in letters {
            let Some(origin) = letter.origin.clone() else {
                let failure = self.poison(
                    &letter,
                    "its source did not keep the message that it came from",
                );
                return Err(Broken::at(&self.node, failure));
            };
            dead.push(DeadLetter {
                origin,
                node: self.node.to_string(),
                cause: letter.cause,
            });
        }
        let count = dead.len();
        let codes: Vec<&'static str> = dead.iter().map(|letter| letter.cause.code).collect();
        dead_letters.counters.took(count);
        let working = dead_letters.counters.work();
        let buried = dead_letters.letters.bury(dead).await;
        drop(working);
        buried.map_err(|failure| Broken::at(&dead_letters.node, failure))?;
        dead_letters.counters.finished(count);
        self.counters.dead_lettered(codes.into_iter());
        Ok(())
    }

    fn poison(&self, letter: &Letter, why: &str) -> Failure {
        let subject = letter
            .origin
            .as_ref()
            .map_or("unknown", |origin| origin.subject.as_str());
        Failure::fatal(format!(
            "poison message in pipeline \"{}\" at node \"{}\": position {}, subject \"{subject}\", {}: {} \
             (it cannot be set aside: {why})",
            self.pipeline, self.node, letter.position, letter.cause.code, letter.cause.message,
        ))
    }
}

/// A delivery that an operator has given up.
struct Letter {
    position: u64,
    origin: Option<Arc<Message>>,
    cause: Cause,
}

/// What an operator has made of one batch.
struct Answer<T> {
    batch: Batch<T>,
    letters: Vec<Letter>,
    skipped: BTreeMap<&'static str, u64>,
}

/// Asks the operator about the batch and sorts its answer.
async fn answer<O: Operator>(
    pipeline: &str,
    node: &str,
    operator: &mut O,
    batch: Batch<O::Input>,
) -> Result<Answer<O::Output>, Failure> {
    let last_position = batch.last_position;
    let count = batch.deliveries.len();
    let (places, inputs): (Vec<_>, Vec<_>) = batch
        .deliveries
        .into_iter()
        .map(|delivery| ((delivery.position, delivery.origin), delivery.item))
        .unzip();
    let steps = if inputs.is_empty() {
        Vec::new()
    } else {
        operator.apply(inputs).await?
    };
    if steps.len() != count {
        return Err(Failure::fatal(format!(
            "node \"{node}\" of pipeline \"{pipeline}\" answered {count} inputs with {} steps (batch up to position \
             {last_position}): there must be one step for each input; this is a bug of the operator",
            steps.len(),
        )));
    }
    let mut answer = Answer {
        batch: Batch {
            deliveries: Vec::with_capacity(count),
            last_position,
        },
        letters: Vec::new(),
        skipped: BTreeMap::new(),
    };
    for ((position, origin), step) in places.into_iter().zip(steps) {
        match step {
            Step::Emit(item) => answer.batch.deliveries.push(Delivery {
                position,
                origin,
                item,
            }),
            Step::Skip(reason) => *answer.skipped.entry(reason).or_default() += 1,
            Step::DeadLetter(cause) => answer.letters.push(Letter {
                position,
                origin,
                cause,
            }),
        }
    }
    Ok(answer)
}
