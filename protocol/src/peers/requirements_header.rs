//! `X-Payment-Requirements`, as x402cloud sends it: JSON in base64. The paid request has [`X-Payment`](super::x_payment).
//!
//! x402cloud's own pages show the flat members, and its code reads a list of ways in `accepts`. Both are there and say the same.
//! Its pages have the price as a JSON number; here it is a text, because a number loses digits.

use alloy_primitives::Address;
use serde::Serialize;

use crate::details::Names;
use crate::values::asset::checked_address;
use crate::values::money::Amount;
use crate::values::network::ChainId;
use crate::x402::required::{Offered, SoldResource, to_header};

/// The header of a 402 with what is asked.
pub const REQUIREMENTS_HEADER: &str = "x-payment-requirements";

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requirements<'a> {
    /// The version of x402 that `accepts` is in: 2.
    x402_version: u8,
    /// The scheme of the first way.
    scheme: &'static str,
    /// Its chain.
    network: ChainId,
    /// Its price in whole units of the token, such as `0.013`.
    price: String,
    /// Its payee.
    #[serde(with = "checked_address")]
    pay_to: Address,
    /// For how long what is signed must be good, in seconds.
    max_timeout_seconds: u64,
    /// Where it is settled, if that is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    facilitator_url: Option<&'a str>,
    resource: &'a SoldResource<'a>,
    /// The ways to pay, the best first.
    accepts: Vec<Way<'a>>,
}

/// A way to pay, whose price has its older name too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Way<'a> {
    #[serde(flatten)]
    offered: &'a Offered,
    max_amount: Amount,
}

impl<'a> Requirements<'a> {
    /// What is asked by these ways; `None` if there is none.
    pub fn of(
        ways: &'a [Offered],
        resource: &'a SoldResource<'a>,
        names: &Names,
        facilitator_url: Option<&'a str>,
    ) -> Option<Self> {
        let first = ways.first()?;
        Some(Self {
            x402_version: 2,
            scheme: first.scheme,
            network: first.network,
            price: first.amount.to_units(names.decimals),
            pay_to: first.pay_to,
            max_timeout_seconds: first.max_timeout_seconds,
            facilitator_url,
            resource,
            accepts: ways.iter().map(|offered| Way { offered, max_amount: offered.amount }).collect(),
        })
    }

    /// The header's value.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn to_header(&self) -> Result<String, serde_json::Error> {
        to_header(self)
    }
}
