//! Batches as the engine gathers them: what is there already, up to the limit, and a moment for what is about to come.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::{BATCH_MAX, Error, LINGER};

/// How often to look whether there is anything to come at all.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Nothing for so long while something is to come: a server has stopped, or has lost it.
const SILENT_MAX: Duration = Duration::from_mins(1);

/// The next messages, in order; none when `taken` is all that there will be.
pub(super) async fn next(
    messages: &mut pull::Stream,
    taken: u64,
    all: &AtomicU64,
) -> Result<Vec<Message>, Error> {
    let silent_until = Instant::now() + SILENT_MAX;
    let first = loop {
        if taken >= all.load(Ordering::Acquire) {
            return Ok(Vec::new());
        }
        match timeout(LOOK_EVERY, messages.next()).await {
            Ok(message) => break told(message)?,
            Err(_) if Instant::now() < silent_until => {}
            Err(_) => return Err(Error::Silent(SILENT_MAX)),
        }
    };
    let mut batch = vec![first];
    let until = Instant::now() + LINGER;
    while batch.len() < BATCH_MAX {
        // What is there is taken without a look at the clock.
        let next = match messages.next().now_or_never() {
            Some(message) => Ok(message),
            None => timeout_at(until, messages.next()).await,
        };
        match next {
            Ok(message) => batch.push(told(message)?),
            Err(_) => break,
        }
    }
    Ok(batch)
}

fn told(message: Option<Result<Message, pull::MessagesError>>) -> Result<Message, Error> {
    match message {
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(Error::nats("read a stream", error)),
        None => Err(Error::Ended),
    }
}
