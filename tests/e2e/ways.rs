//! The documented ways to ask, as they are documented.

use salt402_tests::{Stack, StackOptions, root};
use serde_json::Value;

use crate::SALT402;

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_commands_ask_by_port_and_by_socket() {
    let text = std::fs::read_to_string(root().join("docs/proxy.md")).unwrap();
    let commands = text.split_once("```bash\n").unwrap().1.split_once("```").unwrap().0;
    let verifier = "socket = \"verifier.sock\"".to_owned();
    let stack = Stack::start_with(SALT402, StackOptions { verifier, ..Default::default() }).await;
    let ask = async |socket: bool, proof: Option<String>| {
        let mut command = std::process::Command::new("bash");
        let prefix = if socket { "SOCKET=(--unix-socket verifier.sock)\n" } else { "" };
        command.arg("-ec").arg(format!("{prefix}{commands}")).current_dir(stack.folder());
        // By the socket, the address says nothing but the path.
        command.env("VERIFIER", if socket { "http://nowhere.invalid" } else { &stack.verifier });
        if let Some(proof) = proof {
            command.env("PROOF", proof);
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
    let (_, verdict) = ask(true, Some(proof.clone())).await;
    assert_eq!(
        (&verdict["status"], &verdict["claim"]["first"]),
        (&"accepted".into(), &true.into()),
        "{verdict}"
    );
    let (_, verdict) = ask(false, Some(proof)).await;
    assert_eq!(verdict["claim"]["first"], false, "{verdict}");
}
