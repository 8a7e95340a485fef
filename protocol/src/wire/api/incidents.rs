//! What an operator must know of: incidents, and transactions that can be read in two ways.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::payment::PaymentId;
use crate::values::asset::{Asset, checked_address};
use crate::values::money::Amount;
use crate::values::network::ChainId;
#[cfg(feature = "openapi")]
use crate::wire::openapi;

/// `GET /v1/incidents`: what an operator must know of, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncidentsResponse {
    /// The incidents.
    pub incidents: Vec<IncidentView>,
    /// If there may be more: what to give as `cursor` to be told them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Something that an operator must know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncidentView {
    /// Its number, ascending.
    pub id: u64,
    /// What happened: `payment_lost` (a payment that was granted on left the chain), `replay_attempt` (a used proof was
    /// shown for another request), `omitted_log` (the node left a payment out of its logs), `nodes_disagree`
    /// (a payment was not granted on because a second node contradicts it), `voucher_at_risk` (vouchers
    /// of a channel were accepted and are not claimed, while its money can leave it), `unreadable_transaction` (transactions of
    /// the chain could not be read; one for a chain, with a count), `not_served` (a payment was granted on and given up: what
    /// is owed is in `salt402 unserved list`).
    pub kind: String,
    /// The chain.
    pub chain: ChainId,
    /// The payment it is about; where a channel is at risk, the grant on its last voucher; zero where a transaction could not be
    /// read.
    pub payment_id: PaymentId,
    /// Its transaction; the one that opened the channel; the first that could not be read.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub transaction: B256,
    /// Who paid, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<openapi::Address>))]
    pub payer: Option<Address>,
    /// When it was noticed, in milliseconds since 1970 UTC.
    pub opened_at_ms: u64,
    /// When it came right, or an operator settled it, in milliseconds since 1970 UTC; left out while it is open. What does
    /// not last is never open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at_ms: Option<u64>,
    /// How often it happened.
    #[serde(default = "once")]
    pub occurrences: u64,
    /// When it last happened or came right, in milliseconds since 1970 UTC.
    #[serde(default)]
    pub changed_at_ms: u64,
    /// More, for people.
    pub detail: String,
    /// What the operator wrote who settled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<String>,
    /// The channel that is at risk, or was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelRiskView>,
}

fn once() -> u64 {
    1
}

/// A channel whose accepted vouchers are not claimed while its money can leave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChannelRiskView {
    /// The contract.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub contract: Address,
    /// The channel's identifier in it.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub id: B256,
    /// What it is in, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<Asset>,
    /// What was accepted, in base units.
    pub spent: Amount,
    /// What of it was claimed, in base units.
    pub claimed: Amount,
    /// What is left to claim, in base units.
    pub unclaimed: Amount,
    /// `exit` (the payer asked to leave), `closed` (less was claimed before the channel closed), `deposit` (a deposit left
    /// the chain) or `gone` (the channel's opening left the chain).
    pub reason: String,
    /// Until when, at the least, it can be claimed, in seconds since 1970 UTC, where the payer leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_at: Option<u64>,
}

/// `GET /v1/ambiguities`: transactions that may be a payment and are counted for nobody, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AmbiguitiesResponse {
    /// Those that are on the chain now.
    pub ambiguities: Vec<AmbiguityView>,
    /// If there may be more: what to give as `cursor` to be told them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Something that may be a payment and can be read in two ways. Money may have moved, so a person must look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AmbiguityView {
    /// Its number, ascending.
    pub id: u64,
    /// The chain.
    pub chain: ChainId,
    /// The transaction.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub transaction: B256,
    /// The contract whose event cannot be matched.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub contract: Address,
    /// Why, for people.
    pub reason: String,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub block_hash: B256,
}
