//! The demo: a small household on the ledger, for the first minute.

use std::time::Duration;

use ledger::codec::json;
use ledger::{Action, Command, Conditions, CreateAccount, Deposit, Transfer, Withdraw};
use rust_decimal::Decimal;
use transport::{Nats, subjects};
use uuid::Uuid;

use crate::output;
use crate::servers_at::Stack;

/// Who takes part, and what each begins with.
const ACCOUNTS: [(&str, &str, u32); 6] = [
    ("DEMO-ALICE", "Alice", 2_500),
    ("DEMO-BOB", "Bob", 1_200),
    ("DEMO-CAROL", "Carol", 800),
    ("DEMO-LANDLORD", "Riverbank Properties", 0),
    ("DEMO-GROCER", "Corner Deli", 300),
    ("DEMO-SAVINGS", "Alice's savings", 10_000),
];

/// How long it goes on, and how often something happens.
const STEPS: u32 = 300;
const STEP: Duration = Duration::from_millis(200);

/// Plays for a minute: wages, rent, groceries, and now and then somebody who spends more than there is.
pub(crate) async fn play(stack: &Stack) -> anyhow::Result<()> {
    let nats = Nats::connect(&stack.nats).await?;
    for (index, (account_id, owner_name, initial_balance)) in (0..).zip(ACCOUNTS) {
        let action = Action::CreateAccount(CreateAccount {
            account_id: account_id.parse()?,
            owner_name: owner_name.to_owned(),
            currency: "USD".parse()?,
            initial_balance: initial_balance.into(),
            overdraft_limit: Decimal::ZERO,
        });
        // The same id in every demo: a second one finds its accounts open.
        publish(&nats, opening_id(index), action, "opened for the demo").await?;
    }
    output::say(
        "demo: a small household pays its bills for a minute; watch it with `chronicle events --follow`",
    );
    for step in 0..STEPS {
        let (action, description) = movement(step)?;
        publish(&nats, Uuid::new_v4(), action, description).await?;
        tokio::time::sleep(STEP).await;
    }
    output::say(
        "demo: done; `chronicle account DEMO-ALICE`, `chronicle history DEMO-BOB` and `chronicle verify` show what is left",
    );
    Ok(())
}

fn opening_id(index: u8) -> Uuid {
    let mut bytes = *b"chronicle-demo-0";
    bytes[15] = index;
    Uuid::new_v8(bytes)
}

/// Something that happens in a household. The amounts come from a fresh random id.
fn movement(step: u32) -> anyhow::Result<(Action, &'static str)> {
    let random = Uuid::new_v4().as_u128();
    let cents = i64::try_from(random % 9_000)? + 100;
    let amount = Decimal::new(cents, 2);
    let transfer = |from: &str, to: &str, amount: Decimal| -> anyhow::Result<Action> {
        Ok(Action::Transfer(Transfer {
            from_account_id: from.parse()?,
            to_account_id: to.parse()?,
            amount,
            currency: None,
        }))
    };
    Ok(match step % 10 {
        0 => (
            Action::Deposit(Deposit {
                account_id: "DEMO-ALICE".parse()?,
                amount: Decimal::new(45_000, 2),
                currency: None,
            }),
            "wages",
        ),
        1 => (
            transfer("DEMO-ALICE", "DEMO-BOB", amount)?,
            "half of the dinner",
        ),
        2 => (transfer("DEMO-BOB", "DEMO-GROCER", amount)?, "groceries"),
        3 => (
            transfer("DEMO-ALICE", "DEMO-LANDLORD", Decimal::new(12_000, 2))?,
            "rent",
        ),
        4 => (transfer("DEMO-CAROL", "DEMO-GROCER", amount)?, "groceries"),
        5 => (
            transfer("DEMO-LANDLORD", "DEMO-CAROL", amount)?,
            "gardening",
        ),
        6 => (
            transfer("DEMO-SAVINGS", "DEMO-ALICE", Decimal::new(2_500, 2))?,
            "from savings",
        ),
        7 => (
            Action::Withdraw(Withdraw {
                account_id: "DEMO-GROCER".parse()?,
                amount,
                currency: None,
            }),
            "to the supplier",
        ),
        8 => (
            Action::Withdraw(Withdraw {
                account_id: "DEMO-BOB".parse()?,
                amount: 100_000.into(),
                currency: None,
            }),
            "a car that Bob cannot afford",
        ),
        _ => (
            transfer("DEMO-ALICE", "DEMO-SAVINGS", amount)?,
            "to savings",
        ),
    })
}

async fn publish(
    nats: &Nats,
    command_id: Uuid,
    action: Action,
    description: &str,
) -> anyhow::Result<()> {
    let command = Command {
        command_id: command_id.into(),
        action,
        description: Some(description.to_owned()),
        actor: Some("demo".to_owned()),
        metadata: std::collections::BTreeMap::new(),
        conditions: Conditions::default(),
        effective_at: None,
    };
    let subject = subjects::command(command.account_id());
    let stored = nats
        .jetstream
        .publish(subject, json::encode_command(&command).into())
        .await?;
    stored.await?;
    Ok(())
}
