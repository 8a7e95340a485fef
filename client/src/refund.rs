//! Gives money back for a payment, or out of what was claimed from a channel, as its payee.
//!
//! As with a payment, the transaction is signed, written down, and only then sent. Once it is written down it is only sent
//! again, so that nothing is given back twice.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy_sol_types::SolCall;
use salt402_chain::{Account, At, Call, Node, NodeError, RpcNode};
use salt402_protocol::contracts::{ISaltChannels, ISaltPay};
use salt402_protocol::{Address, Amount, Asset, B256, Descriptor, U256};
use tokio::time::Instant;

use crate::error::PayError;
use crate::receipt::SignedPayment;
use crate::wallet::{
    BeforeSending, NodeWallet, PAY_GAS, PAY_TOKEN_GAS, TransactionStatus, Wallet as _, has_function,
};

/// The interval of sending a refund again, and of looking for its block.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The gas of a channel's refund: the payer may have 100,000 to take coins, a token 200,000 to transfer.
const CHANNEL_GAS: u64 = 350_000;

/// Of what something is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundSubject {
    /// Of a payment through `SaltPay`.
    Payment {
        /// The reference of the payment.
        reference: B256,
        /// Who paid, and gets it back.
        payer: Address,
        /// In what.
        asset: Asset,
    },
    /// Of what was claimed from a channel of `SaltChannels`. The channel stays open.
    Channel(Descriptor),
}

/// What is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefundTerms {
    /// The `SaltPay` or the `SaltChannels` that it goes through.
    pub contract: Address,
    /// Of what.
    pub subject: RefundSubject,
    /// How much, in base units.
    pub amount: Amount,
}

impl RefundTerms {
    /// In what it is given back.
    pub fn asset(&self) -> Asset {
        match self.subject {
            RefundSubject::Payment { asset, .. } => asset,
            RefundSubject::Channel(channel) => channel.asset,
        }
    }

    /// `None`: a channel that no contract can have.
    fn call(&self) -> Option<Call> {
        let Self { contract, subject, amount } = *self;
        let value = if self.asset() == Asset::Native { amount.0 } else { U256::ZERO };
        let (data, gas) = match subject {
            RefundSubject::Payment { reference, payer, asset: Asset::Native } => {
                (ISaltPay::refundCall { paymentReference: reference, payer }.abi_encode(), PAY_GAS)
            }
            RefundSubject::Payment { reference, payer, asset: Asset::Token(asset) } => {
                let call =
                    ISaltPay::refundTokenCall { paymentReference: reference, payer, asset, amount: amount.0 };
                (call.abi_encode(), PAY_TOKEN_GAS)
            }
            RefundSubject::Channel(channel) => {
                let channel = channel.to_solidity()?;
                (ISaltChannels::refundCall { channel, amount: amount.0 }.abi_encode(), CHANNEL_GAS)
            }
        };
        Some(Call { to: contract, value, data: data.into(), gas_limit: Some(gas) })
    }
}

/// Why nothing was given back.
#[derive(Debug, thiserror::Error)]
pub enum RefundError {
    /// The refund could not be prepared or written down.
    #[error("nothing was given back: {0}")]
    Unsent(#[from] PayError),
    /// The contract has no function that gives back.
    #[error(
        "nothing was given back: the contract at {0} has no function that refunds: it is not this version's SaltPay or \
         SaltChannels; configure the present one, or send the money by a plain transfer and write down why"
    )]
    NoRefund(Address),
    /// The channel has values that no channel of the contract has.
    #[error("nothing was given back: {0} has no such channel")]
    NoChannel(Address),
    /// The contract would refuse the refund.
    #[error("nothing was given back, because the contract would refuse it: {0}")]
    Refused(#[source] NodeError),
}

/// What became of a refund that was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundOutcome {
    /// It is in a block, and moved the money.
    Mined {
        /// The height of the block.
        block: u64,
    },
    /// It finally moved nothing and never will: it reverted, or another transaction used its nonce.
    Void(&'static str),
    /// It may still be mined: the last that is known.
    Open(String),
}

/// Where nodes stand to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// All that answer have it.
    On {
        /// The highest newest block that one of them shows.
        head: u64,
    },
    /// One is below its height.
    Below {
        /// The newest block of that one.
        head: u64,
    },
    /// One has another block at its height.
    Elsewhere,
}

/// Gives back through nodes, with the payee's key.
pub struct Refunder {
    wallet: NodeWallet,
    nodes: Vec<Arc<RpcNode>>,
    account: Address,
}

impl Refunder {
    /// A refunder for one payee on one chain. `turn` is a lock file against other processes with the same key.
    pub fn new(nodes: Vec<Arc<RpcNode>>, account: Account, turn: PathBuf) -> Self {
        let address = account.address();
        let wallet = NodeWallet::new(nodes.clone(), account).in_turn(turn);
        Self { wallet, nodes, account: address }
    }

    /// The account of the key.
    pub fn account(&self) -> Address {
        self.account
    }

    /// Asks the contract what it would do, and sends nothing. Of a token, whether it may be moved is known only once it is
    /// allowed to be, so it is not asked.
    pub async fn rehearse(&self, terms: &RefundTerms) -> Result<(), RefundError> {
        let call = terms.call().ok_or(RefundError::NoChannel(terms.contract))?;
        self.check_code(terms, &call).await?;
        if terms.asset() == Asset::Native {
            self.wallet.simulate(&call).await?.map_err(RefundError::Refused)?;
        }
        Ok(())
    }

    async fn check_code(&self, terms: &RefundTerms, call: &Call) -> Result<(), RefundError> {
        let code = self.wallet.code(terms.contract).await?;
        if code.is_empty() {
            return Err(PayError::NoContract(terms.contract).into());
        }
        if !has_function(&code, &call.data) {
            return Err(RefundError::NoRefund(terms.contract));
        }
        Ok(())
    }

    /// Signs a refund, passes it to `before`, which writes it down, and sends it. Does not wait for a block.
    ///
    /// # Errors Only if nothing was sent.
    pub async fn send(
        &self,
        terms: &RefundTerms,
        before: &dyn BeforeSending,
    ) -> Result<SignedPayment, RefundError> {
        let call = terms.call().ok_or(RefundError::NoChannel(terms.contract))?;
        self.check_code(terms, &call).await?;
        let spends = match terms.asset() {
            Asset::Native => None,
            Asset::Token(token) => Some((token, terms.amount.0)),
        };
        let refused = |error| RefundError::Refused(error);
        Ok(self.wallet.send_first(&call, spends, None, before, true).await?.map_err(refused)?.0)
    }

    /// Sends a refund that was written down, again and again, until it is in a block or the time is over. Signs nothing.
    /// `overtaken_at` is the head when another transaction with its nonce was first seen; it is set here.
    pub async fn finish(
        &self,
        refund: &SignedPayment,
        overtaken_at: &mut Option<u64>,
        timeout: Duration,
    ) -> RefundOutcome {
        let give_up = Instant::now() + timeout;
        loop {
            let status = self.wallet.send(refund, true, *overtaken_at).await;
            // One node may deny what another has in a block, so all are asked before it is given up.
            let (mut block, mut silent) = (None, None);
            for node in &self.nodes {
                match node.receipt(refund.transaction).await {
                    Ok(Some(receipt)) if receipt.success => block = block.or(Some(receipt.block_number)),
                    Ok(_) => {}
                    Err(error) => silent = Some(error),
                }
            }
            if let Some(block) = block {
                return RefundOutcome::Mined { block };
            }
            let why = match (status, silent) {
                (
                    TransactionStatus::Replaced { is_final: true, .. }
                    | TransactionStatus::Reverted { is_final: true, .. },
                    Some(error),
                ) => {
                    format!(
                        "a node says that it can never be mined, and another does not answer whether it was: {error}; where that \
                         node is gone for good, name the one to ask by --rpc"
                    )
                }
                (TransactionStatus::Replaced { is_final: true, .. }, _) => {
                    return RefundOutcome::Void("another transaction of the account used its nonce, finally");
                }
                (TransactionStatus::Reverted { is_final: true, .. }, _) => {
                    return RefundOutcome::Void("it reverted, finally");
                }
                (TransactionStatus::Replaced { at, .. }, _) => {
                    overtaken_at.get_or_insert(at);
                    "another transaction of the account has used its nonce; whether for good shows when that is final"
                        .to_owned()
                }
                (TransactionStatus::Reverted { .. }, _) => {
                    "it reverted; whether for good shows when that is final".to_owned()
                }
                (TransactionStatus::Known | TransactionStatus::Late, _) => "a node has it".to_owned(),
                (TransactionStatus::Unknown(why), _) => format!("no node says that it has it: {why}"),
            };
            if Instant::now() >= give_up {
                return RefundOutcome::Open(why);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The node that is asked first.
    pub fn node(&self) -> Option<Arc<dyn Node>> {
        self.nodes.first().map(|node| Arc::clone(node) as Arc<dyn Node>)
    }

    /// The highest newest block that a node shows. `None`: no node answers.
    pub async fn head(&self) -> Option<u64> {
        let mut highest = None;
        for node in &self.nodes {
            if let Ok(Some(header)) = node.header(At::Latest).await {
                highest = highest.max(Some(header.number));
            }
        }
        highest
    }

    /// Whether the nodes are on the chain of a block: each that answers must have it at its height.
    ///
    /// # Errors No node answers.
    pub async fn standing(&self, number: u64, hash: B256) -> Result<Standing, RefundError> {
        let (mut highest, mut failed) = (None, None);
        for node in &self.nodes {
            let head = match node.header(At::Latest).await {
                Ok(Some(head)) => head.number,
                Ok(None) => continue,
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            if head < number {
                return Ok(Standing::Below { head });
            }
            match node.header(At::Number(number)).await {
                Ok(Some(block)) if block.hash == hash => highest = highest.max(Some(head)),
                Ok(_) => return Ok(Standing::Elsewhere),
                Err(error) => failed = Some(error),
            }
        }
        let failed = || failed.map_or(PayError::NoNode, PayError::Wallet);
        highest.map(|head| Standing::On { head }).ok_or_else(|| failed().into())
    }

    /// A nonce of the account that is in no block yet at some node and is none of `known`: somebody else's transaction is on its
    /// way.
    ///
    /// # Errors No node answers.
    pub async fn unknown_pending(&self, known: &[u64]) -> Result<Option<u64>, RefundError> {
        let (mut answered, mut failed) = (false, None);
        for node in &self.nodes {
            match node.pending_nonces(self.account).await {
                Ok(mut nonces) => match nonces.find(|nonce| !known.contains(nonce)) {
                    Some(nonce) => return Ok(Some(nonce)),
                    None => answered = true,
                },
                Err(error) => failed = Some(error),
            }
        }
        let failed = || failed.map_or(PayError::NoNode, PayError::Wallet);
        if answered { Ok(None) } else { Err(failed().into()) }
    }

    /// Whether a node has a transaction, in a block or not. `None`: not all nodes answer, and none of the others has it.
    pub async fn is_known(&self, transaction: B256) -> Option<bool> {
        let mut all = Some(false);
        for node in &self.nodes {
            match (node.receipt(transaction).await, node.transaction(transaction).await) {
                (Ok(Some(_)), _) | (_, Ok(Some(_))) => return Some(true),
                (Ok(None), Ok(None)) => {}
                _ => all = None,
            }
        }
        all
    }

    /// Whether a block includes a transaction that moved money, by any node that answers. `None`: no node answers.
    pub async fn is_mined(&self, transaction: B256) -> Option<bool> {
        let mut answered = None;
        for node in &self.nodes {
            match node.receipt(transaction).await {
                Ok(Some(receipt)) if receipt.success => return Some(true),
                Ok(_) => answered = Some(false),
                Err(_) => {}
            }
        }
        answered
    }
}
