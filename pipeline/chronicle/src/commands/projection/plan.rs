//! What a rebuild would do, before it does it.

use serde::Serialize;
use sinks::projection::{Definition, Error, obstacles, retired, shadow};
use store::EventStore;

use super::copy_failed;
use crate::commands::reach;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;
use crate::standing::{Feed, standings};

/// The plan of one rebuild.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    pub(super) projection: &'static str,
    pub(super) tables: &'static [&'static str],
    pub(super) definition: i32,
    /// Events that the event store has; null when counting them takes too long.
    pub(super) events: Option<u64>,
    /// Events that a copy that was begun before has walked over; null when there is none.
    pub(super) resumes_at: Option<u64>,
    /// Where the live model stands; null when the projection has never run here.
    pub(super) offset: Option<u64>,
    /// The end of the feed; null when there is none yet.
    pub(super) head: Option<u64>,
    /// Up to where the model has read that an earlier swap has kept; null when none is kept.
    pub(super) kept: Option<u64>,
    pub(super) prune_older: bool,
    /// What stands in the way, and what to do about it; null when nothing does.
    pub(super) obstacle: Option<String>,
}

impl Plan {
    /// Looks at everything, and changes nothing.
    pub(super) async fn make(
        servers: &ServerArguments,
        store: &EventStore,
        feed: Option<&Feed>,
        definition: Definition,
        prune_older: bool,
    ) -> anyhow::Result<Self> {
        let pool = servers.read_model()?;
        let standings = standings(&pool)
            .await
            .map_err(|error| reach::read_model_failed(servers, &error))?;
        let live = standings
            .into_iter()
            .find(|standing| standing.projection == definition.name);
        let found = shadow::look(&pool, definition.name)
            .await
            .map_err(|error| copy_failed(servers, error))?;
        let kept = retired::look(&pool, definition.name)
            .await
            .map_err(|error| copy_failed(servers, error))?;
        let obstacle = match obstacles::foresee(&pool, definition, prune_older).await {
            Ok(()) => None,
            Err(Error::Refused(obstacle)) => Some(obstacle),
            Err(error) => return Err(copy_failed(servers, error)),
        };
        store
            .ping()
            .await
            .map_err(|error| reach::event_store_failed(servers, &error))?;
        let events = store.events_total().await.ok();
        Ok(Self {
            projection: definition.name,
            tables: definition.tables,
            definition: definition.version,
            events,
            resumes_at: found
                .filter(|found| found.definition == definition.version)
                .map(|found| found.walked.events),
            offset: live.and_then(|live| live.offset),
            head: feed.map(|feed| feed.head),
            kept,
            prune_older,
            obstacle,
        })
    }

    pub(super) fn print(&self, output: Format) -> anyhow::Result<()> {
        match output {
            Format::Json => output::json(self),
            Format::Table => self.words().into_iter().try_for_each(output::line),
        }
    }

    fn words(&self) -> Vec<String> {
        let name = self.projection;
        let events = self
            .events
            .map_or_else(|| "the".to_owned(), |events| events.to_string());
        let mut lines = vec![match self.resumes_at {
            Some(walked) => format!(
                "{name}: goes on with the copy that was begun, {walked} events on the way; it takes {events} events of the \
                 event store"
            ),
            None => format!(
                "{name}: makes a schema of its own with the tables {}, and fills it with {events} events of the event store",
                self.tables.join(", ")
            ),
        }];
        lines.push(match self.head {
            Some(head) => {
                format!("then follows the feed, which ends at {head}, and compares every row with the events")
            }
            None => "then compares every row with the events; there is no feed yet, and it is made".to_owned(),
        });
        lines.push(match self.offset {
            Some(offset) => format!(
                "then swaps, in one transaction: the live tables, at {offset}, go to another schema and are kept"
            ),
            None => "then puts it where readers look; the projection has never run here, so nothing is kept".to_owned(),
        });
        if self.kept.is_some() && self.prune_older {
            lines.push("the model that an earlier swap has kept is removed then".to_owned());
        }
        if let Some(obstacle) = &self.obstacle {
            lines.push(format!("but as things are it refuses: {obstacle}"));
        }
        lines
    }
}
