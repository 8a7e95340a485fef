//! Against a server that misbehaves at each point.

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server whose connections are each served by a function, which is told the connection's number.
struct Server {
    url: Url,
    connections: Arc<AtomicU32>,
}

impl Server {
    async fn start<F>(serve: impl Fn(u32, TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base", listener.local_addr().unwrap()).parse().unwrap();
        let connections = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(count.fetch_add(1, Ordering::SeqCst), stream));
            }
        });
        Self { url, connections }
    }

    fn connections(&self) -> u32 {
        self.connections.load(Ordering::SeqCst)
    }

    fn transport(&self) -> Transport {
        self.within(Deadlines::default())
    }

    fn within(&self, deadlines: Deadlines) -> Transport {
        Transport::new(&self.url, deadlines).unwrap()
    }
}

/// Reads a request, as far as its body's length is announced. `None` at the end of the connection.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
            }
        }
        let mut more = [0; 4096];
        let read = stream.read(&mut more).await.unwrap_or(0);
        if read == 0 {
            return None;
        }
        bytes.extend_from_slice(&more[..read]);
    }
}

fn get(path: &str) -> Request<Payload> {
    Request::get(path).body(Payload::Whole(Bytes::new())).unwrap()
}

fn post(payload: Payload) -> Request<Payload> {
    Request::post("/x").body(payload).unwrap()
}

fn kind<T>(sent: Result<T, UpstreamError>) -> Failure {
    sent.err().expect("a failure").kind
}

async fn body(response: Response<Frames>) -> Result<Vec<u8>, Failure> {
    let pieces: Vec<_> = response.into_body().collect().await;
    let pieces: Result<Vec<_>, _> = pieces.into_iter().collect();
    pieces.map(|pieces| pieces.concat()).map_err(|error| error.kind)
}

#[tokio::test]
async fn a_request_is_sent_as_it_is_behind_the_path_of_the_base_and_the_connection_is_used_again() {
    let server = Server::start(async |_, mut stream: TcpStream| {
        while let Some(asked) = request(&mut stream).await {
            let mut answer = Vec::new();
            write!(answer, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{asked}", asked.len()).unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    })
    .await;
    let transport = server.transport();
    let host = server.url.authority();
    let asked = body(transport.send(get("/a%20b/?q=%2e%2e")).await.unwrap()).await.unwrap();
    let expected = format!("GET /base/a%20b/?q=%2e%2e HTTP/1.1\r\nhost: {host}\r\n\r\n");
    assert_eq!(String::from_utf8(asked).unwrap(), expected);
    let mut forged = post(Payload::Whole(Bytes::from_static(b"hello")));
    forged.headers_mut().insert(header::TRANSFER_ENCODING, "chunked".parse().unwrap());
    forged.headers_mut().insert(header::CONTENT_LENGTH, "99".parse().unwrap());
    forged.headers_mut().insert(header::HOST, "elsewhere".parse().unwrap());
    let asked = String::from_utf8(body(transport.send(forged).await.unwrap()).await.unwrap()).unwrap();
    assert!(asked.starts_with("POST /base/x HTTP/1.1\r\n") && asked.ends_with("\r\n\r\nhello"), "{asked}");
    assert!(
        asked.contains("content-length: 5\r\n") && asked.contains(&format!("host: {host}\r\n")),
        "{asked}"
    );
    assert!(!asked.contains("transfer-encoding"), "{asked}");
    let empty = transport.send(post(Payload::Whole(Bytes::new()))).await.unwrap();
    let asked = String::from_utf8(body(empty).await.unwrap()).unwrap();
    assert!(asked.contains("content-length: 0\r\n"), "{asked}");
    assert_eq!(server.connections(), 1);
}

/// Answers the first request of the first connection, and closes it when the second has arrived. Later connections
/// answer all.
async fn closes_after_one(number: u32, mut stream: TcpStream) {
    while request(&mut stream).await.is_some() {
        stream.write_all(OK).await.unwrap();
        if number == 0 {
            request(&mut stream).await;
            return;
        }
    }
}

#[tokio::test]
async fn what_a_kept_connection_swallowed_is_sent_once_more_over_a_new_one() {
    let server = Server::start(closes_after_one).await;
    let transport = server.transport();
    assert_eq!(body(transport.send(get("/")).await.unwrap()).await.unwrap(), b"ok");
    let again = transport.send(post(Payload::Whole(Bytes::from_static(b"x")))).await.unwrap();
    assert_eq!(body(again).await.unwrap(), b"ok");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_stream_that_was_begun_is_never_sent_twice() {
    let server = Server::start(closes_after_one).await;
    let transport = server.transport();
    body(transport.send(get("/")).await.unwrap()).await.unwrap();
    let stream = Body::from_stream(futures::stream::iter([Ok::<_, std::io::Error>("x")]));
    assert_eq!(kind(transport.send(post(Payload::Stream(stream))).await), Failure::BrokenOff);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_new_connection_that_swallows_a_request_is_believed() {
    let server = Server::start(async |_, mut stream: TcpStream| {
        request(&mut stream).await;
    })
    .await;
    assert_eq!(kind(server.transport().send(get("/")).await), Failure::BrokenOff);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn nothing_is_sent_twice_after_a_byte_of_its_answer() {
    let server = Server::start(async |_, mut stream: TcpStream| {
        request(&mut stream).await;
        stream.write_all(OK).await.unwrap();
        request(&mut stream).await;
        stream.write_all(b"H").await.unwrap();
    })
    .await;
    let transport = server.transport();
    body(transport.send(get("/")).await.unwrap()).await.unwrap();
    assert_eq!(kind(transport.send(get("/")).await), Failure::BrokenOff);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn the_second_try_is_the_last() {
    let server = Server::start(async |_, mut stream: TcpStream| {
        request(&mut stream).await;
        stream.write_all(OK).await.unwrap();
        request(&mut stream).await;
    })
    .await;
    let transport = server.transport();
    // Two connections are kept, and both swallow what comes next.
    let (one, two) = (transport.send(get("/")).await.unwrap(), transport.send(get("/")).await.unwrap());
    assert_eq!((body(one).await.unwrap(), body(two).await.unwrap()), (b"ok".to_vec(), b"ok".to_vec()));
    assert_eq!(server.connections(), 2);
    assert_eq!(body(transport.send(get("/")).await.unwrap()).await.unwrap(), b"ok");
    assert_eq!(server.connections(), 3, "not over the other kept one");
}

#[tokio::test]
async fn connections_that_the_server_closed_meanwhile_are_not_used() {
    let (closed, told) = tokio::sync::mpsc::unbounded_channel();
    let mut told = told;
    let server = Server::start(move |_, mut stream: TcpStream| {
        let closed = closed.clone();
        async move {
            request(&mut stream).await;
            stream.write_all(OK).await.unwrap();
            drop(stream);
            closed.send(()).unwrap();
        }
    })
    .await;
    let transport = server.transport();
    for connections in 1..=3 {
        let stream = Body::from_stream(futures::stream::iter([Ok::<_, std::io::Error>("x")]));
        let answered = transport.send(post(Payload::Stream(stream))).await;
        assert_eq!(body(answered.unwrap()).await.unwrap(), b"ok");
        told.recv().await.unwrap();
        // Nothing tells of it but a look at the connection.
        while let Some(kept) = transport.0.pool.take() {
            Pool::put(&transport.0.pool, kept);
            tokio::task::yield_now().await;
        }
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_for_less_than_servers_keep_it() {
    let server = Server::start(closes_after_one).await;
    let transport = server.transport();
    body(transport.send(get("/")).await.unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(4_001)).await;
    assert!(transport.0.pool.take().is_none());
}

/// Waits until the other side has closed a connection.
async fn closed(stream: &mut TcpStream) {
    let mut nothing = [0; 64];
    while stream.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
}

#[tokio::test]
async fn what_ends_early_is_told_as_a_failure_at_each_point() {
    for (sent, expected) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-le"[..], None),
        (b"what is this\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", Some(Failure::BrokenOff)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", Some(Failure::BrokenOff)),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", Some(Failure::BrokenOff)),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", Some(Failure::BrokenOff)),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", Some(Failure::BrokenOff)),
    ] {
        let server = Server::start(move |_, mut stream: TcpStream| async move {
            request(&mut stream).await;
            stream.write_all(sent).await.unwrap();
        })
        .await;
        let answered = server.transport().send(get("/")).await;
        match expected {
            None => assert_eq!(kind(answered), Failure::BrokenOff, "{sent:?}"),
            Some(failure) => assert_eq!(body(answered.unwrap()).await, Err(failure), "{sent:?}"),
        }
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn a_head_has_bounds() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(100_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: a\r\n".repeat(200));
    for head in [long, many] {
        let server = Server::start(move |_, mut stream: TcpStream| {
            let head = head.clone();
            async move {
                request(&mut stream).await;
                let _ = stream.write_all(head.as_bytes()).await;
                closed(&mut stream).await;
            }
        })
        .await;
        assert_eq!(kind(server.transport().send(get("/")).await), Failure::BrokenOff);
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_and_one_that_does_not_take_us_on_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/").parse().unwrap();
    let nowhere = Transport::new(&url, Deadlines::default()).unwrap();
    assert_eq!(kind(nowhere.send(get("/")).await), Failure::Unreachable);
    // TLS waits for an answer to its greeting.
    let silent = Server::start(async |_, mut stream: TcpStream| closed(&mut stream).await).await;
    let url = silent.url.as_str().replace("http:", "https:").parse().unwrap();
    let deadlines = Deadlines { connect: Duration::from_millis(50), ..Deadlines::default() };
    let tls = Transport::new(&url, deadlines).unwrap();
    assert_eq!(kind(tls.send(get("/")).await), Failure::NotConnected);
}

const SHORT: Deadlines = Deadlines {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_millis(100),
    between: Duration::from_millis(100),
};

#[tokio::test]
async fn an_upstream_that_says_nothing_or_not_all_of_a_head_is_given_up_and_not_asked_again() {
    for head in [&b""[..], b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nx"] {
        let server = Server::start(move |_, mut stream: TcpStream| async move {
            request(&mut stream).await;
            // A trickle does not make the wait longer.
            for byte in head {
                stream.write_all(&[*byte]).await.unwrap();
            }
            closed(&mut stream).await;
        })
        .await;
        assert_eq!(kind(server.within(SHORT).send(get("/")).await), Failure::Timeout);
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_stops_is_given_up_and_one_that_trickles_is_read() {
    let server = Server::start(async |number, mut stream: TcpStream| {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n").await.unwrap();
        for byte in b"trickles".iter().take(if number == 0 { 8 } else { 4 }) {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        closed(&mut stream).await;
    })
    .await;
    let transport = server.within(Deadlines { between: Duration::from_millis(2000), ..SHORT });
    assert_eq!(body(transport.send(get("/")).await.unwrap()).await.unwrap(), b"trickles");
    // Not the connection of before, which answers no more.
    transport.0.pool.take();
    assert_eq!(body(transport.send(get("/")).await.unwrap()).await, Err(Failure::Stalled));
}

#[tokio::test]
async fn a_reader_who_takes_its_time_is_not_taken_for_an_upstream_that_stopped() {
    let server = Server::start(async |_, mut stream: TcpStream| {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha").await.unwrap();
        request(&mut stream).await;
    })
    .await;
    let mut answer = server.within(SHORT).send(get("/")).await.unwrap().into_body();
    assert_eq!(answer.next().await.unwrap().unwrap(), "ha");
    // The pause begins where the reader does.
    assert!(futures::poll!(answer.next()).is_pending());
    tokio::time::sleep(SHORT.between * 2).await;
    assert_eq!(answer.next().await.unwrap().unwrap_err().kind, Failure::Stalled);
    assert!(answer.next().await.is_none());
}

#[tokio::test]
async fn an_answer_that_nobody_reads_to_its_end_stops_the_upstream() {
    let (stopped, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |_, mut stream: TcpStream| {
        let stopped = stopped.clone();
        async move {
            request(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n")
                .await
                .unwrap();
            closed(&mut stream).await;
            stopped.send(()).unwrap();
        }
    })
    .await;
    let transport = server.transport();
    let mut answer = transport.send(get("/")).await.unwrap().into_body();
    assert_eq!(answer.next().await.unwrap().unwrap(), "hi");
    drop(answer);
    told.recv().await.unwrap();
    // So does a request whose sender leaves before there is an answer.
    let silent = Server::start(async |_, mut stream: TcpStream| closed(&mut stream).await).await;
    let transport = silent.transport();
    let asked = tokio::spawn(async move { transport.send(get("/")).await.map(|_| ()) });
    while silent.connections() == 0 {
        tokio::task::yield_now().await;
    }
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn an_answer_that_comes_in_another_task_than_its_head_wakes_whoever_reads_it() {
    let (go_on, told) = tokio::sync::watch::channel(0);
    let server = Server::start(move |_, mut stream: TcpStream| {
        let mut told = told.clone();
        async move {
            request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n").await.unwrap();
            for piece in 1..=2 {
                told.wait_for(|reached| *reached >= piece).await.unwrap();
                stream.write_all(b"ok").await.unwrap();
            }
            request(&mut stream).await;
        }
    })
    .await;
    let transport = server.transport();
    let asked = {
        let transport = transport.clone();
        tokio::spawn(async move { transport.send(get("/")).await })
    };
    let mut answer = asked.await.unwrap().unwrap().into_body();
    // The first reader waits for the first piece, and another for the rest.
    let first = tokio::spawn(async move { (answer.next().await, answer) });
    tokio::task::yield_now().await;
    go_on.send(1).unwrap();
    let (piece, mut answer) = first.await.unwrap();
    assert_eq!(piece.unwrap().unwrap(), "ok");
    let second =
        tokio::spawn(async move { (answer.next().await.unwrap().unwrap(), answer.next().await.is_none()) });
    tokio::task::yield_now().await;
    go_on.send(2).unwrap();
    assert_eq!(second.await.unwrap(), (Bytes::from_static(b"ok"), true));
    assert!(transport.0.pool.take().is_some(), "the connection is kept");
}

#[tokio::test]
async fn what_a_client_still_sends_goes_on_while_nobody_reads_the_answer() {
    let (arrived, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |_, mut stream: TcpStream| {
        let arrived = arrived.clone();
        async move {
            let mut bytes = Vec::new();
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
            while !bytes.ends_with(b"0\r\n\r\n") {
                assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
            }
            arrived.send(bytes.len()).unwrap();
            stream.write_all(b"2\r\nok\r\n0\r\n\r\n").await.unwrap();
            closed(&mut stream).await;
        }
    })
    .await;
    let (pieces, upload) = tokio::sync::mpsc::channel::<Bytes>(1);
    let upload = futures::stream::unfold(upload, async |mut upload: tokio::sync::mpsc::Receiver<Bytes>| {
        Some((Ok::<_, std::io::Error>(upload.recv().await?), upload))
    });
    let transport = server.transport();
    let answer = transport.send(post(Payload::Stream(Body::from_stream(upload)))).await.unwrap();
    for _ in 0..100 {
        pieces.send(Bytes::from(vec![b'x'; 64 * 1024])).await.unwrap();
    }
    drop(pieces);
    assert!(told.recv().await.unwrap() > 100 * 64 * 1024);
    assert_eq!(body(answer).await.unwrap(), b"ok");
}

#[tokio::test]
async fn pieces_that_are_there_at_once_are_one_and_what_breaks_off_behind_them_is_told_after_them() {
    let server = Server::start(async |number, mut stream: TcpStream| {
        request(&mut stream).await;
        let rest = if number == 0 { "0\r\n\r\n" } else { "what is this\r\n" };
        let answer = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n{rest}"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        request(&mut stream).await;
    })
    .await;
    let transport = server.transport();
    let mut answer = transport.send(get("/")).await.unwrap().into_body();
    assert_eq!(answer.next().await.unwrap().unwrap(), "abcdef");
    assert!(answer.next().await.is_none());
    let mut broken = server.transport().send(get("/")).await.unwrap().into_body();
    assert_eq!(broken.next().await.unwrap().unwrap(), "abcdef");
    assert_eq!(broken.next().await.unwrap().unwrap_err().kind, Failure::BrokenOff);
    assert!(broken.next().await.is_none());
}

#[tokio::test]
async fn a_client_that_breaks_off_is_not_the_upstreams_failure() {
    let server = Server::start(async |_, mut stream: TcpStream| closed(&mut stream).await).await;
    let broken = [Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("gone"))];
    let stream = Body::from_stream(futures::stream::iter(broken));
    assert_eq!(kind(server.transport().send(post(Payload::Stream(stream))).await), Failure::RequestBrokenOff);
}

#[tokio::test]
async fn the_wait_for_an_answer_begins_when_the_request_is_sent() {
    let server = Server::start(async |_, mut stream: TcpStream| {
        request(&mut stream).await;
        // All of it has arrived with its last chunk.
        let mut bytes = [0; 4096];
        while !String::from_utf8_lossy(&bytes).contains("0\r\n\r\n") {
            let read = stream.read(&mut bytes).await.unwrap();
            assert!(read > 0);
        }
        stream.write_all(OK).await.unwrap();
    })
    .await;
    // Each piece comes later than an answer may.
    let pieces = futures::stream::iter(0..3).then(|_| async {
        tokio::time::sleep(SHORT.first_byte * 3 / 2).await;
        Ok::<_, std::io::Error>("piece")
    });
    let sent = server.within(SHORT).send(post(Payload::Stream(Body::from_stream(pieces)))).await;
    assert_eq!(body(sent.unwrap()).await.unwrap(), b"ok");
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_to_the_next() {
    let server = Server::start(async |_, mut stream: TcpStream| {
        while let Some(asked) = request(&mut stream).await {
            let head =
                if asked.starts_with("HEAD") { "200 OK\r\ncontent-length: 5000" } else { "204 No Content" };
            stream.write_all(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes()).await.unwrap();
        }
    })
    .await;
    let transport = server.transport();
    for method in [Method::HEAD, Method::DELETE, Method::HEAD] {
        let asked = Request::builder().method(method).uri("/").body(Payload::Whole(Bytes::new())).unwrap();
        let answer = transport.send(asked).await.unwrap();
        assert!(http_body::Body::is_end_stream(answer.body()));
        assert_eq!(body(answer).await.unwrap(), b"");
        while transport.0.pool.take().map(|kept| Pool::put(&transport.0.pool, kept)).is_none() {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn an_address_says_where_an_upstream_is_and_nothing_else() {
    let made = |text: &str| Transport::new(&text.parse().unwrap(), Deadlines::default()).map(|_| ());
    for good in ["http://127.0.0.1:8000", "http://localhost/api/", "https://example.com", "http://[::1]:1/v1"]
    {
        assert!(made(good).is_ok(), "{good}");
    }
    for bad in ["http://u@h/", "http://u:p@h/", "http://h/?q", "http://h/#f", "ftp://h/", "unix:/run/x.sock"]
    {
        assert!(matches!(made(bad), Err(TransportError::Address)), "{bad}");
    }
}
