//! Events in bincode.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::command::ScopeV1;
use super::{
    DecimalBytes, EntriesV1, RulesV1, VERSION_1, VERSION_2, VERSION_3, account_of, currency_of,
    decimal_of, entries, instant_of, map_of, read, written,
};
use crate::codec::Malformed;
use crate::codec::fields::check_version;
use crate::event::{
    AccountClosed, AccountCreated, AccountRulesSet, AccountUpdated, Event, EventData,
    FreezeChanged, Hold, HoldChanged, MoneyMoved, OverdraftLimitSet, Reversal, TransferLeg,
};
use crate::hash::Hash;
use crate::ids::PostingId;
use crate::money::{Currency, Money};
use crate::timestamp::Timestamp;

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

/// Behind [`EventV1`] in version 2.
#[derive(Serialize, Deserialize)]
struct MoreV2 {
    held_after: DecimalBytes,
    /// The hold that the event changes.
    hold: Option<HoldV2>,
    /// What the event moves back.
    reversal: Option<ReversalV2>,
    /// The business date of a movement.
    effective_at: Option<i64>,
}

/// Behind [`MoreV2`] in version 3.
#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct MoreV3 {
    /// The posting that the event is an entry of.
    posting_id: Option<[u8; 16]>,
    /// Which command of a batch made it.
    part: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct ReversalV2 {
    command_id: [u8; 16],
    reversed: DecimalBytes,
    reason: String,
}

#[derive(Serialize, Deserialize)]
struct HoldV2 {
    hold_id: [u8; 16],
    amount: DecimalBytes,
    captured: DecimalBytes,
    remaining: DecimalBytes,
    expires_at: Option<i64>,
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
    AccountFrozen(FreezeV1),
    AccountUnfrozen(FreezeV1),
    AccountClosed {
        description: Option<String>,
        metadata: EntriesV1,
    },
    OverdraftLimitSet {
        overdraft_limit: DecimalBytes,
        description: Option<String>,
        metadata: EntriesV1,
    },
    AccountUpdated {
        owner_name: Option<String>,
        account_metadata: Option<EntriesV1>,
        description: Option<String>,
        metadata: EntriesV1,
    },
    /// The hold stands in [`MoreV2`], as for the two below.
    HoldPlaced(HoldChangedV1),
    HoldReleased(HoldChangedV1),
    HoldExpired(HoldChangedV1),
    AccountRulesSet {
        rules: RulesV1,
        description: Option<String>,
        metadata: EntriesV1,
    },
}

#[derive(Serialize, Deserialize)]
struct MovedV1 {
    amount: DecimalBytes,
    transfer: Option<([u8; 16], String)>,
    description: Option<String>,
    metadata: EntriesV1,
}

#[derive(Serialize, Deserialize)]
struct FreezeV1 {
    scope: ScopeV1,
    reason: Option<String>,
    description: Option<String>,
    metadata: EntriesV1,
}

#[derive(Serialize, Deserialize)]
struct HoldChangedV1 {
    amount: DecimalBytes,
    description: Option<String>,
    metadata: EntriesV1,
}

/// Encodes an event.
pub fn encode_event(event: &Event) -> Vec<u8> {
    let first = EventV1 {
        event_id: event.event_id.as_uuid().into_bytes(),
        account_id: event.account_id.to_string(),
        version: event.version.get(),
        currency: event.currency().to_string(),
        data: encode_data(&event.data),
        balance_after: event.balance_after.value().serialize(),
        command_id: event.command_id.as_uuid().into_bytes(),
        actor: event.actor.clone(),
        recorded_at: event.recorded_at.unix_microseconds(),
        prev_hash: *event.prev_hash.as_bytes(),
        hash: *event.hash.as_bytes(),
    };
    let (hold, reversal) = (event.data.hold(), event.data.reversal());
    let effective_at = event.data.effective_at();
    let third = MoreV3 {
        posting_id: event.data.posting_id().map(|id| id.as_uuid().into_bytes()),
        part: event.part,
    };
    let is_of_version_1 = hold.is_none()
        && reversal.is_none()
        && effective_at.is_none()
        && event.held_after.is_zero()
        && third == MoreV3::default();
    if is_of_version_1 {
        return written(VERSION_1, &first);
    }
    let second = MoreV2 {
        held_after: event.held_after.value().serialize(),
        hold: hold.map(|hold| HoldV2 {
            hold_id: hold.hold_id.as_uuid().into_bytes(),
            amount: hold.amount.value().serialize(),
            captured: hold.captured.value().serialize(),
            remaining: hold.remaining.value().serialize(),
            expires_at: hold.expires_at.map(Timestamp::unix_microseconds),
        }),
        reversal: reversal.map(|reversal| ReversalV2 {
            command_id: reversal.command_id.as_uuid().into_bytes(),
            reversed: reversal.reversed.value().serialize(),
            reason: reversal.reason.clone(),
        }),
        effective_at: effective_at.map(Timestamp::unix_microseconds),
    };
    if third == MoreV3::default() {
        written(VERSION_2, &(first, second))
    } else {
        written(VERSION_3, &(first, second, third))
    }
}

fn encode_data(data: &EventData) -> DataV1 {
    let description = data.description().map(str::to_owned);
    let metadata = entries(data.metadata());
    let moved = |moved: &MoneyMoved, description, metadata| MovedV1 {
        amount: moved.amount.value().serialize(),
        transfer: moved.transfer.as_ref().map(|leg| {
            let transfer_id = leg.transfer_id.as_uuid().into_bytes();
            (transfer_id, leg.counterparty_account_id.to_string())
        }),
        description,
        metadata,
    };
    let freeze = |changed: &FreezeChanged, description, metadata| FreezeV1 {
        scope: changed.scope.into(),
        reason: changed.reason.clone(),
        description,
        metadata,
    };
    let hold = |changed: &HoldChanged, description, metadata| HoldChangedV1 {
        amount: changed.amount.value().serialize(),
        description,
        metadata,
    };
    match data {
        EventData::AccountCreated(created) => DataV1::AccountCreated {
            owner_name: created.owner_name.clone(),
            initial_balance: created.initial_balance.value().serialize(),
            overdraft_limit: created.overdraft_limit.value().serialize(),
            description,
            metadata,
        },
        EventData::MoneyDeposited(data) => {
            DataV1::MoneyDeposited(moved(data, description, metadata))
        }
        EventData::MoneyWithdrawn(data) => {
            DataV1::MoneyWithdrawn(moved(data, description, metadata))
        }
        EventData::AccountFrozen(data) => {
            DataV1::AccountFrozen(freeze(data, description, metadata))
        }
        EventData::AccountUnfrozen(data) => {
            DataV1::AccountUnfrozen(freeze(data, description, metadata))
        }
        EventData::AccountClosed(_) => DataV1::AccountClosed {
            description,
            metadata,
        },
        EventData::OverdraftLimitSet(set) => DataV1::OverdraftLimitSet {
            overdraft_limit: set.overdraft_limit.value().serialize(),
            description,
            metadata,
        },
        EventData::AccountUpdated(updated) => DataV1::AccountUpdated {
            owner_name: updated.owner_name.clone(),
            account_metadata: updated.account_metadata.as_ref().map(entries),
            description,
            metadata,
        },
        EventData::AccountRulesSet(set) => DataV1::AccountRulesSet {
            rules: RulesV1::of(&set.rules.map(|amount| amount.value())),
            description,
            metadata,
        },
        EventData::HoldPlaced(data) => DataV1::HoldPlaced(hold(data, description, metadata)),
        EventData::HoldReleased(data) => DataV1::HoldReleased(hold(data, description, metadata)),
        EventData::HoldExpired(data) => DataV1::HoldExpired(hold(data, description, metadata)),
    }
}

/// Decodes an event. Its hash is read, not checked: see [`Event::check_hash`].
pub fn decode_event(payload: &[u8]) -> Result<Event, Malformed> {
    let (first, second, third): (_, _, Option<MoreV3>) = read("event", payload)?;
    event_of(first, second, third.unwrap_or_default()).map_err(|malformed| Malformed {
        code: "invalid_event",
        ..malformed
    })
}

fn event_of(first: EventV1, more: Option<MoreV2>, third: MoreV3) -> Result<Event, Malformed> {
    let currency = Currency::lookup(currency_of(&first.currency)?)
        .map_err(|error| invalid(error.to_string()))?;
    let money = Amounts(currency);
    let (held_after, mut of_movement) = match more {
        None => (Money::zero(currency), OfMovement::default()),
        Some(more) => {
            let reversal = more.reversal.map(|read| reversal_of(money, read));
            let of_movement = OfMovement {
                hold: more.hold.map(|hold| hold_of(money, &hold)).transpose()?,
                reversal: reversal.transpose()?,
                posting_id: None,
                effective_at: more
                    .effective_at
                    .map(|microseconds| instant_of("effective_at", microseconds))
                    .transpose()?,
            };
            (money.of("held_after", more.held_after)?, of_movement)
        }
    };
    of_movement.posting_id = third.posting_id.map(|bytes| Uuid::from_bytes(bytes).into());
    if first.version == 0 {
        return Err(invalid(
            "version 0 stands for no event; an account's first has version 1".to_owned(),
        ));
    }
    Ok(Event {
        event_id: Uuid::from_bytes(first.event_id).into(),
        account_id: account_of("account_id", &first.account_id)?,
        version: check_version("version", first.version)?,
        data: data_of(money, first.data, of_movement)?,
        balance_after: money.of("balance_after", first.balance_after)?,
        held_after,
        command_id: Uuid::from_bytes(first.command_id).into(),
        part: third.part,
        actor: first.actor,
        recorded_at: instant_of("recorded_at", first.recorded_at)?,
        prev_hash: Hash::from(first.prev_hash),
        hash: Hash::from(first.hash),
    })
}

/// What only some events have.
#[derive(Default)]
struct OfMovement {
    hold: Option<Hold>,
    reversal: Option<Reversal>,
    posting_id: Option<PostingId>,
    effective_at: Option<Timestamp>,
}

/// Reads amounts of one currency.
#[derive(Clone, Copy)]
struct Amounts(Currency);

impl Amounts {
    fn of(self, name: &str, bytes: DecimalBytes) -> Result<Money, Malformed> {
        Money::new(decimal_of(name, bytes)?, self.0)
            .map_err(|error| invalid(format!("{name}: {error}")))
    }
}

fn data_of(money: Amounts, read: DataV1, more: OfMovement) -> Result<EventData, Malformed> {
    let is_about_a_hold = matches!(
        read,
        DataV1::MoneyWithdrawn(_)
            | DataV1::HoldPlaced(_)
            | DataV1::HoldReleased(_)
            | DataV1::HoldExpired(_)
    );
    if more.hold.is_some() && !is_about_a_hold {
        return Err(invalid("this type of event changes no hold".to_owned()));
    }
    let is_movement = matches!(read, DataV1::MoneyDeposited(_) | DataV1::MoneyWithdrawn(_));
    if more.reversal.is_some() && !is_movement {
        return Err(invalid("this type of event moves nothing back".to_owned()));
    }
    if more.posting_id.is_some() && !is_movement {
        return Err(invalid(
            "this type of event is no entry of a posting".to_owned(),
        ));
    }
    if more.effective_at.is_some() && !is_movement {
        return Err(invalid(
            "this type of event has no business date".to_owned(),
        ));
    }
    Ok(match read {
        DataV1::AccountCreated {
            owner_name,
            initial_balance,
            overdraft_limit,
            description,
            metadata,
        } => EventData::AccountCreated(AccountCreated {
            owner_name,
            initial_balance: money.of("initial_balance", initial_balance)?,
            overdraft_limit: money.of("overdraft_limit", overdraft_limit)?,
            description,
            metadata: map_of("metadata", metadata)?,
        }),
        DataV1::MoneyDeposited(data) => EventData::MoneyDeposited(moved(money, data, more)?),
        DataV1::MoneyWithdrawn(data) => EventData::MoneyWithdrawn(moved(money, data, more)?),
        DataV1::AccountFrozen(data) => EventData::AccountFrozen(freeze(data)?),
        DataV1::AccountUnfrozen(data) => EventData::AccountUnfrozen(freeze(data)?),
        DataV1::AccountClosed {
            description,
            metadata,
        } => EventData::AccountClosed(AccountClosed {
            description,
            metadata: map_of("metadata", metadata)?,
        }),
        DataV1::OverdraftLimitSet {
            overdraft_limit,
            description,
            metadata,
        } => EventData::OverdraftLimitSet(OverdraftLimitSet {
            overdraft_limit: money.of("overdraft_limit", overdraft_limit)?,
            description,
            metadata: map_of("metadata", metadata)?,
        }),
        DataV1::AccountUpdated {
            owner_name,
            account_metadata,
            description,
            metadata,
        } => EventData::AccountUpdated(AccountUpdated {
            owner_name,
            account_metadata: account_metadata
                .map(|metadata| map_of("account_metadata", metadata))
                .transpose()?,
            description,
            metadata: map_of("metadata", metadata)?,
        }),
        DataV1::AccountRulesSet {
            rules,
            description,
            metadata,
        } => EventData::AccountRulesSet(AccountRulesSet {
            rules: rules.rules()?.try_map(|name, amount| {
                Money::new(*amount, money.0).map_err(|error| invalid(format!("{name}: {error}")))
            })?,
            description,
            metadata: map_of("metadata", metadata)?,
        }),
        DataV1::HoldPlaced(data) => EventData::HoldPlaced(hold_changed(money, data, more.hold)?),
        DataV1::HoldReleased(data) => {
            EventData::HoldReleased(hold_changed(money, data, more.hold)?)
        }
        DataV1::HoldExpired(data) => EventData::HoldExpired(hold_changed(money, data, more.hold)?),
    })
}

fn moved(money: Amounts, read: MovedV1, more: OfMovement) -> Result<MoneyMoved, Malformed> {
    let transfer = read
        .transfer
        .map(|(transfer_id, account_id)| {
            Ok::<_, Malformed>(TransferLeg {
                transfer_id: Uuid::from_bytes(transfer_id).into(),
                counterparty_account_id: account_of("counterparty_account_id", &account_id)?,
            })
        })
        .transpose()?;
    if transfer.is_some() && more.posting_id.is_some() {
        return Err(invalid(
            "an event is a half of a transfer or an entry of a posting, and not both".to_owned(),
        ));
    }
    Ok(MoneyMoved {
        amount: money.of("amount", read.amount)?,
        transfer,
        posting_id: more.posting_id,
        hold: more.hold,
        reversal: more.reversal,
        effective_at: more.effective_at,
        description: read.description,
        metadata: map_of("metadata", read.metadata)?,
    })
}

fn freeze(read: FreezeV1) -> Result<FreezeChanged, Malformed> {
    Ok(FreezeChanged {
        scope: read.scope.into(),
        reason: read.reason,
        description: read.description,
        metadata: map_of("metadata", read.metadata)?,
    })
}

fn hold_changed(
    money: Amounts,
    read: HoldChangedV1,
    hold: Option<Hold>,
) -> Result<HoldChanged, Malformed> {
    Ok(HoldChanged {
        amount: money.of("amount", read.amount)?,
        hold: hold.ok_or_else(|| invalid("the event does not name its hold".to_owned()))?,
        description: read.description,
        metadata: map_of("metadata", read.metadata)?,
    })
}

fn reversal_of(money: Amounts, read: ReversalV2) -> Result<Reversal, Malformed> {
    Ok(Reversal {
        command_id: Uuid::from_bytes(read.command_id).into(),
        reversed: money.of("reversal.reversed", read.reversed)?,
        reason: read.reason,
    })
}

fn hold_of(money: Amounts, read: &HoldV2) -> Result<Hold, Malformed> {
    Ok(Hold {
        hold_id: Uuid::from_bytes(read.hold_id).into(),
        amount: money.of("hold.amount", read.amount)?,
        captured: money.of("hold.captured", read.captured)?,
        remaining: money.of("hold.remaining", read.remaining)?,
        expires_at: read
            .expires_at
            .map(|microseconds| instant_of("hold.expires_at", microseconds))
            .transpose()?,
    })
}

fn invalid(message: String) -> Malformed {
    Malformed::new("invalid_event", message)
}
