//! Ten thousand requests that make no sense: each is refused, none breaks anything.

use serde_json::json;

use crate::support::Ledger;
use crate::support::http::Client;
use crate::support::random::Random;
use crate::{book, open};

const REQUESTS: usize = 10_000;

/// A request that no client should send.
#[allow(clippy::too_many_lines)] // tables of what can be wrong
fn nonsense(random: &mut Random) -> Vec<u8> {
    let bytes = |random: &mut Random, length: u64| -> Vec<u8> {
        (0..random.below(length))
            .map(|_| random.next().to_be_bytes()[0])
            .collect()
    };
    let paths = [
        "/commands",
        "/commands/deposit",
        "/commands/create-account",
        "/commands/transfer",
        "/commands/freeze-account",
        "/commands/hold",
        "/commands/capture",
        "/commands/update-account",
        "/commands/x",
        "/accounts",
        "/accounts/ALICE",
        "/accounts/ALICE/transactions",
        "/accounts/ALICE/balance-at",
        "/accounts/ALICE/history",
        "/accounts/ALICE/stream",
        "/accounts/ALICE/holds",
        "/accounts/ALICE/holds/x",
        "/accounts/%00/holds/%FF",
        "/accounts/%FF",
        "/accounts/%00",
        "/accounts/..%2f",
        "/transfers/x",
        "/events",
        "/events/stream",
        "/ledger/balances-at",
        "/ledger/stats",
        "/projections",
        "//",
        "/",
    ];
    let queries = [
        "",
        "?limit=-1",
        "?limit=99999999999999999999",
        "?cursor=AAAA",
        "?cursor=e30",
        "?cursor=%00",
        "?timestamp=%FF",
        "?timestamp=9999-12-31T23:59:59.999999Z",
        "?timestamp=0000-00-00T00:00:00Z",
        "?version=0",
        "?version=18446744073709551615",
        "?version=9007199254740993",
        "?after_sequence=18446744073709551615&limit=0",
        "?before_sequence=0&type=x",
        "?account=%F0%9F%92%A9",
        "?min_version=-1",
        "?x=y",
        "?=&&&=",
        "?limit=1&limit=2",
        "?sort=balance&cursor=W10",
        "?status=open&cursor=eyJwbGFjZWRfYXQiOiJ4In0",
        "?owner=%00",
        "?from=x&to=y",
        "?min_amount=1e400",
        "?after_version=99999999999",
        "?%",
    ];
    let bodies: [&[u8]; 19] = [
        b"",
        b"{",
        b"{}",
        b"[]",
        b"null",
        b"{\"account_id\":1}",
        b"{\"account_id\":\"ALICE\",\"amount\":1e999}",
        b"{\"account_id\":\"ALICE\",\"amount\":\"-1\",\"amount\":\"2\"}",
        b"{\"type\":\"deposit\"}",
        b"\xff\xfe\x00",
        b"{\"account_id\":\"ALICE\",\"amount\":\"NaN\"}",
        b"{\"account_id\":\"\\u0000\",\"amount\":\"1\"}",
        b"{\"a\":{\"a\":{\"a\":{}}}}",
        b"{\"account_id\":\"ALICE\",\"amount\":\"0\"}",
        b"{\"account_id\":\"NOBODY\",\"amount\":\"1\"}",
        b"\"x\"",
        b"{\"account_id\":\"ALICE\",\"hold_id\":7,\"amount\":\"1\"}",
        b"{\"account_id\":\"ALICE\",\"reason\":\"\\u0000\",\"scope\":\"some\"}",
        b"{\"account_id\":\"ALICE\",\"account_metadata\":{\"\":7}}",
    ];
    let headers = [
        "Idempotency-Key: x",
        "Idempotency-Key: ",
        "Content-Type: text/xml",
        "Content-Type: \x7f",
        "Prefer: wait=-1",
        "Last-Event-ID: x",
        "Last-Event-ID: \u{ff}",
        "Authorization: Bearer",
        "Accept-Encoding: zstd",
        "Transfer-Encoding: gzip",
        "Expect: 100-continue",
        "Content-Length: x",
        "Host: ",
        ": x",
        "X",
        "Range: bytes=0-1",
        "Content-Encoding: gzip",
    ];
    let methods = [
        "GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "get", "X Y", "",
    ];
    let pick = |random: &mut Random, count: usize| random.index(count);
    if random.below(20) == 0 {
        return bytes(random, 300); // no HTTP at all
    }
    // Mostly of the right method, so that it gets past the door.
    let method = match random.below(4) {
        0 => methods[pick(random, methods.len())],
        1 => "GET",
        _ => "POST",
    };
    let path = paths[pick(random, paths.len())];
    let query = queries[pick(random, queries.len())];
    let mut body = bodies[pick(random, bodies.len())].to_vec();
    if random.below(5) == 0 {
        body = bytes(random, 2_000);
    }
    let mut request =
        format!("{method} {path}{query} HTTP/1.0\r\nContent-Type: application/json\r\n")
            .into_bytes();
    for _ in 0..random.below(3) {
        request.extend_from_slice(headers[pick(random, headers.len())].as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    if random.below(10) == 0 {
        request.extend(std::iter::repeat_n(b"X-Y: z\r\n", 100).flatten());
    }
    request.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    request.extend_from_slice(&body);
    request
}

/// Sends the head of an answer's first line only: a live stream has no end to wait for.
async fn status(client: &Client, request: &[u8]) -> Option<u16> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut connection = tokio::net::TcpStream::connect(&client.address)
        .await
        .expect("it still listens");
    let _ = connection.write_all(request).await;
    let _ = connection.shutdown().await;
    let mut head = [0; 12];
    connection.read_exact(&mut head).await.ok()?;
    std::str::from_utf8(&head[9..]).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_malformed_requests() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    let mut random = Random::seeded("malformed requests");
    let mut answered = 0;
    for _ in 0..REQUESTS / 20 {
        let requests: Vec<Vec<u8>> = (0..20).map(|_| nonsense(&mut random)).collect();
        let client = &client;
        let asked = requests.iter().map(|request| async move {
            let status = tokio::time::timeout(crate::support::DEADLINE, status(client, request));
            (request, status.await)
        });
        for (request, status) in futures::future::join_all(asked).await {
            let shown = String::from_utf8_lossy(request).into_owned();
            // No answer at all is for what is no HTTP; what happens to make sense may succeed.
            if let Some(status) = status.expect("it is answered in time") {
                assert!(status < 500 || status == 503, "{status}: {shown:?}");
                answered += usize::from((400..500).contains(&status));
            }
        }
    }
    assert!(answered > REQUESTS / 2, "{answered} refusals");
    assert!(!process.log().contains("panicked"), "{}", process.log());
    assert!(!process.log().contains("ERROR"), "{}", process.log());
    // And nobody else has noticed.
    book(&client, "deposit", "ALICE", "1").await;
    let account = client.get("/accounts/ALICE?min_version=2").await.ok(200);
    assert_eq!(
        (&account["balance"], &account["version"]),
        (&json!("101.00"), &json!(2))
    );
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
