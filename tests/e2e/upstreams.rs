//! What model servers really answer: what can be read is given, and what may pass is waited for.

use std::process::Command;

use reqwest::StatusCode;
use salt402_tests::{Answer, Scripted, Stack, StackOptions, inference};

use crate::SALT402;

/// Pays for a request and shows the proof once.
async fn paid(stack: &Stack, prompt: &str) -> Answer {
    let body = inference(prompt);
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    stack.infer_with(&body, proof).await
}

/// An answer with this message, finish reason and usage.
fn said(message: &str, finish: &str, usage: &str) -> String {
    format!(r#"{{"choices":[{{"message":{message},"finish_reason":{finish}}}],"usage":{usage}}}"#)
}

const USED: &str = r#"{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}"#;

/// `hello`, as gzip has it.
fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_answers_are_read_as_far_as_they_can_be_and_given_to_whoever_paid() {
    let stack = Stack::start(SALT402).await;
    let plain = said(r#"{"content":"here"}"#, r#""stop""#, USED);
    let invalid = plain.replace("here", "he?re").into_bytes();
    let invalid: Vec<u8> = invalid.into_iter().map(|byte| if byte == b'?' { 0xff } else { byte }).collect();
    let nan = r#"{"choices":[{"logprobs":{"content":[{"logprob":NaN}]},"message":{"content":"here"},
        "finish_reason":"stop"}]}"#;
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"he\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"re\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let cases: Vec<(&str, Scripted, &str, &str, bool)> = vec![
        ("null", Scripted::json(200, said(r#"{"content":null}"#, r#""length""#, USED)), "", "length", false),
        ("missing", Scripted::json(200, said("{}", r#""tool_calls""#, "null")), "", "tool_calls", true),
        (
            "a list",
            Scripted::json(
                200,
                said(r#"{"content":[{"type":"text","text":"he"},{"text":"re"}]}"#, "null", "{}"),
            ),
            "here",
            "stop",
            true,
        ),
        (
            "partial usage",
            Scripted::json(200, plain.replace(USED, r#"{"prompt_tokens":3}"#)),
            "here",
            "stop",
            true,
        ),
        ("half a pair", Scripted::json(200, plain.replace("here", r"\ud83d")), "\u{fffd}", "stop", false),
        ("no UTF-8", Scripted::json(200, invalid), "he\u{fffd}re", "stop", false),
        ("NaN", Scripted::json(200, nan), "here", "stop", true),
        ("a BOM", Scripted::json(200, format!("\u{feff}{plain}")), "here", "stop", false),
        ("gzip", Scripted::json(200, gzip(&plain)).with("content-encoding", "gzip"), "here", "stop", false),
        ("a comment", Scripted::json(200, format!(": PROCESSING\n\n{plain}")), "here", "stop", false),
        ("a stream", Scripted::json(200, stream), "here", "stop", true),
        (
            "doubled keys",
            Scripted::json(200, plain.replace(r#""content""#, r#""content":"x","content""#)),
            "here",
            "stop",
            false,
        ),
    ];
    for (name, scripted, output, reason, estimated) in cases {
        stack.upstream.script(scripted);
        let answer = paid(&stack, name).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}: {}", answer.body);
        let json = answer.json();
        assert_eq!(
            (json["output"].as_str(), json["finish_reason"].as_str()),
            (Some(output), Some(reason)),
            "{name}"
        );
        assert_eq!(json["usage"]["estimated"], estimated, "{name}: {json}");
    }
    assert_eq!(stack.upstream.accepted_encoding(), "identity");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_model_server_is_waited_for_and_the_payer_is_told_nothing_of_it() {
    let stack = Stack::start(SALT402).await;
    stack.upstream.script(Scripted::json(503, r#"{"error":{"code":503,"message":"Loading model"}}"#));
    stack.upstream.script(Scripted::json(429, "{}").with("retry-after", "1"));
    stack.upstream.script(Scripted::json(503, "{}").with("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"));
    let answer = paid(&stack, "patience").await;
    assert_eq!((answer.status, answer.json()["output"].as_str()), (StatusCode::OK, Some("answer 4")));

    // A wait that is too long is the payer's, who is told how long it is.
    stack.upstream.script(Scripted::json(429, "{}").with("retry-after", "300"));
    let answer = paid(&stack, "an hour").await;
    assert_eq!(answer.code(), "upstream_failed", "{}", answer.body);
    assert_eq!(answer.headers["retry-after"], "300");
    assert_eq!(stack.upstream.asked(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_good_answer_is_not_kept_as_the_answer() {
    let stack = Stack::start(SALT402).await;
    for (name, odd) in [
        ("finish", said(r#"{"content":"half"}"#, r#""error""#, USED)),
        ("error", r#"{"error":{"message":"oops","code":502}}"#.to_owned()),
    ] {
        stack.upstream.script(Scripted::json(200, odd));
        let body = inference(name);
        let details = stack.quote(&body).await;
        let proof = stack.payer().pay(&details).await;
        let answer = stack.infer_with(&body, proof).await;
        assert_eq!(answer.code(), "upstream_failed", "{name}: {}", answer.body);
        let answer = answered(&stack, &body, proof).await;
        assert!(answer.json()["output"].as_str().unwrap().starts_with("answer "), "{name}: {}", answer.body);
    }
}

/// The answer to a proof that is shown until there is one.
async fn answered(stack: &Stack, body: &serde_json::Value, proof: salt402_protocol::B256) -> Answer {
    loop {
        let answer = stack.infer_with(body, proof).await;
        if answer.status == StatusCode::OK {
            return answer;
        }
        let wait = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
    }
}

/// What `salt402 unserved` says of a stack's payments.
fn unserved(stack: &Stack, args: &[&str]) -> String {
    let mut command = Command::new(SALT402);
    command.arg("unserved").args(args).arg("--config").arg(stack.config()).env("SALT402_LOG", "off");
    let output = command.output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_payment_makes_a_bounded_number_of_runs_however_often_it_is_shown_and_its_operator_sees_it() {
    let options = StackOptions { gateway: "max_runs = 2".into(), ..Default::default() };
    let mut stack = Stack::start_with(SALT402, options).await;
    stack.upstream.fail(1000);
    let body = inference("two hundred times");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    assert_eq!(stack.infer_with(&body, proof).await.code(), "upstream_failed");
    for _ in 0..200 {
        let answer = stack.infer_with(&body, proof).await;
        assert!(["upstream_failed", "not_served"].contains(&answer.code().as_str()), "{}", answer.body);
    }
    assert!(stack.upstream.asked() <= 2);
    assert!(unserved(&stack, &["list"]).contains(&proof.to_string()));

    let ended = loop {
        let answer = stack.infer_with(&body, proof).await;
        if answer.code() == "not_served" {
            break answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert_eq!(ended.status, StatusCode::FAILED_DEPENDENCY);
    assert!(!ended.headers.contains_key("retry-after") && !ended.headers.contains_key("x-payment-details"));
    assert_eq!(stack.upstream.asked(), 2);
    // It stays so through a restart.
    stack.kill();
    stack.up().await;
    assert_eq!(stack.infer_with(&body, proof).await.body, ended.body);
    assert_eq!(stack.upstream.asked(), 2);
    // The operator is told once, and nothing stands against the payer.
    let told = stack.get(&format!("{}/v1/incidents?kind=not_served", stack.verifier)).await.json();
    assert_eq!(told["incidents"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["incidents"][0]["transaction"], proof.to_string(), "{told}");
    assert_eq!(stack.status().await["open_incidents"], 0);

    let listed = unserved(&stack, &["list"]);
    assert!(listed.contains("given up: paid and not served") && listed.contains("runs 2"), "{listed}");
    let payment = listed.split_whitespace().next().unwrap().to_owned();
    assert!(ended.body.contains(&payment), "{}", ended.body);
    // What failed is mended.
    stack.upstream.fail(0);
    assert!(unserved(&stack, &["retry", &payment]).contains("is tried again"));
    assert_eq!(stack.infer_with(&body, proof).await.status, StatusCode::OK);
    assert_eq!(unserved(&stack, &["list"]), "no payment is without its answer\n");
    let nothing = unserved(&stack, &["settle", &payment, "--note", "twice"]);
    assert!(nothing.contains("is no payment that was given up"), "{nothing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_server_refuses_for_good_is_asked_once_told_so_and_can_be_made_good() {
    let stack = Stack::start(SALT402).await;
    let refusals = [
        (
            400,
            r#"{"error":{"code":"context_length_exceeded","message":"key sk-secret"}}"#,
            "longer than what the model",
        ),
        (400, r#"{"error":{"code":"content_filter"}}"#, "content filter"),
        (422, r#"{"detail":"max_tokens is not supported"}"#, "status 422"),
    ];
    for (index, (status, words, told)) in (1..).zip(refusals) {
        stack.upstream.script(Scripted::json(status, words));
        let body = inference(told);
        let details = stack.quote(&body).await;
        let proof = stack.payer().pay(&details).await;
        for _ in 0..3 {
            let answer = stack.infer_with(&body, proof).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::FAILED_DEPENDENCY, "not_served".into()));
            assert!(answer.body.contains(told) && !answer.body.contains("secret"), "{}", answer.body);
            assert!(!answer.headers.contains_key("retry-after"));
        }
        assert_eq!(stack.upstream.asked(), index);
        assert!(unserved(&stack, &["list"]).contains(&proof.to_string()));
    }
    let listed = unserved(&stack, &["list"]);
    let payment = listed.split_whitespace().next().unwrap().to_owned();
    assert!(unserved(&stack, &["settle", &payment, "--note", "refunded in 0x12"]).contains("is settled"));
    assert!(!unserved(&stack, &["list"]).contains(&payment));
    assert!(unserved(&stack, &["list", "--all"]).contains("settled: refunded in 0x12"));
    assert!(unserved(&stack, &["retry", &payment]).contains("is no payment that was given up"));
}

/// A filter in front of a model server says 403, as a server does to whoever has no key.
#[tokio::test(flavor = "multi_thread")]
async fn a_403_for_one_prompt_is_for_good_while_the_server_answers_others() {
    let stack = Stack::start(SALT402).await;
    for _ in 0..2 {
        stack.upstream.script(Scripted::json(403, r#"{"error":"no"}"#));
    }
    let body = inference("refused as nobody's");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    for _ in 0..3 {
        let answer = stack.infer_with(&body, proof).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::FAILED_DEPENDENCY, "not_served".into()));
        assert!(answer.body.contains("status 403") && !answer.headers.contains_key("x-payment-details"));
    }
    assert_eq!(stack.upstream.asked(), 2);
    assert!(unserved(&stack, &["list"]).contains("given up: paid and not served"));
    // Once it lets nobody in, that is the operator's to mend, and no run.
    let body = inference("refused as everybody's");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    stack.upstream.refuse(Some(StatusCode::FORBIDDEN));
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.code(), "upstream_failed", "{}", answer.body);
    stack.upstream.refuse(None);
    answered(&stack, &body, proof).await;
    // A key that is changed in between costs nobody their answer.
    stack.upstream.script(Scripted::json(401, "{}"));
    let answer = paid(&stack, "with the old key").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_everybodys_uses_up_no_payments_runs() {
    let options = StackOptions { gateway: "max_runs = 2".into(), ..Default::default() };
    let mut stack = Stack::start_with(SALT402, options).await;
    let body = inference("through an outage");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    stack.upstream.refuse(Some(StatusCode::BAD_GATEWAY));
    assert_eq!(stack.infer_with(&body, proof).await.code(), "upstream_failed");
    let models = format!("{}/metrics", stack.verifier);
    let shut = "salt402_gateway_model_sold{model=\"counted\"} 0";
    stack.until(&models, |answer| answer.body.contains(shut)).await;
    let asked = stack.upstream.asked();
    while stack.upstream.asked() < asked + 2 {
        let answer = stack.infer_with(&body, proof).await;
        assert_eq!(answer.code(), "upstream_failed", "{}", answer.body);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    stack.upstream.refuse(None);
    answered(&stack, &body, proof).await;
}

/// What is sold by now is no matter of what was paid for before.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_for_and_is_not_sold_any_more_is_served_or_owed_and_never_refused() {
    let mut stack = Stack::start(SALT402).await;
    let asked = |model: &str, prompt: &str, tokens: u32| serde_json::json!({ "model": model, "prompt": prompt, "max_tokens": tokens });
    let bodies = [
        asked("counted", "more tokens than may be asked for now", 4000),
        asked("counted", &"longer than a prompt may be now ".repeat(40), 10),
        asked("demo", "of a model that is gone", 10),
    ];
    let mut paid = Vec::new();
    for (body, own) in bodies.iter().flat_map(|body| [(body, false), (body, true)]) {
        let binding = [("x-payment-binding", "quote")];
        let asked = stack.infer(body, if own { &binding } else { &[] }).await;
        let details = salt402_tests::payment_details(&asked);
        let proof = stack.payer().pay(&details).await.to_string();
        paid.push((body, proof, own.then_some(details.quote_id)));
    }
    assert!(stack.process.take().unwrap().terminate().success());
    let text = std::fs::read_to_string(stack.config()).unwrap();
    let (text, _) = text.split_once("[gateway.models.demo]").unwrap();
    let lowered = text.replace("max_tokens = 4096", "max_tokens = 16\nmax_prompt_bytes = 1000");
    assert_ne!(text, lowered);
    std::fs::write(stack.config(), lowered).unwrap();
    stack.up().await;
    stack.indexed(stack.anvil.height().await).await;

    // Nothing of it is sold, and a proof of something else changes nothing.
    for (body, code) in bodies.iter().zip(["invalid_request", "invalid_request", "unknown_model"]) {
        let unpaid = stack.infer(body, &[]).await;
        assert_eq!(unpaid.code(), code);
        assert!(!unpaid.headers.contains_key("x-payment-details"));
        let mut other = body.clone();
        other["temperature"] = 1.into();
        let other = stack.infer(&other, &[("x-payment-proof", &paid[0].1)]).await;
        assert_eq!(other.code(), code, "{}", other.body);
        assert!(!other.headers.contains_key("x-payment-details"));
    }
    for (body, proof, quote) in &paid {
        let mut headers = vec![("x-payment-proof", proof.as_str())];
        headers.extend(quote.iter().map(|quote| ("x-payment-quote", quote.as_str())));
        let answer = stack.infer(body, &headers).await;
        if body["model"] == "counted" {
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        } else {
            assert_eq!((answer.status, answer.code()), (StatusCode::FAILED_DEPENDENCY, "not_served".into()));
            assert!(!answer.headers.contains_key("x-payment-details"));
            let listed = unserved(&stack, &["list"]);
            assert!(listed.contains(proof) && listed.contains("one answer of demo"), "{listed}");
        }
    }
    assert_eq!(stack.upstream.asked(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_costs_what_its_bytes_may_be_as_tokens_and_has_a_longest() {
    let model = "[gateway.models.read]\nupstream = \"demo\"\nprice_per_request = \"1000\"\n\
        price_per_prompt_token = \"2\"\nmax_prompt_bytes = 1000\ntemplate_tokens = 7";
    let stack =
        Stack::start_with(SALT402, StackOptions { gateway: model.into(), ..Default::default() }).await;
    let asked = |prompt: &str| serde_json::json!({ "model": "read", "prompt": prompt });
    for (prompt, amount) in [("five!", 1024), ("é", 1018), (&"x".repeat(1000), 3014)] {
        let details = stack.quote(&asked(prompt)).await;
        assert_eq!(details.amount.to_string(), amount.to_string(), "{prompt}");
    }
    let long = stack.infer(&asked(&"x".repeat(1001)), &[]).await;
    assert_eq!((long.status, long.code()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid_request".into()));
    assert!(long.body.contains("at most 1000 bytes") && !long.headers.contains_key("x-payment-details"));
    // What was paid for one is not taken for another.
    let (short, longer) = (asked("short"), asked("longer than what was paid for"));
    let details = stack.quote(&short).await;
    let proof = stack.payer().pay(&details).await;
    assert_eq!(stack.infer_with(&longer, proof).await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(stack.infer_with(&short, proof).await.status, StatusCode::OK);
    let models = stack.get(&format!("{}/v1/models", stack.gateway)).await.json();
    let of = |name: &str| {
        models["data"].as_array().unwrap().iter().find(|model| model["id"] == name).unwrap().clone()
    };
    assert_eq!(
        (&of("read")["pricing"]["per_prompt_token"], &of("read")["max_prompt_bytes"]),
        (&"2".into(), &1000.into())
    );
    assert_eq!(of("counted")["pricing"]["per_prompt_token"], "0");
}
