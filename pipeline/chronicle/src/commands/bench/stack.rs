//! The ledger that is measured: one of the bench's own, in a folder that is gone afterwards, or one that runs already.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use sqlx::postgres::{PgPool, PgPoolOptions};
use store::EventStore;
use transport::Nats;

use super::http_client::Address;
use super::pipelines::Pipelines;
use super::processes::Program;
use crate::arguments::{BenchArguments, DevArguments, Through};
use crate::commands::dev::servers::Servers;
use crate::commands::migrate;
use crate::exit;
use crate::servers_at::ServerArguments;

/// The name of the ledger's own process.
pub(super) const LEDGER: &str = "chronicle";

/// The pipelines of a ledger with one read model, as the ceiling has one.
const ONE_READ_MODEL: [&str; 2] = ["intake", "projection.account_balance"];

/// A ledger that runs.
pub(super) struct Stack {
    pub(super) nats: Nats,
    pub(super) event_store: EventStore,
    pub(super) read_model: PgPool,
    /// The HTTP API, if it is known.
    pub(super) http: Option<Address>,
    /// Tells this run from others on the same event store; 0 if there are none.
    pub(super) run: u64,
    event_store_url: String,
    read_model_url: String,
    /// What is the bench's own.
    pub(super) own: Option<Own>,
}

/// Servers and a process of the bench's own. In this order they are dropped.
pub(super) struct Own {
    pub(super) pipelines: Pipelines,
    pub(super) servers: Servers,
    folder: Folder,
}

impl Stack {
    /// The one that the URLs name, or one of the bench's own.
    pub(super) async fn start(
        given: &ServerArguments,
        arguments: &BenchArguments,
    ) -> anyhow::Result<Self> {
        let urls = (
            &given.nats_url,
            &given.event_store_url,
            &given.read_model_url,
        );
        match urls {
            (Some(_), Some(_), Some(_)) if arguments.one_read_model => Err(exit::usage(
                "--one-read-model needs a ledger of the bench's own: leave the URLs out",
            )),
            (Some(nats), Some(event_store), Some(read_model)) => {
                Self::given(given, arguments, (nats, event_store, read_model)).await
            }
            (None, _, None) if arguments.http_url.is_none() => {
                Self::own(given, arguments.one_read_model).await
            }
            (None, _, None) => Err(exit::usage(
                "--http-url is the API of a ledger that runs already: give its --nats-url, --event-store-url and \
                 --read-model-url, too",
            )),
            _ => Err(exit::usage(
                "to measure a ledger that runs already, give all of --nats-url, --event-store-url and --read-model-url (or \
                 their variables); without --nats-url and --read-model-url the bench starts servers of its own",
            )),
        }
    }

    async fn given(
        given: &ServerArguments,
        arguments: &BenchArguments,
        (_, event_store_url, read_model_url): (&str, &str, &str),
    ) -> anyhow::Result<Self> {
        let http = match (&arguments.http_url, arguments.through) {
            (Some(url), _) => Some(url.parse()?),
            (None, Through::Nats) => None,
            (None, Through::Http) => {
                return Err(exit::usage(
                    "--through http to a ledger that runs already needs its --http-url",
                ));
            }
        };
        Ok(Self {
            nats: given.nats().await?,
            event_store: given.event_store()?,
            read_model: given.read_model()?,
            http,
            run: run_of_now(),
            event_store_url: event_store_url.to_owned(),
            read_model_url: read_model_url.to_owned(),
            own: None,
        })
    }

    async fn own(given: &ServerArguments, one_read_model: bool) -> anyhow::Result<Self> {
        let folder = Folder::take(&given.data_dir)?;
        let ports = DevArguments {
            nats_port: 0,
            postgres_port: 0,
            http_port: 0,
            demo: false,
        };
        // An event store that is there may hold another run's accounts.
        let run = if given.event_store_url.is_some() {
            run_of_now()
        } else {
            0
        };
        let servers =
            Servers::start(&folder.path, &ports, given.event_store_url.as_deref()).await?;
        let folder = folder.and(servers.postgres_data());
        migrate::databases(&servers.event_store_owner, &servers.read_model, false).await?;
        let only: &[&str] = if one_read_model { &ONE_READ_MODEL } else { &[] };
        let pipelines = Pipelines::start(&servers, &folder.path, only).await?;
        let nats = Nats::connect(&servers.nats_url()).await?;
        let options = store::Options::default();
        Ok(Self {
            nats,
            event_store: EventStore::connect_lazy(&servers.event_store, &options)?,
            read_model: sinks::read_model::connect_lazy(&servers.read_model, 4)?,
            http: Some(pipelines.address.clone()),
            run,
            event_store_url: servers.event_store_owner.clone(),
            read_model_url: servers.read_model.clone(),
            own: Some(Own {
                pipelines,
                servers,
                folder,
            }),
        })
    }

    /// The programs that are known to take part, besides the bench itself.
    pub(super) fn programs(&self) -> Vec<Program> {
        let mut programs = Vec::new();
        if let Some(own) = &self.own {
            programs.push(Program::of(LEDGER, own.pipelines.pid()));
            let servers = own.servers.processes().into_iter();
            programs.extend(servers.map(|(name, pid)| Program::of(name, pid)));
        }
        programs
    }

    /// Completes with an error when the pipelines of its own have ended.
    pub(super) async fn failed(&self) -> anyhow::Error {
        match &self.own {
            Some(own) => own.pipelines.failed().await,
            None => std::future::pending().await,
        }
    }

    /// Runs all pipelines of its own in the place of some of them.
    pub(super) async fn run_all(&self) -> anyhow::Result<Option<Pipelines>> {
        let Some(own) = &self.own else {
            return Ok(None);
        };
        own.pipelines.stop().await;
        let all = Pipelines::start(&own.servers, &own.folder.path, &[]).await?;
        Ok(Some(all))
    }

    /// What the servers say of themselves.
    pub(super) async fn versions(&self) -> anyhow::Result<Versions> {
        Ok(Versions {
            nats_server: self.nats.client.server_info().version,
            event_store: describe(&self.event_store_url).await?,
            read_model: describe(&self.read_model_url).await?,
        })
    }
}

/// The versions of the servers, the databases with how durable they are.
pub(super) struct Versions {
    pub(super) nats_server: String,
    pub(super) event_store: String,
    pub(super) read_model: String,
}

async fn describe(url: &str) -> anyhow::Result<String> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(10))
        .connect(url)
        .await
        .context("a database cannot be asked for its version")?;
    let version: String = sqlx::query_scalar("SELECT version()")
        .fetch_one(&pool)
        .await?;
    // "PostgreSQL 18.1 on x86_64-pc-linux-gnu, compiled by …", "CockroachDB CCL v25.1.2 (…"
    let mut short = version.split(['(', ',']).next().unwrap_or(&version).trim();
    short = short.split(" on ").next().unwrap_or(short);
    let mut described = short.to_owned();
    if version.starts_with("PostgreSQL") {
        let settings: (String, String) = sqlx::query_as(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit')",
        )
        .fetch_one(&pool)
        .await?;
        described = format!(
            "{described}, fsync {}, synchronous_commit {}",
            settings.0, settings.1
        );
    }
    pool.close().await;
    Ok(described)
}

/// A number that no run had before.
fn run_of_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

/// The folder of a stack that is thrown away: one at a time below a data folder, for two would measure each other.
struct Folder {
    path: PathBuf,
    /// What lies elsewhere and goes with it.
    elsewhere: Option<PathBuf>,
    _lock: File,
}

impl Folder {
    fn take(data_dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(data_dir)
            .with_context(|| format!("the folder {} cannot be made", data_dir.display()))?;
        let data_dir = data_dir.canonicalize()?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .open(data_dir.join("bench.lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(exit::usage(format!(
                    "a bench runs in {} already, and two would measure each other: wait for it",
                    data_dir.display()
                )));
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        let path = data_dir.join("bench");
        // What one that was killed has left.
        if path.exists() {
            std::fs::remove_dir_all(&path)
                .with_context(|| format!("{} cannot be removed", path.display()))?;
        }
        std::fs::create_dir(&path)?;
        Ok(Self {
            path,
            elsewhere: None,
            _lock: lock,
        })
    }

    /// With PostgreSQL's data, should they lie elsewhere: in a folder of their own, one step up.
    fn and(mut self, data: &Path) -> Self {
        if !data.starts_with(&self.path) {
            self.elsewhere = data.parent().map(Path::to_owned);
        }
        self
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for path in [Some(&self.path), self.elsewhere.as_ref()]
            .into_iter()
            .flatten()
        {
            if let Err(error) = std::fs::remove_dir_all(path) {
                tracing::warn!(path = %path.display(), %error, "the bench's data stay behind");
            }
        }
    }
}
