//! The shapes of a read model's tables: their columns, constraints and indexes. A copy is made in the shape of the live
//! table, and takes its place only while both still have the same: a migration may have been applied meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{PgConnection, Row};

use super::schemas::{execute, quoted, table_in};

/// How many differences are named; of the others the number.
const NAMED_MAX: usize = 5;

/// Makes an empty table of the same columns, defaults and constraints; its other indexes are for later.
///
/// Autovacuum leaves it alone. The one that a long walk earns would come with the end of the walk, just when the tables
/// are to be locked for the swap, and whoever builds the copy vacuums it himself.
pub(super) async fn copy_shape(
    connection: &mut PgConnection,
    from: &str,
    into: &str,
    table: &str,
) -> Result<(), sqlx::Error> {
    let (original, copy) = (table_in(from, table), table_in(into, table));
    execute(
        connection,
        format!(
            "CREATE TABLE {copy} (LIKE {original} INCLUDING ALL EXCLUDING INDEXES) WITH (autovacuum_enabled = false)"
        ),
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
/// has to find them. One that PostgreSQL could not finish (`CREATE INDEX CONCURRENTLY`) is no index.
pub(super) async fn missing_indexes(
    connection: &mut PgConnection,
    from: &str,
    into: &str,
    table: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT known.relname::text AS name, indisunique AS is_unique, pg_get_indexdef(indexrelid) AS definition
         FROM pg_index JOIN pg_class AS known ON known.oid = indexrelid
         WHERE indrelid = $1::regclass AND indisvalid
            AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)
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

/// What of a table is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// What a copy has from its beginning.
    ColumnsAndConstraints,
    /// The unique indexes as well, which what is written relies on.
    UniqueIndexes,
    /// All indexes: also those that only readers need, which are made behind the walk.
    All,
}

/// How the tables of a copy differ from the live ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Differences {
    named: Vec<String>,
    /// Whether all that the copy lacks are indexes, and nothing else is different.
    are_missing_indexes: bool,
}

impl Differences {
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    pub(super) fn are_missing_indexes(&self) -> bool {
        self.are_missing_indexes
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        let words = self.named[..self.named.len().min(NAMED_MAX)].join("; ");
        match self.named.len().saturating_sub(NAMED_MAX) {
            0 => words,
            more => format!("{words}; and {more} more"),
        }
    }
}

/// Compares tables of two schemas.
pub(super) async fn differences(
    connection: &mut PgConnection,
    live: &str,
    copy: &str,
    tables: impl Iterator<Item = (&str, Compared)>,
) -> Result<Differences, sqlx::Error> {
    let mut found = Differences {
        named: Vec::new(),
        are_missing_indexes: true,
    };
    for (table, compared) in tables {
        let of_live = shape(connection, live, table, compared).await?;
        let of_copy = shape(connection, copy, table, compared).await?;
        let parts: BTreeSet<&Part> = of_live.keys().chain(of_copy.keys()).collect();
        for part in parts {
            let what = match (of_live.get(part), of_copy.get(part)) {
                (Some(one), Some(other)) if one == other => continue,
                (Some(one), Some(other)) => {
                    format!("is {one} in the live table and {other} in the copy")
                }
                (Some(one), None) => format!("({one}) is in the live table and not in the copy"),
                (None, Some(other)) => {
                    format!("({other}) is in the copy and not in the live table")
                }
                (None, None) => continue,
            };
            found.are_missing_indexes &= part.kind == "index" && !of_copy.contains_key(part);
            found
                .named
                .push(format!("table {table}: {} {} {what}", part.kind, part.name));
        }
    }
    Ok(found)
}

/// A column, a constraint or an index.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    kind: String,
    name: String,
}

/// What each part of a table is, in words that have no schema in them. Where columns stand does not matter; nor do indexes
/// that are not valid.
async fn shape(
    connection: &mut PgConnection,
    schema: &str,
    table: &str,
    compared: Compared,
) -> Result<BTreeMap<Part, String>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT 'column' AS kind, attname::text AS name, concat(
                format_type(atttypid, atttypmod),
                CASE WHEN attcollation <> 0 AND collname <> 'default' THEN ' COLLATE ' || quote_ident(collname) END,
                CASE WHEN attnotnull THEN ' NOT NULL' END,
                CASE WHEN attidentity <> '' THEN ' IDENTITY ' || attidentity::text END,
                CASE WHEN attgenerated <> '' THEN ' GENERATED ' || attgenerated::text END,
                ' DEFAULT ' || pg_get_expr(adbin, adrelid)) AS definition
         FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
            LEFT JOIN pg_collation ON pg_collation.oid = attcollation
         WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
         UNION ALL
         SELECT 'constraint', conname::text, pg_get_constraintdef(oid) FROM pg_constraint
         WHERE conrelid = $1::regclass AND contype IN ('p', 'u', 'x', 'c', 'f')
         UNION ALL
         SELECT 'index', relname::text, concat(
                CASE WHEN indisunique THEN 'UNIQUE ' END, substring(pg_get_indexdef(indexrelid) FROM ' USING (.*)$'))
         FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
         WHERE indrelid = $1::regclass AND indisvalid AND (indisunique AND $2 OR $3) AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)",
    )
    .bind(table_in(schema, table))
    .bind(compared != Compared::ColumnsAndConstraints)
    .bind(compared == Compared::All)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let part = Part {
                kind: row.try_get("kind")?,
                name: row.try_get("name")?,
            };
            Ok((part, row.try_get("definition")?))
        })
        .collect()
}
