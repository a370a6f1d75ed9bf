//! Commands in JSON: read strictly, written canonically.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;

use super::written;
use crate::codec::Malformed;
use crate::codec::fields::{Fields, missing};
use crate::command::{
    Action, Batch, Capture, CloseAccount, Command, Conditions, CreateAccount, Deposit, Entry,
    Exchange, ExpireHold, FreezeAccount, PlaceHold, Post, Price, Release, Reverse, Scope,
    SetAccountRules, SetOverdraftLimit, Transfer, UnfreezeAccount, UpdateAccount, Withdraw, limits,
};
use crate::excerpt::excerpt;
use crate::ids::{AccountId, CommandId, HoldId, Version};
use crate::money::CurrencyCode;
use crate::rules::Rules;
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
    let actor = fields.text("actor", limits::ACTOR_BYTES_MAX)?;
    let type_name = type_name(&mut fields)?;
    let action = match type_name.as_str() {
        "batch" => {
            let parts = fields
                .objects("commands", limits::BATCH_COMMANDS_MAX)?
                .ok_or_else(|| missing("commands"))?;
            let part = |(index, fields)| {
                part_of(command_id, actor.as_deref(), fields)
                    .map_err(|malformed| malformed.within(&format!("commands[{index}]")))
            };
            let commands = parts.into_iter().enumerate().map(part);
            Action::Batch(Batch {
                commands: commands.collect::<Result<_, _>>()?,
            })
        }
        name => action_of(name, &mut fields)?,
    };
    finish(command_id, actor, action, &type_name, fields)
}

/// A command of a batch: it has no `command_id` and no `actor` of its own.
fn part_of(
    command_id: CommandId,
    actor: Option<&str>,
    mut fields: Fields<'_>,
) -> Result<Command, Malformed> {
    let type_name = type_name(&mut fields)?;
    if type_name == "batch" {
        return Err(nested_batch());
    }
    let action = action_of(&type_name, &mut fields)?;
    let known_to = format!("{type_name} in a batch");
    finish(
        command_id,
        actor.map(str::to_owned),
        action,
        &known_to,
        fields,
    )
}

pub(in crate::codec) fn nested_batch() -> Malformed {
    Malformed::new(
        "invalid_field",
        "a batch has no batch in it; put the commands of both into one",
    )
}

fn type_name(fields: &mut Fields<'_>) -> Result<String, Malformed> {
    fields
        .parsed("type", "invalid_field")?
        .ok_or_else(|| missing("type"))
}

/// What every command can have.
fn finish(
    command_id: CommandId,
    actor: Option<String>,
    action: Action,
    known_to: &str,
    mut fields: Fields<'_>,
) -> Result<Command, Malformed> {
    // Of any other type it is a field that nobody takes.
    let effective_at = if action.moves_money() {
        instant(&mut fields, "effective_at")?
    } else {
        None
    };
    let command = Command {
        command_id,
        action,
        description: fields.text("description", limits::DESCRIPTION_BYTES_MAX)?,
        actor,
        metadata: fields.metadata("metadata")?.unwrap_or_default(),
        conditions: Conditions {
            expected_version: fields.version("expected_version")?,
            if_balance_at_least: fields.decimal("if_balance_at_least")?,
            not_before: instant(&mut fields, "not_before")?,
            expires_at: instant(&mut fields, "expires_at")?,
        },
        effective_at,
    };
    fields.finish(known_to)?;
    Ok(command)
}

#[expect(clippy::too_many_lines, reason = "one arm per type of command")]
fn action_of(type_name: &str, fields: &mut Fields<'_>) -> Result<Action, Malformed> {
    Ok(match type_name {
        "create_account" => Action::CreateAccount(CreateAccount {
            account_id: account_id(fields, "account_id")?,
            owner_name: owner_name(fields)?.ok_or_else(|| missing("owner_name"))?,
            currency: currency(fields)?.ok_or_else(|| missing("currency"))?,
            initial_balance: fields.decimal("initial_balance")?.unwrap_or_default(),
            overdraft_limit: fields.decimal("overdraft_limit")?.unwrap_or_default(),
        }),
        "deposit" => Action::Deposit(Deposit {
            account_id: account_id(fields, "account_id")?,
            amount: amount(fields)?,
            currency: currency(fields)?,
        }),
        "withdraw" => Action::Withdraw(Withdraw {
            account_id: account_id(fields, "account_id")?,
            amount: amount(fields)?,
            currency: currency(fields)?,
        }),
        "transfer" => Action::Transfer(Transfer {
            from_account_id: account_id(fields, "from_account_id")?,
            to_account_id: account_id(fields, "to_account_id")?,
            amount: amount(fields)?,
            currency: currency(fields)?,
        }),
        "freeze_account" => Action::FreezeAccount(FreezeAccount {
            account_id: account_id(fields, "account_id")?,
            scope: scope(fields)?,
            reason: reason(fields)?.ok_or_else(|| missing("reason"))?,
        }),
        "unfreeze_account" => Action::UnfreezeAccount(UnfreezeAccount {
            account_id: account_id(fields, "account_id")?,
            scope: scope(fields)?,
            reason: reason(fields)?,
        }),
        "close_account" => Action::CloseAccount(CloseAccount {
            account_id: account_id(fields, "account_id")?,
            sweep_to_account_id: optional_account_id(fields, "sweep_to_account_id")?,
        }),
        "set_overdraft_limit" => Action::SetOverdraftLimit(SetOverdraftLimit {
            account_id: account_id(fields, "account_id")?,
            overdraft_limit: fields
                .decimal("overdraft_limit")?
                .ok_or_else(|| missing("overdraft_limit"))?,
        }),
        "update_account" => Action::UpdateAccount(update_account(fields)?),
        "hold" => Action::Hold(PlaceHold {
            account_id: account_id(fields, "account_id")?,
            hold_id: hold_id(fields)?,
            amount: amount(fields)?,
            currency: currency(fields)?,
            hold_expires_at: instant(fields, "hold_expires_at")?,
        }),
        "capture" => Action::Capture(Capture {
            account_id: account_id(fields, "account_id")?,
            hold_id: hold_id(fields)?,
            amount: fields.decimal("amount")?,
            is_final: fields.boolean("final")?.unwrap_or_default(),
            to_account_id: optional_account_id(fields, "to_account_id")?,
        }),
        "release" => Action::Release(Release {
            account_id: account_id(fields, "account_id")?,
            hold_id: hold_id(fields)?,
            amount: fields.decimal("amount")?,
        }),
        "reverse" => Action::Reverse(Reverse {
            account_id: account_id(fields, "account_id")?,
            reversed_command_id: fields
                .parsed("reversed_command_id", "invalid_command_id")?
                .ok_or_else(|| missing("reversed_command_id"))?,
            amount: fields.decimal("amount")?,
            reason: reason(fields)?.ok_or_else(|| missing("reason"))?,
        }),
        "expire_hold" => Action::ExpireHold(ExpireHold {
            account_id: account_id(fields, "account_id")?,
            hold_id: hold_id(fields)?,
        }),
        "exchange" => Action::Exchange(exchange(fields)?),
        "set_account_rules" => Action::SetAccountRules(SetAccountRules {
            account_id: account_id(fields, "account_id")?,
            rules: rules(fields)?,
        }),
        "post" => {
            let entries = fields
                .objects("entries", limits::POST_ENTRIES_MAX)?
                .ok_or_else(|| missing("entries"))?;
            let entry = |(index, fields)| {
                entry_of(fields).map_err(|malformed| malformed.within(&format!("entries[{index}]")))
            };
            Action::Post(Post {
                entries: entries
                    .into_iter()
                    .enumerate()
                    .map(entry)
                    .collect::<Result<_, _>>()?,
            })
        }
        unknown => {
            return Err(Malformed::new(
                "unknown_type",
                format!(
                    "{:?} is no command; there are {}",
                    excerpt(unknown),
                    Action::TYPE_NAMES.join(", ")
                ),
            ));
        }
    })
}

fn exchange(fields: &mut Fields<'_>) -> Result<Exchange, Malformed> {
    Ok(Exchange {
        from_account_id: account_id(fields, "from_account_id")?,
        to_account_id: account_id(fields, "to_account_id")?,
        from_clearing_account_id: account_id(fields, "from_clearing_account_id")?,
        to_clearing_account_id: account_id(fields, "to_clearing_account_id")?,
        amount: amount(fields)?,
        price: price_of(fields.decimal("to_amount")?, fields.decimal("rate")?)?,
    })
}

fn rules(fields: &mut Fields<'_>) -> Result<Rules<Decimal>, Malformed> {
    Ok(Rules {
        allowed_counterparties: fields
            .account_ids("allowed_counterparties", limits::COUNTERPARTIES_MAX)?,
        daily_debit_amount_max: fields.decimal("daily_debit_amount_max")?,
        daily_debit_count_max: fields.count("daily_debit_count_max")?,
        maximum_balance: fields.decimal("maximum_balance")?,
        minimum_balance: fields.decimal("minimum_balance")?,
    })
}

/// One of the two.
fn price_of(to_amount: Option<Decimal>, rate: Option<Decimal>) -> Result<Price, Malformed> {
    match (to_amount, rate) {
        (Some(to_amount), None) => Ok(Price::ToAmount(to_amount)),
        (None, Some(rate)) => Ok(Price::Rate(rate)),
        (None, None) => Err(Malformed::new(
            "missing_field",
            "one of the fields rate and to_amount must be there, and both are missing or null",
        )),
        (Some(_), Some(_)) => Err(Malformed::new(
            "invalid_field",
            "rate and to_amount cannot both be given; leave one out",
        )),
    }
}

fn entry_of(mut fields: Fields<'_>) -> Result<Entry, Malformed> {
    let entry = Entry {
        account_id: account_id(&mut fields, "account_id")?,
        direction: fields
            .parsed("direction", "invalid_field")?
            .ok_or_else(|| missing("direction"))?,
        amount: amount(&mut fields)?,
        currency: currency(&mut fields)?,
    };
    fields.finish("an entry")?;
    Ok(entry)
}

fn update_account(fields: &mut Fields<'_>) -> Result<UpdateAccount, Malformed> {
    let update = UpdateAccount {
        account_id: account_id(fields, "account_id")?,
        owner_name: owner_name(fields)?,
        account_metadata: fields.metadata("account_metadata")?,
    };
    update.check_changes_something()?;
    Ok(update)
}

impl UpdateAccount {
    /// Something must be given that is to change.
    pub(in crate::codec) fn check_changes_something(&self) -> Result<(), Malformed> {
        if self.owner_name.is_none() && self.account_metadata.is_none() {
            return Err(Malformed::new(
                "missing_field",
                "update_account changes nothing: owner_name and account_metadata are missing or null",
            ));
        }
        Ok(())
    }
}

fn account_id(fields: &mut Fields<'_>, name: &str) -> Result<AccountId, Malformed> {
    optional_account_id(fields, name)?.ok_or_else(|| missing(name))
}

fn optional_account_id(
    fields: &mut Fields<'_>,
    name: &str,
) -> Result<Option<AccountId>, Malformed> {
    fields.parsed(name, "invalid_account_id")
}

fn amount(fields: &mut Fields<'_>) -> Result<Decimal, Malformed> {
    fields.decimal("amount")?.ok_or_else(|| missing("amount"))
}

fn currency(fields: &mut Fields<'_>) -> Result<Option<CurrencyCode>, Malformed> {
    fields.parsed("currency", "invalid_currency")
}

fn owner_name(fields: &mut Fields<'_>) -> Result<Option<String>, Malformed> {
    fields.text("owner_name", limits::OWNER_NAME_BYTES_MAX)
}

fn reason(fields: &mut Fields<'_>) -> Result<Option<String>, Malformed> {
    fields.text("reason", limits::REASON_BYTES_MAX)
}

fn scope(fields: &mut Fields<'_>) -> Result<Scope, Malformed> {
    let scope = fields.parsed("scope", "invalid_field")?;
    Ok(scope.unwrap_or(Scope::All))
}

fn hold_id(fields: &mut Fields<'_>) -> Result<HoldId, Malformed> {
    fields
        .parsed("hold_id", "invalid_hold_id")?
        .ok_or_else(|| missing("hold_id"))
}

fn instant(fields: &mut Fields<'_>, name: &str) -> Result<Option<Timestamp>, Malformed> {
    fields.parsed(name, "invalid_timestamp")
}

/// A command as on the wire. The order of the fields is the canonical one; do not sort them otherwise.
#[derive(Default, Serialize)]
struct CommandJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_metadata: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_counterparties: Option<&'a BTreeSet<AccountId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<CommandId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commands: Option<Vec<Self>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<CurrencyCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    daily_debit_amount_max: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    daily_debit_count_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<EntryJson<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_version: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    is_final: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_account_id: Option<&'a AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_clearing_account_id: Option<&'a AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<HoldId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_balance_at_least: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    initial_balance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_balance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum_balance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overdraft_limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reversed_command_id: Option<CommandId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep_to_account_id: Option<&'a AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_account_id: Option<&'a AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_clearing_account_id: Option<&'a AccountId>,
    #[serde(rename = "type")]
    type_name: &'static str,
}

/// An entry of a posting. The order of the fields is the canonical one.
#[derive(Serialize)]
struct EntryJson<'a> {
    account_id: &'a AccountId,
    amount: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<CurrencyCode>,
    direction: &'static str,
}

/// Encodes a command; amounts keep the decimals that they came with.
pub fn encode_command(command: &Command) -> Vec<u8> {
    encode(command, |amount| amount.to_string())
}

/// Encodes a command so that equal commands give equal bytes.
pub(crate) fn encode_normalized(command: &Command) -> Vec<u8> {
    encode(command, |amount| amount.normalize().to_string())
}

/// The names of the fields in which two commands differ, sorted.
pub(crate) fn differing_fields(first: &Command, second: &Command) -> Vec<String> {
    let object = |command| -> BTreeMap<String, Value> {
        serde_json::from_slice(&encode_normalized(command)).expect("it was written a moment ago")
    };
    let (first, second) = (object(first), object(second));
    let mut names: Vec<&String> = first.keys().chain(second.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|name| first.get(*name) != second.get(*name))
        .cloned()
        .collect()
}

fn encode(command: &Command, decimal: impl Fn(Decimal) -> String) -> Vec<u8> {
    written(&CommandJson {
        actor: command.actor.as_deref(),
        command_id: Some(command.command_id),
        ..command_json(command, &decimal)
    })
}

/// All but what the commands of a batch have of the batch.
#[expect(clippy::too_many_lines, reason = "one arm per type of command")]
fn command_json<'a>(command: &'a Command, decimal: &impl Fn(Decimal) -> String) -> CommandJson<'a> {
    let conditions = &command.conditions;
    let mut json = CommandJson {
        description: command.description.as_deref(),
        effective_at: command.effective_at,
        expected_version: conditions.expected_version,
        expires_at: conditions.expires_at,
        if_balance_at_least: conditions.if_balance_at_least.map(decimal),
        metadata: Some(&command.metadata).filter(|metadata| !metadata.is_empty()),
        not_before: conditions.not_before,
        type_name: command.type_name(),
        ..CommandJson::default()
    };
    match &command.action {
        Action::Transfer(action) => json.from_account_id = Some(&action.from_account_id),
        Action::Exchange(action) => json.from_account_id = Some(&action.from_account_id),
        Action::Post(_) | Action::Batch(_) => {}
        _ => json.account_id = Some(command.account_id()),
    }
    match &command.action {
        Action::CreateAccount(action) => {
            json.owner_name = Some(&action.owner_name);
            json.currency = Some(action.currency);
            json.initial_balance = Some(decimal(action.initial_balance));
            json.overdraft_limit = Some(decimal(action.overdraft_limit));
        }
        Action::Deposit(Deposit {
            amount, currency, ..
        })
        | Action::Withdraw(Withdraw {
            amount, currency, ..
        }) => {
            json.amount = Some(decimal(*amount));
            json.currency = *currency;
        }
        Action::Transfer(action) => {
            json.to_account_id = Some(&action.to_account_id);
            json.amount = Some(decimal(action.amount));
            json.currency = action.currency;
        }
        Action::FreezeAccount(action) => {
            json.scope = Some(action.scope.as_str());
            json.reason = Some(&action.reason);
        }
        Action::UnfreezeAccount(action) => {
            json.scope = Some(action.scope.as_str());
            json.reason = action.reason.as_deref();
        }
        Action::CloseAccount(action) => {
            json.sweep_to_account_id = action.sweep_to_account_id.as_ref();
        }
        Action::SetOverdraftLimit(action) => {
            json.overdraft_limit = Some(decimal(action.overdraft_limit));
        }
        Action::UpdateAccount(action) => {
            json.owner_name = action.owner_name.as_deref();
            json.account_metadata = action.account_metadata.as_ref();
        }
        Action::Hold(action) => {
            json.hold_id = Some(action.hold_id);
            json.amount = Some(decimal(action.amount));
            json.currency = action.currency;
            json.hold_expires_at = action.hold_expires_at;
        }
        Action::Capture(action) => {
            json.hold_id = Some(action.hold_id);
            json.amount = action.amount.map(decimal);
            json.is_final = action.is_final.then_some(true);
            json.to_account_id = action.to_account_id.as_ref();
        }
        Action::Release(action) => {
            json.hold_id = Some(action.hold_id);
            json.amount = action.amount.map(decimal);
        }
        Action::ExpireHold(action) => json.hold_id = Some(action.hold_id),
        Action::Reverse(action) => {
            json.reversed_command_id = Some(action.reversed_command_id);
            json.amount = action.amount.map(decimal);
            json.reason = Some(&action.reason);
        }
        Action::Post(action) => {
            let entry = |entry: &'a Entry| EntryJson {
                account_id: &entry.account_id,
                amount: decimal(entry.amount),
                currency: entry.currency,
                direction: entry.direction.as_str(),
            };
            json.entries = Some(action.entries.iter().map(entry).collect());
        }
        Action::Exchange(action) => {
            json.to_account_id = Some(&action.to_account_id);
            json.from_clearing_account_id = Some(&action.from_clearing_account_id);
            json.to_clearing_account_id = Some(&action.to_clearing_account_id);
            json.amount = Some(decimal(action.amount));
            match action.price {
                Price::ToAmount(to_amount) => json.to_amount = Some(decimal(to_amount)),
                Price::Rate(rate) => json.rate = Some(decimal(rate)),
            }
        }
        Action::SetAccountRules(SetAccountRules { rules, .. }) => {
            json.allowed_counterparties = rules.allowed_counterparties.as_ref();
            json.daily_debit_amount_max = rules.daily_debit_amount_max.map(decimal);
            json.daily_debit_count_max = rules.daily_debit_count_max;
            json.maximum_balance = rules.maximum_balance.map(decimal);
            json.minimum_balance = rules.minimum_balance.map(decimal);
        }
        Action::Batch(action) => {
            let parts = action.commands.iter();
            json.commands = Some(parts.map(|part| command_json(part, decimal)).collect());
        }
    }
    json
}
