//! What the read model's user must be allowed, and whose the tables are.

use sinks::projection::obstacles::foresee;
use sinks::projection::{Definition, Holds, shadow, swap};
use sqlx::postgres::PgPool;

use crate::place::{ORDER, Place};

/// A user who may read and write, and that user's connections.
async fn writer(place: &Place, name: &str) -> (String, PgPool) {
    let role = format!("{name}_{}", std::process::id());
    place.execute(&format!("CREATE ROLE {role} LOGIN")).await;
    place
        .execute(&format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
        ))
        .await;
    let (scheme, rest) = place.url.split_once("://").expect("it is a URL");
    let (_, place_of) = rest.split_once('@').expect("it has a user");
    let url = format!("{scheme}://{role}@{place_of}");
    (
        role,
        sinks::read_model::connect_lazy(&url, 2).expect("the URL is right"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_make_schemas_is_told_what_to_grant() {
    let place = Place::new().await;
    let (_, pool) = writer(&place, "writer").await;
    let definition = Definition::of::<Holds>();
    let refused = shadow::prepare(&pool, definition, "a life", 0, &ORDER)
        .await
        .unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("GRANT CREATE ON DATABASE"), "{text}");
    assert!(text.contains("permission denied for database"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_swap_needs_and_the_user_lacks_is_named_before_the_walk() {
    let place = Place::new().await;
    let (role, pool) = writer(&place, "builder").await;
    place
        .execute(&format!(
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC, {role}"
        ))
        .await;
    let database = place.url.rsplit_once('/').unwrap().1.to_owned();
    let definition = Definition::of::<Holds>();
    let refused = foresee(&pool, definition, false).await.unwrap_err();
    let text = refused.to_string();
    let remedies = [
        format!("GRANT CREATE ON SCHEMA public TO {role}"),
        format!("GRANT CREATE ON DATABASE {database} TO {role}"),
        format!("ALTER TABLE holds OWNER TO {role}"),
    ];
    for remedy in &remedies {
        assert!(text.contains(remedy.as_str()), "{remedy}\n{text}");
    }
    for remedy in &remedies {
        place.execute(remedy).await;
    }
    foresee(&pool, definition, false)
        .await
        .expect("the remedies help");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_stay_the_property_of_their_owner_whoever_builds_them_anew() {
    let place = Place::with_commands(30).await;
    let (role, _) = writer(&place, "proprietor").await;
    place
        .execute(&format!("ALTER TABLE holds OWNER TO {role}"))
        .await;
    place.live::<Holds>().await;
    place.build::<Holds>(|_| {}).await.unwrap();
    place.swap::<Holds>().await;
    let owned = format!(
        "SELECT count(*) FROM pg_tables WHERE tablename = 'holds' AND schemaname IN ('public', 'public_retired_holds')
            AND tableowner = '{role}'"
    );
    assert_eq!(place.number(&owned).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_on_columns_stay_and_those_that_were_taken_away_do_not_come_back() {
    let place = Place::with_commands(30).await;
    place.live::<Holds>().await;
    let [clerk, auditor, guest] =
        ["clerk", "auditor", "guest"].map(|name| format!("{name}_{}", std::process::id()));
    for role in [&clerk, &auditor, &guest] {
        place.execute(&format!("CREATE ROLE {role}")).await;
    }
    place
        .execute(&format!(
            "GRANT SELECT (account_id, status), UPDATE (status) ON holds TO {clerk};
             GRANT SELECT ON holds TO {auditor} WITH GRANT OPTION;
             SET ROLE {auditor}; GRANT SELECT ON holds TO {guest}; RESET ROLE"
        ))
        .await;
    let table = |role: &str| format!("has_table_privilege('{role}', 'holds', 'SELECT')");
    let column = |column: &str, what: &str| {
        format!("has_column_privilege('{clerk}', 'holds', '{column}', '{what}')")
    };
    let are = async |rights: &[String], expected: bool| {
        for right in rights {
            let found = place.number(&format!("SELECT {right}::int::bigint")).await;
            assert_eq!(found == 1, expected, "{right}");
        }
    };
    let of_columns = [column("account_id", "SELECT"), column("status", "UPDATE")];
    let never = [
        column("amount", "SELECT"),
        column("account_id", "UPDATE"),
        table(&clerk),
    ];
    place.build::<Holds>(|_| {}).await.unwrap();
    place.swap::<Holds>().await;
    are(&of_columns, true).await;
    are(&[table(&auditor), table(&guest)], true).await;
    are(&never, false).await;

    // The model from before still has it all.
    place
        .execute(&format!(
            "REVOKE UPDATE (status) ON holds FROM {clerk};
             REVOKE SELECT ON holds FROM {guest}; REVOKE SELECT ON holds FROM {auditor} CASCADE"
        ))
        .await;
    let definition = Definition::of::<Holds>();
    swap::roll_back(&place.pool, definition, &ORDER)
        .await
        .expect("nothing is in the way");
    are(&of_columns[..1], true).await;
    are(
        &[table(&auditor), table(&guest), of_columns[1].clone()],
        false,
    )
    .await;
    are(&never, false).await;
}
