//! `salt402 channel`, as a payee and its operator type it: claims by an operator, closing, refunds, and many at once.

use alloy_primitives::hex;
use alloy_sol_types::SolCall as _;
use salt402_protocol::contracts::ISaltChannels;
use salt402_protocol::{Address, Amount, Asset, B256, U256};
use salt402_tests::{PAYEE, PAYEE_KEY, Stack, StackOptions, TestChannel};
use serde_json::json;

use crate::SALT402;
use crate::claiming::{PAYER_KEY, channel, listed, pays, sent};
use crate::vouchers::{caught_up, in_salt, opened, refused, served, taking_vouchers};

const PRICE: u64 = 1016;
/// Anvil's seventh account.
const OPERATOR: &str = "0x976EA74026E726554dB657fA54763abd0C3a0aa9";
const OPERATOR_KEY: &str = "0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e";

fn with_operator() -> StackOptions {
    let chain = format!("vouchers = true\noperators = [\"{OPERATOR}\"]");
    StackOptions { chain, ..in_salt() }
}

async fn named(stack: &mut Stack, asset: Asset, operator: &str, salt: u8) -> TestChannel {
    let channel = TestChannel::new(&stack.deployment, asset, salt).operated_by(operator.parse().unwrap());
    stack.payer().fund_channel(&channel, 4 * PRICE, false).await;
    caught_up(stack).await;
    channel
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_claims_and_the_money_goes_to_the_payee() {
    let mut stack = Stack::start_with(SALT402, with_operator()).await;
    let asset = Asset::Token(stack.deployment.salt);
    let (payee, operator): (Address, Address) = (PAYEE.parse().unwrap(), OPERATOR.parse().unwrap());
    let plain = opened(&mut stack, asset, 4 * PRICE, 1).await;
    let ours = named(&mut stack, asset, OPERATOR, 2).await;
    let strange = named(&mut stack, asset, "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955", 3).await;
    let (code, detail) = refused(&stack, "strange", &strange.proof(PRICE)).await;
    assert_eq!(code, "operator_not_accepted");
    assert!(detail.contains(OPERATOR), "it says which are: {detail}");
    pays(&stack, &plain, "plain", 0..1).await;
    pays(&stack, &ours, "ours", 0..2).await;

    // As it is at first: the channels that name it.
    let before = stack.anvil.balance(payee, asset).await;
    let (success, said) = channel(&stack, &["claim", "--all"], Some(OPERATOR_KEY)).await;
    assert!(success && said.contains("2032 base units") && said.contains("nor an operator"), "{said}");
    assert_eq!(stack.anvil.balance(payee, asset).await - before, U256::from(2 * PRICE));
    assert_eq!(stack.anvil.balance(operator, asset).await, U256::ZERO);

    // Only the payee says more, and it is shown.
    let (success, said) = channel(&stack, &["operator", "set", OPERATOR, "all"], Some(PAYER_KEY)).await;
    assert!(!success && said.contains("use its key"), "{said}");
    let (success, said) =
        channel(&stack, &["operator", "set", OPERATOR, "all", "--dry-run"], Some(PAYEE_KEY)).await;
    assert!(success && said.contains("nothing was sent"), "{said}");
    assert_eq!(sent(&stack.anvil).await, 0);
    let (success, said) = channel(&stack, &["operator", "set", OPERATOR, "all"], Some(PAYEE_KEY)).await;
    assert!(success && said.contains("set by"), "{said}");
    let (success, said) = channel(&stack, &["operator", "show"], None).await;
    assert!(success && said.contains(&format!("{OPERATOR} in {}: all", plain.contract)), "{said}");
    let (success, said) = channel(&stack, &["claim", "--all"], Some(OPERATOR_KEY)).await;
    assert!(success && said.contains("1016 base units"), "{said}");
    assert_eq!(stack.anvil.balance(payee, asset).await - before, U256::from(3 * PRICE));

    // What is revoked holds for channels that name it too.
    let (success, said) = channel(&stack, &["operator", "set", OPERATOR, "revoked"], Some(PAYEE_KEY)).await;
    assert!(success, "{said}");
    caught_up(&mut stack).await;
    pays(&stack, &ours, "ours", 2..3).await;
    let (success, said) = channel(&stack, &["claim", "--all"], Some(OPERATOR_KEY)).await;
    assert!(!success && said.contains("nothing was sent"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_takes_no_more_vouchers_claims_what_was_accepted_and_gives_the_rest_back() {
    let mut stack = Stack::start_with(SALT402, in_salt()).await;
    let asset = Asset::Token(stack.deployment.salt);
    let (payee, payer): (Address, Address) = (PAYEE.parse().unwrap(), stack.payer().address());
    let used = opened(&mut stack, asset, 4 * PRICE, 1).await;
    let unused = opened(&mut stack, asset, 3 * PRICE, 2).await;
    pays(&stack, &used, "used", 0..1).await;
    let ids = [used.id.to_string(), unused.id.to_string()];
    let close = ["close", ids[0].as_str(), ids[1].as_str()];

    let (success, said) = channel(&stack, &[&close[..], &["--dry-run"]].concat(), Some(PAYEE_KEY)).await;
    assert!(success && said.contains("which would be closed"), "{said}");
    let (success, said) = channel(&stack, &close, Some(PAYER_KEY)).await;
    assert!(!success && said.contains("neither the payee nor an operator"), "{said}");
    served(&stack, "used 1", &used.proof(2 * PRICE)).await;
    // A transaction that may still be mined: no vouchers, until it is given up.
    stack.anvil.automine(false).await;
    let (success, said) = channel(&stack, &[&close[..], &["--timeout", "1"]].concat(), Some(PAYEE_KEY)).await;
    assert!(!success && said.contains("may still be mined") && said.contains("--give-up"), "{said}");
    stack.anvil.ask("anvil_dropAllTransactions", json!([])).await;
    stack.anvil.automine(true).await;
    let (code, detail) = refused(&stack, "used 2", &used.proof(3 * PRICE)).await;
    assert_eq!(code, "channel_closed");
    assert!(detail.contains("the server is closing the channel"), "{detail}");
    served(&stack, "used 1", &used.proof(2 * PRICE)).await;
    let (success, said) = channel(&stack, &[&close[..], &["--give-up"]].concat(), None).await;
    assert!(success, "{said}");
    served(&stack, "used 2", &used.proof(3 * PRICE)).await;

    let (of_payee, of_payer) =
        (stack.anvil.balance(payee, asset).await, stack.anvil.balance(payer, asset).await);
    let (success, said) = channel(&stack, &close, Some(PAYEE_KEY)).await;
    assert!(success && said.contains("3048 base units") && said.contains("went back to its payer"), "{said}");
    assert_eq!(stack.anvil.balance(payee, asset).await - of_payee, U256::from(3 * PRICE));
    assert_eq!(stack.anvil.balance(payer, asset).await - of_payer, U256::from(4 * PRICE));
    assert_eq!(sent(&stack.anvil).await, 1, "one transaction");
    caught_up(&mut stack).await;
    let (code, _) = refused(&stack, "used 3", &used.proof(4 * PRICE)).await;
    assert_eq!(code, "channel_closed");
    let (success, said) = channel(&stack, &close, Some(PAYEE_KEY)).await;
    assert!(!success && said.contains("not open in the contract"), "{said}");
    assert_eq!(sent(&stack.anvil).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_the_payees_own_money_and_leaves_the_channel_as_it_is() {
    let mut stack = Stack::start_with(SALT402, taking_vouchers()).await;
    let payer = stack.payer().address();
    let one = opened(&mut stack, Asset::Native, 4 * PRICE, 1).await;
    pays(&stack, &one, "one", 0..2).await;
    let id = one.id.to_string();
    let (success, said) = channel(&stack, &["refund", &id, "1"], Some(PAYEE_KEY)).await;
    assert!(!success && said.contains("would refuse"), "nothing was claimed yet: {said}");
    let (success, said) = channel(&stack, &["claim", &id], Some(PAYEE_KEY)).await;
    assert!(success, "{said}");
    caught_up(&mut stack).await;
    let (success, said) = channel(&stack, &["refund", &id, "1"], Some(PAYER_KEY)).await;
    assert!(!success && said.contains("only the payee gives back"), "{said}");
    let (success, said) = channel(&stack, &["refund", &id, "500", "--dry-run"], Some(PAYEE_KEY)).await;
    assert!(success && said.contains("nothing was sent"), "{said}");
    let before = stack.anvil.balance(payer, Asset::Native).await;
    let (success, said) = channel(&stack, &["refund", &id, "500"], Some(PAYEE_KEY)).await;
    assert!(success && said.contains("was given back, in block"), "{said}");
    assert_eq!(stack.anvil.balance(payer, Asset::Native).await - before, U256::from(500));
    caught_up(&mut stack).await;
    let row = listed(&stack, &[]).await.remove(0);
    assert_eq!((row["deposit"].as_str(), row["claimed"].as_str()), (Some("4064"), Some("2032")), "{row}");
    pays(&stack, &one, "one", 2..3).await;

    // Whoever runs it again sends nothing again, unless that is said.
    let (success, said) = channel(&stack, &["refund", &id, "500"], Some(PAYEE_KEY)).await;
    assert!(!success && said.contains("--again"), "{said}");
    // One that no block has is gone on with, whatever amount is named.
    stack.anvil.automine(false).await;
    for round in 0..2 {
        let again = ["refund", &id, "7", "--again", "--timeout", "1"];
        let (success, said) = channel(&stack, &again, Some(PAYEE_KEY)).await;
        assert!(!success && said.contains("sends nothing twice"), "{said}");
        assert_eq!(said.contains("going on with the refund"), round > 0, "{said}");
        // The node loses it.
        stack.anvil.ask("anvil_dropAllTransactions", json!([])).await;
    }
    stack.anvil.automine(true).await;
    let (success, said) = channel(&stack, &["refund", &id, "9", "--again"], Some(PAYEE_KEY)).await;
    assert!(success && said.contains("going on with the refund of 0.000000000000000007"), "{said}");
    assert_eq!(stack.anvil.balance(payer, Asset::Native).await - before, U256::from(507), "once");
    assert_eq!(sent(&stack.anvil).await, 3);

    // Its block leaves the chain: nobody has to ask.
    caught_up(&mut stack).await;
    stack.anvil.reorg(1).await;
    stack.anvil.mine(1).await;
    caught_up(&mut stack).await;
    assert_eq!(
        stack.anvil.balance(payer, Asset::Native).await - before,
        U256::from(500),
        "the chain forgot it"
    );
    let url = format!("{}/v1/incidents?kind=refund_lost", stack.verifier);
    let told = stack.get(&url).await.json();
    let command = format!("salt402 channel refund {id} 7");
    assert!(told["incidents"][0]["detail"].as_str().unwrap().contains(&command), "{told}");
    let (success, said) = channel(&stack, &["refund", &id, "7", "--again"], Some(PAYEE_KEY)).await;
    assert!(success && said.contains("going on with the refund"), "{said}");
    assert_eq!(stack.anvil.balance(payer, Asset::Native).await - before, U256::from(507), "once");
    stack.until(&url, |answer| !answer.json()["incidents"][0]["resolved_at_ms"].is_null()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_given_back_without_an_allowance_of_before_and_two_commands_at_once_give_once() {
    let mut stack = Stack::start_with(SALT402, in_salt()).await;
    let asset = Asset::Token(stack.deployment.salt);
    let payer = stack.payer().address();
    let one = opened(&mut stack, asset, 4 * PRICE, 1).await;
    pays(&stack, &one, "one", 0..2).await;
    let id = one.id.to_string();
    let (success, said) = channel(&stack, &["claim", &id], Some(PAYEE_KEY)).await;
    assert!(success, "{said}");
    caught_up(&mut stack).await;
    let before = stack.anvil.balance(payer, asset).await;
    let arguments = ["refund", id.as_str(), "500"];
    let both = futures::future::join(
        channel(&stack, &arguments, Some(PAYEE_KEY)),
        channel(&stack, &arguments, Some(PAYEE_KEY)),
    );
    let (one, two) = both.await;
    assert!(one.0 || two.0, "{one:?} {two:?}");
    assert_eq!(stack.anvil.balance(payer, asset).await - before, U256::from(500), "{one:?} {two:?}");
}

/// A payee whose account refuses coins for a while, as a contract does.
#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_sent_to_the_payee_is_withdrawn_by_any_key_and_for_the_payee_alone() {
    let mut stack = Stack::start_with(
        SALT402,
        StackOptions { chain: format!("vouchers = true\noperators = [\"{OPERATOR}\"]"), ..taking_vouchers() },
    )
    .await;
    let payee: Address = PAYEE.parse().unwrap();
    let ours = named(&mut stack, Asset::Native, OPERATOR, 1).await;
    pays(&stack, &ours, "ours", 0..2).await;
    stack.anvil.ask("anvil_setCode", json!([PAYEE, "0x5f5ffd"])).await;
    let before = stack.anvil.balance(payee, Asset::Native).await;
    let (success, said) = channel(&stack, &["claim", "--all"], Some(OPERATOR_KEY)).await;
    assert!(success && said.contains("salt402 channel withdraw"), "{said}");
    assert_eq!(stack.anvil.balance(payee, Asset::Native).await, before);
    let (success, said) = channel(&stack, &["withdraw"], Some(OPERATOR_KEY)).await;
    assert!(!success && said.contains("nothing was sent, because the contract would refuse it"), "{said}");
    stack.anvil.ask("anvil_setCode", json!([PAYEE, "0x"])).await;
    let elsewhere = ["withdraw", "--to", OPERATOR];
    let (success, said) = channel(&stack, &elsewhere, Some(OPERATOR_KEY)).await;
    assert!(!success && said.contains("only its own key"), "{said}");
    let (success, said) = channel(&stack, &["withdraw", "--dry-run"], Some(OPERATOR_KEY)).await;
    assert!(success && said.contains("would be sent"), "{said}");
    assert_eq!(stack.anvil.balance(payee, Asset::Native).await, before);
    let (success, said) = channel(&stack, &["withdraw"], Some(OPERATOR_KEY)).await;
    assert!(success && said.contains("was sent to"), "{said}");
    assert_eq!(stack.anvil.balance(payee, Asset::Native).await - before, U256::from(2 * PRICE));
    let (success, said) = channel(&stack, &["withdraw"], Some(OPERATOR_KEY)).await;
    assert!(success && said.contains("has no credit"), "{said}");
}

/// Somebody with the payee's key, or a slip.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_the_configuration_does_not_name_is_an_incident() {
    let mut stack = Stack::start_with(SALT402, with_operator()).await;
    let url = format!("{}/v1/incidents?kind=operator_set", stack.verifier);
    let strange = "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955";
    for operator in [OPERATOR, strange] {
        let (success, said) = channel(&stack, &["operator", "set", operator, "all"], Some(PAYEE_KEY)).await;
        assert!(success, "{said}");
        caught_up(&mut stack).await;
    }
    let told = stack.get(&url).await.json();
    let told = told["incidents"].as_array().unwrap();
    assert!(told.len() == 1 && told[0]["detail"].as_str().unwrap().contains(strange), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_channels_are_claimed_in_one_transaction() {
    let mut stack = Stack::start_with(SALT402, taking_vouchers()).await;
    let channels: Vec<_> = (1..=300_u64)
        .map(|number| {
            let channel = TestChannel::new(&stack.deployment, Asset::Native, 0);
            channel.salted(B256::left_padding_from(&number.to_be_bytes()))
        })
        .collect();
    stack.anvil.automine(false).await;
    for some in channels.chunks(150) {
        for channel in some {
            let open =
                ISaltChannels::openCall { channel: channel.channel.clone(), amount: U256::from(PRICE) };
            let transaction = json!([{
                "from": channel.channel.payer, "to": channel.contract, "value": format!("{PRICE:#x}"),
                "gas": "0x186a0", "data": hex::encode_prefixed(open.abi_encode()),
            }]);
            stack.anvil.ask("eth_sendTransaction", transaction).await;
        }
        stack.anvil.mine(1).await;
    }
    stack.anvil.automine(true).await;
    caught_up(&mut stack).await;
    for (number, channel) in channels.iter().enumerate() {
        served(&stack, &format!("many {number}"), &channel.proof(PRICE)).await;
    }
    let payee: Address = PAYEE.parse().unwrap();
    let before = stack.anvil.balance(payee, Asset::Native).await;
    let (success, said) = channel(&stack, &["claim", "--all"], Some(PAYEE_KEY)).await;
    assert!(success && said.contains("of 300 channels by"), "{said}");
    assert_eq!(sent(&stack.anvil).await, 1);
    let transaction =
        said.split_whitespace().find(|word| word.len() == 66 && said.contains(&format!("by {word}")));
    let (mined, gas) = stack.anvil.outcome(transaction.unwrap().parse().unwrap()).await;
    assert!(mined);
    let came = stack.anvil.balance(payee, Asset::Native).await + gas - before;
    assert_eq!(Amount(came), Amount(U256::from(300 * PRICE)));
}
