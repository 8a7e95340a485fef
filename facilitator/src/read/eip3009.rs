//! `exact` by EIP-3009: the token itself takes the signature.

use alloy_primitives::U256;
use salt402_protocol::X402Reason;
use salt402_protocol::x402::payload::Eip3009;
use salt402_protocol::x402::request::{Request, Version};
use salt402_protocol::x402::{CITRATE_FEE, EIP3009, EXACT};

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
    let mut method = method_of(request, signed, network, name, version)?;
    let (signature, wrapped) = unwrap(&request.signature);
    let is_wrapped = wrapped.is_some();
    if let Method::Eip3009 { deployment, .. } = &mut method {
        *deployment = wrapped.filter(|wrapped| network.factories.contains(&wrapped.factory));
    }
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
        method,
    };
    let after_signature = after_signature(request, signed, moment).err();
    Ok(Read { charge: authorization.amount, authorization, after_signature, token, is_wrapped })
}

/// How the token takes the authorization: itself, or through Citrate's own facilitator.
fn method_of(
    request: &Request<'_>,
    signed: &Eip3009,
    network: &NetworkPolicy,
    name: &str,
    version: &str,
) -> Result<Method, Refusal> {
    let (name, version) = (name.to_owned(), version.to_owned());
    let unsupported = |detail: &'static str| Err(refuse(X402Reason::UnsupportedPayloadType, detail));
    let is_citrate = request.requirements.asset_transfer_method() == Some(CITRATE_FEE);
    match (is_citrate, signed.treasury, signed.fee) {
        (false, None, None) => {
            method(request, EIP3009)?;
            Ok(Method::Eip3009 { name, version, deployment: None })
        }
        (false, ..) => unsupported(
            "an authorization with treasury or fee is settled for assetTransferMethod citrateFee alone",
        ),
        (true, Some(treasury), Some(fee)) => {
            let asset = request.requirements.asset;
            let Some(policy) = network.citrate.filter(|policy| policy.token == asset) else {
                return unsupported("this asset is not settled through Citrate's own facilitator here");
            };
            if treasury != policy.treasury {
                let detail =
                    format!("the fee goes to {treasury}, and the contract's treasury is {}", policy.treasury);
                return Err(refuse(X402Reason::InvalidPayload, detail));
            }
            if fee > signed.value {
                return Err(refuse(X402Reason::InvalidPayload, "the fee is more than the amount"));
            }
            Ok(Method::CitrateFee { contract: policy.contract, treasury, fee, name, version })
        }
        (true, ..) => unsupported("an authorization for Citrate's own facilitator names treasury and fee"),
    }
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
