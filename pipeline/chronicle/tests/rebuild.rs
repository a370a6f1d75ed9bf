//! `chronicle projection rebuild` while the ledger works: killed at any moment, it ends with the same rows, and the live
//! read model never notices.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use support::random::Random;
use support::workload::Workload;
use support::{Ledger, Process, text};
use tokio::process::Child;

const PROJECTIONS: [&str; 5] = [
    "account_balance",
    "daily_totals",
    "holds",
    "transactions",
    "transfers",
];

/// A rebuild in small pages, so that there are many moments to die in.
fn rebuild(ledger: &Ledger, name: &str, flags: &[&str], fault: Option<&str>) -> Child {
    let mut command = ledger.command();
    command
        .args(["projection", "rebuild", name, "--batch-max", "16"])
        .args(flags)
        .args(["-o", "json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    if let Some(fault) = fault {
        command.env("CHRONICLE_FAULT", fault);
    }
    command.spawn().expect("chronicle can be started")
}

async fn finish(child: Child) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(support::DEADLINE, child.wait_with_output())
        .await
        .expect("it ends")
        .expect("it can be waited for");
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

async fn done(child: Child) -> Value {
    let (code, out, err) = finish(child).await;
    assert_eq!(code, Some(0), "{out}\n{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// The digest of each table.
async fn digest(ledger: &Ledger, name: &str, copy: &[&str]) -> BTreeMap<String, String> {
    let arguments = [&["projection", "digest", name], copy].concat();
    let document = ledger.json(&arguments, 0).await;
    let tables = document["tables"].as_array().expect("a list").iter();
    tables
        .map(|table| {
            let text = |name: &str| table[name].as_str().expect("a text").to_owned();
            let is_filled = table["rows"].as_u64().expect("a number") > 0;
            // The workload places no holds.
            assert!(is_filled || table["table"] == "holds", "{table}");
            (text("table"), text("digest"))
        })
        .collect()
}

async fn ledger_with(commands: usize, seed: &str) -> (Ledger, Process, Workload) {
    let (ledger, process) = Ledger::running().await;
    let mut workload = Workload::new(&ledger, Random::seeded(seed)).await;
    workload.publish(commands).await;
    support::workload::until_settled(&ledger).await;
    // Settled is published, not yet projected: a digest taken before would be one of a part.
    ledger.until_converged().await;
    (ledger, process, workload)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_ten_points_it_goes_on_and_ends_with_the_same_rows_while_commands_flow() {
    const POINTS: [&str; 10] = [
        "in_rebuild_walk:1",
        "in_rebuild_walk:5",
        "in_rebuild_walk:9",
        "in_projection_transaction:13",
        "after_rebuild_walk:1",
        "before_rebuild_swap:1",
        "before_swap_commit:1",
        // Behind its commit: it is done, and the next one begins anew.
        "after_swap:1",
        "in_rebuild_walk:2",
        "before_swap_commit:1",
    ];
    let (ledger, process, mut workload) = ledger_with(900, "killed at ten points").await;
    for (number, point) in POINTS.into_iter().enumerate() {
        // Commands flow meanwhile.
        let name = "transactions";
        let child = rebuild(&ledger, name, &["--prune-older"], Some(point));
        let ((code, out, err), ()) = tokio::join!(finish(child), workload.publish(60));
        assert_eq!(
            code, None,
            "{number} {point}: it was to be killed\n{out}\n{err}"
        );
        let name_of_point = point.split(':').next().expect("it has a name");
        assert!(err.contains(name_of_point), "{point}\n{err}");
        let (ready, _) = process.readyz().await.expect("it answers");
        assert_eq!(ready, 200, "{point}: the live model must not notice");
    }
    let child = rebuild(&ledger, "transactions", &["--prune-older"], None);
    let (rebuilt, ()) = tokio::join!(done(child), workload.publish(100));
    assert_eq!(rebuilt["resumed"], true);
    workload.check(&ledger).await;
    ledger.until_converged().await;
    let after_kills = digest(&ledger, "transactions", &[]).await;
    ledger.verify().await;

    // One that nobody disturbs.
    done(rebuild(&ledger, "transactions", &["--prune-older"], None)).await;
    assert_eq!(digest(&ledger, "transactions", &[]).await, after_kills);
    assert_eq!(
        digest(&ledger, "transactions", &["--retired"]).await,
        after_kills
    );
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_ten_random_moments_it_ends_with_the_same_rows() {
    let (ledger, process, workload) = ledger_with(1_500, "killed at random moments").await;
    let mut random = Random::seeded("ten random moments");
    let name = "account_balance";
    let undisturbed = digest(&ledger, name, &[]).await;
    let pool = ledger.read_model().await;
    let begun = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'public_shadow_account_balance')";
    let is_begun = async || -> bool {
        let found = sqlx::query_scalar(begun).fetch_one(&pool).await;
        found.expect("it can be read")
    };
    let (mut killed, mut resumed, mut later_ms) = (0, false, 0);
    // A busy machine may not have come to the walk in any of ten: it gets more time then.
    while killed < 10 || !(resumed || is_begun().await) {
        assert!(killed < 40, "no copy was ever begun");
        let mut child = rebuild(&ledger, name, &["--rate", "1500", "--prune-older"], None);
        tokio::time::sleep(Duration::from_millis(150 + random.below(900) + later_ms)).await;
        child.start_kill().expect("it can be killed");
        let (code, out, _) = finish(child).await;
        killed += u32::from(code.is_none());
        // It may have been faster.
        resumed |= out.contains("\"resumed\":true");
        later_ms = if killed < 10 {
            0
        } else {
            (later_ms + 300) % 3_000
        };
    }
    let rebuilt = done(rebuild(&ledger, name, &["--prune-older"], None)).await;
    resumed |= rebuilt["resumed"] == true;
    assert!(resumed, "no copy was ever gone on with");
    assert_eq!(digest(&ledger, name, &[]).await, undisturbed);
    workload.check(&ledger).await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_brings_a_lost_database_back() {
    let (ledger, process, workload) = ledger_with(400, "a lost database").await;
    let mut before = Vec::new();
    for name in PROJECTIONS {
        before.push(digest(&ledger, name, &[]).await);
    }
    assert_eq!(process.stop().await, Some(0));
    let (server, database) = ledger.read_model.rsplit_once('/').expect("a URL");
    let admin = sqlx::postgres::PgPool::connect(&format!("{server}/postgres"))
        .await
        .expect("PostgreSQL runs");
    let drop = format!("DROP DATABASE \"{database}\" WITH (FORCE)");
    sqlx::query(sqlx::AssertSqlSafe(drop))
        .execute(&admin)
        .await
        .expect("it can be removed");
    let output = ledger
        .chronicle(&["projection", "rebuild", "--all", "-o", "json"])
        .await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    for (name, before) in PROJECTIONS.into_iter().zip(before) {
        assert_eq!(digest(&ledger, name, &[]).await, before, "{name}");
    }
    let process = ledger.run(&[], &[]).await;
    workload.check(&ledger).await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_changes_nothing_and_what_is_kept_is_not_thrown_away() {
    let (ledger, process, workload) = ledger_with(100, "a plan").await;
    let rebuild = ["projection", "rebuild", "holds"];
    let plan = ledger
        .json(&[&rebuild[..], &["--dry-run"]].concat(), 0)
        .await;
    assert_eq!(
        (&plan["resumes_at"], &plan["kept"]),
        (&Value::Null, &Value::Null)
    );
    assert!(plan["events"].as_u64() > Some(50), "{plan}");
    let pool = ledger.read_model().await;
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%_holds'";
    let count = || sqlx::query_scalar::<_, i64>(schemas).fetch_one(&pool);
    assert_eq!(count().await.unwrap(), 0);

    let answer = ledger.json(&rebuild, 0).await;
    assert_eq!(answer["kept"], true, "{answer}");
    let refused = ledger.chronicle(&rebuild).await;
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(
        said.contains("--prune-older") && said.contains("rollback"),
        "{said}"
    );
    sqlx::query("CREATE INDEX holds_by_amount ON holds (amount)")
        .execute(&pool)
        .await
        .expect("it can be made");
    let answer = ledger.json(&["projection", "rollback", "holds"], 0).await;
    let lacking =
        r#"CREATE INDEX CONCURRENTLY "holds_by_amount" ON "public"."holds" USING btree (amount)"#;
    assert_eq!(answer["lacking_indexes"], serde_json::json!([lacking]));
    ledger.json(&["projection", "prune", "holds"], 0).await;
    ledger.json(&rebuild, 0).await;
    let discarded = ledger
        .json(&[&rebuild[..], &["--discard"]].concat(), 1)
        .await;
    assert_eq!(discarded["discarded"], false);
    workload.check(&ledger).await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_said_before_anything_is_built() {
    let (ledger, process, workload) = ledger_with(60, "an obstacle").await;
    assert_eq!(process.stop().await, Some(0));
    let pool = ledger.read_model().await;
    let execute = async |sql: &'static str| {
        let done = sqlx::query(sql).execute(&pool).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    };
    execute("CREATE VIEW open_holds AS SELECT * FROM holds WHERE status = 'open'").await;
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname ~ 'shadow|retired'";
    let nothing_was_built = async || {
        let count = sqlx::query_scalar::<_, i64>(schemas).fetch_one(&pool).await;
        assert_eq!(count.unwrap(), 0);
    };
    // With --all, too, though there are four that could be built before.
    for which in ["holds", "--all"] {
        let refused = ledger.chronicle(&["projection", "rebuild", which]).await;
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(text(&refused.stderr).contains("open_holds"), "{refused:?}");
        nothing_was_built().await;
    }
    let plan = ["projection", "rebuild", "holds", "--dry-run"];
    let plan = ledger.json(&plan, 0).await;
    let obstacle = plan["obstacle"].as_str().expect("there is one");
    assert!(obstacle.contains("open_holds"), "{plan}");
    // A program with a new definition does not walk for nothing either.
    execute("UPDATE projection_offsets SET definition = 0 WHERE projection = 'holds'").await;
    let mut stopped = ledger.start(&["--only", "projection.holds"], &[]).await;
    assert_eq!(stopped.ended().await, Some(4));
    assert!(stopped.log().contains("open_holds"), "{}", stopped.log());
    nothing_was_built().await;
    execute("UPDATE projection_offsets SET definition = 1 WHERE projection = 'holds'").await;
    execute("DROP VIEW open_holds").await;
    let process = ledger.run(&[], &[]).await;
    workload.check(&ledger).await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_cannot_lock_its_tables_is_made_by_the_same_command_given_again() {
    let (ledger, process, workload) = ledger_with(100, "a lock").await;
    let name = "transactions";
    let before = digest(&ledger, name, &[]).await;
    let pool = ledger.read_model().await;
    let mut holding = pool.begin().await.expect("it runs");
    sqlx::query("LOCK TABLE transactions IN SHARE UPDATE EXCLUSIVE MODE")
        .execute(&mut *holding)
        .await
        .expect("it can be locked");
    let (code, out, err) = finish(rebuild(&ledger, name, &[], None)).await;
    assert_eq!(code, Some(3), "{out}\n{err}");
    for words in ["pg_terminate_backend", "process ", "what was built is kept"] {
        assert!(err.contains(words), "{words}\n{err}");
    }
    assert_eq!(digest(&ledger, name, &[]).await, before);
    holding.rollback().await.expect("it runs");
    let rebuilt = done(rebuild(&ledger, name, &[], None)).await;
    assert_eq!(rebuilt["resumed"], true);
    assert_eq!(digest(&ledger, name, &[]).await, before);
    workload.check(&ledger).await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_older_definition_are_replaced_at_the_start_and_newer_ones_stop_it() {
    let (ledger, process, workload) = ledger_with(300, "definitions").await;
    assert_eq!(process.stop().await, Some(0));
    let right = digest(&ledger, "account_balance", &[]).await;
    let pool = ledger.read_model().await;
    let execute = async |sql: &'static str| {
        sqlx::query(sql)
            .execute(&pool)
            .await
            .expect("it can be done");
    };
    execute("UPDATE projection_offsets SET definition = 0 WHERE projection = 'account_balance'")
        .await;
    execute("UPDATE account_balance SET owner_name = 'as it was'").await;

    let only = ["--only", "projection.account_balance"];
    let stop = [&only[..], &["--on-new-definition", "stop"]].concat();
    let mut stopped = ledger.start(&stop, &[]).await;
    assert_eq!(stopped.ended().await, Some(4));
    assert!(
        stopped
            .log()
            .contains("chronicle projection rebuild account_balance"),
        "{}",
        stopped.log()
    );
    let process = ledger.run(&only, &[]).await;
    assert_eq!(digest(&ledger, "account_balance", &[]).await, right);
    let log = ledger
        .chronicle(&["projection", "log", "account_balance"])
        .await;
    assert!(text(&log.stdout).contains("definition 1"), "{log:?}");
    assert_eq!(process.stop().await, Some(0));

    execute("UPDATE projection_offsets SET definition = 2 WHERE projection = 'account_balance'")
        .await;
    let mut stopped = ledger.start(&only, &[]).await;
    assert_eq!(stopped.ended().await, Some(4));
    assert!(
        stopped.log().contains("made by a newer program"),
        "{}",
        stopped.log()
    );
    execute("UPDATE projection_offsets SET definition = 1 WHERE projection = 'account_balance'")
        .await;
    let process = ledger.run(&[], &[]).await;
    workload.check(&ledger).await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_projection_rests_over_restarts_while_the_others_go_on() {
    let (ledger, process, mut workload) = ledger_with(100, "a pause").await;
    ledger.until_converged().await;
    let offsets = async || -> BTreeMap<String, i64> {
        let pool = ledger.read_model().await;
        let rows = sqlx::query_as("SELECT projection, last_sequence FROM projection_offsets");
        let rows: Vec<(String, i64)> = rows.fetch_all(&pool).await.expect("it can be read");
        rows.into_iter().collect()
    };
    let pause = ["projection", "pause", "transfers", "--reason", "a test"];
    ledger.json(&pause, 0).await;
    process.until_logged("paused by").await;
    let before = offsets().await;
    workload.publish(100).await;
    support::workload::until_settled(&ledger).await;
    support::eventually("the others to go on", || async {
        let now = offsets().await;
        now["transactions"] > before["transactions"] && now["holds"] > before["holds"]
    })
    .await;
    assert_eq!(offsets().await["transfers"], before["transfers"]);
    // It is told to rest, so nothing is wrong: also after a restart.
    assert_eq!(process.stop().await, Some(0));
    let process = ledger.run(&[], &[]).await;
    process.until_logged("paused by").await;
    let (ready, document) = process.readyz().await.expect("it answers");
    let pipelines = document["pipelines"].as_array().expect("a list").iter();
    let states: BTreeMap<&str, &str> = pipelines
        .filter_map(|pipeline| Some((pipeline["pipeline"].as_str()?, pipeline["state"].as_str()?)))
        .collect();
    assert_eq!((ready, states["projection.transfers"]), (200, "paused"));
    let verify = ledger.chronicle(&["verify", "--wait-seconds", "1"]).await;
    assert_eq!(verify.status.code(), Some(1));
    let said = text(&verify.stdout) + &text(&verify.stderr);
    assert!(said.contains("it is paused at offset"), "{said}");

    ledger.json(&["projection", "resume", "transfers"], 0).await;
    workload.check(&ledger).await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewound_projection_reads_again_and_changes_no_row() {
    let (ledger, process, mut workload) = ledger_with(200, "a rewind").await;
    ledger.until_converged().await;
    let before = digest(&ledger, "transactions", &[]).await;
    let rewind = ["projection", "rewind", "transactions", "--to-sequence", "5"];
    let plan = ledger.json(&rewind, 0).await;
    assert_eq!(plan["executed"], false);
    let done = ledger
        .json(&[&rewind[..], &["--execute"]].concat(), 0)
        .await;
    assert_eq!(done["executed"], true);
    process
        .until_logged("an operator has moved projection transactions")
        .await;
    ledger.until_converged().await;
    support::eventually("the offset to be where it was", || async {
        let list = ledger
            .chronicle(&["projection", "list", "-o", "json"])
            .await;
        text(&list.stdout)
            .lines()
            .all(|line| line.contains("\"lag_events\":0"))
    })
    .await;
    assert_eq!(digest(&ledger, "transactions", &[]).await, before);
    workload.publish(50).await;
    workload.check(&ledger).await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
