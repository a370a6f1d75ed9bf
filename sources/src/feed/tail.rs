//! The newest messages of the feed, read once for all pipelines of a process.
//!
//! Projections that keep up all want the same messages at about the same time. Delivered to each of them, every message
//! would be sent, parsed, decoded and hashed once for each. So a process reads the end of the feed once and keeps the
//! newest messages, within two limits, for whoever stands among them or directly behind; everybody else (at the start,
//! after a pause, with a database that is slow) reads by a consumer of its own until it has come that far. Nobody waits
//! for anybody here: what is kept is dropped by age alone, and a reader whose place was dropped goes back to its own
//! consumer. So a projection remains as far away from its siblings' troubles as if there were no tail.
//!
//! The tail promises nothing but that what it has is consecutive. Holes, losses, and messages that cost their receiver the
//! connection are for the readers to find, each for itself: at any of these the tail forgets everything and begins anew
//! at the end of the feed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::{Failure, Message};
use futures::StreamExt;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use transport::{Nats, message, restoring, streams};

use super::event::FeedMessage;
use super::unreadable;

/// How many messages are kept. More than a second's worth of what one machine writes, and a few batches of each reader.
const MESSAGES_MAX: usize = 16_384;
/// How many bytes of messages are kept. What is made of them takes a few times as much.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// How many messages are taken together, while they come faster than they are kept.
const TOGETHER_MAX: usize = 256;
/// How long to rest after a failure. Meanwhile everybody reads for itself.
const PAUSE: Duration = Duration::from_secs(1);

/// The newest messages of the feed, for the pipelines of one process. Cheap to clone. Empty unless [`FeedTail::keep`] runs.
#[derive(Debug, Clone, Default)]
pub struct FeedTail {
    kept: Arc<Mutex<Kept>>,
    /// Told at each change.
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The life of the stream that it is of, by when it was made; `None` while nobody reads.
    life: Option<OffsetDateTime>,
    /// Consecutive, up to `last`.
    messages: VecDeque<FeedMessage>,
    bytes: usize,
    /// The last sequence that was read.
    last: u64,
}

/// What the tail has for a reader.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// These come next.
    Messages(Vec<FeedMessage>),
    /// What comes next will be here as soon as it is there.
    NotYet,
    /// The reader's place is not here.
    Elsewhere,
}

impl FeedTail {
    /// What lies directly behind `position`, in a stream that was made at `life`: at most `limit` messages.
    pub(super) fn behind(&self, life: OffsetDateTime, position: u64, limit: usize) -> Found {
        let kept = self.lock();
        if kept.life != Some(life) || position > kept.last {
            return Found::Elsewhere;
        }
        let wanted = usize::try_from(kept.last - position).unwrap_or(usize::MAX);
        let Some(from) = kept.messages.len().checked_sub(wanted) else {
            return Found::Elsewhere;
        };
        if wanted == 0 {
            return Found::NotYet;
        }
        Found::Messages(kept.messages.range(from..).take(limit).cloned().collect())
    }

    /// Whether at most half of what is kept lies behind `position`, in a stream that was made at `life`.
    pub(super) fn is_in_newer_half(&self, life: OffsetDateTime, position: u64) -> bool {
        let kept = self.lock();
        let behind = kept.last.saturating_sub(position);
        kept.life == Some(life)
            && usize::try_from(behind).is_ok_and(|behind| behind <= kept.messages.len() / 2)
    }

    /// Told when there is something new. What was there before the call counts as known.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Reads the end of the feed until `shutdown`, over a connection like `nats`. What fails is begun anew after a while.
    pub async fn keep(&self, nats: &Nats, shutdown: &CancellationToken) {
        // Also if this is dropped or panics: nobody must wait for what will not come.
        let _forgotten = Forgotten(self);
        loop {
            let reading = shutdown
                .run_until_cancelled(Box::pin(self.read(nats)))
                .await;
            self.forget();
            match reading {
                None => return,
                Some(Ok(())) => {}
                Some(Err(failure)) => {
                    tracing::debug!(
                        "the end of the feed is not read for all for a while: {}",
                        failure.chain()
                    );
                }
            }
            if shutdown
                .run_until_cancelled(tokio::time::sleep(PAUSE))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    /// Reads from the present end of the feed on, for as long as it can be read.
    async fn read(&self, nats: &Nats) -> Result<(), Failure> {
        nats.ready().await?;
        let nats = nats.another().await;
        let nats =
            nats.map_err(|error| Failure::retry("the feed cannot be read").because(error))?;
        let disconnected = nats.lost();
        // Who makes it is a projection or intake; until then there is nothing to read.
        let Some(mut stream) = streams::existing(&nats.jetstream, streams::EVENTS).await? else {
            return Ok(());
        };
        if restoring::restoration(&stream).is_some() {
            // Nobody may read it before it is whole.
            return Ok(());
        }
        let last = stream.info().await.map_err(unreadable)?.state.last_sequence;
        let life = stream.cached_info().created;
        let what = "The projections of a process, while they keep up";
        let Some(messages) = super::pull_from(&stream, what, last + 1).await? else {
            return Ok(());
        };
        self.change(|kept| {
            *kept = Kept {
                life: Some(life),
                last,
                ..Kept::default()
            };
        });
        let follow = async {
            let mut chunks = messages.ready_chunks(TOGETHER_MAX);
            while let Some(chunk) = chunks.next().await {
                let mut arrived = Vec::with_capacity(chunk.len());
                for message in chunk {
                    let message = message.map_err(unreadable)?;
                    if let Some(message) = message::from_jetstream(&message) {
                        arrived.push(FeedMessage::judged(Arc::new(message)));
                    }
                }
                self.change(|kept| {
                    for message in arrived {
                        kept.append(message);
                    }
                });
            }
            Err(Failure::retry("the feed's consumer has ended"))
        };
        tokio::select! {
            followed = follow => followed,
            () = disconnected => Err(Failure::retry("the connection to NATS was lost")),
        }
    }

    /// Everybody reads for itself.
    fn forget(&self) {
        self.change(|kept| *kept = Kept::default());
    }

    fn change(&self, change: impl FnOnce(&mut Kept)) {
        change(&mut self.lock());
        self.changes.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing is done under the lock that could panic halfway.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets everything when it is dropped.
struct Forgotten<'a>(&'a FeedTail);

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        self.0.forget();
    }
}

impl Kept {
    fn append(&mut self, message: FeedMessage) {
        let position = message.message().position;
        if position <= self.last {
            return;
        }
        if position > self.last + 1 {
            // What is missing is for the readers to find.
            self.messages.clear();
            self.bytes = 0;
        }
        self.last = position;
        self.bytes += size(message.message());
        self.messages.push_back(message);
        while self.messages.len() > MESSAGES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.messages.pop_front() else {
                break;
            };
            self.bytes -= size(oldest.message());
        }
    }
}

fn size(message: &Message) -> usize {
    let headers: usize = message
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    message.payload.len() + message.subject.len() + headers
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use engine::Source;

    use super::*;
    use crate::{FeedItem, JetStreamEvents};

    const LIFE: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn message(position: u64, length: usize) -> FeedMessage {
        FeedMessage::unread(Arc::new(Message {
            position,
            subject: String::new(),
            headers: Vec::new(),
            payload: vec![0; length].into(),
            stored_at: SystemTime::UNIX_EPOCH,
        }))
    }

    /// A tail that began behind `last` and has read these since.
    fn tail(last: u64, messages: impl IntoIterator<Item = FeedMessage>) -> FeedTail {
        let tail = FeedTail::default();
        tail.change(|kept| {
            kept.life = Some(LIFE);
            kept.last = last;
            for message in messages {
                kept.append(message);
            }
        });
        tail
    }

    fn positions(tail: &FeedTail, position: u64, limit: usize) -> Option<Vec<u64>> {
        match tail.behind(LIFE, position, limit) {
            Found::Messages(messages) => {
                let positions = messages.iter().map(|found| found.message().position);
                Some(positions.collect())
            }
            Found::NotYet => Some(Vec::new()),
            Found::Elsewhere => None,
        }
    }

    #[test]
    fn a_reader_gets_what_lies_behind_its_place_if_that_is_here() {
        let tail = tail(10, (11..=15).map(|position| message(position, 1)));
        assert_eq!(positions(&tail, 9, 9), None);
        assert_eq!(positions(&tail, 10, 9), Some(vec![11, 12, 13, 14, 15]));
        assert_eq!(positions(&tail, 12, 2), Some(vec![13, 14]));
        assert_eq!(positions(&tail, 15, 9), Some(vec![]));
        assert_eq!(positions(&tail, 16, 9), None);
    }

    #[test]
    fn whoever_comes_from_a_consumer_changes_over_in_the_newer_half() {
        let tail = tail(10, (11..=20).map(|position| message(position, 1)));
        for (position, is_newer) in [(9, false), (10, false), (14, false), (15, true), (20, true)] {
            assert_eq!(
                tail.is_in_newer_half(LIFE, position),
                is_newer,
                "{position}"
            );
        }
        assert!(!FeedTail::default().is_in_newer_half(LIFE, 0));
    }

    #[test]
    fn one_that_has_begun_and_read_nothing_serves_those_at_the_end() {
        let tail = tail(10, []);
        assert_eq!(positions(&tail, 9, 9), None);
        assert_eq!(positions(&tail, 10, 9), Some(vec![]));
    }

    #[test]
    fn a_reader_of_another_life_of_the_stream_gets_nothing() {
        let tail = tail(0, [message(1, 1)]);
        let other = LIFE + Duration::from_secs(1);
        assert_eq!(tail.behind(other, 0, 9), Found::Elsewhere);
        assert_eq!(
            FeedTail::default().behind(LIFE, 0, 9),
            Found::Elsewhere,
            "nobody reads"
        );
    }

    #[test]
    fn nothing_is_kept_from_before_a_hole() {
        let tail = tail(0, [1, 2, 4, 5].map(|position| message(position, 1)));
        assert_eq!(positions(&tail, 1, 9), None);
        assert_eq!(positions(&tail, 2, 9), None, "3 is missing");
        assert_eq!(positions(&tail, 3, 9), Some(vec![4, 5]));
    }

    #[test]
    fn what_comes_twice_is_kept_once() {
        let tail = tail(0, [1, 2, 1, 2, 3].map(|position| message(position, 1)));
        assert_eq!(positions(&tail, 0, 9), Some(vec![1, 2, 3]));
    }

    #[test]
    fn the_oldest_are_dropped_by_number_and_by_size() {
        let many = u64::try_from(MESSAGES_MAX).expect("it is small") + 5;
        let many = tail(0, (1..=many).map(|position| message(position, 1)));
        assert_eq!(positions(&many, 4, 1), None);
        assert_eq!(positions(&many, 5, 1), Some(vec![6]));
        let large = tail(0, (1..=5).map(|position| message(position, BYTES_MAX / 4)));
        assert_eq!(positions(&large, 0, 1), None);
        assert_eq!(positions(&large, 1, 1), Some(vec![2]));
    }

    /// Its connection may be dead without anybody having noticed.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_tail_that_has_fallen_silent_proves_no_loss() {
        let server = servers::testing::Nats::start().await;
        let nats = Nats::connect(&server.url()).await.expect("NATS runs");
        let limits = streams::Limits::default();
        let stream = streams::events(&nats.jetstream, &limits).await;
        let stream = stream.expect("the stream can be made");
        let silent = FeedTail::default();
        silent.change(|kept| kept.life = Some(stream.cached_info().created));
        let source = JetStreamEvents::new(nats.clone(), limits).sharing(&silent);
        let mut opened = source.open(None).await.expect("it can be opened");
        for position in 1..=2 {
            let publish = nats.jetstream.publish("ledger.events.ACC-1", "x".into());
            let stored = publish.await.expect("it can be published").await;
            stored.expect("it is stored");
            let next = tokio::time::timeout(Duration::from_secs(30), opened.deliveries.next());
            let next = next.await.expect("it comes").expect("it goes on");
            let delivery = next.expect("it can be read");
            assert_eq!(delivery.position, position);
            let is_message = matches!(delivery.item, FeedItem::Message(_));
            assert!(is_message, "{delivery:?}");
        }
    }
}
