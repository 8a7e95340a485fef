//! A look at a database from outside: by a command beside the service, or while no service runs.

use std::path::Path;

use salt402_protocol::ChainId;

use crate::chains::coverage::{self, Coverage};
use crate::chains::halt::{self, Halt};
use crate::channels::totals;
use crate::engine::{Columns as _, close, query, read_only};
use crate::rows::{StoreError, VoucherTotals};

/// The content of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Its chains.
    pub chains: Vec<ChainOverview>,
    /// Payments claimed so far, on all chains.
    pub claims: u64,
    /// Incidents that are open, on all chains.
    pub open_incidents: u64,
}

/// The content for one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainOverview {
    /// The chain.
    pub chain: ChainId,
    /// The newest block whose payments are stored.
    pub indexed: Option<u64>,
    /// The time of that block, in seconds since 1970 UTC, if its header is kept.
    pub indexed_timestamp: Option<u64>,
    /// The node's newest block when the indexer last said so.
    pub head: Option<u64>,
    /// When the indexer last wrote anything, in milliseconds since 1970 UTC.
    pub noted_at_ms: Option<u64>,
    /// Why the chain is not followed until the operator acts.
    pub halt: Option<Halt>,
    /// Payments on the chain.
    pub payments: u64,
    /// Incidents of it that are open.
    pub open_incidents: u64,
    /// Transactions of it that could not be read.
    pub unreadable: u64,
    /// How much was read of each contract that is followed.
    pub coverage: Vec<Coverage>,
    /// What was accepted by vouchers, by asset.
    pub vouchers: Vec<VoucherTotals>,
}

impl Overview {
    /// Reads an existing database, in use or not. It changes nothing: it does not create the database or change its
    /// schema.
    ///
    /// # Errors
    /// [`StoreError::ForeignDatabase`] if it is another program's. [`StoreError::Sql`] if its schema is older than this
    /// program's; the next start of the service changes that.
    pub async fn read(path: &Path) -> Result<Self, StoreError> {
        let mut connection = read_only(path).await?;
        let rows = query(
            "SELECT c.chain_id, c.cursor_number, c.head_number, c.noted_at_ms, c.payments, c.claims, c.unreadable,
                    h.kind AS halt_kind, h.depth AS halt_depth, h.halted_at_ms, h.keep_through, h.accepted_hash,
                    b.timestamp AS indexed_timestamp,
                    (SELECT COUNT(*) FROM incidents i
                     WHERE i.chain_id = c.chain_id AND i.resolved_at_ms IS NULL) AS open_incidents
             FROM chains c LEFT JOIN blocks b
                    ON b.chain_id = c.chain_id AND b.number = c.cursor_number AND b.canonical
             LEFT JOIN open_halts h ON h.chain_id = c.chain_id
             ORDER BY c.chain_id",
        )
        .fetch_all(&mut connection)?;
        let mut overview = Self { chains: Vec::with_capacity(rows.len()), claims: 0, open_incidents: 0 };
        for row in &rows {
            overview.claims += row.number("claims")?;
            let open_incidents = row.number("open_incidents")?;
            overview.open_incidents += open_incidents;
            overview.chains.push(ChainOverview {
                chain: row.chain("chain_id")?,
                indexed: row.maybe_number("cursor_number")?,
                indexed_timestamp: row.maybe_number("indexed_timestamp")?,
                head: row.maybe_number("head_number")?,
                noted_at_ms: row.maybe_number("noted_at_ms")?,
                halt: halt::of(row)?,
                payments: row.number("payments")?,
                open_incidents,
                unreadable: row.number("unreadable")?,
                coverage: coverage::of_chain(&mut connection, row.chain("chain_id")?)?,
                vouchers: totals::of_chain(&mut connection, row.chain("chain_id")?)?,
            });
        }
        close(connection);
        Ok(overview)
    }
}
