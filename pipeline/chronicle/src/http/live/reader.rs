//! Readers of live events: how many there may be, and how slow one may be.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event as Sent;
use futures::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::http::Api;
use crate::http::problem::Problem;

/// How many events wait for one reader.
const QUEUE_EVENTS: usize = 256;
/// How long a reader's queue may stay full.
const SLOW_AFTER: Duration = Duration::from_secs(10);

/// A reader that may read.
pub(super) struct Reader {
    permit: OwnedSemaphorePermit,
    shutdown: CancellationToken,
}

/// Why a reader is not served any more; the last thing that it hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It has gone away by itself.
    Gone,
    /// It does not read fast enough.
    TooSlow,
    /// What is to be read is not there any more, or is damaged.
    Unreadable,
    /// The feed is being restored: what is there is a part that looks like all.
    FeedRestoring,
}

/// Where events for a reader go.
pub(super) struct Outlet(mpsc::Sender<Sent>);

impl Outlet {
    /// Hands an event to the reader; waits for it, within limits.
    pub(super) async fn send(&self, event: Sent) -> Result<(), Ended> {
        use mpsc::error::SendTimeoutError;
        match self.0.send_timeout(event, SLOW_AFTER).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Timeout(_)) => Err(Ended::TooSlow),
            Err(SendTimeoutError::Closed(_)) => Err(Ended::Gone),
        }
    }

    /// Completes when the reader has gone away.
    pub(super) async fn closed(&self) {
        self.0.closed().await;
    }
}

/// The data of the last event.
#[derive(Serialize)]
struct Farewell {
    reason: &'static str,
}

impl Reader {
    /// Admits one more reader, if there is room.
    pub(super) fn admit(api: &Api) -> Result<Self, Problem> {
        let permit = Arc::clone(&api.streams).try_acquire_owned().map_err(|_| {
            Problem::unavailable(
                "too_many_streams",
                "as many readers follow the live events as may; try again later",
            )
        })?;
        Ok(Self {
            permit,
            shutdown: api.shutdown.clone(),
        })
    }

    /// What the reader gets: whatever `follow` sends, and at the end why it is the end.
    pub(super) fn follow<Follow, F>(
        self,
        follow: Follow,
    ) -> impl Stream<Item = Result<Sent, Infallible>> + Send + use<Follow, F>
    where
        Follow: FnOnce(Outlet) -> F,
        F: Future<Output = Ended> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(QUEUE_EVENTS);
        let (tell, told) = oneshot::channel();
        let following = follow(Outlet(sender));
        let task = tokio::spawn(async move {
            let reason = tokio::select! {
                ended = following => match ended {
                    Ended::Gone => return,
                    Ended::TooSlow => {
                        tracing::info!("a reader of live events is too slow, and was dropped");
                        "too_slow"
                    }
                    Ended::Unreadable => "unreadable",
                    Ended::FeedRestoring => "feed_restoring",
                },
                () = self.shutdown.cancelled() => "server_stops",
            };
            let _ = tell.send(reason);
            drop(self.permit);
        });
        let task = AbortOnDropHandle::new(task);
        let farewell = stream::once(async move {
            let reason = told.await.unwrap_or("unreadable");
            Sent::default()
                .event("dropped")
                .json_data(Farewell { reason })
        });
        ReceiverStream::new(receiver)
            .map(Ok)
            .chain(farewell)
            .filter_map(move |event| {
                let _ = &task; // lives as long as the answer
                std::future::ready(event.ok().map(Ok))
            })
    }
}
