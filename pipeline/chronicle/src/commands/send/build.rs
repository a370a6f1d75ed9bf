//! From the command line to a command's JSON. Values go in as they were typed: what is wrong with them is for the codec
//! and the ledger to say.

use ledger::codec::{self, CONTENT_TYPE_JSON};
use ledger::{Command, CommandId};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::arguments::{Envelope, SendCommand};
use crate::exit;

/// The command, and its JSON.
pub(super) fn build(command: &SendCommand) -> anyhow::Result<(Command, Vec<u8>)> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: String| fields.insert(name.to_owned(), Value::String(value));
    let (type_name, currency, envelope) = match command {
        SendCommand::CreateAccount {
            account_id,
            owner_name,
            currency,
            initial_balance,
            overdraft_limit,
            envelope,
        } => {
            put("account_id", account_id.to_string());
            put("owner_name", owner_name.clone());
            put("initial_balance", initial_balance.clone());
            put("overdraft_limit", overdraft_limit.clone());
            ("create_account", Some(currency), envelope)
        }
        SendCommand::Deposit {
            account_id,
            amount,
            currency,
            envelope,
        } => {
            put("account_id", account_id.to_string());
            put("amount", amount.clone());
            ("deposit", currency.as_ref(), envelope)
        }
        SendCommand::Withdraw {
            account_id,
            amount,
            currency,
            envelope,
        } => {
            put("account_id", account_id.to_string());
            put("amount", amount.clone());
            ("withdraw", currency.as_ref(), envelope)
        }
        SendCommand::Transfer {
            from_account_id,
            to_account_id,
            amount,
            currency,
            envelope,
        } => {
            put("from_account_id", from_account_id.to_string());
            put("to_account_id", to_account_id.to_string());
            put("amount", amount.clone());
            ("transfer", currency.as_ref(), envelope)
        }
    };
    let command_id = envelope
        .command_id
        .unwrap_or_else(|| CommandId::from(Uuid::new_v4()));
    put("type", type_name.to_owned());
    put("command_id", command_id.to_string());
    for (name, value) in [
        ("currency", currency),
        ("description", envelope.description.as_ref()),
        ("actor", envelope.actor.as_ref()),
    ] {
        if let Some(value) = value {
            put(name, value.clone());
        }
    }
    if let Some(version) = envelope.expected_version {
        fields.insert("expected_version".to_owned(), version.into());
    }
    if !envelope.metadata.is_empty() {
        fields.insert("metadata".to_owned(), Value::Object(metadata(envelope)?));
    }
    let payload = serde_json::to_vec(&fields)?;
    let command = codec::decode_command(Some(CONTENT_TYPE_JSON), &payload)
        .map_err(|malformed| exit::usage(malformed.to_string()))?;
    Ok((command, payload))
}

fn metadata(envelope: &Envelope) -> anyhow::Result<Map<String, Value>> {
    let mut metadata = Map::new();
    for entry in &envelope.metadata {
        let Some((key, value)) = entry.split_once('=') else {
            return Err(exit::usage(format!(
                "--metadata is key=value, such as invoice=77, and this is not: {entry:?}"
            )));
        };
        if metadata.insert(key.to_owned(), value.into()).is_some() {
            return Err(exit::usage(format!("metadata has the key {key:?} twice")));
        }
    }
    Ok(metadata)
}
