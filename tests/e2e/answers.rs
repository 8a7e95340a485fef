//! What `salt402 pay` does with what a server says: it costs no memory, and a terminal does not obey it.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use salt402_tests::{Stack, inference};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore};

use crate::SALT402;

const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
/// The long answer: so many parts of a MiB.
const PARTS: usize = 192;
/// More than the command may hold of it, in KiB.
const MOST_KIB: u64 = 96 << 10;
/// A title, a line of its own, another direction, a carriage return, in both ways to write a control sequence.
const SPELLS: &str = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}live\r\npaid\rnot";

/// A server that sells with the details of another, and says what it likes.
struct Seller {
    details: String,
    /// Held until the test has looked at what the client needs.
    last: Notify,
    all_but_last: Semaphore,
    /// How often a proof was shown where nothing is answered at once.
    shown: AtomicU32,
}

async fn sell(State(seller): State<Arc<Seller>>, headers: HeaderMap) -> Response<Body> {
    let path = headers.get("x-payment-quote");
    if path.is_none() {
        return Response::builder()
            .status(StatusCode::PAYMENT_REQUIRED)
            .header("x-payment-details", &seller.details)
            .body(Body::empty())
            .unwrap();
    }
    Response::new(Body::from(format!("answer {SPELLS}")))
}

/// Sold by somebody who has no time, then stumbles, and then answers.
async fn later(State(seller): State<Arc<Seller>>, headers: HeaderMap) -> Response<Body> {
    if headers.get("x-payment-quote").is_none() {
        return sell(State(seller), headers).await;
    }
    let answer = match seller.shown.fetch_add(1, Ordering::SeqCst) {
        0 => Response::builder().status(StatusCode::REQUEST_TIMEOUT),
        1 => Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR).header("retry-after", "1"),
        _ => Response::builder(),
    };
    answer.body(Body::from("at last")).unwrap()
}

async fn long(State(seller): State<Arc<Seller>>) -> Response<Body> {
    let parts = futures::stream::unfold((0, seller), |(number, seller)| async move {
        if number == PARTS {
            seller.all_but_last.add_permits(1);
            seller.last.notified().await;
        }
        (number <= PARTS)
            .then(|| (Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 1 << 20])), (number + 1, seller)))
    });
    Response::new(Body::from_stream(parts))
}

/// A server's address, and the server.
async fn seller(details: String) -> (String, Arc<Seller>) {
    let seller = Arc::new(Seller {
        details,
        last: Notify::new(),
        all_but_last: Semaphore::new(0),
        shown: AtomicU32::new(0),
    });
    let free = || async { format!("free {SPELLS}") };
    let refused = || async {
        let problem = serde_json::json!({
            "type": "about:blank", "title": "no", "status": 503, "code": "not_ready", "detail": SPELLS,
        });
        (StatusCode::SERVICE_UNAVAILABLE, problem.to_string())
    };
    let router = Router::new()
        .route("/sold", axum::routing::any(sell))
        .route("/later", axum::routing::any(later))
        .route("/long", axum::routing::any(long))
        .route("/free", axum::routing::any(free))
        .route("/refused", axum::routing::any(refused))
        .with_state(Arc::clone(&seller));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seller)
}

fn pay(folder: &TempDir, node: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(SALT402);
    command
        .args(["pay", "--network", "local", "--max", "0.01 SALT"])
        .args(arguments)
        .env("SALT402_KEY", KEY)
        .env("SALT402_RECEIPTS", folder.path().join("receipts"))
        .env("SALT402_RPC_URL", node)
        .stdin(Stdio::null());
    command
}

async fn run(mut command: Command) -> (Option<i32>, Vec<u8>, String) {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output.status.code(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn obeyed(text: &str) -> bool {
    text.chars().any(|c| (c.is_control() && c != '\n' && c != '\t') || ('\u{202a}'..='\u{202e}').contains(&c))
}

#[tokio::test(flavor = "multi_thread")]
async fn d28_a_servers_text_is_shown_and_not_obeyed_and_piped_bytes_stay_what_they_are() {
    let stack = Stack::start(SALT402).await;
    let folder = tempfile::tempdir().unwrap();
    let mut details = serde_json::to_value(stack.quote(&inference("spells")).await).unwrap();
    details["resource"]["description"] = Value::from(SPELLS);
    let ascii = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) };
    let (server, _) = seller(details.to_string().chars().map(ascii).collect()).await;
    let node = stack.anvil.http();

    let (code, out, err) = run(pay(&folder, &node, &[&format!("{server}/sold")])).await;
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out, format!("answer {SPELLS}").into_bytes(), "what is piped is not touched");
    assert!(!obeyed(&err), "{err:?}");
    assert!(err.contains("\\u001b]0;owned\\u0007\\u009b2J\\u202elive\\u000apaid\\u000dnot"), "{err}");
    assert!(!err.lines().any(|line| line.starts_with("paid")), "no line of a server's own: {err}");

    let refused = pay(
        &folder,
        &node,
        &[
            &format!("{server}/refused"),
            "--timeout",
            "1",
            "--proof",
            &format!("0x{}", "11".repeat(32)),
            "--quote",
            details["quoteId"].as_str().unwrap(),
        ],
    );
    let (code, _, err) = run(refused).await;
    assert!(code == Some(1) && !obeyed(&err) && err.contains("\\u009b2J"), "{err:?}");

    // A terminal gets what can be read of it.
    let shown = format!("{SALT402} pay --network local --max 1 --rpc {node} {server}/free 2>/dev/null");
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &shown, "/dev/null"]).env("SALT402_KEY", KEY).stdin(Stdio::null());
    terminal.env("SALT402_RECEIPTS", folder.path().join("receipts"));
    let (code, out, _) = run(terminal).await;
    let out = String::from_utf8(out).unwrap().replace("\r\n", "\n");
    assert_eq!(code, Some(0), "{out}");
    assert!(!obeyed(&out), "{out:?}");
    assert_eq!(out, "free \\u001b]0;owned\\u0007\\u009b2J\\u202elive\npaid\\u000dnot\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stumbles_is_shown_the_proof_again() {
    let stack = Stack::start(SALT402).await;
    let folder = tempfile::tempdir().unwrap();
    let details = serde_json::to_string(&stack.quote(&inference("later")).await).unwrap();
    let (server, seller) = seller(details).await;
    let (code, out, err) = run(pay(&folder, &stack.anvil.http(), &[&format!("{server}/later")])).await;
    assert_eq!((code, out.as_slice()), (Some(0), &b"at last"[..]), "{err}");
    assert_eq!(seller.shown.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn d28_an_answer_of_any_length_costs_no_memory_and_has_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let (server, seller) = seller(String::new()).await;
    let (long, file) = (format!("{server}/long"), folder.path().join("answer"));
    let to_file = ["--output", file.to_str().unwrap(), &long];
    let mut child = pay(&folder, "http://127.0.0.1:9", &to_file).stderr(Stdio::null()).spawn().unwrap();
    // All but the last part was taken.
    seller.all_but_last.acquire().await.unwrap().forget();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < MOST_KIB, "{peak} KiB for an answer of {PARTS} MiB");
    assert!(!file.exists(), "it is there as a whole or not at all");
    seller.last.notify_one();
    let done = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert!(done.success());
    assert_eq!(std::fs::metadata(&file).unwrap().len(), (PARTS as u64 + 1) << 20);

    std::fs::remove_file(&file).unwrap();
    let limited = [&to_file[..], &["--max-answer-mib", "3"]].concat();
    let (code, _, err) = run(pay(&folder, "http://127.0.0.1:9", &limited)).await;
    assert!(code == Some(1) && err.contains("longer than 3 MiB"), "{err}");
    assert!(!file.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn d28_a_paid_answer_beyond_the_limit_stays_paid() {
    let mut stack = Stack::start(SALT402).await;
    let folder = tempfile::tempdir().unwrap();
    let (url, node) = (format!("{}/v1/inference", stack.gateway), stack.anvil.http());
    let body = inference("long").to_string();
    let ask = [url.as_str(), "--data", &body];
    let (code, _, err) = run(pay(&folder, &node, &[&ask[..], &["--max-answer-mib", "0"]].concat())).await;
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("what was paid stays good") && err.contains("--resume"), "{err}");
    let (code, out, err) = run(pay(&folder, &node, &ask)).await;
    assert!(code == Some(0) && String::from_utf8_lossy(&out).contains("answer 1"), "{err}");
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.status().await["chains"][0]["payments"], 1);
}
