//! Gas prices and the account's state, read before signing.

use alloy_primitives::{Address, U256};
use serde_json::json;

use crate::error::NodeError;
use crate::node::Fees;
use crate::profile::Profile;
use crate::rpc::node::RpcNode;
use crate::rpc::questions::Question;
use crate::rpc::wire::Quantity;
use crate::rpc::{account, questions};

/// The chain's and the account's state, read together.
pub(crate) struct Market {
    pub(crate) chain_id: u64,
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    base_fee: u64,
    tip: u64,
}

impl Market {
    pub(crate) async fn of(node: &RpcNode, account: Address) -> Result<Self, NodeError> {
        let [head, price, tip] = account::price_questions();
        let asked = [
            questions::chain_id(),
            Question::new("eth_getTransactionCount", json!([account, "pending"])),
            questions::balance(account),
            head,
            price,
            tip,
        ];
        let http = node.http();
        let pieces = http.ask_in_pieces(&asked).await?;
        let mut answers = Vec::with_capacity(asked.len());
        for piece in &pieces {
            answers.extend(http.open(piece)?);
        }
        let [chain_id, nonce, balance, head, price, tip] = answers.as_slice() else {
            return Err(NodeError::Malformed { what: "a batch of six had another number".to_owned() });
        };
        let (base_fee, tip) = account::price(head, price, tip)?;
        Ok(Self {
            chain_id: chain_id.clone().read::<Quantity>()?.0,
            nonce: nonce.clone().read::<Quantity>()?.0,
            balance: balance.clone().read()?,
            base_fee,
            tip,
        })
    }

    /// What to offer for a unit of gas.
    pub(crate) fn fees(&self, profile: &Profile) -> Result<Fees, NodeError> {
        Fees::of(self.base_fee, self.tip, profile)
    }
}

pub(crate) fn afford(needed: U256, held: U256) -> Result<(), NodeError> {
    if needed > held { Err(NodeError::Unaffordable { needed, held }) } else { Ok(()) }
}
