//! What the accounts are called.

use std::sync::LazyLock;

use ledger::AccountId;

/// More than any run opens.
const ACCOUNTS_MAX: usize = 200_000;

pub(crate) fn name_of(number: usize) -> &'static AccountId {
    static NAMES: LazyLock<Vec<AccountId>> = LazyLock::new(|| {
        (0..ACCOUNTS_MAX)
            .map(|number| format!("ACC-{number}").parse().unwrap())
            .collect()
    });
    &NAMES[number]
}
