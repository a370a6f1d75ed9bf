//! The third stage: publishes the events of what was appended, in order, and settles its commands.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::jetstream::message::PublishMessage;
use futures::stream::{FuturesUnordered, TryStreamExt};
use tokio::sync::mpsc;

use super::append::Appended;
use super::servers::{ACKNOWLEDGEMENTS_MAX, EVENT_SUBJECTS};
use super::{Done, Error, Loop};

pub(super) async fn publish(
    all: Arc<Loop>,
    mut appended: mpsc::Receiver<Appended>,
) -> Result<Done, Error> {
    let failed = |error| Error::nats("publish an event", error);
    let jetstream = all.servers.jetstream();
    let mut published = 0;
    while let Some(batch) = appended.recv().await {
        let mut acknowledgements = FuturesUnordered::new();
        for (account, event_id) in &batch.events {
            let message = PublishMessage::build()
                .payload(all.samples.event.clone())
                .headers(all.samples.event_headers.clone())
                .message_id(event_id.to_string());
            let subject = format!("{EVENT_SUBJECTS}.{}", all.accounts[*account]);
            let acknowledgement = jetstream.send_publish(subject, message).await;
            acknowledgements.push(acknowledgement.map_err(failed)?.into_future());
            while acknowledgements.len() >= ACKNOWLEDGEMENTS_MAX / 2 {
                acknowledgements.try_next().await.map_err(failed)?;
            }
        }
        while acknowledgements.try_next().await.map_err(failed)?.is_some() {}
        published += batch.events.len() as u64;
        if let Some(reply) = batch.reply {
            let settled = all.servers.client().publish(reply, "+ACK".into()).await;
            settled.map_err(|error| Error::nats("acknowledge its commands", error))?;
        }
        all.room.add_permits(batch.commands);
    }
    all.events.store(published, Ordering::Release);
    Ok(Done::Fed { events: published })
}
