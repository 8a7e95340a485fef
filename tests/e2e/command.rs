//! `salt402 pay` and `salt402 status`, as a user types them.

use std::process::{Command, Output};

use salt402_tests::{Stack, StackOptions, inference};
use serde_json::Value;

use crate::SALT402;

const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

async fn salt402(stack: &Stack, arguments: &[&str], key: Option<&str>) -> (Output, String, String) {
    let mut command = Command::new(SALT402);
    command.args(arguments).env_remove("SALT402_KEY").env("SALT402_RPC_URL", stack.anvil.http());
    if let Some(key) = key {
        command.env("SALT402_KEY", key);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

#[tokio::test(flavor = "multi_thread")]
async fn pay_pays_within_its_limit_and_prints_the_answer_and_its_cost() {
    let stack = Stack::start(SALT402).await;
    let url = format!("{}/v1/inference", stack.gateway);
    let body = inference("hello").to_string();
    let pay = ["pay", &url, "--network", "local", "--data", &body];
    let with = |more: &[&'static str]| [&pay[..], more].concat();

    let (output, _, err) = salt402(&stack, &with(&["--max", "1015"]), Some(KEY)).await;
    assert!(!output.status.success() && err.contains("the limit is 1015: not paid"), "{err}");
    let (output, _, err) = salt402(&stack, &pay, Some(KEY)).await;
    assert!(!output.status.success() && err.contains("--max"), "{err}");
    let (output, _, err) = salt402(&stack, &with(&["--max", "0.01 SALT"]), None).await;
    assert!(!output.status.success() && err.contains("SALT402_KEY"), "{err}");
    let (output, _, err) = salt402(&stack, &with(&["--max", "0.01 SALT"]), Some("0xnonsense-5ecret")).await;
    assert!(!output.status.success() && !err.contains("5ecret"), "a key is never repeated: {err}");
    let other = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
    let (output, _, err) =
        salt402(&stack, &with(&["--max", "1 SALT", "--recipient", other]), Some(KEY)).await;
    assert!(!output.status.success() && err.contains("not paid"), "{err}");
    assert_eq!(
        (stack.upstream.asked(), stack.status().await["chains"][0]["payments"].clone()),
        (0, Value::from(0))
    );

    let (output, out, err) = salt402(&stack, &with(&["--max", "0.01 SALT"]), Some(KEY)).await;
    assert!(output.status.success(), "{err}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["output"], "answer 1");
    assert!(err.contains("cost 0.000000000000001016 SALT"), "{err}");
    assert!(!format!("{out}{err}").contains(&KEY[2..]), "a key is never printed");

    let (output, _, err) = salt402(&stack, &with(&["--max", "0.01 SALT", "--json"]), Some(KEY)).await;
    assert!(output.status.success(), "{err}");
    let report: Value = serde_json::from_str(err.lines().last().unwrap()).unwrap();
    assert_eq!(report["amount"], "1016");
    // The payment made just now can be shown again, and costs nothing more.
    let (proof, quote) = (report["transaction"].as_str().unwrap(), report["quote_id"].as_str().unwrap());
    let again = [&pay[..], &["--max", "1", "--proof", proof, "--quote", quote]].concat();
    let (output, out, err) = salt402(&stack, &again, Some(KEY)).await;
    assert!(output.status.success(), "{err}");
    assert!(out.contains("answer 2"), "{out}");
    assert_eq!(stack.upstream.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_people_and_machines_and_its_exit_code_tells_scripts() {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    let verifier = stack.verifier.clone();
    let ask = ["status", "--url", &verifier];
    let (output, _, err) = salt402(&stack, &ask, None).await;
    assert!(!output.status.success() && err.contains("is `salt402 up` running"), "{err}");
    stack.up().await;
    let (output, out, _) = salt402(&stack, &ask, None).await;
    assert!(output.status.success() && out.contains("ready") && out.contains("eip155:40204"), "{out}");
    let (_, out, _) = salt402(&stack, &[&ask[..], &["--json"]].concat(), None).await;
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["ready"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn pay_pays_in_a_token_where_that_is_asked() {
    let payment = "asset = \"WRAPPED_SALT\"\nasset_symbol = \"wSALT\"\nasset_decimals = 18".to_owned();
    let stack = Stack::start_with(SALT402, StackOptions { payment, ..Default::default() }).await;
    let token = stack.deployment.wrapped_salt;
    stack.payer().wrap(token, "5000".parse().unwrap()).await;
    let details = stack.quote(&inference("in tokens")).await;
    assert_eq!((details.asset.to_string(), details.symbol.as_str()), (token.to_string(), "wSALT"));

    let url = format!("{}/v1/inference", stack.gateway);
    let (body, token) = (inference("in tokens").to_string(), token.to_string());
    let pay = ["pay", &url, "--network", "local", "--max", "1016", "--data", &body];
    let (output, _, err) = salt402(&stack, &pay, Some(KEY)).await;
    assert!(!output.status.success() && err.contains("the limit is in native: not paid"), "{err}");
    let (output, out, err) = salt402(&stack, &[&pay[..], &["--token", &token]].concat(), Some(KEY)).await;
    assert!(output.status.success(), "{err}");
    assert!(out.contains("answer 1") && err.contains(&format!("cost 1016 base units of {token}")), "{err}");
    assert_eq!((stack.upstream.asked(), stack.status().await["claims"].clone()), (1, Value::from(1)));
    // A payment in the native coin for the same reference is not what was asked.
    let native = stack.quote(&inference("in coins")).await;
    let proof = stack.payer().pay(&native).await;
    assert_eq!(stack.infer_with(&inference("in coins"), proof).await.code(), "wrong_asset");
}
