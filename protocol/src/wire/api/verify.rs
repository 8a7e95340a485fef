//! Requests and answers for selling: quotes, verdicts on proofs, and leases of claimant names.

use std::time::Duration;

use alloy_primitives::{Address, B128, B256};
use serde::{Deserialize, Serialize};

use crate::payment::PaymentId;
use crate::proof::Proof;
use crate::quote::key::QuoteId;
use crate::values::asset::{Asset, checked_address, maybe_checked_address};
use crate::values::money::Amount;
use crate::values::network::ChainId;
use crate::values::request::RequestDigest;
use crate::wire::api::accounts::CreditRequest;
use crate::wire::code::Code;
use crate::wire::object;
#[cfg(feature = "openapi")]
use crate::wire::openapi;

/// `POST /v1/quotes`: asks for a quote.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct QuoteRequest {
    /// The chain to pay on.
    pub chain: ChainId,
    /// The account to pay.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub payee: Address,
    /// The asset to pay.
    pub asset: Asset,
    /// The amount, in base units; more than zero.
    pub amount: Amount,
    /// The request to pay for.
    pub request_digest: RequestDigest,
    /// Whether nobody else may get this quote. Its id must then come with the proof. If the operator accepts no bare
    /// hashes, every quote is like this.
    #[serde(default)]
    pub secret: bool,
    /// The service that sets the price: the name that will claim the payment. The quote then counts for that name
    /// alone, even after its price has changed. If left out, the quote counts for every service whose price it covers.
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
    /// The payment contract to pay through.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub payment_contract: Address,
    /// The `SaltChannels` contract whose vouchers are accepted instead of a payment, if any.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<openapi::Address>))]
    pub channels_contract: Option<Address>,
    /// The shortest accepted exit delay of a channel, in seconds. Left out if any delay is accepted.
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

/// `POST /v1/verify`: asks whether a payment was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// The proof: a transaction hash, a signed nonce, or a channel voucher.
    pub proof: Proof,
    /// The id of the quote that was paid. If the quote names `claimant`, its price counts instead of that of
    /// `requirement`. If it names no claimant, it must not be lower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote_id: Option<QuoteId>,
    /// The required payment.
    #[serde(deserialize_with = "object::deserialize")]
    pub requirement: Requirement,
    /// Whether to use up the payment for this request.
    #[serde(default)]
    pub claim: bool,
    /// The claimant: a name that stays the same after restarts, at most 128 characters. A claim is repeated only for
    /// the same name and request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub claimant: String,
    /// How long to wait for a payment that is missing or not deep enough, in milliseconds. The operator's limit bounds
    /// it.
    #[serde(default)]
    pub wait_ms: u64,
    /// Which of several requests this is, if the payment pays for several. `requirement` then holds what they have in
    /// common, and the quote id must be presented.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub usage: Option<Usage>,
    /// Whether only an earlier claim may be repeated. An unclaimed payment then stays unclaimed, and the verifier
    /// neither waits nor looks anything up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again_only: bool,
    /// The address of the client that presents the proof, if known. It only limits receipt look-ups, so that no address
    /// takes them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub client: Option<std::net::IpAddr>,
    /// Whether a voucher's price is the most that may be charged, and what was used is charged afterwards (`POST /v1/captures`).
    /// Other payments are charged as they were made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_use: bool,
    /// With `by_use`, how much a voucher must allow at least, in base units, if it need not allow all of it. The claim is then over what
    /// the voucher allows, up to the amount, and further vouchers may raise it (`raises`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Amount>,
    /// The payment of an earlier claim of this request that the voucher raises, if it is one that was made with `at_least`. The answer
    /// is about that payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raises: Option<PaymentId>,
    /// Which process of the claimant asks, if each claim must be run by one process only. That process must hold the
    /// name (`POST /v1/leases`), or nobody may hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub instance: Option<B128>,
    /// What the payment buys, where that is a balance. It is credited in the transaction that claims the payment.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub credit: Option<CreditRequest>,
}

/// One of several requests that one payment pays for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// The request to serve. The same request is one use, however often it comes.
    pub request_digest: RequestDigest,
    /// How many different requests one payment pays for. The number stored with the first use counts.
    pub most: u32,
}

/// The required payment, as the caller states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The chain.
    pub chain: ChainId,
    /// The account that had to be paid.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub payee: Address,
    /// The asset that had to be paid.
    pub asset: Asset,
    /// The amount, in base units.
    pub amount: Amount,
    /// The request to serve.
    pub request_digest: RequestDigest,
    /// The required confirmations: 1 counts the payment's own block only. At least the operator's policy. Left out: the
    /// policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmations: Option<u64>,
}

/// The answer to a [`VerifyRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Verdict {
    /// The payment was made. With `claim`, it is now used up and stored on disk.
    Accepted {
        /// The payment.
        payment: Box<PaymentView>,
        /// The claim, if it was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claim: Option<ClaimView>,
    },
    /// Not yet. Present the same proof again and pay nothing.
    Pending {
        /// The reason.
        code: Code,
        /// The reason with figures, for people.
        detail: String,
        /// When to ask again, in milliseconds.
        retry_after_ms: u64,
    },
    /// The proof is refused.
    Rejected {
        /// The reason.
        code: Code,
        /// The reason with figures, and what to do, for people.
        detail: String,
    },
}

/// A payment. A voucher's payment has the transaction that opened its channel, and the channel as its reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentView {
    /// The payment's id.
    pub payment_id: PaymentId,
    /// The chain.
    pub chain: ChainId,
    /// The transaction's hash.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub transaction: B256,
    /// The payment contract.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub contract: Address,
    /// The reference that was paid for.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub reference: B256,
    /// The payer.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub payer: Address,
    /// The payee.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub payee: Address,
    /// The asset that was paid.
    pub asset: Asset,
    /// The amount, in base units.
    pub amount: Amount,
    /// The height of the payment's block.
    pub block_number: u64,
    /// The hash of the block.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub block_hash: B256,
    /// The block's time, in seconds since 1970 UTC. 0 if it is not kept any more, as for old channel openings.
    pub block_timestamp: u64,
    /// The number of confirmations: 1 if the payment is in the newest block, 0 if its block left the chain.
    pub confirmations: u64,
    /// Whether the payment's block is on the chain.
    pub canonical: bool,
    /// Whether the payment was used up.
    pub claimed: bool,
    /// What the payee gave back for the payment's reference, in base units, on the chain. Left out if nothing was and nothing is
    /// on its way; `0` if it is on its way. With it, the payment buys nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refunded: Option<Amount>,
}

/// A claim. Only a claim grants a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClaimView {
    /// True for the first claim of a payment. False if the same request presents the same proof again.
    pub first: bool,
    /// When the payment was claimed, in milliseconds since 1970 UTC.
    pub claimed_at_ms: u64,
    /// Whether the payment's amount is the most that may be charged, and what was used is charged afterwards.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_use: bool,
    /// Where further vouchers may raise the payment's amount: up to what, and how their channel stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tab: Option<Box<TabView>>,
    /// With `by_use`, where it is of a channel: how soon its payer can leave with what is not charged by then, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_delay_s: Option<u64>,
}

impl ClaimView {
    /// Within which time from now, in milliseconds since 1970 UTC, what is charged must be known: half of the exit delay after the claim,
    /// whichever run this is. As much is left to claim it before its payer can have left.
    pub fn within(&self, now_ms: u64) -> Option<Duration> {
        let since = Duration::from_millis(now_ms.saturating_sub(self.claimed_at_ms));
        self.exit_delay_s.map(|delay| Duration::from_secs(delay / 2).saturating_sub(since))
    }
}

/// What a claim may cost that further vouchers raise, and how their channel stands. All of it in base units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TabView {
    /// What the request may cost at the most.
    pub most: Amount,
    /// The highest accepted ceiling of the channel.
    pub highest: Amount,
    /// What its requests have cost, with what is reserved for those under way.
    pub used: Amount,
    /// Everything that was ever deposited, as far as the index knows.
    pub deposit: Amount,
}

/// `GET /v1/payments/{tx}`: the indexed payments of a transaction.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentsResponse {
    /// The payments, in the order of their logs. Those in blocks that left the chain come last.
    pub payments: Vec<PaymentView>,
    /// The refunds of these payments, oldest first. Those in blocks that left the chain are named too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<RefundView>,
}

/// Money that a payee gave back for payments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefundView {
    /// The reference of the payment.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub reference: B256,
    /// The transaction of the refund.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub transaction: B256,
    /// The contract that it went through.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub contract: Address,
    /// The amount, in base units.
    pub amount: Amount,
    /// The height of the refund's block.
    pub block_number: u64,
    /// The hash of the block.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub block_hash: B256,
    /// The block's time, in seconds since 1970 UTC.
    pub block_timestamp: u64,
    /// Whether the refund's block is on the chain.
    pub canonical: bool,
}

/// `POST /v1/leases`: takes or renews the lease of a claimant's name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// The claimant's name.
    pub claimant: String,
    /// The process that takes the lease: `0x` and 32 hexadecimal digits that no other live process has.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub instance: B128,
}

/// The answer to a [`LeaseRequest`]: the caller holds the lease.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseResponse {
    /// When to renew the lease, in milliseconds.
    pub renew_within_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::object::Object;

    #[test]
    fn a_later_run_has_what_is_left_of_half_of_the_exit_delay() {
        let claim = |exit_delay_s| ClaimView {
            first: false,
            claimed_at_ms: 1_000_000,
            by_use: true,
            tab: None,
            exit_delay_s,
        };
        let within = |now_ms| claim(Some(900)).within(now_ms).map(|left| left.as_secs());
        assert_eq!([1_000_000, 1_400_000, 1_450_000, 9_000_000].map(within), [450, 50, 0, 0].map(Some));
        assert_eq!(within(0), Some(450), "by a clock that is behind");
        assert_eq!(claim(None).within(1_000_000), None);
    }

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
