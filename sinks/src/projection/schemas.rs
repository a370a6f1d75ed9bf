//! The schemas that copies of a read model live in.
//!
//! The live tables are where a connection finds them: in `public`, unless somebody has chosen another schema. A copy that
//! is being built, and the one that was live before, have a schema each, named by that of the live tables: two ledgers
//! in one database, each with a schema of its own, do not meet.

use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{AssertSqlSafe, Executor, PgConnection};

use super::copies::Error;
use crate::read_model;

/// PostgreSQL cuts longer names off (NAMEDATALEN).
const NAME_BYTES_MAX: usize = 63;

/// The schema of the live tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Home(String);

impl Home {
    /// Where this connection finds the live tables. That need not be the first schema of its search path.
    pub(super) async fn of(connection: &mut PgConnection) -> Result<Self, Error> {
        let found: Option<String> = sqlx::query_scalar(
            "SELECT nspname::text FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
             WHERE pg_class.oid = to_regclass('projection_offsets')",
        )
        .fetch_optional(connection)
        .await?;
        found.map(Self).ok_or_else(|| {
            Error::Refused(
                "the read model's tables are not there (no schema of the search path has projection_offsets): run \
                 `chronicle migrate`"
                    .to_owned(),
            )
        })
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.0
    }

    /// The schema of the copy that is being built.
    pub(super) fn shadow_of(&self, projection: &str) -> Result<String, Error> {
        self.beside("shadow", projection)
    }

    /// The schema of the copy that was live before the last swap.
    pub(super) fn retired_of(&self, projection: &str) -> Result<String, Error> {
        self.beside("retired", projection)
    }

    /// Where what is live is put while a swap makes room, within its transaction.
    pub(super) fn leaving_of(&self, projection: &str) -> Result<String, Error> {
        self.beside("leaving", projection)
    }

    fn beside(&self, what: &str, projection: &str) -> Result<String, Error> {
        let name = format!("{}_{what}_{projection}", self.0);
        if name.len() > NAME_BYTES_MAX {
            return Err(Error::Refused(format!(
                "the schema of a copy would be called {name}, which is longer than the {NAME_BYTES_MAX} bytes that PostgreSQL \
                 takes: give the schema {} of the read model a shorter name (ALTER SCHEMA … RENAME TO …, and the search_path \
                 of the URL with it)",
                self.0
            )));
        }
        Ok(name)
    }
}

/// A name as SQL takes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table of a schema as SQL takes it.
pub(super) fn table_in(schema: &str, table: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(table))
}

/// Connections like those of `pool` that see the tables of one schema and no others: whoever works on a copy that is gone
/// must fail, and not find the live tables instead.
pub(super) fn pool_in(pool: &PgPool, schema: &str) -> PgPool {
    let options = PgConnectOptions::clone(&pool.connect_options());
    let options = options.options([("search_path", quoted(schema))]);
    read_model::another_with(pool, options)
}

/// Whether there is such a schema.
pub(super) async fn exists(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)")
        .bind(schema)
        .fetch_one(connection)
        .await
}

/// Runs a statement that has no values.
pub(super) async fn execute(
    connection: &mut PgConnection,
    statement: String,
) -> Result<(), sqlx::Error> {
    connection.execute(AssertSqlSafe(statement)).await.map(drop)
}

/// Moves a table to another schema: its rows stay where they are, whatever their number.
pub(super) async fn set_schema(
    connection: &mut PgConnection,
    schema: &str,
    table: &str,
    into: &str,
) -> Result<(), sqlx::Error> {
    let table = table_in(schema, table);
    let sql = format!("ALTER TABLE {table} SET SCHEMA {}", quoted(into));
    execute(connection, sql).await
}

/// What is bound to this very table, whatever it is called, and would go away with it: views that read it, publications
/// that name it, and foreign keys of other tables. With the statements that unbind it.
pub(super) async fn bound_to(
    connection: &mut PgConnection,
    schema: &str,
    table: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT 'view ' || ev_class::regclass FROM pg_depend
         JOIN pg_rewrite ON pg_rewrite.oid = objid AND classid = 'pg_rewrite'::regclass
         WHERE refclassid = 'pg_class'::regclass AND refobjid = $1::regclass AND ev_class <> $1::regclass
         UNION
         SELECT format('publication %I (ALTER PUBLICATION %1$I DROP TABLE %s)', pubname, prrelid::regclass)
         FROM pg_publication_rel JOIN pg_publication ON pg_publication.oid = prpubid WHERE prrelid = $1::regclass
         UNION
         SELECT format('foreign key %I of %s (ALTER TABLE %2$s DROP CONSTRAINT %1$I)', conname, conrelid::regclass)
         FROM pg_constraint WHERE contype = 'f' AND confrelid = $1::regclass AND conrelid <> $1::regclass
         ORDER BY 1",
    )
    .bind(table_in(schema, table))
    .fetch_all(connection)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_named_by_the_schema_of_the_live_tables() {
        let names = |home: &str| {
            let home = Home(home.to_owned());
            (home.shadow_of("holds"), home.retired_of("holds"))
        };
        let (shadow, retired) = names("public");
        assert_eq!(shadow.ok().as_deref(), Some("public_shadow_holds"));
        assert_eq!(retired.ok().as_deref(), Some("public_retired_holds"));
        assert_eq!(names("book").0.ok().as_deref(), Some("book_shadow_holds"));
        // 50 + 13 bytes just go; PostgreSQL would cut one more off, and find another schema.
        assert!(names(&"b".repeat(50)).0.is_ok());
        let (shadow, retired) = names(&"b".repeat(51));
        for refused in [shadow, retired] {
            let refused = refused.expect_err("it is too long").to_string();
            assert!(refused.contains("63 bytes"), "{refused}");
        }
    }
}
