//! Answers whether a request was paid: looks at the index, looks at the receipt if the index does not know the
//! transaction, and waits if waiting may help.

use std::time::Duration;

use salt402_indexer::{Asker, Look};
use salt402_protocol::api::{PaymentView, UnreadBlocks, Verdict, VerifyRequest};
use salt402_protocol::{Code, Problem, Proof, Quote};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use crate::verify::attempt::attempt;
use crate::verify::by_reference::by_reference;
use crate::verify::claimant_lease::check_name;
use crate::verify::derived::Derived;
use crate::verify::inner::{Inner, VerifierChain};
use crate::verify::quote_end::{ended, nothing_unread_since};
use crate::verify::receipt_review::{needs_review, reviewed};
use crate::verify::refusals::{
    ambiguous, chain_halted, internal, is_used, no_payment, paid_nothing, payment_before_restore,
    quote_required, reverted, unreadable,
};
use crate::verify::shown::{transaction_replayed, transaction_shown};

/// How long a look at a receipt may take, even if the request may wait longer.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// How often nodes are asked again while a request waits: a second node that did not show a payment, or a node that
/// gave no receipt.
const NODE_AGAIN: Duration = Duration::from_secs(1);

/// Answers whether a request was paid. It waits if that may help, and claims if asked. A claim is on disk before this
/// returns.
pub(crate) async fn verify(verifier: &Inner, request: &VerifyRequest) -> Result<Verdict, Problem> {
    let started = Instant::now();
    let verdict = match decide(verifier, request, started).await {
        Ok(verdict) => tell_unread(verifier, request, verdict).await,
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
        // Without the quote id it is not known for which request the proof is shown.
        Ok(Verdict::Rejected { code, .. }) => *code != Code::QuoteRequired,
        Err(problem) => matches!(problem.code, Code::QuoteNotHonoured | Code::QuoteBelowPrice),
        Ok(_) => false,
    };
    if refused && let Some(transaction) = transaction_replayed(verifier, request).await {
        verifier.replays.note(request.requirement.chain, transaction);
    }
    metrics::counter!("salt402_verdicts_total", "outcome" => outcome).increment(1);
    metrics::histogram!("salt402_verify_seconds").record(started.elapsed().as_secs_f64());
    verdict
}

async fn decide(verifier: &Inner, request: &VerifyRequest, started: Instant) -> Result<Verdict, Problem> {
    let chain = verifier.chain(request.requirement.chain)?;
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
    check_name(&request.claimant)?;
    chain.policy.accepts(request.requirement.asset, request.requirement.payee)?;
    let quote = match &request.quote_id {
        None if request.usage.is_some() => return Ok(quote_required()),
        None => Ok(None),
        Some(id) => verifier.keys.open(id).map(Some).map_err(|error| error.to_string()),
    };
    let deadline = started + Duration::from_millis(request.wait_ms).min(verifier.policy.max_wait);
    let mut progress = verifier.changes.subscribe();
    let (mut waiter, mut recheck) = (None, None);
    let mut derived = Derived::new(&verifier.keys);
    let address = request.client;
    let asker = match (&quote, &request.quote_id) {
        (Ok(Some(_)), Some(id)) => Asker::Quoted { quote: id.reference(), address },
        _ => Asker::Anybody { address },
    };
    loop {
        // Marked as seen before the index is read, so that a commit in between wakes us at once.
        progress.borrow_and_update();
        // In a box of its own, which is gone while the request waits: it is most of what a request takes.
        let turn = recheck.take();
        let seen = Box::pin(look_once(verifier, request, chain, &quote, &mut derived, asker, turn)).await?;
        let Seen { verdict, ended, unlooked, unread } = seen;
        if ended {
            return Ok(verdict);
        }
        // On a halted chain, payments get no deeper.
        if matches!(verdict, Verdict::Pending { code: Code::AwaitingConfirmations, .. })
            && let Some(why) =
                chain.freshness.halted(&verifier.store, chain.policy.chain).await.map_err(internal)?
        {
            return Ok(chain_halted(&why));
        }
        // A halt lasts until somebody acts, and a lease as long as the other process lives. Nobody waits for those.
        if matches!(verdict, Verdict::Pending { code: Code::ChainHalted | Code::IdentityInUse, .. }) {
            return Ok(verdict);
        }
        if !matches!(verdict, Verdict::Pending { .. }) || Instant::now() >= deadline {
            return Ok(verdict);
        }
        if waiter.is_none() {
            match verifier.waiters.try_acquire() {
                Ok(permit) => waiter = Some(permit),
                Err(_) => {
                    metrics::counter!("salt402_waiting_refused_total").increment(1);
                    return Ok(verdict);
                }
            }
        }
        // The index does not change when another node catches up or a receipt appears.
        let asked_again =
            unread || unlooked || matches!(verdict, Verdict::Pending { code: Code::AwaitingSecondNode, .. });
        tokio::select! {
            () = tokio::time::sleep(NODE_AGAIN), if asked_again => {}
            changed = progress.changed() => if changed.is_err() { return Ok(verdict) },
            () = tokio::time::sleep_until(deadline) => return Ok(verdict),
        }
        tokio::select! {
            next = verifier.rechecks.acquire() => recheck = next.ok(),
            () = tokio::time::sleep_until(deadline) => return Ok(verdict),
        }
    }
}

/// What one look at the index, and at a node where that may help, says.
struct Seen {
    verdict: Verdict,
    /// Whether it is the answer, however long the request may wait.
    ended: bool,
    /// Whether a node could not say whether there is a receipt.
    unlooked: bool,
    /// Whether a refusal waits for the whole receipt to be read.
    unread: bool,
}

/// `turn` is what keeps others from reading the index at once; nobody waits for it while a node is asked.
async fn look_once(
    verifier: &Inner,
    request: &VerifyRequest,
    chain: &VerifierChain,
    quote: &Result<Option<Quote>, String>,
    derived: &mut Derived<'_>,
    asker: Asker,
    turn: Option<SemaphorePermit<'_>>,
) -> Result<Seen, Problem> {
    let mut unlooked = false;
    let mut verdict = attempt(verifier, request, quote, &chain.policy, derived).await?;
    drop(turn);
    if request.again_only {
        return Ok(Seen { verdict, ended: true, unlooked, unread: false });
    }
    if let Verdict::Pending {
        code: Code::PaymentNotSeen | Code::PaymentOrphaned | Code::QuoteExpired, ..
    } = verdict
    {
        let look = look(verifier, request, chain, asker).await;
        unlooked = look == Look::Unknown;
        verdict = match look {
            Look::Found => attempt(verifier, request, quote, &chain.policy, derived).await?,
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
            verdict = by_reference(verifier, request, quote, &chain.policy, derived, verdict).await?;
        }
        if let Verdict::Pending { code: Code::QuoteExpired, .. } = verdict {
            let quote = quote.as_ref().ok().and_then(Option::as_ref);
            verdict = ended(verifier, quote, chain, look == Look::Nothing, verdict).await?;
        }
        if let (Verdict::Pending { code: Code::QuoteExpired, .. }, Ok(Some(quote))) = (&verdict, &quote) {
            nothing_unread_since(verifier, quote, chain).await?;
        }
        // The index may have read the payment meanwhile, and may be past the quote's end only now.
        if let Verdict::Pending { code: Code::QuoteExpired, .. } = verdict {
            verdict = attempt(verifier, request, quote, &chain.policy, derived).await?;
        }
    }
    if needs_review(verifier, request, chain, &verdict).await? {
        match look(verifier, request, chain, asker).await {
            Look::Found => {
                verdict = attempt(verifier, request, quote, &chain.policy, derived).await?;
            }
            // A used payment is known as used, whatever else the transaction holds.
            Look::Unreadable { .. } if !is_used(&verdict) => return Err(unreadable()),
            _ => {}
        }
    }
    let refused = matches!(verdict, Verdict::Rejected { .. });
    verdict = reviewed(verifier, request, chain, verdict).await?;
    let unread = refused && matches!(verdict, Verdict::Pending { .. });
    if let Verdict::Accepted { payment, claim: None } = &verdict {
        verdict = match withheld(verifier, request, chain, payment).await? {
            Some(withheld) => withheld,
            None => return Ok(Seen { verdict, ended: true, unlooked, unread }),
        };
    }
    Ok(Seen { verdict, ended: false, unlooked, unread })
}

/// If a payment was not found, it may be in blocks that were not read yet, and the answer says so. The end of a quote
/// is no refusal then either, since the payment may have been made in time.
async fn tell_unread(
    verifier: &Inner,
    request: &VerifyRequest,
    verdict: Verdict,
) -> Result<Verdict, Problem> {
    let (code, detail, retry_after_ms) = match verdict {
        Verdict::Pending {
            code: code @ (Code::PaymentNotSeen | Code::ChannelNotSeen | Code::QuoteExpired),
            detail,
            retry_after_ms,
        } => (code, detail, retry_after_ms),
        other => return Ok(other),
    };
    let chain = verifier.chain(request.requirement.chain)?;
    let unread = chain.freshness.unread(&verifier.store, chain.policy.chain).await.map_err(internal)?;
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

/// Why a payment that fits would not be granted on, if no claim is asked for. With a claim, the store decides.
async fn withheld(
    verifier: &Inner,
    request: &VerifyRequest,
    chain: &VerifierChain,
    payment: &PaymentView,
) -> Result<Option<Verdict>, Problem> {
    verifier.store.check_files().map_err(internal)?;
    if payment.claimed && request.usage.is_none() {
        return Ok(None);
    }
    let PaymentView { chain: of, transaction, payment_id, .. } = *payment;
    if verifier.store.is_before_restore(of, transaction, payment_id).await.map_err(internal)? {
        return Ok(Some(payment_before_restore()));
    }
    let halted = chain.freshness.halted(&verifier.store, chain.policy.chain).await.map_err(internal)?;
    Ok(halted.map(|why| chain_halted(&why)))
}

/// Looks for a payment that the index does not know. A node that cannot be asked says nothing.
async fn look(verifier: &Inner, request: &VerifyRequest, chain: &VerifierChain, asker: Asker) -> Look {
    let Some(transaction) = transaction_shown(verifier, request).await else { return Look::Unknown };
    // A look that takes longer goes on, and the next caller gets its answer.
    let look = match tokio::time::timeout(LOOKUP_TIMEOUT, chain.lookup.look_for(transaction, asker)).await {
        Ok(Ok(look)) => look,
        Ok(Err(error)) => {
            tracing::debug!(chain = %chain.policy.chain, %error, "a missing payment could not be looked for");
            Look::Unknown
        }
        Err(_) => Look::Unknown,
    };
    match (&request.proof, look) {
        // The look was at a transaction that once used the nonce. Another may have used it since.
        (Proof::Nonce(_), look) if look != Look::Found => Look::Unknown,
        (_, look) => look,
    }
}

/// The lowest and the highest of the blocks that were not read yet. `None` if all were read.
fn extent(unread: &[UnreadBlocks]) -> Option<(u64, u64)> {
    let from = unread.iter().map(|blocks| blocks.from_block).min()?;
    let to = unread.iter().map(|blocks| blocks.to_block).max()?;
    Some((from, to))
}
