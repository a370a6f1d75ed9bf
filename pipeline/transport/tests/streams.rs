//! Streams that a server will not make.

use std::error::Error as _;

use engine::RetryClass;
use servers::testing;
use transport::Nats;
use transport::streams::{self, Limits};

#[tokio::test]
async fn a_server_without_room_for_a_stream_is_an_error_that_says_what_to_do() {
    let server = testing::Nats::start().await;
    let nats = Nats::connect(&server.url()).await.expect("it answers");
    let limits = Limits {
        event_bytes_max: 1024 * 1024 * 1024 * 1024,
        ..Limits::default()
    };
    let failure = streams::events(&nats.jetstream, &limits)
        .await
        .expect_err("a tebibyte is more than the server's limit");
    assert_eq!(failure.class(), RetryClass::Retry);
    assert_eq!(
        failure.to_string(),
        "the stream LEDGER_EVENTS may grow to 1048576 MiB, which is more than the NATS server still has to give: free disk \
         space and restart it, or raise its `max_file_store`"
    );
    assert!(failure.source().is_some(), "the server's own words follow");

    // The others find their place.
    streams::commands(&nats.jetstream, 1, &limits)
        .await
        .expect("it fits");
}
