//! Every reason to refuse, under a name that does not change.

use crate::wire::names::names;

/// Declares [`Code`] from one table, so that a code cannot lack its text, status or title.
macro_rules! codes {
    ($($(#[$doc:meta])+ $variant:ident = $text:literal, $status:literal, $title:literal;)+) => {
        names! {
            /// Why something was refused, or not granted yet.
            ///
            /// The text of a code is stable from its first release; titles may be reworded.
            Code { $($(#[$doc])+ $variant = $text,)+ }
        }

        impl Code {
            /// The HTTP status that a problem document with this code has.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// A short sentence for people, the same for every occurrence (RFC 9457 `title`).
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

codes! {
    /// No proof came with the request.
    PaymentRequired = "payment_required", 402, "This request has a price";
    /// A body is not the JSON that the route takes.
    MalformedJson = "malformed_json", 400, "The body is not the JSON this route takes";
    /// A header is doubled, not visible ASCII, or too long.
    MalformedHeader = "malformed_header", 400, "A header has more than one reading";
    /// The proof is of no kind that there is.
    MalformedProof = "malformed_proof", 400, "The payment proof is malformed";
    /// The quote id is not of our layout.
    MalformedQuote = "malformed_quote", 400, "The quote id is malformed";
    /// A query or path parameter does not parse.
    MalformedParameter = "malformed_parameter", 400, "A parameter is malformed";
    /// A field's value has the right type and no sense.
    InvalidRequest = "invalid_request", 422, "The request asks for something that cannot be";
    /// A chain that is not configured here.
    UnknownChain = "unknown_chain", 400, "This chain is not followed here";
    /// An asset that the operator's allow-list does not have.
    AssetNotAccepted = "asset_not_accepted", 403, "This asset is not accepted here";
    /// A payee that the operator's allow-list does not have.
    PayeeNotAccepted = "payee_not_accepted", 403, "Payments to this payee are not accepted here";
    /// A model that is not served here.
    UnknownModel = "unknown_model", 404, "This model is not served here";
    /// The verifier's token is missing or wrong.
    Unauthorized = "unauthorized", 401, "The token is missing or wrong";
    /// No such route.
    NotFound = "not_found", 404, "There is nothing here";
    /// A path that no price is set for, behind a door.
    NoPrice = "no_price", 403, "No price is set for this request";
    /// The route exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, "This route does not take this method";
    /// A body beyond the limit.
    BodyTooLarge = "body_too_large", 413, "The body is too large";
    /// A body of another media type.
    UnsupportedMediaType = "unsupported_media_type", 415, "The body is not application/json";
    /// More requests from one address than the operator allows.
    AddressLimited = "address_limited", 429, "Too many requests from this address";
    /// More payments of one account than the operator allows. The payment stays good.
    AccountLimited = "account_limited", 429, "Too many payments of this account";
    /// A payment of an account whose last one was granted a moment ago. The payment stays good.
    CoolDown = "cool_down", 429, "The account's last payment was a moment ago";
    /// The client was too slow.
    RequestTimeout = "request_timeout", 408, "The request took too long to arrive";
    /// More header lines, or more bytes of them, than are taken.
    HeadTooLarge = "head_too_large", 431, "The request's headers are too many or too long";
    /// All connections, or all of one address, are taken.
    TooManyConnections = "too_many_connections", 503, "There are too many connections";
    /// The room for bodies that nobody has paid for yet is taken.
    TooManyBodies = "too_many_bodies", 503, "Too many large requests are on their way";

    /// The quote was not made with this server's key.
    QuoteForged = "quote_forged", 402, "The quote is not one of this server's";
    /// The quote's time is over and no payment was made within it.
    QuoteExpired = "quote_expired", 402, "The quote has expired";
    /// The quote is for another request than this one.
    QuoteMismatch = "quote_mismatch", 402, "The quote is for another request";
    /// A bare transaction hash where the operator wants the quote id too.
    QuoteRequired = "quote_required", 402, "The quote id must come with the proof";
    /// The payment's reference is not that of a quote for this request.
    ReferenceMismatch = "reference_mismatch", 402, "The payment was made for another request";
    /// The payment is on another chain.
    WrongNetwork = "wrong_network", 402, "The payment is on another chain";
    /// Another asset was paid.
    WrongAsset = "wrong_asset", 402, "Another asset was paid";
    /// Somebody else was paid.
    WrongPayee = "wrong_payee", 402, "Somebody else was paid";
    /// Too little was paid.
    InsufficientPayment = "insufficient_payment", 402, "Too little was paid";
    /// The payment was mined after its quote ended, or is older than the policy allows.
    PaymentExpired = "payment_expired", 402, "The payment is too old or was made too late";
    /// The payment was used, for another request or by another server.
    AlreadyClaimed = "already_claimed", 402, "The payment was used before";
    /// The payment pays for several requests and was used for as many others.
    UsesExhausted = "uses_exhausted", 402, "The payment was used for as many requests as it pays for";
    /// The transaction was reverted.
    TransactionReverted = "transaction_reverted", 402, "The transaction was reverted and paid nothing";
    /// The transaction pays nobody through the payment contract.
    NoPayment = "no_payment", 402, "The transaction holds no payment";

    /// The transaction holds many payments, and neither a quote id nor a place says which of them is meant. No 402, so that
    /// nobody is led to pay again.
    OrdinalRequired = "ordinal_required", 422, "The proof must say which payment of its transaction is meant";

    /// The transaction may have paid, and can be read in two ways. No 402, so that nobody is led to pay again.
    AmbiguousPayment = "ambiguous_payment", 409, "The transaction can be read in two ways";

    /// The transaction cannot be read, mostly because its receipt is too long, so that what it paid is not known. No 402, likewise.
    PaymentUnreadable = "payment_unreadable", 409, "The transaction cannot be read here yet";

    /// The quote names no service and asks less than this one does. No 402, so that nobody is led to pay again.
    QuoteBelowPrice = "quote_below_price", 409, "The quote is over less than the price";

    /// The quote, payment or channel is from before the server's database, so whether it was used is not known. No 402,
    /// likewise.
    BeforeDatabase = "before_database", 409, "It is from before the server's database";

    /// The quote was given by another service, on other terms, with a key that is gone, or for another request, and may have
    /// been paid. No 402, likewise.
    QuoteNotHonoured = "quote_not_honoured", 409, "The quote is not honoured here, and may have been paid";

    /// Another node contradicts the one that showed the payment. No 402, so that nobody is led to pay again.
    NodesDisagree = "nodes_disagree", 409, "Nodes of the chain contradict each other about the payment";

    /// Vouchers are not taken: the operator has not asked for them, or this is not sold for them.
    VoucherNotAccepted = "voucher_not_accepted", 402, "Vouchers are not accepted for this";
    /// The voucher's signature is none that the contract takes from the channel's signer.
    VoucherInvalid = "voucher_invalid", 402, "The voucher's signature is not the channel's";
    /// The channel names no key that signs.
    SignerRequired = "signer_required", 402, "The channel names no key that signs";
    /// The channel is closed.
    ChannelClosed = "channel_closed", 402, "The channel is closed";
    /// The channel's payer has asked to leave.
    ChannelExiting = "channel_exiting", 402, "The channel's payer is leaving";
    /// More is signed than was deposited.
    VoucherAboveDeposit = "voucher_above_deposit", 402, "More is signed than was deposited";
    /// The voucher's ceiling does not cover this request, or is not above the last one. The detail says what to sign.
    VoucherTooLow = "voucher_too_low", 402, "The voucher does not cover this request";
    /// The voucher was used for another request. The detail says what to sign.
    VoucherUsed = "voucher_used", 402, "The voucher was used before";

    /// The channel's opening is not in the index yet, or left the chain.
    ChannelNotSeen = "channel_not_seen", 402, "The channel has not been seen yet";
    /// What the index knows of the channel is too old, or not all that happened to it was read yet.
    ChannelNotCurrent = "channel_not_current", 503, "What is known of the channel is not current";
    /// The payment is not in the index yet.
    PaymentNotSeen = "payment_not_seen", 402, "The payment has not been seen yet";
    /// The payment needs more blocks above it.
    AwaitingConfirmations = "awaiting_confirmations", 402, "The payment is not deep enough yet";
    /// The payment is so large that a second node must show it, and none does yet.
    AwaitingSecondNode = "awaiting_second_node", 402, "A second node has not shown the payment yet";
    /// The payment's block left the chain; it may come back in another.
    PaymentOrphaned = "payment_orphaned", 402, "The payment's block was reorganized away";

    /// Too much was granted to the payer on payments that are not final: this one must be final.
    ExposureExceeded = "exposure_exceeded", 402, "The payment must be final, as the payer's others are not yet";
    /// A payment of this payer was granted on and lost: this one must be final.
    PayerHasLoss = "payer_has_loss", 402, "The payment must be final, as another of its payer was lost";
    /// A payment of this payer was granted on and lost, and nothing of it is granted until that is made good.
    PayerRefused = "payer_refused", 402, "Another payment of its payer was lost and is not made good";
    /// The payment's chain was reorganized deeper than what is final, or reset: the operator must decide first.
    ChainHalted = "chain_halted", 503, "Nothing is granted on this chain until its operator acts";
    /// The payment was mined before the server was restored from a backup, and may have been used before.
    PaymentBeforeRestore = "payment_before_restore", 402, "The payment was made before the server was restored";
    /// Another live process claims under the same name, as a copy of a folder does: one of them serves.
    IdentityInUse = "identity_in_use", 503, "Another live process has this identity";
    /// The database cannot be written now: its disk is full, or another process holds it.
    StorageUnavailable = "storage_unavailable", 503, "Nothing can be stored now";

    /// The outcome of this request was given and is no longer kept.
    OutcomeGone = "outcome_gone", 410, "The answer was given before and is no longer kept";
    /// The upstream model server failed. No 5xx, after which clients ask anew without the proof, and pay again.
    UpstreamFailed = "upstream_failed", 424, "The model server failed";
    /// What was paid for will not be served: it was tried as often as it may be, or never can be.
    NotServed = "not_served", 424, "The payment was made and its request is not served";
    /// The model's server keeps failing, or was not heard of yet: nothing of it is sold.
    ModelUnavailable = "model_unavailable", 503, "The model cannot be served now";
    /// The verifier could not be asked.
    VerifierUnavailable = "verifier_unavailable", 503, "Payments cannot be verified now";
    /// The index cannot be trusted to be current.
    NotReady = "not_ready", 503, "The service is not ready";
    /// A fault of ours.
    Internal = "internal", 500, "Something failed here";
}

impl Code {
    /// Whether time alone may turn this into a grant: the proof should be shown again, and nothing paid again.
    pub const fn is_pending(self) -> bool {
        matches!(
            self,
            Self::PaymentNotSeen
                | Self::AwaitingConfirmations
                | Self::AwaitingSecondNode
                | Self::ChannelNotSeen
                | Self::ChannelNotCurrent
                | Self::PaymentOrphaned
                | Self::ChainHalted
                | Self::IdentityInUse
                | Self::ExposureExceeded
                | Self::PayerHasLoss
                | Self::PayerRefused
                | Self::AddressLimited
                | Self::AccountLimited
                | Self::CoolDown
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_survive_json() {
        let texts: std::collections::HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), *code);
            assert!((400..=599).contains(&code.status()));
        }
    }
}
