//! Streams that are paid for: who gets what, and what is left where somebody or something stops.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use salt402_tests::{CHAT_DONE, Stack, StackOptions, StreamScript, chat_chunk, chat_end};
use serde_json::{Value, json};

use crate::SALT402;

const CHAT: &str = "/v1/chat/completions";

fn chat(text: &str) -> Value {
    json!({ "model": "counted", "stream": true, "messages": [{ "role": "user", "content": text }] })
}

type Headers = [(&'static str, String); 2];

async fn open(stack: &Stack, path: &str, body: &Value, shown: &Headers) -> Response {
    let shown: Vec<_> = shown.iter().map(|(name, value)| (*name, value.as_str())).collect();
    stack.open(path, body, &shown).await
}

/// Opens a stream that must begin.
async fn follow(stack: &Stack, path: &str, body: &Value, shown: &Headers) -> Response {
    let response = open(stack, path, body, shown).await;
    let headers = response.headers();
    let told: Vec<_> = ["content-type", "x-accel-buffering", "cache-control"]
        .map(|name| headers.get(name).map(|value| value.to_str().unwrap().to_owned()))
        .into_iter()
        .collect();
    let receipt = headers.get("x-payment-receipt").map(|value| value.to_str().unwrap().to_owned());
    assert!(!headers.contains_key("set-cookie") && !headers.contains_key("server"));
    let status = response.status();
    if status != StatusCode::OK {
        panic!("{status}: {}", response.text().await.unwrap());
    }
    let expected = ["text/event-stream; charset=utf-8", "no", "no-store, private"];
    assert_eq!(told, expected.map(|value| Some(value.to_owned())));
    let receipt: Value = serde_json::from_str(&receipt.expect("a receipt with the head")).unwrap();
    assert!(receipt["payment_id"].is_string(), "{receipt}");
    response
}

/// Reads until the text ends so.
async fn until(response: &mut Response, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let piece = response.chunk().await.unwrap().unwrap_or_else(|| panic!("{text:?} and no {end:?}"));
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    text
}

/// What is left of an answer.
pub(crate) async fn rest(mut response: Response) -> String {
    let mut text = Vec::new();
    while let Some(piece) = response.chunk().await.unwrap() {
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).unwrap()
}

/// Waits until something is so.
async fn wait(mut so: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never was so");
}

/// The answer to a proof that is shown until a stream begins.
async fn begun(stack: &Stack, body: &Value, shown: &Headers) -> Response {
    loop {
        let response = open(stack, CHAT, body, shown).await;
        if response.status() == StatusCode::OK {
            return response;
        }
        assert_eq!(response.headers()["x-should-retry"], "false");
        let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["code"], "upstream_failed", "{problem}");
        assert_eq!(problem["error"]["message"], problem["detail"]);
        tokio::time::sleep(Duration::from_secs(wait)).await;
    }
}

/// A stream under way, of which the first chunk was read.
async fn under_way(stack: &Stack, text: &str) -> (StreamScript, Response, Value, Headers) {
    let body = chat(text);
    let shown = stack.pay_for(CHAT, &body).await;
    let script = stack.upstream.script_stream();
    script.write(chat_chunk("one "));
    let mut stream = follow(stack, CHAT, &body, &shown).await;
    assert_eq!(until(&mut stream, "\n\n").await, chat_chunk("one "));
    (script, stream, body, shown)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_stream_comes_as_it_is_written_and_the_same_proof_gets_the_same_bytes_again() {
    let stack = Stack::start(SALT402).await;
    let (script, mut stream, body, shown) = under_way(&stack, "slowly").await;
    // Pieces that end anywhere: whole events pass.
    let chunk = chat_chunk("twö ");
    let (front, back) = chunk.as_bytes().split_at(chunk.find('ö').unwrap() + 1);
    script.write(front.to_vec());
    tokio::time::sleep(Duration::from_millis(50)).await;
    script.write(back.to_vec());
    assert_eq!(until(&mut stream, "\n\n").await, chunk);
    // Another with the same proof follows the same run from its start.
    let mut second = follow(&stack, CHAT, &body, &shown).await;
    assert_eq!(until(&mut second, &chunk).await, chat_chunk("one ") + &chunk);
    script.write(chat_end() + CHAT_DONE);
    drop(script);
    let end = rest(stream).await;
    assert!(end.ends_with(CHAT_DONE) && end.contains("\"stop\""), "{end}");
    assert!(!end.contains("usage"), "the client did not ask for it: {end}");
    assert_eq!(rest(second).await, end);
    let all = chat_chunk("one ") + &chunk + &end;
    let again = follow(&stack, CHAT, &body, &shown).await;
    assert_eq!(rest(again).await, all);
    assert_eq!(stack.upstream.asked(), 1);
    assert_eq!(stack.status().await["claims"], 1);
    // The server was asked by whoever paid, with nothing that the client sent.
    let asked = stack.upstream.last();
    assert_eq!(asked.body["stream_options"]["include_usage"], true);
    assert_eq!(asked.body["max_tokens"], 16, "what is priced is what is asked for");
    let payer = asked.headers["x-x402-payer"].to_str().unwrap();
    assert!(payer.starts_with("0x") && payer.len() == 42, "{payer}");
    assert!(asked.headers.keys().all(|name| !name.as_str().starts_with("x-payment")));
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_that_was_asked_for_is_passed_on_whatever_chunk_it_stands_on() {
    let stack = Stack::start(SALT402).await;
    let mut body = chat("counted");
    body["stream_options"] = json!({ "include_usage": true });
    let shown = stack.pay_for(CHAT, &body).await;
    let text = rest(follow(&stack, CHAT, &body, &shown).await).await;
    assert!(text.contains("\"total_tokens\":5"), "{text}");
    // On a chunk that says something, it stays where it is for everybody.
    let body = chat("on a chunk");
    let shown = stack.pay_for(CHAT, &body).await;
    let script = stack.upstream.script_stream();
    let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": "x" }, "finish_reason": "stop" }],
        "usage": { "total_tokens": 7 } });
    script.write(format!("data: {chunk}\n\n{CHAT_DONE}"));
    drop(script);
    let text = rest(follow(&stack, CHAT, &body, &shown).await).await;
    assert_eq!(text, format!("data: {chunk}\n\n{CHAT_DONE}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_who_leaves_stops_the_model_server_and_may_have_it_run_again() {
    let options = StackOptions { gateway: "leave_grace_s = 1".into(), ..Default::default() };
    let stack = Stack::start_with(SALT402, options).await;
    let (script, stream, body, shown) = under_way(&stack, "leaving").await;
    drop(stream);
    wait(|| script.is_closed()).await;
    assert_eq!(stack.upstream.left(), 1, "its connection was closed");
    // Whoever comes in the moment in which the run ends is told of its end, and to show the same again.
    let mut text = rest(begun(&stack, &body, &shown).await).await;
    if text.contains("show the same proof again") {
        text = rest(begun(&stack, &body, &shown).await).await;
    }
    assert!(text.contains("answer 2") && text.ends_with(CHAT_DONE), "{text}");
    assert_eq!((stack.upstream.asked(), stack.status().await["claims"].clone()), (2, json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_in_time_finds_the_same_run() {
    let options = StackOptions { gateway: "leave_grace_s = 20".into(), ..Default::default() };
    let stack = Stack::start_with(SALT402, options).await;
    let (script, stream, body, shown) = under_way(&stack, "back").await;
    drop(stream);
    script.write(chat_chunk("two "));
    let mut back = follow(&stack, CHAT, &body, &shown).await;
    until(&mut back, &chat_chunk("two ")).await;
    script.write(chat_end() + CHAT_DONE);
    drop(script);
    assert!(rest(back).await.ends_with(CHAT_DONE));
    assert_eq!((stack.upstream.asked(), stack.upstream.left()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_says_so_and_the_same_proof_has_it_run_again() {
    let stack = Stack::start(SALT402).await;
    let (script, stream, body, shown) = under_way(&stack, "broken").await;
    // In the middle of an event, which never ends.
    script.write("data: {\"choices\":[{\"del");
    script.break_off();
    let end = rest(stream).await;
    let data: Value = serde_json::from_str(end.trim().strip_prefix("data: ").unwrap()).unwrap();
    assert!(data["error"]["message"].as_str().unwrap().contains("show the same proof again"), "{end}");
    assert!(!end.contains("[DONE]") && !end.contains("\"del"), "{end}");
    let text = rest(begun(&stack, &body, &shown).await).await;
    assert!(text.contains("answer 2") && text.ends_with(CHAT_DONE), "{text}");
    // A server that says within the stream that it failed is not quoted.
    let (script, stream, body, shown) = under_way(&stack, "told").await;
    script.write("data: {\"error\":{\"message\":\"CUDA at 10.0.0.7\",\"code\":500}}\n\n");
    let end = rest(stream).await;
    assert!(end.contains("\"error\"") && !end.contains("10.0.0.7") && !end.contains("[DONE]"), "{end}");
    assert!(rest(begun(&stack, &body, &shown).await).await.ends_with(CHAT_DONE));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_before_the_first_byte_is_told_by_its_status_and_no_client_pays_again_for_it() {
    let stack = Stack::start(SALT402).await;
    let body = chat("500");
    let shown = stack.pay_for(CHAT, &body).await;
    stack.upstream.fail(1);
    let response = open(&stack, CHAT, &body, &shown).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-should-retry"]),
        (424, &"false".parse().unwrap())
    );
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["error"]["code"], "upstream_failed", "{problem}");
    assert!(problem.get("accepts").is_none() && problem.get("amount").is_none());
    assert!(rest(begun(&stack, &body, &shown).await).await.contains("answer 2"));
    assert_eq!(stack.status().await["claims"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_pauses_too_long_is_broken_off() {
    let options = StackOptions { model: "pause_s = 1".into(), ..Default::default() };
    let stack = Stack::start_with(SALT402, options).await;
    let (script, stream, body, shown) = under_way(&stack, "hanging").await;
    let end = rest(stream).await;
    assert!(end.contains("\"error\"") && !end.contains("[DONE]"), "{end}");
    wait(|| script.is_closed()).await;
    assert!(rest(begun(&stack, &body, &shown).await).await.ends_with(CHAT_DONE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_in_mid_stream_serves_the_same_proof_when_it_is_back() {
    let mut stack = Stack::start(SALT402).await;
    let (script, mut stream, body, shown) = under_way(&stack, "killed").await;
    stack.kill();
    let broken = loop {
        match stream.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken, "nobody takes it for the whole");
    drop(script);
    stack.up().await;
    let text = rest(follow(&stack, CHAT, &body, &shown).await).await;
    assert!(text.contains("answer 2") && text.ends_with(CHAT_DONE), "{text}");
    assert_eq!(rest(follow(&stack, CHAT, &body, &shown).await).await, text);
    assert_eq!((stack.upstream.asked(), stack.status().await["claims"].clone()), (2, json!(1)));
    let folder = stack.folder().join("data");
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".tmp")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_stream_is_held_back_to_its_reader_and_given_once_where_it_is_too_long_to_keep() {
    const CHUNKS: usize = 400;
    let options = StackOptions { gateway: "largest_kept_bytes = 65536".into(), ..Default::default() };
    let stack = Stack::start_with(SALT402, options).await;
    let body = chat("long");
    let shown = stack.pay_for(CHAT, &body).await;
    let script = stack.upstream.script_stream();
    let chunk = chat_chunk(&"x".repeat(1000));
    for _ in 0..CHUNKS {
        script.write(chunk.clone());
    }
    script.write(chat_end() + CHAT_DONE);
    drop(script);
    let text = rest(follow(&stack, CHAT, &body, &shown).await).await;
    assert!(text.starts_with(&chunk.repeat(CHUNKS)) && text.ends_with(CHAT_DONE));
    let response = open(&stack, CHAT, &body, &shown).await;
    assert_eq!(response.status(), StatusCode::GONE);
    assert_eq!(response.json::<Value>().await.unwrap()["code"], "outcome_gone");
    assert_eq!(stack.upstream.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn inference_is_streamed_token_by_token_at_the_price_of_the_whole() {
    let stack = Stack::start(SALT402).await;
    let path = "/v1/inference/stream";
    let body = json!({ "model": "counted", "prompt": "tokens", "max_tokens": 9 });
    let whole = stack.quote(&body).await;
    let unpaid = stack.post(&format!("{}{path}", stack.gateway), &body, &[]).await;
    assert_eq!(salt402_tests::payment_details(&unpaid).amount, whole.amount);
    let shown = stack.pay_for(path, &body).await;
    let script = stack.upstream.script_stream();
    script.write(chat_chunk("The") + &chat_chunk(" sea") + &chat_end() + CHAT_DONE);
    drop(script);
    let text = rest(follow(&stack, path, &body, &shown).await).await;
    let expected =
        "data: {\"token\":\"The\",\"index\":0}\n\ndata: {\"token\":\" sea\",\"index\":1}\n\ndata: [DONE]\n\n";
    assert_eq!(text, expected);
    assert_eq!(stack.upstream.last().body["max_tokens"], 9);
    assert_eq!(rest(follow(&stack, path, &body, &shown).await).await, text);
    // The built-in model says the same, streamed or not.
    let body = json!({ "model": "demo", "prompt": "why is the sea salt?" });
    let shown = stack.pay_for(path, &body).await;
    let text = rest(follow(&stack, path, &body, &shown).await).await;
    let tokens: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    let streamed: String = tokens.iter().map(|event| event["token"].as_str().unwrap()).collect();
    assert!(tokens.iter().enumerate().all(|(index, event)| event["index"] == index), "{text}");
    let proof = stack.payer().pay(&stack.quote(&body).await).await;
    assert_eq!(stack.infer_with(&body, proof).await.json()["output"], streamed);
}
