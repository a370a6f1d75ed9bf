//! What can be said without any server: help, wrong calls, and servers that are not there.

mod cli_support;

use cli_support::chronicle;
use futures::future::join_all;

const DEPOSIT: [&str; 4] = ["send", "deposit", "ACC-1", "25.00"];

#[tokio::test]
async fn the_help_names_every_subcommand_and_the_exit_codes() {
    let help = chronicle(&["--help"]).await.exits(0);
    for name in [
        "send",
        "account",
        "balances",
        "explain",
        "history",
        "holds",
        "outcome",
        "events",
        "dead-letter",
        "projection",
        "bench",
        "Exit codes",
    ] {
        assert!(help.out.contains(name), "{name}: {help:#?}");
    }
    let send = chronicle(&["send", "--help"]).await.exits(0);
    for name in [
        "create-account",
        "deposit",
        "withdraw",
        "transfer",
        "freeze-account",
        "unfreeze-account",
        "close-account",
        "set-overdraft-limit",
        "set-account-rules",
        "update-account",
        "hold",
        "capture",
        "release",
        "reverse",
        "--file",
        "--in-flight",
        "--wait-seconds",
        "Exit codes",
    ] {
        assert!(send.out.contains(name), "{name}: {send:#?}");
    }
}

#[tokio::test]
async fn without_a_known_server_the_call_is_wrong_and_says_what_to_give() {
    for (arguments, words) in [
        (&DEPOSIT[..], "--nats-url"),
        (
            &["send", "--file", "x", "deposit", "ACC-1", "25.00"],
            "not both",
        ),
        (&["events"], "CHRONICLE_NATS_URL"),
        (&["dead-letter", "list"], "chronicle dev"),
        (&["account", "ACC-1"], "--event-store-url"),
        (&["balances"], "--event-store-url"),
        (&["explain", "ACC-1"], "--event-store-url"),
        (&["history", "ACC-1"], "CHRONICLE_EVENT_STORE_URL"),
        (
            &["outcome", "6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11"],
            "no event store is known",
        ),
        (&["projection", "list"], "--read-model-url"),
        (&["holds", "ACC-1"], "CHRONICLE_READ_MODEL_URL"),
    ] {
        chronicle(arguments)
            .await
            .exits(2)
            .says(words)
            .prints_nothing();
    }
}

#[allow(clippy::too_many_lines)] // a table of cases
#[tokio::test]
async fn a_value_that_is_none_is_refused_in_the_codecs_words_before_any_server_is_asked() {
    for (arguments, words) in [
        (
            &["send", "deposit", "ACC-1", "abc"][..],
            "amount: an amount is a decimal number such as \"25.00\"",
        ),
        (&["send", "deposit", "ACC-1", "1e5"], "without an exponent"),
        (
            &["send", "deposit", "ACC 1", "5"],
            "an account id is 1 to 64 characters",
        ),
        (
            &["send", "deposit", "ACC-1", "5", "--currency", "usd"],
            "a currency code is",
        ),
        (
            &["send", "deposit", "ACC-1", "5", "--command-id", "7"],
            "a UUID with hyphens",
        ),
        (
            &["send", "deposit", "ACC-1", "5", "--metadata", "x"],
            "--metadata is key=value",
        ),
        (
            &["send", "deposit", "ACC-1", "5", "--metadata", "a b=c"],
            "a key of metadata is",
        ),
        (
            &[
                "send",
                "deposit",
                "ACC-1",
                "5",
                "--metadata",
                "a=1",
                "--metadata",
                "a=2",
            ],
            "metadata has the key \"a\" twice",
        ),
        (
            &["send", "freeze-account", "ACC-1"],
            "required arguments were not provided",
        ),
        (
            &[
                "send",
                "freeze-account",
                "ACC-1",
                "--reason",
                "x",
                "--scope",
                "some",
            ],
            "[possible values: debits, credits, all]",
        ),
        (
            &["send", "update-account", "ACC-1"],
            "update_account changes nothing",
        ),
        (
            &["send", "update-account", "ACC-1", "--account-metadata", "x"],
            "--account-metadata is key=value",
        ),
        (
            &[
                "send",
                "update-account",
                "ACC-1",
                "--account-metadata",
                "a=1",
                "--no-account-metadata",
            ],
            "cannot be used with",
        ),
        (
            &["send", "set-account-rules", "ACC-1"],
            "required arguments were not provided",
        ),
        (
            &[
                "send",
                "set-account-rules",
                "ACC-1",
                "--none",
                "--minimum-balance",
                "5",
            ],
            "cannot be used with",
        ),
        (
            &[
                "send",
                "set-account-rules",
                "ACC-1",
                "--daily-debit-count-max",
                "-1",
            ],
            "unexpected argument",
        ),
        (
            &["send", "set-overdraft-limit", "ACC-1", "much"],
            "overdraft_limit: an amount is a decimal number",
        ),
        (
            &["send", "hold", "ACC-1", "5", "--hold-id", "7"],
            "a UUID with hyphens",
        ),
        (
            &["send", "hold", "ACC-1", "5", "--hold-expires-at", "soon"],
            "a timestamp is RFC 3339 with an offset",
        ),
        (&["send", "capture", "ACC-1", "7"], "a UUID with hyphens"),
        (
            &["send", "reverse", "ACC-1", "7", "--reason", "x"],
            "a UUID with hyphens",
        ),
        (
            &[
                "send",
                "reverse",
                "ACC-1",
                "6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11",
            ],
            "required arguments were not provided",
        ),
        (
            &[
                "send",
                "deposit",
                "ACC-1",
                "5",
                "--not-before",
                "2026-01-31",
            ],
            "a timestamp is RFC 3339 with an offset",
        ),
        (
            &[
                "send",
                "deposit",
                "ACC-1",
                "5",
                "--if-balance-at-least",
                "x",
            ],
            "if_balance_at_least: an amount is a decimal number",
        ),
        (&["holds", "ACC 1"], "an account id is 1 to 64 characters"),
        (
            &["holds", "ACC-1", "--status", "gone"],
            "[possible values: open, captured, released, expired]",
        ),
        (&["outcome", "7"], "a UUID with hyphens"),
        (
            &["account", "A", "--at", "yesterday"],
            "a timestamp is RFC 3339 with an offset",
        ),
        (
            &["balances", "--at", "2026-01-31T12:00:00.0000001Z"],
            "at most 6 fractional digits",
        ),
        (
            &["explain", "A", "--at", "2026-01-31T12:00:00"],
            "a timestamp is RFC 3339 with an offset",
        ),
        (
            &[
                "account",
                "A",
                "--at",
                "2026-01-31T12:00:00Z",
                "--version",
                "1",
            ],
            "cannot be used with",
        ),
    ] {
        chronicle(arguments)
            .await
            .exits(2)
            .says(words)
            .prints_nothing();
    }
}

#[tokio::test]
async fn what_only_the_ledger_can_judge_is_not_refused_here() {
    // Zero, below zero, too many decimals, an unknown currency: rejections, for which the ledger would have to be asked.
    for arguments in [
        &["send", "deposit", "ACC-1", "0"][..],
        &["send", "deposit", "ACC-1", "-5"],
        &["send", "deposit", "ACC-1", "0.001", "--currency", "USD"],
        &["send", "transfer", "ACC-1", "ACC-1", "5"],
        &["send", "set-overdraft-limit", "ACC-1", "-5"],
        &[
            "send",
            "set-account-rules",
            "ACC-1",
            "--daily-debit-amount-max",
            "-5",
        ],
        &["send", "hold", "ACC-1", "-5"],
        &[
            "send",
            "deposit",
            "ACC-1",
            "5",
            "--if-balance-at-least",
            "-5",
        ],
        &[
            "send",
            "deposit",
            "ACC-1",
            "5",
            "--expires-at",
            "2020-01-01T00:00:00Z",
        ],
        &[
            "send",
            "create-account",
            "ACC-1",
            "--owner-name",
            "A",
            "--currency",
            "XXX",
        ],
    ] {
        chronicle(arguments).await.exits(2).says("no NATS is known");
    }
}

#[tokio::test]
async fn calls_that_make_no_sense_say_what_would() {
    for (arguments, words) in [
        (&["send"][..], "--file FILE"),
        (
            &["send", "--file", "missing.ndjson"],
            "missing.ndjson cannot be read",
        ),
        (&["send", "--file", "/"], "is a folder"),
        (
            &["events", "--from-sequence", "9", "--to-sequence", "3"],
            "--to-sequence lies before --from-sequence",
        ),
        (
            &[
                "dead-letter",
                "discard",
                "LEDGER_COMMANDS-1",
                "--reason",
                " ",
            ],
            "needs a reason",
        ),
        (
            &[
                "projection",
                "skip",
                "balances",
                "--sequence",
                "1",
                "--reason",
                "x",
            ],
            "there are account_balance, transactions, transfers, holds, daily_totals",
        ),
        (
            &[
                "projection",
                "skip",
                "transfers",
                "--sequence",
                "0",
                "--reason",
                "x",
            ],
            "no sequence of the feed",
        ),
        (
            &[
                "projection",
                "skip",
                "transfers",
                "--sequence",
                "1",
                "--reason",
                "",
            ],
            "needs a reason",
        ),
        (
            &["projection", "adopt-stream", "balances"],
            "there is no projection \"balances\"",
        ),
        (
            &["bench", "--nats-url", "nats://127.0.0.1:1"],
            "give all of --nats-url, --event-store-url and --read-model-url",
        ),
    ] {
        chronicle(arguments)
            .await
            .exits(2)
            .says(words)
            .prints_nothing();
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    const NATS: &str = "nats://me:secret@127.0.0.1:1";
    const SQL: &str = "postgres://me:secret@127.0.0.1:1/ledger";
    let cases = [
        (
            &["send", "deposit", "ACC-1", "5", "--nats-url", NATS][..],
            "NATS at nats://me@127.0.0.1:1 cannot be reached",
        ),
        (
            &["events", "--nats-url", NATS],
            "NATS at nats://me@127.0.0.1:1 cannot be reached",
        ),
        (
            &["dead-letter", "list", "--nats-url", NATS],
            "NATS at nats://me@127.0.0.1:1 cannot be reached",
        ),
        (
            &["account", "ACC-1", "--event-store-url", SQL],
            "the event store at postgres://me@127.0.0.1:1/ledger cannot be reached",
        ),
        (
            &["holds", "ACC-1", "--read-model-url", SQL],
            "the read model at postgres://me@127.0.0.1:1/ledger cannot be reached",
        ),
        (
            &["projection", "list", "--read-model-url", SQL],
            "the read model at postgres://me@127.0.0.1:1/ledger cannot be reached",
        ),
    ];
    // All at once: each waits until its server has had its time.
    join_all(cases.map(|(arguments, place)| async move {
        let done = chronicle(arguments)
            .await
            .exits(3)
            .says(place)
            .says("check that it runs")
            .prints_nothing();
        assert!(!done.err.contains("secret"), "{done:#?}");
    }))
    .await;
}

#[tokio::test]
async fn what_belongs_to_a_repair_is_refused_without_one() {
    for arguments in [
        &["verify", "--dry-run"][..],
        &["verify", "--deep", "--reason", "x"],
    ] {
        chronicle(arguments).await.exits(2).says("--repair");
    }
    let help = chronicle(&["verify", "--help"]).await.exits(0);
    for flag in ["--deep", "--repair", "--dry-run", "--reason"] {
        assert!(help.out.contains(flag), "{flag}: {help:#?}");
    }
}
