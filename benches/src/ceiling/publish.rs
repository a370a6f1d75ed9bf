//! The first stage: publishes commands, as many as may be on their way, until the time is over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::jetstream::publish::PublishAck;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::servers::{ACKNOWLEDGEMENTS_MAX, COMMAND_SUBJECTS};
use super::{Done, Error, Loop};

/// An acknowledgement that is to come.
type Acknowledgement = BoxFuture<'static, Result<PublishAck, Error>>;

pub(super) async fn commands(all: Arc<Loop>, publish_for: Duration) -> Result<Done, Error> {
    let (sent, acknowledgements) = mpsc::channel(ACKNOWLEDGEMENTS_MAX);
    // Beside the publishing: whoever publishes may wait for a permit that an acknowledgement gives back.
    let awaiting = tokio::spawn(await_all(acknowledgements));
    let published = publish(&all, publish_for, sent).await;
    let awaited = awaiting.await.map_err(Error::Stage)?;
    let number = published?;
    awaited?;
    all.commands.store(number, Ordering::Release);
    Ok(Done::Published)
}

async fn publish(
    all: &Loop,
    publish_for: Duration,
    sent: mpsc::Sender<Acknowledgement>,
) -> Result<u64, Error> {
    let failed = |error| Error::nats("publish a command", error);
    let jetstream = all.servers.jetstream();
    let begun = Instant::now();
    let mut number = 0;
    while begun.elapsed() < publish_for {
        let room = all.room.acquire().await;
        room.expect("nobody closes it").forget();
        let account = (all.touch)(number).account;
        let subject = format!("{COMMAND_SUBJECTS}.{}", all.accounts[account]);
        let publish = jetstream.publish_with_headers(
            subject,
            all.samples.command_headers.clone(),
            all.samples.command.clone(),
        );
        // Bound here: the acknowledgement must not borrow the connection.
        let acknowledgement = publish.await.map_err(failed)?.into_future();
        number += 1;
        let acknowledgement: Acknowledgement =
            Box::pin(async move { acknowledgement.await.map_err(failed) });
        if sent.send(acknowledgement).await.is_err() {
            // The other side has failed, and says why.
            break;
        }
    }
    Ok(number)
}

async fn await_all(mut acknowledgements: mpsc::Receiver<Acknowledgement>) -> Result<(), Error> {
    while let Some(acknowledgement) = acknowledgements.recv().await {
        acknowledgement.await?;
    }
    Ok(())
}
