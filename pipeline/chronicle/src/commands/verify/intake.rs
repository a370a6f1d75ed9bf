//! Nothing is lost on the way in: what is in `LEDGER_COMMANDS` waits, or is settled and about to leave.
//!
//! Settled, but still there: such a message must have an outcome or a dead letter, for nobody will deliver it again.
//! State: one page of messages, and the ids of those that still need a dead letter (bounded).

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::Stream;
use engine::Message;
use futures::StreamExt;
use ledger::{CommandId, codec};
use store::EventStore;
use tokio::time::Instant;
use transport::{Nats, dead_letter, headers, message, streams, subjects};

use super::report::{Invariant, Report, Violation};

/// How long the stream and its consumers may disagree: a purge follows its acknowledgement a moment later.
const AGREE_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How many messages are read at a time.
const PAGE: usize = 200;
/// How many settled messages without an outcome are looked up among the dead letters.
const WITHOUT_OUTCOME_MAX: usize = 10_000;

/// The commands stream and what its consumers say, partition by partition.
pub(super) struct Partitions {
    stream: Stream,
    consumers: Vec<(String, Option<consumer::Info>)>,
}

impl Partitions {
    /// The partitions as they are now; `None` when there is no stream.
    pub(super) async fn look(nats: &Nats) -> anyhow::Result<Option<Self>> {
        let Some(stream) = streams::existing(&nats.jetstream, streams::COMMANDS).await? else {
            return Ok(None);
        };
        let transform = stream.cached_info().config.subject_transform.as_ref();
        let count = transform
            .and_then(|transform| partitions_of(&transform.destination))
            .unwrap_or(1);
        let mut consumers = Vec::new();
        for partition in 0..count {
            let name = format!("intake-{partition}");
            let info = match stream.consumer_info(&name).await {
                Ok(info) => Some(info),
                Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => None,
                Err(error) => {
                    return Err(error).context(format!("the consumer {name} cannot be looked up"));
                }
            };
            consumers.push((name, info));
        }
        Ok(Some(Self { stream, consumers }))
    }

    /// The consumers that there are.
    pub(super) fn consumers(&self) -> impl Iterator<Item = (&str, &consumer::Info)> {
        self.consumers
            .iter()
            .filter_map(|(name, info)| Some((name.as_str(), info.as_ref()?)))
    }

    /// How many messages the consumers have before them: not delivered, or not acknowledged.
    fn unsettled(&self) -> u64 {
        self.consumers()
            .map(|(_, info)| info.num_pending + info.num_ack_pending as u64)
            .sum()
    }

    fn messages(&self) -> u64 {
        self.stream.cached_info().state.messages
    }

    /// Partitions that nobody has ever read have no consumer, and all of their messages wait.
    fn all_have_consumers(&self) -> bool {
        self.consumers.iter().all(|(_, info)| info.is_some())
    }
}

/// The number of partitions in a destination such as `ledger.commands.{{partition(4,1)}}.{{wildcard(1)}}`.
fn partitions_of(destination: &str) -> Option<u32> {
    let (_, rest) = destination.split_once("partition(")?;
    rest.split([',', ')']).next()?.trim().parse().ok()
}

/// Messages that are settled, still there, and have no outcome: by the id that their dead letter must have.
pub(super) type WithoutOutcome = HashMap<String, Violation>;

/// Compares the stream with its consumers, and settled messages with the event store. What is found without an outcome
/// is answered, and must have a dead letter.
pub(super) async fn check(
    nats: &Nats,
    store: &EventStore,
    report: &mut Report,
) -> anyhow::Result<(Option<Partitions>, WithoutOutcome)> {
    let invariant = Invariant::NoSilentLoss;
    let deadline = Instant::now() + AGREE_WITHIN;
    let partitions = loop {
        let Some(partitions) = Partitions::look(nats).await? else {
            report.not_checked(
                invariant,
                format!(
                    "the stream {} is not there yet; `chronicle run` makes it",
                    streams::COMMANDS
                ),
            );
            return Ok((None, WithoutOutcome::new()));
        };
        let agree = partitions.messages() == partitions.unsettled();
        if agree || !partitions.all_have_consumers() || Instant::now() >= deadline {
            break partitions;
        }
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    };
    report.checked(invariant, "waiting", partitions.messages());
    check_removed(&partitions, report);
    let mut without_outcome = WithoutOutcome::new();
    if partitions.messages() > partitions.unsettled() {
        for (name, info) in partitions.consumers() {
            let floor = info.ack_floor.stream_sequence;
            let settled = settled_messages(
                &partitions.stream,
                store,
                &info.config.filter_subject,
                floor,
                &mut without_outcome,
            );
            let settled = settled
                .await
                .with_context(|| format!("messages of {name} cannot be read"))?;
            if settled > 0 {
                report.note(
                    invariant,
                    format!("{settled} settled messages wait for {name} to purge them"),
                );
            }
        }
    } else if partitions.messages() < partitions.unsettled() {
        report.not_checked(
            invariant,
            format!("{} holds {} messages, and its consumers count {}: commands are moving; run this again when they rest",
                streams::COMMANDS, partitions.messages(), partitions.unsettled()),
        );
    }
    if !partitions.all_have_consumers() {
        report.note(
            invariant,
            "a partition has no consumer yet: its commands wait for the first intake",
        );
    }
    Ok((Some(partitions), without_outcome))
}

/// Settled commands leave the stream from its beginning; with one partition nothing else ever does.
fn check_removed(partitions: &Partitions, report: &mut Report) {
    let removed = partitions
        .stream
        .cached_info()
        .state
        .deleted_count
        .unwrap_or_default();
    if partitions.consumers.len() == 1 && removed > 0 {
        let message = format!(
            "messages were removed from the middle of {} by hand: their commands have no record",
            streams::COMMANDS
        );
        report.violated(
            Invariant::NoSilentLoss,
            Violation::new(message).values(0, removed),
        );
    }
}

/// Reads the messages of a partition up to the floor below which everything counts as settled. Answers with their
/// number.
async fn settled_messages(
    stream: &Stream,
    store: &EventStore,
    filter: &str,
    floor: u64,
    without_outcome: &mut WithoutOutcome,
) -> anyhow::Result<u64> {
    let config = pull::Config {
        filter_subject: filter.to_owned(),
        ..reading()
    };
    let consumer = stream.create_consumer(config).await?;
    let mut settled = 0;
    loop {
        let mut page: Vec<Message> = Vec::new();
        let mut batch = consumer.fetch().max_messages(PAGE).messages().await?;
        while let Some(message) = batch.next().await {
            let message = message.map_err(anyhow::Error::from_boxed)?;
            page.extend(
                message::from_jetstream(&message).filter(|message| message.position <= floor),
            );
        }
        settled += page.len() as u64;
        look_up(store, &page, without_outcome).await?;
        if page.len() < PAGE {
            return Ok(settled);
        }
    }
}

/// A consumer that leaves no trace.
pub(super) fn reading() -> pull::Config {
    pull::Config {
        description: Some("chronicle verify".to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::None,
        inactive_threshold: Duration::from_secs(10),
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    }
}

async fn look_up(
    store: &EventStore,
    page: &[Message],
    without_outcome: &mut WithoutOutcome,
) -> anyhow::Result<()> {
    let command_id = |message: &Message| -> Option<CommandId> {
        let decoded =
            codec::decode_command(message.header(headers::CONTENT_TYPE), &message.payload);
        decoded.ok().map(|command| command.command_id)
    };
    let ids: Vec<CommandId> = page.iter().filter_map(command_id).collect();
    let known = store.command_rows_of(&ids).await?;
    for message in page {
        let id = command_id(message);
        if known.iter().any(|known| Some(known.command_id) == id)
            || without_outcome.len() >= WITHOUT_OUTCOME_MAX
        {
            continue;
        }
        let violation = Violation::new(format!(
            "sequence {} of {} is settled, and has no outcome and no dead letter; publish it again",
            message.position,
            streams::COMMANDS
        ))
        .account(subjects::account_of(&message.subject));
        let violation = match id {
            Some(id) => violation.command(id),
            None => violation,
        };
        without_outcome.insert(dead_letter::id_of(message), violation);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_partitions_stands_in_the_transform() {
        let destination = "ledger.commands.{{partition(16,1)}}.{{wildcard(1)}}";
        assert_eq!(partitions_of(destination), Some(16));
        assert_eq!(partitions_of("ledger.commands.$1"), None);
    }
}
