//! A node that lies, lags, breaks off or refuses: every answer that does not fit its question is a typed error.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers may fail as loudly as tests.

use crate::common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::Address;
use axum::response::IntoResponse;
use common::{CONTRACT, FakeNode, QUERY, TOPIC, hash, profile};
use salt402_chain::{At, Completeness, Endpoint, Header, Node, NodeError, Profile, RpcNode, Span};
use serde_json::{Value, json};

/// Logs are asked for by `eth_getLogs`, and nothing proves them complete.
fn local() -> Profile {
    profile("local", |changes| changes.completeness = Some(Completeness::Off))
}

fn by_height() -> Profile {
    Profile { logs_by_hash: false, ..local() }
}

/// Block `number` of the true chain, whose hash is its number over and over.
fn block(number: u8) -> Value {
    json!({
        "number": format!("{number:#x}"), "hash": hash(number), "parentHash": hash(number.wrapping_sub(1)),
        "timestamp": "0x64", "baseFeePerGas": "0x7",
    })
}

fn log(number: u8, index: u8) -> Value {
    json!({
        "address": CONTRACT, "topics": [TOPIC], "data": "0x01", "blockNumber": format!("{number:#x}"),
        "blockHash": hash(number), "transactionHash": hash(0xaa), "logIndex": format!("{index:#x}"), "removed": false,
    })
}

fn changed(mut value: Value, field: &str, to: Value) -> Value {
    value[field] = to;
    value
}

/// A node on the true chain, up to block 9, that answers `eth_getLogs` with what a test gives.
async fn with_logs(logs: Vec<Value>) -> FakeNode {
    FakeNode::start(move |method, params| match method {
        "eth_getLogs" => Ok(json!(logs)),
        _ => Ok(true_block(params)),
    })
    .await
}

fn true_block(params: &Value) -> Value {
    let asked = params[0].as_str().unwrap();
    let number =
        if asked.len() > 20 { u8::from_str_radix(&asked[2..4], 16).ok() } else { asked[2..].parse().ok() };
    number.filter(|number| *number <= 9).map_or(Value::Null, block)
}

fn assert_lied<T: std::fmt::Debug>(answer: Result<T, NodeError>, about: &str) {
    match answer {
        Err(NodeError::Lied { what }) if what.contains(about) => {}
        other => panic!("{about}: {other:?}"),
    }
}

#[tokio::test]
async fn a_header_of_another_block_is_a_lie() {
    let fake = FakeNode::start(|_, _| Ok(block(5))).await;
    let node = fake.node(local());
    let five = Header { number: 5, hash: hash(5), parent_hash: hash(4), timestamp: 100 };
    assert_eq!(node.header(At::Number(5)).await, Ok(Some(five)));
    assert_eq!(node.header(At::Latest).await, Ok(Some(five)));
    assert_lied(node.header(At::Number(6)).await, "block 5");
    assert_lied(node.header(At::Hash(hash(6))).await, "block 5");
}

#[tokio::test]
async fn a_pending_header_is_a_lie_and_a_missing_one_is_not() {
    let pending = FakeNode::start(|_, _| Ok(changed(block(5), "hash", Value::Null))).await;
    assert_lied(pending.node(local()).header(At::Latest).await, "pending");
    let nothing = FakeNode::start(|_, _| Ok(Value::Null)).await;
    assert_eq!(nothing.node(local()).header(At::Number(5)).await, Ok(None));
}

#[tokio::test]
async fn logs_that_were_not_asked_for_are_lies_by_hash_by_height_and_by_range() {
    let lies = [
        (changed(log(5, 0), "address", json!(Address::ZERO)), "a log of 0x0000"),
        (changed(log(5, 0), "topics", json!([hash(1)])), "other topics"),
        (changed(log(5, 0), "topics", json!([])), "other topics"),
        (changed(log(5, 0), "removed", json!(true)), "removed"),
        (changed(log(5, 0), "blockHash", Value::Null), "in no block"),
        (changed(log(5, 0), "blockNumber", Value::Null), "in no block"),
        (changed(log(5, 0), "transactionHash", Value::Null), "in no block"),
        (changed(log(5, 0), "blockNumber", json!("0x7")), "not asked about"),
    ];
    for (lie, about) in lies {
        let fake = with_logs(vec![log(5, 3), lie]).await;
        assert_lied(fake.node(local()).logs(&QUERY, Span::Block(hash(5))).await, about);
        assert_lied(fake.node(by_height()).logs(&QUERY, Span::Block(hash(5))).await, about);
        assert_lied(fake.node(local()).logs(&QUERY, Span::Blocks { from: 4, to: 6 }).await, about);
    }
    // Only a single block has a hash to compare with.
    let sibling = with_logs(vec![changed(log(5, 0), "blockHash", json!(hash(0xee)))]).await;
    assert_lied(sibling.node(local()).logs(&QUERY, Span::Block(hash(5))).await, "not asked about");
    assert_lied(sibling.node(by_height()).logs(&QUERY, Span::Block(hash(5))).await, "not asked about");
}

#[tokio::test]
async fn the_same_log_twice_is_a_lie_and_any_order_is_put_right() {
    let twice = with_logs(vec![log(5, 1), log(5, 1)]).await;
    assert_lied(twice.node(local()).logs(&QUERY, Span::Block(hash(5))).await, "same index");

    let mixed = with_logs(vec![log(6, 0), log(5, 2), log(5, 0)]).await;
    let logs = mixed.node(local()).logs(&QUERY, Span::Blocks { from: 5, to: 6 }).await.unwrap();
    assert_eq!(logs.iter().map(|log| log.block_number).collect::<Vec<_>>(), [5, 5, 6]);
    assert!(logs.iter().all(|log| log.block_timestamp.is_none() && log.contract == CONTRACT));
}

#[tokio::test]
async fn an_answer_that_straddles_a_reorganization_is_not_used() {
    let two_hashes = vec![log(5, 0), changed(log(5, 1), "blockHash", json!(hash(0xee)))];
    let fake = with_logs(two_hashes).await;
    assert_eq!(fake.node(local()).logs(&QUERY, Span::Blocks { from: 4, to: 6 }).await, Err(NodeError::Moved));

    let two_heights = vec![log(5, 0), changed(log(6, 1), "blockHash", json!(hash(5)))];
    let fake = with_logs(two_heights).await;
    assert_lied(fake.node(local()).logs(&QUERY, Span::Blocks { from: 4, to: 6 }).await, "two heights");

    let other_tip = with_logs(vec![changed(log(6, 0), "blockHash", json!(hash(0xee)))]).await;
    assert_eq!(
        other_tip.node(local()).logs(&QUERY, Span::Blocks { from: 4, to: 6 }).await,
        Err(NodeError::Moved)
    );
}

#[tokio::test]
async fn f02_no_logs_from_a_node_that_lacks_the_block_are_no_answer() {
    let fake = with_logs(vec![]).await;
    let node = fake.node(local());
    assert_eq!(node.logs(&QUERY, Span::Block(hash(9))).await, Ok(vec![]));
    assert_eq!(node.logs(&QUERY, Span::Block(hash(0x10))).await, Err(NodeError::Behind));
    assert_eq!(fake.node(by_height()).logs(&QUERY, Span::Block(hash(0x10))).await, Err(NodeError::Behind));
    assert_eq!(node.logs(&QUERY, Span::Blocks { from: 0, to: 9 }).await, Ok(vec![]));
    assert_eq!(node.logs(&QUERY, Span::Blocks { from: 0, to: 16 }).await, Err(NodeError::Behind));
    // Others say it in words.
    let unknown = FakeNode::start(|method, params| match method {
        "eth_getLogs" => Err(json!({ "code": -32000, "message": "unknown block" })),
        _ => Ok(true_block(params)),
    })
    .await;
    assert_eq!(unknown.node(local()).logs(&QUERY, Span::Block(hash(5))).await, Err(NodeError::Behind));
}

#[tokio::test]
async fn a_span_that_the_node_would_cut_is_never_sent() {
    let fake = with_logs(vec![]).await;
    let node = fake.node(profile("local", |changes| changes.logs_range = Some(5)));
    assert_eq!(node.logs(&QUERY, Span::Blocks { from: 0, to: 4 }).await, Ok(vec![]));
    let asked = fake.methods().len();
    let refused = Err(NodeError::RangeTooLarge { blocks: 6, limit: Some(5) });
    assert_eq!(node.logs(&QUERY, Span::Blocks { from: 0, to: 5 }).await, refused);
    assert_eq!(node.logs(&QUERY, Span::Blocks { from: 5, to: 4 }).await, Ok(vec![]));
    let all = node.logs(&QUERY, Span::Blocks { from: 0, to: u64::MAX }).await;
    assert_eq!(all, Err(NodeError::RangeTooLarge { blocks: u64::MAX, limit: Some(5) }));
    assert_eq!(fake.methods().len(), asked, "a span that is too wide was sent");
}

#[tokio::test]
async fn a_node_that_finds_the_span_too_wide_or_answers_at_length_asks_for_a_smaller_one() {
    let fake = FakeNode::start(|method, params| match method {
        "eth_getLogs" => Err(json!({ "code": -32602, "message": "query exceeds max block range 3" })),
        _ => Ok(true_block(params)),
    })
    .await;
    let wide = |limit| Err(NodeError::RangeTooLarge { blocks: 5, limit });
    assert_eq!(fake.node(local()).logs(&QUERY, Span::Blocks { from: 0, to: 4 }).await, wide(Some(3)));

    let long = with_logs((0..200).map(|index| log(5, index)).collect()).await;
    let mut endpoint = Endpoint::new(common::url(&long.url));
    endpoint.max_answer_bytes = 10_000;
    let node = RpcNode::connect(endpoint, local()).unwrap();
    assert_eq!(node.logs(&QUERY, Span::Blocks { from: 1, to: 5 }).await, wide(None));
}

fn receipt() -> Value {
    json!({
        "transactionHash": hash(0xaa), "blockHash": hash(5), "blockNumber": "0x5", "status": "0x1",
        "from": Address::repeat_byte(1), "to": CONTRACT, "logs": [log(5, 0), log(5, 0)],
    })
}

#[tokio::test]
async fn a_receipt_of_another_transaction_or_with_foreign_logs_is_a_lie() {
    let ask = async |receipt: Value| {
        let fake = FakeNode::start(move |_, _| Ok(receipt.clone())).await;
        fake.node(local()).receipt(hash(0xaa)).await
    };
    let good = ask(receipt()).await.unwrap().unwrap();
    assert!(good.success && good.logs.len() == 2 && good.to == Some(CONTRACT) && good.block_hash == hash(5));
    assert_lied(ask(changed(receipt(), "transactionHash", json!(hash(0xbb)))).await, "the receipt of 0xbb");
    for foreign in [
        changed(log(5, 0), "transactionHash", json!(hash(0xbb))),
        changed(log(5, 0), "blockHash", json!(hash(6))),
        changed(log(5, 0), "blockNumber", json!("0x6")),
    ] {
        assert_lied(ask(changed(receipt(), "logs", json!([foreign]))).await, "holds a log");
    }
    let removed = changed(log(5, 0), "removed", json!(true));
    assert_lied(ask(changed(receipt(), "logs", json!([removed]))).await, "removed");

    let failed = ask(changed(receipt(), "status", json!("0x0"))).await.unwrap().unwrap();
    assert!(!failed.success && failed.logs.is_empty(), "a reverted transaction has events");
    assert_eq!(ask(changed(receipt(), "blockHash", Value::Null)).await, Ok(None));
    assert_eq!(ask(Value::Null).await, Ok(None));
    for status in [json!("0x2"), Value::Null] {
        let odd = ask(changed(receipt(), "status", status)).await;
        assert!(matches!(odd, Err(NodeError::Malformed { .. })), "{odd:?}");
    }
}

#[tokio::test]
async fn the_answer_to_another_question_is_a_lie() {
    let fake = FakeNode::raw(200, &[], r#"{"jsonrpc":"2.0","id":7,"result":"0x1"}"#).await;
    assert_lied(fake.node(local()).chain_id().await, "another question");
}

#[tokio::test]
async fn a_node_on_another_chain_is_told_from_the_right_one() {
    let fake = FakeNode::start(|_, _| Ok(json!("0x2105"))).await;
    let node = fake.node(local());
    assert_eq!(node.chain_id().await, Ok(8453));
    let message = node.check_chain().await.unwrap_err().to_string();
    assert!(message.contains("eip155:8453") && message.contains("eip155:40204"), "{message}");
    let right = FakeNode::start(|_, _| Ok(json!("0x9d0c"))).await;
    assert_eq!(right.node(local()).check_chain().await, Ok(()));
}

#[tokio::test]
async fn what_a_proxy_says_in_a_nodes_place_is_understood() {
    type Kind = fn(&NodeError) -> bool;
    type Case = (u16, &'static [(&'static str, &'static str)], &'static str, Kind, bool);
    let cases: [Case; 12] = [
        (200, &[], "<html>Bad gateway</html>", |e| matches!(e, NodeError::Malformed { .. }), true),
        (200, &[], "", |e| matches!(e, NodeError::Malformed { .. }), true),
        (200, &[], r#"{"jsonrpc":"2.0","id":1}"#, |e| matches!(e, NodeError::Malformed { .. }), true),
        (200, &[], r#"{"id":1,"result":"many"}"#, |e| matches!(e, NodeError::Malformed { .. }), true),
        (200, &[], "[]", |e| matches!(e, NodeError::Malformed { .. }), true),
        (200, &[], r#"{"error":"Too many requests"}"#, |e| matches!(e, NodeError::RateLimited { .. }), true),
        (401, &[], "{}", |e| matches!(e, NodeError::Denied { status: 401, .. }), false),
        (404, &[], "not here", |e| matches!(e, NodeError::Status { status: 404, .. }), false),
        (
            302,
            &[("location", "http://elsewhere/")],
            "",
            |e| matches!(e, NodeError::Status { status: 302, .. }),
            false,
        ),
        (502, &[], "<html>", |e| matches!(e, NodeError::Status { status: 502, .. }), true),
        (
            400,
            &[],
            r#"{"error":{"code":-32601,"message":"no"}}"#,
            |e| matches!(e, NodeError::Unsupported { .. }),
            false,
        ),
        (
            500,
            &[],
            r#"{"id":null,"error":{"code":-32603,"message":"oh"}}"#,
            |e| matches!(e, NodeError::Rpc { .. }),
            true,
        ),
    ];
    for (status, headers, body, kind, transient) in cases {
        let fake = FakeNode::raw(status, headers, body).await;
        let error = fake.node(local()).chain_id().await.unwrap_err();
        assert!(kind(&error) && error.is_transient() == transient, "{status} {body}: {error:?}");
    }
}

#[tokio::test]
async fn a_batch_is_read_in_any_order_and_refused_when_a_part_is_missing() {
    // The fake node answers batches backwards, so every other test here relies on the first half of this.
    let short = FakeNode::raw(200, &[], r#"[{"id":2,"result":[]}]"#).await;
    let error = short.node(local()).logs(&QUERY, Span::Block(hash(5))).await.unwrap_err();
    assert!(matches!(&error, NodeError::Malformed { what } if what.contains("batch")), "{error:?}");
    let refused =
        FakeNode::raw(200, &[], r#"{"id":null,"error":{"code":-32005,"message":"slow down"}}"#).await;
    let error = refused.node(local()).logs(&QUERY, Span::Block(hash(5))).await.unwrap_err();
    assert_eq!(error, NodeError::RateLimited { retry_after: None });
}

#[tokio::test]
async fn a_node_that_wants_rest_says_how_long_within_reason() {
    for (wanted, taken) in [("7", Some(7)), ("86400", Some(300)), ("soon", None)] {
        let headers: &'static [(&str, &str)] = vec![("retry-after", wanted)].leak();
        for status in [429, 503] {
            let fake = FakeNode::raw(status, headers, "").await;
            let error = fake.node(local()).chain_id().await.unwrap_err();
            let retry_after = taken.map(Duration::from_secs);
            match (status, taken) {
                (503, None) => assert!(matches!(error, NodeError::Status { status: 503, .. })),
                _ => assert_eq!(error, NodeError::RateLimited { retry_after }),
            }
        }
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_the_end() {
    let announced = FakeNode::raw(200, &[], &"0".repeat(100_000)).await;
    let endless = FakeNode::serve(Arc::default(), |_, _| {
        let zeros = futures::stream::repeat_with(|| Ok::<_, std::convert::Infallible>("0".repeat(100)));
        axum::body::Body::from_stream(zeros).into_response()
    })
    .await;
    for fake in [announced, endless] {
        let mut endpoint = Endpoint::new(common::url(&fake.url));
        endpoint.max_answer_bytes = 1000;
        let node = RpcNode::connect(endpoint, local()).unwrap();
        let error = node.chain_id().await.unwrap_err();
        assert!(matches!(error, NodeError::AnswerTooLong { limit: 1000, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_silent_node_is_left_after_its_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut endpoint = Endpoint::new(common::url(&url));
    endpoint.timeout = Duration::from_millis(200);
    let error = RpcNode::connect(endpoint, local()).unwrap().chain_id().await.unwrap_err();
    assert_eq!(error, NodeError::Timeout { node: url, after: Duration::from_millis(200) });
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_node_that_does_not_speak_tls_is_unreachable_by_https_and_wss() {
    let fake = FakeNode::raw(200, &[], r#"{"id":1,"result":"0x1"}"#).await;
    let endpoint = Endpoint::new(common::url(&fake.url.replacen("http", "https", 1)))
        .with_ws(common::url(&fake.url.replacen("http", "wss", 1)));
    let node = RpcNode::connect(endpoint, local()).unwrap();
    assert!(matches!(node.chain_id().await, Err(NodeError::Unreachable { .. })));
    assert!(matches!(node.heads().await.err(), Some(NodeError::Unreachable { .. })));
}

#[tokio::test]
async fn every_network_with_an_address_can_be_connected_to_before_it_is_reachable() {
    for name in Profile::names() {
        let profile = Profile::named(name).unwrap();
        RpcNode::connect(Endpoint::of(&profile).unwrap(), profile).unwrap();
    }
    let homeless = profile("local", |changes| changes.chain_id = salt402_protocol::ChainId::new(31337));
    let message = Endpoint::of(&homeless).unwrap_err().to_string();
    assert!(message.contains("local") && message.contains("URL"), "{message}");
}

#[tokio::test]
async fn no_error_repeats_a_key_even_when_the_node_does() {
    let echo = r#"{"id":1,"error":{"code":-32600,"message":"project 0123456789abcdef with hunter2hunter2\nis over"}}"#;
    let fake = FakeNode::raw(200, &[], echo).await;
    let keyed = |base: &str| {
        format!("{}/v3/0123456789abcdef?key=hunter2hunter2", base.replacen("//", "//user:sesame99@", 1))
    };
    let node = RpcNode::connect(Endpoint::new(common::url(&keyed(&fake.url))), local()).unwrap();
    let gone = RpcNode::connect(Endpoint::new(common::url(&keyed("http://127.0.0.1:1"))), local()).unwrap();
    let told = [
        node.chain_id().await.unwrap_err().to_string(),
        format!("{:?}", node.chain_id().await),
        gone.chain_id().await.unwrap_err().to_string(),
        format!("{:?}", gone.chain_id().await),
        format!("{node:?} {}", node.host()),
    ];
    for text in told {
        for secret in ["0123456789abcdef", "hunter2", "sesame", "user", "\n"] {
            assert!(!text.contains(secret), "{secret:?} is in {text:?}");
        }
    }
}

#[tokio::test]
async fn credentials_reach_the_node() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let fake = FakeNode::serve(Arc::default(), move |headers, _| {
        seen.lock().unwrap().push(headers["authorization"].to_str().unwrap().to_owned());
        r#"{"id":1,"result":"0x1"}"#.into_response()
    })
    .await;
    let mut endpoint = Endpoint::new(common::url(&fake.url));
    endpoint.bearer = Some("sesame".to_owned());
    RpcNode::connect(endpoint, local()).unwrap().chain_id().await.unwrap();
    let basic = Endpoint::new(common::url(&fake.url.replacen("//", "//user:sesame99@", 1)));
    RpcNode::connect(basic, local()).unwrap().chain_id().await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["Bearer sesame", "Basic dXNlcjpzZXNhbWU5OQ=="]);
}

/// A gateway that quotes its own address says the key that is in it.
#[tokio::test]
async fn a_key_that_an_answer_quotes_is_in_no_error() {
    for answer in
        [json!("no route for /v2/s3cr3t-key"), json!({ "id": 1, "result": "no route for /v2/s3cr3t-key" })]
    {
        let text = answer.to_string();
        let app = axum::Router::new().fallback(move || {
            let text = text.clone();
            async move { ([("content-type", "application/json")], text).into_response() }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let url = format!("http://{address}/v2/s3cr3t-key").parse().unwrap();
        let node = RpcNode::connect(Endpoint::new(url), local()).unwrap();
        let error = node.header(At::Number(1)).await.unwrap_err();
        assert!(matches!(error, NodeError::Malformed { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error}");
    }
}
