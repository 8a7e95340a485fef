//! Claims what vouchers allow, as the payee: many channels in a transaction, and never more than was accepted.
//!
//! What can be claimed is asked of the contract and not of the index, so that what was claimed a moment ago is not sent
//! again. Totals are cumulative: a claim that is sent twice pays once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy_sol_types::{SolCall, SolEvent};
use futures::{StreamExt as _, TryStreamExt as _};
use salt402_chain::{Account, Call, Node as _, NodeError, Receipt, RpcNode};
use salt402_protocol::contracts::ISaltChannels;
use salt402_protocol::{Address, Amount, Asset, B256, ChainId, Descriptor, U256, Voucher};
use tokio::time::Instant;

/// Gas of a claim, given rather than estimated, as for payments: what a node's estimate is worth differs. A row takes
/// less than 15,000; around the rows there is one transfer, to a payee that may have code, in a token that may be slow.
const CLAIM_GAS: u64 = 300_000;
const ROW_GAS: u64 = 20_000;
/// How long a claim that the node refused is looked for in a block.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(10);
/// Channels that the contract is asked about at once.
const ASKED_AT_ONCE: usize = 16;
/// Rows of one transaction, whatever gas there is: their calldata is some 50 KiB.
const MOST_ROWS: u64 = 100;

/// A channel, the last voucher that was accepted of it, and what was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimable {
    /// The contract that holds the deposit.
    pub contract: Address,
    /// What the channel is.
    pub descriptor: Descriptor,
    /// The last voucher.
    pub voucher: Voucher,
    /// All that was accepted over the channel's life, in base units: what is claimed in total.
    pub spent: Amount,
}

/// Why nothing is claimed of a channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotClaimed {
    /// All that was accepted is claimed, or all of the deposit.
    #[error("nothing is to be claimed: {claimed} base units are, of {spent} that were accepted")]
    Nothing {
        /// What was claimed.
        claimed: Amount,
        /// What was accepted.
        spent: Amount,
    },
    /// Less than is worth it.
    #[error("{amount} base units could be claimed, which is less than --min")]
    TooLittle {
        /// What could be claimed.
        amount: Amount,
    },
    /// The contract does not know it as an open channel.
    #[error("the contract says that it is not open: it is closed, or its opening is not on the node's chain")]
    NotOpen,
    /// Another account is its payee.
    #[error(
        "it pays {payee}, and the key is {account}'s: the contract lets the payee claim, or whoever has its signature over \
         the claims (claimManyFor), which this command does not make; use the payee's key"
    )]
    NotPayee {
        /// Who can claim.
        payee: Address,
        /// Whose key was given.
        account: Address,
    },
    /// The contract would refuse the voucher, and with it every other in the transaction.
    #[error("its voucher does not fit the channel: {0}")]
    Unsound(&'static str),
}

/// Why a claim failed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The node could not be asked, or did not take the transaction.
    #[error("nothing was claimed: {0}")]
    Node(#[source] NodeError),
    /// The contract would refuse it.
    #[error("nothing was sent, as the contract would refuse the claim: {0}")]
    Refused(#[source] NodeError),
    /// The contract answers otherwise than `SaltChannels` does.
    #[error("{0} answers as no SaltChannels does: nothing was claimed")]
    NoContract(Address),
    /// The node refused it, and it is in no block.
    #[error(
        "the node did not take the claim {transaction}: {error}; if it has it all the same, the same command claims only \
         what is left"
    )]
    NotTaken {
        /// The transaction.
        transaction: B256,
        /// What the node said.
        #[source]
        error: NodeError,
    },
    /// Sent, and reverted.
    #[error("the claim {0} was reverted: nothing was claimed by it")]
    Reverted(B256),
    /// Sent, and not seen in a block.
    #[error(
        "the claim {transaction} was sent and is in no block after {seconds} s: it may still be mined; the same command \
         claims only what is left"
    )]
    NotMined {
        /// The transaction.
        transaction: B256,
        /// How long was waited.
        seconds: u64,
    },
}

/// Claims of one contract and one asset that fit in one transaction.
#[derive(Clone, Debug)]
pub struct ClaimBatch {
    /// The contract.
    pub contract: Address,
    /// What is claimed.
    pub asset: Asset,
    /// The channels, with what each will bring in base units.
    pub rows: Vec<(Claimable, Amount)>,
}

/// What is to be claimed, and what is not.
#[derive(Debug, Default)]
pub struct ClaimPlan {
    /// The transactions.
    pub batches: Vec<ClaimBatch>,
    /// The channels that nothing is claimed of, and why.
    pub left: Vec<(B256, NotClaimed)>,
}

/// A claim that was mined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The transaction.
    pub transaction: B256,
    /// The height of its block.
    pub block_number: u64,
    /// What was claimed of each channel, in base units.
    pub channels: Vec<(B256, Amount)>,
    /// What of it could not be sent and stands to the payee's credit in the contract, in base units.
    pub credited: Amount,
}

impl ClaimBatch {
    /// What it brings, in base units.
    pub fn amount(&self) -> Amount {
        sum(self.rows.iter().map(|(_, amount)| *amount))
    }

    fn call(&self) -> Call {
        let claims = self.rows.iter().map(|(row, _)| ISaltChannels::Claim {
            payer: row.descriptor.payer,
            signer: row.descriptor.signer.unwrap_or_default(),
            // What does not fit was refused before.
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
    /// What was claimed in all, in base units.
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

    /// Whose key it is.
    pub fn account(&self) -> Address {
        self.account.address()
    }

    /// Decides what is claimed, and asks the contract how much there is. Channels that bring less than `least` base units
    /// are left.
    pub async fn plan(&self, channels: Vec<Claimable>, least: Amount) -> Result<ClaimPlan, ClaimError> {
        let mut plan = ClaimPlan::default();
        let mut groups: BTreeMap<(Address, Address), Vec<(Claimable, Amount)>> = BTreeMap::new();
        // The answers come in the channels' order.
        let mut answers = futures::stream::iter(channels)
            .map(async |row| Ok((self.claimable(&row, least).await?, row)))
            .buffered(ASKED_AT_ONCE);
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

    /// What a channel would bring, or why nothing is claimed of it.
    async fn claimable(
        &self,
        row: &Claimable,
        least: Amount,
    ) -> Result<Result<Amount, NotClaimed>, ClaimError> {
        let account = self.account.address();
        if let Some(why) = unsound(row, self.node.profile().chain_id) {
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

    /// Tries a claim without sending it; what the contract would pay, in base units.
    pub async fn rehearse(&self, batch: &ClaimBatch) -> Result<Amount, ClaimError> {
        let answer = self.node.call(Some(self.account.address()), &batch.call()).await.map_err(|error| {
            if error.is_revert() { ClaimError::Refused(error) } else { ClaimError::Node(error) }
        })?;
        let paid = ISaltChannels::claimManyCall::abi_decode_returns(&answer);
        paid.map(Amount).map_err(|_| ClaimError::NoContract(batch.contract))
    }

    /// Sends a claim and waits until it is mined. `sent` is told the transaction before it is broadcast.
    pub async fn claim(
        &self,
        batch: &ClaimBatch,
        timeout: Duration,
        sent: &(dyn Fn(B256) + Send + Sync),
    ) -> Result<Claimed, ClaimError> {
        self.rehearse(batch).await?;
        let prepared = self.account.prepare(&self.node, &batch.call()).await.map_err(ClaimError::Node)?;
        sent(prepared.hash);
        // An answer that is lost, or a refusal of what an earlier answer took, says nothing of the transaction: whether it
        // is mined decides. What the node refuses for good is waited for no longer than a moment.
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

    /// Waits for a receipt. A node that does not answer is asked again until the time is over.
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

/// As few transactions as fit: of one contract and one asset each, within the gas that one may take.
fn batches(
    groups: BTreeMap<(Address, Address), Vec<(Claimable, Amount)>>,
    max_gas_limit: u64,
) -> Vec<ClaimBatch> {
    let rows = (max_gas_limit.saturating_sub(CLAIM_GAS) / ROW_GAS).clamp(1, MOST_ROWS);
    let most = usize::try_from(rows).unwrap_or(1);
    let mut batches = Vec::new();
    for ((contract, asset), rows) in groups {
        let asset = Asset::from_address(asset);
        batches.extend(rows.chunks(most).map(|rows| ClaimBatch { contract, asset, rows: rows.to_vec() }));
    }
    batches
}

/// Why the contract would refuse a voucher, whatever the channel's state.
fn unsound(row: &Claimable, chain: ChainId) -> Option<&'static str> {
    if row.descriptor.salt_channels_id(chain, row.contract) != Some(row.voucher.channel) {
        return Some("the channel's opening describes another channel");
    }
    if row.spent > row.voucher.ceiling {
        return Some("more was accepted than is signed");
    }
    let signer = row.voucher.signer(chain, row.contract);
    if signer.is_none() || signer != row.descriptor.signer {
        return Some("it is not signed by the channel's key");
    }
    None
}

/// What a mined claim did.
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

    /// One row that the contract refuses takes the others of its transaction with it.
    #[test]
    fn what_the_contract_would_refuse_is_in_no_transaction() {
        let why = |change: &dyn Fn(&mut Claimable)| {
            let mut row = row(1);
            change(&mut row);
            unsound(&row, ChainId::CITRATE).unwrap()
        };
        assert!(why(&|_| {}).contains("not signed by the channel's key"));
        assert!(why(&|row| row.spent = Amount(U256::from(11))).contains("more was accepted than is signed"));
        assert!(why(&|row| row.descriptor.exit_delay = 901).contains("another channel"));
        assert!(why(&|row| row.descriptor.claimer = Some(CONTRACT)).contains("another channel"));
    }
}
