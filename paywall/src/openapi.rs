//! What a route that is paid for may answer, in a document.

use salt402_http::openapi::{operations, refuse, text_header};
use salt402_protocol::problem::PROBLEM_JSON;
use salt402_protocol::{Code, Proof, QuoteId};
use utoipa::IntoParams;
use utoipa::openapi::path::Paths;
use utoipa::openapi::{ContentBuilder, Ref, RefOr};

/// What a route that is paid for may answer: with 402, how its headers may be wrong, and what is said of a proof without details.
pub const PAID: &[Code] = &[
    Code::PaymentRequired,
    Code::MalformedHeader,
    Code::MalformedProof,
    Code::MalformedQuote,
    Code::QuoteForged,
    Code::QuoteExpired,
    Code::QuoteMismatch,
    Code::QuoteRequired,
    Code::ReferenceMismatch,
    Code::WrongNetwork,
    Code::WrongAsset,
    Code::WrongPayee,
    Code::InsufficientPayment,
    Code::PaymentExpired,
    Code::AlreadyClaimed,
    Code::TransactionReverted,
    Code::NoPayment,
    Code::PaymentNotSeen,
    Code::AwaitingConfirmations,
    Code::AwaitingSecondNode,
    Code::PaymentOrphaned,
    Code::VerifierUnavailable,
    Code::AddressLimited,
    Code::AccountLimited,
    Code::CoolDown,
    Code::UsesExhausted,
    Code::ExposureExceeded,
    Code::PayerHasLoss,
    Code::PayerRefused,
    Code::AssetNotAccepted,
    Code::PayeeNotAccepted,
    Code::VoucherNotAccepted,
    Code::VoucherInvalid,
    Code::SignerRequired,
    Code::OperatorNotAccepted,
    Code::ChannelClosed,
    Code::ChannelExiting,
    Code::ChannelNotSeen,
    Code::ChannelNotCurrent,
    Code::VoucherAboveDeposit,
    Code::VoucherTooLow,
    Code::VoucherUsed,
    Code::BeforeDatabase,
    Code::PaymentRefunded,
    Code::IdentityInUse,
    Code::PaymentBeforeRestore,
    Code::OrdinalRequired,
    Code::AmbiguousPayment,
    Code::QuoteBelowPrice,
    Code::QuoteNotHonoured,
    Code::NodesDisagree,
    Code::ChainHalted,
    Code::StorageUnavailable,
    Code::ContractMissing,
];

/// How a request is paid for, in a document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "the fields describe headers")]
pub struct PaymentHeaders {
    /// The hash of the transaction that paid, or another proof. Left out, the answer is a 402 that says how to pay.
    #[param(rename = "X-Payment-Proof")]
    proof: Option<Proof>,
    /// The id of the quote that was paid: the receipt.
    #[param(rename = "X-Payment-Quote")]
    quote: Option<QuoteId>,
    /// `quote`: ask for a quote that nobody else is given.
    #[param(rename = "X-Payment-Binding")]
    binding: Option<String>,
    /// `vouchers`: pay a stream as it goes, by vouchers of one channel. The stream then has events `payment-need-voucher` and
    /// `payment-receipt` beside its own.
    #[param(rename = "X-Payment-Stream")]
    stream: Option<String>,
}

/// Describes the refusals of routes that are paid for, as [`refuse`] does those of any: their 402 says how to pay.
pub fn refuse_paid(paths: &mut Paths, codes: &[Code]) {
    refuse(paths, codes);
    for operation in operations(paths) {
        let Some(RefOr::T(unpaid)) = operation.responses.responses.get_mut("402") else { continue };
        // Where only time is missing, or money may have moved, it is a problem without details: nobody is led to pay twice.
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("PaymentProblem"))).build();
        unpaid.content.insert(PROBLEM_JSON.to_owned(), RefOr::T(content));
        let details = text_header(
            "PaymentDetails as one line of ASCII JSON, unless only time is missing or money may have moved.",
        );
        unpaid.headers.insert("X-Payment-Details".to_owned(), RefOr::T(details));
        unpaid.headers.insert("Vary".to_owned(), RefOr::T(text_header("The payment headers.")));
    }
}
