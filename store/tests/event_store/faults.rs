//! The connection breaks at the worst moment: each command still has one outcome, and its events are there once.

use std::time::Duration;

use ledger::{AccountId, Command};
use store::{Error, EventStore, WriterCounters};

use crate::support::book::Book;
use crate::support::build::{create, deposit, new_account_id, withdraw};
use crate::support::clock::{self, wait_until};
use crate::support::database::{Database, connect_with};
use crate::support::outcomes::{outcome, process, process_until_done, verdicts, writer};
use crate::support::proxy::{Fault, Gate, Proxy};

/// Long enough for a machine that is busy, short enough to wait for.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(1);

struct Scene {
    proxy: Proxy,
    /// By way of the proxy.
    store: EventStore,
    /// Around it.
    direct: EventStore,
    account_id: AccountId,
}

impl Scene {
    /// An account with 100.00.
    async fn new() -> Self {
        let database = Database::shared().await;
        let proxy = Proxy::before(&database.application_url()).await;
        let store = connect_with(proxy.url(), 4, STATEMENT_TIMEOUT);
        let direct = database.store();
        let account_id = new_account_id("fault");
        process(&mut writer(&direct), &[create(&account_id, "100")]).await;
        Self {
            proxy,
            store,
            direct,
            account_id,
        }
    }

    /// Two that are accepted and one that is not, whatever is done twice or not at all.
    fn batch(&self) -> [Command; 3] {
        [
            withdraw(&self.account_id, "60"),
            withdraw(&self.account_id, "60"),
            deposit(&self.account_id, "1"),
        ]
    }

    async fn assert_done_once(&self) {
        let book = Book::of(&self.direct, &[&self.account_id]).await;
        assert_eq!(book.balance(&self.account_id).to_string(), "41.00");
        assert_eq!(book.versions(&self.account_id), 3);
        assert_eq!(self.proxy.faults_left(), 0, "every fault has struck");
    }
}

#[tokio::test]
async fn an_append_that_is_cut_off_has_one_outcome() {
    let faults: [fn() -> Fault; 3] = [|| Fault::CutBefore, || Fault::CutAfter, || Fault::CutAnswer];
    for fault in faults {
        for times in [1, 3] {
            let scene = Scene::new().await;
            let mut writer = writer(&scene.store);
            scene.proxy.fail_appends((0..times).map(|_| fault()));
            let batch = scene.batch();

            let processed = process_until_done(&mut writer, &batch, &clock::now).await;

            for (command, processed) in batch.iter().zip(&processed) {
                let stored = scene.direct.outcomes(&[command.command_id]).await.unwrap();
                assert_eq!(*outcome(processed), stored[0].outcome);
            }
            // An answer that was lost meant a commit, and is not committed again.
            let again = process(&mut writer, &batch).await;
            assert_eq!(
                verdicts(&again),
                [
                    "repeated accepted",
                    "repeated insufficient_funds",
                    "repeated accepted"
                ]
            );
            if times == 1 {
                scene.assert_done_once().await;
            }
        }
    }
}

#[tokio::test]
async fn a_lost_answer_is_recognised_as_a_commit() {
    let scene = Scene::new().await;
    scene.proxy.fail_appends([Fault::CutAnswer]);
    let counters = WriterCounters::default();
    let mut writer = writer(&scene.store).counted_by(&counters);
    let processed = process(&mut writer, &scene.batch()).await;
    let counted = counters.snapshot();
    assert_eq!((counted.ambiguous, counted.repeated), (1, 3));
    assert_eq!(
        verdicts(&processed),
        [
            "repeated accepted",
            "repeated insufficient_funds",
            "repeated accepted"
        ]
    );
    scene.assert_done_once().await;
}

#[tokio::test]
async fn an_append_that_was_given_up_and_arrives_after_its_repetition_changes_nothing() {
    let scene = Scene::new().await;
    let gate = Gate::new();
    scene.proxy.fail_appends([Fault::Hold(gate.clone())]);
    let processed = process(&mut writer(&scene.store), &scene.batch()).await;
    assert_eq!(
        verdicts(&processed),
        ["accepted", "insufficient_funds", "accepted"]
    );
    gate.open().await;
    scene.assert_done_once().await;
}

#[tokio::test]
async fn an_append_that_was_given_up_and_arrives_before_its_repetition_is_the_one_that_counts() {
    let scene = Scene::new().await;
    // Long enough to stand at the second gate while the first append is committed.
    let store = connect_with(scene.proxy.url(), 4, Duration::from_secs(5));
    let (first, second) = (Gate::new(), Gate::new());
    scene
        .proxy
        .fail_appends([Fault::Hold(first.clone()), Fault::Hold(second.clone())]);
    let batch = scene.batch();
    let mut writer = writer(&store);
    let opening_the_gates = async {
        // The outcomes were looked up in vain and the commands decided anew.
        second.arrived().await;
        first.open().await;
        second.open().await;
    };
    let (processed, ()) = tokio::join!(process(&mut writer, &batch), opening_the_gates);
    assert_eq!(
        verdicts(&processed),
        [
            "repeated accepted",
            "repeated insufficient_funds",
            "repeated accepted"
        ]
    );
    scene.assert_done_once().await;
}

#[tokio::test]
async fn a_writer_that_is_dropped_in_the_midst_of_an_append_leaves_nothing_half_done() {
    let scene = Scene::new().await;
    let gate = Gate::new();
    scene.proxy.fail_appends([Fault::Hold(gate.clone())]);
    let batch = scene.batch();
    {
        let mut writer = writer(&scene.store);
        let processing = process(&mut writer, &batch);
        tokio::select! {
            _ = processing => panic!("the append is held"),
            () = gate.arrived() => {}
        }
    }
    let processed = process(&mut writer(&scene.store), &batch).await;
    assert_eq!(
        verdicts(&processed),
        ["accepted", "insufficient_funds", "accepted"]
    );
    gate.open().await;
    scene.assert_done_once().await;
}

#[tokio::test]
async fn a_look_that_is_cut_off_is_an_error_that_can_be_repeated() {
    let scene = Scene::new().await;
    let store = connect_with(scene.proxy.url(), 1, STATEMENT_TIMEOUT);
    store.ping().await.unwrap();
    for fault in [Fault::CutBefore, Fault::CutAfter, Fault::CutAnswer] {
        scene.proxy.fail_statements([fault]);
        let error = store.account(&scene.account_id).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        store.account(&scene.account_id).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_database_that_falls_silent_uses_up_no_connections() {
    const CONNECTIONS: u32 = 2;
    let scene = Scene::new().await;
    let store = connect_with(scene.proxy.url(), CONNECTIONS, STATEMENT_TIMEOUT);
    for _ in 0..3 * CONNECTIONS {
        scene.proxy.fail_statements([Fault::Silence]);
        let error = store.account(&scene.account_id).await.unwrap_err();
        assert!(matches!(error, Error::Ambiguous(_)), "{error}");
    }
    store.account(&scene.account_id).await.unwrap().unwrap();

    // A caller who does not wait until the time is over takes no connection with him either.
    for _ in 0..3 * CONNECTIONS {
        scene.proxy.fail_statements([Fault::Silence]);
        let struck = wait_until("it is silent", async || scene.proxy.faults_left() == 0);
        tokio::select! {
            _ = store.account(&scene.account_id) => panic!("silence is no answer"),
            () = struck => {}
        }
    }
    store.account(&scene.account_id).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_snapshot_that_falls_silent_ends_in_time() {
    let scene = Scene::new().await;
    let store = connect_with(scene.proxy.url(), 1, STATEMENT_TIMEOUT);
    let mut snapshot = store.snapshot().await.unwrap();
    scene.proxy.fail_statements([Fault::Silence]);
    assert!(snapshot.events(None, 1).await.unwrap_err().is_transient());
    assert!(snapshot.events(None, 1).await.unwrap_err().is_transient());
    assert!(snapshot.close().await.is_err());
    store.ping().await.unwrap();
}
