//! What stands in the way of a swap: looked at before a copy is built, and by the swap itself.
//!
//! A copy may take hours. What can be known at its beginning is refused there.

use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, PgConnection};

use super::copies::Error;
use super::schemas::{Home, bound_to, exists, table_in};
use super::shapes::{Compared, Differences, differences};
use super::{Definition, retired, rights, shadow};

/// The tables that a copy has besides the projection's own, as the code reads them.
pub(super) const BOOKKEEPING: [&str; 2] = ["projection_offsets", "projection_versions"];

/// Refuses what the swap at the end of a rebuild would refuse if it were made now. Changes nothing.
pub async fn foresee(
    pool: &PgPool,
    definition: Definition,
    prune_older: bool,
) -> Result<(), Error> {
    let mut connection = pool.acquire().await?;
    let home = Home::of(&mut connection).await?;
    tables(&mut connection, &home, definition).await?;
    rights::for_a_swap(&mut connection, &home, definition).await?;
    bound(&mut connection, &home, definition).await?;
    foreign_keys(&mut connection, &home, definition).await?;
    begun(&mut connection, &home, definition).await?;
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM {} WHERE projection = $1)",
        table_in(home.name(), "projection_offsets")
    );
    let has_run: bool = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(definition.name)
        .fetch_one(&mut *connection)
        .await?;
    if has_run {
        room(&mut connection, &home, definition, prune_older).await?;
    }
    Ok(())
}

/// All of the projection's tables must lie in one schema.
async fn tables(
    connection: &mut PgConnection,
    home: &Home,
    definition: Definition,
) -> Result<(), Error> {
    let missing: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM unnest($2::text[]) AS name WHERE NOT EXISTS (
            SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = name)",
    )
    .bind(home.name())
    .bind(definition.tables)
    .fetch_all(connection)
    .await?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "the schema {}, where the read model lies, does not have {} of {}: run `chronicle migrate`",
        home.name(),
        missing.join(", "),
        definition.name
    )))
}

/// What is bound to the live tables would stay with them.
pub(super) async fn bound(
    connection: &mut PgConnection,
    home: &Home,
    definition: Definition,
) -> Result<(), Error> {
    for table in definition.tables {
        let bound = bound_to(connection, home.name(), table).await?;
        if !bound.is_empty() {
            return Err(Error::Refused(format!(
                "bound to the table {table} are: {}. They would stay with the one that leaves: remove them, and make them \
                 anew afterwards",
                bound.join(", ")
            )));
        }
    }
    Ok(())
}

/// Of what the live tables may have, foreign keys alone are not copied.
async fn foreign_keys(
    connection: &mut PgConnection,
    home: &Home,
    definition: Definition,
) -> Result<(), Error> {
    let mut found = Vec::new();
    for table in definition.tables {
        let of_table: Vec<String> = sqlx::query_scalar(
            "SELECT format('table %s: constraint %s (%s)', $2::text, conname, pg_get_constraintdef(oid))
             FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'f' ORDER BY conname",
        )
        .bind(table_in(home.name(), table))
        .bind(table)
        .fetch_all(&mut *connection)
        .await?;
        found.extend(of_table);
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(not_copied(definition.name, &found.join("; ")))
}

/// A copy that was begun before must be one that can be gone on with. One of an older definition is removed.
async fn begun(
    connection: &mut PgConnection,
    home: &Home,
    definition: Definition,
) -> Result<(), Error> {
    let Some(found) = shadow::look_over(connection, home, definition.name).await? else {
        return Ok(());
    };
    check_definition(&found, definition)?;
    if found.definition == definition.version {
        let compared = Compared::ColumnsAndConstraints;
        shape_of_shadow(connection, home, definition, compared).await?;
    }
    Ok(())
}

/// Refuses a copy that a newer program builds.
pub(super) fn check_definition(found: &shadow::Found, definition: Definition) -> Result<(), Error> {
    if found.definition <= definition.version {
        return Ok(());
    }
    let projection = definition.name;
    Err(Error::Refused(format!(
        "a copy of {projection} is being built by a newer program, for definition {}; this one makes {}. Leave it to that, \
         or remove the copy: chronicle projection rebuild {projection} --discard",
        found.definition, definition.version
    )))
}

/// There is one earlier model at most. Answers with its schema when it has to be removed.
pub(super) async fn room(
    connection: &mut PgConnection,
    home: &Home,
    definition: Definition,
    prune_older: bool,
) -> Result<Option<String>, Error> {
    let schema = home.retired_of(definition.name)?;
    if !exists(connection, &schema).await? {
        return Ok(None);
    }
    if !prune_older {
        return Err(Error::Refused(retired::still_kept(definition.name)));
    }
    retired::check_bound(connection, definition, &schema).await?;
    Ok(Some(schema))
}

/// A copy that is being built must have the shape of the live tables.
pub(super) async fn shape_of_shadow(
    connection: &mut PgConnection,
    home: &Home,
    definition: Definition,
    compared: Compared,
) -> Result<(), Error> {
    let name = definition.name;
    let found = shape(
        connection,
        home,
        &home.shadow_of(name)?,
        definition,
        compared,
    )
    .await?;
    if found.is_empty() {
        return Ok(());
    }
    let remedy = if found.are_missing_indexes() {
        "Give the command again: it goes on with this copy, and makes the indexes that it lacks"
            .to_owned()
    } else {
        format!(
            "Remove the copy (chronicle projection rebuild {name} --discard), and build another"
        )
    };
    Err(Error::Refused(format!(
        "the copy of {name} has another shape than the live tables: {}. A migration was applied since the copy was begun. \
         Nothing was changed. {remedy}",
        found.words()
    )))
}

/// A copy that was just made has the shape of the live tables, unless they have something that is not copied: that is found
/// now, and not when all is built.
pub(super) async fn shape_was_copied(
    connection: &mut PgConnection,
    home: &Home,
    definition: Definition,
) -> Result<(), Error> {
    let (name, compared) = (definition.name, Compared::ColumnsAndConstraints);
    let schema = home.shadow_of(name)?;
    let found = shape(connection, home, &schema, definition, compared).await?;
    if found.is_empty() {
        return Ok(());
    }
    Err(not_copied(name, &found.words()))
}

fn not_copied(name: &str, what: &str) -> Error {
    Error::Refused(format!(
        "the live tables of {name} have what a copy would not have: {what}. Nothing was changed. Remove it from the live \
         table: each read model stands alone"
    ))
}

/// So must one that was live before, except that it may lack indexes that only readers need: whoever goes back is in a
/// hurry, and they can be made afterwards.
pub(super) async fn shape_of_retired(
    connection: &mut PgConnection,
    home: &Home,
    definition: Definition,
) -> Result<(), Error> {
    let (name, schema) = (definition.name, home.retired_of(definition.name)?);
    let found = shape(
        connection,
        home,
        &schema,
        definition,
        Compared::UniqueIndexes,
    )
    .await?;
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "the model of {name} from before the last swap (the copy here) has another shape than the live tables: {}. A migration \
         was applied since that swap. Nothing was changed. Make the same changes to the tables of the schema {schema}, and give \
         the command again; or build the model anew: chronicle projection rebuild {name} --prune-older",
        found.words()
    )))
}

async fn shape(
    connection: &mut PgConnection,
    home: &Home,
    copy: &str,
    definition: Definition,
    compared: Compared,
) -> Result<Differences, sqlx::Error> {
    let own = definition.tables.iter().map(|table| (*table, compared));
    let bookkeeping = BOOKKEEPING.map(|table| (table, Compared::ColumnsAndConstraints));
    let tables = own.chain(bookkeeping);
    differences(connection, home.name(), copy, tables).await
}
