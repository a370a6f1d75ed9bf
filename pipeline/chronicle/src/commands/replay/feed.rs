//! Events of the feed, from one sequence through another, and what it no longer has of them.

use std::collections::VecDeque;

use async_nats::jetstream::stream::Stream;
use engine::{Failure, Message};
use ledger::Version;
use operators::NoEvent;
use transport::stored::StoredMessages;
use transport::{Nats, streams, subjects};

use super::event::{Counts, Replayed, Step};
use super::progress::Progress;
use crate::arguments::ReplayArguments;
use crate::commands::reach;
use crate::commands::reading::{self, Reading, Wanted};
use crate::commands::rows::plain;
use crate::exit;
use crate::servers_at::ServerArguments;

/// How many sequences are read one by one after the reading has broken off: more than are on their way at once.
const ONE_BY_ONE: u64 = 2_000;
/// Below so many a second all is read one by one: a consumer that is left alone for long is removed.
const SLOW: u32 = 500;

/// Messages of the feed, in order. Reads with a consumer of its own, and on past a message that costs its receivers the
/// connection ([`transport::stored`]).
pub(in crate::commands) struct Messages {
    nats: Nats,
    stream: Stream,
    /// Over a connection of its own.
    stored: StoredMessages,
    filter: String,
    next: u64,
    through: u64,
    is_slow: bool,
    reading: Option<Reading>,
    ready: VecDeque<Message>,
    /// Where the reading has broken off, to be read one by one from there.
    broken_at: Option<u64>,
}

impl Messages {
    /// Those under `filter`, from one sequence through another; one by one, if few of them are wanted a second.
    pub(in crate::commands) async fn open(
        nats: &Nats,
        stream: Stream,
        filter: String,
        (next, through): (u64, u64),
        is_slow: bool,
    ) -> Result<Self, Failure> {
        let other = nats.another().await;
        let other =
            other.map_err(|error| Failure::retry("the feed cannot be read").because(error))?;
        Ok(Self {
            nats: nats.clone(),
            stream,
            stored: StoredMessages::new(other.jetstream, streams::EVENTS, &filter, 1),
            filter,
            next,
            through,
            is_slow,
            reading: None,
            ready: VecDeque::new(),
            broken_at: None,
        })
    }

    pub(in crate::commands) async fn next(&mut self) -> Result<Option<Message>, Failure> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                if message.position > self.through {
                    return Ok(None);
                }
                self.next = self.next.max(message.position + 1);
                return Ok(Some(message));
            }
            if self.next > self.through {
                return Ok(None);
            }
            let one_by_one = self
                .broken_at
                .map(|at| at + ONE_BY_ONE)
                .filter(|until| self.next <= *until);
            if self.is_slow {
                self.read_one_by_one(self.through).await?;
            } else if let Some(until) = one_by_one {
                self.read_one_by_one(until.min(self.through)).await?;
            } else if let Err(failure) = self.read().await {
                self.broken_off(failure).await?;
            }
        }
    }

    async fn read_one_by_one(&mut self, until: u64) -> Result<(), Failure> {
        let (found, go_on) = self.stored.some(self.next, until).await?;
        self.next = go_on.unwrap_or(until + 1);
        self.ready
            .extend(found.into_iter().map(|stored| stored.message));
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Failure> {
        let reading = match &mut self.reading {
            Some(reading) => reading,
            reading => {
                let wanted = Wanted {
                    filter: self.filter.clone(),
                    from_sequence: self.next,
                    headers_only: false,
                };
                reading.insert(Reading::open(&self.nats, &self.stream, wanted).await?)
            }
        };
        match reading.next().await? {
            reading::Step::Message(message) if message.position >= self.next => {
                self.ready.push_back(message);
            }
            reading::Step::Message(_) => {}
            reading::Step::NoMore => self.next = self.through + 1,
        }
        Ok(())
    }

    /// What has broken the reading off may be a message; or the feed is gone.
    async fn broken_off(&mut self, failure: Failure) -> Result<(), Failure> {
        self.reading = None;
        if self.broken_at == Some(self.next) {
            return Err(failure);
        }
        self.broken_at = Some(self.next);
        let nats = self.nats.another().await;
        let nats =
            nats.map_err(|error| Failure::retry("the feed cannot be read").because(error))?;
        let now = streams::existing(&nats.jetstream, streams::EVENTS).await?;
        if now.is_some_and(|now| streams::identity(&now) == streams::identity(&self.stream)) {
            self.nats = nats;
            return Ok(());
        }
        Err(Failure::fatal(
            "the feed was lost and made anew: its sequences mean something else now; begin again",
        ))
    }
}

/// Events of the feed.
pub(super) struct FeedEvents<'a> {
    servers: &'a ServerArguments,
    arguments: &'a ReplayArguments,
    messages: Messages,
    /// The sequence that comes next, unless something is missing.
    expected: u64,
    /// The last version of the only account, if there is only one and as much is known: the sequences tell nothing then.
    last_version: Option<Version>,
}

impl<'a> FeedEvents<'a> {
    /// From one sequence through another.
    pub(super) async fn open(
        servers: &'a ServerArguments,
        arguments: &'a ReplayArguments,
        nats: &Nats,
        stream: Stream,
        (from, through): (u64, u64),
    ) -> anyhow::Result<Self> {
        let is_slow = arguments.rate.is_some_and(|rate| rate.get() < SLOW);
        let messages =
            Messages::open(nats, stream, filter(arguments), (from, through), is_slow).await;
        let from_the_beginning = arguments.account.is_some() && from == 1;
        Ok(Self {
            servers,
            arguments,
            messages: messages.map_err(|failure| reach::nats_failed(servers, &failure))?,
            expected: from,
            last_version: from_the_beginning.then_some(Version::NONE),
        })
    }

    pub(super) async fn next(
        &mut self,
        counts: &mut Counts,
        progress: &Progress,
    ) -> anyhow::Result<Step> {
        let next = self.messages.next().await;
        let next = next.map_err(|failure| reach::nats_failed(self.servers, &failure))?;
        let Some(message) = next else {
            self.missing_before(self.messages.through + 1, counts, progress)?;
            return Ok(Step::End);
        };
        let sequence = message.position;
        self.missing_before(sequence, counts, progress)?;
        let event = match operators::event_in(&message) {
            Ok(event) => event,
            // It is an event, and must not be left out.
            Err(NoEvent::TooNew(reason)) => {
                return Err(exit::no(format!("sequence {sequence}: {reason}")));
            }
            Err(no_event) => {
                self.expected = sequence + 1;
                counts.unreadable += 1;
                let subject = plain(&message.subject);
                progress.say(format!(
                    "sequence {sequence} ({subject}) is no event, and is left out: {no_event}"
                ));
                return Ok(Step::Passed);
            }
        };
        self.expected = sequence + 1;
        self.missing_version(sequence, event.version, counts, progress)?;
        let types = &self.arguments.types;
        if !types.is_empty() && !types.iter().any(|name| name == event.data.type_name()) {
            counts.filtered += 1;
            return Ok(Step::Passed);
        }
        Ok(Step::Event(Box::new(Replayed::of_feed(message, event))))
    }

    /// How far the reading has come, in sequences.
    pub(super) fn position(&self) -> u64 {
        self.expected - 1
    }

    /// Some sequences before this one may not have come.
    fn missing_before(
        &mut self,
        sequence: u64,
        counts: &mut Counts,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let first = self.expected;
        if self.arguments.account.is_some() || first >= sequence {
            return Ok(());
        }
        self.expected = sequence;
        counts.missing += sequence - first;
        let what = if first + 1 == sequence {
            format!("sequence {first} is")
        } else {
            format!("sequences {first} to {} are", sequence - 1)
        };
        self.missing(&what, progress)
    }

    /// Of one account every version should come. One that comes again is no harm.
    fn missing_version(
        &mut self,
        sequence: u64,
        version: Version,
        counts: &mut Counts,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        if self.arguments.account.is_none() {
            return Ok(());
        }
        let last = self.last_version.replace(version);
        let Some(last) = last.filter(|last| version > last.next()) else {
            self.last_version = last.max(Some(version));
            return Ok(());
        };
        counts.missing += version.get() - last.next().get();
        let before = version.get() - 1;
        self.missing(
            &format!(
                "before sequence {sequence}, versions {} to {before} of the account are",
                last.next()
            ),
            progress,
        )
    }

    fn missing(&self, what: &str, progress: &Progress) -> anyhow::Result<()> {
        if self.arguments.skip_missing {
            progress.say(format!("{what} missing from the feed, and left out"));
            return Ok(());
        }
        Err(exit::no(format!(
            "{what} missing from the feed. The event store has everything: --from-event-store; or leave it out: \
             --skip-missing"
        )))
    }
}

/// The subjects that are wanted.
pub(super) fn filter(arguments: &ReplayArguments) -> String {
    arguments
        .account
        .as_ref()
        .map_or(format!("{}.*", subjects::EVENTS), subjects::event)
}
