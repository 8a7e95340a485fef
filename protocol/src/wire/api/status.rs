//! How things stand: one channel, the service, its chains and their nodes.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::values::asset::{Asset, checked_address, maybe_checked_address};
use crate::values::money::Amount;
use crate::values::network::ChainId;
#[cfg(feature = "openapi")]
use crate::wire::openapi;

/// `GET /v1/channels/{channel}`: what the index knows of a payment channel, and what was accepted of it by vouchers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChannelView {
    /// The chain.
    pub chain: ChainId,
    /// The contract.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub contract: Address,
    /// The channel's identifier in it.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub id: B256,
    /// Whether its opening is on the chain; what follows up to `exit_delay` is left out where it is not.
    pub on_chain: bool,
    /// Whose money it is.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<openapi::Address>))]
    pub payer: Option<Address>,
    /// Who can claim.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<openapi::Address>))]
    pub payee: Option<Address>,
    /// What it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<Asset>,
    /// The key that signs its vouchers; left out where the payer does.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<openapi::Address>))]
    pub signer: Option<Address>,
    /// How long the payer's exit waits, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_delay: Option<u64>,
    /// All that was ever deposited, in base units.
    pub deposit: Amount,
    /// All that was ever claimed, in base units.
    pub claimed: Amount,
    /// From when the payer can leave, in seconds since 1970 UTC; left out while it has not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_at: Option<u64>,
    /// Whether it is closed for ever.
    pub closed: bool,
    /// The highest ceiling that was accepted, in base units; the next voucher must be above it.
    pub highest: Amount,
    /// What the requests so far cost, in base units; the next voucher must cover it and the next price.
    pub spent: Amount,
    /// What of that is not claimed yet, in base units.
    pub unclaimed: Amount,
    /// What of that the contract would pay now, in base units: what is left of the deposit at the most.
    pub claimable: Amount,
}

/// `GET /v1/status`: how things are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusResponse {
    /// The version that answers.
    pub version: String,
    /// Whether every chain is followed and current.
    pub ready: bool,
    /// The chains.
    pub chains: Vec<ChainStatus>,
    /// Incidents that are open: grants whose payment left the chain, and vouchers that may not be paid any more.
    pub open_incidents: u64,
    /// Payments claimed so far.
    pub claims: u64,
    /// Requests that wait for a payment now.
    pub waiting: u64,
}

/// How one chain is followed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChainStatus {
    /// The chain.
    pub chain: ChainId,
    /// Its name.
    pub network: String,
    /// The contract whose payments are followed.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub payment_contract: Address,
    /// The newest block whose payments are in the index.
    pub indexed: Option<u64>,
    /// The node's newest block, as far as known.
    pub head: Option<u64>,
    /// Seconds since the time of the newest block that is indexed, where the node has newer ones; 0 where it has none. Left
    /// out where that time is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_s: Option<u64>,
    /// What its follower is doing: `starting`, `back_filling`, `following`, `failing` or `halted`; left out where the
    /// follower is in another process and has not halted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Reorganizations since its follower started; left out where that is another process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reorganizations: Option<u64>,
    /// Payments on the chain, in the index.
    pub payments: u64,
    /// Incidents of it that are open.
    #[serde(default)]
    pub open_incidents: u64,
    /// Transactions of it that could not be read, so that what they paid is not known.
    #[serde(default)]
    pub unreadable: u64,
    /// Whether it is followed and current.
    pub ready: bool,
    /// If not, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was read for each contract that is followed, up to the newest block that is indexed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covered: Vec<CoveredBlocks>,
    /// What of the past was not read yet: of contracts that were added to an index that had begun. A payment there is not
    /// known, and is no less a payment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadBlocks>,
    /// What was accepted by vouchers of channels, by asset; empty where none was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vouchers: Vec<VouchersStatus>,
    /// The nodes that are asked, in the order of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStatus>,
}

/// Blocks that were read for a contract that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CoveredBlocks {
    /// The contract.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub contract: Address,
    /// The first.
    pub from_block: u64,
    /// The last.
    pub to_block: u64,
}

/// Blocks that were not read yet for a contract that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnreadBlocks {
    /// The contract.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub contract: Address,
    /// The first.
    pub from_block: u64,
    /// The last.
    pub to_block: u64,
}

/// What was accepted by vouchers of channels in one asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VouchersStatus {
    /// The asset.
    pub asset: Asset,
    /// What was accepted and not claimed, of channels that are open, in base units.
    pub unclaimed: Amount,
    /// What of all that was accepted may not be paid any more, in base units: claim it now.
    pub at_risk: Amount,
    /// How many channels that is of.
    pub channels_at_risk: u64,
}

/// How one node of a chain is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeStatus {
    /// Its host and port; nothing else of its address is told.
    pub host: String,
    /// `ready`, `suspect` (fails often, or stands still), `lagging`, `resting` (failed a moment ago) or `ejected`
    /// (on another chain).
    pub state: String,
    /// Whether it is asked only while no other is ready.
    #[serde(default)]
    pub fallback: bool,
    /// Whether the newest unit of work was its own.
    #[serde(default)]
    pub serving: bool,
    /// The newest block that it has shown.
    pub head: Option<u64>,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether its logs are taken without proof although `completeness = "receipts"` is set, because it says that it has no
    /// `eth_getBlockReceipts`. Left out where it is not so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub logs_unproved: bool,
}
