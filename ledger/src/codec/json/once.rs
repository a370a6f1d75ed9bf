//! Reading what JSON lets stand twice: the keys of an object and the items of a list that is a set.
//!
//! Serde refuses a field of a structure that stands there twice, but of a map it keeps the last value, and of a set one
//! item: two readers of the same bytes could understand two events.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::excerpt::excerpt;
use crate::ids::AccountId;

/// An object of strings in which no key stands twice.
pub(crate) fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    Texts::deserialize(deserializer).map(|texts| texts.0)
}

/// The same, or null.
pub(crate) fn texts_or_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    let texts = Option::<Texts>::deserialize(deserializer)?;
    Ok(texts.map(|texts| texts.0))
}

/// A list of accounts that names none twice, or null.
pub(crate) fn accounts_or_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeSet<AccountId>>, D::Error> {
    let accounts = Option::<Accounts>::deserialize(deserializer)?;
    Ok(accounts.map(|accounts| accounts.0))
}

struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EachOnce;

        impl<'de> Visitor<'de> for EachOnce {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((key, text)) = map.next_entry::<String, String>()? {
                    if texts.contains_key(&key) {
                        let key = excerpt(&key);
                        return Err(A::Error::custom(format_args!(
                            "the key {key:?} stands there twice"
                        )));
                    }
                    texts.insert(key, text);
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_map(EachOnce)
    }
}

struct Accounts(BTreeSet<AccountId>);

impl<'de> Deserialize<'de> for Accounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EachOnce;

        impl<'de> Visitor<'de> for EachOnce {
            type Value = Accounts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of account ids")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Accounts, A::Error> {
                let mut accounts = BTreeSet::new();
                while let Some(account_id) = list.next_element::<AccountId>()? {
                    if let Some(twice) = accounts.replace(account_id) {
                        return Err(A::Error::custom(format_args!(
                            "the account \"{twice}\" stands there twice"
                        )));
                    }
                }
                Ok(Accounts(accounts))
            }
        }

        deserializer.deserialize_seq(EachOnce)
    }
}
