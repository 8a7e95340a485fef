//! x402 between a resource server and a facilitator: what is asked, what was signed, and what is answered.
//!
//! These modules only describe data. Requests are parsed one way ([`request`]), and the digests that payers sign are
//! computed ([`digest`]); nothing is judged.

pub mod digest;
pub mod payload;
pub mod request;
pub mod required;
pub mod requirements;
pub mod response;
pub(crate) mod text;
pub mod v1;

/// The extension by which a payer sends the token's own permit along (EIP-2612).
pub const EIP2612_GAS_SPONSORING: &str = "eip2612GasSponsoring";

/// The scheme in which exactly the signed amount is paid.
pub const EXACT: &str = "exact";
/// How a token is moved by its own authorizations (EIP-3009), as `extra.assetTransferMethod` says it.
pub const EIP3009: &str = "eip3009";
/// How a token is moved by Permit2.
pub const PERMIT2: &str = "permit2";
/// How wrapped SALT is moved through Citrate's own facilitator, which takes a fee. The authorization then names
/// `treasury` and `fee` too. No client of x402 itself knows it.
pub const CITRATE_FEE: &str = "citrateFee";

/// The scheme in which at most the signed amount is paid.
pub const UPTO: &str = "upto";

use crate::values::network::ChainId;

/// Base.
const BASE: u64 = 8453;
/// Base Sepolia.
const BASE_SEPOLIA: u64 = 84532;

/// The chain of a network's name in version 1. Only the networks on which this project settles are known.
pub fn v1_chain(name: &str) -> Option<ChainId> {
    match name {
        "base" => ChainId::new(BASE),
        "base-sepolia" => ChainId::new(BASE_SEPOLIA),
        _ => None,
    }
}

/// The name of a chain in version 1, if it has one there and this project settles on it.
pub fn v1_name(chain: ChainId) -> Option<&'static str> {
    match chain.get() {
        BASE => Some("base"),
        BASE_SEPOLIA => Some("base-sepolia"),
        _ => None,
    }
}
