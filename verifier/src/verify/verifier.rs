//! Questions in, verdicts and claims out.

pub(crate) mod refusals;
pub(crate) mod reports;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use salt402_indexer::{Asker, Look, ReceiptLookup};
use salt402_protocol::api::{PaymentView, QuoteRequest, QuoteResponse, UnreadBlocks, Verdict, VerifyRequest};
use salt402_protocol::{Asset, ChainId, Code, Problem, Proof, QuoteKeys, Service, Terms};
use salt402_store::Store;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use self::refusals::{
    ambiguous, before_restore, chain_halted, internal, is_used, no_payment, paid_nothing, quote_required,
    reverted, unreadable,
};
use crate::derived::Derived;
use crate::holds::Holds;
use crate::incidents::ReplayLog;
use crate::limits::{AccountLimits, Accounts};
use crate::{ChainPolicy, Policy, Waker, Watch};

/// Longest name of a claimant, in characters.
const CLAIMANT_LENGTH: usize = 128;

/// How long a look at a receipt may take, however long the request may wait.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// After which time nodes are asked again for a request that waits: a second one that did not show a payment, or one that gave
/// no receipt.
const NODE_AGAIN: Duration = Duration::from_secs(1);

/// Requests that waited and look at the index again at the same time: a block may wake thousands, and whoever comes meanwhile is
/// answered between them.
const TURNS: usize = 64;

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
    pub lookup: ReceiptLookup,
    /// Why nothing can be paid on it as it is configured; `None` if it can.
    pub unfit: watch::Receiver<Option<String>>,
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
    /// One for each that waited and looks again at once.
    turns: Semaphore,
    replays: ReplayLog,
    holds: Holds,
    version: String,
}

impl Verifier {
    /// A verifier over a store.
    pub fn new(options: VerifierOptions) -> Self {
        let seats = Semaphore::new(options.policy.max_waiting);
        let chains = options.chains.into_iter().map(|chain| (chain.policy.chain, chain)).collect();
        let policy = options.policy.with(options.store.origin());
        Self(Arc::new(Inner {
            replays: ReplayLog::new(options.store.clone()),
            store: options.store,
            keys: options.keys,
            accounts: Accounts::new(options.accounts),
            policy,
            chains,
            waker: options.waker,
            seats,
            holds: Holds::default(),
            turns: Semaphore::new(TURNS),
            version: options.version,
        }))
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
        named(&request.claimant)?;
        chain.accepts(request.asset, request.payee)?;
        let terms = Terms {
            chain: request.chain,
            contract: chain.contract,
            payee: request.payee,
            asset: request.asset,
            amount: request.amount,
            request: request.request_digest,
            service: Service::named(&request.claimant),
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
            channels_exit_delay: chain.channels.and(chain.least_exit_delay).map(|delay| delay.as_secs()),
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
        let refused = match &verdict {
            // Where the quote id is missing, it is not known for which request the proof is shown.
            Ok(Verdict::Rejected { code, .. }) => *code != Code::QuoteRequired,
            Err(problem) => matches!(problem.code, Code::QuoteNotHonoured | Code::QuoteBelowPrice),
            Ok(_) => false,
        };
        if refused && let Some(transaction) = self.transaction_replayed(request).await {
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
        named(&request.claimant)?;
        chain.policy.accepts(request.requirement.asset, request.requirement.payee)?;
        let quote = match &request.quote_id {
            None if request.usage.is_some() => return Ok(quote_required()),
            None => Ok(None),
            Some(id) => self.0.keys.open(id).map(Some).map_err(|error| error.to_string()),
        };
        let deadline = started + Duration::from_millis(request.wait_ms).min(self.0.policy.max_wait);
        let mut progress = self.0.waker.subscribe();
        let (mut seat, mut turn) = (None, None);
        let mut derived = Derived::new(&self.0.keys);
        let address = request.client;
        let asker = match (&quote, &request.quote_id) {
            (Ok(Some(_)), Some(id)) => Asker::Quoted { quote: id.reference(), address },
            _ => Asker::Anybody { address },
        };
        loop {
            // Seen before the index is read, so that a commit in between wakes us at once.
            progress.borrow_and_update();
            let mut unlooked = false;
            let mut verdict = self.attempt(request, &quote, &chain.policy, &mut derived).await?;
            drop(turn.take());
            if request.again_only {
                return Ok(verdict);
            }
            if let Verdict::Pending {
                code: Code::PaymentNotSeen | Code::PaymentOrphaned | Code::QuoteExpired,
                ..
            } = verdict
            {
                let look = self.look(request, chain, asker).await;
                unlooked = look == Look::Unknown;
                verdict = match look {
                    Look::Found => self.attempt(request, &quote, &chain.policy, &mut derived).await?,
                    Look::Reverted { confirmations } => {
                        paid_nothing(request, &chain.policy, confirmations, reverted())
                    }
                    Look::NoPayment { confirmations } => {
                        paid_nothing(request, &chain.policy, confirmations, no_payment(&chain.policy))
                    }
                    Look::Ambiguous => return Err(ambiguous()),
                    Look::Unreadable { .. } => return Err(unreadable()),
                    Look::Nothing | Look::Unknown => verdict,
                };
                if matches!(verdict, Verdict::Rejected { .. }) {
                    let quote = quote.as_ref().ok().and_then(Option::as_ref);
                    verdict = self.referred(request, quote, &chain.policy, &mut derived, verdict).await?;
                }
                if let Verdict::Pending { code: Code::QuoteExpired, .. } = verdict {
                    verdict = self
                        .ended(
                            quote.as_ref().ok().and_then(Option::as_ref),
                            chain,
                            look == Look::Nothing,
                            verdict,
                        )
                        .await?;
                }
                if let (Verdict::Pending { code: Code::QuoteExpired, .. }, Ok(Some(quote))) =
                    (&verdict, &quote)
                {
                    self.nothing_unread_since(quote, chain).await?;
                }
                // The index may have read the payment since it was asked, and is past the end only by now.
                if let Verdict::Pending { code: Code::QuoteExpired, .. } = verdict {
                    verdict = self.attempt(request, &quote, &chain.policy, &mut derived).await?;
                }
            }
            if self.is_hasty(request, chain, &verdict).await? {
                match self.look(request, chain, asker).await {
                    Look::Found => {
                        verdict = self.attempt(request, &quote, &chain.policy, &mut derived).await?;
                    }
                    // What was used is known to be used, whatever else there is.
                    Look::Unreadable { .. } if !is_used(&verdict) => return Err(unreadable()),
                    _ => {}
                }
            }
            let refused = matches!(verdict, Verdict::Rejected { .. });
            verdict = self.reviewed(request, chain, verdict).await?;
            let unread = refused && matches!(verdict, Verdict::Pending { .. });
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
            // A halt lasts until somebody acts, and another process for its life: nobody waits for that.
            if matches!(verdict, Verdict::Pending { code: Code::ChainHalted | Code::IdentityInUse, .. }) {
                return Ok(verdict);
            }
            if !matches!(verdict, Verdict::Pending { .. }) || Instant::now() >= deadline {
                return Ok(verdict);
            }
            if seat.is_none() {
                match self.0.seats.try_acquire() {
                    Ok(permit) => seat = Some(permit),
                    Err(_) => {
                        metrics::counter!("salt402_waiting_refused_total").increment(1);
                        return Ok(verdict);
                    }
                }
            }
            // Nothing in the index changes when another node catches up, or a receipt is to be had.
            let asked_again = unread
                || unlooked
                || matches!(verdict, Verdict::Pending { code: Code::AwaitingSecondNode, .. });
            tokio::select! {
                () = tokio::time::sleep(NODE_AGAIN), if asked_again => {}
                changed = progress.changed() => if changed.is_err() { return Ok(verdict) },
                () = tokio::time::sleep_until(deadline) => return Ok(verdict),
            }
            tokio::select! {
                next = self.0.turns.acquire() => turn = next.ok(),
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
        self.0.store.check_files().map_err(internal)?;
        if payment.claimed && request.usage.is_none() {
            return Ok(None);
        }
        let PaymentView { chain: of, transaction, payment_id, .. } = *payment;
        if self.0.store.is_before_restore(of, transaction, payment_id).await.map_err(internal)? {
            return Ok(Some(before_restore()));
        }
        let halted = chain.watch.halted(&self.0.store, chain.policy.chain).await.map_err(internal)?;
        Ok(halted.map(|why| chain_halted(&why)))
    }

    /// Looks for a payment that the index does not know. A node that cannot be asked has said nothing.
    async fn look(&self, request: &VerifyRequest, chain: &VerifierChain, asker: Asker) -> Look {
        let Some(transaction) = self.transaction_shown(request).await else { return Look::Unknown };
        // A look that takes longer goes on, and the next who asks is told.
        let look = match tokio::time::timeout(LOOK_PATIENCE, chain.lookup.look_for(transaction, asker)).await
        {
            Ok(Ok(look)) => look,
            Ok(Err(error)) => {
                tracing::debug!(chain = %chain.policy.chain, %error, "a missing payment could not be looked for");
                Look::Unknown
            }
            Err(_) => Look::Unknown,
        };
        match (&request.proof, look) {
            // Of the transaction that once used a nonce up. Another may have done so since, whatever became of that one.
            (Proof::Nonce(_), look) if look != Look::Found => Look::Unknown,
            (_, look) => look,
        }
    }

    /// The policies of the chains.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &ChainPolicy> {
        self.0.chains.values().map(|chain| &chain.policy)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn keys(&self) -> &QuoteKeys {
        &self.0.keys
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.0.policy
    }

    pub(crate) fn holds(&self) -> &Holds {
        &self.0.holds
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    pub(crate) fn chain(&self, chain: ChainId) -> Result<&VerifierChain, Problem> {
        self.0.chains.get(&chain).ok_or_else(|| {
            let known: Vec<_> = self.0.chains.keys().map(ToString::to_string).collect();
            Problem::new(
                Code::UnknownChain,
                format!("{chain} is not followed here; known: {}", known.join(", ")),
            )
        })
    }
}

/// Refuses a name of a claimant that is too long to be kept.
pub(crate) fn named(claimant: &str) -> Result<(), Problem> {
    if claimant.chars().count() > CLAIMANT_LENGTH {
        let detail = format!("claimant: at most {CLAIMANT_LENGTH} characters");
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    Ok(())
}

/// From the lowest to the highest of blocks that were not read yet; `None` where all were.
fn extent(unread: &[UnreadBlocks]) -> Option<(u64, u64)> {
    let from = unread.iter().map(|blocks| blocks.from_block).min()?;
    let to = unread.iter().map(|blocks| blocks.to_block).max()?;
    Some((from, to))
}

pub(crate) fn now_ms() -> u64 {
    // A clock before 1970 makes every quote expired, which refuses and never grants.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
