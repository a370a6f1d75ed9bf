//! Whether the ledger and the model have the same.

use ledger::{Account, Hold, Money, Timestamp};

use crate::model::{self, DAY, Held, Rules, Today};
use crate::wire::{hold_id, names, notes, owner_name, reason};

/// All of an account but its times and hashes.
pub(crate) fn same_account(account: &Account, book: &model::Book) -> Result<(), String> {
    let units = |money: Money| money.value().mantissa();
    let scale = account.balance.value().scale();
    equal("scale of the balance", scale, book.exponent)?;
    equal("balance", units(account.balance), book.balance)?;
    equal("held", units(account.held), book.held())?;
    let limit = units(account.overdraft_limit);
    equal("overdraft limit", limit, book.overdraft)?;
    equal("status", account.status.as_str(), book.status())?;
    let why = book.reason.map(reason);
    equal("reason", account.freeze_reason.as_ref(), why.as_ref())?;
    equal("owner", &account.owner_name, &owner_name(book.owner))?;
    equal("metadata", &account.metadata, &notes(book.notes))?;
    same_rules(account, &book.rules, book.today)?;
    equal("version", account.version.get(), book.version)?;
    let available = account.available().map(units);
    let expected = book.balance + book.overdraft - book.held();
    equal("available", available, Ok(expected))?;
    if expected < 0 || book.held() < 0 {
        return Err(format!("no_overdraft: {account:?}"));
    }
    Ok(())
}

/// The rules of an account, and what they have counted.
fn same_rules(account: &Account, known: &Rules, today: Option<Today>) -> Result<(), String> {
    let none = ledger::Rules::default();
    let rules = account
        .restrictions
        .as_ref()
        .map_or(&none, |restrictions| &restrictions.rules);
    let units = |money: Option<Money>| money.map(|money| money.value().mantissa());
    equal("minimum", units(rules.minimum_balance), known.minimum)?;
    equal("maximum", units(rules.maximum_balance), known.maximum)?;
    let amount = units(rules.daily_debit_amount_max);
    equal("daily amount", amount, known.daily_amount)?;
    let count = rules.daily_debit_count_max;
    equal("daily count", count, known.daily_count)?;
    let allowed = rules.allowed_counterparties.as_ref();
    equal("counterparties", allowed, known.allowed.map(names).as_ref())?;
    let has_some = *known != Rules::default();
    equal("has rules", account.restrictions.is_some(), has_some)?;
    let counted = account.day_debits().map(|debits| Today {
        day: debits.day.start().unix_microseconds() / DAY,
        units: debits.amount.value().mantissa(),
        count: debits.count,
    });
    equal("what the day has seen", counted, today)
}

/// All of a hold.
pub(crate) fn same_hold(hold: &Hold, number: usize, known: &Held) -> Result<(), String> {
    let units = |money: Money| money.value().mantissa();
    equal("hold id", hold.hold_id, hold_id(number))?;
    equal("amount of the hold", units(hold.amount), known.amount)?;
    equal("captured", units(hold.captured), known.captured)?;
    equal("remaining", units(hold.remaining), known.remaining())?;
    let expires_at = hold.expires_at.map(Timestamp::unix_microseconds);
    equal("end of the hold", expires_at, known.expires_at)?;
    // Captured, released and expired never add up to more than was known.
    if known.remaining() < 0 || known.amount <= 0 {
        return Err(format!("more was taken than was held: {hold:?}"));
    }
    Ok(())
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "so that a call says what is equal and no more"
)]
pub(crate) fn equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    ledger: T,
    model: T,
) -> Result<(), String> {
    if ledger == model {
        Ok(())
    } else {
        Err(format!(
            "{what}: the ledger has {ledger:?}, the model {model:?}"
        ))
    }
}
