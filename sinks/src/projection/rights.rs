//! Who may do what with the tables of a read model: what a swap needs, and what a copy takes over from the live table.

use sqlx::{PgConnection, Row};

use super::Definition;
use super::copies::Error;
use super::schemas::{Home, execute, table_in};

/// Refuses with all that the user may not do and a swap needs.
pub(super) async fn for_a_swap(
    connection: &mut PgConnection,
    home: &Home,
    definition: Definition,
) -> Result<(), Error> {
    let mut lacking: Vec<String> = sqlx::query_scalar(
        "SELECT format('it may not make tables in the schema %I (GRANT CREATE ON SCHEMA %1$I TO %I)', $1::text, current_user)
         WHERE NOT has_schema_privilege($1::text, 'CREATE')
         UNION ALL
         SELECT format('it may not make schemas (GRANT CREATE ON DATABASE %I TO %I)', current_database(), current_user)
         WHERE NOT has_database_privilege(current_database(), 'CREATE')
         UNION ALL
         SELECT format('the schema %I is not its own (ALTER SCHEMA %1$I OWNER TO %I)', nspname, current_user)
         FROM pg_namespace WHERE nspname = ANY ($2) AND NOT pg_has_role(nspowner, 'USAGE')",
    )
    .bind(home.name())
    .bind(vec![
        home.shadow_of(definition.name)?,
        home.retired_of(definition.name)?,
    ])
    .fetch_all(&mut *connection)
    .await?;
    for table in definition.tables {
        let of_table: Vec<String> = sqlx::query_scalar(
            "SELECT format('the table %s is not its own (ALTER TABLE %1$s OWNER TO %I)', oid::regclass, current_user)
             FROM pg_class WHERE oid = $1::regclass AND NOT pg_has_role(relowner, 'USAGE')
             UNION ALL
             SELECT format('%I, who owns the table %s, may not make tables in the schema %I (GRANT CREATE ON SCHEMA %3$I TO %1$I)',
                pg_get_userbyid(relowner), oid::regclass, $2::text)
             FROM pg_class WHERE oid = $1::regclass AND pg_get_userbyid(relowner) <> current_user
                AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
                AND NOT has_schema_privilege(relowner, $2::text, 'CREATE')",
        )
        .bind(table_in(home.name(), table))
        .bind(home.name())
        .fetch_all(&mut *connection)
        .await?;
        lacking.extend(of_table);
    }
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "the read model's user lacks rights that a swap needs: {}. Nothing was changed; give them, as the owner or a superuser, \
         and give the command again",
        lacking.join("; ")
    )))
}

/// Whoever may do something with the original or a column of it, and nobody else, may do the same with the copy. It has to
/// be its owner's already: an owner's own rights are not in question.
pub(super) async fn copy_rights(
    connection: &mut PgConnection,
    from: &str,
    into: &str,
    table: &str,
) -> Result<(), sqlx::Error> {
    const RIGHTS: &str = "SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee,
            privilege_type || what AS privilege, is_grantable
         FROM (
            SELECT relowner, relacl AS acl, '' AS what FROM pg_class WHERE oid = $1::regclass
            UNION ALL
            SELECT relowner, attacl, format(' (%I)', attname) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
         ) AS lists, aclexplode(acl) WHERE grantee <> relowner";
    let copy = table_in(into, table);
    let had = sqlx::query(RIGHTS)
        .bind(&copy)
        .fetch_all(&mut *connection)
        .await?;
    for row in had {
        // With what was granted on from there, and with the rights on columns.
        let grantee: &str = row.try_get("grantee")?;
        let sql = format!("REVOKE ALL ON {copy} FROM {grantee} CASCADE");
        execute(connection, sql).await?;
    }
    let rows = sqlx::query(RIGHTS)
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
        execute(
            connection,
            format!("GRANT {privilege} ON {copy} TO {grantee}{option}"),
        )
        .await?;
    }
    Ok(())
}

/// The copy becomes the property of whoever owns the original: another user may have built it.
pub(super) async fn copy_owner(
    connection: &mut PgConnection,
    from: &str,
    into: &str,
    table: &str,
) -> Result<(), sqlx::Error> {
    let (original, copy) = (table_in(from, table), table_in(into, table));
    let owner: Option<String> = sqlx::query_scalar(
        "SELECT quote_ident(pg_get_userbyid(original.relowner)) FROM pg_class AS original, pg_class AS copy
         WHERE original.oid = $1::regclass AND copy.oid = $2::regclass AND original.relowner <> copy.relowner",
    )
    .bind(original)
    .bind(&copy)
    .fetch_optional(&mut *connection)
    .await?;
    match owner {
        Some(owner) => execute(connection, format!("ALTER TABLE {copy} OWNER TO {owner}")).await,
        None => Ok(()),
    }
}

/// The copy gets the storage parameters of the original, and no others: what an operator has set stays, and autovacuum,
/// which was off for the copy, looks after it from now on.
pub(super) async fn copy_settings(
    connection: &mut PgConnection,
    from: &str,
    into: &str,
    table: &str,
) -> Result<(), sqlx::Error> {
    const SETTINGS: &str =
        "SELECT quote_ident(option_name) AS name, quote_literal(option_value) AS value
         FROM pg_class, pg_options_to_table(reloptions) WHERE oid = $1::regclass
         UNION ALL
         SELECT 'toast.' || quote_ident(option_name), quote_literal(option_value)
         FROM pg_class AS main JOIN pg_class AS toast ON toast.oid = main.reltoastrelid,
            pg_options_to_table(toast.reloptions)
         WHERE main.oid = $1::regclass";
    let (original, copy) = (table_in(from, table), table_in(into, table));
    for (of, change) in [(&copy, "RESET"), (&original, "SET")] {
        let rows = sqlx::query(SETTINGS)
            .bind(of)
            .fetch_all(&mut *connection)
            .await?;
        let mut settings = Vec::with_capacity(rows.len());
        for row in &rows {
            let (name, value): (&str, &str) = (row.try_get("name")?, row.try_get("value")?);
            settings.push(match change {
                "SET" => format!("{name} = {value}"),
                _ => name.to_owned(),
            });
        }
        if !settings.is_empty() {
            let sql = format!("ALTER TABLE {copy} {change} ({})", settings.join(", "));
            execute(connection, sql).await?;
        }
    }
    Ok(())
}
