//! The account, as the user guide of cqrs-es has one write it: an aggregate with commands, events and a view.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent, EventEnvelope, View};
use serde::{Deserialize, Serialize};

/// What an account is, folded from its events. Whole cents: cheaper than the ledger's decimals.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) is_open: bool,
    pub(crate) balance_cents: i64,
}

#[derive(Debug, Clone)]
pub(crate) enum AccountCommand {
    Open {
        owner_name: String,
        initial_cents: i64,
    },
    Deposit {
        cents: i64,
    },
    Withdraw {
        cents: i64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AccountEvent {
    Opened {
        owner_name: String,
        balance_cents: i64,
    },
    Deposited {
        cents: i64,
        balance_cents: i64,
    },
    Withdrawn {
        cents: i64,
        balance_cents: i64,
    },
}

/// Why a command is refused. Nothing of it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the account is open already")]
    Open,
    #[error("there is no such account")]
    NotFound,
    #[error("there is not enough money in the account")]
    InsufficientFunds,
}

impl DomainEvent for AccountEvent {
    fn event_type(&self) -> String {
        let name = match self {
            Self::Opened { .. } => "Opened",
            Self::Deposited { .. } => "Deposited",
            Self::Withdrawn { .. } => "Withdrawn",
        };
        name.to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Account {
    fn decide(&self, command: AccountCommand) -> Result<AccountEvent, Refusal> {
        match command {
            AccountCommand::Open { .. } if self.is_open => Err(Refusal::Open),
            AccountCommand::Open {
                owner_name,
                initial_cents,
            } => Ok(AccountEvent::Opened {
                owner_name,
                balance_cents: initial_cents,
            }),
            _ if !self.is_open => Err(Refusal::NotFound),
            AccountCommand::Deposit { cents } => Ok(AccountEvent::Deposited {
                cents,
                balance_cents: self.balance_cents + cents,
            }),
            AccountCommand::Withdraw { cents } if cents > self.balance_cents => {
                Err(Refusal::InsufficientFunds)
            }
            AccountCommand::Withdraw { cents } => Ok(AccountEvent::Withdrawn {
                cents,
                balance_cents: self.balance_cents - cents,
            }),
        }
    }
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Error = Refusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: AccountCommand,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refusal> {
        let event = self.decide(command)?;
        sink.write(event, self).await;
        Ok(())
    }

    fn apply(&mut self, event: AccountEvent) {
        match event {
            AccountEvent::Opened { balance_cents, .. } => {
                self.is_open = true;
                self.balance_cents = balance_cents;
            }
            AccountEvent::Deposited { balance_cents, .. }
            | AccountEvent::Withdrawn { balance_cents, .. } => self.balance_cents = balance_cents,
        }
    }
}

/// The read model: one row for each account.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountView {
    pub(crate) owner_name: String,
    pub(crate) balance_cents: i64,
    /// How many events are in it.
    pub(crate) events: u64,
}

impl View<Account> for AccountView {
    fn update(&mut self, event: &EventEnvelope<Account>) {
        self.events += 1;
        // By the amount and not to the balance: an event that was missed stays missing, and can be seen.
        match &event.payload {
            AccountEvent::Opened {
                owner_name,
                balance_cents,
            } => {
                self.owner_name.clone_from(owner_name);
                self.balance_cents = *balance_cents;
            }
            AccountEvent::Deposited { cents, .. } => self.balance_cents += cents,
            AccountEvent::Withdrawn { cents, .. } => self.balance_cents -= cents,
        }
    }
}

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    fn opened(balance_cents: i64) -> AccountEvent {
        AccountEvent::Opened {
            owner_name: "Owner".to_owned(),
            balance_cents,
        }
    }

    #[test]
    fn a_withdrawal_never_takes_more_than_there_is() {
        let framework = TestFramework::<Account>::with(());
        framework
            .given(vec![opened(500)])
            .when(AccountCommand::Withdraw { cents: 500 })
            .then_expect_events(vec![AccountEvent::Withdrawn {
                cents: 500,
                balance_cents: 0,
            }]);
        let framework = TestFramework::<Account>::with(());
        framework
            .given(vec![opened(500)])
            .when(AccountCommand::Withdraw { cents: 501 })
            .then_expect_error(Refusal::InsufficientFunds);
    }

    #[test]
    fn an_account_is_opened_once_and_before_it_is_used() {
        let framework = TestFramework::<Account>::with(());
        framework
            .given_no_previous_events()
            .when(AccountCommand::Deposit { cents: 1 })
            .then_expect_error(Refusal::NotFound);
        let framework = TestFramework::<Account>::with(());
        let again = AccountCommand::Open {
            owner_name: "Owner".to_owned(),
            initial_cents: 1,
        };
        framework
            .given(vec![opened(500)])
            .when(again)
            .then_expect_error(Refusal::Open);
    }
}
