//! An event store for the client subcommands, and nothing else: what is in it, the test has decided itself.

use ledger::codec::json;
use ledger::{Command, Event, Timestamp};
use servers::testing;
use store::{EventStore, Processed, Writer, WriterOptions, migrate};

use super::{Done, chronicle};

/// An event store with tables, and its URL.
pub async fn event_store() -> (EventStore, String) {
    let url = testing::event_store_url("cli").await;
    migrate::migrate(&url)
        .await
        .expect("the tables can be made");
    let store = EventStore::connect_lazy(&url, &store::Options::default()).expect("it is a URL");
    (store, url)
}

/// Decides these commands and commits what comes of them; answers with the events.
pub async fn process(store: &EventStore, commands: &[String]) -> Vec<Event> {
    let command = |text: &String| json::decode_command(text.as_bytes()).expect("it is a command");
    let commands: Vec<Command> = commands.iter().map(command).collect();
    let now = || Timestamp::from_date_time(time::OffsetDateTime::now_utc());
    let processed = Writer::new(store.clone(), WriterOptions::default())
        .process(&commands, &now)
        .await
        .expect("the event store takes it");
    let events = |processed| match processed {
        Processed::Committed { events, .. } => events,
        other => panic!("it was decided before: {other:?}"),
    };
    processed.into_iter().flat_map(events).collect()
}

/// Runs `chronicle` where this event store is known.
pub async fn ask(url: &str, arguments: &[&str]) -> Done {
    chronicle(&[arguments, &["--event-store-url", url]].concat()).await
}
