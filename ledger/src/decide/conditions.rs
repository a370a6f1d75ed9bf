//! What must hold when a command is decided, by its own words.

use super::Decision;
use crate::command::Action;
use crate::ids::Version;
use crate::money::Money;
use crate::rejection::Rejection;

impl Decision<'_> {
    pub(super) fn check_conditions(&self) -> Result<(), Rejection> {
        self.check_time()?;
        self.check_expected_version()?;
        self.check_balance()
    }

    fn check_time(&self) -> Result<(), Rejection> {
        let conditions = &self.command.conditions;
        if let Some(expires_at) = conditions.expires_at
            && self.recorded_at >= expires_at
        {
            return Err(Rejection::expired(expires_at, self.recorded_at));
        }
        match conditions.not_before {
            Some(not_before) if self.recorded_at < not_before => {
                Err(Rejection::too_early(not_before, self.recorded_at))
            }
            _ => self.check_effective_at(),
        }
    }

    fn check_effective_at(&self) -> Result<(), Rejection> {
        let Some(effective_at) = self.command.effective_at else {
            return Ok(());
        };
        let window = self.policy.effective_window(self.recorded_at);
        if window.contains(&effective_at) {
            Ok(())
        } else {
            Err(Rejection::effective_at_out_of_window(effective_at, &window))
        }
    }

    fn check_expected_version(&self) -> Result<(), Rejection> {
        let Some(expected) = self.command.conditions.expected_version else {
            return Ok(());
        };
        let account_id = self.command.account_id();
        let actual = self
            .account(account_id)
            .map_or(Version::NONE, |account| account.version);
        if actual == expected {
            Ok(())
        } else if actual == Version::NONE
            && !matches!(self.command.action, Action::CreateAccount(_))
        {
            // "No such account" says more than "version 0", but not to the command that opens it.
            Err(Rejection::account_not_found(account_id))
        } else {
            Err(Rejection::version_conflict(account_id, expected, actual))
        }
    }

    fn check_balance(&self) -> Result<(), Rejection> {
        let Some(least) = self.command.conditions.if_balance_at_least else {
            return Ok(());
        };
        let account = self.existing(self.command.account_id())?;
        let least = Money::new(least, account.currency())
            .map_err(|error| Rejection::invalid_amount("if_balance_at_least", &error))?;
        if account.balance.value() >= least.value() {
            Ok(())
        } else {
            Err(Rejection::balance_condition(&account, least))
        }
    }
}
