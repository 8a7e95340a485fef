//! The APIs of model servers, sold: what is passed on, what comes back, and how it is refused.

use reqwest::StatusCode;
use salt402_tests::{Answer, Scripted, Stack, StackOptions, payment_details};
use serde_json::{Value, json};

use crate::SALT402;

/// A stack whose model has all APIs, an endpoint of its own, and prices for images.
async fn stack() -> Stack {
    let model = r#"
server = "vllm"
apis = ["chat", "completions", "embeddings", "messages", "responses", "rerank", "images"]
endpoint = "/nano"
[gateway.models.counted.image_sizes]
"1024x1024" = "500"
[gateway.models.vectors]
upstream = "UPSTREAM"
price_per_request = "10"
apis = ["embeddings"]
endpoint = "/embed"
"#;
    let upstream = StackOptions { idle: true, ..Default::default() };
    let mut stack = Stack::start_with(SALT402, upstream).await;
    let model = model.replace("UPSTREAM", &stack.upstream.url());
    stack.configure(&StackOptions { model, ..Default::default() });
    stack.up().await;
    stack
}

async fn post(stack: &Stack, path: &str, body: &Value, shown: &[(&str, String)]) -> Answer {
    let shown: Vec<_> = shown.iter().map(|(name, value)| (*name, value.as_str())).collect();
    stack.post(&format!("{}{path}", stack.gateway), body, &shown).await
}

/// A body of each API, and what its answer holds.
fn bodies() -> Vec<(&'static str, Value, &'static str)> {
    let messages = json!([{ "role": "user", "content": "hello" }]);
    vec![
        ("/v1/chat/completions", json!({ "model": "counted", "messages": messages }), "chat.completion"),
        ("/v1/completions", json!({ "model": "counted", "prompt": "hello" }), "text_completion"),
        ("/v1/embeddings", json!({ "model": "counted", "input": "hello" }), "embedding"),
        (
            "/v1/rerank",
            json!({ "model": "counted", "query": "hello", "documents": ["a", "b"] }),
            "relevance_score",
        ),
        ("/v1/responses", json!({ "model": "counted", "input": "hello" }), "output_text"),
        ("/v1/messages", json!({ "model": "counted", "messages": messages, "max_tokens": 8 }), "assistant"),
        (
            "/v1/images/generations",
            json!({ "model": "counted", "prompt": "sea", "size": "1024x1024" }),
            "b64_json",
        ),
        ("/nano", json!({ "messages": messages }), "chat.completion"),
        ("/embed", json!({ "input": "hello" }), "embedding"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_api_is_priced_paid_passed_on_once_and_answered_as_the_server_did() {
    let stack = stack().await;
    for (number, (path, body, holds)) in bodies().into_iter().enumerate() {
        let shown = stack.pay_for(path, &body).await;
        let answer = post(&stack, path, &body, &shown).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        assert!(answer.body.contains(holds), "{path}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/json", "{path}");
        assert!(answer.headers.contains_key("x-payment-receipt"), "{path}");
        assert_eq!(post(&stack, path, &body, &shown).await.body, answer.body, "{path}");
        assert_eq!(stack.upstream.asked() as usize, number + 1, "{path}");
        let asked = stack.upstream.last();
        let api = match path {
            "/nano" => "/v1/chat/completions",
            "/embed" => "/v1/embeddings",
            path => path,
        };
        assert_eq!(asked.path, api);
        assert!(asked.headers["x-x402-payer"].to_str().unwrap().starts_with("0x"), "{path}");
        for name in ["cookie", "authorization", "x-payment-proof", "x-forwarded-for"] {
            assert!(!asked.headers.contains_key(name), "{path}: {name}");
        }
        // The same payment buys nothing else.
        let other =
            post(&stack, "/v1/chat/completions", &json!({ "model": "counted", "messages": [] }), &shown)
                .await;
        assert_ne!(other.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_all_apis_end_as_their_clients_expect() {
    let stack = stack().await;
    for (path, mut body, _) in bodies() {
        let end = match path {
            "/v1/chat/completions" | "/v1/completions" | "/nano" => "data: [DONE]\n\n",
            "/v1/messages" => "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            "/v1/responses" => "}\n\n",
            _ => continue,
        };
        body["stream"] = true.into();
        let shown = stack.pay_for(path, &body).await;
        let answer = post(&stack, path, &body, &shown).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "text/event-stream; charset=utf-8");
        assert!(answer.body.ends_with(end), "{path}: {}", answer.body);
        assert!(path != "/v1/responses" || !answer.body.contains("[DONE]"));
        assert_eq!(post(&stack, path, &body, &shown).await.body, answer.body, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_in_the_words_of_the_apis_clients_and_offers_too() {
    let stack = stack().await;
    for (path, body, _) in bodies() {
        let unpaid = post(&stack, path, &body, &[]).await;
        payment_details(&unpaid);
        let json = unpaid.json();
        assert_eq!(json["code"], "payment_required", "{path}");
        assert_eq!(json["error"]["message"], json["detail"], "{path}");
        let mut odd = body.clone();
        odd["n_predict"] = json!(100_000);
        let refused = post(&stack, path, &odd, &[]).await;
        assert_eq!(refused.status.as_u16(), 422, "{path}: {}", refused.body);
        let json = refused.json();
        assert!(json["error"]["message"].as_str().unwrap().contains("n_predict"), "{path}: {json}");
        assert_eq!(json["error"]["type"], "invalid_request_error", "{path}");
        assert_eq!(json["type"] == "error", path == "/v1/messages", "{path}");
    }
    assert_eq!(stack.upstream.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_the_payment_leads_no_client_to_pay_again() {
    let stack = stack().await;
    let (path, body) = ("/v1/embeddings", json!({ "model": "counted", "input": "fails" }));
    let shown = stack.pay_for(path, &body).await;
    // What the server refuses for good is owed.
    stack.upstream.script(Scripted::json(400, r#"{"error":{"message":"secret host"}}"#));
    let answer = post(&stack, path, &body, &shown).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (424, "not_served".into()), "{}", answer.body);
    assert_eq!(answer.headers["x-should-retry"], "false");
    assert!(!answer.body.contains("secret host"));
    assert!(answer.headers.get("x-payment-details").is_none());
    // A good status that holds an error is none.
    let body = json!({ "model": "counted", "input": "says so" });
    let shown = stack.pay_for(path, &body).await;
    stack.upstream.script(Scripted::json(200, r#"{"error":{"message":"oops","code":500}}"#));
    let answer = post(&stack, path, &body, &shown).await;
    assert_eq!(answer.code(), "upstream_failed", "{}", answer.body);
    let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
    assert_eq!(post(&stack, path, &body, &shown).await.status, StatusCode::OK);
    // Who shows a bare hash too often is refused with a status that nobody pays for.
    let bare = &shown[..1];
    let refused = loop {
        let answer = post(&stack, path, &body, bare).await;
        if answer.status != StatusCode::OK {
            break answer;
        }
    };
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "quote_required".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_model_has_chat_and_completions_and_the_list_is_openais() {
    let stack = stack().await;
    let body =
        json!({ "model": "demo", "stream": true, "messages": [{ "role": "user", "content": "why?" }] });
    let shown = stack.pay_for("/v1/chat/completions", &body).await;
    let answer = post(&stack, "/v1/chat/completions", &body, &shown).await;
    assert!(
        answer.body.starts_with("data: {") && answer.body.ends_with("data: [DONE]\n\n"),
        "{}",
        answer.body
    );
    let refused = post(&stack, "/v1/embeddings", &json!({ "model": "demo", "input": "x" }), &[]).await;
    assert!(refused.json()["detail"].as_str().unwrap().contains("/v1/chat/completions"), "{}", refused.body);
    let listed = stack.get(&format!("{}/v1/models", stack.gateway)).await.json();
    assert_eq!(listed["object"], "list");
    for model in listed["data"].as_array().unwrap() {
        assert!(
            model["id"].is_string() && model["owned_by"].is_string() && model["created"].is_u64(),
            "{model}"
        );
        assert_eq!(model["object"], "model");
    }
    let nano = listed["data"].as_array().unwrap().iter().find(|model| model["id"] == "counted").unwrap();
    assert_eq!(nano["endpoint"], "/nano");
    // A model of vectors answers no prompt.
    let refused = stack.infer(&json!({ "model": "vectors", "prompt": "x" }), &[]).await;
    assert_eq!(refused.code(), "invalid_request", "{}", refused.body);
    let document = stack.get(&format!("{}/openapi.json", stack.gateway)).await.json();
    for path in ["/nano", "/embed", "/v1/messages", "/v1/inference/stream"] {
        assert!(document["paths"][path]["post"]["responses"]["402"].is_object(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sold_while_as_many_run_and_wait_as_may() {
    let options = StackOptions { model: "at_once = 1\nqueue = 1".into(), ..Default::default() };
    let stack = Stack::start_with(SALT402, options).await;
    let path = "/v1/chat/completions";
    let body = |text: &str| json!({ "model": "counted", "stream": true, "messages": [{ "role": "user", "content": text }] });
    let mut shown = Vec::new();
    for text in ["first", "second", "third"] {
        shown.push(stack.pay_for(path, &body(text)).await);
    }
    let scripts = [stack.upstream.script_stream(), stack.upstream.script_stream()];
    scripts[0].write(salt402_tests::chat_chunk("one"));
    let show =
        |number: usize| shown[number].iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>();
    let mut first = stack.open(path, &body("first"), &show(0)).await;
    assert!(first.chunk().await.unwrap().is_some());
    let (second_body, second_shown) = (body("second"), show(1));
    let second = stack.open(path, &second_body, &second_shown);
    tokio::pin!(second);
    let full = async {
        loop {
            let answer = stack.post(&format!("{}{path}", stack.gateway), &body("unpaid"), &[]).await;
            if answer.status == StatusCode::SERVICE_UNAVAILABLE {
                break answer;
            }
        }
    };
    let full = tokio::select! { full = full => full, _ = &mut second => panic!("it has no place") };
    assert_eq!(full.code(), "at_capacity", "{}", full.body);
    // A payment is not used up, and whoever has a claim is let in.
    let third = post(&stack, path, &body("third"), &shown[2]).await;
    assert_eq!((third.status.as_u16(), third.code()), (503, "at_capacity".into()), "{}", third.body);
    assert_eq!(third.headers["x-should-retry"], "false");
    let again = stack.open(path, &body("first"), &show(0)).await;
    assert_eq!(again.status(), StatusCode::OK, "it follows the run under way");
    for script in scripts {
        script.write(salt402_tests::chat_end() + salt402_tests::CHAT_DONE);
    }
    assert!(first.text().await.unwrap().ends_with("[DONE]\n\n"));
    assert!(again.text().await.unwrap().ends_with("[DONE]\n\n"));
    assert!(second.await.text().await.unwrap().ends_with("[DONE]\n\n"));
    assert_eq!(post(&stack, path, &body("third"), &shown[2]).await.status, StatusCode::OK);
    assert_eq!(stack.upstream.asked(), 3);
}
