//! The database that tests of the event store run on.

use std::env;

use super::postgres::{fresh_name, postgres};
use crate::server::off_thread;
use crate::sql;

/// Names a SQL server, PostgreSQL or CockroachDB, to run the tests of the event store on.
pub const EVENT_STORE_VARIABLE: &str = "CHRONICLE_TEST_EVENT_STORE_URL";

/// Creates an empty database, named after `prefix`, and returns its URL: on the server that
/// `CHRONICLE_TEST_EVENT_STORE_URL` names if it is set, else on the [shared PostgreSQL](postgres).
///
/// Databases on a server that is named are not removed.
///
/// # Panics
/// With the reason, when the database cannot be created.
pub async fn event_store_url(prefix: &str) -> String {
    let Some(server) = env::var(EVENT_STORE_VARIABLE)
        .ok()
        .filter(|url| !url.is_empty())
    else {
        return postgres().await.fresh_database(prefix).await;
    };
    let name = fresh_name(prefix);
    let created = off_thread(move || {
        sql::create_database(&server, &name)?;
        sql::with_database(&server, &name)
    });
    created.await.unwrap_or_else(|error| {
        panic!("the test needs the server that {EVENT_STORE_VARIABLE} names: {error}")
    })
}
