//! Commands are kept with their outcomes, word for word.

use std::collections::BTreeMap;

use ledger::{Command, CommandId, Version, limits};
use uuid::Uuid;

use crate::support::build::{create, create_with, deposit, new_account_id, transfer, withdraw};
use crate::support::database;
use crate::support::outcomes::{process, verdicts, writer};

#[tokio::test]
async fn a_command_is_read_back_as_it_came() {
    let store = database::store().await;
    let (first, second) = (new_account_id("first"), new_account_id("second"));
    let awkward = "Zażółć \u{1f9ff} \"quoted\" \\ back/slash \u{1}\u{1f}\u{7f}\u{2028}\u{fffe}\r\n\t ' $1 ; --";
    let mut commands = vec![
        create_with(&first, "100.50", "USD", "0.00"),
        create_with(&second, "100", "USD", "12"),
        deposit(&first, "25.0"),
        withdraw(&first, "0.01"),
        transfer(&first, &second, "25"),
        withdraw(&first, "1000000"),
    ];
    for (index, command) in commands.iter_mut().enumerate() {
        command.description = Some(awkward.to_owned());
        command.actor = (index % 2 == 0).then(|| awkward.to_owned());
        command.metadata = BTreeMap::from([
            ("b".to_owned(), awkward.to_owned()),
            ("a".to_owned(), String::new()),
            ("Z~!\"{}".to_owned(), "1".to_owned()),
        ]);
        command.conditions.expected_version = (index == 2).then_some(Version::new(1));
    }
    let processed = process(&mut writer(&store), &commands).await;
    assert_eq!(
        verdicts(&processed),
        [
            "accepted",
            "accepted",
            "accepted",
            "accepted",
            "accepted",
            "insufficient_funds"
        ]
    );

    for command in &commands {
        let read = store.command(command.command_id).await.unwrap().unwrap();
        assert_eq!(&read, command);
        assert_eq!(read.fingerprint(), command.fingerprint());
    }
}

#[tokio::test]
async fn the_largest_command_is_read_back_as_it_came() {
    let store = database::store().await;
    let account_id = new_account_id("largest");
    // In JSON each of these characters takes six bytes.
    let text = |bytes: usize| "\u{1}".repeat(bytes);
    let mut command: Command = create(&account_id, "1");
    command.description = Some(text(limits::DESCRIPTION_BYTES_MAX));
    command.actor = Some(text(limits::ACTOR_BYTES_MAX));
    command.conditions.expected_version = Some(Version::NONE);
    for entry in 0..limits::METADATA_ENTRIES_MAX {
        let key = format!("{entry:0>width$}", width = limits::METADATA_KEY_BYTES_MAX);
        command
            .metadata
            .insert(key, text(limits::METADATA_VALUE_BYTES_MAX));
    }
    let processed = process(&mut writer(&store), std::slice::from_ref(&command)).await;
    assert_eq!(verdicts(&processed), ["accepted"]);
    assert_eq!(
        store.command(command.command_id).await.unwrap(),
        Some(command)
    );
}

#[tokio::test]
async fn a_command_without_an_outcome_is_not_there() {
    let store = database::store().await;
    let nobody: CommandId = Uuid::new_v4().into();
    assert_eq!(store.command(nobody).await.unwrap(), None);
    assert_eq!(store.outcomes(&[nobody]).await.unwrap(), []);
    assert_eq!(store.outcomes(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn outcomes_are_found_among_many() {
    let store = database::store().await;
    let commands: Vec<Command> = (0..300)
        .map(|_| create(&new_account_id("found"), "1"))
        .collect();
    process(&mut writer(&store), &commands).await;
    let mut ids: Vec<CommandId> = commands.iter().map(|command| command.command_id).collect();
    ids.push(Uuid::new_v4().into());

    let mut found: Vec<CommandId> = store
        .outcomes(&ids)
        .await
        .unwrap()
        .into_iter()
        .map(|stored| stored.outcome.command_id)
        .collect();

    ids.pop();
    ids.sort();
    found.sort();
    assert_eq!(found, ids);
}
