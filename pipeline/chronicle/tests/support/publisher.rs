//! Publishers, as applications are: own connections, raw messages, and answers that they wait for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::jetstream::message::PublishMessage;
use async_nats::{HeaderMap, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use serde_json::{Value, json};
use transport::{Nats, headers};
use uuid::Uuid;

use super::{DEADLINE, Ledger};

/// How many publishes wait for their acknowledgement.
const IN_FLIGHT_MAX: usize = 1_000;

/// One publisher with a connection of its own.
pub struct Publisher {
    pub nats: Nats,
    inbox: String,
    answers: tokio::sync::Mutex<Answers>,
    asked: AtomicUsize,
}

/// Answers by the number of the question, as they came.
struct Answers {
    subscriber: Subscriber,
    unclaimed: BTreeMap<usize, Vec<Value>>,
}

impl Publisher {
    /// A publisher that hears its answers.
    pub async fn connect(ledger: &Ledger) -> Self {
        let nats = ledger.connect().await;
        let inbox = nats.client.new_inbox();
        let subscriber = nats
            .client
            .subscribe(format!("{inbox}.*"))
            .await
            .expect("the inbox can be heard");
        // The server must know of the inbox before it knows of a command.
        nats.client.flush().await.expect("the server listens");
        let answers = Answers {
            subscriber,
            unclaimed: BTreeMap::new(),
        };
        Self {
            nats,
            inbox,
            answers: answers.into(),
            asked: AtomicUsize::new(0),
        }
    }

    /// Publishes a message that is stored when this returns.
    pub async fn store(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: impl Into<Bytes>,
    ) -> u64 {
        let message = PublishMessage::build().payload(payload.into());
        let message = match headers {
            Some(headers) => message.headers(headers),
            None => message,
        };
        let publish = self
            .nats
            .jetstream
            .send_publish(subject.to_owned(), message);
        let acknowledgement = publish.await.expect("it can be sent").await;
        acknowledgement
            .unwrap_or_else(|error| panic!("{subject}: {error}"))
            .sequence
    }

    /// Publishes a message with a reply subject; answers with the number of the question.
    pub async fn ask_with(
        &self,
        subject: &str,
        mut headers: HeaderMap,
        payload: impl Into<Bytes>,
    ) -> usize {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        headers.insert(headers::REPLY_TO, self.reply_to(number));
        self.store(subject, Some(headers), payload).await;
        number
    }

    /// Where the answer to a question goes.
    pub fn reply_to(&self, number: usize) -> String {
        format!("{}.{number}", self.inbox)
    }

    /// Publishes a command with a reply subject; answers with the number of the question.
    pub async fn ask(&self, command: &Value) -> usize {
        self.ask_with(&subject_of(command), HeaderMap::new(), command.to_string())
            .await
    }

    /// The answer to a question.
    pub async fn answer(&self, number: usize) -> Value {
        let waiting = tokio::time::timeout(DEADLINE, self.wait_for(number));
        waiting
            .await
            .unwrap_or_else(|_| panic!("question {number} was not answered"))
    }

    async fn wait_for(&self, number: usize) -> Value {
        let mut answers = self.answers.lock().await;
        loop {
            if let Some(values) = answers.unclaimed.get_mut(&number)
                && !values.is_empty()
            {
                return values.remove(0);
            }
            let message = answers
                .subscriber
                .next()
                .await
                .expect("the connection lives");
            let number = message
                .subject
                .rsplit('.')
                .next()
                .and_then(|token| token.parse().ok());
            let value = serde_json::from_slice(&message.payload).expect("an answer is JSON");
            answers
                .unclaimed
                .entry(number.expect("an answer has its question's number"))
                .or_default()
                .push(value);
        }
    }

    /// Publishes a command and waits for its answer.
    pub async fn tell(&self, command: &Value) -> Value {
        self.answer(self.ask(command).await).await
    }

    /// Publishes commands without waiting for anything in between, then waits for all answers.
    pub async fn tell_all(&self, commands: &[Value]) -> Vec<Value> {
        let mut numbers = Vec::with_capacity(commands.len());
        let mut acknowledgements = FuturesOrdered::new();
        for command in commands {
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            numbers.push(number);
            let message = PublishMessage::build()
                .payload(command.to_string().into())
                .header(headers::REPLY_TO, self.reply_to(number));
            let publish = self
                .nats
                .jetstream
                .send_publish(subject_of(command), message);
            let acknowledgement = publish.await.expect("it can be sent");
            acknowledgements.push_back(acknowledgement.into_future());
            if acknowledgements.len() >= IN_FLIGHT_MAX {
                let stored = acknowledgements.next().await.expect("there are some");
                stored.expect("it is stored");
            }
        }
        while let Some(stored) = acknowledgements.next().await {
            stored.expect("it is stored");
        }
        let mut answers = Vec::with_capacity(numbers.len());
        for number in numbers {
            answers.push(self.answer(number).await);
        }
        answers
    }
}

/// A new command id.
pub fn id() -> String {
    Uuid::new_v4().to_string()
}

/// Opens an account in dollars.
pub fn create(account_id: &str, initial_balance: &str) -> Value {
    json!({
        "command_id": id(), "type": "create_account", "account_id": account_id, "owner_name": "Ada", "currency": "USD",
        "initial_balance": initial_balance,
    })
}

/// A deposit or a withdrawal.
pub fn movement(type_name: &str, account_id: &str, amount: &str) -> Value {
    json!({"command_id": id(), "type": type_name, "account_id": account_id, "amount": amount})
}

/// A transfer.
pub fn transfer(from: &str, to: &str, amount: &str) -> Value {
    json!({"command_id": id(), "type": "transfer", "from_account_id": from, "to_account_id": to, "amount": amount})
}

/// Where a command is published.
pub fn subject_of(command: &Value) -> String {
    let first = ["commands", "entries"]
        .iter()
        .find_map(|name| command[*name].get(0));
    if let Some(first) = first {
        return subject_of(first);
    }
    let account_id = command["account_id"]
        .as_str()
        .or_else(|| command["from_account_id"].as_str());
    format!(
        "ledger.commands.{}",
        account_id.expect("a command names its account")
    )
}

/// What an answer says, in short: `accepted`, or the code of the rejection.
pub fn verdict(answer: &Value) -> &str {
    match answer["status"].as_str() {
        Some("accepted") => "accepted",
        Some("rejected") => answer["rejection"]["code"]
            .as_str()
            .expect("a rejection has a code"),
        _ => panic!("this is no answer: {answer}"),
    }
}

/// How many answers say what.
pub fn verdicts(answers: &[Value]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(verdict(answer)).or_default() += 1;
    }
    counts
}
