//! The HTTP API, on real servers.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod batches;
mod commands;
mod dates;
mod description;
mod exchanges;
mod garbage;
mod holds;
mod life;
mod live;
mod past;
mod queries;
mod reversals;

use serde_json::{Value, json};
use support::http::Client;
use uuid::Uuid;

/// Opens an account over HTTP.
async fn open(client: &Client, account: &str, balance: &str) {
    let command = json!({"account_id": account, "owner_name": format!("Owner of {account}"), "currency": "USD",
        "initial_balance": balance});
    client
        .post("/commands/create-account", &command)
        .await
        .ok(201);
}

/// Deposits or withdraws over HTTP; answers with the outcome.
async fn book(client: &Client, kind: &str, account: &str, amount: &str) -> Value {
    let command = json!({"account_id": account, "amount": amount});
    client
        .post(&format!("/commands/{kind}"), &command)
        .await
        .ok(201)
}

fn new_id() -> String {
    Uuid::new_v4().to_string()
}
