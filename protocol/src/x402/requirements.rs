//! Payment requirements: what a resource server asks for.

use alloy_primitives::{Address, U256};
use serde::Deserialize;

use crate::x402::text::{self, Text};

/// What a resource server asks for, in version 1 or 2. Members that are not listed are ignored.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requirements<'a> {
    /// The scheme.
    #[serde(borrow)]
    pub(crate) scheme: Text<'a>,
    /// The network: CAIP-2 in version 2, a name in version 1.
    #[serde(borrow)]
    pub(crate) network: Text<'a>,
    /// The amount of version 2.
    #[serde(default, deserialize_with = "text::maybe_number")]
    pub(crate) amount: Option<U256>,
    /// The amount of version 1.
    #[serde(default, deserialize_with = "text::maybe_number")]
    pub(crate) max_amount_required: Option<U256>,
    /// The token.
    #[serde(deserialize_with = "text::address")]
    pub asset: Address,
    /// The payee.
    #[serde(deserialize_with = "text::address")]
    pub pay_to: Address,
    /// How long a payment must be good, in seconds. It is only read, so that what is no number is refused.
    #[serde(deserialize_with = "text::positive")]
    pub max_timeout_seconds: f64,
    /// What the scheme needs besides.
    #[serde(borrow, default, deserialize_with = "crate::wire::object::optional")]
    pub(crate) extra: Option<Extra<'a>>,
}

/// What is read of `extra`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Extra<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    version: Option<Text<'a>>,
    #[serde(borrow, default)]
    asset_transfer_method: Option<Text<'a>>,
    #[serde(default, deserialize_with = "text::maybe_address")]
    facilitator_address: Option<Address>,
    #[serde(borrow, default)]
    quote_id: Option<Text<'a>>,
}

impl Requirements<'_> {
    /// The scheme.
    pub fn scheme(&self) -> &str {
        &self.scheme.0
    }

    /// The network: CAIP-2 in version 2, a name in version 1.
    pub fn network(&self) -> &str {
        &self.network.0
    }

    /// The price, in base units of the token; under `upto` the most, or what to charge when it is settled.
    pub fn amount(&self) -> U256 {
        self.amount.or(self.max_amount_required).unwrap_or_default()
    }

    /// The name of the token's EIP-712 domain. `None` if it is not there or empty.
    pub fn domain_name(&self) -> Option<&str> {
        of(self.extra.as_ref()?.name.as_ref())
    }

    /// The version in the token's EIP-712 domain. `None` if it is not there or empty.
    pub fn domain_version(&self) -> Option<&str> {
        of(self.extra.as_ref()?.version.as_ref())
    }

    /// How the token is to be moved: `eip3009` or `permit2`. `None` if it is not said.
    pub fn asset_transfer_method(&self) -> Option<&str> {
        of(self.extra.as_ref()?.asset_transfer_method.as_ref())
    }

    /// The facilitator that has to be signed for under `upto`. `None` if it is not said.
    pub fn facilitator(&self) -> Option<Address> {
        self.extra.as_ref()?.facilitator_address
    }

    /// The id of the quote that the price is of, where a server of this project asked. `None` if it is not said.
    pub fn quote_id(&self) -> Option<&str> {
        of(self.extra.as_ref()?.quote_id.as_ref())
    }

    /// The first member that says something else about money than in `other`, but the amount. `None` if both say the
    /// same. A member of `extra` counts only if `other` has it.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        let extra = |own: Option<&str>, asked: Option<&str>| asked.is_some() && own != asked;
        let members = [
            ("scheme", self.scheme != other.scheme),
            ("network", self.network != other.network),
            ("asset", self.asset != other.asset),
            ("payTo", self.pay_to != other.pay_to),
            ("extra.name", extra(self.domain_name(), other.domain_name())),
            ("extra.version", extra(self.domain_version(), other.domain_version())),
            ("extra.assetTransferMethod", extra(self.asset_transfer_method(), other.asset_transfer_method())),
            (
                "extra.facilitatorAddress",
                other.facilitator().is_some() && self.facilitator() != other.facilitator(),
            ),
        ];
        members.into_iter().find(|(_, differs)| *differs).map(|(member, _)| member)
    }
}

fn of<'t>(text: Option<&'t Text<'_>>) -> Option<&'t str> {
    text.map(|text| &*text.0).filter(|text| !text.is_empty())
}
