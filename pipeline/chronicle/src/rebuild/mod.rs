//! Building a read model anew beside the live one.
//!
//! ```text
//! event store ─> walk ─> HOME_shadow_NAME <─ LEDGER_EVENTS   until it has everything
//!                             │ compare every row with a fold of the event store
//!                             └─> swap, in one transaction: what was live becomes HOME_retired_NAME
//! ```
//!
//! HOME is the schema of the live tables. What would stand in the way of the swap is looked at first, for the walk may take
//! hours. The live model is not touched before the swap. Every step can be interrupted: the walk notes its place with each page,
//! the feed its offset, and the swap happens as a whole or not at all. Doing it again goes on from there.

mod follow;
mod pace;
mod progress;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use engine::{Failure, RetryClass, fault};
use sinks::projection::audit::Order;
use sinks::projection::shadow::{self, Shadow, Walked};
use sinks::projection::swap::{Swap, Swapped};
use sinks::projection::{Definition, Pace, Page, Projection, Renew, obstacles};
use store::EventStore;
use tokio::time::{Instant, sleep};
use transport::{restoring, streams};

use self::follow::{Follower, Place};
pub(crate) use self::pace::KeepPace;
pub(crate) use self::progress::Progress;
use crate::commands::check_one;
use crate::topology::{self, Parts};

/// For how long a swap may hold the live projection up while the copy reaches it.
const REACH_WITHIN: Duration = Duration::from_secs(4);
/// How often that is tried.
const SWAPS_MAX: u32 = 20;
/// How long the comparison waits for what the copy lacks.
const CHECK_WAITS: Duration = Duration::from_mins(1);
/// How often a walk is taken up again that fails for a reason that may pass, without a page in between.
const WALKS_MAX: u32 = 8;

/// How to rebuild.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Who orders it.
    pub(crate) by: String,
    /// Why, if that was said.
    pub(crate) reason: Option<String>,
    /// At most so many events a second.
    pub(crate) rate: Option<NonZeroU32>,
    /// Whether what an earlier swap has kept may go.
    pub(crate) prune_older: bool,
}

impl Settings {
    fn order(&self) -> Order<'_> {
        Order {
            by: &self.by,
            reason: self.reason.as_deref(),
        }
    }
}

/// What was built.
#[derive(Debug, Clone)]
pub(crate) struct Rebuilt {
    /// Whether a copy was there that had been begun before.
    pub(crate) is_resumed: bool,
    /// Events of the event store that were walked over, all attempts together.
    pub(crate) walked: u64,
    /// Events that were compared with the rows.
    pub(crate) compared: u64,
    pub(crate) swapped: Swapped,
    pub(crate) took: Duration,
}

/// What a projection does at its start when its rows are of an older definition.
pub(crate) fn at_start<P: Projection + Default>(parts: &Parts) -> Renew {
    let parts = parts.clone();
    Arc::new(move || {
        let parts = parts.clone();
        Box::pin(async move {
            let settings = Settings {
                by: format!("chronicle {}", env!("CARGO_PKG_VERSION")),
                reason: Some(format!("definition {}", P::DEFINITION)),
                rate: None,
                prune_older: true,
            };
            let mut progress = Progress::logged(P::NAME);
            rebuild::<P>(&parts, &settings, &mut progress).await?;
            Ok(())
        })
    })
}

/// Builds, compares and swaps.
pub(crate) async fn rebuild<P: Projection + Default>(
    parts: &Parts,
    settings: &Settings,
    progress: &mut Progress,
) -> Result<Rebuilt, Failure> {
    let began = Instant::now();
    let definition = Definition::of::<P>();
    parts.nats.ready().await?;
    obstacles::foresee(&parts.read_model, definition, settings.prune_older).await?;
    let feed = streams::events(&parts.nats.jetstream, &parts.limits).await?;
    // Before the walk: what is committed from now on comes by the feed, behind this sequence.
    let (stream_id, head) = (
        streams::identity(&feed),
        feed.get_info()
            .await
            .map_err(|error| Failure::retry("the feed cannot be looked at").because(error))?
            .state
            .last_sequence,
    );
    let order = settings.order();
    let shadow = shadow::prepare(&parts.read_model, definition, &stream_id, head, &order).await?;
    let own = Parts {
        read_model: shadow.pool.clone(),
        ..parts.clone()
    };
    let walked = walk::<P>(&own, &shadow, settings, progress).await?;
    progress.stage("indexes", None, 0);
    shadow::finish_tables(&parts.read_model, definition).await?;
    let place = Place::of(&own, definition);
    let mut follower = Follower::start::<P>(&own, settings.rate);
    let rest = async {
        place.catch_up(progress).await?;
        let compared = compare(&own, definition, walked, progress).await?;
        // The comparison may have taken long, and the feed has gone on: from the swap on readers live with what is there.
        progress.stage("vacuum", None, 0);
        shadow::vacuum(&parts.read_model, definition).await?;
        place.catch_up(progress).await?;
        Ok(compared)
    };
    let compared = tokio::select! {
        done = rest => done,
        failure = follower.failed() => Err(failure),
    }?;
    fault::point("before_rebuild_swap");
    progress.stage("swap", None, 0);
    let copy = Copy {
        place: &place,
        stream_id: &stream_id,
    };
    let swapped = swap(parts, definition, &copy, follower, settings).await?;
    progress.end();
    Ok(Rebuilt {
        is_resumed: shadow.is_resumed,
        walked,
        compared,
        swapped,
        took: began.elapsed(),
    })
}

/// Fills the copy from the event store. A failure that may pass is tried again, from the last page on. Answers with the
/// number of events walked over.
async fn walk<P: Projection + Default>(
    own: &Parts,
    shadow: &Shadow,
    settings: &Settings,
    progress: &mut Progress,
) -> Result<u64, Failure> {
    let mut walked = shadow.walked.clone();
    if walked.is_complete {
        return Ok(walked.events);
    }
    let total = total(&own.store_for_projections).await;
    progress.stage("walk", total, walked.events);
    let size = Page {
        events: u32::try_from(own.batching.records_max).unwrap_or(u32::MAX),
        ..Page::default()
    };
    let mut pace = settings.rate.map(Pace::new);
    let mut attempt = 0;
    loop {
        let mut sink = topology::sink(own, P::default());
        let from = walked.clone();
        let told = |reached: &Walked| {
            walked = reached.clone();
            progress.reached(reached.events);
        };
        let failure = match sink.walk(from.clone(), size, pace.as_mut(), told).await {
            Ok(()) => return Ok(walked.events),
            Err(failure) => failure,
        };
        attempt = if walked == from { attempt + 1 } else { 1 };
        if failure.class() != RetryClass::Retry || attempt >= WALKS_MAX {
            return Err(failure);
        }
        progress.say(&format!("trying again: {}", failure.chain()));
        sleep(Duration::from_millis(250) * 2_u32.pow(attempt)).await;
    }
}

/// The copy may only take the live model's place while both read the same feed.
async fn check_feed(parts: &Parts, stream_id: &str) -> Result<(), Failure> {
    let feed = streams::existing(&parts.nats.jetstream, streams::EVENTS).await?;
    let is_same = feed.is_some_and(|feed| {
        restoring::restoration(&feed).is_none() && streams::identity(&feed) == stream_id
    });
    if is_same {
        Ok(())
    } else {
        Err(Failure::retry(
            "the feed was made anew while the copy was built; when that is over, give the command again",
        ))
    }
}

/// How many events there are, if that can be counted in a few seconds.
async fn total(store: &EventStore) -> Option<u64> {
    const COUNT_WITHIN: Duration = Duration::from_secs(20);
    tokio::time::timeout(COUNT_WITHIN, store.events_total())
        .await
        .ok()?
        .ok()
}

/// Every row of the copy against a fold of the event store.
async fn compare(
    own: &Parts,
    definition: Definition,
    events: u64,
    progress: &mut Progress,
) -> Result<u64, Failure> {
    progress.stage("compare", None, 0);
    let name = definition.name;
    let checked = check_one(
        &own.store_for_projections,
        &own.nats,
        &own.read_model,
        name,
        CHECK_WAITS,
    )
    .await
    .map_err(|error| {
        Failure::retry(format!("the copy of {name} cannot be compared")).because(error)
    })?;
    if checked.violations > 0 {
        return Err(Failure::fatal(format!(
            "the copy of {name} is not what the events make of it, and was not swapped: {} rows differ, e.g. {}. Nothing was \
             changed; remove the copy (chronicle projection rebuild {name} --discard), and look at the event store with \
             `chronicle verify`",
            checked.violations,
            checked.named.join("; ")
        )));
    }
    if !checked.open.is_empty() {
        return Err(Failure::retry(format!(
            "the copy of {name} cannot keep up with the feed: {}",
            checked.open.join("; ")
        )));
    }
    if checked.events < events {
        return Err(Failure::fatal(format!(
            "the event store has {} events, and {events} were walked over: events are gone; run `chronicle verify`",
            checked.events
        )));
    }
    progress.reached(checked.events);
    Ok(checked.events)
}

/// The copy, and the feed that it follows.
struct Copy<'a> {
    place: &'a Place,
    stream_id: &'a str,
}

/// Swaps when the copy has everything that readers of the live model have seen, so that nobody sees time go back.
async fn swap(
    parts: &Parts,
    definition: Definition,
    copy: &Copy<'_>,
    mut follower: Follower,
    settings: &Settings,
) -> Result<Swapped, Failure> {
    for _ in 0..SWAPS_MAX {
        let swap = Swap::begin(&parts.read_model, definition).await?;
        check_feed(parts, copy.stream_id).await?;
        let seen = swap.seen_up_to(copy.stream_id);
        let is_there = tokio::select! {
            is_there = copy.place.reach(seen, REACH_WITHIN) => is_there?,
            failure = follower.failed() => return Err(failure),
        };
        if is_there {
            follower.stop().await?;
            let order = settings.order();
            return Ok(swap.take_shadow(&order, settings.prune_older).await?);
        }
        drop(swap);
        // The live projection goes on meanwhile.
        let _ = copy.place.reach(seen, REACH_WITHIN).await?;
    }
    Err(Failure::retry(format!(
        "the copy of {} does not reach the live model: is --rate below the rate at which events arrive?",
        definition.name
    )))
}
