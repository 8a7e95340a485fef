//! The body `{"error": "Payment Required", "x402": {"version": 1, "accepts": […]}}`, as CheapestInference sends it: amounts in whole
//! units, asset and network by name. The paid request has [`X-Payment`](super::x_payment) in version 1 of x402, with the network's
//! name as it stands here.
//!
//! A name says nothing for sure, so `extra` has what it stands for: the token's contract, the chain and the decimal places.

use alloy_primitives::Address;
use serde::Serialize;

use crate::details::Names;
use crate::values::asset::checked_address;
use crate::values::network::ChainId;
use crate::x402::required::Offered;
use crate::x402::{EIP3009, EXACT};

/// The member `error` of the body.
pub const ERROR: &str = "Payment Required";

/// One way to pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NestedWay {
    scheme: &'static str,
    network: String,
    max_amount_required: String,
    asset: String,
    #[serde(with = "checked_address")]
    pay_to: Address,
    max_timeout_seconds: u64,
    extra: NestedExtra,
}

/// What the names stand for, and what is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct NestedExtra {
    /// The name in the token's EIP-712 domain.
    name: String,
    /// The version in it.
    version: String,
    /// The token's contract.
    #[serde(with = "checked_address")]
    asset: Address,
    /// The chain.
    network: ChainId,
    decimals: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    facilitator_url: Option<String>,
}

impl NestedWay {
    /// A way in this dialect; `None` for what is not signed by EIP-3009.
    pub fn of(offered: &Offered, names: &Names, facilitator_url: Option<&str>) -> Option<Self> {
        let is_readable = offered.scheme == EXACT && offered.extra.asset_transfer_method == EIP3009;
        is_readable.then(|| Self {
            scheme: EXACT,
            network: names.network.clone(),
            max_amount_required: offered.amount.to_units(names.decimals),
            asset: names.symbol.clone(),
            pay_to: offered.pay_to,
            max_timeout_seconds: offered.max_timeout_seconds,
            extra: NestedExtra {
                name: offered.extra.name.clone(),
                version: offered.extra.version.clone(),
                asset: offered.asset,
                network: offered.network,
                decimals: names.decimals,
                facilitator_url: facilitator_url.map(str::to_owned),
            },
        })
    }
}
