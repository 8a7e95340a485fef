//! `X-Payment`: what clients of x402's version 1, of the nested body and of `X-Payment-Requirements` send with a paid request.
//!
//! It is JSON in base64. Version 1 names the scheme and the network; the others send the offer back in `accepted`.

use alloy_primitives::U256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::object::{self, Object};
use crate::x402::required::{LONGEST_SIGNED, SignedHeader, SignedHeaderError};
use crate::x402::text;
use crate::x402::v1::PaymentV1;

/// What `X-Payment` holds. Nobody has judged its signature yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XPayment {
    /// The scheme and the network by name, and what was signed.
    V1(PaymentV1),
    /// The offer that was accepted, and what was signed.
    Accepted(SignedHeader),
}

#[derive(Deserialize)]
struct Form<'a> {
    #[serde(borrow, default)]
    accepted: Option<&'a RawValue>,
    #[serde(borrow, default)]
    scheme: Option<&'a RawValue>,
    #[serde(borrow, default)]
    network: Option<&'a RawValue>,
}

/// The members that say the version and the price.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mirrored {
    x402_version: u8,
    #[serde(deserialize_with = "object::deserialize")]
    accepted: Prices,
}

/// The price, and its older name.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prices {
    #[serde(deserialize_with = "text::number")]
    amount: U256,
    #[serde(default, deserialize_with = "text::maybe_number")]
    max_amount: Option<U256>,
}

impl XPayment {
    /// Reads a header's value.
    ///
    /// # Errors
    /// See [`SignedHeaderError`]. What could be read in both forms is an error too.
    pub fn read(value: &str) -> Result<Self, SignedHeaderError> {
        let json = |error: serde_json::Error| SignedHeaderError::Json(error.to_string());
        if value.len() > LONGEST_SIGNED {
            return Err(SignedHeaderError::TooLong);
        }
        let bytes = STANDARD.decode(value).map_err(|_| SignedHeaderError::Base64)?;
        let Object(form) = serde_json::from_slice::<Object<Form<'_>>>(&bytes).map_err(json)?;
        match (form.accepted.is_some(), form.scheme.is_some() || form.network.is_some()) {
            (false, _) => PaymentV1::of_json(&bytes).map(Self::V1),
            (true, true) => {
                let what =
                    "accepted stands beside scheme or network: send accepted alone, or the others without it";
                Err(SignedHeaderError::Json(what.into()))
            }
            (true, false) => {
                let Object(said) = serde_json::from_slice::<Object<Mirrored>>(&bytes).map_err(json)?;
                if said.x402_version != 2 {
                    let what = "x402Version is 2 with accepted, as the 402 said";
                    return Err(SignedHeaderError::Json(what.into()));
                }
                if said.accepted.max_amount.is_some_and(|most| most != said.accepted.amount) {
                    let what = "accepted.maxAmount is another price than accepted.amount: send the offer back as it came";
                    return Err(SignedHeaderError::Json(what.into()));
                }
                SignedHeader::of_json(bytes).map(Self::Accepted)
            }
        }
    }
}
