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
    /// A reason code of x402, from its specification (version 2, section 9) or its TypeScript packages. Most describe
    /// signed authorizations; for a payment that was already made, the nearest is used. A facilitator answers with them.
    X402Reason {
        /// The proof does not parse, or was made for something else.
        InvalidPayload = "invalid_payload",
        /// The payment terms are not accepted here.
        InvalidPaymentRequirements = "invalid_payment_requirements",
        /// Another chain, or one that is not followed.
        InvalidNetwork = "invalid_network",
        /// Another version of the protocol than 1 or 2.
        InvalidX402Version = "invalid_x402_version",
        /// This way to pay is not offered.
        UnsupportedScheme = "unsupported_scheme",
        /// The scheme is known, and has no payload of this form.
        UnsupportedPayloadType = "unsupported_payload_type",
        /// The amount is not the price.
        ValueMismatch = "invalid_exact_evm_payload_authorization_value_mismatch",
        /// The payment went to another account.
        RecipientMismatch = "invalid_exact_evm_payload_recipient_mismatch",
        /// The payment has expired, or will before it can be settled.
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
        /// The settlement cannot be made now.
        UnexpectedSettleError = "unexpected_settle_error",

        /// What is to be moved has no code on the chain.
        AssetNotDeployed = "asset_not_deployed_contract",
        /// The payload and its requirements are not both of the scheme `exact`.
        ExactScheme = "invalid_exact_evm_scheme",
        /// The payload is for another chain than its requirements.
        ExactNetworkMismatch = "invalid_exact_evm_network_mismatch",
        /// The requirements do not name the token's EIP-712 domain.
        MissingEip712Domain = "invalid_exact_evm_missing_eip712_domain",
        /// The authorization pays another account.
        ExactRecipientMismatch = "invalid_exact_evm_recipient_mismatch",
        /// The authorization's signature is not the payer's.
        ExactSignature = "invalid_exact_evm_signature",
        /// The authorization is not valid yet.
        ValidAfter = "invalid_exact_evm_payload_authorization_valid_after",
        /// The authorization of version 1 is over another amount.
        AuthorizationValue = "invalid_exact_evm_authorization_value",
        /// The payer is a contract that does not exist yet.
        UndeployedSmartWallet = "invalid_exact_evm_payload_undeployed_smart_wallet",
        /// The transaction was reverted, or could not be sent.
        ExactTransactionFailed = "invalid_exact_evm_transaction_failed",
        /// The requirements name another EIP-712 name than the token has.
        TokenNameMismatch = "invalid_exact_evm_token_name_mismatch",
        /// The requirements name another EIP-712 version than the token has.
        TokenVersionMismatch = "invalid_exact_evm_token_version_mismatch",
        /// The token takes no authorizations (EIP-3009).
        Eip3009NotSupported = "invalid_exact_evm_eip3009_not_supported",
        /// The payer has too little of the token.
        InsufficientBalance = "invalid_exact_evm_insufficient_balance",
        /// The settlement would fail.
        ExactSimulationFailed = "invalid_exact_evm_transaction_simulation_failed",

        /// The permit names another spender than x402's proxy.
        Permit2Spender = "invalid_permit2_spender",
        /// The permit pays another account.
        Permit2RecipientMismatch = "invalid_permit2_recipient_mismatch",
        /// The permit's signature is not the payer's.
        Permit2Signature = "invalid_permit2_signature",
        /// The permit has expired, or will before it can be settled.
        Permit2DeadlineExpired = "permit2_deadline_expired",
        /// The permit is not valid yet.
        Permit2NotYetValid = "permit2_not_yet_valid",
        /// The permit is over another amount.
        Permit2AmountMismatch = "permit2_amount_mismatch",
        /// The permit is over another token.
        Permit2TokenMismatch = "permit2_token_mismatch",
        /// The payer must first allow Permit2 to move the token.
        Permit2AllowanceRequired = "permit2_allowance_required",
        /// The settlement would fail.
        Permit2SimulationFailed = "permit2_simulation_failed",
        /// The payer has too little of the token.
        Permit2InsufficientBalance = "permit2_insufficient_balance",
        /// x402's proxy is not on the chain.
        Permit2ProxyNotDeployed = "permit2_proxy_not_deployed",
        /// The proxy refuses the amount.
        Permit2InvalidAmount = "permit2_invalid_amount",
        /// The proxy refuses the payee.
        Permit2InvalidDestination = "permit2_invalid_destination",
        /// The proxy refuses the payer.
        Permit2InvalidOwner = "permit2_invalid_owner",
        /// The proxy says that the permit is not valid yet.
        Permit2PaymentTooEarly = "permit2_payment_too_early",
        /// The permit's nonce was used before.
        Permit2InvalidNonce = "permit2_invalid_nonce",
        /// The token's permit (EIP-2612) is over another amount than Permit2's.
        Permit2612AmountMismatch = "permit2_2612_amount_mismatch",

        /// The token's permit that was sent along does not parse.
        Eip2612Format = "invalid_eip2612_extension_format",
        /// The token's permit is of another account than the payer.
        Eip2612FromMismatch = "eip2612_from_mismatch",
        /// The token's permit is of another token.
        Eip2612AssetMismatch = "eip2612_asset_mismatch",
        /// The token's permit allows somebody else than Permit2.
        Eip2612SpenderNotPermit2 = "eip2612_spender_not_permit2",
        /// The token's permit has expired, or will before it can be settled.
        Eip2612DeadlineExpired = "eip2612_deadline_expired",

        /// The payer's contract does not exist yet, and what would create it is not allowed here (ERC-6492).
        FactoryNotAllowed = "eip6492_factory_not_allowed",
        /// The payer's contract could not be created.
        SmartWalletDeploymentFailed = "smart_wallet_deployment_failed",

        /// The transaction of an `upto` settlement was reverted, or could not be sent.
        UptoTransactionFailed = "invalid_upto_evm_transaction_failed",
        /// The payload and its requirements are not both of the scheme `upto`.
        UptoScheme = "invalid_upto_evm_scheme",
        /// The payload is for another chain than its requirements.
        UptoNetworkMismatch = "invalid_upto_evm_network_mismatch",
        /// More is to be charged than was signed.
        UptoSettlementExceedsAmount = "invalid_upto_evm_payload_settlement_exceeds_amount",
        /// The proxy says that more is charged than was signed.
        UptoAmountExceedsPermitted = "upto_amount_exceeds_permitted",
        /// The proxy says that another facilitator was signed for.
        UptoUnauthorizedFacilitator = "upto_unauthorized_facilitator",
        /// Another facilitator was signed for.
        UptoFacilitatorMismatch = "upto_facilitator_mismatch",

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
            Self::QuoteExpired => Subcode::PaymentExpired,
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
            | Self::BeforeDatabase
            | Self::SignatureUsed => X402Reason::NonceAlreadyUsed,
            Self::NoPayment => X402Reason::TransferEventMismatch,
            Self::TransactionReverted
            | Self::AmbiguousPayment
            | Self::PaymentUnreadable
            | Self::NodesDisagree => X402Reason::InvalidTransactionState,
            Self::PaymentNotSeen
            | Self::SettlementPending
            | Self::AwaitingConfirmations
            | Self::AwaitingSecondNode
            | Self::PaymentOrphaned
            | Self::ExposureExceeded
            | Self::PayerHasLoss
            | Self::PayerRefused
            | Self::ChannelNotCurrent
            | Self::ChainHalted => X402Reason::SettlementPending,
            Self::SignatureRefused => X402Reason::InvalidPayload,
            Self::ChannelNotSeen => X402Reason::ChannelNotFound,
            Self::ChannelClosed | Self::ChannelExiting => X402Reason::MissingChannel,
            Self::VoucherInvalid | Self::SignerRequired => X402Reason::VoucherSignature,
            Self::VoucherAboveDeposit => X402Reason::CumulativeExceedsBalance,
            Self::VoucherTooLow | Self::VoucherUsed | Self::WrongChannel => {
                X402Reason::CumulativeAmountMismatch
            }
            Self::IdentityInUse
            | Self::StorageUnavailable
            | Self::FacilitatorBusy
            | Self::FacilitatorUnavailable
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
            | Self::CallerLimited
            | Self::CoolDown
            | Self::RequestTimeout
            | Self::HeadTooLarge
            | Self::TooManyConnections
            | Self::TooManyBodies
            | Self::OutcomeGone
            | Self::StreamEnded
            | Self::UpstreamFailed
            | Self::NotServed
            | Self::ModelUnavailable
            | Self::AtCapacity
            | Self::ServiceUnavailable
            | Self::KeyRefused
            | Self::KeyNotAllowed
            | Self::KeyLimited
            | Self::BalanceTooLow
            | Self::BalanceBlocked
            | Self::AccountClosed => return None,
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
