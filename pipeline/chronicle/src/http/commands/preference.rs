//! The header `Prefer` (RFC 7240): whether to wait for the outcome, and for how long.

use std::time::Duration;

use axum::http::HeaderMap;

/// What the caller prefers; whatever else it says is ignored, as the standard wants.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Preference {
    /// `respond-async`: answer as soon as the command is kept.
    pub(super) asynchronous: bool,
    /// `wait=N`: wait for so many seconds.
    wait_seconds: Option<u64>,
}

impl Preference {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut preference = Self::default();
        let values = headers.get_all("prefer").iter();
        let said = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        for one in said {
            let one = one.split(';').next().unwrap_or_default();
            let (name, value) = one.split_once('=').unwrap_or((one, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => preference.asynchronous = true,
                "wait" if preference.wait_seconds.is_none() => {
                    preference.wait_seconds = value.trim().trim_matches('"').parse().ok();
                }
                _ => {}
            }
        }
        preference
    }

    /// How long to wait for the outcome, at most `longest`.
    pub(super) fn wait(&self, longest: Duration) -> Duration {
        match (self.asynchronous, self.wait_seconds) {
            // "respond-async, wait=N" means: wait so long, then answer asynchronously.
            (_, Some(seconds)) => longest.min(Duration::from_secs(seconds)),
            (true, None) => Duration::ZERO,
            (false, None) => longest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_read_and_others_are_ignored() {
        let longest = Duration::from_secs(10);
        for (text, wait) in [
            ("respond-async", 0),
            ("wait=3", 3),
            ("WAIT = 3", 3),
            ("wait=\"3\"", 3),
            ("respond-async, wait=2", 2),
            ("wait=1000000", 10),
            ("wait=x", 10),
            ("return=minimal; foo=bar, handling=lenient", 10),
            ("", 10),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", text.parse().unwrap());
            assert_eq!(
                Preference::of(&headers).wait(longest),
                Duration::from_secs(wait),
                "{text}"
            );
        }
    }
}
