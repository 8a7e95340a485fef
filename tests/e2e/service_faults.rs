//! Services that fail, clients that leave, and kill -9: nobody pays twice, and nobody is served twice.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use salt402_tests::{Act, Stack, TestService};
use tokio::sync::Notify;

use crate::SALT402;
use crate::services::{Asked, FREE, PAID, selling};

/// Shows a proof until the pause after a failure is over.
async fn after_the_pause(stack: &Stack, paid: &Asked) -> salt402_tests::Answer {
    loop {
        let answer = paid.send(stack).await;
        if answer.status != StatusCode::FAILED_DEPENDENCY || answer.code() != "upstream_failed" {
            return answer;
        }
        let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_millis(200.min(wait * 1000))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_fails_is_owed_to_its_payer_and_run_again() {
    for kept in ["", "keep_answers_bytes = 1000"] {
        let service = TestService::start().await;
        let mut stack = Stack::start_with(SALT402, selling(&service, kept, &[PAID])).await;
        let mut asked = 0;
        let failures: Vec<(&str, Vec<Act>)> = vec![
            ("500", vec![Act::answer("500 Internal Server Error", "", "oops")]),
            ("busy", vec![Act::answer("429 Too Many Requests", "retry-after: 1\r\n", "wait")]),
            (
                "its own price",
                vec![Act::answer("402 Payment Required", "payment-required: e30=\r\n", "pay me")],
            ),
            ("nobody in", vec![Act::answer("401 Unauthorized", "www-authenticate: Basic\r\n", "who?")]),
            ("before the head", vec![Act::Reset]),
            ("within the head", vec![Act::send("HTTP/1.1 200 OK\r\ncontent-"), Act::Reset]),
        ];
        for (what, acts) in failures {
            let paid = Asked::get(&stack, &format!("/paid/{}", what.replace(' ', "-"))).paid(&stack).await;
            if what == "before the head" {
                // Over a kept connection it would be sent once more. None is kept for that long.
                tokio::time::sleep(Duration::from_millis(4_500)).await;
            }
            service.script(acts);
            let failed = paid.send(&stack).await;
            assert_eq!(
                (failed.status, failed.code().as_str()),
                (StatusCode::FAILED_DEPENDENCY, "upstream_failed"),
                "{what}"
            );
            assert_eq!(failed.headers["x-should-retry"], "false");
            assert!(
                !failed.headers.contains_key("x-payment-details") && !failed.body.contains("pay me"),
                "{what}"
            );
            let served = after_the_pause(&stack, &paid).await;
            assert_eq!(served.status, StatusCode::OK, "{what}: {}", served.body);
            asked += 2;
            assert_eq!(service.asked(), asked, "{what}");
        }
        stack.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_service_breaks_off_was_not_given() {
    let service = TestService::start().await;
    let mut stack = Stack::start_with(SALT402, selling(&service, "", &[PAID])).await;
    let paid = Asked::get(&stack, "/paid/half").paid(&stack).await;
    service.script([Act::send("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf"), Act::Reset]);
    let response = paid.request(&stack).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.bytes().await.is_err(), "the client sees that it is half an answer");
    let early = paid.send(&stack).await;
    assert_eq!(early.code(), "upstream_failed", "it is on disk before the client sees it");
    let whole = after_the_pause(&stack, &paid).await;
    assert_eq!((whole.status, service.asked()), (StatusCode::OK, 2), "{}", whole.body);
    assert_eq!(paid.send(&stack).await.code(), "outcome_gone");
    assert_eq!(service.asked(), 2);
    stack.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_with_one_proof_are_one_run() {
    for (kept, both) in [("", false), ("keep_answers_bytes = 1000", true)] {
        let service = TestService::start().await;
        let mut stack = Stack::start_with(SALT402, selling(&service, kept, &[PAID])).await;
        let paid = Asked::get(&stack, "/paid/x").paid(&stack).await;
        let go = Arc::new(Notify::new());
        service.script([Act::Wait(Arc::clone(&go)), Act::answer("200 OK", "", "one")]);
        let requests: Vec<_> = (0..2).map(|_| tokio::spawn(paid.request(&stack).send())).collect();
        service.until_asked(1).await;
        // The other is on its way too, or has arrived.
        tokio::time::sleep(Duration::from_millis(200)).await;
        go.notify_one();
        let mut answers = Vec::new();
        for request in requests {
            let response = request.await.unwrap().unwrap();
            answers.push((response.status(), response.text().await.unwrap()));
        }
        answers.sort();
        assert_eq!(answers[0], (StatusCode::OK, "one".to_owned()), "{answers:?}");
        if both {
            assert_eq!(answers[1], answers[0]);
        } else {
            assert_eq!(answers[1].0, StatusCode::GONE, "{answers:?}");
        }
        assert_eq!(service.asked(), 1);
        stack.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_and_not_answered_is_run_again_after_a_kill() {
    for kept in ["", "keep_answers_bytes = 1000"] {
        let service = TestService::start().await;
        let mut stack = Stack::start_with(SALT402, selling(&service, kept, &[PAID])).await;
        let paid = Asked::get(&stack, "/paid/x").paid(&stack).await;
        service.script([Act::Wait(Arc::default())]);
        let broken = tokio::spawn(paid.request(&stack).send());
        service.until_asked(1).await;
        stack.kill();
        assert!(broken.await.unwrap().is_err(), "nobody was answered");
        stack.up().await;
        let answer = paid.send(&stack).await;
        assert_eq!((answer.status, service.asked()), (StatusCode::OK, 2), "{}", answer.body);
        assert_eq!(stack.status().await["claims"], 1);
        stack.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_before_the_answer_begins_is_served_when_it_is_back() {
    let service = TestService::start().await;
    let mut options = selling(&service, "", &[PAID]);
    options.gateway = "leave_grace_s = 1".into();
    let mut stack = Stack::start_with(SALT402, options).await;
    let go = Arc::new(Notify::new());
    let paid = Asked::get(&stack, "/paid/x").paid(&stack).await;
    service.script([Act::Wait(Arc::clone(&go)), Act::answer("200 OK", "", "late")]);
    let left = tokio::spawn(paid.request(&stack).send());
    service.until_asked(1).await;
    left.abort();
    // It is back soon enough, and follows the same run.
    let back = tokio::spawn(paid.request(&stack).send());
    tokio::time::sleep(Duration::from_millis(300)).await;
    go.notify_one();
    assert_eq!(back.await.unwrap().unwrap().text().await.unwrap(), "late");
    assert_eq!(service.asked(), 1);

    // Who stays away has it run again.
    let paid = Asked::get(&stack, "/paid/y").paid(&stack).await;
    service.script([Act::Wait(Arc::default())]);
    let left = tokio::spawn(paid.request(&stack).send());
    service.until_asked(2).await;
    left.abort();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let answer = after_the_pause(&stack, &paid).await;
    assert_eq!((answer.status, service.asked()), (StatusCode::OK, 3), "{}", answer.body);
    stack.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn c18_nothing_is_sold_of_a_service_that_fails_or_is_full() {
    let service = TestService::start().await;
    let more = "at_once = 1\nqueue = 0";
    let mut stack = Stack::start_with(SALT402, selling(&service, more, &[PAID, FREE])).await;
    // While one runs, nobody is told a price; who paid before is let in afterwards.
    let (one, two) = (Asked::get(&stack, "/paid/1"), Asked::get(&stack, "/paid/2"));
    let (one, two) = (one.paid(&stack).await, two.paid(&stack).await);
    let go = Arc::new(Notify::new());
    service.script([Act::Wait(Arc::clone(&go)), Act::answer("200 OK", "", "one")]);
    let running = tokio::spawn(one.request(&stack).send());
    service.until_asked(1).await;
    for refused in [&two, &Asked::get(&stack, "/paid/3"), &Asked::get(&stack, "/free/x")] {
        let refused = refused.send(&stack).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "at_capacity")
        );
        assert!(!refused.headers.contains_key("x-payment-details"));
    }
    go.notify_one();
    assert_eq!(running.await.unwrap().unwrap().text().await.unwrap(), "one");
    let served = loop {
        let answer = two.send(&stack).await;
        if answer.status != StatusCode::SERVICE_UNAVAILABLE {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((served.status, service.asked()), (StatusCode::OK, 2), "{}", served.body);

    // It keeps failing, also what the gateway asks itself.
    service.fail(true);
    let owed = Asked::get(&stack, "/paid/owed").paid(&stack).await;
    service.script([Act::answer("500 Internal Server Error", "", "")]);
    assert_eq!(owed.send(&stack).await.code(), "upstream_failed");
    let (url, unsold) = (format!("{}/paid/new", stack.gateway), "service_unavailable");
    let answer = stack.until(&url, |answer| answer.code() == unsold).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.headers.contains_key("x-payment-details"));
    // Whoever has paid is served all the same, if the service does that.
    let served = after_the_pause(&stack, &owed).await;
    assert_eq!(served.status, StatusCode::OK, "{}", served.body);
    service.fail(false);
    stack.until(&url, |answer| answer.status == StatusCode::PAYMENT_REQUIRED).await;
    stack.kill();
}
