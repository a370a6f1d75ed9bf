//! The feed says what it has lost.

use std::time::Duration;

use engine::{Delivery, Opened, Resume, Source};
use futures::StreamExt;
use servers::testing;
use sources::{FeedItem, FeedTail, JetStreamEvents};
use tokio_util::sync::CancellationToken;
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

/// What the consumers of the sources have been given so far: what comes from the tail is not among it.
async fn delivered_to_own_consumers(feed: &Feed) -> u64 {
    let stream = feed
        .nats
        .jetstream
        .get_stream(streams::EVENTS)
        .await
        .expect("it is there");
    let consumers: Vec<_> = stream.consumers().collect().await;
    consumers
        .into_iter()
        .map(|consumer| consumer.expect("they can be listed"))
        .filter(|consumer| consumer.config.description.as_deref() == Some("A projection"))
        .map(|consumer| consumer.delivered.consumer_sequence)
        .sum()
}

/// Opened sources that share a tail, and have all come to its end.
async fn sharing(feed: &Feed, count: usize, published: u64) -> (Vec<Opened<FeedItem>>, Stop) {
    let tail = FeedTail::default();
    let stop = Stop(CancellationToken::new());
    let (keeping, nats, stopped) = (tail.clone(), feed.nats.clone(), stop.0.clone());
    tokio::spawn(async move { keeping.keep(&nats, &stopped).await });
    let mut all = Vec::new();
    for _ in 0..count {
        let source = JetStreamEvents::new(feed.nats.clone(), Limits::default()).sharing(&tail);
        let mut opened = source.open(None).await.expect("it can be opened");
        for position in 1..=published {
            assert_eq!(next(&mut opened).await.position, position);
        }
        opened.settler.settle(published).await.expect("it is noted");
        // Asked once more it finds the tail, which has nothing yet.
        let nothing = tokio::time::timeout(Duration::from_millis(1_500), opened.deliveries.next());
        assert!(nothing.await.is_err(), "nothing more was published");
        all.push(opened);
    }
    (all, stop)
}

struct Stop(CancellationToken);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_is_read_once_for_all_who_share_a_tail() {
    let feed = Feed::new().await;
    feed.publish(3).await;
    let (mut all, _stop) = sharing(&feed, 3, 3).await;
    let before = delivered_to_own_consumers(&feed).await;
    feed.publish(20).await;
    for opened in &mut all {
        for position in 4..=23 {
            assert_eq!(next(opened).await.position, position);
        }
    }
    assert_eq!(delivered_to_own_consumers(&feed).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_falls_behind_the_tail_reads_by_itself_and_comes_back_to_it() {
    let feed = Feed::new().await;
    feed.publish(1).await;
    let (mut all, _stop) = sharing(&feed, 2, 1).await;
    // Larger than what a tail keeps, all together: 16 MiB.
    let large = vec![b'x'; 512 * 1024];
    for _ in 0..50 {
        let publish = feed
            .nats
            .jetstream
            .publish("ledger.events.ACC-1", large.clone().into());
        publish
            .await
            .expect("it can be published")
            .await
            .expect("it is stored");
    }
    // The first one keeps up after all; the second one has read nothing meanwhile.
    for opened in &mut all {
        for position in 2..=51 {
            let delivery = next(opened).await;
            assert_eq!(delivery.position, position);
            assert!(
                matches!(delivery.item, FeedItem::Message(_)),
                "{delivery:?}"
            );
            opened.settler.settle(position).await.expect("it is noted");
        }
    }
    let before = delivered_to_own_consumers(&feed).await;
    assert!(before > 2, "they had to read for themselves: {before}");
    for opened in &mut all {
        let nothing = tokio::time::timeout(Duration::from_millis(500), opened.deliveries.next());
        assert!(nothing.await.is_err(), "nothing more was published");
    }
    feed.publish(5).await;
    for opened in &mut all {
        for position in 52..=56 {
            assert_eq!(next(opened).await.position, position);
        }
    }
    assert_eq!(delivered_to_own_consumers(&feed).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_is_announced_to_those_who_share_a_tail() {
    let feed = Feed::new().await;
    feed.publish(2).await;
    let (mut all, _stop) = sharing(&feed, 2, 2).await;
    let stream = feed
        .nats
        .jetstream
        .get_stream(streams::EVENTS)
        .await
        .expect("it is there");
    // A purge that keeps the sequences: the tail was told of nothing, and the next message lies behind a hole.
    stream.purge().sequence(11).await.expect("it can be purged");
    feed.publish(1).await;
    for opened in &mut all {
        let lost = next(opened).await;
        assert!(matches!(lost.item, FeedItem::Lost { .. }), "{lost:?}");
        assert_eq!(lost.position, 10);
        opened.settler.settle(10).await.expect("it is noted");
        assert_eq!(next(opened).await.position, 11);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_made_anew_ends_the_run_of_those_who_share_a_tail() {
    let feed = Feed::new().await;
    feed.publish(2).await;
    let (mut all, _stop) = sharing(&feed, 2, 2).await;
    feed.nats
        .jetstream
        .delete_stream(streams::EVENTS)
        .await
        .expect("it can be deleted");
    streams::events(&feed.nats.jetstream, &Limits::default())
        .await
        .expect("it can be made");
    feed.publish(5).await;
    for opened in &mut all {
        let ended = tokio::time::timeout(PATIENCE, opened.deliveries.next())
            .await
            .expect("it ends");
        ended
            .expect("it says why")
            .expect_err("the events are others under the same sequences");
    }
}
