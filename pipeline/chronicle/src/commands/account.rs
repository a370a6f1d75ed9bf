//! `chronicle account`: an account as the event store has it now, or had it.

use std::collections::BTreeMap;
use std::process::ExitCode;

use ledger::{
    Account, AccountId, Currency, DayDebits, Hash, Money, Rules, Status, Timestamp, Version,
};
use serde::Serialize;

use super::as_of::{self, Standing};
use super::rows::plain;
use super::{asked_for, by_date, reach};
use crate::arguments::AccountArguments;
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// What is printed as JSON. The names are those of the read model's `account_balance`.
#[derive(Serialize)]
pub(super) struct Answer<'a> {
    account_id: &'a AccountId,
    owner_name: &'a str,
    status: Status,
    /// Why it is frozen.
    freeze_reason: Option<&'a str>,
    /// The account's own metadata.
    metadata: &'a BTreeMap<String, String>,
    /// What its movements must obey.
    rules: Rules<String>,
    /// What its daily rules have counted.
    day_debits: Option<&'a DayDebits<Money>>,
    currency: String,
    balance: Money,
    /// What of it is held.
    held: Money,
    /// What could be withdrawn.
    available: Money,
    overdraft_limit: Money,
    version: Version,
    /// When the newest event was recorded.
    updated_at: Timestamp,
    /// The hash of the newest event: the head of the account's chain.
    hash: Hash,
    /// Only when the past was asked for.
    #[serde(flatten)]
    standing: Option<Standing>,
}

pub(crate) async fn execute(
    servers: &ServerArguments,
    arguments: &AccountArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    if let Some(effective) = arguments.effective {
        return by_date::execute(servers, arguments, effective, output).await;
    }
    let store = servers.event_store()?;
    let account_id = &arguments.account_id;
    let (account, standing) = if let Some(at) = arguments.at {
        let (account, standing) = as_of::account_at(servers, &store, account_id, at).await?;
        (account, Some(standing))
    } else if let Some(version) = arguments.version {
        let version = Version::new(version);
        let (account, standing) =
            as_of::account_at_version(servers, &store, account_id, version).await?;
        (account, Some(standing))
    } else {
        let account = store
            .account(account_id)
            .await
            .map_err(|error| reach::event_store_failed(servers, &error))?;
        (account.ok_or_else(|| unknown(servers, account_id))?, None)
    };
    let answer = Answer::of(&account, standing)?;
    match output {
        Format::Json => output::json(&answer)?,
        Format::Table => answer.print(account.currency())?,
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

impl<'a> Answer<'a> {
    pub(super) fn of(account: &'a Account, standing: Option<Standing>) -> anyhow::Result<Self> {
        Ok(Self {
            account_id: &account.account_id,
            owner_name: &account.owner_name,
            status: account.status,
            freeze_reason: account.freeze_reason.as_deref(),
            metadata: &account.metadata,
            rules: account.profile().rules.unwrap_or_default(),
            day_debits: account.day_debits(),
            currency: account.currency().to_string(),
            balance: account.balance,
            held: account.held,
            available: account.available()?,
            overdraft_limit: account.overdraft_limit,
            version: account.version,
            updated_at: account.last_recorded_at,
            hash: account.last_hash,
            standing,
        })
    }

    fn status(&self) -> String {
        match self.freeze_reason {
            Some(reason) => format!("{} ({})", self.status.as_str(), plain(reason)),
            None => self.status.as_str().to_owned(),
        }
    }

    fn print(&self, currency: Currency) -> anyhow::Result<()> {
        let as_of = self.standing.map(|standing| ("as of", standing.told()));
        let rows = [
            ("account", self.account_id.to_string()),
            ("owner", plain(self.owner_name)),
            ("status", self.status()),
            ("balance", format!("{} {currency}", self.balance)),
            ("held", format!("{} {currency}", self.held)),
            ("available", format!("{} {currency}", self.available)),
            (
                "overdraft limit",
                format!("{} {currency}", self.overdraft_limit),
            ),
            ("version", self.version.to_string()),
            ("last change", self.updated_at.to_string()),
            ("hash", self.hash.to_string()),
        ];
        let rules = Some(&self.rules).filter(|rules| !rules.is_empty());
        let rules = rules.map(|rules| ("rules", asked_for::rules(rules)));
        let day_debits = self.day_debits.map(|debits| {
            let DayDebits { amount, count, day } = debits;
            (
                "debits of a day",
                format!("{amount} {currency} in {count} on {day}"),
            )
        });
        let metadata = self
            .metadata
            .iter()
            .map(|(key, value)| ("metadata", plain(&format!("{key}={value}"))));
        rows.into_iter()
            .chain(rules)
            .chain(day_debits)
            .chain(metadata)
            .chain(as_of)
            .try_for_each(|(name, value)| output::line(format!(" {name:<15}  {value}")))
    }
}
