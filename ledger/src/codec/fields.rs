//! The fields of one JSON object, read once, taken by name, and nothing left over.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{CONTENT_TYPE_BINCODE, Malformed, binary};
use crate::command::limits;
use crate::excerpt::excerpt;
use crate::ids::{AccountId, Version};
use crate::money::parse_decimal;

/// The fields of an object that have not been taken yet. A `null` counts as absent.
pub(super) struct Fields<'a> {
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// More fields than any command has: what comes after is not kept.
const FIELDS_MAX: usize = 64;

impl<'a> Fields<'a> {
    /// Reads an object and nothing after it.
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let invalid = |message: String| Malformed::new("invalid_json", message);
        match payload.first() {
            None => return Err(invalid("the body is empty".to_owned())),
            Some(version) if binary::FORMAT_VERSIONS.contains(version) => {
                return Err(invalid(format!(
                    "the body is no JSON object; if it is bincode, send it with Content-Type: {CONTENT_TYPE_BINCODE}"
                )));
            }
            Some(_) => {}
        }
        let text = std::str::from_utf8(payload).map_err(|error| {
            let message = format!(
                "a command is JSON in UTF-8, and the byte at offset {} is not",
                error.valid_up_to()
            );
            Malformed::new("not_utf8", message)
        })?;
        if text.starts_with('\u{feff}') {
            return Err(invalid(
                "the body begins with a byte order mark; leave it out (RFC 8259 §8.1)".to_owned(),
            ));
        }
        let object: Object<'a> = serde_json::from_str(text)
            .map_err(|error| invalid(format!("the body is no JSON object: {error}")))?;
        Self::of(object)
    }

    fn of(object: Object<'a>) -> Result<Self, Malformed> {
        if let Some(name) = object.duplicate {
            return Err(Malformed::new(
                "duplicate_field",
                format!("the field {:?} stands there twice", excerpt(&name)),
            ));
        }
        if object.length > FIELDS_MAX {
            return Err(Malformed::new(
                "too_many_fields",
                format!(
                    "a command has at most {FIELDS_MAX} fields, and this has {}",
                    object.length
                ),
            ));
        }
        Ok(Self {
            entries: object.entries,
        })
    }

    /// Takes the value of a field that may be absent.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let index = self.entries.iter().position(|(key, _)| key == name)?;
        let (_, value) = self.entries.remove(index);
        (value.get() != "null").then_some(value)
    }

    /// Takes a text that may be absent.
    pub(super) fn text(
        &mut self,
        name: &str,
        bytes_max: usize,
    ) -> Result<Option<String>, Malformed> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let text = string(name, value, "invalid_field")?;
        check_text(name, &text, bytes_max)?;
        Ok(Some(text.into_owned()))
    }

    /// Takes something that is written as a string, and may be absent.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        code: &'static str,
    ) -> Result<Option<T>, Malformed>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        string(name, value, code)?
            .parse()
            .map(Some)
            .map_err(|error| Malformed::new(code, format!("{name}: {error}")))
    }

    /// Takes a decimal that may be absent: a string, or a number read digit by digit.
    pub(super) fn decimal(&mut self, name: &str) -> Result<Option<Decimal>, Malformed> {
        const CODE: &str = "invalid_amount";
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let invalid = |message: String| Malformed::new(CODE, format!("{name}: {message}"));
        let text = match kind(value) {
            "a string" => {
                let text = string(name, value, CODE)?;
                if text.contains(['e', 'E']) {
                    return Err(invalid(format!(
                        "a decimal string is digits with at most one point, without an exponent, and this is not: {:?}",
                        excerpt(&text)
                    )));
                }
                text
            }
            "a number" => Cow::Borrowed(value.get()),
            other => {
                return Err(Malformed::new(
                    CODE,
                    format!(
                        "{name} must be a decimal string such as \"25.00\", and this is {other}"
                    ),
                ));
            }
        };
        parse_decimal(&text)
            .map(Some)
            .map_err(|error| invalid(error.to_string()))
    }

    /// Takes a version that may be absent.
    pub(super) fn version(&mut self, name: &str) -> Result<Option<Version>, Malformed> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let refuse = || {
            Malformed::new(
                "invalid_field",
                format!(
                    "{name} must be a whole number from 0 to {}, and this is not: {}",
                    Version::MAX,
                    excerpt(value.get())
                ),
            )
        };
        let number: u64 = serde_json::from_str(value.get()).map_err(|_| refuse())?;
        check_version(name, number).map(Some)
    }

    /// Takes a number of things that may be absent.
    pub(super) fn count(&mut self, name: &str) -> Result<Option<u32>, Malformed> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        serde_json::from_str(value.get()).map(Some).map_err(|_| {
            let message = format!(
                "{name} must be a whole number from 0 to {}, and this is not: {}",
                u32::MAX,
                excerpt(value.get())
            );
            Malformed::new("invalid_field", message)
        })
    }

    /// Takes a list of account ids that may be absent, and may be empty.
    pub(super) fn account_ids(
        &mut self,
        name: &str,
        count_max: usize,
    ) -> Result<Option<BTreeSet<AccountId>>, Malformed> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        if kind(value) != "an array" {
            let message = format!(
                "{name} must be an array of account ids, and this is {}",
                kind(value)
            );
            return Err(Malformed::new("invalid_field", message));
        }
        let values: Vec<&'a RawValue> =
            serde_json::from_str(value.get()).expect("it was read as an array a moment ago");
        let texts = values
            .iter()
            .enumerate()
            .map(|(index, value)| string(&format!("{name}[{index}]"), value, "invalid_account_id"))
            .collect::<Result<Vec<_>, _>>()?;
        account_ids(name, texts.iter().map(AsRef::as_ref), count_max).map(Some)
    }

    /// Takes a boolean that may be absent.
    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, Malformed> {
        match self.take(name).map(RawValue::get) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Malformed::new(
                "invalid_field",
                format!(
                    "{name} must be true or false, and this is not: {}",
                    excerpt(other)
                ),
            )),
        }
    }

    /// Takes a list of objects that may be absent.
    pub(super) fn objects(
        &mut self,
        name: &str,
        count_max: usize,
    ) -> Result<Option<Vec<Self>>, Malformed> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let invalid = |message: String| Malformed::new("invalid_field", message);
        if kind(value) != "an array" {
            return Err(invalid(format!(
                "{name} must be an array of objects, and this is {}",
                kind(value)
            )));
        }
        let values: Vec<&'a RawValue> =
            serde_json::from_str(value.get()).expect("it was read as an array a moment ago");
        check_count(name, values.len(), count_max)?;
        let object = |(index, value): (usize, &'a RawValue)| {
            let name = format!("{name}[{index}]");
            if kind(value) != "an object" {
                let kind = kind(value);
                return Err(invalid(format!(
                    "{name} must be an object, and this is {kind}"
                )));
            }
            let object: Object<'a> = serde_json::from_str(value.get())
                .map_err(|_| invalid(format!("a field of {name} {HALF_A_CHARACTER}")))?;
            Self::of(object).map_err(|malformed| malformed.within(&name))
        };
        values
            .into_iter()
            .enumerate()
            .map(object)
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// Takes an object of strings that may be absent.
    pub(super) fn metadata(
        &mut self,
        name: &str,
    ) -> Result<Option<BTreeMap<String, String>>, Malformed> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        if kind(value) != "an object" {
            return Err(invalid_metadata(format!(
                "{name} must be an object of strings, and this is {}",
                kind(value)
            )));
        }
        let object: Object<'_> = serde_json::from_str(value.get())
            .map_err(|_| invalid_metadata(format!("a key of {name} {HALF_A_CHARACTER}")))?;
        if let Some(key) = object.duplicate {
            return Err(duplicate_metadata(name, &key));
        }
        check_metadata_length(name, object.length)?;
        let mut metadata = BTreeMap::new();
        for (key, value) in object.entries {
            check_metadata_key(name, &key)?;
            let text = string(&format!("{name}.{key}"), value, "invalid_metadata")?;
            check_metadata_value(name, &key, &text)?;
            metadata.insert(key.into_owned(), text.into_owned());
        }
        Ok(Some(metadata))
    }

    /// Refuses whatever nobody has taken.
    pub(super) fn finish(self, known_to: &str) -> Result<(), Malformed> {
        match self.entries.first() {
            None => Ok(()),
            Some((name, _)) => Err(unknown(known_to, name)),
        }
    }
}

/// A list of accounts that names none twice, and not too many.
pub(super) fn account_ids<'a>(
    name: &str,
    texts: impl ExactSizeIterator<Item = &'a str>,
    count_max: usize,
) -> Result<BTreeSet<AccountId>, Malformed> {
    if texts.len() > count_max {
        let message = format!(
            "{name} has at most {count_max} items, and this has {}",
            texts.len()
        );
        return Err(Malformed::new("invalid_field", message));
    }
    let mut account_ids = BTreeSet::new();
    for (index, text) in texts.enumerate() {
        let account_id: AccountId = text.parse().map_err(|error| {
            Malformed::new("invalid_account_id", format!("{name}[{index}]: {error}"))
        })?;
        if !account_ids.insert(account_id) {
            let message = format!("{name} has the account {:?} twice", excerpt(text));
            return Err(Malformed::new("invalid_field", message));
        }
    }
    Ok(account_ids)
}

/// A list has something in it, and not too much.
pub(super) fn check_count(name: &str, count: usize, count_max: usize) -> Result<(), Malformed> {
    let problem = match count {
        0 => "is empty; it has at least one item".to_owned(),
        _ if count > count_max => format!("has at most {count_max} items, and this has {count}"),
        _ => return Ok(()),
    };
    Err(Malformed::new("invalid_field", format!("{name} {problem}")))
}

/// The error of a field that the type does not have.
pub(super) fn unknown(known_to: &str, name: &str) -> Malformed {
    Malformed::new(
        "unknown_field",
        format!(
            "{known_to} has no field {:?}; check its spelling or leave it out",
            excerpt(name)
        ),
    )
}

/// The error of a field that must be there.
pub(super) fn missing(name: &str) -> Malformed {
    Malformed::new(
        "missing_field",
        format!("the field {name} is missing or null"),
    )
}

/// Texts go into both databases, and neither takes U+0000.
pub(super) fn check_text(name: &str, text: &str, bytes_max: usize) -> Result<(), Malformed> {
    if text.len() > bytes_max {
        return Err(Malformed::new(
            "text_too_long",
            format!(
                "{name} has at most {bytes_max} bytes of UTF-8, and this has {}",
                text.len()
            ),
        ));
    }
    if text.contains('\0') {
        return Err(Malformed::new(
            "invalid_text",
            format!("{name} must not contain the character U+0000; remove it"),
        ));
    }
    Ok(())
}

pub(super) fn check_version(name: &str, number: u64) -> Result<Version, Malformed> {
    let version = Version::new(number);
    if version <= Version::MAX {
        Ok(version)
    } else {
        Err(Malformed::new(
            "invalid_field",
            format!(
                "{name} must be a whole number from 0 to {}, and this is not: {number}",
                Version::MAX
            ),
        ))
    }
}

pub(super) fn check_metadata_length(name: &str, length: usize) -> Result<(), Malformed> {
    if length <= limits::METADATA_ENTRIES_MAX {
        Ok(())
    } else {
        Err(invalid_metadata(format!(
            "{name} has at most {} entries, and this has {length}",
            limits::METADATA_ENTRIES_MAX
        )))
    }
}

/// Keys are printable ASCII, so that their order is the same by bytes, code points and UTF-16 (RFC 8785 §3.2.3).
pub(super) fn check_metadata_key(name: &str, key: &str) -> Result<(), Malformed> {
    let printable = key.bytes().all(|byte| byte.is_ascii_graphic());
    if (1..=limits::METADATA_KEY_BYTES_MAX).contains(&key.len()) && printable {
        Ok(())
    } else {
        Err(invalid_metadata(format!(
            "a key of {name} is 1 to {} printable ASCII characters without spaces, and this is not: {:?}",
            limits::METADATA_KEY_BYTES_MAX,
            excerpt(key)
        )))
    }
}

pub(super) fn check_metadata_value(name: &str, key: &str, value: &str) -> Result<(), Malformed> {
    let name = format!("{name}.{key}");
    check_text(&name, value, limits::METADATA_VALUE_BYTES_MAX)
}

pub(super) fn duplicate_metadata(name: &str, key: &str) -> Malformed {
    invalid_metadata(format!("{name} has the key {:?} twice", excerpt(key)))
}

fn invalid_metadata(message: String) -> Malformed {
    Malformed::new("invalid_metadata", message)
}

/// What a JSON value is, with its article.
fn kind(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn string<'a>(
    name: &str,
    value: &'a RawValue,
    code: &'static str,
) -> Result<Cow<'a, str>, Malformed> {
    let kind = kind(value);
    if kind != "a string" {
        return Err(Malformed::new(
            code,
            format!("{name} must be a string, and this is {kind}"),
        ));
    }
    serde_json::from_str::<BorrowedText<'a>>(value.get())
        .map(|text| text.0)
        .map_err(|_| Malformed::new(code, format!("{name} {HALF_A_CHARACTER}")))
}

/// All that can be wrong with a string whose end has been found: that reads every escape but pairs no surrogates.
const HALF_A_CHARACTER: &str = "holds half of a surrogate pair (\\ud800 to \\udfff), which is no character; send both halves or the character itself";

/// An object as it stands: read to its end, whatever is wrong with its names.
struct Object<'a> {
    /// The first of each name, and no more than [`FIELDS_MAX`].
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// How many there are.
    length: usize,
    /// A name that stands there twice.
    duplicate: Option<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut object = Object {
                    entries: Vec::with_capacity(12),
                    length: 0,
                    duplicate: None,
                };
                while let Some(BorrowedText(name)) = map.next_key()? {
                    object.length += 1;
                    if object.entries.iter().any(|(known, _)| *known == name) {
                        object.duplicate.get_or_insert(name);
                        map.next_value::<IgnoredAny>()?;
                    } else if object.entries.len() == FIELDS_MAX {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        object.entries.push((name, map.next_value()?));
                    }
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// A string that is borrowed from the input when it has no escapes.
struct BorrowedText<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for BorrowedText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = BorrowedText<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(BorrowedText(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(BorrowedText(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}
