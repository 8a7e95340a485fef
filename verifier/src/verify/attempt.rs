//! One look at the index and, if asked, the grant.

use salt402_protocol::api::{Verdict, VerifyRequest};
use salt402_protocol::{Code, Problem, Proof, Quote};

use crate::verify::by_reference::by_reference;
use crate::verify::derived::Derived;
use crate::verify::grant::{follow, question};
use crate::verify::inner::Inner;
use crate::verify::judge::judge;
use crate::verify::judge::question::Question;
use crate::verify::policy::ChainPolicy;
use crate::verify::reserve::reserved;
use crate::verify::shown::payments_shown;
use crate::verify::voucher::attempt_voucher;

/// One look at the index and, if asked, the claim. If the quote could not be opened, the reason is given.
pub(crate) async fn attempt(
    verifier: &Inner,
    request: &VerifyRequest,
    quote: &Result<Option<Quote>, String>,
    chain: &ChainPolicy,
    derived: &mut Derived<'_>,
) -> Result<Verdict, Problem> {
    let quote = match quote {
        Ok(quote) => quote.as_ref(),
        Err(why) => return Ok(Verdict::Rejected { code: Code::QuoteForged, detail: why.clone() }),
    };
    if let Proof::Voucher(voucher) = &request.proof {
        return attempt_voucher(verifier, request, voucher, quote, chain).await;
    }
    let payments = payments_shown(verifier, request, chain.chain).await?;
    let reserved = reserved(verifier, request, chain.chain).await?;
    let question = Question { reserved, ..question(request, quote) };
    let judgement = judge(&question, &verifier.policy, chain, derived, &payments);
    let verdict = follow(verifier, request, chain, judgement, &payments).await?;
    by_reference(verifier, request, quote, chain, derived, verdict).await
}
