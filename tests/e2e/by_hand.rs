//! docs/by-hand.md, by its very commands: `cast` alone pays, opens, signs, claims and leaves.

use std::process::Command;

use salt402_protocol::{Address, Amount, Asset, U256};
use salt402_tests::{PAYEE, PAYEE_KEY, Stack, root};

use crate::SALT402;
use crate::claiming::PAYER_KEY;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_by_hand_pays_opens_signs_claims_and_leaves() {
    let stack = Stack::start(SALT402).await;
    let page = std::fs::read_to_string(root().join("docs/by-hand.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    let blocks: Vec<_> = blocks.collect();
    let (before, commands) = blocks.split_first().unwrap();
    // What the reader fills in.
    let values = [
        ("ETH_RPC_URL", stack.anvil.http()),
        ("SALT_PAY", stack.deployment.salt_pay.to_string()),
        ("SALT_CHANNELS", stack.deployment.salt_channels.to_string()),
        ("PAYER_KEY", PAYER_KEY.to_owned()),
        ("PAYEE_KEY", PAYEE_KEY.to_owned()),
    ];
    assert_eq!(before.lines().count(), values.len());
    for (name, _) in &values {
        assert!(before.contains(&format!("export {name}=")), "{before}");
    }
    let (payer, payee) = (stack.payer().address(), PAYEE.parse::<Address>().unwrap());
    let paid = |account| stack.anvil.balance(account, Asset::Native);
    let (of_payee, held) = (paid(payee).await, paid(stack.deployment.salt_channels).await);
    let path = format!("{}:{}", root().join("tools").display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euc", &commands.concat()]).current_dir(root()).env("PATH", path).envs(values);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));

    let lines: Vec<_> = said.lines().collect();
    let states: Vec<_> =
        lines.iter().filter(|line| line.ends_with("false)") || line.ends_with("true)")).collect();
    assert_eq!(states, [&"(5000, 1000, 0, false)", &"(5000, 1000, 0, true)"], "{said}");
    assert_eq!(
        lines.iter().filter(|line| **line == "0x1").count(),
        4,
        "opened, claimed, asked, left: {said}"
    );
    assert_eq!(paid(stack.deployment.salt_channels).await, held, "nothing is left behind");
    // The payee paid the gas of its claim.
    let claimed = said.contains("X-Payment-Proof: voucher:0x")
        && paid(payee).await + gas(&stack, payee).await == of_payee + U256::from(2000);
    assert!(claimed, "1,000 by the payment and 1,000 by the voucher: {said}");
    let proof = lines.iter().find_map(|line| line.strip_prefix("X-Payment-Proof: ")).unwrap();
    let proof: salt402_protocol::Proof = proof.parse().unwrap();
    let salt402_protocol::Proof::Voucher(voucher) = proof else { panic!("{proof}") };
    let chain = salt402_protocol::ChainId::CITRATE;
    let signer = voucher.signer(payee, Asset::Native, chain, stack.deployment.salt_channels);
    assert!(said.contains(&signer.unwrap().to_string()), "it is the session key's: {said}");
    assert_eq!(voucher.ceiling, Amount(U256::from(1200)));
    assert!(payer != payee);
}

/// What all transactions of an account that is otherwise unused cost.
async fn gas(stack: &Stack, account: Address) -> U256 {
    let mut sum = U256::ZERO;
    for height in 0..=stack.anvil.height().await {
        let block =
            stack.anvil.ask("eth_getBlockByNumber", serde_json::json!([format!("{height:#x}"), true])).await;
        for transaction in block["transactions"].as_array().unwrap() {
            if transaction["from"].as_str().unwrap().parse::<Address>().unwrap() == account {
                let hash = transaction["hash"].as_str().unwrap().parse().unwrap();
                sum += stack.anvil.outcome(hash).await.1;
            }
        }
    }
    sum
}
