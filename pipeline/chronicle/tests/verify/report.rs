//! What `chronicle verify -o json` answers, and how to ask it for an offender.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// All invariants, in the order of the report.
pub(crate) const INVARIANTS: [&str; 12] = [
    "append_only",
    "gapless_versions",
    "one_outcome",
    "atomic_command",
    "no_overdraft",
    "conservation",
    "monotonic_time",
    "exactly_once",
    "single_applier",
    "convergence",
    "bounded",
    "no_silent_loss",
];

/// What `chronicle verify -o json` says.
pub(crate) struct Report(pub(crate) Value);

impl Report {
    fn invariants(&self) -> BTreeMap<&str, &Value> {
        let invariants = self.0["invariants"].as_array().unwrap();
        invariants
            .iter()
            .map(|invariant| (invariant["name"].as_str().unwrap(), invariant))
            .collect()
    }

    /// The names of what is violated.
    pub(crate) fn violated(&self) -> BTreeSet<&str> {
        let all = self.invariants().into_iter();
        all.filter(|(_, invariant)| invariant["status"] == "violated")
            .map(|(name, _)| name)
            .collect()
    }

    pub(crate) fn invariant(&self, name: &str) -> &Value {
        self.invariants()[name]
    }

    /// The number of this invariant's violations.
    pub(crate) fn count(&self, invariant: &str) -> u64 {
        self.invariant(invariant)["violations_total"]
            .as_u64()
            .unwrap()
    }

    /// One of the invariant's violations has these fields; texts need only be contained.
    pub(crate) fn names(&self, invariant: &str, fields: &Value) {
        let violations = self.invariant(invariant)["violations"].as_array().unwrap();
        let holds = |violation: &Value| {
            fields.as_object().unwrap().iter().all(|(name, wanted)| {
                match (&violation[name], wanted) {
                    (Value::String(found), Value::String(wanted)) => {
                        found.contains(wanted.as_str())
                    }
                    (found, wanted) => found == wanted,
                }
            })
        };
        assert!(
            violations.iter().any(holds),
            "{invariant} does not name {fields}: {:#}",
            self.0
        );
    }
}
