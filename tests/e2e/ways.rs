//! The documented ways to ask, as they are documented.

use salt402_tests::{Stack, StackOptions, payment_details, root};
use serde_json::Value;

use crate::SALT402;

/// The example itself; its `main` has fixed addresses and is only compiled.
#[allow(dead_code, reason = "main is not called")]
#[path = "../../paywall/examples/paid_axum.rs"]
mod paid_axum;

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_a_paid_axum_service_is_paid() {
    let stack = Stack::start(SALT402).await;
    let app = paid_axum::app(&stack.verifier).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ask", listener.local_addr().unwrap());
    let service = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let ask = async |proof: &[(&str, &str)]| stack.post(&url, &"why?".into(), proof).await;
    let unpaid = ask(&[]).await;
    assert_eq!(unpaid.status, reqwest::StatusCode::PAYMENT_REQUIRED);
    let details = payment_details(&unpaid);
    assert_eq!(details.amount.to_string(), "1000000000000000");
    let proof = stack.payer().pay(&details).await.to_string();
    let stolen = ask(&[("x-payment-proof", &proof)]).await;
    assert_eq!((stolen.status.as_u16(), stolen.code().as_str()), (402, "quote_required"));
    let payment = [("x-payment-proof", proof.as_str()), ("x-payment-quote", details.quote_id.as_str())];
    let paid = ask(&payment).await;
    assert_eq!(paid.status, reqwest::StatusCode::OK, "{}", paid.body);
    assert_eq!(paid.body, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8 asked: \"why?\"\n");
    let again = ask(&payment).await;
    assert_eq!((again.status.as_u16(), again.code().as_str()), (402, "already_claimed"));
    service.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_commands_ask_by_port_and_by_socket() {
    let text = std::fs::read_to_string(root().join("docs/ask.md")).unwrap();
    let commands = text.split_once("```bash\n").unwrap().1.split_once("```").unwrap().0;
    let verifier = "socket = \"verifier.sock\"".to_owned();
    let stack = Stack::start_with(SALT402, StackOptions { verifier, ..Default::default() }).await;
    let ask = async |socket: bool, shown: Option<(String, String)>| {
        let mut command = std::process::Command::new("bash");
        let prefix = if socket { "SOCKET=(--unix-socket verifier.sock)\n" } else { "" };
        command.arg("-ec").arg(format!("{prefix}{commands}")).current_dir(stack.folder());
        // By the socket, the address says nothing but the path.
        command.env("VERIFIER", if socket { "http://nowhere.invalid" } else { &stack.verifier });
        if let Some((proof, quote)) = shown {
            command.env("PROOF", proof).env("QUOTE", quote);
        }
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        let mut answers = serde_json::Deserializer::from_str(&said).into_iter::<Value>();
        (answers.next().unwrap().unwrap(), answers.next().unwrap().unwrap())
    };
    let (quote, verdict) = ask(false, None).await;
    assert_eq!(verdict["code"], "payment_not_seen", "{verdict}");
    let payee = salt402_tests::PAYEE.parse().unwrap();
    let reference = quote["reference"].as_str().unwrap().parse().unwrap();
    let amount = "1000000000000000".parse().unwrap();
    let payer = stack.payer();
    let payment = payer.prepare(stack.deployment.salt_pay, reference, payee, amount).await;
    let proof = payer.send(&payment).await.to_string();
    let mut stack_status = stack.status().await;
    while stack_status["chains"][0]["payments"] != 1 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        stack_status = stack.status().await;
    }
    let shown = (proof, quote["quote_id"].as_str().unwrap().to_owned());
    let (_, verdict) = ask(true, Some(shown.clone())).await;
    assert_eq!(
        (&verdict["status"], &verdict["claim"]["first"]),
        (&"accepted".into(), &true.into()),
        "{verdict}"
    );
    let (_, verdict) = ask(false, Some(shown)).await;
    assert_eq!(verdict["claim"]["first"], false, "{verdict}");
}
