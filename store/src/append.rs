//! Appending: outcomes and events of a batch of commands, in one statement and one round trip.

use std::sync::LazyLock;

use ledger::codec::json;
use ledger::{
    Account, AccountId, Command, CommandId, DayDebits, Event, Hash, HoldId, Money, Outcome,
    Profile, Timestamp, Version, limits,
};
use sqlx::Row;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::read::events_at_places;
use crate::{Error, EventStore, finality};

/// One command with what became of it.
#[derive(Debug, Clone)]
pub struct Decision<'a> {
    /// The command.
    pub command: &'a Command,
    /// Its [fingerprint](Command::fingerprint).
    pub fingerprint: Hash,
    /// What became of it.
    pub outcome: Outcome,
    /// What the writer's clock said when it was decided. Too long ago for the database, and nothing is appended.
    pub decided_at: Timestamp,
    /// When it counts as decided: the events' own time, if there are any, which is `decided_at` or later.
    pub recorded_at: Timestamp,
}

/// An event with what stands beside it and no hash covers: what its account is loaded by.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The event.
    pub event: Event,
    /// The version of the account's newest profile.
    pub profile_version: Version,
    /// The profile, if the event changes it.
    pub profile: Option<Profile>,
    /// What the account's rules have counted, if they count anything.
    pub day_debits: Option<DayDebits<Money>>,
}

impl Recorded {
    /// An event after which its account is as given.
    pub fn of(event: Event, account: &Account) -> Self {
        debug_assert_eq!(
            event.version, account.version,
            "the account is as the event leaves it"
        );
        Self {
            profile_version: account.profile_version,
            profile: (account.profile_version == account.version).then(|| account.profile()),
            day_debits: account.day_debits().copied(),
            event,
        }
    }
}

/// What one statement appends.
#[derive(Debug, Default)]
pub struct Append<'a> {
    /// The commands, in order.
    pub decisions: Vec<Decision<'a>>,
    /// Their events, in order.
    pub events: Vec<Recorded>,
    /// What the rejections rest upon: accounts and the versions that they were seen at (0 = did not exist). If one of
    /// them has moved on, nothing is appended: a refusal, too, must be true at the time of the commit.
    pub seen: Vec<(AccountId, Version)>,
}

/// One implicit transaction. On CockroachDB it is SERIALIZABLE; on PostgreSQL (READ COMMITTED) the primary keys do the
/// same work: a conflict is a duplicate command_id, a duplicate (account_id, version), or a row in `stale`, and each of
/// them leaves both tables as they were. So does a row in `late`, which has the time at which the database looked.
///
/// `late` is evaluated once in each execution, those that CockroachDB repeats by itself included: `clock_timestamp()`
/// is the clock, where `now()` is the transaction's beginning, and both inserts read one and the same row.
///
/// On PostgreSQL `stale` looks at the store as it is when the statement begins, and a version may appear between that
/// and the commit. A rejection is then recorded that was true when the statement began, after the command had come.
static APPEND: LazyLock<String> = LazyLock::new(|| {
    let newer = events_at_places("1 AS newer");
    format!(
        "WITH stale AS (
            {newer} LIMIT 1
        ), late AS (
            SELECT clock_timestamp()::timestamptz AS late_at WHERE clock_timestamp()::timestamptz > $28::timestamptz
        ), c AS (
            INSERT INTO commands (command_id, account_id, command_type, fingerprint, body, outcome, recorded_at)
            SELECT u.command_id, u.account_id, u.command_type, u.fingerprint, u.body::jsonb, u.outcome::jsonb,
                u.recorded_at
            FROM unnest($3::uuid[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::text[], $9::timestamptz[])
                AS u(command_id, account_id, command_type, fingerprint, body, outcome, recorded_at)
            WHERE NOT EXISTS (SELECT 1 FROM stale) AND NOT EXISTS (SELECT 1 FROM late)
            RETURNING 1
        ), e AS (
            INSERT INTO events (account_id, version, event_id, event_type, command_id, data, balance_after, actor,
                recorded_at, prev_hash, hash, profile_version, profile, held_after, thread_key, part, effective_at,
                day_debits, dated_account_id, dated_until)
            SELECT u.account_id, u.version, u.event_id, u.event_type, u.command_id, u.data::jsonb,
                u.balance_after::numeric, u.actor, u.recorded_at, u.prev_hash, u.hash, u.profile_version, u.profile::jsonb,
                u.held_after::numeric, u.thread_key, u.part, u.effective_at,
                u.day_debits::jsonb,
                CASE WHEN u.effective_at IS NOT NULL THEN u.account_id END,
                CASE WHEN u.effective_at IS NOT NULL THEN greatest(u.recorded_at, u.effective_at) END
            FROM unnest($10::text[], $11::bigint[], $12::uuid[], $13::text[], $14::uuid[], $15::text[],
                $16::text[], $17::text[], $18::timestamptz[], $19::bytea[], $20::bytea[], $21::bigint[],
                $22::text[], $23::text[], $24::text[], $25::bigint[], $26::timestamptz[], $27::text[])
                AS u(account_id, version, event_id, event_type, command_id, data, balance_after, actor, recorded_at,
                    prev_hash, hash, profile_version, profile, held_after, thread_key, part, effective_at,
                    day_debits)
            WHERE NOT EXISTS (SELECT 1 FROM stale) AND NOT EXISTS (SELECT 1 FROM late)
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM c) AS commands, (SELECT count(*) FROM e) AS events,
            (SELECT late_at FROM late) AS late_at"
    )
});

impl Append<'_> {
    /// About how many bytes of values the events are.
    pub(crate) fn event_bytes(&self) -> usize {
        self.events
            .iter()
            .map(|Recorded { event, .. }| {
                limits::EVENT_BYTES_MIN + json::encode_event_data(event).len()
            })
            .sum()
    }
}

impl EventStore {
    /// Appends all of it, or nothing.
    ///
    /// Fails with [`Error::Conflict`] when a command id has an outcome already, a version is taken, or an account in
    /// `seen` has moved on; with [`Error::Late`] when a decision is older than [`FRESH_FOR`](crate::FRESH_FOR) by the
    /// database's clock; with [`Error::Ambiguous`] when it is unknown whether it was appended.
    pub async fn append(&self, append: &Append<'_>) -> Result<(), Error> {
        if append.decisions.is_empty() {
            debug_assert!(append.events.is_empty(), "every event has a command");
            return Ok(());
        }
        let commands = CommandColumns::of(&append.decisions);
        let events = EventColumns::of(&append.events);
        let (seen_accounts, next_versions): (Vec<&str>, Vec<i64>) = append
            .seen
            .iter()
            .map(|(account_id, version)| (account_id.as_str(), signed(version.next())))
            .unzip();
        let commit_by = finality::commit_by(&append.decisions);
        let statement = sqlx::query(APPEND.as_str())
            .bind(seen_accounts)
            .bind(next_versions)
            .bind(commands.command_id)
            .bind(commands.account_id)
            .bind(commands.command_type)
            .bind(commands.fingerprint)
            .bind(commands.body)
            .bind(commands.outcome)
            .bind(commands.recorded_at)
            .bind(events.account_id)
            .bind(events.version)
            .bind(events.event_id)
            .bind(events.event_type)
            .bind(events.command_id)
            .bind(events.data)
            .bind(events.balance_after)
            .bind(events.actor)
            .bind(events.recorded_at)
            .bind(events.prev_hash)
            .bind(events.hash)
            .bind(events.profile_version)
            .bind(events.profile)
            .bind(events.held_after)
            .bind(events.thread_key)
            .bind(events.part)
            .bind(events.effective_at)
            .bind(events.day_debits)
            .bind(commit_by.to_date_time());
        let row = self.fetch_one(statement).await?;
        let appended = (row.get::<i64, _>("commands"), row.get::<i64, _>("events"));
        if appended == (length(&append.decisions), length(&append.events)) {
            Ok(())
        } else {
            // Both inserts have the same condition, so it is all or nothing.
            assert_eq!(appended, (0, 0), "an append was torn");
            match row.try_get::<Option<OffsetDateTime>, _>("late_at")? {
                Some(late_at) => Err(late(&append.decisions, Timestamp::from_date_time(late_at))),
                None => Err(Error::Conflict),
            }
        }
    }
}

/// The newest reading of the writer's clock tells the most about it.
fn late(decisions: &[Decision<'_>], late_at: Timestamp) -> Error {
    let decided_at = decisions.iter().map(|decision| decision.decided_at).max();
    Error::Late {
        behind: finality::between(decided_at.unwrap_or(late_at), late_at),
    }
}

fn length<T>(items: &[T]) -> i64 {
    i64::try_from(items.len()).expect("a batch has fewer than 2^63 items")
}

/// A version as the databases keep it. One that they cannot keep, which no account has, becomes their largest.
pub(crate) fn signed(version: Version) -> i64 {
    i64::try_from(version.get()).unwrap_or(i64::MAX)
}

/// What the column `thread_key` has for an event: which thing it is about that others are about, too. No account id has
/// a slash, so no two things have the same key.
pub fn thread_key(event: &Event) -> Option<String> {
    let hold = event.data.hold();
    let reversal = event.data.reversal();
    hold.map(|hold| hold_thread_key(&event.account_id, hold.hold_id))
        .or_else(|| Some(reversal_thread_key(&event.account_id, reversal?.command_id)))
}

/// The thread of what moves a command's money back.
pub fn reversal_thread_key(account_id: &AccountId, command_id: CommandId) -> String {
    format!("{account_id}/reversal/{command_id}")
}

/// The thread of a hold.
pub fn hold_thread_key(account_id: &AccountId, hold_id: HoldId) -> String {
    format!("{account_id}/hold/{hold_id}")
}

/// The batch turned on its side: one array per column.
///
/// Rows go in by the order of their keys: two appends that have keys in common then wait for each other at the first of
/// them, where unordered they would lock each other out until the database notices (PostgreSQL: after a second).
#[derive(Default)]
struct CommandColumns<'a> {
    command_id: Vec<Uuid>,
    account_id: Vec<&'a str>,
    command_type: Vec<&'static str>,
    fingerprint: Vec<&'a [u8]>,
    body: Vec<String>,
    outcome: Vec<String>,
    recorded_at: Vec<OffsetDateTime>,
}

impl<'a> CommandColumns<'a> {
    fn of(decisions: &'a [Decision<'a>]) -> Self {
        let mut columns = Self::default();
        let mut ordered: Vec<&Decision<'_>> = decisions.iter().collect();
        ordered.sort_unstable_by_key(|decision| decision.command.command_id);
        for decision in ordered {
            let command = decision.command;
            let body = String::from_utf8(json::encode_command(command)).expect("JSON is UTF-8");
            columns.command_id.push(command.command_id.as_uuid());
            columns.account_id.push(command.account_id().as_str());
            columns.command_type.push(command.type_name());
            columns.fingerprint.push(decision.fingerprint.as_bytes());
            columns.body.push(body);
            columns
                .outcome
                .push(crate::rows::encode_verdict(&decision.outcome));
            columns
                .recorded_at
                .push(decision.recorded_at.to_date_time());
        }
        columns
    }
}

#[derive(Default)]
struct EventColumns<'a> {
    account_id: Vec<&'a str>,
    version: Vec<i64>,
    event_id: Vec<Uuid>,
    event_type: Vec<&'static str>,
    command_id: Vec<Uuid>,
    data: Vec<String>,
    balance_after: Vec<String>,
    actor: Vec<Option<&'a str>>,
    recorded_at: Vec<OffsetDateTime>,
    prev_hash: Vec<&'a [u8]>,
    hash: Vec<&'a [u8]>,
    profile_version: Vec<i64>,
    profile: Vec<Option<String>>,
    held_after: Vec<Option<String>>,
    thread_key: Vec<Option<String>>,
    part: Vec<Option<i64>>,
    effective_at: Vec<Option<OffsetDateTime>>,
    day_debits: Vec<Option<String>>,
}

impl<'a> EventColumns<'a> {
    fn of(events: &'a [Recorded]) -> Self {
        let mut columns = Self::default();
        let mut ordered: Vec<&Recorded> = events.iter().collect();
        ordered.sort_unstable_by_key(|it| (&it.event.account_id, it.event.version));
        for recorded in ordered {
            let event = &recorded.event;
            columns.account_id.push(event.account_id.as_str());
            columns.version.push(signed(event.version));
            columns.event_id.push(event.event_id.as_uuid());
            columns.event_type.push(event.data.type_name());
            columns.command_id.push(event.command_id.as_uuid());
            columns.data.push(json::encode_event_data(event));
            // As text, a number keeps its zeros; CockroachDB makes 1E+4 of a binary 10000.00.
            columns.balance_after.push(event.balance_after.to_string());
            columns.actor.push(event.actor.as_deref());
            columns.recorded_at.push(event.recorded_at.to_date_time());
            columns.prev_hash.push(event.prev_hash.as_bytes());
            columns.hash.push(event.hash.as_bytes());
            columns
                .profile_version
                .push(signed(recorded.profile_version));
            columns
                .profile
                .push(recorded.profile.as_ref().map(|profile| {
                    serde_json::to_string(profile).expect("a profile always becomes JSON")
                }));
            columns
                .day_debits
                .push(recorded.day_debits.as_ref().map(|debits| {
                    serde_json::to_string(debits).expect("what is counted always becomes JSON")
                }));
            let held_after = Some(event.held_after).filter(|amount| !amount.is_zero());
            columns
                .held_after
                .push(held_after.map(|amount| amount.to_string()));
            columns.thread_key.push(thread_key(event));
            columns.part.push(event.part.map(i64::from));
            let effective_at = event.data.effective_at();
            columns
                .effective_at
                .push(effective_at.map(Timestamp::to_date_time));
        }
        columns
    }
}
