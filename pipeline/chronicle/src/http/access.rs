//! Who may do what over HTTP: bearer tokens with roles, from a file that holds only their hashes.
//!
//! One line per token: `NAME ROLE[,ROLE…] SHA256`, the hash in hexadecimal; `#` begins a comment. `chronicle token` makes
//! a token and its line. The file is read again when it changes; one that cannot be read leaves what was known.
//!
//! Tokens are made of 244 random bits, so a plain hash cannot be searched, and looking a hash up tells nothing by its
//! timing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use clap::ValueEnum;
use sha2::{Digest, Sha256};

use super::problem::Problem;

/// How often to look whether the file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Role {
    /// Read accounts, transactions, transfers, outcomes and the live stream
    Reader,
    /// Publish commands, and read their outcomes
    Writer,
    /// Read all that a reader may, and histories, the past and the whole book
    Auditor,
    /// Read projections, statistics and metrics
    Operator,
}

/// A token that is known.
#[derive(Debug, PartialEq, Eq)]
struct Holder {
    name: Arc<str>,
    roles: Vec<Role>,
}

type Holders = HashMap<[u8; 32], Holder>;

/// Why a file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file cannot be read.
    #[error("the tokens in {path} cannot be read: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line cannot be understood.
    #[error(
        "{path}:{line}: {problem}; a line is NAME ROLE[,ROLE…] SHA256, and `chronicle token` makes one"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// Who may do what.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    /// None: everybody may do everything.
    tokens: Option<Arc<Tokens>>,
}

#[derive(Debug)]
struct Tokens {
    path: PathBuf,
    holders: RwLock<Arc<Holders>>,
}

impl Access {
    /// Only those who hold a token of this file; it is read now, and again whenever it changes.
    pub(crate) fn by_tokens(path: &Path) -> Result<Self, Error> {
        let changed_at = changed_at(path);
        let tokens = Arc::new(Tokens {
            path: path.to_owned(),
            holders: RwLock::new(Arc::new(read(path)?)),
        });
        tokio::spawn(keep_reading(Arc::downgrade(&tokens), changed_at));
        Ok(Self {
            tokens: Some(tokens),
        })
    }

    /// Whether a token is needed.
    pub(crate) fn is_needed(&self) -> bool {
        self.tokens.is_some()
    }

    /// Who asks, if he may do what one of `roles` may.
    fn admit(&self, headers: &HeaderMap, roles: &[Role]) -> Result<Caller, Problem> {
        let Some(tokens) = &self.tokens else {
            return Ok(Caller { name: None });
        };
        let unauthorized = |detail| Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
        let given = headers
            .get(AUTHORIZATION)
            .ok_or_else(|| unauthorized("a token is needed: send Authorization: Bearer TOKEN"))?;
        let token = given
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| {
                unauthorized("this is no bearer token: send Authorization: Bearer TOKEN")
            })?;
        let holders = tokens.holders();
        let holder = holders
            .get(hash(token).as_slice())
            .ok_or_else(|| unauthorized("this token is not known; it may have been withdrawn"))?;
        if holder.roles.iter().any(|role| roles.contains(role)) {
            return Ok(Caller {
                name: Some(Arc::clone(&holder.name)),
            });
        }
        let wanted: Vec<String> = roles.iter().map(ToString::to_string).collect();
        let detail = format!(
            "the token {} may not do this; it takes the role {}",
            holder.name,
            wanted.join(" or ")
        );
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value();
        formatter.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

impl Tokens {
    fn holders(&self) -> Arc<Holders> {
        Arc::clone(&self.holders.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What stands in the file in place of a token.
pub(crate) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn changed_at(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

fn read(path: &Path) -> Result<Holders, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    let mut holders = Holders::new();
    for (index, line) in text.lines().enumerate() {
        let line_text = line.split('#').next().unwrap_or_default().trim();
        if line_text.is_empty() {
            continue;
        }
        let (hash, holder) = parse(line_text).map_err(|problem| Error::Line {
            path: path.to_owned(),
            line: index + 1,
            problem,
        })?;
        holders.insert(hash, holder);
    }
    Ok(holders)
}

fn parse(line: &str) -> Result<([u8; 32], Holder), String> {
    let [name, roles, hash] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err("there are not three words".to_owned());
    };
    let roles = roles
        .split(',')
        .map(|role| Role::from_str(role, false).map_err(|_| format!("there is no role {role:?}")))
        .collect::<Result<Vec<Role>, String>>()?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(hash, &mut bytes)
        .map_err(|error| format!("the last word is no SHA-256 in hexadecimal ({error})"))?;
    let holder = Holder {
        name: name.into(),
        roles,
    };
    Ok((bytes, holder))
}

async fn keep_reading(tokens: std::sync::Weak<Tokens>, mut changed: Option<SystemTime>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(tokens) = tokens.upgrade() else {
            return;
        };
        let now = changed_at(&tokens.path);
        if now == changed {
            continue;
        }
        changed = now;
        match read(&tokens.path) {
            Ok(holders) => {
                tracing::info!(tokens = holders.len(), "read the tokens anew");
                *tokens
                    .holders
                    .write()
                    .unwrap_or_else(PoisonError::into_inner) = Arc::new(holders);
            }
            Err(error) => tracing::error!("the tokens stay as they were: {error}"),
        }
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    name: Option<Arc<str>>,
}

impl Caller {
    /// The token's name; `None` where no token is needed.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        // Every route that has a caller stands behind `admit`.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            Problem::internal("a route without a check of access asks for its caller")
        })
    }
}

/// Lets those in who have one of the roles.
pub(crate) async fn admit(
    State((access, roles)): State<(Access, &'static [Role])>,
    mut request: Request,
    next: Next,
) -> Response {
    match access.admit(request.headers(), roles) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(lines: &str) -> Access {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, lines).unwrap();
        let holders = read(&path).unwrap();
        Access {
            tokens: Some(Arc::new(Tokens {
                path,
                holders: RwLock::new(Arc::new(holders)),
            })),
        }
    }

    fn with(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization.parse().unwrap());
        headers
    }

    #[test]
    fn a_token_may_do_what_its_roles_may() {
        let line = format!(
            "# who\n\nteller writer,reader {} # since May\n",
            hex::encode(hash("s3cret"))
        );
        let access = access(&line);
        let caller = access.admit(&with("Bearer s3cret"), &[Role::Writer]);
        assert_eq!(caller.unwrap().name(), Some("teller"));
        assert!(
            access
                .admit(&with("bearer  s3cret "), &[Role::Reader])
                .is_ok()
        );
        for (headers, roles, status) in [
            (with("Bearer s3cret"), &[Role::Operator][..], "403"),
            (with("Bearer other"), &[Role::Reader], "401"),
            (with("Basic s3cret"), &[Role::Reader], "401"),
            (with("s3cret"), &[Role::Reader], "401"),
            (HeaderMap::new(), &[Role::Reader], "401"),
        ] {
            let problem = access.admit(&headers, roles).unwrap_err();
            assert_eq!(problem.into_response().status().as_str(), status);
        }
    }

    #[test]
    fn without_tokens_everybody_may_do_everything() {
        let caller = Access::default().admit(&HeaderMap::new(), &[Role::Operator]);
        assert_eq!(caller.unwrap().name(), None);
    }

    #[test]
    fn a_line_that_cannot_be_understood_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        for (line, word) in [
            ("teller reader", "three words"),
            ("teller king 00", "no role \"king\""),
            ("teller reader 00", "SHA-256"),
        ] {
            std::fs::write(&path, format!("\n{line}\n")).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(
                error.contains("tokens:2: ") && error.contains(word),
                "{error}"
            );
        }
    }
}
