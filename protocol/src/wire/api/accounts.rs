//! Requests and answers for API keys and the prepaid balances that they draw.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::payment::PaymentId;
use crate::values::api_key::AccountId;
use crate::values::asset::{Asset, checked_address};
use crate::values::money::Amount;
use crate::values::network::ChainId;
use crate::values::request::RequestDigest;
use crate::wire::code::Code;
use crate::wire::object;
#[cfg(feature = "openapi")]
use crate::wire::openapi;

/// What a key may do. Left out: anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyLimits {
    /// How many requests a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// How much of the balance may be used a day (UTC), in base units, with what is reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_per_day: Option<Amount>,
    /// The models and services, by their names. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// The paths, such as `/v1/chat/completions`. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// The last second in which the key is good, in seconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<u64>,
}

/// What a payment buys: a balance. It is credited in the transaction that uses the payment up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreditRequest {
    /// The account that is topped up. Left out: that of `key_hash`; without both, a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub account: Option<AccountId>,
    /// The SHA-256 of a key that the buyer made. Its account is topped up, or made. Left out: the key of a new account is derived from the
    /// payment, and told to whoever shows the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<openapi::Hash>))]
    pub key_hash: Option<B256>,
    /// The plan, by its name. Empty: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plan: String,
    /// What is credited beside what was paid, in base units.
    #[serde(default)]
    pub bonus: Amount,
    /// What a new account's key may do.
    #[serde(default, deserialize_with = "object::deserialize")]
    pub limits: KeyLimits,
}

/// `POST /v1/credits`: asks what a payment bought.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreditOfRequest {
    /// The service that claimed the payment.
    pub claimant: String,
    /// The payment.
    pub payment: PaymentId,
}

/// The answer to a [`CreditOfRequest`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreditView {
    /// The account.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub account: AccountId,
    /// Whether the payment made the account.
    pub made: bool,
    /// The account's key, if the payment made both. It is a secret: tell it to the payer alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What was credited, in base units, with the bonus.
    pub credited: Amount,
}

/// Without the key.
impl std::fmt::Debug for CreditView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreditView")
            .field("account", &self.account)
            .field("made", &self.made)
            .field("credited", &self.credited)
            .finish_non_exhaustive()
    }
}

/// `POST /v1/draws`: reserves the most that a request may cost from the balance of a key. What it used is charged afterwards
/// (`POST /v1/captures`), once, and the rest is free again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DrawRequest {
    /// The id of what is reserved, by which it is charged. The same id is one reservation, however often it comes.
    pub draw: PaymentId,
    /// The SHA-256 of the key.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub key_hash: B256,
    /// The service: the account must be one of it.
    pub claimant: String,
    /// The chain on which balances are bought.
    pub chain: ChainId,
    /// What the balance is in.
    pub asset: Asset,
    /// The request.
    pub request_digest: RequestDigest,
    /// Its path, without a query.
    pub path: String,
    /// The models and services that it is for, by their names.
    pub models: Vec<String>,
    /// The most that it may cost, in base units.
    pub amount: Amount,
}

/// The answer to a [`DrawRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Drawn {
    /// It is reserved, on disk.
    Reserved {
        /// The account.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        account: AccountId,
        /// Who bought the balance first; zero if the operator made it.
        #[serde(with = "checked_address")]
        #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
        payer: Address,
        /// Whether it was reserved now, and not before under the same id.
        first: bool,
        /// What is reserved, in base units.
        amount: Amount,
        /// What was charged of it already, in base units.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        captured: Option<Amount>,
        /// What is free of the balance, in base units.
        left: Amount,
    },
    /// It is not, and nothing was written.
    Refused {
        /// Why.
        code: Code,
        /// Why, with figures, for people.
        detail: String,
        /// The account, if the key is good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
        account: Option<AccountId>,
        /// When to ask again, in milliseconds, where waiting helps.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
}

/// `POST /v1/draws/open`: asks for what is reserved and was not charged yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenDrawsRequest {
    /// The service.
    pub claimant: String,
    /// For how long it is reserved at the least, in milliseconds.
    pub older_than_ms: u64,
}

/// The answer to an [`OpenDrawsRequest`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenDrawsResponse {
    /// Their ids, the oldest first; not all, if there are many.
    pub draws: Vec<PaymentId>,
}

/// `POST /v1/accounts`: asks for an account, by its key or by its id, and for a part of its history.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AccountRequest {
    /// The service.
    pub claimant: String,
    /// The SHA-256 of its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<openapi::Hash>))]
    pub key_hash: Option<B256>,
    /// Its id, if the key is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub account: Option<AccountId>,
    /// How much of its history is told, the newest first: at most 1000 entries.
    #[serde(default)]
    pub entries: u32,
    /// Only entries before the one with this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// An account with a prepaid balance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccountView {
    /// The account.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub account: AccountId,
    /// `active`, `blocked` (a payment for it left the chain or was given back), `ended` or `revoked`.
    pub state: String,
    /// Whether it takes no more payments, as too many have topped it up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
    /// The plan, by its name. Left out: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plan: String,
    /// The chain on which it is topped up.
    pub chain: ChainId,
    /// What the balance is in.
    pub asset: Asset,
    /// What may be used, in base units: what was credited, less what was used, is reserved, or was given back.
    pub balance: Amount,
    /// What is reserved for requests under way, in base units.
    pub reserved: Amount,
    /// What was credited since the beginning, in base units.
    pub credited: Amount,
    /// What was used since the beginning, in base units.
    pub spent: Amount,
    /// What was used today (UTC), in base units, with what is reserved.
    pub used_today: Amount,
    /// What its key may do.
    pub limits: KeyLimits,
    /// Its history, as far as it was asked for, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<AccountEntry>,
}

/// Something that happened to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccountEntry {
    /// Its number, which grows.
    pub entry: u64,
    /// `charge`, `top_up`, `bonus`, `granted` (by the operator), `returned`, `created`, `limits` or `revoked`.
    pub kind: String,
    /// How much, in base units; of a charge that is under way, what is reserved.
    pub amount: Amount,
    /// Whether a charge is under way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reserved: bool,
    /// The id of the request, or of the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<PaymentId>,
    /// The models and services that a request was for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// When, in milliseconds since 1970 UTC.
    pub at_ms: u64,
}
