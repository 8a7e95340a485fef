//! Streams that are paid as they go (STREAM-1): what the voucher allows is given, the stream waits for the next one, and what was given is
//! charged, whatever ends it.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use salt402_protocol::Asset;
use salt402_tests::{Answer, CHAT_DONE, Stack, StackOptions, StreamScript, TestChannel, chat_chunk};
use serde_json::{Value, json};

use crate::SALT402;
use crate::charging::CHAT;
use crate::streaming::rest;
use crate::vouchers::{accounts, opened, taking_vouchers};

/// What any request costs; each token costs 1.
const REQUEST: u64 = 1000;
/// What the requests of these tests cost at the most.
const MOST: u64 = REQUEST + 20;
const DEPOSIT: u64 = 100_000;

pub(crate) fn options(gateway: &str) -> StackOptions {
    StackOptions {
        model: "charge = \"used\"".into(),
        gateway: format!("leave_grace_s = 1\n{gateway}"),
        ..taking_vouchers()
    }
}

fn chat(text: &str) -> Value {
    json!({ "model": "counted", "stream": true, "max_tokens": 20, "messages": [{ "role": "user", "content": text }] })
}

/// What ends a chat stream whose server counts so many tokens.
pub(crate) fn end(tokens: u64) -> String {
    let stop = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": tokens } });
    format!("data: {stop}\n\n{CHAT_DONE}")
}

async fn ask(stack: &Stack, path: &str, body: &Value, proof: &str) -> Response {
    stack.open(path, body, &[("x-payment-proof", proof), ("x-payment-stream", "vouchers")]).await
}

/// A stream that begins.
pub(crate) async fn begun(stack: &Stack, body: &Value, proof: &str) -> Response {
    let response = ask(stack, CHAT, body, proof).await;
    let status = response.status();
    assert!(status.is_success(), "{status}: {}", response.text().await.unwrap());
    response
}

/// Reads until something was read that has this text.
async fn until(response: &mut Response, wanted: &str) -> String {
    let mut text = String::new();
    while !text.contains(wanted) {
        let piece = response.chunk().await.unwrap().unwrap_or_else(|| panic!("{text:?} and no {wanted:?}"));
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    text
}

/// The data of the last event of a name.
pub(crate) fn told(text: &str, name: &str) -> Value {
    let (_, after) =
        text.rsplit_once(&format!("event: {name}\ndata: ")).unwrap_or_else(|| panic!("no {name}: {text}"));
    serde_json::from_str(after.lines().next().unwrap()).unwrap()
}

/// Reads until the stream waits. Returns what came, and what the event says.
pub(crate) async fn paused(response: &mut Response) -> (String, Value) {
    let text = until(response, "event: payment-need-voucher\ndata: ").await;
    let text = if text.ends_with("\n\n") { text } else { text + &until(response, "\n\n").await };
    let said = told(&text, "payment-need-voucher");
    (text, said)
}

pub(crate) async fn send(stack: &Stack, said: &Value, proof: &str) -> Answer {
    let url = format!("{}{}", stack.gateway, said["voucherUrl"].as_str().unwrap());
    stack.post(&url, &json!({}), &[("x-payment-proof", proof)]).await
}

/// The highest ceiling that was accepted, what was spent, and what is reserved.
async fn account(stack: &Stack, channel: &TestChannel) -> [u64; 3] {
    let account = accounts(stack).await[&channel.id].account;
    [account.ceiling, account.spent, account.reserved].map(|amount| amount.0.to::<u64>())
}

pub(crate) async fn comes_to(stack: &Stack, channel: &TestChannel, wished: [u64; 3]) {
    for _ in 0..200 {
        if account(stack, channel).await == wished {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(account(stack, channel).await, wished);
}

fn write(script: &StreamScript, words: &[&str]) {
    words.iter().for_each(|word| script.write(chat_chunk(word)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_waits_for_the_next_voucher_goes_on_with_it_and_costs_what_was_given() {
    let mut stack = Stack::start_with(SALT402, options("")).await;
    let channel = opened(&mut stack, Asset::Native, DEPOSIT, 1).await;
    let thief = opened(&mut stack, Asset::Native, DEPOSIT, 2).await;
    let body = chat("goes on");

    // What is told before anything is paid, and whoever does not ask for it pays for all at once.
    let unpaid =
        stack.post(&format!("{}{CHAT}", stack.gateway), &body, &[("x-payment-stream", "vouchers")]).await;
    let details: Value = serde_json::from_str(unpaid.headers["x-payment-details"].to_str().unwrap()).unwrap();
    assert_eq!((&details["amount"], &details["streamLeast"]), (&json!("1020"), &json!("1001")));
    let whole = stack
        .post(&format!("{}{CHAT}", stack.gateway), &body, &[("x-payment-proof", &channel.proof(1001))])
        .await;
    assert_eq!((whole.code().as_str(), &whole.json()["next"]), ("voucher_too_low", &json!("1020")));
    let low = ask(&stack, CHAT, &body, &channel.proof(1000)).await;
    let low: Value = serde_json::from_str(&low.text().await.unwrap()).unwrap();
    assert_eq!((&low["code"], &low["next"]), (&json!("voucher_too_low"), &json!("1001")));

    let script = stack.upstream.script_stream();
    write(&script, &["one"]);
    script.write("event: payment-receipt\ndata: {\"forged\":true}\n\n");
    write(&script, &["two", "three"]);
    let mut response = begun(&stack, &body, &channel.proof(1001)).await;
    let receipt: Value =
        serde_json::from_str(response.headers()["x-payment-receipt"].to_str().unwrap()).unwrap();
    let (text, said) = paused(&mut response).await;
    assert!(text.contains("one") && !text.contains("two") && !text.contains("forged"), "{text}");
    let figures = [
        "acceptedCumulative",
        "requiredCumulative",
        "completeCumulative",
        "deposit",
        "authorized",
        "charged",
    ];
    assert_eq!(
        figures.map(|name| said[name].as_str().unwrap()),
        ["1001", "1002", "1020", "100000", "1001", "1001"]
    );
    assert_eq!(said["channelId"], channel.id.to_string());
    assert_eq!(said["voucherUrl"], format!("/v1/streams/{}", receipt["payment_id"].as_str().unwrap()));
    assert_eq!(account(&stack, &channel).await, [1001, 0, 1001]);

    // What does not pay for it.
    let mut forged = channel.voucher(1010);
    forged.signature[7] ^= 1;
    for (proof, code) in [
        (channel.proof(1001), "voucher_too_low"),
        (channel.proof(1000), "voucher_too_low"),
        (forged.to_string(), "voucher_invalid"),
        (thief.proof(1010), "wrong_channel"),
        (channel.proof(DEPOSIT + 1), "voucher_above_deposit"),
        (format!("0x{}", "ab".repeat(32)), "malformed_proof"),
    ] {
        let refused = send(&stack, &said, &proof).await;
        assert_eq!(refused.code(), code, "{}", refused.body);
        assert!(!refused.headers.contains_key("x-payment-details"));
    }
    assert_eq!(send(&stack, &said, &channel.proof(1001)).await.json()["next"], "1002");
    let nowhere = json!({ "voucherUrl": format!("/v1/streams/0x{}", "12".repeat(32)) });
    assert_eq!(send(&stack, &nowhere, &channel.proof(1010)).await.code(), "not_found");
    let nothing = json!({ "voucherUrl": "/v1/streams/12" });
    assert_eq!(send(&stack, &nothing, &channel.proof(1010)).await.code(), "malformed_parameter");
    assert_eq!(account(&stack, &channel).await, [1001, 0, 1001]);

    // Copies of the next one are one, and a lower one is none.
    let next = channel.proof(1003);
    let (first, copy) = tokio::join!(send(&stack, &said, &next), send(&stack, &said, &next));
    for answer in [&first, &copy] {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!((&answer.json()["authorized"], &answer.json()["ended"]), (&json!("1003"), &json!(false)));
    }
    assert_eq!(send(&stack, &said, &channel.proof(1002)).await.code(), "voucher_too_low");
    let text = until(&mut response, "three").await;
    assert!(text.contains("two"), "{text}");
    assert_eq!(account(&stack, &channel).await, [1003, 0, 1003]);

    script.write(end(3));
    let text = rest(response).await;
    let receipt = told(&text, "payment-receipt");
    assert_eq!((&receipt["charged"], &receipt["complete"]), (&json!("1003"), &json!(true)), "{text}");
    assert!(text.ends_with(CHAT_DONE), "{text}");
    comes_to(&stack, &channel, [1003, 1003, 0]).await;

    // After its end.
    let late = send(&stack, &said, &channel.proof(1010)).await;
    assert_eq!((late.status, late.code().as_str()), (StatusCode::GONE, "stream_ended"), "{}", late.body);
    assert_eq!(account(&stack, &channel).await, [1003, 1003, 0], "nothing was taken of it");
    let again = begun(&stack, &body, &channel.proof(1001)).await;
    assert_eq!(again.headers()["x-payment-charge"], "1003");
    let text = rest(again).await;
    assert!(text.contains("one") && text.contains("three") && text.ends_with(CHAT_DONE), "{text}");
    assert_eq!(stack.upstream.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_pays_on_for_ends_and_costs_what_was_given() {
    let mut stack = Stack::start_with(SALT402, options("voucher_wait_s = 1")).await;
    let channel = opened(&mut stack, Asset::Native, DEPOSIT, 1).await;
    let script = stack.upstream.script_stream();
    write(&script, &["one", "two", "three", "four"]);
    let mut response = begun(&stack, &chat("ends"), &channel.proof(1002)).await;
    let (text, said) = paused(&mut response).await;
    assert!(text.contains("two") && !text.contains("three"), "{text}");
    let text = rest(response).await;
    assert!(text.contains("stream_ended") && !text.contains("three") && !text.contains("[DONE]"), "{text}");
    let receipt = told(&text, "payment-receipt");
    assert_eq!((&receipt["charged"], &receipt["complete"]), (&json!("1002"), &json!(false)), "{text}");
    assert!(text.trim_end().lines().last().unwrap().contains("\"charged\""), "it is the last event: {text}");
    comes_to(&stack, &channel, [1002, 1002, 0]).await;
    assert_eq!((stack.upstream.left(), stack.upstream.asked()), (1, 1), "the model server was stopped");
    assert_eq!(send(&stack, &said, &channel.proof(1010)).await.code(), "stream_ended");
    let again = begun(&stack, &chat("ends"), &channel.proof(1002)).await;
    assert_eq!(again.headers()["x-payment-charge"], "1002");
    assert!(rest(again).await.contains("two"));

    // The next request needs no more than what is left of the channel.
    let script = stack.upstream.script_stream();
    write(&script, &["five"]);
    script.write(end(1));
    let text = rest(begun(&stack, &chat("next"), &channel.proof(1002 + MOST)).await).await;
    assert_eq!(told(&text, "payment-receipt")["charged"], "1001");
    comes_to(&stack, &channel, [1002 + MOST, 1002 + 1001, 0]).await;
}

/// A stream that tells in each event how many tokens it has written.
fn counting(stack: &Stack) -> StreamScript {
    let script = stack.upstream.script_stream();
    for (text, tokens) in [("one", 1), ("two three four", 4), ("five six", 6)] {
        let choices = json!([{ "index": 0, "delta": { "content": text }, "finish_reason": null }]);
        let usage = json!({ "prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 3 + tokens });
        script.write(format!("data: {}\n\n", json!({ "choices": choices, "usage": usage })));
    }
    script
}

/// A piece of what vLLM streams may be several tokens. It is asked to tell with each how many there are.
#[tokio::test(flavor = "multi_thread")]
async fn pieces_of_several_tokens_are_charged_as_the_server_counts_them_on_the_way() {
    let with_vllm = options("voucher_wait_s = 1");
    let model = format!("{}\nserver = \"vllm\"", with_vllm.model);
    let mut stack = Stack::start_with(SALT402, StackOptions { model, ..with_vllm }).await;
    let channel = opened(&mut stack, Asset::Native, DEPOSIT, 1).await;
    let _script = counting(&stack);
    let mut response = begun(&stack, &chat("counted"), &channel.proof(1004)).await;
    let (text, said) = paused(&mut response).await;
    assert!(text.contains("four") && !text.contains("five"), "{text}");
    assert!(text.contains("\"usage\":null") && !text.contains("completion_tokens"), "{text}");
    assert_eq!((&said["charged"], &said["requiredCumulative"]), (&json!("1004"), &json!("1006")));
    let options = json!({ "include_usage": true, "continuous_usage_stats": true });
    assert_eq!(stack.upstream.last().body["stream_options"], options);
    let text = rest(response).await;
    assert_eq!(told(&text, "payment-receipt")["charged"], "1004", "{text}");
    comes_to(&stack, &channel, [1004, 1004, 0]).await;

    // `/v1/inference/stream` has events of its own.
    let _script = counting(&stack);
    let body = json!({ "model": "counted", "prompt": "counted", "max_tokens": 20 });
    let mut response = ask(&stack, "/v1/inference/stream", &body, &channel.proof(2008)).await;
    let (text, said) = paused(&mut response).await;
    assert!(text.contains("four") && !text.contains("five"), "{text}");
    assert_eq!(said["charged"], "1004");
    assert_eq!(stack.upstream.last().body["stream_options"], options);
    drop(rest(response).await);
    comes_to(&stack, &channel, [2008, 2008, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_of_a_stream_is_charged_after_a_kill_and_given_again() {
    let mut stack = Stack::start_with(SALT402, options("")).await;
    let channel = opened(&mut stack, Asset::Native, DEPOSIT, 1).await;
    // One waits and is shown again, one waits and is not, and one was given nothing of.
    let mut ceiling = 0;
    let mut scripts = Vec::new();
    let mut waiting = Vec::new();
    for name in ["shown", "forgotten"] {
        let script = stack.upstream.script_stream();
        write(&script, &[name, "two", "never"]);
        ceiling += REQUEST + 2;
        let mut response = begun(&stack, &chat(name), &channel.proof(ceiling)).await;
        let (text, _) = paused(&mut response).await;
        assert!(text.contains("two"), "{text}");
        scripts.push(script);
        waiting.push(response);
    }
    let shown = channel.proof(REQUEST + 2);
    scripts.push(stack.upstream.script_stream());
    ceiling += REQUEST + 5;
    let nothing = channel.proof(ceiling);
    let (unanswered, ()) = tokio::join!(
        async {
            let asked = stack.client.post(format!("{}{CHAT}", stack.gateway)).json(&chat("nothing"));
            let asked = asked.header("x-payment-proof", &nothing).header("x-payment-stream", "vouchers");
            tokio::time::timeout(Duration::from_secs(2), asked.send()).await
        },
        async {
            while stack.upstream.asked() < 3 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    );
    assert!(unanswered.is_err(), "nothing was given of it");
    stack.kill();
    stack.up().await;
    stack.ready().await;

    let again = begun(&stack, &chat("shown"), &shown).await;
    assert_eq!(again.headers()["x-payment-charge"], "1002");
    let text = rest(again).await;
    assert!(text.contains("shown") && text.contains("two") && !text.contains("never"), "{text}");
    comes_to(&stack, &channel, [ceiling, 2 * (REQUEST + 2), REQUEST + 5]).await;
    assert_eq!(stack.upstream.asked(), 3);

    let script = stack.upstream.script_stream();
    write(&script, &["run"]);
    script.write(end(1));
    let text = rest(begun(&stack, &chat("nothing"), &nothing).await).await;
    assert!(text.contains("run") && text.ends_with(CHAT_DONE), "{text}");
    comes_to(&stack, &channel, [ceiling, 2 * (REQUEST + 2) + REQUEST + 1, 0]).await;
    assert_eq!(stack.upstream.asked(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_one_channel_share_what_is_signed_and_whoever_leaves_pays_for_what_was_given() {
    let mut stack = Stack::start_with(SALT402, options("")).await;
    let channel = opened(&mut stack, Asset::Native, DEPOSIT, 1).await;
    let scripts = [stack.upstream.script_stream(), stack.upstream.script_stream()];
    scripts.iter().for_each(|script| write(script, &["one", "two", "three"]));
    let mut first = begun(&stack, &chat("first"), &channel.proof(1001)).await;
    paused(&mut first).await;
    let mut second = begun(&stack, &chat("second"), &channel.proof(2002)).await;
    let (_, of_second) = paused(&mut second).await;
    assert_eq!(
        (&of_second["acceptedCumulative"], &of_second["requiredCumulative"]),
        (&json!("2002"), &json!("2003"))
    );
    // A voucher goes to the stream for which it is sent.
    let taken = send(&stack, &of_second, &channel.proof(2003)).await;
    assert_eq!(taken.json()["authorized"], "1002", "{}", taken.body);
    until(&mut second, "two").await;
    let (_, of_second) = paused(&mut second).await;
    assert_eq!(of_second["requiredCumulative"], "2004");
    assert_eq!(account(&stack, &channel).await, [2003, 0, 2003]);

    // The server breaks one off, and the other's client leaves.
    let [one, two] = scripts;
    assert_eq!(send(&stack, &of_second, &channel.proof(2004)).await.status, StatusCode::OK);
    until(&mut second, "three").await;
    two.break_off();
    let text = rest(second).await;
    assert_eq!(told(&text, "payment-receipt")["charged"], "1003", "{text}");
    assert!(text.contains("upstream_failed"), "{text}");
    drop(first);
    comes_to(&stack, &channel, [2004, 1003 + 1001, 0]).await;
    assert!(one.is_closed());
    let again = rest(begun(&stack, &chat("first"), &channel.proof(1001)).await).await;
    assert!(again.contains("one") && !again.contains("two"), "{again}");

    // The same in the gateway's own form.
    let script = stack.upstream.script_stream();
    write(&script, &["a", "b"]);
    let body = json!({ "model": "counted", "prompt": "own", "max_tokens": 20 });
    let mut response = ask(&stack, "/v1/inference/stream", &body, &channel.proof(2004 + 1001)).await;
    let (text, said) = paused(&mut response).await;
    assert!(text.starts_with("data: {\"token\":\"a\",\"index\":0}\n\nevent: payment-need-voucher"), "{text}");
    assert_eq!(send(&stack, &said, &channel.proof(2004 + MOST)).await.json()["authorized"], "1020");
    // Nothing more is taken of a stream that may go on to its end.
    let more = send(&stack, &said, &channel.proof(2004 + MOST + 1)).await;
    assert_eq!(
        (more.status, &more.json()["acceptedCumulative"]),
        (StatusCode::OK, &json!((2004 + MOST).to_string()))
    );
    script.write(end(2));
    let text = rest(response).await;
    assert!(text.contains("\"token\":\"b\"") && text.ends_with(CHAT_DONE), "{text}");
    comes_to(&stack, &channel, [2004 + MOST, 2004 + 1002, 0]).await;
}

/// With whoever pays for all of it at once, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_by_use_that_takes_too_long_ends_and_costs_what_was_given() {
    let mut stack = Stack::start_with(SALT402, options("longest_stream_s = 1")).await;
    let channel = opened(&mut stack, Asset::Native, DEPOSIT, 1).await;
    let scripts = [stack.upstream.script_stream(), stack.upstream.script_stream()];
    write(&scripts[0], &["one", "two"]);
    let text = rest(begun(&stack, &chat("as it goes"), &channel.proof(1010)).await).await;
    let receipt = told(&text, "payment-receipt");
    assert_eq!((&receipt["charged"], &receipt["complete"]), (&json!("1002"), &json!(false)), "{text}");
    assert!(text.contains("stream_ended") && text.contains("two"), "{text}");
    // What it did not use is free once that is written down.
    comes_to(&stack, &channel, [1010, 1002, 0]).await;
    write(&scripts[1], &["three"]);
    let shown = channel.proof(1002 + MOST);
    let response = stack.open(CHAT, &chat("at once"), &[("x-payment-proof", &shown)]).await;
    let text = rest(response).await;
    assert!(
        text.contains("stream_ended") && text.contains("three") && !text.contains("payment-receipt"),
        "{text}"
    );
    comes_to(&stack, &channel, [1002 + MOST, 1002 + 1001, 0]).await;
    assert_eq!((stack.upstream.asked(), stack.upstream.left()), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_before_the_first_byte_pays_for_what_was_read() {
    let options =
        StackOptions { model: "charge = \"used\"\nprice_per_prompt_token = \"1\"".into(), ..options("") };
    let mut stack = Stack::start_with(SALT402, options).await;
    let channel = opened(&mut stack, Asset::Native, DEPOSIT, 1).await;
    let body = chat("a long prompt");
    let unpaid =
        stack.post(&format!("{}{CHAT}", stack.gateway), &body, &[("x-payment-stream", "vouchers")]).await;
    let details: Value = serde_json::from_str(unpaid.headers["x-payment-details"].to_str().unwrap()).unwrap();
    let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let (most, least) = (number(&details["amount"]), number(&details["streamLeast"]));
    assert_eq!(most - least, 19, "the prompt, and a token");
    // Both runs read the prompt, and neither costs more than was signed.
    let shown = channel.proof(DEPOSIT);
    let script = stack.upstream.script_stream();
    let asked =
        stack.client.post(format!("{}{CHAT}", stack.gateway)).json(&body).header("x-payment-proof", &shown);
    assert!(tokio::time::timeout(Duration::from_secs(2), asked.send()).await.is_err());
    while !script.is_closed() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(account(&stack, &channel).await, [DEPOSIT, 0, most]);
    let script = stack.upstream.script_stream();
    write(&script, &["one"]);
    script.write(end(1));
    let mut text = String::new();
    for _ in 0..100 {
        let response = stack.open(CHAT, &body, &[("x-payment-proof", &shown)]).await;
        let is_served = response.status().is_success();
        text = rest(response).await;
        if is_served {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(text.contains("one") && text.ends_with(CHAT_DONE), "{text}");
    comes_to(&stack, &channel, [DEPOSIT, most, 0]).await;
    assert_eq!(stack.upstream.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_by_use_tell_what_they_cost() {
    let options = StackOptions {
        model: "charge = \"used\"\napis = [\"chat\", \"messages\", \"responses\"]\nserver = \"llama.cpp\""
            .into(),
        ..options("")
    };
    let mut stack = Stack::start_with(SALT402, options).await;
    let channel = opened(&mut stack, Asset::Native, DEPOSIT, 1).await;
    let mut ceiling = 0;
    let own = json!({ "model": "counted", "prompt": "own", "max_tokens": 20 });
    let messages = json!({ "model": "counted", "stream": true, "max_tokens": 20, "messages": [{ "role": "user", "content": "hi" }] });
    let responses = json!({ "model": "counted", "stream": true, "max_output_tokens": 20, "input": "hi" });
    for (path, body) in
        [("/v1/inference/stream", own), ("/v1/messages", messages), ("/v1/responses", responses)]
    {
        ceiling += MOST;
        let response = stack.open(path, &body, &[("x-payment-proof", &channel.proof(ceiling))]).await;
        let status = response.status();
        let text = rest(response).await;
        assert!(status.is_success(), "{path}: {text}");
        let last_cost = text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter(|data| data.contains("\"cost\":\"1002\""));
        assert_eq!(last_cost.count(), 1, "{path}: {text}");
        let ended = ["data: [DONE]\n\n", "event: message_stop", "event: response.completed"]
            .iter()
            .any(|end| text.contains(end));
        assert!(ended, "{path}: {text}");
    }
    comes_to(&stack, &channel, [ceiling, 3 * 1002, 0]).await;
}
