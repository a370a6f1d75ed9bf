//! Reaching the servers, with errors that name them: where it failed (without secrets), and what to do.

use async_nats::jetstream::stream::Stream;
use engine::Failure;
use transport::{ConnectError, Nats, restoring, shown};

use crate::exit;
use crate::servers_at::ServerArguments;

/// NATS, which must be there.
pub(super) async fn nats(servers: &ServerArguments) -> anyhow::Result<Nats> {
    let url = servers.nats_url()?;
    let place = shown(&url);
    Nats::connect(&url).await.map_err(|error| match error {
        ConnectError::Url { source, .. } => exit::usage(format!(
            "this is no URL of a NATS server: {place}; it looks like nats://127.0.0.1:4222 ({source})"
        )),
        ConnectError::Unreachable { source, .. } => {
            anyhow::anyhow!("NATS at {place} cannot be reached: {source}; check that it runs, and that its URL and credentials are right")
        }
    })
}

/// NATS did not do what it was asked for.
pub(super) fn nats_failed(servers: &ServerArguments, failure: &Failure) -> anyhow::Error {
    nats_says(servers, failure.chain())
}

/// NATS did not do what it was asked for, in these words.
pub(super) fn nats_says(servers: &ServerArguments, what: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("NATS at {}: {what}", place(servers.nats_url()))
}

/// The feed must not be in the midst of a restoration: what is there is a part of it, in another order than it will have
/// been read in, and looks like all.
pub(super) fn whole(feed: &Stream) -> anyhow::Result<()> {
    let Some(restoration) = restoring::restoration(feed) else {
        return Ok(());
    };
    Err(exit::no(format!(
        "the feed is being restored (restoration {}), and has a part of its events only. Wait until it is whole (if nobody \
         is at it any more, `chronicle feed restore` goes on), or read the event store, which has everything: `chronicle \
         history ACCOUNT`, `chronicle replay --from-event-store`",
        restoration.id
    )))
}

/// The event store could not be read. Reading changes nothing, so a lost answer means no more than that.
pub(super) fn event_store_failed(servers: &ServerArguments, error: &store::Error) -> anyhow::Error {
    let place = place(servers.event_store_url());
    match error {
        store::Error::Unavailable(source) | store::Error::Ambiguous(source) => anyhow::anyhow!(
            "the event store at {place} cannot be reached: {source}; check that it runs and that its URL is right"
        ),
        other => anyhow::anyhow!("event store at {place}: {other}"),
    }
}

/// The read model could not be read or changed.
pub(super) fn read_model_failed(servers: &ServerArguments, error: &sqlx::Error) -> anyhow::Error {
    use store::sqlstate::{Class, classify};
    let place = place(servers.read_model_url());
    match classify(error) {
        Class::Fatal | Class::Refused => anyhow::anyhow!(
            "the read model at {place} refuses to work: {error}; run `chronicle migrate` and check the user's rights"
        ),
        Class::Conflict | Class::Ambiguous | Class::Unavailable => anyhow::anyhow!(
            "the read model at {place} cannot be reached: {error}; check that it runs and that its URL is right"
        ),
    }
}

/// Where a server is, for people.
pub(super) fn place(url: anyhow::Result<String>) -> String {
    url.map_or_else(|_| "an unknown place".to_owned(), |url| shown(&url))
}

/// Who is at the keyboard, for records that name who did something.
pub(super) fn operator() -> String {
    let named = ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    named
        .filter(|name| !name.is_empty())
        .or_else(owner_of_this_process)
        .unwrap_or_else(|| "unknown".to_owned())
}

/// Containers often set no user name.
fn owner_of_this_process() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let process = std::fs::metadata("/proc/self").ok()?;
    Some(format!("uid {}", process.uid()))
}
