//! Listening, and serving connections until the end.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// How long a client may take to send the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How many headers a request may have.
const HEADERS_MAX: usize = 64;
/// How much of a request's head is read, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How long requests that were accepted have to end.
const FINISH_WITHIN: Duration = Duration::from_secs(15);
/// How long to wait when the system gives out no more connections.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens on `address`.
pub(crate) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} for HTTP; choose another address or port")
    })
}

/// Serves until `shutdown`, and then until every request that was accepted has its answer, within limits.
pub(crate) async fn serve(listener: TcpListener, routes: Router, shutdown: CancellationToken) {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((connection, peer)) => serve_one(connection, peer, routes.clone(), &graceful),
            // Connections that ended before they were accepted are nothing; too many open files pass.
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(FINISH_WITHIN, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("HTTP requests were still open at the end");
    }
}

fn serve_one(connection: TcpStream, peer: SocketAddr, routes: Router, graceful: &GracefulShutdown) {
    let _ = connection.set_nodelay(true);
    let service = routes.map_request(move |mut request: axum::http::Request<_>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    let served = builder
        .http1_only()
        .serve_connection(TokioIo::new(connection), TowerToHyperService::new(service))
        .into_owned();
    let watched = graceful.watch(served);
    tokio::spawn(async move {
        if let Err(error) = watched.await {
            tracing::debug!(%error, %peer, "a connection ended");
        }
    });
}
