//! Incidents: what an operator must know.

use std::fmt;

use salt402_protocol::{Address, B256, ChainId, PaymentId};

use crate::channels::risk_rows;
use crate::engine::{
    Changes, Columns as _, QueryBuilder, Row, Step, SyncConnection, bound, chain_id, clock, params, query,
    send_step,
};
use crate::incidents::outbox::{self, NoticeEvent};
use crate::rows::{ChannelRisk, StoreError};
use crate::store::Store;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IncidentKind {
    /// A payment was granted on, and then its block left the chain. Open until the payment is on the chain again.
    PaymentLost,
    /// The proof of a used payment was shown for another request. One incident per payment, with a count.
    ReplayAttempt,
    /// A payment was missing in the node's logs and was found by its receipt.
    OmittedLog,
    /// A payment was not granted on, because a second node contradicts it. One incident per payment, with a count.
    NodesDisagree,
    /// Vouchers of a channel were accepted and not claimed, and the channel's money can leave. Open until they are
    /// claimed or the money stays.
    VoucherAtRisk,
    /// Transactions of the chain could not be read, so that what they paid is not known. One incident per chain, open
    /// until all were read or left the chain.
    UnreadableTransaction,
    /// A claimed payment was given up: its request was run as often as allowed, or can never be answered. One incident
    /// each time. [`Unserved`](crate::Unserved) says what is owed.
    NotServed,
    /// A signed payment was settled from here, its block left the chain, and it cannot be settled again. Open until the money
    /// has moved after all.
    SettlementLost,
    /// A nonce of an account that settles was used by a transaction that was not signed here. One incident each time.
    NonceTaken,
    /// A refund that was sent from here was in a block, and is on the chain no more. Open until it is on the chain again, or
    /// never will be.
    RefundLost,
    /// A payee of this server let an account claim and close for it that the configuration does not name as its operator.
    OperatorSet,
}

impl IncidentKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::PaymentLost,
        Self::ReplayAttempt,
        Self::OmittedLog,
        Self::NodesDisagree,
        Self::VoucherAtRisk,
        Self::UnreadableTransaction,
        Self::NotServed,
        Self::SettlementLost,
        Self::NonceTaken,
        Self::RefundLost,
        Self::OperatorSet,
    ];

    /// Its name in the database and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PaymentLost => "payment_lost",
            Self::ReplayAttempt => "replay_attempt",
            Self::OmittedLog => "omitted_log",
            Self::NodesDisagree => "nodes_disagree",
            Self::VoucherAtRisk => "voucher_at_risk",
            Self::UnreadableTransaction => "unreadable_transaction",
            Self::NotServed => "not_served",
            Self::SettlementLost => "settlement_lost",
            Self::NonceTaken => "nonce_taken",
            Self::RefundLost => "refund_lost",
            Self::OperatorSet => "operator_set",
        }
    }

    /// The kind of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Whether it stays open until the fault is repaired. The others are over when they are noticed.
    pub const fn lasts(self) -> bool {
        match self {
            Self::PaymentLost
            | Self::VoucherAtRisk
            | Self::UnreadableTransaction
            | Self::SettlementLost
            | Self::RefundLost => true,
            // As an open incident it would limit its payer.
            Self::ReplayAttempt
            | Self::OmittedLog
            | Self::NodesDisagree
            | Self::NotServed
            | Self::NonceTaken
            | Self::OperatorSet => false,
        }
    }
}

impl fmt::Display for IncidentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that the operator must know. A lasting one is open until its cause is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Its number, ascending in time.
    pub id: u64,
    /// What kind it is.
    pub kind: IncidentKind,
    /// The payment. For a channel at risk, the grant on its last voucher; for a refund, its transaction; for an operator, the
    /// event that named it. Zero if no payment is known.
    pub payment: PaymentId,
    /// The payment's chain.
    pub chain: ChainId,
    /// The payment's transaction, the one that opened the channel, or the first unreadable one.
    pub transaction: B256,
    /// Whose payment was lost; limits apply to this payer. `None` in a database from before this was stored.
    pub payer: Option<Address>,
    /// When it began, in milliseconds since 1970 UTC.
    pub opened_at_ms: u64,
    /// When it was resolved, in milliseconds since 1970 UTC. `None` while it is open. A kind that does not last is
    /// never open.
    pub resolved_at_ms: Option<u64>,
    /// How often it happened.
    pub occurrences: u64,
    /// When it last happened or was resolved, in milliseconds since 1970 UTC.
    pub changed_at_ms: u64,
    /// What happened, for people.
    pub detail: String,
    /// The note of the operator who settled it. `None` if the payment came back or the incident is open.
    pub settled: Option<String>,
    /// The channel, where one is at risk.
    pub risk: Option<ChannelRisk>,
}

/// Which incidents are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IncidentFilter {
    /// Only open ones, or only others.
    pub open: Option<bool>,
    /// Those of a kind.
    pub kind: Option<IncidentKind>,
    /// Those of a chain.
    pub chain: Option<ChainId>,
    /// Those that began, happened again or were resolved at this time or later, in milliseconds since 1970 UTC.
    pub since_ms: Option<u64>,
    /// Those with a smaller number. The next page after this number.
    pub before: Option<u64>,
}

/// How many incidents there are of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncidentCount {
    /// The kind.
    pub kind: IncidentKind,
    /// Those that are open.
    pub open: u64,
    /// All.
    pub all: u64,
}

impl Store {
    /// Incidents, the newest first, at most `limit`; with `open_only`, those that are still open.
    pub async fn incidents(&self, open_only: bool, limit: u32) -> Result<Vec<Incident>, StoreError> {
        let filter = IncidentFilter { open: open_only.then_some(true), ..IncidentFilter::default() };
        self.incidents_where(&filter, limit).await
    }

    /// The incidents that are asked for, the newest first, at most `limit`.
    pub async fn incidents_where(
        &self,
        filter: &IncidentFilter,
        limit: u32,
    ) -> Result<Vec<Incident>, StoreError> {
        let mut select = QueryBuilder::new(format!(
            "SELECT i.*, {} FROM incidents i LEFT JOIN channel_risks r ON r.incident_id = i.id WHERE TRUE",
            risk_rows::COLUMNS
        ));
        match filter.open {
            Some(true) => select.push(" AND i.resolved_at_ms IS NULL"),
            Some(false) => select.push(" AND i.resolved_at_ms IS NOT NULL"),
            None => &mut select,
        };
        if let Some(kind) = filter.kind {
            select.push(" AND i.kind = ").push_bind(kind.name());
        }
        if let Some(chain) = filter.chain {
            select.push(" AND i.chain_id = ").push_bind(chain_id(chain));
        }
        if let Some(since) = filter.since_ms {
            select.push(" AND i.changed_at_ms >= ").push_bind(bound(since));
        }
        if let Some(before) = filter.before {
            select.push(" AND i.id < ").push_bind(bound(before));
        }
        select.push(" ORDER BY i.id DESC LIMIT ").push_bind(i64::from(limit));
        let mut reader = self.reader().await?;
        let rows = select.build().fetch_all(reader.connection()?)?;
        rows.iter().map(incident_of).collect()
    }

    /// Resolves an incident although its payment did not come back, because the operator has settled it. Returns
    /// whether it was open. The same payment opens no further incident. Durable when this returns.
    pub async fn settle_incident(&self, id: u64, note: String) -> Result<bool, StoreError> {
        send_step(self.jobs(), Settle { id, note }).await
    }

    /// How many incidents there are on a chain, for every kind.
    pub async fn incident_counts(&self, chain: ChainId) -> Result<Vec<IncidentCount>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT kind, COUNT(*) AS number, COUNT(*) - COUNT(resolved_at_ms) AS open FROM incidents
             WHERE chain_id = $1 GROUP BY kind",
        )
        .bind(chain_id(chain))
        .fetch_all(reader.connection()?)?;
        let mut counts: Vec<_> =
            IncidentKind::ALL.iter().map(|kind| IncidentCount { kind: *kind, open: 0, all: 0 }).collect();
        for row in &rows {
            let kind = kind_of(row)?;
            if let Some(count) = counts.iter_mut().find(|count| count.kind == kind) {
                (count.open, count.all) = (row.number("open")?, row.number("number")?);
            }
        }
        Ok(counts)
    }
}

/// The most incidents that are recorded of one transaction for a kind that does not last. Whoever makes a transaction
/// chooses how many payments it has. Lost payments are all recorded, because each limits its payer.
pub(crate) const MOST: usize = 64;

/// Counts incidents that were not recorded because there were too many at once.
pub(crate) fn note_cut(kind: IncidentKind, number: usize) {
    metrics::counter!("salt402_incidents_cut_total", "kind" => kind.name()).increment(number as u64);
}

/// An incident that is about to be recorded.
pub(crate) struct NewIncident<'a> {
    pub(crate) kind: IncidentKind,
    pub(crate) chain: ChainId,
    pub(crate) payment: PaymentId,
    pub(crate) transaction: B256,
    /// How often it happened, since it was last recorded.
    pub(crate) occurrences: u64,
    pub(crate) detail: &'a str,
}

/// Records an incident in the transaction of its cause, and that it must be told. If one of a kind that does not last
/// is known already, it is counted and not told again. Returns its number.
///
/// The payer is looked up on the chain, and then among payments that left it. Each half has an index, and both together
/// have none.
pub(crate) fn record(connection: &SyncConnection<'_>, incident: &NewIncident<'_>) -> Result<i64, StoreError> {
    let now = clock::now_ms();
    let resolved = (!incident.kind.lasts()).then_some(now);
    let occurrences = bound(incident.occurrences.max(1));
    let (id, recorded): (i64, i64) = connection
        .prepare_cached(
            "INSERT INTO incidents (chain_id, kind, payment_id, transaction_hash, opened_at_ms, resolved_at_ms,
                                    occurrences, changed_at_ms, detail, payer)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?5, ?8,
                     COALESCE((SELECT p.payer FROM payments p
                               WHERE p.chain_id = ?1 AND p.transaction_hash = ?4 AND p.payment_id = ?3 AND p.canonical),
                              (SELECT p.payer FROM payments p
                               WHERE p.chain_id = ?1 AND p.transaction_hash = ?4 AND p.payment_id = ?3
                                 AND NOT p.canonical LIMIT 1)))
             ON CONFLICT (chain_id, payment_id, kind) WHERE kind IN ('replay_attempt', 'omitted_log')
             DO UPDATE SET occurrences = occurrences + excluded.occurrences, changed_at_ms = excluded.changed_at_ms
             RETURNING id, occurrences",
        )?
        .query_row(
            params![
                chain_id(incident.chain),
                incident.kind.name(),
                incident.payment.0.as_slice(),
                incident.transaction.as_slice(),
                now,
                resolved,
                occurrences,
                incident.detail,
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
    if recorded > occurrences {
        return Ok(id);
    }
    let event = if incident.kind.lasts() { NoticeEvent::Opened } else { NoticeEvent::Noted };
    outbox::write(connection, id, event, now)?;
    Ok(id)
}

/// The open incident of a payment that was settled and lost.
const OPEN_LOST: &str = "SELECT id FROM incidents
                         WHERE chain_id = ?1 AND payment_id = ?2 AND kind = 'settlement_lost' AND resolved_at_ms IS NULL";

/// Records a settlement that was lost, unless that is known already.
pub(crate) fn record_lost_settlement(
    connection: &SyncConnection<'_>,
    incident: &NewIncident<'_>,
) -> Result<(), StoreError> {
    let known = connection
        .prepare_cached(OPEN_LOST)?
        .exists(params![chain_id(incident.chain), incident.payment.0.as_slice()])?;
    if !known {
        record(connection, incident)?;
    }
    Ok(())
}

/// Resolves the incident of a settlement that was lost, because the money has moved after all.
pub(crate) fn resolve_lost_settlement(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    payment: PaymentId,
) -> Result<(), StoreError> {
    let open: Option<i64> = connection
        .prepare_cached(OPEN_LOST)?
        .query_optional(params![chain_id(chain), payment.0.as_slice()], |row| row.get(0))?;
    let Some(id) = open else { return Ok(()) };
    let now = clock::now_ms();
    connection
        .prepare_cached("UPDATE incidents SET resolved_at_ms = ?2, changed_at_ms = ?2 WHERE id = ?1")?
        .execute(params![id, now])?;
    outbox::write(connection, id, NoticeEvent::Resolved, now)
}

struct Settle {
    id: u64,
    note: String,
}

/// A step, because requests may wait for it as they do for payments.
impl Step for Settle {
    type Output = bool;

    const KIND: &'static str = "settle";

    fn write(&self, connection: &SyncConnection<'_>) -> Result<bool, StoreError> {
        let now = clock::now_ms();
        let settled = connection.execute(
            "UPDATE incidents SET resolved_at_ms = ?2, changed_at_ms = ?2, settled = ?3
             WHERE id = ?1 AND resolved_at_ms IS NULL",
            params![bound(self.id), now, self.note],
        )?;
        if settled == 1 {
            outbox::write(connection, bound(self.id), NoticeEvent::Resolved, now)?;
            risk_rows::settled(connection, bound(self.id))?;
        }
        Ok(settled == 1)
    }

    fn changes(&self, _settled: &bool, _connection: &SyncConnection<'_>) -> Changes {
        Changes::default()
    }
}

pub(crate) fn incident_of(row: &Row) -> Result<Incident, StoreError> {
    Ok(Incident {
        id: row.number("id")?,
        kind: kind_of(row)?,
        payment: row.payment_id("payment_id")?,
        chain: row.chain("chain_id")?,
        transaction: row.hash("transaction_hash")?,
        opened_at_ms: row.number("opened_at_ms")?,
        resolved_at_ms: row.maybe_number("resolved_at_ms")?,
        occurrences: row.number("occurrences")?,
        changed_at_ms: row.number("changed_at_ms")?,
        detail: row.text("detail")?,
        payer: row.maybe_address("payer")?,
        settled: row.maybe_text("settled")?,
        risk: risk_rows::of(row)?,
    })
}

fn kind_of(row: &Row) -> Result<IncidentKind, StoreError> {
    IncidentKind::named(&row.text("kind")?).ok_or(StoreError::Corrupt { column: "kind" })
}
