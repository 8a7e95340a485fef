//! A route: the best of several models answers, chosen after the payment, and another where one fails.

use std::time::Duration;

use futures::future::join_all;
use reqwest::StatusCode;
use salt402_protocol::Asset;
use salt402_tests::{Answer, CHAT_DONE, CountingUpstream, Scripted, Stack, StackOptions, chat_chunk};
use serde_json::{Value, json};

use crate::SALT402;
use crate::paid_as_it_goes::{begun, comes_to, end, options, paused, send, told};
use crate::streaming::rest;
use crate::vouchers::opened;

const ROUTED: &str = "/v1/inference/routed";
const CHAT: &str = "/v1/chat/completions";

type Shown = [(&'static str, String); 2];

/// A stack that sells `auto`, of `counted` and of `other`, which has a server of its own.
struct Routes {
    stack: Stack,
    other: CountingUpstream,
}

impl Routes {
    async fn start(route: &str, model: &str, other_lines: &str) -> Self {
        let other = format!("price_per_request = \"3000\"\nprice_per_token = \"2\"\n{other_lines}");
        Self::start_with(StackOptions { model: model.into(), ..StackOptions::default() }, route, &other).await
    }

    /// With what else a stack has, and the lines of the route and of the other model.
    async fn start_with(options: StackOptions, route: &str, other_lines: &str) -> Self {
        let other = CountingUpstream::start().await;
        let sections = format!(
            r#"
[[gateway.routes]]
name = "auto"
candidates = ["counted", "other"]
{route}

[gateway.models.other]
upstream = "{}"
default_tokens = 16
max_tokens = 100
{other_lines}
"#,
            other.url()
        );
        let options = StackOptions { sections, ..options };
        let stack = Stack::start_with(SALT402, options).await;
        let routes = Self { stack, other };
        routes.until_both_are_sold().await;
        routes
    }

    /// Waits until both servers have answered the gateway's own question.
    async fn until_both_are_sold(&self) {
        for model in ["counted", "other"] {
            let body = json!({ "model": model, "prompt": "sold?" });
            while self.stack.infer(&body, &[]).await.status != StatusCode::PAYMENT_REQUIRED {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn ask(&self, path: &str, body: &Value, shown: &Shown) -> Answer {
        let shown: Vec<_> = shown.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.stack.post(&format!("{}{path}", self.stack.gateway), body, &shown).await
    }

    async fn ask_by_voucher(&self, path: &str, body: &Value, proof: &str) -> Answer {
        let shown = [("x-payment-proof", proof), ("x-session-id", "s")];
        self.stack.post(&format!("{}{path}", self.stack.gateway), body, &shown).await
    }

    async fn unpaid(&self, path: &str, body: &Value) -> Answer {
        self.stack.post(&format!("{}{path}", self.stack.gateway), body, &[]).await
    }

    /// Pays and asks.
    async fn buy(&self, path: &str, body: &Value) -> (Answer, Shown) {
        let shown = self.stack.pay_for(path, body).await;
        (self.ask(path, body, &shown).await, shown)
    }

    /// The answer to a proof that is shown until there is one.
    async fn answered(&self, path: &str, body: &Value, shown: &Shown) -> Answer {
        loop {
            let answer = self.ask(path, body, shown).await;
            if answer.status == StatusCode::OK {
                return answer;
            }
            assert_eq!(answer.code(), "upstream_failed", "{}", answer.body);
            let wait = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
            tokio::time::sleep(Duration::from_secs(wait)).await;
        }
    }
}

fn asking(prompt: &str) -> Value {
    json!({ "model": "auto", "prompt": prompt })
}

/// Who has answered.
fn by(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.headers["x-salt402-model"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_payment_is_for_whoever_answers_and_the_answer_names_the_model() {
    let routes = Routes::start("", "", "").await;
    // The route is the only one, so the body need not name it. It costs what the dearest of both costs.
    let body = json!({ "prompt": "one", "session": "s" });
    let details = salt402_tests::payment_details(&routes.unpaid(ROUTED, &body).await);
    assert_eq!(details.amount.to_string(), "3032");
    let (answer, shown) = routes.buy(ROUTED, &body).await;
    assert_eq!((by(&answer), &answer.json()["model"]), ("counted".into(), &json!("counted")));
    let again = routes.ask(ROUTED, &body, &shown).await;
    assert_eq!((by(&again), again.body), ("counted".into(), answer.body));
    assert_eq!(routes.stack.upstream.asked() + routes.other.asked(), 1);
    // It is for these bytes.
    let refused = routes.ask(ROUTED, &json!({ "prompt": "two", "session": "s" }), &shown).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED, "{}", refused.body);
    // Beyond the limits of one, the other alone takes it, and that is what it costs.
    let long = json!({ "prompt": "long", "max_tokens": 101 });
    let details = salt402_tests::payment_details(&routes.unpaid(ROUTED, &long).await);
    assert_eq!(details.amount.to_string(), "1101");
    let neither = routes.unpaid(ROUTED, &json!({ "prompt": "longer", "max_tokens": 5000 })).await;
    assert_eq!(neither.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", neither.body);
    assert!(neither.body.contains("counted: max_tokens") && neither.body.contains("other: max_tokens"));
    let unknown = routes.unpaid(ROUTED, &json!({ "model": "counted", "prompt": "no route" })).await;
    assert_eq!(unknown.code(), "unknown_model", "{}", unknown.body);
    let listed = routes.stack.get(&format!("{}/v1/models", routes.stack.gateway)).await.json();
    assert_eq!(
        (&listed["routes"][0]["id"], &listed["routes"][0]["candidates"][1]),
        (&json!("auto"), &json!("other"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_has_a_price_of_its_own_whoever_answers() {
    let routes = Routes::start("price_per_request = \"50\"\nprice_per_token = \"3\"", "", "").await;
    for path in [ROUTED, "/v1/inference", "/v1/inference/stream"] {
        let details = salt402_tests::payment_details(&routes.unpaid(path, &asking("own")).await);
        assert_eq!(details.amount.to_string(), "98", "{path}");
    }
    let (answer, _) = routes.buy("/v1/inference", &asking("own")).await;
    assert_eq!(by(&answer), "counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fails_before_the_first_byte_is_not_the_payers_matter() {
    let routes = Routes::start("", "", "").await;
    routes.stack.upstream.fail(1);
    let (answer, shown) = routes.buy(ROUTED, &asking("fails once")).await;
    assert_eq!(by(&answer), "other");
    assert_eq!((routes.stack.upstream.asked(), routes.other.asked()), (1, 1));
    assert_eq!(routes.ask(ROUTED, &asking("fails once"), &shown).await.body, answer.body);
    // A busy one is not waited for, and what one refuses for good another may answer. The first is asked first again, by a session
    // that is with it.
    for (number, scripted) in [
        Scripted::json(429, "{}").with("retry-after", "20"),
        Scripted::json(400, r#"{"error":{"code":"context_length_exceeded"}}"#),
        Scripted::json(200, "no answer at all"),
    ]
    .into_iter()
    .enumerate()
    {
        let session = format!("{number}");
        let body = |prompt: &str| json!({ "model": "auto", "prompt": prompt, "session": session });
        let first = loop {
            let (first, _) = routes.buy(ROUTED, &body("begin")).await;
            if by(&first) == "counted" {
                break first;
            }
            routes.other.fail(1);
        };
        assert_eq!(by(&first), "counted");
        let before = (routes.stack.upstream.asked(), routes.other.asked());
        routes.other.fail(0);
        routes.stack.upstream.script(scripted);
        let (answer, _) = routes.buy(ROUTED, &body("go on")).await;
        assert_eq!(by(&answer), "other", "{number}");
        assert_eq!((routes.stack.upstream.asked(), routes.other.asked()), (before.0 + 1, before.1 + 1));
    }
    // Where both fail, the same rules hold as of one model: the payment stays good.
    routes.stack.upstream.fail(1);
    routes.other.fail(1);
    let body = asking("both fail");
    let (answer, shown) = routes.buy(ROUTED, &body).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (424, "upstream_failed"), "{}", answer.body);
    assert_eq!(routes.answered(ROUTED, &body, &shown).await.status, StatusCode::OK);
    // What both refuse for good is given up, and owed.
    for upstream in [&routes.stack.upstream, &routes.other] {
        upstream.script(Scripted::json(422, "{}"));
    }
    let (answer, _) = routes.buy(ROUTED, &asking("refused")).await;
    assert_eq!(answer.code(), "not_served", "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_one_is_left_for_a_faster_one_and_a_full_one_for_a_free_one() {
    let routes = Routes::start("", "at_once = 1\nqueue = 0", "at_once = 1\nqueue = 0").await;
    // The first is asked while nothing is known, then the other. After that both are known.
    routes.stack.upstream.delay(Duration::from_millis(600));
    assert_eq!(by(&routes.buy(ROUTED, &asking("1")).await.0), "counted");
    for number in 2..6 {
        assert_eq!(by(&routes.buy(ROUTED, &asking(&number.to_string())).await.0), "other", "{number}");
    }
    // While it is taken, the slow one is better than waiting.
    routes.other.delay(Duration::from_secs(3));
    let (one, two) = (asking("a"), asking("b"));
    let shown = [routes.stack.pay_for(ROUTED, &one).await, routes.stack.pay_for(ROUTED, &two).await];
    let (asked, slow) = (routes.other.asked(), routes.stack.upstream.asked());
    let first = routes.ask(ROUTED, &one, &shown[0]);
    let second = async {
        while routes.other.asked() == asked {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let second = routes.ask(ROUTED, &two, &shown[1]);
        let third = async {
            while routes.stack.upstream.asked() == slow {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // Both are full: no price is told.
            routes.unpaid(ROUTED, &asking("c")).await
        };
        futures::future::join(second, third).await
    };
    let (first, (second, third)) = futures::future::join(first, second).await;
    assert_eq!((by(&first), by(&second)), ("other".into(), "counted".into()));
    assert_eq!((third.status.as_u16(), third.code().as_str()), (503, "at_capacity"), "{}", third.body);
    assert!(third.headers.contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_stays_where_it_is_while_that_is_healthy_and_is_nobody_elses() {
    let routes = Routes::start("", "", "").await;
    let body = |number: u32| json!({ "model": "auto", "prompt": format!("{number}") });
    let ask = async |number: u32, session: &str| {
        let body = body(number);
        let shown = routes.stack.pay_for(ROUTED, &body).await;
        let mut headers: Vec<_> = shown.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.push(("x-session-id", session));
        by(&routes.stack.post(&format!("{}{ROUTED}", routes.stack.gateway), &body, &headers).await)
    };
    routes.stack.upstream.fail(1);
    assert_eq!(ask(1, "talk").await, "other", "it moved there");
    // The other is made slow: whoever has no session goes back to the first.
    routes.other.delay(Duration::from_millis(400));
    for number in 2..5 {
        assert_eq!(ask(number, "talk").await, "other", "{number}");
    }
    for number in 5..8 {
        assert_eq!(ask(number, "new").await, "counted", "{number}");
    }
    // Once it fails, the session is with whoever answered.
    routes.other.delay(Duration::ZERO);
    routes.other.fail(1);
    assert_eq!(ask(8, "talk").await, "counted");
    assert_eq!(ask(9, "talk").await, "counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_price_is_told_while_no_candidate_answers_and_who_has_paid_is_served_later() {
    let routes = Routes::start("", "", "").await;
    let body = asking("later");
    let shown = routes.stack.pay_for(ROUTED, &body).await;
    for upstream in [&routes.stack.upstream, &routes.other] {
        upstream.refuse(Some(StatusCode::INTERNAL_SERVER_ERROR));
    }
    let unpaid = loop {
        let unpaid = routes.unpaid(ROUTED, &asking("new")).await;
        if unpaid.status != StatusCode::PAYMENT_REQUIRED {
            break unpaid;
        }
        // Failures are noticed by what is asked.
        let answer = routes.ask(ROUTED, &body, &shown).await;
        assert_eq!(answer.code(), "upstream_failed", "{}", answer.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(
        (unpaid.status.as_u16(), unpaid.code().as_str()),
        (503, "model_unavailable"),
        "{}",
        unpaid.body
    );
    // One of both is back.
    routes.other.refuse(None);
    let answer = routes.answered(ROUTED, &body, &shown).await;
    assert_eq!(by(&answer), "other");
    while routes.unpaid(ROUTED, &asking("new")).await.status != StatusCode::PAYMENT_REQUIRED {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_goes_to_those_alone_whose_servers_know_its_members() {
    let routes = Routes::start("", "", "server = \"llama.cpp\"").await;
    let chat = |member: &str, value: Value| {
        let mut body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hi" }] });
        body[member] = value;
        body
    };
    // `top_k` is passed on by llama.cpp's table, and not by that of a server that is not known.
    for number in 0..3 {
        let (answer, _) = routes.buy(CHAT, &chat("top_k", json!(10 + number))).await;
        assert_eq!(by(&answer), "other");
        assert_eq!(routes.other.last().body["top_k"], 10 + number);
        assert_eq!(routes.other.last().body["model"], "other");
    }
    assert_eq!(routes.stack.upstream.asked(), 0);
    // Nor does the first get it when the other fails.
    routes.other.fail(1);
    let body = chat("top_k", json!(20));
    let (answer, shown) = routes.buy(CHAT, &body).await;
    assert_eq!(answer.code(), "upstream_failed", "{}", answer.body);
    assert_eq!(by(&routes.answered(CHAT, &body, &shown).await), "other");
    assert_eq!(routes.stack.upstream.asked(), 0);
    // What none of them takes is refused before a price.
    let refused = routes.unpaid(CHAT, &chat("n_predict", json!(9))).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.body);
    let (plain, _) = routes.buy(CHAT, &chat("seed", json!(1))).await;
    assert_eq!(by(&plain), "counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_begun_elsewhere_before_its_first_byte_and_never_after_it() {
    let routes = Routes::start("", "", "").await;
    let body = json!({ "model": "auto", "stream": true, "messages": [{ "role": "user", "content": "hi" }] });
    routes.stack.upstream.fail(1);
    let (answer, shown) = routes.buy(CHAT, &body).await;
    assert_eq!(by(&answer), "other");
    assert!(answer.body.ends_with(CHAT_DONE), "{}", answer.body);
    let again = routes.ask(CHAT, &body, &shown).await;
    assert_eq!((by(&again), again.body), ("other".into(), answer.body));

    // salt402's own stream too.
    routes.stack.upstream.fail(1);
    routes.other.fail(1);
    let tokens = asking("tokens");
    let shown = routes.stack.pay_for("/v1/inference/stream", &tokens).await;
    let answer = routes.answered("/v1/inference/stream", &tokens, &shown).await;
    assert!(answer.body.ends_with("data: [DONE]\n\n"), "{}", answer.body);
    by(&answer);

    // Both have a stream that breaks off in its middle: one of them is asked.
    let body =
        json!({ "model": "auto", "stream": true, "messages": [{ "role": "user", "content": "half" }] });
    let asked = || routes.stack.upstream.asked() + routes.other.asked();
    let before = asked();
    for upstream in [&routes.stack.upstream, &routes.other] {
        upstream.script_stream().write(chat_chunk("half "));
    }
    let (half, shown) = routes.buy(CHAT, &body).await;
    assert_eq!(half.status, StatusCode::OK, "{}", half.body);
    assert!(half.body.starts_with(&chat_chunk("half ")) && half.body.contains("\"error\""), "{}", half.body);
    assert_eq!(asked(), before + 1);
    // The same proof has it run again, with whoever is best then.
    let answer = loop {
        let answer = routes.ask(CHAT, &body, &shown).await;
        if answer.status == StatusCode::OK && answer.body.ends_with(CHAT_DONE) {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    assert!(["counted", "other"].contains(&by(&answer).as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routed_request_that_is_killed_is_run_again_for_the_same_proof() {
    let mut routes = Routes::start("", "", "").await;
    let body = asking("killed");
    let shown = routes.stack.pay_for(ROUTED, &body).await;
    routes.stack.upstream.delay(Duration::from_secs(30));
    let request = shown.iter().fold(
        routes.stack.client.post(format!("{}{ROUTED}", routes.stack.gateway)),
        |request, (name, value)| request.header(*name, value),
    );
    let broken = tokio::spawn(request.json(&body).send());
    while routes.stack.upstream.asked() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    routes.stack.kill();
    assert!(broken.await.unwrap().is_err(), "nobody was answered");
    routes.stack.upstream.delay(Duration::ZERO);
    routes.stack.up().await;
    assert_eq!(routes.stack.status().await["claims"], 1);
    let answers = join_all((0..4).map(|_| routes.answered(ROUTED, &body, &shown))).await;
    for answer in &answers {
        assert_eq!(answer.body, answers[0].body);
        assert_eq!(by(answer), by(&answers[0]));
    }
    assert_eq!(routes.stack.upstream.asked() + routes.other.asked(), 2);
    assert_eq!(routes.stack.status().await["claims"], 1);
}

/// What `other` costs where it is charged by use.
const DEAR: &str = "price_per_request = \"3000\"\nprice_per_token = \"2\"\ncharge = \"used\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_charged_what_the_one_uses_that_answers() {
    let mut routes = Routes::start_with(options(""), "", DEAR).await;
    let channel = opened(&mut routes.stack, Asset::Native, 100_000, 1).await;
    let ask = async |path: &str, body: &Value, ceiling: u64| {
        let answer = routes.ask_by_voucher(path, body, &channel.proof(ceiling)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        (by(&answer), answer.headers["x-payment-charge"].to_str().unwrap().to_owned(), answer.json())
    };
    // The most that one of them costs must be allowed.
    let details = salt402_tests::payment_details(&routes.unpaid(ROUTED, &asking("one")).await);
    assert_eq!(details.amount.to_string(), "3032");
    let (by, charge, body) = ask(ROUTED, &asking("one"), 3032).await;
    assert_eq!((&*by, &*charge, &body["usage"]["cost"]), ("counted", "1002", &json!("1002")));
    // The one that the session is with fails: what it would have cost is not charged.
    routes.stack.upstream.fail(1);
    let chat = json!({ "model": "auto", "messages": [{ "role": "user", "content": "two" }] });
    let (by, charge, body) = ask(CHAT, &chat, 1002 + 3032).await;
    assert_eq!((&*by, &*charge, &body["usage"]["cost"]), ("other", "3004", &json!("3004")));
    comes_to(&routes.stack, &channel, [4034, 4006, 0]).await;
    // Both fail for good: nothing is charged.
    for upstream in [&routes.stack.upstream, &routes.other] {
        upstream.script(Scripted::json(422, "{}"));
    }
    let refused = routes.ask_by_voucher(ROUTED, &asking("refused"), &channel.proof(4006 + 3032)).await;
    assert!(
        refused.status.is_client_error() && refused.body.contains("nothing is charged"),
        "{}",
        refused.body
    );
    comes_to(&routes.stack, &channel, [7038, 4006, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_charged_its_bound_where_one_of_its_models_is_or_it_has_a_price_of_its_own() {
    for (route, other) in [
        ("", "price_per_request = \"3000\"\nprice_per_token = \"2\""),
        ("price_per_request = \"3032\"", DEAR),
    ] {
        let mut routes = Routes::start_with(options(""), route, other).await;
        let channel = opened(&mut routes.stack, Asset::Native, 100_000, 1).await;
        let answer = routes.ask_by_voucher(ROUTED, &asking("one"), &channel.proof(3032)).await;
        assert_eq!(by(&answer), "counted");
        assert!(!answer.headers.contains_key("x-payment-charge"), "{route}");
        comes_to(&routes.stack, &channel, [3032, 3032, 0]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_a_route_is_paid_as_it_goes_by_the_prices_of_the_one_that_answers() {
    let mut routes = Routes::start_with(options("voucher_wait_s = 5"), "", DEAR).await;
    let channel = opened(&mut routes.stack, Asset::Native, 100_000, 1).await;
    let chat = |text: &str| json!({ "model": "auto", "stream": true, "max_tokens": 20, "messages": [{ "role": "user", "content": text }] });
    // Whoever answers can begin.
    let asked = format!("{}{CHAT}", routes.stack.gateway);
    let unpaid = routes.stack.post(&asked, &chat("goes on"), &[("x-payment-stream", "vouchers")]).await;
    let details: Value = serde_json::from_str(unpaid.headers["x-payment-details"].to_str().unwrap()).unwrap();
    assert_eq!((&details["amount"], &details["streamLeast"]), (&json!("3040"), &json!("3002")));
    // The first fails, and the other is paid as it goes.
    routes.stack.upstream.fail(1);
    let script = routes.other.script_stream();
    script.write(chat_chunk("one"));
    script.write(chat_chunk("two"));
    let mut response = begun(&routes.stack, &chat("goes on"), &channel.proof(3002)).await;
    assert_eq!(response.headers()["x-salt402-model"], "other");
    let (text, said) = paused(&mut response).await;
    assert!(text.contains("one") && !text.contains("two"), "{text}");
    let sent = send(&routes.stack, &said, &channel.proof(3004)).await;
    assert!(sent.status.is_success(), "{}", sent.body);
    script.write(end(2));
    let text = rest(response).await;
    assert!(text.contains("two") && text.contains("[DONE]"), "{text}");
    let receipt = told(&text, "payment-receipt");
    assert_eq!((&receipt["charged"], &receipt["complete"]), (&json!("3004"), &json!(true)), "{text}");
    comes_to(&routes.stack, &channel, [3004, 3004, 0]).await;
    assert_eq!((routes.stack.upstream.asked(), routes.other.asked()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_asked_for_a_stream_that_nobody_pays_on_for() {
    let other = "price_per_request = \"1000\"\nprice_per_token = \"1\"\ncharge = \"used\"";
    let mut routes = Routes::start_with(options("voucher_wait_s = 1"), "", other).await;
    let channel = opened(&mut routes.stack, Asset::Native, 100_000, 1).await;
    let body = json!({ "model": "auto", "stream": true, "max_tokens": 20, "messages": [{ "role": "user", "content": "x" }] });
    // A whole answer in place of a stream, dearer than what the voucher allows.
    let answer = json!({ "id": "x", "object": "chat.completion", "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "all" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 16, "total_tokens": 19 } });
    routes.stack.upstream.script(Scripted::json(200, answer.to_string()));
    let shown = [("x-payment-proof", &*channel.proof(1001)), ("x-payment-stream", "vouchers")];
    let answer = routes.stack.post(&format!("{}{CHAT}", routes.stack.gateway), &body, &shown).await;
    assert!(answer.status.is_client_error(), "{}: {}", answer.status, answer.body);
    comes_to(&routes.stack, &channel, [1001, 0, 0]).await;
    assert_eq!((routes.stack.upstream.asked(), routes.other.asked()), (1, 0));
}
