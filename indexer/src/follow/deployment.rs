//! Whether what is to be paid through is on the chain, before anybody is told a price.
//!
//! A payment contract that is not there takes no payment, and a token with other decimal places than the operator wrote makes
//! every price another. Both are asked of the node at the start, and again until they are right. What was there stays there
//! until the block in which it was seen leaves the chain, as where a chain is reset; then it is asked for again. Nobody asks a
//! node for a price.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, Bytes, U256};
use salt402_chain::{At, Header, Node, NodeError, Work};
use tokio::sync::watch;

use crate::state::health::Health;

/// The pause before the node is asked again: one that did not answer, and one whose answer was not right.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// The selector of `decimals()` of ERC-20.
const DECIMALS: [u8; 4] = [0x31, 0x3c, 0xe5, 0x67];

/// The contracts to be paid through on one chain.
#[derive(Clone, Debug)]
pub struct DeploymentCheck {
    /// The payment contract.
    pub contract: Address,
    /// The first block that may hold a payment through it.
    pub start_block: u64,
    /// The contract of channels whose vouchers are taken, if any.
    pub channels: Option<Address>,
    /// The token that prices are in, and its decimal places as the operator wrote them.
    pub token: Option<(Address, u8)>,
}

/// Why nothing can be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeploymentFault {
    /// The payment contract is not there.
    NoContract(Address),
    /// The contract of channels is not there.
    NoChannels(Address),
    /// The payment contract is followed from a block on that is still to come.
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
            Self::NoChannels(contract) => {
                write!(
                    f,
                    "there is no contract of channels at {contract} on this chain: is it the right address, and deployed?"
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

/// Whether what is to be paid through is on the chain, as it was seen last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deployment {
    /// Nobody looked yet, or what was seen is in doubt: the reason.
    Unknown(String),
    /// It is not there, or not as it is configured.
    Unfit(DeploymentFault),
    /// It is there.
    Good {
        /// The block at which it was seen. While that is on the chain, so is what was seen.
        seen_at: u64,
        /// The reorganizations of the follower that were known then; those since may have taken that block away.
        reorganizations: u64,
    },
}

impl Deployment {
    /// Before the node was asked.
    pub fn unseen() -> Self {
        Self::Unknown("the node was not asked yet for the payment contract".to_owned())
    }

    /// Why nothing can be paid; `None` if it can. `health` is the follower's, where it is in this process.
    pub fn complaint(&self, health: Option<&Health>) -> Option<String> {
        match self {
            Self::Unknown(why) => Some(why.clone()),
            Self::Unfit(fault) => Some(fault.to_string()),
            Self::Good { .. } if self.is_in_doubt(health) => {
                Some("the chain was reorganized: the node is asked for the payment contract again".to_owned())
            }
            Self::Good { .. } => None,
        }
    }

    /// The contract to pay through that is known not to be on the chain.
    pub fn missing(&self) -> Option<Address> {
        match self {
            Self::Unfit(DeploymentFault::NoContract(contract) | DeploymentFault::NoChannels(contract)) => {
                Some(*contract)
            }
            _ => None,
        }
    }

    /// Whether the block at which it was seen may have left the chain since.
    pub fn is_in_doubt(&self, health: Option<&Health>) -> bool {
        match (self, health) {
            (Self::Good { seen_at, reorganizations }, Some(health)) => {
                health.kept_since(*reorganizations).is_some_and(|kept| kept < *seen_at)
            }
            _ => false,
        }
    }
}

impl DeploymentCheck {
    /// Looks once. Returns the newest block then, if all is right.
    ///
    /// # Errors
    /// What kept the node from answering.
    pub async fn look(&self, nodes: &Arc<dyn Node>) -> Result<Result<Header, DeploymentFault>, NodeError> {
        let pinned = nodes.pin(Work::LookUp).await?;
        let node = pinned.as_deref().unwrap_or(&**nodes);
        node.check_chain().await?;
        let head = node.header(At::Latest).await?.ok_or(NodeError::Behind)?;
        if self.start_block > head.number {
            return Ok(Err(DeploymentFault::StartsLater { start: self.start_block, head: head.number }));
        }
        if !has_code(node, self.contract).await? {
            return Ok(Err(DeploymentFault::NoContract(self.contract)));
        }
        if let Some(channels) = self.channels
            && !has_code(node, channels).await?
        {
            return Ok(Err(DeploymentFault::NoChannels(channels)));
        }
        // What was seen is at a block up to this one, so while this one stays, so does that.
        let seen = node.header(At::Latest).await?.ok_or(NodeError::Behind)?;
        if node.header(At::Number(head.number)).await?.is_none_or(|now| now.hash != head.hash) {
            return Err(NodeError::Moved);
        }
        let good = Ok(seen);
        let Some((token, written)) = self.token else { return Ok(good) };
        let Some(said) = view(node, token, DECIMALS).await? else {
            return Ok(Err(DeploymentFault::NoToken(token)));
        };
        if said.len() != 32 {
            return Ok(Err(DeploymentFault::NoToken(token)));
        }
        let says = U256::from_be_slice(&said);
        let fits = says == U256::from(written);
        Ok(if fits { good } else { Err(DeploymentFault::OtherDecimals { token, says, written }) })
    }

    /// Looks, and looks again until all is right, and whenever the block at which it was seen may have left the chain. `health`
    /// is the follower's, where it is in this process; else the node is asked for that block every few seconds.
    pub async fn watch(
        self,
        nodes: Arc<dyn Node>,
        mut health: Option<watch::Receiver<Health>>,
        said: watch::Sender<Deployment>,
    ) {
        let chain = nodes.profile().chain_id;
        let gauge = metrics::gauge!("salt402_contract_missing", "chain" => chain.to_string());
        loop {
            // Before the node is asked, so that a reorganization meanwhile is seen as one since.
            let reorganizations = health.as_ref().map_or(0, |health| health.borrow().reorganizations);
            let seen = self.look(&nodes).await;
            gauge.set(
                if matches!(&seen, Ok(Err(fault)) if Deployment::Unfit(fault.clone()).missing().is_some()) {
                    1.0
                } else {
                    0.0
                },
            );
            match seen {
                Ok(Ok(head)) => {
                    said.send_replace(Deployment::Good { seen_at: head.number, reorganizations });
                    until_in_doubt(&nodes, &head, &mut health, &said).await;
                    tracing::info!(%chain, block = head.number, "the chain was reorganized below the block at which the \
                        payment contract was seen: it is looked for again");
                }
                Ok(Err(unfit)) => {
                    let now = Deployment::Unfit(unfit);
                    if *said.borrow() != now {
                        let unfit = now.complaint(None).unwrap_or_default();
                        tracing::error!(%chain, unfit, "nothing is sold");
                    }
                    said.send_replace(now);
                    tokio::time::sleep(PAUSES.1).await;
                }
                Err(error) => {
                    tracing::debug!(%chain, %error, "what is paid through could not be looked at");
                    // Where a follower is here, it has told of the doubt already. Elsewhere, what was seen counts until a node
                    // answers otherwise: one that lags or is away would end all sales.
                    if health.is_none() && matches!(&*said.borrow(), Deployment::Good { .. }) {
                        tokio::time::sleep(PAUSES.0).await;
                        continue;
                    }
                    said.send_replace(Deployment::Unknown(format!(
                        "the node cannot be asked for the payment contract: {error}"
                    )));
                    tokio::time::sleep(PAUSES.0).await;
                }
            }
        }
    }
}

/// Waits until the block at which all was good may have left the chain.
async fn until_in_doubt(
    nodes: &Arc<dyn Node>,
    seen: &Header,
    health: &mut Option<watch::Receiver<Health>>,
    said: &watch::Sender<Deployment>,
) {
    // Whether the index has that block. Only from then on does the follower tell when it leaves the chain.
    let mut joined = false;
    loop {
        if let Some(following) = health {
            let indexed = {
                let now = following.borrow_and_update();
                if said.borrow().is_in_doubt(Some(&now)) {
                    return;
                }
                now.indexed
            };
            if !joined && indexed >= Some(seen.number) {
                match nodes.header(At::Number(seen.number)).await {
                    Ok(Some(now)) if now.hash == seen.hash => joined = true,
                    Ok(Some(_)) => return,
                    // Asked again at the next change, which the next block brings.
                    Ok(None) | Err(_) => {}
                }
            }
            if following.changed().await.is_err() {
                // The follower has ended, and the process is about to.
                std::future::pending::<()>().await;
            }
            continue;
        }
        tokio::time::sleep(PAUSES.1).await;
        // A node that does not answer, or does not have the block, says nothing: it may be behind.
        let now = nodes.header(At::Number(seen.number)).await;
        if let Ok(Some(now)) = now
            && now.hash != seen.hash
        {
            return;
        }
        if let Ok(Some(head)) = nodes.header(At::Latest).await
            && head.number < seen.number
        {
            // Lower than before: a chain that was reset, or a node that is behind. Both are looked at again.
            return;
        }
    }
}

/// Whether there is code at an address. A node that cannot say so has not answered.
async fn has_code(node: &dyn Node, contract: Address) -> Result<bool, NodeError> {
    Ok(!node.code(contract).await?.is_empty())
}

/// The answer of a contract. `None` if the call reverts.
async fn view(node: &dyn Node, contract: Address, selector: [u8; 4]) -> Result<Option<Bytes>, NodeError> {
    match node.view(contract, Bytes::copy_from_slice(&selector)).await {
        Ok(said) => Ok(Some(said)),
        Err(error) if error.is_revert() => Ok(None),
        Err(error) => Err(error),
    }
}
