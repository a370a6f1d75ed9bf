//! Where an export goes.

use std::fs;

use sqlx::Executor;
use sqlx::postgres::PgPool;

use crate::book::{Book, batched, book, small};

const AT: &str = "2026-02-03T00:00:00Z";

async fn export_to(book: &Book, file: &str) -> crate::cli_support::Done {
    book.ask(&["export", "--format", "hledger", "--at", AT, "--to", file])
        .await
}

#[tokio::test]
async fn a_file_holds_what_stdout_would() {
    let book = book(&small()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.journal");
    fs::write(&path, "an older one").unwrap();
    export_to(&book, path.to_str().unwrap())
        .await
        .exits(0)
        .prints_nothing();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        book.export("hledger", AT).await
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    export_to(&book, "-")
        .await
        .exits(0)
        .prints("; end of the book: 11 events of 4 accounts");
}

#[tokio::test]
async fn an_export_that_fails_leaves_no_file_and_the_older_one_as_it_was() {
    let book = book(&small()).await;
    let owner = PgPool::connect(&book.url).await.unwrap();
    owner
        .execute("DELETE FROM events WHERE account_id = 'ALICE' AND version = 4")
        .await
        .unwrap();
    owner.close().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.journal");
    fs::write(&path, "an older one").unwrap();
    export_to(&book, path.to_str().unwrap())
        .await
        .exits(1)
        .says("account bob_2 version 3: the other half of transfer")
        .says("chronicle verify");
    assert_eq!(fs::read_to_string(&path).unwrap(), "an older one");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_posting_of_which_an_entry_is_missing_is_named() {
    let book = book(&batched()).await;
    let owner = PgPool::connect(&book.url).await.unwrap();
    owner
        .execute("DELETE FROM events WHERE account_id = 'J-2' AND version = 2")
        .await
        .unwrap();
    owner.close().await;
    let at = "2026-02-04T00:00:00Z";
    book.ask(&["export", "--format", "beancount", "--at", at])
        .await
        .exits(1)
        .says("account ALICE version 6: another entry of posting")
        .says("chronicle verify");
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let book = book(&small()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    export_to(&book, path).await.exits(2).says("is a folder");
    export_to(&book, &format!("{path}/no/book"))
        .await
        .exits(2)
        .says("/no/book.partial cannot be written");
    export_to(&book, "/dev/full")
        .await
        .exits(2)
        .says("cannot be written");
}
