//! Which rows there are.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::cqrs_es::{CqrsEs, History};
use crate::database::Databases;
use crate::drive::{Until, drive};
use crate::plain::Plain;
use crate::report::Row;
use crate::workload::{Kind, Workload};

/// As many as `chronicle bench` has.
pub(crate) const MANY_ACCOUNTS: usize = 10_000;
/// So many when everybody wants the same ones.
const HOT_ACCOUNTS: usize = 10;
/// How many commands of cqrs-es are on their way at a time.
const CQRS_ES_TASKS: usize = 16;
/// The same of the plain statements, on as many connections.
const PLAIN_TASKS: [usize; 2] = [8, 20];
/// How long a long history is.
const LONG_HISTORY: u32 = 10_000;
/// How often the library writes a snapshot, where it does.
const SNAPSHOT_EVERY: u32 = 100;

/// One row of cqrs-es.
struct CqrsEsRun {
    /// Of the table, behind what the commands are.
    remark: &'static str,
    accounts: usize,
    tasks: usize,
    history: History,
}

const CQRS_ES: [CqrsEsRun; 4] = [
    CqrsEsRun {
        remark: "",
        accounts: MANY_ACCOUNTS,
        tasks: CQRS_ES_TASKS,
        history: JUST_OPENED,
    },
    CqrsEsRun {
        remark: "",
        accounts: HOT_ACCOUNTS,
        tasks: CQRS_ES_TASKS,
        history: JUST_OPENED,
    },
    // One task: the length of the history is what it shows, not conflicts.
    CqrsEsRun {
        remark: ", after 10,000 events",
        accounts: 1,
        tasks: 1,
        history: History {
            events: LONG_HISTORY,
            snapshot_every: None,
        },
    },
    CqrsEsRun {
        remark: ", after 10,000 events, a snapshot every 100",
        accounts: 1,
        tasks: 1,
        history: History {
            events: LONG_HISTORY,
            snapshot_every: Some(SNAPSHOT_EVERY),
        },
    },
];

const JUST_OPENED: History = History {
    events: 1,
    snapshot_every: None,
};

/// Measures all rows of the peers, one after the other, each for so long.
pub(crate) async fn measure(
    databases: &Databases,
    seconds: u32,
    seed: u64,
) -> anyhow::Result<Vec<Row>> {
    let duration = Duration::from_secs(seconds.into());
    let mut rows = Vec::new();
    for run in CQRS_ES {
        rows.push(cqrs_es(databases, duration, seed, &run).await?);
    }
    for kind in [Kind::DepositOrWithdraw, Kind::Transfer] {
        for accounts in [MANY_ACCOUNTS, HOT_ACCOUNTS] {
            for tasks in PLAIN_TASKS {
                let workload = Workload::new(kind, accounts, seed);
                rows.push(plain(databases, duration, workload, tasks).await?);
            }
        }
    }
    Ok(rows)
}

async fn cqrs_es(
    databases: &Databases,
    duration: Duration,
    seed: u64,
    run: &CqrsEsRun,
) -> anyhow::Result<Row> {
    let kind = Kind::DepositOrWithdraw;
    let workload = Arc::new(Workload::new(kind, run.accounts, seed));
    let name = format!("{}{}", kind.as_str(), run.remark);
    let database = databases.fresh().await?;
    say("cqrs-es", &name, &workload, run.tasks);
    let pool = database.pool(run.tasks).await?;
    let peer = CqrsEs::open(pool, &workload, run.history, run.tasks).await?;
    let tally = drive(&peer, &workload, run.tasks, Until::Elapsed(duration)).await?;
    let checked = peer.check(&workload, &tally).await;
    peer.close().await;
    let checked = checked.with_context(|| format!("cqrs-es, {name}: the books are wrong"))?;
    Ok(Row {
        wrong_views: Some(checked.wrong_views),
        ..Row::new("cqrs-es", name, &workload, run.tasks, &tally)
    })
}

async fn plain(
    databases: &Databases,
    duration: Duration,
    workload: Workload,
    tasks: usize,
) -> anyhow::Result<Row> {
    let workload = Arc::new(workload);
    let name = workload.kind.as_str().to_owned();
    let database = databases.fresh().await?;
    say("plain PostgreSQL", &name, &workload, tasks);
    let pool = database.pool(tasks).await?;
    let peer = Arc::new(Plain::open(pool, &workload).await?);
    let tally = drive(&peer, &workload, tasks, Until::Elapsed(duration)).await?;
    let checked = peer.check(&workload, &tally).await;
    peer.close().await;
    checked.with_context(|| format!("plain PostgreSQL, {name}: the books are wrong"))?;
    Ok(Row::new("plain PostgreSQL", name, &workload, tasks, &tally))
}

/// What is going on, apart from the result.
fn say(system: &str, name: &str, workload: &Workload, tasks: usize) {
    let accounts = workload.accounts().len();
    eprintln!("measuring {system}: {name}, {accounts} accounts, {tasks} at once");
}
