//! What became of commands, for assertions.

use ledger::{Command, Event, Outcome, RejectionCode, Timestamp};
use store::{EventStore, Processed, Writer, WriterOptions};

use super::clock;

/// A writer with the usual options.
pub(crate) fn writer(store: &EventStore) -> Writer {
    Writer::new(store.clone(), WriterOptions::default())
}

/// Processes a batch that must get through at the first try.
pub(crate) async fn process(writer: &mut Writer, commands: &[Command]) -> Vec<Processed> {
    let processed = writer.process(commands, &clock::now).await.unwrap();
    assert_eq!(processed.len(), commands.len(), "one answer per command");
    processed
}

/// Processes a batch as the pipeline does: again, as long as the store is away or others are faster.
pub(crate) async fn process_until_done(
    writer: &mut Writer,
    commands: &[Command],
    clock: &(dyn Fn() -> Timestamp + Sync),
) -> Vec<Processed> {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_mins(2);
    loop {
        match writer.process(commands, clock).await {
            Ok(processed) => return processed,
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                assert!(
                    tokio::time::Instant::now() < deadline,
                    "still failing: {error}"
                );
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    }
}

/// The outcome that a command has now, by whoever it was decided.
pub(crate) fn outcome(processed: &Processed) -> &Outcome {
    match processed {
        Processed::Committed { outcome, .. } => outcome,
        Processed::Repeated(stored) => &stored.outcome,
        other => panic!("no outcome: {other:?}"),
    }
}

/// The events of a command that was decided now.
pub(crate) fn events(processed: &Processed) -> &[Event] {
    match processed {
        Processed::Committed { events, .. } => events,
        other => panic!("not committed now: {other:?}"),
    }
}

/// In a word: `accepted`, a rejection's code, `repeated accepted`, `repeated` and a code, `idempotency_conflict`,
/// `refused`.
pub(crate) fn verdict(processed: &Processed) -> String {
    let told = |outcome: &Outcome| {
        outcome
            .rejection()
            .map_or("accepted", |rejection| rejection.code.as_str())
            .to_owned()
    };
    match processed {
        Processed::Committed { outcome, .. } => told(outcome),
        Processed::Repeated(stored) => format!("repeated {}", told(&stored.outcome)),
        Processed::IdempotencyConflict(rejection) => {
            assert_eq!(rejection.code, RejectionCode::IdempotencyConflict);
            rejection.code.as_str().to_owned()
        }
        Processed::Refused(_) => "refused".to_owned(),
    }
}

pub(crate) fn verdicts(processed: &[Processed]) -> Vec<String> {
    processed.iter().map(verdict).collect()
}
