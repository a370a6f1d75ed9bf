//! `chronicle divergences`: what the comparison in the background has found.

use std::process::ExitCode;

use ledger::Timestamp;
use serde::Serialize;
use sinks::divergences::{self, Course, Known};

use super::reach;
use super::rows::{Column, Rows};
use crate::arguments::DivergencesArguments;
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// What is printed as JSON: one a line.
#[derive(Serialize)]
struct Line {
    place: String,
    invariant: String,
    account_id: Option<String>,
    version: Option<i64>,
    message: String,
    expected: Option<String>,
    found: Option<String>,
    first_seen_at: Timestamp,
    last_seen_at: Timestamp,
    /// Since when it is gone; null while it is there.
    gone_at: Option<Timestamp>,
}

impl Line {
    fn of(known: Known) -> Self {
        let Known {
            divergence: one,
            first_seen_at,
            last_seen_at,
            gone_at,
        } = known;
        Self {
            place: one.place,
            invariant: one.invariant,
            account_id: one.account_id,
            version: one.version,
            message: one.message,
            expected: one.expected,
            found: one.found,
            first_seen_at: Timestamp::from_date_time(first_seen_at),
            last_seen_at: Timestamp::from_date_time(last_seen_at),
            gone_at: gone_at.map(Timestamp::from_date_time),
        }
    }
}

pub(crate) async fn execute(
    servers: &ServerArguments,
    arguments: &DivergencesArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let read_model = servers.read_model()?;
    let failed = |error: sqlx::Error| reach::read_model_failed(servers, &error);
    let course = divergences::course(&read_model).await.map_err(failed)?;
    let known = divergences::known(&read_model, arguments.gone, arguments.limit)
        .await
        .map_err(failed)?;
    let lines: Vec<Line> = known.into_iter().map(Line::of).collect();
    let present: u64 = course
        .iter()
        .flat_map(|course| &course.present)
        .map(|(_, count)| count)
        .sum();
    match output {
        Format::Json => lines.iter().try_for_each(output::json)?,
        Format::Table if lines.is_empty() => {}
        Format::Table => print(lines)?,
    }
    output::say(standing(course.as_ref()));
    Ok(if present == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::NO)
    })
}

fn print(lines: Vec<Line>) -> anyhow::Result<()> {
    let mut rows = Rows::new([
        Column::Left("place"),
        Column::Left("account"),
        Column::Right("version"),
        Column::Left("what"),
        Column::Left("expected"),
        Column::Left("found"),
        Column::Left("since"),
        Column::Left("gone"),
    ]);
    for line in lines {
        rows.push([
            line.place,
            line.account_id.unwrap_or_default(),
            line.version
                .map(|version| version.to_string())
                .unwrap_or_default(),
            line.message,
            line.expected.unwrap_or_default(),
            line.found.unwrap_or_default(),
            line.first_seen_at.to_string(),
            line.gone_at.map(|at| at.to_string()).unwrap_or_default(),
        ])?;
    }
    rows.flush()
}

/// How far the comparison has come, in words.
fn standing(course: Option<&Course>) -> String {
    let Some(course) = course else {
        return "nothing has been compared yet: `chronicle run` does that in the background, with --compare-rate above 0"
            .to_owned();
    };
    let passes = match course.pass_ended_at {
        Some(at) => format!(
            "everything was compared {}, the last time at {}",
            match course.passes {
                1 => "once".to_owned(),
                passes => format!("{passes} times"),
            },
            Timestamp::from_date_time(at)
        ),
        None => "the first comparison of everything goes on".to_owned(),
    };
    let place = match &course.place {
        Some(account_id) => format!("; the present one has come to account {account_id}"),
        None => String::new(),
    };
    format!(
        "{passes}{place} ({} events of {} accounts in all)",
        course.events, course.accounts
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_it_has_come() {
        assert!(standing(None).contains("--compare-rate"));
        let course = Course {
            accounts: 3,
            events: 7,
            passes: 0,
            pass_ended_at: None,
            place: Some("ACC-2".to_owned()),
            present: Vec::new(),
        };
        assert_eq!(
            standing(Some(&course)),
            "the first comparison of everything goes on; the present one has come to account ACC-2 (7 events of 3 accounts \
             in all)"
        );
    }
}
