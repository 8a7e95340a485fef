//! The followed contracts.

use alloy_primitives::{Address, B256};
use alloy_sol_types::SolEvent;

use crate::contracts::{ISaltChannels, ISaltPay};
use crate::decode::foreign::{ICitrateFacilitator, ICitratePaywall, IToken, IX402BatchSettlement};
use crate::edition::IFirstSaltChannels;

/// A followed contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The contract's address.
    pub contract: Address,
    /// How to decode its events.
    pub kind: SourceKind,
    /// The first block that may hold one of its events.
    pub start_block: u64,
}

/// How a contract's events are decoded.
///
/// Only events of `tokens` are trusted, and only payments to `payees` count. Another choice finds other payments, but
/// never changes a payment's id.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceKind {
    /// `SaltPay`: each `Payment` event is a payment, each `Refund` what a payee gave back.
    SaltPay,
    /// `SaltChannels`, of either edition: each event changes a channel, a credit or an operator's right.
    SaltChannels,
    /// x402's batch settlement: each event changes a channel, or sweeps claimed amounts.
    X402BatchSettlement,
    /// A proxy that settles x402's Permit2 signatures. This project's proxy emits `PaymentSettled` with all terms.
    /// x402's own proxy emits an empty `Settled`, so the calldata gives the terms.
    X402Proxy {
        /// The scheme of the proxy.
        scheme: ProxyScheme,
        /// The trusted tokens.
        tokens: Vec<Address>,
        /// The accepted payees.
        payees: Vec<Address>,
    },
    /// A token with EIP-3009: each authorization that moved it to a payee is a payment.
    Eip3009Token {
        /// The accepted payees.
        payees: Vec<Address>,
    },
    /// Citrate's `X402Facilitator`: the token authorizations that it submitted are payments.
    CitrateFacilitator {
        /// The token that it settles in: wSALT.
        tokens: Vec<Address>,
        /// The accepted payees.
        payees: Vec<Address>,
    },
    /// Citrate's `X402Paywall`: the token authorizations that bought access are payments.
    CitratePaywall {
        /// The token that it accepts: wSALT.
        tokens: Vec<Address>,
        /// The accepted payees. The paywall itself always counts too.
        payees: Vec<Address>,
    },
}

/// The scheme that a proxy settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyScheme {
    /// Exactly the signed amount.
    Exact,
    /// At most the signed amount.
    Upto,
}

/// A log filter for one contract.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The contract that emits the events.
    pub contract: Address,
    /// The accepted values at each topic position. An empty list accepts any value.
    pub topics: Vec<Vec<B256>>,
}

impl Source {
    /// Whether the events alone describe the payment. Events of other sources only name transactions, and each
    /// transaction is then read from its receipt.
    pub fn is_direct(&self) -> bool {
        matches!(self.kind, SourceKind::SaltPay | SourceKind::SaltChannels | SourceKind::X402BatchSettlement)
    }

    /// The filters that find every relevant event, or at least one event of every relevant transaction.
    ///
    /// Two sources may have equal filters, such as a token and a proxy that settles in it. One query serves both.
    pub fn questions(&self) -> Vec<Question> {
        let own = |topics| vec![Question { contract: self.contract, topics }];
        match &self.kind {
            SourceKind::SaltPay => {
                own(vec![vec![ISaltPay::Payment::SIGNATURE_HASH, ISaltPay::Refund::SIGNATURE_HASH]])
            }
            SourceKind::SaltChannels => own(vec![salt_channels_events()]),
            SourceKind::X402BatchSettlement => own(vec![batch_settlement_events()]),
            SourceKind::X402Proxy { tokens, payees, .. } => {
                tokens.iter().map(|token| transfers(*token, payees)).collect()
            }
            SourceKind::Eip3009Token { payees } => vec![transfers(self.contract, payees)],
            SourceKind::CitrateFacilitator { payees, .. } => own(vec![
                vec![ICitrateFacilitator::PaymentSettled::SIGNATURE_HASH],
                Vec::new(),
                payees.iter().map(|payee| payee.into_word()).collect(),
            ]),
            SourceKind::CitratePaywall { .. } => {
                own(vec![vec![ICitratePaywall::AccessGranted::SIGNATURE_HASH]])
            }
        }
    }

    /// The tokens and payees that the filters do not name.
    pub fn chosen(&self) -> Vec<Address> {
        match &self.kind {
            SourceKind::CitrateFacilitator { tokens, .. } => tokens.clone(),
            SourceKind::CitratePaywall { tokens, payees } => [tokens.as_slice(), payees].concat(),
            _ => Vec::new(),
        }
    }

    /// The possible values of [`crate::Payment::contract`]: the source itself, or the token for sources that submit a
    /// token's authorizations.
    pub fn paid_through(&self) -> Vec<Address> {
        match &self.kind {
            SourceKind::SaltPay | SourceKind::X402Proxy { .. } | SourceKind::Eip3009Token { .. } => {
                vec![self.contract]
            }
            SourceKind::SaltChannels | SourceKind::X402BatchSettlement => Vec::new(),
            SourceKind::CitrateFacilitator { tokens, .. } | SourceKind::CitratePaywall { tokens, .. } => {
                tokens.clone()
            }
        }
    }
}

/// Of both editions: a contract emits one of the two openings. `ChannelSkipped` is not asked for: no money moved, and
/// anyone can have as many as it likes.
fn salt_channels_events() -> Vec<B256> {
    vec![
        ISaltChannels::ChannelOpened::SIGNATURE_HASH,
        IFirstSaltChannels::ChannelOpened::SIGNATURE_HASH,
        ISaltChannels::ChannelToppedUp::SIGNATURE_HASH,
        ISaltChannels::ChannelClaimed::SIGNATURE_HASH,
        ISaltChannels::ChannelExitRequested::SIGNATURE_HASH,
        ISaltChannels::ChannelExitCancelled::SIGNATURE_HASH,
        ISaltChannels::ChannelClosed::SIGNATURE_HASH,
        ISaltChannels::Credited::SIGNATURE_HASH,
        ISaltChannels::CreditWithdrawn::SIGNATURE_HASH,
        ISaltChannels::ChannelRefunded::SIGNATURE_HASH,
        ISaltChannels::OperatorSet::SIGNATURE_HASH,
    ]
}

fn batch_settlement_events() -> Vec<B256> {
    vec![
        IX402BatchSettlement::ChannelCreated::SIGNATURE_HASH,
        IX402BatchSettlement::ChannelClosed::SIGNATURE_HASH,
        IX402BatchSettlement::Deposited::SIGNATURE_HASH,
        IX402BatchSettlement::Claimed::SIGNATURE_HASH,
        IX402BatchSettlement::Settled::SIGNATURE_HASH,
        IX402BatchSettlement::Refunded::SIGNATURE_HASH,
        IX402BatchSettlement::WithdrawInitiated::SIGNATURE_HASH,
        IX402BatchSettlement::WithdrawFinalized::SIGNATURE_HASH,
    ]
}

/// Transfers of a token to some payees. On a busy token, nodes can answer no broader filter.
fn transfers(token: Address, payees: &[Address]) -> Question {
    let to = payees.iter().map(|payee| payee.into_word()).collect();
    Question { contract: token, topics: vec![vec![IToken::Transfer::SIGNATURE_HASH], Vec::new(), to] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_and_the_proxies_that_settle_in_it_ask_one_question() {
        let (token, payee) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let source =
            |contract: u8, kind| Source { contract: Address::repeat_byte(contract), kind, start_block: 0 };
        let of_token = source(1, SourceKind::Eip3009Token { payees: vec![payee] });
        let of_proxy = source(
            3,
            SourceKind::X402Proxy { scheme: ProxyScheme::Exact, tokens: vec![token], payees: vec![payee] },
        );
        assert_eq!(of_token.questions(), of_proxy.questions());
        assert_eq!(of_token.questions()[0].topics[2], vec![payee.into_word()]);
    }
}
