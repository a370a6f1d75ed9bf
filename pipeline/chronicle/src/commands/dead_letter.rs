//! `chronicle dead-letter`: what was no command, why, and what is to become of it.
//!
//! A letter leaves the stream by `retry` or `discard` only. Both put down what has to be kept first and remove the letter
//! last: whoever is interrupted finds the letter still there, and does it again.

mod discard;
mod find;
mod retry;
mod show;

use std::process::ExitCode;

use async_nats::jetstream::stream::Stream;
use serde::Serialize;
use transport::{Nats, streams};

pub(super) use self::discard::is_record;
use self::find::{Found, Letters};
use super::reach;
use super::rows::{Column, Rows};
use crate::arguments::DeadLetterTask;
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

pub(crate) async fn execute(
    servers: &ServerArguments,
    task: &DeadLetterTask,
    output: Format,
) -> anyhow::Result<ExitCode> {
    if let DeadLetterTask::Discard { reason, .. } = task
        && reason.trim().is_empty()
    {
        return Err(exit::usage(
            "a discard needs a reason, for whoever asks later: --reason \"…\"",
        ));
    }
    let nats = reach::nats(servers).await?;
    let stream = streams::existing(&nats.jetstream, streams::DEAD_LETTERS)
        .await
        .map_err(|failure| reach::nats_failed(servers, &failure))?;
    let letters = match &stream {
        Some(stream) => find::all(&nats, stream)
            .await
            .map_err(|failure| reach::nats_failed(servers, &failure))?,
        // Intake makes the stream when it starts.
        None => Letters::default(),
    };
    let place = Place {
        servers,
        nats: &nats,
        stream: stream.as_ref(),
        output,
    };
    match task {
        DeadLetterTask::List => list(&place, &letters).await?,
        DeadLetterTask::Show { id } => show::execute(&place, place.one(&letters, id)?).await?,
        DeadLetterTask::Retry { id } => retry::execute(&place, place.one(&letters, id)?).await?,
        DeadLetterTask::Discard { id, reason } => {
            discard::execute(&place, place.one(&letters, id)?, reason).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the letters are, and how answers are printed.
struct Place<'a> {
    servers: &'a ServerArguments,
    nats: &'a Nats,
    stream: Option<&'a Stream>,
    output: Format,
}

impl Place<'_> {
    fn one<'f>(&self, letters: &'f Letters, id: &str) -> anyhow::Result<&'f Found> {
        letters.by_id(id).ok_or_else(|| {
            let there = match letters.found.as_slice() {
                [] => "there are none at all".to_owned(),
                [one] => format!("there is one, {}", one.id),
                many => format!(
                    "there are {}, from {} to {}; see `chronicle dead-letter list`",
                    many.len(),
                    many[0].id,
                    many[many.len() - 1].id
                ),
            };
            exit::no(format!(
                "there is no dead letter {id:?} in {} at {}: {there}",
                streams::DEAD_LETTERS,
                reach::place(self.servers.nats_url())
            ))
        })
    }

    /// The stream, which is there when a letter was found in it.
    fn stream(&self) -> anyhow::Result<&Stream> {
        self.stream
            .ok_or_else(|| self.failed(format!("the stream {} is gone", streams::DEAD_LETTERS)))
    }

    fn failed(&self, what: impl std::fmt::Display) -> anyhow::Error {
        reach::nats_says(self.servers, what)
    }

    /// Removes a letter, all parts and copies of it: the last step of whatever is done with it.
    async fn remove(&self, found: &Found) -> anyhow::Result<()> {
        let stream = self.stream()?;
        for sequence in found.sequences() {
            stream.delete_message(sequence).await.map_err(|error| {
                self.failed(format!(
                    "dead letter {} (sequence {sequence} of {}) could not be removed: {error}; it is still listed, and the \
                     same command can be given again",
                    found.id,
                    streams::DEAD_LETTERS
                ))
            })?;
        }
        Ok(())
    }
}

/// One line of the list.
#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    buried_at: &'a str,
    code: &'a str,
    subject: &'a str,
    /// How long the original was; null when parts of it are missing.
    bytes: Option<usize>,
    reason: &'a str,
}

async fn list(place: &Place<'_>, letters: &Letters) -> anyhow::Result<()> {
    for sentence in &letters.unreadable {
        output::say(sentence);
    }
    if letters.found.is_empty() {
        match place.output {
            Format::Table => output::line("there are no dead letters")?,
            Format::Json => output::say("there are no dead letters"),
        }
        return Ok(());
    }
    let mut rows = Rows::new([
        Column::Left("id"),
        Column::Left("buried at"),
        Column::Left("code"),
        Column::Left("subject"),
        Column::Right("bytes"),
        Column::Left("reason"),
    ]);
    for found in &letters.found {
        let listed = Listed {
            id: &found.id,
            buried_at: found.header(transport::headers::DEAD_LETTER_BURIED_AT),
            code: found.header(transport::headers::DEAD_LETTER_CODE),
            subject: found.header(transport::headers::DEAD_LETTER_SUBJECT),
            bytes: bytes(place, found).await?,
            reason: found.header(transport::headers::DEAD_LETTER_REASON),
        };
        match place.output {
            Format::Json => output::json(&listed)?,
            Format::Table => rows.push([
                listed.id.to_owned(),
                listed.buried_at.to_owned(),
                listed.code.to_owned(),
                listed.subject.to_owned(),
                listed
                    .bytes
                    .map_or_else(|| "incomplete".to_owned(), |bytes| bytes.to_string()),
                listed.reason.to_owned(),
            ])?,
        }
    }
    rows.flush()
}

/// How long the original was. One in several parts is sealed, and has to be opened to know.
async fn bytes(place: &Place<'_>, found: &Found) -> anyhow::Result<Option<usize>> {
    if found.is_whole() {
        return Ok(found.stored_bytes());
    }
    Ok(find::open(place, found)
        .await?
        .ok()
        .map(|letter| letter.payload.len()))
}
