//! What the commands are: each is made from the seed and its number alone, as in the ledger's own bench. A transfer here is
//! between the same accounts and of the same amount as the transfer with this number in `chronicle bench --workload
//! transfer-uniform` with the same seed and as many accounts.

use crate::random::Random;

/// What is in each account at first, in cents: more than any run takes out of one.
const FUNDS_CENTS: i64 = 100_000_000_000_000;
/// The kind of things that have numbers here; the ledger's bench calls it the same.
const ORDERS: u64 = 1;

/// What each command carries besides, as in the ledger's bench.
pub(crate) const DESCRIPTION: &str = "a payment of the bench";
/// Who sends it.
pub(crate) const ACTOR: &str = "bench";

/// Which commands there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A deposit into, or a withdrawal from, an account chosen evenly.
    DepositOrWithdraw,
    /// A transfer between two accounts chosen evenly.
    Transfer,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::DepositOrWithdraw => "deposit or withdraw",
            Self::Transfer => "transfer",
        }
    }
}

/// What one command asks for, of accounts by their index, in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Deposit { to: usize, cents: i64 },
    Withdraw { from: usize, cents: i64 },
    Transfer { from: usize, to: usize, cents: i64 },
}

/// The commands of one run.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) kind: Kind,
    pub(crate) seed: u64,
    /// What is in each account at first.
    pub(crate) funds_cents: i64,
    accounts: Vec<String>,
}

impl Workload {
    pub(crate) fn new(kind: Kind, accounts: usize, seed: u64) -> Self {
        Self {
            kind,
            seed,
            funds_cents: FUNDS_CENTS,
            accounts: (0..accounts)
                .map(|index| format!("BENCH-0-{index:07}"))
                .collect(),
        }
    }

    /// The names of the accounts, by index.
    pub(crate) fn accounts(&self) -> &[String] {
        &self.accounts
    }

    /// What is in all accounts at first.
    pub(crate) fn total_cents(&self) -> i64 {
        self.funds_cents * i64::try_from(self.accounts.len()).expect("accounts are few")
    }

    /// The command with this number.
    pub(crate) fn order(&self, number: u64) -> Order {
        let mut random = Random::of(self.seed, ORDERS, number);
        let cents = i64::try_from(100 + random.below(10_000)).expect("it is small");
        let accounts = self.accounts.len() as u64;
        let first = random.below(accounts);
        match self.kind {
            Kind::DepositOrWithdraw if random.below(2) == 0 => Order::Deposit {
                to: index(first),
                cents,
            },
            Kind::DepositOrWithdraw => Order::Withdraw {
                from: index(first),
                cents,
            },
            Kind::Transfer => {
                let step = 1 + random.below(accounts - 1);
                Order::Transfer {
                    from: index(first),
                    to: index((first + step) % accounts),
                    cents,
                }
            }
        }
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("an index of an account is small")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_are_those_of_the_ledgers_bench() {
        let workload = Workload::new(Kind::Transfer, 10_000, 1);
        let transfers: Vec<_> = (0..3).map(|number| workload.order(number)).collect();
        let expected = [
            (8_654, 7_410, 10_005),
            (4_680, 6_990, 5_516),
            (1_415, 3_834, 5_378),
        ];
        let expected = expected.map(|(from, to, cents)| Order::Transfer { from, to, cents });
        assert_eq!(transfers, expected);
    }

    #[test]
    fn a_transfer_is_always_between_two_accounts() {
        let workload = Workload::new(Kind::Transfer, 10, 7);
        for number in 0..10_000 {
            let Order::Transfer { from, to, cents } = workload.order(number) else {
                panic!("{number}");
            };
            assert!(from != to && from < 10 && to < 10 && cents >= 100);
        }
    }

    #[test]
    fn half_of_the_others_are_deposits() {
        let workload = Workload::new(Kind::DepositOrWithdraw, 10, 7);
        let deposits = (0..10_000)
            .filter(|number| matches!(workload.order(*number), Order::Deposit { .. }))
            .count();
        assert!((4_800..5_200).contains(&deposits), "{deposits}");
    }
}
