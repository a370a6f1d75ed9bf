//! The rules of accounts, as answers have them.

use std::collections::BTreeSet;

use ledger::{AccountId, DayDebits, Money, Rules};
use serde::Serialize;
use utoipa::ToSchema;

/// What the account's movements must obey; a rule that is absent forbids nothing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RulesDocument {
    /// The only accounts that it may send money to, or get money from, within the ledger.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_counterparties: Option<BTreeSet<AccountId>>,
    /// How much may leave it, or be held on it, in one day of UTC.
    #[schema(example = "500.00")]
    #[serde(skip_serializing_if = "Option::is_none")]
    daily_debit_amount_max: Option<String>,
    /// How often something may leave it, or be held on it, in one day of UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    daily_debit_count_max: Option<u32>,
    /// What its balance may rise to.
    #[schema(example = "1000.00")]
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_balance: Option<String>,
    /// What its balance, without what is held, may fall to.
    #[schema(example = "10.00")]
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum_balance: Option<String>,
}

impl From<Rules<String>> for RulesDocument {
    fn from(rules: Rules<String>) -> Self {
        Self {
            allowed_counterparties: rules.allowed_counterparties,
            daily_debit_amount_max: rules.daily_debit_amount_max,
            daily_debit_count_max: rules.daily_debit_count_max,
            maximum_balance: rules.maximum_balance,
            minimum_balance: rules.minimum_balance,
        }
    }
}

/// What has left the account, or was held on it, on the last day on which anything has.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DayDebitsDocument {
    #[schema(example = "120.00")]
    amount: String,
    /// How often.
    count: u32,
    /// The day, in UTC.
    #[schema(format = Date, example = "2026-01-31")]
    day: String,
}

impl From<&DayDebits<Money>> for DayDebitsDocument {
    fn from(debits: &DayDebits<Money>) -> Self {
        Self {
            amount: debits.amount.to_string(),
            count: debits.count,
            day: debits.day.to_string(),
        }
    }
}
