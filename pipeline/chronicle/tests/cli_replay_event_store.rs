//! `chronicle replay` out of the event store: events by account and version, and the commands that made them.

mod cli_support;

use cli_support::event_store::{event_store, process};
use cli_support::{Done, command, finish, id};
use ledger::codec::json;
use ledger::{Event, Timestamp};
use serde_json::{Value, json};
use store::EventStore;

/// An event store, and a folder to write into.
struct Place {
    store: EventStore,
    url: String,
    folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let (store, url) = event_store().await;
        let folder = tempfile::tempdir().expect("a folder can be made");
        Self { store, url, folder }
    }

    async fn replay(&self, arguments: &[&str]) -> Done {
        let mut command = command(self.folder.path());
        command.arg("replay").args(arguments);
        command.args(["--event-store-url", &self.url]);
        finish(command.spawn().expect("chronicle starts")).await
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).expect("the file is there")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("the file can be written");
    }
}

fn create(number: u64, account: &str) -> String {
    json!({"command_id": id(number), "type": "create_account", "account_id": account, "owner_name": "Owner",
        "currency": "EUR", "initial_balance": "10.00"})
    .to_string()
}

fn withdraw(number: u64, account: &str, amount: &str) -> String {
    json!({"command_id": id(number), "type": "withdraw", "account_id": account, "amount": amount})
        .to_string()
}

/// Two accounts, four events of A and two of B; commands 3 and 6 are refused.
async fn fill(store: &EventStore) -> Vec<Event> {
    let commands = [
        create(1, "A"),
        create(2, "B"),
        withdraw(3, "A", "1000.00"),
        withdraw(4, "A", "1.00"),
        withdraw(5, "A", "2.00"),
        withdraw(6, "NOBODY", "1.00"),
        withdraw(7, "B", "3.00"),
        withdraw(8, "A", "4.00"),
    ];
    let mut events = Vec::new();
    // Each by itself: so each has an instant of its own.
    for command in &commands {
        events.extend(process(store, std::slice::from_ref(command)).await);
    }
    events
}

fn places(done: &Done) -> Vec<String> {
    let place = |line: &Value| {
        assert_eq!(line["sequence"], Value::Null);
        let event = &line["event"];
        format!(
            "{}:{}",
            event["account_id"].as_str().expect("an account"),
            event["version"]
        )
    };
    done.lines().iter().map(place).collect()
}

fn ids(text: &str) -> Vec<u64> {
    let number = |line: &str| {
        let command = json::decode_command(line.as_bytes()).expect("it is a command");
        let id = command.command_id.to_string();
        id.rsplit('-')
            .next()
            .expect("it works")
            .parse()
            .expect("a number")
    };
    text.lines().map(number).collect()
}

fn at(events: &[Event], account: &str, version: u64) -> Timestamp {
    let is_it =
        |event: &&Event| event.account_id.as_str() == account && event.version.get() == version;
    events
        .iter()
        .find(is_it)
        .expect("there is such an event")
        .recorded_at
}

#[tokio::test]
async fn each_accounts_events_come_in_order_with_their_bytes() {
    let place = Place::new().await;
    let mut events = fill(&place.store).await;
    let all = place
        .replay(&["--from-event-store", "--into", "stdout"])
        .await
        .exits(0);
    assert_eq!(places(&all), ["A:1", "A:2", "A:3", "A:4", "B:1", "B:2"]);
    events.sort_by(|one, other| {
        (&one.account_id, one.version).cmp(&(&other.account_id, other.version))
    });
    for (line, event) in all.out.lines().zip(&events) {
        let text = String::from_utf8(json::encode_event(event)).unwrap();
        assert_eq!(line, format!(r#"{{"sequence":null,"event":{text}}}"#));
    }
    let of = async |arguments: &[&str]| {
        let always = ["--from-event-store", "--into", "-"];
        places(&place.replay(&[&always, arguments].concat()).await.exits(0))
    };
    assert_eq!(of(&["--account", "A"]).await, ["A:1", "A:2", "A:3", "A:4"]);
    assert_eq!(of(&["--account", "C"]).await, [""; 0]);
    assert_eq!(of(&["--type", "AccountCreated"]).await, ["A:1", "B:1"]);
    assert_eq!(of(&["--after", "A:3"]).await, ["A:4", "B:1", "B:2"]);
    assert_eq!(
        of(&["--account", "A", "--after", "A:2"]).await,
        ["A:3", "A:4"]
    );
    let (from, to) = (
        at(&events, "A", 2).to_string(),
        at(&events, "B", 2).to_string(),
    );
    assert_eq!(
        of(&["--from-time", &from, "--to-time", &to]).await,
        ["A:2", "A:3", "B:2"]
    );
    for (arguments, words) in [
        (
            &["--to-time", "2100-01-01T00:00:00Z"][..],
            "--to-time 2100-01-01T00:00:00.000000Z lies in the future",
        ),
        (
            &["--account", "A", "--after", "B:1"],
            "only account A is wanted",
        ),
        (&["--from-sequence", "1"], "cannot be used with"),
        (&["--after", "A"], "as in ALICE:42"),
    ] {
        let always = ["--from-event-store", "--into", "-"];
        place
            .replay(&[&always, arguments].concat())
            .await
            .exits(2)
            .says(words);
    }
}

#[tokio::test]
async fn a_file_out_of_the_event_store_is_resumed_too() {
    let place = Place::new().await;
    fill(&place.store).await;
    let into = ["--from-event-store", "--into", "book.ndjson"];
    place
        .replay(&into)
        .await
        .exits(0)
        .prints("replayed 6 events into book.ndjson");
    let whole = place.read("book.ndjson");
    let three: usize = whole.split_inclusive('\n').take(3).map(str::len).sum();
    place.write("book.ndjson", &whole[..three + 40]);
    place.replay(&into).await.exits(2).says("--resume");
    let resume = [&into[..], &["--resume"]].concat();
    place
        .replay(&[&resume[..], &["--dry-run"]].concat())
        .await
        .exits(0)
        .prints("from  the event store, by account and version, behind A:3, recorded until 2");
    assert_eq!(place.read("book.ndjson").len(), three + 40);
    place
        .replay(&resume)
        .await
        .exits(0)
        .prints("replayed 3 events");
    assert_eq!(place.read("book.ndjson"), whole);
}

#[tokio::test]
async fn commands_are_written_in_the_order_in_which_they_were_decided() {
    let place = Place::new().await;
    let events = fill(&place.store).await;
    let all = place
        .replay(&["commands", "--into", "stdout"])
        .await
        .exits(0)
        .says("replayed 8 commands into stdout");
    assert_eq!(ids(&all.out), [1, 2, 3, 4, 5, 6, 7, 8]);
    let first: Value = serde_json::from_str(all.out.lines().next().unwrap()).unwrap();
    let sent: Value = serde_json::from_str(&create(1, "A")).unwrap();
    for (name, value) in sent.as_object().unwrap() {
        assert_eq!(&first[name], value, "{first}");
    }
    let of = async |arguments: &[&str]| {
        let always = ["commands", "--into", "-"];
        ids(&place
            .replay(&[&always, arguments].concat())
            .await
            .exits(0)
            .out)
    };
    assert_eq!(of(&["--account", "A"]).await, [1, 3, 4, 5, 8]);
    let (from, to) = (
        at(&events, "A", 2).to_string(),
        at(&events, "B", 2).to_string(),
    );
    assert_eq!(
        of(&["--from-time", &from, "--to-time", &to]).await,
        [4, 5, 6, 7]
    );
    assert_eq!(of(&["--after", &id(6)]).await, [7, 8]);
    place
        .replay(&["commands", "--into", "-", "--after", &id(99)])
        .await
        .exits(1)
        .says("the event store has no command");
    place
        .replay(&["commands", "--into", "x.ndjson", "--dry-run"])
        .await
        .exits(0)
        .prints("at most 8 commands would be replayed into x.ndjson; nothing was done");
    assert!(!place.folder.path().join("x.ndjson").exists());
}

#[tokio::test]
async fn a_file_of_commands_is_resumed_and_never_overwritten() {
    let place = Place::new().await;
    fill(&place.store).await;
    let into = ["commands", "--into", "commands.ndjson"];
    place
        .replay(&into)
        .await
        .exits(0)
        .prints("replayed 8 commands");
    let whole = place.read("commands.ndjson");
    place.replay(&into).await.exits(2).says("is there already");
    let five: usize = whole.split_inclusive('\n').take(5).map(str::len).sum();
    place.write("commands.ndjson", &whole[..five + 10]);
    let resume = [&into[..], &["--resume"]].concat();
    place
        .replay(&resume)
        .await
        .exits(0)
        .prints("replayed 3 commands");
    assert_eq!(place.read("commands.ndjson"), whole);
    place.write("commands.ndjson", "notes\n");
    place
        .replay(&resume)
        .await
        .exits(2)
        .says("the last line of commands.ndjson is no command");
}
