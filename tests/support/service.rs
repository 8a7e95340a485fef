//! A server behind the gateway that tells what it was sent, byte for byte, and misbehaves as it is told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// `GET /path HTTP/1.1`.
    pub line: String,
    /// Its headers, in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// Its body, without the chunks that it came in.
    pub body: Vec<u8>,
}

impl Received {
    /// The value of a header, if it has one.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// One thing that a server does in answer to a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Waits until it is told to go on.
    Wait(Arc<Notify>),
    /// Closes the connection, with a reset.
    Reset,
}

impl Act {
    /// Sends a text.
    pub fn send(text: &str) -> Self {
        Self::Send(text.as_bytes().to_vec())
    }

    /// Sends a whole answer.
    pub fn answer(status: &str, headers: &str, body: &str) -> Self {
        Self::Send(
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
                .into_bytes(),
        )
    }
}

#[derive(Debug, Default)]
struct Inner {
    received: Mutex<Vec<Received>>,
    scripts: Mutex<VecDeque<Vec<Act>>>,
    /// Whether the gateway's own question is answered with 500.
    failing: AtomicBool,
}

/// A server on a free port.
#[derive(Debug)]
pub struct TestService {
    inner: Arc<Inner>,
    port: u16,
    task: JoinHandle<()>,
}

impl TestService {
    /// Starts one. It answers each request with its own line, and `GET /base/` with a word.
    pub async fn start() -> Self {
        let inner = Arc::new(Inner::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::clone(&inner);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&shared), stream));
            }
        });
        Self { inner, port, task }
    }

    /// Its address, with a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/base", self.port)
    }

    /// What it was sent, without the gateway's own questions.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.inner.received).clone()
    }

    /// How many requests it was sent, without the gateway's own questions.
    pub fn asked(&self) -> usize {
        lock(&self.inner.received).len()
    }

    /// What it does with the next request that has no script yet.
    pub fn script(&self, acts: impl Into<Vec<Act>>) {
        lock(&self.inner.scripts).push_back(acts.into());
    }

    /// Whether it fails what it is asked for by the gateway itself.
    pub fn fail(&self, failing: bool) {
        self.inner.failing.store(failing, Ordering::SeqCst);
    }

    /// Waits until it was sent so many requests.
    pub async fn until_asked(&self, requests: usize) {
        for _ in 0..3000 {
            if self.asked() >= requests {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} requests arrived, and not {requests}", self.asked());
    }
}

impl Drop for TestService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(inner: Arc<Inner>, mut stream: TcpStream) {
    let mut unread = Vec::new();
    while let Some(request) = receive(&mut stream, &mut unread).await {
        if request.line == "GET /base/ HTTP/1.1" {
            let status =
                if inner.failing.load(Ordering::SeqCst) { "500 Internal Server Error" } else { "200 OK" };
            let Act::Send(bytes) = Act::answer(status, "", "well") else { return };
            if stream.write_all(&bytes).await.is_err() {
                return;
            }
            continue;
        }
        let line = request.line.clone();
        lock(&inner.received).push(request);
        let script = lock(&inner.scripts).pop_front();
        for act in script.unwrap_or_else(|| vec![Act::answer("200 OK", "", &line)]) {
            match act {
                Act::Send(bytes) if stream.write_all(&bytes).await.is_ok() => {}
                Act::Send(_) => return,
                Act::Wait(notify) => notify.notified().await,
                Act::Reset => {
                    let _ = stream.set_zero_linger();
                    return;
                }
            }
        }
    }
}

/// Reads a request with its body. `None` at the end of the connection.
async fn receive(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<Received> {
    let head = loop {
        if let Some(end) = find(unread, b"\r\n\r\n") {
            let rest = unread.split_off(end + 4);
            break String::from_utf8_lossy(&std::mem::replace(unread, rest)).into_owned();
        }
        more(stream, unread).await?;
    };
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request = Received { line, headers, body: Vec::new() };
    if request.header("transfer-encoding") == Some("chunked") {
        loop {
            let end = loop {
                match find(unread, b"\r\n") {
                    Some(end) => break end,
                    None => more(stream, unread).await?,
                }
            };
            let length = usize::from_str_radix(&String::from_utf8_lossy(&unread[..end]), 16).ok()?;
            while unread.len() < end + 2 + length + 2 {
                more(stream, unread).await?;
            }
            request.body.extend_from_slice(&unread[end + 2..end + 2 + length]);
            unread.drain(..end + 2 + length + 2);
            if length == 0 {
                return Some(request);
            }
        }
    }
    let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while unread.len() < length {
        more(stream, unread).await?;
    }
    let rest = unread.split_off(length);
    request.body = std::mem::replace(unread, rest);
    Some(request)
}

async fn more(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<()> {
    let mut bytes = vec![0; 64 * 1024];
    let read = stream.read(&mut bytes).await.unwrap_or(0);
    unread.extend_from_slice(&bytes[..read]);
    (read > 0).then_some(())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
