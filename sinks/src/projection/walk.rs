//! Filling a copy from the event store: all events by account and version, page by page.
//!
//! Each page is one transaction with the copy's fence, its rows, its versions and the place that was reached: a walk that
//! was interrupted goes on behind the last page that was committed. While a page is written the next one is read, so two
//! pages are in memory and never more; a page is bounded in events and in bytes.
//!
//! The place is noted rather than found: the two databases may order account ids differently.

use engine::{Failure, fault};
use ledger::Event;
use tokio::try_join;

use super::committing::borrowed;
use super::guard::guard;
use super::making_up::store_failure;
use super::offset::Fence;
use super::pace::Pace;
use super::shadow::{self, Walked};
use super::skips;
use super::{Definition, Projection, ProjectionSink};

/// How many events are read, and applied in one transaction.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// At most so many events.
    pub events: u32,
    /// At most so many bytes of their data, and one event more.
    pub bytes: u64,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            events: 2_000,
            bytes: 8 * 1024 * 1024,
        }
    }
}

impl<P: Projection> ProjectionSink<P> {
    /// Walks from where `walked` says to the end of the event store; for a sink over the connections of a copy. `told` is
    /// told of each page that is committed.
    pub async fn walk(
        &mut self,
        mut walked: Walked,
        size: Page,
        mut pace: Option<&mut Pace>,
        mut told: impl FnMut(&Walked),
    ) -> Result<(), Failure> {
        let stream_id = self.stream_id().await?;
        let definition = Definition::of::<P>();
        let (fence, _) = Fence::take(&self.pool, definition, &stream_id).await?;
        self.skips = skips::skips(&self.pool, P::NAME, &stream_id).await?;
        self.fence = Some(fence);
        let limit = pace
            .as_ref()
            .map_or(size.events, |pace| pace.at_a_time(size.events));
        let mut events = self.page(&walked, limit, size.bytes).await?;
        while let Some(last) = events.last() {
            if let Some(pace) = &mut pace {
                pace.wait(events.len()).await;
            }
            walked.place = Some((last.account_id.clone(), last.version));
            walked.events += u64::try_from(events.len()).unwrap_or_default();
            let store = self.store.clone();
            let after = walked.place.clone();
            let next = async {
                let after = after.as_ref().map(|(id, version)| (id, *version));
                let events = store.events_after(after, limit, size.bytes).await;
                events.map_err(store_failure)
            };
            ((), events) = try_join!(self.apply_page(events, &walked), next)?;
            told(&walked);
        }
        walked.is_complete = true;
        self.apply_page(Vec::new(), &walked).await?;
        told(&walked);
        fault::point("after_rebuild_walk");
        Ok(())
    }

    async fn page(&self, walked: &Walked, limit: u32, bytes: u64) -> Result<Vec<Event>, Failure> {
        let after = walked.place.as_ref().map(|(id, version)| (id, *version));
        let events = self.store.events_after(after, limit, bytes).await;
        events.map_err(store_failure)
    }

    async fn apply_page(&mut self, events: Vec<Event>, walked: &Walked) -> Result<(), Failure> {
        let mut applied = self
            .applied(events.iter().map(|event| &event.account_id))
            .await?;
        let (guarded, _) = guard(&mut applied, events);
        if let Some((account_id, version)) = guarded.gap {
            return Err(Failure::fatal(format!(
                "the event store has version {version} of account {account_id} and not the one before it; run \
                 `chronicle verify`"
            )));
        }
        self.commit_walked(&borrowed(&guarded.events), &applied, walked)
            .await
    }
}

/// Notes the place within the page's transaction.
pub(super) async fn note(
    transaction: &mut sqlx::PgConnection,
    walked: &Walked,
) -> Result<(), sqlx::Error> {
    shadow::note(transaction, walked).await?;
    fault::point("in_rebuild_walk");
    Ok(())
}
