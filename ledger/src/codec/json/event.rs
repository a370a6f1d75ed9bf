//! Events in JSON: written canonically, read strictly.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{once, written};
use crate::codec::Malformed;
use crate::command::Scope;
use crate::event::{
    AccountClosed, AccountCreated, AccountRulesSet, AccountUpdated, Event, EventData,
    FreezeChanged, Hold, HoldChanged, MoneyMoved, OverdraftLimitSet, Reversal, TransferLeg,
};
use crate::excerpt::excerpt;
use crate::hash::Hash;
use crate::ids::{AccountId, CommandId, EventId, HoldId, PostingId, TransferId, Version};
use crate::money::{Currency, CurrencyCode, Money, parse_decimal};
use crate::rules::Rules;
use crate::timestamp::Timestamp;

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
    #[serde(skip_serializing_if = "Option::is_none")]
    held_after: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<u32>,
    prev_hash: Hash,
    recorded_at: Timestamp,
    #[serde(rename = "type")]
    type_name: &'static str,
    version: Version,
}

/// What is particular to a type; each has some of these. The order of the fields is the canonical one.
#[derive(Serialize)]
struct DataJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account_metadata: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counterparty_account_id: Option<&'a AccountId>,
    currency: CurrencyCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    initial_balance: Option<Money>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overdraft_limit: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    posting_id: Option<PostingId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reversal: Option<ReversalJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<&'a Rules<Money>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer_id: Option<TransferId>,
}

/// A hold as it is after an event. The order of the fields is the canonical one.
#[derive(Serialize)]
struct HoldJson {
    amount: Money,
    captured: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    hold_id: HoldId,
    remaining: Money,
}

/// What a movement moves back. The order of the fields is the canonical one.
#[derive(Serialize)]
struct ReversalJson<'a> {
    command_id: CommandId,
    reason: &'a str,
    reversed: Money,
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
        held_after: Some(event.held_after).filter(|held| !held.is_zero()),
        part: event.part,
        prev_hash: event.prev_hash,
        recorded_at: event.recorded_at,
        type_name: event.data.type_name(),
        version: event.version,
    }
}

fn data_json(event: &Event) -> DataJson<'_> {
    let mut json = DataJson {
        account_metadata: None,
        amount: None,
        counterparty_account_id: None,
        currency: event.currency().code(),
        description: event.data.description(),
        effective_at: event.data.effective_at(),
        hold: event.data.hold().map(|hold| HoldJson {
            amount: hold.amount,
            captured: hold.captured,
            expires_at: hold.expires_at,
            hold_id: hold.hold_id,
            remaining: hold.remaining,
        }),
        initial_balance: None,
        metadata: event.data.metadata(),
        overdraft_limit: None,
        owner_name: None,
        posting_id: event.data.posting_id(),
        reason: None,
        reversal: event.data.reversal().map(|reversal| ReversalJson {
            command_id: reversal.command_id,
            reason: &reversal.reason,
            reversed: reversal.reversed,
        }),
        rules: None,
        scope: None,
        transfer_id: None,
    };
    match &event.data {
        EventData::AccountCreated(created) => {
            json.initial_balance = Some(created.initial_balance);
            json.overdraft_limit = Some(created.overdraft_limit);
            json.owner_name = Some(&created.owner_name);
        }
        EventData::MoneyDeposited(moved) | EventData::MoneyWithdrawn(moved) => {
            json.amount = Some(moved.amount);
            if let Some(leg) = &moved.transfer {
                json.counterparty_account_id = Some(&leg.counterparty_account_id);
                json.transfer_id = Some(leg.transfer_id);
            }
        }
        EventData::AccountFrozen(freeze) | EventData::AccountUnfrozen(freeze) => {
            json.reason = freeze.reason.as_deref();
            json.scope = Some(freeze.scope.as_str());
        }
        EventData::AccountClosed(_) => {}
        EventData::OverdraftLimitSet(set) => json.overdraft_limit = Some(set.overdraft_limit),
        EventData::AccountUpdated(updated) => {
            json.account_metadata = updated.account_metadata.as_ref();
            json.owner_name = updated.owner_name.as_deref();
        }
        EventData::AccountRulesSet(set) => json.rules = Some(&set.rules),
        EventData::HoldPlaced(changed)
        | EventData::HoldReleased(changed)
        | EventData::HoldExpired(changed) => json.amount = Some(changed.amount),
    }
    json
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
    #[serde(borrow)]
    held_after: Option<Cow<'a, str>>,
    part: Option<u32>,
    prev_hash: Hash,
    recorded_at: Timestamp,
    #[serde(rename = "type", borrow)]
    type_name: Cow<'a, str>,
    version: Version,
}

/// Decodes an event. Its hash is read, not checked: see [`Event::check_hash`].
pub fn decode_event(payload: &[u8]) -> Result<Event, Malformed> {
    let read: EventRead<'_> =
        serde_json::from_slice(payload).map_err(|error| unreadable(&error))?;
    if read.version == Version::NONE {
        return Err(invalid(
            "the event has version 0, and an account's first event has version 1",
        ));
    }
    let (data, currency) = decode_event_data(&read.type_name, read.data.get())?;
    let held_after = read.held_after.as_deref().map(|held| money(held, currency));
    Ok(Event {
        event_id: read.event_id,
        account_id: read.account_id,
        version: read.version,
        data,
        balance_after: money(&read.balance_after, currency)?,
        held_after: held_after.unwrap_or(Ok(Money::zero(currency)))?,
        command_id: read.command_id,
        part: read.part,
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
    #[serde(default, deserialize_with = "once::texts")]
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
    effective_at: Option<Timestamp>,
    #[serde(borrow)]
    hold: Option<HoldRead<'a>>,
    #[serde(default, deserialize_with = "once::texts")]
    metadata: BTreeMap<String, String>,
    posting_id: Option<PostingId>,
    #[serde(borrow)]
    reversal: Option<ReversalRead<'a>>,
    transfer_id: Option<TransferId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReversalRead<'a> {
    command_id: CommandId,
    reason: String,
    #[serde(borrow)]
    reversed: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FreezeChangedRead<'a> {
    currency: CurrencyCode,
    description: Option<String>,
    #[serde(default, deserialize_with = "once::texts")]
    metadata: BTreeMap<String, String>,
    reason: Option<String>,
    #[serde(borrow)]
    scope: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountClosedRead {
    currency: CurrencyCode,
    description: Option<String>,
    #[serde(default, deserialize_with = "once::texts")]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OverdraftLimitSetRead<'a> {
    currency: CurrencyCode,
    description: Option<String>,
    #[serde(default, deserialize_with = "once::texts")]
    metadata: BTreeMap<String, String>,
    #[serde(borrow)]
    overdraft_limit: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountUpdatedRead {
    #[serde(default, deserialize_with = "once::texts_or_null")]
    account_metadata: Option<BTreeMap<String, String>>,
    currency: CurrencyCode,
    description: Option<String>,
    #[serde(default, deserialize_with = "once::texts")]
    metadata: BTreeMap<String, String>,
    owner_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountRulesSetRead {
    currency: CurrencyCode,
    description: Option<String>,
    #[serde(default, deserialize_with = "once::texts")]
    metadata: BTreeMap<String, String>,
    rules: Rules<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldChangedRead<'a> {
    #[serde(borrow)]
    amount: Cow<'a, str>,
    currency: CurrencyCode,
    description: Option<String>,
    #[serde(borrow)]
    hold: HoldRead<'a>,
    #[serde(default, deserialize_with = "once::texts")]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldRead<'a> {
    #[serde(borrow)]
    amount: Cow<'a, str>,
    #[serde(borrow)]
    captured: Cow<'a, str>,
    expires_at: Option<Timestamp>,
    hold_id: HoldId,
    #[serde(borrow)]
    remaining: Cow<'a, str>,
}

/// Decodes the member `data` of an event of type `type_name`; also says the currency of the event's money.
pub fn decode_event_data(type_name: &str, data: &str) -> Result<(EventData, Currency), Malformed> {
    match type_name {
        "AccountCreated" => account_created(data),
        "MoneyDeposited" => money_moved(data, false, EventData::MoneyDeposited),
        "MoneyWithdrawn" => money_moved(data, true, EventData::MoneyWithdrawn),
        "AccountFrozen" => freeze_changed(data, EventData::AccountFrozen),
        "AccountUnfrozen" => freeze_changed(data, EventData::AccountUnfrozen),
        "AccountClosed" => {
            let read: AccountClosedRead = read(data)?;
            let closed = AccountClosed {
                description: read.description,
                metadata: read.metadata,
            };
            Ok((
                EventData::AccountClosed(closed),
                known_currency(read.currency)?,
            ))
        }
        "OverdraftLimitSet" => {
            let read: OverdraftLimitSetRead<'_> = read(data)?;
            let currency = known_currency(read.currency)?;
            let set = OverdraftLimitSet {
                overdraft_limit: money(&read.overdraft_limit, currency)?,
                description: read.description,
                metadata: read.metadata,
            };
            Ok((EventData::OverdraftLimitSet(set), currency))
        }
        "AccountUpdated" => {
            let read: AccountUpdatedRead = read(data)?;
            let updated = AccountUpdated {
                owner_name: read.owner_name,
                account_metadata: read.account_metadata,
                description: read.description,
                metadata: read.metadata,
            };
            Ok((
                EventData::AccountUpdated(updated),
                known_currency(read.currency)?,
            ))
        }
        "AccountRulesSet" => {
            let read: AccountRulesSetRead = read(data)?;
            let currency = known_currency(read.currency)?;
            let set = AccountRulesSet {
                rules: read.rules.try_map(|_, amount| money(amount, currency))?,
                description: read.description,
                metadata: read.metadata,
            };
            Ok((EventData::AccountRulesSet(set), currency))
        }
        "HoldPlaced" => hold_changed(data, EventData::HoldPlaced),
        "HoldReleased" => hold_changed(data, EventData::HoldReleased),
        "HoldExpired" => hold_changed(data, EventData::HoldExpired),
        unknown => Err(Malformed::new(
            "unknown_event_type",
            format!(
                "this version of the ledger does not know the event type {:?}: it was {WRITTEN_BY_A_NEWER}",
                excerpt(unknown)
            ),
        )),
    }
}

type Data = Result<(EventData, Currency), Malformed>;

fn account_created(data: &str) -> Data {
    let read: AccountCreatedRead<'_> = read(data)?;
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

fn money_moved(data: &str, goes_out: bool, of: fn(MoneyMoved) -> EventData) -> Data {
    let read: MoneyMovedRead<'_> = read(data)?;
    let currency = known_currency(read.currency)?;
    let transfer = match (read.transfer_id, read.counterparty_account_id) {
        (None, None) => None,
        (Some(transfer_id), Some(counterparty_account_id)) => Some(TransferLeg {
            transfer_id,
            counterparty_account_id,
        }),
        _ => {
            return Err(invalid(
                "an event has transfer_id and counterparty_account_id, or neither",
            ));
        }
    };
    if transfer.is_some() && read.posting_id.is_some() {
        return Err(invalid(
            "an event is a half of a transfer or an entry of a posting, and not both",
        ));
    }
    if read.hold.is_some() && !goes_out {
        return Err(invalid("only money that goes out is taken from a hold"));
    }
    let moved = MoneyMoved {
        amount: money(&read.amount, currency)?,
        transfer,
        posting_id: read.posting_id,
        hold: read.hold.map(|hold| hold_of(&hold, currency)).transpose()?,
        reversal: read
            .reversal
            .map(|read| {
                Ok::<_, Malformed>(Reversal {
                    command_id: read.command_id,
                    reversed: money(&read.reversed, currency)?,
                    reason: read.reason,
                })
            })
            .transpose()?,
        effective_at: read.effective_at,
        description: read.description,
        metadata: read.metadata,
    };
    Ok((of(moved), currency))
}

fn freeze_changed(data: &str, of: fn(FreezeChanged) -> EventData) -> Data {
    let read: FreezeChangedRead<'_> = read(data)?;
    let scope: Scope = read
        .scope
        .parse()
        .map_err(|error: crate::command::InvalidScope| invalid(error.to_string()))?;
    let changed = FreezeChanged {
        scope,
        reason: read.reason,
        description: read.description,
        metadata: read.metadata,
    };
    Ok((of(changed), known_currency(read.currency)?))
}

fn hold_changed(data: &str, of: fn(HoldChanged) -> EventData) -> Data {
    let read: HoldChangedRead<'_> = read(data)?;
    let currency = known_currency(read.currency)?;
    let changed = HoldChanged {
        amount: money(&read.amount, currency)?,
        hold: hold_of(&read.hold, currency)?,
        description: read.description,
        metadata: read.metadata,
    };
    Ok((of(changed), currency))
}

fn hold_of(read: &HoldRead<'_>, currency: Currency) -> Result<Hold, Malformed> {
    Ok(Hold {
        hold_id: read.hold_id,
        amount: money(&read.amount, currency)?,
        captured: money(&read.captured, currency)?,
        remaining: money(&read.remaining, currency)?,
        expires_at: read.expires_at,
    })
}

fn known_currency(code: CurrencyCode) -> Result<Currency, Malformed> {
    Currency::lookup(code).map_err(|error| invalid(error.to_string()))
}

fn money(text: &str, currency: Currency) -> Result<Money, Malformed> {
    let value = parse_decimal(text).map_err(|error| invalid(error.to_string()))?;
    if value.scale() != currency.exponent() {
        return Err(invalid(format!(
            "an event's amounts have all decimals of their currency, and {value} {currency} has {} of {}; was {currency} \
             declared otherwise when it was written?",
            value.scale(),
            currency.exponent()
        )));
    }
    Money::new(value, currency).map_err(|error| invalid(error.to_string()))
}

fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, Malformed> {
    serde_json::from_str(data).map_err(|error| unreadable(&error))
}

const WRITTEN_BY_A_NEWER: &str =
    "written by a newer version of chronicle; upgrade this process first";

fn unreadable(error: &serde_json::Error) -> Malformed {
    let reason = error.to_string();
    if reason.starts_with("unknown field") {
        return invalid(format!(
            "the event cannot be read: {reason}. An event with a field that is not known was {WRITTEN_BY_A_NEWER}"
        ));
    }
    invalid(format!("the event cannot be read: {reason}"))
}

fn invalid(message: impl Into<String>) -> Malformed {
    Malformed::new("invalid_event", message)
}
