//! Where the servers are: by flag, by environment, or from a dev stack that runs in this folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPool;
use store::EventStore;
use transport::Nats;

use crate::exit;

/// Flags that name the servers.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArguments {
    /// NATS, e.g. nats://127.0.0.1:4222
    #[arg(
        long,
        env = "CHRONICLE_NATS_URL",
        value_name = "URL",
        global = true,
        help_heading = "Servers",
        hide_env_values = true
    )]
    pub(crate) nats_url: Option<String>,
    /// The event store, e.g. postgres://chronicle_app@127.0.0.1:26257/event_store
    #[arg(
        long,
        env = "CHRONICLE_EVENT_STORE_URL",
        value_name = "URL",
        global = true,
        help_heading = "Servers",
        hide_env_values = true
    )]
    pub(crate) event_store_url: Option<String>,
    /// The read model, e.g. postgres://user@127.0.0.1:5432/read_model
    #[arg(
        long,
        env = "CHRONICLE_READ_MODEL_URL",
        value_name = "URL",
        global = true,
        help_heading = "Servers",
        hide_env_values = true
    )]
    pub(crate) read_model_url: Option<String>,
    /// The folder of a dev stack, whose servers are used where no URL is given
    #[arg(
        long,
        env = "CHRONICLE_DATA_DIR",
        value_name = "DIR",
        default_value = ".chronicle",
        global = true,
        help_heading = "Servers"
    )]
    pub(crate) data_dir: PathBuf,
}

/// What a running dev stack says of itself, in `<data-dir>/stack.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stack {
    /// The process that runs it.
    pub(crate) pid: u32,
    /// Its folder, absolute.
    pub(crate) data_dir: PathBuf,
    /// NATS.
    pub(crate) nats: String,
    /// The event store, as the application's role.
    pub(crate) event_store: String,
    /// The event store, as its owner.
    pub(crate) event_store_owner: String,
    /// The read model.
    pub(crate) read_model: String,
    /// Liveness, readiness and (later) the API.
    pub(crate) http: String,
}

impl Stack {
    /// Where a stack in `data_dir` describes itself.
    pub(crate) fn file(data_dir: &Path) -> PathBuf {
        data_dir.join("stack.json")
    }

    /// The file that a running stack holds locked: a lock ends with its process, however that dies.
    pub(crate) fn lock_file(data_dir: &Path) -> PathBuf {
        data_dir.join("stack.lock")
    }

    /// The stack that runs in `data_dir`, if one does.
    pub(crate) fn running_in(data_dir: &Path) -> Option<Self> {
        let lock = std::fs::File::open(Self::lock_file(data_dir)).ok()?;
        match lock.try_lock_shared() {
            Err(std::fs::TryLockError::WouldBlock) => {}
            Ok(()) | Err(std::fs::TryLockError::Error(_)) => return None,
        }
        serde_json::from_slice(&std::fs::read(Self::file(data_dir)).ok()?).ok()
    }
}

impl ServerArguments {
    fn find(
        &self,
        given: Option<&String>,
        of_stack: fn(Stack) -> String,
        name: &str,
        flag: &str,
        env: &str,
    ) -> anyhow::Result<String> {
        if let Some(url) = given {
            return Ok(url.clone());
        }
        match Stack::running_in(&self.data_dir) {
            Some(stack) => Ok(of_stack(stack)),
            None => Err(exit::usage(format!(
                "no {name} is known: give --{flag} or set {env}, or start a stack here with `chronicle dev` (looked in {})",
                self.data_dir.display()
            ))),
        }
    }

    /// The URL of NATS.
    pub(crate) fn nats_url(&self) -> anyhow::Result<String> {
        self.find(
            self.nats_url.as_ref(),
            |stack| stack.nats,
            "NATS",
            "nats-url",
            "CHRONICLE_NATS_URL",
        )
    }

    /// The URL of the event store.
    pub(crate) fn event_store_url(&self) -> anyhow::Result<String> {
        self.find(
            self.event_store_url.as_ref(),
            |stack| stack.event_store,
            "event store",
            "event-store-url",
            "CHRONICLE_EVENT_STORE_URL",
        )
    }

    /// The URL of the read model.
    pub(crate) fn read_model_url(&self) -> anyhow::Result<String> {
        self.find(
            self.read_model_url.as_ref(),
            |stack| stack.read_model,
            "read model",
            "read-model-url",
            "CHRONICLE_READ_MODEL_URL",
        )
    }

    /// A connection to NATS, which must be there.
    pub(crate) async fn nats(&self) -> anyhow::Result<Nats> {
        Ok(Nats::connect(&self.nats_url()?).await?)
    }

    /// The event store; fails when it is first used if it is not there.
    pub(crate) fn event_store(&self) -> anyhow::Result<EventStore> {
        let options = store::Options {
            connect_timeout: Duration::from_secs(5),
            ..store::Options::default()
        };
        Ok(EventStore::connect_lazy(
            &self.event_store_url()?,
            &options,
        )?)
    }

    /// The read model; fails when it is first used if it is not there.
    pub(crate) fn read_model(&self) -> anyhow::Result<PgPool> {
        Ok(sinks::read_model::connect_lazy(&self.read_model_url()?, 4)?)
    }
}
