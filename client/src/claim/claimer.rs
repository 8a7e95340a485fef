//! Plans, rehearses and sends what a payee or its operator does with channels.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy_sol_types::{SolCall, SolEvent};
use futures::{StreamExt as _, TryStreamExt as _};
use salt402_chain::{Account, Call, Node as _, Receipt, RpcNode};
use salt402_protocol::contracts::ISaltChannels::{self, SkipReason};
use salt402_protocol::edition::ChannelEdition;
use salt402_protocol::{Address, Amount, Asset, B256, OperatorRight, U256};
use tokio::time::Instant;

use crate::claim::batch::{Act, ClaimBatch, ClaimPlan, Group, batches};
use crate::claim::contract::{Known, Standing, credit, refused, right};
use crate::claim::values::{ClaimError, Claimable, Claimed, NotClaimed, refusal_reason};

/// How long to look for a transaction in a block after the node refused it.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(10);
/// The number of channels read from the contract concurrently.
const CONCURRENT_READS: usize = 16;
const SET_OPERATOR_GAS: u64 = 100_000;
/// The recipient gets what is left of it: a contract that splits money may need much.
const WITHDRAW_GAS: u64 = 600_000;

/// Acts for a payee through a node, with the payee's key or an operator's.
pub struct Claimer {
    node: Arc<RpcNode>,
    account: Account,
    known: Known,
}

impl Claimer {
    /// A claimer with one key on one chain.
    pub fn new(node: Arc<RpcNode>, account: Account) -> Self {
        Self { node, account, known: Known::default() }
    }

    /// The account of the key.
    pub fn account(&self) -> Address {
        self.account.address()
    }

    /// Plans what is done with channels, with amounts from the contract. Leaves out channels with less than `least` base
    /// units to claim.
    pub async fn plan(
        &self,
        act: Act,
        channels: Vec<Claimable>,
        least: Amount,
    ) -> Result<ClaimPlan, ClaimError> {
        let mut plan = ClaimPlan::default();
        let mut groups: BTreeMap<Group, Vec<(Claimable, Amount)>> = BTreeMap::new();
        // The answers keep the order of the channels.
        let mut answers = futures::stream::iter(channels)
            .map(async |row| {
                let edition = self.known.edition(&self.node, row.contract).await?;
                Ok((self.claimable(act, &row, edition, least).await?, edition, row))
            })
            .buffered(CONCURRENT_READS);
        while let Some((answer, edition, row)) = answers.try_next().await? {
            match answer {
                Ok(amount) => {
                    groups.entry(Group::of(&row, edition, act)).or_default().push((row, amount));
                }
                Err(why) => plan.left.push((row.channel, why)),
            }
        }
        drop(answers);
        plan.batches = batches(groups, act, self.node.profile());
        Ok(plan)
    }

    /// The amount that a channel would pay, or why nothing is done with it.
    async fn claimable(
        &self,
        act: Act,
        row: &Claimable,
        edition: ChannelEdition,
        least: Amount,
    ) -> Result<Result<Amount, NotClaimed>, ClaimError> {
        if let Some(why) = refusal_reason(row, edition, self.node.profile().chain_id) {
            return Ok(Err(NotClaimed::Unsound(why)));
        }
        if edition == ChannelEdition::First && act == Act::Close {
            return Ok(Err(NotClaimed::FirstEdition));
        }
        let (payee, account) = (row.descriptor.payee, self.account.address());
        if !self.may_act(row, edition).await? {
            return Ok(Err(NotClaimed::NotPayee { payee, account }));
        }
        let standing = Standing::of(&self.node, row.contract, row.channel).await?;
        if !standing.is_open() {
            return Ok(Err(NotClaimed::NotOpen));
        }
        let amount = Amount(row.spent.0.min(standing.deposit).saturating_sub(standing.claimed));
        Ok(match act {
            Act::Close => Ok(amount),
            Act::Claim if amount == Amount::ZERO => {
                Err(NotClaimed::Nothing { claimed: Amount(standing.claimed), spent: row.spent })
            }
            Act::Claim if amount < least => Err(NotClaimed::TooLittle { amount }),
            Act::Claim => Ok(amount),
        })
    }

    /// Whether the account is the channel's payee, or may act for it.
    async fn may_act(&self, row: &Claimable, edition: ChannelEdition) -> Result<bool, ClaimError> {
        let (payee, account) = (row.descriptor.payee, self.account.address());
        if payee == account || edition == ChannelEdition::First {
            return Ok(payee == account);
        }
        let right = self.known.right(&self.node, row.contract, payee, account).await?;
        Ok(right.allows(account, row.descriptor.operator))
    }

    /// Simulates a transaction. Returns the amount that the contract would pay, in base units.
    pub async fn rehearse(&self, batch: &ClaimBatch) -> Result<Amount, ClaimError> {
        let answer = self.node.call(Some(self.account.address()), &batch.call()).await.map_err(refused)?;
        // All functions for many answer alike.
        let paid = ISaltChannels::claimManyCall::abi_decode_returns_validate(&answer);
        paid.map(Amount).map_err(|_| ClaimError::NoContract(batch.contract))
    }

    /// Sends a transaction and waits until it is mined. `sent` gets its hash before it is broadcast.
    pub async fn claim(
        &self,
        batch: &ClaimBatch,
        timeout: Duration,
        sent: &(dyn Fn(B256) + Send + Sync),
    ) -> Result<Claimed, ClaimError> {
        self.rehearse(batch).await?;
        let receipt = self.send(&batch.call(), timeout, sent).await?;
        Ok(read(&receipt, batch.contract, batch.payee))
    }

    /// The edition of a contract.
    pub async fn edition(&self, contract: Address) -> Result<ChannelEdition, ClaimError> {
        self.known.edition(&self.node, contract).await
    }

    /// For which of a payee's channels an account may claim and close.
    pub async fn operator_right(
        node: &RpcNode,
        contract: Address,
        payee: Address,
        operator: Address,
    ) -> Result<OperatorRight, ClaimError> {
        right(node, contract, payee, operator).await
    }

    /// Says for which of the account's channels, as their payee, an operator may claim and close.
    pub async fn set_operator(
        &self,
        contract: Address,
        operator: Address,
        right: OperatorRight,
        timeout: Duration,
        sent: &(dyn Fn(B256) + Send + Sync),
    ) -> Result<B256, ClaimError> {
        let right = match right {
            OperatorRight::Named => ISaltChannels::OperatorRight::Named,
            OperatorRight::All => ISaltChannels::OperatorRight::All,
            OperatorRight::Revoked => ISaltChannels::OperatorRight::Revoked,
        };
        let data = ISaltChannels::setOperatorCall { operator, right }.abi_encode().into();
        let call = Call { to: contract, value: U256::ZERO, data, gas_limit: Some(SET_OPERATOR_GAS) };
        self.node.call(Some(self.account.address()), &call).await.map_err(refused)?;
        self.send(&call, timeout, sent).await.map(|receipt| receipt.transaction)
    }

    /// What a contract owes an account in an asset, because it could not be sent when it was claimed, in base units.
    pub async fn credit(
        &self,
        contract: Address,
        account: Address,
        asset: Asset,
    ) -> Result<Amount, ClaimError> {
        credit(&self.node, contract, account, asset).await
    }

    /// Simulates that an account's whole credit in an asset is sent: to the account itself, for which anybody can ask, or to
    /// `to`, if the key is the account's.
    pub async fn rehearse_withdrawal(
        &self,
        contract: Address,
        account: Address,
        asset: Asset,
        to: Option<Address>,
    ) -> Result<(), ClaimError> {
        let call = withdrawal(contract, account, asset, to);
        self.node.call(Some(self.account.address()), &call).await.map(drop).map_err(refused)
    }

    /// Has the credit sent. Of two at once, the second reverts: the first has taken all of it.
    pub async fn withdraw(
        &self,
        contract: Address,
        account: Address,
        asset: Asset,
        to: Option<Address>,
        timeout: Duration,
        sent: &(dyn Fn(B256) + Send + Sync),
    ) -> Result<B256, ClaimError> {
        self.rehearse_withdrawal(contract, account, asset, to).await?;
        let call = withdrawal(contract, account, asset, to);
        self.send(&call, timeout, sent).await.map(|receipt| receipt.transaction)
    }

    async fn send(
        &self,
        call: &Call,
        timeout: Duration,
        sent: &(dyn Fn(B256) + Send + Sync),
    ) -> Result<Receipt, ClaimError> {
        let prepared = self.account.prepare(&self.node, call).await.map_err(ClaimError::Node)?;
        sent(prepared.hash);
        // A lost answer or a refusal does not tell whether the transaction was taken; its receipt does. After a
        // permanent refusal, the wait is short.
        let refused = self.node.broadcast(&prepared).await.err().filter(|error| !error.is_transient());
        let timeout = if refused.is_some() { timeout.min(REFUSED_TIMEOUT) } else { timeout };
        let receipt = match (self.mined(prepared.hash, timeout).await, refused) {
            (Err(ClaimError::NotMined { transaction, .. }), Some(error)) => {
                return Err(ClaimError::NotTaken { transaction, error });
            }
            (receipt, _) => receipt?,
        };
        if receipt.success { Ok(receipt) } else { Err(ClaimError::Reverted(prepared.hash)) }
    }

    /// Waits for a receipt. Repeats the request until the timeout if the node fails: what was sent may be mined.
    async fn mined(&self, transaction: B256, timeout: Duration) -> Result<Receipt, ClaimError> {
        let give_up = Instant::now() + timeout;
        loop {
            if let Ok(Some(receipt)) = self.node.receipt(transaction).await {
                return Ok(receipt);
            }
            if Instant::now() >= give_up {
                return Err(ClaimError::NotMined { transaction, seconds: timeout.as_secs() });
            }
            tokio::time::sleep(Duration::from_millis(self.node.profile().poll_ms)).await;
        }
    }
}

fn withdrawal(contract: Address, account: Address, asset: Asset, to: Option<Address>) -> Call {
    let asset = asset.address();
    let data = match to {
        Some(to) => ISaltChannels::withdrawCall { asset, to }.abi_encode(),
        None => ISaltChannels::withdrawForCall { account, asset }.abi_encode(),
    };
    Call { to: contract, value: U256::ZERO, data: data.into(), gas_limit: Some(WITHDRAW_GAS) }
}

/// The result of a mined transaction.
fn read(receipt: &Receipt, contract: Address, payee: Address) -> Claimed {
    let mut claimed = Claimed {
        transaction: receipt.transaction,
        block_number: receipt.block_number,
        ..Claimed::default()
    };
    for log in receipt.logs.iter().filter(|log| log.contract == contract) {
        if let Ok(event) = ISaltChannels::ChannelClaimed::decode_log_data_validate(&log.content) {
            claimed.channels.push((event.channel, Amount(event.amount)));
        }
        if let Ok(event) = ISaltChannels::ChannelClosed::decode_log_data_validate(&log.content) {
            claimed.closed.push((event.channel, Amount(event.refund)));
        }
        if let Ok(event) = ISaltChannels::ChannelSkipped::decode_log_data_validate(&log.content) {
            claimed.skipped.push((event.channel, skip_reason(event.reason)));
        }
        if let Ok(event) = ISaltChannels::Credited::decode_log_data_validate(&log.content)
            && event.account == payee
        {
            claimed.credited = Amount(claimed.credited.0.saturating_add(event.amount));
        }
    }
    claimed
}

fn skip_reason(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::NothingToClaim => "nothing was left to claim",
        SkipReason::NotOpen => "the channel is not open",
        SkipReason::NotSigned => {
            "the row's voucher is not signed by the payer, or the payer's contract says so no more"
        }
        SkipReason::ExitNotDue => "the exit is not due",
        SkipReason::__Invalid => "for a reason that this program does not know",
    }
}
