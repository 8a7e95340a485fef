//! Vouchers while what is known of their channels is not current: the node is cut off, withholds blocks, or the channels'
//! past is still being read. Nothing new is granted, nothing is refused, and what was granted is answered again.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use salt402_protocol::{Amount, Asset, ChainId, Code};
use salt402_store::{Options, Store};
use salt402_tests::{NodeProxy, Stack, StackOptions, TestChannel, TestPayer, inference};
use serde_json::Value;

use crate::SALT402;
use crate::vouchers::{PRICE, accounts, caught_up, opened, refused, served, show, taking_vouchers};

/// Blocks that are final on a development chain have so many upon them.
const FINALITY_DEPTH: u64 = 8;

/// A stack that takes vouchers and sees the chain through one proxy alone.
async fn behind_a_proxy(gateway: &str, overrides: &str) -> (Stack, NodeProxy) {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    let proxy = NodeProxy::before(stack.anvil.http()).await;
    stack.configure(&StackOptions {
        chain: format!("vouchers = true\n[chains.local.overrides]\n{overrides}"),
        nodes: format!("[[chains.local.nodes]]\nrpc = \"{}\"", proxy.http()),
        gateway: gateway.into(),
        ..StackOptions::default()
    });
    stack.up().await;
    (stack, proxy)
}

/// Says in the database that the node was last heard of so many seconds ago: a node that is cut off says nothing else
/// meanwhile.
async fn last_heard(stack: &Stack, seconds_ago: u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let at_ms = u64::try_from(now.as_millis()).unwrap() - seconds_ago * 1000;
    let store = Store::open(Options::new(stack.folder().join("data/salt402.db"))).await.unwrap();
    store.note_head_at(ChainId::CITRATE, stack.anvil.height().await, at_ms).await.unwrap();
    store.close().await;
}

/// Shows a voucher to whoever answers at once: it is pending, and nobody is asked to pay.
async fn not_current(stack: &Stack, prompt: &str, proof: &str) -> String {
    let answer = show(stack, prompt, proof).await;
    assert_eq!(answer.code(), Code::ChannelNotCurrent.as_str(), "{prompt}: {}", answer.body);
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key("retry-after"));
    assert!(!answer.headers.contains_key("x-payment-details"), "nobody is led to pay again");
    answer.json()["detail"].as_str().unwrap().to_owned()
}

async fn until_somebody_waits(stack: &mut Stack) {
    let status = format!("{}/v1/status", stack.verifier);
    stack.until(&status, |answer| answer.json()["waiting"].as_u64() == Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f14_with_the_node_cut_off_a_new_voucher_waits_an_old_one_is_answered_and_the_node_ends_the_wait() {
    let (mut stack, proxy) = behind_a_proxy("wait_ms = 30000", "").await;
    let channel = opened(&mut stack, Asset::Native, 4 * PRICE, 1).await;
    let first = served(&stack, "one", &channel.proof(PRICE)).await;

    proxy.fails();
    let status = format!("{}/v1/status", stack.verifier);
    stack.until(&status, |answer| answer.json()["chains"][0]["phase"] == "failing").await;
    served(&stack, "two", &channel.proof(2 * PRICE)).await;
    // A quarter of the channel's 15 minutes is over.
    last_heard(&stack, 226).await;
    let waiting = {
        let (request, proof) = (inference("three"), channel.proof(3 * PRICE));
        let sent = stack
            .client
            .post(format!("{}/v1/inference", stack.gateway))
            .json(&request)
            .header("x-payment-proof", proof)
            .send();
        tokio::spawn(sent)
    };
    until_somebody_waits(&mut stack).await;
    assert_eq!(served(&stack, "one", &channel.proof(PRICE)).await, first, "what was granted is answered");
    assert_eq!(stack.upstream.asked(), 2, "nothing new is served");
    assert!(!waiting.is_finished());
    assert_eq!(spent(&stack, &channel).await, 2 * PRICE);

    // No block came meanwhile: what is heard of the node again ends the wait.
    proxy.answers(|_, result| result);
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
    assert_eq!((stack.upstream.asked(), spent(&stack, &channel).await), (3, 3 * PRICE));
}

/// What was granted of a channel, as the database has it.
async fn spent(stack: &Stack, channel: &TestChannel) -> u64 {
    u64::try_from(accounts(stack).await[&channel.id].account.spent.0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn f14_with_the_newest_blocks_withheld_no_voucher_is_granted_and_the_exit_in_them_is_found() {
    let (mut stack, proxy) = behind_a_proxy("wait_ms = 0", "").await;
    let leaves = opened(&mut stack, Asset::Native, 4 * PRICE, 1).await;
    let stays = opened(&mut stack, Asset::Native, 4 * PRICE, 2).await;
    let first = served(&stack, "one", &leaves.proof(PRICE)).await;

    // While it is away a payer leaves, in one of the blocks that are not final yet. Of those it withholds the content
    // when it is back, and tells their headers.
    proxy.fails();
    stack.anvil.mine(FINALITY_DEPTH).await;
    stack.payer().call(leaves.contract, leaves.exit_call(), Amount::ZERO).await;
    let height = stack.anvil.height().await;
    proxy.answers(|method, result| match method {
        "eth_getBlockReceipts" => Value::Null,
        _ => result,
    });
    let status = format!("{}/v1/status", stack.verifier);
    let behind = |answer: &salt402_tests::Answer| {
        let chain = &answer.json()["chains"][0];
        chain["head"] == height && chain["indexed"] == height - FINALITY_DEPTH
    };
    stack.until(&status, behind).await;
    for (prompt, channel) in [("two", &leaves), ("three", &stays)] {
        let proof = channel.proof(2 * PRICE);
        let detail = not_current(&stack, prompt, &proof).await;
        assert!(detail.contains(&format!("{FINALITY_DEPTH} blocks behind")), "{detail}");
    }
    assert_eq!(served(&stack, "one", &leaves.proof(PRICE)).await, first, "what was granted is answered");
    assert_eq!(stack.upstream.asked(), 1);

    proxy.answers(|_, result| result);
    stack.indexed(height).await;
    assert_eq!(refused(&stack, "two", &leaves.proof(2 * PRICE)).await.0, "channel_exiting");
    served(&stack, "three", &stays.proof(2 * PRICE)).await;
    assert_eq!(stack.upstream.asked(), 2);
}

/// A chain that is said to make blocks steadily, and whose newest block is old: the node answers all the same.
#[tokio::test(flavor = "multi_thread")]
async fn f14_while_a_node_that_answers_shows_no_young_block_no_voucher_is_granted_where_blocks_come_steadily()
{
    let (mut stack, proxy) = behind_a_proxy("wait_ms = 0", "steady_blocks = true").await;
    let channel = opened(&mut stack, Asset::Native, 4 * PRICE, 1).await;
    let first = served(&stack, "one", &channel.proof(PRICE)).await;

    proxy.answers(|method, mut result| {
        if method.starts_with("eth_getBlockBy") && result["timestamp"].is_string() {
            let at = result["timestamp"].as_str().unwrap().trim_start_matches("0x").to_owned();
            let at = u64::from_str_radix(&at, 16).unwrap() - 300;
            result["timestamp"] = format!("{at:#x}").into();
        }
        result
    });
    stack.anvil.mine(1).await;
    caught_up(&mut stack).await;
    let detail = not_current(&stack, "two", &channel.proof(2 * PRICE)).await;
    assert!(detail.contains("newest block") && detail.contains("at most 260 s"), "{detail}");
    assert_eq!(served(&stack, "one", &channel.proof(PRICE)).await, first, "what was granted is answered");
    assert_eq!(stack.upstream.asked(), 1);

    proxy.answers(|_, result| result);
    stack.anvil.mine(1).await;
    caught_up(&mut stack).await;
    served(&stack, "two", &channel.proof(2 * PRICE)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f23_of_a_channel_that_was_closed_in_an_unread_past_nothing_is_granted_before_and_after_it_is_read() {
    // Deeper than any reorganization of a development chain: then also what lies below the index is read.
    const SETTLED: u64 = 70;
    let unfollowed = StackOptions { chain: "channels = false".into(), ..StackOptions::default() };
    let mut stack = Stack::start_with(SALT402, unfollowed).await;
    let channel = opened(&mut stack, Asset::Native, 4 * PRICE, 1).await;
    stack.anvil.mine(SETTLED).await;
    let close = channel.close_call(&channel.voucher(PRICE), PRICE);
    let close = TestPayer::payee(&stack.anvil).call(channel.contract, close, Amount::ZERO).await;
    assert!(stack.anvil.outcome(close).await.0, "the payee closes it");
    caught_up(&mut stack).await;

    assert!(stack.process.take().unwrap().terminate().success());
    stack.configure(&StackOptions { gateway: "wait_ms = 0".into(), ..taking_vouchers() });
    stack.up().await;
    // The opening is settled and read, the closing is not.
    let url = format!("{}/v1/channels/{}?chain=eip155:40204", stack.verifier, channel.id);
    stack.until(&url, |answer| answer.status == StatusCode::OK).await;
    let detail = not_current(&stack, "one", &channel.proof(2 * PRICE)).await;
    assert!(detail.contains("still being read"), "{detail}");
    assert!(accounts(&stack).await.is_empty());

    stack.anvil.mine(SETTLED).await;
    let status = format!("{}/v1/status", stack.verifier);
    stack.until(&status, |answer| answer.json()["chains"][0]["unread"].is_null()).await;
    assert_eq!(refused(&stack, "one", &channel.proof(2 * PRICE)).await.0, "channel_closed");
    // One that is opened now is none the worse.
    let other = opened(&mut stack, Asset::Native, 4 * PRICE, 2).await;
    served(&stack, "two", &other.proof(PRICE)).await;
    assert_eq!((stack.upstream.asked(), accounts(&stack).await.len()), (1, 1));
}
