//! bincode: a compact form for publishers that speak Rust, and for archives.
//!
//! The first byte is the format's version; the rest is bincode 2 (standard configuration: little-endian, variable
//! length integers). A format, once released, is never changed: a new one gets the next number. Version 2 is version 1
//! with something behind it: what a command or an event can have since then; and so is version 3 to version 2. What has
//! none of it is written in the oldest version that has all that it has, so that older readers go on reading it.

mod command;
mod event;

use std::collections::BTreeMap;

use bincode::error::DecodeError;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

pub use command::{decode_command, encode_command};
pub use event::{decode_event, encode_event};

use super::fields::{account_ids, duplicate_metadata};
use super::{CONTENT_TYPE_JSON, Malformed};
use crate::command::limits;
use crate::ids::AccountId;
use crate::money::CurrencyCode;
use crate::rules::Rules;
use crate::timestamp::Timestamp;

/// The versions that there are, the newest last.
pub const FORMAT_VERSIONS: [u8; 3] = [1, 2, 3];
const VERSION_1: u8 = FORMAT_VERSIONS[0];
const VERSION_2: u8 = FORMAT_VERSIONS[1];
const VERSION_3: u8 = FORMAT_VERSIONS[2];

/// Bounds what a length that somebody made up can reserve. bincode counts a number as its type is wide, so that one byte
/// of a body may count as eight.
const READ_BYTES_MAX: usize = 8 * limits::BODY_BYTES_MAX;

/// The 16 bytes of [`Decimal::serialize`].
type DecimalBytes = [u8; 16];

/// A map as a list of its entries, so that a key that stands there twice is seen.
type EntriesV1 = Vec<(String, String)>;

/// The rules of an account.
#[derive(Serialize, Deserialize)]
struct RulesV1 {
    allowed_counterparties: Option<Vec<String>>,
    daily_debit_amount_max: Option<DecimalBytes>,
    daily_debit_count_max: Option<u32>,
    maximum_balance: Option<DecimalBytes>,
    minimum_balance: Option<DecimalBytes>,
}

impl RulesV1 {
    fn of(rules: &Rules<Decimal>) -> Self {
        let bytes = |amount: Option<Decimal>| amount.map(|amount| amount.serialize());
        Self {
            allowed_counterparties: rules
                .allowed_counterparties
                .as_ref()
                .map(|allowed| allowed.iter().map(AccountId::to_string).collect()),
            daily_debit_amount_max: bytes(rules.daily_debit_amount_max),
            daily_debit_count_max: rules.daily_debit_count_max,
            maximum_balance: bytes(rules.maximum_balance),
            minimum_balance: bytes(rules.minimum_balance),
        }
    }

    fn rules(&self) -> Result<Rules<Decimal>, Malformed> {
        const ALLOWED: &str = "allowed_counterparties";
        let allowed = self.allowed_counterparties.as_ref().map(|texts| {
            let texts = texts.iter().map(String::as_str);
            account_ids(ALLOWED, texts, limits::COUNTERPARTIES_MAX)
        });
        let amounts = Rules {
            allowed_counterparties: allowed.transpose()?,
            daily_debit_amount_max: self.daily_debit_amount_max,
            daily_debit_count_max: self.daily_debit_count_max,
            maximum_balance: self.maximum_balance,
            minimum_balance: self.minimum_balance,
        };
        amounts.try_map(|name, bytes| decimal_of(name, *bytes))
    }
}

fn entries(map: &BTreeMap<String, String>) -> EntriesV1 {
    map.iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn map_of(name: &str, entries: EntriesV1) -> Result<BTreeMap<String, String>, Malformed> {
    let mut map = BTreeMap::new();
    for (key, value) in entries {
        if map.contains_key(&key) {
            return Err(duplicate_metadata(name, &key));
        }
        map.insert(key, value);
    }
    Ok(map)
}

fn account_of(name: &str, text: &str) -> Result<AccountId, Malformed> {
    text.parse()
        .map_err(|error| Malformed::new("invalid_account_id", format!("{name}: {error}")))
}

fn optional_account_of(name: &str, text: Option<&str>) -> Result<Option<AccountId>, Malformed> {
    text.map(|text| account_of(name, text)).transpose()
}

fn currency_of(text: &str) -> Result<CurrencyCode, Malformed> {
    text.parse()
        .map_err(|error| Malformed::new("invalid_currency", format!("currency: {error}")))
}

fn instant_of(name: &str, microseconds: i64) -> Result<Timestamp, Malformed> {
    Timestamp::try_from_unix_microseconds(microseconds).ok_or_else(|| {
        let message = format!("{name} {microseconds} µs lies outside the years 1 to 9999");
        Malformed::new("invalid_timestamp", message)
    })
}

/// Reads the digits anew: bytes from outside can name a scale or flags that no decimal has.
fn decimal_of(name: &str, bytes: DecimalBytes) -> Result<Decimal, Malformed> {
    const SIGN: u32 = 0x8000_0000;
    const NO_DECIMAL: &str = "these 16 bytes are no decimal: flags (scale in bits 16-23, sign in bit 31) and a \
        mantissa of 96 bits, little-endian";
    let refuse = |message: &str| Malformed::new("invalid_amount", format!("{name}: {message}"));
    let word = |index: usize| {
        u32::from_le_bytes([
            bytes[index],
            bytes[index + 1],
            bytes[index + 2],
            bytes[index + 3],
        ])
    };
    let flags = word(0);
    let mantissa = i128::from(word(4)) | i128::from(word(8)) << 32 | i128::from(word(12)) << 64;
    let scale = (flags & !SIGN) >> 16;
    if flags & 0xffff != 0 {
        return Err(refuse(NO_DECIMAL));
    }
    let signed = if flags & SIGN == 0 {
        mantissa
    } else {
        -mantissa
    };
    let value = Decimal::try_from_i128_with_scale(signed, scale).map_err(|_| refuse(NO_DECIMAL))?;
    // The same limits as for a decimal that is written as text.
    crate::money::parse_decimal(&value.to_string()).map_err(|error| refuse(&error.to_string()))
}

fn written(version: u8, value: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![version];
    bincode::serde::encode_into_std_write(value, &mut bytes, bincode::config::standard())
        .expect("these structures always become bincode, and memory takes all bytes");
    bytes
}

/// What stands in version 1, and what versions 2 and 3 have behind it.
fn read<V1, V2, V3>(what: &str, payload: &[u8]) -> Result<(V1, Option<V2>, Option<V3>), Malformed>
where
    V1: for<'de> Deserialize<'de>,
    V2: for<'de> Deserialize<'de>,
    V3: for<'de> Deserialize<'de>,
{
    let Some((&version, body)) = payload.split_first() else {
        return Err(invalid("the body is empty".to_owned()));
    };
    match version {
        VERSION_1 => Ok((read_whole(what, body)?, None, None)),
        VERSION_2 => {
            let (first, second) = read_whole(what, body)?;
            Ok((first, Some(second), None))
        }
        VERSION_3 => {
            let (first, second, third) = read_whole(what, body)?;
            Ok((first, Some(second), Some(third)))
        }
        _ => {
            let hint = if version == b'{' {
                format!("; if it is JSON, send it with Content-Type: {CONTENT_TYPE_JSON}")
            } else {
                String::new()
            };
            Err(Malformed::new(
                "unsupported_format_version",
                format!(
                    "bincode begins with the format's version, {VERSION_1} to {VERSION_3}, and this body begins with {version}{hint}"
                ),
            ))
        }
    }
}

fn read_whole<T: for<'de> Deserialize<'de>>(what: &str, body: &[u8]) -> Result<T, Malformed> {
    let configuration = bincode::config::standard().with_limit::<READ_BYTES_MAX>();
    let (value, length) = bincode::serde::decode_from_slice(body, configuration)
        .map_err(|error| invalid(format!("the body is no {what}: {}", reason(&error))))?;
    if length == body.len() {
        Ok(value)
    } else {
        Err(invalid(format!(
            "the {what} ends after {} bytes, and the body has {}",
            length + 1,
            body.len() + 1
        )))
    }
}

fn invalid(message: String) -> Malformed {
    Malformed::new("invalid_bincode", message)
}

/// The error in words; bincode shows its own as Rust source.
fn reason(error: &DecodeError) -> String {
    match error {
        DecodeError::UnexpectedEnd { .. } => "it ends too early".to_owned(),
        DecodeError::LimitExceeded => format!(
            "a length in it is larger than the {} bytes of a whole body",
            limits::BODY_BYTES_MAX
        ),
        DecodeError::Utf8 { .. } => "a text in it is not UTF-8".to_owned(),
        DecodeError::OtherString(message) => message.clone(),
        other => format!("{other:?}"),
    }
}
