//! llama.cpp's own server with a small model, sold by every API that it has: what it counts is what is charged.
//!
//! `make model` builds both; `make test-long` runs this.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use salt402_tests::{Stack, StackOptions, free_port};
use serde_json::{Value, json};

use crate::SALT402;
use crate::keys::{KEYS, ask, figure, made};

const MOST: u64 = 24;

/// A model server that ends with this.
struct LlamaServer(Child);

impl Drop for LlamaServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl LlamaServer {
    fn start(port: u16) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scratch/llama");
        let place = |name: &str| -> PathBuf {
            let place = folder.join(name);
            assert!(place.exists(), "{} is missing: make model builds it", place.display());
            place
        };
        let server = Command::new(place("llama-server"))
            .arg("--model")
            .arg(place("model.gguf"))
            .args([
                "--ctx-size",
                "8192",
                "--parallel",
                "4",
                "--host",
                "127.0.0.1",
                "--port",
                &port.to_string(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("llama-server");
        Self(server)
    }
}

/// The JSON documents of a stream's events.
fn events(body: &str) -> Vec<Value> {
    let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|text| serde_json::from_str(text).ok()).collect()
}

/// What was read and written, by a server's own count.
fn counted(usage: &Value) -> (u64, u64) {
    let of = |names: [&str; 2]| names.iter().find_map(|name| usage[name].as_u64()).expect("a count");
    // Anthropic's form counts what was read from a cache beside the rest.
    let cached = ["cache_read_input_tokens", "cache_creation_input_tokens"].map(|name| usage[name].as_u64());
    let cached: u64 = cached.into_iter().flatten().sum();
    (of(["prompt_tokens", "input_tokens"]) + cached, of(["completion_tokens", "output_tokens"]))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs make model; make test-long runs it"]
async fn a_real_model_is_sold_by_every_api_and_charged_by_what_it_counts() {
    let port = free_port();
    let sections = format!(
        "[gateway.models.small]\nupstream = \"http://127.0.0.1:{port}/v1\"\nserver = \"llama.cpp\"\ncharge = \"used\"\n\
         price_per_request = \"1000\"\nprice_per_token = \"1\"\nprice_per_prompt_token = \"10\"\n\
         default_tokens = {MOST}\nmax_tokens = {MOST}\n"
    );
    let options = StackOptions { gateway: KEYS.into(), sections, ..StackOptions::default() };
    // It is sold once it has loaded its model.
    let stack = Stack::start_with(SALT402, options).await;
    let _server = LlamaServer::start(port);
    let (key, _) = made(&stack, &["--amount", "10000000"]);
    let give_up = Instant::now() + Duration::from_secs(120);
    let question = "Name one colour.";
    let chat = json!({ "model": "small", "max_tokens": MOST, "messages": [{ "role": "user", "content": question }] });
    while ask(&stack, "/v1/chat/completions", &chat, &key).await.status != StatusCode::OK {
        assert!(Instant::now() < give_up, "the model is not sold");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let bodies = [
        ("/v1/chat/completions", chat),
        ("/v1/completions", json!({ "model": "small", "max_tokens": MOST, "prompt": question })),
        ("/v1/inference", json!({ "model": "small", "max_tokens": MOST, "prompt": question })),
        (
            "/v1/messages",
            json!({ "model": "small", "max_tokens": MOST, "messages": [{ "role": "user", "content": question }] }),
        ),
        ("/v1/responses", json!({ "model": "small", "max_output_tokens": MOST, "input": question })),
    ];
    for (path, body) in &bodies {
        let before = figure(&stack, &key, "spent").await;
        let answer = ask(&stack, path, body, &key).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        let (read, written) = counted(&answer.json()["usage"]);
        assert!(read > 0 && (1..=MOST).contains(&written), "{path}: {}", answer.body);
        let cost = 1000 + 10 * read + written;
        assert_eq!(answer.headers["x-payment-charge"], cost.to_string(), "{path}: {}", answer.body);
        assert_eq!(figure(&stack, &key, "spent").await - before, cost, "{path}");
    }
    for (path, body) in &bodies {
        let (mut body, path) =
            (body.clone(), if *path == "/v1/inference" { "/v1/inference/stream" } else { path });
        if path != "/v1/inference/stream" {
            body["stream"] = json!(true);
        }
        if path.ends_with("completions") {
            body["stream_options"] = json!({ "include_usage": true });
        }
        let before = figure(&stack, &key, "spent").await;
        let answer = ask(&stack, path, &body, &key).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        let events = events(&answer.body);
        assert!(events.len() > 2, "{path}: {}", answer.body);
        let spent = || async { figure(&stack, &key, "spent").await - before };
        while spent().await == 0 && Instant::now() < give_up {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let spent = spent().await;
        let most = 1000 + 10 * 200 + MOST;
        assert!((1000..=most).contains(&spent), "{path}: {spent} of {most}");
        // What the server says that it has counted is what is charged. Where the usage stands alone, its cost stands with it.
        let usage = |event: &Value| {
            let usage = event.get("usage").or_else(|| event["response"].get("usage"));
            usage.filter(|usage| usage.is_object()).cloned()
        };
        let told: Vec<Value> = events.iter().filter_map(usage).collect();
        let costs = told.iter().filter_map(|usage| usage["cost"].as_str());
        assert!(costs.clone().all(|cost| cost == spent.to_string()), "{path}: {spent}, {told:?}");
        let tells_cost = costs.count() > 0;
        match path {
            "/v1/inference/stream" => assert!(tells_cost, "{}", answer.body),
            "/v1/messages" => assert!(tells_cost, "{}", answer.body),
            _ => {
                let (read, written) =
                    counted(told.last().unwrap_or_else(|| panic!("{path}: {}", answer.body)));
                assert_eq!(spent, 1000 + 10 * read + written, "{path}: {}", answer.body);
                // llama.cpp tells the usage of completions with their last piece.
                assert_eq!(tells_cost, path != "/v1/completions", "{path}: {}", answer.body);
            }
        }
    }
}
