//! Requests and answers for signed payments (x402), which are kept for a request before they are settled.

use alloy_primitives::{Address, Bytes};
use serde::{Deserialize, Serialize};

use crate::payment::PaymentId;
use crate::proof::Proof;
use crate::quote::key::QuoteId;
use crate::values::asset::checked_address;
use crate::values::money::Amount;
use crate::values::network::ChainId;
use crate::wire::api::verify::Requirement;
use crate::wire::code::Code;
use crate::wire::object;
#[cfg(feature = "openapi")]
use crate::wire::openapi;

/// `POST /v1/reservations`: keeps a signed payment for one request, before anybody settles it. What is signed names no request,
/// and everybody can read it once it is on the chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReserveRequest {
    /// The nonce that was signed.
    pub proof: Proof,
    /// Who signed.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub payer: Address,
    /// The token that moves.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub token: Address,
    /// What was signed, in base units of the token. It must cover the price.
    pub amount: Amount,
    /// What has to be paid at the moment, for which request. Its asset may be the native coin where `token` is its wrapped form.
    #[serde(deserialize_with = "object::deserialize")]
    pub requirement: Requirement,
    /// The quote whose price counts, while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote_id: Option<QuoteId>,
    /// Who will claim the payment.
    pub claimant: String,
    /// What a facilitator is asked with. Left out: nothing is written, and it is told what is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub payload: Option<Bytes>,
    /// Whether the claimant gives the answer to a request again. Then another payment that its payer signed for it a moment ago
    /// stands in for this one also after it was claimed.
    #[serde(default)]
    pub answers_are_kept: bool,
}

/// The answer to a [`ReserveRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Reservation {
    /// It is kept for this request, on disk.
    Kept {
        /// What a facilitator is asked with.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        payload: Bytes,
        /// Whether it is settled.
        settled: bool,
    },
    /// Its payer signed another payment for the same request a moment ago, which stands in for this one. Do not settle this one.
    Earlier {
        /// What a facilitator is asked with for the earlier one.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        payload: Bytes,
        /// Whether the earlier one is settled.
        settled: bool,
    },
    /// It was kept for this request, and moved no money when it was to be settled. It is not kept now.
    Released {
        /// What a facilitator was asked with.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        payload: Bytes,
    },
    /// It was used for something else.
    Taken,
    /// Nothing is known of it, and nothing was to be written.
    Unknown,
    /// It does not cover the price. Nothing was written.
    Rejected {
        /// The reason.
        code: Code,
        /// The reason with figures, for people.
        detail: String,
    },
}

/// `POST /v1/reservations/outcome`: what became of a signed payment that was kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReservationOutcome {
    /// The chain.
    pub chain: ChainId,
    /// The payment.
    pub payment_id: PaymentId,
    /// Who keeps it.
    pub claimant: String,
    /// Whether the money moved, and nobody else was told so. If not, no money moved and none will.
    pub settled: bool,
}

/// `POST /v1/captures`: what is charged of an authorization: of a signed payment that is kept, or of a voucher that was granted on
/// `by_use`. The first amount stays.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CaptureRequest {
    /// The chain.
    pub chain: ChainId,
    /// The payment.
    pub payment_id: PaymentId,
    /// Who reserved it.
    pub claimant: String,
    /// What is charged, in base units: no more than was authorized.
    pub amount: Amount,
}

/// The answer to a [`CaptureRequest`]. It is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CaptureResponse {
    /// What is charged, in base units: what the first request for it said.
    pub amount: Amount,
    /// Whether it was settled, and written down as settled. Do not settle it again.
    #[serde(default)]
    pub settled: bool,
}
