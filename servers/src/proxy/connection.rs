//! One connection through the proxy.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::line::{Direction, Line, Shared};

/// How much is read at a time.
const PIECE_BYTES: usize = 16 * 1024;
/// How many pieces wait in one direction: 1 MiB at the most, then whoever sends has to wait.
const PIECES_MAX: usize = 64;
/// A throttled line moves what goes through in this part of a second at a time.
const MOVES_PER_SECOND: u64 = 20;

/// Bytes on their way, with when they were read.
struct Piece {
    read_at: Instant,
    bytes: Vec<u8>,
}

/// Forwards both directions until both sides have ended, one of them has failed, or the line is reset.
pub(super) async fn carry(mut client: TcpStream, target: SocketAddr, shared: Arc<Shared>) {
    let resets = shared.line().resets;
    let mut line = shared.watch();
    let connected = tokio::select! {
        connected = connect(target, &shared) => connected,
        () = reset(&mut line, resets) => return abort(&client),
    };
    let mut server = match connected {
        Ok(server) => server,
        // Nearer to the refusal that the client would have met without us than an orderly end.
        Err(error) => {
            tracing::debug!(%error, %target, "the proxy's target does not answer");
            return abort(&client);
        }
    };
    for stream in [&client, &server] {
        // Small answers must not wait for more.
        let _ = stream.set_nodelay(true);
    }
    let both = async {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::try_join!(
            forward(from_client, to_server, &shared, &shared.to_target),
            forward(from_server, to_client, &shared, &shared.to_clients),
        )
    };
    let is_reset = tokio::select! {
        // An error of one side ends the other side, too: both are dropped.
        _ = both => false,
        () = reset(&mut line, resets) => true,
    };
    if is_reset {
        abort(&client);
        abort(&server);
    }
}

/// On a black line nobody gets through to the target either.
async fn connect(target: SocketAddr, shared: &Shared) -> io::Result<TcpStream> {
    until(&mut shared.watch(), |line| !line.is_black).await;
    TcpStream::connect(target).await
}

/// Completes when all connections were reset once more.
async fn reset(line: &mut watch::Receiver<Line>, resets: u64) {
    until(line, |line| line.resets != resets).await;
}

/// Completes when the line is so. Never, if there is nobody left who could change it.
async fn until(line: &mut watch::Receiver<Line>, is_so: impl FnMut(&Line) -> bool) {
    if line.wait_for(is_so).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Sees to it that the drop of the stream is a RST and no orderly end.
fn abort(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "the proxy ends a connection in order that it should reset");
    }
}

/// One direction: reads ahead up to a bound, and writes what is due.
async fn forward(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    shared: &Shared,
    direction: &Direction,
) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    tokio::try_join!(read(from, sender), write(to, receiver, shared, direction))?;
    Ok(())
}

async fn read(mut from: ReadHalf<'_>, pieces: mpsc::Sender<Piece>) -> io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let length = from.read(&mut buffer).await?;
        let piece = Piece {
            read_at: Instant::now(),
            bytes: buffer[..length].to_vec(),
        };
        if length == 0 || pieces.send(piece).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(
    mut to: WriteHalf<'_>,
    mut pieces: mpsc::Receiver<Piece>,
    shared: &Shared,
    direction: &Direction,
) -> io::Result<()> {
    let mut line = shared.watch();
    while let Some(piece) = pieces.recv().await {
        let mut rest = piece.bytes.as_slice();
        while !rest.is_empty() {
            let length = due(&mut line, direction, piece.read_at, rest.len()).await;
            let (now, later) = rest.split_at(length);
            to.write_all(now).await?;
            direction.count(length);
            rest = later;
        }
    }
    // The other side has said all that it had to say.
    to.shutdown().await
}

/// Waits until some of so many bytes may go; answers with how many. A change of the line counts at once.
async fn due(
    line: &mut watch::Receiver<Line>,
    direction: &Direction,
    read_at: Instant,
    length: usize,
) -> usize {
    loop {
        let now = *line.borrow_and_update();
        if now.is_black {
            until(line, |line| !line.is_black).await;
            continue;
        }
        let mut length = length;
        let mut at = read_at + now.latency;
        if let Some(rate) = now.bytes_per_second {
            let most = usize::try_from(rate.get() / MOVES_PER_SECOND).unwrap_or(usize::MAX);
            length = length.min(most.max(1));
            at = at.max(direction.book(length, rate));
        }
        tokio::select! {
            // First, for a line that was changed meanwhile is another one.
            biased;
            Ok(()) = line.changed() => {}
            () = tokio::time::sleep_until(at) => return length,
        }
    }
}
