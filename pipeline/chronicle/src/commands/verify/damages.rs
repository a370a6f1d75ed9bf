//! The rows of read models that were found to be wrong, and can be made anew from the event store.
//!
//! State: at most [`KEPT_MAX`] of each projection; the rest is counted.

use std::collections::BTreeMap;

use serde::Serialize;
use sinks::projection::Transfers;
use sinks::projection::{NAMES, Projection};
use uuid::Uuid;

use super::report::Violation;

/// How many accounts, or transfers, are kept per projection.
const KEPT_MAX: usize = 10_000;

/// What is to be made anew together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Extent {
    /// The row of a transfer.
    Transfer(Uuid),
    /// All rows of an account.
    Account(String),
    /// The whole read model.
    Everything,
}

/// Where the wrong rows were found first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct First {
    /// The account, if it has one.
    pub(super) account_id: Option<String>,
    /// The lowest version that is concerned, if one is.
    pub(super) version: Option<i64>,
    pub(super) message: String,
}

/// What is to be made anew of one projection.
#[derive(Debug, Clone, Default)]
pub(super) struct Damaged {
    pub(super) extents: BTreeMap<Extent, First>,
    /// How many findings are about extents that were not kept.
    pub(super) more: u64,
}

/// What is to be made anew, by projection.
#[derive(Debug, Clone, Default)]
pub(super) struct Damages {
    of: BTreeMap<&'static str, Damaged>,
}

impl Damages {
    /// Takes what a violation says about rows.
    pub(super) fn take(&mut self, violation: &Violation) {
        let named = violation.projection.as_deref();
        let name = NAMES
            .into_iter()
            .find(|name| violation.is_of_rows && named == Some(name));
        let Some(name) = name else {
            return;
        };
        let extent = match (violation.transfer_id, &violation.account_id) {
            (Some(transfer_id), _) => Extent::Transfer(transfer_id),
            (None, Some(account_id)) => Extent::Account(account_id.clone()),
            (None, None) => Extent::Everything,
        };
        let damaged = self.of.entry(name).or_default();
        if damaged.extents.len() >= KEPT_MAX && !damaged.extents.contains_key(&extent) {
            damaged.more += 1;
            return;
        }
        let found = First {
            account_id: violation.account_id.clone(),
            version: violation.version,
            message: violation.message.clone(),
        };
        let first = damaged
            .extents
            .entry(extent)
            .or_insert_with(|| found.clone());
        // A finding without a version is the last to be named: of a transfer's row an event is needed.
        let earlier = match (found.version, first.version) {
            (Some(version), Some(known)) => {
                (&found.account_id, version) < (&first.account_id, known)
            }
            (Some(_), None) => true,
            _ => false,
        };
        if earlier {
            *first = found;
        }
    }

    /// In the order in which they are mended: transfers first, for their rows belong to two accounts each.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (&'static str, &Damaged)> {
        let name_first = std::iter::once(Transfers::NAME)
            .chain(NAMES.into_iter().filter(|name| *name != Transfers::NAME));
        name_first.filter_map(|name| Some((name, self.of.get(name)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_version_of_an_account_is_named_once() {
        let mut all = Damages::default();
        for version in [7, 3, 5] {
            all.take(&Violation::new("m").of_rows("transactions").at("A", version));
        }
        all.take(&Violation::new("behind").of("transactions").at("B", 1));
        let found: Vec<_> = all.in_order().collect();
        assert_eq!(found.len(), 1);
        let (name, damaged) = found[0];
        assert_eq!((name, damaged.extents.len()), ("transactions", 1));
        let first = &damaged.extents[&Extent::Account("A".to_owned())];
        assert_eq!(first.version, Some(3));
    }

    #[test]
    fn a_transfer_is_known_by_an_event_whoever_has_seen_its_row_first() {
        let mut all = Damages::default();
        let id = Uuid::from_u128(7);
        let stray = Violation::new("stray")
            .of_rows("transfers")
            .transfer(id)
            .account("A");
        all.take(&stray);
        all.take(
            &Violation::new("differs")
                .of_rows("transfers")
                .transfer(id)
                .at("B", 4),
        );
        let (_, damaged) = all.in_order().next().expect("there is one");
        let first = &damaged.extents[&Extent::Transfer(id)];
        assert_eq!(
            (first.account_id.as_deref(), first.version),
            (Some("B"), Some(4))
        );
    }
}
