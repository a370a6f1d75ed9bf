//! What the accounts are called.

use std::sync::LazyLock;

use ledger::AccountId;

use crate::sequence::ACCOUNTS;

pub(crate) fn name_of(number: usize) -> &'static AccountId {
    static NAMES: LazyLock<[AccountId; ACCOUNTS]> =
        LazyLock::new(|| ["A", "B", "C", "D"].map(|name| name.parse().unwrap()));
    &NAMES[number]
}
