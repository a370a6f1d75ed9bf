//! What an outcome is linked to: the command that it reverses, or those that reverse it.
//!
//! Both are read from the event store at the same cost however many commands there are. What reverses a command may be
//! more than anybody wants to read at a time, so the list has a limit; the sums have none.
//!
//! The sums speak of the account that the earlier command was sent to. A command that moved one amount moved it on every
//! account; for a batch or a posting they are all of its movements on that account, added up.

use ledger::{
    AccountId, CommandId, CurrencyCode, Event, EventReference, Money, Original, Outcome, Reversal,
    Timestamp,
};
use serde::Serialize;
use store::{Error, EventStore};
use utoipa::ToSchema;

/// How many reversals of a command are told; one of a batch or a posting is told once, however many movements it has.
const REVERSALS_MAX: usize = 100;

/// The links of an outcome: none for most.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Links {
    /// What it moved back, if the command is a reversal. Those of a batch are linked from the commands that they reverse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reverses: Option<Reverses>,
    /// What of it has been moved back, if anything has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reversed_by: Option<ReversedBy>,
}

/// The command that was reversed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reverses {
    /// The earlier command.
    #[schema(value_type = String, format = Uuid)]
    pub(crate) command_id: CommandId,
    /// How much this one moved back, on the account that the earlier command was sent to.
    #[schema(value_type = String, example = "5.00")]
    pub(crate) amount: Money,
    #[schema(value_type = String, example = "USD")]
    pub(crate) currency: CurrencyCode,
    /// Why.
    pub(crate) reason: String,
}

/// The commands that reverse one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReversedBy {
    /// How much has been moved back by all of them, on the account that the command was sent to.
    #[schema(value_type = String, example = "5.00")]
    pub(crate) reversed: Money,
    /// How much of what it moved there has not.
    #[schema(value_type = String, example = "20.00")]
    pub(crate) rest: Money,
    #[schema(value_type = String, example = "USD")]
    pub(crate) currency: CurrencyCode,
    /// The first 100 of them, in order.
    pub(crate) reversals: Vec<ReversalDocument>,
    /// Whether there are more than those.
    pub(crate) has_more: bool,
}

/// A command that reverses another one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReversalDocument {
    /// The command.
    #[schema(value_type = String, format = Uuid)]
    pub(crate) command_id: CommandId,
    /// Which command of a batch it is, from 0; absent for one that is no batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) part: Option<u32>,
    /// How much it moved back, on the account that the command was sent to.
    #[schema(value_type = String, example = "5.00")]
    pub(crate) amount: Money,
    /// Why.
    pub(crate) reason: String,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) recorded_at: Timestamp,
}

impl Links {
    /// Asks the event store.
    pub(crate) async fn of(store: &EventStore, outcome: &Outcome) -> Result<Self, Error> {
        let references = outcome.events();
        let Some(first) = references.first() else {
            return Ok(Self::default());
        };
        let events = store.events(std::slice::from_ref(first)).await?;
        let Some(first) = events.first() else {
            return Ok(Self::default());
        };
        if first.data.balance_change().is_none() {
            // Such a command cannot be reversed.
            return Ok(Self::default());
        }
        if first.data.reversal().is_none() {
            return Ok(Self {
                reverses: None,
                reversed_by: reversed_by(store, first).await?,
            });
        }
        let reverses = match first.part {
            Some(_) => None,
            None => reverses(store, references).await?,
        };
        Ok(Self {
            reverses,
            reversed_by: None,
        })
    }
}

/// What the reversal with these events has moved back.
async fn reverses(
    store: &EventStore,
    references: &[EventReference],
) -> Result<Option<Reverses>, Error> {
    // A reversal goes through the movements from the last to the first, and a command's first movement is on the account
    // that it was sent to.
    let Some(last) = references.last() else {
        return Ok(None);
    };
    let is_there = |reference: &&EventReference| reference.account_id == last.account_id;
    let Some(first) = references.iter().find(is_there) else {
        return Ok(None);
    };
    let ends = store.events(&[first.clone(), last.clone()]).await?;
    let [first, last] = ends.as_slice() else {
        return Ok(None);
    };
    let (Some(begin), Some(end)) = (first.data.reversal(), last.data.reversal()) else {
        return Ok(None);
    };
    // Each event says how much has been moved back with it: the rest was moved back before this reversal.
    let amount = first
        .data
        .amount()
        .and_then(|amount| begin.reversed.checked_sub(amount).ok())
        .and_then(|before| end.reversed.checked_sub(before).ok());
    Ok(amount.map(|amount| Reverses {
        command_id: end.command_id,
        amount,
        currency: amount.currency().code(),
        reason: end.reason.clone(),
    }))
}

/// What reverses the command of `first`.
async fn reversed_by(store: &EventStore, first: &Event) -> Result<Option<ReversedBy>, Error> {
    let (account_id, command_id) = (&first.account_id, first.command_id);
    let one_more = u32::try_from(REVERSALS_MAX + 1).unwrap_or(u32::MAX);
    let mut events = store.reversals(account_id, command_id, one_more).await?;
    if events.is_empty() {
        return Ok(None);
    }
    let originals = store.originals(&[command_id]).await?;
    let Some(original) = originals.first() else {
        return Ok(None);
    };
    let (Some(whole), Some(reversed)) = (original.whole(account_id), original.reversed) else {
        return Ok(None);
    };
    let has_more;
    let reversals = if movements_there(original) > 1 {
        // It is moved back whole, by one command with as many events as it has.
        has_more = false;
        let whole = |event| document(event, Some(reversed));
        events.first().and_then(whole).into_iter().collect()
    } else {
        has_more = events.len() > REVERSALS_MAX;
        events.truncate(REVERSALS_MAX);
        let part = |event| document(event, event.data.amount());
        events.iter().filter_map(part).collect()
    };
    Ok(Some(ReversedBy {
        reversed,
        // More cannot be moved back than was moved; `chronicle verify` says it where that is not so.
        rest: whole
            .checked_sub(reversed)
            .unwrap_or(Money::zero(whole.currency())),
        currency: whole.currency().code(),
        reversals,
        has_more,
    }))
}

/// How many movements a command has on the account that it was sent to.
fn movements_there(original: &Original) -> usize {
    let is_there = |id: &&AccountId| **id == original.account_id;
    original.account_ids().filter(is_there).count()
}

fn document(event: &Event, amount: Option<Money>) -> Option<ReversalDocument> {
    let Reversal { reason, .. } = event.data.reversal()?;
    Some(ReversalDocument {
        command_id: event.command_id,
        part: event.part,
        amount: amount?,
        reason: reason.clone(),
        recorded_at: event.recorded_at,
    })
}
