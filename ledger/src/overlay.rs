//! What events have made of accounts, holds and earlier commands, over what these were before.

use crate::account::Account;
use crate::book::Book;
use crate::decide::Accounts;
use crate::event::{Event, Hold};
use crate::ids::{AccountId, CommandId, HoldId};
use crate::original::Original;

/// What was before, and what has changed since.
pub(crate) struct Overlay<'a> {
    before: &'a dyn Accounts,
    after: Book,
}

impl<'a> Overlay<'a> {
    /// Nothing has changed yet.
    pub(crate) fn over(before: &'a dyn Accounts) -> Self {
        Self {
            before,
            after: Book::default(),
        }
    }

    /// Changes what the event changes, which was decided over this; gives its account as it is then.
    pub(crate) fn apply(&mut self, event: &Event) -> &Account {
        let account_id = &event.account_id;
        if self.after.account(account_id).is_none()
            && let Some(account) = self.before.account(account_id)
        {
            self.after.insert(account.clone());
        }
        if let Some(hold) = event.data.hold()
            && self.after.hold(account_id, hold.hold_id).is_none()
            && let Some(hold) = self.before.hold(account_id, hold.hold_id)
        {
            self.after.insert_hold(account_id.clone(), hold.clone());
        }
        if let Some(reversal) = event.data.reversal()
            && self.after.original(reversal.command_id).is_none()
            && let Some(original) = self.before.original(reversal.command_id)
        {
            self.after.insert_original(original.clone());
        }
        self.after
            .apply(event)
            .expect("the event was made to follow upon what is here")
    }
}

impl Accounts for Overlay<'_> {
    fn account(&self, account_id: &AccountId) -> Option<&Account> {
        self.after
            .account(account_id)
            .or_else(|| self.before.account(account_id))
    }

    fn hold(&self, account_id: &AccountId, hold_id: HoldId) -> Option<&Hold> {
        self.after
            .hold(account_id, hold_id)
            .or_else(|| self.before.hold(account_id, hold_id))
    }

    fn original(&self, command_id: CommandId) -> Option<&Original> {
        self.after
            .original(command_id)
            .or_else(|| self.before.original(command_id))
    }
}
