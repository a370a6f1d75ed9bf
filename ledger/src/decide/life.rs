//! An account's life: opened, frozen, changed, closed.

use super::{Decision, check_room, not_negative};
use crate::account::{Account, Status};
use crate::command::{
    CloseAccount, CreateAccount, FreezeAccount, SetOverdraftLimit, UnfreezeAccount, UpdateAccount,
};
use crate::event::{
    AccountClosed, AccountCreated, AccountUpdated, EventData, FreezeChanged, OverdraftLimitSet,
};
use crate::money::Currency;
use crate::rejection::Rejection;

impl Decision<'_> {
    pub(super) fn create_account(&mut self, action: &CreateAccount) -> Result<(), Rejection> {
        if self.account(&action.account_id).is_some() {
            return Err(Rejection::account_exists(&action.account_id));
        }
        let currency = Currency::lookup(action.currency)
            .map_err(|error| Rejection::unknown_currency(action.currency, &error))?;
        let initial_balance = not_negative("initial_balance", action.initial_balance, currency)?;
        let overdraft_limit = not_negative("overdraft_limit", action.overdraft_limit, currency)?;
        check_room(&action.account_id, initial_balance, overdraft_limit)?;
        let created = AccountCreated {
            owner_name: action.owner_name.clone(),
            initial_balance,
            overdraft_limit,
            description: self.command.description.clone(),
            metadata: self.command.metadata.clone(),
        };
        let data = EventData::AccountCreated(created);
        self.record_opening(&action.account_id, data, initial_balance);
        Ok(())
    }

    pub(super) fn freeze_account(&mut self, action: &FreezeAccount) -> Result<(), Rejection> {
        let account = self.open(&action.account_id)?;
        if account.status.frozen(action.scope) == account.status {
            return Err(Rejection::no_change(
                &action.account_id,
                account.status.as_str(),
            ));
        }
        let data = EventData::AccountFrozen(FreezeChanged {
            scope: action.scope,
            reason: Some(action.reason.clone()),
            description: self.command.description.clone(),
            metadata: self.command.metadata.clone(),
        });
        self.record(&action.account_id, data)
    }

    pub(super) fn unfreeze_account(&mut self, action: &UnfreezeAccount) -> Result<(), Rejection> {
        let account = self.open(&action.account_id)?;
        if account.status.unfrozen(action.scope) == account.status {
            return Err(Rejection::no_change(
                &action.account_id,
                account.status.as_str(),
            ));
        }
        let data = EventData::AccountUnfrozen(FreezeChanged {
            scope: action.scope,
            reason: action.reason.clone(),
            description: self.command.description.clone(),
            metadata: self.command.metadata.clone(),
        });
        self.record(&action.account_id, data)
    }

    /// What is left in it goes to another account first. A frozen account is not closed: whoever froze it wants it to
    /// stay as it is.
    pub(super) fn close_account(&mut self, action: &CloseAccount) -> Result<(), Rejection> {
        if let Some(to) = &action.sweep_to_account_id {
            self.check_two(&action.account_id, to)?;
        }
        let account = self.open(&action.account_id)?;
        if account.status != Status::Active {
            return Err(Rejection::account_frozen(&account, "closing"));
        }
        if let Some(to) = &action.sweep_to_account_id {
            self.creditable(to)?;
        }
        if account.held.is_positive() {
            return Err(Rejection::holds_open(&account));
        }
        if let Some(to) = &action.sweep_to_account_id {
            self.payer(&action.account_id, to)?;
        }
        let balance = account.balance;
        match &action.sweep_to_account_id {
            Some(to) if balance.is_positive() => {
                self.move_money(&action.account_id, to, balance, None)?;
            }
            _ if balance.is_positive() || balance.is_negative() => {
                return Err(Rejection::balance_not_zero(&account));
            }
            _ => {}
        }
        let data = EventData::AccountClosed(AccountClosed {
            description: self.command.description.clone(),
            metadata: self.command.metadata.clone(),
        });
        self.record(&action.account_id, data)
    }

    pub(super) fn set_overdraft_limit(
        &mut self,
        action: &SetOverdraftLimit,
    ) -> Result<(), Rejection> {
        let account = self.open(&action.account_id)?;
        let currency = account.currency();
        let overdraft_limit = not_negative("overdraft_limit", action.overdraft_limit, currency)?;
        if overdraft_limit == account.overdraft_limit {
            let state = format!("at an overdraft limit of {overdraft_limit} {currency}");
            return Err(Rejection::no_change(&action.account_id, state));
        }
        check_room(&action.account_id, account.balance, overdraft_limit)?;
        let changed = Account {
            overdraft_limit,
            ..Account::clone(&account)
        };
        let available = changed.available();
        let is_covered = available.is_ok_and(|available| !available.is_negative());
        if !is_covered {
            return Err(Rejection::overdraft_in_use(&account, overdraft_limit));
        }
        let data = EventData::OverdraftLimitSet(OverdraftLimitSet {
            overdraft_limit,
            description: self.command.description.clone(),
            metadata: self.command.metadata.clone(),
        });
        self.record(&action.account_id, data)
    }

    pub(super) fn update_account(&mut self, action: &UpdateAccount) -> Result<(), Rejection> {
        let account = self.open(&action.account_id)?;
        let owner_name = action.owner_name.clone();
        let account_metadata = action.account_metadata.clone();
        let is_same = owner_name
            .as_ref()
            .is_none_or(|one| *one == account.owner_name)
            && account_metadata
                .as_ref()
                .is_none_or(|one| *one == account.metadata);
        if is_same {
            return Err(Rejection::no_change(&action.account_id, "known by these"));
        }
        let data = EventData::AccountUpdated(AccountUpdated {
            owner_name,
            account_metadata,
            description: self.command.description.clone(),
            metadata: self.command.metadata.clone(),
        });
        self.record(&action.account_id, data)
    }
}
