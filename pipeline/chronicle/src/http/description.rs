//! What the API says of itself: OpenAPI for the routes, AsyncAPI for NATS, and a page to read.
//!
//! The routes and their OpenAPI description come from the same declarations. The page is built into the binary and asks
//! no other host for anything.

mod asyncapi;

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, Content, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::Api;
use super::access::Access;
use super::problem::Problem;

/// What stands at the head of the description.
pub(super) fn about() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Chronicle Ledger")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Commands, queries, live events, and the past to any microsecond. Amounts are decimal strings; times are RFC \
             3339 in UTC with six decimals. Errors are problem documents (RFC 9457) with a stable `code`.",
        ))
        .license(Some(
            LicenseBuilder::new()
                .name("Apache-2.0")
                .identifier(Some("Apache-2.0"))
                .build(),
        ))
        .build();
    OpenApiBuilder::new().info(info).build()
}

/// The pages that describe, for everybody.
pub(super) fn routes(description: &Arc<OpenApi>, access: &Access) -> axum::Router<Api> {
    let document = Arc::new(complete(description, access));
    let nats = Arc::new(asyncapi::document());
    let page = SwaggerUi::new("/docs").config(
        Config::from("/openapi.json")
            .display_request_duration(true)
            .validator_url("none"),
    );
    axum::Router::new()
        .route(
            "/openapi.json",
            get(move || async move { Json(Value::clone(&document)) }),
        )
        .route(
            "/asyncapi.json",
            get(move || async move { Json(Value::clone(&nats)) }),
        )
        .merge(page)
}

/// The description with what holds for every operation: who may call it, and how it can be refused.
fn complete(description: &OpenApi, access: &Access) -> Value {
    let mut description = description.clone();
    let components = description.components.get_or_insert_with(Components::new);
    components
        .schemas
        .insert(Problem::name().into_owned(), Problem::schema());
    if access.is_needed() {
        components.add_security_scheme(
            "token",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        );
        description.security = Some(vec![SecurityRequirement::new(
            "token",
            Vec::<String>::new(),
        )]);
    }
    for item in description.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post];
        for operation in operations.into_iter().flatten() {
            refusals(operation, access);
        }
    }
    let mut document = serde_json::to_value(&description).expect("a description is JSON");
    document["servers"] = json!([{"url": "/"}]);
    let operations = document["paths"].as_object_mut().into_iter().flatten();
    let operations = operations.flat_map(|(_, item)| item.as_object_mut().into_iter().flatten());
    for (_, operation) in operations {
        let parameters = operation
            .get_mut("parameters")
            .and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            as_text(&mut parameter["schema"]);
        }
    }
    document
}

/// What holds for a parameter and not for JSON: it is there or not, and never null.
fn as_text(schema: &mut Value) {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|one| one != "null");
        if let [only] = &types[..] {
            schema["type"] = only.clone();
        }
    }
    if let Some(forms) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        forms.retain(|form| form["type"] != "null");
        if let [only] = &forms[..] {
            let only = only.clone();
            let members = schema.as_object_mut().expect("it has a member");
            members.remove("oneOf");
            members.extend(only.as_object().cloned().unwrap_or_default());
        }
    }
}

/// How any request can be refused.
fn refusals(operation: &mut Operation, access: &Access) {
    let mut add = |status: StatusCode, description: &str| {
        let problem = ResponseBuilder::new()
            .description(description)
            .content(
                "application/problem+json",
                Content::new(Some(RefOr::Ref(Ref::from_schema_name(Problem::name())))),
            )
            .build();
        operation
            .responses
            .responses
            .entry(status.as_str().to_owned())
            .or_insert(RefOr::T(problem));
    };
    add(StatusCode::BAD_REQUEST, "It cannot be understood");
    if access.is_needed() {
        add(
            StatusCode::UNAUTHORIZED,
            "No token, or one that is not known",
        );
        add(StatusCode::FORBIDDEN, "The token may not do this");
    }
    add(StatusCode::TOO_MANY_REQUESTS, "Too often; see Retry-After");
    add(
        StatusCode::SERVICE_UNAVAILABLE,
        "A server that is needed does not answer, or the API is too busy; see Retry-After",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_says_how_it_can_be_refused() {
        let access = Access::default();
        let (_, description) = crate::http::described(&access).split_for_parts();
        let document = complete(&description, &access);
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.len() > 15, "{}", paths.len());
        let mut operation_ids = std::collections::BTreeSet::new();
        for (path, item) in paths {
            for (method, operation) in item.as_object().unwrap() {
                for status in ["400", "429", "503"] {
                    assert!(
                        operation["responses"][status].is_object(),
                        "{method} {path}: {status}"
                    );
                }
                assert!(operation["summary"].is_string(), "{method} {path}");
                let id = operation["operationId"].as_str().unwrap();
                assert!(
                    operation_ids.insert(id),
                    "{id} is the name of two operations"
                );
            }
        }
        assert_eq!(document["openapi"], "3.1.0");
    }
}
