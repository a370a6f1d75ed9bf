//! Business dates.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::support::Ledger;
use crate::support::http::Client;
use crate::{new_id, open};

/// Some days from now, as it is written in answers.
fn days_away(days: i64) -> String {
    hours_away(24 * days)
}

fn hours_away(hours: i64) -> String {
    let at = OffsetDateTime::now_utc() + Duration::hours(hours);
    let at = at.replace_microsecond(1).expect("there is such an instant");
    at.format(&Rfc3339).expect("it can be written")
}

async fn by_date(client: &Client, account: &str, query: &str) -> Value {
    client
        .get(&format!("/accounts/{account}/balance-at?{query}"))
        .await
        .ok(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_by_business_date_is_as_known_now_or_as_known_then() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    open(&client, "BOB", "0").await;
    let opened = client.get("/accounts/ALICE/balance-at?version=1").await;
    let opened = opened.ok(200)["recorded_at"].as_str().unwrap().to_owned();
    let (yesterday, tomorrow) = (days_away(-1), days_away(1));
    for (path, command) in [
        (
            "deposit",
            json!({"account_id": "ALICE", "amount": "10", "effective_at": yesterday}),
        ),
        (
            "transfer",
            json!({"from_account_id": "ALICE", "to_account_id": "BOB", "amount": "30", "effective_at": tomorrow}),
        ),
        ("withdraw", json!({"account_id": "ALICE", "amount": "1"})),
    ] {
        client
            .post(&format!("/commands/{path}"), &command)
            .await
            .ok(201);
    }
    for (account, query, balance) in [
        ("ALICE", format!("effective={yesterday}"), "10.00"),
        ("ALICE", format!("effective={}", hours_away(1)), "109.00"),
        ("ALICE", format!("effective={tomorrow}"), "79.00"),
        (
            "ALICE",
            format!("effective={tomorrow}&timestamp={opened}"),
            "100.00",
        ),
        (
            "ALICE",
            format!("effective={yesterday}&timestamp={opened}"),
            "0.00",
        ),
        ("BOB", format!("effective={}", hours_away(1)), "0.00"),
        ("BOB", format!("effective={tomorrow}"), "30.00"),
    ] {
        let then = by_date(&client, account, &query).await;
        assert_eq!(then["balance"], balance, "{account} {query}");
        assert_eq!(then["account_id"], account);
        assert_eq!(then["currency"], "USD");
        // The balance alone.
        assert_eq!(then.as_object().unwrap().len(), 5, "{then}");
    }
    let then = by_date(
        &client,
        "ALICE",
        &format!("effective={yesterday}&timestamp={opened}"),
    )
    .await;
    assert_eq!(then["provisional"], false, "the account has moved on");
    assert_eq!(
        then["as_of"],
        json!({"timestamp": opened, "version": 1, "effective": yesterday})
    );
    let then = by_date(&client, "ALICE", &format!("effective={yesterday}")).await;
    assert_eq!(then["provisional"], true, "as known now");
    assert_eq!(then["as_of"]["version"], 4);

    // Lines say it, events have it, and what was asked for is on record.
    let page = client
        .get("/accounts/ALICE/transactions?min_version=4")
        .await;
    let page = page.ok(200);
    let dates: Vec<&Value> = page["transactions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| &line["effective_at"])
        .collect();
    assert_eq!(
        dates,
        [
            &Value::Null,
            &json!(tomorrow),
            &json!(yesterday),
            &Value::Null
        ]
    );
    let history = client.get("/accounts/ALICE/history").await.ok(200);
    assert_eq!(
        history["history"][1]["event"]["data"]["effective_at"],
        yesterday
    );
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_business_date_is_refused_beyond_the_window_and_on_other_commands() {
    let ledger = Ledger::new().await;
    let window = [
        "--effective-past-days-max",
        "7",
        "--effective-future-days-max",
        "0",
    ];
    let process = ledger.run(&window, &[]).await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    let deposit = async |at: String| {
        let command = json!({"account_id": "ALICE", "amount": "1", "effective_at": at});
        client.post("/commands/deposit", &command).await
    };
    deposit(days_away(-6)).await.ok(201);
    for at in [days_away(-8), days_away(1)] {
        let refused = deposit(at.clone()).await;
        assert_eq!(refused.problem(422), "effective_at_out_of_window");
        let data = &refused.json()["data"];
        assert_eq!(data["effective_at"], at);
        assert!(
            data["earliest"].is_string() && data["latest"].is_string(),
            "{data}"
        );
    }
    let freeze = json!({"account_id": "ALICE", "reason": "x", "effective_at": days_away(-1)});
    let refused = client.post("/commands/freeze-account", &freeze).await;
    assert_eq!(refused.problem(400), "unknown_field");
    let hold = json!({"account_id": "ALICE", "amount": "1", "hold_id": new_id(), "effective_at": days_away(-1)});
    let refused = client.post("/commands/hold", &hold).await;
    assert_eq!(refused.problem(400), "unknown_field");
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_by_business_date_that_make_no_sense_are_told_so() {
    let (_ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    let ask = async |query: &str| {
        client
            .get(&format!("/accounts/ALICE/balance-at?{query}"))
            .await
    };
    let (yesterday, tomorrow) = (days_away(-1), days_away(1));
    for bad in [
        "effective=yesterday".to_owned(),
        "effective=".to_owned(),
        format!("effective={yesterday}&version=1"),
        format!("effective={yesterday}&timestamp=now"),
        format!("effective={yesterday}&effective={yesterday}"),
    ] {
        assert_eq!(ask(&bad).await.problem(400), "invalid_parameter", "{bad}");
    }
    let ahead = ask(&format!("effective={yesterday}&timestamp={tomorrow}")).await;
    assert_eq!(ahead.problem(422), "in_the_future");
    let unknown = ask(&format!("effective={tomorrow}&timestamp={yesterday}")).await;
    assert_eq!(unknown.problem(404), "not_yet_open");
    let nobody = client
        .get(&format!(
            "/accounts/NOBODY/balance-at?effective={yesterday}"
        ))
        .await;
    assert_eq!(nobody.problem(404), "account_not_found");
    assert_eq!(process.stop().await, Some(0));
}
