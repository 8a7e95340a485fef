//! In what a signed payment is taken.

use std::fmt;
use std::sync::Arc;

use salt402_protocol::details::Names;
use salt402_protocol::x402::required::{Offered, OfferedExtra};
use salt402_protocol::x402::requirements::Requirements;
use salt402_protocol::x402::{EIP3009, EXACT, PERMIT2, UPTO};
use salt402_protocol::{Address, Amount, ChainId, QuoteId};

use crate::signed::facilitator::FacilitatorClient;

/// A token in which signed payments are taken, and who settles them.
#[derive(Clone)]
pub struct SignedWay {
    /// Who settles.
    pub facilitator: Arc<dyn FacilitatorClient>,
    /// The token. Its base units count as those of the asset that is asked for: it is that asset, or its wrapped form.
    pub token: Address,
    /// How it is moved.
    pub method: SignedMethod,
    /// The name in its EIP-712 domain.
    pub domain_name: String,
    /// The version in it.
    pub domain_version: String,
    /// For how long what is signed must be good, in seconds.
    pub timeout_s: u64,
    /// The account that settles what is signed for `upto`, which is charged by use. `None`: nothing is offered by it.
    pub upto: Option<Address>,
    /// The most that one payer may have open of what is charged by use and not settled yet, in base units. `None`: any.
    pub most_open: Option<Amount>,
    /// The beginning of the URLs of what is sold, such as `https://shop.example`. `None`: what the client asked.
    pub public_url: Option<String>,
    /// How network and token are named, and the token's decimal places, for dialects that have names and whole units.
    pub names: Names,
    /// The facilitator's address for clients, in dialects that name it. `None`: it is not told.
    pub facilitator_url: Option<String>,
}

/// How a token is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedMethod {
    /// By its own authorizations (EIP-3009).
    Eip3009,
    /// By Permit2, through x402's proxy.
    Permit2,
}

impl SignedMethod {
    const fn name(self) -> &'static str {
        match self {
            Self::Eip3009 => EIP3009,
            Self::Permit2 => PERMIT2,
        }
    }
}

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// The price.
    Exact,
    /// The most that may be charged.
    Upto,
}

impl Scheme {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Exact => EXACT,
            Self::Upto => UPTO,
        }
    }
}

impl fmt::Debug for SignedWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedWay")
            .field("token", &self.token)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl SignedWay {
    /// The token, where payers sign its own authorizations (EIP-3009).
    pub fn authorized_token(&self) -> Option<Address> {
        (self.method == SignedMethod::Eip3009).then_some(self.token)
    }

    /// The ways as a 402 offers them, the best first: what is charged by use before what is charged as it is signed.
    pub(crate) fn all_offered(
        &self,
        chain: ChainId,
        payee: Address,
        amount: Amount,
        by_use: bool,
        quote: Option<QuoteId>,
    ) -> Vec<Offered> {
        let offered = |scheme| self.offered(scheme, chain, payee, amount, quote.clone());
        let upto = self.upto.filter(|_| by_use).map(|_| offered(Scheme::Upto));
        upto.into_iter().chain([offered(Scheme::Exact)]).collect()
    }

    /// The way of a scheme as a 402 offers it.
    pub(crate) fn offered(
        &self,
        scheme: Scheme,
        chain: ChainId,
        payee: Address,
        amount: Amount,
        quote: Option<QuoteId>,
    ) -> Offered {
        let method = self.method_of(scheme);
        let eip3009 = method == SignedMethod::Eip3009;
        Offered {
            scheme: scheme.name(),
            network: chain,
            amount,
            asset: self.token,
            pay_to: payee,
            max_timeout_seconds: self.timeout_s,
            extra: OfferedExtra {
                name: self.domain_name.clone(),
                version: self.domain_version.clone(),
                asset_transfer_method: method.name(),
                primary_type: eip3009.then_some("TransferWithAuthorization"),
                facilitator_address: self.upto.filter(|_| scheme == Scheme::Upto),
                quote_id: quote,
            },
        }
    }

    const fn method_of(&self, scheme: Scheme) -> SignedMethod {
        match scheme {
            Scheme::Exact => self.method,
            Scheme::Upto => SignedMethod::Permit2,
        }
    }

    /// Which scheme was accepted, of those that there may be here.
    pub(crate) fn scheme(&self, accepted: &Requirements<'_>) -> Scheme {
        if self.upto.is_some() && accepted.scheme() == UPTO { Scheme::Upto } else { Scheme::Exact }
    }

    /// What of an accepted way is not this one.
    pub(crate) fn difference(
        &self,
        scheme: Scheme,
        accepted: &Requirements<'_>,
        chain: ChainId,
        payee: Address,
    ) -> Option<&'static str> {
        let members = [
            ("scheme", accepted.scheme() != scheme.name()),
            ("network", accepted.network() != chain.to_string()),
            ("asset", accepted.asset != self.token),
            ("payTo", accepted.pay_to != payee),
            (
                "extra.assetTransferMethod",
                accepted
                    .asset_transfer_method()
                    .is_some_and(|method| method != self.method_of(scheme).name()),
            ),
            (
                "extra.facilitatorAddress",
                scheme == Scheme::Upto
                    && accepted.facilitator().is_some_and(|facilitator| Some(facilitator) != self.upto),
            ),
        ];
        members.into_iter().find(|(_, differs)| *differs).map(|(member, _)| member)
    }
}
