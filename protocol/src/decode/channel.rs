//! Decodes single logs of channel contracts.

use alloy_primitives::{Address, B256, LogData, U256};
use alloy_sol_types::abi::AbiDecoderConfig;
use alloy_sol_types::{SolEvent as _, SolEventInterface};

use crate::channel::{ChannelChange, Descriptor, OperatorRight};
use crate::contracts::ISaltChannels;
use crate::decode::foreign::IX402BatchSettlement;
use crate::edition::IFirstSaltChannels;
use crate::values::asset::Asset;
use crate::values::money::Amount;

/// Decodes a log of `SaltChannels`, of either edition: the channel id (zero if there is none) and the change.
pub(crate) fn salt_channels(log: &LogData) -> Option<(B256, ChannelChange)> {
    use ISaltChannels::ISaltChannelsEvents as Event;
    if log.topics().first() == Some(&IFirstSaltChannels::ChannelOpened::SIGNATURE_HASH) {
        return opened_by_first(log);
    }
    Some(match read(log)? {
        Event::ChannelOpened(event) => {
            let descriptor = Descriptor {
                payer: event.payer,
                payee: event.payee,
                asset: Asset::from_address(event.asset),
                signer: given(event.signer),
                operator: given(event.operator),
                exit_delay: u64::from(event.exitDelay),
                salt: event.salt,
            };
            (event.channel, ChannelChange::Opened { descriptor, deposit: Amount(event.deposit) })
        }
        Event::ChannelToppedUp(event) => {
            let (amount, deposit) = (Amount(event.amount), Amount(event.deposit));
            (event.channel, ChannelChange::ToppedUp { amount, deposit })
        }
        Event::ChannelClaimed(event) => {
            let (amount, claimed) = (Amount(event.amount), Amount(event.claimed));
            (event.channel, ChannelChange::Claimed { amount, claimed })
        }
        Event::ChannelExitRequested(event) => {
            let exit_at = u64::try_from(event.exitAt).ok()?;
            (event.channel, ChannelChange::ExitRequested { exit_at, amount: None })
        }
        Event::ChannelExitCancelled(event) => (event.channel, ChannelChange::ExitCancelled),
        Event::ChannelClosed(event) => {
            let (claimed, refund) = (Amount(event.claimed), Amount(event.refund));
            (event.channel, ChannelChange::Closed { claimed, refund })
        }
        Event::Credited(event) => {
            let (account, asset) = (event.account, Asset::from_address(event.asset));
            (B256::ZERO, ChannelChange::Credited { account, asset, amount: Amount(event.amount) })
        }
        Event::CreditWithdrawn(event) => {
            let (account, asset) = (event.account, Asset::from_address(event.asset));
            (B256::ZERO, ChannelChange::CreditWithdrawn { account, asset, amount: Amount(event.amount) })
        }
        Event::ChannelRefunded(event) => {
            (event.channel, ChannelChange::GivenBack { amount: Amount(event.amount) })
        }
        Event::OperatorSet(event) => {
            let right = OperatorRight::from_number(event.right.into())?;
            (B256::ZERO, ChannelChange::OperatorSet { payee: event.payee, operator: event.operator, right })
        }
        // No money moved, and anyone can have as many as it likes: it is no part of a channel's history.
        Event::ChannelSkipped(_) => return None,
    })
}

/// A channel that was opened in the first edition. All other events of it are as in the second.
fn opened_by_first(log: &LogData) -> Option<(B256, ChannelChange)> {
    let config = AbiDecoderConfig::new().validate(true);
    let event =
        IFirstSaltChannels::ChannelOpened::decode_raw_log_with_config(log.topics(), &log.data, config)
            .ok()?;
    let descriptor = Descriptor {
        payer: event.payer,
        payee: event.payee,
        asset: Asset::from_address(event.asset),
        signer: given(event.signer),
        operator: None,
        exit_delay: u64::from(event.exitDelay),
        salt: event.salt,
    };
    Some((event.channel, ChannelChange::Opened { descriptor, deposit: Amount(event.deposit) }))
}

/// Decodes a log of x402's batch settlement.
pub(crate) fn batch_settlement(log: &LogData) -> Option<(B256, ChannelChange)> {
    use IX402BatchSettlement::IX402BatchSettlementEvents as Event;
    Some(match read(log)? {
        Event::ChannelCreated(event) => {
            (event.channelId, ChannelChange::Created { descriptor: described(&event.config) })
        }
        Event::ChannelClosed(event) => {
            (event.channelId, ChannelChange::Drained { descriptor: described(&event.config) })
        }
        Event::Deposited(event) => {
            (event.channelId, ChannelChange::Deposited { amount: small(event.amount) })
        }
        Event::Claimed(event) => {
            let (amount, claimed) = (small(event.claimAmount), small(event.newTotalClaimed));
            (event.channelId, ChannelChange::Claimed { amount, claimed })
        }
        Event::Settled(event) => {
            let (payee, asset) = (event.receiver, Asset::from_address(event.token));
            (B256::ZERO, ChannelChange::Swept { payee, asset, amount: small(event.amount) })
        }
        Event::Refunded(event) => (event.channelId, ChannelChange::Refunded { amount: small(event.amount) }),
        Event::WithdrawInitiated(event) => {
            let exit_at = event.finalizeAfter.to::<u64>();
            (event.channelId, ChannelChange::ExitRequested { exit_at, amount: Some(small(event.amount)) })
        }
        Event::WithdrawFinalized(event) => {
            (event.channelId, ChannelChange::Withdrawn { amount: small(event.amount) })
        }
    })
}

/// Decodes a log as an event of the contract. Refuses trailing bytes.
fn read<E: SolEventInterface>(log: &LogData) -> Option<E> {
    E::decode_raw_log_with_config(log.topics(), &log.data, AbiDecoderConfig::new().validate(true)).ok()
}

fn described(config: &IX402BatchSettlement::ChannelConfig) -> Descriptor {
    Descriptor {
        payer: config.payer,
        payee: config.receiver,
        asset: Asset::from_address(config.token),
        signer: given(config.payerAuthorizer),
        operator: given(config.receiverAuthorizer),
        exit_delay: config.withdrawDelay.to::<u64>(),
        salt: config.salt,
    }
}

fn given(address: Address) -> Option<Address> {
    (!address.is_zero()).then_some(address)
}

fn small(amount: u128) -> Amount {
    Amount(U256::from(amount))
}
