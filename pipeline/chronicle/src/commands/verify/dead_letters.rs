//! Every dead letter says what it was and why it was given up.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures::StreamExt;
use transport::{Nats, dead_letter, headers, message, streams};

use super::intake::WithoutOutcome;
use super::report::{Invariant, Report, Violation};
use crate::commands::dead_letter::is_record;

/// How many messages are read at a time.
const PAGE: usize = 500;
/// How many letters in parts are followed. Such a letter is large, and the stream's limit holds fewer.
const IN_PARTS_MAX: usize = 10_000;

/// Reads all dead letters' headers. What is left of `without_outcome` after that has no record anywhere.
pub(super) async fn check(
    nats: &Nats,
    mut without_outcome: WithoutOutcome,
    report: &mut Report,
) -> anyhow::Result<()> {
    let invariant = Invariant::NoSilentLoss;
    let mut letters = 0;
    if let Some(stream) = streams::existing(&nats.jetstream, streams::DEAD_LETTERS).await? {
        let consumer = stream
            .create_consumer(reading())
            .await
            .context(UNREADABLE)?;
        let mut in_parts = InParts::new();
        let last = stream.cached_info().state.last_sequence;
        let mut left = stream.cached_info().state.messages;
        while left > 0 {
            let mut batch = consumer
                .fetch()
                .max_messages(PAGE)
                .messages()
                .await
                .context(UNREADABLE)?;
            let mut position = 0;
            while let Some(next) = batch.next().await {
                let next = next
                    .map_err(anyhow::Error::from_boxed)
                    .context(UNREADABLE)?;
                let Some(letter) = message::from_jetstream(&next) else {
                    continue;
                };
                position = letter.position;
                left = left.saturating_sub(1);
                if is_record(&letter) {
                    continue;
                }
                letters += 1;
                check_one(&letter, &mut without_outcome, &mut in_parts, report);
            }
            // Nothing more came: some were removed in the meantime.
            if position == 0 || position >= last {
                break;
            }
        }
        for (id, (count, present)) in in_parts {
            if present.len() < count {
                let violation = Violation::new(format!("dead letter {id} lacks some of its parts"));
                report.violated(invariant, violation.values(count, present.len()));
            }
        }
    }
    report.checked(invariant, "dead_letters", letters);
    let mut waiting = 0;
    for unsettled in without_outcome.into_values() {
        if unsettled.is_passed_over {
            report.violated(invariant, unsettled.violation);
        } else {
            waiting += 1;
        }
    }
    if waiting > 0 {
        let note = format!(
            "acknowledged without an outcome, waiting for the next start of the intake: {waiting}"
        );
        report.note(invariant, note);
    }
    Ok(())
}

/// Letters that were cut into parts: how many parts each has, and which of them were seen. (A letter can be buried twice.)
type InParts = HashMap<String, (usize, BTreeSet<usize>)>;

/// A consumer that brings headers only and leaves no trace.
fn reading() -> pull::Config {
    pull::Config {
        description: Some("chronicle verify".to_owned()),
        headers_only: true,
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::None,
        inactive_threshold: Duration::from_secs(10),
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    }
}

const UNREADABLE: &str = "the dead letters cannot be read";

fn check_one(
    letter: &engine::Message,
    without_outcome: &mut WithoutOutcome,
    in_parts: &mut InParts,
    report: &mut Report,
) {
    let required = [
        headers::DEAD_LETTER_ID,
        headers::DEAD_LETTER_CODE,
        headers::DEAD_LETTER_REASON,
    ];
    let missing: Vec<&str> = required
        .into_iter()
        .filter(|name| letter.header(name).is_none_or(str::is_empty))
        .collect();
    if !missing.is_empty() {
        let message = format!(
            "sequence {} of {} does not say what it was and why",
            letter.position,
            streams::DEAD_LETTERS
        );
        let violation = Violation::new(message)
            .values(required.join(", "), format!("no {}", missing.join(", ")));
        report.violated(Invariant::NoSilentLoss, violation);
    }
    let Ok((id, number, count)) = dead_letter::part_of(letter) else {
        return;
    };
    without_outcome.remove(&id);
    if count > 1 && (in_parts.contains_key(&id) || in_parts.len() < IN_PARTS_MAX) {
        in_parts
            .entry(id)
            .or_insert_with(|| (count, BTreeSet::new()))
            .1
            .insert(number);
    }
}
