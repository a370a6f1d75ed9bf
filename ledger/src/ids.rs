//! Identifiers. Each is a type of its own, so that none can stand in for another.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::excerpt::excerpt;

/// Why a text is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Not 1–64 characters of the allowed set.
    #[error("an account id is 1 to {max} characters of A-Z a-z 0-9 _ -, and this is not: {text:?}", max = AccountId::LENGTH_MAX)]
    Account {
        /// The text, cut if it is long.
        text: String,
    },
    /// Not a UUID in its hyphenated form.
    #[error(
        "an id of this kind is a UUID with hyphens such as 6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11, and this is not: {text:?}"
    )]
    Uuid {
        /// The text, cut if it is long.
        text: String,
    },
}

/// Names an account: 1–64 of `A–Z a–z 0–9 _ -`, so that it is safe as one token of a subject. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// The longest account id, in characters.
    pub const LENGTH_MAX: usize = 64;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=Self::LENGTH_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(InvalidId::Account {
                text: excerpt(text),
            })
        }
    }
}

impl AsRef<str> for AccountId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl Serialize for AccountId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! uuid_id {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id as a UUID.
            pub fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Reads the hyphenated form only: one id has one spelling (but for upper and lower case).
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                const HYPHENATED: usize = uuid::fmt::Hyphenated::LENGTH;
                match Uuid::try_parse(text) {
                    Ok(uuid) if text.len() == HYPHENATED => Ok(Self(uuid)),
                    _ => Err(InvalidId::Uuid { text: excerpt(text) }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut buffer = Uuid::encode_buffer();
                formatter.pad(self.0.hyphenated().encode_lower(&mut buffer))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

uuid_id!(
    /// Names a command for ever; chosen by the publisher, who uses the same one when it tries again.
    CommandId
);
uuid_id!(
    /// Names one event. Derived from the command's id, so that deciding anew gives the same id.
    EventId
);
uuid_id!(
    /// Names a transfer; both of its events carry it.
    TransferId
);
uuid_id!(
    /// Names a posting; the events of all its entries carry it.
    PostingId
);
uuid_id!(
    /// Names a hold within its account; chosen by the publisher.
    HoldId
);

impl CommandId {
    /// The id of the `index`th event that this command makes.
    pub fn event_id(self, index: u32) -> EventId {
        EventId(self.derive(b"event", index))
    }

    /// The id of the `index`th transfer that this command makes.
    pub fn transfer_id(self, index: u32) -> TransferId {
        TransferId(self.derive(b"transfer", index))
    }

    /// The id of the `index`th posting that this command makes.
    pub fn posting_id(self, index: u32) -> PostingId {
        PostingId(self.derive(b"posting", index))
    }

    fn derive(self, kind: &[u8], index: u32) -> Uuid {
        derived(&[kind, self.0.as_bytes(), &index.to_be_bytes()])
    }
}

impl HoldId {
    /// The id of the ledger's own command that ends the hold when its time is over: the same for the same attempt,
    /// whoever makes it.
    pub fn expiry_command_id(self, account_id: &AccountId, attempt: u64) -> CommandId {
        let account_id = account_id.as_str().as_bytes();
        CommandId(derived(&[
            b"expiry",
            self.0.as_bytes(),
            &attempt.to_be_bytes(),
            account_id,
        ]))
    }
}

/// A UUID of version 8 (RFC 9562 §5.8): the first 128 bits of SHA-256 over the parts.
fn derived(parts: &[&[u8]]) -> Uuid {
    let digest = parts
        .iter()
        .fold(Sha256::new(), Sha256::chain_update)
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::new_v8(bytes)
}

/// How many events an account has had: 1 for its first event, and without a hole from there on. 0 stands for an
/// account that does not exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Version(u64);

impl Version {
    /// An account without events.
    pub const NONE: Self = Self(0);
    /// The version of an account's first event.
    pub const FIRST: Self = Self(1);
    /// 2^53 − 1, the largest version: every JSON reader holds it without loss (RFC 8259 §6), and canonical JSON writes
    /// it as it is (RFC 8785 §3.2.2.3). What is read from outside is held to it.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// `number` as a version.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The version as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version of the next event.
    #[must_use]
    pub const fn next(self) -> Self {
        // A million events a second take 285 years to Version::MAX; saturating keeps a damaged number from panicking.
        Self(self.0.saturating_add(1))
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let version = Self(u64::deserialize(deserializer)?);
        if version > Self::MAX {
            return Err(serde::de::Error::custom(format_args!(
                "a version is at most {}, and this is not: {version}",
                Self::MAX
            )));
        }
        Ok(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_id_is_one_safe_subject_token() {
        for good in ["A", "ACC-1", "a_b-C9", &"x".repeat(64)] {
            assert_eq!(good.parse::<AccountId>().unwrap().as_str(), good);
        }
        for bad in ["", "a.b", "a b", "a*", ">", "ä", "a\0", &"x".repeat(65)] {
            let error = bad.parse::<AccountId>().unwrap_err();
            assert!(error.to_string().contains("1 to 64 characters"), "{error}");
        }
    }

    #[test]
    fn a_uuid_has_one_spelling() {
        let text = "6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11";
        assert_eq!(text.parse::<CommandId>().unwrap().to_string(), text);
        let upper = text.to_uppercase();
        assert_eq!(upper.parse::<CommandId>().unwrap().to_string(), text);
        for bad in [&text.replace('-', ""), &format!("{{{text}}}"), "", "x"] {
            assert!(bad.parse::<CommandId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn derived_ids_are_stable_and_differ_by_kind_and_index() {
        let command: CommandId = "6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11".parse().unwrap();
        assert_eq!(command.event_id(0), command.event_id(0));
        assert_ne!(command.event_id(0), command.event_id(1));
        assert_ne!(
            command.event_id(0).as_uuid(),
            command.transfer_id(0).as_uuid()
        );
        assert_eq!(command.event_id(0).as_uuid().get_version_num(), 8);
    }
}
