//! The rules of an account: what its movements must obey beyond funds and freezes.
//!
//! Rules are made once and looked at with each movement. What a day has seen is counted only for accounts whose rules need
//! it, and stands in the account's state: deciding and loading cost the same however much the day has seen.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::codec::json::once;
use crate::ids::AccountId;
use crate::money::{Currency, InvalidAmount, Money, parse_decimal};
use crate::timestamp::{Day, Timestamp};

/// What an account's movements must obey; each rule that is `None` forbids nothing. `A` is how its amounts are written.
///
/// The order of the fields is the canonical one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules<A> {
    /// The only accounts that it may send money to, or get money from, within the ledger.
    #[serde(
        default = "none",
        deserialize_with = "once::accounts_or_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub allowed_counterparties: Option<BTreeSet<AccountId>>,
    /// How much may leave it, or be held on it, in one day of UTC.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub daily_debit_amount_max: Option<A>,
    /// How often something may leave it, or be held on it, in one day of UTC.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub daily_debit_count_max: Option<u32>,
    /// What its balance may rise to.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub maximum_balance: Option<A>,
    /// What its balance, without what is held, may fall to.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub minimum_balance: Option<A>,
}

fn none<T>() -> Option<T> {
    None
}

impl<A> Default for Rules<A> {
    fn default() -> Self {
        Self {
            allowed_counterparties: None,
            daily_debit_amount_max: None,
            daily_debit_count_max: None,
            maximum_balance: None,
            minimum_balance: None,
        }
    }
}

impl<A> Rules<A> {
    /// Whether nothing is forbidden.
    pub fn is_empty(&self) -> bool {
        self.allowed_counterparties.is_none()
            && self.daily_debit_amount_max.is_none()
            && self.daily_debit_count_max.is_none()
            && self.maximum_balance.is_none()
            && self.minimum_balance.is_none()
    }

    /// Whether it has to be counted what leaves the account in a day.
    pub fn are_daily(&self) -> bool {
        self.daily_debit_amount_max.is_some() || self.daily_debit_count_max.is_some()
    }

    /// The amounts in it.
    pub fn amounts(&self) -> impl Iterator<Item = &A> {
        [
            &self.daily_debit_amount_max,
            &self.maximum_balance,
            &self.minimum_balance,
        ]
        .into_iter()
        .flatten()
    }

    /// The same rules with amounts that are written otherwise; `write` gets each with its name.
    pub fn try_map<B, E>(
        &self,
        write: impl Fn(&'static str, &A) -> Result<B, E>,
    ) -> Result<Rules<B>, E> {
        let amount = |name, amount: &Option<A>| {
            amount
                .as_ref()
                .map(|amount| write(name, amount))
                .transpose()
        };
        Ok(Rules {
            allowed_counterparties: self.allowed_counterparties.clone(),
            daily_debit_amount_max: amount("daily_debit_amount_max", &self.daily_debit_amount_max)?,
            daily_debit_count_max: self.daily_debit_count_max,
            maximum_balance: amount("maximum_balance", &self.maximum_balance)?,
            minimum_balance: amount("minimum_balance", &self.minimum_balance)?,
        })
    }

    /// The same rules with amounts that are written otherwise.
    pub fn map<B>(&self, write: impl Fn(&A) -> B) -> Rules<B> {
        let written = self.try_map(|_, amount| Ok::<_, std::convert::Infallible>(write(amount)));
        match written {
            Ok(rules) => rules,
            Err(never) => match never {},
        }
    }
}

/// What has left an account, or was held on it, in one day. What is released, expires or is moved back does not count less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayDebits<A> {
    /// How much.
    pub amount: A,
    /// How often.
    pub count: u32,
    /// The day, in UTC.
    pub day: Day,
}

impl<A> DayDebits<A> {
    /// The same with an amount that is written otherwise.
    pub fn map<B>(&self, write: impl Fn(&A) -> B) -> DayDebits<B> {
        DayDebits {
            amount: write(&self.amount),
            count: self.count,
            day: self.day,
        }
    }
}

impl DayDebits<Money> {
    /// The same and one more, at that instant: the first one of a day makes a new beginning.
    fn plus(before: Option<&Self>, amount: Money, at: Timestamp) -> Result<Self, InvalidAmount> {
        let day = at.day();
        match before.filter(|before| before.day == day) {
            None => Ok(Self {
                amount,
                count: 1,
                day,
            }),
            Some(before) => Ok(Self {
                amount: before.amount.checked_add(amount)?,
                count: before.count.saturating_add(1),
                day,
            }),
        }
    }
}

/// The rules of an account that has some, and what they have counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restrictions {
    /// The rules; at least one.
    pub rules: Rules<Money>,
    /// What has left the account on the last day on which anything has, since there is a daily rule.
    pub day_debits: Option<DayDebits<Money>>,
}

impl Restrictions {
    /// New rules in the place of others. What was counted goes on counting if anything is to be counted.
    pub(crate) fn replaced(before: Option<&Self>, rules: &Rules<Money>) -> Option<Box<Self>> {
        if rules.is_empty() {
            return None;
        }
        let counted = before.and_then(|before| before.day_debits);
        Some(Box::new(Self {
            rules: rules.clone(),
            day_debits: counted.filter(|_| rules.are_daily()),
        }))
    }

    /// What the rules of a profile say, in the account's currency.
    pub fn read(
        rules: Option<&Rules<String>>,
        day_debits: Option<&DayDebits<String>>,
        currency: Currency,
    ) -> Result<Option<Box<Self>>, InvalidAmount> {
        let money = |text: &String| Money::new(parse_decimal(text)?, currency);
        let Some(rules) = rules else {
            return Ok(None);
        };
        Ok(Some(Box::new(Self {
            rules: rules.try_map(|_, amount| money(amount))?,
            day_debits: day_debits
                .map(|debits| {
                    Ok(DayDebits {
                        amount: money(&debits.amount)?,
                        count: debits.count,
                        day: debits.day,
                    })
                })
                .transpose()?,
        })))
    }

    /// What is counted with one more debit at that instant; `None` when nothing is counted.
    pub(crate) fn day_debits_with(
        &self,
        amount: Money,
        at: Timestamp,
    ) -> Result<Option<DayDebits<Money>>, InvalidAmount> {
        if self.rules.are_daily() {
            DayDebits::plus(self.day_debits.as_ref(), amount, at).map(Some)
        } else {
            Ok(None)
        }
    }
}
