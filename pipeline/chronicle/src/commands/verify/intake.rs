//! Nothing is lost on the way in: what is in `LEDGER_COMMANDS` waits, or is settled and about to leave.
//!
//! The stream counts, not its consumers: the intake takes up whatever lies in it, even what a consumer holds to be
//! acknowledged. So when the two disagree, the messages that are acknowledged and still there are read: they must have
//! an outcome or a dead letter, or get one soon if an intake runs.
//! State: one page of messages, and those without an outcome (bounded).

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::consumer;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::Stream;
use ledger::{CommandId, codec};
use store::EventStore;
use tokio::time::Instant;
use transport::stored::{Stored, StoredMessages};
use transport::{Nats, dead_letter, headers, streams, subjects};

use super::report::{Invariant, Report, Violation};

/// How long the stream and its consumers may disagree: a purge follows its acknowledgement a moment later.
const AGREE_WITHIN: Duration = Duration::from_secs(2);
/// How long an intake that runs may take to find what its consumer does not bring: it looks behind itself twice, five
/// seconds apart.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(15);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How many messages without an outcome are kept.
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

/// A message that is acknowledged, still there, and has no outcome.
pub(super) struct Unsettled {
    pub(super) violation: Violation,
    /// An intake runs, and has not taken it up.
    pub(super) is_passed_over: bool,
}

/// Such messages, by the id that their dead letter must have.
pub(super) type WithoutOutcome = HashMap<String, Unsettled>;

/// Compares the stream with its consumers, and acknowledged messages with the event store. What is found without an
/// outcome is answered, and must have a dead letter.
pub(super) async fn check(
    nats: &Nats,
    store: &EventStore,
    report: &mut Report,
) -> anyhow::Result<(Option<Partitions>, WithoutOutcome)> {
    let invariant = Invariant::NoSilentLoss;
    let started = Instant::now();
    let (partitions, acknowledged) = loop {
        let Some(partitions) = Partitions::look(nats).await? else {
            let commands = streams::COMMANDS;
            let reason =
                format!("the stream {commands} is not there yet; `chronicle run` makes it");
            report.not_checked(invariant, reason);
            return Ok((None, WithoutOutcome::new()));
        };
        let agree = partitions.messages() == partitions.unsettled();
        let wait = !agree && partitions.all_have_consumers() && started.elapsed() < AGREE_WITHIN;
        if !wait {
            let acknowledged = acknowledged(nats, store, &partitions).await?;
            let passed_over = acknowledged.without_outcome.values();
            let passed_over = passed_over
                .filter(|unsettled| unsettled.is_passed_over)
                .count();
            if passed_over == 0 || started.elapsed() >= TAKEN_UP_WITHIN {
                break (partitions, acknowledged);
            }
        }
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    };
    report.checked(invariant, "waiting", partitions.messages());
    check_removed(&partitions, report);
    if partitions.messages() < partitions.unsettled() {
        let reason = format!(
            "{} holds {} messages, and its consumers count {}: run this again when they rest",
            streams::COMMANDS,
            partitions.messages(),
            partitions.unsettled()
        );
        report.not_checked(invariant, reason);
    }
    if acknowledged.settled > 0 {
        let note = format!("settled and not yet purged: {}", acknowledged.settled);
        report.note(invariant, note);
    }
    if !partitions.all_have_consumers() {
        let note = "a partition has no consumer yet: its commands wait for the first intake";
        report.note(invariant, note);
    }
    Ok((Some(partitions), acknowledged.without_outcome))
}

/// What the consumers hold to be acknowledged, and what is still there.
#[derive(Default)]
struct Acknowledged {
    /// How many have an outcome.
    settled: u64,
    without_outcome: WithoutOutcome,
}

/// Reads what the consumers hold to be acknowledged, if the stream has more than they count.
async fn acknowledged(
    nats: &Nats,
    store: &EventStore,
    partitions: &Partitions,
) -> anyhow::Result<Acknowledged> {
    let mut acknowledged = Acknowledged::default();
    if partitions.messages() <= partitions.unsettled() {
        return Ok(acknowledged);
    }
    let apart = u32::try_from(partitions.consumers.len()).unwrap_or(u32::MAX);
    for (_, info) in partitions.consumers() {
        let jetstream = nats.jetstream.clone();
        let messages = StoredMessages::new(
            jetstream,
            streams::COMMANDS,
            &info.config.filter_subject,
            apart,
        );
        let floor = info.ack_floor.stream_sequence;
        let mut from = Some(partitions.stream.cached_info().state.first_sequence);
        while let Some(position) = from.filter(|position| *position <= floor) {
            let (page, next) = messages.some(position, floor).await?;
            acknowledged
                .look_up(store, &page, info.num_waiting > 0)
                .await?;
            from = next;
        }
    }
    Ok(acknowledged)
}

impl Acknowledged {
    async fn look_up(
        &mut self,
        store: &EventStore,
        page: &[Stored],
        intake_runs: bool,
    ) -> anyhow::Result<()> {
        let ids: Vec<CommandId> = page.iter().filter_map(command_id).collect();
        let known = store.command_rows_of(&ids).await?;
        for stored in page {
            let (message, id) = (&stored.message, command_id(stored));
            if known.iter().any(|known| Some(known.command_id) == id) {
                self.settled += 1;
                continue;
            }
            if self.without_outcome.len() >= WITHOUT_OUTCOME_MAX {
                continue;
            }
            let violation = Violation::new(format!(
                "sequence {} of {} counts as acknowledged, has no outcome and no dead letter, and the intake that runs \
                 does not take it up; restart the intake",
                message.position,
                streams::COMMANDS
            ));
            let violation = violation.account(subjects::account_of(&message.subject));
            let unsettled = Unsettled {
                violation: match id {
                    Some(id) => violation.command(id),
                    None => violation,
                },
                is_passed_over: intake_runs,
            };
            self.without_outcome
                .insert(dead_letter::id_of(message), unsettled);
        }
        Ok(())
    }
}

/// The id of the command that a message may be.
fn command_id(stored: &Stored) -> Option<CommandId> {
    let content_type = stored.message.header(headers::CONTENT_TYPE);
    let command = codec::decode_command(content_type, &stored.message.payload);
    command.ok().map(|command| command.command_id)
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
