//! Why a component could not go on, and what the supervisor does about it.

use std::error::Error as StdError;

/// What helps against a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryClass {
    /// The same work may succeed later: the pipeline is opened again after a pause. Nothing is lost by it, for
    /// unsettled deliveries come again.
    Retry,
    /// It was told to rest: nothing is wrong. It looks now and then whether it may go on.
    Rest,
    /// Repeating it cannot help; a person has to act. The pipeline stops and says so.
    Fatal,
}

/// A failure of the machinery (never a business refusal, which is a value of its own).
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    class: RetryClass,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// A failure that time may heal: a peer is away, slow, or has moved.
    pub fn retry(message: impl Into<String>) -> Self {
        Self {
            class: RetryClass::Retry,
            message: message.into(),
            source: None,
        }
    }

    /// No failure but an order: the pipeline rests until it is taken back; the message says whose order it is.
    pub fn rest(message: impl Into<String>) -> Self {
        Self {
            class: RetryClass::Rest,
            message: message.into(),
            source: None,
        }
    }

    /// A failure that needs a person; the message says what to do.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self {
            class: RetryClass::Fatal,
            message: message.into(),
            source: None,
        }
    }

    /// The same failure with what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether to try again.
    pub fn class(&self) -> RetryClass {
        self.class
    }

    /// The message followed by those of all causes, on one line.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = StdError::source(self);
        while let Some(error) = cause {
            let part = error.to_string();
            // Many error types repeat their source's message in their own.
            if !text.contains(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            cause = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, RetryClass};

    #[test]
    fn the_chain_names_all_causes_once() {
        let refused = Failure::retry("connection refused");
        let failure = Failure::retry("the feed is away: connection refused").because(refused);
        assert_eq!(failure.chain(), "the feed is away: connection refused");
        let failure = Failure::fatal("the pipeline cannot start").because(failure);
        assert_eq!(
            failure.chain(),
            "the pipeline cannot start: the feed is away: connection refused"
        );
        assert_eq!(failure.class(), RetryClass::Fatal);
    }
}
