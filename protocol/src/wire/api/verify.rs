//! What a server needs to be paid: quotes, verdicts on proofs, and leases of the name that it claims under.

use alloy_primitives::{Address, B128, B256};
use serde::{Deserialize, Serialize};

use crate::payment::PaymentId;
use crate::proof::Proof;
use crate::quote::key::QuoteId;
use crate::values::asset::{Asset, checked_address, maybe_checked_address};
use crate::values::money::Amount;
use crate::values::network::ChainId;
use crate::values::request::RequestDigest;
use crate::wire::code::Code;
use crate::wire::object;
#[cfg(feature = "openapi")]
use crate::wire::openapi;

/// `POST /v1/quotes`: ask for a quote.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct QuoteRequest {
    /// The chain to be paid on.
    pub chain: ChainId,
    /// Who is to be paid.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub payee: Address,
    /// What is to be paid.
    pub asset: Asset,
    /// How much, in base units; more than zero.
    pub amount: Amount,
    /// The request that is paid for.
    pub request_digest: RequestDigest,
    /// Whether the quote must be one that nobody else can be given; then its id must come with the proof. Where the
    /// operator takes no bare hashes every quote is such a quote.
    #[serde(default)]
    pub secret: bool,
    /// Whose price this is: the name under which the payment will be claimed. The quote then counts for that name alone,
    /// also after its price has changed; left out, for whoever asks no more than its amount.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub claimant: String,
}

/// The answer to a [`QuoteRequest`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuoteResponse {
    /// The quote's id.
    pub quote_id: QuoteId,
    /// The payment's reference: keccak256 of the id.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub reference: B256,
    /// The contract to pay through.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub payment_contract: Address,
    /// The `SaltChannels` whose vouchers are taken in place of a payment, where any are.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<openapi::Address>))]
    pub channels_contract: Option<Address>,
    /// The least exit delay of a channel whose vouchers are taken, in seconds; left out where any will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels_exit_delay: Option<u64>,
    /// The network's name, for people.
    pub network: String,
    /// The asset's symbol, for people.
    pub symbol: String,
    /// The asset's decimal places, for people.
    pub decimals: u8,
    /// When the quote was given, in seconds since 1970 UTC.
    pub issued_at: u64,
    /// The last second in which the payment may be mined, in seconds since 1970 UTC.
    pub expires_at: u64,
}

/// `POST /v1/verify`: was this paid?
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// The transaction that is said to have paid, the nonce of what was signed, or a channel's voucher.
    pub proof: Proof,
    /// The id of the quote that was paid. If it names `claimant`, its price counts, not that of `requirement`; if it names
    /// nobody, it must be of no less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote_id: Option<QuoteId>,
    /// What had to be paid.
    #[serde(deserialize_with = "object::deserialize")]
    pub requirement: Requirement,
    /// Whether the payment is to be used up for this request.
    #[serde(default)]
    pub claim: bool,
    /// Who claims: a name that stays the same when the server restarts, at most 128 characters. A claim is given
    /// again only to the same name and the same request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub claimant: String,
    /// How long to wait for a payment that is not there yet or not deep enough, in milliseconds; cut to the
    /// operator's limit.
    #[serde(default)]
    pub wait_ms: u64,
    /// Which of the requests this is that the payment pays for, where it pays for several; then `requirement` has what
    /// they have in common, and the quote id must be presented.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub usage: Option<Usage>,
    /// Whether only a claim that was made before is to be given again: a payment that is not claimed stays unclaimed,
    /// and nothing is waited or looked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again_only: bool,
    /// The address of whoever shows the proof, where it is known: no address takes all the look-ups of receipts that there
    /// are. Nothing else depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub client: Option<std::net::IpAddr>,
    /// Which of several processes of this claimant asks, where each claim must be run by one: then it holds the name, by
    /// `POST /v1/leases`, or nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub instance: Option<B128>,
}

/// One of several requests that one payment pays for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// The request that is to be served. The same request is one use, however often it comes.
    pub request_digest: RequestDigest,
    /// How many different requests one payment pays for. What was written down with the first of them counts.
    pub most: u32,
}

/// What had to be paid, by whom it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The chain.
    pub chain: ChainId,
    /// Who had to be paid.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub payee: Address,
    /// What had to be paid.
    pub asset: Asset,
    /// How much, in base units.
    pub amount: Amount,
    /// The request that is to be served.
    pub request_digest: RequestDigest,
    /// Blocks that must contain or follow the payment: 1 is its own block. Never less than the operator's policy;
    /// left out, the policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmations: Option<u64>,
}

/// The answer to a [`VerifyRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Verdict {
    /// It was paid. With `claim`, it is now used up, and that is on disk.
    Accepted {
        /// The payment.
        payment: Box<PaymentView>,
        /// The claim, if one was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claim: Option<ClaimView>,
    },
    /// Not yet: show the same proof again, pay nothing.
    Pending {
        /// Why.
        code: Code,
        /// Why, with the figures.
        detail: String,
        /// When to ask again, in milliseconds.
        retry_after_ms: u64,
    },
    /// No.
    Rejected {
        /// Why.
        code: Code,
        /// Why, with the figures, and what to do.
        detail: String,
    },
}

/// A payment as the verifier tells it. One by a voucher is in the transaction that opened its channel, and has the
/// channel as its reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentView {
    /// The payment's name.
    pub payment_id: PaymentId,
    /// The chain.
    pub chain: ChainId,
    /// The transaction.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub transaction: B256,
    /// The payment contract.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub contract: Address,
    /// The reference it was paid for.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub reference: B256,
    /// Who paid.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub payer: Address,
    /// Who was paid.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub payee: Address,
    /// What was paid.
    pub asset: Asset,
    /// How much, in base units.
    pub amount: Amount,
    /// The block it is in.
    pub block_number: u64,
    /// That block's hash.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub block_hash: B256,
    /// That block's time, in seconds since 1970 UTC; 0 where it is no longer kept, as of a channel's opening.
    pub block_timestamp: u64,
    /// Blocks that contain or follow it, 1 when it is in the newest; 0 when its block left the chain.
    pub confirmations: u64,
    /// Whether its block is on the chain.
    pub canonical: bool,
    /// Whether it was used up.
    pub claimed: bool,
}

/// A claim: the one thing that grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClaimView {
    /// True once for a payment; false when the same request shows the same proof again.
    pub first: bool,
    /// When the payment was claimed, in milliseconds since 1970 UTC.
    pub claimed_at_ms: u64,
}

/// `GET /v1/payments/{tx}`: what the index knows of a transaction.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentsResponse {
    /// Its payments, in the order of their logs; blocks that left the chain last.
    pub payments: Vec<PaymentView>,
}

/// `POST /v1/leases`: holds the name of a claimant, or renews the hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// The name.
    pub claimant: String,
    /// Who is to hold it: 0x and 32 hexadecimal digits that no other live process has.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub instance: B128,
}

/// The answer to a [`LeaseRequest`]: the name is held.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseResponse {
    /// When it is to be renewed, in milliseconds.
    pub renew_within_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::object::Object;

    #[test]
    fn an_array_of_values_is_no_object() {
        let hash = "12".repeat(32);
        let terms = format!("\"eip155:1\",\"0x{0}\",\"native\",\"5\",\"0x{hash}\"", "22".repeat(20));
        let names = ["chain", "payee", "asset", "amount", "request_digest"];
        let named: Vec<_> =
            names.iter().zip(terms.split(',')).map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let named = named.join(",");
        let read = |text: &str| serde_json::from_str::<Object<VerifyRequest>>(text).is_ok();
        assert!(read(&format!("{{\"proof\":\"0x{hash}\",\"requirement\":{{{named}}}}}")));
        assert!(!read(&format!("{{\"proof\":\"0x{hash}\",\"requirement\":[{terms},null]}}")));
        let uses =
            |usage: &str| format!("{{\"proof\":\"0x{hash}\",\"requirement\":{{{named}}},\"usage\":{usage}}}");
        assert!(
            read(&uses(&format!("{{\"request_digest\":\"0x{hash}\",\"most\":3}}"))) && read(&uses("null"))
        );
        assert!(!read(&uses(&format!("[\"0x{hash}\",3]"))));
        assert!(!read(&format!("[\"0x{hash}\",null,{{{named}}},false,\"\",0]")));
    }
}
