//! `chronicle account --effective`: what was in an account by business date, as it is known now or was known then.

use std::process::ExitCode;

use ledger::{AccountId, Sum, Timestamp};
use serde::Serialize;

use super::as_of::{self, Standing};
use super::reach;
use crate::arguments::AccountArguments;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// What is printed as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    account_id: &'a AccountId,
    currency: String,
    balance: Sum,
    #[serde(flatten)]
    standing: Standing,
}

pub(super) async fn execute(
    servers: &ServerArguments,
    arguments: &AccountArguments,
    effective: Timestamp,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let store = servers.event_store()?;
    let failed = |error| reach::event_store_failed(servers, &error);
    let account_id = &arguments.account_id;
    let known = match arguments.at {
        Some(at) => at,
        None => store.now().await.map_err(failed)?,
    };
    let then = store
        .balance_by_date(account_id, effective, known)
        .await
        .map_err(failed)?;
    as_of::check_past("--at", known, then.asked_at)?;
    let Some(found) = then.what else {
        return Err(as_of::not_open_yet(servers, &store, account_id, known).await);
    };
    let standing = Standing::at(known, then.is_final)
        .with_version(found.known.version)
        .effective(effective);
    let currency = found.known.currency().to_string();
    match output {
        Format::Json => output::json(&Answer {
            account_id,
            currency,
            balance: found.balance,
            standing,
        })?,
        Format::Table => {
            for (name, value) in [
                ("account", account_id.to_string()),
                ("balance", format!("{} {currency}", found.balance)),
                ("effective", format!("at or before {effective}")),
                ("as known at", standing.told()),
            ] {
                output::line(format!(" {name:<15}  {value}"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
