//! The feed says what it has lost.

use std::time::Duration;

use engine::{Delivery, Opened, Resume, Source};
use futures::StreamExt;
use servers::testing;
use sources::{FeedItem, JetStreamEvents};
use transport::Nats;
use transport::streams::{self, Limits};

/// Longer than the source takes to look ahead twice.
const PATIENCE: Duration = Duration::from_secs(30);

struct Feed {
    _server: testing::Nats,
    nats: Nats,
}

impl Feed {
    async fn new() -> Self {
        let server = testing::Nats::start().await;
        let nats = Nats::connect(&server.url())
            .await
            .expect("the server has just been started");
        streams::events(&nats.jetstream, &Limits::default())
            .await
            .expect("the stream can be made");
        Self {
            _server: server,
            nats,
        }
    }

    async fn publish(&self, count: usize) {
        for _ in 0..count {
            let publish = self
                .nats
                .jetstream
                .publish("ledger.events.ACC-1", "an event".into());
            publish
                .await
                .expect("it can be published")
                .await
                .expect("it is stored");
        }
    }

    async fn purge(&self) {
        let stream = self
            .nats
            .jetstream
            .get_stream(streams::EVENTS)
            .await
            .expect("it is there");
        stream.purge().await.expect("it can be purged");
    }

    async fn open(&self, position: u64) -> Opened<FeedItem> {
        let resume = Resume {
            position,
            mark: None,
        };
        let source = JetStreamEvents::new(self.nats.clone(), Limits::default());
        source.open(Some(resume)).await.expect("it can be opened")
    }
}

async fn next(opened: &mut Opened<FeedItem>) -> Delivery<FeedItem> {
    let next = tokio::time::timeout(PATIENCE, opened.deliveries.next())
        .await
        .expect("something comes");
    next.expect("it goes on").expect("it can be read")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_purged_before_it_was_read_is_announced_though_nothing_follows() {
    let feed = Feed::new().await;
    feed.publish(10).await;
    // A source asks for messages when it is first read, so these are not on their way to it.
    let mut opened = feed.open(4).await;
    feed.purge().await;
    let lost = next(&mut opened).await;
    assert_eq!(lost.position, 10);
    assert!(matches!(lost.item, FeedItem::Lost { .. }), "{lost:?}");
    // Once; then it goes on.
    feed.publish(1).await;
    let message = next(&mut opened).await;
    assert_eq!(message.position, 11);
    assert!(matches!(message.item, FeedItem::Message(_)), "{message:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_is_announced_before_what_lies_behind_it() {
    let feed = Feed::new().await;
    feed.publish(5).await;
    let stream = feed
        .nats
        .jetstream
        .get_stream(streams::EVENTS)
        .await
        .expect("it is there");
    for sequence in [2, 3] {
        stream
            .delete_message(sequence)
            .await
            .expect("it can be deleted");
    }
    let mut opened = feed.open(0).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let delivery = next(&mut opened).await;
        seen.push((
            delivery.position,
            matches!(delivery.item, FeedItem::Lost { .. }),
        ));
    }
    assert_eq!(seen, [(1, false), (3, true), (4, false), (5, false)]);
}
