//! What an outcome is linked to: the command that it reverses, or those that reverse it.
//!
//! Both are read from the event store at the same cost however many commands there are. What reverses a command may be
//! more than anybody wants to read at a time, so the list has a limit; the sums have none.

use ledger::{CommandId, CurrencyCode, Event, Money, Outcome, Reversal, Timestamp};
use serde::Serialize;
use store::{Error, EventStore};
use utoipa::ToSchema;

/// How many reversals of a command are told.
const REVERSALS_MAX: usize = 100;

/// The links of an outcome: none for most.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Links {
    /// What it moved back, if the command is a reversal.
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
    /// How much of each of its movements was moved back by this one.
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
    /// How much of each of its movements has been moved back, by all of them.
    #[schema(value_type = String, example = "5.00")]
    pub(crate) reversed: Money,
    /// How much has not.
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
    /// How much it moved back.
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
        // The first event tells: all movements of a command that can be reversed are of the same amount, and the ledger
        // keeps its reversals with the account of the first one.
        let Some(reference) = outcome.events().first() else {
            return Ok(Self::default());
        };
        let events = store.events(std::slice::from_ref(reference)).await?;
        let Some((first, amount)) = events.first().and_then(movement) else {
            return Ok(Self::default());
        };
        let currency = amount.currency().code();
        if let Some(reversal) = first.data.reversal() {
            let reverses = Reverses {
                command_id: reversal.command_id,
                amount,
                currency,
                reason: reversal.reason.clone(),
            };
            return Ok(Self {
                reverses: Some(reverses),
                reversed_by: None,
            });
        }
        Ok(Self {
            reverses: None,
            reversed_by: reversed_by(store, first, amount).await?,
        })
    }
}

/// An event that moves money, and how much.
fn movement(event: &Event) -> Option<(&Event, Money)> {
    event.data.balance_change()?;
    Some((event, event.data.amount()?))
}

/// What reverses the command of `first`, which moved `amount`.
async fn reversed_by(
    store: &EventStore,
    first: &Event,
    amount: Money,
) -> Result<Option<ReversedBy>, Error> {
    let command_id = first.command_id;
    let one_more = u32::try_from(REVERSALS_MAX + 1).unwrap_or(u32::MAX);
    let mut events = store
        .reversals(&first.account_id, command_id, one_more)
        .await?;
    let has_more = events.len() > REVERSALS_MAX;
    let reversed = if has_more {
        events.truncate(REVERSALS_MAX);
        let original = store.originals(&[command_id]).await?;
        original.first().and_then(|original| original.reversed)
    } else {
        let newest = events.last().and_then(|event| event.data.reversal());
        newest.map(|reversal| reversal.reversed)
    };
    let Some(reversed) = reversed else {
        return Ok(None);
    };
    Ok(Some(ReversedBy {
        reversed,
        // More cannot be moved back than was moved; `chronicle verify` says it where that is not so.
        rest: amount
            .checked_sub(reversed)
            .unwrap_or(Money::zero(amount.currency())),
        currency: amount.currency().code(),
        reversals: events.iter().filter_map(document).collect(),
        has_more,
    }))
}

fn document(event: &Event) -> Option<ReversalDocument> {
    let Reversal { reason, .. } = event.data.reversal()?;
    Some(ReversalDocument {
        command_id: event.command_id,
        amount: event.data.amount()?,
        reason: reason.clone(),
        recorded_at: event.recorded_at,
    })
}
