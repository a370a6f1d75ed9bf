//! Ports on 127.0.0.1: free ones, and who holds one that is not.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher as _;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use crate::error::Error;
use crate::process_table;

/// The port to listen on: the one `asked` for (0: none in particular), else the one `remembered` if it is free, else a
/// free one.
pub(crate) fn choose(
    program: &'static str,
    asked: u16,
    remembered: Option<u16>,
) -> Result<u16, Error> {
    if asked != 0 {
        return if is_free(asked) {
            Ok(asked)
        } else {
            Err(in_use(program, asked))
        };
    }
    if let Some(port) = remembered.filter(|port| *port != 0 && is_free(*port)) {
        return Ok(port);
    }
    free().map_err(Error::io("find a free port on", "127.0.0.1".as_ref()))
}

/// Where free ports are looked for: below what Linux (from 32768) and macOS and Windows (from 49152) give to outgoing
/// connections. On a port of theirs a busy machine may have a connection at the very moment when a server wants to
/// listen, at its start or after a crash; and a client that tries to reconnect to such a port can meet itself.
const SEARCHED: Range<u16> = 15_000..32_000;
/// More would only be needed where thousands of servers run.
const TRIES_MAX: u32 = 100;

/// A port that is free now. Nothing keeps it free.
fn free() -> io::Result<u16> {
    let random = RandomState::new();
    let places = u64::from(SEARCHED.end - SEARCHED.start);
    let found = (0..TRIES_MAX)
        .filter_map(|number| u16::try_from(random.hash_one(number) % places).ok())
        .map(|place| SEARCHED.start + place)
        .find(|port| is_free(*port));
    if let Some(port) = found {
        return Ok(port);
    }
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

pub(crate) fn in_use(program: &'static str, port: u16) -> Error {
    let holder = holder(port).unwrap_or_else(|| "another process".to_owned());
    Error::PortInUse {
        program,
        port,
        holder,
    }
}

/// Who listens on `port`, as far as this user may look.
fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(process_table::parse_pid)
        else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            let target = fs::read_link(descriptor.path()).unwrap_or_default();
            if inodes
                .iter()
                .any(|inode| target.as_os_str() == inode.as_str())
            {
                let program = process_table::command_line(pid).unwrap_or_default();
                return Some(format!(
                    "process {pid} ({})",
                    program.first().map_or("?", String::as_str)
                ));
            }
        }
    }
    None
}

/// The inodes of the sockets that listen on `port`, from a table like `/proc/net/tcp`.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    const LISTENING: &str = "0A";
    let port = format!(":{port:04X}");
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let listens = fields.get(1)?.ends_with(&port) && *fields.get(3)? == LISTENING;
            listens.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_asked_for_and_taken_is_refused_with_the_holder() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let refusal = choose("nats-server", port, None).unwrap_err().to_string();
        assert!(refusal.contains(&port.to_string()), "{refusal}");
        if cfg!(target_os = "linux") {
            assert!(
                refusal.contains(&format!("process {}", std::process::id())),
                "{refusal}"
            );
        }
    }

    #[test]
    fn a_free_port_is_none_that_an_outgoing_connection_may_have() {
        let port = choose("nats-server", 0, None).unwrap();
        assert!(SEARCHED.contains(&port), "{port}");
    }

    #[test]
    fn a_remembered_port_is_used_again_only_while_it_is_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_ne!(choose("nats-server", 0, Some(port)).unwrap(), port);
        drop(listener);
        assert_eq!(choose("nats-server", 0, Some(port)).unwrap(), port);
    }
}
