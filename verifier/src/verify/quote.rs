//! Quotes: what must be paid for a request, and when no price is told.
//!
//! A client that is told a price may pay it. So a price is told only while its payment would be seen and could be used
//! up.

use salt402_http::clock::now_s;
use salt402_protocol::api::{QuoteRequest, QuoteResponse};
use salt402_protocol::{Asset, ChainId, Code, Problem, Service, Terms};

use crate::verify::claimant_lease::check_name;
use crate::verify::inner::Inner;
use crate::verify::readiness::seen;
use crate::verify::refusals::{HALTED_RETRY_MS, internal};

/// When to ask again for a price, in milliseconds.
const RETRY_MS: u64 = 2_000;

/// Gives a quote, unless its payment could not be seen, used up or granted on now.
///
/// # Errors
/// [`Code::NotReady`], [`Code::StorageUnavailable`], [`Code::ContractMissing`] or [`Code::ChainHalted`], and what [`quote`] refuses. Why
/// exactly is told to the operator alone, as it may name nodes.
pub(crate) async fn offer(verifier: &Inner, request: &QuoteRequest) -> Result<QuoteResponse, Problem> {
    sold(verifier, request.chain).await?;
    quote(verifier, request)
}

/// Whether a payment that is made now on a chain would be seen, could be used up and granted on.
///
/// # Errors
/// As of [`offer`].
pub(crate) async fn sold(verifier: &Inner, id: ChainId) -> Result<(), Problem> {
    let chain = verifier.chain(id)?;
    if let Some(why) = chain.freshness.halted(&verifier.store, id).await.map_err(internal)? {
        return Err(Problem::new(Code::ChainHalted, format!("nothing is to be paid now: {why}"))
            .retry_after(HALTED_RETRY_MS));
    }
    let restored = verifier.store.refuse_before();
    let wait = chain_reaches(verifier, restored).saturating_sub(now_s());
    if wait > 0 {
        let detail = format!("the server was restored from a backup and takes payments in {wait} s");
        return Err(Problem::new(Code::NotReady, detail).retry_after(wait.saturating_mul(1000)));
    }
    if let Err(error) = verifier.store.writable() {
        tracing::warn!(%error, "nothing is sold while the database cannot be written");
        return Err(unsold(Code::StorageUnavailable, "the server cannot store anything now"));
    }
    if let Some(missing) = chain.deployment.borrow().missing() {
        let network = &chain.policy.network;
        let detail = format!(
            "there is no contract at {missing} on the chain {network} now, and what is sent there would be lost"
        );
        return Err(unsold(Code::ContractMissing, &detail));
    }
    let seen = seen(verifier, chain).await.map_err(internal)?;
    if let Some(why) = seen.complaint {
        tracing::debug!(chain = %id, why, "nothing is sold while the index is not current");
        let network = &chain.policy.network;
        return Err(unsold(
            Code::NotReady,
            &format!("the chain {network} is not followed at its newest block now"),
        ));
    }
    // Where blocks come steadily, the chain itself shows how far its clock is.
    if restored > 0 && chain.policy.steady_blocks && seen.head_time.is_none_or(|time| time < restored) {
        let detail =
            "the server was restored from a backup and takes payments once the chain's newest block is later";
        return Err(Problem::new(Code::NotReady, detail).retry_after(RETRY_MS));
    }
    Ok(())
}

/// When no block of the chain is dated before a moment any more, in seconds since 1970 UTC: its clock may be behind ours. 0 stays
/// 0, which is no moment.
fn chain_reaches(verifier: &Inner, moment: u64) -> u64 {
    if moment == 0 { 0 } else { moment.saturating_add(verifier.policy.clock_skew.as_secs()) }
}

/// Gives a quote. Nothing is stored: the quote comes back with the proof or is derived again.
pub(crate) fn quote(verifier: &Inner, request: &QuoteRequest) -> Result<QuoteResponse, Problem> {
    let chain = &verifier.chain(request.chain)?.policy;
    if request.amount.is_zero() {
        return Err(Problem::new(
            Code::InvalidRequest,
            "amount: a quote over nothing cannot be paid; ask for more than 0",
        ));
    }
    if request.payee.is_zero() {
        return Err(Problem::new(Code::InvalidRequest, "payee: the zero address cannot be paid"));
    }
    check_name(&request.claimant)?;
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
    let clock = verifier.policy.clock;
    let quote = if request.secret || !verifier.policy.bare_hashes {
        clock.random(terms, now_s(), rand::random())
    } else {
        clock.derived(terms, now_s())
    };
    let id = verifier.keys.seal(&quote);
    // A channel that the chain dates before the database was made is refused, so none is to be opened yet.
    let made_at = verifier.store.origin().made_at;
    let channels = chain.channels.filter(|_| now_s() >= chain_reaches(verifier, made_at));
    let (symbol, decimals) = match request.asset {
        Asset::Native => (chain.symbol.clone(), chain.decimals),
        // A token's own name is for people only and not worth a call to the chain.
        Asset::Token(address) => (address.to_string(), 0),
    };
    metrics::counter!("salt402_quotes_total").increment(1);
    Ok(QuoteResponse {
        reference: id.reference(),
        quote_id: id,
        payment_contract: chain.contract,
        channels_contract: channels,
        channels_exit_delay: channels.and(chain.least_exit_delay).map(|delay| delay.as_secs()),
        network: chain.network.clone(),
        symbol,
        decimals,
        issued_at: quote.issued_at,
        expires_at: quote.expires_at,
    })
}

/// Refuses to tell a price. It says nothing against a payment that was made.
fn unsold(code: Code, why: &str) -> Problem {
    let detail = format!(
        "{why}, so nothing is sold: ask again later; whoever has paid does not pay again, and shows the same proof again"
    );
    Problem::new(code, detail).retry_after(RETRY_MS)
}
