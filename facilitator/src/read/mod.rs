//! From a request to an [`Authorization`], or to the reason why it is none. Nothing is asked of anybody.
//!
//! The checks come in the order of x402's own facilitator, so that a payment with several faults gets the same reason
//! from both. What is checked besides comes after the scheme and network, which decide who checks.

mod eip3009;
mod permit2;
mod refusal;
mod wrapped;

pub(crate) use refusal::{Refusal, refuse};

use alloy_primitives::U256;
use salt402_protocol::x402::request::{Accepted, Request, Signed, Version};
use salt402_protocol::x402::{EXACT, UPTO, v1_chain};
use salt402_protocol::{Address, ChainId, X402Reason};

use crate::authorization::Authorization;
use crate::policy::{CallerRules, NetworkPolicy, Policy, TokenPolicy};

/// What a request is for: the same body verifies and settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The amount of the requirements is what was signed.
    Verify,
    /// Under `upto` the amount of the requirements is what to charge.
    Settle,
}

/// What changes with time: the clock, and the keys of the operator.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    /// The time of the chain, in seconds since 1970.
    pub(crate) now: u64,
    /// How long a payment must still be valid, in seconds.
    pub(crate) margin: u64,
    /// The accounts that settle.
    pub(crate) signers: Vec<Address>,
}

impl Moment {
    /// Whether something that ends at this second ends too soon.
    fn is_late(&self, end: U256) -> bool {
        end < U256::from(self.now.saturating_add(self.margin))
    }

    /// Whether something that begins at this second has not begun.
    fn is_early(&self, begin: U256) -> bool {
        begin > U256::from(self.now)
    }
}

/// A request that was read.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    /// What was signed, with the signature.
    pub(crate) authorization: Authorization,
    /// What to charge, in base units of the token.
    pub(crate) charge: U256,
    /// What is wrong with it besides, of what x402 checks after the signature. `None`: nothing.
    pub(crate) after_signature: Option<Refusal>,
    /// The rules of its token.
    pub(crate) token: TokenPolicy,
    /// Whether the signature came with what would create the payer's contract (ERC-6492). The authorization has the
    /// signature without it.
    pub(crate) is_wrapped: bool,
}

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

/// The rules of the token that the requirements name.
fn token(request: &Request<'_>, network: &NetworkPolicy) -> Result<TokenPolicy, Refusal> {
    let asset = request.requirements.asset;
    network.token(asset).cloned().ok_or_else(|| {
        let detail = format!("the asset {asset} is not settled here on {}", network.chain);
        refuse(X402Reason::InvalidPaymentRequirements, detail)
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
    if authorization.payee.is_zero() {
        return Err("the payee is the zero address");
    }
    if authorization.amount.is_zero() {
        return Err("the amount is 0, so there is nothing to settle");
    }
    if authorization.amount < token.least {
        return Err("the amount is below the least that is settled here of this asset");
    }
    Ok(())
}

/// What the payer says it accepted must be what is asked for, wherever it concerns money.
fn echo(request: &Request<'_>, signed: Option<U256>) -> Result<(), Refusal> {
    let Accepted::Requirements(accepted) = &request.accepted else { return Ok(()) };
    let asked = &request.requirements;
    let amount = signed.unwrap_or_else(|| asked.amount());
    let difference = accepted.difference(asked).or_else(|| (accepted.amount() != amount).then_some("amount"));
    difference.map_or(Ok(()), |member| {
        let detail = format!(
            "paymentPayload.accepted.{member} is not what paymentRequirements say: send back the requirements that \
             were offered"
        );
        Err(refuse(X402Reason::InvalidPaymentRequirements, detail))
    })
}

/// How the requirements want the token moved must be how it was signed.
fn method(request: &Request<'_>, signed: &'static str) -> Result<(), Refusal> {
    match request.requirements.asset_transfer_method() {
        Some(asked) if asked != signed => {
            let detail = format!(
                "extra.assetTransferMethod is {:?}, and the payload was signed for {signed}",
                short(asked)
            );
            Err(refuse(X402Reason::UnsupportedPayloadType, detail))
        }
        _ => Ok(()),
    }
}

/// The beginning of a text that somebody sent, for a message.
fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
