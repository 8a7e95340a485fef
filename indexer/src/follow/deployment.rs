//! Whether the payment contract and the token are on the chain, before anybody is told a price.
//!
//! A missing payment contract takes no payments. A token with other decimals than the operator wrote changes every
//! price. The node is asked about both at the start, and again until they are right.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, Bytes, U256};
use salt402_chain::{At, Node, NodeError, Work};
use tokio::sync::watch;

/// The pauses before the node is asked again: if it did not answer, and if its answer was not right.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// A selector of no function. `SaltPay` reverts on it, and an address without code returns nothing.
const NO_FUNCTION: [u8; 4] = [0xff; 4];
/// The selector of `decimals()` of ERC-20.
const DECIMALS: [u8; 4] = [0x31, 0x3c, 0xe5, 0x67];

/// The contracts to be paid through on one chain.
#[derive(Clone, Debug)]
pub struct DeploymentCheck {
    /// The payment contract.
    pub contract: Address,
    /// The first block that may hold a payment through it.
    pub start_block: u64,
    /// The token that prices are in, and its decimals as the operator wrote them.
    pub token: Option<(Address, u8)>,
}

/// Why nothing can be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeploymentFault {
    /// The payment contract is not there.
    NoContract(Address),
    /// The payment contract is followed only from a future block on.
    StartsLater {
        /// That block.
        start: u64,
        /// The newest one.
        head: u64,
    },
    /// The configured token tells no decimals.
    NoToken(Address),
    /// The token has others than the operator wrote.
    OtherDecimals {
        /// The token.
        token: Address,
        /// What it says.
        says: U256,
        /// What the operator wrote.
        written: u8,
    },
}

impl fmt::Display for DeploymentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoContract(contract) => {
                write!(
                    f,
                    "there is no payment contract at {contract} on this chain: is it the right address, and deployed?"
                )
            }
            Self::StartsLater { start, head } => write!(
                f,
                "the payment contract is followed from block {start} on, and the newest block is {head}: what is paid before \
                 would not be seen; set start_block to the block that it was deployed in"
            ),
            Self::NoToken(token) => {
                write!(
                    f,
                    "there is no token at {token} on this chain that tells its decimals(): is [payment] asset right?"
                )
            }
            Self::OtherDecimals { token, says, written } => write!(
                f,
                "the token {token} has {says} decimal places, and [payment] asset_decimals is {written}: every price would be \
                 another than was meant; correct it, and the prices"
            ),
        }
    }
}

impl DeploymentCheck {
    /// Looks once.
    ///
    /// # Errors
    /// What kept the node from answering.
    pub async fn look(&self, nodes: &Arc<dyn Node>) -> Result<Result<(), DeploymentFault>, NodeError> {
        let pinned = nodes.pin(Work::LookUp).await?;
        let node = pinned.as_deref().unwrap_or(&**nodes);
        node.check_chain().await?;
        let head = node.header(At::Latest).await?.ok_or(NodeError::Behind)?.number;
        if self.start_block > head {
            return Ok(Err(DeploymentFault::StartsLater { start: self.start_block, head }));
        }
        match view(node, self.contract, NO_FUNCTION).await {
            Ok(Some(said)) if said.is_empty() => return Ok(Err(DeploymentFault::NoContract(self.contract))),
            // Nodes report a failed call in many ways. Each of them shows that there is code which failed.
            Ok(_) | Err(NodeError::Rpc { .. } | NodeError::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
        let Some((token, written)) = self.token else { return Ok(Ok(())) };
        let Some(said) = view(node, token, DECIMALS).await? else {
            return Ok(Err(DeploymentFault::NoToken(token)));
        };
        if said.len() != 32 {
            return Ok(Err(DeploymentFault::NoToken(token)));
        }
        let says = U256::from_be_slice(&said);
        let fits = says == U256::from(written);
        Ok(if fits { Ok(()) } else { Err(DeploymentFault::OtherDecimals { token, says, written }) })
    }

    /// Asks until all is right, and meanwhile says what is wrong. Waits for a node that does not answer.
    pub async fn watch(self, nodes: Arc<dyn Node>, said: watch::Sender<Option<String>>) {
        let chain = nodes.profile().chain_id;
        loop {
            let pause = match self.look(&nodes).await {
                Ok(Ok(())) => {
                    said.send_replace(None);
                    return;
                }
                Ok(Err(unfit)) => {
                    let why = Some(unfit.to_string());
                    if *said.borrow() != why {
                        tracing::error!(%chain, %unfit, "nothing is sold");
                    }
                    said.send_replace(why);
                    PAUSES.1
                }
                Err(error) => {
                    tracing::debug!(%chain, %error, "what is paid through could not be looked at");
                    said.send_replace(Some(format!(
                        "the node cannot be asked for the payment contract: {error}"
                    )));
                    PAUSES.0
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// What is reported before the node was asked.
    pub fn unseen() -> (watch::Sender<Option<String>>, watch::Receiver<Option<String>>) {
        watch::channel(Some("the node was not asked yet for the payment contract".to_owned()))
    }
}

/// The answer of a contract. `None` if the call reverts.
async fn view(node: &dyn Node, contract: Address, selector: [u8; 4]) -> Result<Option<Bytes>, NodeError> {
    match node.view(contract, Bytes::copy_from_slice(&selector)).await {
        Ok(said) => Ok(Some(said)),
        Err(error) if error.is_revert() => Ok(None),
        Err(error) => Err(error),
    }
}
