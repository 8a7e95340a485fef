//! A node that counts: what is asked of it stays within what it allows, whoever asks.
//!
//! On tokio's paused clock, which goes on when everybody waits: a second is a second, however busy the machine is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers may fail as loudly as tests.

use crate::common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use common::{FakeNode, QUERY, hash, profile};
use salt402_chain::{Allowance, At, Endpoint, Node, NodeError, Profile, RpcNode, Span, Work};
use serde_json::{Value, json};
use tokio::time::Instant;

/// When what was asked for, in units; and how many times too much was.
#[derive(Default)]
struct Ledger {
    spent: Vec<(Instant, u64)>,
    refused: usize,
}

impl Ledger {
    /// Charges a question as Citrate's node does: by method, each call of a batch, over any one second.
    fn charge(&mut self, body: &Value, limit: u64) -> bool {
        let calls = body.as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
        let price = |call: &Value| match call["method"].as_str() {
            Some("eth_getLogs" | "eth_call" | "eth_estimateGas") => 10,
            _ => 1,
        };
        let (cost, now) = (calls.iter().map(price).sum::<u64>(), Instant::now());
        self.spent.retain(|(at, _)| now.duration_since(*at) < Duration::from_secs(1));
        if self.spent.iter().map(|(_, units)| units).sum::<u64>() + cost > limit {
            self.refused += 1;
            return false;
        }
        self.spent.push((now, cost));
        true
    }
}

/// A node that allows so many units a second and has every block that is asked about.
async fn limited(limit: u64) -> (FakeNode, Arc<Mutex<Ledger>>) {
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let charged = Arc::clone(&ledger);
    let respond = move |_: HeaderMap, body: Bytes| {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let allowed = charged.lock().unwrap().charge(&body, limit);
        let answer = |call: &Value| {
            let error = json!({ "code": -32005, "message": "Method budget exceeded." });
            match (allowed, call["method"].as_str().unwrap()) {
                (false, _) => json!({ "jsonrpc": "2.0", "id": call["id"], "error": error }),
                (true, "eth_getLogs") => json!({ "jsonrpc": "2.0", "id": call["id"], "result": [] }),
                (true, _) => {
                    let number = call["params"][0].as_str().filter(|text| text.starts_with("0x"));
                    let result = json!({
                        "number": number.unwrap_or("0x9"), "hash": hash(9), "parentHash": hash(8), "timestamp": "0x1",
                    });
                    json!({ "jsonrpc": "2.0", "id": call["id"], "result": result })
                }
            }
        };
        let answers =
            body.as_array().map_or_else(|| answer(&body), |calls| calls.iter().map(answer).collect());
        answers.to_string().into_response()
    };
    (FakeNode::serve(Arc::default(), respond).await, ledger)
}

fn citrate() -> Profile {
    Profile::named("citrate").unwrap()
}

#[tokio::test(start_paused = true)]
async fn head_look_ups_and_back_fill_together_stay_within_citrates_budget() {
    let (fake, ledger) = limited(1000).await;
    let node = fake.node(citrate());
    let until = Instant::now() + Duration::from_millis(2500);
    let mut tasks = Vec::new();
    for (work, count) in [(Work::BackFill, 8), (Work::Head, 1), (Work::LookUp, 2)] {
        for _ in 0..count {
            let node = node.pin(work).await.unwrap().unwrap();
            tasks.push(tokio::spawn(async move {
                let mut asked = 0_usize;
                while Instant::now() < until {
                    if work == Work::BackFill {
                        node.logs(&QUERY, Span::Blocks { from: 0, to: 999 }).await.unwrap();
                    } else {
                        node.header(At::Latest).await.unwrap();
                    }
                    asked += 1;
                }
                asked
            }));
        }
    }
    for task in tasks {
        assert!(task.await.unwrap() > 0);
    }
    assert_eq!(ledger.lock().unwrap().refused, 0);
}

#[tokio::test(start_paused = true)]
async fn f10_a_node_that_allows_less_than_is_known_is_asked_less_often_and_not_for_less() {
    let (fake, ledger) = limited(200).await;
    let node = fake.node(citrate());
    let mut refused = 0;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        match node.logs(&QUERY, Span::Blocks { from: 0, to: 999 }).await {
            Ok(_) => {}
            Err(NodeError::RateLimited { .. }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    let told = ledger.lock().unwrap().refused;
    assert_eq!(refused, told);
    // A loop that does not learn would be refused with nearly every one of its hundreds of questions.
    assert!((1..40).contains(&told), "refused {told} times");
}

#[tokio::test(start_paused = true)]
async fn an_operators_figure_counts_requests_and_each_call_of_a_batch_is_one() {
    let (fake, ledger) = limited(1000).await;
    let mut endpoint = Endpoint::new(common::url(&fake.url));
    endpoint.allowance = Some(Allowance::Requests(5));
    let node = RpcNode::connect(endpoint, citrate()).unwrap();
    let began = Instant::now();
    for _ in 0..5 {
        node.logs(&QUERY, Span::Blocks { from: 0, to: 9 }).await.unwrap();
    }
    // Ten calls, one of which is in the bucket from the start, at four a second.
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(ledger.lock().unwrap().refused, 0);
}

#[tokio::test]
async fn a_node_that_wants_rest_is_not_asked_meanwhile() {
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let respond = move |_: HeaderMap, _: Bytes| {
        *counted.lock().unwrap() += 1;
        let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
        response.headers_mut().insert("retry-after", "3600".parse().unwrap());
        response
    };
    let fake = FakeNode::serve(Arc::default(), respond).await;
    let mut endpoint = Endpoint::new(common::url(&fake.url));
    endpoint.longest_rest = Duration::from_secs(30);
    let node = RpcNode::connect(endpoint, profile("local", |_| {})).unwrap();
    for _ in 0..10 {
        let answer = node.chain_id().await;
        let Err(NodeError::RateLimited { retry_after: Some(rest) }) = answer else { panic!("{answer:?}") };
        assert!(rest <= Duration::from_secs(30), "{rest:?}");
    }
    assert_eq!(*asked.lock().unwrap(), 1);
}
