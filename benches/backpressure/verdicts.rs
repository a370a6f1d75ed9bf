//! What the publisher was told of each command: in the end each must have become of it what it was told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::commands::THROUGH_HTTP;

/// What the publisher knows of one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Verdict {
    /// It has no answer: the command may be there or not.
    #[default]
    Unknown,
    /// The stream has it.
    Taken,
    /// The stream has refused it.
    Refused,
}

/// Of all commands.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    /// By number: through NATS, through HTTP.
    told: [Mutex<Vec<Verdict>>; 2],
    pub(crate) taken: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) unknown: AtomicU64,
    /// What was said with the answer, and how often.
    texts: Mutex<BTreeMap<String, u64>>,
}

impl Verdicts {
    /// Notes what was told of a command, with the words if it was not "yes".
    pub(crate) fn note(&self, number: u64, verdict: Verdict, text: Option<&str>) {
        let (list, index) = place(number);
        let mut list = self.told[list]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if list.len() <= index {
            list.resize(index + 1, Verdict::Unknown);
        }
        list[index] = verdict;
        drop(list);
        let counter = match verdict {
            Verdict::Taken => &self.taken,
            Verdict::Refused => &self.refused,
            Verdict::Unknown => &self.unknown,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(text) = text {
            let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
            *texts.entry(text.to_owned()).or_default() += 1;
        }
    }

    /// What was told of the command with this number.
    pub(crate) fn of(&self, number: u64) -> Verdict {
        let (list, index) = place(number);
        let list = self.told[list]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        list.get(index).copied().unwrap_or_default()
    }

    /// The words of answers that were not "yes", and how often they came.
    pub(crate) fn texts(&self) -> BTreeMap<String, u64> {
        let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.clone()
    }

    /// How many commands the stream has.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

fn place(number: u64) -> (usize, usize) {
    let (list, index) = if number >= THROUGH_HTTP {
        (1, number - THROUGH_HTTP)
    } else {
        (0, number)
    };
    (list, usize::try_from(index).expect("a number is small"))
}
