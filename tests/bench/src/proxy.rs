//! B12: the reverse proxy without a price, beside nginx before the same server.
//!
//! Both keep their connections to the server and have a worker a core. They are measured in turns, so that what else the
//! machine does falls on both.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use salt402_tests::{Stack, StackOptions, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::figures::{at_least, beside, cpu_seconds};

const ROUNDS: u32 = 3;
const TIME: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 64;
/// Events of one stream, and the bytes of each.
const EVENTS: usize = 1000;
const EVENT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\" word\"}}]}\n\n";

/// What is asked for.
#[derive(Clone, Copy)]
struct Load {
    path: &'static str,
    /// The bytes of its body.
    bytes: usize,
    /// What one answer is made of, and how many of them it has.
    unit: &'static str,
    units: usize,
    what: &'static str,
}

const LOADS: [Load; 3] = [
    Load { path: "/1k", bytes: 1024, unit: "requests/s", units: 1, what: "answers of 1 KiB" },
    Load { path: "/64k", bytes: 64 * 1024, unit: "requests/s", units: 1, what: "answers of 64 KiB" },
    Load {
        path: "/events",
        bytes: EVENTS * EVENT.len(),
        unit: "events/s",
        units: EVENTS,
        what: "events of a stream, each sent alone",
    },
];

/// nginx, which ends with this.
struct Running {
    child: Child,
    config: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Killed, it would leave its workers behind.
        let stopped = Command::new("nginx").arg("-c").arg(&self.config).args(["-s", "stop"]).status();
        if !stopped.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

pub(crate) async fn run() -> anyhow::Result<()> {
    let origin = origin().await?;
    let sections = format!(
        "[[gateway.services]]\nname = \"origin\"\nupstream = \"http://{origin}\"\nprobe = \"/1k\"\nat_once = 0\n\
         [[gateway.services.paths]]\npath = \"/*\"\nprice = \"0\"\n"
    );
    let options = StackOptions { sections, ..Default::default() };
    let stack = Stack::start_with(&crate::salt402()?, options).await;
    let ours = stack.gateway.trim_start_matches("http://").to_owned();
    let server = stack.process.as_ref().map(salt402_tests::Salt402::id).context("salt402 runs")?.to_string();
    let folder = tempfile::tempdir()?;
    let (_nginx, theirs) = nginx(folder.path(), &origin).await?;
    for load in LOADS {
        let mut rates = [0.0, 0.0, 0.0];
        let (mut cpu, mut answers) = (0.0, 0);
        for _ in 0..ROUNDS {
            for (place, host) in [&origin, &theirs, &ours].into_iter().enumerate() {
                let before = cpu_seconds(&server)?;
                let (answered, rate) = measure(host, load).await?;
                rates[place] += rate / f64::from(ROUNDS);
                if place == 2 {
                    cpu += cpu_seconds(&server)? - before;
                    answers += answered;
                }
            }
        }
        let [direct, theirs, ours] = rates;
        at_least("B12", ours / theirs * 100.0, "%", 70.0, &format!("of nginx: {}", load.what));
        beside(ours, load.unit, "through salt402");
        beside(theirs, load.unit, "through nginx");
        beside(direct, load.unit, "without a proxy");
        let each = cpu * 1e6 / (answers * load.units) as f64;
        beside(each, "us", "processor time of one, in salt402");
    }
    Ok(())
}

/// How many answers came, and how many units of them a second.
async fn measure(host: &str, load: Load) -> anyhow::Result<(usize, f64)> {
    let mut tasks = Vec::new();
    let start = Instant::now();
    for _ in 0..CONNECTIONS {
        let host = host.to_owned();
        tasks.push(tokio::spawn(async move {
            let mut client = Client::open(&host, load).await?;
            let mut answers = 0;
            while start.elapsed() < TIME {
                client.ask().await?;
                answers += 1;
            }
            anyhow::Ok(answers)
        }));
    }
    let mut answers = 0;
    for task in tasks {
        answers += task.await??;
    }
    Ok((answers, (answers * load.units) as f64 / start.elapsed().as_secs_f64()))
}

/// A connection that asks for the same again and again.
struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    bytes: usize,
    buffer: Vec<u8>,
}

impl Client {
    async fn open(host: &str, load: Load) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let request = format!("GET {} HTTP/1.1\r\nhost: {host}\r\n\r\n", load.path).into_bytes();
        Ok(Self { stream, request, bytes: load.bytes, buffer: vec![0; 128 * 1024] })
    }

    async fn ask(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.request).await?;
        let mut filled = 0;
        let (body, chunked) = loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            ensure!(read > 0, "the server closed the connection");
            filled += read;
            if let Some(end) = self.buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.buffer[..end]).context("a head in ASCII")?;
                ensure!(head.starts_with("HTTP/1.1 200"), "no good answer: {head}");
                break (end + 4, head.to_ascii_lowercase().contains("transfer-encoding: chunked"));
            }
        };
        if !chunked {
            let mut left = (body + self.bytes).saturating_sub(filled);
            while left > 0 {
                let read = self.stream.read(&mut self.buffer).await?;
                ensure!(read > 0 && read <= left, "the answer has another length");
                left -= read;
            }
            return Ok(());
        }
        // The last chunk is told by its end, whatever pieces the bytes came in.
        let mut last: Vec<u8> = self.buffer[body..filled].iter().rev().take(5).rev().copied().collect();
        let mut length = filled - body;
        while last != b"0\r\n\r\n" {
            let read = self.stream.read(&mut self.buffer).await?;
            ensure!(read > 0, "the answer broke off");
            length += read;
            last.extend_from_slice(&self.buffer[read.saturating_sub(5)..read]);
            let more = last.len().saturating_sub(5);
            last.drain(..more);
        }
        ensure!(length > self.bytes, "the answer is too short");
        Ok(())
    }
}

/// The server behind both: prepared bytes out.
async fn origin() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let whole = |bytes: usize| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {bytes}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; bytes]].concat()
    };
    let answers = Arc::new([whole(1024), whole(64 * 1024)]);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&answers)));
        }
    });
    Ok(address)
}

async fn answer(mut stream: TcpStream, answers: Arc<[Vec<u8>; 2]>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        if !buffer[..filled].ends_with(b"\r\n\r\n") {
            continue;
        }
        if buffer.starts_with(b"GET /events ") {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            let event = format!("{:x}\r\n{EVENT}\r\n", EVENT.len());
            for _ in 0..EVENTS {
                stream.write_all(event.as_bytes()).await?;
            }
            stream.write_all(b"0\r\n\r\n").await?;
        } else {
            let which = usize::from(buffer.starts_with(b"GET /64k "));
            stream.write_all(&answers[which]).await?;
        }
        filled = 0;
    }
}

/// nginx with a worker a core, which keeps its connections to the server.
async fn nginx(folder: &Path, origin: &str) -> anyhow::Result<(Running, String)> {
    let port = free_port();
    let config = format!(
        "daemon off; worker_processes auto; pid {0}/pid; error_log {0}/error.log;
         events {{ worker_connections 1024; }}
         http {{
             access_log off; client_body_temp_path {0}/body; proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fastcgi;
             uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi; keepalive_requests 1000000; tcp_nodelay on;
             upstream origin {{ server {origin}; keepalive 256; keepalive_requests 1000000; }}
             server {{
                 listen 127.0.0.1:{port} backlog=1024;
                 location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ''; }}
                 location /events {{
                     proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_buffering off;
                 }}
             }}
         }}",
        folder.display()
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config)?;
    let child = Command::new("nginx")
        .arg("-c")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("nginx: install Debian's package nginx-light, and have /usr/sbin in PATH")?;
    let (running, host) = (Running { child, config: file }, format!("127.0.0.1:{port}"));
    for _ in 0..200 {
        if TcpStream::connect(&host).await.is_ok() {
            return Ok((running, host));
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    anyhow::bail!(
        "nginx did not start: {}",
        std::fs::read_to_string(folder.join("error.log")).unwrap_or_default()
    )
}
