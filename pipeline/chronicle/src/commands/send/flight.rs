//! The commands that are on their way: published or about to be, and not answered. No I/O and no clock: time is passed in.
//!
//! A command is known by its line. It is first *leaving* (its bytes are kept, for the stream may not take it at once),
//! then *stored* (only what identifies it is kept), then gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ledger::{Command, CommandId, Hash};
use tokio::time::Instant;

use crate::submission::publishing::Outgoing;

/// What identifies a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) command_id: CommandId,
    /// Tells it from another command under the same id.
    pub(super) fingerprint: Hash,
}

impl From<&Command> for Identity {
    fn from(command: &Command) -> Self {
        Self {
            command_id: command.command_id,
            fingerprint: command.fingerprint(),
        }
    }
}

enum State {
    /// The stream has not acknowledged it.
    Leaving(Outgoing),
    /// It is in the stream, since then.
    Stored(Instant),
}

/// The commands on their way, by line.
#[derive(Default)]
pub(super) struct Flight {
    commands: BTreeMap<u64, (Identity, State)>,
    /// Those of them that have to be published again.
    again: BTreeSet<u64>,
}

impl Flight {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether every command that was sent is done.
    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// A command leaves.
    pub(super) fn leave(&mut self, line: u64, identity: Identity, message: Outgoing) {
        self.commands
            .insert(line, (identity, State::Leaving(message)));
    }

    /// The stream has it. False when it is done already.
    pub(super) fn stored(&mut self, line: u64, now: Instant) -> bool {
        self.again.remove(&line);
        let Some((_, state)) = self.commands.get_mut(&line) else {
            return false;
        };
        *state = State::Stored(now);
        true
    }

    /// The stream may not have it: it has to be published again, unless it is done already.
    pub(super) fn not_stored(&mut self, line: u64) {
        if matches!(self.commands.get(&line), Some((_, State::Leaving(_)))) {
            self.again.insert(line);
        }
    }

    /// Whether some have to be published again.
    pub(super) fn has_unsent(&self) -> bool {
        !self.again.is_empty()
    }

    /// Those that have to be published again, in the order of their lines.
    pub(super) fn take_unsent(&mut self) -> Vec<(u64, Outgoing)> {
        let message = |line: u64| match self.commands.get(&line) {
            Some((_, State::Leaving(message))) => Some((line, message.clone())),
            _ => None,
        };
        std::mem::take(&mut self.again)
            .into_iter()
            .filter_map(message)
            .collect()
    }

    /// A command is done. False when it was done before.
    pub(super) fn done(&mut self, line: u64) -> bool {
        self.again.remove(&line);
        self.commands.remove(&line).is_some()
    }

    /// The first `limit` of those that have been in the stream for `age`, in the order of their lines.
    pub(super) fn stored_for(
        &self,
        age: Duration,
        now: Instant,
        limit: usize,
    ) -> Vec<(u64, Identity)> {
        let old = |state: &State| matches!(state, State::Stored(since) if now.duration_since(*since) >= age);
        let lines = self.commands.iter().filter(|(_, (_, state))| old(state));
        lines
            .map(|(line, (identity, _))| (*line, *identity))
            .take(limit)
            .collect()
    }

    /// All of them, whether stored or not, in the order of their lines.
    pub(super) fn all(&self) -> Vec<(u64, Identity)> {
        self.commands
            .iter()
            .map(|(line, (identity, _))| (*line, *identity))
            .collect()
    }

    /// The first line that the stream may not have.
    pub(super) fn first_leaving(&self) -> Option<u64> {
        self.commands
            .iter()
            .find(|(_, (_, state))| matches!(state, State::Leaving(_)))
            .map(|(line, _)| *line)
    }
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;
    use ledger::codec::json;

    use super::*;

    fn command(line: u64) -> (Identity, Outgoing) {
        let json = format!(
            r#"{{"command_id":"6f1c2a3e-58b1-4c0e-9a53-{line:012}","type":"deposit","account_id":"A","amount":"1"}}"#
        );
        let command = json::decode_command(json.as_bytes()).unwrap();
        let message = Outgoing {
            subject: "s".to_owned(),
            headers: HeaderMap::new(),
            payload: json.into(),
        };
        ((&command).into(), message)
    }

    fn leaving(lines: impl IntoIterator<Item = u64>) -> Flight {
        let mut flight = Flight::default();
        for line in lines {
            let (identity, message) = command(line);
            flight.leave(line, identity, message);
        }
        flight
    }

    #[test]
    fn what_the_stream_did_not_take_goes_again_in_the_files_order() {
        let mut flight = leaving([1, 2, 3]);
        flight.not_stored(3);
        flight.not_stored(1);
        assert!(flight.stored(2, Instant::now()));
        assert!(flight.has_unsent());
        let lines: Vec<u64> = flight
            .take_unsent()
            .into_iter()
            .map(|(line, _)| line)
            .collect();
        assert_eq!(lines, [1, 3]);
        assert!(!flight.has_unsent());
    }

    #[test]
    fn an_answer_that_overtakes_the_acknowledgement_ends_it() {
        let mut flight = leaving([1]);
        assert!(flight.done(1));
        assert!(!flight.done(1), "a second answer counts for nothing");
        assert!(!flight.stored(1, Instant::now()));
        flight.not_stored(1);
        assert!(!flight.has_unsent() && flight.is_empty());
    }

    #[test]
    fn only_what_is_in_the_stream_for_long_is_looked_up() {
        let mut flight = leaving([1, 2, 3, 4]);
        let begin = Instant::now();
        let later = begin + Duration::from_secs(5);
        flight.stored(1, begin);
        flight.stored(3, begin);
        flight.stored(4, later);
        let lines = |limit| {
            let found = flight.stored_for(Duration::from_secs(5), later, limit);
            found.into_iter().map(|(line, _)| line).collect::<Vec<_>>()
        };
        assert_eq!(lines(10), [1, 3]);
        assert_eq!(lines(1), [1]);
        assert_eq!(flight.first_leaving(), Some(2));
    }
}
