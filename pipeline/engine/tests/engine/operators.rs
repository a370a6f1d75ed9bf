//! Operators made of closures.

use std::time::Duration;

use engine::{Batching, Failure, Operator, Step};

type Apply<I, O> = Box<dyn FnMut(Vec<I>) -> Result<Vec<Step<O>>, Failure> + Send>;

/// An operator made of a closure.
pub(crate) struct Scripted<I, O> {
    apply: Apply<I, O>,
    delay: Box<dyn FnMut() -> Duration + Send>,
}

/// Applies `step` to each input.
pub(crate) fn each<I: 'static, O: 'static>(
    mut step: impl FnMut(I) -> Step<O> + Send + 'static,
) -> Scripted<I, O> {
    batchwise(move |inputs: Vec<I>| Ok(inputs.into_iter().map(&mut step).collect()))
}

/// Applies `apply` to each batch.
pub(crate) fn batchwise<I, O>(
    apply: impl FnMut(Vec<I>) -> Result<Vec<Step<O>>, Failure> + Send + 'static,
) -> Scripted<I, O> {
    Scripted {
        apply: Box::new(apply),
        delay: Box::new(|| Duration::ZERO),
    }
}

impl<I, O> Scripted<I, O> {
    /// Takes so long for each batch.
    pub(crate) fn slow(mut self, delay: impl FnMut() -> Duration + Send + 'static) -> Self {
        self.delay = Box::new(delay);
        self
    }
}

impl<I: Send + Sync + 'static, O: Send + Sync + 'static> Operator for Scripted<I, O> {
    type Input = I;
    type Output = O;

    async fn apply(&mut self, batch: Vec<I>) -> Result<Vec<Step<O>>, Failure> {
        tokio::time::sleep((self.delay)()).await;
        (self.apply)(batch)
    }

    fn describe(&self) -> String {
        "a closure".to_owned()
    }
}

/// Batches of at most `records_max`, with the other limits as they are by default.
pub(crate) fn batches_of(records_max: usize) -> Batching {
    Batching {
        records_max,
        ..Batching::default()
    }
}
