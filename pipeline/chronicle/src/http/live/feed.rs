//! The feed for one reader.

use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use axum::response::sse::Event as Sent;
use engine::{Delivery, Failure, Resume, Source};
use futures::StreamExt;
use ledger::{AccountId, EventId};
use serde::Serialize;
use sources::{FeedItem, JetStreamEvents, Runs};
use transport::{headers, restoring, streams, subjects};

use super::reader::{Ended, Outlet};
use crate::http::Api;
use crate::http::events::{EventType, is_of};
use crate::http::problem::Problem;

/// How long to wait before reading on when NATS was away.
const PAUSE: Duration = Duration::from_secs(1);

/// Which events a reader wants.
pub(super) struct Filter {
    pub(super) account: Option<AccountId>,
    pub(super) kind: Option<EventType>,
}

/// The data of `event: lost`.
#[derive(Serialize)]
struct Lost<'a> {
    why: &'a str,
}

/// Where to go on: an id is `SEQUENCE-EVENT_ID`. The event's id shows whether the feed is still the same.
pub(super) fn resume(id: &str) -> Result<Resume, Problem> {
    let read = || {
        let (position, mark) = id.split_once('-')?;
        let mark: EventId = mark.parse().ok()?;
        Some(Resume {
            position: position.parse().ok()?,
            mark: Some(mark.to_string()),
        })
    };
    read().ok_or_else(|| {
        Problem::invalid_parameter(
            "Last-Event-ID: this is no id of this stream; it looks like 7-6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11",
        )
    })
}

/// Where to begin: behind `resume`, or at the end of the feed as it is now. Not while it is being restored.
pub(super) async fn begin(api: &Api, resume: Option<Resume>) -> Result<Resume, Problem> {
    let feed = match streams::existing(&api.nats.jetstream, streams::EVENTS).await {
        Ok(feed) => feed,
        // Whoever says where to go on may wait for NATS.
        Err(failure) => return resume.ok_or_else(|| failure.into()),
    };
    if feed.as_ref().is_some_and(is_being_restored) {
        return Err(Problem::feed_restoring());
    }
    Ok(resume.unwrap_or_else(|| Resume {
        position: feed.map_or(0, |feed| feed.cached_info().state.last_sequence),
        mark: None,
    }))
}

fn is_being_restored(feed: &Stream) -> bool {
    restoring::restoration(feed).is_some()
}

/// Sends what comes behind `resume`, until the reader goes away or is too slow, or the feed is being restored. Goes on by
/// itself when NATS comes back.
pub(super) async fn follow(api: Api, mut resume: Resume, filter: Filter, outlet: Outlet) -> Ended {
    // A message that costs its receiver the connection must not do so for ever.
    let runs = Runs::default();
    loop {
        let read = read(&api, &runs, &mut resume, &filter, &outlet);
        let result = tokio::select! {
            result = read => result,
            () = outlet.closed() => return Ended::Gone,
        };
        match result {
            Err(Stopped::By(ended)) => return ended,
            Err(Stopped::Failed(failure)) => {
                tracing::debug!(
                    reason = failure.chain(),
                    "a reader of live events has to wait"
                );
            }
            Ok(()) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

enum Stopped {
    By(Ended),
    Failed(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

async fn read(
    api: &Api,
    runs: &Runs,
    resume: &mut Resume,
    filter: &Filter,
    outlet: &Outlet,
) -> Result<(), Stopped> {
    let feed = streams::existing(&api.nats.jetstream, streams::EVENTS).await?;
    if feed.as_ref().is_some_and(is_being_restored) {
        return Err(Stopped::By(Ended::FeedRestoring));
    }
    let source = JetStreamEvents::new(api.nats.clone(), api.options.limits.clone()).among(runs);
    let mut opened = source.open(Some(resume.clone())).await?;
    while let Some(delivery) = opened.deliveries.next().await {
        let Delivery { position, item, .. } = delivery?;
        // What was handed out is done: the reader says itself where it goes on.
        opened.settler.settle(position).await?;
        match item {
            FeedItem::Lost { why } => {
                *resume = Resume {
                    position,
                    mark: None,
                };
                let lost = Sent::default().event("lost").json_data(Lost { why: &why });
                send(outlet, lost).await?;
            }
            FeedItem::Message(message) => {
                let message = message.message();
                let mark = message.header(headers::MESSAGE_ID).map(str::to_owned);
                let is_wanted = is_of(message, filter.kind)
                    && filter.account.as_ref().is_none_or(|account| {
                        subjects::account_of(&message.subject) == account.as_str()
                    });
                if is_wanted
                    && let Some(mark) = &mark
                    && let Ok(text) = std::str::from_utf8(&message.payload)
                {
                    let event = Sent::default()
                        .event("ledger")
                        .id(format!("{position}-{mark}"))
                        .data(text);
                    outlet.send(event).await.map_err(Stopped::By)?;
                }
                *resume = Resume { position, mark };
            }
        }
    }
    Ok(())
}

async fn send(outlet: &Outlet, event: Result<Sent, axum::Error>) -> Result<(), Stopped> {
    let event = event.map_err(|_| Stopped::By(Ended::Unreadable))?;
    outlet.send(event).await.map_err(Stopped::By)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_where_to_go_on() {
        let id = "7-6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11";
        let found = resume(id).unwrap();
        assert_eq!(found.position, 7);
        assert_eq!(
            found.mark.as_deref(),
            Some("6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11")
        );
        for bad in [
            "",
            "7",
            "7-",
            "-6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11",
            "x-y",
            "7-\n",
        ] {
            assert!(resume(bad).is_err(), "{bad}");
        }
    }
}
