//! Who holds the money.

use std::sync::Arc;
use std::time::Duration;

use alloy_sol_types::{SolCall, sol};
use async_trait::async_trait;
use salt402_chain::{Account, Call, Node as _, RpcNode};
use salt402_protocol::contracts::ISaltPay;
use salt402_protocol::details::PaymentDetails;
use salt402_protocol::{Address, Asset, B256, U256};
use tokio::time::Instant;

use crate::PayError;

/// Gas for a payment in the native coin, in a token, and for an approval. Given rather than estimated: what a node's
/// estimate is worth differs, and these calls are known. A payee with code of its own has some 80,000 to spend.
const PAY_GAS: u64 = 120_000;
const PAY_TOKEN_GAS: u64 = 250_000;
const APPROVE_GAS: u64 = 100_000;

/// How long an approval may take to be mined.
const APPROVAL_PATIENCE: Duration = Duration::from_secs(60);

sol! {
    /// The part of ERC-20 that a payer needs.
    interface IERC20 {
        function approve(address spender, uint256 amount) external returns (bool);
        function allowance(address owner, address spender) external view returns (uint256);
    }
}

/// Pays what was decided to be paid.
#[async_trait]
pub trait Wallet: Send + Sync {
    /// Sends the payment and returns its transaction's hash without waiting for a block. `sent` is told the hash
    /// before it is broadcast, so that it can be written down: from then on the money may move.
    async fn pay(
        &self,
        details: &PaymentDetails,
        sent: &(dyn Fn(B256) + Send + Sync),
    ) -> Result<B256, PayError>;
}

/// Pays through a node, with a key held in this process.
pub struct NodeWallet {
    node: Arc<RpcNode>,
    account: Account,
}

impl NodeWallet {
    /// A wallet for one account on one chain.
    pub fn new(node: Arc<RpcNode>, account: Account) -> Self {
        Self { node, account }
    }
}

#[async_trait]
impl Wallet for NodeWallet {
    async fn pay(
        &self,
        details: &PaymentDetails,
        sent: &(dyn Fn(B256) + Send + Sync),
    ) -> Result<B256, PayError> {
        let contract = details.payment_contract;
        if self.node.code(contract).await.map_err(PayError::Wallet)?.is_empty() {
            return Err(PayError::NoContract(contract));
        }
        let amount = details.amount.0;
        let call = match details.asset {
            Asset::Native => {
                let pay = ISaltPay::payCall { paymentReference: details.reference, payee: details.recipient };
                Call { to: contract, value: amount, data: pay.abi_encode().into(), gas_limit: Some(PAY_GAS) }
            }
            Asset::Token(token) => {
                self.allow(token, contract, amount).await?;
                let pay = ISaltPay::payTokenCall {
                    paymentReference: details.reference,
                    payee: details.recipient,
                    asset: token,
                    amount,
                };
                Call {
                    to: contract,
                    value: U256::ZERO,
                    data: pay.abi_encode().into(),
                    gas_limit: Some(PAY_TOKEN_GAS),
                }
            }
        };
        let prepared = self.account.prepare(&self.node, &call).await.map_err(PayError::Wallet)?;
        sent(prepared.hash);
        self.node.broadcast(&prepared).await.map_err(PayError::Wallet)
    }
}

impl NodeWallet {
    /// Lets the payment contract take exactly this payment, if it may not yet, and waits until that is mined.
    async fn allow(&self, token: Address, spender: Address, amount: U256) -> Result<(), PayError> {
        let ask = IERC20::allowanceCall { owner: self.account.address(), spender };
        let ask = Call { to: token, value: U256::ZERO, data: ask.abi_encode().into(), gas_limit: None };
        let answer = self.node.call(Some(self.account.address()), &ask).await.map_err(PayError::Wallet)?;
        let allowed = IERC20::allowanceCall::abi_decode_returns(&answer).unwrap_or_default();
        if allowed >= amount {
            return Ok(());
        }
        let approve = IERC20::approveCall { spender, amount };
        let call = Call {
            to: token,
            value: U256::ZERO,
            data: approve.abi_encode().into(),
            gas_limit: Some(APPROVE_GAS),
        };
        let transaction = self.account.send(&self.node, &call).await.map_err(PayError::Wallet)?;
        self.mined(transaction).await
    }

    /// Waits for a transaction's receipt; a minute without one is a failure.
    async fn mined(&self, transaction: B256) -> Result<(), PayError> {
        let give_up = Instant::now() + APPROVAL_PATIENCE;
        loop {
            match self.node.receipt(transaction).await.map_err(PayError::Wallet)? {
                Some(receipt) if receipt.success => return Ok(()),
                Some(_) => return Err(PayError::Approval { transaction, what: "it reverted" }),
                None if Instant::now() >= give_up => {
                    return Err(PayError::Approval { transaction, what: "it was not mined within a minute" });
                }
                None => tokio::time::sleep(Duration::from_millis(self.node.profile().poll_ms)).await,
            }
        }
    }
}
