//! The names of refusals elsewhere: the numbers 402.1 to 402.5, and x402's reasons.

use crate::wire::code::Code;
use crate::wire::names::names;

names! {
    /// The kind of a refused payment, in Citrate's numbers below status 402.
    Subcode {
        /// The amount paid, signed or deposited is below the price.
        InsufficientPayment = "402.1",
        /// The signature of a voucher or quote is invalid.
        InvalidSignature = "402.2",
        /// The payment is in another asset.
        WrongAsset = "402.3",
        /// The payment is on another chain.
        WrongNetwork = "402.4",
        /// The quote or the payment has expired.
        PaymentExpired = "402.5",
    }
}

names! {
    /// A reason code of x402, from its specification (version 2, section 9) or its TypeScript packages. They describe
    /// signed authorizations; for a payment that was already made, the nearest is used.
    X402Reason {
        /// The proof does not parse, or was made for something else.
        InvalidPayload = "invalid_payload",
        /// The payment terms are not accepted here.
        InvalidPaymentRequirements = "invalid_payment_requirements",
        /// Another chain, or one that is not followed.
        InvalidNetwork = "invalid_network",
        /// This way to pay is not offered.
        UnsupportedScheme = "unsupported_scheme",
        /// The amount is not the price.
        ValueMismatch = "invalid_exact_evm_payload_authorization_value_mismatch",
        /// The payment went to another account.
        RecipientMismatch = "invalid_exact_evm_payload_recipient_mismatch",
        /// The payment has expired.
        ValidBefore = "invalid_exact_evm_payload_authorization_valid_before",
        /// The payment was used before.
        NonceAlreadyUsed = "invalid_exact_evm_nonce_already_used",
        /// The transaction holds no matching transfer.
        TransferEventMismatch = "invalid_exact_evm_transfer_event_mismatch",
        /// The transaction failed, or cannot be read.
        InvalidTransactionState = "invalid_transaction_state",
        /// Not settled yet: ask again.
        SettlementPending = "settlement_pending",
        /// The verifier cannot answer now.
        UnexpectedVerifyError = "unexpected_verify_error",
        /// The channel is unknown.
        ChannelNotFound = "invalid_batch_settlement_evm_channel_not_found",
        /// The channel is closed or being exited.
        MissingChannel = "invalid_batch_settlement_evm_missing_channel",
        /// Another key signed the voucher, or the channel has no key.
        VoucherSignature = "invalid_batch_settlement_evm_voucher_signature",
        /// The voucher exceeds the deposit.
        CumulativeExceedsBalance = "invalid_batch_settlement_evm_cumulative_exceeds_balance",
        /// Another total must be signed. The answer names it.
        CumulativeAmountMismatch = "invalid_batch_settlement_evm_cumulative_amount_mismatch",
    }
}

impl Code {
    /// The number of the kind of refusal. Only refused payments have one.
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

    /// x402's reason for a code. `None` if nothing is wrong with a payment. The match names every code, so that a new
    /// code needs a decision.
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
            Self::VoucherNotAccepted | Self::OperatorNotAccepted => X402Reason::UnsupportedScheme,
            Self::InsufficientPayment | Self::QuoteBelowPrice => X402Reason::ValueMismatch,
            Self::WrongPayee => X402Reason::RecipientMismatch,
            Self::QuoteExpired | Self::PaymentExpired => X402Reason::ValidBefore,
            Self::AlreadyClaimed
            | Self::UsesExhausted
            | Self::PaymentBeforeRestore
            | Self::PaymentRefunded
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
            | Self::ContractMissing
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
