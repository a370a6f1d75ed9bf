//! `chronicle events`: events of the feed, from a sequence on.
//!
//! Reads `LEDGER_EVENTS` with a consumer of its own. The feed may have lost its beginning (limits, a purge) and may have
//! holes; both are said on stderr, and the event store has what is missing.

use std::process::ExitCode;
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use engine::{Failure, Message};
use operators::NoEvent;
use serde::Serialize;
use serde_json::value::RawValue;
use transport::stored::StoredMessages;
use transport::{Nats, streams, subjects};

use super::history::document;
use super::reach;
use super::reading::{Reading, Step, Wanted};
use super::rows::{Column, Rows, plain, signed_amount};
use crate::arguments::EventsArguments;
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// How long `--follow` waits before it begins anew, after the connection was lost.
const PAUSE: Duration = Duration::from_secs(1);
/// How many sequences are read one by one at a time: more than are on their way at once.
const ONE_BY_ONE: u64 = 2_000;

pub(crate) async fn execute(
    servers: &ServerArguments,
    arguments: &EventsArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    if arguments
        .to_sequence
        .is_some_and(|last| last < arguments.from_sequence)
    {
        return Err(exit::usage("--to-sequence lies before --from-sequence"));
    }
    let nats = reach::nats(servers).await?;
    let mut printer = Printer::new(arguments, output);
    tokio::select! {
        result = print(servers, &nats, arguments, &mut printer) => result?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    printer.rows.flush()?;
    Ok(ExitCode::SUCCESS)
}

async fn print(
    servers: &ServerArguments,
    nats: &Nats,
    arguments: &EventsArguments,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let failed = |failure: &Failure| reach::nats_failed(servers, failure);
    let stream = feed(servers, nats).await?;
    printer.begin(&stream, arguments);
    let identity = streams::identity(&stream);
    let last = stream.cached_info().state.last_sequence;
    let end = arguments.to_sequence.map_or(last, |to| to.min(last));
    loop {
        let end = (!arguments.follow).then_some(end);
        let Some(stopped) = read(nats, &stream, printer, end).await? else {
            return Ok(());
        };
        if is_the_same(nats, &identity).await? && one_by_one(nats, printer, end).await? {
            continue;
        }
        if !arguments.follow {
            return Err(failed(&stopped));
        }
        output::say(format!("{}; trying again", failed(&stopped)));
        loop {
            tokio::time::sleep(PAUSE).await;
            if nats.is_connected() && is_the_same(nats, &identity).await? {
                break;
            }
        }
    }
}

/// Whether the feed is there, as it was when the reading began; an error once there is another one in its place.
async fn is_the_same(nats: &Nats, identity: &str) -> anyhow::Result<bool> {
    // A connection of its own: the other one may have been lost over a message.
    let Ok(nats) = nats.another().await else {
        return Ok(false);
    };
    match streams::existing(&nats.jetstream, streams::EVENTS).await {
        Ok(Some(now)) if streams::identity(&now) != identity => anyhow::bail!(
            "the feed was lost and made anew: its sequences mean something else now; begin again"
        ),
        now => Ok(matches!(now, Ok(Some(_)))),
    }
}

async fn feed(servers: &ServerArguments, nats: &Nats) -> anyhow::Result<Stream> {
    let found = streams::existing(&nats.jetstream, streams::EVENTS)
        .await
        .map_err(|failure| reach::nats_failed(servers, &failure))?;
    let feed = found.ok_or_else(|| {
        exit::no(format!(
            "there is no feed {} at {}: no pipeline has run there yet; start one with `chronicle run` or `chronicle dev`",
            streams::EVENTS,
            reach::place(servers.nats_url())
        ))
    })?;
    reach::whole(&feed)?;
    Ok(feed)
}

/// Prints what the stream has up to `end`, or whatever comes when there is no end. Answers with what has broken it off.
async fn read(
    nats: &Nats,
    stream: &Stream,
    printer: &mut Printer,
    end: Option<u64>,
) -> anyhow::Result<Option<Failure>> {
    let wanted = Wanted {
        filter: printer.filter.clone(),
        from_sequence: printer.next_sequence,
        headers_only: false,
    };
    let mut reading = match Reading::open(nats, stream, wanted).await {
        Ok(reading) => reading,
        Err(failure) => return Ok(Some(failure)),
    };
    loop {
        let message = match reading.next().await {
            Ok(Step::Message(message)) => message,
            Ok(Step::NoMore) if end.is_some() => break,
            Ok(Step::NoMore) => {
                printer.rows.flush()?;
                match reading.wait().await {
                    Ok(message) => message,
                    Err(failure) => return Ok(Some(failure)),
                }
            }
            Err(failure) => return Ok(Some(failure)),
        };
        if end.is_some_and(|end| message.position > end) {
            break;
        }
        printer.print(&message)?;
    }
    if let Some(end) = end {
        printer.missing_before(end + 1);
    }
    Ok(None)
}

/// What has broken the reading off may be a message that costs its receivers the connection ([`transport::stored`]): reads
/// on one by one, where none can. Says whether there was anything to read.
async fn one_by_one(nats: &Nats, printer: &mut Printer, end: Option<u64>) -> anyhow::Result<bool> {
    let before = printer.next_sequence;
    let through = (before + ONE_BY_ONE).min(end.unwrap_or(u64::MAX));
    let Ok(nats) = nats.another().await else {
        return Ok(false);
    };
    let stored = StoredMessages::new(nats.jetstream, streams::EVENTS, &printer.filter, 1);
    let mut next = Some(before);
    while let Some(from) = next {
        let Ok((found, go_on)) = stored.some(from, through).await else {
            break;
        };
        for stored in found {
            printer.print(&stored.message)?;
        }
        next = go_on;
    }
    Ok(printer.next_sequence > before)
}

/// Prints events, and says what is missing.
struct Printer {
    output: Format,
    rows: Rows<8>,
    filter: String,
    /// Whether every sequence should come: then one that does not is missing.
    complete: bool,
    next_sequence: u64,
}

/// An event with its place in the feed, as JSON.
#[derive(Serialize)]
struct Placed {
    sequence: u64,
    event: Box<RawValue>,
}

impl Printer {
    fn new(arguments: &EventsArguments, output: Format) -> Self {
        Self {
            output,
            rows: Rows::new([
                Column::Right("sequence"),
                Column::Left("time"),
                Column::Left("account"),
                Column::Right("version"),
                Column::Left("type"),
                Column::Right("amount"),
                Column::Right("balance"),
                Column::Left("currency"),
            ]),
            filter: arguments
                .account
                .as_ref()
                .map_or_else(|| format!("{}.*", subjects::EVENTS), subjects::event),
            complete: arguments.account.is_none(),
            next_sequence: arguments.from_sequence.max(1),
        }
    }

    /// Says it when the feed does not reach from the first to the last sequence that is asked for.
    fn begin(&mut self, stream: &Stream, arguments: &EventsArguments) {
        let state = &stream.cached_info().state;
        // A stream that has been emptied says so by a first sequence behind its last one.
        let first = if state.messages == 0 {
            state.last_sequence + 1
        } else {
            state.first_sequence
        };
        if self.next_sequence < first {
            output::say(format!(
                "the feed no longer has sequence {}: it begins at {first}; the events before are in the event store \
                 (`chronicle history`)",
                self.next_sequence
            ));
            self.next_sequence = first;
        }
        let wanted = arguments.to_sequence.unwrap_or(self.next_sequence);
        if state.messages == 0 && !arguments.follow {
            output::say("the feed is empty");
        } else if wanted > state.last_sequence && !arguments.follow {
            output::say(format!("the feed ends at sequence {}", state.last_sequence));
        }
    }

    fn print(&mut self, message: &Message) -> anyhow::Result<()> {
        let sequence = message.position;
        self.missing_before(sequence);
        self.next_sequence = sequence + 1;
        let event = match operators::event_in(message) {
            Ok(event) => event,
            Err(NoEvent::TooNew(reason)) => {
                output::say(format!("sequence {sequence}: {reason}"));
                return Ok(());
            }
            Err(no_event) => {
                let subject = plain(&message.subject);
                output::say(format!(
                    "sequence {sequence} ({subject}) is no event: {no_event}"
                ));
                return Ok(());
            }
        };
        match self.output {
            Format::Json => output::json(&Placed {
                sequence,
                event: document(&event)?,
            }),
            Format::Table => self.rows.push([
                sequence.to_string(),
                event.recorded_at.to_string(),
                event.account_id.to_string(),
                event.version.to_string(),
                event.data.type_name().to_owned(),
                signed_amount(&event),
                event.balance_after.to_string(),
                event.currency().to_string(),
            ]),
        }
    }

    /// Says it when sequences before this one did not come.
    fn missing_before(&mut self, sequence: u64) {
        let first = self.next_sequence;
        if !self.complete || first >= sequence {
            return;
        }
        let range = if first + 1 == sequence {
            format!("sequence {first} is")
        } else {
            format!("sequences {first} to {} are", sequence - 1)
        };
        output::say(format!(
            "{range} missing from the feed; what they held is in the event store"
        ));
        self.next_sequence = sequence;
    }
}
