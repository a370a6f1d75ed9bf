//! Whether the events of a command do what the command asks for. The hash chain alone does not show that: whoever may
//! write everything can compute it anew.

use ledger::{Action, Command, Event, EventData};
use rust_decimal::Decimal;

/// What an event does, as far as its command determines it.
#[derive(PartialEq, Eq)]
struct Deed {
    type_name: &'static str,
    account_id: String,
    amount: Decimal,
    details: String,
}

impl Deed {
    fn shown(&self) -> String {
        let Self {
            type_name,
            account_id,
            amount,
            details,
        } = self;
        format!("{type_name} {account_id} {amount}{details}")
    }
}

/// What the command asks for and what its events do, if that is not the same.
pub(super) fn difference(command: &Command, events: &[&Event]) -> Option<(String, String)> {
    let (asked, done) = (
        asked(command),
        events.iter().map(|event| done(event)).collect::<Vec<_>>(),
    );
    let annotated = events.iter().all(|event| {
        event.actor == command.actor
            && event.data.description() == command.description.as_deref()
            && *event.data.metadata() == command.metadata
    });
    if asked == done && annotated {
        return None;
    }
    if asked == done {
        let of_command = (
            &command.actor,
            command.description.as_deref(),
            &command.metadata,
        );
        let mut of_events = events.iter().map(|event| {
            (
                &event.actor,
                event.data.description(),
                event.data.metadata(),
            )
        });
        let other = of_events.find(|of_event| *of_event != of_command);
        return Some((format!("{of_command:?}"), format!("{other:?}")));
    }
    let shown = |deeds: &[Deed]| deeds.iter().map(Deed::shown).collect::<Vec<_>>().join(", ");
    Some((shown(&asked), shown(&done)))
}

fn asked(command: &Command) -> Vec<Deed> {
    let deed = |type_name, account_id: &ledger::AccountId, amount: Decimal, details: String| Deed {
        type_name,
        account_id: account_id.to_string(),
        amount: amount.normalize(),
        details,
    };
    match &command.action {
        Action::CreateAccount(action) => vec![deed(
            "AccountCreated",
            &action.account_id,
            action.initial_balance,
            opening(
                &action.owner_name,
                action.currency.as_str(),
                action.overdraft_limit,
            ),
        )],
        Action::Deposit(action) => vec![deed(
            "MoneyDeposited",
            &action.account_id,
            action.amount,
            String::new(),
        )],
        Action::Withdraw(action) => vec![deed(
            "MoneyWithdrawn",
            &action.account_id,
            action.amount,
            String::new(),
        )],
        Action::Transfer(action) => {
            let with =
                |other: &ledger::AccountId| transfer(&command.command_id.transfer_id(0), other);
            let (from, to) = (&action.from_account_id, &action.to_account_id);
            vec![
                deed("MoneyWithdrawn", from, action.amount, with(to)),
                deed("MoneyDeposited", to, action.amount, with(from)),
            ]
        }
    }
}

fn done(event: &Event) -> Deed {
    let details = match &event.data {
        EventData::AccountCreated(created) => opening(
            &created.owner_name,
            event.currency().code().as_str(),
            created.overdraft_limit.value(),
        ),
        EventData::MoneyDeposited(_) | EventData::MoneyWithdrawn(_) => event
            .data
            .transfer()
            .map(|leg| transfer(&leg.transfer_id, &leg.counterparty_account_id))
            .unwrap_or_default(),
    };
    Deed {
        type_name: event.data.type_name(),
        account_id: event.account_id.to_string(),
        amount: event.data.amount().value().normalize(),
        details,
    }
}

fn opening(owner_name: &str, currency: &str, overdraft_limit: Decimal) -> String {
    format!(
        " {currency} for {owner_name:?} with overdraft limit {}",
        overdraft_limit.normalize()
    )
}

fn transfer(transfer_id: &ledger::TransferId, other: &ledger::AccountId) -> String {
    format!(" in transfer {transfer_id} with {other}")
}
