//! `chronicle feed`: the feed as a whole.

mod abandon;
mod limits;
mod measure;
mod plan;
mod restore;
mod work;

use std::process::ExitCode;

use async_nats::jetstream::stream::Stream;
use engine::Failure;
use sinks::projection::audit::Order;
use sinks::projection::{self, Adopted};
use sqlx::PgPool;
use transport::restoring::{self, Kept};
use transport::{Nats, streams};

use crate::arguments::{FeedTask, RestoreArguments};
use crate::commands::reach;
use crate::output::Format;
use crate::servers_at::ServerArguments;

pub(crate) async fn execute(
    servers: &ServerArguments,
    task: &FeedTask,
    output: Format,
) -> anyhow::Result<ExitCode> {
    match task {
        FeedTask::Restore(arguments) if arguments.abandon => {
            abandon::execute(servers, arguments, output).await
        }
        FeedTask::Restore(arguments) => {
            Box::pin(restore::execute(servers, arguments, output)).await
        }
    }
}

/// The feed as it is now.
async fn look(nats: &Nats) -> Result<Option<Stream>, Failure> {
    streams::existing(&nats.jetstream, streams::EVENTS).await
}

/// What is kept of a feed that was removed by a restoration which died before it had made a new one. (Intake may have made
/// one meanwhile, which is not as that one was.) Nothing, if the restoration died before the removal, or had made the new one.
async fn kept(nats: &Nats, found: Option<&Stream>) -> Result<Option<Kept>, Failure> {
    if found.and_then(restoring::restoration).is_some() {
        return Ok(None);
    }
    let kept = restoring::kept(&nats.jetstream).await?;
    Ok(kept.filter(|kept| !found.is_some_and(|feed| kept.is_of(feed))))
}

/// The read model whose projections are to be told, which can be asked: this is known before anything is changed.
async fn to_be_told(
    servers: &ServerArguments,
    arguments: &RestoreArguments,
) -> anyhow::Result<Option<PgPool>> {
    if arguments.no_adopt {
        return Ok(None);
    }
    let pool = servers.read_model()?;
    projection::standings(&pool)
        .await
        .map_err(|error| reach::read_model_failed(servers, &error))?;
    Ok(Some(pool))
}

/// Tells every projection that has ever run to go on with that feed, before it is opened: until then they only wait.
async fn adopt(
    servers: &ServerArguments,
    pool: &PgPool,
    stream_id: &str,
    reason: &str,
) -> anyhow::Result<Vec<&'static str>> {
    let by = reach::operator();
    let order = Order {
        by: &by,
        reason: Some(reason),
    };
    let mut adopted = Vec::new();
    for name in projection::NAMES {
        let done = projection::adopt_stream(pool, name, stream_id, &order)
            .await
            .map_err(|error| reach::read_model_failed(servers, &error))?;
        if !matches!(done, Adopted::Unknown) {
            adopted.push(name);
        }
    }
    Ok(adopted)
}

/// Which projections go on, for people.
fn told(adopted: &[&str]) -> String {
    match adopted {
        [] => "no projection was told of it; to tell them: chronicle projection adopt-stream --all"
            .to_owned(),
        names => format!(
            "{} go on with it; start them if they have stopped",
            names.join(", ")
        ),
    }
}
