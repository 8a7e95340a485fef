//! The verifier's wire: what a server asks and what it is answered. Snake case, amounts as strings.

use alloy_primitives::{Address, B128, B256};
use serde::{Deserialize, Serialize};

use crate::{Amount, Asset, ChainId, Code, PaymentId, Proof, QuoteId, RequestDigest};

/// `POST /v1/quotes`: ask for a quote.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct QuoteRequest {
    /// The chain to be paid on.
    pub chain: ChainId,
    /// Who is to be paid.
    #[serde(with = "crate::asset::checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Address))]
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
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Hash))]
    pub reference: B256,
    /// The contract to pay through.
    #[serde(with = "crate::asset::checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Address))]
    pub payment_contract: Address,
    /// The `SaltChannels` whose vouchers are taken in place of a payment, where any are.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::asset::maybe_checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::openapi::Address>))]
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
    #[serde(deserialize_with = "crate::object::deserialize")]
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
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::object::optional")]
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
    #[serde(with = "crate::asset::checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Address))]
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
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Hash))]
    pub transaction: B256,
    /// The payment contract.
    #[serde(with = "crate::asset::checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Address))]
    pub contract: Address,
    /// The reference it was paid for.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Hash))]
    pub reference: B256,
    /// Who paid.
    #[serde(with = "crate::asset::checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Address))]
    pub payer: Address,
    /// Who was paid.
    #[serde(with = "crate::asset::checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Address))]
    pub payee: Address,
    /// What was paid.
    pub asset: Asset,
    /// How much, in base units.
    pub amount: Amount,
    /// The block it is in.
    pub block_number: u64,
    /// That block's hash.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Hash))]
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

/// `GET /v1/channels/{channel}`: what the index knows of a payment channel, and what was accepted of it by vouchers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChannelView {
    /// The chain.
    pub chain: ChainId,
    /// The contract.
    #[serde(with = "crate::asset::checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Address))]
    pub contract: Address,
    /// The channel's identifier in it.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Hash))]
    pub id: B256,
    /// Whether its opening is on the chain; what follows up to `exit_delay` is left out where it is not.
    pub on_chain: bool,
    /// Whose money it is.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::asset::maybe_checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::openapi::Address>))]
    pub payer: Option<Address>,
    /// Who can claim.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::asset::maybe_checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::openapi::Address>))]
    pub payee: Option<Address>,
    /// What it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<Asset>,
    /// The key that signs its vouchers; left out where the payer does.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::asset::maybe_checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::openapi::Address>))]
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
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Hash))]
    pub transaction: B256,
    /// Who paid, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::openapi::Address>))]
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

/// A channel whose accepted vouchers are not claimed while its money can leave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChannelRiskView {
    /// The contract.
    #[serde(with = "crate::asset::checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Address))]
    pub contract: Address,
    /// The channel's identifier in it.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Hash))]
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
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Hash))]
    pub transaction: B256,
    /// The contract whose event cannot be matched.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Address))]
    pub contract: Address,
    /// Why, for people.
    pub reason: String,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Hash))]
    pub block_hash: B256,
}

fn once() -> u64 {
    1
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
    #[serde(with = "crate::asset::checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Address))]
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
    #[serde(with = "crate::asset::checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Address))]
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
    #[serde(with = "crate::asset::checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Address))]
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
