//! `chronicle account`: an account as the event store has it now.

use std::process::ExitCode;

use ledger::{Account, AccountId, Currency, Hash, Money, Status, Timestamp, Version};
use serde::Serialize;

use super::reach;
use super::rows::plain;
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// What is printed as JSON. The names are those of the read model's `account_balance`.
#[derive(Serialize)]
struct Answer<'a> {
    account_id: &'a AccountId,
    owner_name: &'a str,
    status: Status,
    currency: String,
    balance: Money,
    /// What could be withdrawn now.
    available: Money,
    overdraft_limit: Money,
    version: Version,
    /// When the newest event was recorded.
    updated_at: Timestamp,
    /// The hash of the newest event: the head of the account's chain.
    hash: Hash,
}

pub(crate) async fn execute(
    servers: &ServerArguments,
    account_id: &AccountId,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let store = servers.event_store()?;
    let account = store
        .account(account_id)
        .await
        .map_err(|error| reach::event_store_failed(servers, &error))?;
    let Some(account) = account else {
        return Err(unknown(servers, account_id));
    };
    match output {
        Format::Json => output::json(&answer(&account)?)?,
        Format::Table => print(&answer(&account)?, account.currency())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// There is no such account.
pub(super) fn unknown(servers: &ServerArguments, account_id: &AccountId) -> anyhow::Error {
    exit::no(format!(
        "there is no account {account_id} in the event store at {}; open it with `chronicle send create-account {account_id} …`",
        reach::place(servers.event_store_url())
    ))
}

fn answer(account: &Account) -> anyhow::Result<Answer<'_>> {
    Ok(Answer {
        account_id: &account.account_id,
        owner_name: &account.owner_name,
        status: account.status,
        currency: account.currency().to_string(),
        balance: account.balance,
        available: account.available()?,
        overdraft_limit: account.overdraft_limit,
        version: account.version,
        updated_at: account.last_recorded_at,
        hash: account.last_hash,
    })
}

fn print(answer: &Answer<'_>, currency: Currency) -> anyhow::Result<()> {
    let rows = [
        ("account", answer.account_id.to_string()),
        ("owner", plain(answer.owner_name)),
        ("status", answer.status.as_str().to_owned()),
        ("balance", format!("{} {currency}", answer.balance)),
        ("available", format!("{} {currency}", answer.available)),
        (
            "overdraft limit",
            format!("{} {currency}", answer.overdraft_limit),
        ),
        ("version", answer.version.to_string()),
        ("last change", answer.updated_at.to_string()),
        ("hash", answer.hash.to_string()),
    ];
    rows.iter()
        .try_for_each(|(name, value)| output::line(format!(" {name:<15}  {value}")))
}
