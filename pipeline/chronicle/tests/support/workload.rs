//! Commands of every kind, and an independent account of what must become of each.
//!
//! One partition is decided in the order of its stream, whoever works on it and however often he dies. So the outcome of
//! every command is known in advance: a pure fold over the stream's order gives it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::{PublishAckFuture, PublishError};
use async_nats::jetstream::message::PublishMessage;
use futures::StreamExt;
use ledger::codec::decode_command;
use ledger::{Account, AccountId, CommandId, Hash, Outcome, Policy, Timestamp, decide};
use serde_json::{Value, json};
use sqlx::Row;
use tokio::time::Instant;
use transport::{Nats, headers, streams, subjects};

use super::random::Random;
use super::{DEADLINE, Ledger, eventually};

/// One message for the commands subject.
#[derive(Debug, Clone)]
pub struct Message {
    pub subject: String,
    pub payload: Vec<u8>,
}

/// What must become of a message.
#[derive(Debug, Clone, PartialEq)]
enum Fate {
    /// It is a command; this is its outcome.
    Outcome(Box<Outcome>),
    /// It is none; this is the code of the reason.
    DeadLetter(String),
}

/// A command that is not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// It has an outcome.
    pub is_decided: bool,
    /// Its publisher has been told.
    pub is_answered: bool,
}

/// A stream of commands, and what was heard of them.
pub struct Workload {
    random: Random,
    accounts: usize,
    messages: Vec<Message>,
    /// Which message lies at which sequence of `LEDGER_COMMANDS`.
    stored: BTreeMap<u64, usize>,
    answers: Answers,
    nats: Nats,
    /// What the subjects of its answers begin with.
    name: String,
    /// What the names of its accounts begin with.
    owner: String,
    /// The accounts are there already.
    accounts_opened: bool,
}

/// The answers heard so far, by message. Clones share them.
#[derive(Clone, Default)]
pub struct Answers {
    heard: Arc<Mutex<HashMap<usize, Vec<Value>>>>,
}

impl Answers {
    /// How many messages have been answered.
    pub fn count(&self) -> usize {
        self.heard.lock().expect("nobody panics with it").len()
    }

    /// Waits until so many messages have been answered.
    pub async fn until(&self, count: usize) {
        eventually(&format!("{count} answers"), || async {
            self.count() >= count
        })
        .await;
    }

    fn of(&self, index: usize) -> Vec<Value> {
        self.heard
            .lock()
            .expect("nobody panics with it")
            .get(&index)
            .cloned()
            .unwrap_or_default()
    }
}

impl Workload {
    /// A workload over ten accounts that hears every answer.
    pub async fn new(ledger: &Ledger, mut random: Random) -> Self {
        const ACCOUNTS: usize = 10;
        let nats = ledger.connect().await;
        let name = format!("{:x}", random.next());
        let answers = Answers::default();
        let mut heard = nats
            .client
            .subscribe(format!("answers.{name}.*"))
            .await
            .expect("it can be subscribed to");
        nats.client
            .flush()
            .await
            .expect("NATS knows the subscription");
        let collected = answers.clone();
        tokio::spawn(async move {
            while let Some(answer) = heard.next().await {
                let index = answer
                    .subject
                    .rsplit('.')
                    .next()
                    .and_then(|index| index.parse().ok());
                let index = index.expect("we chose the subject");
                let answer = serde_json::from_slice(&answer.payload).expect("an answer is JSON");
                collected
                    .heard
                    .lock()
                    .expect("nobody panics with it")
                    .entry(index)
                    .or_default()
                    .push(answer);
            }
        });
        Self {
            random,
            accounts: ACCOUNTS,
            messages: Vec::new(),
            stored: BTreeMap::new(),
            answers,
            nats,
            owner: name.clone(),
            name,
            accounts_opened: false,
        }
    }

    /// A workload that goes on with the same accounts over another connection, and knows nothing of what was before.
    pub async fn continued(&mut self, ledger: &Ledger) -> Self {
        let seed = self.random.next();
        let mut next = Self::new(ledger, Random::new(seed)).await;
        next.owner.clone_from(&self.owner);
        next.accounts_opened = true;
        next
    }

    /// What is heard.
    pub fn answers(&self) -> Answers {
        self.answers.clone()
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// The next `count` messages, published in order.
    pub async fn publish(&mut self, count: usize) {
        let first = self.messages.len();
        for _ in 0..count {
            let message = self.next();
            self.messages.push(message);
        }
        self.publish_from(first).await;
    }

    /// These messages, published in order.
    pub async fn publish_these(&mut self, messages: &[Message]) {
        let first = self.messages.len();
        self.messages.extend_from_slice(messages);
        self.publish_from(first).await;
    }

    async fn publish_from(&mut self, first: usize) {
        const IN_FLIGHT_MAX: usize = 500;
        let indices: Vec<usize> = (first..self.messages.len()).collect();
        for chunk in indices.chunks(IN_FLIGHT_MAX) {
            let mut acknowledgements = Vec::new();
            for index in chunk {
                let sent = self.send(*index).await.expect("it can be published");
                acknowledgements.push((*index, sent));
            }
            for (index, acknowledgement) in acknowledgements {
                let stored = acknowledgement.await.expect("LEDGER_COMMANDS takes it");
                self.stored.insert(stored.sequence, index);
            }
        }
    }

    /// The next `count` messages over a server that may be away for a while: each is published until it is surely stored,
    /// so some may be stored twice, and nobody knows the order.
    pub async fn publish_stubbornly(&mut self, count: usize) {
        const AT_A_TIME: usize = 50;
        let first = self.messages.len();
        for _ in 0..count {
            let message = self.next();
            self.messages.push(message);
        }
        let mut open: Vec<usize> = (first..self.messages.len()).rev().collect();
        let started = Instant::now();
        while !open.is_empty() {
            assert!(
                started.elapsed() < DEADLINE,
                "{} messages could not be published",
                open.len()
            );
            let chunk = open.split_off(open.len().saturating_sub(AT_A_TIME));
            let mut acknowledgements = Vec::new();
            for index in chunk.into_iter().rev() {
                acknowledgements.push((index, self.send(index).await));
            }
            // All at once: one that is lost with a connection is only given up after seconds, and often all of them are.
            let stored = acknowledgements
                .into_iter()
                .map(|(index, sent)| async move {
                    let is_stored = match sent {
                        Ok(acknowledgement) => acknowledgement.await.is_ok(),
                        Err(_) => false,
                    };
                    (index, is_stored)
                });
            for (index, is_stored) in futures::future::join_all(stored).await {
                if !is_stored {
                    open.push(index);
                }
            }
        }
    }

    /// Sends a message, and does not wait until it is stored.
    async fn send(&self, index: usize) -> Result<PublishAckFuture, PublishError> {
        let message = &self.messages[index];
        let mut map = HeaderMap::new();
        map.insert(headers::REPLY_TO, format!("answers.{}.{index}", self.name));
        let publish = PublishMessage::build()
            .payload(message.payload.clone().into())
            .headers(map);
        self.nats
            .jetstream
            .send_publish(message.subject.clone(), publish)
            .await
    }

    /// The messages so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Each message with the answers to it.
    pub fn told(&self) -> impl Iterator<Item = (&Message, Vec<Value>)> {
        self.messages
            .iter()
            .enumerate()
            .map(|(index, message)| (message, self.answers.of(index)))
    }

    /// What is known of the commands that still lie in `LEDGER_COMMANDS`, repetitions aside.
    pub async fn waiting(&self, ledger: &Ledger) -> Vec<Waiting> {
        let mut first: HashMap<CommandId, u64> = HashMap::new();
        let mut commands: BTreeMap<u64, CommandId> = BTreeMap::new();
        for (sequence, index) in &self.stored {
            if let Ok(command) = decode_command(None, &self.messages[*index].payload) {
                first.entry(command.command_id).or_insert(*sequence);
                commands.insert(*sequence, command.command_id);
            }
        }
        commands.retain(|sequence, id| first[id] == *sequence);
        let present: BTreeSet<u64> = ledger
            .messages(streams::COMMANDS)
            .await
            .iter()
            .map(|message| message.position)
            .collect();
        commands.retain(|sequence, _| present.contains(sequence));
        let ids: Vec<CommandId> = commands.values().copied().collect();
        let stored = ledger
            .store()
            .outcomes(&ids)
            .await
            .expect("the event store can be read");
        let decided: BTreeSet<CommandId> = stored
            .iter()
            .map(|stored| stored.outcome.command_id)
            .collect();
        commands
            .iter()
            .map(|(sequence, id)| Waiting {
                is_decided: decided.contains(id),
                is_answered: !self.answers.of(self.stored[sequence]).is_empty(),
            })
            .collect()
    }

    /// Makes up the next message: the accounts first, then anything.
    fn next(&mut self) -> Message {
        let opened = self.messages.len();
        if !self.accounts_opened && opened < self.accounts {
            return self.create_account(opened);
        }
        match self.random.below(100) {
            0..30 => self.movement("deposit"),
            30..55 => self.movement("withdraw"),
            55..80 => self.transfer(),
            80..88 if opened > 0 => {
                let earlier = self.random.index(self.messages.len());
                self.messages[earlier].clone()
            }
            88..91 => self.of_nobody(),
            91..93 => {
                let again = self.random.index(self.accounts);
                self.create_account(again)
            }
            93..95 if !self.accounts_opened => self.another_body(),
            _ => self.garbage(),
        }
    }

    fn account(&mut self) -> String {
        let index = self.random.index(self.accounts);
        self.account_name(index)
    }

    /// The name of an account.
    pub fn account_name(&self, index: usize) -> String {
        format!("ACC-{}-{index}", self.owner)
    }

    /// An id, an amount: what no two commands share.
    fn fresh(&mut self) -> (String, String) {
        let cents = self.random.below(6_000) + 1;
        (
            self.random.uuid().to_string(),
            format!("{}.{:02}", cents / 100, cents % 100),
        )
    }

    /// Opens an account, under an id of its own each time.
    pub fn create_account(&mut self, index: usize) -> Message {
        let (id, _) = self.fresh();
        let account = self.account_name(index);
        let body = json!({"command_id": id, "type": "create_account", "account_id": account, "owner_name": "Somebody",
            "currency": "USD", "initial_balance": "100.00"});
        message(&account, &body)
    }

    fn movement(&mut self, kind: &str) -> Message {
        let account = self.account();
        self.movement_of(kind, &account)
    }

    /// A deposit or a withdrawal.
    pub fn movement_of(&mut self, kind: &str, account: &str) -> Message {
        let (id, amount) = self.fresh();
        message(
            account,
            &json!({"command_id": id, "type": kind, "account_id": account, "amount": amount}),
        )
    }

    fn transfer(&mut self) -> Message {
        let (id, amount) = self.fresh();
        // Now and then it is the same account twice, which is refused.
        let (from, to) = (self.account(), self.account());
        message(
            &from,
            &json!({"command_id": id, "type": "transfer", "from_account_id": from, "to_account_id": to, "amount": amount}),
        )
    }

    fn of_nobody(&mut self) -> Message {
        let (id, amount) = self.fresh();
        message(
            "NOBODY",
            &json!({"command_id": id, "type": "withdraw", "account_id": "NOBODY", "amount": amount}),
        )
    }

    /// An earlier command's id with another body.
    fn another_body(&mut self) -> Message {
        let earlier = self.messages[self.random.index(self.accounts)].clone();
        let mut body: Value =
            serde_json::from_slice(&earlier.payload).expect("the first messages are commands");
        body["owner_name"] = json!("Somebody else");
        Message {
            payload: body.to_string().into_bytes(),
            ..earlier
        }
    }

    fn garbage(&mut self) -> Message {
        let mut garbage = self.movement("deposit");
        match self.random.below(4) {
            0 => garbage.payload = self.random.next().to_be_bytes().to_vec(),
            1 => garbage.payload.truncate(40),
            2 => garbage.subject = subjects::COMMANDS.to_owned() + ".SOMEBODY",
            _ => {
                garbage.payload = String::from_utf8_lossy(&garbage.payload)
                    .replace("amount", "amuont")
                    .into_bytes();
            }
        }
        garbage
    }

    /// What must become of each message, by its sequence.
    fn fates(&self) -> BTreeMap<u64, Fate> {
        let mut accounts: BTreeMap<AccountId, Account> = BTreeMap::new();
        let mut outcomes: HashMap<CommandId, (Hash, Outcome)> = HashMap::new();
        let mut fate_of = |message: &Message| {
            let command = match decode_command(None, &message.payload) {
                Ok(command) => command,
                Err(malformed) => return Fate::DeadLetter(malformed.code.to_owned()),
            };
            if subjects::account_of(&message.subject) != command.account_id().as_str() {
                return Fate::DeadLetter("wrong_subject".to_owned());
            }
            let fingerprint = command.fingerprint();
            if let Some((first, outcome)) = outcomes.get(&command.command_id) {
                return if *first == fingerprint {
                    Fate::Outcome(Box::new(outcome.clone()))
                } else {
                    Fate::DeadLetter("idempotency_conflict".to_owned())
                };
            }
            let decision = decide(
                &accounts,
                &command,
                Timestamp::from_unix_microseconds(0),
                &Policy::default(),
            );
            for event in decision.iter().flatten() {
                let state = accounts.remove(&event.account_id);
                let state = Account::fold(state, event).expect("decide makes events that follow");
                accounts.insert(event.account_id.clone(), state);
            }
            let outcome = Outcome::of(command.command_id, decision.as_deref());
            outcomes.insert(command.command_id, (fingerprint, outcome.clone()));
            Fate::Outcome(Box::new(outcome))
        };
        let messages = self.stored.iter();
        messages
            .map(|(sequence, index)| (*sequence, fate_of(&self.messages[*index])))
            .collect()
    }

    /// Every command has exactly the outcome that it must have, all that is no command is a dead letter, everybody was
    /// told, the feed is complete, and the read models equal a fresh fold. The workload must have been published over
    /// one server, and nobody else may have worked with the ledger.
    pub async fn check(&self, ledger: &Ledger) {
        until_settled(ledger).await;
        let fates = self.fates();
        self.check_outcomes(ledger, &fates).await;
        check_dead_letters(ledger, &fates).await;
        self.check_answers(&fates).await;
        ledger.check_feed_is_complete().await;
        ledger.until_converged().await;
        ledger.verify().await;
    }

    /// As [`check`](Self::check), for when others work with the same event store, or nobody knows the order in which the
    /// commands were stored: every command has one outcome, whichever, and all who ask are told the same. Read models
    /// and feed are not looked at.
    pub async fn check_agreement(&self, ledger: &Ledger) {
        until_settled(ledger).await;
        self.answers.until(self.messages.len()).await;
        self.check_what_was_heard(ledger).await;
    }

    /// As [`check_agreement`](Self::check_agreement), for when answers may be lost on their way.
    pub async fn check_what_was_heard(&self, ledger: &Ledger) {
        until_settled(ledger).await;
        let decoded: Vec<_> = self
            .messages
            .iter()
            .map(|message| decode_command(None, &message.payload))
            .collect();
        let ids: BTreeSet<CommandId> = decoded
            .iter()
            .flatten()
            .map(|command| command.command_id)
            .collect();
        let ids: Vec<CommandId> = ids.into_iter().collect();
        let stored = ledger
            .store()
            .outcomes(&ids)
            .await
            .expect("the event store can be read");
        let stored: HashMap<CommandId, _> = stored
            .into_iter()
            .map(|stored| (stored.outcome.command_id, stored))
            .collect();
        for (index, decoded) in decoded.iter().enumerate() {
            let message = &self.messages[index];
            let expected = match decoded {
                Err(malformed) => Fate::DeadLetter(malformed.code.to_owned()),
                Ok(command)
                    if subjects::account_of(&message.subject) != command.account_id().as_str() =>
                {
                    Fate::DeadLetter("wrong_subject".to_owned())
                }
                Ok(command) => {
                    let stored = stored.get(&command.command_id);
                    let stored = stored
                        .unwrap_or_else(|| panic!("command {} has no outcome", command.command_id));
                    if stored.fingerprint == command.fingerprint() {
                        Fate::Outcome(Box::new(stored.outcome.clone()))
                    } else {
                        Fate::DeadLetter("idempotency_conflict".to_owned())
                    }
                }
            };
            self.check_answers_to(index, &expected);
        }
    }

    async fn check_outcomes(&self, ledger: &Ledger, fates: &BTreeMap<u64, Fate>) {
        let accepted = fates
            .values()
            .filter(|fate| matches!(fate, Fate::Outcome(outcome) if outcome.is_accepted()))
            .count();
        assert!(
            accepted * 3 > fates.len(),
            "only {accepted} of {} commands are accepted: that proves little",
            fates.len()
        );
        let mut expected: HashMap<CommandId, &Outcome> = HashMap::new();
        for fate in fates.values() {
            if let Fate::Outcome(outcome) = fate {
                expected.insert(outcome.command_id, outcome);
            }
        }
        let ids: Vec<CommandId> = expected.keys().copied().collect();
        let stored = ledger
            .store()
            .outcomes(&ids)
            .await
            .expect("the event store can be read");
        for (sequence, fate) in fates {
            let Fate::Outcome(outcome) = fate else {
                continue;
            };
            let found = stored
                .iter()
                .find(|found| found.outcome.command_id == outcome.command_id);
            let found = found.unwrap_or_else(|| {
                panic!("the command at sequence {sequence} has no outcome: {outcome:?}")
            });
            assert_eq!(
                found.outcome, **outcome,
                "the command at sequence {sequence}"
            );
        }
        let pool = ledger.event_store().await;
        let count = sqlx::query("SELECT count(*) AS count FROM commands")
            .fetch_one(&pool)
            .await;
        let count: i64 = count.expect("the event store can be read").get("count");
        assert_eq!(
            usize::try_from(count).expect("a count is not negative"),
            expected.len(),
            "outcomes of nobody's commands"
        );
    }

    /// Each message was answered, and always with the same.
    async fn check_answers(&self, fates: &BTreeMap<u64, Fate>) {
        self.answers.until(self.messages.len()).await;
        for (sequence, index) in &self.stored {
            self.check_answers_to(*index, &fates[sequence]);
        }
    }

    fn check_answers_to(&self, index: usize, expected: &Fate) {
        for answer in self.answers.of(index) {
            let same = match expected {
                Fate::Outcome(outcome) => {
                    answer == serde_json::to_value(outcome).expect("an outcome becomes JSON")
                }
                Fate::DeadLetter(code) => {
                    answer["status"] == "rejected" && answer["rejection"]["code"] == code.as_str()
                }
            };
            assert!(
                same,
                "the publisher of message {index} was told {answer}, expected {expected:?}"
            );
        }
    }
}

/// A message about `account`, where such messages belong.
pub fn message(account: &str, body: &Value) -> Message {
    Message {
        subject: format!("{}.{account}", subjects::COMMANDS),
        payload: body.to_string().into_bytes(),
    }
}

/// Waits until `LEDGER_COMMANDS` is empty; says how long it took.
pub async fn until_settled(ledger: &Ledger) -> Duration {
    let started = Instant::now();
    let nats = ledger.connect().await;
    loop {
        let waiting = waiting(&nats).await;
        if waiting == 0 {
            return started.elapsed();
        }
        assert!(
            started.elapsed() < DEADLINE,
            "{waiting} commands are not settled"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many commands of the only partition have been handed to a client and not acknowledged.
pub async fn in_flight(ledger: &Ledger) -> usize {
    let nats = ledger.connect().await;
    let Ok(stream) = nats.jetstream.get_stream(streams::COMMANDS).await else {
        return 0;
    };
    let info = stream.consumer_info("intake-0").await;
    info.map_or(0, |info| info.num_ack_pending)
}

/// How many messages `LEDGER_COMMANDS` holds.
pub async fn waiting(nats: &Nats) -> u64 {
    let stream = streams::existing(&nats.jetstream, streams::COMMANDS)
        .await
        .expect("NATS answers");
    stream.map_or(0, |stream| stream.cached_info().state.messages)
}

/// Each message that is no command is a dead letter, once, and nothing else is.
async fn check_dead_letters(ledger: &Ledger, fates: &BTreeMap<u64, Fate>) {
    let expected: BTreeSet<(u64, String)> = fates
        .iter()
        .filter_map(|(sequence, fate)| match fate {
            Fate::DeadLetter(code) => Some((*sequence, code.clone())),
            Fate::Outcome(_) => None,
        })
        .collect();
    let letters = ledger.messages(streams::DEAD_LETTERS).await;
    let present: BTreeSet<(u64, String)> = letters
        .iter()
        .map(|letter| {
            let id = letter
                .header(headers::DEAD_LETTER_ID)
                .expect("a dead letter has an id");
            let sequence = id
                .strip_prefix("LEDGER_COMMANDS-")
                .and_then(|rest| rest.split('-').next()?.parse().ok());
            let code = letter
                .header(headers::DEAD_LETTER_CODE)
                .expect("a dead letter has a reason");
            (
                sequence.unwrap_or_else(|| panic!("the dead letter {id} names no sequence")),
                code.to_owned(),
            )
        })
        .collect();
    let missing: Vec<_> = expected.difference(&present).collect();
    let extra: Vec<_> = present.difference(&expected).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "dead letters: missing {missing:?}, too many {extra:?}"
    );
    assert_eq!(
        letters.len(),
        expected.len(),
        "a dead letter is there twice"
    );
}
