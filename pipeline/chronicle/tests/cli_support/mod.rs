//! The client subcommands against a real NATS and nothing else: no databases, no pipelines. Where a ledger has to answer,
//! the test plays it.

// Each test file is a crate, and uses its own part of this.
#![allow(dead_code, unreachable_pub)]

pub mod event_store;
pub mod feed;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::Stream;
use futures::StreamExt;
use serde_json::{Value, json};
use servers::testing;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use transport::restoring::{self, Changes, Restoration};
use transport::streams::{self, Limits};
use transport::{Nats, headers, message};

/// How long anything may take before the test fails.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// What a subcommand has done.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Done {
    /// The exit code must be this one.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// stderr must contain these words.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.err.contains(words), "{words:?} is not said: {self:#?}");
        self
    }

    /// stdout must contain these words.
    #[track_caller]
    pub fn prints(self, words: &str) -> Self {
        assert!(
            self.out.contains(words),
            "{words:?} is not printed: {self:#?}"
        );
        self
    }

    /// stdout must be empty.
    #[track_caller]
    pub fn prints_nothing(self) -> Self {
        assert_eq!(self.out, "", "{self:#?}");
        self
    }

    /// stdout as JSON, one document a line and nothing else.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let document = |line: &str| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{error}: {line:?} in {self:#?}"))
        };
        self.out.lines().map(document).collect()
    }

    /// stdout as the one JSON document that it must be.
    #[track_caller]
    pub fn document(&self) -> Value {
        let mut lines = self.lines();
        assert_eq!(lines.len(), 1, "{self:#?}");
        lines.remove(0)
    }
}

/// A `chronicle` that knows no server, in a folder of its own.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chronicle"));
    for name in ["NATS_URL", "EVENT_STORE_URL", "READ_MODEL_URL", "DATA_DIR"] {
        command.env_remove(format!("CHRONICLE_{name}"));
    }
    command
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .env("USER", "tester")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Waits for its end.
pub async fn finish(child: Child) -> Done {
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output())
        .await
        .expect("chronicle ends")
        .expect("chronicle can be waited for");
    Done {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("it prints UTF-8"),
        err: String::from_utf8(output.stderr).expect("it says UTF-8"),
    }
}

/// Ctrl-C.
pub fn interrupt(pid: u32) {
    let told = std::process::Command::new("kill")
        .args(["-INT", &pid.to_string()])
        .status();
    assert!(told.expect("kill is there").success());
}

/// Runs `chronicle` where no server is known.
pub async fn chronicle(arguments: &[&str]) -> Done {
    let folder = tempfile::tempdir().expect("a folder can be made");
    finish(
        command(folder.path())
            .args(arguments)
            .spawn()
            .expect("chronicle starts"),
    )
    .await
}

/// A NATS of the test's own, and a folder.
pub struct Place {
    pub server: testing::Nats,
    pub nats: Nats,
    pub folder: tempfile::TempDir,
}

impl Place {
    pub async fn new() -> Self {
        let server = testing::Nats::start().await;
        let nats = Nats::connect(&server.url()).await.expect("NATS runs");
        let folder = tempfile::tempdir().expect("a folder can be made");
        Self {
            server,
            nats,
            folder,
        }
    }

    /// A `chronicle` that knows this NATS.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.folder.path());
        command
            .env("CHRONICLE_NATS_URL", self.server.url())
            .args(arguments);
        command
    }

    /// Runs it to its end.
    pub async fn chronicle(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments).spawn().expect("chronicle starts")).await
    }

    /// Runs it to its end with this on its standard input.
    pub async fn chronicle_reading(&self, arguments: &[&str], input: &str) -> Done {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("chronicle starts");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        stdin.write_all(input.as_bytes()).await.expect("it reads");
        drop(stdin);
        finish(child).await
    }

    /// A file in the folder, with these lines.
    pub fn file(&self, name: &str, lines: &[String]) -> String {
        std::fs::write(self.folder.path().join(name), lines.join("\n"))
            .expect("the file can be written");
        name.to_owned()
    }

    /// The stream of commands, as the pipelines make it.
    pub async fn commands(&self, limits: &Limits) -> Stream {
        streams::commands(&self.nats.jetstream, 1, limits)
            .await
            .expect("the stream can be made")
    }

    /// The feed, as the pipelines make it.
    pub async fn feed(&self) -> Stream {
        streams::events(&self.nats.jetstream, &Limits::default())
            .await
            .expect("the stream can be made")
    }

    /// The feed, which is being restored: events are published under `ledger.restored_events`.
    pub async fn restored_feed(&self) -> Stream {
        let restoration = Restoration {
            id: "restoration-1".to_owned(),
            since: None,
            is_abandoned: false,
        };
        let settings = restoring::settings(None, &Limits::default(), Changes::default());
        restoring::begin(&self.nats.jetstream, &settings, &restoration)
            .await
            .expect("the stream can be made")
    }

    /// Publishes to a stream, and waits until it is there.
    pub async fn publish(&self, subject: &str, payload: Vec<u8>) {
        let published = self
            .nats
            .jetstream
            .publish(subject.to_owned(), payload.into());
        published
            .await
            .expect("NATS runs")
            .await
            .expect("a stream takes it");
    }

    /// The dead letters, as the pipelines make them.
    pub async fn dead_letters(&self) -> Stream {
        streams::dead_letters(&self.nats.jetstream, &Limits::default())
            .await
            .expect("the stream can be made")
    }
}

/// The messages that a stream holds now.
pub async fn held(stream: &Stream) -> Vec<engine::Message> {
    let state = stream.get_info().await.expect("the stream is there").state;
    let mut messages = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        if let Ok(found) = stream.get_raw_message(sequence).await {
            messages.push(message::from_stream(found));
        }
    }
    messages
}

/// Plays the ledger: takes commands in order and answers each with what `answer` makes of it (`None` = not at all), until
/// it is dropped. Settled commands leave the stream.
pub struct Player {
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Player {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub async fn play(
    place: &Place,
    stream: &Stream,
    mut answer: impl FnMut(u64, &Value) -> Option<Value> + Send + 'static,
) -> Player {
    let consumer = stream
        .create_consumer(pull::Config::default())
        .await
        .expect("a consumer can be made");
    let mut messages = consumer.messages().await.expect("it can be read");
    let (client, stream) = (place.nats.client.clone(), stream.clone());
    let task = tokio::spawn(async move {
        while let Some(Ok(delivered)) = messages.next().await {
            let received =
                message::from_jetstream(&delivered).expect("it is a message of the stream");
            let body = serde_json::from_slice(&received.payload).unwrap_or(Value::Null);
            if let (Some(answer), Some(reply_to)) = (
                answer(received.position, &body),
                received.header(headers::REPLY_TO),
            ) {
                client
                    .publish(reply_to.to_owned(), answer.to_string().into())
                    .await
                    .expect("it can be answered");
            }
            stream
                .delete_message(received.position)
                .await
                .expect("it can leave the stream");
            delivered.ack().await.expect("it can be settled");
        }
    });
    Player { task }
}

/// The outcome of a command that was accepted.
pub fn accepted(command: &Value) -> Value {
    let event = json!({"account_id": command["account_id"], "version": 1, "event_id": command["command_id"]});
    json!({"command_id": command["command_id"], "status": "accepted", "events": [event]})
}

/// The outcome of a command that was rejected.
pub fn rejected(command: &Value, code: &str) -> Value {
    json!({"command_id": command["command_id"], "status": "rejected", "events": [],
           "rejection": {"code": code, "message": format!("because of {code}"), "data": {}}})
}

/// The id of the `number`th command of a test.
pub fn id(number: u64) -> String {
    format!("6f1c2a3e-58b1-4c0e-9a53-{number:012}")
}

/// A deposit into account `A`, as JSON.
pub fn deposit(number: u64) -> String {
    format!(
        r#"{{"command_id":"{}","type":"deposit","account_id":"A","amount":"1.00"}}"#,
        id(number)
    )
}
