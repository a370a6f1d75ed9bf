//! A projection: what it lacks is applied, under its rules and beside its running copy.

use ledger::{AccountId, Event, Version};
use serde::Serialize;
use sinks::projection::{self, Recording, ReplayError};
use sqlx::PgPool;

use crate::arguments::ReplayArguments;
use crate::commands::projection::{known, never_ran};
use crate::commands::reach;
use crate::commands::replay::event::{Place, Replayed};
use crate::exit;
use crate::servers_at::ServerArguments;

/// The most events in one transaction.
const BATCH_MAX: usize = 1_000;
/// How many accounts that lack something are named.
const AHEAD_NAMED_MAX: usize = 20;

/// A projection that events are replayed into.
pub(in crate::commands::replay) struct IntoProjection {
    servers: ServerArguments,
    pool: PgPool,
    recording: Recording,
    pub(in crate::commands::replay) name: &'static str,
    batch_max: usize,
    batch: Vec<Event>,
    /// The last event of the batch.
    last: Option<Place>,
    done: Option<Place>,
    pub(in crate::commands::replay) applied: u64,
    pub(in crate::commands::replay) skipped: u64,
    /// Events behind versions that the projection lacks and that did not come.
    pub(in crate::commands::replay) ahead: u64,
    /// The first accounts that have some, and what each lacks first.
    pub(in crate::commands::replay) lacking: Vec<Lacking>,
}

/// An account of which something is missing before what was replayed.
#[derive(Debug, Clone, Serialize)]
pub(in crate::commands::replay) struct Lacking {
    pub(in crate::commands::replay) account_id: AccountId,
    /// The first version that it lacks.
    pub(in crate::commands::replay) version: Version,
}

impl IntoProjection {
    /// A projection, which must have run on this read model.
    pub(in crate::commands::replay) async fn open(
        servers: &ServerArguments,
        arguments: &ReplayArguments,
        name: &str,
    ) -> anyhow::Result<Self> {
        let name = known(name)?;
        if !arguments.types.is_empty() {
            return Err(exit::usage(
                "a projection applies every event of an account, or none behind the first that is missing: --type cannot \
                 be used with it",
            ));
        }
        let pool = servers.read_model()?;
        let standings = projection::standings(&pool).await;
        let standings = standings.map_err(|error| reach::read_model_failed(servers, &error))?;
        if !standings.iter().any(|standing| standing.projection == name) {
            return Err(never_ran(name));
        }
        let per_second = arguments
            .rate
            .map_or(usize::MAX, |rate| rate.get() as usize);
        Ok(Self {
            servers: servers.clone(),
            pool,
            recording: Recording::new(reach::operator(), arguments.reason.clone()),
            name,
            // A slow replay shows what it does within a second.
            batch_max: per_second.min(BATCH_MAX),
            batch: Vec::new(),
            last: None,
            done: None,
            applied: 0,
            skipped: 0,
            ahead: 0,
            lacking: Vec::new(),
        })
    }

    /// Where the events come from, for the record.
    pub(in crate::commands::replay) fn comes_from(&mut self, from: String) {
        self.recording.comes_from(from);
    }

    pub(super) async fn write(&mut self, replayed: Replayed) -> anyhow::Result<()> {
        self.last = Some(replayed.place);
        self.batch.push(replayed.event);
        if self.batch.len() >= self.batch_max {
            self.finish().await?;
        }
        Ok(())
    }

    pub(super) async fn finish(&mut self) -> anyhow::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let events = std::mem::take(&mut self.batch);
        let first = events.first().map(|event| event.event_id);
        let replayed = match projection::replay(&self.pool, self.name, events, &mut self.recording)
            .await
        {
            Ok(replayed) => replayed,
            Err(ReplayError::NeverRan) => return Err(never_ran(self.name)),
            Err(ReplayError::Failed(error)) => {
                return Err(reach::read_model_failed(&self.servers, &error));
            }
            Err(error) => {
                let first = first.map_or_else(String::new, |id| format!(" (from event {id} on)"));
                return Err(exit::no(format!(
                    "projection {}: {error}; of the last events{first} none was applied",
                    self.name
                )));
            }
        };
        self.applied += replayed.applied;
        self.skipped += replayed.skipped;
        for ahead in replayed.ahead {
            self.ahead += ahead.events;
            let is_named = |lacking: &Lacking| lacking.account_id == ahead.account_id;
            if self.lacking.len() < AHEAD_NAMED_MAX && !self.lacking.iter().any(is_named) {
                self.lacking.push(Lacking {
                    account_id: ahead.account_id,
                    version: ahead.missing,
                });
            }
        }
        self.done.clone_from(&self.last);
        Ok(())
    }

    /// Up to where everything was looked at, and committed.
    pub(super) fn done(&self) -> Option<&Place> {
        self.done.as_ref()
    }
}
