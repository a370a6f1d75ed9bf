//! Who may do what.

use serde_json::json;

use crate::support::{Ledger, eventually, text};

#[tokio::test(flavor = "multi_thread")]
async fn tokens_have_roles_become_actors_and_can_be_withdrawn() {
    let ledger = Ledger::new().await;
    let path = ledger.folder.path().join("tokens");
    let mut lines = String::new();
    let mut tokens = Vec::new();
    for (name, role) in [
        ("teller", "writer"),
        ("screen", "reader"),
        ("auditor", "auditor"),
        ("pager", "operator"),
    ] {
        let made = ledger.json(&["token", name, "--role", role], 0).await;
        let of = |field: &str| made[field].as_str().expect("it is text").to_owned();
        assert!(!of("line").contains(&of("token")), "the file has no tokens");
        lines.push_str(&(of("line") + "\n"));
        tokens.push(of("token"));
    }
    std::fs::write(&path, &lines).expect("it can be written");
    let file = path.to_str().expect("it is text");
    let process = ledger.run(&["--http-tokens", file], &[]).await;
    let open = process.http();
    let [teller, screen, auditor, pager] = [0, 1, 2, 3]
        .map(|index: usize| open.with("Authorization", &format!("Bearer {}", tokens[index])));

    let command = json!({"account_id": "ALICE", "owner_name": "Alice", "currency": "USD"});
    let refused = open.post("/commands/create-account", &command).await;
    assert_eq!(refused.problem(401), "unauthorized");
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    assert_eq!(
        screen
            .post("/commands/create-account", &command)
            .await
            .problem(403),
        "forbidden"
    );
    let opened = teller
        .post("/commands/create-account", &command)
        .await
        .ok(201);
    let id = opened["command_id"].as_str().expect("it has an id");

    // The token's holder is on record.
    let history = auditor.get("/accounts/ALICE/history").await.ok(200);
    assert_eq!(history["history"][0]["event"]["actor"], "teller");
    for (path, may) in [
        (
            "/accounts/ALICE?min_version=1".to_owned(),
            [false, true, true, false],
        ),
        (
            "/accounts/ALICE/history".to_owned(),
            [false, false, true, false],
        ),
        (
            "/ledger/balances-at".to_owned(),
            [false, false, true, false],
        ),
        (format!("/commands/{id}"), [true, true, true, false]),
        ("/projections".to_owned(), [false, false, true, true]),
        ("/metrics".to_owned(), [false, false, false, true]),
        ("/openapi.json".to_owned(), [true, true, true, true]),
        ("/livez".to_owned(), [true, true, true, true]),
    ] {
        for (client, may) in [&teller, &screen, &auditor, &pager].into_iter().zip(may) {
            let status = client.get(&path).await.status;
            assert_eq!(status, if may { 200 } else { 403 }, "{path}");
        }
    }
    for path in ["/livez", "/readyz", "/openapi.json", "/docs/"] {
        assert_eq!(open.get(path).await.status, 200, "{path}");
    }

    // Withdrawn without a restart; a file that makes no sense changes nothing.
    std::fs::write(&path, "nonsense").expect("it can be written");
    process.until_logged("the tokens stay as they were").await;
    assert_eq!(screen.get("/accounts").await.status, 200);
    let others: Vec<&str> = lines
        .lines()
        .filter(|line| !line.starts_with("screen"))
        .collect();
    std::fs::write(&path, others.join("\n")).expect("it can be written");
    eventually("the token to be withdrawn", || async {
        screen.get("/accounts").await.status == 401
    })
    .await;
    assert_eq!(auditor.get("/accounts").await.status, 200);
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_others_can_reach_is_not_served_without_tokens() {
    let ledger = Ledger::new().await;
    let refused = ledger.chronicle(&["run", "--http", "0.0.0.0:0"]).await;
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(
        text(&refused.stderr).contains("--http-tokens"),
        "{}",
        text(&refused.stderr)
    );
    let missing = ledger
        .chronicle(&["run", "--http", "127.0.0.1:0", "--http-tokens", "nowhere"])
        .await;
    assert_eq!(missing.status.code(), Some(2), "{}", text(&missing.stderr));
    assert!(
        text(&missing.stderr).contains("nowhere"),
        "{}",
        text(&missing.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_often_is_told_to_wait_and_pages_of_others_are_not_let_in() {
    let ledger = Ledger::new().await;
    let process = ledger
        .run(
            &[
                "--http-rate-max",
                "5",
                "--http-origin",
                "https://ledger.example",
            ],
            &[],
        )
        .await;
    let client = process.http();
    let mut refused = 0;
    for _ in 0..50 {
        let answer = client.get("/accounts").await;
        if answer.status == 429 {
            assert_eq!(answer.problem(429), "too_many_requests");
            assert!(answer.headers.contains_key("retry-after"));
            refused += 1;
        }
    }
    assert!(refused > 0, "fifty requests in a row were let in");
    let preflight = |origin: &str| {
        let client = client
            .with("Origin", origin)
            .with("Access-Control-Request-Method", "POST");
        async move { client.send("OPTIONS", "/commands/deposit", b"").await }
    };
    let ours = preflight("https://ledger.example").await;
    assert_eq!(
        ours.headers["access-control-allow-origin"],
        "https://ledger.example"
    );
    let theirs = preflight("https://evil.example").await;
    assert!(!theirs.headers.contains_key("access-control-allow-origin"));
    assert_eq!(process.stop().await, Some(0));
}
