//! Commands on their way: published in order, many before the first is answered, and every answer held against the fate
//! that the command must have.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};

use async_nats::HeaderMap;
use async_nats::Subscriber;
use async_nats::jetstream::message::PublishMessage;
use futures::{FutureExt, StreamExt};
use ledger::codec::{CONTENT_TYPE_BINCODE, binary, json};
use ledger::{EventReference, Outcome, RejectionCode, Verdict, Version};
use serde_json::Value;
use transport::{Nats, headers, subjects};

use crate::course::{Course, Fate, Question};
use crate::names::name_of;
use crate::support::{DEADLINE, Ledger};
use crate::wire::command_of;

/// How many commands wait for their answers.
const UNANSWERED_MAX: usize = 2_000;
/// How many publishes wait for their acknowledgements.
const UNSTORED_MAX: usize = 250;
/// Of what is not answered when the process dies, one command in so many is sent again.
const RESENT_EVERY: usize = 10;

/// Something that was asked.
#[derive(Debug, Clone, Copy)]
struct Asked {
    id: u64,
    is_stolen: bool,
    is_answered: bool,
}

/// A publisher and its questions.
pub(crate) struct Flight {
    nats: Nats,
    heard: Subscriber,
    asked: Vec<Asked>,
    answered: usize,
    /// What was said of each id, in short, for it must be the same for ever.
    said: HashMap<u64, u64>,
    newest_sequence: u64,
}

impl Flight {
    pub(crate) async fn new(ledger: &Ledger) -> Self {
        let nats = ledger.connect().await;
        let heard = nats.client.subscribe("answers.*").await.unwrap();
        nats.client.flush().await.unwrap();
        Self {
            nats,
            heard,
            asked: Vec::new(),
            answered: 0,
            said: HashMap::new(),
            newest_sequence: 0,
        }
    }

    /// How many commands have been published.
    pub(crate) fn questions(&self) -> usize {
        self.asked.len()
    }

    /// How many of them have not been answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.asked.len() - self.answered
    }

    /// Publishes the next `count` commands, as fast as they are answered.
    pub(crate) async fn publish(&mut self, course: &mut Course, count: u64) {
        let mut left = usize::try_from(count).unwrap();
        while left > 0 {
            let some = left.min(UNSTORED_MAX);
            left -= some;
            let questions: Vec<Question> = (0..some).map(|_| course.next()).collect();
            self.publish_these(course, questions).await;
        }
    }

    /// Publishes these commands in this order.
    pub(crate) async fn publish_these(&mut self, course: &Course, questions: Vec<Question>) {
        for some in questions.chunks(UNSTORED_MAX) {
            let mut acknowledgements = Vec::new();
            for question in some {
                acknowledgements.push(self.send(question).await);
            }
            for acknowledgement in acknowledgements {
                let sequence = acknowledgement.await.unwrap().sequence;
                assert!(
                    sequence > self.newest_sequence,
                    "the stream has another order than the model"
                );
                self.newest_sequence = sequence;
            }
            while let Some(Some(answer)) = self.heard.next().now_or_never() {
                self.hear(course, &answer);
            }
            self.until_unanswered(course, UNANSWERED_MAX).await;
        }
    }

    /// Sends again some of what was not answered when the process died.
    pub(crate) async fn resend_unanswered(&mut self, course: &mut Course) {
        let unanswered = self.asked.iter().filter(|asked| !asked.is_answered);
        // Of what had been sent again already, some has had its answer.
        let ids: BTreeSet<u64> = unanswered
            .map(|asked| asked.id)
            .filter(|id| !self.said.contains_key(id))
            .collect();
        let some = ids.into_iter().step_by(RESENT_EVERY);
        let questions = some.map(|id| course.resent(id)).collect();
        self.publish_these(course, questions).await;
    }

    /// Waits for all answers.
    pub(crate) async fn until_answered(&mut self, course: &Course) {
        self.until_unanswered(course, 0).await;
    }

    async fn until_unanswered(&mut self, course: &Course, count: usize) {
        while self.unanswered() > count {
            let answer = tokio::time::timeout(DEADLINE, self.heard.next()).await;
            let answer = answer.unwrap_or_else(|_| {
                let first = self.asked.iter().position(|asked| !asked.is_answered);
                panic!(
                    "no answer to command {first:?} and {} others",
                    self.unanswered()
                )
            });
            self.hear(course, &answer.expect("the connection lives"));
        }
    }

    async fn send(
        &mut self,
        question: &Question,
    ) -> async_nats::jetstream::context::PublishAckFuture {
        let number = self.asked.len();
        let command = command_of(&question.step);
        let mut map = HeaderMap::new();
        map.insert(headers::REPLY_TO, format!("answers.{number}"));
        let payload = if number.is_multiple_of(4) {
            map.insert(headers::CONTENT_TYPE, CONTENT_TYPE_BINCODE);
            binary::encode_command(&command)
        } else {
            json::encode_command(&command)
        };
        self.asked.push(Asked {
            id: question.step.id,
            is_stolen: question.is_stolen,
            is_answered: false,
        });
        let message = PublishMessage::build().payload(payload.into()).headers(map);
        let subject = format!("{}.{}", subjects::COMMANDS, command.account_id());
        let sent = self.nats.jetstream.send_publish(subject, message).await;
        sent.expect("it can be sent")
    }

    fn hear(&mut self, course: &Course, answer: &async_nats::Message) {
        let number = answer.subject.rsplit('.').next().unwrap();
        let number: usize = number.parse().expect("we chose the subject");
        let asked = self.asked[number];
        let told: Value = serde_json::from_slice(&answer.payload).expect("an answer is JSON");
        if asked.is_stolen {
            let code = RejectionCode::IdempotencyConflict.as_str();
            let is_conflict = told["rejection"]["code"] == code && told["status"] == "rejected";
            assert!(is_conflict, "command {number}, {asked:?}: {told}");
        } else {
            let digest = digest(&told.to_string());
            let first = *self.said.entry(asked.id).or_insert(digest);
            assert_eq!(first, digest, "{number} is told something else: {told}");
            let outcome: Outcome = serde_json::from_value(told).expect("it is an outcome");
            check_outcome(&outcome, asked.id, course);
        }
        if !asked.is_answered {
            self.asked[number].is_answered = true;
            self.answered += 1;
        }
    }
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The outcome is what the model says.
pub(crate) fn check_outcome(outcome: &Outcome, id: u64, course: &Course) {
    let fate = course.fate(id);
    let command_id = outcome.command_id;
    assert_eq!(command_id.as_uuid().as_u128(), u128::from(id));
    let is_right = match (&outcome.verdict, fate) {
        (Verdict::Accepted { events }, Fate::Accepted(places)) => {
            let reference = |(index, place): (u32, &(usize, u64, Option<u32>))| EventReference {
                account_id: name_of(place.0).clone(),
                version: Version::new(place.1),
                event_id: command_id.event_id(index),
                part: place.2,
            };
            *events == (0..).zip(places).map(reference).collect::<Vec<_>>()
        }
        (Verdict::Rejected { rejection, .. }, Fate::Rejected(code, refused)) => {
            let of = |name| rejection.data.get(name).map(String::as_str);
            let text = |number: Option<usize>| number.map(|number| number.to_string());
            rejection.code == *code
                && of("command") == text(refused.part).as_deref()
                && of("entry") == text(refused.entry).as_deref()
        }
        _ => false,
    };
    let step = course.remembered(id);
    assert!(
        is_right,
        "the ledger says {outcome:?}, the model {fate:?}: {step:?}"
    );
}
