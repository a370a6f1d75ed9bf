//! The PostgreSQL that the peers run on: for each workload a new one of its own, in a folder that is gone afterwards, or the
//! one that `--database-url` names, in a schema that is gone afterwards.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use servers::{Postgres, postgres};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use tempfile::TempDir;

const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// Ends with the run, even if the run was broken off in the middle of a statement.
const CLEAN_LIMIT: Duration = Duration::from_secs(30);

/// Where databases come from.
#[derive(Debug)]
pub(crate) enum Databases {
    /// The one that was named; a schema in it, by a name that no run had before.
    Given {
        options: Box<PgConnectOptions>,
        schema: String,
    },
    /// A server of its own for each, below this folder.
    Own { data_dir: PathBuf },
}

/// An empty schema, until this is dropped or cleaned away.
pub(crate) struct Database {
    options: PgConnectOptions,
    // Ended by its drop.
    _own: Option<Own>,
}

impl Databases {
    pub(crate) fn new(url: Option<&str>, data_dir: &Path) -> anyhow::Result<Self> {
        let Some(url) = url else {
            return Ok(Self::Own {
                data_dir: data_dir.to_owned(),
            });
        };
        let options = url.parse().context(
            "--database-url is no URL of a PostgreSQL, as postgres://user@host/database",
        )?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.unwrap_or_default().as_micros();
        Ok(Self::Given {
            options: Box::new(options),
            schema: format!("peers_{now:x}_{:x}", std::process::id()),
        })
    }

    /// An empty one, for the next workload.
    pub(crate) async fn fresh(&self) -> anyhow::Result<Database> {
        let (options, schema, own) = match self {
            Self::Given { options, schema } => ((**options).clone(), schema.as_str(), None),
            Self::Own { data_dir } => {
                let own = Own::start(data_dir).await?;
                let url = own.server.url();
                let options = url.parse().context("the URL of the server just started")?;
                (options, "peers", Some(own))
            }
        };
        drop_schema(&options, schema).await?;
        let mut connection = connect(&options).await?;
        sqlx::query(&format!("CREATE SCHEMA {schema}"))
            .execute(&mut connection)
            .await
            .context("a schema cannot be made: the role needs CREATE on the database")?;
        connection.close().await?;
        Ok(Database {
            options: options.options([("search_path", schema)]),
            _own: own,
        })
    }

    /// Takes away what is left in a database that is not its own.
    pub(crate) async fn clean(&self) -> anyhow::Result<()> {
        let Self::Given { options, schema } = self else {
            return Ok(());
        };
        tokio::time::timeout(CLEAN_LIMIT, drop_schema(options, schema))
            .await
            .unwrap_or_else(|_| Err(anyhow::anyhow!("it took too long")))
            .with_context(|| format!("the schema {schema} stays behind: drop it yourself"))
    }
}

async fn connect(options: &PgConnectOptions) -> anyhow::Result<PgConnection> {
    tokio::time::timeout(CONNECT_LIMIT, PgConnection::connect_with(options))
        .await
        .context("the database does not answer")?
        .context("the database cannot be reached")
}

async fn drop_schema(options: &PgConnectOptions, schema: &str) -> anyhow::Result<()> {
    let mut connection = connect(options).await?;
    // "does not exist, skipping" would be told each time.
    sqlx::query("SET client_min_messages = warning")
        .execute(&mut connection)
        .await?;
    sqlx::query(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))
        .execute(&mut connection)
        .await?;
    Ok(connection.close().await?)
}

impl Database {
    /// So many connections, which are there already and are not asked whether they live before each use.
    pub(crate) async fn pool(&self, connections: usize) -> anyhow::Result<PgPool> {
        let connections = u32::try_from(connections)?;
        PgPoolOptions::new()
            .min_connections(connections)
            .max_connections(connections)
            .test_before_acquire(false)
            .acquire_timeout(CONNECT_LIMIT)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(self.options.clone())
            .await
            .with_context(|| format!("{connections} connections to the database"))
    }

    /// What the server says of itself.
    pub(crate) async fn describe(&self) -> anyhow::Result<String> {
        let mut connection = connect(&self.options).await?;
        let (version, fsync, commit): (String, String, String) = sqlx::query_as(
            "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')",
        )
        .fetch_one(&mut connection)
        .await?;
        connection.close().await?;
        Ok(format!(
            "PostgreSQL {version}, fsync {fsync}, synchronous_commit {commit}"
        ))
    }
}

/// A server, and its data. In this order they are dropped.
struct Own {
    server: Postgres,
    _folder: Folder,
}

impl Own {
    /// With the settings of the servers of `chronicle dev` and `chronicle bench`: commits wait for the disk.
    async fn start(data_dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(data_dir)
            .with_context(|| format!("the folder {} cannot be made", data_dir.display()))?;
        let folder = tempfile::Builder::new()
            .prefix("peers-")
            .tempdir_in(data_dir.canonicalize()?)
            .with_context(|| format!("no folder can be made in {}", data_dir.display()))?;
        let server = Postgres::start(postgres::Options {
            throwaway: true,
            ..postgres::Options::new(folder.path())
        })
        .await?;
        // Root's data may lie elsewhere, in a folder of their own, one step up.
        let data = server.data_folder();
        let elsewhere = (!data.starts_with(folder.path()))
            .then(|| data.parent().map(Path::to_owned))
            .flatten();
        Ok(Self {
            _folder: Folder {
                _here: folder,
                elsewhere,
            },
            server,
        })
    }
}

struct Folder {
    // Removes itself.
    _here: TempDir,
    elsewhere: Option<PathBuf>,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(path) = &self.elsewhere
            && let Err(error) = std::fs::remove_dir_all(path)
        {
            eprintln!("{} stays behind: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn schemas(url: &str) -> i64 {
        let mut connection = connect(&url.parse().unwrap()).await.unwrap();
        sqlx::query_scalar(
            "SELECT count(*) FROM information_schema.schemata WHERE schema_name LIKE 'peers%'",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn nothing_is_left_in_a_database_that_was_named() {
        let url = servers::testing::postgres()
            .await
            .fresh_database("named")
            .await;
        let databases = Databases::new(Some(&url), Path::new("/nowhere")).unwrap();
        for _ in 0..2 {
            let pool = databases.fresh().await.unwrap().pool(1).await.unwrap();
            sqlx::query("CREATE TABLE accounts (account_id text)")
                .execute(&pool)
                .await
                .unwrap();
            pool.close().await;
        }
        assert_eq!(schemas(&url).await, 1);
        databases.clean().await.unwrap();
        assert_eq!(schemas(&url).await, 0);
    }
}
