//! What the commands are: each is made from the seed and its number alone, so that a run can be repeated.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use benches::ceiling::Touched;
use ledger::{
    AccountId, Action, Batch, Command, Conditions, CreateAccount, Deposit, Transfer, Withdraw,
};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::random::Random;
use crate::arguments::{BenchArguments, WorkloadName};

/// What is in each account at first: more than any run takes out of one.
const FUNDS: i64 = 1_000_000_000_000;
/// More than is in any account.
const TOO_MUCH: i64 = 1_000_000_000_000_000;
/// The weight of the account that is chosen most often.
const WEIGHT_MAX: u64 = 1_000_000_000_000;

/// How many transfers a batch is made of: 64 legs.
const TRANSFERS_IN_A_BATCH: u64 = 32;

/// Kinds of things that have numbers.
const ORDERS: u64 = 1;
const COMMAND_IDS: u64 = 2;
const OPENING_IDS: u64 = 3;

/// The commands of one run.
pub(super) struct Workload {
    name: WorkloadName,
    seed: u64,
    /// Tells runs on one event store from each other; 0 where there is only one.
    run: u64,
    accounts: Vec<AccountId>,
    /// One that is never opened.
    missing: AccountId,
    /// For each account the weight of it and of those before it, where they differ.
    weights: Vec<u64>,
}

/// What one command asks for, of accounts by their index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Deposit {
        to: usize,
    },
    Withdraw {
        from: usize,
    },
    Transfer {
        from: usize,
        to: usize,
    },
    /// Refused: `insufficient_funds`.
    WithdrawTooMuch {
        from: usize,
    },
    /// Refused: `account_not_found`.
    DepositNowhere,
}

impl Workload {
    pub(super) fn new(arguments: &BenchArguments, run: u64) -> anyhow::Result<Self> {
        let accounts: Vec<AccountId> = (0..arguments.accounts)
            .map(|index| format!("BENCH-{run:x}-{index:07}").parse())
            .collect::<Result<_, _>>()?;
        let weights = match arguments.workload {
            WorkloadName::TransferZipf => zipf(accounts.len()),
            _ => Vec::new(),
        };
        Ok(Self {
            name: arguments.workload,
            seed: arguments.seed,
            run,
            missing: format!("BENCH-{run:x}-MISSING").parse()?,
            accounts,
            weights,
        })
    }

    /// How many accounts there are.
    pub(super) fn accounts(&self) -> u64 {
        self.accounts.len() as u64
    }

    /// Their names, by index.
    pub(super) fn account_names(&self) -> Arc<[String]> {
        let names = self.accounts.iter().map(AccountId::to_string);
        names.collect::<Vec<_>>().into()
    }

    /// Opens the account with this number, with money in it.
    pub(super) fn opening(&self, number: u64) -> Command {
        let action = Action::CreateAccount(CreateAccount {
            account_id: self.accounts[index(number)].clone(),
            owner_name: format!("Owner {number}"),
            currency: "USD".parse().expect("it is a currency code"),
            initial_balance: FUNDS.into(),
            overdraft_limit: Decimal::ZERO,
        });
        self.command_of(OPENING_IDS, number, action)
    }

    /// The command with this number.
    pub(super) fn command(&self, number: u64) -> Command {
        if self.name != WorkloadName::Batch {
            return self.single(number);
        }
        let none = Batch {
            commands: Vec::new(),
        };
        let mut batch = self.command_of(COMMAND_IDS, number, Action::Batch(none));
        let command_id = batch.command_id;
        let of_batch = |part| Command {
            command_id,
            ..self.single(part)
        };
        batch.action = Action::Batch(Batch {
            commands: parts(number).map(of_batch).collect(),
        });
        batch
    }

    /// A command that is no batch.
    fn single(&self, number: u64) -> Command {
        let (order, cents) = self.order(number);
        let amount = Decimal::new(cents, 2);
        let account = |index: usize| self.accounts[index].clone();
        let deposit = |account_id, amount| {
            Action::Deposit(Deposit {
                account_id,
                amount,
                currency: None,
            })
        };
        let withdraw = |account_id, amount| {
            Action::Withdraw(Withdraw {
                account_id,
                amount,
                currency: None,
            })
        };
        let action = match order {
            Order::Deposit { to } => deposit(account(to), amount),
            Order::Withdraw { from } => withdraw(account(from), amount),
            Order::WithdrawTooMuch { from } => withdraw(account(from), TOO_MUCH.into()),
            Order::DepositNowhere => deposit(self.missing.clone(), amount),
            Order::Transfer { from, to } => Action::Transfer(Transfer {
                from_account_id: account(from),
                to_account_id: account(to),
                amount,
                currency: None,
            }),
        };
        self.command_of(COMMAND_IDS, number, action)
    }

    /// The account of the last event of the command with this number; none if it is to be refused.
    pub(super) fn shows_on(&self, number: u64) -> Option<&AccountId> {
        let last_part = match self.name {
            WorkloadName::Batch => parts(number).end - 1,
            _ => number,
        };
        let last = self.touched(last_part).events.into_iter().flatten().last();
        last.map(|index| &self.accounts[index])
    }

    /// Which accounts the command with this number is about; of batches, the part.
    pub(super) fn touched(&self, number: u64) -> Touched {
        let (account, events) = match self.order(number).0 {
            Order::Deposit { to } => (to, [Some(to), None]),
            Order::Withdraw { from } => (from, [Some(from), None]),
            Order::Transfer { from, to } => (from, [Some(from), Some(to)]),
            Order::WithdrawTooMuch { from } => (from, [None, None]),
            Order::DepositNowhere => (0, [None, None]),
        };
        Touched { account, events }
    }

    /// What the command with this number asks for, and how much.
    fn order(&self, number: u64) -> (Order, i64) {
        let mut random = Random::of(self.seed, ORDERS, number);
        let cents = i64::try_from(100 + random.below(10_000)).expect("it is small");
        let order = match self.name {
            WorkloadName::Deposit => Order::Deposit {
                to: self.any(&mut random),
            },
            WorkloadName::TransferUniform | WorkloadName::Batch => self.transfer(&mut random),
            WorkloadName::TransferZipf => self.popular_transfer(&mut random),
            WorkloadName::HotAccount => Order::Transfer {
                from: 0,
                to: index(1 + random.below(self.accounts() - 1)),
            },
            WorkloadName::Mixed => self.mixed(&mut random),
        };
        (order, cents)
    }

    fn mixed(&self, random: &mut Random) -> Order {
        match random.below(20) {
            0..=7 => Order::Deposit {
                to: self.any(random),
            },
            8..=15 => self.transfer(random),
            16 | 17 => Order::Withdraw {
                from: self.any(random),
            },
            18 => Order::WithdrawTooMuch {
                from: self.any(random),
            },
            _ => Order::DepositNowhere,
        }
    }

    fn any(&self, random: &mut Random) -> usize {
        index(random.below(self.accounts()))
    }

    fn transfer(&self, random: &mut Random) -> Order {
        let from = random.below(self.accounts());
        let step = 1 + random.below(self.accounts() - 1);
        Order::Transfer {
            from: index(from),
            to: index((from + step) % self.accounts()),
        }
    }

    fn popular_transfer(&self, random: &mut Random) -> Order {
        let total = self.weights.last().copied().unwrap_or(1);
        let mut popular = || {
            let place = random.below(total);
            self.weights.partition_point(|weight| *weight <= place)
        };
        let (from, to) = (popular(), popular());
        Order::Transfer {
            from,
            // Nobody pays himself: then it is the next one.
            to: if from == to {
                (to + 1) % self.accounts.len()
            } else {
                to
            },
        }
    }

    fn command_of(&self, kind: u64, number: u64, action: Action) -> Command {
        let mut ids = Random::of(self.seed ^ self.run, kind, number);
        Command {
            command_id: Uuid::new_v8(ids.bytes()).into(),
            action,
            description: Some("a payment of the bench".to_owned()),
            actor: Some("bench".to_owned()),
            metadata: BTreeMap::new(),
            conditions: Conditions::default(),
            effective_at: None,
        }
    }
}

/// The numbers of the transfers that the batch with this number is made of.
fn parts(number: u64) -> Range<u64> {
    let first = number * TRANSFERS_IN_A_BATCH;
    first..first + TRANSFERS_IN_A_BATCH
}

/// The weights of `count` accounts, each with those before it: the k-th has a k-th of the first one's. Whole numbers, so
/// that every machine chooses the same accounts.
fn zipf(count: usize) -> Vec<u64> {
    let weights = (1..).take(count).map(|rank: u64| WEIGHT_MAX / rank);
    weights
        .scan(0, |total, weight| {
            *total += weight;
            Some(*total)
        })
        .collect()
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("an index of an account is small")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::arguments::Through;

    fn workload(name: WorkloadName, seed: u64) -> Workload {
        let arguments = BenchArguments {
            workload: name,
            rate: None,
            seconds: 1,
            through: Through::Nats,
            in_flight: None,
            accounts: 100,
            seed,
            http_url: None,
            one_read_model: false,
            no_ceiling: true,
        };
        Workload::new(&arguments, 0).unwrap()
    }

    #[test]
    fn the_same_seed_makes_the_same_commands_and_another_makes_others() {
        let commands = |seed| {
            let workload = workload(WorkloadName::Mixed, seed);
            (0..100).map(|n| workload.command(n)).collect::<Vec<_>>()
        };
        assert_eq!(commands(1), commands(1));
        assert_ne!(commands(1), commands(2));
        let workload = workload(WorkloadName::Mixed, 1);
        let openings = (0..100).map(|number| workload.opening(number).command_id);
        let others = (0..10_000).map(|number| workload.command(number).command_id);
        let ids: HashSet<_> = openings.chain(others).collect();
        assert_eq!(ids.len(), 10_100);
    }

    #[test]
    fn a_transfer_is_always_between_two_accounts() {
        for name in [
            WorkloadName::TransferUniform,
            WorkloadName::TransferZipf,
            WorkloadName::HotAccount,
        ] {
            let workload = workload(name, 7);
            for number in 0..10_000 {
                let Touched { account, events } = workload.touched(number);
                let [Some(from), Some(to)] = events else {
                    panic!("{name:?} {number}");
                };
                assert!(
                    from == account && from != to && to < 100,
                    "{name:?} {number}"
                );
                assert!(name != WorkloadName::HotAccount || from == 0);
            }
        }
    }

    #[test]
    fn a_batch_is_of_32_transfers_and_shows_on_the_last_of_them() {
        let workload = workload(WorkloadName::Batch, 7);
        let command = workload.command(3);
        let Action::Batch(Batch { commands }) = &command.action else {
            panic!("{command:?}");
        };
        assert_eq!(commands.len(), 32);
        let Some(Action::Transfer(last)) = commands.last().map(|last| &last.action) else {
            panic!("{command:?}");
        };
        assert_eq!(workload.shows_on(3), Some(&last.to_account_id));
        let next = workload.command(4);
        assert_ne!(next.action, command.action);
    }

    #[test]
    fn the_first_account_of_a_zipf_is_chosen_twice_as_often_as_the_second() {
        let workload = workload(WorkloadName::TransferZipf, 7);
        let from = |wanted| {
            let all = (0..100_000).filter(|number| workload.touched(*number).account == wanted);
            all.count() as f64
        };
        let ratio = from(0) / from(1);
        assert!((1.8..2.2).contains(&ratio), "{ratio}");
    }

    #[test]
    fn one_in_ten_of_a_mixed_run_is_refused() {
        let workload = workload(WorkloadName::Mixed, 7);
        let refused = (0..10_000).filter(|number| workload.shows_on(*number).is_none());
        let refused = refused.count();
        assert!((900..1_100).contains(&refused), "{refused}");
    }
}
