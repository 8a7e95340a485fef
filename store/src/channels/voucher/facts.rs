//! Everything that the decision on a voucher needs, in two statements.

use salt402_protocol::{Amount, B256, ChannelChange, ChannelState, Descriptor};

use crate::channels::events::{EXIT_CANCELLED, OPENED, TOPPED_UP, WITHDRAWN, change};
use crate::channels::{state, totals};
use crate::engine::{Columns as _, SyncConnection, SyncRow, bound, chain_id, params};
use crate::rows::{Lease, NewVoucher, Opening, Share, Stand, StoreError, VoucherAccount};
use crate::store::lease;

/// What is known when a voucher is shown. All of it is of one moment.
pub(super) struct Facts {
    /// The channel's state.
    pub(super) state: ChannelState,
    /// What it is.
    pub(super) descriptor: Descriptor,
    /// Where it was opened.
    pub(super) opening: Opening,
    /// The greatest total of its deposits, and the height of that event's block.
    pub(super) deposit: Option<(Amount, u64)>,
    /// The height at which an exit was cancelled last.
    pub(super) cancelled_at: Option<u64>,
    /// Where the index stands.
    pub(super) stand: Stand,
    /// The node's newest block, as it was last heard of.
    pub(super) head: Option<u64>,
    /// When that was, in milliseconds since 1970 UTC.
    pub(super) noted_at_ms: Option<u64>,
    /// The time of the index's newest block, in seconds since 1970 UTC.
    pub(super) newest_at: Option<u64>,
    /// The height from which on the head reads for the channel's contract. If earlier heights were read up to there
    /// too, it is where those begin.
    pub(super) live_from: Option<u64>,
    /// Who holds the claimant's name.
    pub(super) lease: Option<Lease>,
    /// Whether the chain is halted.
    pub(super) halted: bool,
    /// Whether the channel was opened before a restore, also if that was in a block, or by a transaction, that left the
    /// chain: its vouchers are the same.
    pub(super) before_restore: bool,
    /// Whether it was opened before [`NewVoucher::opened_from`], in whatever block.
    pub(super) before_database: bool,
    /// Whether the payer has an open incident.
    pub(super) loss: bool,
    /// Whether the payee is about to close the channel.
    pub(super) closing: bool,
    /// What was accepted.
    pub(super) account: VoucherAccount,
    /// How much of that is in the totals.
    pub(super) counted: Option<Share>,
    /// The grant on this very voucher.
    pub(super) known: Option<Known>,
}

/// An earlier grant.
pub(super) struct Known {
    pub(super) request: B256,
    pub(super) claimant: String,
    pub(super) claimed_at_ms: u64,
    pub(super) price: Amount,
    pub(super) by_use: bool,
    pub(super) most: Option<Amount>,
}

/// Whether the channel was opened before a time, in whatever block.
macro_rules! opened_before {
    ($time:literal) => {
        concat!(
            "(EXISTS (SELECT 1 FROM channel_events e
                      WHERE e.chain_id = ?1 AND e.contract = ?2 AND e.channel = ?3 AND e.kind = ?5 AND e.canonical
                        AND COALESCE(e.block_timestamp, 0) < ", $time, ")
              OR EXISTS (SELECT 1 FROM channel_events e
                         WHERE e.chain_id = ?1 AND e.contract = ?2 AND e.channel = ?3 AND e.kind = ?5
                           AND NOT e.canonical AND COALESCE(e.block_timestamp, 0) < ", $time, "))"
        )
    };
}

const FACTS: &str = concat!("
    SELECT c.cursor_number, c.lower_fork_at, c.noted_at_ms, c.head_number,
           (SELECT b.timestamp FROM blocks b WHERE b.chain_id = c.chain_id AND b.hash = c.cursor_hash) AS newest_at,
           (SELECT MAX(s.live_from) FROM sources s WHERE s.chain_id = c.chain_id AND s.contract = ?2) AS live_from,
           EXISTS (SELECT 1 FROM open_halts h WHERE h.chain_id = c.chain_id) AS halted,
           ", opened_before!("(SELECT COALESCE(MAX(refuse_before), 0) FROM restores)"), " AS before_restore,
           ", opened_before!("?6"), " AS before_database,
           EXISTS (SELECT 1 FROM incidents i
                   WHERE i.chain_id = c.chain_id AND i.resolved_at_ms IS NULL
                     AND i.payer = (SELECT o.payer FROM channel_events o INDEXED BY channel_events_of
                                    WHERE o.chain_id = ?1 AND o.contract = ?2 AND o.channel = ?3 AND o.kind = ?5
                                      AND o.canonical LIMIT 1)) AS loss,
           EXISTS (SELECT 1 FROM channel_closings x
                   WHERE x.chain_id = ?1 AND x.contract = ?2 AND x.channel = ?3) AS closing,
           l.renewals, l.instance, v.ceiling, v.spent, v.reserved, v.counted_asset, v.counted, k.request_digest, k.claimant,
           k.claimed_at_ms, g.price, g.by_use, g.most
    FROM chains c
    LEFT JOIN vouchers v ON v.chain_id = ?1 AND v.contract = ?2 AND v.channel = ?3
    LEFT JOIN voucher_grants g ON g.payment_id = ?4
    LEFT JOIN claims k ON k.payment_id = g.payment_id
    LEFT JOIN leases l ON l.claimant = ?7
    WHERE c.chain_id = ?1");

impl Facts {
    /// Reads them. `None` if the channel's opening is not on the chain.
    pub(super) fn of(
        voucher: &NewVoucher,
        connection: &SyncConnection<'_>,
    ) -> Result<Option<Self>, StoreError> {
        let (chain, contract, id) = (voucher.chain, voucher.contract, voucher.voucher.channel);
        let mut events = Events::default();
        state::each_event(connection, chain, contract, id, |row| events.add(row))?;
        let Events { changes, opened: Some(opened), deposit, cancelled_at } = events else { return Ok(None) };
        let Some(state) = ChannelState::fold(changes) else { return Ok(None) };
        let Some(descriptor) = state.descriptor else { return Ok(None) };
        let payment = voucher.voucher.payment_id(chain, contract);
        let parameters = params![
            chain_id(chain),
            contract.as_slice(),
            id.as_slice(),
            payment.0.as_slice(),
            OPENED,
            bound(voucher.opened_from),
            voucher.claimant.as_str(),
        ];
        connection.prepare_cached(FACTS)?.query_optional(parameters, |row| {
            let stand = Stand {
                cursor: row.maybe_number("cursor_number")?,
                lower_fork_at: row.maybe_number("lower_fork_at")?,
            };
            let opening = Opening { confirmations: stand.depth(opened.block_number), ..opened };
            // In the order in which the columns stand, so that each is found at once.
            Ok(Self {
                state,
                descriptor,
                opening,
                deposit,
                cancelled_at,
                stand,
                noted_at_ms: row.maybe_number("noted_at_ms")?,
                head: row.maybe_number("head_number")?,
                newest_at: row.maybe_number("newest_at")?,
                live_from: row.maybe_number("live_from")?,
                halted: row.flag("halted")?,
                before_restore: row.flag("before_restore")?,
                before_database: row.flag("before_database")?,
                loss: row.flag("loss")?,
                closing: row.flag("closing")?,
                lease: lease::joined(&row)?,
                account: match row.maybe_hash("ceiling")? {
                    Some(_) => VoucherAccount {
                        ceiling: row.amount("ceiling")?,
                        spent: row.amount("spent")?,
                        reserved: row.amount("reserved")?,
                    },
                    None => VoucherAccount::default(),
                },
                counted: totals::counted(&row)?,
                known: Known::of(&row)?,
            })
        })
    }
}

impl Known {
    fn of(row: &SyncRow<'_>) -> Result<Option<Self>, StoreError> {
        let Some(request) = row.maybe_hash("request_digest")? else { return Ok(None) };
        Ok(Some(Self {
            request,
            claimant: row.text("claimant")?,
            claimed_at_ms: row.number("claimed_at_ms")?,
            price: row.amount("price")?,
            by_use: row.flag("by_use")?,
            most: row.maybe_hash("most")?.map(|_| row.amount("most")).transpose()?,
        }))
    }
}

/// What is read from a channel's events.
#[derive(Default)]
struct Events {
    /// Each with the height of its block.
    changes: Vec<(u64, ChannelChange)>,
    /// Without its depth.
    opened: Option<Opening>,
    deposit: Option<(Amount, u64)>,
    cancelled_at: Option<u64>,
}

impl Events {
    fn add(&mut self, row: &SyncRow<'_>) -> Result<(), StoreError> {
        let block_number = row.number("block_number")?;
        let kind = i64::try_from(row.number("kind")?).unwrap_or_default();
        if kind == OPENED {
            self.opened = Some(Opening {
                transaction: row.hash("transaction_hash")?,
                block_number,
                block_hash: row.hash("block_hash")?,
                block_timestamp: row.maybe_number("block_timestamp")?.unwrap_or(0),
                confirmations: 0,
            });
        }
        if matches!(kind, OPENED | TOPPED_UP) {
            self.deposit = self.deposit.max(Some((row.amount("total")?, block_number)));
        }
        if matches!(kind, EXIT_CANCELLED | WITHDRAWN) {
            self.cancelled_at = self.cancelled_at.max(Some(block_number));
        }
        self.changes.push((block_number, change(row)?));
        Ok(())
    }
}
