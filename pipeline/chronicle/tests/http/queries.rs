//! Lists: their filters, their pages, and what happens to them under writes.

use serde_json::{Value, json};

use crate::support::Ledger;
use crate::support::http::Client;
use crate::{book, open};

/// All items of a list, page by page.
async fn all(client: &Client, path: &str, name: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut next = path.to_owned();
    loop {
        let page = client.get(&next).await.ok(200);
        items.extend(page[name].as_array().expect("it is a list").clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}&cursor={cursor}"),
            None => return items,
        }
    }
}

fn texts<'a>(items: &'a [Value], field: &str) -> Vec<&'a str> {
    let text = |item: &'a Value| item[field].as_str().unwrap_or_default();
    items.iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_listed_filtered_and_paged() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    assert_eq!(client.get("/accounts").await.ok(200)["accounts"], json!([]));
    for (name, balance) in [("b", "3"), ("a", "20"), ("B", "100"), ("C", "0")] {
        open(&client, name, balance).await;
    }
    let euro = json!({"account_id": "E", "owner_name": "Owner of a", "currency": "EUR"});
    client.post("/commands/create-account", &euro).await.ok(201);
    ledger.until_converged().await;

    for limit in [1, 2, 5, 500] {
        let list = async |sort: &str| {
            let found = all(
                &client,
                &format!("/accounts?limit={limit}&{sort}"),
                "accounts",
            )
            .await;
            texts(&found, "account_id").join("")
        };
        assert_eq!(list("sort=account_id").await, "BCEab", "by bytes");
        assert_eq!(list("sort=account_id&order=desc").await, "baECB");
        assert_eq!(list("sort=opened_at").await, "baBCE");
        assert_eq!(
            list("sort=balance&order=desc").await,
            "BabEC",
            "100 before 20 before 3"
        );
        assert_eq!(list("sort=owner_name").await, "BCEab", "equal names by id");
        assert_eq!(list("owner=Owner%20of%20a").await, "Ea");
        assert_eq!(list("currency=EUR").await, "E");
        assert_eq!(list("status=active&currency=USD").await, "BCab");
    }
    for bad in [
        "limit=0",
        "limit=501",
        "limit=x",
        "sort=size",
        "currency=dollars",
        "cursor=x",
        "unknown=1",
        "limit=1&limit=2",
        "cursor=eyJzb3J0IjoiYmFsYW5jZSIsIm9yZGVyIjoiYXNjIiwidmFsdWUiOiJ4IiwiYWNjb3VudF9pZCI6IkEifQ&sort=balance",
        "owner=%00",
    ] {
        let answer = client.get(&format!("/accounts?{bad}")).await;
        assert_eq!(answer.problem(400), "invalid_parameter", "{bad}");
    }
    assert_eq!(
        client.get("/accounts/NOBODY").await.problem(404),
        "account_not_found"
    );
    assert_eq!(
        client.get("/accounts/a%20b").await.problem(400),
        "invalid_parameter"
    );
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_an_account_are_newest_first_and_stable_under_writes() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    for cents in 1..=9 {
        book(&client, "deposit", "ALICE", &format!("0.0{cents}")).await;
    }
    book(&client, "withdraw", "ALICE", "50").await;
    let path = "/accounts/ALICE/transactions?min_version=11&limit=4";
    let first = client.get(path).await.ok(200);
    assert_eq!(first["total"], 11);
    let lines = first["transactions"].as_array().expect("it is a list");
    assert_eq!(lines[0]["amount"], "-50.00");
    assert_eq!(lines[0]["type"], "withdrawal");
    // What comes in between moves nothing.
    book(&client, "deposit", "ALICE", "7").await;
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let second = client
        .get(&format!("{path}&cursor={cursor}&min_version=12").replace("min_version=11&", ""))
        .await
        .ok(200);
    assert_eq!(second["transactions"][0]["version"], 7);
    assert_eq!(second["total"], 12);

    let of = async |filter: &str| {
        let path = format!("/accounts/ALICE/transactions?limit=3&{filter}");
        let found = all(&client, &path, "transactions").await;
        let total = client.get(&path).await.ok(200)["total"].clone();
        assert_eq!(total, found.len(), "{filter}");
        texts(&found, "amount").join(" ")
    };
    assert_eq!(of("type=opening").await, "100.00");
    assert_eq!(of("min_amount=7").await, "7.00 -50.00 100.00");
    assert_eq!(of("min_amount=0.08&max_amount=7").await, "7.00 0.09 0.08");
    let opened_at = client.get("/accounts/ALICE").await.ok(200)["opened_at"].clone();
    let opened_at = opened_at.as_str().expect("it is a time");
    assert_eq!(of(&format!("to={opened_at}")).await, "");
    assert_eq!(
        of(&format!("from={opened_at}&type=opening")).await,
        "100.00"
    );
    let nobody = client.get("/accounts/NOBODY/transactions").await;
    assert_eq!(nobody.problem(404), "account_not_found");
    for bad in [
        "from=yesterday",
        "min_amount=x",
        "type=gift",
        "limit=0",
        "cursor=e30",
    ] {
        let answer = client
            .get(&format!("/accounts/ALICE/transactions?{bad}"))
            .await;
        assert_eq!(answer.problem(400), "invalid_parameter", "{bad}");
    }
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_that_is_behind_is_waited_for_and_then_named() {
    let ledger = Ledger::new().await;
    let intake = ledger.run(&["--only", "intake"], &[]).await;
    let client = intake.http();
    open(&client, "ALICE", "100").await;
    let behind = client.get("/accounts/ALICE?min_version=1").await;
    assert_eq!(behind.problem(503), "not_yet_applied");
    assert_eq!(
        behind.json()["data"],
        json!({"version": "0", "min_version": "1"})
    );
    assert!(behind.headers.contains_key("retry-after"));
    let projections = ledger
        .run(&["--only", "projection.account_balance"], &[])
        .await;
    let account = client.get("/accounts/ALICE?min_version=1").await.ok(200);
    assert_eq!(account["balance"], "100.00");
    assert_eq!(intake.stop().await, Some(0));
    assert_eq!(projections.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_the_feed_in_both_directions() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    let nothing = client.get("/events").await.ok(200);
    assert_eq!(
        (&nothing["events"], &nothing["total"]),
        (&json!([]), &json!(0))
    );
    assert!(nothing["next_before_sequence"].is_null(), "{nothing}");
    for name in ["ALICE", "BOB"] {
        open(&client, name, "100").await;
    }
    for _ in 0..30 {
        book(&client, "deposit", "ALICE", "1").await;
    }
    book(&client, "withdraw", "BOB", "1").await;
    let sequences = |page: &Value| -> Vec<u64> {
        let events = page["events"].as_array().expect("it is a list").iter();
        events
            .filter_map(|event| event["sequence"].as_u64())
            .collect()
    };
    let newest = client.get("/events?limit=2").await.ok(200);
    assert_eq!(sequences(&newest), [33, 32]);
    assert_eq!(
        (&newest["total"], &newest["as_of"]["sequence"]),
        (&json!(33), &json!(33))
    );
    for (filter, expected) in [
        ("", (1..=33).collect::<Vec<u64>>()),
        ("&account=BOB", vec![2, 33]),
        ("&type=MoneyWithdrawn", vec![33]),
        ("&account=ALICE&type=AccountCreated", vec![1]),
        ("&account=NOBODY", vec![]),
    ] {
        for limit in [1, 10, 500] {
            let (mut found, mut next) = (Vec::new(), Some(0));
            while let Some(after) = next {
                let path = format!("/events?limit={limit}&after_sequence={after}{filter}");
                let page = client.get(&path).await.ok(200);
                found.extend(sequences(&page));
                next = page["next_after_sequence"]
                    .as_u64()
                    .filter(|next| *next < 33 && *next > after);
            }
            assert_eq!(found, expected, "forward {limit} {filter}");
            let (mut found, mut next) = (Vec::new(), Some(34));
            while let Some(before) = next {
                let path = format!("/events?limit={limit}&before_sequence={before}{filter}");
                let page = client.get(&path).await.ok(200);
                found.extend(sequences(&page));
                next = page["next_before_sequence"].as_u64();
            }
            found.reverse();
            assert_eq!(found, expected, "backward {limit} {filter}");
        }
    }
    let both = client
        .get("/events?after_sequence=1&before_sequence=2")
        .await;
    assert_eq!(both.problem(400), "invalid_parameter");

    let projections = client.get("/projections").await.ok(200);
    assert_eq!(projections["projections"].as_array().map(Vec::len), Some(5));
    ledger.until_converged().await;
    let stats = client.get("/ledger/stats").await.ok(200);
    assert_eq!(
        (
            &stats["accounts"],
            &stats["events"],
            &stats["currencies"][0]["balance"]
        ),
        (&json!(2), &json!(33), &json!("229.00"))
    );
    assert_eq!(process.stop().await, Some(0));
}
