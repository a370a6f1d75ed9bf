//! A connection that can be made bad: a TCP proxy on loopback in front of a server, for drills and benchmarks.
//!
//! It forwards bytes unchanged and in order, and is told at run time what kind of line it is to be: slow, far away, dead,
//! or well again. It never drops a byte of a connection that lives: what does not get through waits, up to a bound, and
//! then whoever sends has to wait. It understands nothing of what it carries.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use std::net::{Ipv4Addr, SocketAddr};
//! use std::num::NonZeroU64;
//!
//! let proxy = servers::Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 5432))).await?;
//! println!("postgres://owner@127.0.0.1:{}/read_model", proxy.port());
//! proxy.throttle(NonZeroU64::new(10_000).expect("it is not 0"));
//! proxy.heal();
//! # Ok(())
//! # }
//! ```

mod connection;
mod line;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use self::line::Shared;

/// The proxy. It ends, and all its connections with it, when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// How many bytes have got through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forwarded {
    /// From clients to the target.
    pub to_target: u64,
    /// From the target to clients.
    pub to_clients: u64,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards each connection to `target`, which need not be there yet: a
    /// connection to a target that does not answer is reset.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, target, Arc::clone(&shared)));
        Ok(Self {
            port,
            shared,
            accepting,
        })
    }

    /// The port that clients connect to, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on all connections together get so many bytes a second through, in each direction.
    pub fn throttle(&self, bytes_per_second: NonZeroU64) {
        self.shared
            .change(|line| line.bytes_per_second = Some(bytes_per_second));
    }

    /// From now on each byte arrives so much later than it was sent, in each direction.
    pub fn delay(&self, latency: Duration) {
        self.shared.change(|line| line.latency = latency);
    }

    /// From now on nothing gets through, and nobody is told: connections stay, new ones are accepted, and all of them hear
    /// nothing. What was sent arrives when it is [healed](Self::heal).
    pub fn black_out(&self) {
        self.shared.change(|line| line.is_black = true);
    }

    /// Breaks all connections there are, on both sides, as a router does that has forgotten them (RST). New ones are
    /// treated as before.
    pub fn reset(&self) {
        self.shared.change(|line| line.resets += 1);
    }

    /// From now on it is a good line again: no limit, no latency, no silence.
    pub fn heal(&self) {
        self.shared.change(|line| {
            *line = line::Line {
                resets: line.resets,
                ..line::Line::default()
            };
        });
    }

    /// How many bytes have got through since the start.
    pub fn forwarded(&self) -> Forwarded {
        Forwarded {
            to_target: self.shared.to_target.carried(),
            to_clients: self.shared.to_clients.carried(),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, shared: Arc<Shared>) {
    // Dropped with this task, and its connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(connection::carry(client, target, Arc::clone(&shared)));
                }
                Err(error) => {
                    // Of the one connection, or for want of descriptors: later ones may do.
                    tracing::warn!(%error, "the proxy could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

#[cfg(test)]
mod tests;
