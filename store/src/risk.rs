//! Channels whose accepted vouchers are not claimed while their money can leave them: an incident each, until it is claimed
//! or the money stays.
//!
//! Only what happens to a channel on the chain can put it at risk: a voucher is accepted while nothing stands against it.
//! So it is looked at in the step that applies the chain's events, and in its transaction.

use std::collections::BTreeSet;
use std::fmt;

use rusqlite::{Connection, OptionalExtension as _, params};
use salt402_protocol::{
    Address, Amount, Asset, B256, ChainId, ChannelEvent, ChannelState, PaymentId, Voucher,
};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::beside::Placed;
use crate::channel_rows::OPENED;
use crate::columns::{Columns, amount_bytes, bound, chain_id};
use crate::incident::{self, IncidentKind, NewIncident};
use crate::notice::{self, NoticeEvent};
use crate::totals::{self, Changes, Share};
use crate::{StoreError, channel, clock};

/// Why what was accepted may not be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RiskReason {
    /// The payer asked to leave.
    Exit,
    /// The channel is closed, and less was claimed: the rest is lost.
    Closed,
    /// Less is deposited than was accepted: a deposit left the chain.
    Deposit,
    /// The channel's opening left the chain.
    Gone,
}

impl RiskReason {
    const ALL: [Self; 4] = [Self::Exit, Self::Closed, Self::Deposit, Self::Gone];

    /// Its name in the database and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Closed => "closed",
            Self::Deposit => "deposit",
            Self::Gone => "gone",
        }
    }

    fn named(name: &str) -> Result<Self, StoreError> {
        let known = Self::ALL.into_iter().find(|reason| reason.name() == name);
        known.ok_or(StoreError::Corrupt { column: "reason" })
    }
}

impl fmt::Display for RiskReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A channel that is, or was, at risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelRisk {
    /// The contract.
    pub contract: Address,
    /// The channel's identifier in it.
    pub channel: B256,
    /// Whose money it is; `None` where nothing of the channel is known any more.
    pub payer: Option<Address>,
    /// What it is in; `None` likewise.
    pub asset: Option<Asset>,
    /// What was accepted, in base units.
    pub spent: Amount,
    /// What of it was claimed, in base units.
    pub claimed: Amount,
    /// Why it is at risk.
    pub reason: RiskReason,
    /// Until when, at the least, it can be claimed, in seconds since 1970 UTC, where the payer leaves.
    pub exit_at: Option<u64>,
}

impl ChannelRisk {
    /// What was accepted and not claimed, in base units.
    pub fn unclaimed(&self) -> Amount {
        Amount(self.spent.0.saturating_sub(self.claimed.0))
    }

    /// What a channel's state means for what was accepted of it; `None` where it can be claimed as long as one likes, or
    /// was.
    fn of((contract, channel): (Address, B256), spent: Amount, state: Option<&ChannelState>) -> Option<Self> {
        let claimed = state.map_or(Amount::ZERO, |state| state.claimed);
        if spent <= claimed {
            return None;
        }
        let descriptor = state.and_then(|state| state.descriptor);
        let (reason, exit_at) = match state {
            Some(state) if descriptor.is_some() => match state.exit_at {
                _ if state.closed => (RiskReason::Closed, None),
                _ if state.deposit < spent => (RiskReason::Deposit, state.exit_at),
                Some(at) => (RiskReason::Exit, Some(at)),
                None => return None,
            },
            _ => (RiskReason::Gone, None),
        };
        let (payer, asset) = (descriptor.map(|known| known.payer), descriptor.map(|known| known.asset));
        Some(Self { contract, channel, payer, asset, spent, claimed, reason, exit_at })
    }

    /// What it adds to the totals of its chain while its incident is open.
    pub(crate) fn share(&self) -> Option<Share> {
        self.asset.map(|asset| (asset, self.unclaimed()))
    }

    fn detail(&self) -> String {
        let (unclaimed, spent, channel) = (self.unclaimed(), self.spent, self.channel);
        let what = match self.asset {
            Some(asset) => format!("{unclaimed} base units of {asset}"),
            None => format!("{unclaimed} base units"),
        };
        let accepted = format!(
            "{what}, of {spent} that were accepted by vouchers of channel {channel}, are not claimed"
        );
        match (self.reason, self.exit_at) {
            (RiskReason::Exit, at) => format!(
                "{accepted}, and its payer leaves at {}: claim before that, as by `salt402 channel claim {channel}`",
                at.unwrap_or(0)
            ),
            (RiskReason::Closed, _) => {
                format!("{accepted}, and the channel is closed: what was left went back to its payer")
            }
            (RiskReason::Deposit, _) => {
                format!(
                    "{accepted}, and less is in the channel, as a deposit left the chain: claim what there is"
                )
            }
            (RiskReason::Gone, _) => {
                format!("{accepted}, and the channel left the chain: it can be claimed when it is back")
            }
        }
    }
}

/// Opens, keeps up and resolves what incidents there are over channels that the step touched: those of `events`, and those
/// that have events above a height, on the chain or not.
pub(crate) fn follow(
    connection: &Connection,
    chain: ChainId,
    events: &[Placed<ChannelEvent>],
    above: Option<u64>,
) -> Result<(), StoreError> {
    // Nearly every chain has no voucher, and then nothing is looked at.
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
        let mut rows = select.query(rusqlite::params_from_iter(bound))?;
        while let Some(row) = rows.next()? {
            touched.insert((Columns::address(row, "contract")?, Columns::hash(row, "channel")?));
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
    let mut totals = Changes::default();
    for channel in touched {
        look(connection, chain, channel, &mut totals)?;
    }
    totals.write_in_step(connection)?;
    connection
        .prepare_cached("DELETE FROM channels_unchecked WHERE chain_id = ?1")?
        .execute([chain_id(chain)])?;
    Ok(())
}

/// Looks at one channel: what of its account is unclaimed now, and whether that is at risk.
fn look(
    connection: &Connection,
    chain: ChainId,
    of: (Address, B256),
    totals: &mut Changes,
) -> Result<(), StoreError> {
    let place = params![chain_id(chain), of.0.as_slice(), of.1.as_slice()];
    let account = connection
        .prepare_cached(
            "SELECT ceiling, spent, counted_asset, counted FROM vouchers
             WHERE chain_id = ?1 AND contract = ?2 AND channel = ?3",
        )?
        .query_row(place, |row| {
            Ok((Columns::amount(row, "ceiling"), Columns::amount(row, "spent"), totals::counted(row)))
        })
        .optional()?;
    let Some((ceiling, spent, counted)) = account else { return Ok(()) };
    let (spent, counted) = (spent?, counted?);
    let state = channel::state_in_step(connection, chain, of.0, of.1)?;
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
        .query_row(place, |row| row.get(0))
        .optional()?;
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
            let channel = Voucher { channel: of.1, ceiling: ceiling?, signature: [0; 65] };
            open_incident(connection, chain, channel.payment_id(chain, of.0), &risk)?
        }
    };
    let after = open.map_or(Ok(None), |id| share_of(connection, id))?;
    totals.risk(chain, before, after);
    Ok(())
}

/// What the risk of an incident adds to the totals of its chain while it is open.
fn share_of(connection: &Connection, id: i64) -> Result<Option<Share>, StoreError> {
    let row = connection
        .prepare_cached("SELECT asset, spent, claimed FROM channel_risks WHERE incident_id = ?1")?
        .query_row([id], |row| {
            Ok((
                Columns::maybe_address(row, "asset"),
                Columns::amount(row, "spent"),
                Columns::amount(row, "claimed"),
            ))
        })
        .optional()?;
    let Some((asset, spent, claimed)) = row else { return Ok(None) };
    let unclaimed = Amount(spent?.0.saturating_sub(claimed?.0));
    Ok(asset?.map(|asset| (Asset::from_address(asset), unclaimed)))
}

/// Takes the risk of an incident that an operator settled out of the totals.
pub(crate) fn settled(connection: &Connection, id: i64) -> Result<(), StoreError> {
    let chain: i64 =
        connection.query_row("SELECT chain_id FROM incidents WHERE id = ?1", [id], |row| row.get(0))?;
    let chain =
        u64::try_from(chain).ok().and_then(ChainId::new).ok_or(StoreError::Corrupt { column: "chain_id" })?;
    let mut totals = Changes::default();
    totals.risk(chain, share_of(connection, id)?, None);
    totals.write_in_step(connection)
}

/// The incident is named by the grant on the last voucher. One that an operator settled is not opened again. Returns its
/// number.
fn open_incident(
    connection: &Connection,
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
        .query_row(params![payment.0.as_slice(), chain_id(chain), kind.name()], |row| {
            Ok(Columns::hash(row, "transaction_hash"))
        })
        .optional()?;
    let Some(transaction) = grant.transpose()? else { return Ok(None) };
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

/// Who opened a channel whose money left the chain is held to what holds for whoever's payment did. Who leaves a channel,
/// which is a right, is not: the payee can claim until then.
fn hold_payer(connection: &Connection, id: i64, risk: &ChannelRisk) -> Result<(), StoreError> {
    let taken_back = matches!(risk.reason, RiskReason::Gone | RiskReason::Deposit);
    let payer = risk.payer.filter(|_| taken_back).map(|payer| payer.0.0);
    connection
        .prepare_cached("UPDATE incidents SET payer = ?2 WHERE id = ?1 AND payer IS NOT ?2")?
        .execute(params![id, payer])?;
    Ok(())
}

/// The same risk with other figures: a claim of a part, another time, a reorganization.
fn keep_up(connection: &Connection, id: i64, risk: &ChannelRisk) -> Result<(), StoreError> {
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

fn resolve(connection: &Connection, id: i64, claimed: Amount) -> Result<(), StoreError> {
    let now = clock::now_ms();
    connection
        .prepare_cached("UPDATE incidents SET resolved_at_ms = ?2, changed_at_ms = ?2 WHERE id = ?1")?
        .execute(params![id, now])?;
    connection
        .prepare_cached("UPDATE channel_risks SET claimed = ?2 WHERE incident_id = ?1")?
        .execute(params![id, amount_bytes(claimed)])?;
    notice::write(connection, id, NoticeEvent::Resolved, now)
}

/// Who opened a channel that left the chain, and in what.
fn remembered(
    connection: &Connection,
    chain: ChainId,
    (contract, channel): (Address, B256),
) -> Result<(Option<Address>, Option<Asset>), StoreError> {
    let row = connection
        .prepare_cached(
            "SELECT payer, asset FROM channel_events
             WHERE chain_id = ?1 AND NOT canonical AND contract = ?2 AND channel = ?3 AND kind = ?4 LIMIT 1",
        )?
        .query_row(params![chain_id(chain), contract.as_slice(), channel.as_slice(), OPENED], |row| {
            Ok((Columns::address(row, "payer"), Columns::asset(row, "asset")))
        })
        .optional()?;
    row.map_or(Ok((None, None)), |(payer, asset)| Ok((Some(payer?), Some(asset?))))
}

/// The columns of a risk beside an incident's own, for a query that joins the table as `r`.
pub(crate) const COLUMNS: &str =
    "r.contract AS risk_contract, r.channel AS risk_channel, r.payer AS risk_payer,
    r.asset AS risk_asset, r.spent AS risk_spent, r.claimed AS risk_claimed, r.reason AS risk_reason,
    r.exit_at AS risk_exit_at";

/// The risk in a row with [`COLUMNS`]; `None` where the incident is of another kind.
pub(crate) fn of(row: &SqliteRow) -> Result<Option<ChannelRisk>, StoreError> {
    let Some(reason) = row.maybe_text("risk_reason")? else { return Ok(None) };
    Ok(Some(ChannelRisk {
        contract: row.address("risk_contract")?,
        channel: row.hash("risk_channel")?,
        payer: row.maybe_address("risk_payer")?,
        asset: row.maybe_address("risk_asset")?.map(Asset::from_address),
        spent: row.amount("risk_spent")?,
        claimed: row.amount("risk_claimed")?,
        reason: RiskReason::named(&reason)?,
        exit_at: row.maybe_number("risk_exit_at")?,
    }))
}

/// The risks that are open, of all chains.
pub(crate) async fn open(
    connection: &mut SqliteConnection,
) -> Result<Vec<(ChainId, ChannelRisk)>, StoreError> {
    let sql = format!(
        "SELECT i.chain_id, {COLUMNS} FROM incidents i JOIN channel_risks r ON r.incident_id = i.id
         WHERE i.resolved_at_ms IS NULL"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(connection).await?;
    let risk = |row: &SqliteRow| Ok(of(row)?.map(|risk| row.chain("chain_id").map(|chain| (chain, risk))));
    let risks: Vec<Option<_>> = rows.iter().map(risk).collect::<Result<_, StoreError>>()?;
    risks.into_iter().flatten().collect()
}
