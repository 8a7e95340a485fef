//! A request, read.

use salt402_protocol::x402::request::{Request, Signed, Version};
use salt402_protocol::x402::{EXACT, UPTO, v1_chain};
use salt402_protocol::{ChainId, X402Reason};

use crate::authorization::Authorization;
use crate::policy::{CallerRules, NetworkPolicy, Policy, TokenPolicy};
use crate::read::refusal::{Refusal, refuse};
use crate::read::terms::{Moment, Purpose, Read, short};
use crate::read::{eip3009, permit2};

/// Reads a request. `moment` says what changes with time on a chain; without one, what was good at some time is good.
pub(crate) fn read(
    request: &Request<'_>,
    policy: &Policy,
    caller: Option<&CallerRules>,
    purpose: Purpose,
    moment: &dyn Fn(ChainId) -> Option<Moment>,
) -> Result<Read, Refusal> {
    let requirements = &request.requirements;
    let scheme = requirements.scheme();
    if scheme != EXACT && scheme != UPTO {
        let detail =
            format!("the scheme {:?} is not settled here: GET /supported lists the schemes", short(scheme));
        return Err(refuse(X402Reason::UnsupportedScheme, detail));
    }
    let network = network(request, policy)?;
    if request.version == Version::V1 && (scheme != EXACT || matches!(request.signed, Signed::Permit2(_))) {
        let detail = "version 1 has the scheme exact by EIP-3009 alone: use version 2";
        return Err(refuse(X402Reason::UnsupportedScheme, detail));
    }
    let moment = moment(network.chain);
    let moment = moment.as_ref();
    let read = match (&request.signed, scheme) {
        (Signed::Eip3009(signed), EXACT) => eip3009::read(request, signed, network, moment)?,
        (Signed::Permit2(signed), EXACT) => permit2::read_exact(request, signed, network, moment)?,
        (Signed::Permit2(signed), _) => permit2::read_upto(request, signed, network, purpose, moment)?,
        (Signed::Eip3009(_), _) => {
            let detail = "the scheme upto has a permit2Authorization, and no authorization";
            return Err(refuse(X402Reason::UnsupportedPayloadType, detail));
        }
    };
    let authorization = &read.authorization;
    let own = permitted(authorization, network, &read.token);
    let asks =
        |rules: &CallerRules| rules.check(authorization.chain, authorization.token, authorization.payee);
    own.and_then(|()| caller.map_or(Ok(()), asks))
        .map_err(|detail| refuse(X402Reason::InvalidPaymentRequirements, detail))?;
    Ok(read)
}

/// The network of a request's requirements.
fn network<'p>(request: &Request<'_>, policy: &'p Policy) -> Result<&'p NetworkPolicy, Refusal> {
    let name = request.requirements.network();
    let chain = match request.version {
        Version::V1 => v1_chain(name),
        Version::V2 => name.parse().ok(),
    };
    chain.and_then(|chain| policy.network(chain)).ok_or_else(|| {
        let detail =
            format!("the network {:?} is not settled here: GET /supported lists the networks", short(name));
        refuse(X402Reason::InvalidNetwork, detail)
    })
}

fn permitted(
    authorization: &Authorization,
    network: &NetworkPolicy,
    token: &TokenPolicy,
) -> Result<(), &'static str> {
    if !network.payees.has(authorization.payee) {
        return Err("payments to this payee are not settled here");
    }
    if authorization.payee.is_zero() || authorization.payee == authorization.token {
        return Err("the payee is the zero address or the asset itself, to which tokens refuse to be sent");
    }
    if authorization.amount.is_zero() {
        return Err("the amount is 0, so there is nothing to settle");
    }
    if authorization.amount < token.least {
        return Err("the amount is below the least that is settled here of this asset");
    }
    Ok(())
}
