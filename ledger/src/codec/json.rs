//! JSON: the wire format, and the canonical form that fingerprints and hashes are made of.
//!
//! Everything here is written in the form of RFC 8785 at once: fields in the order of their names, no white space,
//! strings escaped as little as possible (what serde_json does), whole numbers below 2^53, money as strings. So
//! hashing needs no second pass; a test holds it against an independent implementation of the RFC.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Malformed;
use super::fields::{Fields, missing};
use crate::command::{Action, Command, CreateAccount, Deposit, Transfer, Withdraw, limits};
use crate::event::{AccountCreated, Event, EventData, MoneyMoved, TransferLeg};
use crate::excerpt::excerpt;
use crate::hash::Hash;
use crate::ids::{AccountId, CommandId, EventId, TransferId, Version};
use crate::money::{Currency, CurrencyCode, Money, parse_decimal};
use crate::timestamp::Timestamp;

/// Decodes a command.
pub fn decode_command(payload: &[u8]) -> Result<Command, Malformed> {
    let mut fields = Fields::parse(payload)?;
    let command_id: CommandId = fields
        .parsed("command_id", "invalid_command_id")?
        .ok_or_else(|| missing("command_id"))?;
    command_of(command_id, fields).map_err(|malformed| Malformed {
        command_id: Some(command_id),
        ..malformed
    })
}

fn command_of(command_id: CommandId, mut fields: Fields<'_>) -> Result<Command, Malformed> {
    let type_name: String = fields
        .parsed("type", "invalid_field")?
        .ok_or_else(|| missing("type"))?;
    let action = match type_name.as_str() {
        "create_account" => Action::CreateAccount(CreateAccount {
            account_id: account_id(&mut fields, "account_id")?,
            owner_name: fields
                .text("owner_name", limits::OWNER_NAME_BYTES_MAX)?
                .ok_or_else(|| missing("owner_name"))?,
            currency: currency(&mut fields)?.ok_or_else(|| missing("currency"))?,
            initial_balance: fields.decimal("initial_balance")?.unwrap_or_default(),
            overdraft_limit: fields.decimal("overdraft_limit")?.unwrap_or_default(),
        }),
        "deposit" => Action::Deposit(Deposit {
            account_id: account_id(&mut fields, "account_id")?,
            amount: amount(&mut fields)?,
            currency: currency(&mut fields)?,
        }),
        "withdraw" => Action::Withdraw(Withdraw {
            account_id: account_id(&mut fields, "account_id")?,
            amount: amount(&mut fields)?,
            currency: currency(&mut fields)?,
        }),
        "transfer" => Action::Transfer(Transfer {
            from_account_id: account_id(&mut fields, "from_account_id")?,
            to_account_id: account_id(&mut fields, "to_account_id")?,
            amount: amount(&mut fields)?,
            currency: currency(&mut fields)?,
        }),
        unknown => {
            let shown = excerpt(unknown);
            return Err(Malformed::new(
                "unknown_type",
                format!(
                    "{shown:?} is no command; there are create_account, deposit, withdraw and transfer"
                ),
            ));
        }
    };
    let command = Command {
        command_id,
        action,
        description: fields.text("description", limits::DESCRIPTION_BYTES_MAX)?,
        actor: fields.text("actor", limits::ACTOR_BYTES_MAX)?,
        metadata: fields.metadata("metadata")?,
        expected_version: fields.version("expected_version")?,
    };
    fields.finish(&type_name)?;
    Ok(command)
}

fn account_id(fields: &mut Fields<'_>, name: &str) -> Result<AccountId, Malformed> {
    fields
        .parsed(name, "invalid_account_id")?
        .ok_or_else(|| missing(name))
}

fn amount(fields: &mut Fields<'_>) -> Result<Decimal, Malformed> {
    fields.decimal("amount")?.ok_or_else(|| missing("amount"))
}

fn currency(fields: &mut Fields<'_>) -> Result<Option<CurrencyCode>, Malformed> {
    fields.parsed("currency", "invalid_currency")
}

/// A command as on the wire. The order of the fields is the canonical one; do not sort them otherwise.
#[derive(Serialize)]
struct CommandJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    command_id: CommandId,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<CurrencyCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_version: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_account_id: Option<&'a AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    initial_balance: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overdraft_limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_account_id: Option<&'a AccountId>,
    #[serde(rename = "type")]
    type_name: &'static str,
}

/// Encodes a command; amounts keep the decimals that they came with.
pub fn encode_command(command: &Command) -> Vec<u8> {
    encode(command, |amount| amount.to_string())
}

/// Encodes a command so that equal commands give equal bytes.
pub(crate) fn encode_normalized(command: &Command) -> Vec<u8> {
    encode(command, |amount| amount.normalize().to_string())
}

fn encode(command: &Command, decimal: impl Fn(Decimal) -> String) -> Vec<u8> {
    let mut json = CommandJson {
        account_id: None,
        actor: command.actor.as_deref(),
        amount: None,
        command_id: command.command_id,
        currency: None,
        description: command.description.as_deref(),
        expected_version: command.expected_version,
        from_account_id: None,
        initial_balance: None,
        metadata: &command.metadata,
        overdraft_limit: None,
        owner_name: None,
        to_account_id: None,
        type_name: command.type_name(),
    };
    match &command.action {
        Action::CreateAccount(action) => {
            json.account_id = Some(&action.account_id);
            json.owner_name = Some(&action.owner_name);
            json.currency = Some(action.currency);
            json.initial_balance = Some(decimal(action.initial_balance));
            json.overdraft_limit = Some(decimal(action.overdraft_limit));
        }
        Action::Deposit(Deposit {
            account_id,
            amount,
            currency,
        })
        | Action::Withdraw(Withdraw {
            account_id,
            amount,
            currency,
        }) => {
            json.account_id = Some(account_id);
            json.amount = Some(decimal(*amount));
            json.currency = *currency;
        }
        Action::Transfer(action) => {
            json.from_account_id = Some(&action.from_account_id);
            json.to_account_id = Some(&action.to_account_id);
            json.amount = Some(decimal(action.amount));
            json.currency = action.currency;
        }
    }
    written(&json)
}

/// An event as on the wire. The order of the fields is the canonical one.
#[derive(Serialize)]
struct EventJson<'a> {
    account_id: &'a AccountId,
    actor: Option<&'a str>,
    balance_after: Money,
    command_id: CommandId,
    data: DataJson<'a>,
    event_id: EventId,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<Hash>,
    prev_hash: Hash,
    recorded_at: Timestamp,
    #[serde(rename = "type")]
    type_name: &'static str,
    version: Version,
}

#[derive(Serialize)]
#[serde(untagged)]
enum DataJson<'a> {
    AccountCreated {
        currency: CurrencyCode,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        initial_balance: Money,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        metadata: &'a BTreeMap<String, String>,
        overdraft_limit: Money,
        owner_name: &'a str,
    },
    MoneyMoved {
        amount: Money,
        #[serde(skip_serializing_if = "Option::is_none")]
        counterparty_account_id: Option<&'a AccountId>,
        currency: CurrencyCode,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        metadata: &'a BTreeMap<String, String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        transfer_id: Option<TransferId>,
    },
}

/// Encodes an event.
pub fn encode_event(event: &Event) -> Vec<u8> {
    written(&event_json(event, Some(event.hash)))
}

pub(crate) fn encode_event_without_hash(event: &Event) -> Vec<u8> {
    written(&event_json(event, None))
}

/// Encodes what is particular to the event's type: the member `data` of the event.
pub fn encode_event_data(event: &Event) -> String {
    String::from_utf8(written(&data_json(event))).expect("JSON is UTF-8")
}

fn event_json(event: &Event, hash: Option<Hash>) -> EventJson<'_> {
    EventJson {
        account_id: &event.account_id,
        actor: event.actor.as_deref(),
        balance_after: event.balance_after,
        command_id: event.command_id,
        data: data_json(event),
        event_id: event.event_id,
        hash,
        prev_hash: event.prev_hash,
        recorded_at: event.recorded_at,
        type_name: event.data.type_name(),
        version: event.version,
    }
}

fn data_json(event: &Event) -> DataJson<'_> {
    let currency = event.currency().code();
    match &event.data {
        EventData::AccountCreated(created) => DataJson::AccountCreated {
            currency,
            description: created.description.as_deref(),
            initial_balance: created.initial_balance,
            metadata: &created.metadata,
            overdraft_limit: created.overdraft_limit,
            owner_name: &created.owner_name,
        },
        EventData::MoneyDeposited(moved) | EventData::MoneyWithdrawn(moved) => {
            DataJson::MoneyMoved {
                amount: moved.amount,
                counterparty_account_id: moved
                    .transfer
                    .as_ref()
                    .map(|leg| &leg.counterparty_account_id),
                currency,
                description: moved.description.as_deref(),
                metadata: &moved.metadata,
                transfer_id: moved.transfer.as_ref().map(|leg| leg.transfer_id),
            }
        }
    }
}

fn written(value: &impl Serialize) -> Vec<u8> {
    const TYPICAL_BYTES: usize = 640;
    let mut bytes = Vec::with_capacity(TYPICAL_BYTES);
    serde_json::to_writer(&mut bytes, value)
        .expect("these structures always become JSON, and memory takes all bytes");
    bytes
}

/// An event as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventRead<'a> {
    account_id: AccountId,
    actor: Option<String>,
    #[serde(borrow)]
    balance_after: Cow<'a, str>,
    command_id: CommandId,
    #[serde(borrow)]
    data: &'a RawValue,
    event_id: EventId,
    hash: Hash,
    prev_hash: Hash,
    recorded_at: Timestamp,
    #[serde(rename = "type", borrow)]
    type_name: Cow<'a, str>,
    version: Version,
}

/// Decodes an event. Its hash is read, not checked: see [`Event::check_hash`].
pub fn decode_event(payload: &[u8]) -> Result<Event, Malformed> {
    let read: EventRead<'_> =
        serde_json::from_slice(payload).map_err(|error| invalid_event(&error))?;
    if read.version == Version::NONE {
        return Err(Malformed::new(
            "invalid_event",
            "the event has version 0, and an account's first event has version 1",
        ));
    }
    let (data, currency) = decode_event_data(&read.type_name, read.data.get())?;
    Ok(Event {
        event_id: read.event_id,
        account_id: read.account_id,
        version: read.version,
        data,
        balance_after: money(&read.balance_after, currency)?,
        command_id: read.command_id,
        actor: read.actor,
        recorded_at: read.recorded_at,
        prev_hash: read.prev_hash,
        hash: read.hash,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountCreatedRead<'a> {
    currency: CurrencyCode,
    description: Option<String>,
    #[serde(borrow)]
    initial_balance: Cow<'a, str>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(borrow)]
    overdraft_limit: Cow<'a, str>,
    owner_name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoneyMovedRead<'a> {
    #[serde(borrow)]
    amount: Cow<'a, str>,
    counterparty_account_id: Option<AccountId>,
    currency: CurrencyCode,
    description: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    transfer_id: Option<TransferId>,
}

/// Decodes the member `data` of an event of type `type_name`; also says the currency of the event's money.
pub fn decode_event_data(type_name: &str, data: &str) -> Result<(EventData, Currency), Malformed> {
    match type_name {
        "AccountCreated" => {
            let read: AccountCreatedRead<'_> =
                serde_json::from_str(data).map_err(|error| invalid_event(&error))?;
            let currency = known_currency(read.currency)?;
            let created = AccountCreated {
                owner_name: read.owner_name,
                initial_balance: money(&read.initial_balance, currency)?,
                overdraft_limit: money(&read.overdraft_limit, currency)?,
                description: read.description,
                metadata: read.metadata,
            };
            Ok((EventData::AccountCreated(created), currency))
        }
        "MoneyDeposited" => {
            let (moved, currency) = money_moved(data)?;
            Ok((EventData::MoneyDeposited(moved), currency))
        }
        "MoneyWithdrawn" => {
            let (moved, currency) = money_moved(data)?;
            Ok((EventData::MoneyWithdrawn(moved), currency))
        }
        unknown => Err(Malformed::new(
            "unknown_event_type",
            format!(
                "this version of the ledger does not know the event type {:?}; was it written by a newer one?",
                excerpt(unknown)
            ),
        )),
    }
}

fn money_moved(data: &str) -> Result<(MoneyMoved, Currency), Malformed> {
    let read: MoneyMovedRead<'_> =
        serde_json::from_str(data).map_err(|error| invalid_event(&error))?;
    let currency = known_currency(read.currency)?;
    let transfer = match (read.transfer_id, read.counterparty_account_id) {
        (None, None) => None,
        (Some(transfer_id), Some(counterparty_account_id)) => Some(TransferLeg {
            transfer_id,
            counterparty_account_id,
        }),
        _ => {
            return Err(Malformed::new(
                "invalid_event",
                "an event has transfer_id and counterparty_account_id, or neither",
            ));
        }
    };
    let moved = MoneyMoved {
        amount: money(&read.amount, currency)?,
        transfer,
        description: read.description,
        metadata: read.metadata,
    };
    Ok((moved, currency))
}

fn known_currency(code: CurrencyCode) -> Result<Currency, Malformed> {
    Currency::lookup(code).map_err(|error| Malformed::new("invalid_event", error.to_string()))
}

fn money(text: &str, currency: Currency) -> Result<Money, Malformed> {
    parse_decimal(text)
        .and_then(|value| Money::new(value, currency))
        .map_err(|error| Malformed::new("invalid_event", error.to_string()))
}

fn invalid_event(error: &serde_json::Error) -> Malformed {
    Malformed::new(
        "invalid_event",
        format!("the event cannot be read: {error}"),
    )
}
