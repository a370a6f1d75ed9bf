//! The servers of the dev stack: started in the data folder, restarted when they die, stopped with the process.

use std::path::Path;
use std::time::Duration;

use servers::{Cockroach, NatsServer, Postgres};

use crate::arguments::DevArguments;
use crate::output;

/// Servers that run.
pub(crate) struct Servers {
    nats: NatsServer,
    postgres: Postgres,
    cockroach: Option<Cockroach>,
    /// The event store, as the application's role.
    pub(crate) event_store: String,
    /// The event store, as its owner.
    pub(crate) event_store_owner: String,
    /// The read model.
    pub(crate) read_model: String,
}

const EVENT_STORE: &str = "event_store";
const READ_MODEL: &str = "read_model";

impl Servers {
    /// Starts NATS, PostgreSQL and, if there is one on the PATH, CockroachDB; makes the databases.
    ///
    /// The event store is at `event_store_url` if that is given (as its owner), else on CockroachDB, else on PostgreSQL.
    pub(crate) async fn start(
        data_dir: &Path,
        arguments: &DevArguments,
        event_store_url: Option<&str>,
    ) -> anyhow::Result<Self> {
        output::say("starting NATS and PostgreSQL (the first time they may have to be fetched) …");
        let nats = NatsServer::start(servers::nats::Options {
            port: arguments.nats_port,
            ..servers::nats::Options::new(data_dir.join("nats"))
        });
        let postgres = Postgres::start(servers::postgres::Options {
            port: arguments.postgres_port,
            ..servers::postgres::Options::new(data_dir.join("postgres"))
        });
        let (nats, postgres) = tokio::try_join!(nats, postgres)?;
        postgres.create_database(READ_MODEL).await?;
        let cockroach = match event_store_url {
            Some(_) => None,
            None => cockroach(data_dir).await?,
        };
        let event_store_owner = match (event_store_url, &cockroach) {
            (Some(url), _) => {
                store::migrate::create_database(url).await?;
                url.to_owned()
            }
            (None, Some(cockroach)) => {
                cockroach.create_database(EVENT_STORE).await?;
                cockroach.database_url(EVENT_STORE)
            }
            (None, None) => {
                postgres.create_database(EVENT_STORE).await?;
                postgres.database_url(EVENT_STORE)
            }
        };
        Ok(Self {
            event_store: as_application(&event_store_owner),
            read_model: postgres.database_url(READ_MODEL),
            event_store_owner,
            nats,
            postgres,
            cockroach,
        })
    }

    /// Where NATS is.
    pub(crate) fn nats_url(&self) -> String {
        self.nats.url()
    }

    /// What runs, by the programs' names, and the process that each began with.
    pub(crate) fn processes(&self) -> Vec<(&'static str, u32)> {
        let mut processes = vec![
            ("nats-server", self.nats.pid()),
            ("postgres", self.postgres.pid()),
        ];
        processes.extend(self.cockroach.as_ref().map(|it| ("cockroach", it.pid())));
        processes
    }

    /// Where PostgreSQL's data are: not below the data folder, if root's other user cannot get there.
    pub(crate) fn postgres_data(&self) -> &Path {
        self.postgres.data_folder()
    }

    /// The database that the event store's server has beside the event store, under another name; the owner's.
    pub(crate) async fn another_database(&self, name: &str) -> anyhow::Result<String> {
        let url = with_database(&self.event_store_owner, name);
        store::migrate::create_database(&url).await?;
        Ok(url)
    }

    /// The same beside the read model.
    pub(crate) async fn another_read_model(&self, name: &str) -> anyhow::Result<String> {
        self.postgres.create_database(name).await?;
        Ok(self.postgres.database_url(name))
    }

    /// Starts a server again when it has died. Never ends.
    pub(crate) async fn keep_running(&self) {
        tokio::join!(
            keep_running("NATS", &self.nats),
            keep_running("PostgreSQL", &self.postgres),
            async {
                match &self.cockroach {
                    Some(cockroach) => keep_running("CockroachDB", cockroach).await,
                    None => std::future::pending().await,
                }
            }
        );
    }

    /// Stops all of them, the transport first.
    pub(crate) async fn stop(self) {
        self.nats.stop().await;
        self.postgres.stop().await;
        if let Some(cockroach) = self.cockroach {
            cockroach.stop().await;
        }
    }
}

async fn cockroach(data_dir: &Path) -> anyhow::Result<Option<Cockroach>> {
    let options = servers::cockroach::Options::new(data_dir.join("cockroach"));
    match Cockroach::start(options).await {
        Ok(cockroach) => Ok(Some(cockroach)),
        Err(servers::Error::NotFound { tried, .. }) => {
            // One that is there and does not do must not be passed over in silence.
            for reason in tried
                .iter()
                .filter(|reason| !reason.starts_with("the PATH"))
            {
                tracing::warn!(
                    "a cockroach was passed over, and PostgreSQL is the event store: {reason}"
                );
            }
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

async fn keep_running<P: servers::Program>(name: &str, server: &servers::Server<P>) {
    const PAUSE: Duration = Duration::from_secs(1);
    loop {
        let status = server.exited().await;
        tracing::error!(
            "{name} has died ({status}); its log is {}",
            server.log().display()
        );
        while let Err(error) = server.restart().await {
            tracing::error!("{name} does not start again: {error}");
            tokio::time::sleep(PAUSE).await;
        }
        tracing::info!("{name} runs again");
    }
}

/// The same URL for another database.
fn with_database(url: &str, name: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, format!("?{query}")),
        None => (rest, String::new()),
    };
    let authority = place.split('/').next().unwrap_or_default();
    format!("{scheme}://{authority}/{name}{query}")
}

/// The same URL for the application's role. That role has no password: where the owner needs one, the application
/// connects as the owner, which `chronicle verify` will say.
fn as_application(owner_url: &str) -> String {
    let role = store::migrate::APPLICATION_ROLE;
    let Some((scheme, rest)) = owner_url.split_once("://") else {
        return owner_url.to_owned();
    };
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (credentials, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if credentials.contains(':') {
        tracing::warn!(
            "the event store's owner has a password, and {role} has none: the application connects as the owner"
        );
        return owner_url.to_owned();
    }
    format!("{scheme}://{role}@{host}{tail}")
}

#[cfg(test)]
mod tests {
    use super::{as_application, with_database};

    #[test]
    fn another_database_is_on_the_same_server() {
        for (url, other) in [
            (
                "postgres://root@127.0.0.1:26257/db?sslmode=disable",
                "postgres://root@127.0.0.1:26257/new?sslmode=disable",
            ),
            ("postgres://localhost", "postgres://localhost/new"),
        ] {
            assert_eq!(with_database(url, "new"), other);
        }
    }

    #[test]
    fn the_application_connects_as_its_own_role() {
        for (owner, application) in [
            (
                "postgres://root@127.0.0.1:26257/db?sslmode=disable",
                "postgres://chronicle_app@127.0.0.1:26257/db?sslmode=disable",
            ),
            (
                "postgres://localhost/db",
                "postgres://chronicle_app@localhost/db",
            ),
            (
                "postgres://a:secret@localhost/db",
                "postgres://a:secret@localhost/db",
            ),
        ] {
            assert_eq!(as_application(owner), application);
        }
    }
}
