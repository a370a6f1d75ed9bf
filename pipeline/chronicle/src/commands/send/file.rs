//! Many commands: a file of JSON, one command a line, or of CSV, one command a row; in the file's order and with many on their way at a time.
//!
//! Memory is bounded by the number in flight. Messages enter the stream in the order of the lines, unless the stream
//! refuses some for being full, or their acknowledgement gets lost: those go again, before any new one, but others that
//! were handed over with them (at most [`UNACKNOWLEDGED_MAX`]) may have gone in first. Sending again is harmless: the
//! same command is answered with its first outcome.

mod answers;
mod leaving;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use store::EventStore;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use transport::{Nats, streams};

use super::commands_stream;
use super::csv::Table;
use super::flight::{Flight, Identity};
use super::lines::{Input, Line};
use super::progress::Progress;
use super::summary::Summary;
use crate::arguments::SendArguments;
use crate::commands::reach;
use crate::exit;
use crate::output::Format;
use crate::servers_at::ServerArguments;
use crate::submission::lookup::Answers;
use crate::submission::publishing::Unacknowledged;

/// How many messages may wait for the stream's acknowledgement: a small part of what the connection allows, since order
/// is certain only among those that were acknowledged.
const UNACKNOWLEDGED_MAX: usize = 512;
const TICK: Duration = Duration::from_millis(100);
/// Without any sign of life, this is the least time before giving up.
const SILENCE_MIN: Duration = Duration::from_secs(5);

pub(super) async fn execute(
    servers: &ServerArguments,
    arguments: &SendArguments,
    file: &Path,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let input = Input::open(file)?;
    let (name, bytes) = (input.name.clone(), input.bytes);
    let source = Source::open(input, arguments.mapping.as_deref())?;
    let nats = reach::nats(servers).await?;
    commands_stream(servers, &nats).await?;
    let mut sending = Sending::new(servers, arguments, name, bytes, nats);
    let begun = Instant::now();
    sending.run(source).await?;
    sending.end(begun.elapsed());
    sending.summary.print(output)?;
    let code = sending.summary.exit_code();
    Ok(if sending.read.failed && code == ExitCode::SUCCESS {
        ExitCode::from(exit::USAGE)
    } else {
        code
    })
}

/// What the file holds.
enum Source {
    /// A command a line.
    Commands(Input),
    /// Rows that become commands.
    Rows(Box<Table>),
}

impl Source {
    fn open(input: Input, mapping: Option<&Path>) -> anyhow::Result<Self> {
        let is_table = input.name.to_ascii_lowercase().ends_with(".csv");
        match mapping {
            Some(mapping) => Ok(Self::Rows(Box::new(Table::open(input, mapping)?))),
            None if is_table => Err(exit::usage(format!(
                "{} is CSV by its name: give a --mapping that says which column is which field; see `chronicle send --help`",
                input.name
            ))),
            None => Ok(Self::Commands(input)),
        }
    }

    fn lines(self) -> mpsc::Receiver<io::Result<Line>> {
        match self {
            Self::Commands(input) => input.lines(),
            Self::Rows(table) => table.lines(),
        }
    }
}

/// How far the file was read.
#[derive(Default)]
struct Read {
    bytes: u64,
    line: u64,
    ended: bool,
    failed: bool,
}

/// What cannot be published for a while.
#[derive(Default)]
struct Trouble {
    /// Since when.
    since: Option<Instant>,
    /// In the words of the server.
    what: Option<Unacknowledged>,
    /// When it was last told.
    told_at: Option<Instant>,
    /// How long to wait before the next try.
    pause: Duration,
    resend_at: Option<Instant>,
}

type Acknowledgement = BoxFuture<'static, (u64, Result<(), Unacknowledged>)>;
type LookUp = BoxFuture<'static, (Vec<(u64, Identity)>, Result<Answers, store::Error>)>;

/// A file that is being sent.
struct Sending<'a> {
    servers: &'a ServerArguments,
    nats: Nats,
    /// The event store, if it is known where it is: for answers that got lost.
    store: Option<EventStore>,
    /// Answers come to `<inbox>.<line>`.
    inbox: String,
    /// What the file is called.
    name: String,
    in_flight: usize,
    wait: Duration,
    read: Read,
    flight: Flight,
    acknowledgements: FuturesUnordered<Acknowledgement>,
    trouble: Trouble,
    look_ups: FuturesUnordered<LookUp>,
    looked_up_at: Instant,
    store_told: bool,
    rejections_told: u64,
    /// Since when outcomes are waited for and none has come.
    waiting_since: Option<Instant>,
    /// How many had an answer at the last ticks: for the rate.
    answered: VecDeque<(Instant, u64)>,
    /// Why no more is sent.
    stop: Option<String>,
    summary: Summary,
    progress: Progress,
}

impl<'a> Sending<'a> {
    fn new(
        servers: &'a ServerArguments,
        arguments: &SendArguments,
        name: String,
        bytes: Option<u64>,
        nats: Nats,
    ) -> Self {
        Self {
            servers,
            store: servers.event_store().ok(),
            inbox: nats.client.new_inbox(),
            nats,
            name,
            in_flight: arguments.in_flight as usize,
            wait: Duration::from_secs(arguments.wait_seconds),
            read: Read::default(),
            flight: Flight::default(),
            acknowledgements: FuturesUnordered::new(),
            trouble: Trouble::default(),
            look_ups: FuturesUnordered::new(),
            looked_up_at: Instant::now(),
            store_told: false,
            rejections_told: 0,
            waiting_since: None,
            answered: VecDeque::new(),
            stop: None,
            summary: Summary::default(),
            progress: Progress::new(bytes),
        }
    }

    async fn run(&mut self, source: Source) -> anyhow::Result<()> {
        let mut replies = self
            .nats
            .client
            .subscribe(format!("{}.*", self.inbox))
            .await
            .map_err(|error| {
                reach::nats_says(self.servers, format!("nothing was sent: {error}"))
            })?;
        let mut lines = source.lines();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut interrupted = pin!(tokio::signal::ctrl_c());
        while !self.is_done() {
            let may_send = self.may_send();
            let may_read = may_send
                && !self.read.ended
                && !self.flight.has_unsent()
                && self.flight.len() < self.in_flight;
            let may_resend =
                may_send && self.flight.has_unsent() && self.acknowledgements.is_empty();
            let resend_at = self.trouble.resend_at.unwrap_or_else(Instant::now);
            tokio::select! {
                Some(reply) = replies.next() => self.answered(&reply.subject, &reply.payload),
                Some((line, result)) = self.acknowledgements.next() => self.acknowledged(line, result),
                Some((asked, answers)) = self.look_ups.next() => self.looked_up(&asked, answers),
                line = lines.recv(), if may_read => match line {
                    Some(Ok(line)) => self.send(line).await,
                    Some(Err(error)) => self.unreadable(&error),
                    None => self.read.ended = true,
                },
                () = sleep_until(resend_at), if may_resend => self.resend().await,
                _ = tick.tick() => self.look_after(),
                interrupted = &mut interrupted, if self.stop.is_none() => {
                    interrupted?;
                    self.stop("interrupted".to_owned());
                }
            }
        }
        self.look_up_the_rest().await;
        Ok(())
    }

    fn is_done(&self) -> bool {
        match self.stop {
            // What was handed over is either in the stream or not: worth the moment to know.
            Some(_) => self.acknowledgements.is_empty(),
            None => self.read.ended && self.flight.is_empty(),
        }
    }

    /// While the connection is away, messages would only pile up in front of it.
    fn may_send(&self) -> bool {
        self.stop.is_none()
            && self.acknowledgements.len() < UNACKNOWLEDGED_MAX
            && self.nats.is_connected()
    }

    fn stop(&mut self, why: String) {
        self.stop.get_or_insert(why);
    }

    /// How long nothing may happen.
    fn silence_max(&self) -> Duration {
        self.wait.max(SILENCE_MIN)
    }

    /// Every now and then: whether anything moves, and what has to be looked up.
    fn look_after(&mut self) {
        let now = Instant::now();
        self.show_progress(now);
        let silent_since = |at: Instant| now.duration_since(at) > self.silence_max();
        if self.waiting_since.is_some_and(silent_since) {
            return self.stop(format!(
                "no outcome came for {} s: does an intake run? See `chronicle status`",
                self.silence_max().as_secs()
            ));
        }
        let stuck = self.trouble.since.is_some_and(silent_since);
        self.look_after_trouble(now, stuck && self.waiting_since.is_none_or(silent_since));
        self.look_up(now);
    }

    fn show_progress(&mut self, now: Instant) {
        const TICKS: usize = 20;
        let answered = self.summary.answered();
        self.answered.push_back((now, answered));
        if self.answered.len() > TICKS {
            self.answered.pop_front();
        }
        let rate = self.answered.front().map_or(0.0, |(then, before)| {
            let seconds = now.duration_since(*then).as_secs_f64();
            if seconds > 0.0 {
                (answered - before) as f64 / seconds
            } else {
                0.0
            }
        });
        let on_their_way = self.flight.len();
        self.progress.show(
            self.read.bytes,
            format!("{answered} answered, {on_their_way} on their way, {rate:.0} a second"),
        );
    }

    fn end(&mut self, elapsed: Duration) {
        self.progress.end();
        self.summary.finish(elapsed);
        let Some(why) = &self.stop else { return };
        let resume = self
            .summary
            .resume_from_line
            .map_or_else(String::new, |line| {
                format!(" (from line {line}, or all of it)")
            });
        self.progress.say(format!(
            "{}: stopped: {why}. What was sent is not lost; it waits in {}. To go on, send the file again{resume}: a command \
             that has an outcome keeps it",
            self.name,
            streams::COMMANDS,
        ));
    }
}
