//! The command ids of rows: always the same for the same row, so that a file that is sent twice changes nothing.
//!
//! A row that has nothing of its own to tell it by is told by its text and by how many rows before it have the same text.
//! So a file may grow, and a row in it may be mended, without another row becoming a new command; its line would not do
//! for that.

use std::collections::HashMap;

use ledger::CommandId;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::mapping::Identity;

/// How many different texts are remembered.
const TEXTS_MAX: usize = 1_000_000;

/// Gives rows their command ids.
pub(super) enum Identities {
    /// The column has them.
    Column(usize),
    /// Derived from these columns.
    Columns { namespace: String, of: Vec<usize> },
    /// Derived from the whole row.
    Rows {
        namespace: String,
        /// How often each text has come.
        seen: HashMap<[u8; 16], u64>,
    },
}

impl Identities {
    /// As a mapping says; `column` finds columns, `file` is the namespace of one that names none.
    pub(super) fn of(
        identity: Option<&Identity>,
        namespace: Option<String>,
        file: &str,
        mut column: impl FnMut(&super::mapping::Column) -> anyhow::Result<usize>,
    ) -> anyhow::Result<Self> {
        Ok(match identity {
            Some(Identity::Column(name)) => Self::Column(column(name)?),
            Some(Identity::DerivedFrom(names)) => Self::Columns {
                namespace: namespace.unwrap_or_default(),
                of: names.iter().map(column).collect::<Result<_, _>>()?,
            },
            None => Self::Rows {
                namespace: namespace.unwrap_or_else(|| file.to_owned()),
                seen: HashMap::new(),
            },
        })
    }

    /// The id of the next row, as text: that it is one is for the codec to judge.
    pub(super) fn id(&mut self, fields: &[String]) -> Result<String, String> {
        match self {
            Self::Column(index) if fields[*index].is_empty() => {
                Err(format!("column {}, the command's id, is empty", *index + 1))
            }
            Self::Column(index) => Ok(fields[*index].clone()),
            Self::Columns { namespace, of } => {
                let values: Vec<&String> = of.iter().map(|index| &fields[*index]).collect();
                if values.iter().all(|value| value.is_empty()) {
                    return Err("the columns that command_id is derived from are empty".to_owned());
                }
                let digest = digest(b"csv columns", namespace, values.into_iter());
                Ok(id(&digest.finalize().into()))
            }
            Self::Rows { namespace, seen } => {
                let row = digest(b"csv row", namespace, fields.iter());
                let full = seen.len() >= TEXTS_MAX;
                let mut key = [0; 16];
                key.copy_from_slice(&row.clone().finalize()[..16]);
                if full && !seen.contains_key(&key) {
                    return Err(format!(
                        "more than {TEXTS_MAX} rows cannot be told apart by their text: say in the mapping what command_id \
                         is derived from, or send the file in parts"
                    ));
                }
                let before = seen.entry(key).or_default();
                let row = row.chain_update(before.to_be_bytes());
                *before += 1;
                Ok(id(&row.finalize().into()))
            }
        }
    }
}

/// Each part with its length, so that none can run into the next.
fn digest<'a>(
    kind: &[u8],
    namespace: &'a String,
    values: impl Iterator<Item = &'a String>,
) -> Sha256 {
    let parts = std::iter::once(namespace).chain(values);
    parts.fold(Sha256::new().chain_update(kind), |digest, part| {
        digest
            .chain_update((part.len() as u64).to_be_bytes())
            .chain_update(part)
    })
}

/// A UUID of version 8 (RFC 9562 §5.8), as the ledger derives its own.
fn id(digest: &[u8; 32]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    CommandId::from(Uuid::new_v8(bytes)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(namespace: &str, rows: &[[&str; 2]]) -> Vec<String> {
        let mut identities = Identities::Rows {
            namespace: namespace.to_owned(),
            seen: HashMap::new(),
        };
        rows.iter()
            .map(|row| identities.id(&row.map(str::to_owned)).unwrap())
            .collect()
    }

    #[test]
    fn equal_rows_are_different_commands_and_keep_their_ids_when_others_come() {
        let coffee = ["2026-01-31", "coffee"];
        let before = ids("a.csv", &[coffee, coffee]);
        assert_ne!(before[0], before[1]);
        assert_eq!(before, ids("a.csv", &[coffee, coffee]));
        let after = ids("a.csv", &[["x", "y"], coffee, ["z", ""], coffee]);
        assert_eq!([&after[1], &after[3]], [&before[0], &before[1]]);
        assert_ne!(before[0], ids("b.csv", &[coffee])[0]);
    }

    #[test]
    fn no_row_can_be_taken_for_another() {
        assert_ne!(ids("", &[["ab", "c"]]), ids("", &[["a", "bc"]]));
        assert_ne!(ids("a", &[["b", ""]]), ids("", &[["a", "b"]]));
    }

    #[test]
    fn columns_alone_decide_where_the_mapping_says_so() {
        let mut identities = Identities::Columns {
            namespace: String::new(),
            of: vec![1],
        };
        let mut id = |row: [&str; 2]| identities.id(&row.map(str::to_owned));
        assert_eq!(id(["a", "7"]), id(["b", "7"]));
        assert_ne!(id(["a", "7"]), id(["a", "8"]));
        assert!(id(["a", ""]).unwrap_err().contains("are empty"));
        assert_eq!(id(["a", "7"]).unwrap().as_bytes()[14], b'8');
    }
}
