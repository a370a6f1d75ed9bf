//! What the benchmark is told.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

const USAGE: &str =
    "usage: cargo bench --workspace --bench throughput -- [--seconds SECONDS] [--out FOLDER]";

/// How long, and where to.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// How long commands are sent in each run.
    pub(crate) seconds: u32,
    /// The folder for the results; a relative one begins at the top of the repository.
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
            seconds: 20,
            out: None,
            words: words.clone(),
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let value = words
                .next()
                .with_context(|| format!("{word} needs a value\n{USAGE}"))?;
            match word.as_str() {
                "--seconds" => options.seconds = value.parse().context("--seconds")?,
                "--out" => {
                    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
                    options.out = Some(top.join(value));
                }
                _ => bail!("{word} is unknown\n{USAGE}"),
            }
        }
        Ok(is_asked.then_some(options))
    }
}
