//! `chronicle dead-letter retry`: the original goes in again, as it was.
//!
//! The letter is removed only once the stream of commands has acknowledged the original. If this dies in between, the
//! letter is still there, and a second retry publishes the command once more; that is harmless, for a command with the
//! same id and body is answered with its first outcome.

use async_nats::HeaderMap;
use serde::Serialize;
use transport::dead_letter::Letter;
use transport::{streams, subjects};

use super::Place;
use super::find::{self, Found};
use crate::exit;
use crate::output::{self, Format};
use crate::submission::publishing::{self, Unacknowledged};

/// What was done.
#[derive(Serialize)]
struct Retried<'a> {
    id: &'a str,
    subject: &'a str,
    /// Its place in the stream of commands.
    sequence: u64,
}

pub(super) async fn execute(place: &Place<'_>, found: &Found) -> anyhow::Result<()> {
    let letter = find::open(place, found)
        .await?
        .map_err(|unreadable| exit::no(unreadable.to_string()))?;
    let subject = subject_of(&letter)?;
    let original = publishing::Outgoing {
        subject: subject.clone(),
        headers: headers_of(&letter),
        payload: letter.payload.clone(),
    };
    let acknowledged = publishing::publish(place.nats, original).await.map_err(|error| {
        let maybe = if matches!(error, Unacknowledged::Unknown(_)) { "it may be waiting there; " } else { "" };
        place.failed(format!(
            "{subject}: {error}. {maybe}The letter {} is still among the dead letters: retry it again later",
            letter.id
        ))
    })?;
    place.remove(found).await?;
    let sequence = acknowledged.sequence;
    match place.output {
        Format::Json => output::json(&Retried {
            id: &letter.id,
            subject: &subject,
            sequence,
        }),
        Format::Table => output::line(format!(
            "dead letter {} was published again to {subject} and removed here; if the ledger still can make no command of it, \
             it comes back as {}-{sequence}-…",
            letter.id,
            streams::COMMANDS
        )),
    }
}

/// Where the original was published: the stream has put the partition in.
fn subject_of(letter: &Letter) -> anyhow::Result<String> {
    let is_command = letter
        .subject
        .strip_prefix(subjects::COMMANDS)
        .is_some_and(|rest| rest.starts_with('.'));
    let account = subjects::account_of(&letter.subject);
    if is_command && !account.is_empty() {
        Ok(format!("{}.{account}", subjects::COMMANDS))
    } else {
        Err(exit::usage(format!(
            "dead letter {} came from {:?}, and that is no subject of commands ({}.<account>): it cannot be published again; \
             `chronicle dead-letter discard {} --reason …` removes it",
            letter.id,
            letter.subject,
            subjects::COMMANDS,
            letter.id
        )))
    }
}

/// The original's headers, but for those that tell the server something: it would drop the message as a duplicate, or
/// hold it against an expectation that no longer makes sense.
fn headers_of(letter: &Letter) -> HeaderMap {
    const SERVER_PREFIX: &str = "nats-";
    let mut map = HeaderMap::new();
    for (name, value) in &letter.headers {
        if !name.to_ascii_lowercase().starts_with(SERVER_PREFIX) {
            map.append(name.as_str(), value.as_str());
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(subject: &str) -> Letter {
        let header = |name: &str| (name.to_owned(), "x".to_owned());
        Letter {
            id: "LEDGER_COMMANDS-7".to_owned(),
            sequences: vec![1],
            subject: subject.to_owned(),
            node: "decode".to_owned(),
            code: "invalid_json".to_owned(),
            reason: "no".to_owned(),
            stored_at: String::new(),
            buried_at: String::new(),
            headers: vec![
                header("Content-Type"),
                header("Nats-Msg-Id"),
                header("nats-expected-stream"),
                header("Chronicle-Reply-To"),
            ],
            payload: "{".into(),
        }
    }

    #[test]
    fn the_partition_is_taken_out_of_the_subject() {
        assert_eq!(
            subject_of(&letter("ledger.commands.3.ACC-1")).unwrap(),
            "ledger.commands.ACC-1"
        );
        assert_eq!(
            subject_of(&letter("ledger.commands.ACC-1")).unwrap(),
            "ledger.commands.ACC-1"
        );
        for other in [
            "ledger.events.ACC-1",
            "ledger.commandsX.1",
            "ledger.commands.",
            "x",
            "",
        ] {
            assert!(subject_of(&letter(other)).is_err(), "{other}");
        }
    }

    #[test]
    fn headers_for_the_server_stay_behind() {
        let map = headers_of(&letter("ledger.commands.0.A"));
        assert!(map.get("Content-Type").is_some() && map.get("Chronicle-Reply-To").is_some());
        assert_eq!(map.len(), 2);
    }
}
