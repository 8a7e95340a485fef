//! A deployment that was done once in this process, sent again to other chains.
//!
//! Running forge takes seconds, and only one run at a time is possible. The same transactions, sent to another new chain with the
//! same id, make the same contracts at the same addresses in blocks of the same heights.

use std::collections::HashMap;

use salt402_protocol::ChainId;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::Anvil;

/// What was deployed on new chains, by their ids.
static DONE: Mutex<Option<HashMap<ChainId, Recording>>> = Mutex::const_new(None);

/// A deployment on a new chain.
#[derive(Clone, Debug)]
struct Recording {
    /// The signed transactions of each block, from block 1 on.
    blocks: Vec<Vec<String>>,
    /// The file of deployments.
    file: String,
}

/// Deploys on a new chain: the first time with `deploy`, and after that by the transactions of that time. Returns the file of
/// deployments. Others of the same process wait for the first one.
pub(crate) async fn deploy_once(
    anvil: &Anvil,
    chain: ChainId,
    deploy: impl AsyncFnOnce() -> String,
) -> String {
    let mut done = DONE.lock().await;
    let done = match done.as_ref().and_then(|done| done.get(&chain)) {
        Some(recording) => recording.clone(),
        None => {
            let file = deploy().await;
            let recording = Recording { blocks: sent(anvil).await, file: file.clone() };
            done.get_or_insert_default().insert(chain, recording);
            return file;
        }
    };
    anvil.automine(false).await;
    for transactions in &done.blocks {
        for transaction in transactions {
            anvil.ask("eth_sendRawTransaction", json!([transaction])).await;
        }
        anvil.mine(1).await;
    }
    anvil.automine(true).await;
    let (sent, wished) = (sent(anvil).await, &done.blocks);
    assert_eq!(&sent, wished, "the chain has not the blocks of the deployment that is sent again");
    done.file
}

/// The signed transactions of each block.
async fn sent(anvil: &Anvil) -> Vec<Vec<String>> {
    let mut blocks = Vec::new();
    for height in 1..=anvil.height().await {
        let block = anvil.ask("eth_getBlockByNumber", json!([format!("{height:#x}"), false])).await;
        let hashes: Vec<Value> = block["transactions"].as_array().expect("transactions").clone();
        let mut transactions = Vec::with_capacity(hashes.len());
        for hash in hashes {
            let raw = anvil.ask("eth_getRawTransactionByHash", json!([hash])).await;
            transactions.push(raw.as_str().expect("a signed transaction").to_owned());
        }
        blocks.push(transactions);
    }
    blocks
}
