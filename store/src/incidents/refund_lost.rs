//! Refunds that were sent from here and were in a block, and are on the chain no more: their payers have no money back.
//!
//! Such a refund is open again until it is back, or can never be. Nobody has to run a command to learn of it.

use salt402_protocol::{Address, Amount, B256, ChainId, PaymentId};

use crate::channels::events::GIVEN_BACK;
use crate::engine::{Columns as _, SyncConnection, bound, chain_id, clock, params};
use crate::incidents::incident::{self, IncidentKind, NewIncident};
use crate::incidents::outbox::{self, NoticeEvent};
use crate::rows::{Placed, StoreError};

/// Whether the order `o` is on the chain, as a refund of a payment or of a channel. `?4` is the kind of a channel's event.
macro_rules! on_chain {
    () => {
        "(EXISTS (SELECT 1 FROM refunds g
                  WHERE g.chain_id = o.chain_id AND g.reference = o.reference AND g.payer = o.payer AND g.payee = o.payee
                    AND g.asset = o.asset AND g.transaction_hash = o.transaction_hash AND g.canonical)
          OR EXISTS (SELECT 1 FROM channel_events e INDEXED BY channel_events_of
                     WHERE e.chain_id = o.chain_id AND e.contract = o.contract AND e.channel = o.reference AND e.kind = ?4
                       AND e.transaction_hash = o.transaction_hash AND e.canonical))"
    };
}

const LOST: &str = concat!(
    "SELECT o.transaction_hash, o.contract, o.reference, o.payer, o.amount, o.mined_in, o.of_channel
     FROM refund_orders o INDEXED BY refund_orders_mined
     WHERE o.chain_id = ?1 AND o.state = 'mined' AND o.mined_in > ?2 AND o.mined_in <= ?3 AND NOT ",
    on_chain!(),
    " AND NOT EXISTS (SELECT 1 FROM incidents i
                      WHERE i.chain_id = o.chain_id AND i.payment_id = o.transaction_hash AND i.kind = ?5
                        AND i.resolved_at_ms IS NULL)
       AND NOT EXISTS (SELECT 1 FROM incidents i
                       WHERE i.chain_id = o.chain_id AND i.payment_id = o.transaction_hash AND i.settled IS NOT NULL)"
);

const BACK: &str = concat!(
    "UPDATE incidents SET resolved_at_ms = ?2, changed_at_ms = ?2
     WHERE chain_id = ?1 AND kind = ?3 AND kind = 'refund_lost' AND resolved_at_ms IS NULL
       AND EXISTS (SELECT 1 FROM refund_orders o
                   WHERE o.transaction_hash = incidents.transaction_hash AND o.chain_id = incidents.chain_id
                     AND (o.state = 'void' OR ",
    on_chain!(),
    "))
     RETURNING id"
);

/// Opens and resolves incidents in the step that has read the blocks above `above` up to `cursor`. `placed` are transactions of
/// it that may be refunds, with their blocks.
pub(crate) fn follow(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    placed: impl Iterator<Item = (B256, u64)>,
    above: Option<u64>,
    cursor: u64,
) -> Result<(), StoreError> {
    // It may be in another block than it was.
    let mut moved = connection.prepare_cached(
        "UPDATE refund_orders SET mined_in = ?3 WHERE transaction_hash = ?2 AND chain_id = ?1 AND mined_in IS NOT ?3",
    )?;
    for (transaction, number) in placed {
        moved.execute(params![chain_id(chain), transaction.as_slice(), bound(number)])?;
    }
    if let Some(above) = above {
        open(connection, chain, above, cursor)?;
    }
    resolve(connection, chain)
}

/// After the operator's command wrote down how a refund stands: the index may have read past its block.
pub(crate) fn noted(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    mined_in: Option<u64>,
) -> Result<(), StoreError> {
    if let Some(mined_in) = mined_in {
        let cursor: Option<i64> = connection
            .prepare_cached("SELECT cursor_number FROM chains WHERE chain_id = ?1")?
            .query_row([chain_id(chain)], |row| row.get(0))?;
        let cursor = cursor.and_then(|cursor| u64::try_from(cursor).ok());
        if let Some(cursor) = cursor.filter(|cursor| *cursor >= mined_in) {
            open(connection, chain, mined_in.saturating_sub(1), cursor)?;
        }
    }
    resolve(connection, chain)
}

fn open(connection: &SyncConnection<'_>, chain: ChainId, above: u64, cursor: u64) -> Result<(), StoreError> {
    let kind = IncidentKind::RefundLost;
    let mut lost: Vec<(B256, String)> = Vec::new();
    {
        let mut select = connection.prepare_cached(LOST)?;
        let mut rows =
            select.query(params![chain_id(chain), bound(above), bound(cursor), GIVEN_BACK, kind.name()])?;
        while let Some(row) = rows.next()? {
            let (reference, amount, payer): (B256, Amount, Address) =
                (row.hash("reference")?, row.amount("amount")?, row.address("payer")?);
            let command = if row.flag("of_channel")? {
                format!("salt402 channel refund {reference} {amount}")
            } else {
                format!("salt402 refund {reference}")
            };
            let detail = format!(
                "{amount} base units were given back to {payer} in block {}, which is no longer on the chain, or which the \
                 index does not know with it: the payer has no money back. `{command}` sends the same transaction again",
                row.number("mined_in")?,
            );
            lost.push((row.hash("transaction_hash")?, detail));
        }
    }
    for (transaction, detail) in &lost {
        let new = NewIncident {
            kind,
            chain,
            payment: PaymentId(*transaction),
            transaction: *transaction,
            occurrences: 1,
            detail,
        };
        incident::record(connection, &new)?;
    }
    Ok(())
}

/// Those that are on the chain again, or never will be.
fn resolve(connection: &SyncConnection<'_>, chain: ChainId) -> Result<(), StoreError> {
    let now = clock::now_ms();
    let mut back: Vec<i64> = Vec::new();
    {
        let mut update = connection.prepare_cached(BACK)?;
        let mut rows =
            update.query(params![chain_id(chain), now, IncidentKind::RefundLost.name(), GIVEN_BACK])?;
        while let Some(row) = rows.next()? {
            back.push(row.get(0)?);
        }
    }
    for id in back {
        outbox::write(connection, id, NoticeEvent::Resolved, now)?;
    }
    Ok(())
}

/// The transactions of what a step places, with the heights of their blocks.
pub(crate) fn placements<T>(
    rows: &[Placed<T>],
    transaction: impl Fn(&T) -> Option<B256>,
) -> impl Iterator<Item = (B256, u64)> {
    rows.iter().filter_map(move |placed| Some((transaction(&placed.what)?, placed.block_number)))
}
