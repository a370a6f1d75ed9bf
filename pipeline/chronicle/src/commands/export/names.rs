//! The ledger's names as Beancount takes them. Two names never become one.
//!
//! A part of an account's name begins there with a capital letter or a digit, and has letters, digits and `-`. So `_`
//! becomes `--U`, a `-` next to another `-` or a `_` becomes `--H`, and an id that begins with something else has `X--`
//! before it. Read back: an id that begins with `X--` and then neither `U` nor `H` loses that, `--U` and `--H` are what
//! they stand for, and everything else is itself; a single `-` is never followed by another one.

use ledger::AccountId;

/// An account's id as a part of an account's name.
pub(super) fn component(account_id: &AccountId) -> String {
    let bytes = account_id.as_str().as_bytes();
    let begins_well = bytes[0].is_ascii_uppercase() || bytes[0].is_ascii_digit();
    let mut name = if begins_well { "" } else { "X--" }.to_owned();
    let is_mark = |index: Option<usize>| {
        index
            .and_then(|index| bytes.get(index))
            .is_some_and(|byte| matches!(byte, b'-' | b'_'))
    };
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'_' => name.push_str("--U"),
            b'-' if is_mark(index.checked_sub(1)) || is_mark(Some(index + 1)) => {
                name.push_str("--H");
            }
            other => name.push(char::from(*other)),
        }
    }
    name
}

/// A key of a command's metadata as a key: what is neither a letter, a digit nor `-` becomes `_` and its hexadecimal code.
pub(super) fn key(key: &str) -> String {
    let mut name = "metadata-".to_owned();
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            name.push(char::from(byte));
        } else {
            name.push('_');
            name.push_str(&hex::encode([byte]));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn named(id: &str) -> String {
        component(&id.parse().unwrap())
    }

    fn read_back(name: &str) -> String {
        let rest = name
            .strip_prefix("X--")
            .filter(|rest| !rest.starts_with(['U', 'H']));
        rest.unwrap_or(name).replace("--U", "_").replace("--H", "-")
    }

    #[test]
    fn usual_ids_stay_as_they_are() {
        for id in ["ACC-1", "ALICE", "0-9", "H7-BofA-Checking", "X"] {
            assert_eq!(named(id), id);
        }
        for (id, name) in [
            ("alice", "X--alice"),
            ("MY_ACC", "MY--UACC"),
            ("A--B", "A--H--HB"),
            ("_-x", "X----U--Hx"),
            ("-x", "X---x"),
            ("X_alice", "X--Ualice"),
        ] {
            assert_eq!(named(id), name);
        }
    }

    /// All ids of up to six of the characters that matter.
    #[test]
    fn two_ids_never_become_one_name() {
        let mut ids = vec![String::new()];
        let mut names = HashMap::new();
        for _ in 0..6 {
            let longer =
                |id: &String| ["-", "_", "U", "H", "X", "a", "1"].map(|end| format!("{id}{end}"));
            ids = ids.iter().flat_map(longer).collect();
            for id in &ids {
                let name = named(id);
                assert_eq!(read_back(&name), *id, "{name}");
                assert!(
                    name.as_bytes()[0].is_ascii_uppercase() || name.as_bytes()[0].is_ascii_digit()
                );
                assert!(!name.contains('_'));
                assert_eq!(names.insert(name, id.clone()), None, "{id}");
            }
        }
    }

    #[test]
    fn keys_stay_apart() {
        assert_eq!(key("invoice"), "metadata-invoice");
        assert_eq!(key("due_date"), "metadata-due_5fdate");
        assert_eq!(key("due:date"), "metadata-due_3adate");
    }
}
