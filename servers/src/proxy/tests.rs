//! Against a target that sends back whatever it gets.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);
/// Long enough to be sure that nothing comes.
const SILENCE: Duration = Duration::from_millis(200);

/// A proxy in front of an echo.
async fn proxy() -> Proxy {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
    });
    Proxy::start(target).await.unwrap()
}

async fn connect(proxy: &Proxy) -> TcpStream {
    let address = (Ipv4Addr::LOCALHOST, proxy.port());
    TcpStream::connect(address).await.unwrap()
}

/// Reads so many bytes.
async fn receive(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let read = timeout(DEADLINE, stream.read_exact(&mut bytes)).await;
    read.expect("it comes in time").expect("it comes");
    bytes
}

/// Sends something there and back; answers with how long that took.
async fn there_and_back(stream: &mut TcpStream, bytes: &[u8]) -> Duration {
    let began = Instant::now();
    stream.write_all(bytes).await.unwrap();
    assert_eq!(receive(stream, bytes.len()).await, bytes);
    began.elapsed()
}

async fn hears_nothing(stream: &mut TcpStream) {
    let read = timeout(SILENCE, stream.read_u8()).await;
    assert!(read.is_err(), "{read:?}");
}

#[tokio::test]
async fn everything_gets_through_in_order_to_the_end() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    let bytes: Vec<u8> = (0..3_000_000_u32)
        .map(|n| n.to_le_bytes()[n as usize % 3])
        .collect();
    let sent = bytes.clone();
    let (mut reader, mut writer) = stream.split();
    let mut received = Vec::new();
    let sending = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let both = async { tokio::join!(sending, reader.read_to_end(&mut received)).1 };
    timeout(DEADLINE, both).await.expect("it ends").unwrap();
    assert!(received == bytes);
    let all = bytes.len() as u64;
    let expected = Forwarded {
        to_target: all,
        to_clients: all,
    };
    assert_eq!(proxy.forwarded(), expected);
}

#[tokio::test]
async fn a_throttled_line_is_as_slow_as_it_was_told_for_all_connections_together() {
    let proxy = proxy().await;
    let (mut one, mut other) = (connect(&proxy).await, connect(&proxy).await);
    proxy.throttle(NonZeroU64::new(40_000).unwrap());
    let bytes = vec![7; 20_000];
    let began = Instant::now();
    tokio::join!(
        there_and_back(&mut one, &bytes),
        there_and_back(&mut other, &bytes)
    );
    let taken = began.elapsed();
    // 40,000 bytes take a second there; the way back goes on beside it.
    assert!((0.9..4.0).contains(&taken.as_secs_f64()), "{taken:?}");
    proxy.heal();
    let taken = there_and_back(&mut one, &bytes).await;
    assert!(taken < Duration::from_millis(500), "{taken:?}");
}

#[tokio::test]
async fn what_waits_on_a_throttled_line_goes_at_once_when_it_is_healed() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    proxy.throttle(NonZeroU64::MIN);
    stream.write_all(b"a byte a second").await.unwrap();
    hears_nothing(&mut stream).await;
    proxy.heal();
    let began = Instant::now();
    assert_eq!(receive(&mut stream, 15).await, b"a byte a second");
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn latency_is_no_loss_of_throughput() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    proxy.delay(Duration::from_millis(150));
    let taken = there_and_back(&mut stream, b"ping").await;
    assert!((0.3..2.0).contains(&taken.as_secs_f64()), "{taken:?}");
    // Many pieces, and the same latency for all of them.
    let taken = there_and_back(&mut stream, &vec![1; 200_000]).await;
    assert!((0.3..2.0).contains(&taken.as_secs_f64()), "{taken:?}");
}

#[tokio::test]
async fn a_reset_is_felt_as_one_and_new_connections_work() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    there_and_back(&mut stream, b"ping").await;
    proxy.reset();
    let read = timeout(DEADLINE, stream.read_u8())
        .await
        .expect("it is felt");
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    there_and_back(&mut connect(&proxy).await, b"ping").await;
}

#[tokio::test]
async fn a_black_line_says_nothing_and_loses_nothing() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    there_and_back(&mut stream, b"ping").await;
    proxy.black_out();
    stream.write_all(b"is there anybody?").await.unwrap();
    let mut new = connect(&proxy).await;
    new.write_all(b"and here?").await.unwrap();
    hears_nothing(&mut stream).await;
    hears_nothing(&mut new).await;
    proxy.heal();
    assert_eq!(receive(&mut stream, 17).await, b"is there anybody?");
    assert_eq!(receive(&mut new, 9).await, b"and here?");
}

#[tokio::test]
async fn a_black_line_can_be_reset_too() {
    let proxy = proxy().await;
    proxy.black_out();
    let mut stream = connect(&proxy).await;
    stream.write_all(b"hello").await.unwrap();
    hears_nothing(&mut stream).await;
    proxy.reset();
    let read = timeout(DEADLINE, stream.read_u8())
        .await
        .expect("it is felt");
    assert!(read.is_err());
}

#[tokio::test]
async fn a_connection_to_a_target_that_is_away_is_reset() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = listener.local_addr().unwrap();
    drop(listener);
    let proxy = Proxy::start(target).await.unwrap();
    let mut stream = connect(&proxy).await;
    let read = timeout(DEADLINE, stream.read_u8())
        .await
        .expect("it is felt");
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn its_end_is_the_end_of_its_connections() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    there_and_back(&mut stream, b"ping").await;
    drop(proxy);
    let read = timeout(DEADLINE, stream.read_u8())
        .await
        .expect("it is felt");
    assert!(read.is_err());
}
