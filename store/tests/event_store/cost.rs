//! Nothing gets slower because a history is long: told by what the database reads, not by time.

use ledger::{AccountId, Command, EventReference, Timestamp, Version};
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};
use uuid::Uuid;

use crate::support::build::{create, deposit, new_account_id, new_hold_id, withdraw};
use crate::support::crowd::{add_accounts, add_history};
use crate::support::database::{Database, connect, connect_with};
use crate::support::outcomes::{process, verdicts, writer};
use crate::support::proxy::Proxy;

const LONG: usize = 20_000;
const SHORT: usize = 10;

/// What a statement reads: blocks on PostgreSQL, rows on CockroachDB.
struct Meter {
    owner: PgConnection,
    is_cockroach: bool,
}

impl Meter {
    async fn of(database: &Database) -> Self {
        let mut owner = database.owner().await;
        owner.execute("SET enable_seqscan = off").await.unwrap();
        Self {
            owner,
            is_cockroach: database.is_cockroach().await,
        }
    }

    /// Runs a statement with these values, spelled in SQL, and tells what it read at the least in three times; fails when it
    /// reads a table from end to end. The first time after the database has tidied up (which it does when it likes),
    /// PostgreSQL reads its catalogue anew while it plans.
    async fn read_by(&mut self, text: &str, values: &[String]) -> usize {
        let mut least = usize::MAX;
        for _ in 0..3 {
            least = least.min(self.read_once_by(text, values).await);
        }
        least
    }

    async fn read_once_by(&mut self, text: &str, values: &[String]) -> usize {
        let mut text = text.to_owned();
        // CockroachDB explains no statement with placeholders.
        for (index, value) in values.iter().enumerate().rev() {
            text = text.replace(&format!("${}", index + 1), &format!("({value})"));
        }
        let explain = if self.is_cockroach {
            "EXPLAIN ANALYZE"
        } else {
            "EXPLAIN (ANALYZE, BUFFERS)"
        };
        let plan = self.plan(&format!("{explain} {text}")).await;
        assert!(!plan.contains("Seq Scan"), "{text}\n{plan}");
        if !self.is_cockroach {
            return first_numbers(&plan, "Buffers: shared hit=")
                .into_iter()
                .sum();
        }
        let spans = self.plan(&format!("EXPLAIN {text}")).await;
        assert!(!spans.contains("FULL SCAN"), "{text}\n{spans}");
        first_numbers(&plan, " from KV: ")
            .first()
            .copied()
            .unwrap_or(0)
    }

    async fn plan(&mut self, text: &str) -> String {
        let rows = self.owner.fetch_all(AssertSqlSafe(text)).await.unwrap();
        let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        lines.join("\n")
    }
}

/// The numbers in the first line that has `label`, from there on: `hit=3 read=1` gives 3 and 1.
fn first_numbers(plan: &str, label: &str) -> Vec<usize> {
    let Some((_, rest)) = plan.split_once(label) else {
        return Vec::new();
    };
    let line = rest.lines().next().unwrap_or_default().replace(',', "");
    let line = line.split('(').next().unwrap_or_default();
    line.split(|character: char| !character.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().unwrap())
        .collect()
}

/// The texts of all statements that read accounts, histories and outcomes, as the store sends them.
struct Texts {
    load: String,
    load_several: String,
    at: String,
    by_date: String,
    at_version: String,
    history: String,
    history_back: String,
    book: String,
    openings: String,
    events: String,
    outcomes: String,
    opened: String,
    heads: String,
    holds: String,
    append: String,
}

impl Texts {
    async fn of(database: &Database) -> Self {
        let proxy = Proxy::before(&database.application_url()).await;
        let store = connect_with(proxy.url(), 1, std::time::Duration::from_secs(30));
        let ids: Vec<AccountId> = (0..3).map(|_| new_account_id("text")).collect();
        let mut one_writer = writer(&store);
        let batch: Vec<Command> = ids.iter().map(|id| create(id, "1")).collect();
        process(&mut one_writer, &batch).await;
        let load_several = proxy.take_texts().remove(0);
        process(&mut one_writer, &[deposit(&ids[0], "1")]).await;
        let one = || proxy.take_texts().pop().expect("one statement");

        store.account(&ids[0]).await.unwrap();
        let load = one();
        store.account_at(&ids[0], Timestamp::MAX).await.unwrap();
        let at = one();
        let always = Timestamp::MAX;
        store
            .balance_by_date(&ids[0], always, always)
            .await
            .unwrap();
        let by_date = one();
        store
            .account_at_version(&ids[0], Version::FIRST)
            .await
            .unwrap();
        let at_version = one();
        let history = store.history(&ids[0], Version::NONE, 1).await.unwrap();
        let history_text = one();
        store.history_back(&ids[0], None, 1).await.unwrap();
        let history_back = one();
        store
            .events(&[EventReference::from(&history[0])])
            .await
            .unwrap();
        let events = one();
        store.outcomes(&[batch[0].command_id]).await.unwrap();
        let outcomes = one();
        // Of sixteen accounts, so that no statement is known already.
        let more: Vec<Command> = (0..8)
            .map(|_| create(&new_account_id("text"), "1"))
            .collect();
        process(&mut one_writer, &more).await;
        proxy.take_texts();
        store.heads(None, 20).await.unwrap();
        let mut texts = proxy.take_texts();
        let (heads, opened) = (texts.pop().unwrap(), texts.pop().unwrap());
        store.book_at(Timestamp::MAX, None, 20).await.unwrap();
        let texts = proxy.take_texts();
        let book_of = |words: &str| {
            let text = texts.iter().find(|text| text.contains(words));
            text.expect("one of the statements").clone()
        };
        let (openings, book) = (book_of("version, recorded_at FROM"), book_of("[16]"));
        store
            .holds(&[(ids[0].clone(), new_hold_id())])
            .await
            .unwrap();
        let holds = one();
        let direct = Proxy::before(&database.application_url()).await;
        let store = connect(direct.url());
        let rejected = process(
            &mut writer(&store),
            &[withdraw(&new_account_id("text"), "1")],
        )
        .await;
        assert_eq!(verdicts(&rejected), ["account_not_found"]);
        let append = direct.take_texts().pop().unwrap();
        assert!(append.contains("INSERT INTO events"));
        Self {
            load,
            load_several,
            at,
            by_date,
            at_version,
            history: history_text,
            history_back,
            book,
            openings,
            events,
            outcomes,
            opened,
            heads,
            holds,
            append,
        }
    }
}

/// What each statement reads for an account with `events` events.
async fn readings(
    meter: &mut Meter,
    texts: &Texts,
    account_id: &AccountId,
    events: usize,
) -> Vec<(&'static str, usize)> {
    let middle = events / 2;
    let name = format!("'{account_id}'::text");
    let names = format!("ARRAY['{account_id}']::text[]");
    let number = |number: usize| format!("{number}::bigint");
    let numbers = |number: usize| format!("ARRAY[{number}]::bigint[]");
    let second = |number: usize| {
        format!("'2026-01-01 00:00:00Z'::timestamptz + {number} * '1 second'::interval")
    };
    let at = second(middle);
    let append = |next_version| {
        let mut values = vec![names.clone(), numbers(next_version)];
        values.extend(std::iter::repeat_n("NULL".to_owned(), 26));
        values
    };
    let statements = [
        ("load", &texts.load, vec![names.clone()]),
        ("load several", &texts.load_several, vec![names.clone()]),
        ("account_at", &texts.at, vec![name.clone(), at.clone()]),
        ("book_at", &texts.book, vec![names.clone(), at]),
        ("openings", &texts.openings, vec![names.clone(), numbers(1)]),
        (
            "history_back",
            &texts.history_back,
            vec![name.clone(), number(middle), number(5)],
        ),
        (
            "account_at_version",
            &texts.at_version,
            vec![name.clone(), number(middle)],
        ),
        (
            "history",
            &texts.history,
            vec![name.clone(), number(middle), number(5)],
        ),
        (
            "events",
            &texts.events,
            vec![names.clone(), numbers(middle)],
        ),
        ("heads", &texts.heads, vec![names.clone()]),
        (
            "holds",
            &texts.holds,
            vec![format!(
                "ARRAY['{account_id}/hold/{}']::text[]",
                Uuid::nil()
            )],
        ),
        ("accounts", &texts.opened, vec![name.clone(), number(5)]),
        ("append, seen as it is", &texts.append, append(events + 1)),
        ("append, stale", &texts.append, append(middle)),
        // As of a few seconds ago, and of what was known at that time: what is dated since then is at hand.
        (
            "by_date",
            &texts.by_date,
            vec![
                name.clone(),
                second(events),
                second(events - 4),
                second(events - 4),
            ],
        ),
        (
            "by_date, of old",
            &texts.by_date,
            vec![name.clone(), second(middle), second(events), second(middle)],
        ),
    ];
    let mut readings = Vec::new();
    for (label, text, values) in statements {
        readings.push((label, meter.read_by(text, &values).await));
    }
    readings
}

#[tokio::test]
async fn statements_read_as_little_of_a_long_history_as_of_a_short_one() {
    for measured_when_small in [false, true] {
        let database = Database::fresh("cost").await;
        let texts = Texts::of(&database).await;
        let mut meter = Meter::of(&database).await;
        let statistics = if meter.is_cockroach {
            "CREATE STATISTICS fresh FROM events"
        } else {
            "ANALYZE"
        };
        if measured_when_small {
            database.execute(statistics).await;
        }
        let (long, short) = (new_account_id("long"), new_account_id("short"));
        add_history(&database, &short, 1..=SHORT).await;
        add_history(&database, &long, 1..=LONG).await;
        database
            .execute(&format!(
                "UPDATE events SET thread_key = account_id || '/hold/{}' WHERE version % 2 = 1",
                Uuid::nil()
            ))
            .await;
        // Each event has a business date, the one before it or the next.
        database
            .execute(
                "UPDATE events SET dated_account_id = account_id,
                    effective_at = recorded_at + (version % 3 - 1) * '2 second'::interval,
                    dated_until = greatest(recorded_at, recorded_at + (version % 3 - 1) * '2 second'::interval)
                 WHERE version > 1",
            )
            .await;
        // Most accounts have one event, which is when PostgreSQL likes the wrong index.
        let others = if meter.is_cockroach { 2_000 } else { 3 * LONG };
        add_accounts(&database, "other", others).await;

        for measured_now in [false, true] {
            if measured_now {
                database.execute(statistics).await;
            }
            let of_short = readings(&mut meter, &texts, &short, SHORT).await;
            let of_long = readings(&mut meter, &texts, &long, LONG).await;
            for ((label, short), (_, long)) in of_short.into_iter().zip(of_long) {
                let case = format!("{label}, measured {measured_when_small} {measured_now}");
                let max = if label.starts_with("by_date") { 48 } else { 16 };
                assert!(long <= max, "{case}: reads {long}");
                assert!(
                    long <= short + 4,
                    "{case}: {short} of a short, {long} of a long history"
                );
            }
        }
        let ids: Vec<String> = (0..100).map(|_| format!("'{}'", Uuid::new_v4())).collect();
        let ids = format!("ARRAY[{}]::uuid[]", ids.join(","));
        let read = meter.read_by(&texts.outcomes, &[ids]).await;
        assert!(
            read <= 300,
            "100 outcomes are looked up, not searched: {read}"
        );
    }
}
