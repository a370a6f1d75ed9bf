//! A nats-server for one test.

use std::ops::Deref;

use crate::nats::{NatsServer, Options};
use crate::scratch;
use crate::server::off_thread;

/// A nats-server of one's own, gone when dropped. It is a [`NatsServer`]: `stop`, `kill`, `pause`, `restart` and so on.
#[derive(Debug)]
pub struct Nats {
    // Fields are dropped in this order: the server before its folder.
    server: NatsServer,
    _folder: scratch::Folder,
}

impl Nats {
    /// Starts one with the usual options.
    ///
    /// # Panics
    /// With the reason, when it cannot be started.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts one after `change` was made to the options.
    ///
    /// # Panics
    /// With the reason, when it cannot be started.
    pub async fn start_with(change: impl FnOnce(&mut Options) + Send + 'static) -> Self {
        let started = off_thread(move || {
            let folder = scratch::Folder::create(None)?;
            let mut options = Options {
                throwaway: true,
                ..Options::new(folder.path())
            };
            change(&mut options);
            NatsServer::start_here(options).map(|server| Self {
                server,
                _folder: folder,
            })
        });
        started
            .await
            .unwrap_or_else(|error| panic!("the test needs nats-server: {error}"))
    }
}

impl Deref for Nats {
    type Target = NatsServer;

    fn deref(&self) -> &NatsServer {
        &self.server
    }
}
