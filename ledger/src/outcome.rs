//! Outcomes: what became of a command. Exactly one per command, for ever.

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::ids::{AccountId, CommandId, EventId, Version};
use crate::rejection::Rejection;

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The command.
    pub command_id: CommandId,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Accepted or rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Verdict {
    /// The ledger did it; these are the events, in order.
    Accepted {
        /// One reference per event.
        events: Vec<EventReference>,
    },
    /// The ledger did not do it, and never will under this id.
    Rejected {
        /// Always empty; written so that every outcome has the same fields.
        #[serde(default)]
        events: [EventReference; 0],
        /// Why.
        rejection: Rejection,
    },
}

/// Where an event is to be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventReference {
    /// The account that it happened to.
    pub account_id: AccountId,
    /// Its place in the account's history.
    pub version: Version,
    /// Its name.
    pub event_id: EventId,
    /// Which command of a batch made it, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
}

impl From<&Event> for EventReference {
    fn from(event: &Event) -> Self {
        Self {
            account_id: event.account_id.clone(),
            version: event.version,
            event_id: event.event_id,
            part: event.part,
        }
    }
}

impl Outcome {
    /// The outcome of a decision.
    pub fn of(command_id: CommandId, decision: Result<&[Event], &Rejection>) -> Self {
        let verdict = match decision {
            Ok(events) => Verdict::Accepted {
                events: events.iter().map(EventReference::from).collect(),
            },
            Err(rejection) => Verdict::Rejected {
                events: [],
                rejection: rejection.clone(),
            },
        };
        Self {
            command_id,
            verdict,
        }
    }

    /// Whether the ledger did it.
    pub fn is_accepted(&self) -> bool {
        matches!(self.verdict, Verdict::Accepted { .. })
    }

    /// The events; none for a rejected command.
    pub fn events(&self) -> &[EventReference] {
        match &self.verdict {
            Verdict::Accepted { events } => events,
            Verdict::Rejected { .. } => &[],
        }
    }

    /// Why not, for a rejected command.
    pub fn rejection(&self) -> Option<&Rejection> {
        match &self.verdict {
            Verdict::Accepted { .. } => None,
            Verdict::Rejected { rejection, .. } => Some(rejection),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: &str = "6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11";

    #[test]
    fn a_rejected_outcome_has_the_documented_shape() {
        let account_id: AccountId = "ACC-1".parse().unwrap();
        let rejection = Rejection::account_not_found(&account_id);
        let outcome = Outcome::of(COMMAND.parse().unwrap(), Err(&rejection));
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(
            text,
            r#"{"command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11","status":"rejected","events":[],"rejection":{"code":"account_not_found","message":"there is no account ACC-1; open it with create_account first","data":{"account_id":"ACC-1"}}}"#
        );
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
    }

    #[test]
    fn an_accepted_outcome_has_the_documented_shape() {
        let text = r#"{"command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11","status":"accepted","events":[{"account_id":"ACC-1","version":7,"event_id":"0a1c2a3e-58b1-8c0e-9a53-0d8f6c1f7b11"}]}"#;
        let outcome: Outcome = serde_json::from_str(text).unwrap();
        assert!(outcome.is_accepted());
        assert_eq!(outcome.events()[0].version, Version::new(7));
        assert_eq!(serde_json::to_string(&outcome).unwrap(), text);
    }
}
