//! From a hold that is over to the command that ends it.

use std::collections::BTreeMap;

use engine::{Failure, Operator, Step};
use ledger::{Action, Command, Conditions, ExpireHold as Expiry};
use sources::DueHold;

/// Who asks, in the commands and their events.
const ACTOR: &str = "chronicle";

/// The operator.
#[derive(Debug, Default)]
pub struct ExpireHold;

impl Operator for ExpireHold {
    type Input = DueHold;
    type Output = Command;

    async fn apply(&mut self, batch: Vec<DueHold>) -> Result<Vec<Step<Command>>, Failure> {
        Ok(batch
            .into_iter()
            .map(|hold| Step::Emit(command(hold)))
            .collect())
    }

    fn describe(&self) -> String {
        "a hold that is over becomes expire_hold".to_owned()
    }
}

/// The same attempt makes the same command, whoever makes it. The next attempt makes another: the first may have been
/// refused, for it was too early by the writer's clock.
fn command(hold: DueHold) -> Command {
    Command {
        command_id: hold
            .hold_id
            .expiry_command_id(&hold.account_id, hold.attempt),
        action: Action::ExpireHold(Expiry {
            account_id: hold.account_id,
            hold_id: hold.hold_id,
        }),
        description: None,
        actor: Some(ACTOR.to_owned()),
        metadata: BTreeMap::new(),
        conditions: Conditions::default(),
        effective_at: None,
    }
}
