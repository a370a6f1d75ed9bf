//! Money that moves: deposits, withdrawals, transfers.

use std::borrow::Cow;

use super::{Decision, check_funds, check_named_currency, positive_amount};
use crate::account::Account;
use crate::command::{Deposit, Transfer, Withdraw};
use crate::event::{EventData, Hold, MoneyMoved, TransferLeg};
use crate::ids::AccountId;
use crate::money::Money;
use crate::rejection::Rejection;

impl Decision<'_> {
    pub(super) fn deposit(&mut self, action: &Deposit) -> Result<(), Rejection> {
        let account = self.creditable(&action.account_id)?;
        check_named_currency(&account, action.currency)?;
        let amount = positive_amount(action.amount, account.currency())?;
        self.credit(&action.account_id, amount, None)
    }

    pub(super) fn withdraw(&mut self, action: &Withdraw) -> Result<(), Rejection> {
        let account = self.debitable(&action.account_id)?;
        check_named_currency(&account, action.currency)?;
        let amount = positive_amount(action.amount, account.currency())?;
        check_funds(&account, amount)?;
        self.debit(&action.account_id, amount, None, None)
    }

    pub(super) fn transfer(&mut self, action: &Transfer) -> Result<(), Rejection> {
        let (from, to) = (&action.from_account_id, &action.to_account_id);
        self.check_parties(from, to)?;
        let amount = {
            let account = self.payer(from, to)?;
            check_named_currency(&account, action.currency)?;
            let amount = positive_amount(action.amount, account.currency())?;
            check_funds(&account, amount)?;
            amount
        };
        self.move_money(from, to, amount, None)
    }

    /// Money can move between the two: they differ, are there, and take part in such movements.
    pub(super) fn check_parties(&self, from: &AccountId, to: &AccountId) -> Result<(), Rejection> {
        self.check_two(from, to)?;
        self.debitable(from)?;
        self.creditable(to)?;
        Ok(())
    }

    /// The two differ and are there: that is said before anything else is said of either.
    pub(super) fn check_two(&self, from: &AccountId, to: &AccountId) -> Result<(), Rejection> {
        if from == to {
            return Err(Rejection::same_account(from));
        }
        self.existing(from)?;
        self.existing(to)?;
        Ok(())
    }

    /// The account debited, which is kept in the currency of the one credited.
    pub(super) fn payer(
        &self,
        from: &AccountId,
        to: &AccountId,
    ) -> Result<Cow<'_, Account>, Rejection> {
        let (debited, credited) = (self.existing(from)?, self.existing(to)?);
        if credited.currency() == debited.currency() {
            Ok(debited)
        } else {
            let (own, other) = (credited.currency().code(), debited.currency().code());
            Err(Rejection::currency_mismatch(to, own, other))
        }
    }

    /// Both halves of a transfer.
    pub(super) fn move_money(
        &mut self,
        from: &AccountId,
        to: &AccountId,
        amount: Money,
        hold: Option<Hold>,
    ) -> Result<(), Rejection> {
        let transfer_id = self.command.command_id.transfer_id(self.next_index());
        let leg = |counterparty: &AccountId| {
            Some(TransferLeg {
                transfer_id,
                counterparty_account_id: counterparty.clone(),
            })
        };
        self.debit(from, amount, leg(to), hold)?;
        self.credit(to, amount, leg(from))
    }

    fn credit(
        &mut self,
        account_id: &AccountId,
        amount: Money,
        transfer: Option<TransferLeg>,
    ) -> Result<(), Rejection> {
        let moved = self.moved(amount, transfer, None);
        self.record(account_id, EventData::MoneyDeposited(moved))
    }

    pub(super) fn debit(
        &mut self,
        account_id: &AccountId,
        amount: Money,
        transfer: Option<TransferLeg>,
        hold: Option<Hold>,
    ) -> Result<(), Rejection> {
        let moved = self.moved(amount, transfer, hold);
        self.record(account_id, EventData::MoneyWithdrawn(moved))
    }

    fn moved(
        &self,
        amount: Money,
        transfer: Option<TransferLeg>,
        hold: Option<Hold>,
    ) -> MoneyMoved {
        MoneyMoved {
            amount,
            transfer,
            posting_id: None,
            hold,
            reversal: None,
            effective_at: self.command.effective_at,
            description: self.command.description.clone(),
            metadata: self.command.metadata.clone(),
        }
    }
}
