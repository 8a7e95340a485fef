//! The parts in processes of their own, and a node that is not there yet.

use reqwest::StatusCode;
use salt402_tests::{Anvil, Salt402, Stack, StackOptions, inference, payment_details};

use crate::SALT402;

#[tokio::test(flavor = "multi_thread")]
async fn indexer_verifier_and_gateway_work_as_three_processes() {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    std::fs::write(stack.folder().join("token"), "a token for the verifier\n").unwrap();
    let verifier = "token_file = \"token\"".to_owned();
    stack.configure(&StackOptions { verifier, ..Default::default() });
    // The indexer's status page would want the verifier's port.
    let text = std::fs::read_to_string(stack.config()).unwrap();
    let indexer = stack.folder().join("indexer.toml");
    std::fs::write(&indexer, text.replace(stack.verifier.trim_start_matches("http://"), "127.0.0.1:0"))
        .unwrap();
    let index = Salt402::start(stack.binary(), "index", &indexer);
    let verify = stack.role("verify");
    let serve = stack.role("serve");
    stack.ready().await;

    let body = inference("three processes");
    stack.anvil.automine(false).await;
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    let mine = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        stack.anvil.mine(1).await;
    };
    let (answer, ()) = tokio::join!(stack.infer_with(&body, proof), mine);
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(stack.infer_with(&body, proof).await.body, answer.body);
    assert_eq!(stack.upstream.asked(), 1);

    // Whoever does not have the token may not ask.
    let quotes = format!("{}/v1/quotes", stack.verifier);
    let refused = stack.post(&quotes, &serde_json::json!({}), &[]).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::UNAUTHORIZED, "unauthorized"));
    let refused = stack.get(&format!("{}/v1/status", stack.verifier)).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let token = [("authorization", "Bearer a token for the verifier")];
    assert_eq!(stack.post(&quotes, &serde_json::json!({}), &token).await.code(), "malformed_json");
    for log in [index.log(), verify.log(), serve.log()] {
        assert!(!log.contains("a token for the verifier"), "{log}");
    }

    // A second indexer on the same database is refused.
    let second =
        std::process::Command::new(SALT402).args(["index", "--config"]).arg(&indexer).output().unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("index"), "{said}");

    // So is a second gateway over the same answers.
    let second = Salt402::start(stack.binary(), "serve", &stack.config());
    let said = second.ends();
    assert!(said.contains("another gateway already works on this database"), "{said}");

    // Without its indexer the verifier says that it is not current.
    assert!(index.terminate().success());
    let ready = format!("{}/readyz", stack.verifier);
    stack.until(&ready, |answer| answer.status == StatusCode::SERVICE_UNAVAILABLE).await;
    let answer =
        stack.client.get(&ready).header(token[0].0, token[0].1).send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("salt402 index"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_not_there_is_waited_for() {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    let port = stack.anvil.port;
    std::mem::replace(&mut stack.anvil, Anvil::start().await).stop();
    stack.process = Some(stack.role("up"));
    let ready = format!("{}/readyz", stack.verifier);
    let answer = stack.until(&ready, |answer| answer.status == StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(answer.code(), "not_ready");
    assert_eq!(stack.get(&format!("{}/healthz", stack.verifier)).await.status, StatusCode::OK);
    stack.until(&ready, |answer| answer.body.contains("cannot reach http://127.0.0.1")).await;

    stack.anvil = Anvil::start_another_on(port).await;
    stack.anvil.deploy(&stack.deployment.folder).await;
    stack.ready().await;
    let body = inference("late node");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    assert_eq!(stack.infer_with(&body, proof).await.status, StatusCode::OK);

    // A chain that was reset under the same id is not mixed with the old one.
    std::mem::replace(&mut stack.anvil, Anvil::start().await).stop();
    stack.until(&ready, |answer| answer.status == StatusCode::SERVICE_UNAVAILABLE).await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    stack.anvil = Anvil::start_another_on(port).await;
    let answer = stack.until(&ready, |answer| answer.body.contains("genesis")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let known = stack.get(&format!("{}/v1/payments/{proof}?chain=eip155:40204", stack.verifier)).await.json();
    assert_eq!(known["payments"].as_array().unwrap().len(), 1, "what was indexed can still be read");
}

/// A second gateway beside that of a stack, at the same verifier: one over its own answers, in a folder and at an address
/// of its own, with its own price.
async fn second_gateway(stack: &mut Stack, price: &str) -> (String, Salt402) {
    let text = std::fs::read_to_string(stack.config()).unwrap();
    let other = format!("http://127.0.0.1:{}", salt402_tests::free_port());
    let text = text
        .replace("data = \"data\"", "data = \"other\"")
        .replace("price_per_request = \"1000\"", &format!("price_per_request = \"{price}\""))
        .replace(&format!("listen = \"{}\"", stack.gateway.trim_start_matches("http://")), &{
            format!("listen = \"{}\"", other.trim_start_matches("http://"))
        });
    let second = stack.folder().join("second.toml");
    std::fs::write(&second, text).unwrap();
    let process = Salt402::start(stack.binary(), "serve", &second);
    stack.until(&format!("{other}/readyz"), |answer| answer.status == StatusCode::OK).await;
    (other, process)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_at_a_cheap_gateway_buys_nothing_at_a_dear_one() {
    let mut stack = Stack::start(SALT402).await;
    let (dear, _process) = second_gateway(&mut stack, "1000000").await;
    let ask = async |stack: &Stack, gateway: &str, body: &serde_json::Value, headers: &[(&str, &str)]| {
        stack.post(&format!("{gateway}/v1/inference"), body, headers).await
    };
    for binding in [&[][..], &[("x-payment-binding", "quote")]] {
        let body = inference(&format!("cheap or dear {}", binding.len()));
        let details = payment_details(&ask(&stack, &stack.gateway, &body, binding).await);
        let proof = stack.payer().pay(&details).await.to_string();
        let payment = [("x-payment-proof", proof.as_str()), ("x-payment-quote", details.quote_id.as_str())];
        let asked = stack.upstream.asked();
        let shown = ask(&stack, &dear, &body, &payment).await;
        assert_eq!(
            (shown.status.as_u16(), shown.code().as_str()),
            (409, "quote_not_honoured"),
            "{}",
            shown.body
        );
        assert!(!shown.headers.contains_key("x-payment-details"), "whoever has paid is not led to pay again");
        assert_eq!(ask(&stack, &dear, &body, &payment[..1]).await.code(), "insufficient_payment");
        assert_eq!(stack.upstream.asked(), asked);
        let answer = ask(&stack, &stack.gateway, &body, &payment).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_that_race_for_one_proof_run_it_once() {
    let mut stack = Stack::start(SALT402).await;
    let (other, _second) = second_gateway(&mut stack, "1000").await;

    for round in 0..6 {
        let body = inference(&format!("raced {round}"));
        let details = stack.quote(&body).await;
        let proof = stack.payer().pay(&details).await.to_string();
        let headers = [("x-payment-proof", proof.as_str())];
        let ask = async |gateway: &str| stack.post(&format!("{gateway}/v1/inference"), &body, &headers).await;
        let (a, b, c, d) = tokio::join!(ask(&stack.gateway), ask(&other), ask(&stack.gateway), ask(&other));
        assert_eq!(stack.upstream.asked(), round + 1, "one execution");
        // Both copies at the gateway that quoted are answered; at the other it is nothing that was quoted there.
        for (won, lost) in [(&a, &b), (&c, &d)] {
            assert_eq!(won.status, StatusCode::OK, "{}", won.body);
            assert_eq!((lost.status.as_u16(), lost.code().as_str()), (402, "reference_mismatch"));
        }
        assert_eq!(stack.status().await["claims"], round + 1);
    }
}
