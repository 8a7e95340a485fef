//! Clients that are slow, many or too wordy: cut off or refused with a reason, while others are served. And the sockets
//! in the file system.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use reqwest::StatusCode;
use salt402_tests::{Stack, StackOptions, inference};
use serde_json::Value;

use crate::SALT402;

/// Limits that a test can reach: for the verifier and the gateway alike.
fn tight(lines: &str) -> StackOptions {
    let of = |part: &str| format!("[{part}.connections]\n{lines}\n");
    StackOptions { sections: format!("{}{}", of("verifier"), of("gateway")), ..Default::default() }
}

fn host(address: &str) -> &str {
    address.trim_start_matches("http://")
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(host(address)).unwrap();
    // Nothing here takes so long; a listener that cuts nobody off fails the test instead of stopping it.
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Everything that is said until the connection ends.
fn hear(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("the connection is ended by the server");
    String::from_utf8_lossy(&said).into_owned()
}

fn problem(said: &str, status: u16, code: &str) {
    assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    assert!(head.to_ascii_lowercase().contains("content-type: application/problem+json"), "{said}");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!((&body["code"], &body["status"]), (&code.into(), &status.into()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_ends_its_head_is_cut_off_while_others_are_served() {
    let stack = Stack::start_with(SALT402, tight("head_timeout_ms = 700\nidle_timeout_ms = 700")).await;
    for address in [&stack.verifier, &stack.gateway] {
        // One that says nothing, one that stops in mid-head, one that drips for as long as it is let.
        let silent = connect(address);
        let mut half = connect(address);
        half.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").unwrap();
        let mut dripping = connect(address);
        let drip = std::thread::spawn(move || {
            let _ = dripping.write_all(b"GET /healthz HTTP/1.1\r\n");
            while dripping.write_all(b"x-drip: 1\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        assert_eq!(stack.get(&format!("{address}/healthz")).await.status, StatusCode::OK);
        tokio::task::spawn_blocking(move || {
            problem(&hear(silent), 408, "request_timeout");
            problem(&hear(half), 408, "request_timeout");
            drip.join().unwrap();
        })
        .await
        .unwrap();

        // A connection that was used and then says nothing is closed without a word: there is no request to answer.
        let mut idle = connect(address);
        idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let said = tokio::task::spawn_blocking(move || hear(idle)).await.unwrap();
        assert!(said.starts_with("HTTP/1.1 200 OK") && said.ends_with("ok\n"), "{said}");
        // And one whose second head never ends is told so.
        let mut second = connect(address);
        second.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut first = vec![0; 4096];
        let length = second.read(&mut first).unwrap();
        assert!(first[..length].starts_with(b"HTTP/1.1 200 OK"));
        second.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
        let said = tokio::task::spawn_blocking(move || hear(second)).await.unwrap();
        problem(said.trim_start_matches("ok\n"), 408, "request_timeout");
    }
    let metrics = stack.get(&format!("{}/metrics", stack.verifier)).await.body;
    for line in [
        "listener=\"verifier\",reason=\"head\"} 4",
        "listener=\"gateway\",reason=\"head\"} 4",
        "reason=\"idle\"}",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_its_own_time_to_arrive() {
    let stack = Stack::start_with(SALT402, tight("body_timeout_ms = 300")).await;
    for (address, path) in [(&stack.verifier, "/v1/quotes"), (&stack.gateway, "/v1/inference")] {
        let mut stream = connect(address);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let said = tokio::task::spawn_blocking(move || hear(stream)).await.unwrap();
        problem(&said, 408, "request_timeout");
        assert!(said.contains("within 300 ms"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_gets_no_more_connections_than_it_may_have() {
    let mut options = tight("max_per_address = 3");
    options.sections.push_str("[limits]\ntrusted_proxies = [\"192.0.2.1\"]\n");
    let mut stack = Stack::start_with(SALT402, options).await;
    // The test's own client keeps connections: it must not hold any of the three.
    stack.client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    for address in [stack.verifier.clone(), stack.gateway.clone()] {
        let health = format!("{address}/healthz");
        stack.until(&health, |answer| answer.status == StatusCode::OK).await;
        // Connections of the test's start may still be on their way out.
        let held = 'held: loop {
            let mut held: Vec<TcpStream> = Vec::new();
            for _ in 0..3 {
                let mut stream = connect(&address);
                stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
                let mut said = vec![0; 4096];
                let length = stream.read(&mut said).unwrap();
                if !said[..length].starts_with(b"HTTP/1.1 200 OK") {
                    continue 'held;
                }
                held.push(stream);
            }
            break held;
        };
        let fourth = connect(&address);
        let said = tokio::task::spawn_blocking(move || hear(fourth)).await.unwrap();
        problem(&said, 503, "too_many_connections");
        assert!(said.contains("retry-after: 1\r\n"), "{said}");
        // The three that are in are served on.
        for mut stream in held {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
            let said = tokio::task::spawn_blocking(move || hear(stream)).await.unwrap();
            assert!(said.contains("HTTP/1.1 200 OK"), "{said}");
        }
        // And their places are free again.
        stack.until(&health, |answer| answer.status == StatusCode::OK).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_together_have_a_bound_too_and_loopback_no_other() {
    let mut stack = Stack::start_with(SALT402, tight("max = 8\nmax_per_address = 1")).await;
    stack.client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let mut held = Vec::new();
    let refused = loop {
        let mut stream = connect(&stack.verifier);
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
        let mut said = vec![0; 4096];
        let length = stream.read(&mut said).unwrap();
        if !said[..length].starts_with(b"HTTP/1.1 200 OK") {
            break String::from_utf8_lossy(&said[..length]).into_owned();
        }
        held.push(stream);
        assert!(held.len() <= 8);
    };
    problem(&refused, 503, "too_many_connections");
    assert!(held.len() > 1, "proxies are not counted by address");
    drop(held);
    let health = format!("{}/healthz", stack.verifier);
    stack.until(&health, |answer| answer.status == StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_long_are_refused_in_words() {
    let stack = Stack::start_with(SALT402, tight("max_head_bytes = 4096\nmax_headers = 32")).await;
    for address in [&stack.verifier, &stack.gateway] {
        let ask = |lines: String, target: &str| {
            let mut stream = connect(address);
            let head = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n");
            // What is not read any more when the answer is there may fail to be written.
            let _ = stream.write_all(head.as_bytes());
            tokio::task::spawn_blocking(move || hear(stream))
        };
        let long = format!("x-long: {}\r\n", "a".repeat(4096));
        problem(&ask(long, "/healthz").await.unwrap(), 431, "head_too_large");
        let many: String = (0..40).map(|index| format!("x-{index}: 1\r\n")).collect();
        problem(&ask(many, "/healthz").await.unwrap(), 431, "head_too_large");
        let target = format!("/healthz?{}", "a".repeat(4096));
        problem(&ask(String::new(), &target).await.unwrap(), 431, "head_too_large");
        let fitting: String = (0..16).map(|index| format!("x-{index}: 1\r\n")).collect();
        assert!(ask(fitting, "/healthz").await.unwrap().starts_with("HTTP/1.1 200 OK"));
        // Beyond what the parser holds there is only the status.
        let absurd: String = (0..101).map(|index| format!("x-{index}: 1\r\n")).collect();
        assert!(ask(absurd, "/healthz").await.unwrap().starts_with("HTTP/1.1 431 "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verifier_and_gateway_are_asked_by_sockets_in_the_file_system() {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    std::fs::write(stack.folder().join("token"), "a token for the verifier\n").unwrap();
    let verifier = "token_file = \"token\"\nsocket = \"verifier.sock\"\nsocket_needs_token = false";
    let gateway = "socket = \"gateway.sock\"\nsocket_mode = \"0600\"";
    let options = StackOptions { verifier: verifier.into(), gateway: gateway.into(), ..Default::default() };
    stack.configure(&options);
    let (at_verifier, at_gateway) =
        (stack.folder().join("verifier.sock"), stack.folder().join("gateway.sock"));
    // Left by a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(&at_verifier).unwrap());
    // The gateway is a process of its own and knows the verifier by its socket.
    let text = std::fs::read_to_string(stack.config()).unwrap();
    let (tcp, socket) = (format!("verifier = \"{}\"", stack.verifier), "verifier = \"unix:verifier.sock\"");
    assert!(text.contains(&tcp));
    let serve = stack.folder().join("serve.toml");
    let text = text.replace(&tcp, socket).replace("token_file = \"token\"\n", "");
    std::fs::write(&serve, text).unwrap();
    std::fs::write(stack.config(), text_without_gateway(&std::fs::read_to_string(stack.config()).unwrap()))
        .unwrap();
    let up = stack.role("up");
    let serving = salt402_tests::Salt402::start(stack.binary(), "serve", &serve);
    stack.ready().await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&at_verifier), mode(&at_gateway)), (0o660, 0o600));

    // A paid request: client to gateway and gateway to verifier by sockets.
    let client = reqwest::Client::builder().no_proxy().unix_socket(at_gateway.as_path()).build().unwrap();
    let url = "http://localhost/v1/inference";
    let details = stack.quote(&inference("by socket")).await;
    let proof = stack.payer().pay(&details).await.to_string();
    let paid = client
        .post(url)
        .header("x-payment-proof", &proof)
        .json(&inference("by socket"))
        .send()
        .await
        .unwrap();
    assert_eq!(paid.status(), StatusCode::OK, "{}", paid.text().await.unwrap());

    // Without the token by the socket, and not by the port.
    let asked = reqwest::Client::builder().no_proxy().unix_socket(at_verifier.as_path()).build().unwrap();
    let status = asked.get("http://localhost/v1/status").send().await.unwrap();
    assert_eq!(status.status(), StatusCode::OK);
    assert_eq!(status.json::<Value>().await.unwrap()["claims"], 1);
    assert_eq!(stack.get(&format!("{}/v1/status", stack.verifier)).await.status, StatusCode::UNAUTHORIZED);
    let said = std::process::Command::new(SALT402)
        .args(["status", "--url", &format!("unix:{}", at_verifier.display())])
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));

    // A second process does not take the socket away.
    let second = stack.folder().join("second.toml");
    let text = std::fs::read_to_string(stack.config()).unwrap();
    std::fs::write(
        &second,
        text.replace(host(&stack.verifier), "127.0.0.1:0").replace("\"data\"", "\"other\""),
    )
    .unwrap();
    let said = salt402_tests::Salt402::start(stack.binary(), "up", &second).ends();
    assert!(said.contains("somebody listens on") && said.contains("[verifier] socket"), "{said}");
    assert_eq!(asked.get("http://localhost/healthz").send().await.unwrap().status(), StatusCode::OK);

    assert!(serving.terminate().success() && up.terminate().success());
    assert!(!at_verifier.exists() && !at_gateway.exists(), "sockets go with their processes");

    // A file that is no socket is somebody's, and stays.
    std::fs::write(&at_verifier, "notes").unwrap();
    let said = stack.role("up").ends();
    assert!(said.contains("is no socket"), "{said}");
    assert_eq!(std::fs::read_to_string(&at_verifier).unwrap(), "notes");
}

/// The configuration without its gateway, for a process that is not to run one.
fn text_without_gateway(text: &str) -> String {
    text.split_once("[gateway]").unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_asks_for_the_token_unless_it_is_told_not_to() {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    std::fs::write(stack.folder().join("token"), "a token for the verifier\n").unwrap();
    let verifier = "token_file = \"token\"\nsocket = \"verifier.sock\"".to_owned();
    stack.configure(&StackOptions { verifier, ..Default::default() });
    stack.up().await;
    let path = stack.folder().join("verifier.sock");
    let client = reqwest::Client::builder().no_proxy().unix_socket(path.as_path()).build().unwrap();
    let status = client.get("http://localhost/v1/status");
    assert_eq!(status.try_clone().unwrap().send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let with = status.bearer_auth("a token for the verifier").send().await.unwrap();
    assert_eq!(with.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_take_its_answers_is_cut_off() {
    let stack = Stack::start_with(SALT402, tight("write_timeout_ms = 500")).await;
    // Answers of several KiB are asked for and never read, until the buffers between us are full and the server waits.
    let mut stream = connect(&stack.verifier);
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    let ask = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(64);
    let cut = tokio::task::spawn_blocking(move || {
        loop {
            if let Err(error) = stream.write_all(&ask) {
                return error;
            }
        }
    })
    .await
    .unwrap();
    assert!(
        matches!(cut.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe),
        "{cut:?}"
    );
    assert_eq!(stack.get(&format!("{}/healthz", stack.verifier)).await.status, StatusCode::OK);
}

/// What a stalled body has sent, of what it announces.
const SENT: usize = 190_000;
/// The room for all of them.
const ROOM: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_stall_hold_a_bounded_room_and_small_requests_are_served_meanwhile() {
    let lines = format!("max_bodies_bytes = {ROOM}\nbody_timeout_ms = 120000\nbody_pause_ms = 120000");
    let mut stack = Stack::start_with(SALT402, tight(&lines)).await;
    let stalled: Vec<TcpStream> = (0..60)
        .map(|_| {
            let mut stream = connect(&stack.gateway);
            let head = "POST /v1/inference HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 200000\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            // One that is refused is closed over what it still sends.
            let _ = stream.write_all(&[b' '; SENT]);
            stream
        })
        .collect();
    // So many have room at the most; each of the others is told that there is none.
    let most = ROOM / (SENT - 4096);
    let metrics = format!("{}/metrics", stack.verifier);
    let figure = |page: &str, name: &str| {
        let line = page.lines().find(|line| line.starts_with(&format!("{name}{{listener=\"gateway\"}}")));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    let page = stack
        .until(&metrics, |page| figure(&page.body, "salt402_bodies_refused_total") >= 60 - most)
        .await
        .body;
    let held = figure(&page, "salt402_bodies_bytes");
    assert!((1..=ROOM).contains(&held), "{held} bytes are held");
    assert_eq!(stack.infer(&inference("small"), &[]).await.status, StatusCode::PAYMENT_REQUIRED);
    drop(stalled);
    stack.until(&metrics, |page| figure(&page.body, "salt402_bodies_bytes") == 0).await;
    let large = inference(&"large ".repeat(20_000));
    assert_eq!(stack.infer(&large, &[]).await.status, StatusCode::PAYMENT_REQUIRED);
}
