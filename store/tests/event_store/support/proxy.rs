//! A network that fails when it is told to: stands between a client and the database, understands just enough of
//! PostgreSQL's protocol to know which statement goes by, and counts them.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::database::{address, by_way_of};

/// What happens to a statement on its way.
pub(crate) enum Fault {
    /// Both connections end before the database has it.
    CutBefore,
    /// Both connections end as soon as it is on its way to the database.
    CutAfter,
    /// Both connections end when the database has answered; the client does not get the answer.
    CutAnswer,
    /// It waits at the gate, whatever the client does; then it goes on its way.
    Hold(Arc<Gate>),
    /// It and everything after it vanishes; both connections stay.
    Silence,
}

/// Holds a statement back.
#[derive(Default)]
pub(crate) struct Gate {
    arrived: Notify,
    opened: Notify,
    answered: Notify,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Waits until the statement is at the gate.
    pub(crate) async fn arrived(&self) {
        in_time(self.arrived.notified()).await;
    }

    /// Lets it through and waits until the database has answered it.
    pub(crate) async fn open(&self) {
        self.opened.notify_one();
        in_time(self.answered.notified()).await;
    }
}

async fn in_time(event: impl Future<Output = ()>) {
    let waited = tokio::time::timeout(Duration::from_secs(30), event).await;
    waited.expect("the statement comes by in time");
}

/// Runs until it is dropped.
pub(crate) struct Proxy {
    url: String,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    statements: AtomicUsize,
    appends: AtomicUsize,
    /// The texts of all statements that clients have prepared, in order.
    texts: Mutex<Vec<String>>,
    /// For the next appends.
    append_faults: Mutex<VecDeque<Fault>>,
    /// For the next statements, appends included.
    faults: Mutex<VecDeque<Fault>>,
}

impl Proxy {
    /// Stands before the database at `url`.
    pub(crate) async fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (host, direct) = address(url);
        let upstream: SocketAddr = tokio::net::lookup_host((host, direct))
            .await
            .unwrap()
            .next()
            .unwrap();
        let shared = Arc::<Shared>::default();
        let accepting = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    let shared = Arc::clone(&shared);
                    // A connection that breaks is what this is for.
                    tokio::spawn(async move { drop(serve(client, upstream, &shared).await) });
                }
            }
        });
        Self {
            url: by_way_of(url, port),
            shared,
            accepting,
        }
    }

    /// The database, by way of this.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How many statements have come by.
    pub(crate) fn statements(&self) -> usize {
        self.shared.statements.load(Ordering::SeqCst)
    }

    /// How many of them were appends.
    pub(crate) fn appends(&self) -> usize {
        self.shared.appends.load(Ordering::SeqCst)
    }

    /// The texts of the statements that were prepared since the last call.
    pub(crate) fn take_texts(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.texts.lock().unwrap())
    }

    /// The next appends suffer these, one each.
    pub(crate) fn fail_appends(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.append_faults.lock().unwrap().extend(faults);
    }

    /// The next statements suffer these, one each.
    pub(crate) fn fail_statements(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.lock().unwrap().extend(faults);
    }

    /// How many faults still wait for their statement.
    pub(crate) fn faults_left(&self) -> usize {
        let appends = self.shared.append_faults.lock().unwrap().len();
        appends + self.shared.faults.lock().unwrap().len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(client: TcpStream, upstream: SocketAddr, shared: &Shared) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(upstream).await?.into_split();
    let mut messages = Messages::default();
    let mut answer = vec![0; 64 * 1024];
    loop {
        tokio::select! {
            read = from_client.read_buf(&mut messages.unread) => {
                if read? == 0 {
                    return Ok(());
                }
                while let Some(flight) = messages.next_flight(shared) {
                    let fault = flight.fault(shared);
                    if !matches!(fault, Some(Fault::CutBefore | Fault::Silence)) {
                        if let Some(Fault::Hold(gate)) = &fault {
                            gate.arrived.notify_one();
                            gate.opened.notified().await;
                        }
                        to_server.write_all(&flight.bytes).await?;
                    }
                    match fault {
                        None => {}
                        Some(Fault::CutBefore | Fault::CutAfter) => return Ok(()),
                        Some(Fault::CutAnswer) => {
                            // Some of the answer has arrived: so the statement was carried out.
                            let _ = from_server.read(&mut answer).await?;
                            return Ok(());
                        }
                        Some(Fault::Hold(gate)) => {
                            let length = from_server.read(&mut answer).await?;
                            gate.answered.notify_one();
                            to_client.write_all(&answer[..length]).await?;
                        }
                        Some(Fault::Silence) => std::future::pending().await,
                    }
                }
            }
            read = from_server.read(&mut answer) => {
                let length = read?;
                if length == 0 {
                    return Ok(());
                }
                to_client.write_all(&answer[..length]).await?;
            }
        }
    }
}

/// The messages of one client.
#[derive(Default)]
struct Messages {
    unread: Vec<u8>,
    flight: Flight,
    /// The startup message, which has no type, is behind us.
    is_started: bool,
    /// The names of prepared statements that append.
    appends: HashSet<Vec<u8>>,
}

/// Messages that belong together: the client waits for an answer after them.
#[derive(Default)]
struct Flight {
    bytes: Vec<u8>,
    executes: bool,
    appends: bool,
}

const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();

impl Messages {
    fn next_flight(&mut self, shared: &Shared) -> Option<Flight> {
        loop {
            let type_length = usize::from(self.is_started);
            let length = self.unread.get(type_length..type_length + 4)?;
            let length = u32::from_be_bytes(length.try_into().unwrap());
            let end = type_length + usize::try_from(length).unwrap();
            if self.unread.len() < end {
                return None;
            }
            let message: Vec<u8> = self.unread.drain(..end).collect();
            let ends = if self.is_started {
                self.note(&message, shared)
            } else {
                self.is_started = message[4..8] != SSL_REQUEST;
                true
            };
            self.flight.bytes.extend(message);
            if ends {
                return Some(std::mem::take(&mut self.flight));
            }
        }
    }

    /// Notes what a message means; says whether it is the last of a flight.
    fn note(&mut self, message: &[u8], shared: &Shared) -> bool {
        let mut texts = message[5..].split(|byte| *byte == 0);
        let mut next = || texts.next().unwrap_or_default().to_vec();
        match message[0] {
            // Parse: name, text
            b'P' => {
                let (name, text) = (next(), String::from_utf8(next()).unwrap());
                if text.contains("INSERT INTO commands") {
                    self.appends.insert(name);
                }
                shared.texts.lock().unwrap().push(text);
                false
            }
            // Bind: portal, name
            b'B' => {
                next();
                self.flight.appends |= self.appends.contains(&next());
                false
            }
            // Execute
            b'E' => {
                self.flight.executes = true;
                false
            }
            // Sync, Query (begins, sets, ends: not counted, and never fails), Terminate, a password
            b'S' | b'Q' | b'X' | b'p' => true,
            _ => false,
        }
    }
}

impl Flight {
    fn fault(&self, shared: &Shared) -> Option<Fault> {
        if !self.executes {
            return None;
        }
        shared.statements.fetch_add(1, Ordering::SeqCst);
        if self.appends {
            shared.appends.fetch_add(1, Ordering::SeqCst);
            let fault = shared.append_faults.lock().unwrap().pop_front();
            if fault.is_some() {
                return fault;
            }
        }
        shared.faults.lock().unwrap().pop_front()
    }
}
