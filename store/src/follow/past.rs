//! The past of a contract that was added later. Each stretch is stored together with the fact that it was read.

use salt402_protocol::ChainId;

use crate::chains::coverage::{SourceKey, cover, fold};
use crate::chains::{canonical, chain, halt};
use crate::engine::{Changes, Forget, Step, SyncConnection, bound, chain_id, integer, params, send_step};
use crate::follow::batch::{Applied, check_payments};
use crate::follow::extras::Extras;
use crate::follow::insert::insert_payments;
use crate::follow::merged;
use crate::follow::undecoded::{UndecodedLog, insert_undecoded};
use crate::grants::exposure;
use crate::incidents::{channel_risk, orphaned_grant};
use crate::payments::query;
use crate::rows::{Cursor, PlacedPayment, StoreError, Stretch};
use crate::store::Store;

/// A stretch of the past of one contract, to be stored together with the fact that it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// The chain.
    pub chain: ChainId,
    /// The contract.
    pub source: SourceKey,
    /// What was read.
    pub stretch: Stretch,
    /// A block of the index at or above the stretch. It was on the node's chain after the stretch was asked for and
    /// before its last answers were compared. If it has left the chain, nothing is stored.
    pub anchor: Cursor,
    /// The payments of the contract in these heights.
    pub payments: Vec<PlacedPayment>,
    /// Everything else of the contract at these heights.
    pub extras: Extras,
    /// Its logs that do not decode.
    pub undecoded: Vec<UndecodedLog>,
}

impl Store {
    /// Stores a stretch of a contract's past: its payments, and that it was read. The cursor stays where it is.
    ///
    /// # Errors
    /// [`StoreError::CursorMoved`] if the anchor has left the chain meanwhile, because the answers may be of another
    /// chain.
    pub async fn apply_past(&self, past: Past) -> Result<Applied, StoreError> {
        past.check()?;
        send_step(self.jobs(), past).await
    }
}

impl Past {
    fn check(&self) -> Result<(), StoreError> {
        let bad = |reason: String| Err(StoreError::BadBatch { chain: self.chain, reason });
        let Stretch { from, to } = self.stretch;
        integer("a block's height", to)?;
        if from > to || to > self.anchor.number {
            return bad(format!("blocks {from} to {to} are no past below block {}", self.anchor.number));
        }
        for placed in &self.payments {
            if !(from..=to).contains(&placed.block_number) {
                return bad(format!("payment {} is of another height", placed.payment.id));
            }
        }
        if let Some((number, _)) = self.extras.blocks().find(|(number, _)| !(from..=to).contains(number)) {
            return bad(format!("an event is of block {number}"));
        }
        check_payments(self.chain, &self.payments)
    }
}

impl Step for Past {
    type Output = Applied;

    const KIND: &'static str = "past";

    fn write(&self, connection: &SyncConnection<'_>) -> Result<Applied, StoreError> {
        let chain = self.chain;
        halt::permit(connection, chain, None)?;
        if !canonical::is_canonical(connection, chain, self.anchor.number, self.anchor.hash)? {
            let stored = chain::cursor(connection, chain)?;
            return Err(StoreError::CursorMoved { chain, expected: Some(self.anchor), stored });
        }
        canonical::check_blocks(connection, chain, self.payments.iter())?;
        canonical::check_events(connection, chain, self.extras.blocks().collect())?;
        let own = Some(self.source.contract);
        let released = merged::release(connection, chain, &self.payments, &self.extras, own)?;
        self.extras.insert(connection, chain)?;
        let doubles = self.extras.settle(connection, chain)?;
        let fresh = self.payments.iter().filter(|placed| !doubles.contains(&placed.payment.id)).collect();
        let inserted = insert_payments(connection, chain, fresh)?;
        insert_undecoded(connection, chain, &self.undecoded)?;
        cover(connection, chain, &self.source, self.stretch)?;
        fold(connection, chain)?;
        connection
            .prepare_cached("UPDATE chains SET payments = payments + ?2 - ?3 WHERE chain_id = ?1")?
            .execute(params![chain_id(chain), bound(inserted), bound(released.payments)])?;
        let incidents = match released.above {
            Some(height) => orphaned_grant::open_orphaned(connection, chain, height)?,
            None => 0,
        };
        let came = self.payments.iter().map(|placed| placed.payment.id).collect();
        if inserted > 0 {
            orphaned_grant::resolve_returned(connection, chain, &came)?;
        }
        if inserted > 0 || released.above.is_some() {
            exposure::follow(connection, chain, &came, released.above)?;
        }
        channel_risk::follow(connection, chain, &self.extras.channels, None)?;
        Ok(Applied { inserted, orphaned: released.payments, incidents, ..Applied::default() })
    }

    fn changes(&self, applied: &Applied, _connection: &SyncConnection<'_>) -> Changes {
        let forget = match (applied.orphaned, self.extras.refunds.is_empty()) {
            (0, true) => Forget::These(query::keys(&self.payments)),
            _ => Forget::Everything,
        };
        Changes { forget, ..Changes::default() }
    }
}
