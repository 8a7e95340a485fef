//! Gives money back for a payment, as its payee.
//!
//! As with a payment, the transaction is signed, written down, and only then sent. Once it is written down it is only sent
//! again, so that nothing is given back twice.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy_sol_types::SolCall;
use salt402_chain::{Account, At, Call, Node as _, NodeError, RpcNode};
use salt402_protocol::contracts::ISaltPay;
use salt402_protocol::{Address, Amount, Asset, B256, U256};
use tokio::time::Instant;

use crate::error::PayError;
use crate::receipt::SignedPayment;
use crate::wallet::{
    BeforeSending, NodeWallet, PAY_GAS, PAY_TOKEN_GAS, TransactionStatus, Wallet as _, has_function,
};

/// The interval of sending a refund again, and of looking for its block.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefundTerms {
    /// The `SaltPay` that it goes through.
    pub contract: Address,
    /// The reference of the payment.
    pub reference: B256,
    /// Who paid, and gets it back.
    pub payer: Address,
    /// In what.
    pub asset: Asset,
    /// How much, in base units.
    pub amount: Amount,
}

impl RefundTerms {
    fn call(&self) -> Call {
        let Self { contract, reference, payer, asset, amount } = *self;
        let (value, data, gas) = match asset {
            Asset::Native => {
                let call = ISaltPay::refundCall { paymentReference: reference, payer };
                (amount.0, call.abi_encode(), PAY_GAS)
            }
            Asset::Token(asset) => {
                let call =
                    ISaltPay::refundTokenCall { paymentReference: reference, payer, asset, amount: amount.0 };
                (U256::ZERO, call.abi_encode(), PAY_TOKEN_GAS)
            }
        };
        Call { to: contract, value, data: data.into(), gas_limit: Some(gas) }
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
        "nothing was given back: the contract at {0} has no function that refunds: it is not this version's SaltPay; configure \
         the present one, or send the money by a plain transfer and write down why"
    )]
    NoRefund(Address),
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
        let call = terms.call();
        self.check_code(terms, &call).await?;
        if terms.asset == Asset::Native {
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
        let call = terms.call();
        self.check_code(terms, &call).await?;
        let spends = match terms.asset {
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
            let why = match self.wallet.send(refund, true, *overtaken_at).await {
                TransactionStatus::Replaced { is_final: true, .. } => {
                    return RefundOutcome::Void("another transaction of the account used its nonce, finally");
                }
                TransactionStatus::Reverted { is_final: true, .. } => {
                    return RefundOutcome::Void("it reverted, finally");
                }
                TransactionStatus::Replaced { at, .. } => {
                    overtaken_at.get_or_insert(at);
                    "another transaction of the account has used its nonce; whether for good shows when that is final"
                        .to_owned()
                }
                TransactionStatus::Reverted { .. } => {
                    "it reverted; whether for good shows when that is final".to_owned()
                }
                TransactionStatus::Known | TransactionStatus::Late => "a node has it".to_owned(),
                TransactionStatus::Unknown(why) => format!("no node says that it has it: {why}"),
            };
            for node in &self.nodes {
                if let Ok(Some(receipt)) = node.receipt(refund.transaction).await
                    && receipt.success
                {
                    return RefundOutcome::Mined { block: receipt.block_number };
                }
            }
            if Instant::now() >= give_up {
                return RefundOutcome::Open(why);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The highest newest block that a node shows.
    ///
    /// # Errors No node answers.
    pub async fn head(&self) -> Result<u64, RefundError> {
        let (mut highest, mut failed) = (None, None);
        for node in &self.nodes {
            match node.header(At::Latest).await {
                Ok(header) => highest = highest.max(header.map(|header| header.number)),
                Err(error) => failed = Some(error),
            }
        }
        let failed = || failed.map_or(PayError::NoNode, PayError::Wallet);
        highest.ok_or_else(|| failed().into())
    }

    /// Whether a block includes a transaction, by any node that answers. `None`: no node answers.
    pub async fn is_mined(&self, transaction: B256) -> Option<bool> {
        let mut answered = None;
        for node in &self.nodes {
            match node.receipt(transaction).await {
                Ok(Some(_)) => return Some(true),
                Ok(None) => answered = Some(false),
                Err(_) => {}
            }
        }
        answered
    }
}
