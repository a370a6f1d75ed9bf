//! The ceiling of a run: the bare loop of the crate `benches`, over the same servers, with rows as wide as those of the run.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use benches::ceiling::{Measured, Options, Samples, Urls, measure};
use bytes::Bytes;
use ledger::codec::json;
use ledger::{Command, Event, Outcome};
use transport::headers;

use super::stack::{Own, Stack};
use super::workload::Workload;
use crate::submission::publishing::Outgoing;

/// The databases of the loop, beside the ledger's own.
const EVENT_STORE: &str = "ceiling_event_store";
const READ_MODEL: &str = "ceiling_read_model";
/// How many commands are looked at for one that was accepted and has events.
const LOOKED_AT_MAX: u64 = 1_000;

/// Runs it, while nothing else of the stack does.
pub(super) async fn run(
    own: &Own,
    samples: Samples,
    workload: &Arc<Workload>,
    publish_for: Duration,
    in_flight_max: usize,
) -> anyhow::Result<Measured> {
    let urls = Urls {
        nats: own.servers.nats_url(),
        event_store: own.servers.another_database(EVENT_STORE).await?,
        read_model: own.servers.another_read_model(READ_MODEL).await?,
    };
    // The ledger's own tables and indexes.
    store::migrate::migrate(&urls.event_store).await?;
    sinks::read_model::migrate(&urls.read_model).await?;
    let of_command = Arc::clone(workload);
    let options = Options {
        publish_for,
        in_flight_max,
    };
    let measured = measure(
        &urls,
        samples,
        workload.account_names(),
        Arc::new(move |number| of_command.touched(number)),
        options,
    );
    Ok(measured.await?)
}

/// What the ledger has written for a command of this run.
pub(super) async fn samples(stack: &Stack, workload: &Workload) -> anyhow::Result<Samples> {
    for number in 0..LOOKED_AT_MAX {
        if workload.shows_on(number).is_none() {
            continue;
        }
        let command = workload.command(number);
        let stored = stack.event_store.outcomes(&[command.command_id]).await?;
        let Some(outcome) = stored.into_iter().next().map(|stored| stored.outcome) else {
            break;
        };
        let events = stack.event_store.events(outcome.events()).await?;
        if let Some(event) = events.last() {
            return of(&command, &outcome, event);
        }
    }
    bail!("no command of the run was accepted, so it is not known how wide the ceiling's rows are")
}

fn of(command: &Command, outcome: &Outcome, event: &Event) -> anyhow::Result<Samples> {
    let payload = Bytes::from(json::encode_command(command));
    // As long as the subject that the bench is answered on.
    let reply_to = format!("_INBOX.{}.1234567.12345678.0", "0123456789abcdefghijkl");
    let message = Outgoing::command(command, payload.clone(), &reply_to);
    let mut event_headers = async_nats::HeaderMap::new();
    event_headers.insert(headers::CONTENT_TYPE, ledger::codec::CONTENT_TYPE_JSON);
    event_headers.insert(headers::EVENT_TYPE, event.data.type_name());
    event_headers.insert(
        headers::SCHEMA_VERSION,
        event.schema_version().to_string().as_str(),
    );
    Ok(Samples {
        command_headers: message.headers,
        command_type: command.type_name().to_owned(),
        body: String::from_utf8(payload.to_vec()).context("a command is JSON")?,
        command: payload,
        outcome: serde_json::to_string(&outcome.verdict)?,
        event: json::encode_event(event).into(),
        event_headers,
        event_type: event.data.type_name().to_owned(),
        data: json::encode_event_data(event),
        actor: event.actor.clone(),
        balance: event.balance_after.to_string(),
    })
}
