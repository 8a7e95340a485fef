//! A facilitator, as its API asks it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256, U256, keccak256};
use bytes::Bytes;
use salt402_chain::Node;
use salt402_http::{Recent, clock};
use salt402_protocol::money::Amount;
use salt402_protocol::x402::request::{Request, RequestError};
use salt402_protocol::x402::response::{
    KindExtra, SettleResponse, SupportedKind, SupportedResponse, VerifyResponse,
};
use salt402_protocol::x402::{EIP2612_GAS_SPONSORING, EXACT, UPTO, v1_name};
use salt402_protocol::{ChainId, PaymentId, X402Reason};
use salt402_store::{IndexChanges, Store};
use tokio::time::Instant;

use crate::authorization::Authorization;
use crate::metrics;
use crate::policy::{CallerRules, NetworkPolicy, Policy};
use crate::read::{self, Moment, Purpose, Read, Refusal, refuse};
use crate::settler::{Approved, Known, SettleFault, Settled, Settler};
use crate::verify::facts::{Facts, FactsError, KnowsAccounts};
use crate::verify::held::{Held, NotHeld};
use crate::verify::judge::is_permit2;
use crate::verify::node_facts::NodeFacts;
use crate::verify::payment::{self, NoVerdict};

/// Verifies signed payments, and has them settled. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Facilitator(Arc<Inner>);

struct Inner {
    policy: Policy,
    accounts: Box<dyn KnowsAccounts>,
    settler: Arc<dyn Settler>,
    held: Held,
    /// What was called valid lately, with what was signed. A std mutex, because nothing is awaited while it is held.
    valid: Mutex<Recent<PaymentId, B256>>,
}

/// Who asks: one of the callers that the operator named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its name in the configuration.
    pub name: String,
    /// What it may ask for.
    pub rules: CallerRules,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FacilitatorError {
    /// The body is no request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// There is no room for it now. Nothing was done.
    #[error("{what}: ask again in {retry_after_ms} ms")]
    Busy {
        /// When to ask again, in milliseconds.
        retry_after_ms: u64,
        /// What there is no room for.
        what: String,
    },
    /// The chain or the database cannot be asked. Nothing was done.
    #[error("{0}")]
    Unavailable(String),
}

impl Facilitator {
    /// A facilitator that asks these nodes, one for each chain of the policy, and has payments settled by `settler`. `changes`
    /// tells of every block that is indexed.
    pub fn new(
        policy: Policy,
        nodes: Vec<(ChainId, Arc<dyn Node>)>,
        store: Store,
        changes: &IndexChanges,
        settler: Arc<dyn Settler>,
    ) -> Self {
        let accounts = Box::new(NodeFacts::new(&policy, nodes, store, changes.subscribe()));
        Self::with(policy, accounts, settler)
    }

    pub(crate) fn with(policy: Policy, accounts: Box<dyn KnowsAccounts>, settler: Arc<dyn Settler>) -> Self {
        let (held, valid) = (Held::default(), Mutex::default());
        Self(Arc::new(Inner { policy, accounts, settler, held, valid }))
    }

    /// Whether a payment would settle now.
    ///
    /// # Errors
    /// The body is no request, or there is no verdict now.
    pub async fn verify(
        &self,
        body: &[u8],
        caller: Option<&Caller>,
    ) -> Result<VerifyResponse, FacilitatorError> {
        let start = Instant::now();
        let request = Request::parse(body)?;
        let verdict = self.judge(&request, caller).await;
        let outcome = verdict.as_ref().map_or_else(outcome_of, |_| "valid");
        metrics::verified(request.requirements.scheme(), outcome, start.elapsed());
        let payer = Some(request.signed.payer());
        match verdict {
            Ok(_) => {
                Ok(VerifyResponse { is_valid: true, invalid_reason: None, invalid_message: None, payer })
            }
            Err(NoVerdict::Refused(Refusal { reason, detail })) => Ok(VerifyResponse {
                is_valid: false,
                invalid_reason: Some(reason),
                invalid_message: Some(detail.into_owned()),
                payer,
            }),
            Err(other) => Err(unavailable(other)),
        }
    }

    /// Has a payment settled, once, and tells its success once: whoever is told it serves for it, and copies of one request must
    /// not be served each. A retry that shows the key of the first is told it again.
    ///
    /// # Errors
    /// The body is no request, or nothing was done.
    pub async fn settle(
        &self,
        body: &Bytes,
        caller: Option<&Caller>,
        key: Option<&str>,
    ) -> Result<SettleResponse, FacilitatorError> {
        let start = Instant::now();
        let request = Request::parse(body)?;
        let settled = match self.settled(&request, body, caller).await {
            Ok((authorization, settled)) => {
                self.told_once(authorization, settled, key.map(|key| digest_of(key, caller))).await
            }
            Err(error) => Err(error),
        };
        let outcome = match &settled {
            Ok(Settled::Done { .. }) => "done",
            Ok(Settled::Pending { .. }) => "pending",
            Ok(Settled::Failed { reason, .. }) => reason.as_str(),
            Err(error) => outcome_of(error),
        };
        metrics::settle_request(request.requirements.scheme(), outcome, start.elapsed());
        let mut response = SettleResponse {
            success: false,
            error_reason: None,
            error_message: None,
            payer: Some(request.signed.payer()),
            transaction: None,
            network: request.requirements.network().to_owned(),
            amount: None,
        };
        match settled {
            Ok(Settled::Done { transaction, amount }) => {
                response.success = true;
                response.transaction = transaction;
                response.amount = Some(Amount(amount));
            }
            Ok(Settled::Failed { reason, detail, transaction }) => {
                response.error_reason = Some(reason);
                response.error_message = Some(detail);
                response.transaction = transaction;
            }
            Ok(Settled::Pending { transaction }) => {
                let detail =
                    "the settlement is on its way: send the same request again, and sign no other payment";
                response.error_reason = Some(X402Reason::SettlementPending);
                response.error_message = Some(detail.to_owned());
                response.transaction = transaction;
            }
            Err(NoVerdict::Refused(Refusal { reason, detail })) => {
                response.error_reason = Some(reason);
                response.error_message = Some(detail.into_owned());
            }
            Err(NoVerdict::Settler(SettleFault::Refused { reason, detail })) => {
                response.error_reason = Some(reason);
                response.error_message = Some(detail);
            }
            Err(other) => return Err(unavailable(other)),
        }
        Ok(response)
    }

    /// What can be verified and settled, by whom.
    pub fn supported(&self) -> SupportedResponse {
        let mut supported = SupportedResponse::default();
        let mut everywhere: Vec<Address> = Vec::new();
        let mut by_chain = BTreeMap::new();
        for network in &self.0.policy.networks {
            let signers = self.0.settler.signers(network.chain);
            supported.kinds.extend(kinds(network, &signers));
            if has_permit2(network) && supported.extensions.is_empty() {
                supported.extensions.push(EIP2612_GAS_SPONSORING.to_owned());
            }
            for signer in &signers {
                if !everywhere.contains(signer) {
                    everywhere.push(*signer);
                }
            }
            by_chain.insert(network.chain.to_string(), signers);
        }
        by_chain.insert("eip155:*".to_owned(), everywhere);
        supported.signers = by_chain;
        supported
    }

    /// On which chains payments cannot be verified or settled now, and why. Empty if they can on all.
    pub async fn health(&self) -> Vec<(ChainId, String)> {
        let mut complaints = Vec::new();
        for network in &self.0.policy.networks {
            if let Some(complaint) = self.0.accounts.complaint(network.chain).await {
                complaints.push((network.chain, complaint));
            }
        }
        complaints
    }

    /// What is accepted.
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    async fn settled(
        &self,
        request: &Request<'_>,
        body: &Bytes,
        caller: Option<&Caller>,
    ) -> Result<(Authorization, Settled), NoVerdict> {
        // What was claimed is told to whoever shows the same signature, whatever the clock says now.
        let rules = caller.map(|caller| &caller.rules);
        if let Ok(read) = read::read(request, &self.0.policy, rules, Purpose::Settle, &|_| None)
            && read.after_signature.is_none()
            && let Some(known) = self.0.settler.outcome(read.authorization.id()).await?
        {
            self.0.held.release(&read.authorization);
            let settled = told(&read, known)?;
            return Ok((read.authorization, settled));
        }
        let read = self.read(request, caller, Purpose::Settle)?;
        self.sees(read.authorization.chain).await?;
        if self.0.held.is_of_another(&read.authorization, caller.map(|caller| &*caller.name)) {
            return Err(of_another().into());
        }
        // The work for what is settled was done: others that are still open take nothing from it.
        let payer_has_code = match self.check(&read, U256::ZERO, true).await {
            Ok(facts) => facts.payer.has_code,
            // It was unused when a server was told that it is valid. Whoever used it since, it may have paid the payee:
            // the settler looks for that, and sends nothing.
            Err(NoVerdict::Refused(refusal))
                if refusal.reason == used(&read.authorization) && self.was_valid(&read.authorization) =>
            {
                true
            }
            Err(error) => return Err(error),
        };
        let approved = Approved {
            authorization: read.authorization.clone(),
            charge: read.charge,
            payer_has_code,
            caller: caller.map(|caller| caller.name.clone()),
            payload: body.clone().into(),
        };
        let authorization = approved.authorization.clone();
        let settled = self.0.settler.settle(approved).await?;
        // From its claim on the settler counts it.
        self.0.held.release(&authorization);
        Ok((authorization, settled))
    }

    /// A success is told once. A server serves for each that it is told, and asks of as many copies as it was shown before the
    /// first was settled. What still comes to be known is told to all, and a success that nobody was there to hear counts as
    /// not told.
    async fn told_once(
        &self,
        authorization: Authorization,
        settled: Settled,
        key: Option<B256>,
    ) -> Result<Settled, NoVerdict> {
        let Settled::Done { transaction, .. } = settled else { return Ok(settled) };
        if self.0.settler.tell(authorization.chain, authorization.id(), key).await? {
            return Ok(settled);
        }
        let detail = "this payment was settled, and a caller was told so: it pays for one request. Whoever lost that answer asks \
                      again with the Idempotency-Key of the first request";
        Ok(Settled::Failed { reason: used(&authorization), detail: detail.to_owned(), transaction })
    }

    fn read(
        &self,
        request: &Request<'_>,
        caller: Option<&Caller>,
        purpose: Purpose,
    ) -> Result<Read, Refusal> {
        let moment = |chain: ChainId| {
            Some(Moment {
                now: clock::now_s().max(self.0.accounts.head_time(chain)),
                margin: self.0.policy.margin.as_secs(),
                signers: self.0.settler.signers(chain),
            })
        };
        let rules = caller.map(|caller| &caller.rules);
        read::read(request, &self.0.policy, rules, purpose, &moment)
    }

    async fn judge(&self, request: &Request<'_>, caller: Option<&Caller>) -> Result<Facts, NoVerdict> {
        let read = self.read(request, caller, Purpose::Verify)?;
        let authorization = &read.authorization;
        if let Some(known) = self.0.settler.known(authorization.id()).await? {
            return Err(taken(&read, known).into());
        }
        self.sees(authorization.chain).await?;
        let caller = caller.map(|caller| &*caller.name);
        loop {
            let others = self.0.held.of_others(authorization, clock::now_s());
            let facts = self.check(&read, others, false).await?;
            match self.0.held.hold(authorization, caller, others) {
                Ok(()) => {
                    *self.valid().of_key(authorization.id()) = signed(authorization);
                    return Ok(facts);
                }
                // Another one of this payer was judged meanwhile, and holds some of the balance now.
                Err(NotHeld::Changed) => {}
                Err(NotHeld::Full) => {
                    let detail = "the payer has too many permits open: settle some, or wait until they end";
                    return Err(refuse(X402Reason::Permit2InsufficientBalance, detail).into());
                }
                Err(NotHeld::OfAnother) => return Err(of_another().into()),
            }
        }
    }

    /// Whether this process has called a payment valid, not long ago, as it was signed now.
    fn was_valid(&self, authorization: &Authorization) -> bool {
        self.valid().known(&authorization.id()).is_some_and(|known| *known == signed(authorization))
    }

    fn valid(&self) -> MutexGuard<'_, Recent<PaymentId, B256>> {
        self.0.valid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is called valid or settled of which the outcome could not be seen.
    async fn sees(&self, chain: ChainId) -> Result<(), NoVerdict> {
        self.0.accounts.blind(chain).await.map_or(Ok(()), |blind| Err(FactsError::Blind(blind).into()))
    }

    /// Whether a payment would settle; `is_fresh` to settle it now. `held` is what other payments hold of the balance.
    async fn check(&self, read: &Read, held: U256, is_fresh: bool) -> Result<Facts, NoVerdict> {
        let Inner { policy, accounts, settler, .. } = &*self.0;
        payment::verify(read, policy, &**accounts, &**settler, held, is_fresh).await
    }
}

/// Under `upto` the server says what is charged, and others could say 0.
fn of_another() -> Refusal {
    let detail = "another caller was told that this permit is good, and it alone says what is charged: ask to verify and to settle \
                  with the same token";
    refuse(X402Reason::InvalidPaymentRequirements, detail)
}

/// What was signed, to whom and for how much, in one word. A payer can sign several payments with one nonce.
fn signed(authorization: &Authorization) -> B256 {
    let Authorization { token, payee, amount, signature, .. } = authorization;
    let amount = amount.to_be_bytes::<32>();
    keccak256([token.as_slice(), payee.as_slice(), &amount, signature.as_ref()].concat())
}

/// The result of a claimed payment, for whoever shows the same one. Another one with its nonce can never be settled, and
/// whoever has not the signature has read the rest off the chain.
fn told(read: &Read, known: Known) -> Result<Settled, NoVerdict> {
    let authorization = &read.authorization;
    if known.authorization.as_ref() == Some(authorization) && known.charge == read.charge {
        return Ok(known.settled);
    }
    let detail = "this nonce was used for another payment, or the payment for another charge: it cannot be settled again";
    Err(refuse(used(authorization), detail).into())
}

/// Why a claimed payment is not valid any more.
fn taken(read: &Read, known: Known) -> Refusal {
    match known.settled {
        Settled::Pending { .. } => {
            let detail = "this payment is being settled: ask to settle it, and sign no other one";
            refuse(X402Reason::SettlementPending, detail)
        }
        Settled::Done { .. } => {
            refuse(used(&read.authorization), "this payment was settled: it pays nothing any more")
        }
        Settled::Failed { reason, detail, .. } => refuse(reason, detail),
    }
}

/// A key as it is kept: a caller's own, and no text of whatever length.
fn digest_of(key: &str, caller: Option<&Caller>) -> B256 {
    let name = caller.map(|caller| caller.name.as_str()).unwrap_or_default();
    keccak256([name.as_bytes(), &[0], key.as_bytes()].concat())
}

fn used(authorization: &Authorization) -> X402Reason {
    if is_permit2(authorization) { X402Reason::Permit2InvalidNonce } else { X402Reason::NonceAlreadyUsed }
}

fn outcome_of(error: &NoVerdict) -> &'static str {
    match error {
        NoVerdict::Refused(refusal) => refusal.reason.as_str(),
        NoVerdict::Settler(SettleFault::Refused { reason, .. }) => reason.as_str(),
        NoVerdict::Settler(SettleFault::Busy { .. }) => "busy",
        NoVerdict::Settler(SettleFault::Storage(_)) => "storage",
        NoVerdict::Facts(_) => "chain",
    }
}

fn unavailable(error: NoVerdict) -> FacilitatorError {
    match error {
        NoVerdict::Settler(SettleFault::Busy { retry_after_ms, what }) => {
            FacilitatorError::Busy { retry_after_ms, what }
        }
        error => FacilitatorError::Unavailable(for_callers(&error)),
    }
}

/// Why there is no verdict, for callers. Which node or file failed, and how, is for the operator's log alone.
fn for_callers(error: &NoVerdict) -> String {
    let what = match error {
        NoVerdict::Facts(FactsError::Node(_)) => "the chain cannot be asked now",
        NoVerdict::Facts(FactsError::Storage(_)) => "the index cannot be read now",
        NoVerdict::Settler(SettleFault::Storage(_)) => "nothing can be stored now",
        other => return other.to_string(),
    };
    tracing::warn!(%error, "a payment could not be judged");
    what.to_owned()
}

/// What one network offers.
fn kinds(network: &NetworkPolicy, signers: &[Address]) -> Vec<SupportedKind> {
    let kind = |x402_version, scheme: &str, name: &str, extra| SupportedKind {
        x402_version,
        scheme: scheme.to_owned(),
        network: name.to_owned(),
        extra,
    };
    let chain = network.chain.to_string();
    let by_token = network.tokens.iter().any(|token| token.eip3009);
    let by_permit = network.tokens.iter().any(|token| token.permit2);
    let mut kinds = Vec::new();
    if by_token || by_permit && network.exact_proxy.is_some() {
        kinds.push(kind(2, EXACT, &chain, None));
    }
    // Always the first: servers hold what a payer accepted against what they offer themselves, and each of several servers
    // asks for itself. It is also how a key is replaced: what is signed from now on is signed for the new one.
    if let Some(first) = signers.first().filter(|_| by_permit && network.upto_proxy.is_some()) {
        let extra = KindExtra { facilitator_address: Some(*first) };
        kinds.push(kind(2, UPTO, &chain, Some(extra)));
    }
    if let Some(name) = v1_name(network.chain).filter(|_| by_token) {
        kinds.push(kind(1, EXACT, name, None));
    }
    kinds
}

fn has_permit2(network: &NetworkPolicy) -> bool {
    let has_proxy = network.exact_proxy.is_some() || network.upto_proxy.is_some();
    has_proxy && network.tokens.iter().any(|token| token.permit2)
}
