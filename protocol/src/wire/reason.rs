//! What a refusal is called elsewhere: in the numbers 402.1 to 402.5, and in x402.

use crate::wire::code::Code;
use crate::wire::names::names;

names! {
    /// A kind of refusal of a payment, as Citrate numbers them below status 402.
    Subcode {
        /// Less was paid, signed or deposited than this costs.
        InsufficientPayment = "402.1",
        /// A signature, of a voucher or of a quote, is not the one that it must be.
        InvalidSignature = "402.2",
        /// Another asset was paid.
        WrongAsset = "402.3",
        /// Another chain was paid on.
        WrongNetwork = "402.4",
        /// The quote or the payment is over its time.
        PaymentExpired = "402.5",
    }
}

names! {
    /// A reason code of x402: those of its specification (version 2, section 9), and beyond them those of its TypeScript
    /// packages. What they name is a signed authorization; of a payment that was made already, it is the nearest.
    X402Reason {
        /// What was shown does not parse, or was not made for this.
        InvalidPayload = "invalid_payload",
        /// What is asked for is not what is accepted here.
        InvalidPaymentRequirements = "invalid_payment_requirements",
        /// Another chain, or one that is not followed.
        InvalidNetwork = "invalid_network",
        /// Not sold in this way.
        UnsupportedScheme = "unsupported_scheme",
        /// Another amount than this costs.
        ValueMismatch = "invalid_exact_evm_payload_authorization_value_mismatch",
        /// Somebody else is paid.
        RecipientMismatch = "invalid_exact_evm_payload_recipient_mismatch",
        /// Its time is over.
        ValidBefore = "invalid_exact_evm_payload_authorization_valid_before",
        /// It was used before.
        NonceAlreadyUsed = "invalid_exact_evm_nonce_already_used",
        /// The transaction moved no money to where it should.
        TransferEventMismatch = "invalid_exact_evm_transfer_event_mismatch",
        /// The transaction failed, or cannot be told.
        InvalidTransactionState = "invalid_transaction_state",
        /// Not settled yet: ask again.
        SettlementPending = "settlement_pending",
        /// The verifier cannot answer now.
        UnexpectedVerifyError = "unexpected_verify_error",
        /// The channel is unknown.
        ChannelNotFound = "invalid_batch_settlement_evm_channel_not_found",
        /// The channel is closed, or is being left.
        MissingChannel = "invalid_batch_settlement_evm_missing_channel",
        /// The voucher is signed by another key, or the channel has none.
        VoucherSignature = "invalid_batch_settlement_evm_voucher_signature",
        /// More is signed than was deposited.
        CumulativeExceedsBalance = "invalid_batch_settlement_evm_cumulative_exceeds_balance",
        /// Another sum is to be signed; the answer says which.
        CumulativeAmountMismatch = "invalid_batch_settlement_evm_cumulative_amount_mismatch",
    }
}

impl Code {
    /// The number of the kind of refusal that this is; only what refuses a payment has one.
    pub const fn subcode(self) -> Option<Subcode> {
        Some(match self {
            Self::InsufficientPayment | Self::VoucherTooLow | Self::VoucherAboveDeposit => {
                Subcode::InsufficientPayment
            }
            Self::VoucherInvalid | Self::QuoteForged => Subcode::InvalidSignature,
            Self::WrongAsset => Subcode::WrongAsset,
            Self::WrongNetwork => Subcode::WrongNetwork,
            Self::PaymentExpired | Self::QuoteExpired => Subcode::PaymentExpired,
            _ => return None,
        })
    }

    /// What x402 calls this; nothing where nothing is wrong with a payment. Every code is named here, so that a new one is
    /// decided on.
    pub const fn x402_reason(self) -> Option<X402Reason> {
        Some(match self {
            Self::MalformedHeader
            | Self::MalformedProof
            | Self::MalformedQuote
            | Self::QuoteForged
            | Self::QuoteMismatch
            | Self::QuoteNotHonoured
            | Self::QuoteRequired
            | Self::OrdinalRequired
            | Self::ReferenceMismatch => X402Reason::InvalidPayload,
            Self::AssetNotAccepted | Self::PayeeNotAccepted | Self::WrongAsset => {
                X402Reason::InvalidPaymentRequirements
            }
            Self::UnknownChain | Self::WrongNetwork => X402Reason::InvalidNetwork,
            Self::VoucherNotAccepted => X402Reason::UnsupportedScheme,
            Self::InsufficientPayment | Self::QuoteBelowPrice => X402Reason::ValueMismatch,
            Self::WrongPayee => X402Reason::RecipientMismatch,
            Self::QuoteExpired | Self::PaymentExpired => X402Reason::ValidBefore,
            Self::AlreadyClaimed
            | Self::UsesExhausted
            | Self::PaymentBeforeRestore
            | Self::BeforeDatabase => X402Reason::NonceAlreadyUsed,
            Self::NoPayment => X402Reason::TransferEventMismatch,
            Self::TransactionReverted
            | Self::AmbiguousPayment
            | Self::PaymentUnreadable
            | Self::NodesDisagree => X402Reason::InvalidTransactionState,
            Self::PaymentNotSeen
            | Self::AwaitingConfirmations
            | Self::AwaitingSecondNode
            | Self::PaymentOrphaned
            | Self::ExposureExceeded
            | Self::PayerHasLoss
            | Self::PayerRefused
            | Self::ChannelNotCurrent
            | Self::ChainHalted => X402Reason::SettlementPending,
            Self::ChannelNotSeen => X402Reason::ChannelNotFound,
            Self::ChannelClosed | Self::ChannelExiting => X402Reason::MissingChannel,
            Self::VoucherInvalid | Self::SignerRequired => X402Reason::VoucherSignature,
            Self::VoucherAboveDeposit => X402Reason::CumulativeExceedsBalance,
            Self::VoucherTooLow | Self::VoucherUsed => X402Reason::CumulativeAmountMismatch,
            Self::IdentityInUse
            | Self::StorageUnavailable
            | Self::VerifierUnavailable
            | Self::NotReady
            | Self::Internal => X402Reason::UnexpectedVerifyError,
            Self::PaymentRequired
            | Self::MalformedJson
            | Self::MalformedParameter
            | Self::InvalidRequest
            | Self::UnknownModel
            | Self::Unauthorized
            | Self::NotFound
            | Self::NoPrice
            | Self::MethodNotAllowed
            | Self::BodyTooLarge
            | Self::UnsupportedMediaType
            | Self::AddressLimited
            | Self::AccountLimited
            | Self::CoolDown
            | Self::RequestTimeout
            | Self::HeadTooLarge
            | Self::TooManyConnections
            | Self::TooManyBodies
            | Self::OutcomeGone
            | Self::UpstreamFailed
            | Self::NotServed
            | Self::ModelUnavailable => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_below_402_is_of_a_code_with_that_status_and_each_has_one() {
        let numbered: Vec<_> = Code::ALL.iter().filter_map(|code| Some((code, code.subcode()?))).collect();
        assert!(numbered.iter().all(|(code, _)| code.status() == 402));
        for number in 1..=5 {
            let text = format!("402.{number}");
            assert!(numbered.iter().any(|(_, subcode)| subcode.as_str() == text), "{text}");
        }
    }

    #[test]
    fn what_is_pending_here_is_no_refusal_of_a_payment_there() {
        let waiting = [X402Reason::SettlementPending, X402Reason::ChannelNotFound];
        for code in Code::ALL.iter().filter(|code| code.is_pending() && code.status() == 402) {
            assert!(code.x402_reason().is_some_and(|reason| waiting.contains(&reason)), "{code}");
        }
    }
}
