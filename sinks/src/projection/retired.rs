//! The read model from before the last swap: kept until somebody prunes it.

use serde_json::json;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, PgConnection};
use store::sqlstate;

use super::Definition;
use super::audit::{self, Action, Order};
use super::copies::Error;
use super::offset::unsigned;
use super::schemas::{Home, bound_to, execute, exists, quoted, table_in};

/// The sequence up to which the earlier model has read; `None` when none is kept.
pub async fn look(pool: &PgPool, projection: &str) -> Result<Option<u64>, Error> {
    let mut connection = pool.acquire().await?;
    let schema = Home::of(&mut connection).await?.retired_of(projection)?;
    if !exists(&mut connection, &schema).await? {
        return Ok(None);
    }
    // Without a lock: whoever only looks does not wait for a swap.
    let sql = format!(
        "SELECT last_sequence FROM {} WHERE projection = $1",
        table_in(&schema, "projection_offsets")
    );
    let last_sequence = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(projection)
        .fetch_one(&mut *connection)
        .await;
    match last_sequence {
        Ok(last_sequence) => Ok(Some(unsigned(last_sequence))),
        // It was there a moment ago.
        Err(error) if sqlstate::is_missing_table(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes the model from before the last swap. Answers with false when none is kept.
pub async fn prune(
    pool: &PgPool,
    definition: Definition,
    order: &Order<'_>,
) -> Result<bool, Error> {
    let mut transaction = pool.begin().await?;
    let schema = Home::of(&mut transaction)
        .await?
        .retired_of(definition.name)?;
    if !exists(&mut transaction, &schema).await? {
        return Ok(false);
    }
    check_bound(&mut transaction, definition, &schema).await?;
    remove(&mut transaction, &schema).await?;
    let action = Action::Pruned;
    audit::record(&mut transaction, definition.name, action, order, json!({})).await?;
    transaction.commit().await?;
    Ok(true)
}

/// What stands in the way of a swap that would have to remove an earlier model.
pub fn still_kept(projection: &str) -> String {
    format!(
        "the model of {projection} from before the last swap is still kept. Go back to it (chronicle projection rollback \
         {projection}), remove it (chronicle projection prune {projection}), or say --prune-older"
    )
}

/// What somebody has bound to one of its tables, such as a view, is an error, and does not go away with it.
pub(super) async fn check_bound(
    connection: &mut PgConnection,
    definition: Definition,
    schema: &str,
) -> Result<(), Error> {
    for table in definition.tables {
        let bound = bound_to(connection, schema, table).await?;
        if !bound.is_empty() {
            return Err(Error::Refused(format!(
                "bound to the table {table} of the earlier model are: {}. They would go away with it: remove them first",
                bound.join(", ")
            )));
        }
    }
    Ok(())
}

pub(super) async fn remove(transaction: &mut PgConnection, schema: &str) -> Result<(), Error> {
    execute(
        transaction,
        format!("DROP SCHEMA {} CASCADE", quoted(schema)),
    )
    .await?;
    Ok(())
}
