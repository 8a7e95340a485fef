//! Load on loopback, with as little of its own work as can be: prepared bytes out, a counted body in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use memchr::memmem::find;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Requests that are sent in turn, as bytes on the wire.
pub(crate) type Requests = Arc<Vec<Vec<u8>>>;

/// A POST of JSON on a connection that stays open.
pub(crate) fn post(host: &str, path: &str, body: &str) -> Vec<u8> {
    post_with(host, path, &[], body)
}

/// The same with more headers.
pub(crate) fn post_with(host: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{more}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Says how long a body is. Names of headers are written in lower case by what is measured here.
const LENGTH: &[u8] = b"\r\ncontent-length: ";

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(host: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 16 * 1024] })
    }

    /// Sends one request and reads its answer, which must hold `expected`.
    pub(crate) async fn ask(&mut self, request: &[u8], expected: &str) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            ensure!(read > 0, "the server closed the connection");
            filled += read;
            let answer = &self.buffer[..filled];
            let Some(end) = find(answer, b"\r\n\r\n") else { continue };
            let at = find(&answer[..end], LENGTH).context("an answer with a length")? + LENGTH.len();
            let digits = answer[at..end].iter().take_while(|byte| byte.is_ascii_digit());
            let length = digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
            if filled >= end + 4 + length {
                let text = || String::from_utf8_lossy(answer);
                ensure!(
                    find(answer, expected.as_bytes()).is_some(),
                    "an answer without {expected}: {}",
                    text()
                );
                return Ok(());
            }
        }
    }
}

/// `connections` at once, each asking again as soon as it is answered, for `time`. Returns every answer's time.
pub(crate) async fn closed(
    host: &str,
    requests: &Requests,
    connections: usize,
    time: Duration,
    expected: &'static str,
) -> anyhow::Result<Vec<Duration>> {
    let mut tasks = Vec::new();
    for first in 0..connections {
        let (requests, mut connection) = (Arc::clone(requests), Connection::open(host).await?);
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::with_capacity(100_000);
            let (start, mut next) = (Instant::now(), first);
            while start.elapsed() < time {
                let sent = Instant::now();
                connection.ask(&requests[next % requests.len()], expected).await?;
                times.push(sent.elapsed());
                next += 1;
            }
            anyhow::Ok(times)
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}

/// Every request once, over `connections` at once. Returns every answer's time.
pub(crate) async fn once(
    host: &str,
    requests: &Requests,
    connections: usize,
    expected: &'static str,
) -> anyhow::Result<Vec<Duration>> {
    let mut tasks = Vec::new();
    for first in 0..connections.min(requests.len()) {
        let (requests, mut connection) = (Arc::clone(requests), Connection::open(host).await?);
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::with_capacity(requests.len() / connections + 1);
            for request in requests.iter().skip(first).step_by(connections) {
                let sent = Instant::now();
                connection.ask(request, expected).await?;
                times.push(sent.elapsed());
            }
            anyhow::Ok(times)
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}

/// `rate` requests a second over 16 connections for `time`, each at its appointed moment: a late answer makes the next
/// on its connection late too, and that counts.
pub(crate) async fn open(
    host: &str,
    requests: &Requests,
    rate: u32,
    time: Duration,
    expected: &'static str,
) -> anyhow::Result<Vec<Duration>> {
    const CONNECTIONS: u32 = 16;
    let mut tasks = Vec::new();
    let start = tokio::time::Instant::now() + Duration::from_millis(50);
    for first in 0..CONNECTIONS {
        let (requests, mut connection) = (Arc::clone(requests), Connection::open(host).await?);
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            for index in (first..).step_by(CONNECTIONS as usize) {
                let due = start + Duration::from_secs(1) * index / rate;
                if due >= start + time {
                    return anyhow::Ok(times);
                }
                tokio::time::sleep_until(due).await;
                // The timer wakes up to a millisecond late; that is ours, not the server's.
                let sent = tokio::time::Instant::now();
                connection.ask(&requests[index as usize % requests.len()], expected).await?;
                times.push(sent.elapsed());
            }
            Ok(times)
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}
