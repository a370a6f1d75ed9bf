//! PostgreSQL for tests: one shared by all tests of a process, or one of a test's own.

use std::ops::Deref;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use crate::account::Account;
use crate::error::Error;
use crate::postgres::{Options, Postgres as Server};
use crate::scratch;
use crate::server::off_thread;

/// A PostgreSQL of one's own, gone when dropped. It is a [`Postgres`](Server): `stop`, `kill`, `pause`, `restart` …
#[derive(Debug)]
pub struct Postgres {
    // Fields are dropped in this order: the server before its folder.
    server: Server,
    _folder: scratch::Folder,
}

impl Postgres {
    /// Starts one that does not wait for the disk.
    ///
    /// # Panics
    /// With the reason, when it cannot be started.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts one after `change` was made to the options.
    ///
    /// # Panics
    /// With the reason, when it cannot be started.
    pub async fn start_with(change: impl FnOnce(&mut Options) + Send + 'static) -> Self {
        needed(off_thread(move || Self::start_here(change)).await)
    }

    fn start_here(change: impl FnOnce(&mut Options)) -> Result<Self, Error> {
        let folder = scratch::Folder::create(Account::for_postgres()?.as_ref())?;
        let mut options = Options {
            durable: false,
            throwaway: true,
            connections_max: 400,
            ..Options::new(folder.path())
        };
        change(&mut options);
        Ok(Self {
            server: Server::start_here(options)?,
            _folder: folder,
        })
    }

    /// Creates an empty database, named after `prefix`, and returns its URL.
    ///
    /// # Panics
    /// With the reason, when it cannot be created.
    pub async fn fresh_database(&self, prefix: &str) -> String {
        let name = fresh_name(prefix);
        needed(self.server.create_database(&name).await);
        self.server.database_url(&name)
    }
}

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// The PostgreSQL that all tests of this process share. Not to be stopped: that is what [`Postgres`] is for.
#[derive(Debug)]
pub struct SharedPostgres {
    server: Postgres,
}

impl SharedPostgres {
    /// Creates an empty database, named after `prefix`, and returns its URL.
    ///
    /// # Panics
    /// With the reason, when it cannot be created.
    pub async fn fresh_database(&self, prefix: &str) -> String {
        self.server.fresh_database(prefix).await
    }

    /// The database that always exists, to ask about the server itself.
    pub fn url(&self) -> String {
        self.server.url()
    }
}

/// The PostgreSQL that all tests of this process share, started by the first that asks.
///
/// Roles belong to the server, not to a database: tests that create one share it.
///
/// # Panics
/// With the reason, when it cannot be started.
pub async fn postgres() -> &'static SharedPostgres {
    static SHARED: OnceLock<Result<SharedPostgres, String>> = OnceLock::new();
    let shared = off_thread(|| {
        SHARED.get_or_init(|| {
            Postgres::start_here(|_| {})
                .map(|server| SharedPostgres { server })
                .map_err(|error| error.to_string())
        })
    });
    needed(shared.await.as_ref())
}

/// A database name that nobody had before, on this server or another.
pub(super) fn fresh_name(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!(
        "{prefix}_{:x}_{:x}_{number}",
        now.as_micros(),
        std::process::id()
    )
}

fn needed<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("the test needs PostgreSQL: {error}"))
}
