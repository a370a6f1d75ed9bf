//! The schemas that copies of a read model live in, and the shapes of their tables.
//!
//! The live tables are in the schema that connections look into first (`public`, unless somebody has chosen another). A
//! copy that is being built, and the one that was live before, have a schema each.

use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};

/// The schema of the copy that is being built.
pub(super) fn shadow_of(projection: &str) -> String {
    format!("shadow_{projection}")
}

/// The schema of the copy that was live before the last swap.
pub(super) fn retired_of(projection: &str) -> String {
    format!("retired_{projection}")
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
    let options = options.options([("search_path", schema)]);
    pool.options().clone().connect_lazy_with(options)
}

/// The schema of the live tables.
pub(super) async fn home(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("SELECT current_schema()::text")
        .fetch_one(connection)
        .await
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

/// Makes an empty table of the same columns, defaults and constraints; its other indexes are for later.
pub(super) async fn copy_shape(
    connection: &mut PgConnection,
    from: &str,
    into: &str,
    table: &str,
) -> Result<(), sqlx::Error> {
    let (original, copy) = (table_in(from, table), table_in(into, table));
    execute(
        connection,
        format!("CREATE TABLE {copy} (LIKE {original} INCLUDING ALL EXCLUDING INDEXES)"),
    )
    .await?;
    let constraints = sqlx::query(
        "SELECT conname::text AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
         WHERE conrelid = $1::regclass AND contype IN ('p', 'u', 'x') ORDER BY conname",
    )
    .bind(&original)
    .fetch_all(&mut *connection)
    .await?;
    for constraint in constraints {
        let name = quoted(constraint.try_get("name")?);
        let definition: &str = constraint.try_get("definition")?;
        execute(
            connection,
            format!("ALTER TABLE {copy} ADD CONSTRAINT {name} {definition}"),
        )
        .await?;
    }
    Ok(())
}

/// The statements that give a copy those indexes of the original that it lacks, under the same names: a later migration
/// has to find them.
pub(super) async fn missing_indexes(
    connection: &mut PgConnection,
    from: &str,
    into: &str,
    table: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT known.relname::text AS name, indisunique AS is_unique, pg_get_indexdef(indexrelid) AS definition
         FROM pg_index JOIN pg_class AS known ON known.oid = indexrelid
         WHERE indrelid = $1::regclass AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)
            AND NOT EXISTS (
                SELECT 1 FROM pg_class AS copied JOIN pg_namespace ON pg_namespace.oid = copied.relnamespace
                WHERE nspname = $2 AND copied.relname = known.relname)
         ORDER BY known.relname",
    )
    .bind(table_in(from, table))
    .bind(into)
    .fetch_all(connection)
    .await?;
    let mut statements = Vec::with_capacity(rows.len());
    for row in &rows {
        let definition: &str = row.try_get("definition")?;
        // "CREATE [UNIQUE] INDEX name ON schema.table USING method (columns) …": what it is begins behind the place.
        let Some((_, what)) = definition.split_once(" USING ") else {
            continue;
        };
        let unique = if row.try_get("is_unique")? {
            "UNIQUE "
        } else {
            ""
        };
        let name = quoted(row.try_get("name")?);
        let copy = table_in(into, table);
        statements.push(format!(
            "CREATE {unique}INDEX {name} ON {copy} USING {what}"
        ));
    }
    Ok(statements)
}

/// Lets everybody read the copy who may read the original.
pub(super) async fn copy_rights(
    connection: &mut PgConnection,
    from: &str,
    into: &str,
    table: &str,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee,
            privilege_type AS privilege, is_grantable
         FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = $1::regclass AND grantee <> relowner",
    )
    .bind(table_in(from, table))
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let (grantee, privilege): (&str, &str) =
            (row.try_get("grantee")?, row.try_get("privilege")?);
        let option = if row.try_get("is_grantable")? {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        let copy = table_in(into, table);
        execute(
            connection,
            format!("GRANT {privilege} ON {copy} TO {grantee}{option}"),
        )
        .await?;
    }
    Ok(())
}

/// Views that read a table: they are bound to this very table, and would go away with it.
pub(super) async fn views_on(
    connection: &mut PgConnection,
    schema: &str,
    table: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT DISTINCT ev_class::regclass::text FROM pg_depend
         JOIN pg_rewrite ON pg_rewrite.oid = objid AND classid = 'pg_rewrite'::regclass
         WHERE refclassid = 'pg_class'::regclass AND refobjid = $1::regclass AND ev_class <> $1::regclass ORDER BY 1",
    )
    .bind(table_in(schema, table))
    .fetch_all(connection)
    .await
}
