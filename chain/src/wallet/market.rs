//! Gas prices and the account's state, read before signing.

use alloy_primitives::{Address, U256};
use serde_json::json;

use crate::error::NodeError;
use crate::node::At;
use crate::profile::Profile;
use crate::rpc::node::RpcNode;
use crate::rpc::questions::Question;
use crate::rpc::wire::Quantity;
use crate::rpc::{questions, wire};

/// The chain's and the account's state, read together.
pub(crate) struct Market {
    pub(crate) chain_id: u64,
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    pub(crate) base_fee: u64,
    pub(crate) tip: u64,
}

impl Market {
    pub(crate) async fn of(node: &RpcNode, account: Address) -> Result<Self, NodeError> {
        let asked = [
            questions::chain_id(),
            Question::new("eth_getTransactionCount", json!([account, "pending"])),
            questions::balance(account),
            questions::header(At::Latest),
            Question::new("eth_gasPrice", json!([])),
            Question::new("eth_maxPriorityFeePerGas", json!([])),
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
        let price = price.clone().read::<Quantity>().map(|price| price.0);
        let base_fee = head.clone().read::<Option<wire::Header>>()?.and_then(|head| head.base_fee_per_gas);
        // Nodes without base fees in their headers return zero.
        let base_fee = match base_fee.filter(|fee| fee.0 > 0) {
            Some(fee) => fee.0,
            None => price.clone()?,
        };
        let tip = match tip.clone().read::<Quantity>() {
            Ok(tip) => tip.0,
            // Some nodes lack the method. The tip is then the gas price minus the base fee.
            Err(_) => price.map_or(0, |price| price.saturating_sub(base_fee)),
        };
        Ok(Self {
            chain_id: chain_id.clone().read::<Quantity>()?.0,
            nonce: nonce.clone().read::<Quantity>()?.0,
            balance: balance.clone().read()?,
            base_fee,
            tip,
        })
    }

    /// The highest offer for a unit of gas, and the tip in it. Twice the base fee stays sufficient for six full blocks.
    pub(crate) fn fees(&self, profile: &Profile) -> Result<(u64, u64), NodeError> {
        let limit = profile.max_fee_per_gas;
        let asked = self.base_fee.saturating_add(self.tip);
        if asked > limit {
            return Err(NodeError::FeeTooHigh { asked, limit });
        }
        Ok((asked.saturating_add(self.base_fee).min(limit), self.tip))
    }
}

pub(crate) fn afford(needed: U256, held: U256) -> Result<(), NodeError> {
    if needed > held { Err(NodeError::Unaffordable { needed, held }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_cannot_make_the_account_overpay() {
        let profile = Profile { max_fee_per_gas: 100, ..Profile::named("local").unwrap() };
        let market = |base_fee, tip| Market { chain_id: 1, nonce: 0, balance: U256::ZERO, base_fee, tip };
        assert_eq!(market(10, 1).fees(&profile), Ok((21, 1)));
        assert_eq!(market(60, 5).fees(&profile), Ok((100, 5)));
        assert_eq!(market(100, 1).fees(&profile), Err(NodeError::FeeTooHigh { asked: 101, limit: 100 }));
        assert_eq!(
            market(u64::MAX, 1).fees(&profile),
            Err(NodeError::FeeTooHigh { asked: u64::MAX, limit: 100 })
        );
    }
}
