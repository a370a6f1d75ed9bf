//! How much is to be restored, before anything is closed for it.

use ledger::{AccountId, Timestamp, Version};
use store::EventStore;

use crate::rebuild::Progress;

/// How many events are measured by one statement: less than a second's work.
const EVENTS_AT_A_TIME: u32 = 100_000;

/// What is to be published.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Amount {
    pub(super) events: u64,
    /// About how many bytes of the stream that takes; rather more than less.
    pub(super) bytes: u64,
}

/// Measures all events of the event store that were recorded at `since` or later. The event store counts; this brings
/// nothing but numbers, however many events there are.
pub(super) async fn measure(
    store: &EventStore,
    since: Option<Timestamp>,
    progress: &mut Progress,
) -> Result<Amount, store::Error> {
    let (mut events, mut bytes) = (0, 0);
    let mut last: Option<(AccountId, Version)> = None;
    loop {
        let after = last
            .as_ref()
            .map(|(account_id, version)| (account_id, *version));
        let measured = store.measure_behind(after, EVENTS_AT_A_TIME, since).await?;
        let Some(page) = measured else {
            return Ok(Amount {
                events,
                bytes: sinks::restored_bytes(events, bytes),
            });
        };
        if last.is_none() {
            progress.stage("measure", None, 0);
        }
        events += page.events;
        bytes += page.bytes;
        last = Some(page.last);
        progress.reached(events);
    }
}
