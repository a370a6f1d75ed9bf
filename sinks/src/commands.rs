//! Commands that the ledger sends to itself, published to `LEDGER_COMMANDS` like everybody's.
//!
//! When an acknowledgement is missing the run fails, and the same commands are published again: within its window
//! JetStream drops the duplicates, and beyond it the command's id gets the outcome that it has.

use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::message::PublishMessage;
use engine::{Batch, Failure, Resume, Sink};
use futures::future::try_join_all;
use ledger::Command;
use ledger::codec::{CONTENT_TYPE_JSON, json};
use transport::streams::{self, Limits};
use transport::{Nats, PUBLISHES_IN_FLIGHT_MAX, headers, subjects};

/// How many publishes wait for their acknowledgement at a time.
const IN_FLIGHT_MAX: usize = PUBLISHES_IN_FLIGHT_MAX / 2;

/// The sink.
pub struct Commands {
    nats: Nats,
    /// With permits of its own: it must not wait for those of others.
    jetstream: jetstream::Context,
    partitions: u32,
    limits: Limits,
}

impl Commands {
    /// A sink over this connection. `partitions` and `limits` count when the stream has to be made.
    pub fn new(nats: Nats, partitions: u32, limits: Limits) -> Self {
        Self {
            jetstream: nats.own_jetstream(),
            nats,
            partitions,
            limits,
        }
    }

    async fn publish(&self, command: &Command) -> Result<(), Failure> {
        let failed = |error| {
            let id = command.command_id;
            Failure::retry(format!("command {id} was not taken by the stream")).because(error)
        };
        let mut map = HeaderMap::new();
        map.insert(headers::CONTENT_TYPE, CONTENT_TYPE_JSON);
        let message = PublishMessage::build()
            .payload(json::encode_command(command).into())
            .headers(map)
            .message_id(command.command_id.to_string());
        self.jetstream
            .send_publish(subjects::command(command.account_id()), message)
            .await
            .map_err(failed)?
            .await
            .map(drop)
            .map_err(failed)
    }
}

impl Sink for Commands {
    type Item = Command;

    async fn open(&mut self) -> Result<Option<Resume>, Failure> {
        self.nats.ready().await?;
        streams::commands(&self.nats.jetstream, self.partitions, &self.limits).await?;
        Ok(None)
    }

    async fn write(&mut self, batch: &Batch<Command>) -> Result<(), Failure> {
        let commands: Vec<&Command> = batch.items().collect();
        for some in commands.chunks(IN_FLIGHT_MAX) {
            try_join_all(some.iter().map(|command| self.publish(command))).await?;
        }
        Ok(())
    }

    fn describe(&self) -> String {
        format!(
            "JetStream {} ({}.<account_id>), acknowledged",
            streams::COMMANDS,
            subjects::COMMANDS
        )
    }
}
