//! What a facilitator answers.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use serde::Serialize;

use crate::values::asset::maybe_checked_address;
use crate::values::money::Amount;
use crate::wire::reason::X402Reason;

/// The answer to `POST /verify`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct VerifyResponse {
    /// Whether the payment would settle now.
    pub is_valid: bool,
    /// Why it would not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid_reason: Option<X402Reason>,
    /// What is wrong and what to do, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid_message: Option<String>,
    /// The payer.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "maybe_checked_address::serialize")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::wire::openapi::Address>))]
    pub payer: Option<Address>,
}

/// The answer to `POST /settle`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SettleResponse {
    /// Whether the money moved.
    pub success: bool,
    /// Why it did not, or not yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<X402Reason>,
    /// What happened and what to do, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The payer.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "maybe_checked_address::serialize")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::wire::openapi::Address>))]
    pub payer: Option<Address>,
    /// The transaction; empty if there is none.
    #[serde(serialize_with = "hash_or_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub transaction: Option<B256>,
    /// The network, as the requirements name it.
    pub network: String,
    /// What moved, in base units of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
}

/// The answer to `GET /supported`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SupportedResponse {
    /// What can be verified and settled.
    pub kinds: Vec<SupportedKind>,
    /// The extensions that are read.
    pub extensions: Vec<String>,
    /// The accounts that settle, by network or pattern of networks.
    #[serde(serialize_with = "accounts")]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, Vec<crate::wire::openapi::Address>>))]
    pub signers: BTreeMap<String, Vec<Address>>,
}

/// A scheme on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SupportedKind {
    /// The version of x402.
    pub x402_version: u8,
    /// The scheme.
    pub scheme: String,
    /// The network: CAIP-2 in version 2, a name in version 1.
    pub network: String,
    /// What a payer needs besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<KindExtra>,
}

/// What a payer needs besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct KindExtra {
    /// The account to sign for under `upto`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "maybe_checked_address::serialize")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::wire::openapi::Address>))]
    pub facilitator_address: Option<Address>,
}

fn hash_or_empty<S: serde::Serializer>(hash: &Option<B256>, serializer: S) -> Result<S::Ok, S::Error> {
    match hash {
        Some(hash) => serializer.collect_str(hash),
        None => serializer.serialize_str(""),
    }
}

fn accounts<S: serde::Serializer>(
    signers: &BTreeMap<String, Vec<Address>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let texts = |accounts: &Vec<Address>| accounts.iter().map(Address::to_string).collect::<Vec<_>>();
    serializer.collect_map(signers.iter().map(|(network, accounts)| (network, texts(accounts))))
}
