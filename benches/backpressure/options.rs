//! What the benchmark is told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

const USAGE: &str = "usage: cargo bench --workspace --bench backpressure -- [--quick] [--seconds-per-phase SECONDS] \
                     [--rate COMMANDS_PER_SECOND] [--out FOLDER]";

/// How long, how much, and where to.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// A rehearsal, with limits that a debug build reaches in seconds, too.
    pub(crate) is_quick: bool,
    /// Of the base line and of the throttling; the databases are stopped for half of it.
    pub(crate) phase: Duration,
    /// Commands a second that the ledger can hold; `None`: a share of what it takes.
    pub(crate) rate: Option<u64>,
    /// The folder for the page and the chart; a relative one begins at the top of the repository.
    pub(crate) out: Option<PathBuf>,
    /// The words that it was told with.
    pub(crate) words: Vec<String>,
}

impl Options {
    /// `None` if it was not `cargo bench` that asked.
    pub(crate) fn read(words: impl Iterator<Item = String>) -> anyhow::Result<Option<Self>> {
        let words: Vec<String> = words.collect();
        let is_asked = words.iter().any(|word| word == "--bench");
        let words: Vec<String> = words.into_iter().filter(|word| word != "--bench").collect();
        let mut options = Self {
            is_quick: words.iter().any(|word| word == "--quick"),
            phase: Duration::ZERO,
            rate: None,
            out: None,
            words: words.clone(),
        };
        options.phase = Duration::from_secs(if options.is_quick { 5 } else { 60 });
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || {
                let value = words.next();
                value.with_context(|| format!("{word} needs a value\n{USAGE}"))
            };
            match word.as_str() {
                "--quick" => {}
                "--seconds-per-phase" => {
                    let seconds: u64 = value()?.parse().context("--seconds-per-phase")?;
                    // Shorter than that, nothing can be told from the rest.
                    options.phase = Duration::from_secs(seconds.max(4));
                }
                "--rate" => options.rate = Some(value()?.parse().context("--rate")?),
                "--out" => {
                    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
                    options.out = Some(top.join(value()?));
                }
                _ => bail!("{word} is unknown\n{USAGE}"),
            }
        }
        Ok(is_asked.then_some(options))
    }

    /// How long the load goes on before what the throttled line needs is counted.
    pub(crate) fn settling(&self) -> Duration {
        self.phase / 4
    }

    /// How long that is counted.
    pub(crate) fn counting(&self) -> Duration {
        self.phase * 3 / 4
    }

    /// How long a database is stopped.
    pub(crate) fn stop(&self) -> Duration {
        self.phase / 2
    }

    /// How long a release may take until everything is done.
    pub(crate) fn drain_max(&self) -> Duration {
        self.phase * 4 + Duration::from_secs(30)
    }

    /// How many commands may wait in the stream.
    pub(crate) fn commands_waiting_max(&self) -> u64 {
        if self.is_quick { 3_000 } else { 50_000 }
    }

    /// How many commands intake has in flight.
    pub(crate) fn credit(&self) -> u64 {
        if self.is_quick { 1_024 } else { 4_096 }
    }

    /// The most commands or events in a batch.
    pub(crate) fn batch_max(&self) -> u64 {
        if self.is_quick { 128 } else { 512 }
    }

    /// The words for a shell.
    pub(crate) fn command(&self) -> String {
        let words = self.words.join(" ");
        format!("cargo bench --workspace --bench backpressure -- {words}")
    }
}
