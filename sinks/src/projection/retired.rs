//! The read model from before the last swap: kept until somebody prunes it.

use serde_json::json;
use sqlx::postgres::PgPool;
use sqlx::{PgConnection, Row};

use super::Definition;
use super::audit::{self, Action, Order};
use super::copies::Error;
use super::offset::unsigned;
use super::schemas::{execute, exists, quoted, retired_of, views_on};
use super::swap::offset;

/// The sequence up to which the earlier model has read; `None` when none is kept.
pub async fn look(pool: &PgPool, projection: &str) -> Result<Option<u64>, Error> {
    let mut connection = pool.acquire().await?;
    let schema = retired_of(projection);
    if !exists(&mut connection, &schema).await? {
        return Ok(None);
    }
    let row = offset(&mut connection, &schema, projection).await?;
    Ok(Some(unsigned(row.try_get("last_sequence")?)))
}

/// Removes the model from before the last swap. Answers with false when none is kept.
pub async fn prune(
    pool: &PgPool,
    definition: Definition,
    order: &Order<'_>,
) -> Result<bool, Error> {
    let schema = retired_of(definition.name);
    let mut transaction = pool.begin().await?;
    if !exists(&mut transaction, &schema).await? {
        return Ok(false);
    }
    remove(&mut transaction, definition, &schema).await?;
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

/// Table by table, so that a view that somebody has made on one of them is an error and does not go away with it.
pub(super) async fn remove(
    transaction: &mut PgConnection,
    definition: Definition,
    schema: &str,
) -> Result<(), Error> {
    for table in definition.tables {
        let views = views_on(transaction, schema, table).await?;
        if !views.is_empty() {
            return Err(Error::Refused(format!(
                "views read the table {table} of the earlier model ({}): remove them first",
                views.join(", ")
            )));
        }
    }
    execute(
        transaction,
        format!("DROP SCHEMA {} CASCADE", quoted(schema)),
    )
    .await?;
    Ok(())
}
