//! What a `SaltChannels` contract is asked before anything is sent to it.

use std::collections::BTreeMap;

use alloy_sol_types::SolCall;
use salt402_chain::{Call, NodeError, RpcNode};
use salt402_protocol::contracts::ISaltChannels;
use salt402_protocol::edition::ChannelEdition;
use salt402_protocol::{Address, Amount, Asset, B256, OperatorRight, U256};
use tokio::sync::Mutex;

use crate::claim::values::ClaimError;

/// What was asked once and stays: the edition of a contract while it stands, and the rights of the key's account, which
/// the contract checks itself when the transaction is mined.
#[derive(Default)]
pub(super) struct Known {
    editions: Mutex<BTreeMap<Address, ChannelEdition>>,
    rights: Mutex<BTreeMap<(Address, Address), OperatorRight>>,
}

impl Known {
    /// The edition of a contract: the second answers the domain of its identifiers, the first has no such function.
    pub(super) async fn edition(
        &self,
        node: &RpcNode,
        contract: Address,
    ) -> Result<ChannelEdition, ClaimError> {
        let mut editions = self.editions.lock().await;
        if let Some(edition) = editions.get(&contract) {
            return Ok(*edition);
        }
        let edition = match ask(node, contract, &ISaltChannels::CHANNEL_DOMAIN_SEPARATORCall {}).await {
            Ok(domain) => ChannelEdition::Second { domain },
            Err(ClaimError::Refused(_)) => ChannelEdition::First,
            Err(error) => return Err(error),
        };
        editions.insert(contract, edition);
        Ok(edition)
    }

    /// For which of a payee's channels the account may act.
    pub(super) async fn right(
        &self,
        node: &RpcNode,
        contract: Address,
        payee: Address,
        account: Address,
    ) -> Result<OperatorRight, ClaimError> {
        let mut rights = self.rights.lock().await;
        if let Some(right) = rights.get(&(contract, payee)) {
            return Ok(*right);
        }
        let right = right(node, contract, payee, account).await?;
        rights.insert((contract, payee), right);
        Ok(right)
    }
}

/// For which of a payee's channels an account may claim and close.
pub(super) async fn right(
    node: &RpcNode,
    contract: Address,
    payee: Address,
    operator: Address,
) -> Result<OperatorRight, ClaimError> {
    let answer = ask(node, contract, &ISaltChannels::operatorRightCall { payee, operator }).await?;
    OperatorRight::from_number(answer.into()).ok_or(ClaimError::NoContract(contract))
}

/// What a contract owes an account in an asset, because it could not be sent.
pub(super) async fn credit(
    node: &RpcNode,
    contract: Address,
    account: Address,
    asset: Asset,
) -> Result<Amount, ClaimError> {
    let call = ISaltChannels::creditOfCall { account, asset: asset.address() };
    ask(node, contract, &call).await.map(Amount)
}

/// Where a channel stands.
pub(super) struct Standing {
    pub(super) deposit: U256,
    pub(super) claimed: U256,
    pub(super) closed: bool,
}

impl Standing {
    pub(super) fn is_open(&self) -> bool {
        !self.closed && !self.deposit.is_zero()
    }

    pub(super) async fn of(node: &RpcNode, contract: Address, channel: B256) -> Result<Self, ClaimError> {
        let state = ask(node, contract, &ISaltChannels::stateOfCall { channel }).await?;
        Ok(Self {
            deposit: U256::from(state.deposit),
            claimed: U256::from(state.claimed),
            closed: state.closed,
        })
    }
}

async fn ask<C: SolCall>(node: &RpcNode, contract: Address, call: &C) -> Result<C::Return, ClaimError> {
    let call = Call { to: contract, value: U256::ZERO, data: call.abi_encode().into(), gas_limit: None };
    let answer = node.call(None, &call).await.map_err(refused)?;
    C::abi_decode_returns_validate(&answer).map_err(|_| ClaimError::NoContract(contract))
}

pub(super) fn refused(error: NodeError) -> ClaimError {
    if error.is_revert() { ClaimError::Refused(error) } else { ClaimError::Node(error) }
}
