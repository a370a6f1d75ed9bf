//! The progress bar: on stderr, and only when that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// How far a file has come.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar for so many bytes, or something that moves when nobody knows how many there are.
    pub(super) fn new(bytes: Option<u64>) -> Self {
        // `stderr` hides itself when it is no terminal.
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr());
        let template = match bytes {
            Some(_) => "{bar:30} {percent:>3}%  {msg}  {elapsed}",
            None => "{spinner} {msg}  {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// Moves it.
    pub(super) fn show(&self, bytes_read: u64, message: String) {
        self.bar.set_position(bytes_read);
        self.bar.set_message(message);
        if self.bar.length().is_none() {
            self.bar.tick();
        }
    }

    /// Says something on stderr without tearing the bar.
    pub(super) fn say(&self, text: impl std::fmt::Display) {
        self.bar.suspend(|| output::say(text));
    }

    /// Takes it away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
