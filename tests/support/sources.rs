//! A `salt402` that follows many contracts, through a node that counts requests.

use salt402_protocol::{Address, U256};
use serde_json::json;

use crate::{NodeProxy, Stack, StackOptions};

/// Starts `salt402` with a number of tokens besides wrapped SALT and with profile overrides. Returns after it has read
/// all blocks.
pub async fn following(salt402: &str, tokens: u64, overrides: &str) -> (Stack, NodeProxy) {
    let mut stack = Stack::start_with(salt402, StackOptions { idle: true, ..Default::default() }).await;
    let node = NodeProxy::before(stack.anvil.http()).await;
    let mut chain = format!(
        "completeness = \"off\"\n[chains.local.overrides]\n{overrides}\n[[chains.local.sources]]\nkind = \"eip3009-token\"\n"
    );
    for number in 1..=tokens {
        let token = Address::from_word(U256::from(0x7000_0000 + number).into());
        stack.anvil.ask("anvil_setCode", json!([token, "0x00"])).await;
        chain += &format!("[[chains.local.sources]]\nkind = \"eip3009-token\"\ncontract = \"{token}\"\n");
    }
    stack.configure(&StackOptions {
        chain,
        nodes: format!("[[chains.local.nodes]]\nrpc = \"{}\"", node.http()),
        payment: "asset = \"WRAPPED_SALT\"\nasset_symbol = \"SALT\"\nasset_decimals = 18".into(),
        ..Default::default()
    });
    stack.up().await;
    stack.indexed(stack.anvil.height().await).await;
    (stack, node)
}
