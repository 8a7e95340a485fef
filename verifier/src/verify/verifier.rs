//! A verifier, as others ask it.

use std::sync::Arc;

use salt402_protocol::api::{
    AccountRequest, AccountView, AmbiguitiesResponse, CaptureRequest, CaptureResponse, ChannelView,
    CreditOfRequest, CreditView, DrawRequest, Drawn, IncidentsResponse, LeaseRequest, LeaseResponse,
    OpenDrawsRequest, OpenDrawsResponse, PaymentsResponse, QuoteRequest, QuoteResponse, Reservation,
    ReservationOutcome, ReserveRequest, StatusResponse, Verdict, VerifyRequest,
};
use salt402_protocol::{B256, ChainId, Problem, QuoteKeys};
use salt402_store::{IncidentFilter, Store, StoreError};
use tokio::sync::Semaphore;

use crate::incidents::replays::ReplayLog;
use crate::verify::account_limits::{AccountLimits, Accounts};
use crate::verify::claimant_lease::ClaimantLeases;
use crate::verify::inner::{Inner, VerifierChain};
use crate::verify::key_rates::KeyRates;
use crate::verify::policy::Policy;
use crate::verify::{decide, keys, quote, reports, reserve, upkeep};
use salt402_store::IndexChanges;

/// How many waiting requests look at the index again at once. A block may wake thousands, and new requests are answered
/// in between.
const RECHECKS: usize = 64;

/// The parts of a verifier.
pub struct VerifierOptions {
    /// The store of payments and claims.
    pub store: Store,
    /// The keys that authenticate quotes.
    pub keys: QuoteKeys,
    /// What is accepted on every chain.
    pub policy: Policy,
    /// The chains on which payments are verified.
    pub chains: Vec<VerifierChain>,
    /// How often payments of one account are granted.
    pub accounts: AccountLimits,
    /// How waiting requests are told that the index changed.
    pub changes: IndexChanges,
    /// The version told by `/v1/status`.
    pub version: String,
}

/// Decides whether requests were paid. It is cheap to clone, and all clones are the same one.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

impl Verifier {
    /// A verifier over a store.
    pub fn new(options: VerifierOptions) -> Self {
        let waiters = Semaphore::new(options.policy.max_waiting);
        let chains = options.chains.into_iter().map(|chain| (chain.policy.chain, chain)).collect();
        let policy = options.policy.with(options.store.origin());
        Self(Arc::new(Inner {
            replays: ReplayLog::new(options.store.clone()),
            store: options.store,
            keys: options.keys,
            accounts: Accounts::new(options.accounts),
            key_rates: KeyRates::default(),
            policy,
            chains,
            changes: options.changes,
            waiters,
            leases: ClaimantLeases::default(),
            rechecks: Semaphore::new(RECHECKS),
            version: options.version,
        }))
    }

    /// Gives a quote, unless its payment could not be seen, used up or granted on now.
    ///
    /// # Errors
    /// [`Code::NotReady`], [`Code::StorageUnavailable`] or [`Code::ChainHalted`], and what [`Verifier::quote`] refuses. Why
    /// exactly is told to the operator alone, as it may name nodes.
    ///
    /// [`Code::NotReady`]: salt402_protocol::Code::NotReady
    /// [`Code::StorageUnavailable`]: salt402_protocol::Code::StorageUnavailable
    /// [`Code::ChainHalted`]: salt402_protocol::Code::ChainHalted
    pub async fn offer(&self, request: &QuoteRequest) -> Result<QuoteResponse, Problem> {
        quote::offer(&self.0, request).await
    }

    /// Gives a quote. Nothing is stored: the quote comes back with the proof or is derived again.
    pub fn quote(&self, request: &QuoteRequest) -> Result<QuoteResponse, Problem> {
        quote::quote(&self.0, request)
    }

    /// Answers whether a request was paid. It waits if that may help, and claims if asked. A claim is on disk before
    /// this returns.
    pub async fn verify(&self, request: &VerifyRequest) -> Result<Verdict, Problem> {
        decide::verify(&self.0, request).await
    }

    /// Takes a claimant's name for an instance, or renews its lease. Of several processes under one name, only one has
    /// it.
    ///
    /// # Errors
    /// [`Code::IdentityInUse`](salt402_protocol::Code::IdentityInUse) while another instance has it.
    pub async fn lease(&self, request: &LeaseRequest) -> Result<LeaseResponse, Problem> {
        self.0.leases.lease(&self.0.store, request).await
    }

    /// Keeps a signed payment for a request, before anybody settles it. It is on disk when this returns.
    ///
    /// # Errors
    /// What [`Verifier::offer`] refuses, where something is to be written.
    pub async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, Problem> {
        reserve::reserve(&self.0, request).await
    }

    /// Writes down what became of a signed payment that was kept. It is on disk when this returns.
    ///
    /// # Errors
    /// [`Code::NotFound`](salt402_protocol::Code::NotFound) if it was not kept for this claimant.
    pub async fn conclude_reservation(&self, outcome: &ReservationOutcome) -> Result<(), Problem> {
        reserve::conclude(&self.0, outcome).await
    }

    /// Writes down what is charged of an authorization whose amount is a ceiling. It is on disk when this returns; the first amount
    /// stays.
    ///
    /// # Errors
    /// [`Code::NotFound`](salt402_protocol::Code::NotFound) if nothing is reserved for this claimant, and
    /// [`Code::InvalidRequest`](salt402_protocol::Code::InvalidRequest) for more than was authorized.
    pub async fn capture(&self, request: &CaptureRequest) -> Result<CaptureResponse, Problem> {
        reserve::capture(&self.0, request).await
    }

    /// What a payment bought, where that is a balance.
    ///
    /// # Errors
    /// [`Code::NotFound`](salt402_protocol::Code::NotFound) if it bought none of this claimant.
    pub async fn credit(&self, request: &CreditOfRequest) -> Result<CreditView, Problem> {
        keys::credit(&self.0, request).await
    }

    /// Reserves what a request may cost of the balance of a key. It is on disk when this returns.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn draw(&self, request: &DrawRequest) -> Result<Drawn, Problem> {
        keys::draw(&self.0, request).await
    }

    /// What is reserved of balances, and not charged yet.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn open_draws(&self, request: &OpenDrawsRequest) -> Result<OpenDrawsResponse, Problem> {
        keys::open_draws(&self.0, request).await
    }

    /// An account with a balance.
    ///
    /// # Errors
    /// [`Code::NotFound`](salt402_protocol::Code::NotFound) if the claimant has none such.
    pub async fn account(&self, request: &AccountRequest) -> Result<AccountView, Problem> {
        keys::account(&self.0, request).await
    }

    /// What the index knows of a transaction.
    pub async fn payments(&self, chain: ChainId, transaction: B256) -> Result<PaymentsResponse, Problem> {
        reports::payments(&self.0, chain, transaction).await
    }

    /// What the index knows of a channel, and what was accepted of it. For the contract whose vouchers are accepted.
    pub async fn channel(&self, chain: ChainId, id: B256) -> Result<ChannelView, Problem> {
        reports::channel(&self.0, chain, id).await
    }

    /// Incidents, the newest first, at most `limit`.
    pub async fn incidents(&self, filter: &IncidentFilter, limit: u32) -> Result<IncidentsResponse, Problem> {
        reports::incidents(&self.0, filter, limit).await
    }

    /// The ambiguities of a chain, the newest first, at most `limit`, of those with a number below `before`.
    pub async fn ambiguities(
        &self,
        chain: ChainId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<AmbiguitiesResponse, Problem> {
        reports::ambiguities(&self.0, chain, before, limit).await
    }

    /// How things are.
    pub async fn status(&self) -> Result<StatusResponse, Problem> {
        reports::status(&self.0).await
    }

    /// [`Verifier::status`] without anything that must be added up, so that it can be asked for often.
    pub async fn readiness(&self) -> Result<StatusResponse, Problem> {
        reports::readiness(&self.0).await
    }

    /// Counts what was granted before limits were set, and forgets the rest of limits that were removed, because
    /// without limits nothing is forgotten later. Call it at the start, before anything is verified.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        upkeep::prepare(&self.0).await
    }

    /// Forgets grants that are final, and sets the metrics of the others. Call it every few seconds.
    pub async fn upkeep(&self) -> Result<(), StoreError> {
        upkeep::upkeep(&self.0).await
    }
}
