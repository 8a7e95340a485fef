//! Turns events of channels into rows, and rows into events.

use salt402_protocol::{
    Address, Amount, Asset, B256, ChainId, ChannelChange, ChannelEvent, Descriptor, OperatorRight, U256,
};

use crate::engine::{Columns, SyncConnection, amount_bytes, bound, chain_id, params};
use crate::rows::{Placed, StoreError};

/// What happened, as a number in the column `kind`. A number never changes its meaning. No number may be added between
/// [`TOPPED_UP`] and [`CLAIMED`], whose greatest totals are read together.
pub(crate) const OPENED: i64 = 1;
pub(crate) const TOPPED_UP: i64 = 2;
pub(crate) const CLAIMED: i64 = 3;
const EXIT_REQUESTED: i64 = 4;
pub(crate) const EXIT_CANCELLED: i64 = 5;
pub(crate) const CLOSED: i64 = 6;
pub(crate) const CREDITED: i64 = 7;
pub(crate) const CREDIT_WITHDRAWN: i64 = 8;
pub(crate) const CREATED: i64 = 9;
const DEPOSITED: i64 = 10;
const REFUNDED: i64 = 11;
pub(crate) const WITHDRAWN: i64 = 12;
const DRAINED: i64 = 13;
const SWEPT: i64 = 14;
pub(crate) const GIVEN_BACK: i64 = 15;
const OPERATOR_SET: i64 = 16;

/// The columns of one event, without its block. An operator is in the column `claimer`, and its right is the amount.
#[derive(Default)]
struct Row {
    kind: i64,
    total: Option<Amount>,
    amount: Option<Amount>,
    at: Option<u64>,
    descriptor: Option<Descriptor>,
    account: Option<(Address, Asset)>,
    /// The payee and the operator.
    operator: Option<(Address, Address)>,
}

impl Row {
    fn of(change: &ChannelChange) -> Self {
        let some = |kind, total, amount| Self { kind, total, amount, ..Self::default() };
        match *change {
            ChannelChange::Opened { descriptor, deposit } => {
                Self { descriptor: Some(descriptor), ..some(OPENED, Some(deposit), None) }
            }
            ChannelChange::ToppedUp { amount, deposit } => some(TOPPED_UP, Some(deposit), Some(amount)),
            ChannelChange::Claimed { amount, claimed } => some(CLAIMED, Some(claimed), Some(amount)),
            ChannelChange::ExitRequested { exit_at, amount } => {
                Self { at: Some(exit_at), ..some(EXIT_REQUESTED, None, amount) }
            }
            ChannelChange::ExitCancelled => some(EXIT_CANCELLED, None, None),
            ChannelChange::Closed { claimed, refund } => some(CLOSED, Some(claimed), Some(refund)),
            ChannelChange::Credited { account, asset, amount } => {
                Self { account: Some((account, asset)), ..some(CREDITED, None, Some(amount)) }
            }
            ChannelChange::CreditWithdrawn { account, asset, amount } => {
                Self { account: Some((account, asset)), ..some(CREDIT_WITHDRAWN, None, Some(amount)) }
            }
            ChannelChange::Created { descriptor } => {
                Self { descriptor: Some(descriptor), ..some(CREATED, None, None) }
            }
            ChannelChange::Deposited { amount } => some(DEPOSITED, None, Some(amount)),
            ChannelChange::Refunded { amount } => some(REFUNDED, None, Some(amount)),
            ChannelChange::Withdrawn { amount } => some(WITHDRAWN, None, Some(amount)),
            ChannelChange::Drained { descriptor } => {
                Self { descriptor: Some(descriptor), ..some(DRAINED, None, None) }
            }
            ChannelChange::Swept { payee, asset, amount } => {
                Self { account: Some((payee, asset)), ..some(SWEPT, None, Some(amount)) }
            }
            ChannelChange::GivenBack { amount } => some(GIVEN_BACK, None, Some(amount)),
            ChannelChange::OperatorSet { payee, operator, right } => Self {
                operator: Some((payee, operator)),
                ..some(OPERATOR_SET, None, Some(Amount(U256::from(right.number()))))
            },
        }
    }
}

/// Inserts events. A known event of the same block is put back on the chain. An event that is on the chain in another
/// block is an error.
pub(crate) fn insert(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    rows: &[Placed<ChannelEvent>],
) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO channel_events (chain_id, event_id, contract, channel, transaction_hash, block_hash, block_number,
                                     kind, total, amount, at, payer, payee, asset, signer, claimer, exit_delay, salt,
                                     block_timestamp, canonical)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, TRUE)
         ON CONFLICT (chain_id, event_id, block_hash)
         DO UPDATE SET canonical = TRUE, block_timestamp = COALESCE(block_timestamp, excluded.block_timestamp)",
    )?;
    for Placed { what: event, block_number, block_hash, block_timestamp } in rows {
        let row = Row::of(&event.change);
        let descriptor = row.descriptor.as_ref();
        let payee = descriptor.map(|d| d.payee).or(row.account.map(|(account, _)| account));
        let payee = payee.or(row.operator.map(|(payee, _)| payee));
        let operator = descriptor.and_then(|d| d.operator).or(row.operator.map(|(_, operator)| operator));
        let asset = descriptor.map(|d| d.asset).or(row.account.map(|(_, asset)| asset));
        let done = insert.execute_unique(params![
            chain_id(chain),
            event.id.0.as_slice(),
            event.contract.as_slice(),
            event.channel.as_slice(),
            event.transaction.as_slice(),
            block_hash.as_slice(),
            bound(*block_number),
            row.kind,
            row.total.map(amount_bytes),
            row.amount.map(amount_bytes),
            row.at.map(bound),
            descriptor.map(|d| d.payer.0.0),
            payee.map(|payee| payee.0.0),
            asset.map(|asset| asset.address().0.0),
            descriptor.and_then(|d| d.signer).map(|signer| signer.0.0),
            operator.map(|operator| operator.0.0),
            descriptor.map(|d| bound(d.exit_delay)),
            descriptor.map(|d| d.salt.0),
            bound(*block_timestamp)
        ])?;
        if done.is_none() {
            let reason = format!("channel event {} is on the chain in another block", event.id);
            return Err(StoreError::BadBatch { chain, reason });
        }
    }
    Ok(())
}

/// What happened, from a row with the columns of `channel_events`.
pub(crate) fn change(row: &impl Columns) -> Result<ChannelChange, StoreError> {
    let total = || row.amount("total");
    let amount = || row.amount("amount");
    let account = || Ok::<_, StoreError>((row.address("payee")?, row.asset("asset")?));
    Ok(match i64::try_from(row.number("kind")?).unwrap_or_default() {
        OPENED => ChannelChange::Opened { descriptor: descriptor(row)?, deposit: total()? },
        TOPPED_UP => ChannelChange::ToppedUp { amount: amount()?, deposit: total()? },
        CLAIMED => ChannelChange::Claimed { amount: amount()?, claimed: total()? },
        EXIT_REQUESTED => ChannelChange::ExitRequested {
            exit_at: row.number("at")?,
            amount: row.maybe_hash("amount")?.map(|_| amount()).transpose()?,
        },
        EXIT_CANCELLED => ChannelChange::ExitCancelled,
        CLOSED => ChannelChange::Closed { claimed: total()?, refund: amount()? },
        CREDITED => {
            let (account, asset) = account()?;
            ChannelChange::Credited { account, asset, amount: amount()? }
        }
        CREDIT_WITHDRAWN => {
            let (account, asset) = account()?;
            ChannelChange::CreditWithdrawn { account, asset, amount: amount()? }
        }
        CREATED => ChannelChange::Created { descriptor: descriptor(row)? },
        DEPOSITED => ChannelChange::Deposited { amount: amount()? },
        REFUNDED => ChannelChange::Refunded { amount: amount()? },
        WITHDRAWN => ChannelChange::Withdrawn { amount: amount()? },
        DRAINED => ChannelChange::Drained { descriptor: descriptor(row)? },
        SWEPT => {
            let (payee, asset) = account()?;
            ChannelChange::Swept { payee, asset, amount: amount()? }
        }
        GIVEN_BACK => ChannelChange::GivenBack { amount: amount()? },
        OPERATOR_SET => {
            let right = u8::try_from(amount()?.0).ok().and_then(OperatorRight::from_number);
            let right = right.ok_or(StoreError::Corrupt { column: "amount" })?;
            let operator = row.address("claimer")?;
            ChannelChange::OperatorSet { payee: row.address("payee")?, operator, right }
        }
        _ => return Err(StoreError::Corrupt { column: "kind" }),
    })
}

fn descriptor(row: &impl Columns) -> Result<Descriptor, StoreError> {
    Ok(Descriptor {
        payer: row.address("payer")?,
        payee: row.address("payee")?,
        asset: row.asset("asset")?,
        signer: row.maybe_address("signer")?,
        operator: row.maybe_address("claimer")?,
        exit_delay: row.number("exit_delay")?,
        salt: row.maybe_hash("salt")?.unwrap_or(B256::ZERO),
    })
}
