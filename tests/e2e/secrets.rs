//! Secrets are in no output: not in logs at their most talkative, answers, errors, metrics, arguments or files (T19).

use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use salt402_tests::{Salt402, Stack, StackOptions, inference};
use serde_json::json;

use crate::SALT402;

const QUOTE_KEY: &str = "quote-key-5d1f0c7e9b3a48d2a6f4c1e8b7093d5a";
const TOKEN: &str = "verifier-token-93b1e7c2f4a84d60";
const WEBHOOK_KEY: &str = "whsec_d2ViaG9vay1rZXktNzFjM2U1YTlkMmY4NGIwNmMxZTc=";
const API_KEY: &str = "upstream-key-2f8e6c1a9d4b7035";
/// In the addresses of the node and of the webhook.
const IN_NODE: &str = "node-key-4b7d9e1f";
const IN_HOOK: &str = "hook-secret-8c2a6e0d";
/// anvil's second key, known to everybody; here it is a payer's secret.
const PAYER_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

fn search(what: &str, text: &str) {
    for secret in
        [QUOTE_KEY, TOKEN, &WEBHOOK_KEY["whsec_".len()..], API_KEY, IN_NODE, IN_HOOK, &PAYER_KEY[2..]]
    {
        if let Some(at) = text.find(secret) {
            let around: String =
                text[..at].chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("{what} holds {secret}, after: {around}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_no_output() {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    let hook = salt402_tests::free_port();
    let sections = format!("[webhook]\nurl = \"http://127.0.0.1:{hook}/{IN_HOOK}\"\n");
    // The payer loses a payment below and pays again.
    let chain = "[chains.local.policy]\nafter_loss = \"ignore\"".into();
    stack.configure(&StackOptions { sections, chain, ..Default::default() });
    let text = std::fs::read_to_string(stack.config()).unwrap();
    let node = format!("rpc = \"{}", stack.anvil.http());
    let upstream = format!("upstream = \"{}\"\n", stack.upstream.url());
    assert!(text.contains(&node) && text.contains(&upstream));
    let text = text
        .replace(&format!("{node}\""), &format!("{node}/?key={IN_NODE}\""))
        .replace(&upstream, &format!("{upstream}api_key_env = \"UPSTREAM_SECRET\"\n"));
    std::fs::write(stack.config(), text).unwrap();
    let variables = [
        ("SALT402_QUOTE_KEY", QUOTE_KEY),
        ("SALT402_VERIFIER_TOKEN", TOKEN),
        ("SALT402_WEBHOOK_KEY", WEBHOOK_KEY),
        ("UPSTREAM_SECRET", API_KEY),
    ];
    stack.process = Some(Salt402::start_with(stack.binary(), "up", &stack.config(), &variables));
    stack.ready().await;

    // Everything that is said: paid, refused, malformed, failing.
    let mut said = Vec::new();
    let body = inference("secret");
    let unpaid = stack.infer(&body, &[]).await;
    let details = salt402_tests::payment_details(&unpaid);
    let proof = stack.payer().pay(&details).await;
    let paid = stack.infer_with(&body, proof).await;
    assert_eq!(paid.status, StatusCode::OK, "{}", paid.body);
    said.extend([unpaid, paid, stack.infer_with(&inference("x"), proof).await]);
    stack.upstream.fail(1);
    let next = stack.quote(&inference("fails")).await;
    let failing = stack.payer().pay(&next).await;
    said.push(stack.infer_with(&inference("fails"), failing).await);
    let bearer = format!("Bearer {TOKEN}");
    let token = [("authorization", bearer.as_str())];
    let wrong = format!("Bearer {TOKEN}x");
    let verify = format!("{}/v1/verify", stack.verifier);
    said.push(stack.post(&verify, &json!({ "proof": TOKEN, "quote_id": QUOTE_KEY.len() }), &token).await);
    said.push(stack.post(&verify, &json!({}), &[("authorization", &wrong)]).await);
    said.push(stack.post(&verify, &json!({}), &[token[0], ("authorization", &wrong)]).await);
    // A lost payment makes the webhook be tried, and nobody is there.
    stack.anvil.reorg(2).await;
    let metrics = format!("{}/metrics", stack.verifier);
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        let page = stack.client.get(&metrics).header(token[0].0, token[0].1).send().await.unwrap();
        let page = page.text().await.unwrap();
        search("the metrics", &page);
        if page.contains("outcome=\"failed\"") {
            break;
        }
        assert!(Instant::now() < give_up, "{page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for address in [&stack.verifier, &stack.gateway] {
        for path in
            ["/metrics", "/readyz", "/healthz", "/openapi.json", "/v1/status", "/v1/models", "/v1/incidents"]
        {
            said.push(stack.get(&format!("{address}{path}")).await);
        }
    }
    for answer in &said {
        if !answer.body.contains("malformed_json") {
            search("an answer", &format!("{:?}\n{}", answer.headers, answer.body));
        }
    }
    // An error that shows a field shows what its sender wrote there, and no more.
    let id = stack.process.as_ref().unwrap().id();
    let arguments = std::fs::read(format!("/proc/{id}/cmdline")).unwrap();
    search("the arguments", &String::from_utf8_lossy(&arguments));
    assert!(!arguments.is_empty());

    // Commands, and a node that goes away under everything.
    let url = format!("{}/v1/inference", stack.gateway);
    let rpc = format!("{}/?key={IN_NODE}", stack.anvil.http());
    let command = |arguments: &[&str]| {
        let output = Command::new(SALT402)
            .args(arguments)
            .envs(variables)
            .env("SALT402_KEY", PAYER_KEY)
            .env("SALT402_LOG", "trace")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        search(&format!("{arguments:?}"), &String::from_utf8_lossy(&said));
        output.status.success()
    };
    let config = stack.config().display().to_string();
    assert!(command(&["config", "check", "--config", &config]));
    assert!(command(&["status", "--url", &stack.verifier]));
    let data = inference("by command").to_string();
    let pay = ["pay", &url, "--network", "local", "--rpc", &rpc, "--data", &data, "--max"];
    assert!(!command(&[&pay[..], &["1"]].concat()));
    assert!(command(&[&pay[..], &["0.01 SALT"]].concat()));
    let port = stack.anvil.port;
    std::mem::replace(&mut stack.anvil, salt402_tests::Anvil::start().await).stop();
    let ready = format!("{}/readyz", stack.verifier);
    let down = stack.until(&ready, |answer| answer.status == StatusCode::SERVICE_UNAVAILABLE).await;
    search("an answer", &down.body);
    let told = stack.client.get(&ready).header(token[0].0, token[0].1).send().await.unwrap();
    search("an answer", &told.text().await.unwrap());
    assert!(!command(&[&pay[..], &["0.01 SALT"]].concat()), "port {port} is closed");

    let process = stack.process.take().unwrap();
    let log = process.log();
    assert!(
        log.contains("TRACE") && log.contains("the webhook could not be told"),
        "the log is at its most talkative"
    );
    search("the log", &log);
    // Nor in what is stored.
    assert!(process.terminate().success());
    for entry in std::fs::read_dir(stack.folder().join("data")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        search(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
    }
}
