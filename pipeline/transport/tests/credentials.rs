//! Who we are, for a NATS that asks.

use servers::testing;
use transport::{ConnectError, Nats};

async fn server(authorization: &'static str) -> testing::Nats {
    testing::Nats::start_with(move |options| {
        options.configuration = format!("authorization {{ {authorization} }}\n");
    })
    .await
}

/// The server's URL with something before the host.
fn url(server: &testing::Nats, credentials: &str) -> String {
    server
        .url()
        .replace("nats://", &format!("nats://{credentials}@"))
}

/// Whether JetStream answers over this URL, also over a second connection and one that is made in the background.
async fn answers(url: &str) -> Result<(), ConnectError> {
    let nats = Nats::connect(url).await?;
    let lazy = Nats::connect_lazy(url).await?;
    lazy.ready().await.expect("it becomes ready");
    for nats in [&nats, &nats.another().await?, &lazy] {
        let account = nats.jetstream.query_account().await;
        account.expect("JetStream answers");
    }
    Ok(())
}

#[tokio::test]
async fn a_user_and_a_password_in_the_url() {
    let server = server(r#"user: teller, password: "p@ss:/w" "#).await;
    answers(&url(&server, "teller:p%40ss%3A%2Fw"))
        .await
        .expect("these are right");
    // Of several servers' URLs, the first that has some counts for all.
    let several = format!("{},{}", server.url(), url(&server, "teller:p%40ss%3A%2Fw"));
    answers(&several).await.expect("these are right");
}

#[tokio::test]
async fn a_token_in_the_url() {
    let server = server("token: s3cret").await;
    answers(&url(&server, "s3cret")).await.expect("it is right");
}

#[tokio::test]
async fn wrong_credentials_are_named_as_the_reason_and_not_shown() {
    let server = server("user: teller, password: right").await;
    for wrong in [url(&server, "teller:wr0ng"), server.url()] {
        let Err(error) = answers(&wrong).await else {
            panic!("{wrong} was let in");
        };
        let text = error.to_string();
        assert!(
            text.contains("authorization violation") && text.contains("credentials"),
            "{text}"
        );
        assert!(!text.contains("wr0ng"), "{text}");

        let lazy = Nats::connect_lazy(&wrong).await.expect("it tries for ever");
        let reason = lazy.ready().await.expect_err("it is not let in").chain();
        assert!(reason.contains("authorization violation"), "{reason}");
        assert!(!reason.contains("wr0ng"), "{reason}");
    }
}
