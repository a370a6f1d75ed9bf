//! From the command line to a command's JSON. Values go in as they were typed: what is wrong with them is for the codec
//! and the ledger to say.

use ledger::codec::{self, CONTENT_TYPE_JSON};
use ledger::{AccountId, Command, CommandId};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::batch;
use crate::arguments::{Envelope, SendCommand};
use crate::exit;

/// The fields of a command.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Something that is written as a string.
    fn text(&mut self, name: &str, value: &impl ToString) {
        self.put(name, value.to_string());
    }

    /// The same, if it is given.
    fn some(&mut self, name: &str, value: Option<&impl ToString>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Entries such as `invoice=77`.
    fn entries(&mut self, name: &str, flag: &str, given: &[String]) -> anyhow::Result<()> {
        let mut entries = Map::new();
        for entry in given {
            let Some((key, value)) = entry.split_once('=') else {
                return Err(exit::usage(format!(
                    "--{flag} is key=value, such as invoice=77, and this is not: {entry:?}"
                )));
            };
            if entries.insert(key.to_owned(), value.into()).is_some() {
                return Err(exit::usage(format!("{name} has the key {key:?} twice")));
            }
        }
        self.put(name, entries);
        Ok(())
    }
}

/// The command, and its JSON.
pub(super) fn build(command: &SendCommand) -> anyhow::Result<(Command, Vec<u8>)> {
    let mut fields = Fields::default();
    let (type_name, envelope) = own_fields(command, &mut fields)?;
    let command_id = envelope
        .command_id
        .unwrap_or_else(|| CommandId::from(Uuid::new_v4()));
    fields.put("type", type_name);
    fields.text("command_id", &command_id);
    if type_name == "hold" && !fields.0.contains_key("hold_id") {
        // Not random: the same command, sent again under its id, must place the same hold.
        fields.text("hold_id", &command_id);
    }
    add_envelope(envelope, &mut fields)?;
    if let SendCommand::Batch { file, .. } = command {
        return batch::build(&fields.0, file);
    }
    let payload = serde_json::to_vec(&fields.0)?;
    let command = codec::decode_command(Some(CONTENT_TYPE_JSON), &payload)
        .map_err(|malformed| exit::usage(malformed.to_string()))?;
    Ok((command, payload))
}

/// What every command can have.
fn add_envelope(envelope: &Envelope, fields: &mut Fields) -> anyhow::Result<()> {
    fields.some("description", envelope.description.as_ref());
    fields.some("actor", envelope.actor.as_ref());
    if !envelope.metadata.is_empty() {
        fields.entries("metadata", "metadata", &envelope.metadata)?;
    }
    if let Some(version) = envelope.expected_version {
        fields.put("expected_version", version);
    }
    fields.some("if_balance_at_least", envelope.if_balance_at_least.as_ref());
    fields.some("not_before", envelope.not_before.as_ref());
    fields.some("expires_at", envelope.expires_at.as_ref());
    Ok(())
}

/// An entry of a posting, such as `ALICE:debit:25.00` or `ALICE:debit:25.00:USD`.
fn entry(text: &str) -> anyhow::Result<Value> {
    let parts: Vec<&str> = text.split(':').collect();
    let (account_id, direction, amount, currency) = match parts[..] {
        [account_id, direction, amount] => (account_id, direction, amount, None),
        [account_id, direction, amount, currency] => {
            (account_id, direction, amount, Some(currency))
        }
        _ => {
            return Err(exit::usage(format!(
                "--entry is ACCOUNT:DIRECTION:AMOUNT[:CURRENCY], such as ALICE:debit:25.00, and this is not: {text:?}"
            )));
        }
    };
    let mut fields = Fields::default();
    fields.put("account_id", account_id);
    fields.put("direction", direction);
    fields.put("amount", amount);
    fields.some("currency", currency.as_ref());
    Ok(fields.0.into())
}

/// What is particular to the type of the command.
#[expect(clippy::too_many_lines, reason = "one entry per type of command")]
fn own_fields<'a>(
    command: &'a SendCommand,
    fields: &mut Fields,
) -> anyhow::Result<(&'static str, &'a Envelope)> {
    Ok(match command {
        SendCommand::CreateAccount {
            account_id,
            owner_name,
            currency,
            initial_balance,
            overdraft_limit,
            envelope,
        } => {
            fields.text("account_id", account_id);
            fields.text("owner_name", owner_name);
            fields.text("currency", currency);
            fields.text("initial_balance", initial_balance);
            fields.text("overdraft_limit", overdraft_limit);
            ("create_account", envelope)
        }
        SendCommand::Deposit {
            account_id,
            amount,
            currency,
            effective_at,
            envelope,
        } => {
            fields.text("account_id", account_id);
            fields.text("amount", amount);
            fields.some("currency", currency.as_ref());
            fields.some("effective_at", effective_at.as_ref());
            ("deposit", envelope)
        }
        SendCommand::Withdraw {
            account_id,
            amount,
            currency,
            effective_at,
            envelope,
        } => {
            fields.text("account_id", account_id);
            fields.text("amount", amount);
            fields.some("currency", currency.as_ref());
            fields.some("effective_at", effective_at.as_ref());
            ("withdraw", envelope)
        }
        SendCommand::Transfer {
            from_account_id,
            to_account_id,
            amount,
            currency,
            effective_at,
            envelope,
        } => {
            fields.text("from_account_id", from_account_id);
            fields.text("to_account_id", to_account_id);
            fields.text("amount", amount);
            fields.some("currency", currency.as_ref());
            fields.some("effective_at", effective_at.as_ref());
            ("transfer", envelope)
        }
        SendCommand::FreezeAccount {
            account_id,
            reason,
            scope,
            envelope,
        } => {
            fields.text("account_id", account_id);
            fields.text("reason", reason);
            fields.put("scope", scope.as_str());
            ("freeze_account", envelope)
        }
        SendCommand::UnfreezeAccount {
            account_id,
            reason,
            scope,
            envelope,
        } => {
            fields.text("account_id", account_id);
            fields.some("reason", reason.as_ref());
            fields.put("scope", scope.as_str());
            ("unfreeze_account", envelope)
        }
        SendCommand::CloseAccount {
            account_id,
            sweep_to_account_id,
            envelope,
        } => {
            fields.text("account_id", account_id);
            fields.some("sweep_to_account_id", sweep_to_account_id.as_ref());
            ("close_account", envelope)
        }
        SendCommand::SetOverdraftLimit {
            account_id,
            overdraft_limit,
            envelope,
        } => {
            fields.text("account_id", account_id);
            fields.text("overdraft_limit", overdraft_limit);
            ("set_overdraft_limit", envelope)
        }
        SendCommand::UpdateAccount {
            account_id,
            owner_name,
            account_metadata,
            no_account_metadata,
            envelope,
        } => {
            fields.text("account_id", account_id);
            fields.some("owner_name", owner_name.as_ref());
            if !account_metadata.is_empty() || *no_account_metadata {
                fields.entries("account_metadata", "account-metadata", account_metadata)?;
            }
            ("update_account", envelope)
        }
        SendCommand::SetAccountRules {
            account_id,
            minimum_balance,
            maximum_balance,
            daily_debit_amount_max,
            daily_debit_count_max,
            allowed_counterparties,
            no_counterparties,
            none: _,
            envelope,
        } => {
            fields.text("account_id", account_id);
            fields.some("minimum_balance", minimum_balance.as_ref());
            fields.some("maximum_balance", maximum_balance.as_ref());
            fields.some("daily_debit_amount_max", daily_debit_amount_max.as_ref());
            if let Some(count) = daily_debit_count_max {
                fields.put("daily_debit_count_max", *count);
            }
            if !allowed_counterparties.is_empty() || *no_counterparties {
                let names = allowed_counterparties.iter().map(AccountId::as_str);
                fields.put("allowed_counterparties", names.collect::<Vec<_>>());
            }
            ("set_account_rules", envelope)
        }
        SendCommand::Hold {
            account_id,
            amount,
            hold_id,
            hold_expires_at,
            currency,
            envelope,
        } => {
            fields.text("account_id", account_id);
            fields.text("amount", amount);
            fields.some("hold_id", hold_id.as_ref());
            fields.some("hold_expires_at", hold_expires_at.as_ref());
            fields.some("currency", currency.as_ref());
            ("hold", envelope)
        }
        SendCommand::Capture {
            account_id,
            hold_id,
            amount,
            is_final,
            to_account_id,
            effective_at,
            envelope,
        } => {
            fields.text("account_id", account_id);
            fields.text("hold_id", hold_id);
            fields.some("amount", amount.as_ref());
            if *is_final {
                fields.put("final", true);
            }
            fields.some("to_account_id", to_account_id.as_ref());
            fields.some("effective_at", effective_at.as_ref());
            ("capture", envelope)
        }
        SendCommand::Release {
            account_id,
            hold_id,
            amount,
            envelope,
        } => {
            fields.text("account_id", account_id);
            fields.text("hold_id", hold_id);
            fields.some("amount", amount.as_ref());
            ("release", envelope)
        }
        SendCommand::Reverse {
            account_id,
            reversed_command_id,
            amount,
            reason,
            effective_at,
            envelope,
        } => {
            fields.text("account_id", account_id);
            fields.text("reversed_command_id", reversed_command_id);
            fields.some("amount", amount.as_ref());
            fields.text("reason", reason);
            fields.some("effective_at", effective_at.as_ref());
            ("reverse", envelope)
        }
        SendCommand::Post {
            entries,
            effective_at,
            envelope,
        } => {
            let entries: anyhow::Result<Vec<Value>> =
                entries.iter().map(|text| entry(text)).collect();
            fields.put("entries", entries?);
            fields.some("effective_at", effective_at.as_ref());
            ("post", envelope)
        }
        SendCommand::Exchange {
            from_account_id,
            to_account_id,
            amount,
            rate,
            to_amount,
            from_clearing_account_id,
            to_clearing_account_id,
            effective_at,
            envelope,
        } => {
            fields.text("from_account_id", from_account_id);
            fields.text("to_account_id", to_account_id);
            fields.text("amount", amount);
            fields.some("rate", rate.as_ref());
            fields.some("to_amount", to_amount.as_ref());
            fields.text("from_clearing_account_id", from_clearing_account_id);
            fields.text("to_clearing_account_id", to_clearing_account_id);
            fields.some("effective_at", effective_at.as_ref());
            ("exchange", envelope)
        }
        // Its commands are read as text: see `batch`.
        SendCommand::Batch { envelope, .. } => ("batch", envelope),
    })
}
