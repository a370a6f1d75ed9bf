//! The start of a server, the same for every kind: take the data folder, stop what was left there, choose ports, run,
//! wait until this very server answers.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::folder::Folder;
use crate::port;
use crate::process::{self, Process};
use crate::program::{Ports, Program, Terms};
use crate::server::DROP_LIMIT;

/// A free port may be taken between its choice and the start of the server; then others are tried.
const PORT_CHOICES_MAX: u32 = 4;
const PROBE_PAUSE: Duration = Duration::from_millis(15);

/// A server that answers.
pub(crate) struct Started<P> {
    pub(crate) program: P,
    pub(crate) folder: Folder,
    pub(crate) ports: Ports,
    pub(crate) process: Process,
}

/// Blocks until the server answers. `program` is made once the folder is held.
pub(crate) fn start<P: Program>(
    terms: &Terms,
    program: impl FnOnce(&Folder) -> Result<P, Error>,
) -> Result<Started<P>, Error> {
    let folder = Folder::hold(&terms.folder)?;
    let program = program(&folder)?;
    stop_leftovers(&program, &folder)?;
    let mut choices = 0;
    loop {
        choices += 1;
        let ports = choose_ports::<P>(terms, &folder)?;
        match run(&program, terms, &folder, ports) {
            Ok(process) => {
                return Ok(Started {
                    program,
                    folder,
                    ports,
                    process,
                });
            }
            Err(error)
                if choices < PORT_CHOICES_MAX
                    && (is_taken::<P>(ports) || error.tells_of_a_taken_port()) =>
            {
                // If this very port was asked for, the next choice says who took it.
                tracing::debug!(program = P::NAME, ?ports, "a port was taken meanwhile");
            }
            Err(error) => return Err(error),
        }
    }
}

fn stop_leftovers<P: Program>(program: &P, folder: &Folder) -> Result<(), Error> {
    if let Some(pid) = folder.leftover() {
        folder.stop_leftover(P::NAME, pid, P::STOP)?;
    }
    if let Some(pid) = program.unrecorded_leftover(folder.path())? {
        folder.stop_leftover(P::NAME, pid, P::STOP)?;
    }
    folder.forget_process();
    Ok(())
}

fn choose_ports<P: Program>(terms: &Terms, folder: &Folder) -> Result<Ports, Error> {
    let remembered = folder.ports();
    let main = port::choose(P::NAME, terms.port, remembered.first().copied())?;
    let http = if P::HAS_HTTP {
        port::choose(
            P::NAME,
            terms.http_port,
            remembered.get(1).copied().filter(|port| *port != main),
        )?
    } else {
        0
    };
    Ok(Ports { main, http })
}

fn is_taken<P: Program>(ports: Ports) -> bool {
    !port::is_free(ports.main) || P::HAS_HTTP && !port::is_free(ports.http)
}

/// Runs the server and waits until it answers.
pub(crate) fn run<P: Program>(
    program: &P,
    terms: &Terms,
    folder: &Folder,
    ports: Ports,
) -> Result<Process, Error> {
    let deadline = Instant::now() + terms.start_limit;
    let mut command = program.command(folder.path(), ports)?;
    let (log, log_start) = folder.open_log()?;
    let log_too = log
        .try_clone()
        .map_err(Error::io("open the log", &folder.log()))?;
    command.stdin(Stdio::null()).stdout(log).stderr(log_too);
    let failed = |reason: String| Error::Start {
        program: P::NAME,
        folder: folder.path().to_owned(),
        reason,
        log: folder.log(),
        log_tail: process::log_tail(&folder.log(), log_start),
    };
    let death_signal = if terms.throwaway { P::ABANDON } else { P::STOP };
    let process =
        Process::start(command, death_signal).map_err(|error| failed(error.to_string()))?;
    let ready = folder.remember_process(process.pid()).and_then(|()| {
        wait_until_ready(program, folder, ports, &process, deadline).map_err(failed)
    });
    match ready {
        Ok(()) => {
            tracing::debug!(program = P::NAME, pid = %process.pid(), port = ports.main, "ready");
            Ok(process)
        }
        Err(error) => {
            process.stop(P::ABANDON, DROP_LIMIT);
            folder.forget_process();
            Err(error)
        }
    }
}

fn wait_until_ready<P: Program>(
    program: &P,
    folder: &Folder,
    ports: Ports,
    process: &Process,
    deadline: Instant,
) -> Result<(), String> {
    loop {
        let probed = program.probe(folder.path(), ports);
        // Looked at after the probe: whoever answered, it was not a server that has ended.
        if let Some(status) = process.ended() {
            return Err(format!("it ended at once ({status})"));
        }
        match probed {
            Ok(()) => return Ok(()),
            Err(missing) if Instant::now() >= deadline => {
                return Err(format!("it was not ready in time; last seen: {missing}"));
            }
            Err(_) => {
                process.wait(PROBE_PAUSE);
            }
        }
    }
}
