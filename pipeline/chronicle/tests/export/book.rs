//! Books with a past: decided as the writer would have decided them then, and put into the event store behind its back,
//! for nobody can commit into the past otherwise.

use ledger::codec::json;
use ledger::{Command, Event, Original, Outcome, Policy, Profile, Timestamp, Version, decide};
use servers::testing;
use sqlx::postgres::PgPool;
use store::migrate;

use crate::cli_support::{Done, event_store, id};

/// A book in an event store of its own.
pub(crate) struct Book {
    pub(crate) url: String,
    pub(crate) events: Vec<Event>,
}

impl Book {
    /// Runs `chronicle` on it.
    pub(crate) async fn ask(&self, arguments: &[&str]) -> Done {
        event_store::ask(&self.url, arguments).await
    }

    /// Its export.
    pub(crate) async fn export(&self, format: &str, at: &str) -> String {
        let arguments = ["export", "--format", format, "--at", at];
        self.ask(&arguments).await.exits(0).out
    }

    /// What `chronicle account --at` says of every account that was open then.
    pub(crate) async fn balances(&self, at: &str) -> std::collections::BTreeMap<String, String> {
        let instant: Timestamp = at.parse().expect("it is an instant");
        let mut balances = std::collections::BTreeMap::new();
        for event in &self.events {
            if event.version == Version::FIRST && event.recorded_at <= instant {
                let id = event.account_id.as_str();
                // An id may begin with `-`.
                let arguments = ["account", "--at", at, "-o", "json", "--", id];
                let account = self
                    .ask_with_url_first(&arguments)
                    .await
                    .exits(0)
                    .document();
                let balance = account["balance"].as_str().expect("a balance is a string");
                balances.insert(id.to_owned(), balance.to_owned());
            }
        }
        balances
    }

    async fn ask_with_url_first(&self, arguments: &[&str]) -> Done {
        let arguments = [&["--event-store-url", self.url.as_str()], arguments].concat();
        crate::cli_support::chronicle(&arguments).await
    }
}

/// Commands with the instants at which they are decided.
pub(crate) type Past = Vec<(String, Command)>;

/// A command of the given fields, which are written as JSON without the braces.
pub(crate) fn command(number: u64, fields: &str) -> Command {
    let body = format!("{{\"command_id\":\"{}\",{fields}}}", id(number));
    json::decode_command(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// Four days of three accounts, in currencies of 2, 0 and 3 decimals.
pub(crate) fn small() -> Past {
    [
        ("2026-01-30T09:00:00.000001Z", r#""type":"create_account","account_id":"ALICE","owner_name":"Alice","currency":"USD","initial_balance":"100","overdraft_limit":"50""#),
        ("2026-01-30T09:00:01Z", r#""type":"create_account","account_id":"bob_2","owner_name":"Bob; \"B\"","currency":"USD""#),
        ("2026-01-30T10:00:00Z", r#""type":"transfer","from_account_id":"bob_2","to_account_id":"ALICE","amount":"1""#),
        ("2026-01-30T23:59:59.999999Z", r#""type":"transfer","from_account_id":"ALICE","to_account_id":"bob_2","amount":"25.5","description":"rent; January","actor":"teller-3","metadata":{"invoice":"77, 78","date":"2026-01-01"}"#),
        ("2026-01-31T00:00:00Z", r#""type":"deposit","account_id":"ALICE","amount":"10.01","description":"5% of \"sales\"\nin cash""#),
        ("2026-01-31T08:00:00Z", r#""type":"create_account","account_id":"J","owner_name":"Jun","currency":"JPY","initial_balance":"1500""#),
        ("2026-01-31T08:30:00Z", r#""type":"create_account","account_id":"K","owner_name":"Kamal","currency":"BHD","initial_balance":"0.125""#),
        ("2026-02-02T12:00:00Z", r#""type":"transfer","from_account_id":"bob_2","to_account_id":"ALICE","amount":"5""#),
        ("2026-02-02T12:00:00Z", r#""type":"withdraw","account_id":"ALICE","amount":"120""#),
        ("2026-02-02T12:30:00Z", r#""type":"withdraw","account_id":"J","amount":"500""#),
    ]
    .into_iter()
    .zip(1..)
    // The transfer that bob_2 cannot pay.
    .filter(|(_, number)| *number != 3)
    .map(|((at, fields), number)| (at.to_owned(), command(number, fields)))
    .collect()
}

/// The small book, and a day of holds, reversals, freezes and closings behind it.
pub(crate) fn eventful() -> Past {
    let hold = r#""account_id":"bob_2","hold_id":"5d1f0a52-3c1e-4a59-9b57-6f0d8f6a1e01""#;
    let more = [
        r#""type":"create_account","account_id":"J-2","owner_name":"Jun","currency":"JPY""#.to_owned(),
        format!(r#""type":"hold",{hold},"amount":"10""#),
        format!(r#""type":"capture",{hold},"amount":"3","to_account_id":"ALICE""#),
        format!(r#""type":"capture",{hold},"amount":"4","final":true"#),
        format!(
            r#""type":"reverse","account_id":"ALICE","reversed_command_id":"{}","amount":"5.25","reason":"50%2C \"owed\", sorry","description":"half; of it""#,
            id(4)
        ),
        format!(
            r#""type":"reverse","account_id":"J","reversed_command_id":"{}","amount":"200","reason":"too much""#,
            id(10)
        ),
        r#""type":"freeze_account","account_id":"K","scope":"credits","reason":"papers; \"lost\"\n""#.to_owned(),
        r#""type":"set_overdraft_limit","account_id":"K","overdraft_limit":"1.5""#.to_owned(),
        r#""type":"update_account","account_id":"bob_2","owner_name":"Robert","account_metadata":{"tier":"gold"}"#.to_owned(),
        r#""type":"close_account","account_id":"J","sweep_to_account_id":"J-2""#.to_owned(),
        r#""type":"set_account_rules","account_id":"K","minimum_balance":"-1","allowed_counterparties":["ALICE","bob_2"]"#.to_owned(),
    ];
    let more = (100..)
        .zip(more)
        .map(|(number, fields)| ("2026-02-03T13:00:00Z".to_owned(), command(number, &fields)));
    small().into_iter().chain(more).collect()
}

/// Money that moves on another day than it is recorded.
pub(crate) fn dated() -> Past {
    let more = [
        r#""type":"deposit","account_id":"ALICE","amount":"7","effective_at":"2026-01-15T00:00:00Z","description":"late""#.to_owned(),
        r#""type":"transfer","from_account_id":"ALICE","to_account_id":"bob_2","amount":"2","effective_at":"2026-03-01T00:00:00.000001Z""#.to_owned(),
    ];
    let more = (200..)
        .zip(more)
        .map(|(number, fields)| ("2026-02-03T15:00:00Z".to_owned(), command(number, &fields)));
    small().into_iter().chain(more).collect()
}

/// The small book, and behind it a day of postings and batches, also of one in two currencies, and of what was moved back.
pub(crate) fn batched() -> Past {
    let entry = |account: &str, direction: &str, amount: &str| {
        format!(r#"{{"account_id":"{account}","direction":"{direction}","amount":"{amount}"}}"#)
    };
    let exchange = [
        entry("ALICE", "debit", "10"),
        entry("J", "debit", "300"),
        entry("bob_2", "credit", "7.5"),
        entry("J-2", "credit", "300"),
        entry("ALICE", "credit", "2.5"),
    ]
    .join(",");
    let transfer = r#"{"type":"transfer","from_account_id":"bob_2","to_account_id":"ALICE","amount":"1","description":"one; of three"}"#;
    let pay = [
        transfer,
        r#"{"type":"deposit","account_id":"K","amount":"0.5"}"#,
        transfer,
        r#"{"type":"post","entries":[{"account_id":"bob_2","direction":"debit","amount":"2"},{"account_id":"ALICE","direction":"credit","amount":"2"}]}"#,
        transfer,
        r#"{"type":"post","entries":[{"account_id":"ALICE","direction":"debit","amount":"3"},{"account_id":"bob_2","direction":"credit","amount":"3"}]}"#,
    ]
    .join(",");
    let reverse = |account: &str, number: u64| {
        format!(
            r#""type":"reverse","account_id":"{account}","reversed_command_id":"{}","reason":"a mistake""#,
            id(number)
        )
    };
    let more = [
        r#""type":"create_account","account_id":"J-2","owner_name":"Jun","currency":"JPY""#
            .to_owned(),
        format!(
            r#""type":"post","entries":[{exchange}],"description":"yen; and dollars","actor":"teller-3","metadata":{{"invoice":"77, 78"}}"#
        ),
        format!(r#""type":"batch","commands":[{pay}],"description":"the batch's own""#),
        reverse("ALICE", 201),
        reverse("bob_2", 202),
    ];
    let more = (200..)
        .zip(more)
        .map(|(number, fields)| ("2026-02-03T13:00:00Z".to_owned(), command(number, &fields)));
    small().into_iter().chain(more).collect()
}

/// A batch of a thousand transfers to and fro, a posting of a thousand entries, and a batch of postings: of 2,000 events
/// on two accounts, all of one command or another. The second half of them is moved back.
pub(crate) fn large() -> Past {
    let open = |account: &str| {
        format!(
            r#""type":"create_account","account_id":"{account}","owner_name":"O","currency":"USD","initial_balance":"100""#
        )
    };
    let accounts = |number: u64| {
        if number.is_multiple_of(3) {
            ("B", "A")
        } else {
            ("A", "B")
        }
    };
    let transfers: Vec<String> = (0..1_000)
        .map(|number| {
            let (from, to) = accounts(number);
            format!(
                r#"{{"type":"transfer","from_account_id":"{from}","to_account_id":"{to}","amount":"0.0{}"}}"#,
                1 + number % 9
            )
        })
        .collect();
    let entries: Vec<String> = (0..1_000)
        .map(|number| {
            let (direction, account) = [("debit", "A"), ("credit", "B")][number % 2];
            format!(r#"{{"account_id":"{account}","direction":"{direction}","amount":"0.01"}}"#)
        })
        .collect();
    let postings: Vec<String> = entries
        .chunks(2)
        .map(|pair| format!(r#"{{"type":"post","entries":[{}]}}"#, pair.join(",")))
        .collect();
    [
        open("A"),
        open("B"),
        format!(r#""type":"batch","commands":[{}]"#, transfers.join(",")),
        format!(r#""type":"post","entries":[{}]"#, entries.join(",")),
        format!(r#""type":"batch","commands":[{}]"#, postings.join(",")),
        format!(
            r#""type":"reverse","account_id":"A","reversed_command_id":"{}","reason":"x""#,
            id(5)
        ),
    ]
    .into_iter()
    .zip(1..)
    .map(|(fields, number)| {
        (
            format!("2026-02-0{number}T00:00:00Z"),
            command(number, &fields),
        )
    })
    .collect()
}

/// Puts a book into an event store.
pub(crate) async fn book(past: &Past) -> Book {
    let url = testing::event_store_url("export").await;
    migrate::migrate(&url)
        .await
        .expect("the tables can be made");
    let decided = decided(past);
    let pool = PgPool::connect(&url).await.expect("it can be reached");
    for part in decided.chunks(500) {
        insert(&pool, part).await;
    }
    pool.close().await;
    let events = decided
        .into_iter()
        .flat_map(|decided| decided.lines)
        .map(|line| line.event);
    Book {
        url,
        events: events.collect(),
    }
}

/// A command, and what came of it.
struct Decided {
    command: Command,
    lines: Vec<Line>,
    at: Timestamp,
}

/// An event, with what stands beside it.
struct Line {
    event: Event,
    profile_version: Version,
    profile: Option<Profile>,
}

fn decided(past: &Past) -> Vec<Decided> {
    let mut book = ledger::Book::default();
    let decide = |(at, command): &(String, Command)| {
        let at: Timestamp = at.parse().expect("it is an instant");
        let events = decide(&book, command, at, &Policy::default())
            .unwrap_or_else(|rejection| panic!("{command:?}: {rejection}"));
        if let Some(original) = Original::of(&events) {
            book.insert_original(original);
        }
        let apply = |event: Event| {
            let account = book.apply(&event).expect("a decided event can be applied");
            let is_new = account.profile_version == account.version;
            Line {
                profile_version: account.profile_version,
                profile: is_new.then(|| account.profile()),
                event,
            }
        };
        Decided {
            command: command.clone(),
            at: events[0].recorded_at,
            lines: events.into_iter().map(apply).collect(),
        }
    };
    past.iter().map(decide).collect()
}

async fn insert(pool: &PgPool, decided: &[Decided]) {
    let commands: Vec<&Command> = decided.iter().map(|decided| &decided.command).collect();
    let text = |bytes| String::from_utf8(bytes).expect("JSON is UTF-8");
    let verdict = |decided: &Decided| {
        let events: Vec<Event> = decided.lines.iter().map(|it| it.event.clone()).collect();
        let outcome = Outcome::of(decided.command.command_id, Ok(&events));
        serde_json::to_string(&outcome.verdict).expect("a verdict becomes JSON")
    };
    sqlx::query(
        "INSERT INTO commands (command_id, account_id, command_type, fingerprint, body, outcome, recorded_at)
         SELECT command_id, account_id, command_type, fingerprint, body::jsonb, outcome::jsonb, recorded_at
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::timestamptz[])
            AS u(command_id, account_id, command_type, fingerprint, body, outcome, recorded_at)",
    )
    .bind(commands.iter().map(|it| it.command_id.as_uuid()).collect::<Vec<_>>())
    .bind(commands.iter().map(|it| it.account_id().to_string()).collect::<Vec<_>>())
    .bind(commands.iter().map(|it| it.type_name()).collect::<Vec<_>>())
    .bind(commands.iter().map(|it| it.fingerprint().as_bytes().to_vec()).collect::<Vec<_>>())
    .bind(commands.iter().map(|it| text(json::encode_command(it))).collect::<Vec<_>>())
    .bind(decided.iter().map(verdict).collect::<Vec<_>>())
    .bind(decided.iter().map(|it| it.at.to_date_time()).collect::<Vec<_>>())
    .execute(pool)
    .await
    .expect("the commands can be inserted");

    let lines: Vec<&Line> = decided.iter().flat_map(|decided| &decided.lines).collect();
    let events: Vec<&Event> = lines.iter().map(|line| &line.event).collect();
    let signed = |version: Version| i64::try_from(version.get()).expect("it is small");
    let held = |event: &&Event| (!event.held_after.is_zero()).then(|| event.held_after.to_string());
    let profile = |line: &&Line| {
        let profile = line.profile.as_ref()?;
        Some(serde_json::to_string(profile).expect("a profile becomes JSON"))
    };
    sqlx::query(
        "INSERT INTO events (account_id, version, event_id, event_type, command_id, data, balance_after, actor,
            recorded_at, prev_hash, hash, profile, profile_version, held_after, thread_key, part)
         SELECT account_id, version, event_id, event_type, command_id, data::jsonb, balance_after::numeric, actor,
            recorded_at, prev_hash, hash, profile::jsonb, profile_version, held_after::numeric, thread_key, part
         FROM unnest($1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[],
            $9::timestamptz[], $10::bytea[], $11::bytea[], $12::text[], $13::bigint[], $14::text[], $15::text[],
            $16::bigint[])
            AS u(account_id, version, event_id, event_type, command_id, data, balance_after, actor, recorded_at, prev_hash,
                hash, profile, profile_version, held_after, thread_key, part)",
    )
    .bind(events.iter().map(|it| it.account_id.to_string()).collect::<Vec<_>>())
    .bind(events.iter().map(|it| signed(it.version)).collect::<Vec<_>>())
    .bind(events.iter().map(|it| it.event_id.as_uuid()).collect::<Vec<_>>())
    .bind(events.iter().map(|it| it.data.type_name()).collect::<Vec<_>>())
    .bind(events.iter().map(|it| it.command_id.as_uuid()).collect::<Vec<_>>())
    .bind(events.iter().map(|it| json::encode_event_data(it)).collect::<Vec<_>>())
    .bind(events.iter().map(|it| it.balance_after.to_string()).collect::<Vec<_>>())
    .bind(events.iter().map(|it| it.actor.clone()).collect::<Vec<_>>())
    .bind(events.iter().map(|it| it.recorded_at.to_date_time()).collect::<Vec<_>>())
    .bind(events.iter().map(|it| it.prev_hash.as_bytes().to_vec()).collect::<Vec<_>>())
    .bind(events.iter().map(|it| it.hash.as_bytes().to_vec()).collect::<Vec<_>>())
    .bind(lines.iter().map(profile).collect::<Vec<_>>())
    .bind(lines.iter().map(|it| signed(it.profile_version)).collect::<Vec<_>>())
    .bind(events.iter().map(held).collect::<Vec<_>>())
    .bind(events.iter().map(|it| store::thread_key(it)).collect::<Vec<_>>())
    .bind(events.iter().map(|it| it.part.map(i64::from)).collect::<Vec<_>>())
    .execute(pool)
    .await
    .expect("the events can be inserted");
}
