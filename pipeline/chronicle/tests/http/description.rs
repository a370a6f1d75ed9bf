//! What the API says of itself is true.

use serde_json::Value;

use crate::support::Ledger;

#[tokio::test(flavor = "multi_thread")]
async fn every_described_route_is_there_and_the_pages_are_self_contained() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    let description = client.get("/openapi.json").await.ok(200);
    assert_eq!(description["openapi"], "3.1.0");
    let paths = description["paths"].as_object().expect("there are paths");
    for wanted in [
        "/commands",
        "/commands/create-account",
        "/commands/deposit",
        "/commands/withdraw",
        "/commands/transfer",
        "/commands/freeze-account",
        "/commands/unfreeze-account",
        "/commands/close-account",
        "/commands/set-overdraft-limit",
        "/commands/set-account-rules",
        "/commands/update-account",
        "/commands/hold",
        "/commands/capture",
        "/commands/release",
        "/commands/reverse",
        "/commands/post",
        "/commands/batch",
        "/commands/exchange",
        "/commands/{command_id}",
        "/accounts",
        "/accounts/{account_id}",
        "/accounts/{account_id}/transactions",
        "/accounts/{account_id}/holds",
        "/accounts/{account_id}/holds/{hold_id}",
        "/accounts/{account_id}/balance-at",
        "/accounts/{account_id}/history",
        "/accounts/{account_id}/stream",
        "/transfers/{transfer_id}",
        "/events",
        "/events/stream",
        "/ledger/balances-at",
        "/ledger/stats",
        "/projections",
    ] {
        assert!(paths.contains_key(wanted), "{wanted} is not described");
    }
    for (path, item) in paths {
        let path = path
            .replace("{command_id}", "x")
            .replace("{account_id}", "a%20b")
            .replace("{hold_id}", "x")
            .replace("{transfer_id}", "x");
        for method in item.as_object().expect("it has methods").keys() {
            let method = method.to_uppercase();
            // Not followed to its end: a stream has none.
            let path = if path == "/events/stream" {
                "/events/stream?after_sequence=x"
            } else {
                &path
            };
            let answer = client.send(&method, path, b"").await;
            assert!(
                !(matches!(answer.status, 405 | 500)
                    || answer.status == 404 && answer.json()["code"] == "no_such_route"),
                "{method} {path}: {}",
                answer.status
            );
        }
    }
    // References lead somewhere.
    check_references(&description, &description);
    let nats = client.get("/asyncapi.json").await.ok(200);
    check_references(&nats, &nats);

    let page = client.get("/docs/").await;
    let page = String::from_utf8_lossy(&page.body).into_owned();
    assert!(page.contains("swagger"), "{page}");
    for attribute in ["src=\"", "href=\""] {
        for part in page.split(attribute).skip(1) {
            assert!(
                !part.starts_with("http") && !part.starts_with("//"),
                "{part}"
            );
        }
    }
    assert_eq!(process.stop().await, Some(0));
    drop(ledger);
}

fn check_references(document: &Value, part: &Value) {
    match part {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                let path = reference.trim_start_matches('#');
                assert!(
                    document.pointer(path).is_some(),
                    "{reference} leads nowhere"
                );
            }
            members
                .values()
                .for_each(|member| check_references(document, member));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| check_references(document, item)),
        _ => {}
    }
}
