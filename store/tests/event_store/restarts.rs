//! The database stops, starts and dies under a writer at work. On a PostgreSQL of the test's own.

use std::time::Duration;

use ledger::{AccountId, Command};
use servers::testing;
use store::{Error, EventStore, Options};

use crate::support::book::Book;
use crate::support::build::{create, deposit, new_account_id, withdraw};
use crate::support::clock::{self, wait_until};
use crate::support::database::{Database, connect_with};
use crate::support::outcomes::{outcome, process, process_until_done, writer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_survives_restarts_and_crashes_of_the_database() {
    // Else a crash takes the last commits with it.
    let server = testing::Postgres::start_with(|options| options.durable = true).await;
    let owner_url = server.fresh_database("restarted").await;
    store::migrate::migrate(&owner_url).await.unwrap();
    let database = Database { owner_url };
    let store = connect_with(&database.application_url(), 4, Duration::from_secs(10));
    let ids: Vec<AccountId> = (0..3).map(|_| new_account_id("restarted")).collect();
    let opening: Vec<Command> = ids.iter().map(|id| create(id, "0")).collect();
    process(&mut writer(&store), &opening).await;

    let (progress, mut progressed) = tokio::sync::watch::channel(0);
    let work = tokio::spawn({
        let (store, ids) = (store.clone(), ids.clone());
        async move {
            let mut writer = writer(&store);
            let mut told = Vec::new();
            while !progress.is_closed() {
                let batch: Vec<Command> = ids
                    .iter()
                    .flat_map(|id| [deposit(id, "2"), withdraw(id, "1"), withdraw(id, "1000000")])
                    .collect();
                let processed = process_until_done(&mut writer, &batch, &clock::now).await;
                told.extend(batch.into_iter().zip(processed));
                progress.send_modify(|batches| *batches += 1);
            }
            told
        }
    });
    for crash in [false, true, true, false] {
        let before = *progressed.borrow_and_update();
        progressed
            .wait_for(|batches| *batches > before + 5)
            .await
            .unwrap();
        if crash {
            server.kill().await;
        }
        // After a crash, the last of the server's processes may still be on its way out.
        wait_until("the server is back", async || {
            server.restart().await.is_ok()
        })
        .await;
    }
    let before = *progressed.borrow_and_update();
    progressed
        .wait_for(|batches| *batches > before + 5)
        .await
        .unwrap();
    drop(progressed);
    let told = work.await.unwrap();

    let book = Book::of_everything(&store).await;
    assert_eq!(book.outcomes.len(), told.len() + opening.len());
    for (command, processed) in &told {
        assert_eq!(
            *outcome(processed),
            book.outcomes[&command.command_id].outcome
        );
    }
    let batches = told.len() / 9;
    for id in &ids {
        assert_eq!(book.balance(id).to_string(), format!("{batches}.00"));
    }
}

/// As after a failover to a copy that lags behind, or a crash without fsync.
#[tokio::test]
async fn a_store_that_comes_back_without_its_last_commits_gets_no_hole() {
    let server = testing::Postgres::start().await;
    let owner_url = server.fresh_database("lagging").await;
    store::migrate::migrate(&owner_url).await.unwrap();
    let database = Database { owner_url };
    let store = database.store();
    let account_id = new_account_id("lagging");
    let mut writer = writer(&store);
    process(&mut writer, &[create(&account_id, "1")]).await;
    let lost = [deposit(&account_id, "2"), deposit(&account_id, "4")];
    process(&mut writer, &lost).await;

    database
        .execute("DELETE FROM events WHERE version > 1; DELETE FROM commands WHERE command_type = 'deposit'")
        .await;
    server.restart().await.unwrap();

    let batch = [deposit(&account_id, "8")];
    process_until_done(&mut writer, &batch, &clock::now).await;
    process_until_done(&mut writer, &lost[1..], &clock::now).await;
    let book = Book::of_everything(&store).await;
    assert_eq!(book.balance(&account_id).to_string(), "13.00");
    assert_eq!(book.versions(&account_id), 3);
}

#[tokio::test]
async fn a_database_that_is_away_is_unavailable_and_comes_back() {
    let server = testing::Postgres::start().await;
    let owner_url = server.fresh_database("away").await;
    store::migrate::migrate(&owner_url).await.unwrap();
    let options = Options {
        connect_timeout: Duration::from_millis(200),
        ..Options::default()
    };
    let store = EventStore::connect_lazy(&owner_url, &options).unwrap();
    store.ping().await.unwrap();
    server.stop().await;

    // The connection that is open still has to notice.
    wait_until("the store is away", async || store.ping().await.is_err()).await;
    for _ in 0..2 {
        let error = store.ping().await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error}");
        assert!(error.is_transient());
    }
    let error = writer(&store)
        .process(&[create(&new_account_id("away"), "1")], &clock::now)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");

    server.restart().await.unwrap();
    wait_until("the store is back", async || store.ping().await.is_ok()).await;
}

#[tokio::test]
async fn a_database_that_hangs_is_given_up_in_time_and_works_when_it_goes_on() {
    let server = testing::Postgres::start().await;
    let owner_url = server.fresh_database("hanging").await;
    store::migrate::migrate(&owner_url).await.unwrap();
    let options = Options {
        connections_max: 2,
        connect_timeout: Duration::from_millis(200),
        statement_timeout: Duration::from_millis(200),
    };
    let store = EventStore::connect_lazy(&owner_url, &options).unwrap();
    let account_id = new_account_id("hanging");
    let mut writer = writer(&store);
    process(&mut writer, &[create(&account_id, "1")]).await;

    server.pause();
    let batch = [deposit(&account_id, "1")];
    for _ in 0..5 {
        let error = writer.process(&batch, &clock::now).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
    }
    server.resume();

    process_until_done(&mut writer, &batch, &clock::now).await;
    let book = Book::of(&store, &[&account_id]).await;
    assert_eq!(book.balance(&account_id).to_string(), "2.00");
}
