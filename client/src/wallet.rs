//! Wallets: they hold the money.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Bytes;
use alloy_sol_types::SolCall as _;
use async_trait::async_trait;
use salt402_chain::{Account, At, Call, Node as _, NodeError, Prepared, RpcNode};
use salt402_protocol::contracts::IErc20;
use salt402_protocol::details::{PayCall, PaymentDetails};
use salt402_protocol::{Address, Asset, U256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::PayError;
use crate::receipt::{self, ReceiptLock, SignedPayment};

/// The gas of a payment in the native coin, in a token, and of an approval. They are fixed, because nodes' estimates
/// are unreliable and these calls are known. About 80,000 are left for a payee with code.
pub(crate) const PAY_GAS: u64 = 120_000;
pub(crate) const PAY_TOKEN_GAS: u64 = 250_000;
const APPROVE_GAS: u64 = 100_000;

/// How long to wait until an approval is mined.
const APPROVAL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long failing nodes are asked again before anything is sent.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(20);
/// The interval of these requests.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// The interval of checks for the turn of this process.
const TURN_INTERVAL: Duration = Duration::from_millis(50);

/// The state of a payment at the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// A node has it, or a block includes it.
    Known,
    /// No node reports to have it. That proves nothing, because an answer may have been lost.
    Unknown(String),
    /// A block includes another transaction of the account with the same nonce.
    Replaced {
        /// The head when this was seen.
        at: u64,
        /// Whether it is final, so that the payment can never be mined.
        is_final: bool,
    },
    /// A block includes it, and it reverted: it moved no money.
    Reverted {
        /// Whether it is final, so that no other block can include it.
        is_final: bool,
        /// Whether its block was later than its deadline.
        late: bool,
    },
    /// No block includes it, and its deadline has passed in a block that is final: it can only revert.
    Late,
}

/// Gets a payment before it is sent.
#[async_trait]
pub trait BeforeSending: Send + Sync {
    /// Called after signing and before sending. After an error, the payment must not be sent.
    async fn signed(&self, payment: &SignedPayment) -> Result<(), PayError>;
}

/// Makes decided payments.
#[async_trait]
pub trait Wallet: Send + Sync {
    /// Signs a payment, passes it to `before`, and sends it. Does not wait for a block.
    ///
    /// # Errors Only if nothing was sent. After `before` agreed, a node's error is a [`TransactionStatus`].
    async fn pay(
        &self,
        details: &PaymentDetails,
        before: &dyn BeforeSending,
    ) -> Result<(SignedPayment, TransactionStatus), PayError>;

    /// Resends a payment if `may_send`, and returns its state. `overtaken_at` is the head when another transaction with
    /// its nonce was first seen.
    async fn send(
        &self,
        payment: &SignedPayment,
        may_send: bool,
        overtaken_at: Option<u64>,
    ) -> TransactionStatus;
}

/// Pays through nodes, with a key in this process.
pub struct NodeWallet {
    /// The nodes of one chain. The others are asked if the first fails.
    nodes: Vec<Arc<RpcNode>>,
    account: Option<Account>,
    /// Held from choosing a nonce until the payment is sent, so that two payments never share a nonce.
    turn: Mutex<()>,
    /// A lock file against other processes with the same key, held equally long.
    turn_file: Option<PathBuf>,
}

impl NodeWallet {
    /// A wallet for one account on one chain.
    pub fn new(nodes: Vec<Arc<RpcNode>>, account: Account) -> Self {
        Self { nodes, account: Some(account), turn: Mutex::default(), turn_file: None }
    }

    /// Takes turns with other processes that pay from the same account, by a lock file.
    pub fn in_turn(self, file: PathBuf) -> Self {
        Self { turn_file: Some(file), ..self }
    }

    /// A wallet without a key. It only sends payments that were signed before.
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
        if self.account.is_none() {
            return Err(PayError::NoKey);
        }
        // Asked for each payment: the chain may have been reset since the last.
        let contract = details.payment_contract;
        let code = self.code(contract).await?;
        if code.is_empty() {
            return Err(PayError::NoContract(contract));
        }
        let call = payment(details);
        if !has_function(&code, &call.data) {
            return Err(PayError::NoDeadline(contract));
        }
        let spends = match details.asset {
            Asset::Native => None,
            Asset::Token(token) => Some((token, details.amount.0)),
        };
        let deadline = Some(details.expires_at);
        self.send_first(&call, spends, deadline, before, false).await?.map_err(PayError::Wallet)
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

/// A node's knowledge of a payment that it did not take. `None`: it knows nothing.
async fn look(
    node: &RpcNode,
    payment: &SignedPayment,
    overtaken_at: Option<u64>,
) -> Result<Option<TransactionStatus>, NodeError> {
    // The nonce is read before the receipt, so that a transaction mined in between is found by its receipt.
    let used = node.transaction_count(payment.payer).await?;
    let depth = node.profile().finality_depth;
    let header = async |at| node.header(at).await?.ok_or(NodeError::Behind);
    if let Some(receipt) = node.receipt(payment.transaction).await? {
        if receipt.success {
            return Ok(Some(TransactionStatus::Known));
        }
        let mined_at = header(At::Number(receipt.block_number)).await?.timestamp;
        let head = header(At::Latest).await?.number;
        return Ok(Some(TransactionStatus::Reverted {
            is_final: head >= receipt.block_number.saturating_add(depth),
            late: payment.deadline.is_some_and(|deadline| mined_at > deadline),
        }));
    }
    if used <= payment.nonce {
        let Some(deadline) = payment.deadline else { return Ok(None) };
        let settled = header(At::Latest).await?.number.saturating_sub(depth);
        let late = header(At::Number(settled)).await?.timestamp > deadline;
        // Asked again, so that nothing that was mined before that block can be missing from the answer.
        let unused = late && node.transaction_count(payment.payer).await? <= payment.nonce;
        return Ok(unused.then_some(TransactionStatus::Late));
    }
    let at = header(At::Latest).await?.number;
    let is_final = overtaken_at.is_some_and(|first| at >= first.saturating_add(depth));
    Ok(Some(TransactionStatus::Replaced { at, is_final }))
}

fn payment(details: &PaymentDetails) -> Call {
    let PayCall { to, value, data } = details.pay_call();
    let gas = match details.asset {
        Asset::Native => PAY_GAS,
        Asset::Token(_) => PAY_TOKEN_GAS,
    };
    Call { to, value, data, gas_limit: Some(gas) }
}

/// Whether a contract has the function that a call is of, by its code: compilers write each selector into it, without the
/// zeros that it begins with. A contract that only passes calls on has none, and is not paid through.
pub(crate) fn has_function(code: &[u8], data: &[u8]) -> bool {
    let selector = data.get(..4).unwrap_or_default();
    let zeros = selector.iter().take_while(|byte| **byte == 0).count();
    let selector = &selector[zeros..];
    !selector.is_empty() && code.windows(selector.len()).any(|part| part == selector)
}

/// Asks nodes in turn before anything is sent, and again after temporary errors.
struct NodeCycle<'a> {
    nodes: &'a [Arc<RpcNode>],
    at: usize,
    give_up: Instant,
}

impl<'a> NodeCycle<'a> {
    fn of(wallet: &'a NodeWallet) -> Self {
        Self { nodes: &wallet.nodes, at: 0, give_up: Instant::now() + PREPARE_TIMEOUT }
    }

    /// The next node, after a pause once all were asked.
    async fn next(&mut self) -> Result<&'a RpcNode, PayError> {
        if self.at > 0 && self.at.is_multiple_of(self.nodes.len().max(1)) {
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        let place = self.at % self.nodes.len().max(1);
        self.at += 1;
        self.nodes.get(place).map(Arc::as_ref).ok_or(PayError::NoNode)
    }

    /// `Ok` if another request may succeed, or else the error.
    fn retry_or_fail(&self, error: NodeError) -> Result<(), PayError> {
        // A fee above the limit is not a node's fault and does not fall within seconds.
        let again = error.is_transient() && !matches!(error, NodeError::FeeTooHigh { .. });
        if again && Instant::now() < self.give_up { Ok(()) } else { Err(PayError::Wallet(error)) }
    }
}

impl NodeWallet {
    /// Signs a call for the first time, passes it to `before`, and sends it; `spends` is the token and the amount that the
    /// called contract moves. With `simulated`, the inner error says that the call would revert, and nothing was sent.
    pub(crate) async fn send_first(
        &self,
        call: &Call,
        spends: Option<(Address, U256)>,
        deadline: Option<u64>,
        before: &dyn BeforeSending,
        simulated: bool,
    ) -> Result<Result<(SignedPayment, TransactionStatus), NodeError>, PayError> {
        let account = self.account.as_ref().ok_or(PayError::NoKey)?;
        let _turn = self.turn.lock().await;
        let _alone = self.lock_turn_file().await.map_err(PayError::NotKept)?;
        let mut nonce = 0;
        if let Some((token, amount)) = spends {
            self.allow(account, token, call.to, amount, &mut nonce).await?;
        }
        if simulated && let Err(error) = self.call(account, call).await? {
            return Ok(Err(error));
        }
        let prepared = self.prepare(account, call, nonce).await?;
        let payment = SignedPayment {
            network: self.network(),
            payer: prepared.from,
            transaction: prepared.hash,
            nonce: prepared.nonce,
            raw: prepared.raw,
            deadline,
        };
        before.signed(&payment).await?;
        let status = self.send(&payment, true, None).await;
        Ok(Ok((payment, status)))
    }

    /// What a call would do. The inner error is that of a call that reverts.
    pub(crate) async fn simulate(&self, call: &Call) -> Result<Result<Bytes, NodeError>, PayError> {
        let account = self.account.as_ref().ok_or(PayError::NoKey)?;
        self.call(account, call).await
    }

    async fn lock_turn_file(&self) -> io::Result<Option<ReceiptLock>> {
        let Some(file) = &self.turn_file else { return Ok(None) };
        loop {
            if let Some(lock) = receipt::try_lock(file)? {
                return Ok(Some(lock));
            }
            tokio::time::sleep(TURN_INTERVAL).await;
        }
    }

    fn network(&self) -> String {
        self.nodes.first().map(|node| node.profile().name.clone()).unwrap_or_default()
    }

    pub(crate) async fn code(&self, contract: Address) -> Result<Bytes, PayError> {
        let mut turns = NodeCycle::of(self);
        loop {
            match turns.next().await?.code(contract).await {
                Ok(code) => return Ok(code),
                Err(error) => turns.retry_or_fail(error)?,
            }
        }
    }

    pub(crate) async fn prepare(
        &self,
        account: &Account,
        call: &Call,
        least_nonce: u64,
    ) -> Result<Prepared, PayError> {
        let mut turns = NodeCycle::of(self);
        loop {
            match account.prepare_after(turns.next().await?, call, least_nonce).await {
                Ok(prepared) => return Ok(prepared),
                Err(error) => turns.retry_or_fail(error)?,
            }
        }
    }

    pub(crate) async fn call(
        &self,
        account: &Account,
        call: &Call,
    ) -> Result<Result<Bytes, NodeError>, PayError> {
        let mut turns = NodeCycle::of(self);
        loop {
            match turns.next().await?.call(Some(account.address()), call).await {
                Err(error) if error.is_revert() => return Ok(Err(error)),
                Err(error) => turns.retry_or_fail(error)?,
                answer => return Ok(answer),
            }
        }
    }

    /// Sets the payment contract's allowance to exactly this payment, if it is too low, and waits until that is mined.
    async fn allow(
        &self,
        account: &Account,
        token: Address,
        spender: Address,
        amount: U256,
        nonce: &mut u64,
    ) -> Result<(), PayError> {
        let ask = IErc20::allowanceCall { owner: account.address(), spender };
        let ask = Call { to: token, value: U256::ZERO, data: ask.abi_encode().into(), gas_limit: None };
        let answer = self.call(account, &ask).await?.map_err(PayError::Wallet)?;
        let allowed = IErc20::allowanceCall::abi_decode_returns(&answer).unwrap_or_default();
        if allowed >= amount {
            return Ok(());
        }
        let approve = approval(token, spender, amount);
        // Some tokens, such as USDT, change an allowance only from or to zero.
        if !allowed.is_zero() && self.call(account, &approve).await?.is_err() {
            self.approve(account, &approval(token, spender, U256::ZERO), nonce).await?;
        }
        self.approve(account, &approve, nonce).await
    }

    /// Sends an approval and waits until it is mined. Errors of single nodes are ignored meanwhile.
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
    let data = IErc20::approveCall { spender, amount }.abi_encode();
    Call { to: token, value: U256::ZERO, data: data.into(), gas_limit: Some(APPROVE_GAS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_in_code_by_its_selector() {
        let code = [0x60, 0x80, 0x63, 0xaa, 0xbb, 0xcc, 0xdd, 0x14];
        assert!(has_function(&code, &[0xaa, 0xbb, 0xcc, 0xdd, 0, 0]));
        assert!(!has_function(&code, &[0xaa, 0xbb, 0xcc, 0xde]));
        // Written as PUSH3.
        assert!(has_function(&[0x62, 0x11, 0x22, 0x33], &[0x00, 0x11, 0x22, 0x33]));
        assert!(!has_function(&[], &[0xaa, 0xbb, 0xcc, 0xdd]));
        assert!(!has_function(&code, &[]));
    }
}
