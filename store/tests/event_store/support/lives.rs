//! Accounts to which everything happens that can happen to an account, at instants that lie close together and far apart.

use ledger::{
    AccountId, Action, Capture, CloseAccount, Command, ExpireHold, FreezeAccount, HoldId,
    PlaceHold, Rules, Scope, SetAccountRules, SetOverdraftLimit, Timestamp, UnfreezeAccount,
    UpdateAccount,
};
use store::EventStore;

use super::book::Book;
use super::build::{
    command, create_with, decimal, deposit, new_account_id, new_hold_id, release, transfer,
    withdraw,
};
use super::clock::moved;
use super::outcomes::writer;
use super::random::Random;

/// The accounts and holds that commands choose from.
struct Lives {
    random: Random,
    ids: Vec<AccountId>,
    opened: usize,
    holds: Vec<(AccountId, HoldId)>,
}

/// Twelve accounts of two currencies, whose events lie a microsecond, some microseconds, a millisecond or an hour apart;
/// and when they begin.
pub(crate) async fn random_lives(
    store: &EventStore,
    seed: u64,
    batches: usize,
) -> (Book, Timestamp) {
    let begin = store.now().await.unwrap();
    let mut now = begin;
    let mut writer = writer(store);
    let mut lives = Lives {
        random: Random::new(seed),
        ids: (0..12)
            .map(|number| new_account_id(&format!("past{number:02}")))
            .collect(),
        opened: 0,
        holds: Vec::new(),
    };
    for _ in 0..batches {
        let size = 1 + lives.random.below(6);
        let batch: Vec<Command> = (0..size).map(|_| lives.command(now)).collect();
        let at = now;
        writer.process(&batch, &|| at).await.unwrap();
        now = moved(now, lives.step());
    }
    let known: Vec<&AccountId> = lives.ids[..lives.opened].iter().collect();
    (Book::of(store, &known).await, begin)
}

impl Lives {
    /// In microseconds.
    fn step(&mut self) -> i64 {
        [0, 1, 3, 1_000, 3_600_000_000][self.random.below(5)]
    }

    fn any(&mut self) -> AccountId {
        self.ids[self.random.below(self.ids.len())].clone()
    }

    fn scope(&mut self) -> Scope {
        Scope::ALL[self.random.below(Scope::ALL.len())]
    }

    fn number(&mut self, limit: usize) -> String {
        self.random.below(limit).to_string()
    }

    /// Some of what moves money has a business date.
    fn command(&mut self, now: Timestamp) -> Command {
        let command = self.undated(now);
        if !command.action.moves_money() || self.random.below(3) > 0 {
            return command;
        }
        let away = match self.random.below(4) {
            0 => self.step(),
            1 => -self.step(),
            _ => {
                let hours = i64::try_from(self.random.below(40)).unwrap() - 25;
                hours * 3_600_000_000
            }
        };
        Command {
            effective_at: Some(moved(now, away)),
            ..command
        }
    }

    fn undated(&mut self, now: Timestamp) -> Command {
        let account_id = self.any();
        match self.random.below(25) {
            0 | 1 if self.opened < self.ids.len() => self.create(),
            2..=4 => deposit(&account_id, "7"),
            5 => withdraw(&account_id, "30"),
            6 | 7 => command(self.hold(account_id, now)),
            8..=15 if !self.holds.is_empty() => self.of_a_hold(),
            16 => {
                let reason = format!("reason {}", self.number(3));
                command(Action::FreezeAccount(FreezeAccount {
                    account_id,
                    scope: self.scope(),
                    reason,
                }))
            }
            17..=19 => command(Action::UnfreezeAccount(UnfreezeAccount {
                account_id,
                scope: self.scope(),
                reason: None,
            })),
            20 => command(Action::SetOverdraftLimit(SetOverdraftLimit {
                account_id,
                overdraft_limit: decimal(&self.number(200)),
            })),
            21 => command(self.update(account_id)),
            23 => self.rules(account_id),
            22 => command(Action::CloseAccount(CloseAccount {
                account_id,
                sweep_to_account_id: Some(self.any()),
            })),
            _ => transfer(&account_id, &self.any(), "11"),
        }
    }

    /// Some that count, some that do not, and none; within what the other commands do.
    fn rules(&mut self, account_id: AccountId) -> Command {
        let daily = self.random.below(3) > 0;
        command(Action::SetAccountRules(SetAccountRules {
            account_id,
            rules: Rules {
                allowed_counterparties: None,
                daily_debit_amount_max: daily.then(|| decimal(&format!("1{}", self.number(400)))),
                daily_debit_count_max: daily.then_some(20),
                maximum_balance: (self.random.below(2) == 0).then(|| decimal("5000")),
                minimum_balance: (self.random.below(2) == 0).then(|| decimal("-40")),
            },
        }))
    }

    fn create(&mut self) -> Command {
        self.opened += 1;
        let currency = if self.opened.is_multiple_of(3) {
            "JPY"
        } else {
            "USD"
        };
        create_with(&self.ids[self.opened - 1], "100", currency, "50")
    }

    fn hold(&mut self, account_id: AccountId, now: Timestamp) -> Action {
        let hold_id = new_hold_id();
        self.holds.push((account_id.clone(), hold_id));
        let lasts = 1_000 + self.step();
        Action::Hold(PlaceHold {
            account_id,
            hold_id,
            amount: decimal("13"),
            currency: None,
            hold_expires_at: (self.random.below(4) > 0).then(|| moved(now, lasts)),
        })
    }

    /// Of one of the newest. It may be over, or never have been placed.
    fn of_a_hold(&mut self) -> Command {
        let newest = self.random.below(self.holds.len().min(12));
        let (account_id, hold_id) = self.holds[self.holds.len() - 1 - newest].clone();
        match self.random.below(4) {
            0 => release(&account_id, hold_id),
            1 => command(Action::ExpireHold(ExpireHold {
                account_id,
                hold_id,
            })),
            _ => command(Action::Capture(Capture {
                account_id,
                hold_id,
                amount: (self.random.below(3) > 0).then(|| decimal("5")),
                is_final: self.random.below(3) == 0,
                to_account_id: (self.random.below(2) == 0).then(|| self.any()),
            })),
        }
    }

    fn update(&mut self, account_id: AccountId) -> Action {
        let (owner, note) = (self.number(3), self.number(3));
        let entry = ("note".to_owned(), note);
        Action::UpdateAccount(UpdateAccount {
            account_id,
            owner_name: (self.random.below(2) == 0).then(|| format!("owner {owner}")),
            account_metadata: Some(std::iter::once(entry).collect()),
        })
    }
}
