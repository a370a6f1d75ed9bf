//! Where events go: lines, a subject, or a projection.

pub(super) mod lines;
pub(super) mod projection;
pub(super) mod subject;

use std::path::PathBuf;

use self::lines::Lines;
use self::projection::IntoProjection;
use self::subject::Subject;
use super::event::{Place, Replayed};
use crate::exit;

/// What `--into` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    Stdout,
    File(PathBuf),
    Subject(String),
    Projection(String),
}

impl Destination {
    /// Reads it.
    pub(super) fn read(into: &[String]) -> anyhow::Result<Self> {
        let words: Vec<&str> = into.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["stdout" | "-"] => Ok(Self::Stdout),
            [kind @ ("subject" | "projection")] => Err(exit::usage(format!(
                "--into {kind} wants the {kind}'s name behind it; a file of that name is ./{kind}"
            ))),
            [path] => Ok(Self::File(PathBuf::from(path))),
            ["subject", name] => Ok(Self::Subject((*name).to_owned())),
            ["projection", name] => Ok(Self::Projection((*name).to_owned())),
            _ => Err(exit::usage(
                "--into is `stdout`, the name of a file, `subject NAME` or `projection NAME`",
            )),
        }
    }
}

/// Where events go.
pub(super) enum Target {
    Lines(Lines),
    Subject(Box<Subject>),
    Projection(Box<IntoProjection>),
}

impl Target {
    pub(super) async fn write(&mut self, replayed: Replayed) -> anyhow::Result<()> {
        match self {
            Self::Lines(lines) => lines.write(&replayed),
            Self::Subject(subject) => subject.write(replayed).await,
            Self::Projection(projection) => projection.write(replayed).await,
        }
    }

    /// Makes sure that everything is there that was written.
    pub(super) async fn finish(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Lines(lines) => lines.finish(),
            Self::Subject(subject) => subject.finish().await,
            Self::Projection(projection) => projection.finish().await,
        }
    }

    /// Up to where everything is there.
    pub(super) fn done(&self) -> Option<&Place> {
        match self {
            Self::Lines(lines) => lines.done(),
            Self::Subject(subject) => subject.done(),
            Self::Projection(projection) => projection.done(),
        }
    }
}
