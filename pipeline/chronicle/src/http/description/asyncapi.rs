//! AsyncAPI: the subjects of NATS, for programs that make clients of descriptions. The words are in docs/wire.md.

use ledger::EventData;
use ledger::codec::{CONTENT_TYPE_BINCODE, CONTENT_TYPE_JSON};
use serde_json::{Map, Value, json};
use transport::{headers, streams, subjects};
use utoipa::{PartialSchema, ToSchema};

use crate::http::commands::schema::AnyCommand;

/// The description.
pub(super) fn document() -> Value {
    let channel =
        |address: String, stream: Option<&str>, parameter: &str, about: &str, message: &str| {
            let kept = stream.map_or_else(
                || "plain NATS: heard by whoever listens at that moment".to_owned(),
                |stream| format!("kept in the JetStream stream {stream}"),
            );
            json!({
                "address": address,
                "description": format!("{about}; {kept}"),
                "parameters": {parameter: {}},
                "messages": {message: {"$ref": format!("#/components/messages/{message}")}},
            })
        };
    let operation = |action: &str, channel: &str, summary: &str| {
        json!({
            "action": action,
            "channel": {"$ref": format!("#/channels/{channel}")},
            "summary": summary,
        })
    };
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Chronicle Ledger over NATS",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Commands go in, outcomes, events and dead letters come out.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE_JSON,
        "channels": {
            "commands": channel(
                format!("{}.{{account_id}}", subjects::COMMANDS), Some(streams::COMMANDS), "account_id",
                "Commands, under the account that is debited, or the only one; of a posting and a batch, that of the first entry or command", "command",
            ),
            "outcomes": channel(
                format!("{}.{{command_id}}", subjects::OUTCOMES), None, "command_id",
                "What became of each command", "outcome",
            ),
            "events": channel(
                format!("{}.{{account_id}}", subjects::EVENTS), Some(streams::EVENTS), "account_id",
                "Every event, in the order of the commits", "event",
            ),
            "dead_letters": channel(
                format!("{}.{{code}}", subjects::DEAD_LETTERS), Some(streams::DEAD_LETTERS), "code",
                "Messages that were no commands, with their own bytes", "dead_letter",
            ),
        },
        "operations": {
            "publish_command": operation("receive", "commands", "The ledger takes commands"),
            "tell_outcome": operation("send", "outcomes", "The ledger tells what became of a command"),
            "publish_event": operation("send", "events", "The ledger tells what has happened"),
            "bury": operation("send", "dead_letters", "The ledger keeps what was no command"),
        },
        "components": {
            "messages": {
                "command": {
                    "contentType": CONTENT_TYPE_JSON,
                    "description": format!("A command; also as {CONTENT_TYPE_BINCODE}"),
                    "headers": {"type": "object", "properties": {
                        headers::CONTENT_TYPE: {"type": "string"},
                        headers::REPLY_TO: {"type": "string", "description": "Where the outcome is to be sent, too"},
                    }},
                    "payload": {
                        "type": "object",
                        "required": ["command_id", "type"],
                        "allOf": [{"$ref": "#/components/schemas/AnyCommand"}],
                    },
                },
                "outcome": {
                    "payload": {"type": "object", "required": ["command_id", "status", "events"], "properties": {
                        "command_id": {"type": "string", "format": "uuid"},
                        "status": {"enum": ["accepted", "rejected"]},
                        "events": {"type": "array", "items": place()},
                        "rejection": {"type": "object"},
                    }},
                },
                "event": {
                    "headers": {"type": "object", "properties": {
                        headers::EVENT_TYPE: {"enum": EventData::TYPE_NAMES},
                        headers::SCHEMA_VERSION: {"type": "string", "pattern": "^[0-9]+$",
                            "description": "The version of the schema that it takes to read the event"},
                        headers::MESSAGE_ID: {"type": "string", "description": "The event's id"},
                    }},
                    "payload": {"type": "object", "required": ["event_id", "account_id", "version", "type", "data", "hash"],
                        "properties": {"part": part()}},
                },
                "dead_letter": {
                    "headers": {"type": "object", "properties": {
                        headers::DEAD_LETTER_ID: {"type": "string"},
                        headers::DEAD_LETTER_CODE: {"type": "string"},
                        headers::DEAD_LETTER_REASON: {"type": "string"},
                    }},
                    "payload": {"description": "The message's own bytes"},
                },
            },
            "schemas": schemas(),
        },
    })
}

/// Where an event is.
fn place() -> Value {
    json!({
        "type": "object",
        "required": ["account_id", "version", "event_id"],
        "properties": {
            "account_id": {"type": "string"},
            "version": {"type": "integer"},
            "event_id": {"type": "string", "format": "uuid"},
            "part": part(),
        },
    })
}

fn part() -> Value {
    json!({"type": "integer", "description": "Which command of a batch made it, from 0"})
}

/// The forms of commands, which are those of the HTTP API; only that nobody else says the id here.
fn schemas() -> Map<String, Value> {
    let mut forms = Vec::new();
    AnyCommand::schemas(&mut forms);
    forms.push((AnyCommand::name().into_owned(), AnyCommand::schema()));
    let as_json = |form| serde_json::to_value(form).expect("a form is JSON");
    forms
        .into_iter()
        .map(|(name, form)| (name, as_json(form)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_subjects_that_the_ledger_uses() {
        let document = document();
        for (channel, subject) in [
            ("commands", "ledger.commands.{account_id}"),
            ("outcomes", "ledger.outcomes.{command_id}"),
            ("events", "ledger.events.{account_id}"),
            ("dead_letters", "ledger.dead_letters.{code}"),
        ] {
            assert_eq!(document["channels"][channel]["address"], subject);
            let message = &document["channels"][channel]["messages"];
            for reference in message.as_object().unwrap().values() {
                let path = reference["$ref"].as_str().unwrap().trim_start_matches('#');
                assert!(document.pointer(path).is_some(), "{path}");
            }
        }
        let commands = &document["components"]["schemas"]["AnyCommand"]["oneOf"];
        assert_eq!(
            commands.as_array().map(Vec::len),
            Some(ledger::Action::TYPE_NAMES.len())
        );
        for operation in document["operations"].as_object().unwrap().values() {
            let path = operation["channel"]["$ref"].as_str().unwrap();
            assert!(document.pointer(path.trim_start_matches('#')).is_some());
        }
    }
}
