//! What every way to pay has in common.

use alloy_primitives::{Address, U256};
use salt402_protocol::X402Reason;
use salt402_protocol::x402::request::{Accepted, Request};

use crate::authorization::Authorization;
use crate::policy::{NetworkPolicy, TokenPolicy};
use crate::read::refusal::{Refusal, refuse};

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
    pub(crate) fn is_late(&self, end: U256) -> bool {
        end < U256::from(self.now.saturating_add(self.margin))
    }

    /// Whether something that begins at this second has not begun.
    pub(crate) fn is_early(&self, begin: U256) -> bool {
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

/// The rules of the token that the requirements name.
pub(crate) fn token(request: &Request<'_>, network: &NetworkPolicy) -> Result<TokenPolicy, Refusal> {
    let asset = request.requirements.asset;
    network.token(asset).cloned().ok_or_else(|| {
        let detail = format!("the asset {asset} is not settled here on {}", network.chain);
        refuse(X402Reason::InvalidPaymentRequirements, detail)
    })
}

/// What the payer says it accepted must be what is asked for, wherever it concerns money.
pub(crate) fn echo(request: &Request<'_>, signed: Option<U256>) -> Result<(), Refusal> {
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
pub(crate) fn method(request: &Request<'_>, signed: &'static str) -> Result<(), Refusal> {
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
pub(crate) fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
