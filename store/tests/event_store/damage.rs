//! A row that cannot be understood is an error that names it, never an account that "does not exist".

use ledger::{CommandId, EventReference, Timestamp, Version};
use store::{Error, EventStore};

use crate::support::build::{create, deposit, new_account_id};
use crate::support::database::Database;
use crate::support::outcomes::{events, process, writer};

/// Every way to read an account or its events, each of which must fail and name the account.
async fn assert_unreadable(store: &EventStore, reference: &EventReference, ways: &[&str]) {
    let id = &reference.account_id;
    let at = Version::new(2);
    for way in ways {
        let error = match *way {
            "load" => store.load(std::slice::from_ref(id)).await.err(),
            "account_at" => store.account_at(id, Timestamp::MAX).await.err(),
            "history_back" => store.history_back(id, None, 10).await.err(),
            "account_at_version" => store.account_at_version(id, at).await.err(),
            "history" => store.history(id, Version::NONE, 10).await.err(),
            "events" => store.events(std::slice::from_ref(reference)).await.err(),
            other => panic!("no such way: {other}"),
        };
        let error = error.unwrap_or_else(|| panic!("{way} reads a damaged row"));
        assert!(matches!(error, Error::Unreadable { .. }), "{way}: {error}");
        assert!(error.to_string().contains(id.as_str()), "{way}: {error}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn damaged_events_are_errors_that_name_them() {
    let database = Database::fresh("damage").await;
    let store = database.store();
    let states = ["load", "account_at", "account_at_version"];
    let histories = ["history", "history_back", "events"];
    for (damage, version, ways) in [
        ("profile = NULL", 1, &states[..]),
        ("profile = '{\"owner_name\": 7}'", 1, &states[..]),
        ("profile_version = 7", 2, &states[..]),
        ("day_debits = '{\"count\": 1}'", 2, &states[..]),
        (
            "hash = '\\x00'",
            2,
            &[
                "load",
                "account_at",
                "account_at_version",
                "history",
                "events",
            ][..],
        ),
        (
            "balance_after = 'NaN'",
            2,
            &["load", "history", "events"][..],
        ),
        (
            "balance_after = 0.001",
            2,
            &["load", "history", "events"][..],
        ),
        ("event_type = 'MoneyBurnt'", 2, &histories[..]),
        ("data = '{}'", 2, &histories[..]),
    ] {
        let account_id = new_account_id("damaged");
        let commands = [create(&account_id, "1"), deposit(&account_id, "1")];
        let processed = process(&mut writer(&store), &commands).await;
        let reference = EventReference::from(&events(&processed[1])[0]);
        let neighbour = new_account_id("neighbour");
        process(&mut writer(&store), &[create(&neighbour, "1")]).await;

        database
            .execute(&format!(
                "UPDATE events SET {damage} WHERE account_id = '{account_id}' AND version = {version}"
            ))
            .await;

        assert_unreadable(&store, &reference, ways).await;
        assert!(
            store.account(&neighbour).await.unwrap().is_some(),
            "{damage}"
        );
    }
}

#[tokio::test]
async fn damaged_commands_are_errors_that_name_them() {
    let database = Database::fresh("damage").await;
    let store = database.store();
    for damage in ["body = '{}'", "outcome = '{}'", "fingerprint = '\\x00'"] {
        let command = create(&new_account_id("damaged"), "1");
        let id: CommandId = command.command_id;
        process(&mut writer(&store), &[command]).await;
        database
            .execute(&format!(
                "UPDATE commands SET {damage} WHERE command_id = '{id}'"
            ))
            .await;
        let error = if damage.starts_with("body") {
            store.command(id).await.unwrap_err()
        } else {
            store.outcomes(&[id]).await.unwrap_err()
        };
        assert!(matches!(error, Error::UnreadableCommand { .. }), "{error}");
        assert!(error.to_string().contains(&id.to_string()), "{error}");
    }
}
