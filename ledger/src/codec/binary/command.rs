//! Commands in bincode.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    DecimalBytes, EntriesV1, RulesV1, VERSION_1, VERSION_2, VERSION_3, account_of, currency_of,
    decimal_of, entries, instant_of, map_of, optional_account_of, read, written,
};
use crate::codec::Malformed;
use crate::codec::fields::{
    check_count, check_metadata_key, check_metadata_length, check_metadata_value, check_text,
    check_version, unknown,
};
use crate::codec::json::nested_batch;
use crate::command::{
    Action, Batch, Capture, CloseAccount, Command, Conditions, CreateAccount, Deposit, Direction,
    Entry, Exchange, ExpireHold, FreezeAccount, PlaceHold, Post, Price, Release, Reverse, Scope,
    SetAccountRules, SetOverdraftLimit, Transfer, UnfreezeAccount, UpdateAccount, Withdraw, limits,
};
use crate::ids::{AccountId, CommandId, HoldId, Version};
use crate::money::CurrencyCode;
use crate::timestamp::Timestamp;

#[derive(Serialize, Deserialize)]
struct CommandV1 {
    command_id: [u8; 16],
    action: ActionV1,
    description: Option<String>,
    actor: Option<String>,
    metadata: EntriesV1,
    expected_version: Option<u64>,
}

/// Behind [`CommandV1`] in version 2.
#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct ConditionsV2 {
    if_balance_at_least: Option<DecimalBytes>,
    not_before: Option<i64>,
    expires_at: Option<i64>,
    effective_at: Option<i64>,
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
    FreezeAccount {
        account_id: String,
        scope: ScopeV1,
        reason: String,
    },
    UnfreezeAccount {
        account_id: String,
        scope: ScopeV1,
        reason: Option<String>,
    },
    CloseAccount {
        account_id: String,
        sweep_to_account_id: Option<String>,
    },
    SetOverdraftLimit {
        account_id: String,
        overdraft_limit: DecimalBytes,
    },
    UpdateAccount {
        account_id: String,
        owner_name: Option<String>,
        account_metadata: Option<EntriesV1>,
    },
    Hold {
        account_id: String,
        hold_id: [u8; 16],
        amount: DecimalBytes,
        currency: Option<String>,
        hold_expires_at: Option<i64>,
    },
    Capture {
        account_id: String,
        hold_id: [u8; 16],
        amount: Option<DecimalBytes>,
        is_final: bool,
        to_account_id: Option<String>,
    },
    Release {
        account_id: String,
        hold_id: [u8; 16],
        amount: Option<DecimalBytes>,
    },
    ExpireHold {
        account_id: String,
        hold_id: [u8; 16],
    },
    Reverse {
        account_id: String,
        reversed_command_id: [u8; 16],
        amount: Option<DecimalBytes>,
        reason: String,
    },
    Post {
        entries: Vec<EntryV1>,
    },
    /// Its commands stand in [`MoreV3`].
    Batch,
    Exchange {
        from_account_id: String,
        to_account_id: String,
        from_clearing_account_id: String,
        to_clearing_account_id: String,
        amount: DecimalBytes,
        price: PriceV1,
    },
    SetAccountRules {
        account_id: String,
        rules: RulesV1,
    },
}

/// The order of the variants is part of the format.
#[derive(Serialize, Deserialize)]
enum PriceV1 {
    ToAmount(DecimalBytes),
    Rate(DecimalBytes),
}

#[derive(Serialize, Deserialize)]
struct EntryV1 {
    account_id: String,
    is_debit: bool,
    amount: DecimalBytes,
    currency: Option<String>,
}

/// Behind [`ConditionsV2`] in version 3.
#[derive(Default, Serialize, Deserialize)]
struct MoreV3 {
    /// The commands of a batch.
    commands: Vec<PartV3>,
}

/// A command of a batch.
#[derive(Serialize, Deserialize)]
struct PartV3 {
    action: ActionV1,
    description: Option<String>,
    metadata: EntriesV1,
    expected_version: Option<u64>,
    conditions: ConditionsV2,
}

/// The order of the variants is part of the format.
#[derive(Serialize, Deserialize)]
pub(super) enum ScopeV1 {
    Debits,
    Credits,
    All,
}

impl From<Scope> for ScopeV1 {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Debits => Self::Debits,
            Scope::Credits => Self::Credits,
            Scope::All => Self::All,
        }
    }
}

impl From<ScopeV1> for Scope {
    fn from(scope: ScopeV1) -> Self {
        match scope {
            ScopeV1::Debits => Self::Debits,
            ScopeV1::Credits => Self::Credits,
            ScopeV1::All => Self::All,
        }
    }
}

/// Encodes a command.
pub fn encode_command(command: &Command) -> Vec<u8> {
    let first = CommandV1 {
        command_id: command.command_id.as_uuid().into_bytes(),
        action: encode_action(&command.action),
        description: command.description.clone(),
        actor: command.actor.clone(),
        metadata: entries(&command.metadata),
        expected_version: command.conditions.expected_version.map(Version::get),
    };
    let second = encode_conditions(command);
    let third = MoreV3 {
        commands: command.parts().iter().map(encode_part).collect(),
    };
    if !third.commands.is_empty() {
        written(VERSION_3, &(first, second, third))
    } else if second != ConditionsV2::default() {
        written(VERSION_2, &(first, second))
    } else {
        written(VERSION_1, &first)
    }
}

fn encode_conditions(command: &Command) -> ConditionsV2 {
    let conditions = &command.conditions;
    ConditionsV2 {
        if_balance_at_least: conditions
            .if_balance_at_least
            .map(|least| least.serialize()),
        not_before: conditions.not_before.map(Timestamp::unix_microseconds),
        expires_at: conditions.expires_at.map(Timestamp::unix_microseconds),
        effective_at: command.effective_at.map(Timestamp::unix_microseconds),
    }
}

fn encode_part(part: &Command) -> PartV3 {
    PartV3 {
        action: encode_action(&part.action),
        description: part.description.clone(),
        metadata: entries(&part.metadata),
        expected_version: part.conditions.expected_version.map(Version::get),
        conditions: encode_conditions(part),
    }
}

#[expect(clippy::too_many_lines, reason = "one arm per type of command")]
fn encode_action(action: &Action) -> ActionV1 {
    let code = |currency: &Option<CurrencyCode>| currency.map(|code| code.to_string());
    let text = |account_id: &Option<AccountId>| account_id.as_ref().map(AccountId::to_string);
    match action {
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
        Action::FreezeAccount(action) => ActionV1::FreezeAccount {
            account_id: action.account_id.to_string(),
            scope: action.scope.into(),
            reason: action.reason.clone(),
        },
        Action::UnfreezeAccount(action) => ActionV1::UnfreezeAccount {
            account_id: action.account_id.to_string(),
            scope: action.scope.into(),
            reason: action.reason.clone(),
        },
        Action::CloseAccount(action) => ActionV1::CloseAccount {
            account_id: action.account_id.to_string(),
            sweep_to_account_id: text(&action.sweep_to_account_id),
        },
        Action::SetOverdraftLimit(action) => ActionV1::SetOverdraftLimit {
            account_id: action.account_id.to_string(),
            overdraft_limit: action.overdraft_limit.serialize(),
        },
        Action::UpdateAccount(action) => ActionV1::UpdateAccount {
            account_id: action.account_id.to_string(),
            owner_name: action.owner_name.clone(),
            account_metadata: action.account_metadata.as_ref().map(entries),
        },
        Action::Hold(action) => ActionV1::Hold {
            account_id: action.account_id.to_string(),
            hold_id: action.hold_id.as_uuid().into_bytes(),
            amount: action.amount.serialize(),
            currency: code(&action.currency),
            hold_expires_at: action.hold_expires_at.map(Timestamp::unix_microseconds),
        },
        Action::Capture(action) => ActionV1::Capture {
            account_id: action.account_id.to_string(),
            hold_id: action.hold_id.as_uuid().into_bytes(),
            amount: action.amount.map(|amount| amount.serialize()),
            is_final: action.is_final,
            to_account_id: text(&action.to_account_id),
        },
        Action::Release(action) => ActionV1::Release {
            account_id: action.account_id.to_string(),
            hold_id: action.hold_id.as_uuid().into_bytes(),
            amount: action.amount.map(|amount| amount.serialize()),
        },
        Action::ExpireHold(action) => ActionV1::ExpireHold {
            account_id: action.account_id.to_string(),
            hold_id: action.hold_id.as_uuid().into_bytes(),
        },
        Action::Reverse(action) => ActionV1::Reverse {
            account_id: action.account_id.to_string(),
            reversed_command_id: action.reversed_command_id.as_uuid().into_bytes(),
            amount: action.amount.map(|amount| amount.serialize()),
            reason: action.reason.clone(),
        },
        Action::Post(action) => {
            let entry = |entry: &Entry| EntryV1 {
                account_id: entry.account_id.to_string(),
                is_debit: entry.direction == Direction::Debit,
                amount: entry.amount.serialize(),
                currency: code(&entry.currency),
            };
            ActionV1::Post {
                entries: action.entries.iter().map(entry).collect(),
            }
        }
        Action::Batch(_) => ActionV1::Batch,
        Action::SetAccountRules(action) => ActionV1::SetAccountRules {
            account_id: action.account_id.to_string(),
            rules: RulesV1::of(&action.rules),
        },
        Action::Exchange(action) => ActionV1::Exchange {
            from_account_id: action.from_account_id.to_string(),
            to_account_id: action.to_account_id.to_string(),
            from_clearing_account_id: action.from_clearing_account_id.to_string(),
            to_clearing_account_id: action.to_clearing_account_id.to_string(),
            amount: action.amount.serialize(),
            price: match action.price {
                Price::ToAmount(to_amount) => PriceV1::ToAmount(to_amount.serialize()),
                Price::Rate(rate) => PriceV1::Rate(rate.serialize()),
            },
        },
    }
}

/// Decodes a command; every limit of the JSON form holds here too.
pub fn decode_command(payload: &[u8]) -> Result<Command, Malformed> {
    let (first, second, third): (CommandV1, _, Option<MoreV3>) = read("command", payload)?;
    let command_id = Uuid::from_bytes(first.command_id).into();
    let command = || {
        if let Some(actor) = &first.actor {
            check_text("actor", actor, limits::ACTOR_BYTES_MAX)?;
        }
        let parts = third.unwrap_or_default().commands;
        let action = match first.action {
            ActionV1::Batch => batch_of(command_id, first.actor.as_deref(), parts)?,
            _ if !parts.is_empty() => {
                let message = "commands stand behind a command that is no batch";
                return Err(Malformed::new("invalid_field", message));
            }
            action => action_of(action)?,
        };
        finish(
            Command {
                command_id,
                action,
                description: first.description,
                actor: first.actor,
                metadata: BTreeMap::new(),
                conditions: Conditions::default(),
                effective_at: None,
            },
            first.metadata,
            first.expected_version,
            second.unwrap_or_default(),
        )
    };
    command().map_err(|malformed: Malformed| Malformed {
        command_id: Some(command_id),
        ..malformed
    })
}

fn batch_of(
    command_id: CommandId,
    actor: Option<&str>,
    parts: Vec<PartV3>,
) -> Result<Action, Malformed> {
    check_count("commands", parts.len(), limits::BATCH_COMMANDS_MAX)?;
    let part = |(index, part)| {
        part_of(command_id, actor, part)
            .map_err(|malformed| malformed.within(&format!("commands[{index}]")))
    };
    let commands = parts.into_iter().enumerate().map(part);
    Ok(Action::Batch(Batch {
        commands: commands.collect::<Result<_, _>>()?,
    }))
}

fn part_of(command_id: CommandId, actor: Option<&str>, read: PartV3) -> Result<Command, Malformed> {
    let part = Command {
        command_id,
        action: action_of(read.action)?,
        description: read.description,
        actor: actor.map(str::to_owned),
        metadata: BTreeMap::new(),
        conditions: Conditions::default(),
        effective_at: None,
    };
    finish(part, read.metadata, read.expected_version, read.conditions)
}

/// Checks, and puts in, what every command can have.
fn finish(
    command: Command,
    metadata: EntriesV1,
    expected_version: Option<u64>,
    conditions: ConditionsV2,
) -> Result<Command, Malformed> {
    if let Some(description) = &command.description {
        check_text("description", description, limits::DESCRIPTION_BYTES_MAX)?;
    }
    check_metadata("metadata", &metadata)?;
    let effective_at = optional_instant("effective_at", conditions.effective_at)?;
    if effective_at.is_some() && !command.action.moves_money() {
        return Err(unknown(command.type_name(), "effective_at"));
    }
    Ok(Command {
        effective_at,
        metadata: map_of("metadata", metadata)?,
        conditions: Conditions {
            expected_version: expected_version
                .map(|number| check_version("expected_version", number))
                .transpose()?,
            if_balance_at_least: optional_decimal(
                "if_balance_at_least",
                conditions.if_balance_at_least,
            )?,
            not_before: optional_instant("not_before", conditions.not_before)?,
            expires_at: optional_instant("expires_at", conditions.expires_at)?,
        },
        ..command
    })
}

#[expect(clippy::too_many_lines, reason = "one arm per type of command")]
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
        ActionV1::FreezeAccount {
            account_id,
            scope,
            reason,
        } => {
            check_text("reason", &reason, limits::REASON_BYTES_MAX)?;
            Action::FreezeAccount(FreezeAccount {
                account_id: account_of("account_id", &account_id)?,
                scope: scope.into(),
                reason,
            })
        }
        ActionV1::UnfreezeAccount {
            account_id,
            scope,
            reason,
        } => {
            if let Some(reason) = &reason {
                check_text("reason", reason, limits::REASON_BYTES_MAX)?;
            }
            Action::UnfreezeAccount(UnfreezeAccount {
                account_id: account_of("account_id", &account_id)?,
                scope: scope.into(),
                reason,
            })
        }
        ActionV1::CloseAccount {
            account_id,
            sweep_to_account_id,
        } => Action::CloseAccount(CloseAccount {
            account_id: account_of("account_id", &account_id)?,
            sweep_to_account_id: optional_account_of(
                "sweep_to_account_id",
                sweep_to_account_id.as_deref(),
            )?,
        }),
        ActionV1::SetOverdraftLimit {
            account_id,
            overdraft_limit,
        } => Action::SetOverdraftLimit(SetOverdraftLimit {
            account_id: account_of("account_id", &account_id)?,
            overdraft_limit: decimal_of("overdraft_limit", overdraft_limit)?,
        }),
        ActionV1::UpdateAccount {
            account_id,
            owner_name,
            account_metadata,
        } => Action::UpdateAccount(update_account(&account_id, owner_name, account_metadata)?),
        ActionV1::Hold {
            account_id,
            hold_id,
            amount,
            currency,
            hold_expires_at,
        } => Action::Hold(PlaceHold {
            account_id: account_of("account_id", &account_id)?,
            hold_id: hold_of(hold_id),
            amount: decimal_of("amount", amount)?,
            currency: currency.as_deref().map(currency_of).transpose()?,
            hold_expires_at: optional_instant("hold_expires_at", hold_expires_at)?,
        }),
        ActionV1::Capture {
            account_id,
            hold_id,
            amount,
            is_final,
            to_account_id,
        } => Action::Capture(Capture {
            account_id: account_of("account_id", &account_id)?,
            hold_id: hold_of(hold_id),
            amount: optional_decimal("amount", amount)?,
            is_final,
            to_account_id: optional_account_of("to_account_id", to_account_id.as_deref())?,
        }),
        ActionV1::Release {
            account_id,
            hold_id,
            amount,
        } => Action::Release(Release {
            account_id: account_of("account_id", &account_id)?,
            hold_id: hold_of(hold_id),
            amount: optional_decimal("amount", amount)?,
        }),
        ActionV1::ExpireHold {
            account_id,
            hold_id,
        } => Action::ExpireHold(ExpireHold {
            account_id: account_of("account_id", &account_id)?,
            hold_id: hold_of(hold_id),
        }),
        ActionV1::Reverse {
            account_id,
            reversed_command_id,
            amount,
            reason,
        } => {
            check_text("reason", &reason, limits::REASON_BYTES_MAX)?;
            Action::Reverse(Reverse {
                account_id: account_of("account_id", &account_id)?,
                reversed_command_id: Uuid::from_bytes(reversed_command_id).into(),
                amount: optional_decimal("amount", amount)?,
                reason,
            })
        }
        ActionV1::Post { entries } => {
            check_count("entries", entries.len(), limits::POST_ENTRIES_MAX)?;
            let entry = |(index, read)| {
                entry_of(&read).map_err(|malformed| malformed.within(&format!("entries[{index}]")))
            };
            Action::Post(Post {
                entries: entries
                    .into_iter()
                    .enumerate()
                    .map(entry)
                    .collect::<Result<_, _>>()?,
            })
        }
        ActionV1::Exchange {
            from_account_id,
            to_account_id,
            from_clearing_account_id,
            to_clearing_account_id,
            amount,
            price,
        } => Action::Exchange(Exchange {
            from_account_id: account_of("from_account_id", &from_account_id)?,
            to_account_id: account_of("to_account_id", &to_account_id)?,
            from_clearing_account_id: account_of(
                "from_clearing_account_id",
                &from_clearing_account_id,
            )?,
            to_clearing_account_id: account_of("to_clearing_account_id", &to_clearing_account_id)?,
            amount: decimal_of("amount", amount)?,
            price: match price {
                PriceV1::ToAmount(to_amount) => {
                    Price::ToAmount(decimal_of("to_amount", to_amount)?)
                }
                PriceV1::Rate(rate) => Price::Rate(decimal_of("rate", rate)?),
            },
        }),
        ActionV1::SetAccountRules { account_id, rules } => {
            Action::SetAccountRules(SetAccountRules {
                account_id: account_of("account_id", &account_id)?,
                rules: rules.rules()?,
            })
        }
        ActionV1::Batch => return Err(nested_batch()),
    })
}

fn entry_of(read: &EntryV1) -> Result<Entry, Malformed> {
    Ok(Entry {
        account_id: account_of("account_id", &read.account_id)?,
        direction: if read.is_debit {
            Direction::Debit
        } else {
            Direction::Credit
        },
        amount: decimal_of("amount", read.amount)?,
        currency: read.currency.as_deref().map(currency_of).transpose()?,
    })
}

fn update_account(
    account_id: &str,
    owner_name: Option<String>,
    account_metadata: Option<EntriesV1>,
) -> Result<UpdateAccount, Malformed> {
    const METADATA: &str = "account_metadata";
    if let Some(owner_name) = &owner_name {
        check_text("owner_name", owner_name, limits::OWNER_NAME_BYTES_MAX)?;
    }
    if let Some(metadata) = &account_metadata {
        check_metadata(METADATA, metadata)?;
    }
    let update = UpdateAccount {
        account_id: account_of("account_id", account_id)?,
        owner_name,
        account_metadata: account_metadata
            .map(|metadata| map_of(METADATA, metadata))
            .transpose()?,
    };
    update.check_changes_something()?;
    Ok(update)
}

fn check_metadata(name: &str, metadata: &EntriesV1) -> Result<(), Malformed> {
    check_metadata_length(name, metadata.len())?;
    for (key, value) in metadata {
        check_metadata_key(name, key)?;
        check_metadata_value(name, key, value)?;
    }
    Ok(())
}

fn hold_of(bytes: [u8; 16]) -> HoldId {
    Uuid::from_bytes(bytes).into()
}

fn optional_decimal(name: &str, bytes: Option<DecimalBytes>) -> Result<Option<Decimal>, Malformed> {
    bytes.map(|bytes| decimal_of(name, bytes)).transpose()
}

fn optional_instant(name: &str, read: Option<i64>) -> Result<Option<Timestamp>, Malformed> {
    read.map(|microseconds| instant_of(name, microseconds))
        .transpose()
}
