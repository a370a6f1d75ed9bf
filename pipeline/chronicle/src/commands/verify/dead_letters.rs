//! Every dead letter says what it was and why it was given up.

use std::collections::HashMap;

use anyhow::Context;
use async_nats::jetstream::consumer::pull;
use futures::StreamExt;
use transport::{Nats, dead_letter, headers, message, streams};

use super::intake::{self, WithoutOutcome};
use super::report::{Invariant, Report, Violation};
use crate::commands::dead_letter::is_record;

/// How many messages are read at a time.
const PAGE: usize = 500;
/// How many letters can have some of their parts at a time.
const IN_PARTS_MAX: usize = 10_000;

/// Reads all dead letters' headers. What is left of `without_outcome` after that is lost.
pub(super) async fn check(
    nats: &Nats,
    mut without_outcome: WithoutOutcome,
    report: &mut Report,
) -> anyhow::Result<()> {
    let invariant = Invariant::NoSilentLoss;
    let mut letters = 0;
    if let Some(stream) = streams::existing(&nats.jetstream, streams::DEAD_LETTERS).await? {
        let config = pull::Config {
            headers_only: true,
            ..intake::reading()
        };
        let consumer = stream.create_consumer(config).await.context(UNREADABLE)?;
        let mut missing_parts: HashMap<String, usize> = HashMap::new();
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
                check_one(&letter, &mut without_outcome, &mut missing_parts, report);
            }
            // Nothing more came: some were removed in the meantime.
            if position == 0 || position >= last {
                break;
            }
        }
        for (id, missing) in missing_parts {
            report.violated(
                invariant,
                Violation::new(format!("dead letter {id} lacks {missing} of its parts")),
            );
        }
    }
    report.checked(invariant, "dead_letters", letters);
    for violation in without_outcome.into_values() {
        report.violated(invariant, violation);
    }
    Ok(())
}

const UNREADABLE: &str = "the dead letters cannot be read";

fn check_one(
    letter: &engine::Message,
    without_outcome: &mut WithoutOutcome,
    missing_parts: &mut HashMap<String, usize>,
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
    let Ok((id, _, count)) = dead_letter::part_of(letter) else {
        return;
    };
    without_outcome.remove(&id);
    if count > 1 && (missing_parts.contains_key(&id) || missing_parts.len() < IN_PARTS_MAX) {
        let missing = missing_parts.entry(id.clone()).or_insert(count);
        *missing = missing.saturating_sub(1);
        if *missing == 0 {
            missing_parts.remove(&id);
        }
    }
}
