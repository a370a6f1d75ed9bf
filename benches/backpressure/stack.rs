//! The servers and the two processes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, bail};
use servers::{Proxy, testing};
use sqlx::postgres::{PgPool, PgPoolOptions};
use tempfile::TempDir;
use transport::Nats;

use crate::options::Options;
use crate::process::{self, Process, Urls};

/// The read model whose line is throttled.
pub(crate) const THROTTLED: &str = "transactions";
/// All others.
pub(crate) const OTHERS: [&str; 4] = ["account_balance", "transfers", "holds", "daily_totals"];
/// A connection that is looked through waits so long; what is away is looked at again a moment later.
const LOOK_WITHIN: Duration = Duration::from_millis(500);

/// Everything that runs. Dropped in this order.
pub(crate) struct Stack {
    /// Intake, and all read models but one.
    pub(crate) main: Process,
    /// The one that is left.
    pub(crate) throttled: Process,
    /// In front of the read models' PostgreSQL, for the one that is left.
    pub(crate) proxy: Proxy,
    pub(crate) nats: testing::Nats,
    pub(crate) event_store: testing::Postgres,
    pub(crate) read_models: testing::Postgres,
    /// To look with: as the owner, and not through the proxy.
    pub(crate) event_store_pool: PgPool,
    pub(crate) read_model_pool: PgPool,
    pub(crate) client: Nats,
    urls: Urls,
    folder: TempDir,
}

/// What the servers say that they are.
pub(crate) struct Programs {
    pub(crate) nats_server: String,
    pub(crate) event_store: String,
    pub(crate) read_models: String,
}

impl Stack {
    pub(crate) async fn start(options: &Options) -> anyhow::Result<Self> {
        let (nats, event_store, read_models) =
            tokio::join!(testing::Nats::start(), durable(), durable());
        let folder = tempfile::tempdir()?;
        let owner = event_store.fresh_database("event_store").await;
        let read_model = read_models.fresh_database("read_model").await;
        let urls = Urls {
            nats: nats.url(),
            event_store: owner.replace(servers::postgres::OWNER, store::migrate::APPLICATION_ROLE),
            read_model: read_model.clone(),
        };
        let words = ["migrate", "--event-store-owner-url", &owner];
        let migrated = run(&urls, folder.path(), &words).await?;
        if !migrated.status.success() {
            bail!(
                "chronicle migrate: {}",
                String::from_utf8_lossy(&migrated.stderr)
            );
        }
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, read_models.port()));
        let proxy = Proxy::start(target).await?;
        let through_proxy = Urls {
            nats: urls.nats.clone(),
            event_store: urls.event_store.clone(),
            read_model: read_model.replace(
                &format!(":{}/", read_models.port()),
                &format!(":{}/", proxy.port()),
            ),
        };
        let rest: Vec<String> = ["intake".to_owned(), "expiry".to_owned()]
            .into_iter()
            .chain(OTHERS.map(|name| format!("projection.{name}")))
            .collect();
        let (rest, one) = (flags(options, &rest), format!("projection.{THROTTLED}"));
        let one = flags(options, &[one]);
        let (main, throttled) = tokio::try_join!(
            Process::start(&urls, folder.path(), "main", &rest),
            Process::start(&through_proxy, folder.path(), "throttled", &one),
        )?;
        Ok(Self {
            client: Nats::connect(&nats.url()).await?,
            event_store_pool: look(&owner)?,
            read_model_pool: look(&read_model)?,
            main,
            throttled,
            proxy,
            nats,
            event_store,
            read_models,
            urls,
            folder,
        })
    }

    /// Runs a subcommand to its end.
    pub(crate) async fn chronicle(&self, words: &[&str]) -> anyhow::Result<Output> {
        run(&self.urls, self.folder.path(), words).await
    }

    /// An error if one of the processes has ended.
    pub(crate) fn must_run(&self) -> anyhow::Result<()> {
        self.main.must_run()?;
        self.throttled.must_run()
    }

    /// Stops the processes in order.
    pub(crate) async fn stop(&self) -> anyhow::Result<()> {
        tokio::try_join!(self.main.stop(), self.throttled.stop())?;
        Ok(())
    }

    pub(crate) async fn programs(&self) -> anyhow::Result<Programs> {
        Ok(Programs {
            nats_server: self.client.client.server_info().version,
            event_store: version(&self.event_store_pool).await?,
            read_models: version(&self.read_model_pool).await?,
        })
    }
}

/// A PostgreSQL that keeps what it has committed.
async fn durable() -> testing::Postgres {
    testing::Postgres::start_with(|options| options.durable = true).await
}

/// Which pipelines a process runs, within which limits.
fn flags(options: &Options, pipelines: &[String]) -> Vec<String> {
    let mut flags: Vec<String> = pipelines
        .iter()
        .flat_map(|name| ["--only".to_owned(), name.clone()])
        .collect();
    let limits = [
        ("--commands-waiting-max", options.commands_waiting_max()),
        ("--credit", options.credit()),
        ("--batch-max", options.batch_max()),
    ];
    flags.extend(
        limits
            .iter()
            .flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]),
    );
    flags
}

fn look(url: &str) -> anyhow::Result<PgPool> {
    Ok(PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(LOOK_WITHIN)
        .connect_lazy(url)?)
}

async fn run(urls: &Urls, folder: &Path, words: &[&str]) -> anyhow::Result<Output> {
    let mut command = tokio::process::Command::from(process::command(urls, folder));
    command.args(words).kill_on_drop(true);
    let output = command.output().await;
    output.with_context(|| format!("chronicle {words:?} cannot be started"))
}

async fn version(pool: &PgPool) -> anyhow::Result<String> {
    let (version, fsync, commit): (String, String, String) = sqlx::query_as(
        "SELECT version(), current_setting('fsync'), current_setting('synchronous_commit')",
    )
    .fetch_one(pool)
    .await?;
    // "PostgreSQL 18.1 on x86_64-pc-linux-gnu, compiled by …"
    let short = version.split(" on ").next().unwrap_or(&version);
    Ok(format!(
        "{short}, fsync {fsync}, synchronous_commit {commit}"
    ))
}
