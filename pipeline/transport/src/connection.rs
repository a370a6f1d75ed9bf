//! Connecting to NATS.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use async_nats::{ConnectOptions, ServerAddr};
use engine::Failure;
use percent_encoding::percent_decode_str;
use tokio::sync::watch;

use crate::shown;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be understood.
    #[error(
        "this is no URL of a NATS server: {url}; it looks like nats://127.0.0.1:4222 ({source})"
    )]
    Url {
        /// The URL, without secrets.
        url: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Nobody answers, or not as a NATS server does.
    #[error(
        "NATS at {url} cannot be reached: {source}; check that it runs, and that its URL and credentials are right"
    )]
    Unreachable {
        /// The URL, without secrets.
        url: String,
        /// Why not.
        source: async_nats::ConnectError,
    },
}

/// A connection to NATS that mends itself, and tells when it was lost. Cheap to clone.
#[derive(Clone)]
pub struct Nats {
    /// Plain NATS.
    pub client: async_nats::Client,
    /// JetStream over the same connection.
    pub jetstream: jetstream::Context,
    url: Arc<str>,
    losses: watch::Receiver<u64>,
    /// What the server or the client said last, while there is no connection.
    complaint: watch::Receiver<Option<String>>,
    /// Keeps the sender alive for clients whose callback is gone.
    _losses: Arc<watch::Sender<u64>>,
}

/// How long a JetStream request or a publish acknowledgement may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How many publishes of one context may wait for their acknowledgement; one more waits for a permit.
pub const PUBLISHES_IN_FLIGHT_MAX: usize = 4096;

impl Nats {
    /// A connection to the server at `url` that is made in the background: the server need not be there yet.
    ///
    /// `url` may be several URLs with commas between, of the servers of one cluster. `nats://user:password@host` and
    /// `nats://token@host` say who we are; those of the first URL that has some count for all servers.
    pub async fn connect_lazy(url: &str) -> Result<Self, ConnectError> {
        Self::connect_with(url, ConnectOptions::new().retry_on_initial_connect()).await
    }

    /// A connection to the server at `url`, which must be there.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::connect_with(url, ConnectOptions::new()).await
    }

    /// Another connection to the same server, which must be there: for whoever may lose it over what others publish.
    pub async fn another(&self) -> Result<Self, ConnectError> {
        Self::connect(&self.url).await
    }

    async fn connect_with(url: &str, options: ConnectOptions) -> Result<Self, ConnectError> {
        let addresses: Vec<ServerAddr> = url
            .split(',')
            .map(|part| part.trim().parse())
            .collect::<Result<_, _>>()
            .map_err(|source| ConnectError::Url {
                url: shown(url),
                source,
            })?;
        let options = with_credentials(options, &addresses);
        let (sender, losses) = watch::channel(0);
        let (complain, complaint) = watch::channel(None);
        let sender = Arc::new(sender);
        let notify = Arc::clone(&sender);
        let client = options
            .name("chronicle")
            .connection_timeout(Duration::from_secs(5))
            .ping_interval(Duration::from_secs(10))
            .reconnect_delay_callback(|attempt| {
                Duration::from_millis(
                    u64::try_from(attempt)
                        .unwrap_or(u64::MAX)
                        .saturating_mul(100)
                        .min(2_000),
                )
            })
            .event_callback(move |event| {
                let notify = Arc::clone(&notify);
                let complain = complain.clone();
                async move {
                    match event {
                        async_nats::Event::Disconnected => {
                            notify.send_modify(|losses| *losses += 1);
                            tracing::warn!("the connection to NATS was lost");
                        }
                        // By us, when nobody needs it any more.
                        async_nats::Event::Closed => notify.send_modify(|losses| *losses += 1),
                        async_nats::Event::Connected => {
                            complain.send_replace(None);
                            if *notify.borrow() > 0 {
                                tracing::info!("connected to NATS again");
                            }
                        }
                        async_nats::Event::ClientError(_) | async_nats::Event::ServerError(_) => {
                            tracing::debug!(%event, "NATS");
                            complain.send_replace(Some(event.to_string()));
                        }
                        other => tracing::debug!(%other, "NATS"),
                    }
                }
            })
            .connect(addresses)
            .await
            .map_err(|source| ConnectError::Unreachable {
                url: shown(url),
                source,
            })?;
        let jetstream = context(&client);
        Ok(Self {
            client,
            jetstream,
            url: Arc::from(url),
            losses,
            complaint,
            _losses: sender,
        })
    }

    /// A JetStream context with publish permits of its own, for a publisher that has many acknowledgements outstanding:
    /// publishers that share their permits can wait for each other for ever.
    pub fn own_jetstream(&self) -> jetstream::Context {
        context(&self.client)
    }

    /// Whether the connection is up now.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Completes when the connection is lost after this call. What a server remembers of its clients (pull requests,
    /// ephemeral consumers) may be gone then, and what it had stored may have been rewound.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut losses = self.losses.clone();
        losses.mark_unchanged();
        async move {
            if losses.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits a moment for the connection; fails when it is not up by then.
    pub async fn ready(&self) -> Result<(), Failure> {
        let up = async {
            while !self.is_connected() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(2), up)
            .await
            .map_err(|_| {
                let complaint = self.complaint.borrow().clone();
                let complaint = complaint.map_or_else(String::new, |text| format!(" ({text})"));
                Failure::retry(format!(
                    "NATS cannot be reached{complaint}; check that it runs, and that its URL and credentials are right"
                ))
            })
    }
}

/// async-nats takes addresses from URLs, and nothing else.
fn with_credentials(options: ConnectOptions, addresses: &[ServerAddr]) -> ConnectOptions {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let named = addresses
        .iter()
        .find_map(|address| Some((address.username()?, address.password())));
    match named {
        Some((user, Some(password))) => options.user_and_password(decoded(user), decoded(password)),
        Some((token, None)) => options.token(decoded(token)),
        None => options,
    }
}

fn context(client: &async_nats::Client) -> jetstream::Context {
    jetstream::context::ContextBuilder::new()
        .timeout(ANSWER_WITHIN)
        .ack_timeout(ANSWER_WITHIN)
        .max_ack_inflight(PUBLISHES_IN_FLIGHT_MAX)
        .build(client.clone())
}
