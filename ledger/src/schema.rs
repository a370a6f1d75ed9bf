//! Schema versions: which reader an event needs.
//!
//! No event says its version itself: each later version only added types and fields, and an absent field means what was
//! true before there was such a field. So the version follows from what an event has, old events keep their bytes and
//! hashes for ever, and reading an old event is all the conversion that it needs. An event has the lowest version that
//! has everything in it: a reader that knows this version, or a later one, understands the event.

use crate::event::{Event, EventData};

/// The newest version that this code writes and reads.
pub const SCHEMA_VERSION: u32 = 6;

impl Event {
    /// The version of the schema that it takes to read the event.
    ///
    /// | version | what came with it |
    /// |---|---|
    /// | 1 | `AccountCreated`, `MoneyDeposited`, `MoneyWithdrawn` |
    /// | 2 | the other types; `held_after`, `data.hold` |
    /// | 3 | `data.reversal` |
    /// | 4 | `data.effective_at` |
    /// | 5 | `part`, `data.posting_id` |
    /// | 6 | `AccountRulesSet` |
    pub fn schema_version(&self) -> u32 {
        let of_type = match &self.data {
            EventData::AccountCreated(_)
            | EventData::MoneyDeposited(_)
            | EventData::MoneyWithdrawn(_) => 1,
            EventData::AccountFrozen(_)
            | EventData::AccountUnfrozen(_)
            | EventData::AccountClosed(_)
            | EventData::OverdraftLimitSet(_)
            | EventData::AccountUpdated(_)
            | EventData::HoldPlaced(_)
            | EventData::HoldReleased(_)
            | EventData::HoldExpired(_) => 2,
            EventData::AccountRulesSet(_) => 6,
        };
        let of_fields = [
            (!self.held_after.is_zero() || self.data.hold().is_some(), 2),
            (self.data.reversal().is_some(), 3),
            (self.data.effective_at().is_some(), 4),
            (self.part.is_some() || self.data.posting_id().is_some(), 5),
        ];
        of_fields
            .into_iter()
            .filter_map(|(has_it, version)| has_it.then_some(version))
            .fold(of_type, u32::max)
    }
}

/// Why an event of that version cannot be read here; `None` if it can.
pub fn too_new(schema_version: u32) -> Option<String> {
    (schema_version > SCHEMA_VERSION).then(|| {
        format!(
            "the event has schema version {schema_version}, and this version of chronicle knows 1 to {SCHEMA_VERSION}: it was \
             written by a newer version of chronicle; upgrade this process first"
        )
    })
}
