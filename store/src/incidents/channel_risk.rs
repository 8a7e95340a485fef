//! Channels with accepted and unclaimed vouchers whose money can leave. Each is an incident until the vouchers are
//! claimed or the money stays.
//!
//! Only an event on the chain can put a channel at risk, because a voucher is accepted only while nothing stands
//! against it. So channels are checked in the step that applies the chain's events, in its transaction. What is charged of a
//! ceiling after such an event has the channel checked in the next step.

use std::collections::BTreeSet;

use salt402_protocol::{Address, Amount, Asset, B256, ChainId, ChannelEvent, PaymentId, Voucher};

use crate::channels::events::OPENED;
use crate::channels::risk_rows::share_of;
use crate::channels::state;
use crate::channels::totals::{self, TotalsChanges};
use crate::engine::{
    Columns as _, SyncConnection, amount_bytes, bound, chain_id, clock, params, params_from_iter,
};
use crate::incidents::incident::{self, IncidentKind, NewIncident};
use crate::incidents::outbox::{self, NoticeEvent};
use crate::rows::{ChannelRisk, Placed, RiskReason, StoreError};

/// Opens, updates and resolves incidents of the channels that a step touched: those of `events`, and those with events
/// above a height, on the chain or not.
pub(crate) fn follow(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    events: &[Placed<ChannelEvent>],
    above: Option<u64>,
) -> Result<(), StoreError> {
    // Nearly every chain has no voucher. Then nothing is checked.
    let any: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM vouchers WHERE chain_id = ?1)")?
        .query_row([chain_id(chain)], |row| row.get(0))?;
    if !any {
        return Ok(());
    }
    let mut touched: BTreeSet<(Address, B256)> =
        events.iter().map(|placed| (placed.what.contract, placed.what.channel)).collect();
    let mut add = |sql: &str, bound: &[i64]| -> Result<(), StoreError> {
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query(params_from_iter(bound))?;
        while let Some(row) = rows.next()? {
            touched.insert((row.address("contract")?, row.hash("channel")?));
        }
        Ok(())
    };
    add("SELECT contract, channel FROM channels_unchecked WHERE chain_id = ?1", &[chain_id(chain)])?;
    if let Some(height) = above {
        add(
            "SELECT contract, channel FROM channel_events WHERE chain_id = ?1 AND block_number > ?2 AND canonical
             UNION SELECT contract, channel FROM channel_events
             WHERE chain_id = ?1 AND block_number > ?2 AND NOT canonical",
            &[chain_id(chain), bound(height)],
        )?;
    }
    let mut totals = TotalsChanges::default();
    for channel in touched {
        look(connection, chain, channel, &mut totals)?;
    }
    totals.write_rows(connection)?;
    connection
        .prepare_cached("DELETE FROM channels_unchecked WHERE chain_id = ?1")?
        .execute([chain_id(chain)])?;
    Ok(())
}

/// Checks one channel: what is unclaimed now, and whether that is at risk.
fn look(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    of: (Address, B256),
    totals: &mut TotalsChanges,
) -> Result<(), StoreError> {
    let key = params![chain_id(chain), of.0.as_slice(), of.1.as_slice()];
    let account = connection
        .prepare_cached(
            "SELECT ceiling, spent, counted_asset, counted FROM vouchers
             WHERE chain_id = ?1 AND contract = ?2 AND channel = ?3",
        )?
        .query_optional(key, |row| {
            Ok((row.amount("ceiling")?, row.amount("spent")?, totals::counted(&row)?))
        })?;
    let Some((ceiling, spent, counted)) = account else { return Ok(()) };
    let state = state::state(connection, chain, of.0, of.1)?;
    let share = totals::share(spent, state.as_ref());
    if share != counted {
        connection
            .prepare_cached(
                "UPDATE vouchers SET counted_asset = ?4, counted = ?5
                 WHERE chain_id = ?1 AND contract = ?2 AND channel = ?3",
            )?
            .execute(params![
                chain_id(chain),
                of.0.as_slice(),
                of.1.as_slice(),
                share.map(|(asset, _)| asset.address().0.0),
                share.map(|(_, amount)| amount_bytes(amount))
            ])?;
        totals.account(chain, counted, share);
    }
    let risk = ChannelRisk::of(of, spent, state.as_ref());
    let open: Option<i64> = connection
        .prepare_cached(
            "SELECT r.incident_id FROM channel_risks r JOIN incidents i ON i.id = r.incident_id
             WHERE r.chain_id = ?1 AND r.contract = ?2 AND r.channel = ?3 AND i.resolved_at_ms IS NULL",
        )?
        .query_optional(key, |row| row.get(0))?;
    let before = open.map_or(Ok(None), |id| share_of(connection, id))?;
    let open = match (risk, open) {
        (None, None) => return Ok(()),
        (None, Some(id)) => {
            resolve(connection, id, state.map_or(Amount::ZERO, |state| state.claimed))?;
            None
        }
        (Some(risk), Some(id)) => {
            keep_up(connection, id, &risk)?;
            Some(id)
        }
        (Some(mut risk), None) => {
            if risk.reason == RiskReason::Gone {
                (risk.payer, risk.asset) = remembered(connection, chain, of)?;
            }
            let channel = Voucher { channel: of.1, ceiling, signature: [0; 65] };
            open_incident(connection, chain, channel.payment_id(chain, of.0), &risk)?
        }
    };
    let after = open.map_or(Ok(None), |id| share_of(connection, id))?;
    totals.risk(chain, before, after);
    Ok(())
}

/// The last voucher's grant names the incident. An incident that an operator settled is not opened again. Returns its
/// number.
fn open_incident(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    payment: PaymentId,
    risk: &ChannelRisk,
) -> Result<Option<i64>, StoreError> {
    let kind = IncidentKind::VoucherAtRisk;
    let grant = connection
        .prepare_cached(
            "SELECT k.transaction_hash FROM claims k WHERE k.payment_id = ?1
               AND NOT EXISTS (SELECT 1 FROM incidents i
                               WHERE i.chain_id = ?2 AND i.payment_id = ?1 AND i.kind = ?3
                                 AND i.settled IS NOT NULL)",
        )?
        .query_optional(params![payment.0.as_slice(), chain_id(chain), kind.name()], |row| {
            row.hash("transaction_hash")
        })?;
    let Some(transaction) = grant else { return Ok(None) };
    let detail = risk.detail();
    let new = NewIncident { kind, chain, payment, transaction, occurrences: 1, detail: &detail };
    let id = incident::record(connection, &new)?;
    connection
        .prepare_cached(
            "INSERT INTO channel_risks (incident_id, chain_id, contract, channel, payer, asset, spent, claimed, reason,
                                        exit_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            id,
            chain_id(chain),
            risk.contract.as_slice(),
            risk.channel.as_slice(),
            risk.payer.map(|payer| payer.0.0),
            risk.asset.map(|asset| asset.address().0.0),
            amount_bytes(risk.spent),
            amount_bytes(risk.claimed),
            risk.reason.name(),
            risk.exit_at.map(bound)
        ])?;
    hold_payer(connection, id, risk)?;
    Ok(Some(id))
}

/// If a channel's money left the chain, the limits after a lost payment apply to its payer too. Not if the payer leaves
/// the channel, which is allowed: the payee can still claim.
fn hold_payer(connection: &SyncConnection<'_>, id: i64, risk: &ChannelRisk) -> Result<(), StoreError> {
    let taken_back = matches!(risk.reason, RiskReason::Gone | RiskReason::Deposit);
    let payer = risk.payer.filter(|_| taken_back).map(|payer| payer.0.0);
    connection
        .prepare_cached("UPDATE incidents SET payer = ?2 WHERE id = ?1 AND payer IS NOT ?2")?
        .execute(params![id, payer])?;
    Ok(())
}

/// The same risk with other numbers: a partial claim, another time, or a reorganization.
fn keep_up(connection: &SyncConnection<'_>, id: i64, risk: &ChannelRisk) -> Result<(), StoreError> {
    let changed = connection
        .prepare_cached(
            "UPDATE channel_risks SET spent = ?2, claimed = ?3, reason = ?4, exit_at = ?5
             WHERE incident_id = ?1 AND (spent, claimed, reason, exit_at) IS NOT (?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            id,
            amount_bytes(risk.spent),
            amount_bytes(risk.claimed),
            risk.reason.name(),
            risk.exit_at.map(bound)
        ])?;
    if changed == 1 {
        connection
            .prepare_cached("UPDATE incidents SET detail = ?2, changed_at_ms = ?3 WHERE id = ?1")?
            .execute(params![id, risk.detail(), clock::now_ms()])?;
        hold_payer(connection, id, risk)?;
    }
    Ok(())
}

fn resolve(connection: &SyncConnection<'_>, id: i64, claimed: Amount) -> Result<(), StoreError> {
    let now = clock::now_ms();
    connection
        .prepare_cached("UPDATE incidents SET resolved_at_ms = ?2, changed_at_ms = ?2 WHERE id = ?1")?
        .execute(params![id, now])?;
    connection
        .prepare_cached("UPDATE channel_risks SET claimed = ?2 WHERE incident_id = ?1")?
        .execute(params![id, amount_bytes(claimed)])?;
    outbox::write(connection, id, NoticeEvent::Resolved, now)
}

/// The payer and the asset of a channel whose opening left the chain.
fn remembered(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    (contract, channel): (Address, B256),
) -> Result<(Option<Address>, Option<Asset>), StoreError> {
    let row = connection
        .prepare_cached(
            "SELECT payer, asset FROM channel_events
             WHERE chain_id = ?1 AND NOT canonical AND contract = ?2 AND channel = ?3 AND kind = ?4 LIMIT 1",
        )?
        .query_optional(params![chain_id(chain), contract.as_slice(), channel.as_slice(), OPENED], |row| {
            Ok((Some(row.address("payer")?), Some(row.asset("asset")?)))
        })?;
    Ok(row.unwrap_or((None, None)))
}
