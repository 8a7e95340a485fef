//! A facilitator, as its API asks it.

use std::sync::Arc;

use alloy_primitives::{B256, U256};
use bytes::Bytes;
use salt402_chain::Node;
use salt402_http::clock;
use salt402_protocol::x402::request::Request;
use salt402_protocol::x402::response::{SettleResponse, SupportedResponse, VerifyResponse};
use salt402_protocol::{Amount, ChainId, PaymentId, X402Reason};
use salt402_store::{IndexChanges, KeptFor, Store, Told};
use tokio::time::Instant;

use crate::authorization::Authorization;
use crate::callers::{Caller, FacilitatorError};
use crate::metrics;
use crate::policy::Policy;
use crate::read::{self, Moment, Purpose, Read, Refusal, refuse};
use crate::said::{OF_ANOTHER, digest_of, is_over, of_another, outcome_of, taken, told, unavailable, used};
use crate::settler::{Approved, Recorded, SettleFault, Settled, Settler};
use crate::supported::supported;
use crate::valid::Valid;
use crate::verify::facts::{FactsError, KnowsAccounts};
use crate::verify::held::{Held, NotHeld};
use crate::verify::node_facts::NodeFacts;
use crate::verify::payment::{self, Case, NoVerdict, Verified};

/// Verifies signed payments, and has them settled. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Facilitator(Arc<Inner>);

struct Inner {
    policy: Policy,
    accounts: Box<dyn KnowsAccounts>,
    settler: Arc<dyn Settler>,
    held: Held,
    valid: Valid,
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
        let (held, valid) = (Held::new(policy.upto_held_for), Valid::new(Arc::clone(&settler)));
        Self(Arc::new(Inner { policy, accounts, settler, held, valid }))
    }

    /// Whether a payment would settle now. What is valid is on disk before it is said.
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
        let settled = match self.settled(&request, body, caller, key).await {
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
        supported(&self.0.policy, &*self.0.settler)
    }

    /// On which chains payments cannot be verified or settled now, and why. Empty if they can on all.
    pub async fn health(&self) -> Vec<(ChainId, String)> {
        let mut complaints = Vec::new();
        for network in &self.0.policy.networks {
            let complaint = match self.0.settler.complaint(network.chain) {
                Some(complaint) => Some(complaint),
                None => self.0.accounts.complaint(network.chain).await,
            };
            complaints.extend(complaint.map(|complaint| (network.chain, complaint)));
        }
        complaints
    }

    /// What is accepted.
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// What comes of a payment: what was claimed before, or a claim of its own.
    async fn settled(
        &self,
        request: &Request<'_>,
        body: &Bytes,
        caller: Option<&Caller>,
        key: Option<&str>,
    ) -> Result<(Authorization, Settled), NoVerdict> {
        if let Some(found) = self.claimed(request, caller, key).await? {
            return Ok(found);
        }
        match self.claim(request, body, caller, key).await {
            Ok(settled) => Ok(settled),
            // A copy may have been claimed, and settled, while this one was looked at: a nonce that is used then is its doing.
            Err(error) => self.claimed(request, caller, key).await?.ok_or(error),
        }
    }

    /// What was claimed is told to whoever shows the same signature, whatever the clock says. What a gateway keeps is that gateway's.
    async fn claimed(
        &self,
        request: &Request<'_>,
        caller: Option<&Caller>,
        key: Option<&str>,
    ) -> Result<Option<(Authorization, Settled)>, NoVerdict> {
        let rules = caller.map(|caller| &caller.rules);
        let read = match read::read(request, &self.0.policy, rules, Purpose::Settle, &|_| None) {
            Ok(read) if read.after_signature.is_none() => read,
            _ => return Ok(None),
        };
        let (chain, id) = (read.authorization.chain, read.authorization.id());
        if self.0.settler.kept_for(chain, id, key).await? == KeptFor::Another {
            return Err(refuse(used(&read.authorization), OF_ANOTHER).into());
        }
        let Some(known) = self.0.settler.outcome(chain, id).await? else { return Ok(None) };
        self.0.held.release(&read.authorization);
        let settled = told(&read, known)?;
        Ok(Some((read.authorization, settled)))
    }

    async fn claim(
        &self,
        request: &Request<'_>,
        body: &Bytes,
        caller: Option<&Caller>,
        key: Option<&str>,
    ) -> Result<(Authorization, Settled), NoVerdict> {
        let (read, verified) = match self.approve(request, caller).await {
            Ok(approved) => approved,
            // It was unused when a server was told that it is valid. Whoever used it since, it may have paid the payee:
            // the settler looks for that, and sends nothing.
            Err(NoVerdict::Refused(refusal)) => {
                let used = self.used_since(request, caller, key, &refusal).await?;
                (used.ok_or(refusal)?, Verified { payer_has_code: true, deploys: false })
            }
            Err(error) => return Err(error),
        };
        let Read { authorization, charge, .. } = read;
        let authorization = if verified.deploys { authorization } else { authorization.without_deployment() };
        let approved = Approved {
            authorization: authorization.clone(),
            charge,
            payer_has_code: verified.payer_has_code,
            caller: caller.map(|caller| caller.name.clone()),
            key: key.map(str::to_owned),
            payload: body.clone().into(),
        };
        let settled = self.0.settler.settle(approved).await?;
        // From its claim on the settler counts it.
        self.0.held.release(&authorization);
        Ok((authorization, settled))
    }

    /// Whether a payment would settle, asked of the chain anew.
    async fn approve(
        &self,
        request: &Request<'_>,
        caller: Option<&Caller>,
    ) -> Result<(Read, Verified), NoVerdict> {
        let read = self.read(request, caller, Purpose::Settle)?;
        let (authorization, id) = (&read.authorization, read.authorization.id());
        self.sees(authorization.chain).await?;
        if self.is_of_another(authorization, caller).await? {
            return Err(of_another().into());
        }
        // The work for what is settled was done: others that are still open take nothing from it.
        let recorded = self.0.settler.recorded(authorization, id).await?;
        let verified =
            self.check(Case { read: &read, id, recorded, held: U256::ZERO, is_fresh: true }).await?;
        Ok((read, verified))
    }

    /// A payment that was used on the chain, whether or not its time is over, and that was called valid before that.
    async fn used_since(
        &self,
        request: &Request<'_>,
        caller: Option<&Caller>,
        key: Option<&str>,
        refusal: &Refusal,
    ) -> Result<Option<Read>, NoVerdict> {
        let rules = caller.map(|caller| &caller.rules);
        let read = match read::read(request, &self.0.policy, rules, Purpose::Settle, &|_| None) {
            Ok(read) if read.after_signature.is_none() => read,
            _ => return Ok(None),
        };
        let authorization = &read.authorization;
        let may_be_used = refusal.reason == used(authorization) || is_over(refusal);
        let was_valid = may_be_used
            && !self.is_of_another(authorization, caller).await?
            && self.0.valid.was(authorization, key).await?;
        if was_valid {
            self.sees(authorization.chain).await?;
        }
        let counts =
            was_valid && (!is_over(refusal) || payment::is_used(authorization, &*self.0.accounts).await?);
        Ok(counts.then_some(read))
    }

    /// A success is told once. A server serves for each that it is told, and asks of as many copies as it was shown before the first was
    /// settled. What still comes to be known is told to all, and a success that nobody was there to hear counts as not told.
    async fn told_once(
        &self,
        authorization: Authorization,
        settled: Settled,
        key: Option<B256>,
    ) -> Result<Settled, NoVerdict> {
        let Settled::Done { transaction, .. } = settled else { return Ok(settled) };
        match self.0.settler.tell(authorization.chain, authorization.id(), key).await? {
            Told::Now => Ok(settled),
            Told::Before => {
                let detail = "this payment was settled, and a caller was told so: it pays for one request. Whoever lost that \
                              answer asks again with the Idempotency-Key of the first request";
                Ok(Settled::Failed { reason: used(&authorization), detail: detail.to_owned(), transaction })
            }
            // Its block has left the chain since it was read. It is settled again, or fails.
            Told::Unsettled => Ok(Settled::Pending { transaction: None }),
        }
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

    async fn judge(&self, request: &Request<'_>, caller: Option<&Caller>) -> Result<(), NoVerdict> {
        let read = self.read(request, caller, Purpose::Verify)?;
        let authorization = &read.authorization;
        let id = authorization.id();
        let mut recorded = self.recorded(&read, id).await?;
        self.sees(authorization.chain).await?;
        let caller = caller.map(|caller| &*caller.name);
        loop {
            let now = clock::now_s();
            let held = self.0.held.of_others(authorization, now);
            let case = Case { read: &read, id, recorded, held, is_fresh: false };
            // It may have been claimed while it was looked at.
            if let Err(error) = self.check(case).await {
                let known = self.0.settler.known(authorization.chain, id).await?;
                return Err(known.map_or(error, |known| taken(&read, known).into()));
            }
            match self.0.held.hold(authorization, caller, held, now) {
                Ok(()) if self.0.valid.note(authorization, id, caller).await? => return Ok(()),
                Ok(()) => {
                    self.0.held.release(authorization);
                    return Err(of_another().into());
                }
                // Another one of this payer was judged meanwhile, and holds some of the balance now.
                Err(NotHeld::Changed) => recorded = self.recorded(&read, id).await?,
                Err(NotHeld::Full) => {
                    let detail = "the payer has too many permits open: settle some, or wait until they end";
                    return Err(refuse(X402Reason::Permit2InsufficientBalance, detail).into());
                }
                Err(NotHeld::OfAnother) => return Err(of_another().into()),
            }
        }
    }

    /// What the settler knows of the payer of a payment that is not claimed.
    async fn recorded(&self, read: &Read, id: PaymentId) -> Result<Recorded, NoVerdict> {
        let mut recorded = self.0.settler.recorded(&read.authorization, id).await?;
        match recorded.known.take() {
            Some(known) => Err(taken(read, known).into()),
            None => Ok(recorded),
        }
    }

    /// Whether a permit of `upto` was called valid to another caller, who says what is charged.
    async fn is_of_another(
        &self,
        authorization: &Authorization,
        caller: Option<&Caller>,
    ) -> Result<bool, NoVerdict> {
        let caller = caller.map(|caller| &*caller.name);
        Ok(self.0.held.is_of_another(authorization, caller)
            || self.0.valid.is_of_another(authorization, caller).await?)
    }

    /// Nothing is called valid or settled of which the outcome could not be seen.
    async fn sees(&self, chain: ChainId) -> Result<(), NoVerdict> {
        let blind = match self.0.settler.complaint(chain) {
            Some(complaint) => Some(complaint),
            None => self.0.accounts.blind(chain).await,
        };
        blind.map_or(Ok(()), |blind| Err(FactsError::Blind(blind).into()))
    }

    /// Whether a payment would settle.
    async fn check(&self, case: Case<'_>) -> Result<Verified, NoVerdict> {
        let Inner { policy, accounts, settler, .. } = &*self.0;
        payment::verify(case, policy, &**accounts, &**settler).await
    }
}
