//! What the read model's user must be allowed.

use sinks::projection::{Definition, Holds, shadow};

use crate::place::{ORDER, Place};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_make_schemas_is_told_what_to_grant() {
    let place = Place::new().await;
    let role = format!("writer_{}", std::process::id());
    place.execute(&format!("CREATE ROLE {role} LOGIN")).await;
    place
        .execute(&format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
        ))
        .await;
    let (scheme, rest) = place.url.split_once("://").unwrap();
    let (_, place_of) = rest.split_once('@').unwrap();
    let url = format!("{scheme}://{role}@{place_of}");
    let pool = sinks::read_model::connect_lazy(&url, 2).unwrap();
    let definition = Definition::of::<Holds>();
    let refused = shadow::prepare(&pool, definition, "a life", 0, &ORDER)
        .await
        .unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("GRANT CREATE ON DATABASE"), "{text}");
    assert!(text.contains("permission denied for database"), "{text}");
}
