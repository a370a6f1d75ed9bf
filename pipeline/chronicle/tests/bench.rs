//! `chronicle bench`: that what it reports adds up, and agrees with what the ledger itself counts. How fast it was is for no
//! test to say.

mod support;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use support::{Ledger, eventually, text};
use tokio::process::Command;

const ACCOUNTS: u64 = 300;
/// A run starts servers, measures, and verifies: longer than that it takes on no machine.
const DEADLINE: Duration = Duration::from_mins(3);

/// A `chronicle bench` in this folder that knows no server.
fn bench(folder: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chronicle"));
    command
        .args(["-o", "json", "bench", "--accounts", "300"])
        .args(flags)
        // Little waits when the time is over: a debug build would take long to work it off.
        .args((!flags.contains(&"--in-flight")).then_some("--in-flight=1000"))
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHRONICLE_")) {
        command.env_remove(name);
    }
    command
}

/// Runs one to its end; its exit code must be this one. Answers with its document and what it has said.
async fn document(mut command: Command, code: i32) -> (Value, String) {
    let run = tokio::time::timeout(DEADLINE, command.output());
    let output = run.await.expect("it ends").expect("chronicle starts");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    let document =
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}\n{out}\n{err}"));
    (document, err)
}

/// A whole run on a stack of its own, whose report is looked through.
async fn measured(flags: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (document, _) = document(bench(folder.path(), flags), 0).await;
    adds_up(&document);
    let of_programs = ["chronicle", "nats-server", "postgres", "bench"];
    for name in of_programs {
        let all = document["processes"].as_array().expect("there are some");
        let found = all.iter().find(|it| it["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no {name}: {document}"));
        assert!(number(&found["peak_rss_mb"]) > 1.0, "{name}: {found}");
        let (all, one) = (&found["cpu_seconds"], &found["cpu_seconds_per_command"]);
        let by_one = number(all) / number(&document["commands"]);
        assert!((number(one) - by_one).abs() < 1e-9, "{name}: {found}");
    }
    assert!(number(&document["peak_rss_mb"]) > 1.0, "{document}");
    // The ledger has counted the same: the accounts were opened, and nobody else was there.
    let totals = &document["verify"]["totals"];
    assert_eq!(totals["accounts"], ACCOUNTS, "{totals}");
    let commands = document["commands"].as_u64().expect("it is a number");
    assert_eq!(totals["commands"], commands + ACCOUNTS, "{totals}");
    assert_eq!(totals["rejected"], document["refused"], "{totals}");
    let event_store = document["place"]["event_store"]
        .as_str()
        .unwrap_or_default();
    assert!(event_store.contains("fsync on"), "{event_store}");
    assert!(
        !folder.path().join(".chronicle/bench").exists(),
        "it cleans up"
    );
    document
}

/// What holds of every report.
fn adds_up(document: &Value) {
    let commands = number(&document["commands"]);
    let (accepted, refused) = (number(&document["accepted"]), number(&document["refused"]));
    assert!(commands > 0.0, "{document}");
    assert!((commands - accepted - refused).abs() < 0.5, "{document}");
    assert_eq!(document["without_outcome"], 0, "{document}");
    let by_code: f64 = document["refusals"]
        .as_object()
        .expect("by code")
        .values()
        .map(number)
        .sum();
    assert!((by_code - refused).abs() < 0.5, "{document}");
    for latency in ["outcome_ms", "projection_ms"] {
        let latency = &document[latency];
        let values = ["p50", "p90", "p99", "p999", "max"].map(|name| number(&latency[name]));
        assert!(values[0] > 0.0 && values.is_sorted(), "{latency}");
        assert!(values[4] < 60_000.0, "{latency}");
    }
    assert_eq!(document["outcome_ms"]["samples"], document["commands"]);
    assert!(
        number(&document["projection_ms"]["samples"]) >= 1.0,
        "{document}"
    );
    let elapsed = number(&document["elapsed_seconds"]);
    let rate = number(&document["commands_per_second"]);
    assert!((rate * elapsed / commands - 1.0).abs() < 1e-6, "{document}");
    assert!(
        number(&document["outcomes_per_second"]) >= rate,
        "{document}"
    );
    assert!(
        number(&document["all_projected_per_second"]) <= rate,
        "{document}"
    );
    assert_eq!(document["verify"]["ok"], true, "{document}");
}

/// It was held against the bare loop.
fn has_a_ceiling(document: &Value) {
    let ceiling = number(&document["ceiling_per_second"]);
    let share = number(&document["share_of_ceiling"]);
    assert!(ceiling > 0.0, "{document}");
    let expected = number(&document["commands_per_second"]) / ceiling;
    assert!((share - expected).abs() < 1e-9, "{document}");
    let loop_of = &document["ceiling"];
    assert!(number(&loop_of["elapsed_seconds"]) >= 1.0, "{loop_of}");
    assert!(number(&loop_of["appends"]) >= 1.0, "{loop_of}");
    // As many events a command as the ledger has made, about: the load is the same, to a number of commands that differs.
    let totals = &document["verify"]["totals"];
    let events = number(&totals["events"]) - ACCOUNTS as f64;
    let of_ledger = events / number(&document["commands"]);
    let of_loop = number(&loop_of["events"]) / number(&loop_of["commands"]);
    assert!((of_ledger / of_loop - 1.0).abs() < 0.1, "{document}");
}

#[track_caller]
fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn deposits_are_measured() {
    let document = measured(&["--workload", "deposit", "--seconds", "1", "--no-ceiling"]).await;
    assert_eq!(document["workload"], "deposit");
    assert_eq!(document["refused"], 0);
    for absent in ["ceiling", "ceiling_per_second", "share_of_ceiling"] {
        assert_eq!(document[absent], Value::Null, "{absent}");
    }
    let events = number(&document["verify"]["totals"]["events"]) - ACCOUNTS as f64;
    assert!((events - number(&document["commands"])).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_are_measured_and_held_against_the_ceiling() {
    let document = measured(&["--seconds", "1"]).await;
    assert_eq!(document["workload"], "transfer-uniform");
    assert_eq!(document["refused"], 0);
    assert_eq!(
        document["verify"]["totals"]["transfers"],
        document["commands"]
    );
    has_a_ceiling(&document);
}

#[tokio::test(flavor = "multi_thread")]
async fn popular_accounts_are_measured() {
    let flags = [
        "--workload",
        "transfer-zipf",
        "--seconds",
        "1",
        "--no-ceiling",
    ];
    let document = measured(&flags).await;
    assert_eq!(document["refused"], 0);
    assert_eq!(
        document["verify"]["totals"]["transfers"],
        document["commands"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_hot_account_is_measured() {
    let document = measured(&["--workload", "hot-account", "--seconds", "1"]).await;
    assert_eq!(document["refused"], 0);
    has_a_ceiling(&document);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mixture_has_refusals_by_their_codes() {
    let document = measured(&["--workload", "mixed", "--seconds", "1"]).await;
    let refusals = document["refusals"].as_object().expect("by code");
    let codes: Vec<&str> = refusals.keys().map(String::as_str).collect();
    assert_eq!(codes, ["account_not_found", "insufficient_funds"]);
    let share = number(&document["refused"]) / number(&document["commands"]);
    assert!((0.02..0.25).contains(&share), "{share}");
    has_a_ceiling(&document);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_read_model_is_measured_and_all_are_verified() {
    let flags = ["--one-read-model", "--seconds", "1", "--no-ceiling"];
    let document = measured(&flags).await;
    assert_eq!(document["one_read_model"], true);
    let invariants = document["verify"]["invariants"].as_array();
    let all = invariants.expect("there are some").iter();
    let of = |name: &str| all.clone().find(|it| it["name"] == name).cloned();
    let applied = of("single_applier").expect("it is one of them");
    assert_eq!(applied["checked"]["projections"], 5, "{applied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_measured_and_have_no_ceiling() {
    let flags = ["--workload", "batch", "--seconds", "1", "--in-flight", "50"];
    let document = measured(&flags).await;
    assert_eq!(document["refused"], 0);
    assert_eq!(document["share_of_ceiling"], Value::Null);
    let transfers = number(&document["verify"]["totals"]["transfers"]);
    assert!((transfers - 32.0 * number(&document["commands"])).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_rate_is_kept() {
    let flags = ["--rate", "150", "--seconds", "2", "--no-ceiling"];
    let document = measured(&flags).await;
    assert_eq!(document["rate"], 150);
    assert_eq!(document["commands"], 300);
    assert!(number(&document["elapsed_seconds"]) >= 1.99, "{document}");
    // All of them are watched for, or nearly all: there is room for it.
    assert!(
        number(&document["projection_ms"]["samples"]) > 50.0,
        "{document}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_go_in_through_http_too() {
    let flags = ["--through", "http", "--workload", "mixed", "--seconds", "1"];
    let document = measured(&[&flags[..], &["--in-flight", "16", "--no-ceiling"]].concat()).await;
    assert_eq!(document["through"], "http");
    assert_eq!(document["in_flight_max"], 16);
    assert!(number(&document["refused"]) > 0.0, "{document}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_runs_is_measured_where_it_is_and_a_violation_is_told() {
    let (ledger, process) = Ledger::running().await;
    let http = format!("http://{}", process.address());
    let command = |flags: &[&str]| {
        let mut command = bench(ledger.folder.path(), flags);
        command
            .env("CHRONICLE_NATS_URL", ledger.nats.url())
            .env("CHRONICLE_EVENT_STORE_URL", &ledger.event_store)
            .env("CHRONICLE_READ_MODEL_URL", &ledger.read_model);
        command
    };
    let paced = ["--rate", "100", "--seconds", "1"];
    let (first, said) = document(command(&paced), 0).await;
    adds_up(&first);
    assert_eq!(first["share_of_ceiling"], Value::Null);
    assert!(said.contains("no ceiling"), "{said}");
    assert_eq!(first["peak_rss_mb"], Value::Null);

    // The same seed once more: other accounts, other commands.
    let through_http = ["--through", "http", "--http-url", &http];
    let (second, _) = document(command(&[&paced[..], &through_http].concat()), 0).await;
    adds_up(&second);
    assert_eq!(second["verify"]["totals"]["accounts"], 2 * ACCOUNTS);

    let damage = "UPDATE account_balance SET balance = balance + 1
                  WHERE account_id = (SELECT min(account_id) FROM account_balance)";
    sqlx::query(damage)
        .execute(&ledger.read_model().await)
        .await
        .expect("it can be damaged");
    let (third, _) = document(command(&["--rate", "1", "--seconds", "1"]), 1).await;
    assert_eq!(third["verify"]["ok"], false, "{third}");
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let said = folder.path().join("said");
    let mut child = bench(folder.path(), &["--seconds", "300"])
        .stderr(std::fs::File::create(&said).expect("it can be made"))
        .spawn()
        .expect("chronicle starts");
    let read = || std::fs::read_to_string(&said).unwrap_or_default();
    eventually("it to measure", || async { read().contains("measuring") }).await;
    let own = folder.path().join(".chronicle/bench");
    assert!(own.exists());
    let second = bench(folder.path(), &[]).output().await.expect("it starts");
    assert_eq!(second.status.code(), Some(2), "{}", text(&second.stderr));
    assert!(text(&second.stderr).contains("a bench runs in"));

    let pid = child.id().expect("it runs").to_string();
    let told = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    assert!(told.expect("kill is there").success());
    let ended = tokio::time::timeout(DEADLINE, child.wait()).await;
    let status = ended.expect("it ends").expect("it can be waited for");
    assert_eq!(status.code(), Some(1), "{}", read());
    assert!(!own.exists(), "its folder is gone");
    eventually("its processes to be gone", || async {
        works_below(folder.path()).is_empty()
    })
    .await;
}

/// The processes whose working folder is below this one, or was.
fn works_below(folder: &Path) -> Vec<String> {
    let folder = folder.canonicalize().expect("it is there");
    let entries = std::fs::read_dir("/proc").expect("there is a /proc");
    let folders = entries.flatten().filter_map(|entry| {
        let works_in = std::fs::read_link(entry.path().join("cwd")).ok()?;
        works_in
            .starts_with(&folder)
            .then(|| works_in.display().to_string())
    });
    folders.collect()
}

#[tokio::test]
async fn a_wrong_call_is_refused_before_anything_is_started() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let nats = ["--nats-url", "nats://127.0.0.1:1"];
    let databases = [
        "--event-store-url",
        "postgres://127.0.0.1:1/e",
        "--read-model-url",
        "postgres://127.0.0.1:1/r",
    ];
    let all = [&nats[..], &databases].concat();
    for (flags, words) in [
        (vec!["--workload", "nothing"], "[possible values: deposit, "),
        (vec!["--through", "fax"], "[possible values: nats, http]"),
        (vec!["--rate", "0"], "0 is not in 1..=1000000"),
        (vec!["--seconds", "0"], "0 is not in 1..=86400"),
        (vec!["--seed", "x"], "invalid digit"),
        (
            vec!["--through", "http", "--in-flight", "10001"],
            "would take as many connections",
        ),
        (nats.to_vec(), "give all of --nats-url"),
        (databases.to_vec(), "give all of --nats-url"),
        (
            vec!["--http-url", "http://127.0.0.1:8080"],
            "give its --nats-url, --event-store-url and --read-model-url",
        ),
        (
            [&all[..], &["--through", "http"]].concat(),
            "needs its --http-url",
        ),
        (
            [&all[..], &["--http-url", "https://127.0.0.1:1"]].concat(),
            "--http-url is http://HOST:PORT",
        ),
    ] {
        let output = bench(folder.path(), &flags)
            .output()
            .await
            .expect("it starts");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}\n{error}");
        assert!(error.contains(words), "{flags:?}: {words}\n{error}");
        assert!(output.stdout.is_empty(), "{flags:?}");
    }
    assert!(!folder.path().join(".chronicle").exists());

    let output = bench(folder.path(), &all)
        .output()
        .await
        .expect("it starts");
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(
        error.contains("NATS at nats://127.0.0.1:1 cannot be reached"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_tables() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut command = Command::new(env!("CARGO_BIN_EXE_chronicle"));
    command
        .args(["bench", "--accounts", "300", "--rate", "50"])
        .args(["--seconds", "1", "--no-ceiling"])
        .current_dir(folder.path())
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let run = command.output();
    let output = tokio::time::timeout(DEADLINE, run).await;
    let output = output.expect("it ends").expect("it starts");
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}\n{}", text(&output.stderr));
    for words in [
        "transfer-uniform through NATS, 50 commands a second for 1 s",
        "published to projected",
        "to outcome",
        "to projection",
        "P99.9",
        "nats-server",
        "commit",
        "convergence",
    ] {
        assert!(out.contains(words), "{words}\n{out}");
    }
}
