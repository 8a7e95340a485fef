//! Channels at risk, stored with their incidents.

use salt402_protocol::{Amount, Asset, ChainId};

use crate::channels::totals::TotalsChanges;
use crate::engine::{Columns as _, Connection, Row, SyncConnection, query_made};
use crate::rows::{ChannelRisk, RiskReason, Share, StoreError};

/// The columns of a risk, for a statement that joins the table as `r` to an incident.
pub(crate) const COLUMNS: &str =
    "r.contract AS risk_contract, r.channel AS risk_channel, r.payer AS risk_payer,
    r.asset AS risk_asset, r.spent AS risk_spent, r.claimed AS risk_claimed, r.reason AS risk_reason,
    r.exit_at AS risk_exit_at";

/// The risk in a row with [`COLUMNS`]. `None` if the incident is of another kind.
pub(crate) fn of(row: &Row) -> Result<Option<ChannelRisk>, StoreError> {
    let Some(reason) = row.maybe_text("risk_reason")? else { return Ok(None) };
    Ok(Some(ChannelRisk {
        contract: row.address("risk_contract")?,
        channel: row.hash("risk_channel")?,
        payer: row.maybe_address("risk_payer")?,
        asset: row.maybe_address("risk_asset")?.map(Asset::from_address),
        spent: row.amount("risk_spent")?,
        claimed: row.amount("risk_claimed")?,
        reason: RiskReason::named(&reason).ok_or(StoreError::Corrupt { column: "reason" })?,
        exit_at: row.maybe_number("risk_exit_at")?,
    }))
}

/// The open risks of all chains.
pub(crate) fn open(connection: &mut Connection) -> Result<Vec<(ChainId, ChannelRisk)>, StoreError> {
    let sql = format!(
        "SELECT i.chain_id, {COLUMNS} FROM incidents i JOIN channel_risks r ON r.incident_id = i.id
         WHERE i.resolved_at_ms IS NULL"
    );
    let rows = query_made(sql).fetch_all(connection)?;
    let risk = |row: &Row| Ok(of(row)?.map(|risk| row.chain("chain_id").map(|chain| (chain, risk))));
    let risks: Vec<Option<_>> = rows.iter().map(risk).collect::<Result<_, StoreError>>()?;
    risks.into_iter().flatten().collect()
}

/// What an incident's risk adds to the totals of its chain while it is open.
pub(crate) fn share_of(connection: &SyncConnection<'_>, id: i64) -> Result<Option<Share>, StoreError> {
    let row = connection
        .prepare_cached("SELECT asset, spent, claimed FROM channel_risks WHERE incident_id = ?1")?
        .query_optional([id], |row| {
            Ok((row.maybe_address("asset")?, row.amount("spent")?, row.amount("claimed")?))
        })?;
    let Some((asset, spent, claimed)) = row else { return Ok(None) };
    let unclaimed = Amount(spent.0.saturating_sub(claimed.0));
    Ok(asset.map(|asset| (Asset::from_address(asset), unclaimed)))
}

/// Takes the risk of an incident out of the totals, because an operator settled it.
pub(crate) fn settled(connection: &SyncConnection<'_>, id: i64) -> Result<(), StoreError> {
    let chain = connection
        .prepare_cached("SELECT chain_id FROM incidents WHERE id = ?1")?
        .query_row([id], |row| row.chain("chain_id"))?;
    let mut totals = TotalsChanges::default();
    totals.risk(chain, share_of(connection, id)?, None);
    totals.write_rows(connection)
}
