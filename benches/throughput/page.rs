//! The page: rates and shares, latencies, what a command costs, and on what machine.

use std::fmt::Write as _;

use serde_json::Value;

use crate::options::Options;
use crate::runs::{FAST, LEGS_IN_A_BATCH, LONE_RATE, number};

/// As Markdown.
pub(crate) fn of(runs: &[Value], options: &Options) -> anyhow::Result<String> {
    let (fast, paced) = runs.split_at(FAST);
    let mut page = format!(
        "# Throughput and latency\n\n`cargo bench --workspace --bench throughput -- {}`\n\n",
        options.words.join(" ")
    );
    page += &place(&runs[0]);
    page += "\nEverything shares the machine: NATS, PostgreSQL, the ledger with its five read models, and the generator of \
             the load. What the figures mean: [performance](../../docs/performance.md).\n\n\
             ## As fast as it goes\n\n![Commands a second, next to the ceiling](throughput.svg)\n\n";
    page += &rates(fast)?;
    page += "\n## Latency, in milliseconds\n\n`transfer-uniform` at half of the rate above, and with commands that find the \
             ledger idle. As fast as it goes a latency says nothing but how many commands were in flight.\n\n";
    page += &latencies(paced)?;
    page += "\n## What a command costs\n\nMicroseconds of CPU for each command, and the memory at the most, as fast as it \
             goes. `postgres` is event store and read models.\n\n";
    page += &costs(runs)?;
    Ok(page)
}

fn text<'a>(run: &'a Value, path: &str) -> &'a str {
    run.pointer(path)
        .and_then(Value::as_str)
        .unwrap_or("unknown")
}

fn name(run: &Value) -> String {
    let of = if run["one_read_model"] == true {
        ", one read model as the ceiling has"
    } else {
        ""
    };
    format!("`{}`{of}", text(run, "/workload"))
}

fn place(run: &Value) -> String {
    let cores = run["place"]["cores"].as_u64().unwrap_or_default();
    let of = |name: &str| text(run, &format!("/place/{name}"));
    format!(
        "| | |\n|---|---|\n| processor | {cores} cores, {} |\n| memory | {} |\n| load before (1, 5, 15 minutes) | {} |\n\
         | compiler | {}, {} |\n| chronicle | {}, commit {} |\n| NATS | nats-server {} |\n| event store | {} |\n\
         | read models | {} |\n",
        of("processor"),
        of("memory"),
        of("load_before"),
        of("compiler"),
        of("build"),
        of("chronicle"),
        of("commit"),
        of("nats_server"),
        of("event_store"),
        of("read_model"),
    )
}

fn rates(runs: &[Value]) -> anyhow::Result<String> {
    let mut table = "| workload | commands a second, to `account_balance` | to the outcome | to all read models | of \
                     `transfer-uniform` | the ceiling | share of it |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    let first = number(&runs[0], "commands_per_second")?;
    for run in runs {
        let rate = number(run, "commands_per_second")?;
        let ceiling = run["ceiling_per_second"].as_f64();
        let share = run["share_of_ceiling"].as_f64();
        let or_none = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        writeln!(
            table,
            "| {} | **{}** | {} | {} | {:.0} % | {} | {} |",
            name(run),
            whole(rate),
            whole(number(run, "outcomes_per_second")?),
            whole(number(run, "all_projected_per_second")?),
            100.0 * rate / first,
            or_none(ceiling.map(whole)),
            or_none(share.map(|share| format!("{:.0} %", share * 100.0))),
        )?;
    }
    if let Some(batch) = runs.iter().find(|run| text(run, "/workload") == "batch") {
        let legs = LEGS_IN_A_BATCH * number(batch, "commands_per_second")?;
        writeln!(
            table,
            "\nA command of `batch` is 32 transfers: {} legs a second.",
            whole(legs)
        )?;
    }
    Ok(table)
}

fn latencies(runs: &[Value]) -> anyhow::Result<String> {
    let mut table = "| load | from its time to be sent to | p50 | p90 | p99 | p99.9 | max |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for run in runs {
        let rate = run["rate"].as_u64().unwrap_or_default();
        let load = if rate == LONE_RATE {
            format!("{rate} a second, lone commands")
        } else {
            format!("{rate} a second")
        };
        for (what, name) in [
            ("the outcome", "outcome_ms"),
            ("`account_balance`", "projection_ms"),
        ] {
            let of = |quantile: &str| number(run, &format!("{name}.{quantile}"));
            writeln!(
                table,
                "| {load} | {what} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} |",
                of("p50")?,
                of("p90")?,
                of("p99")?,
                of("p999")?,
                of("max")?
            )?;
        }
    }
    Ok(table)
}

fn costs(runs: &[Value]) -> anyhow::Result<String> {
    const PROGRAMS: [&str; 4] = ["chronicle", "postgres", "nats-server", "bench"];
    let mut table = format!(
        "| workload | {} | all | MiB of `chronicle` |\n|---|---|---|---|---|---|---|\n",
        PROGRAMS.map(|name| format!("`{name}`")).join(" | ")
    );
    for run in runs.iter().filter(|run| run["rate"].is_null()) {
        let of = |name: &str| {
            let all = run["processes"].as_array();
            let found = all?.iter().find(|process| process["name"] == name)?;
            Some(found["cpu_seconds_per_command"].as_f64()? * 1e6)
        };
        let costs = PROGRAMS.map(|name| of(name).unwrap_or_default());
        writeln!(
            table,
            "| {} | {} | {:.0} | {:.0} |",
            name(run),
            costs.map(|cost| format!("{cost:.0}")).join(" | "),
            costs.iter().sum::<f64>(),
            number(run, "peak_rss_mb")?
        )?;
    }
    Ok(table)
}

/// A rate, with a comma between the thousands.
fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
