//! Incidents, and transactions that cannot be read with certainty.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::payment::PaymentId;
use crate::values::asset::{Asset, checked_address};
use crate::values::money::Amount;
use crate::values::network::ChainId;
#[cfg(feature = "openapi")]
use crate::wire::openapi;

/// `GET /v1/incidents`: the incidents, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncidentsResponse {
    /// The incidents.
    pub incidents: Vec<IncidentView>,
    /// The `cursor` of the next page. Left out on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// An incident that an operator must know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncidentView {
    /// The incident's number, ascending.
    pub id: u64,
    /// The kind: `payment_lost` (the chain dropped a payment after it was granted), `replay_attempt` (a used proof came
    /// with another request), `omitted_log` (the node left a payment out of its logs), `nodes_disagree` (a second node
    /// contradicted a payment, so it was not granted), `voucher_at_risk` (accepted vouchers of a channel are unclaimed,
    /// and its deposit can leave it), `unreadable_transaction` (transactions of the chain could not be read; one
    /// incident per chain, with a count), `not_served` (a payment was granted but its request was given up;
    /// `salt402 unserved list` shows what is owed), `refund_lost` (a refund that was mined is on the chain no more; its detail
    /// names the command that sends it again), `operator_set` (the payee set an operator that the configuration does not
    /// name).
    pub kind: String,
    /// The chain.
    pub chain: ChainId,
    /// The payment. For a channel at risk, the grant of its last voucher; for a refund, its transaction; for an operator, the
    /// event that set it. Zero if a transaction could not be read.
    pub payment_id: PaymentId,
    /// The payment's transaction. For a channel, the one that opened it. For unreadable transactions, the first of
    /// them.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub transaction: B256,
    /// The payer, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<openapi::Address>))]
    pub payer: Option<Address>,
    /// When the incident was noticed, in milliseconds since 1970 UTC.
    pub opened_at_ms: u64,
    /// When the incident ended or an operator settled it, in milliseconds since 1970 UTC. Left out while it is open.
    /// Kinds that do not last are never open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at_ms: Option<u64>,
    /// How often it happened.
    #[serde(default = "once")]
    pub occurrences: u64,
    /// When it last happened or ended, in milliseconds since 1970 UTC.
    #[serde(default)]
    pub changed_at_ms: u64,
    /// Details, for people.
    pub detail: String,
    /// The operator's note on settling it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<String>,
    /// The channel that is or was at risk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelRiskView>,
}

fn once() -> u64 {
    1
}

/// A channel with unclaimed accepted vouchers whose deposit can leave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChannelRiskView {
    /// The channel contract.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub contract: Address,
    /// The channel's id in the contract.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub id: B256,
    /// The channel's asset, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<Asset>,
    /// The total accepted, in base units.
    pub spent: Amount,
    /// The part that was claimed, in base units.
    pub claimed: Amount,
    /// The part that is left to claim, in base units.
    pub unclaimed: Amount,
    /// The reason: `exit` (the payer asked to exit), `closed` (the channel closed before everything was claimed),
    /// `deposit` (the chain dropped a deposit) or `gone` (the chain dropped the channel's opening).
    pub reason: String,
    /// The earliest time at which claiming may become impossible, in seconds since 1970 UTC, if the payer exits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_at: Option<u64>,
}

/// `GET /v1/ambiguities`: transactions that may be a payment and count for nobody, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AmbiguitiesResponse {
    /// Those on the chain now.
    pub ambiguities: Vec<AmbiguityView>,
    /// The `cursor` of the next page. Left out on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A possible payment that cannot be read with certainty. Money may have moved, so an operator must look at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AmbiguityView {
    /// The number, ascending.
    pub id: u64,
    /// The chain.
    pub chain: ChainId,
    /// The transaction's hash.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub transaction: B256,
    /// The contract whose event cannot be matched.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub contract: Address,
    /// The reason, for people.
    pub reason: String,
    /// The height of the transaction's block.
    pub block_number: u64,
    /// The hash of the transaction's block.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub block_hash: B256,
}
