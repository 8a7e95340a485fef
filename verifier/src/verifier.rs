//! Questions in, verdicts and claims out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::B256;
use salt402_indexer::{Look, Missing};
use salt402_protocol::api::{
    AmbiguitiesResponse, AmbiguityView, ChainStatus, ChannelView, IncidentsResponse, PaymentView,
    PaymentsResponse, QuoteRequest, QuoteResponse, StatusResponse, UnreadBlocks, Verdict, VerifyRequest,
    VouchersStatus,
};
use salt402_protocol::{Amount, Asset, ChainId, Code, Problem, Proof, QuoteKeys, Terms};
use salt402_store::{
    AmbiguityRow, ChannelAccount, IncidentFilter, IndexedPayment, Store, StoreError, VoucherTotals,
};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::grant::pending;
use crate::incidents::ReplayLog;
use crate::judge;
use crate::limits::{AccountLimits, Accounts};
use crate::{ChainPolicy, Policy, Waker, Watch};

/// Longest name of a claimant, in characters.
const CLAIMANT_LENGTH: usize = 128;
/// When to ask again about a chain that is halted, in milliseconds.
const HALTED_RETRY_MS: u64 = 30_000;

/// What a verifier is made of.
pub struct VerifierOptions {
    /// Where payments and claims are.
    pub store: Store,
    /// What authenticates quotes.
    pub keys: QuoteKeys,
    /// What is accepted everywhere.
    pub policy: Policy,
    /// The chains that are verified on.
    pub chains: Vec<VerifierChain>,
    /// How often payments of one account are granted.
    pub accounts: AccountLimits,
    /// What wakes requests that wait.
    pub waker: Waker,
    /// The version told by `/v1/status`.
    pub version: String,
}

/// A chain that is verified on.
pub struct VerifierChain {
    /// What is accepted on it.
    pub policy: ChainPolicy,
    /// How its index is doing.
    pub watch: Watch,
    /// Who looks for a payment that the index does not know.
    pub missing: Missing,
}

/// Decides whether requests were paid. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    store: Store,
    keys: QuoteKeys,
    accounts: Accounts,
    policy: Policy,
    chains: BTreeMap<ChainId, VerifierChain>,
    waker: Waker,
    /// One permit for each request that may wait.
    seats: Semaphore,
    replays: ReplayLog,
    version: String,
}

impl Verifier {
    /// A verifier over a store.
    pub fn new(options: VerifierOptions) -> Self {
        let seats = Semaphore::new(options.policy.max_waiting);
        let chains = options.chains.into_iter().map(|chain| (chain.policy.chain, chain)).collect();
        Self(Arc::new(Inner {
            replays: ReplayLog::new(options.store.clone()),
            store: options.store,
            keys: options.keys,
            accounts: Accounts::new(options.accounts),
            policy: options.policy,
            chains,
            waker: options.waker,
            seats,
            version: options.version,
        }))
    }

    /// Gives a quote, unless what is paid for it could not be granted on: a chain that is halted, or a moment before
    /// which payments are refused because the server was restored.
    pub async fn offer(&self, request: &QuoteRequest) -> Result<QuoteResponse, Problem> {
        let chain = self.chain(request.chain)?;
        if let Some(why) = chain.watch.halted(&self.0.store, request.chain).await.map_err(internal)? {
            return Err(Problem::new(Code::ChainHalted, format!("nothing is to be paid now: {why}"))
                .retry_after(HALTED_RETRY_MS));
        }
        let wait = self.0.store.refuse_before().saturating_sub(now_ms() / 1000);
        if wait > 0 {
            let detail = format!("the server was restored from a backup and takes payments in {wait} s");
            return Err(Problem::new(Code::NotReady, detail).retry_after(wait * 1000));
        }
        self.quote(request)
    }

    /// Gives a quote. Nothing is stored: the quote comes back with the proof, or is derived again.
    pub fn quote(&self, request: &QuoteRequest) -> Result<QuoteResponse, Problem> {
        let chain = &self.chain(request.chain)?.policy;
        if request.amount.is_zero() {
            return Err(Problem::new(
                Code::InvalidRequest,
                "amount: a quote over nothing cannot be paid; ask for more than 0",
            ));
        }
        if request.payee.is_zero() {
            return Err(Problem::new(Code::InvalidRequest, "payee: the zero address cannot be paid"));
        }
        chain.accepts(request.asset, request.payee)?;
        let terms = Terms {
            chain: request.chain,
            contract: chain.contract,
            payee: request.payee,
            asset: request.asset,
            amount: request.amount,
            request: request.request_digest,
        };
        let clock = self.0.policy.clock;
        let quote = if request.secret || !self.0.policy.bare_hashes {
            clock.random(terms, now_ms() / 1000, rand::random())
        } else {
            clock.derived(terms, now_ms() / 1000)
        };
        let id = self.0.keys.seal(&quote);
        let (symbol, decimals) = match request.asset {
            Asset::Native => (chain.symbol.clone(), chain.decimals),
            // What a token calls itself is for people only, and is not worth a call to the chain.
            Asset::Token(address) => (address.to_string(), 0),
        };
        metrics::counter!("salt402_quotes_total").increment(1);
        Ok(QuoteResponse {
            reference: id.reference(),
            quote_id: id,
            payment_contract: chain.contract,
            channels_contract: chain.channels,
            network: chain.network.clone(),
            symbol,
            decimals,
            issued_at: quote.issued_at,
            expires_at: quote.expires_at,
        })
    }

    /// Answers whether a request was paid, waits where that may help, and claims where asked. A claim is on disk before
    /// this returns.
    pub async fn verify(&self, request: &VerifyRequest) -> Result<Verdict, Problem> {
        let started = Instant::now();
        let verdict = match self.decide(request, started).await {
            Ok(verdict) => self.tell_unread(request, verdict).await,
            Err(problem) => Err(problem),
        };
        let verdict = verdict.map(|verdict| match verdict {
            Verdict::Pending { code, detail, .. } if !code.is_pending() => Verdict::Rejected { code, detail },
            other => other,
        });
        let outcome = match &verdict {
            Ok(Verdict::Accepted { .. }) => "accepted",
            Ok(Verdict::Pending { code, .. } | Verdict::Rejected { code, .. }) => code.as_str(),
            Err(problem) => problem.code.as_str(),
        };
        if outcome == Code::AlreadyClaimed.as_str()
            && let Some(transaction) = self.shown(request).await
        {
            self.0.replays.note(request.requirement.chain, transaction);
        }
        metrics::counter!("salt402_verdicts_total", "outcome" => outcome).increment(1);
        metrics::histogram!("salt402_verify_seconds").record(started.elapsed().as_secs_f64());
        verdict
    }

    async fn decide(&self, request: &VerifyRequest, started: Instant) -> Result<Verdict, Problem> {
        let chain = self.chain(request.requirement.chain)?;
        if request.requirement.amount.is_zero() {
            return Err(Problem::new(
                Code::InvalidRequest,
                "requirement.amount: what costs nothing needs no proof",
            ));
        }
        if request.usage.is_some_and(|usage| usage.most == 0) {
            let detail = "usage.most: a payment pays for at least 1 request";
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        if request.claimant.chars().count() > CLAIMANT_LENGTH {
            return Err(Problem::new(
                Code::InvalidRequest,
                format!("claimant: at most {CLAIMANT_LENGTH} characters"),
            ));
        }
        chain.policy.accepts(request.requirement.asset, request.requirement.payee)?;
        let quote = match &request.quote_id {
            None if request.usage.is_some() => return Ok(quote_required()),
            None => None,
            Some(id) => match self.0.keys.open(id) {
                Ok(quote) => Some(quote),
                Err(error) => {
                    return Ok(Verdict::Rejected { code: Code::QuoteForged, detail: error.to_string() });
                }
            },
        };
        let deadline = started + Duration::from_millis(request.wait_ms).min(self.0.policy.max_wait);
        let mut progress = self.0.waker.subscribe();
        let mut seat = None;
        loop {
            // Seen before the index is read, so that a commit in between wakes us at once.
            progress.borrow_and_update();
            let mut verdict = self.attempt(request, quote.as_ref(), &chain.policy).await?;
            if request.again_only {
                return Ok(verdict);
            }
            if let Verdict::Pending {
                code: Code::PaymentNotSeen | Code::PaymentOrphaned | Code::QuoteExpired,
                ..
            } = verdict
            {
                verdict = match self.look(request, chain).await {
                    Look::Found => self.attempt(request, quote.as_ref(), &chain.policy).await?,
                    Look::Reverted { confirmations } => {
                        paid_nothing(request, &chain.policy, confirmations, reverted())
                    }
                    Look::NoPayment { confirmations } => {
                        paid_nothing(request, &chain.policy, confirmations, no_payment(&chain.policy))
                    }
                    Look::Ambiguous => return Err(ambiguous()),
                    Look::Nothing => verdict,
                };
            }
            if let Verdict::Accepted { payment, claim: None } = &verdict {
                verdict = match self.withheld(request, chain, payment).await? {
                    Some(withheld) => withheld,
                    None => return Ok(verdict),
                };
            }
            // What is halted gets no deeper.
            if matches!(verdict, Verdict::Pending { code: Code::AwaitingConfirmations, .. })
                && let Some(why) =
                    chain.watch.halted(&self.0.store, chain.policy.chain).await.map_err(internal)?
            {
                return Ok(chain_halted(&why));
            }
            // A halt lasts until somebody acts: nobody waits for that.
            if matches!(verdict, Verdict::Pending { code: Code::ChainHalted, .. }) {
                return Ok(verdict);
            }
            if !matches!(verdict, Verdict::Pending { .. }) || Instant::now() >= deadline {
                return Ok(verdict);
            }
            if seat.is_none() {
                match self.0.seats.try_acquire() {
                    Ok(permit) => seat = Some(permit),
                    Err(_) => return Ok(verdict),
                }
            }
            tokio::select! {
                changed = progress.changed() => if changed.is_err() { return Ok(verdict) },
                () = tokio::time::sleep_until(deadline) => return Ok(verdict),
            }
        }
    }

    /// Says of what was not found that it may lie in blocks that were not read yet. Then the end of a quote is no refusal
    /// either: the payment may have been made within it.
    async fn tell_unread(&self, request: &VerifyRequest, verdict: Verdict) -> Result<Verdict, Problem> {
        let (code, detail, retry_after_ms) = match verdict {
            Verdict::Pending {
                code: code @ (Code::PaymentNotSeen | Code::ChannelNotSeen | Code::QuoteExpired),
                detail,
                retry_after_ms,
            } => (code, detail, retry_after_ms),
            other => return Ok(other),
        };
        let chain = self.chain(request.requirement.chain)?;
        let unread = chain.watch.unread(&self.0.store, chain.policy.chain).await.map_err(internal)?;
        let Some((from, to)) = extent(&unread) else {
            return Ok(Verdict::Pending { code, detail, retry_after_ms });
        };
        let code = if code == Code::QuoteExpired { Code::PaymentNotSeen } else { code };
        let detail = format!(
            "{detail}; the past of a contract that was added is still being read, of blocks {from} to {to}, and it may \
             be there: do not pay again before that is read"
        );
        Ok(Verdict::Pending { code, detail, retry_after_ms })
    }

    /// Why a payment that pays for a request is not to be granted on all the same, where nobody asked for a claim, which
    /// the store would refuse.
    async fn withheld(
        &self,
        request: &VerifyRequest,
        chain: &VerifierChain,
        payment: &PaymentView,
    ) -> Result<Option<Verdict>, Problem> {
        if payment.claimed && request.usage.is_none() {
            return Ok(None);
        }
        if payment.block_timestamp < self.0.store.refuse_before() {
            return Ok(Some(before_restore()));
        }
        let halted = chain.watch.halted(&self.0.store, chain.policy.chain).await.map_err(internal)?;
        Ok(halted.map(|why| chain_halted(&why)))
    }

    /// Looks for a payment that the index does not know. A node that cannot be asked has shown nothing.
    async fn look(&self, request: &VerifyRequest, chain: &VerifierChain) -> Look {
        let Some(transaction) = self.shown(request).await else { return Look::Nothing };
        let look = chain.missing.look(transaction).await.unwrap_or_else(|error| {
            tracing::debug!(chain = %chain.policy.chain, %error, "a missing payment could not be looked for");
            Look::Nothing
        });
        match (&request.proof, look) {
            // Of the transaction that once used a nonce up. Another may have done so since, whatever became of that one.
            (Proof::Nonce(_), look) if look != Look::Found => Look::Nothing,
            (_, look) => look,
        }
    }

    /// The transaction that is shown: of a nonce, the one that used it up, or did before its block left the chain.
    async fn shown(&self, request: &VerifyRequest) -> Option<B256> {
        let Proof::Nonce(nonce) = &request.proof else { return request.proof.hash() };
        let chain = request.requirement.chain;
        let known = self.0.store.signed_payments(chain, nonce.payment_id(chain)).await.ok()?;
        let on_chain = known.iter().find(|payment| payment.canonical);
        on_chain.or(known.last()).map(|payment| payment.placed.payment.transaction)
    }

    /// The policies of the chains.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &ChainPolicy> {
        self.0.chains.values().map(|chain| &chain.policy)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.0.policy
    }

    pub(crate) fn keys(&self) -> &QuoteKeys {
        &self.0.keys
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// What the index knows of a transaction.
    pub async fn payments(&self, chain: ChainId, transaction: B256) -> Result<PaymentsResponse, Problem> {
        self.chain(chain)?;
        let payments = self.0.store.payments_in(chain, transaction).await.map_err(internal)?;
        Ok(PaymentsResponse { payments: payments.iter().map(view).collect() })
    }

    /// What the index knows of a channel, and what was accepted of it; of the contract whose vouchers are taken.
    pub async fn channel(&self, chain: ChainId, id: B256) -> Result<ChannelView, Problem> {
        let policy = &self.chain(chain)?.policy;
        let Some(contract) = policy.channels else {
            let detail = format!("no vouchers are taken on {chain}, so none of its channels is told");
            return Err(Problem::new(Code::NotFound, detail));
        };
        let known = self.0.store.channel_account(chain, contract, id).await.map_err(internal)?;
        let unknown = || {
            Problem::new(Code::NotFound, format!("no channel {id} of {contract} has been seen on {chain}"))
        };
        known.map(|known| channel_view(chain, &known)).ok_or_else(unknown)
    }

    /// What an operator must know of, newest first, at most `limit`.
    pub async fn incidents(&self, filter: &IncidentFilter, limit: u32) -> Result<IncidentsResponse, Problem> {
        let incidents = self.0.store.incidents_where(filter, limit).await.map_err(internal)?;
        let full = incidents.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let next_cursor = incidents.last().filter(|_| full).map(|incident| incident.id.to_string());
        Ok(IncidentsResponse {
            incidents: incidents.into_iter().map(crate::incidents::view).collect(),
            next_cursor,
        })
    }

    /// What of a chain may be a payment and is counted for nobody, newest first, at most `limit`, of those whose number is
    /// below `before`.
    pub async fn ambiguities(
        &self,
        chain: ChainId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<AmbiguitiesResponse, Problem> {
        self.chain(chain)?;
        let rows = self.0.store.ambiguities(chain, before, limit).await.map_err(internal)?;
        let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let next_cursor = rows.last().filter(|_| full).map(|row| row.id.to_string());
        let view = |row: AmbiguityRow| AmbiguityView {
            id: row.id,
            chain,
            transaction: row.transaction,
            contract: row.contract,
            reason: row.reason,
            block_number: row.block_number,
            block_hash: row.block_hash,
        };
        Ok(AmbiguitiesResponse { ambiguities: rows.into_iter().map(view).collect(), next_cursor })
    }

    /// How things are.
    pub async fn status(&self) -> Result<StatusResponse, Problem> {
        let mut status = self.standing().await?;
        for chain in &mut status.chains {
            let totals = self.0.store.voucher_totals(chain.chain).await.map_err(internal)?;
            chain.vouchers = totals.iter().map(accepted).collect();
        }
        Ok(status)
    }

    /// [`Verifier::status`] without what has to be added up: asked for as often as one likes.
    pub async fn standing(&self) -> Result<StatusResponse, Problem> {
        let counts = self.0.store.counts().await.map_err(internal)?;
        let mut chains = Vec::with_capacity(self.0.chains.len());
        for VerifierChain { policy, watch, missing } in self.0.chains.values() {
            let seen = watch.look(&self.0.store, policy).await.map_err(internal)?;
            chains.push(ChainStatus {
                chain: policy.chain,
                network: policy.network.clone(),
                payment_contract: policy.contract,
                indexed: seen.indexed,
                head: seen.head,
                reorganizations: seen.reorganizations,
                phase: seen.phase.map(ToOwned::to_owned),
                payments: counts.payments.get(&policy.chain).copied().unwrap_or(0),
                ready: seen.complaint.is_none(),
                reason: seen.complaint,
                unread: watch.unread(&self.0.store, policy.chain).await.map_err(internal)?,
                vouchers: Vec::new(),
                nodes: missing.nodes(),
            });
        }
        let waiting = self.0.policy.max_waiting.saturating_sub(self.0.seats.available_permits());
        Ok(StatusResponse {
            version: self.0.version.clone(),
            ready: chains.iter().all(|chain| chain.ready),
            chains,
            open_incidents: counts.open_incidents,
            claims: counts.claims,
            waiting: waiting as u64,
        })
    }

    fn chain(&self, chain: ChainId) -> Result<&VerifierChain, Problem> {
        self.0.chains.get(&chain).ok_or_else(|| {
            let known: Vec<_> = self.0.chains.keys().map(ToString::to_string).collect();
            Problem::new(
                Code::UnknownChain,
                format!("{chain} is not followed here; known: {}", known.join(", ")),
            )
        })
    }
}

/// From the lowest to the highest of blocks that were not read yet; `None` where all were.
fn extent(unread: &[UnreadBlocks]) -> Option<(u64, u64)> {
    let from = unread.iter().map(|blocks| blocks.from_block).min()?;
    let to = unread.iter().map(|blocks| blocks.to_block).max()?;
    Some((from, to))
}

fn channel_view(chain: ChainId, known: &ChannelAccount) -> ChannelView {
    let state = known.state.as_ref();
    let descriptor = state.and_then(|state| state.descriptor);
    ChannelView {
        chain,
        contract: known.contract,
        id: known.id,
        on_chain: descriptor.is_some(),
        payer: descriptor.map(|known| known.payer),
        payee: descriptor.map(|known| known.payee),
        asset: descriptor.map(|known| known.asset),
        signer: descriptor.and_then(|known| known.signer),
        exit_delay: descriptor.map(|known| known.exit_delay),
        deposit: state.map_or(Amount::ZERO, |state| state.deposit),
        claimed: state.map_or(Amount::ZERO, |state| state.claimed),
        exit_at: state.and_then(|state| state.exit_at),
        closed: state.is_some_and(|state| state.closed),
        highest: known.account.ceiling,
        spent: known.account.spent,
        unclaimed: known.unclaimed(),
    }
}

fn accepted(totals: &VoucherTotals) -> VouchersStatus {
    let VoucherTotals { asset, unclaimed, at_risk, channels_at_risk } = *totals;
    VouchersStatus { asset, unclaimed, at_risk, channels_at_risk }
}

pub(crate) fn view(indexed: &IndexedPayment) -> PaymentView {
    let placed = &indexed.placed;
    let payment = &placed.payment;
    PaymentView {
        payment_id: payment.id,
        chain: payment.chain,
        transaction: payment.transaction,
        contract: payment.contract,
        reference: payment.reference,
        payer: payment.payer,
        payee: payment.payee,
        asset: payment.asset,
        amount: payment.amount,
        block_number: placed.block_number,
        block_hash: placed.block_hash,
        block_timestamp: placed.block_timestamp,
        confirmations: indexed.confirmations,
        canonical: indexed.canonical,
        claimed: indexed.claim.is_some(),
    }
}

fn quote_required() -> Verdict {
    let detail =
        "a payment for several requests is shown together with its quote id: send the quoteId of the 402 in \
                  the header X-Payment-Quote"
            .into();
    Verdict::Rejected { code: Code::QuoteRequired, detail }
}

/// A receipt says that nothing was paid. Until its block is as deep as one that pays must be, that is no refusal: on
/// another fork, the transaction may yet pay.
fn paid_nothing(
    request: &VerifyRequest,
    chain: &ChainPolicy,
    confirmations: u64,
    refusal: Verdict,
) -> Verdict {
    let needed = judge::confirmations_of_nothing(&request.requirement, chain);
    match refusal {
        Verdict::Rejected { detail, .. } if confirmations < needed => {
            let detail = format!(
                "so far, {detail}; that counts with {needed} confirmations and has {confirmations}: do not pay again \
                 before"
            );
            pending(chain, needed - confirmations, Code::AwaitingConfirmations, detail)
        }
        refusal => refusal,
    }
}

pub(crate) fn chain_halted(why: &str) -> Verdict {
    Verdict::Pending {
        code: Code::ChainHalted,
        detail: format!(
            "do not pay again, show the same proof later: nothing is granted on this chain now: {why}"
        ),
        retry_after_ms: HALTED_RETRY_MS,
    }
}

pub(crate) fn before_restore() -> Verdict {
    let detail = "the server was restored from a backup after the payment was mined, and whether the payment was used \
                  before then is not known: its operator has the record and can refund it"
        .into();
    Verdict::Rejected { code: Code::PaymentBeforeRestore, detail }
}

fn reverted() -> Verdict {
    let detail = "the transaction is in a block and was reverted: it paid nothing".into();
    Verdict::Rejected { code: Code::TransactionReverted, detail }
}

fn ambiguous() -> Problem {
    Problem::new(
        Code::AmbiguousPayment,
        "the transaction may have paid, and its events can be read in two ways: do not pay again, ask the operator, who \
         finds it in the log",
    )
}

pub(crate) fn ambiguous_nonce() -> Problem {
    Problem::new(
        Code::AmbiguousPayment,
        "two transactions say that they used this nonce up, which the chain should take once: do not pay again; show the \
         hash of the transaction that paid, or ask the operator",
    )
}

fn no_payment(chain: &ChainPolicy) -> Verdict {
    let others: String = chain.other_contracts.iter().map(|other| format!(" or {other}")).collect();
    let detail = format!("the transaction holds no payment through the contract {}{others}", chain.contract);
    Verdict::Rejected { code: Code::NoPayment, detail }
}

pub(crate) fn internal(error: StoreError) -> Problem {
    if matches!(error, StoreError::Busy | StoreError::DiskFull | StoreError::DiskFailed(_)) {
        tracing::error!(%error, "the store cannot be written");
        let detail = "the server cannot store anything now; nothing was granted, show the same proof again";
        return Problem::new(Code::StorageUnavailable, detail).retry_after(2000);
    }
    tracing::error!(%error, "the store failed");
    Problem::new(Code::Internal, "the index could not be read or written; nothing was granted; try again")
        .retry_after(1000)
}

pub(crate) fn now_ms() -> u64 {
    // A clock before 1970 makes every quote expired, which refuses and never grants.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
