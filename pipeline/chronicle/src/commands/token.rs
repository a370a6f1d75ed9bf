//! `chronicle token`: a token for the HTTP API, and the line that lets it in.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ledger::limits::ACTOR_BYTES_MAX;
use serde::Serialize;
use uuid::Uuid;

use crate::arguments::TokenArguments;
use crate::exit;
use crate::http::access;
use crate::output::{self, Format};

/// What is printed as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    name: &'a str,
    token: &'a str,
    line: &'a str,
}

pub(crate) fn execute(arguments: &TokenArguments, output: Format) -> anyhow::Result<ExitCode> {
    let name = arguments.name.as_str();
    let is_word = !name.is_empty()
        && name.len() <= ACTOR_BYTES_MAX
        && name
            .chars()
            .all(|one| !one.is_whitespace() && !one.is_control() && one != '#');
    if !is_word {
        return Err(exit::usage(format!(
            "a token's name is one word of at most {ACTOR_BYTES_MAX} bytes without #, and this is not: {name:?}"
        )));
    }
    // Two random UUIDs: 244 random bits of the system's.
    let mut bytes = [0; 32];
    for half in bytes.chunks_mut(16) {
        half.copy_from_slice(Uuid::new_v4().as_bytes());
    }
    let token = URL_SAFE_NO_PAD.encode(bytes);
    let roles: Vec<String> = arguments.role.iter().map(ToString::to_string).collect();
    let line = format!(
        "{name} {} {}",
        roles.join(","),
        hex::encode(access::hash(&token))
    );
    match output {
        Format::Json => output::json(&Answer {
            name,
            token: &token,
            line: &line,
        })?,
        Format::Table => {
            output::say(format!(
                "the token of {name}, which is kept nowhere: {token}"
            ));
            output::line(line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
