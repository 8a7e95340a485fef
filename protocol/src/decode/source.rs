//! The contracts whose events are followed.

use alloy_primitives::{Address, B256};
use alloy_sol_types::SolEvent;

use crate::contracts::{ISaltChannels, ISaltPay};
use crate::decode::foreign::{ICitrateFacilitator, ICitratePaywall, IToken, IX402BatchSettlement};

/// A contract that is followed: which, what it is, and since when there may be something to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Whose events count.
    pub contract: Address,
    /// How its events are read.
    pub kind: SourceKind,
    /// The first block that may hold one of them.
    pub start_block: u64,
}

/// How a contract's events are read.
///
/// `tokens` are the only tokens whose word is taken, and `payees` the only accounts whose payments count. Both are part
/// of what is followed: with other ones, other payments are found, and each has the name it would have anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceKind {
    /// `SaltPay`: each `Payment` event is a payment.
    SaltPay,
    /// `SaltChannels`: each event is a change of a channel, or of a credit.
    SaltChannels,
    /// x402's batch settlement: each event is a change of a channel, or a sweep of what was claimed.
    X402BatchSettlement,
    /// A proxy that settles what x402 clients sign over Permit2: ours, whose `PaymentSettled` names the payment, or
    /// x402's own, whose `Settled` says nothing and is joined with the calldata.
    X402Proxy {
        /// Which scheme it settles.
        scheme: ProxyScheme,
        /// The tokens that count.
        tokens: Vec<Address>,
        /// The payees that count.
        payees: Vec<Address>,
    },
    /// A token with EIP-3009: each authorization that moved it to a payee is a payment.
    Eip3009Token {
        /// The payees that count.
        payees: Vec<Address>,
    },
    /// Citrate's `X402Facilitator`: the authorizations of a token that it submitted.
    CitrateFacilitator {
        /// The token that it settles in: wSALT.
        tokens: Vec<Address>,
        /// The payees that count.
        payees: Vec<Address>,
    },
    /// Citrate's `X402Paywall`: the authorizations of a token that gave access through it.
    CitratePaywall {
        /// The token that it takes: wSALT.
        tokens: Vec<Address>,
        /// The payees that count, beside the paywall itself.
        payees: Vec<Address>,
    },
}

/// Which of x402's schemes a proxy settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyScheme {
    /// The signed amount.
    Exact,
    /// Up to the signed amount.
    Upto,
}

/// A question for events: those of one contract with certain topics.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The contract that emits them.
    pub contract: Address,
    /// For each place of the topics, the values that are asked for; none stands for any.
    pub topics: Vec<Vec<B256>>,
}

impl Source {
    /// Whether its events say all that there is to know. Those of the others only tell in which transactions to look,
    /// and the transaction is completed by its receipt.
    pub fn is_direct(&self) -> bool {
        matches!(self.kind, SourceKind::SaltPay | SourceKind::SaltChannels | SourceKind::X402BatchSettlement)
    }

    /// The questions whose answers hold every event that counts, or one of every transaction that holds something.
    ///
    /// Two sources may ask the same, such as a token and a proxy that settles in it; it is enough to ask once.
    pub fn questions(&self) -> Vec<Question> {
        let own = |topics| vec![Question { contract: self.contract, topics }];
        match &self.kind {
            SourceKind::SaltPay => own(vec![vec![ISaltPay::Payment::SIGNATURE_HASH]]),
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

    /// The tokens and payees that it names, where its questions do not.
    pub fn chosen(&self) -> Vec<Address> {
        match &self.kind {
            SourceKind::CitrateFacilitator { tokens, .. } => tokens.clone(),
            SourceKind::CitratePaywall { tokens, payees } => [tokens.as_slice(), payees].concat(),
            _ => Vec::new(),
        }
    }

    /// The contracts whose payments it brings, as [`crate::Payment::contract`] says them: itself, or for those that
    /// submit a token's authorizations the token.
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

/// The events of `SaltChannels`.
fn salt_channels_events() -> Vec<B256> {
    vec![
        ISaltChannels::ChannelOpened::SIGNATURE_HASH,
        ISaltChannels::ChannelToppedUp::SIGNATURE_HASH,
        ISaltChannels::ChannelClaimed::SIGNATURE_HASH,
        ISaltChannels::ChannelExitRequested::SIGNATURE_HASH,
        ISaltChannels::ChannelExitCancelled::SIGNATURE_HASH,
        ISaltChannels::ChannelClosed::SIGNATURE_HASH,
        ISaltChannels::Credited::SIGNATURE_HASH,
        ISaltChannels::CreditWithdrawn::SIGNATURE_HASH,
    ]
}

/// The events of x402's batch settlement.
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

/// What came to some payees of a token. On a busy token, the only question that a node can answer block for block.
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
