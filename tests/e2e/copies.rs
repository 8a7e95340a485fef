//! Gateways of one identity at one verifier, as copies of a folder are.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use salt402_protocol::details::DETAILS_HEADER;
use salt402_tests::{Answer, Salt402, Stack, free_port, inference, payment_details};

use crate::SALT402;

/// The configuration of a gateway that runs alone at the stack's verifier, over the answers in a folder, and its address.
fn gateway(stack: &Stack, data: &str) -> (std::path::PathBuf, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let text = std::fs::read_to_string(stack.config()).unwrap();
    let text = text.replace("data = \"data\"", &format!("data = \"{data}\"")).replace(
        &format!("listen = \"{}\"", stack.gateway.trim_start_matches("http://")),
        &format!("listen = \"{address}\""),
    );
    let config = stack.folder().join(format!("{data}.toml"));
    std::fs::write(&config, text).unwrap();
    (config, format!("http://{address}"))
}

fn serve(stack: &Stack, config: &Path) -> Salt402 {
    Salt402::start(stack.binary(), "serve", config)
}

async fn ask(stack: &Stack, base: &str, prompt: &str, proof: Option<&str>) -> Answer {
    let headers: Vec<_> = proof.map(|proof| ("x-payment-proof", proof)).into_iter().collect();
    stack.post(&format!("{base}/v1/inference"), &inference(prompt), &headers).await
}

fn shut_out(answer: &Answer) {
    let told = (answer.status, answer.code());
    assert_eq!(told, (StatusCode::SERVICE_UNAVAILABLE, "identity_in_use".into()), "{}", answer.body);
    assert!(answer.headers.get(DETAILS_HEADER).is_none(), "nobody is told of a price");
}

#[tokio::test(flavor = "multi_thread")]
async fn c12_a_copied_folder_sells_and_runs_nothing_beside_its_original_and_kill_9_costs_the_original_nothing()
 {
    let mut stack = Stack::start(SALT402).await;
    let ((config, one), (copied, copy)) = (gateway(&stack, "one"), gateway(&stack, "copy"));
    let ready = |base: &str| format!("{base}/readyz");
    let original = serve(&stack, &config);
    stack.until(&ready(&one), |answer| answer.status == StatusCode::OK).await;
    original.kill();
    std::fs::create_dir(stack.folder().join("copy")).unwrap();
    for file in std::fs::read_dir(stack.folder().join("one")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), stack.folder().join("copy").join(file.file_name())).unwrap();
    }

    let original = serve(&stack, &config);
    stack.until(&ready(&one), |answer| answer.status == StatusCode::OK).await;
    let copied = serve(&stack, &copied);
    let give_up = Instant::now() + Duration::from_secs(30);
    while !copied.log().contains("another live process has this identity") {
        assert!(Instant::now() < give_up, "{}", copied.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(stack.get(&ready(&copy)).await.status, StatusCode::SERVICE_UNAVAILABLE);
    shut_out(&ask(&stack, &copy, "one", None).await);

    let details = payment_details(&ask(&stack, &one, "one", None).await);
    let proof = stack.payer().pay(&details).await.to_string();
    let asked = stack.upstream.asked();
    shut_out(&ask(&stack, &copy, "one", Some(&proof)).await);
    assert_eq!(stack.upstream.asked(), asked);
    let served = ask(&stack, &one, "one", Some(&proof)).await;
    assert_eq!(served.status, StatusCode::OK, "{}", served.body);
    shut_out(&ask(&stack, &copy, "one", Some(&proof)).await);
    assert_eq!(stack.upstream.asked(), asked + 1, "it was run once");

    // Killed in the middle of a run: the next process in the same folder goes on at once, and the copy does not.
    let details = payment_details(&ask(&stack, &one, "two", None).await);
    let proof = stack.payer().pay(&details).await.to_string();
    stack.upstream.delay(Duration::from_secs(30));
    let request = stack.client.post(format!("{one}/v1/inference")).header("x-payment-proof", &proof);
    let broken = tokio::spawn(request.json(&inference("two")).send());
    while stack.upstream.asked() < asked + 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    original.kill();
    assert!(broken.await.unwrap().is_err());
    stack.upstream.delay(Duration::ZERO);
    shut_out(&ask(&stack, &copy, "two", Some(&proof)).await);
    let _original = serve(&stack, &config);
    stack.until(&ready(&one), |answer| answer.status == StatusCode::OK).await;
    let served = ask(&stack, &one, "two", Some(&proof)).await;
    assert_eq!(served.status, StatusCode::OK, "{}", served.body);
    shut_out(&ask(&stack, &copy, "two", Some(&proof)).await);
}
