//! `exact` and `upto` by Permit2: a proxy of x402 moves the token.

use alloy_primitives::{Address, U256};
use salt402_protocol::X402Reason;
use salt402_protocol::typed_data::PERMIT2;
use salt402_protocol::x402::payload::Permit2;
use salt402_protocol::x402::request::Request;
use salt402_protocol::x402::{EXACT, PERMIT2 as PERMIT2_METHOD, UPTO};

use crate::authorization::{Authorization, Method, TokenPermit};
use crate::policy::{NetworkPolicy, TokenPolicy};
use crate::read::refusal::{Refusal, refuse};
use crate::read::terms::{Moment, Purpose, Read, echo, method, token};
use crate::read::wrapped::unwrap;

/// Reads a payment of the scheme `exact`.
pub(crate) fn read_exact(
    request: &Request<'_>,
    signed: &Permit2,
    network: &NetworkPolicy,
    moment: Option<&Moment>,
) -> Result<Read, Refusal> {
    if request.accepted.scheme() != EXACT {
        let detail = "the payload was made for another scheme than exact";
        return Err(refuse(X402Reason::UnsupportedPayloadType, detail));
    }
    same_network(request, X402Reason::ExactNetworkMismatch)?;
    let token = offered(request, network)?;
    spender(signed, network.exact_proxy)?;
    payee(request, signed)?;
    let amount = request.requirements.amount();
    terms(request, signed, amount, moment)?;
    let after = permit(request, signed, moment).and_then(|permit| echo(request, None).map(|()| permit));
    let (permit, after_signature) = split(after);
    Ok(read(request, signed, network, token, amount, Method::Permit2Exact { permit }, after_signature))
}

/// Reads a payment of the scheme `upto`. To verify, the requirements' amount is the most; to settle, it is the charge.
pub(crate) fn read_upto(
    request: &Request<'_>,
    signed: &Permit2,
    network: &NetworkPolicy,
    purpose: Purpose,
    moment: Option<&Moment>,
) -> Result<Read, Refusal> {
    let Some(facilitator) = signed.witness.facilitator else {
        let detail = "the scheme upto needs permit2Authorization.witness.facilitator";
        return Err(refuse(X402Reason::UnsupportedPayloadType, detail));
    };
    if request.accepted.scheme() != UPTO {
        let detail = "the payload was made for another scheme than upto";
        return Err(refuse(X402Reason::UptoScheme, detail));
    }
    same_network(request, X402Reason::UptoNetworkMismatch)?;
    let token = offered(request, network)?;
    spender(signed, network.upto_proxy)?;
    payee(request, signed)?;
    if moment.is_some_and(|moment| !moment.signers.contains(&facilitator)) {
        let detail = format!(
            "the permit can be settled by {facilitator} alone, which is no account of this facilitator: GET /supported \
             names one"
        );
        return Err(refuse(X402Reason::UptoFacilitatorMismatch, detail));
    }
    let (most, charge) = match purpose {
        Purpose::Verify => (request.requirements.amount(), request.requirements.amount()),
        Purpose::Settle => (signed.permitted.amount, request.requirements.amount()),
    };
    terms(request, signed, most, moment)?;
    let after = permit(request, signed, moment)
        .and_then(|permit| within(charge, signed).map(|()| permit))
        .and_then(|permit| echo(request, Some(most)).map(|()| permit));
    let (permit, after_signature) = split(after);
    let method = Method::Permit2Upto { facilitator, permit };
    Ok(read(request, signed, network, token, charge, method, after_signature))
}

fn within(charge: U256, signed: &Permit2) -> Result<(), Refusal> {
    if charge <= signed.permitted.amount {
        return Ok(());
    }
    let detail = format!("{charge} is to be charged, and {} was signed for", signed.permitted.amount);
    Err(refuse(X402Reason::UptoSettlementExceedsAmount, detail))
}

fn split(after: Result<Option<TokenPermit>, Refusal>) -> (Option<TokenPermit>, Option<Refusal>) {
    after.map_or_else(|refusal| (None, Some(refusal)), |permit| (permit, None))
}

fn read(
    request: &Request<'_>,
    signed: &Permit2,
    network: &NetworkPolicy,
    token: TokenPolicy,
    charge: U256,
    method: Method,
    after_signature: Option<Refusal>,
) -> Read {
    // Permit2 moves nothing of a contract that has not allowed it, and one that does not exist cannot have.
    let (signature, wrapped) = unwrap(&request.signature);
    let is_wrapped = wrapped.is_some();
    let authorization = Authorization {
        chain: network.chain,
        token: token.token,
        payer: signed.from,
        payee: signed.witness.to,
        amount: signed.permitted.amount,
        nonce: signed.nonce,
        valid_after: signed.witness.valid_after,
        valid_before: signed.deadline,
        signature,
        method,
    };
    Read { authorization, charge, after_signature, token, is_wrapped }
}

fn same_network(request: &Request<'_>, reason: X402Reason) -> Result<(), Refusal> {
    if request.accepted.network() == request.requirements.network() {
        return Ok(());
    }
    Err(refuse(reason, "the payload was made for another network than the requirements name"))
}

fn offered(request: &Request<'_>, network: &NetworkPolicy) -> Result<TokenPolicy, Refusal> {
    let token = token(request, network)?;
    if !token.permit2 {
        let detail = "this asset is not settled by Permit2 here";
        return Err(refuse(X402Reason::UnsupportedPayloadType, detail));
    }
    method(request, PERMIT2_METHOD)?;
    Ok(token)
}

fn spender(signed: &Permit2, proxy: Option<Address>) -> Result<(), Refusal> {
    match proxy {
        Some(proxy) if proxy == signed.spender => Ok(()),
        Some(proxy) => {
            let detail = format!("the permit's spender is {}, and must be {proxy}", signed.spender);
            Err(refuse(X402Reason::Permit2Spender, detail))
        }
        None => Err(refuse(
            X402Reason::UnsupportedScheme,
            "this scheme is not settled by Permit2 on this network",
        )),
    }
}

fn payee(request: &Request<'_>, signed: &Permit2) -> Result<(), Refusal> {
    let pay_to = request.requirements.pay_to;
    if signed.witness.to == pay_to {
        return Ok(());
    }
    let detail = format!("the permit pays {}, and payTo is {pay_to}", signed.witness.to);
    Err(refuse(X402Reason::Permit2RecipientMismatch, detail))
}

fn terms(
    request: &Request<'_>,
    signed: &Permit2,
    amount: U256,
    moment: Option<&Moment>,
) -> Result<(), Refusal> {
    if let Some(moment) = moment.filter(|moment| moment.is_late(signed.deadline)) {
        let detail = format!(
            "the permit's deadline is {}, which is less than {} seconds from now ({}): sign another one",
            signed.deadline, moment.margin, moment.now
        );
        return Err(refuse(X402Reason::Permit2DeadlineExpired, detail));
    }
    if let Some(moment) = moment.filter(|moment| moment.is_early(signed.witness.valid_after)) {
        let detail =
            format!("the permit is valid from {}, and now is {}", signed.witness.valid_after, moment.now);
        return Err(refuse(X402Reason::Permit2NotYetValid, detail));
    }
    if signed.permitted.amount != amount {
        let detail = format!("the permit is over {}, and the price is {amount}", signed.permitted.amount);
        return Err(refuse(X402Reason::Permit2AmountMismatch, detail));
    }
    if signed.permitted.token != request.requirements.asset {
        let detail = format!(
            "the permit is over {}, and the asset is {}",
            signed.permitted.token, request.requirements.asset
        );
        return Err(refuse(X402Reason::Permit2TokenMismatch, detail));
    }
    Ok(())
}

/// The token's permit that was sent along, if any.
fn permit(
    request: &Request<'_>,
    signed: &Permit2,
    moment: Option<&Moment>,
) -> Result<Option<TokenPermit>, Refusal> {
    let Some(texts) = &request.permit else { return Ok(None) };
    let Some(permit) = texts.read() else {
        let detail = "extensions.eip2612GasSponsoring.info has a member of another form than x402 says";
        return Err(refuse(X402Reason::Eip2612Format, detail));
    };
    let wrong = |reason, detail| Err(refuse(reason, detail));
    if permit.from != signed.from {
        return wrong(
            X402Reason::Eip2612FromMismatch,
            "the token's permit is of another account than the payer",
        );
    }
    if permit.asset != request.requirements.asset {
        return wrong(
            X402Reason::Eip2612AssetMismatch,
            "the token's permit is of another token than the asset",
        );
    }
    if permit.spender != PERMIT2 {
        return wrong(
            X402Reason::Eip2612SpenderNotPermit2,
            "the token's permit allows somebody else than Permit2",
        );
    }
    if moment.is_some_and(|moment| moment.is_late(permit.deadline)) {
        return wrong(X402Reason::Eip2612DeadlineExpired, "the token's permit has expired, or is about to");
    }
    if permit.amount != signed.permitted.amount {
        let detail =
            "the token's permit is over another amount than the Permit2 permit, and the proxy refuses that";
        return wrong(X402Reason::Permit2612AmountMismatch, detail);
    }
    let (amount, nonce, deadline) = (permit.amount, permit.nonce, permit.deadline);
    Ok(Some(TokenPermit { amount, nonce, deadline, signature: permit.signature }))
}
