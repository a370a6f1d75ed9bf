//! `chronicle dev`: servers, tables, intake and projections on this machine, in one process that cleans up after itself.

mod demo;
pub(crate) mod servers;

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio_util::sync::CancellationToken;

use crate::arguments::{Arguments, DevArguments, RunArguments, Task};
use crate::health::Health;
use crate::http;
use crate::run::{self, Running, Urls};
use crate::servers_at::{ServerArguments, Stack};
use crate::{exit, output};

use self::servers::Servers;

pub(crate) async fn execute(
    given: &ServerArguments,
    arguments: &DevArguments,
) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&given.data_dir)
        .with_context(|| format!("the folder {} cannot be made", given.data_dir.display()))?;
    let data_dir = given.data_dir.canonicalize()?;
    let _lock = lock(&data_dir)?;

    let stop = run::stop_signal();
    let started = async {
        let servers =
            Servers::start(&data_dir, arguments, given.event_store_url.as_deref()).await?;
        super::migrate::databases(&servers.event_store_owner, &servers.read_model, false).await?;
        anyhow::Ok(servers)
    };
    let servers = tokio::select! {
        servers = started => servers?,
        () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.http_port));
    let listener = http::listen(address).await?;
    let stack = Stack {
        pid: std::process::id(),
        nats: servers.nats_url(),
        event_store: servers.event_store.clone(),
        event_store_owner: servers.event_store_owner.clone(),
        read_model: servers.read_model.clone(),
        http: format!("http://{}", listener.local_addr()?),
        data_dir: data_dir.clone(),
    };

    let shutdown = CancellationToken::new();
    let urls = Urls {
        nats: &stack.nats,
        event_store: &stack.event_store,
        read_model: &stack.read_model,
    };
    let RunArguments { tuning, api, .. } = defaults();
    let parts = run::parts(&urls, &tuning).await?;
    let access = run::access(address, &api)?;
    let mut running = Running::start(&parts, &[], &shutdown)?;
    let serving = CancellationToken::new();
    let (health, routes) = run::api(&urls, &parts, &running, &access, &api, &serving)?;
    let served = tokio::spawn(http::serve(listener, routes, serving.clone()));
    publish(&stack)?;

    let greeting = tokio::spawn(greet(stack.clone(), health, arguments.demo));
    let ended = tokio::select! {
        ended = running.ended() => ended,
        () = servers.keep_running() => Ok(()),
        () = stop.cancelled() => Ok(()),
    };
    greeting.abort();
    shutdown.cancel();
    let drained = running.ended().await;
    serving.cancel();
    let _ = served.await;
    let _ = std::fs::remove_file(Stack::file(&data_dir));
    servers.stop().await;
    ended.and(drained)?;
    Ok(ExitCode::SUCCESS)
}

/// Held until the process ends, however it ends: one stack per folder, and `chronicle status` can tell that it runs.
fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = Stack::lock_file(data_dir);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .read(true)
        .open(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(exit::usage(format!(
            "a stack runs in {} already; see `chronicle status`, or give another --data-dir",
            data_dir.display()
        ))),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

/// Writes the stack's description where the other subcommands look for it.
fn publish(stack: &Stack) -> anyhow::Result<()> {
    let path = Stack::file(&stack.data_dir);
    let fresh = path.with_extension("json.new");
    let _ = std::fs::remove_file(&fresh);
    // The URLs may hold a password.
    let mut file = File::options()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(&serde_json::to_vec_pretty(stack)?)?;
    std::fs::rename(&fresh, &path)?;
    Ok(())
}

/// The defaults of `chronicle run`, and what its environment variables say.
fn defaults() -> RunArguments {
    let Task::Run(run) = Arguments::parse_from(["chronicle", "run"]).task else {
        unreachable!("these arguments say `run`");
    };
    run
}

/// Says where everything is, once it is ready.
async fn greet(stack: Stack, health: Health, demo: bool) {
    while !health.is_ready().await {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let text = format!(
        "\nThe ledger is ready.\n\n  NATS         {}\n  event store  {}\n  read model   {}\n  HTTP API     {}/docs\n  data         {}\n\n\
         Try, in another terminal in this folder:\n\n  \
         chronicle send create-account ALICE --owner-name \"Alice\" --currency USD --initial-balance 100\n  \
         chronicle send withdraw ALICE 30\n  \
         chronicle history ALICE\n  \
         chronicle verify\n\n\
         (chronicle is target/release/chronicle, or `cargo run --release --`.) Ctrl-C stops everything; the data stays.\n",
        stack.nats,
        stack.event_store,
        stack.read_model,
        stack.http,
        stack.data_dir.display()
    );
    if output::line(text).is_err() {
        return;
    }
    if demo && let Err(error) = demo::play(&stack).await {
        tracing::warn!("the demo has stopped: {error:#}");
    }
}
