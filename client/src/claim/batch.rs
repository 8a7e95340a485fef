//! Many channels in one transaction: its call, and how many fit.

use std::collections::BTreeMap;

use alloy_sol_types::SolCall;
use salt402_chain::{Call, Profile};
use salt402_protocol::contracts::ISaltChannels;
use salt402_protocol::edition::{ChannelEdition, IFirstSaltChannels};
use salt402_protocol::{Address, Amount, Asset, B256, U256};

use crate::claim::values::{Claimable, NotClaimed, sum};

/// The gas of a transaction besides its rows. It is fixed, as for payments, because nodes' estimates are unreliable. It
/// covers one transfer to the payee, which may have 100,000 gas to take coins, and a token 200,000 to transfer.
const BASE_GAS: u64 = 350_000;
/// A claimed row takes 13,000, in the first edition 15,000.
const ROW_GAS: u64 = 20_000;
/// A closed row also pays its payer, who may have 100,000 gas to take coins.
const CLOSED_ROW_GAS: u64 = 180_000;
/// The same where a token is transferred.
const CLOSED_TOKEN_ROW_GAS: u64 = 280_000;
/// The most bytes of rows in one transaction. Nodes take transactions of 128 KiB.
const MAX_BYTES: usize = 100 * 1024;
/// The bytes of a packed row.
const PACKED: usize = 167;
/// The bytes of a row that is not packed: its offset, eight values, and the length and the bytes of its signature.
const UNPACKED: usize = 13 * 32;

/// What is done with the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// They are claimed from, and stay open.
    Claim,
    /// They are claimed from and closed: the rest goes back to their payers.
    Close,
}

/// The channels of one contract, payee and asset in one transaction.
#[derive(Clone, Debug)]
pub struct ClaimBatch {
    /// The channel contract.
    pub contract: Address,
    /// Who is paid.
    pub payee: Address,
    /// The claimed asset.
    pub asset: Asset,
    /// What is done.
    pub act: Act,
    /// The channels, with the amount of each claim in base units.
    pub rows: Vec<(Claimable, Amount)>,
    shape: Shape,
}

/// The planned transactions, and the channels that are left out.
#[derive(Debug, Default)]
pub struct ClaimPlan {
    /// The transactions.
    pub batches: Vec<ClaimBatch>,
    /// The channels that are left out, and why.
    pub left: Vec<(B256, NotClaimed)>,
}

/// Which function takes the rows. Rows of `claimRows` name one operator together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    First,
    Packed { operator: Address },
    Unpacked,
}

/// What channels of one transaction have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    contract: Address,
    payee: Address,
    asset: Address,
    shape: Shape,
}

impl Group {
    pub(super) fn of(row: &Claimable, edition: ChannelEdition, act: Act) -> Self {
        let descriptor = &row.descriptor;
        let fits = |amount: Amount| amount.0 >> 104 == U256::ZERO;
        let packs = row.voucher.as_ref().is_some_and(|voucher| fits(voucher.ceiling) && fits(row.spent));
        let shape = match (edition, act) {
            (ChannelEdition::First, _) => Shape::First,
            (ChannelEdition::Second { .. }, Act::Claim) if packs => {
                Shape::Packed { operator: descriptor.operator.unwrap_or_default() }
            }
            (ChannelEdition::Second { .. }, _) => Shape::Unpacked,
        };
        let (payee, asset) = (descriptor.payee, descriptor.asset.address());
        Self { contract: row.contract, payee, asset, shape }
    }
}

impl ClaimBatch {
    /// The total of the batch, in base units.
    pub fn amount(&self) -> Amount {
        sum(self.rows.iter().map(|(_, amount)| *amount))
    }

    /// The channels.
    pub fn channels(&self) -> Vec<B256> {
        self.rows.iter().map(|(row, _)| row.channel).collect()
    }

    pub(super) fn call(&self) -> Call {
        let rows = self.rows.len() as u64;
        Call {
            to: self.contract,
            value: U256::ZERO,
            data: self.data().into(),
            gas_limit: Some(BASE_GAS + row_gas(self.act, self.asset) * rows),
        }
    }

    fn data(&self) -> Vec<u8> {
        let (payee, asset) = (self.payee, self.asset.address());
        match (self.shape, self.act) {
            (Shape::First, _) => {
                let claims = self.rows.iter().map(|(row, _)| first(row)).collect();
                IFirstSaltChannels::claimManyCall { asset, claims }.abi_encode()
            }
            (Shape::Packed { operator }, _) => {
                let mut rows = Vec::with_capacity(self.rows.len() * PACKED);
                self.rows.iter().for_each(|(row, _)| pack(row, &mut rows));
                ISaltChannels::claimRowsCall { payee, asset, operator, rows: rows.into() }.abi_encode()
            }
            (Shape::Unpacked, Act::Claim) => {
                ISaltChannels::claimManyCall { payee, asset, claims: self.claims() }.abi_encode()
            }
            (Shape::Unpacked, Act::Close) => {
                ISaltChannels::closeManyCall { payee, asset, claims: self.claims() }.abi_encode()
            }
        }
    }

    fn claims(&self) -> Vec<ISaltChannels::Claim> {
        let claim = |row: &Claimable| ISaltChannels::Claim {
            payer: row.descriptor.payer,
            signer: row.descriptor.signer.unwrap_or_default(),
            operator: row.descriptor.operator.unwrap_or_default(),
            exitDelay: exit_delay(row),
            salt: row.descriptor.salt,
            ceiling: row.voucher.map_or(U256::ZERO, |voucher| voucher.ceiling.0),
            total: row.spent.0,
            voucher: row.voucher.map_or_else(Vec::new, |voucher| voucher.signature.to_vec()).into(),
        };
        self.rows.iter().map(|(row, _)| claim(row)).collect()
    }
}

fn first(row: &Claimable) -> IFirstSaltChannels::Claim {
    IFirstSaltChannels::Claim {
        payer: row.descriptor.payer,
        signer: row.descriptor.signer.unwrap_or_default(),
        exitDelay: exit_delay(row),
        salt: row.descriptor.salt,
        ceiling: row.voucher.map_or(U256::ZERO, |voucher| voucher.ceiling.0),
        total: row.spent.0,
        voucher: row.voucher.map_or_else(Vec::new, |voucher| voucher.signature.to_vec()).into(),
    }
}

/// A row of `claimRows`: payer (20 bytes), signer (20), exit delay (4), salt (32), ceiling (13), total (13), signature (65).
fn pack(row: &Claimable, rows: &mut Vec<u8>) {
    let (ceiling, signature) =
        row.voucher.map_or((Amount::ZERO, [0; 65]), |voucher| (voucher.ceiling, voucher.signature));
    rows.extend_from_slice(row.descriptor.payer.as_slice());
    rows.extend_from_slice(row.descriptor.signer.unwrap_or_default().as_slice());
    rows.extend_from_slice(&exit_delay(row).to_be_bytes());
    rows.extend_from_slice(row.descriptor.salt.as_slice());
    // What is larger is not packed.
    rows.extend_from_slice(&ceiling.0.to_be_bytes::<32>()[19..]);
    rows.extend_from_slice(&row.spent.0.to_be_bytes::<32>()[19..]);
    rows.extend_from_slice(&signature);
}

/// Larger exit delays were refused before: the channel would have another id.
fn exit_delay(row: &Claimable) -> u32 {
    u32::try_from(row.descriptor.exit_delay).unwrap_or(u32::MAX)
}

fn row_gas(act: Act, asset: Asset) -> u64 {
    match (act, asset) {
        (Act::Claim, _) => ROW_GAS,
        (Act::Close, Asset::Native) => CLOSED_ROW_GAS,
        (Act::Close, Asset::Token(_)) => CLOSED_TOKEN_ROW_GAS,
    }
}

/// As few transactions as their gas and their bytes allow.
pub(super) fn batches(
    groups: BTreeMap<Group, Vec<(Claimable, Amount)>>,
    act: Act,
    profile: &Profile,
) -> Vec<ClaimBatch> {
    let mut batches = Vec::new();
    for (Group { contract, payee, asset, shape }, rows) in groups {
        let asset = Asset::from_address(asset);
        let by_gas = profile.max_batch_gas.saturating_sub(BASE_GAS) / row_gas(act, asset);
        let by_bytes = MAX_BYTES / if matches!(shape, Shape::Packed { .. }) { PACKED } else { UNPACKED };
        let most = usize::try_from(by_gas).unwrap_or(usize::MAX).min(by_bytes).max(1);
        let batch = |rows: &[_]| ClaimBatch { contract, payee, asset, act, rows: rows.to_vec(), shape };
        batches.extend(rows.chunks(most).map(batch));
    }
    batches
}
