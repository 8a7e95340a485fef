//! Who holds the money.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Bytes;
use alloy_sol_types::{SolCall, sol};
use async_trait::async_trait;
use salt402_chain::{Account, At, Call, Node as _, NodeError, Prepared, RpcNode};
use salt402_protocol::contracts::ISaltPay;
use salt402_protocol::details::PaymentDetails;
use salt402_protocol::{Address, Asset, U256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::PayError;
use crate::receipt::{self, ReceiptLock, SignedPayment};

/// Gas for a payment in the native coin, in a token, and for an approval. Given rather than estimated: what a node's
/// estimate is worth differs, and these calls are known. A payee with code of its own has some 80,000 to spend.
const PAY_GAS: u64 = 120_000;
const PAY_TOKEN_GAS: u64 = 250_000;
const APPROVE_GAS: u64 = 100_000;

/// How long an approval may take to be mined.
const APPROVAL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long nodes that fail are asked again before anything is sent.
const PREPARING: Duration = Duration::from_secs(20);
/// Between two such questions.
const ASKED_AGAIN: Duration = Duration::from_millis(500);
/// Between two looks whether it is this process's turn.
const TURN_AGAIN: Duration = Duration::from_millis(50);

sol! {
    /// The part of ERC-20 that a payer needs.
    interface IERC20 {
        function approve(address spender, uint256 amount) external returns (bool);
        function allowance(address owner, address spender) external view returns (uint256);
    }
}

/// How a payment stands with the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// A node has it, or it is in a block.
    Known,
    /// No node says that it has it. That proves nothing: an answer may have been lost.
    Unknown(String),
    /// Another transaction of the account is in a block with its nonce.
    Replaced {
        /// The head at which that was seen.
        at: u64,
        /// Whether that was seen so long ago that it is final: the payment cannot be mined any more.
        is_final: bool,
    },
}

/// Is told of a payment before it is sent.
#[async_trait]
pub trait BeforeSending: Send + Sync {
    /// The payment is signed and not sent. After an error it must not be.
    async fn signed(&self, payment: &SignedPayment) -> Result<(), PayError>;
}

/// Pays what was decided to be paid.
#[async_trait]
pub trait Wallet: Send + Sync {
    /// Signs a payment, tells `before`, and sends it, without waiting for a block.
    ///
    /// # Errors
    /// Only where nothing was sent: once `before` agreed, whatever a node says is a [`TransactionStatus`].
    async fn pay(
        &self,
        details: &PaymentDetails,
        before: &dyn BeforeSending,
    ) -> Result<(SignedPayment, TransactionStatus), PayError>;

    /// Sends a payment again where `may_send`, and finds out how it stands. `overtaken_at` is the head at which another
    /// transaction was first seen in its place.
    async fn send(
        &self,
        payment: &SignedPayment,
        may_send: bool,
        overtaken_at: Option<u64>,
    ) -> TransactionStatus;
}

/// Pays through nodes, with a key held in this process.
pub struct NodeWallet {
    /// The first is asked first, the others where it fails. All of one chain.
    nodes: Vec<Arc<RpcNode>>,
    account: Option<Account>,
    /// Held from the choice of a nonce until the payment was sent, so that two payments at once do not get the same one.
    turn: Mutex<()>,
    /// A file that is held as long, against other processes with the same key.
    turn_file: Option<PathBuf>,
}

impl NodeWallet {
    /// A wallet for one account on one chain.
    pub fn new(nodes: Vec<Arc<RpcNode>>, account: Account) -> Self {
        Self { nodes, account: Some(account), turn: Mutex::default(), turn_file: None }
    }

    /// Takes turns with other processes that pay from the same account, by a file that only they use.
    pub fn in_turn(self, file: PathBuf) -> Self {
        Self { turn_file: Some(file), ..self }
    }

    /// One that signs nothing: it sends what was signed before.
    pub fn keyless(nodes: Vec<Arc<RpcNode>>) -> Self {
        Self { nodes, account: None, turn: Mutex::default(), turn_file: None }
    }
}

#[async_trait]
impl Wallet for NodeWallet {
    async fn pay(
        &self,
        details: &PaymentDetails,
        before: &dyn BeforeSending,
    ) -> Result<(SignedPayment, TransactionStatus), PayError> {
        let account = self.account.as_ref().ok_or(PayError::NoKey)?;
        let _turn = self.turn.lock().await;
        let _alone = self.alone().await.map_err(PayError::NotKept)?;
        let (contract, mut nonce) = (details.payment_contract, 0);
        if self.code(contract).await?.is_empty() {
            return Err(PayError::NoContract(contract));
        }
        if let Asset::Token(token) = details.asset {
            self.allow(account, token, contract, details.amount.0, &mut nonce).await?;
        }
        let prepared = self.prepare(account, &payment(details), nonce).await?;
        let payment = SignedPayment {
            network: self.network(),
            payer: prepared.from,
            transaction: prepared.hash,
            nonce: prepared.nonce,
            raw: prepared.raw,
        };
        before.signed(&payment).await?;
        let status = self.send(&payment, true, None).await;
        Ok((payment, status))
    }

    async fn send(
        &self,
        payment: &SignedPayment,
        may_send: bool,
        overtaken_at: Option<u64>,
    ) -> TransactionStatus {
        let mut why = if may_send {
            "no node was named".to_owned()
        } else {
            "its quote has ended, so it is not sent any more".to_owned()
        };
        for node in self.nodes.iter().filter(|_| may_send) {
            match node.send(payment.transaction, &payment.raw).await {
                Ok(_) => return TransactionStatus::Known,
                Err(error) => why = error.to_string(),
            }
        }
        for node in &self.nodes {
            match look(node, payment, overtaken_at).await {
                Ok(Some(status)) => return status,
                Ok(None) => {}
                Err(error) => why = format!("{why}; {error}"),
            }
        }
        TransactionStatus::Unknown(why)
    }
}

/// What a node knows of a payment that it did not take; `None` where it knows nothing.
async fn look(
    node: &RpcNode,
    payment: &SignedPayment,
    overtaken_at: Option<u64>,
) -> Result<Option<TransactionStatus>, NodeError> {
    // In this order: a transaction that is mined in between is found by its receipt.
    let used = node.transaction_count(payment.payer).await?;
    if node.receipt(payment.transaction).await?.is_some() {
        return Ok(Some(TransactionStatus::Known));
    }
    if used <= payment.nonce {
        return Ok(None);
    }
    let at = node.header(At::Latest).await?.ok_or(NodeError::Behind)?.number;
    let depth = node.profile().finality_depth;
    let is_final = overtaken_at.is_some_and(|first| at >= first.saturating_add(depth));
    Ok(Some(TransactionStatus::Replaced { at, is_final }))
}

fn payment(details: &PaymentDetails) -> Call {
    let to = details.payment_contract;
    let (value, data, gas) = match details.asset {
        Asset::Native => {
            let pay = ISaltPay::payCall { paymentReference: details.reference, payee: details.recipient };
            (details.amount.0, pay.abi_encode(), PAY_GAS)
        }
        Asset::Token(asset) => {
            let pay = ISaltPay::payTokenCall {
                paymentReference: details.reference,
                payee: details.recipient,
                asset,
                amount: details.amount.0,
            };
            (U256::ZERO, pay.abi_encode(), PAY_TOKEN_GAS)
        }
    };
    Call { to, value, data: data.into(), gas_limit: Some(gas) }
}

/// Nodes that are asked in turn before anything is sent, again where they only stumble.
struct Turns<'a> {
    nodes: &'a [Arc<RpcNode>],
    at: usize,
    give_up: Instant,
}

impl<'a> Turns<'a> {
    fn of(wallet: &'a NodeWallet) -> Self {
        Self { nodes: &wallet.nodes, at: 0, give_up: Instant::now() + PREPARING }
    }

    /// The next node to ask, after a pause where all were.
    async fn next(&mut self) -> Result<&'a RpcNode, PayError> {
        if self.at > 0 && self.at.is_multiple_of(self.nodes.len().max(1)) {
            tokio::time::sleep(ASKED_AGAIN).await;
        }
        let place = self.at % self.nodes.len().max(1);
        self.at += 1;
        self.nodes.get(place).map(Arc::as_ref).ok_or(PayError::NoNode)
    }

    /// Whether an error is to be overcome by asking again.
    fn stumbled(&self, error: NodeError) -> Result<(), PayError> {
        // A fee that is too high is no node's fault, and does not fall within seconds.
        let again = error.is_transient() && !matches!(error, NodeError::FeeTooHigh { .. });
        if again && Instant::now() < self.give_up { Ok(()) } else { Err(PayError::Wallet(error)) }
    }
}

impl NodeWallet {
    async fn alone(&self) -> io::Result<Option<ReceiptLock>> {
        let Some(file) = &self.turn_file else { return Ok(None) };
        loop {
            if let Some(lock) = receipt::try_lock(file)? {
                return Ok(Some(lock));
            }
            tokio::time::sleep(TURN_AGAIN).await;
        }
    }

    fn network(&self) -> String {
        self.nodes.first().map(|node| node.profile().name.clone()).unwrap_or_default()
    }

    async fn code(&self, contract: Address) -> Result<Bytes, PayError> {
        let mut turns = Turns::of(self);
        loop {
            match turns.next().await?.code(contract).await {
                Ok(code) => return Ok(code),
                Err(error) => turns.stumbled(error)?,
            }
        }
    }

    async fn prepare(&self, account: &Account, call: &Call, least_nonce: u64) -> Result<Prepared, PayError> {
        let mut turns = Turns::of(self);
        loop {
            match account.prepare_after(turns.next().await?, call, least_nonce).await {
                Ok(prepared) => return Ok(prepared),
                Err(error) => turns.stumbled(error)?,
            }
        }
    }

    async fn call(&self, account: &Account, call: &Call) -> Result<Result<Bytes, NodeError>, PayError> {
        let mut turns = Turns::of(self);
        loop {
            match turns.next().await?.call(Some(account.address()), call).await {
                Err(error) if error.is_revert() => return Ok(Err(error)),
                Err(error) => turns.stumbled(error)?,
                answer => return Ok(answer),
            }
        }
    }

    /// Lets the payment contract take exactly this payment, if it may not yet, and waits until that is mined.
    async fn allow(
        &self,
        account: &Account,
        token: Address,
        spender: Address,
        amount: U256,
        nonce: &mut u64,
    ) -> Result<(), PayError> {
        let ask = IERC20::allowanceCall { owner: account.address(), spender };
        let ask = Call { to: token, value: U256::ZERO, data: ask.abi_encode().into(), gas_limit: None };
        let answer = self.call(account, &ask).await?.map_err(PayError::Wallet)?;
        let allowed = IERC20::allowanceCall::abi_decode_returns(&answer).unwrap_or_default();
        if allowed >= amount {
            return Ok(());
        }
        let approve = approval(token, spender, amount);
        // Some tokens, USDT for one, let an allowance be set from zero and to zero alone.
        if !allowed.is_zero() && self.call(account, &approve).await?.is_err() {
            self.approve(account, &approval(token, spender, U256::ZERO), nonce).await?;
        }
        self.approve(account, &approve, nonce).await
    }

    /// Sends an approval and waits until it is mined. What one node says on the way decides nothing.
    async fn approve(&self, account: &Account, call: &Call, nonce: &mut u64) -> Result<(), PayError> {
        let prepared = self.prepare(account, call, *nonce).await?;
        let (transaction, give_up) = (prepared.hash, Instant::now() + APPROVAL_TIMEOUT);
        let (mut taken, mut said) = (false, None);
        while Instant::now() < give_up {
            for node in &self.nodes {
                if !taken {
                    match node.broadcast(&prepared).await {
                        Ok(_) => taken = true,
                        Err(error) => said = Some(error),
                    }
                }
                match node.receipt(transaction).await {
                    Ok(Some(receipt)) if receipt.success => {
                        *nonce = prepared.nonce + 1;
                        return Ok(());
                    }
                    Ok(Some(_)) => {
                        return Err(PayError::Approval { transaction, what: "it reverted".into() });
                    }
                    Ok(None) => {}
                    Err(error) => said = Some(error),
                }
            }
            let pause = self.nodes.first().map_or(1000, |node| node.profile().poll_ms);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        let said = said.map(|error| format!(" ({error})")).unwrap_or_default();
        Err(PayError::Approval { transaction, what: format!("it was not mined within a minute{said}") })
    }
}

fn approval(token: Address, spender: Address, amount: U256) -> Call {
    let data = IERC20::approveCall { spender, amount }.abi_encode();
    Call { to: token, value: U256::ZERO, data: data.into(), gas_limit: Some(APPROVE_GAS) }
}
