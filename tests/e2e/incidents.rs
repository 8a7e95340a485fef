//! Incidents: recorded once, listed, counted, and told to a webhook whatever happens in between.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use salt402_protocol::webhook::WebhookEvent;
use salt402_tests::{Stack, StackOptions, inference, root};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP};

use crate::SALT402;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Answers with a status of the test's choice, and keeps what it was told.
struct Receiver {
    port: u16,
    status: Arc<Mutex<String>>,
    told: Arc<Mutex<Vec<(String, WebhookEvent)>>>,
}

impl Receiver {
    fn start(status: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (status, told) = (Arc::new(Mutex::new(status.to_owned())), Arc::new(Mutex::new(Vec::new())));
        let (answers, log) = (Arc::clone(&status), Arc::clone(&told));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (head, body) = read(&mut stream);
                let mut headers = HeaderMap::new();
                for name in [HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP, HEADER_WEBHOOK_SIGNATURE] {
                    headers.insert(name, value(&head, name).parse().unwrap());
                }
                // As a receiver does: made with this key, over this body, and not long ago.
                standardwebhooks::Webhook::new(KEY).unwrap().verify(&body, &headers).unwrap();
                let event: WebhookEvent = serde_json::from_slice(&body).unwrap();
                assert_eq!(value(&head, HEADER_WEBHOOK_ID), format!("{}-{}", event.id, event.at_ms));
                let answer = answers.lock().unwrap().clone();
                log.lock().unwrap().push((answer.clone(), event));
                // An endless body is nobody's business.
                let _ = write!(
                    stream,
                    "HTTP/1.1 {answer}\r\ncontent-length: 999999999\r\nlocation: http://127.0.0.1:{port}/elsewhere\r\n\r\nx"
                );
            }
        });
        Self { port, status, told }
    }

    fn answers(&self, status: &str) {
        *self.status.lock().unwrap() = status.to_owned();
    }

    /// What it was told and took: event, kind and id.
    fn taken(&self) -> Vec<(String, String, u64)> {
        let told = self.told.lock().unwrap();
        let taken = told.iter().filter(|(answer, _)| answer.starts_with("20"));
        taken.map(|(_, event)| (event.event.clone(), event.incident.kind.clone(), event.id)).collect()
    }

    fn asked(&self) -> usize {
        self.told.lock().unwrap().len()
    }
}

fn read(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length: usize = value(&head, "content-length").parse().unwrap();
            if bytes.len() >= end + 4 + length {
                return (head, bytes[end + 4..].to_vec());
            }
        }
        let length = stream.read(&mut chunk).unwrap();
        assert!(length > 0, "the request broke off");
        bytes.extend_from_slice(&chunk[..length]);
    }
}

fn value(head: &str, name: &str) -> String {
    let line = head.lines().filter_map(|line| line.split_once(": "));
    let line = line.into_iter().find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value));
    line.unwrap_or_else(|| panic!("no {name} in {head}")).trim().to_owned()
}

fn until(what: &str, wished: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !wished() {
        assert!(Instant::now() < give_up, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn telling(port: u16) -> StackOptions {
    let sections = format!(
        "[webhook]\nurl = \"http://127.0.0.1:{port}/hook?secret=in-the-address\"\nkey_file = \"webhook.key\"\n"
    );
    StackOptions { sections, ..Default::default() }
}

async fn start(port: u16) -> Stack {
    let options = StackOptions { idle: true, ..telling(port) };
    let mut stack = Stack::start_with(SALT402, options).await;
    std::fs::write(stack.folder().join("webhook.key"), format!("{KEY}\n")).unwrap();
    stack.up().await;
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_payment_is_told_when_it_opens_and_when_it_comes_right_through_failures_and_kill_9() {
    let receiver = Receiver::start("503 Service Unavailable");
    let mut stack = start(receiver.port).await;
    let body = inference("lost");
    let details = stack.quote(&body).await;
    let payer = stack.payer();
    let prepared =
        payer.prepare(details.payment_contract, details.reference, details.recipient, details.amount).await;
    let proof = payer.send(&prepared).await;
    assert_eq!(stack.infer_with(&body, proof).await.status, StatusCode::OK);
    stack.anvil.reorg(1).await;
    let open = format!("{}/v1/incidents?open=true", stack.verifier);
    stack
        .until(&open, |answer| answer.json()["incidents"].as_array().is_some_and(|all| all.len() == 1))
        .await;
    until("the webhook is tried", || receiver.asked() >= 1);
    // Killed while it was not told yet; a redirect and an error are not taken either.
    stack.kill();
    receiver.answers("302 Found");
    stack.up().await;
    let asked = receiver.asked();
    until("the webhook is tried again", || receiver.asked() > asked);
    assert!(receiver.taken().is_empty());
    receiver.answers("204 No Content");
    until("the webhook is told", || !receiver.taken().is_empty());

    payer.send(&prepared).await;
    stack.anvil.mine(1).await;
    until("that it came right is told", || receiver.taken().iter().any(|(event, ..)| event == "resolved"));
    let mut taken = receiver.taken();
    taken.dedup();
    let names: Vec<_> = taken.iter().map(|(event, kind, _)| (event.as_str(), kind.as_str())).collect();
    assert_eq!(names, [("opened", "payment_lost"), ("resolved", "payment_lost")]);
    let metrics = stack.get(&format!("{}/metrics", stack.verifier)).await.body;
    assert!(metrics.contains("salt402_webhook_deliveries_total{outcome=\"delivered\"}"), "{metrics}");
    let log = stack.process.as_ref().unwrap().log();
    assert!(
        log.contains("could not be told") && !log.contains("in-the-address") && !log.contains(KEY),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_are_one_incident_with_a_count_and_told_once() {
    let receiver = Receiver::start("200 OK");
    let mut stack = start(receiver.port).await;
    let body = inference("first");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    assert_eq!(stack.infer_with(&body, proof).await.status, StatusCode::OK);
    // Its own request again is a retry, and no attempt.
    assert_eq!(stack.infer_with(&body, proof).await.status, StatusCode::OK);
    let verify = format!("{}/v1/verify", stack.verifier);
    let ask = serde_json::json!({
        "proof": proof,
        "quote_id": details.quote_id,
        "claim": true,
        "claimant": "a thief",
        "requirement": {
            "chain": "eip155:40204",
            "payee": details.recipient,
            "asset": "native",
            "amount": details.amount,
            "request_digest": details.resource.request_digest,
        },
    });
    for _ in 0..50 {
        assert_eq!(stack.post(&verify, &ask, &[]).await.json()["code"], "quote_not_honoured");
    }
    let incidents = format!("{}/v1/incidents", stack.verifier);
    let listed =
        stack.until(&incidents, |answer| answer.json()["incidents"][0]["occurrences"] == 50).await.json();
    assert_eq!(listed["incidents"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["incidents"][0]["kind"], "replay_attempt");
    assert_eq!(listed["incidents"][0]["transaction"], proof.to_string());
    assert_eq!(stack.status().await["open_incidents"], 0);
    until("the webhook is told", || !receiver.taken().is_empty());
    assert_eq!(receiver.taken().len(), 1);
    assert_eq!(receiver.taken()[0].0, "noted");

    let count = async |query: &str| {
        stack.get(&format!("{incidents}?{query}")).await.json()["incidents"].as_array().unwrap().len()
    };
    assert_eq!(count("open=true").await, 0);
    assert_eq!(count("open=false&kind=replay_attempt&chain=eip155:40204&since=0&limit=5").await, 1);
    assert_eq!(count("kind=payment_lost").await, 0);
    assert_eq!(count("chain=eip155:1").await, 0);
    let cursor = stack.get(&format!("{incidents}?limit=1")).await.json()["next_cursor"].clone();
    assert_eq!(count(&format!("limit=1&cursor={}", cursor.as_str().unwrap())).await, 0);
    for bad in [
        "kind=none",
        "limit=0",
        "limit=1001",
        "cursor=x",
        "since=-1",
        "open=maybe",
        "open=true&open=false",
        "x=1",
    ] {
        let answer = stack.get(&format!("{incidents}?{bad}")).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "malformed_parameter"), "{bad}");
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_receiver_believes_us_and_nobody_else() {
    let text = std::fs::read_to_string(root().join("docs/webhooks.md")).unwrap();
    let sample = text.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    let folder = tempfile::tempdir().unwrap();
    let (program, said) = (folder.path().join("receiver.py"), folder.path().join("said"));
    std::fs::write(&program, sample).unwrap();
    std::fs::write(folder.path().join("key"), KEY).unwrap();
    let port = salt402_tests::free_port();
    let _receiver = Running(
        Command::new("python3")
            .arg(&program)
            .arg(port.to_string())
            .env("WEBHOOK_KEY_FILE", folder.path().join("key"))
            .stdout(std::fs::File::create(&said).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3"),
    );
    let mut stack = start(port).await;
    let body = inference("lost to python");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    assert_eq!(stack.infer_with(&body, proof).await.status, StatusCode::OK);
    stack.anvil.reorg(1).await;
    let expected = format!("opened payment_lost {proof}");
    until("the receiver prints what it was told", || {
        std::fs::read_to_string(&said).unwrap().contains(&expected)
    });

    let url = format!("http://127.0.0.1:{port}/");
    let waiting = format!("{}/metrics", stack.verifier);
    stack.until(&waiting, |answer| answer.body.contains("salt402_webhook_waiting 0")).await;
    let forged = serde_json::json!({ "id": 9, "event": "opened", "incident": { "kind": "forged", "transaction": "" } });
    let signed = |at: u64| {
        let key = standardwebhooks::Webhook::new(KEY).unwrap();
        key.sign("9", i64::try_from(at).unwrap(), forged.to_string().as_bytes()).unwrap()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let show = async |at: &str, signature: &str| {
        let headers = [("webhook-id", "9"), ("webhook-timestamp", at), ("webhook-signature", signature)];
        stack.post(&url, &forged, &headers).await.status
    };
    let (good, fresh) = (signed(now), now.to_string());
    for signature in ["", "v1,", "v1", "nonsense", &good[3..], &format!("v1a,{}", &good[3..])] {
        assert_eq!(show(&fresh, signature).await, StatusCode::FORBIDDEN, "{signature}");
    }
    assert_eq!(show("1700000000", &signed(1_700_000_000)).await, StatusCode::FORBIDDEN, "an old one");
    assert_eq!(show("soon", &good).await, StatusCode::FORBIDDEN);
    assert_eq!(std::fs::read_to_string(&said).unwrap().lines().count(), 1);
}
