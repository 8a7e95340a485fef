//! The requests of a batch on their way: each is run as a part of the payment, so many at once.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream;
use salt402_protocol::{Amount, Code, PaymentId, Problem};
use salt402_store::{Store, StoredOutcome};

use crate::batch::request::BatchEntry;
use crate::batch::shares::shares;
use crate::circuit::Circuits;
use crate::execution::{Executions, Failed, Given, Purchase};
use crate::gateway::Inner;
use crate::inference::run;
use crate::upstream::failure::FailureClass;

/// What runs a batch.
pub(super) struct Runs {
    purchase: Purchase,
    store: Store,
    executions: Executions,
    circuits: Circuits,
    at_once: usize,
}

/// What became of a request of a batch.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Under which id its answer is kept.
    pub(super) id: PaymentId,
    /// What it is worth of what was paid, in base units.
    pub(super) worth: Amount,
    /// Since when its answer is kept, in milliseconds since 1970 UTC; or why there is none.
    pub(super) kept: Result<u64, Problem>,
}

impl Runs {
    pub(super) fn new(gateway: &Inner, purchase: Purchase) -> Self {
        let Inner { store, executions, circuits, batches, .. } = gateway;
        let (store, executions, circuits) = (store.clone(), executions.clone(), circuits.clone());
        Self { purchase, store, executions, circuits, at_once: batches.at_once }
    }

    /// Runs what has no answer yet, and waits for what runs already. The parts are in their order.
    pub(super) async fn all(self, entries: Vec<BatchEntry>) -> Result<Vec<Part>, Problem> {
        let payment = self.purchase.payment.payment_id;
        // Only a restored backup has one: nobody knows which parts were answered after it was taken, and to run them again could
        // serve twice.
        let closed = self.store.outcome(payment).await.map_err(|error| unread(&error))?.is_some();
        let prices: Vec<_> = entries.iter().map(|entry| entry.price).collect();
        let shares = shares(self.purchase.payment.amount, &prices);
        let this = Arc::new(self);
        let parts = (0u32..).zip(entries).zip(shares).map(|((place, entry), worth)| {
            let this = Arc::clone(&this);
            async move {
                let id = payment.part(place);
                let kept = if closed { this.known(id).await } else { this.one(place, entry, worth).await };
                (place, Part { id, worth, kept })
            }
        });
        let mut parts: Vec<_> = stream::iter(parts).buffer_unordered(this.at_once).collect().await;
        parts.sort_unstable_by_key(|(place, _)| *place);
        Ok(parts.into_iter().map(|(_, part)| part).collect())
    }

    /// One part.
    async fn one(&self, place: u32, entry: BatchEntry, worth: Amount) -> Result<u64, Problem> {
        if self.executions.is_ending() {
            let detail = "the server is about to stop; the payment stays good for this request: show the same proof again";
            return Err(Problem::new(Code::UpstreamFailed, detail).retry_after(1000));
        }
        let BatchEntry { sold, request, problem, .. } = entry;
        let purchase = self.purchase.part(place, worth, format!("request {place} of a batch: {sold}"));
        let payer = purchase.payment.payer;
        let given = match request {
            Some(request) => {
                let circuits = self.circuits.clone();
                self.executions.outcome(purchase, || run(request, circuits, payer, None)).await?
            }
            None => {
                let detail =
                    problem.map_or_else(|| "it is not sold any more".to_owned(), |problem| problem.detail);
                let owed = Failed { class: FailureClass::Permanent, detail, after: None };
                self.executions.outcome(purchase, || std::future::ready(Err(owed))).await?
            }
        };
        match given {
            Given::Whole(answer) => Ok(answer.kept_at_ms),
            Given::Stream(..) | Given::Several(_) => {
                Err(Problem::new(Code::Internal, "its answer has another form; show the same proof again"))
            }
        }
    }

    /// One part that is not run any more.
    async fn known(&self, id: PaymentId) -> Result<u64, Problem> {
        match self.store.outcome(id).await.map_err(|error| unread(&error))? {
            Some(StoredOutcome::Kept { kept_at_ms, .. }) => Ok(kept_at_ms),
            Some(StoredOutcome::Evicted) | None => Err(gone()),
        }
    }
}

pub(super) fn gone() -> Problem {
    Problem::new(Code::OutcomeGone, "it was run, its answer was given and is no longer kept")
}

pub(super) fn unread(error: &salt402_store::StoreError) -> Problem {
    tracing::error!(%error, "an outcome could not be read");
    Problem::new(Code::Internal, "the answer could not be read; show the same proof again").retry_after(1000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use salt402_protocol::api::PaymentView;
    use salt402_protocol::{Asset, B256, ChainId, U256};
    use salt402_store::{Options, Outcome};

    use super::*;
    use crate::catalogue::Catalogue;
    use crate::execution::ExecutionLimits;

    const PAYMENT: PaymentId = PaymentId(B256::repeat_byte(1));

    /// What runs a batch that was paid with 95.
    async fn runs(folder: &tempfile::TempDir) -> Runs {
        let store = Store::open(Options::new(folder.path().join("outcomes.db"))).await.unwrap();
        let limits = ExecutionLimits {
            runs: 3,
            leave_grace: Duration::ZERO,
            largest_kept: 1 << 16,
            longest: Duration::from_secs(60),
            least_rate: 0,
            folder: folder.path().to_owned(),
        };
        let payment = PaymentView {
            payment_id: PAYMENT,
            chain: ChainId::CITRATE,
            transaction: B256::repeat_byte(2),
            contract: Default::default(),
            reference: B256::ZERO,
            payer: Default::default(),
            payee: Default::default(),
            asset: Asset::Native,
            amount: Amount(U256::from(95)),
            block_number: 1,
            block_hash: B256::ZERO,
            block_timestamp: 1,
            confirmations: 1,
            canonical: true,
            claimed: true,
            refunded: None,
        };
        Runs {
            purchase: Purchase::new(Box::new(payment), false, "a batch".into()),
            executions: Executions::new(store.clone(), limits),
            store,
            circuits: Circuits::new(&Catalogue::default()),
            at_once: 2,
        }
    }

    /// Two requests of which nobody knows any more what they ask.
    fn gone_models() -> Vec<BatchEntry> {
        let entry = |price| BatchEntry {
            sold: "one answer".into(),
            price: Some(Amount(U256::from(price))),
            request: None,
            problem: Some(Problem::new(Code::UnknownModel, "it is gone")),
        };
        vec![entry(60), entry(40)]
    }

    fn codes(parts: &[Part]) -> Vec<Option<Code>> {
        parts.iter().map(|part| part.kept.as_ref().err().map(|problem| problem.code)).collect()
    }

    #[tokio::test]
    async fn a_batch_of_a_restored_backup_gives_what_is_kept_and_runs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let runs = runs(&folder).await;
        let store = runs.store.clone();
        let outcome = Outcome { status: 200, headers: Vec::new(), body: b"{}".to_vec() };
        store.put_outcome(PAYMENT.part(1), outcome).await.unwrap();
        store.put_outcome_unkept(PAYMENT).await.unwrap();
        let parts = runs.all(gone_models()).await.unwrap();
        assert_eq!(codes(&parts), [Some(Code::OutcomeGone), None]);
        assert!(store.unserved_parts(PAYMENT).await.unwrap().is_empty(), "nothing was begun");
    }

    #[tokio::test]
    async fn what_is_sold_no_more_is_owed_by_its_place_and_worth_and_what_is_answered_stays() {
        let folder = tempfile::tempdir().unwrap();
        let runs = runs(&folder).await;
        let store = runs.store.clone();
        let outcome = Outcome { status: 200, headers: Vec::new(), body: b"{}".to_vec() };
        store.put_outcome(PAYMENT.part(0), outcome).await.unwrap();
        let parts = runs.all(gone_models()).await.unwrap();
        assert_eq!(codes(&parts), [None, Some(Code::NotServed)]);
        let owed = store.unserved_parts(PAYMENT).await.unwrap();
        assert_eq!(owed.len(), 1);
        assert_eq!(owed[0].payment, PAYMENT.part(1));
        assert_eq!(owed[0].part.map(|part| (part.payment, part.place)), Some((PAYMENT, 1)));
        assert_eq!((owed[0].amount, owed[0].ended), (Amount(U256::from(38)), true));
    }

    #[tokio::test]
    async fn a_server_that_is_about_to_stop_begins_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let runs = runs(&folder).await;
        runs.executions.finish().await;
        let store = runs.store.clone();
        let parts = runs.all(gone_models()).await.unwrap();
        assert_eq!(codes(&parts), [Some(Code::UpstreamFailed); 2]);
        assert!(store.unserved_parts(PAYMENT).await.unwrap().is_empty());
    }
}
