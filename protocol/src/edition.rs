//! The two editions of `SaltChannels`: how each names a channel, and what is signed for a voucher of it.

use alloy_primitives::{Address, B256};
use alloy_sol_types::{SolStruct as _, SolValue as _, sol};

use crate::channel::Descriptor;
use crate::contracts::ISaltChannels;
use crate::typed_data::salt_channels_domain;
use crate::values::asset::Asset;
use crate::values::money::Amount;
use crate::values::network::ChainId;

mod first {
    #![allow(missing_docs, reason = "the fields are those of the second edition")]
    #![allow(clippy::too_many_arguments, reason = "an event has as many fields as it has")]

    use super::sol;

    sol! {
        /// What the first edition has and the second has no more. Its channels are still claimed from.
        interface IFirstSaltChannels {
            struct Channel {
                address payer;
                address payee;
                address asset;
                address signer;
                uint32 exitDelay;
                bytes32 salt;
            }

            struct Claim {
                address payer;
                address signer;
                uint32 exitDelay;
                bytes32 salt;
                uint256 ceiling;
                uint256 total;
                bytes voucher;
            }

            struct Voucher {
                bytes32 channel;
                uint256 ceiling;
            }

            event ChannelOpened(
                bytes32 indexed channel,
                address indexed payer,
                address indexed payee,
                address asset,
                address signer,
                uint32 exitDelay,
                bytes32 salt,
                uint256 deposit
            );

            function claimMany(address asset, Claim[] calldata claims) external returns (uint256 amount);
        }
    }
}

pub use first::IFirstSaltChannels;

mod typed {
    use super::sol;

    sol! {
        /// The signed message. Name and fields are those of `SaltChannels`.
        struct Voucher {
            bytes32 channel;
            address payee;
            address asset;
            uint256 ceiling;
        }
    }
}

/// The edition of a `SaltChannels` contract, with what its channels' identifiers are hashed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelEdition {
    /// The first. Its identifiers are hashed in the domain of its signatures. It has no operators.
    First,
    /// The second.
    Second {
        /// `CHANNEL_DOMAIN_SEPARATOR()`, as the contract answers it. It cannot be computed: it has a salt out of the
        /// block that the contract was created in, so that identifiers do not come back after a chain is reset.
        domain: B256,
    },
}

impl ChannelEdition {
    /// The channel's id in the contract. `None` if the contract cannot have such a channel: its exit delay exceeds 32
    /// bits, or it has an operator and the edition has none.
    pub fn id(&self, channel: &Descriptor, chain: ChainId, contract: Address) -> Option<B256> {
        match self {
            Self::First if channel.operator.is_some() => None,
            Self::First => {
                let channel = IFirstSaltChannels::Channel {
                    payer: channel.payer,
                    payee: channel.payee,
                    asset: channel.asset.address(),
                    signer: channel.signer.unwrap_or_default(),
                    exitDelay: u32::try_from(channel.exit_delay).ok()?,
                    salt: channel.salt,
                };
                Some(channel.eip712_signing_hash(&salt_channels_domain(chain, contract)))
            }
            Self::Second { domain } => channel.to_solidity().map(|channel| channel_id(*domain, &channel)),
        }
    }
}

/// What a voucher of the second edition says. Payee and asset are signed for wallets to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoucherTerms {
    /// The channel's id.
    pub channel: B256,
    /// The channel's payee.
    pub payee: Address,
    /// The channel's asset.
    pub asset: Asset,
    /// The most that may ever be claimed from the channel, in base units.
    pub ceiling: Amount,
}

impl VoucherTerms {
    /// What is signed.
    pub fn digest(&self, chain: ChainId, contract: Address) -> B256 {
        let Self { channel, payee, asset, ceiling } = *self;
        typed::Voucher { channel, payee, asset: asset.address(), ceiling: ceiling.0 }
            .eip712_signing_hash(&salt_channels_domain(chain, contract))
    }
}

/// What is signed in the first edition.
pub(crate) fn first_voucher_digest(
    channel: B256,
    ceiling: Amount,
    chain: ChainId,
    contract: Address,
) -> B256 {
    IFirstSaltChannels::Voucher { channel, ceiling: ceiling.0 }
        .eip712_signing_hash(&salt_channels_domain(chain, contract))
}

impl Descriptor {
    /// The channel as `SaltChannels` takes it. `None` if its exit delay exceeds 32 bits.
    pub fn to_solidity(&self) -> Option<ISaltChannels::Channel> {
        Some(ISaltChannels::Channel {
            payer: self.payer,
            payee: self.payee,
            asset: self.asset.address(),
            signer: self.signer.unwrap_or_default(),
            operator: self.operator.unwrap_or_default(),
            exitDelay: u32::try_from(self.exit_delay).ok()?,
            salt: self.salt,
        })
    }
}

/// The id of a channel of the second edition: EIP-712's hash in the domain that the contract answers.
pub fn channel_id(domain: B256, channel: &ISaltChannels::Channel) -> B256 {
    let digest = (*b"\x19\x01", domain, channel.eip712_hash_struct()).abi_encode_packed();
    alloy_primitives::keccak256(digest)
}
