//! Providers that refuse in their own words, before a real chain: the past is read through them, and payments count.

use reqwest::StatusCode;
use salt402_tests::{Fault, NodeProxy, Stack, StackOptions, inference};
use serde_json::Value;

use crate::SALT402;

/// What a provider says to a request, if it refuses it.
type Refuses = fn(&[Value]) -> Option<Fault>;

/// How many blocks the widest question for logs spans.
fn width(questions: &[Value]) -> u64 {
    let height = |value: &Value| u64::from_str_radix(value.as_str()?.trim_start_matches("0x"), 16).ok();
    let of = |one: &Value| {
        let filter = &one["params"][0];
        Some(height(&filter["toBlock"])?.saturating_sub(height(&filter["fromBlock"])?) + 1)
    };
    let logs = questions.iter().filter(|one| one["method"] == "eth_getLogs");
    logs.filter_map(of).max().unwrap_or(0)
}

fn says(code: i64, words: &str) -> Option<Fault> {
    Some(Fault::Error(code, words.into()))
}

const PROVIDERS: [(&str, Refuses); 5] = [
    ("Alchemy, free", |asked| {
        let words = "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. Based on your \
                     parameters, this block range should work: [0x5cfb3a, 0x5cfb43]. Upgrade to PAYG for expanded block \
                     range.";
        if width(asked) > 10 { says(-32600, words) } else { None }
    }),
    ("dRPC, free", |asked| {
        let words = "Batch of more than 3 requests are not allowed on free tier, to use this feature register paid account";
        if asked.len() > 3 { says(31, words) } else { None }
    }),
    ("Infura", |asked| {
        let words = "query returned more than 10000 results. Try with this block range [0x1, 0x2].";
        if width(asked) > 33 { says(-32005, words) } else { None }
    }),
    ("public BSC", |asked| if width(asked) > 7 { says(-32005, "limit exceeded") } else { None }),
    ("a gateway that gives up", |asked| if width(asked) > 20 { Some(Fault::Status(413)) } else { None }),
];

#[tokio::test(flavor = "multi_thread")]
async fn f32_the_past_is_read_through_providers_that_refuse_in_their_own_words_and_payments_count() {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    let payer = stack.payer();
    let contract = stack.deployment.salt_pay;
    let mut made = 0;
    for number in 0_u8..6 {
        let reference = salt402_protocol::B256::repeat_byte(number + 1);
        let amount = salt402_protocol::Amount::from_base_units("5").unwrap();
        let payment = payer.prepare(contract, reference, salt402_tests::PAYEE.parse().unwrap(), amount).await;
        payer.send(&payment).await;
        stack.anvil.mine(40).await;
        made += 1;
    }
    for (who, refuses) in PROVIDERS {
        let node = NodeProxy::before(stack.anvil.http()).await;
        node.refuses_questions(refuses);
        // Each begins anew.
        let _ = std::fs::remove_dir_all(stack.folder().join("data"));
        stack.configure(&StackOptions {
            chain: "completeness = \"off\"".into(),
            nodes: format!("[[chains.local.nodes]]\nrpc = \"{}\"", node.http()),
            ..Default::default()
        });
        stack.up().await;
        stack.indexed(stack.anvil.height().await).await;
        assert_eq!(stack.status().await["chains"][0]["payments"], made, "{who}");
        let body = inference(who);
        let details = stack.quote(&body).await;
        let proof = payer.pay(&details).await;
        made += 1;
        let answer = stack.infer_with(&body, proof).await;
        assert_eq!(answer.status, StatusCode::OK, "{who}: {}", answer.body);
        stack.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_answers_one_question_at_a_time_is_refused_with_what_it_must_take() {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    let node = NodeProxy::before(stack.anvil.http()).await;
    node.refuses_questions(|asked| {
        let words = "Batch calls are available for paid plans only";
        if asked.len() > 1 { says(-32000, words) } else { None }
    });
    stack.configure(&StackOptions {
        chain: "completeness = \"off\"".into(),
        nodes: format!("[[chains.local.nodes]]\nrpc = \"{}\"", node.http()),
        ..Default::default()
    });
    stack.process = Some(stack.role("up"));
    let status = format!("{}/v1/status", stack.verifier);
    let told = |answer: &salt402_tests::Answer| {
        let told = answer.json();
        told["chains"][0]["reason"].as_str().is_some_and(|why| why.contains("it must take two"))
    };
    stack.until(&status, told).await;
    let check = ["config", "check", "--config"];
    let output = std::process::Command::new(SALT402).args(check).arg(stack.config()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("two questions in one request"), "{text}");
}
