//! The contract of a sink.
//!
//! | rule | in short |
//! |---|---|
//! | [`duplicate_batch`] | the same batch twice has the effect of once |
//! | [`crash_after_commit_before_settle`] | a new sink over the same place takes the same records again, cut into other batches |
//! | [`fenced_twin`] | of two sinks that keep the same offset, the older stops and changes nothing |
//! | [`slow_peer`] | a peer that is slow costs time, not records, and is nothing that needs a person |
//! | [`shutdown_with_work_in_flight`] | neither a drain nor an abort in the midst of writes loses or doubles anything |

mod rig;

use std::future::Future;
use std::sync::Arc;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::component::Sink;
use crate::failure::RetryClass;
use crate::message::Message;
use crate::status::PipelineStatus;
use crate::testing::{bare_message, run_to_end};
use rig::{
    FIRST, PATIENCE, RECORDS, SECOND, Slow, assert_fenced, batch, log_of, must, opened, pipeline,
    undisturbed,
};

/// A sink under test and the place that it writes to, which outlives it. Each one has a place of its own, empty at
/// first.
pub trait SinkUnderTest {
    /// The sink.
    type Sink: Sink<Item: Clone>;

    /// A new sink over the same place, as after a restart of the process. The rules open it.
    fn build(&self) -> impl Future<Output = Self::Sink>;

    /// The first `count` of a fixed sequence of items; they stand at the positions 1, 2, 3 and so on.
    fn items(&self, count: usize) -> Vec<<Self::Sink as Sink>::Item>;

    /// The message that the item at `position` came from.
    fn origin(&self, position: u64) -> Option<Arc<Message>> {
        Some(bare_message(position))
    }

    /// Everything that the sink has brought about, as text: equal for equal effects, also of two different places. So
    /// it holds no time, no random id and no name of the place.
    fn effect(&self) -> impl Future<Output = String>;

    /// Makes the server behind the place slow, and says whether it could.
    fn slow_down(&self) -> impl Future<Output = bool> {
        async { false }
    }

    /// Ends what [`slow_down`](Self::slow_down) has begun.
    fn speed_up(&self) -> impl Future<Output = ()> {
        async {}
    }
}

/// Every rule that applies to the sink; `new_place` makes a sink under test with an empty place.
pub async fn all<U: SinkUnderTest>(new_place: impl AsyncFn() -> U) {
    duplicate_batch(&new_place).await;
    crash_after_commit_before_settle(&new_place).await;
    slow_peer(&new_place).await;
    shutdown_with_work_in_flight(&new_place).await;
    if opened(&new_place().await).await.1.is_some() {
        fenced_twin(&new_place).await;
    }
}

/// The same batch twice has the effect of once.
pub async fn duplicate_batch<U: SinkUnderTest>(new_place: impl AsyncFn() -> U) {
    let place = new_place().await;
    let before = place.effect().await;
    let (mut sink, _) = opened(&place).await;

    must(sink.write(&batch(&place, 1..=FIRST)).await, "write a batch");
    let once = place.effect().await;
    assert_ne!(
        before, once,
        "a batch must have an effect, else no rule here can be broken"
    );
    must(
        sink.write(&batch(&place, 1..=FIRST)).await,
        "write the same batch again",
    );
    let twice = place.effect().await;
    assert_eq!(
        once, twice,
        "the same batch twice must have the effect of once"
    );
}

/// A sink that dies between its commit and the settlement is followed by one that gets the same records again, cut
/// into other batches. One that keeps the offset must have kept it with the batch.
pub async fn crash_after_commit_before_settle<U: SinkUnderTest>(new_place: impl AsyncFn() -> U) {
    let reference = undisturbed(&new_place).await;
    let place = new_place().await;
    let (mut first, _) = opened(&place).await;
    must(
        first.write(&batch(&place, 1..=FIRST)).await,
        "write a batch",
    );
    drop(first);

    let (mut second, resume) = opened(&place).await;
    if let Some(resume) = &resume {
        assert_eq!(
            resume.position, FIRST,
            "a sink that keeps the offset must stand where its last batch ended"
        );
    }
    let mut from = resume.map_or(1, |resume| resume.position + 1);
    while from <= RECORDS {
        let to = (from + 6).min(RECORDS);
        must(
            second.write(&batch(&place, from..=to)).await,
            "write records again after a crash",
        );
        from = to + 1;
    }
    assert_eq!(
        place.effect().await,
        reference,
        "records that come again after a crash must have the effect of a run without one"
    );
}

/// Of two sinks that keep the same offset, the one opened first is refused from then on: its write fails for good,
/// says "fenced", and changes nothing.
pub async fn fenced_twin<U: SinkUnderTest>(new_place: impl AsyncFn() -> U) {
    let place = new_place().await;
    let (mut old, resume) = opened(&place).await;
    assert!(
        resume.is_some(),
        "only a sink that keeps the offset can be fenced"
    );
    must(old.write(&batch(&place, 1..=FIRST)).await, "write a batch");
    let before = place.effect().await;

    let (mut new, resume) = opened(&place).await;
    assert_eq!(
        resume.map(|resume| resume.position),
        Some(FIRST),
        "the twin must begin where the first one ended"
    );
    let next = batch(&place, FIRST + 1..=SECOND);
    assert_fenced(old.write(&next).await);
    assert_eq!(
        place.effect().await,
        before,
        "a fenced write must change nothing"
    );
    must(
        new.write(&next).await,
        "write as the one with the newest fence",
    );
    let after = place.effect().await;
    assert_fenced(old.write(&next).await);
    assert_eq!(
        place.effect().await,
        after,
        "a fenced write must change nothing"
    );
}

/// A peer that is slow may make a write fail, but never for good, and never lose a record.
pub async fn slow_peer<U: SinkUnderTest>(new_place: impl AsyncFn() -> U) {
    let reference = undisturbed(&new_place).await;
    let place = new_place().await;
    if place.slow_down().await {
        let (mut sink, _) = opened(&place).await;
        let written = timeout(PATIENCE, sink.write(&batch(&place, 1..=FIRST))).await;
        place.speed_up().await;
        match written {
            Err(elapsed) => {
                panic!("a write must give up on a slow peer within {PATIENCE:?}: {elapsed}")
            }
            Ok(Ok(())) => {}
            Ok(Err(failure)) => assert_eq!(
                failure.class(),
                RetryClass::Retry,
                "a slow peer is nothing that needs a person: {}",
                failure.chain()
            ),
        }
    }
    let log = log_of(&place);
    let status = PipelineStatus::new("contract");
    let sink = Slow(place.build().await);
    // Idle calls come between the writes, as they would with a source that trickles.
    let topology = pipeline(&log, sink, true);
    let in_flight_max = topology.in_flight_records_max() as u64;
    let mut progress = status.watch_progress();
    let run = topology.run(status.clone(), CancellationToken::new());
    let watch = async {
        while progress.changed().await.is_ok() {
            let in_flight = status.snapshot().in_flight_records;
            assert!(
                in_flight <= in_flight_max,
                "{in_flight} records in flight, {in_flight_max} allowed"
            );
        }
    };
    let finished = tokio::select! {
        finished = timeout(PATIENCE, run) => finished,
        () = watch => unreachable!("the status outlives the run"),
    };
    let finished = finished.unwrap_or_else(|_| panic!("not done within {PATIENCE:?}"));
    must(finished, "run to the end of the log");
    assert_eq!(
        place.effect().await,
        reference,
        "slowness must not change the effect"
    );
}

/// A shutdown drains what is in flight; an abort in the midst of a write leaves it to be done again. Neither loses or
/// doubles anything.
pub async fn shutdown_with_work_in_flight<U: SinkUnderTest>(new_place: impl AsyncFn() -> U) {
    let reference = undisturbed(&new_place).await;
    let place = new_place().await;
    let log = log_of(&place);

    let shutdown = CancellationToken::new();
    let topology = pipeline(&log, place.build().await, false);
    let run = topology.run(PipelineStatus::new("contract"), shutdown.clone());
    let stop = async {
        log.until_settled(1).await;
        shutdown.cancel();
    };
    let (finished, ()) = timeout(PATIENCE, async { tokio::join!(run, stop) })
        .await
        .unwrap_or_else(|_| panic!("not drained within {PATIENCE:?}"));
    let finished = must(finished, "drain at shutdown");
    assert!(!finished.abandoned, "a drain must end in time");

    // The write of some batch is under way when the one before it is settled, or soon after.
    for _ in 0..3 {
        let topology = pipeline(&log, place.build().await, false);
        let run = topology.run(PipelineStatus::new("contract"), CancellationToken::new());
        let aim = (log.settled() + 1).min(RECORDS);
        tokio::select! {
            ended = run => panic!("the run ended by itself: {ended:?}"),
            () = log.until_settled(aim) => {}
            () = tokio::time::sleep(PATIENCE) => panic!("nothing settled within {PATIENCE:?}"),
        }
    }
    let topology = pipeline(&log, place.build().await, true);
    must(run_to_end(topology).await, "finish after a restart");
    assert_eq!(
        place.effect().await,
        reference,
        "shutdown and restart must not change the effect"
    );
}
