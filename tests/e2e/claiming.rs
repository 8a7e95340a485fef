//! `salt402 channel`, as a payee types it: what was accepted by vouchers is listed, and claimed once.

use std::process::Command;

use salt402_protocol::{Address, Amount, Asset, U256};
use salt402_tests::{Anvil, PAYEE, PAYEE_KEY, Stack, TestChannel};
use serde_json::{Value, json};

use crate::SALT402;
use crate::vouchers::{caught_up, in_salt, opened, risks, served, taking_vouchers};

pub(crate) const PAYER_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const PRICE: u64 = 1016;

/// Whether it succeeded, and what it said.
pub(crate) async fn channel(stack: &Stack, arguments: &[&str], key: Option<&str>) -> (bool, String) {
    let mut command = Command::new(SALT402);
    command.arg("channel").args(arguments).arg("--config").arg(stack.config());
    command.env_remove("SALT402_KEY").env_remove("SALT402_RPC_URL");
    if let Some(key) = key {
        command.env("SALT402_KEY", key);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(!said.contains(&PAYEE_KEY[2..]) && !said.contains(&PAYER_KEY[2..]), "a key is never printed");
    (output.status.success(), said)
}

pub(crate) async fn listed(stack: &Stack, arguments: &[&str]) -> Vec<Value> {
    let (success, said) = channel(stack, &[&["list", "--json"], arguments].concat(), None).await;
    assert!(success, "{said}");
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("no array: {said}"))
}

/// How many transactions the payee ever sent.
pub(crate) async fn sent(anvil: &Anvil) -> u64 {
    let count = anvil.ask("eth_getTransactionCount", json!([PAYEE, "latest"])).await;
    u64::from_str_radix(count.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

pub(crate) async fn pays(stack: &Stack, channel: &TestChannel, name: &str, requests: std::ops::Range<u64>) {
    for number in requests {
        served(stack, &format!("{name} {number}"), &channel.proof((number + 1) * PRICE)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_comes_in_once_and_in_one_transaction() {
    let mut stack = Stack::start_with(SALT402, in_salt()).await;
    let asset = Asset::Token(stack.deployment.salt);
    let payee: Address = PAYEE.parse().unwrap();
    let one = opened(&mut stack, asset, 4 * PRICE, 1).await;
    let two = opened(&mut stack, asset, 4 * PRICE, 2).await;
    let unused = opened(&mut stack, asset, 4 * PRICE, 3).await;
    let strange = TestChannel::to(&stack.deployment, Address::repeat_byte(0x77), asset, 4);
    stack.payer().fund_channel(&strange, PRICE, false).await;
    pays(&stack, &one, "one", 0..2).await;
    pays(&stack, &two, "two", 0..1).await;
    served(&stack, "two 1", &two.proof(3 * PRICE)).await;
    stack.payer().call(two.contract, two.exit_call(), Amount::ZERO).await;
    caught_up(&mut stack).await;
    assert_eq!(risks(&stack).await.len(), 1);

    let ours = listed(&stack, &[]).await;
    let figures = |channel: &TestChannel, rows: &[Value]| {
        let row = rows.iter().find(|row| row["id"] == channel.id.to_string()).unwrap().clone();
        ["deposit", "claimed", "highest", "spent", "unclaimed"]
            .map(|name| row[name].as_str().unwrap().parse::<u64>().unwrap() / PRICE)
    };
    assert_eq!(ours.len(), 3);
    assert_eq!(figures(&one, &ours), [4, 0, 2, 2, 2]);
    assert_eq!(
        figures(&two, &ours),
        [4, 0, 3, 2, 2],
        "what is signed beyond the prices is not to be claimed"
    );
    assert_eq!(figures(&unused, &ours), [4, 0, 0, 0, 0]);
    assert_eq!(listed(&stack, &["--all"]).await.len(), 4);
    let (_, said) = channel(&stack, &["list"], None).await;
    assert!(said.contains(&format!("{} from", two.id)) && said.contains("its payer leaves at"), "{said}");
    let (success, said) = channel(&stack, &["show", &one.id.to_string()], None).await;
    assert!(success && said.contains(&one.channel.signer.to_string()) && said.contains("2032"), "{said}");

    // Refused: no key, another's key, nothing named, a channel that is not there or has no voucher.
    let (success, said) = channel(&stack, &["claim", "--all"], None).await;
    assert!(!success && said.contains("SALT402_KEY"), "{said}");
    let (success, said) = channel(&stack, &["claim", "--all"], Some(PAYER_KEY)).await;
    assert!(!success && said.contains("is neither the payee nor an operator"), "{said}");
    let (success, said) = channel(&stack, &["claim"], Some(PAYEE_KEY)).await;
    assert!(!success && said.contains("--all"), "{said}");
    let absent = format!("0x{}", "77".repeat(32));
    let (success, said) = channel(&stack, &["claim", &absent], Some(PAYEE_KEY)).await;
    assert!(!success && said.contains("no such channel"), "{said}");
    let (success, said) = channel(&stack, &["claim", &unused.id.to_string()], Some(PAYEE_KEY)).await;
    assert!(!success && said.contains("no voucher of it was accepted"), "{said}");
    let little = (3 * PRICE).to_string();
    let (success, said) = channel(&stack, &["claim", "--all", "--min", &little], Some(PAYEE_KEY)).await;
    assert!(success && said.contains("less than --min") && said.contains("nothing was sent"), "{said}");
    let (success, said) = channel(&stack, &["claim", "--all", "--dry-run"], Some(PAYEE_KEY)).await;
    assert!(success && said.contains("4064 base units") && said.contains("would be claimed"), "{said}");
    assert_eq!(sent(&stack.anvil).await, 0);

    let before = stack.anvil.balance(payee, asset).await;
    let (success, said) = channel(&stack, &["claim", "--all"], Some(PAYEE_KEY)).await;
    assert!(success && said.contains("4064 base units") && said.contains("came in, in block"), "{said}");
    assert_eq!(stack.anvil.balance(payee, asset).await - before, U256::from(4 * PRICE));
    assert_eq!(sent(&stack.anvil).await, 1, "many channels, one transaction");
    // Before the index has seen it: the contract is asked.
    let (success, said) = channel(&stack, &["claim", "--all"], Some(PAYEE_KEY)).await;
    assert!(success && said.contains("nothing is to be claimed; nothing was sent"), "{said}");
    let (success, said) = channel(&stack, &["claim", &one.id.to_string()], Some(PAYEE_KEY)).await;
    assert!(!success && said.contains("nothing is to be claimed"), "{said}");
    assert_eq!(sent(&stack.anvil).await, 1);
    caught_up(&mut stack).await;
    assert!(risks(&stack).await.is_empty(), "it is claimed");
    assert_eq!(figures(&two, &listed(&stack, &[]).await), [4, 2, 3, 2, 0]);

    // More is accepted, the service ends, and the database alone is enough.
    pays(&stack, &one, "one", 2..3).await;
    stack.kill();
    let (success, said) = channel(&stack, &["claim", &one.id.to_string()], Some(PAYEE_KEY)).await;
    assert!(success && said.contains("1016 base units"), "{said}");
    assert_eq!(stack.anvil.balance(payee, asset).await - before, U256::from(5 * PRICE));
    assert_eq!(stack.anvil.standing(&one).await.claimed, 3 * PRICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn coins_are_claimed_through_a_node_with_citrates_habits() {
    let mut options = taking_vouchers();
    options.citrate = true;
    options.chain = format!("confirmations = 1\n{}", options.chain);
    let mut stack = Stack::start_with(SALT402, options).await;
    let payee: Address = PAYEE.parse().unwrap();
    let channels = [
        opened(&mut stack, Asset::Native, 4 * PRICE, 1).await,
        opened(&mut stack, Asset::Native, 4 * PRICE, 2).await,
    ];
    for (index, one) in channels.iter().enumerate() {
        pays(&stack, one, &format!("channel {index}"), 0..3).await;
    }
    let before = stack.anvil.balance(payee, Asset::Native).await;
    let (success, said) = channel(&stack, &["claim", "--all"], Some(PAYEE_KEY)).await;
    assert!(success && said.contains("0.000000000000006096 SALT came in"), "{said}");
    let transaction =
        said.split_whitespace().find(|word| word.len() == 66 && said.contains(&format!("by {word}")));
    let (mined, gas) = stack.anvil.outcome(transaction.unwrap().parse().unwrap()).await;
    assert!(mined);
    assert_eq!(stack.anvil.balance(payee, Asset::Native).await + gas - before, U256::from(6 * PRICE));
    assert_eq!(sent(&stack.anvil).await, 1);
}
