//! Waiting for what was handed out to be settled.

use tokio::sync::watch;

/// Waits until everything up to `position` is settled. When nobody settles any more, the run is ending, and not because
/// of whoever waits here: then it waits for ever, and whoever ends the run says why.
pub(crate) async fn up_to(settled: &mut watch::Receiver<u64>, position: u64) {
    let reached = settled
        .wait_for(|settled| *settled >= position)
        .await
        .is_ok();
    if !reached {
        std::future::pending::<()>().await;
    }
}
