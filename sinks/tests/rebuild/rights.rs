//! What the read model's user must be allowed, and whose the tables are.

use sinks::projection::obstacles::foresee;
use sinks::projection::{Definition, Holds, shadow};
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
