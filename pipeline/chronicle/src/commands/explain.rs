//! `chronicle explain`: why a balance is what it is. From the balance back, event by event with the command behind it, to
//! the opening; and whether it adds up.

use std::collections::HashMap;
use std::process::ExitCode;

use ledger::codec::json;
use ledger::{Account, AccountId, Command, CommandId, Event, Money, Sum, Timestamp, Version};
use serde::Serialize;
use serde_json::value::RawValue;
use store::EventStore;

use super::as_of::{self, Standing};
use super::asked_for::asked_for;
use super::reach;
use super::rows::{self, Column, Rows, signed_amount};
use crate::arguments::ExplainArguments;
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// How many events are read at a time.
const PAGE: u32 = 500;

/// One event as JSON: what it did to the balance, and what was asked for.
#[derive(Serialize)]
struct Line<'a> {
    account_id: &'a AccountId,
    version: Version,
    recorded_at: Timestamp,
    /// The business date that the command gave.
    effective_at: Option<Timestamp>,
    r#type: &'static str,
    /// What it added; below zero for money that went out.
    amount: Money,
    balance_after: Money,
    currency: String,
    counterparty_account_id: Option<&'a AccountId>,
    description: Option<&'a str>,
    actor: Option<&'a str>,
    /// The earlier command whose money it moved back.
    reversed_command_id: Option<CommandId>,
    command_id: CommandId,
    /// Which command of a batch it was, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<u32>,
    /// What was asked for: of a batch, the one command that made the event.
    command: Box<RawValue>,
}

/// The last line as JSON: the balance, and what it is made of. It has no `version`, and every event's line has.
#[derive(Serialize)]
struct Conclusion<'a> {
    account_id: &'a AccountId,
    currency: String,
    balance: Money,
    /// How many events are shown.
    events: u64,
    /// What they add up to.
    sum: Sum,
    /// What was there before them: nothing, if they go back to the opening.
    balance_before: Money,
    #[serde(flatten)]
    standing: Standing,
}

pub(crate) async fn execute(
    servers: &ServerArguments,
    arguments: &ExplainArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let store = servers.event_store()?;
    let failed = |error| reach::event_store_failed(servers, &error);
    let at = match arguments.at {
        Some(at) => at,
        None => store.now().await.map_err(failed)?,
    };
    let (account, standing) = as_of::account_at(servers, &store, &arguments.account_id, at).await?;
    if output == Format::Table {
        output::line(format!(
            " {} has {} {} as of {}\n",
            account.account_id,
            account.balance,
            account.currency(),
            standing.told()
        ))?;
    }
    let mut explanation = Explanation::of(&account, output);
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    while left > 0 && explanation.version > Version::NONE {
        let page = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let before = Some(explanation.version.next());
        let events = store
            .history_back(&account.account_id, before, page)
            .await
            .map_err(failed)?;
        if events.is_empty() {
            return Err(explanation.is_broken());
        }
        let commands = commands(servers, &store, &events).await?;
        for event in &events {
            explanation.add(event, &commands)?;
            left -= 1;
        }
    }
    explanation.finish(standing)?;
    Ok(ExitCode::SUCCESS)
}

/// What was asked for, by the events' commands.
async fn commands(
    servers: &ServerArguments,
    store: &EventStore,
    events: &[Event],
) -> anyhow::Result<HashMap<CommandId, Command>> {
    let ids: Vec<CommandId> = events.iter().map(|event| event.command_id).collect();
    let rows = store
        .command_rows_of(&ids)
        .await
        .map_err(|error| reach::event_store_failed(servers, &error))?;
    rows.into_iter()
        .map(|row| match row.body {
            Ok(command) => Ok((row.command_id, command)),
            Err(message) => Err(exit::no(format!(
                "the body of command {} cannot be read: {message}; `chronicle verify` tells what else is damaged",
                row.command_id
            ))),
        })
        .collect()
}

/// A balance on its way back to nothing.
struct Explanation<'a> {
    account: &'a Account,
    output: Format,
    rows: Rows<10>,
    /// Up to which version the balance has yet to be explained.
    version: Version,
    /// The balance after that version, if it adds up.
    balance: Money,
    sum: Sum,
    events: u64,
}

impl<'a> Explanation<'a> {
    fn of(account: &'a Account, output: Format) -> Self {
        Self {
            account,
            output,
            rows: Rows::new([
                Column::Left("time"),
                Column::Right("version"),
                Column::Left("type"),
                Column::Right("amount"),
                Column::Right("balance"),
                Column::Left("counterparty"),
                Column::Left("description"),
                Column::Left("actor"),
                Column::Left("command"),
                Column::Left("asked for"),
            ]),
            version: account.version,
            balance: account.balance,
            sum: Sum::zero(account.currency()),
            events: 0,
        }
    }

    /// Takes one event off the balance, and prints it.
    fn add(&mut self, event: &Event, commands: &HashMap<CommandId, Command>) -> anyhow::Result<()> {
        if event.version != self.version
            || event.currency() != self.account.currency()
            || event.balance_after != self.balance
        {
            return Err(self.is_broken());
        }
        let amount = event
            .data
            .balance_change()
            .unwrap_or(Money::zero(event.currency()));
        let Some(command) = commands.get(&event.command_id) else {
            return Err(exit::no(format!(
                "account {} version {}: its command {} is not in the event store; `chronicle verify` tells what else is damaged",
                event.account_id, event.version, event.command_id
            )));
        };
        match self.output {
            Format::Json => output::json(&line(event, amount, command)?)?,
            Format::Table => self.rows.push(cells(event, command))?,
        }
        self.balance = self.balance.checked_sub(amount)?;
        self.sum = self.sum.plus(amount);
        self.events += 1;
        self.version = Version::new(event.version.get() - 1);
        Ok(())
    }

    /// The events do not make the balance.
    fn is_broken(&self) -> anyhow::Error {
        exit::no(format!(
            "account {} does not add up at version {}: the events behind it leave {} {}, and the event store says otherwise; \
             `chronicle verify` tells what is damaged",
            self.account.account_id,
            self.version,
            self.balance,
            self.account.currency()
        ))
    }

    /// Says what it adds up to.
    fn finish(mut self, standing: Standing) -> anyhow::Result<()> {
        self.rows.flush()?;
        let currency = self.account.currency();
        let is_whole = self.version == Version::NONE;
        if is_whole && self.balance != Money::zero(currency) {
            return Err(self.is_broken());
        }
        match self.output {
            Format::Json => output::json(&Conclusion {
                account_id: &self.account.account_id,
                currency: currency.to_string(),
                balance: self.account.balance,
                events: self.events,
                sum: self.sum,
                balance_before: self.balance,
                standing,
            }),
            Format::Table if is_whole => output::line(format!(
                "\n {} events from the opening on add up to {} {currency}: that is the balance",
                self.events, self.sum
            )),
            Format::Table => output::line(format!(
                "\n {} {currency} after version {}, and {} events add {}: that is the balance, {}",
                self.balance, self.version, self.events, self.sum, self.account.balance
            )),
        }
    }
}

fn line<'a>(event: &'a Event, amount: Money, command: &Command) -> anyhow::Result<Line<'a>> {
    let body = String::from_utf8(json::encode_command(own_command(event, command)))?;
    Ok(Line {
        account_id: &event.account_id,
        version: event.version,
        recorded_at: event.recorded_at,
        effective_at: event.data.effective_at(),
        r#type: event.data.type_name(),
        amount,
        balance_after: event.balance_after,
        currency: event.currency().to_string(),
        counterparty_account_id: counterparty(event),
        description: event.data.description(),
        actor: event.actor.as_deref(),
        reversed_command_id: event.data.reversal().map(|reversal| reversal.command_id),
        command_id: event.command_id,
        part: event.part,
        command: RawValue::from_string(body)?,
    })
}

fn cells(event: &Event, command: &Command) -> [String; 10] {
    [
        event.recorded_at.to_string(),
        event.version.to_string(),
        event.data.type_name().to_owned(),
        signed_amount(event),
        event.balance_after.to_string(),
        counterparty(event)
            .map(ToString::to_string)
            .unwrap_or_default(),
        rows::description(event),
        event.actor.clone().unwrap_or_default(),
        event.command_id.to_string(),
        match event.part {
            Some(part) => format!(
                "{} (commands[{part}] of {})",
                asked_for(own_command(event, command)),
                asked_for(command)
            ),
            None => asked_for(command),
        },
    ]
}

/// The command that made an event: of a batch, the one that it is a part of.
fn own_command<'a>(event: &Event, command: &'a Command) -> &'a Command {
    let part = event
        .part
        .and_then(|part| command.parts().get(part as usize));
    part.unwrap_or(command)
}

fn counterparty(event: &Event) -> Option<&AccountId> {
    let leg = event.data.transfer()?;
    Some(&leg.counterparty_account_id)
}
