//! What becomes of records that can never be processed.

use std::time::{Duration, SystemTime};

use engine::testing::{MemoryDeadLetters, MemoryLog, MemoryTable, run_to_end};
use engine::{
    Cause, Delivery, Failure, Message, Operator, PipelineStatus, RetryClass, Step, Topology,
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use crate::operators::{batches_of, each};

/// Gives up every item that is no number.
fn parse() -> impl Operator<Input = Arc<Message>, Output = u64> {
    each(|message: Arc<Message>| {
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        text.parse().map_or_else(
            |_| {
                Step::DeadLetter(Cause {
                    code: "no_number",
                    message: format!("\"{text}\" is no number"),
                })
            },
            Step::Emit,
        )
    })
}

fn log_of(payloads: &[&'static str]) -> MemoryLog<Arc<Message>> {
    MemoryLog::of_messages((1..).zip(payloads).map(|(position, payload)| Message {
        position,
        subject: format!("numbers.{position}"),
        headers: vec![("Trace".to_owned(), "7".to_owned())],
        payload: payload.as_bytes().to_vec().into(),
        stored_at: SystemTime::UNIX_EPOCH,
    }))
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_carries_the_message_the_node_and_the_cause() {
    let log = log_of(&["1", "two", "3", "four"]);
    let table = MemoryTable::new();
    let letters = MemoryDeadLetters::new();
    let status = PipelineStatus::new("numbers");
    let topology = Topology::named("numbers")
        .source("texts", log.source().ending())
        .then("parse", parse())
        .into("table", table.sink())
        .dead_letters("graveyard", letters.clone())
        .build();
    topology
        .run(status.clone(), CancellationToken::new())
        .await
        .unwrap();

    assert_eq!(table.items(), [1, 3]);
    assert_eq!(log.settled(), 4);
    let buried = letters.letters();
    assert_eq!(letters.positions(), [2, 4]);
    assert_eq!(buried[0].node, "parse");
    assert_eq!(buried[0].cause.code, "no_number");
    assert_eq!(buried[0].cause.message, "\"two\" is no number");
    assert_eq!(buried[0].origin.subject, "numbers.2");
    assert_eq!(buried[0].origin.header("trace"), Some("7"));
    let snapshot = status.snapshot();
    assert_eq!(snapshot.nodes[1].dead_lettered, 2);
    assert_eq!(snapshot.nodes[1].dead_letter_codes["no_number"], 2);
    assert_eq!(snapshot.nodes[3].name, "graveyard");
    assert_eq!(snapshot.nodes[3].records_in, 2);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_durable_before_their_batch_goes_on() {
    let log = log_of(&["1", "two"]);
    let table = MemoryTable::new();
    let letters = MemoryDeadLetters::new().slow(Duration::from_secs(10));
    let topology = Topology::named("numbers")
        .source("texts", log.source())
        .then("parse", parse())
        .into("table", table.sink())
        .dead_letters("graveyard", letters.clone())
        .build();
    let watch = async {
        tokio::time::sleep(Duration::from_millis(9_900)).await;
        assert!(letters.positions().is_empty());
        assert!(
            table.writes().is_empty(),
            "the batch went on without its dead letter"
        );
        assert_eq!(log.settled(), 0);
        log.until_settled(2).await;
        assert_eq!(letters.positions(), [2]);
    };
    tokio::select! {
        ended = topology.run(PipelineStatus::new("numbers"), CancellationToken::new()) => panic!("{ended:?}"),
        () = watch => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_dead_letters_cannot_be_buried_is_not_settled() {
    let log = log_of(&["1", "two"]);
    let table = MemoryTable::new();
    let letters = MemoryDeadLetters::new()
        .failing(|call| (call == 1).then(|| Failure::retry("the graveyard is closed")));
    let status = PipelineStatus::new("numbers");
    let topology = || {
        Topology::named("numbers")
            .source("texts", log.source().ending())
            .then("parse", parse())
            .into("table", table.sink())
            .dead_letters("graveyard", letters.clone())
            .build()
    };
    let failed = topology()
        .run(status.clone(), CancellationToken::new())
        .await;
    assert_eq!(failed.unwrap_err().chain(), "the graveyard is closed");
    assert_eq!(status.snapshot().last_failure.unwrap().node, "graveyard");
    assert_eq!(log.settled(), 0);
    assert!(table.writes().is_empty());

    run_to_end(topology()).await.unwrap();
    assert_eq!(log.settled(), 2);
    assert_eq!(letters.positions(), [2]);
}

#[tokio::test(start_paused = true)]
async fn without_dead_letters_a_poison_message_stops_the_pipeline_and_is_named() {
    let log = log_of(&["1", "2", "three", "4"]);
    let table = MemoryTable::new();
    let topology = Topology::named("numbers")
        .source("texts", log.source().ending())
        .batching(batches_of(2))
        .then("parse", parse())
        .into("table", table.sink())
        .build();
    let failure = run_to_end(topology).await.unwrap_err();
    assert_eq!(failure.class(), RetryClass::Fatal);
    assert_eq!(
        failure.chain(),
        "poison message in pipeline \"numbers\" at node \"parse\": position 3, subject \"numbers.3\", no_number: \
         \"three\" is no number (it cannot be set aside: the pipeline has no dead letters)"
    );
    assert!(log.settled() <= 2, "the poison message was settled");
    assert!(
        !table.items().contains(&4),
        "a neighbour of the poison message went on"
    );
}

#[tokio::test(start_paused = true)]
async fn a_poison_message_whose_source_kept_no_message_stops_the_pipeline() {
    let log = MemoryLog::<u64>::of([]);
    log.append(Delivery {
        position: 9,
        origin: None,
        item: 1,
    });
    let letters = MemoryDeadLetters::new();
    let refuse = each(|_: u64| {
        Step::<u64>::DeadLetter(Cause {
            code: "unwanted",
            message: "not wanted".to_owned(),
        })
    });
    let topology = Topology::named("numbers")
        .source("log", log.source().ending())
        .then("refuse", refuse)
        .into("table", MemoryTable::new().sink())
        .dead_letters("graveyard", letters.clone())
        .build();
    let failure = run_to_end(topology).await.unwrap_err();
    assert_eq!(failure.class(), RetryClass::Fatal);
    let chain = failure.chain();
    assert!(
        chain.contains("position 9, subject \"unknown\", unwanted: not wanted"),
        "{chain}"
    );
    assert!(letters.letters().is_empty());
    assert_eq!(log.settled(), 0);
}
