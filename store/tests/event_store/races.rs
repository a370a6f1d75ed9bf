//! Several writers at once, on the same few accounts.

use std::collections::HashMap;

use futures::future::join_all;
use ledger::{AccountId, Command, CommandId, Outcome};
use sqlx::{Executor, PgConnection, Row};
use store::{EventStore, Options, Processed};

use crate::support::batch::Batch;
use crate::support::book::Book;
use crate::support::build::{create, deposit, new_account_id, transfer, under_the_id_of, withdraw};
use crate::support::clock::{self, wait_until};
use crate::support::database::Database;
use crate::support::outcomes::{outcome, process, process_until_done, verdict, writer};
use crate::support::random::Random;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_withdrawals_of_the_whole_balance_at_once_exactly_one_is_accepted() {
    let database = Database::shared().await;
    let options = Options {
        connections_max: 32,
        ..Options::default()
    };
    let store = EventStore::connect_lazy(&database.application_url(), &options).unwrap();
    let account_id = new_account_id("emptied");
    process(&mut writer(&store), &[create(&account_id, "100")]).await;

    let withdrawals = (0..64).map(|_| {
        let (store, command) = (store.clone(), withdraw(&account_id, "100"));
        tokio::spawn(async move {
            let batch = [command];
            let processed = process_until_done(&mut writer(&store), &batch, &clock::now).await;
            verdict(&processed[0])
        })
    });
    let mut verdicts: Vec<String> = join_all(withdrawals)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();

    verdicts.sort();
    let mut expected = vec!["accepted"];
    expected.extend(vec!["insufficient_funds"; 63]);
    assert_eq!(verdicts, expected);
    let book = Book::of(&store, &[&account_id]).await;
    assert_eq!(book.balance(&account_id).to_string(), "0.00");
    assert_eq!(book.versions(&account_id), 2);
}

/// Commands on a few accounts, some of them under an id that one before has used.
fn commands(random: &mut Random, ids: &[AccountId], count: usize) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::with_capacity(count);
    for _ in 0..count {
        let from = random.below(ids.len());
        let to = (from + 1 + random.below(ids.len() - 1)) % ids.len();
        let amount = (1 + random.below(60)).to_string();
        let command = match random.below(10) {
            0..=1 => deposit(&ids[from], &amount),
            2..=4 => withdraw(&ids[from], &amount),
            _ => transfer(&ids[from], &ids[to], &amount),
        };
        let used = random.below(commands.len() + 1);
        commands.push(match (random.below(20), commands.get(used)) {
            (0, Some(first)) => under_the_id_of(first, command),
            (1, Some(first)) => first.clone(),
            _ => command,
        });
    }
    commands
}

/// What one writer was told.
async fn work(
    store: EventStore,
    mut random: Random,
    commands: Vec<Command>,
) -> Vec<(Command, Processed)> {
    let mut writer = writer(&store);
    let mut told = Vec::with_capacity(commands.len());
    let mut rest = &commands[..];
    while !rest.is_empty() {
        let (batch, others) = rest.split_at(rest.len().min(1 + random.below(12)));
        let processed = process_until_done(&mut writer, batch, &clock::now).await;
        told.extend(batch.iter().cloned().zip(processed));
        rest = others;
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_share_accounts_and_commands_keep_every_invariant() {
    const COMMANDS: usize = 250;
    let store = Database::fresh("hammer").await.store();
    let ids: Vec<AccountId> = (0..4).map(|_| new_account_id("hot")).collect();
    let opening: Vec<Command> = ids.iter().map(|id| create(id, "100")).collect();
    process(&mut writer(&store), &opening).await;

    let mut random = Random::new(3);
    let shared = commands(&mut random, &ids, COMMANDS / 2);
    let writers = (0..3_u64).map(|seed| {
        let mut random = Random::new(100 + seed);
        let mut own = commands(&mut random, &ids, COMMANDS / 2);
        own.extend(shared.iter().cloned());
        random.shuffle(&mut own);
        tokio::spawn(work(store.clone(), random, own))
    });
    let told: Vec<(Command, Processed)> = join_all(writers)
        .await
        .into_iter()
        .flat_map(Result::unwrap)
        .collect();

    let book = Book::of_everything(&store).await;
    assert_one_outcome_each(&told, &book);
    assert_money_is_conserved(&told, &book);
    let distinct: std::collections::HashSet<CommandId> =
        told.iter().map(|(command, _)| command.command_id).collect();
    assert_eq!(book.outcomes.len(), distinct.len() + opening.len());
    let committed =
        |(_, processed): &&(Command, Processed)| matches!(processed, Processed::Committed { .. });
    assert_eq!(
        told.iter().filter(committed).count(),
        distinct.len(),
        "each was decided once"
    );
}

/// Everybody was told the one stored outcome, or that the id belongs to another command.
fn assert_one_outcome_each(told: &[(Command, Processed)], book: &Book) {
    for (command, processed) in told {
        let stored = &book.outcomes[&command.command_id];
        let is_same = stored.fingerprint == command.fingerprint();
        match processed {
            Processed::IdempotencyConflict(_) => assert!(!is_same),
            processed => {
                assert!(is_same);
                assert_eq!(outcome(processed), &stored.outcome);
            }
        }
    }
}

fn assert_money_is_conserved(told: &[(Command, Processed)], book: &Book) {
    let mut accepted: HashMap<CommandId, (&Command, &Outcome)> = HashMap::new();
    for (command, processed) in told {
        if let Processed::Committed { outcome, .. } = processed
            && outcome.is_accepted()
        {
            accepted.insert(command.command_id, (command, outcome));
        }
    }
    let mut cents = 4 * 100_00;
    for (command, _) in accepted.values() {
        cents += match &command.action {
            ledger::Action::Deposit(action) => action.amount.mantissa() * 100,
            ledger::Action::Withdraw(action) => -action.amount.mantissa() * 100,
            _ => 0,
        };
    }
    let balances = book
        .histories
        .keys()
        .map(|id| book.balance(id).value().mantissa());
    assert_eq!(balances.sum::<i128>(), cents);
}

/// On PostgreSQL, which notices that two lock each other out only after a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_of_the_same_accounts_in_opposite_order_do_not_lock_each_other_out() {
    const ROUNDS: usize = 8;
    let database = Database::fresh_on_postgres("crossed").await;
    let store = database.store();
    let ids: Vec<AccountId> = (0..500).map(|_| new_account_id("crossed")).collect();
    let opening: Vec<Command> = ids.iter().map(|id| create(id, "100")).collect();
    process(&mut writer(&store), &opening).await;

    for _ in 0..ROUNDS {
        let accounts = store.load(&ids).await.unwrap();
        let appends = [false, true].map(|reversed| {
            let mut deposits: Vec<Command> = ids.iter().map(|id| deposit(id, "1")).collect();
            if reversed {
                deposits.reverse();
            }
            let batch = Batch::over(accounts.clone(), &deposits, clock::now());
            let store = store.clone();
            tokio::spawn(async move { store.append(&batch.append()).await })
        });
        let appended = join_all(appends).await;
        let succeeded = appended
            .into_iter()
            .filter(|one| one.as_ref().unwrap().is_ok());
        assert_eq!(succeeded.count(), 1);
    }

    let book = Book::of_everything(&store).await;
    for id in &ids {
        assert_eq!(book.versions(id), 1 + ROUNDS);
    }
    store.close().await;
    let mut owner = database.owner().await;
    wait_until("the connections are gone", async || {
        sessions(&mut owner).await == 0
    })
    .await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let row = owner.fetch_one(deadlocks).await.unwrap();
    assert_eq!(row.get::<i64, _>(0), 0);
}

/// How many connections of the application there are; what they counted counts when they are gone.
async fn sessions(owner: &mut PgConnection) -> i64 {
    let count = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'chronicle'";
    owner.fetch_one(count).await.unwrap().get(0)
}
