//! Money that is held: reserved, taken, given back.
//!
//! What is held stays in the balance and leaves what is available. A hold that is over by the clock stays held until its
//! `HoldExpired` is recorded, and cannot be captured meanwhile: nothing changes by looking at a clock.

use rust_decimal::Decimal;

use super::{Decision, check_funds, check_named_currency, positive_amount};
use crate::command::{Capture, ExpireHold, PlaceHold, Release};
use crate::event::{EventData, Hold, HoldChanged};
use crate::ids::{AccountId, HoldId};
use crate::money::Money;
use crate::rejection::Rejection;

impl Decision<'_> {
    pub(super) fn place_hold(&mut self, action: &PlaceHold) -> Result<(), Rejection> {
        let account = self.debitable(&action.account_id)?;
        if self
            .before
            .hold(&action.account_id, action.hold_id)
            .is_some()
        {
            return Err(Rejection::hold_exists(&action.account_id, action.hold_id));
        }
        if let Some(expires_at) = action.hold_expires_at
            && self.recorded_at >= expires_at
        {
            let (account_id, hold_id) = (&action.account_id, action.hold_id);
            return Err(Rejection::hold_expired(account_id, hold_id, expires_at));
        }
        check_named_currency(&account, action.currency)?;
        let amount = positive_amount(action.amount, account.currency())?;
        check_funds(&account, amount)?;
        let hold = Hold {
            hold_id: action.hold_id,
            amount,
            captured: Money::zero(amount.currency()),
            remaining: amount,
            expires_at: action.hold_expires_at,
        };
        let data = EventData::HoldPlaced(self.hold_changed(amount, hold));
        self.record(&action.account_id, data)
    }

    pub(super) fn capture(&mut self, action: &Capture) -> Result<(), Rejection> {
        let account_id = &action.account_id;
        match &action.to_account_id {
            Some(to) => self.check_parties(account_id, to)?,
            None => self.debitable(account_id).map(drop)?,
        }
        let mut hold = self.open_hold(account_id, action.hold_id)?;
        if let Some(expires_at) = hold.expires_at
            && hold.is_due(self.recorded_at)
        {
            return Err(Rejection::hold_expired(
                account_id,
                hold.hold_id,
                expires_at,
            ));
        }
        if let Some(to) = &action.to_account_id {
            self.payer(account_id, to)?;
        }
        let amount = part_of(&hold, account_id, action.amount)?;
        hold.captured = hold
            .captured
            .checked_add(amount)
            .map_err(|_| Rejection::balance_overflow(account_id))?;
        hold.remaining = less(hold.remaining, amount);
        match &action.to_account_id {
            Some(to) => self.move_money(account_id, to, amount, Some(hold.clone()))?,
            None => self.debit(account_id, amount, None, Some(hold.clone()))?,
        }
        if action.is_final && hold.is_open() {
            let rest = hold.remaining;
            hold.remaining = less(rest, rest);
            let data = EventData::HoldReleased(self.hold_changed(rest, hold));
            self.record(account_id, data)?;
        }
        Ok(())
    }

    pub(super) fn release(&mut self, action: &Release) -> Result<(), Rejection> {
        let mut hold = self.open_hold(&action.account_id, action.hold_id)?;
        let amount = part_of(&hold, &action.account_id, action.amount)?;
        hold.remaining = less(hold.remaining, amount);
        let data = EventData::HoldReleased(self.hold_changed(amount, hold));
        self.record(&action.account_id, data)
    }

    pub(super) fn expire_hold(&mut self, action: &ExpireHold) -> Result<(), Rejection> {
        let mut hold = self.open_hold(&action.account_id, action.hold_id)?;
        if !hold.is_due(self.recorded_at) {
            let rejection = Rejection::hold_not_due(&action.account_id, &hold, self.recorded_at);
            return Err(rejection);
        }
        let rest = hold.remaining;
        hold.remaining = less(rest, rest);
        let data = EventData::HoldExpired(self.hold_changed(rest, hold));
        self.record(&action.account_id, data)
    }

    fn open_hold(&self, account_id: &AccountId, hold_id: HoldId) -> Result<Hold, Rejection> {
        self.open(account_id)?;
        let hold = self
            .before
            .hold(account_id, hold_id)
            .ok_or_else(|| Rejection::hold_not_found(account_id, hold_id))?;
        if hold.is_open() {
            Ok(hold.clone())
        } else {
            Err(Rejection::hold_closed(account_id, hold))
        }
    }

    fn hold_changed(&self, amount: Money, hold: Hold) -> HoldChanged {
        HoldChanged {
            amount,
            hold,
            description: self.command.description.clone(),
            metadata: self.command.metadata.clone(),
        }
    }
}

/// So much of what is still held, or all of it.
fn part_of(
    hold: &Hold,
    account_id: &AccountId,
    amount: Option<Decimal>,
) -> Result<Money, Rejection> {
    let Some(amount) = amount else {
        return Ok(hold.remaining);
    };
    let amount = positive_amount(amount, hold.remaining.currency())?;
    if amount.value() > hold.remaining.value() {
        return Err(Rejection::amount_exceeds_hold(account_id, hold, amount));
    }
    Ok(amount)
}

/// `amount` is a part of `whole`.
fn less(whole: Money, amount: Money) -> Money {
    whole
        .checked_sub(amount)
        .expect("a part of an amount can be taken from it")
}
