//! How large a feed may become, and whether something has room in it.

use async_nats::jetstream::stream::Config;
use serde::Serialize;

/// How much one MiB is.
pub(super) const MEBIBYTE: u64 = 1024 * 1024;

/// The limits of a feed; null where it has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Limits {
    pub(super) bytes_max: Option<u64>,
    pub(super) messages_max: Option<u64>,
    pub(super) messages_per_account_max: Option<u64>,
    pub(super) age_seconds_max: Option<u64>,
    pub(super) replicas: usize,
}

impl Limits {
    pub(super) fn of(settings: &Config) -> Self {
        let limit = |number: i64| u64::try_from(number).ok().filter(|max| *max > 0);
        Self {
            bytes_max: limit(settings.max_bytes),
            messages_max: limit(settings.max_messages),
            messages_per_account_max: limit(settings.max_messages_per_subject),
            age_seconds_max: Some(settings.max_age.as_secs()).filter(|age| *age > 0),
            replicas: settings.num_replicas,
        }
    }

    /// Whether so many events of so many bytes have room.
    pub(super) fn take(&self, events: u64, bytes: u64) -> bool {
        self.bytes_max.is_none_or(|max| bytes <= max)
            && self.messages_max.is_none_or(|max| events <= max)
    }

    /// For people.
    pub(super) fn told(&self) -> String {
        let mut told = vec![match self.bytes_max {
            Some(max) => format!("{} MiB", mebibytes(max)),
            None => "as many bytes as there are".to_owned(),
        }];
        if let Some(max) = self.messages_max {
            told.push(format!("{max} messages"));
        }
        if let Some(max) = self.messages_per_account_max {
            told.push(format!("{max} messages of an account"));
        }
        if let Some(max) = self.age_seconds_max {
            told.push(format!("an age of {max} s"));
        }
        format!("{}, on {} server(s)", told.join(", "), self.replicas)
    }
}

/// So many MiB, in tenths.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / MEBIBYTE as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_bytes: i64, max_messages: i64) -> Limits {
        Limits::of(&Config {
            max_bytes,
            max_messages,
            num_replicas: 1,
            ..Config::default()
        })
    }

    #[test]
    fn a_limit_that_is_none_takes_everything() {
        assert!(limits(-1, -1).take(u64::MAX, u64::MAX));
        assert!(limits(0, 0).take(u64::MAX, u64::MAX));
        assert!(limits(10, -1).take(u64::MAX, 10));
        assert!(!limits(10, -1).take(1, 11));
        assert!(limits(-1, 3).take(3, u64::MAX));
        assert!(!limits(-1, 3).take(4, 1));
    }

    #[test]
    fn limits_are_told_with_their_units() {
        let limits = limits(1024 * 1024 * 3 / 2, 7);
        assert_eq!(limits.told(), "1.5 MiB, 7 messages, on 1 server(s)");
    }
}
