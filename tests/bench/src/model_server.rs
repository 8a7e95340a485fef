//! A model server in this process, with as little work of its own as can be: a prepared answer, or a stream of tokens that
//! each say when they were sent.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &str = r#"{"id":"chat-1","object":"chat.completion","created":1,"model":"sold","choices":[{"index":0,"message":{"role":"assistant","content":"Four words of answer."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}"#;
const LIST: &str = r#"{"object":"list","data":[]}"#;
/// What stands before the moment of a token: 20 digits, in nanoseconds since [`ModelServer::begun`].
pub(crate) const BEFORE_MOMENT: &[u8] = br#""content":""#;
pub(crate) const MOMENT_DIGITS: usize = 20;
/// The middle of the time between two tokens of a stream. It is shorter or longer by up to half.
const BETWEEN_TOKENS: Duration = Duration::from_millis(50);

/// The server, which ends with the process.
pub(crate) struct ModelServer {
    pub(crate) address: String,
    pub(crate) begun: Instant,
}

impl ModelServer {
    /// Starts one whose streams have so many tokens.
    pub(crate) async fn start(tokens: usize) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = Self { address: listener.local_addr()?.to_string(), begun: Instant::now() };
        let begun = server.begun;
        tokio::spawn(async move {
            let mut seed = 1u64;
            while let Ok((stream, _)) = listener.accept().await {
                seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
                tokio::spawn(serve(stream, begun, tokens, seed));
            }
        });
        Ok(server)
    }
}

async fn serve(mut stream: TcpStream, begun: Instant, tokens: usize, mut seed: u64) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let (list, answer) = (whole(LIST), whole(ANSWER));
    let mut buffer = vec![0; 8 * 1024];
    let mut filled = 0;
    loop {
        anyhow::ensure!(filled < buffer.len(), "a request that is too long for a benchmark");
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let request = &buffer[..filled];
        let Some(head) = find(request, b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&request[..head])?.to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        if filled < head + 4 + length.map_or(Ok(0), str::parse::<usize>)? {
            continue;
        }
        if request.starts_with(b"GET ") {
            stream.write_all(&list).await?;
        } else if find(&request[head..], b"\"stream\":true").is_some() {
            stream_tokens(&mut stream, begun, tokens, &mut seed).await?;
        } else {
            stream.write_all(&answer).await?;
        }
        filled = 0;
    }
}

async fn stream_tokens(
    stream: &mut TcpStream,
    begun: Instant,
    tokens: usize,
    seed: &mut u64,
) -> anyhow::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    for _ in 0..tokens {
        // xorshift: any that is cheap.
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        let between = BETWEEN_TOKENS / 2 + BETWEEN_TOKENS.mul_f64((*seed % 1000) as f64 / 1000.0);
        tokio::time::sleep(between).await;
        let moment = begun.elapsed().as_nanos();
        event(stream, &format!("{{\"content\":\"{moment:020}\"}}"), "null").await?;
    }
    event(stream, "{}", "\"stop\"").await?;
    stream.write_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n").await?;
    Ok(())
}

async fn event(stream: &mut TcpStream, delta: &str, finish: &str) -> anyhow::Result<()> {
    let event = format!(
        "data: {{\"id\":\"chat-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"sold\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    );
    stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
    Ok(())
}

fn whole(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Where some bytes begin.
pub(crate) fn find(bytes: &[u8], sought: &[u8]) -> Option<usize> {
    bytes.windows(sought.len()).position(|window| window == sought)
}
