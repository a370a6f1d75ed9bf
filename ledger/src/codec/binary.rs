//! bincode: a compact form for publishers that speak Rust, and for archives.
//!
//! The first byte is the format's version; the rest is bincode 2 (standard configuration: little-endian, variable
//! length integers). A format, once released, is never changed: a new one gets the next number.

use std::collections::BTreeMap;

use bincode::error::DecodeError;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::fields::{
    check_metadata_key, check_metadata_length, check_metadata_value, check_text, check_version,
    duplicate_metadata,
};
use super::{CONTENT_TYPE_JSON, Malformed};
use crate::command::{Action, Command, CreateAccount, Deposit, Transfer, Withdraw, limits};
use crate::event::{AccountCreated, Event, EventData, MoneyMoved, TransferLeg};
use crate::hash::Hash;
use crate::ids::{AccountId, Version};
use crate::money::{Currency, CurrencyCode, Money};
use crate::timestamp::Timestamp;

/// The version of the format that is written, and the only one that there is.
pub const FORMAT_VERSION: u8 = 1;

/// The 16 bytes of [`Decimal::serialize`].
type DecimalBytes = [u8; 16];

/// A map as a list of its entries, so that a key that stands there twice is seen.
type EntriesV1 = Vec<(String, String)>;

#[derive(Serialize, Deserialize)]
struct CommandV1 {
    command_id: [u8; 16],
    action: ActionV1,
    description: Option<String>,
    actor: Option<String>,
    metadata: EntriesV1,
    expected_version: Option<u64>,
}

/// The order of the variants is part of the format: new ones go to the end.
#[derive(Serialize, Deserialize)]
enum ActionV1 {
    CreateAccount {
        account_id: String,
        owner_name: String,
        currency: String,
        initial_balance: DecimalBytes,
        overdraft_limit: DecimalBytes,
    },
    Deposit {
        account_id: String,
        amount: DecimalBytes,
        currency: Option<String>,
    },
    Withdraw {
        account_id: String,
        amount: DecimalBytes,
        currency: Option<String>,
    },
    Transfer {
        from_account_id: String,
        to_account_id: String,
        amount: DecimalBytes,
        currency: Option<String>,
    },
}

#[derive(Serialize, Deserialize)]
struct EventV1 {
    event_id: [u8; 16],
    account_id: String,
    version: u64,
    currency: String,
    data: DataV1,
    balance_after: DecimalBytes,
    command_id: [u8; 16],
    actor: Option<String>,
    recorded_at: i64,
    prev_hash: [u8; 32],
    hash: [u8; 32],
}

/// The order of the variants is part of the format: new ones go to the end.
#[derive(Serialize, Deserialize)]
enum DataV1 {
    AccountCreated {
        owner_name: String,
        initial_balance: DecimalBytes,
        overdraft_limit: DecimalBytes,
        description: Option<String>,
        metadata: EntriesV1,
    },
    MoneyDeposited(MovedV1),
    MoneyWithdrawn(MovedV1),
}

#[derive(Serialize, Deserialize)]
struct MovedV1 {
    amount: DecimalBytes,
    transfer: Option<([u8; 16], String)>,
    description: Option<String>,
    metadata: EntriesV1,
}

/// Encodes a command.
pub fn encode_command(command: &Command) -> Vec<u8> {
    let code = |currency: &Option<CurrencyCode>| currency.map(|code| code.to_string());
    let action = match &command.action {
        Action::CreateAccount(action) => ActionV1::CreateAccount {
            account_id: action.account_id.to_string(),
            owner_name: action.owner_name.clone(),
            currency: action.currency.to_string(),
            initial_balance: action.initial_balance.serialize(),
            overdraft_limit: action.overdraft_limit.serialize(),
        },
        Action::Deposit(action) => ActionV1::Deposit {
            account_id: action.account_id.to_string(),
            amount: action.amount.serialize(),
            currency: code(&action.currency),
        },
        Action::Withdraw(action) => ActionV1::Withdraw {
            account_id: action.account_id.to_string(),
            amount: action.amount.serialize(),
            currency: code(&action.currency),
        },
        Action::Transfer(action) => ActionV1::Transfer {
            from_account_id: action.from_account_id.to_string(),
            to_account_id: action.to_account_id.to_string(),
            amount: action.amount.serialize(),
            currency: code(&action.currency),
        },
    };
    written(&CommandV1 {
        command_id: command.command_id.as_uuid().into_bytes(),
        action,
        description: command.description.clone(),
        actor: command.actor.clone(),
        metadata: entries(&command.metadata),
        expected_version: command.expected_version.map(Version::get),
    })
}

/// Decodes a command; every limit of the JSON form holds here too.
pub fn decode_command(payload: &[u8]) -> Result<Command, Malformed> {
    let read: CommandV1 = read("command", payload)?;
    let command_id = Uuid::from_bytes(read.command_id).into();
    let command = || {
        let action = action_of(read.action)?;
        if let Some(description) = &read.description {
            check_text("description", description, limits::DESCRIPTION_BYTES_MAX)?;
        }
        if let Some(actor) = &read.actor {
            check_text("actor", actor, limits::ACTOR_BYTES_MAX)?;
        }
        check_metadata_length(read.metadata.len())?;
        for (key, value) in &read.metadata {
            check_metadata_key(key)?;
            check_metadata_value(key, value)?;
        }
        Ok(Command {
            command_id,
            action,
            description: read.description,
            actor: read.actor,
            metadata: map_of(read.metadata)?,
            expected_version: read
                .expected_version
                .map(|number| check_version("expected_version", number))
                .transpose()?,
        })
    };
    command().map_err(|malformed: Malformed| Malformed {
        command_id: Some(command_id),
        ..malformed
    })
}

fn action_of(read: ActionV1) -> Result<Action, Malformed> {
    Ok(match read {
        ActionV1::CreateAccount {
            account_id,
            owner_name,
            currency,
            initial_balance,
            overdraft_limit,
        } => {
            check_text("owner_name", &owner_name, limits::OWNER_NAME_BYTES_MAX)?;
            Action::CreateAccount(CreateAccount {
                account_id: account_of("account_id", &account_id)?,
                owner_name,
                currency: currency_of(&currency)?,
                initial_balance: decimal_of("initial_balance", initial_balance)?,
                overdraft_limit: decimal_of("overdraft_limit", overdraft_limit)?,
            })
        }
        ActionV1::Deposit {
            account_id,
            amount,
            currency,
        } => Action::Deposit(Deposit {
            account_id: account_of("account_id", &account_id)?,
            amount: decimal_of("amount", amount)?,
            currency: currency.as_deref().map(currency_of).transpose()?,
        }),
        ActionV1::Withdraw {
            account_id,
            amount,
            currency,
        } => Action::Withdraw(Withdraw {
            account_id: account_of("account_id", &account_id)?,
            amount: decimal_of("amount", amount)?,
            currency: currency.as_deref().map(currency_of).transpose()?,
        }),
        ActionV1::Transfer {
            from_account_id,
            to_account_id,
            amount,
            currency,
        } => Action::Transfer(Transfer {
            from_account_id: account_of("from_account_id", &from_account_id)?,
            to_account_id: account_of("to_account_id", &to_account_id)?,
            amount: decimal_of("amount", amount)?,
            currency: currency.as_deref().map(currency_of).transpose()?,
        }),
    })
}

/// Encodes an event.
pub fn encode_event(event: &Event) -> Vec<u8> {
    let moved = |moved: &MoneyMoved| MovedV1 {
        amount: moved.amount.value().serialize(),
        transfer: moved.transfer.as_ref().map(|leg| {
            let transfer_id = leg.transfer_id.as_uuid().into_bytes();
            (transfer_id, leg.counterparty_account_id.to_string())
        }),
        description: moved.description.clone(),
        metadata: entries(&moved.metadata),
    };
    let data = match &event.data {
        EventData::AccountCreated(created) => DataV1::AccountCreated {
            owner_name: created.owner_name.clone(),
            initial_balance: created.initial_balance.value().serialize(),
            overdraft_limit: created.overdraft_limit.value().serialize(),
            description: created.description.clone(),
            metadata: entries(&created.metadata),
        },
        EventData::MoneyDeposited(data) => DataV1::MoneyDeposited(moved(data)),
        EventData::MoneyWithdrawn(data) => DataV1::MoneyWithdrawn(moved(data)),
    };
    written(&EventV1 {
        event_id: event.event_id.as_uuid().into_bytes(),
        account_id: event.account_id.to_string(),
        version: event.version.get(),
        currency: event.currency().to_string(),
        data,
        balance_after: event.balance_after.value().serialize(),
        command_id: event.command_id.as_uuid().into_bytes(),
        actor: event.actor.clone(),
        recorded_at: event.recorded_at.unix_microseconds(),
        prev_hash: *event.prev_hash.as_bytes(),
        hash: *event.hash.as_bytes(),
    })
}

/// Decodes an event. Its hash is read, not checked: see [`Event::check_hash`].
pub fn decode_event(payload: &[u8]) -> Result<Event, Malformed> {
    event_of(read("event", payload)?).map_err(|malformed| Malformed {
        code: "invalid_event",
        ..malformed
    })
}

fn event_of(read: EventV1) -> Result<Event, Malformed> {
    let invalid = |message: String| Malformed::new("invalid_event", message);
    let currency = Currency::lookup(currency_of(&read.currency)?)
        .map_err(|error| invalid(error.to_string()))?;
    let money = |name: &str, bytes: DecimalBytes| {
        Money::new(decimal_of(name, bytes)?, currency)
            .map_err(|error| invalid(format!("{name}: {error}")))
    };
    let moved = |moved: MovedV1| -> Result<MoneyMoved, Malformed> {
        let transfer = moved
            .transfer
            .map(|(transfer_id, account_id)| {
                Ok::<_, Malformed>(TransferLeg {
                    transfer_id: Uuid::from_bytes(transfer_id).into(),
                    counterparty_account_id: account_of("counterparty_account_id", &account_id)?,
                })
            })
            .transpose()?;
        Ok(MoneyMoved {
            amount: money("amount", moved.amount)?,
            transfer,
            description: moved.description,
            metadata: map_of(moved.metadata)?,
        })
    };
    let data = match read.data {
        DataV1::AccountCreated {
            owner_name,
            initial_balance,
            overdraft_limit,
            description,
            metadata,
        } => EventData::AccountCreated(AccountCreated {
            owner_name,
            initial_balance: money("initial_balance", initial_balance)?,
            overdraft_limit: money("overdraft_limit", overdraft_limit)?,
            description,
            metadata: map_of(metadata)?,
        }),
        DataV1::MoneyDeposited(data) => EventData::MoneyDeposited(moved(data)?),
        DataV1::MoneyWithdrawn(data) => EventData::MoneyWithdrawn(moved(data)?),
    };
    if read.version == 0 {
        return Err(invalid(
            "version 0 stands for no event; an account's first has version 1".to_owned(),
        ));
    }
    let recorded_at = Timestamp::try_from_unix_microseconds(read.recorded_at).ok_or_else(|| {
        invalid(format!(
            "recorded_at {} µs lies outside the years 1 to 9999",
            read.recorded_at
        ))
    })?;
    Ok(Event {
        event_id: Uuid::from_bytes(read.event_id).into(),
        account_id: account_of("account_id", &read.account_id)?,
        version: check_version("version", read.version)?,
        data,
        balance_after: money("balance_after", read.balance_after)?,
        command_id: Uuid::from_bytes(read.command_id).into(),
        actor: read.actor,
        recorded_at,
        prev_hash: Hash::from(read.prev_hash),
        hash: Hash::from(read.hash),
    })
}

fn entries(map: &BTreeMap<String, String>) -> EntriesV1 {
    map.iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn map_of(entries: EntriesV1) -> Result<BTreeMap<String, String>, Malformed> {
    let mut map = BTreeMap::new();
    for (key, value) in entries {
        if map.contains_key(&key) {
            return Err(duplicate_metadata(&key));
        }
        map.insert(key, value);
    }
    Ok(map)
}

fn account_of(name: &str, text: &str) -> Result<AccountId, Malformed> {
    text.parse()
        .map_err(|error| Malformed::new("invalid_account_id", format!("{name}: {error}")))
}

fn currency_of(text: &str) -> Result<CurrencyCode, Malformed> {
    text.parse()
        .map_err(|error| Malformed::new("invalid_currency", format!("currency: {error}")))
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

fn written(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![FORMAT_VERSION];
    bincode::serde::encode_into_std_write(value, &mut bytes, bincode::config::standard())
        .expect("these structures always become bincode, and memory takes all bytes");
    bytes
}

fn read<T: for<'de> Deserialize<'de>>(what: &str, payload: &[u8]) -> Result<T, Malformed> {
    let invalid = |message: String| Malformed::new("invalid_bincode", message);
    let Some((&version, body)) = payload.split_first() else {
        return Err(invalid("the body is empty".to_owned()));
    };
    if version != FORMAT_VERSION {
        let hint = if version == b'{' {
            format!("; if it is JSON, send it with Content-Type: {CONTENT_TYPE_JSON}")
        } else {
            String::new()
        };
        return Err(Malformed::new(
            "unsupported_format_version",
            format!(
                "bincode begins with the format's version, {FORMAT_VERSION}, and this body begins with {version}{hint}"
            ),
        ));
    }
    // Bounds what a length that somebody made up can reserve.
    let configuration = bincode::config::standard().with_limit::<{ limits::BODY_BYTES_MAX }>();
    let (value, length) = bincode::serde::decode_from_slice(body, configuration)
        .map_err(|error| invalid(format!("the body is no {what}: {}", reason(&error))))?;
    if length != body.len() {
        return Err(invalid(format!(
            "the {what} ends after {} bytes, and the body has {}",
            length + 1,
            payload.len()
        )));
    }
    Ok(value)
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
