//! The state of a channel, of the service, and of its chains and nodes.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::values::asset::{Asset, checked_address, maybe_checked_address};
use crate::values::money::Amount;
use crate::values::network::ChainId;
#[cfg(feature = "openapi")]
use crate::wire::openapi;

/// `GET /v1/channels/{channel}`: the state of a payment channel in the index, and the accepted vouchers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChannelView {
    /// The chain.
    pub chain: ChainId,
    /// The channel contract.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub contract: Address,
    /// The channel's id in the contract.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub id: B256,
    /// Whether the channel's opening is on the chain. If not, the fields up to `exit_delay` are left out.
    pub on_chain: bool,
    /// The account that deposits.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<openapi::Address>))]
    pub payer: Option<Address>,
    /// The account that may claim.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<openapi::Address>))]
    pub payee: Option<Address>,
    /// The channel's asset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<Asset>,
    /// The key that signs vouchers. Left out if the payer signs them.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<openapi::Address>))]
    pub signer: Option<Address>,
    /// Who may claim and close for the payee. Left out if the channel names nobody.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<openapi::Address>))]
    pub operator: Option<Address>,
    /// The time between the payer's exit request and the exit, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_delay: Option<u64>,
    /// The total ever deposited, in base units.
    pub deposit: Amount,
    /// The total ever claimed, in base units.
    pub claimed: Amount,
    /// The time from which the payer can exit, in seconds since 1970 UTC. Left out if no exit was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_at: Option<u64>,
    /// Whether the channel is closed for good.
    pub closed: bool,
    /// The highest accepted ceiling, in base units. The next voucher must exceed it.
    pub highest: Amount,
    /// The total cost of the requests so far, in base units. The next voucher must cover it and the next price.
    pub spent: Amount,
    /// The part of `spent` that is not claimed yet, in base units.
    pub unclaimed: Amount,
    /// The part of `unclaimed` that the contract would pay now, in base units: at most the rest of the deposit.
    pub claimable: Amount,
}

/// `GET /v1/status`: the state of the service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusResponse {
    /// The running version.
    pub version: String,
    /// Whether every chain is followed and current.
    pub ready: bool,
    /// The chains.
    pub chains: Vec<ChainStatus>,
    /// Open incidents: grants whose payment the chain dropped, and vouchers that may not be paid.
    pub open_incidents: u64,
    /// The number of payments claimed so far.
    pub claims: u64,
    /// The number of requests that wait for a payment now.
    pub waiting: u64,
}

/// The state of one chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChainStatus {
    /// The chain.
    pub chain: ChainId,
    /// The network's name.
    pub network: String,
    /// The followed payment contract.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub payment_contract: Address,
    /// The newest indexed block.
    pub indexed: Option<u64>,
    /// The node's newest known block.
    pub head: Option<u64>,
    /// The age of the newest indexed block in seconds, if the node has newer blocks; 0 if it has none. Left out if that
    /// block's time is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_s: Option<u64>,
    /// The state of the chain's follower: `starting`, `back_filling`, `following`, `failing` or `halted`. Left out if
    /// the follower runs in another process and has not halted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Reorganizations since the follower started. Left out if the follower runs in another process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reorganizations: Option<u64>,
    /// The number of indexed payments on the chain.
    pub payments: u64,
    /// The number of open incidents of the chain.
    #[serde(default)]
    pub open_incidents: u64,
    /// The number of transactions that could not be read. Their payments are unknown.
    #[serde(default)]
    pub unreadable: u64,
    /// Whether the chain is followed and current.
    pub ready: bool,
    /// The reason, if it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The blocks read for each followed contract, up to the newest indexed block.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covered: Vec<CoveredBlocks>,
    /// Past blocks that were not read yet, of contracts that were added later. Payments in them are valid, but not
    /// known yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadBlocks>,
    /// The accepted vouchers, by asset. Empty if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vouchers: Vec<VouchersStatus>,
    /// The nodes, in the order of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStatus>,
}

/// The blocks that were read for a followed contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CoveredBlocks {
    /// The contract.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub contract: Address,
    /// The first block.
    pub from_block: u64,
    /// The last block.
    pub to_block: u64,
}

/// The blocks that were not read yet for a followed contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnreadBlocks {
    /// The contract.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub contract: Address,
    /// The first block.
    pub from_block: u64,
    /// The last block.
    pub to_block: u64,
}

/// The accepted vouchers in one asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VouchersStatus {
    /// The asset.
    pub asset: Asset,
    /// The accepted and unclaimed amount of open channels, in base units.
    pub unclaimed: Amount,
    /// The accepted amount that may not be paid any more, in base units. Claim it now.
    pub at_risk: Amount,
    /// The number of channels at risk.
    pub channels_at_risk: u64,
}

/// The state of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeStatus {
    /// The node's host and port. No other part of its address is shown.
    pub host: String,
    /// The state: `ready`, `suspect` (it fails often, or its head stands still), `lagging`, `resting` (it failed a
    /// moment ago) or `ejected` (it is on another chain).
    pub state: String,
    /// Whether the node is asked only while no other is ready.
    #[serde(default)]
    pub fallback: bool,
    /// Whether the node served the newest unit of work.
    #[serde(default)]
    pub serving: bool,
    /// The newest block that the node has shown.
    pub head: Option<u64>,
    /// The reason, if it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the node's logs are accepted without proof although `completeness = "receipts"` is set, because the node
    /// reports that it lacks `eth_getBlockReceipts`. Left out if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub logs_unproved: bool,
}
