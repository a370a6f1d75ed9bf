//! Whether the events of a command do what the command asks for. The hash chain alone does not show that: whoever may
//! write everything can compute it anew.

use std::collections::BTreeMap;

use ledger::{
    AccountId, Action, Capture, Command, CommandId, Direction, Entry, Event, EventData, Exchange,
    Hold, HoldId, Money, Post, PostingId, Price, Reverse, Rules, Scope, Timestamp, TransferId,
};
use rust_decimal::Decimal;

/// What an event does, as far as its command determines it.
#[derive(PartialEq, Eq)]
struct Deed {
    type_name: &'static str,
    account_id: String,
    amount: Decimal,
    details: String,
    /// Which command of a batch it is.
    part: Option<u32>,
}

impl Deed {
    fn shown(&self) -> String {
        let Self {
            type_name,
            account_id,
            amount,
            details,
            part,
        } = self;
        let of_part = part.map(|part| format!(" of commands[{part}]"));
        let of_part = of_part.unwrap_or_default();
        format!("{type_name} {account_id} {amount}{details}{of_part}")
    }
}

/// A command, alone or of a batch, whose first event is the `first_index`th.
#[derive(Clone, Copy)]
struct Asked<'a> {
    command: &'a Command,
    first_index: u32,
}

/// What the command asks for and what its events do, if that is not the same.
pub(super) fn difference(command: &Command, events: &[&Event]) -> Option<(String, String)> {
    let (asked, done) = (
        all_asked(command, events),
        events.iter().map(|event| done(event)).collect::<Vec<_>>(),
    );
    if asked != done {
        return Some(shown(&asked, &done));
    }
    events.iter().find_map(|event| {
        let of_event = (
            &event.actor,
            event.data.description(),
            event.data.metadata(),
        );
        let command = event
            .part
            .map_or(command, |part| &command.parts()[part as usize]);
        let of_command = (
            &command.actor,
            command.description.as_deref(),
            &command.metadata,
        );
        (of_event != of_command).then(|| (format!("{of_command:?}"), format!("{of_event:?}")))
    })
}

/// What differs, and of a long list not all of it.
fn shown(asked: &[Deed], done: &[Deed]) -> (String, String) {
    const DEEDS_MAX: usize = 10;
    let same = asked
        .iter()
        .zip(done)
        .take_while(|(asked, done)| asked == done);
    let begin = if asked.len().max(done.len()) > DEEDS_MAX {
        same.count()
    } else {
        0
    };
    let shown = |deeds: &[Deed]| {
        let deeds = deeds.iter().skip(begin).take(DEEDS_MAX);
        deeds.map(Deed::shown).collect::<Vec<_>>().join(", ")
    };
    (shown(asked), shown(done))
}

/// What the events must be, for a batch those of each of its commands.
fn all_asked(command: &Command, events: &[&Event]) -> Vec<Deed> {
    if command.parts().is_empty() {
        let first_index = 0;
        return asked(
            Asked {
                command,
                first_index,
            },
            events,
        );
    }
    let mut first_index = 0;
    let mut deeds = Vec::new();
    for (part, command) in (0..).zip(command.parts()) {
        let of_part = |event: &&&Event| event.part == Some(part);
        let own: Vec<&Event> = events.iter().filter(of_part).copied().collect();
        let of_part = |deed: Deed| Deed {
            part: Some(part),
            ..deed
        };
        let all = asked(
            Asked {
                command,
                first_index,
            },
            &own,
        );
        deeds.extend(all.into_iter().map(of_part));
        first_index += u32::try_from(own.len()).unwrap_or(u32::MAX);
    }
    deeds
}

/// What the events must be, with the command's business date.
fn asked(command: Asked<'_>, events: &[&Event]) -> Vec<Deed> {
    let mut deeds = asked_by_the_clock(command, events);
    for deed in &mut deeds {
        if matches!(deed.type_name, "MoneyDeposited" | "MoneyWithdrawn") {
            deed.details += &effective(command.command.effective_at);
        }
    }
    deeds
}

/// What the events must be. What a command leaves open, such as how much all of a hold is, is taken from the events: the
/// fold of the account's events has checked it.
fn asked_by_the_clock(command: Asked<'_>, events: &[&Event]) -> Vec<Deed> {
    match &command.command.action {
        Action::CreateAccount(action) => {
            let details = opening(
                &action.owner_name,
                action.currency.as_str(),
                action.overdraft_limit,
            );
            vec![Deed {
                details,
                ..deed("AccountCreated", &action.account_id, action.initial_balance)
            }]
        }
        Action::Deposit(action) => {
            vec![deed("MoneyDeposited", &action.account_id, action.amount)]
        }
        Action::Withdraw(action) => {
            vec![deed("MoneyWithdrawn", &action.account_id, action.amount)]
        }
        Action::Transfer(action) => {
            let (from, to) = (&action.from_account_id, &action.to_account_id);
            both_halves(command, from, to, action.amount, None)
        }
        Action::FreezeAccount(action) => {
            let details = freeze(action.scope, Some(&action.reason));
            vec![Deed {
                details,
                ..deed("AccountFrozen", &action.account_id, Decimal::ZERO)
            }]
        }
        Action::UnfreezeAccount(action) => {
            let details = freeze(action.scope, action.reason.as_deref());
            vec![Deed {
                details,
                ..deed("AccountUnfrozen", &action.account_id, Decimal::ZERO)
            }]
        }
        Action::CloseAccount(action) => {
            let account_id = &action.account_id;
            let swept = match (&action.sweep_to_account_id, events) {
                (Some(to), [first, _, _]) => {
                    both_halves(command, account_id, to, amount(first), None)
                }
                _ => Vec::new(),
            };
            let closed = deed("AccountClosed", account_id, Decimal::ZERO);
            swept.into_iter().chain([closed]).collect()
        }
        Action::SetOverdraftLimit(action) => vec![deed(
            "OverdraftLimitSet",
            &action.account_id,
            action.overdraft_limit,
        )],
        Action::UpdateAccount(action) => {
            let details = update(
                action.owner_name.as_deref(),
                action.account_metadata.as_ref(),
            );
            vec![Deed {
                details,
                ..deed("AccountUpdated", &action.account_id, Decimal::ZERO)
            }]
        }
        Action::SetAccountRules(action) => vec![Deed {
            details: rules(&action.rules),
            ..deed("AccountRulesSet", &action.account_id, Decimal::ZERO)
        }],
        Action::Hold(action) => vec![Deed {
            details: held(action.hold_id, action.hold_expires_at),
            ..deed("HoldPlaced", &action.account_id, action.amount)
        }],
        Action::Capture(action) => captured(command, action, events),
        Action::Reverse(action) => reversed(command, action, events),
        Action::Post(action) => posted(command, action),
        Action::Exchange(action) => exchanged(command, action, events),
        // A batch is looked at command by command.
        Action::Batch(_) => Vec::new(),
        Action::Release(action) => {
            vec![given_back(
                "HoldReleased",
                &action.account_id,
                action.hold_id,
                action.amount,
                events.first(),
            )]
        }
        Action::ExpireHold(action) => {
            vec![given_back(
                "HoldExpired",
                &action.account_id,
                action.hold_id,
                None,
                events.first(),
            )]
        }
    }
}

fn captured(command: Asked<'_>, action: &Capture, events: &[&Event]) -> Vec<Deed> {
    let hold = events.first().and_then(|event| event.data.hold());
    let given = events
        .first()
        .map(|event| amount(event))
        .unwrap_or_default();
    let taken = action.amount.unwrap_or(given);
    let mut deeds = match &action.to_account_id {
        Some(to) => both_halves(command, &action.account_id, to, taken, hold),
        None => vec![Deed {
            details: hold.map(taken_from).unwrap_or_default(),
            ..deed("MoneyWithdrawn", &action.account_id, taken)
        }],
    };
    if let Some(hold) = hold.filter(|hold| action.is_final && hold.is_open()) {
        deeds.push(Deed {
            details: held(hold.hold_id, hold.expires_at),
            ..deed("HoldReleased", &action.account_id, hold.remaining.value())
        });
    }
    // Without an amount, nothing is left.
    let is_whole = action.amount.is_some() || hold.is_none_or(|hold| !hold.is_open());
    if hold.is_some_and(|hold| hold.hold_id == action.hold_id) && is_whole {
        deeds
    } else {
        Vec::new()
    }
}

/// The movements in the other direction, or the same part of each. Which movements those are, and that nothing of them is
/// left without an amount, is checked with the commands that are reversed.
fn reversed(command: Asked<'_>, action: &Reverse, events: &[&Event]) -> Vec<Deed> {
    let back = moved_back(action.reversed_command_id, &action.reason);
    let command_id = command.command.command_id;
    // A transfer and a posting are named after the first of their events.
    let (mut transfer_index, mut posting_index) = (command.first_index, command.first_index);
    let mut last = (None, None);
    let deed = |(index, event): (u32, &&Event)| {
        let (leg, posting_id) = (event.data.transfer(), event.data.posting_id());
        let here = (leg.map(|leg| leg.transfer_id), posting_id);
        if here.0 != last.0 {
            transfer_index = index;
        }
        if here.1 != last.1 {
            posting_index = index;
        }
        last = here;
        let transfer_id = command_id.transfer_id(transfer_index);
        let with = leg.map(|leg| transfer(&transfer_id, &leg.counterparty_account_id));
        let within = posting_id.map(|_| posting(command_id.posting_id(posting_index)));
        Deed {
            details: with.or(within).unwrap_or_default() + &back,
            ..deed(
                event.data.type_name(),
                &event.account_id,
                action.amount.unwrap_or(amount(event)),
            )
        }
    };
    (command.first_index..).zip(events).map(deed).collect()
}

fn posted(command: Asked<'_>, action: &Post) -> Vec<Deed> {
    let posting_id = command.command.command_id.posting_id(command.first_index);
    let entered = |entry: &Entry| {
        let type_name = match entry.direction {
            Direction::Debit => "MoneyWithdrawn",
            Direction::Credit => "MoneyDeposited",
        };
        Deed {
            details: posting(posting_id),
            ..deed(type_name, &entry.account_id, entry.amount)
        }
    };
    action.entries.iter().map(entered).collect()
}

/// What is got for the amount is recomputed, in the currency that the events have.
fn exchanged(command: Asked<'_>, action: &Exchange, events: &[&Event]) -> Vec<Deed> {
    let posting_id = command.command.command_id.posting_id(command.first_index);
    let [taken, _, given, _] = events else {
        return Vec::new();
    };
    let worth = match action.price {
        Price::ToAmount(to_amount) => Some(to_amount),
        Price::Rate(rate) => Money::new(action.amount, taken.currency())
            .and_then(|amount| amount.converted(rate, given.currency()))
            .map(Money::value)
            .ok(),
    };
    let entered = |(type_name, account_id, amount)| Deed {
        details: posting(posting_id),
        ..deed(type_name, account_id, amount)
    };
    let worth = worth.unwrap_or_default();
    [
        ("MoneyWithdrawn", &action.from_account_id, action.amount),
        (
            "MoneyDeposited",
            &action.from_clearing_account_id,
            action.amount,
        ),
        ("MoneyWithdrawn", &action.to_clearing_account_id, worth),
        ("MoneyDeposited", &action.to_account_id, worth),
    ]
    .map(entered)
    .into()
}

/// Money that is not held any longer. Without an amount, all of it.
fn given_back(
    type_name: &'static str,
    account_id: &AccountId,
    hold_id: HoldId,
    asked: Option<Decimal>,
    event: Option<&&Event>,
) -> Deed {
    let hold = event.and_then(|event| event.data.hold());
    let rest = event
        .map(|event| amount(event))
        .filter(|_| hold.is_some_and(|hold| !hold.is_open()));
    Deed {
        details: held(hold_id, hold.and_then(|hold| hold.expires_at)),
        ..deed(type_name, account_id, asked.or(rest).unwrap_or_default())
    }
}

fn both_halves(
    command: Asked<'_>,
    from: &AccountId,
    to: &AccountId,
    amount: Decimal,
    hold: Option<&Hold>,
) -> Vec<Deed> {
    let with = |other| {
        transfer(
            &command.command.command_id.transfer_id(command.first_index),
            other,
        )
    };
    let taken_from = hold.map(taken_from).unwrap_or_default();
    vec![
        Deed {
            details: with(to) + &taken_from,
            ..deed("MoneyWithdrawn", from, amount)
        },
        Deed {
            details: with(from),
            ..deed("MoneyDeposited", to, amount)
        },
    ]
}

fn done(event: &Event) -> Deed {
    let details = match &event.data {
        EventData::AccountCreated(created) => opening(
            &created.owner_name,
            event.currency().code().as_str(),
            created.overdraft_limit.value(),
        ),
        EventData::MoneyDeposited(moved) | EventData::MoneyWithdrawn(moved) => {
            let leg = moved.transfer.as_ref();
            let with = leg.map(|leg| transfer(&leg.transfer_id, &leg.counterparty_account_id));
            let within = moved.posting_id.map(posting);
            let hold = moved.hold.as_ref().map(taken_from);
            let reversal = moved.reversal.as_ref();
            let back = reversal.map(|back| moved_back(back.command_id, &back.reason));
            let effective = moved.effective_at.map(|at| effective(Some(at)));
            let details = [with, within, hold, back, effective];
            details.into_iter().flatten().collect()
        }
        EventData::AccountFrozen(changed) | EventData::AccountUnfrozen(changed) => {
            freeze(changed.scope, changed.reason.as_deref())
        }
        EventData::AccountUpdated(updated) => update(
            updated.owner_name.as_deref(),
            updated.account_metadata.as_ref(),
        ),
        EventData::AccountRulesSet(set) => rules(&set.rules.map(|amount| amount.value())),
        EventData::HoldPlaced(changed)
        | EventData::HoldReleased(changed)
        | EventData::HoldExpired(changed) => held(changed.hold.hold_id, changed.hold.expires_at),
        EventData::AccountClosed(_) | EventData::OverdraftLimitSet(_) => String::new(),
    };
    Deed {
        details,
        part: event.part,
        ..deed(event.data.type_name(), &event.account_id, amount(event))
    }
}

fn deed(type_name: &'static str, account_id: &AccountId, amount: Decimal) -> Deed {
    Deed {
        type_name,
        account_id: account_id.to_string(),
        amount: amount.normalize(),
        details: String::new(),
        part: None,
    }
}

/// The money that an event is about; nothing for one that is about none.
fn amount(event: &Event) -> Decimal {
    event.data.amount().map(Money::value).unwrap_or_default()
}

fn opening(owner_name: &str, currency: &str, overdraft_limit: Decimal) -> String {
    format!(
        " {currency} for {owner_name:?} with overdraft limit {}",
        overdraft_limit.normalize()
    )
}

fn transfer(transfer_id: &TransferId, other: &AccountId) -> String {
    format!(" in transfer {transfer_id} with {other}")
}

fn posting(posting_id: PostingId) -> String {
    format!(" in posting {posting_id}")
}

fn freeze(scope: Scope, reason: Option<&str>) -> String {
    format!(" {} because {reason:?}", scope.as_str())
}

fn update(owner_name: Option<&str>, metadata: Option<&BTreeMap<String, String>>) -> String {
    format!(" to {owner_name:?} with {metadata:?}")
}

fn held(hold_id: HoldId, expires_at: Option<Timestamp>) -> String {
    match expires_at {
        Some(expires_at) => format!(" hold {hold_id} until {expires_at}"),
        None => format!(" hold {hold_id}"),
    }
}

fn effective(effective_at: Option<Timestamp>) -> String {
    effective_at.map_or_else(String::new, |at| format!(" effective at {at}"))
}

fn moved_back(command_id: CommandId, reason: &str) -> String {
    format!(" back from command {command_id} because {reason:?}")
}

/// Amounts as numbers: of one rule, a command and its event have as many decimals as each of them likes.
fn rules(rules: &Rules<Decimal>) -> String {
    format!(" under {:?}", rules.map(Decimal::normalize))
}

fn taken_from(hold: &Hold) -> String {
    format!(" from hold {}", hold.hold_id)
}
