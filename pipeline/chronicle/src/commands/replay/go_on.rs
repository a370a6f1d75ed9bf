//! The command that goes on where a replay has ended too early. Its end stays as it was at first.

use std::fmt::Write as _;

use crate::arguments::ReplayArguments;
use crate::commands::replay::event::Place;
use crate::commands::replay::plan::Source;
use crate::commands::replay::target::Target;

/// A command line that is being put together.
pub(super) struct CommandLine(String);

impl CommandLine {
    /// Begins with these words.
    pub(super) fn new(words: &str) -> Self {
        Self(words.to_owned())
    }

    /// A flag that stands for itself.
    pub(super) fn switch(&mut self, flag: &str, is_on: bool) {
        if is_on {
            self.0.push_str(" --");
            self.0.push_str(flag);
        }
    }

    /// A flag with its value, if it has one.
    pub(super) fn flag(&mut self, flag: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.switch(flag, true);
            self.word(&value.to_string());
        }
    }

    fn word(&mut self, word: &str) {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+,=".contains(&byte);
        self.0.push(' ');
        if !word.is_empty() && word.bytes().all(is_plain) {
            self.0.push_str(word);
        } else {
            let _ = write!(self.0, "'{}'", word.replace('\'', r"'\''"));
        }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// What goes on behind `done`.
pub(super) fn go_on(
    arguments: &ReplayArguments,
    source: &Source,
    target: &Target,
    done: &Place,
) -> String {
    let mut line = CommandLine::new("chronicle replay");
    let is_file = matches!(target, Target::Lines(lines) if lines.is_file());
    match (source, done) {
        (Source::Feed { from, through, .. }, Place::Sequence(sequence)) => {
            // A file knows by itself where it ends.
            line.flag(
                "from-sequence",
                Some(if is_file { *from } else { sequence + 1 }),
            );
            line.flag("to-sequence", Some(through));
        }
        (Source::EventStore { through, .. }, place) => {
            line.switch("from-event-store", true);
            line.flag("from-time", arguments.from_time);
            line.flag("to-time", Some(through));
            if let (Place::Version(account_id, version), false) = (place, is_file) {
                line.flag("after", Some(format!("{account_id}:{version}")));
            }
        }
        (Source::Feed { .. }, Place::Version(..)) => {}
    }
    line.flag("account", arguments.account.as_ref());
    for name in &arguments.types {
        line.flag("type", Some(name));
    }
    line.flag("rate", arguments.rate.map(|rate| format!("{rate}/s")));
    line.switch("skip-missing", arguments.skip_missing);
    line.switch("resume", is_file);
    line.switch("into", true);
    for word in &arguments.into {
        line.word(word);
    }
    line.flag("reason", arguments.reason.as_ref());
    if let Target::Subject(subject) = target {
        line.flag("replay-id", Some(&subject.replay_id));
    }
    line.into_text()
}

#[cfg(test)]
mod tests {
    use super::CommandLine;

    #[test]
    fn words_are_quoted_where_a_shell_would_take_them_apart() {
        let mut line = CommandLine::new("chronicle replay");
        line.flag("rate", Some(5));
        line.switch("resume", true);
        line.switch("skip-missing", false);
        line.flag("account", None::<&str>);
        line.flag("into", Some("it's mine.ndjson"));
        assert_eq!(
            line.into_text(),
            r"chronicle replay --rate 5 --resume --into 'it'\''s mine.ndjson'"
        );
    }
}
