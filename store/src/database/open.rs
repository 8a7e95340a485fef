//! Opening a store.

use crate::channels::totals_upgrade::AddTotals;
use crate::engine::Options;
use crate::rows::StoreError;
use crate::store::Store;

impl Store {
    /// Opens a database and brings it to this program's schema. The database and its directory are created if they are
    /// missing. Call it in a tokio runtime, where its two tasks then run: one writes, the other makes checkpoints.
    pub async fn open(options: Options) -> Result<Self, StoreError> {
        Self::open_with(options, &AddTotals).await
    }
}

#[cfg(test)]
mod tests {
    use salt402_protocol::{B256, ChainId};

    use crate::follow::batch::Batch;
    use crate::store::Store;

    #[test]
    fn every_answer_can_be_awaited_on_any_thread() {
        fn is_send<T: Send>(_: fn(&'static Store) -> T) {}
        const CHAIN: ChainId = ChainId::CITRATE;
        is_send(|store| store.apply(unreachable_batch()));
        is_send(|store| store.evict_outcomes(0, 0));
        is_send(|store| store.payments_in(CHAIN, B256::ZERO));
        is_send(|store| store.pin_chain(CHAIN, B256::ZERO));
        is_send(|store| store.note_head(CHAIN, 0));
        is_send(|store| store.outside_change());
        is_send(|store| store.clone().close());
        is_send(|store| store.incidents(true, 0));
        is_send(|store| store.counts());
    }

    fn unreachable_batch() -> Batch {
        unreachable!("the closures above are never called")
    }
}
