//! `chronicle projection rebuild`: builds a read model anew beside the live one, and swaps.

use std::process::ExitCode;

use anyhow::Context;
use engine::{Failure, RetryClass};
use serde::Serialize;
use sinks::projection::{
    AccountBalance, DEFINITIONS, DailyTotals, Definition, Holds, Projection, Transactions,
    Transfers, shadow,
};
use store::sqlstate;

use super::plan::Plan;
use super::{copy_failed, definition, feed, order};
use crate::arguments::RebuildArguments;
use crate::commands::reach;
use crate::exit;
use crate::output::{self, Format};
use crate::rebuild::{Progress, Rebuilt, Settings, rebuild};
use crate::run::{self, Urls};
use crate::servers_at::ServerArguments;
use crate::topology::Parts;

/// What was done.
#[derive(Serialize)]
struct Answer {
    projection: &'static str,
    /// Whether it went on with a copy that had been begun before.
    resumed: bool,
    events_walked: u64,
    events_compared: u64,
    from_sequence: u64,
    to_sequence: u64,
    /// Whether what was live before is kept.
    kept: bool,
    took_ms: u64,
}

pub(super) async fn execute(
    servers: &ServerArguments,
    arguments: &RebuildArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let definitions = match &arguments.name {
        Some(name) => vec![definition(name)?],
        None => DEFINITIONS.to_vec(),
    };
    if arguments.discard {
        return discard(servers, arguments, &definitions, output).await;
    }
    if arguments.all && !arguments.dry_run {
        make_tables(servers).await?;
    }
    let plans = plans(servers, arguments, &definitions).await?;
    if arguments.dry_run {
        plans.iter().try_for_each(|plan| plan.print(output))?;
        return Ok(ExitCode::SUCCESS);
    }
    // Of all of them before the first is begun.
    if let Some(obstacle) = plans.into_iter().find_map(|plan| plan.obstacle) {
        return Err(exit::no(obstacle));
    }
    let (nats, event_store, read_model) = (
        servers.nats_url()?,
        servers.event_store_url()?,
        servers.read_model_url()?,
    );
    let urls = Urls {
        nats: &nats,
        event_store: &event_store,
        read_model: &read_model,
    };
    // Fails here, and at once, if NATS is not there.
    reach::nats(servers).await?;
    let parts = run::parts(&urls, &arguments.tuning).await?;
    let settings = Settings {
        by: reach::operator(),
        reason: arguments.reason.clone(),
        rate: arguments.rate,
        prune_older: arguments.prune_older,
    };
    for definition in definitions {
        let rebuilt = one(&parts, definition, &settings).await;
        let rebuilt = rebuilt.map_err(|failure| failed(definition, &failure))?;
        print(definition, &rebuilt, output)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The projection of that name, with its code.
async fn one(
    parts: &Parts,
    definition: Definition,
    settings: &Settings,
) -> Result<Rebuilt, Failure> {
    let progress = &mut Progress::shown(definition.name);
    match definition.name {
        AccountBalance::NAME => rebuild::<AccountBalance>(parts, settings, progress).await,
        Transactions::NAME => rebuild::<Transactions>(parts, settings, progress).await,
        Transfers::NAME => rebuild::<Transfers>(parts, settings, progress).await,
        Holds::NAME => rebuild::<Holds>(parts, settings, progress).await,
        DailyTotals::NAME => rebuild::<DailyTotals>(parts, settings, progress).await,
        other => Err(Failure::fatal(format!("there is no projection {other:?}"))),
    }
}

async fn plans(
    servers: &ServerArguments,
    arguments: &RebuildArguments,
    definitions: &[Definition],
) -> anyhow::Result<Vec<Plan>> {
    let (store, feed) = (servers.event_store()?, feed(servers).await?);
    let mut plans = Vec::with_capacity(definitions.len());
    for definition in definitions {
        let prune_older = arguments.prune_older;
        plans.push(Plan::make(servers, &store, feed.as_ref(), *definition, prune_older).await?);
    }
    Ok(plans)
}

/// The read model's database and its tables, where they are missing.
async fn make_tables(servers: &ServerArguments) -> anyhow::Result<()> {
    let url = servers.read_model_url()?;
    if let Err(error) = servers.read_model()?.acquire().await {
        if !sqlstate::is_missing_database(&error) {
            return Err(reach::read_model_failed(servers, &error));
        }
        let place = reach::place(Ok(url.clone()));
        store::migrate::create_database(&url)
            .await
            .with_context(|| format!("the read model's database at {place} cannot be made"))?;
    }
    sinks::read_model::migrate(&url).await?;
    Ok(())
}

async fn discard(
    servers: &ServerArguments,
    arguments: &RebuildArguments,
    definitions: &[Definition],
    output: Format,
) -> anyhow::Result<ExitCode> {
    #[derive(Serialize)]
    struct Discarded {
        projection: &'static str,
        discarded: bool,
    }
    let (pool, by) = (servers.read_model()?, reach::operator());
    let mut any = false;
    for definition in definitions {
        let projection = definition.name;
        let order = order(&by, arguments.reason.as_deref());
        let discarded = shadow::discard(&pool, projection, &order)
            .await
            .map_err(|error| copy_failed(servers, error))?;
        any |= discarded;
        match output {
            Format::Json => output::json(&Discarded {
                projection,
                discarded,
            })?,
            Format::Table if discarded => {
                output::line(format!("{projection}: the copy that was begun is gone"))?;
            }
            Format::Table => output::line(format!("{projection}: no copy was begun"))?,
        }
    }
    Ok(if any {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::NO)
    })
}

fn failed(definition: Definition, failure: &Failure) -> anyhow::Error {
    let name = definition.name;
    match failure.class() {
        RetryClass::Fatal => exit::stopped(format!(
            "{name} was not rebuilt; the live model is as it was: {}",
            failure.chain()
        )),
        RetryClass::Retry | RetryClass::Rest => anyhow::anyhow!(
            "{name} was not rebuilt; the live model is as it was, and what was built is kept. To go on from there, do it \
             again: {}",
            failure.chain()
        ),
    }
}

fn print(definition: Definition, rebuilt: &Rebuilt, output: Format) -> anyhow::Result<()> {
    let name = definition.name;
    match output {
        Format::Json => output::json(&Answer {
            projection: name,
            resumed: rebuilt.is_resumed,
            events_walked: rebuilt.walked,
            events_compared: rebuilt.compared,
            from_sequence: rebuilt.swapped.from_sequence,
            to_sequence: rebuilt.swapped.to_sequence,
            kept: rebuilt.swapped.is_kept,
            took_ms: u64::try_from(rebuilt.took.as_millis()).unwrap_or(u64::MAX),
        }),
        Format::Table => output::line(format!(
            "{name} was built anew from {} events, compared, and swapped in at sequence {} in {:.1} s{}",
            rebuilt.walked,
            rebuilt.swapped.to_sequence,
            rebuilt.took.as_secs_f64(),
            if rebuilt.swapped.is_kept {
                format!(
                    ". What was live before is kept: chronicle projection rollback {name}, or prune {name}"
                )
            } else {
                String::new()
            }
        )),
    }
}
