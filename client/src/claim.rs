//! Claims vouchers as the payee: many channels per transaction, never more than the accepted amounts.
//!
//! The contract, not the index, tells what can be claimed, so that a recent claim is not sent again. Totals are
//! cumulative: a repeated claim pays once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy_sol_types::{SolCall, SolEvent};
use futures::{StreamExt as _, TryStreamExt as _};
use salt402_chain::{Account, Call, Node as _, NodeError, Receipt, RpcNode};
use salt402_protocol::contracts::ISaltChannels;
use salt402_protocol::{Address, Amount, Asset, B256, ChainId, Descriptor, U256, Voucher};
use tokio::time::Instant;

/// The gas of a claim besides its rows. It is fixed, as for payments, because nodes' estimates are unreliable. A row
/// takes less than 15,000. The rest covers one transfer, to a payee that may have code, in a token that may need much
/// gas.
const CLAIM_GAS: u64 = 300_000;
const ROW_GAS: u64 = 20_000;
/// How long to look for a claim in a block after the node refused it.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(10);
/// The number of channels read from the contract concurrently.
const CONCURRENT_READS: usize = 16;
/// The most rows of one transaction, whatever its gas: their calldata is about 50 KiB.
const MAX_ROWS: u64 = 100;

/// A channel, its last accepted voucher, and the accepted amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimable {
    /// The contract that holds the deposit.
    pub contract: Address,
    /// The channel's parameters.
    pub descriptor: Descriptor,
    /// The last accepted voucher.
    pub voucher: Voucher,
    /// The total accepted over the channel's life, in base units. This total is claimed.
    pub spent: Amount,
}

/// Why nothing is claimed from a channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotClaimed {
    /// Everything accepted is claimed already, or the deposit is used up.
    #[error("nothing is left to claim: {claimed} of {spent} accepted base units are claimed")]
    Nothing {
        /// The claimed amount.
        claimed: Amount,
        /// The accepted amount.
        spent: Amount,
    },
    /// The amount is below the minimum.
    #[error("the claim would be {amount} base units, less than --min")]
    TooLittle {
        /// The amount that could be claimed.
        amount: Amount,
    },
    /// The contract knows no such open channel.
    #[error(
        "the channel is not open in the contract: it is closed, or its opening is not on the node's chain"
    )]
    NotOpen,
    /// The channel's payee is another account.
    #[error(
        "its payee is {payee}, but the key belongs to {account}: use the payee's key (this command does not support \
         claimManyFor)"
    )]
    NotPayee {
        /// The channel's payee.
        payee: Address,
        /// The account of the given key.
        account: Address,
    },
    /// The contract would refuse the voucher, and the whole transaction with it.
    #[error("its voucher does not fit the channel: {0}")]
    Unsound(&'static str),
}

/// Why a claim failed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The node did not answer, or did not take the transaction.
    #[error("nothing was claimed: {0}")]
    Node(#[source] NodeError),
    /// The contract would refuse the claim.
    #[error("nothing was sent, because the contract would refuse the claim: {0}")]
    Refused(#[source] NodeError),
    /// The contract does not answer like `SaltChannels`.
    #[error("{0} does not answer like SaltChannels: nothing was claimed")]
    NoContract(Address),
    /// The node refused the claim, and no block has it.
    #[error(
        "the node did not take the claim {transaction}: {error}; it is safe to run the same command again: it claims \
         only what is left"
    )]
    NotTaken {
        /// The transaction's hash.
        transaction: B256,
        /// The node's error.
        #[source]
        error: NodeError,
    },
    /// The transaction was mined and reverted. The field is its hash.
    #[error("the claim {0} reverted: it claimed nothing")]
    Reverted(B256),
    /// The transaction was sent, and no block has it yet.
    #[error(
        "the claim {transaction} was sent but is in no block after {seconds} s: it may still be mined; it is safe to run \
         the same command again: it claims only what is left"
    )]
    NotMined {
        /// The transaction's hash.
        transaction: B256,
        /// How long it was waited for.
        seconds: u64,
    },
}

/// The claims of one contract and one asset in one transaction.
#[derive(Clone, Debug)]
pub struct ClaimBatch {
    /// The channel contract.
    pub contract: Address,
    /// The claimed asset.
    pub asset: Asset,
    /// The channels, with the amount of each claim in base units.
    pub rows: Vec<(Claimable, Amount)>,
}

/// The planned claims, and the channels that are left out.
#[derive(Debug, Default)]
pub struct ClaimPlan {
    /// The transactions.
    pub batches: Vec<ClaimBatch>,
    /// The channels that are left out, and why.
    pub left: Vec<(B256, NotClaimed)>,
}

/// A mined claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The transaction's hash.
    pub transaction: B256,
    /// The height of the transaction's block.
    pub block_number: u64,
    /// The amount claimed from each channel, in base units.
    pub channels: Vec<(B256, Amount)>,
    /// The part that could not be sent, in base units. The contract credits it to the payee.
    pub credited: Amount,
}

impl ClaimBatch {
    /// The total of the batch, in base units.
    pub fn amount(&self) -> Amount {
        sum(self.rows.iter().map(|(_, amount)| *amount))
    }

    fn call(&self) -> Call {
        let claims = self.rows.iter().map(|(row, _)| ISaltChannels::Claim {
            payer: row.descriptor.payer,
            signer: row.descriptor.signer.unwrap_or_default(),
            // Larger exit delays were refused before.
            exitDelay: u32::try_from(row.descriptor.exit_delay).unwrap_or(u32::MAX),
            salt: row.descriptor.salt,
            ceiling: row.voucher.ceiling.0,
            total: row.spent.0,
            voucher: row.voucher.signature.to_vec().into(),
        });
        let data = ISaltChannels::claimManyCall { asset: self.asset.address(), claims: claims.collect() };
        Call {
            to: self.contract,
            value: U256::ZERO,
            data: data.abi_encode().into(),
            gas_limit: Some(CLAIM_GAS + ROW_GAS * self.rows.len() as u64),
        }
    }
}

impl Claimed {
    /// The total claimed, in base units.
    pub fn amount(&self) -> Amount {
        sum(self.channels.iter().map(|(_, amount)| *amount))
    }
}

/// Claims through a node, with the payee's key.
pub struct Claimer {
    node: Arc<RpcNode>,
    account: Account,
}

impl Claimer {
    /// A claimer for one payee on one chain.
    pub fn new(node: Arc<RpcNode>, account: Account) -> Self {
        Self { node, account }
    }

    /// The account of the key.
    pub fn account(&self) -> Address {
        self.account.address()
    }

    /// Plans the claims, with amounts from the contract. Leaves out channels with less than `least` base units.
    pub async fn plan(&self, channels: Vec<Claimable>, least: Amount) -> Result<ClaimPlan, ClaimError> {
        let mut plan = ClaimPlan::default();
        let mut groups: BTreeMap<(Address, Address), Vec<(Claimable, Amount)>> = BTreeMap::new();
        // The answers keep the order of the channels.
        let mut answers = futures::stream::iter(channels)
            .map(async |row| Ok((self.claimable(&row, least).await?, row)))
            .buffered(CONCURRENT_READS);
        while let Some((answer, row)) = answers.try_next().await? {
            match answer {
                Ok(amount) => {
                    let group = (row.contract, row.descriptor.asset.address());
                    groups.entry(group).or_default().push((row, amount));
                }
                Err(why) => plan.left.push((row.voucher.channel, why)),
            }
        }
        drop(answers);
        plan.batches = batches(groups, self.node.profile().max_gas_limit);
        Ok(plan)
    }

    /// The amount that a channel would pay, or why nothing is claimed.
    async fn claimable(
        &self,
        row: &Claimable,
        least: Amount,
    ) -> Result<Result<Amount, NotClaimed>, ClaimError> {
        let account = self.account.address();
        if let Some(why) = refusal_reason(row, self.node.profile().chain_id) {
            return Ok(Err(NotClaimed::Unsound(why)));
        }
        let payee = row.descriptor.payee;
        if payee != account {
            return Ok(Err(NotClaimed::NotPayee { payee, account }));
        }
        let ask = ISaltChannels::stateOfCall { channel: row.voucher.channel };
        let ask =
            Call { to: row.contract, value: U256::ZERO, data: ask.abi_encode().into(), gas_limit: None };
        let answer = self.node.call(Some(account), &ask).await.map_err(ClaimError::Node)?;
        let state = ISaltChannels::stateOfCall::abi_decode_returns(&answer)
            .map_err(|_| ClaimError::NoContract(row.contract))?;
        let (deposit, claimed) = (U256::from(state.deposit), U256::from(state.claimed));
        if state.closed || deposit.is_zero() {
            return Ok(Err(NotClaimed::NotOpen));
        }
        let amount = Amount(row.spent.0.min(deposit).saturating_sub(claimed));
        Ok(if amount == Amount::ZERO {
            Err(NotClaimed::Nothing { claimed: Amount(claimed), spent: row.spent })
        } else if amount < least {
            Err(NotClaimed::TooLittle { amount })
        } else {
            Ok(amount)
        })
    }

    /// Simulates a claim. Returns the amount that the contract would pay, in base units.
    pub async fn rehearse(&self, batch: &ClaimBatch) -> Result<Amount, ClaimError> {
        let answer = self.node.call(Some(self.account.address()), &batch.call()).await.map_err(|error| {
            if error.is_revert() { ClaimError::Refused(error) } else { ClaimError::Node(error) }
        })?;
        let paid = ISaltChannels::claimManyCall::abi_decode_returns(&answer);
        paid.map(Amount).map_err(|_| ClaimError::NoContract(batch.contract))
    }

    /// Sends a claim and waits until it is mined. `sent` gets the transaction before it is broadcast.
    pub async fn claim(
        &self,
        batch: &ClaimBatch,
        timeout: Duration,
        sent: &(dyn Fn(B256) + Send + Sync),
    ) -> Result<Claimed, ClaimError> {
        self.rehearse(batch).await?;
        let prepared = self.account.prepare(&self.node, &batch.call()).await.map_err(ClaimError::Node)?;
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
        if !receipt.success {
            return Err(ClaimError::Reverted(prepared.hash));
        }
        Ok(read(&receipt, batch.contract, self.account.address()))
    }

    /// Waits for a receipt. Repeats the request until the timeout if the node fails.
    async fn mined(&self, transaction: B256, timeout: Duration) -> Result<Receipt, ClaimError> {
        let give_up = Instant::now() + timeout;
        loop {
            match self.node.receipt(transaction).await {
                Ok(Some(receipt)) => return Ok(receipt),
                Ok(None) => {}
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(ClaimError::Node(error)),
            }
            if Instant::now() >= give_up {
                return Err(ClaimError::NotMined { transaction, seconds: timeout.as_secs() });
            }
            tokio::time::sleep(Duration::from_millis(self.node.profile().poll_ms)).await;
        }
    }
}

/// Groups the claims by contract and asset into as few transactions as their gas allows.
fn batches(
    groups: BTreeMap<(Address, Address), Vec<(Claimable, Amount)>>,
    max_gas_limit: u64,
) -> Vec<ClaimBatch> {
    let rows = (max_gas_limit.saturating_sub(CLAIM_GAS) / ROW_GAS).clamp(1, MAX_ROWS);
    let most = usize::try_from(rows).unwrap_or(1);
    let mut batches = Vec::new();
    for ((contract, asset), rows) in groups {
        let asset = Asset::from_address(asset);
        batches.extend(rows.chunks(most).map(|rows| ClaimBatch { contract, asset, rows: rows.to_vec() }));
    }
    batches
}

/// Why the contract would refuse a voucher in any state of the channel.
fn refusal_reason(row: &Claimable, chain: ChainId) -> Option<&'static str> {
    if row.descriptor.salt_channels_id(chain, row.contract) != Some(row.voucher.channel) {
        return Some("the channel's opening describes another channel");
    }
    if row.spent > row.voucher.ceiling {
        return Some("the accepted amount exceeds the signed one");
    }
    let signer = row.voucher.signer(chain, row.contract);
    if signer.is_none() || signer != row.descriptor.signer {
        return Some("it is not signed by the channel's key");
    }
    None
}

/// The result of a mined claim.
fn read(receipt: &Receipt, contract: Address, payee: Address) -> Claimed {
    let mut claimed = Claimed {
        transaction: receipt.transaction,
        block_number: receipt.block_number,
        channels: Vec::new(),
        credited: Amount::ZERO,
    };
    for log in receipt.logs.iter().filter(|log| log.contract == contract) {
        if let Ok(event) = ISaltChannels::ChannelClaimed::decode_log_data_validate(&log.content) {
            claimed.channels.push((event.channel, Amount(event.amount)));
        }
        if let Ok(event) = ISaltChannels::Credited::decode_log_data_validate(&log.content)
            && event.account == payee
        {
            claimed.credited = Amount(claimed.credited.0.saturating_add(event.amount));
        }
    }
    claimed
}

fn sum(amounts: impl Iterator<Item = Amount>) -> Amount {
    Amount(amounts.fold(U256::ZERO, |sum, amount| sum.saturating_add(amount.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTRACT: Address = Address::repeat_byte(0xcc);

    fn row(salt: u8) -> Claimable {
        let descriptor = Descriptor {
            payer: Address::repeat_byte(1),
            payee: Address::repeat_byte(2),
            asset: Asset::Native,
            signer: Some(Address::repeat_byte(3)),
            claimer: None,
            exit_delay: 900,
            salt: B256::repeat_byte(salt),
        };
        let channel = descriptor.salt_channels_id(ChainId::CITRATE, CONTRACT).unwrap();
        let ceiling = Amount(U256::from(10));
        let voucher = Voucher { channel, ceiling, signature: [0; 65] };
        Claimable { contract: CONTRACT, descriptor, voucher, spent: Amount(U256::from(7)) }
    }

    #[test]
    fn transactions_are_few_within_their_gas_and_of_one_asset_each() {
        let rows = |count: u8| (0..count).map(|salt| (row(salt), Amount(U256::from(7)))).collect::<Vec<_>>();
        let token = Address::repeat_byte(0x70);
        let groups = BTreeMap::from([((CONTRACT, Address::ZERO), rows(80)), ((CONTRACT, token), rows(3))]);
        let made = batches(groups.clone(), 1_000_000);
        let lengths: Vec<_> = made.iter().map(|batch| (batch.asset, batch.rows.len())).collect();
        let native = Asset::Native;
        assert_eq!(lengths, [(native, 35), (native, 35), (native, 10), (Asset::Token(token), 3)]);
        assert_eq!(made[3].amount(), Amount(U256::from(21)));
        for batch in &made {
            assert!(batch.call().gas_limit.unwrap() <= 1_000_000);
        }
        assert_eq!(batches(groups.clone(), 30_000_000).len(), 2);
        assert_eq!(batches(groups, 0).len(), 83, "one at a time where less gas is allowed than one may need");
    }

    /// One refused row reverts the whole transaction.
    #[test]
    fn what_the_contract_would_refuse_is_in_no_transaction() {
        let why = |change: &dyn Fn(&mut Claimable)| {
            let mut row = row(1);
            change(&mut row);
            refusal_reason(&row, ChainId::CITRATE).unwrap()
        };
        assert!(why(&|_| {}).contains("not signed by the channel's key"));
        assert!(
            why(&|row| row.spent = Amount(U256::from(11)))
                .contains("the accepted amount exceeds the signed one")
        );
        assert!(why(&|row| row.descriptor.exit_delay = 901).contains("another channel"));
        assert!(why(&|row| row.descriptor.claimer = Some(CONTRACT)).contains("another channel"));
    }
}
