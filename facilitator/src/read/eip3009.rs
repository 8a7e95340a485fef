//! `exact` by EIP-3009: the token itself takes the signature.

use alloy_primitives::U256;
use salt402_protocol::X402Reason;
use salt402_protocol::x402::EXACT;
use salt402_protocol::x402::payload::Eip3009;
use salt402_protocol::x402::request::{Request, Version};

use crate::authorization::{Authorization, Method};
use crate::policy::NetworkPolicy;
use crate::read::refusal::{Refusal, refuse};
use crate::read::terms::{Moment, Read, echo, method, token};
use crate::read::wrapped::unwrap;

/// Reads a payment. x402 checks the signature after the network and before all the rest.
pub(crate) fn read(
    request: &Request<'_>,
    signed: &Eip3009,
    network: &NetworkPolicy,
    moment: Option<&Moment>,
) -> Result<Read, Refusal> {
    let requirements = &request.requirements;
    if request.accepted.scheme() != EXACT {
        let detail = "the payload was made for another scheme than exact";
        return Err(refuse(X402Reason::ExactScheme, detail));
    }
    let mismatch = || {
        let detail = "the payload was made for another network than the requirements name";
        refuse(X402Reason::ExactNetworkMismatch, detail)
    };
    let other_network = request.accepted.network() != requirements.network();
    // Version 1 looks at the payload's network first.
    if other_network && request.version == Version::V1 {
        return Err(mismatch());
    }
    let (Some(name), Some(version)) = (requirements.domain_name(), requirements.domain_version()) else {
        let detail = "the requirements need extra.name and extra.version, the token's EIP-712 domain";
        return Err(refuse(X402Reason::MissingEip712Domain, detail));
    };
    if other_network {
        return Err(mismatch());
    }
    let token = token(request, network)?;
    if !token.eip3009 {
        let detail = "this asset is not settled by EIP-3009 here";
        return Err(refuse(X402Reason::Eip3009NotSupported, detail));
    }
    method(request, "eip3009")?;
    let (signature, is_wrapped) = unwrap(&request.signature);
    let authorization = Authorization {
        chain: network.chain,
        token: token.token,
        payer: signed.from,
        payee: signed.to,
        amount: signed.value,
        nonce: U256::from_be_bytes(signed.nonce.0),
        valid_after: signed.valid_after,
        valid_before: signed.valid_before,
        signature,
        method: Method::Eip3009 { name: name.to_owned(), version: version.to_owned() },
    };
    let after_signature = after_signature(request, signed, moment).err();
    Ok(Read { charge: authorization.amount, authorization, after_signature, token, is_wrapped })
}

fn after_signature(request: &Request<'_>, signed: &Eip3009, moment: Option<&Moment>) -> Result<(), Refusal> {
    let requirements = &request.requirements;
    if signed.to != requirements.pay_to {
        let detail = format!("the authorization pays {}, and payTo is {}", signed.to, requirements.pay_to);
        return Err(refuse(X402Reason::ExactRecipientMismatch, detail));
    }
    if let Some(moment) = moment.filter(|moment| moment.is_late(signed.valid_before)) {
        let detail = format!(
            "the authorization is valid before {}, which is less than {} seconds from now ({}): sign another one",
            signed.valid_before, moment.margin, moment.now
        );
        return Err(refuse(X402Reason::ValidBefore, detail));
    }
    if let Some(moment) = moment.filter(|moment| moment.is_early(signed.valid_after)) {
        let detail =
            format!("the authorization is valid after {}, and now is {}", signed.valid_after, moment.now);
        return Err(refuse(X402Reason::ValidAfter, detail));
    }
    if signed.value != requirements.amount() {
        let reason = match request.version {
            Version::V1 => X402Reason::AuthorizationValue,
            Version::V2 => X402Reason::ValueMismatch,
        };
        let detail =
            format!("the authorization is over {}, and the price is {}", signed.value, requirements.amount());
        return Err(refuse(reason, detail));
    }
    echo(request, None)
}
