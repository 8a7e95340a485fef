//! What is offered: the schemes, the networks, and the accounts that settle.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use salt402_protocol::x402::response::{KindExtra, SupportedKind, SupportedResponse};
use salt402_protocol::x402::{EIP2612_GAS_SPONSORING, EXACT, UPTO, v1_name};

use crate::policy::{NetworkPolicy, Policy};
use crate::settler::Settler;

/// What can be verified and settled, by whom.
pub(crate) fn supported(policy: &Policy, settler: &dyn Settler) -> SupportedResponse {
    let mut supported = SupportedResponse::default();
    let mut everywhere: Vec<Address> = Vec::new();
    let mut by_chain = BTreeMap::new();
    for network in &policy.networks {
        let signers = settler.signers(network.chain);
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
