//! Where the next page of a list begins.
//!
//! A cursor holds the key of the last item, not a number of items: a page begins behind that key whatever was written
//! meanwhile. For callers it is opaque.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// Longer ones are not ours.
const LENGTH_MAX: usize = 2_048;

/// Writes the key of the last item down.
pub(super) fn encode(key: &impl Serialize) -> String {
    let text = serde_json::to_vec(key).expect("keys are strings and numbers");
    URL_SAFE_NO_PAD.encode(text)
}

/// Reads it again.
pub(super) fn decode<T: DeserializeOwned>(cursor: &str) -> Result<T, Problem> {
    let read = || {
        let text = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        serde_json::from_slice(&text).ok()
    };
    (cursor.len() <= LENGTH_MAX)
        .then(read)
        .flatten()
        .ok_or_else(foreign)
}

/// A cursor that this list has not given out.
pub(super) fn foreign() -> Problem {
    Problem::invalid_parameter(
        "cursor: this is no cursor of this list; take it from next_cursor of the page before, with the same filters and order",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let key = ("ALICE".to_owned(), 7_u64);
        let cursor = encode(&key);
        assert_eq!(decode::<(String, u64)>(&cursor).unwrap(), key);
        for bad in ["", "x", "e30", "äöü", &"A".repeat(3_000)] {
            assert!(decode::<(String, u64)>(bad).is_err(), "{bad}");
        }
    }
}
