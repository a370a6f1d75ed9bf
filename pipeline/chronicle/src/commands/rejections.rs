//! `chronicle rejections`: every code that a command can be refused with, why, and what to do. `docs/rejections.md` is what
//! `--page` prints.

use std::process::ExitCode;

use ledger::RejectionCode;
use serde::Serialize;

use super::rows::{Column, Rows};
use crate::arguments::RejectionsArguments;
use crate::exit;
use crate::output::{self, Format};

const HEAD: &str = "\
# Rejection codes

Why the ledger refuses a command, and what to do about it. Made by `chronicle rejections --page`; do not edit.

Programs match on the code, which never changes its meaning. The message is for people, and may change. `data` has the
figures as strings, under these names, as far as they apply; of a batch also `command`, the index of the command that was
refused, and of a posting `entry`, the index of its entry, both from 0. See [outcomes](wire.md#outcomes).

| code | cause | remedy | `data` |
|---|---|---|---|";

/// One code as JSON.
#[derive(Serialize)]
struct Line {
    code: RejectionCode,
    cause: &'static str,
    remedy: &'static str,
    data: &'static [&'static str],
}

pub(crate) fn execute(arguments: &RejectionsArguments, output: Format) -> anyhow::Result<ExitCode> {
    let codes: Vec<RejectionCode> = RejectionCode::ALL
        .into_iter()
        .filter(|code| {
            arguments
                .code
                .as_deref()
                .is_none_or(|one| one == code.as_str())
        })
        .collect();
    if codes.is_empty() {
        let known = RejectionCode::ALL.map(RejectionCode::as_str).join(", ");
        return Err(exit::usage(format!("that is no code; there are {known}")));
    }
    if arguments.page {
        output::line(HEAD)?;
        codes.iter().try_for_each(|code| output::line(row(*code)))?;
        return Ok(ExitCode::SUCCESS);
    }
    match output {
        Format::Json => codes.iter().try_for_each(|code| {
            output::json(&Line {
                code: *code,
                cause: code.cause(),
                remedy: code.remedy(),
                data: code.data_names(),
            })
        })?,
        Format::Table => {
            let mut rows = Rows::new([
                Column::Left("code"),
                Column::Left("cause"),
                Column::Left("remedy"),
            ]);
            for code in codes {
                let (cause, remedy) = (code.cause().to_owned(), code.remedy().to_owned());
                rows.push([code.as_str().to_owned(), cause, remedy])?;
            }
            rows.flush()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(code: RejectionCode) -> String {
    let names: Vec<String> = code
        .data_names()
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    format!(
        "| `{code}` | {} | {} | {} |",
        code.cause(),
        code.remedy(),
        names.join(" ")
    )
}
