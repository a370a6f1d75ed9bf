//! What each subcommand does: one file per subcommand; `as_of`, `reach`, `reading` and
//! `rows` serve several of them.

mod account;
mod as_of;
mod asked_for;
mod balances;
mod bench;
mod by_date;
mod dead_letter;
mod describe;
mod dev;
mod divergences;
mod events;
mod explain;
mod export;
mod feed;
mod history;
mod holds;
mod migrate;
mod outcome;
mod projection;
mod reach;
mod reading;
mod rejections;
mod replay;
mod rows;
mod run;
mod send;
mod status;
mod token;
mod verify;

use std::process::ExitCode;

use crate::arguments::{Arguments, Task};

pub(crate) use self::verify::{Found, Slowly, check_one};

/// Does what was asked for.
pub(crate) async fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments {
        task,
        servers,
        output,
        ..
    } = arguments;
    match task {
        Task::Dev(arguments) => dev::execute(&servers, &arguments).await,
        Task::Status => status::execute(&servers, output).await,
        Task::Run(arguments) => run::execute(&servers, &arguments).await,
        Task::Migrate(arguments) => migrate::execute(&servers, &arguments).await,
        Task::Describe(arguments) => describe::execute(&arguments, output).await,
        Task::Verify(arguments) => verify::execute(&servers, &arguments, output).await,
        Task::Divergences(arguments) => divergences::execute(&servers, &arguments, output).await,
        Task::Send(arguments) => send::execute(&servers, &arguments, output).await,
        Task::Account(arguments) => account::execute(&servers, &arguments, output).await,
        Task::Balances(arguments) => balances::execute(&servers, &arguments, output).await,
        Task::Explain(arguments) => explain::execute(&servers, &arguments, output).await,
        Task::History(arguments) => history::execute(&servers, &arguments, output).await,
        Task::Export(arguments) => export::execute(&servers, &arguments).await,
        Task::Holds(arguments) => holds::execute(&servers, &arguments, output).await,
        Task::Outcome { command_id } => outcome::execute(&servers, command_id, output).await,
        Task::Events(arguments) => events::execute(&servers, &arguments, output).await,
        Task::Replay(arguments) => replay::execute(&servers, &arguments, output).await,
        Task::DeadLetter(task) => dead_letter::execute(&servers, &task, output).await,
        Task::Projection(task) => projection::execute(&servers, &task, output).await,
        Task::Feed(task) => feed::execute(&servers, &task, output).await,
        Task::Rejections(arguments) => rejections::execute(&arguments, output),
        Task::Bench(arguments) => bench::execute(&servers, &arguments, output).await,
        Task::Token(arguments) => token::execute(&arguments, output),
    }
}
