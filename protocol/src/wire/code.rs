//! The codes of all refusals. They never change.

use crate::wire::names::names;

/// Declares [`Code`] from one table, so every code has its text, status and title.
macro_rules! codes {
    ($($(#[$doc:meta])+ $variant:ident = $text:literal, $status:literal, $title:literal;)+) => {
        names! {
            /// Why a request was refused, or not granted yet.
            ///
            /// The texts are stable from the first release. Titles may be reworded.
            Code { $($(#[$doc])+ $variant = $text,)+ }
        }

        impl Code {
            /// The HTTP status of a problem document with this code.
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
    /// The body is not the JSON that the route expects.
    MalformedJson = "malformed_json", 400, "The body is not the JSON this route takes";
    /// A header is repeated, not visible ASCII, or too long.
    MalformedHeader = "malformed_header", 400, "A header has more than one reading";
    /// The proof has no known form.
    MalformedProof = "malformed_proof", 400, "The payment proof is malformed";
    /// The quote id has no known layout.
    MalformedQuote = "malformed_quote", 400, "The quote id is malformed";
    /// A query or path parameter does not parse.
    MalformedParameter = "malformed_parameter", 400, "A parameter is malformed";
    /// A field's value has the right type but makes no sense.
    InvalidRequest = "invalid_request", 422, "The request asks for something that cannot be";
    /// The chain is not configured here.
    UnknownChain = "unknown_chain", 400, "This chain is not followed here";
    /// The asset is not in the operator's allow-list.
    AssetNotAccepted = "asset_not_accepted", 403, "This asset is not accepted here";
    /// The payee is not in the operator's allow-list.
    PayeeNotAccepted = "payee_not_accepted", 403, "Payments to this payee are not accepted here";
    /// The model is not served here.
    UnknownModel = "unknown_model", 404, "This model is not served here";
    /// The verifier's token is missing or wrong.
    Unauthorized = "unauthorized", 401, "The token is missing or wrong";
    /// The API key is unknown, wrong, revoked or has ended. Which of these, nobody is told.
    KeyRefused = "key_refused", 401, "The API key is not good";
    /// The API key is good, and may not be used for this model or path.
    KeyNotAllowed = "key_not_allowed", 403, "The API key is not for this";
    /// The API key was used for more requests, or for more of its balance, than it may be in this time.
    KeyLimited = "key_limited", 429, "The API key is used more than it may be";
    /// The key's balance does not cover what the request may cost. How to top it up is in the detail.
    BalanceTooLow = "balance_too_low", 402, "The balance does not cover the request";
    /// A payment for the balance left the chain or was given back. Nothing is drawn until its operator has settled it.
    BalanceBlocked = "balance_blocked", 403, "The balance is blocked";
    /// The account cannot be topped up: there is none, or its key was revoked or has ended. Not a 402, so that clients do not pay again.
    AccountClosed = "account_closed", 409, "The account cannot be topped up";
    /// The route does not exist.
    NotFound = "not_found", 404, "There is nothing here";
    /// No price is set for the path, behind forward-auth.
    NoPrice = "no_price", 403, "No price is set for this request";
    /// The route does not take this method.
    MethodNotAllowed = "method_not_allowed", 405, "This route does not take this method";
    /// The body exceeds the limit.
    BodyTooLarge = "body_too_large", 413, "The body is too large";
    /// The body has another media type.
    UnsupportedMediaType = "unsupported_media_type", 415, "The body is not application/json";
    /// One address sent more requests than the operator allows.
    AddressLimited = "address_limited", 429, "Too many requests from this address";
    /// One account made more payments than the operator allows. The payment stays good.
    AccountLimited = "account_limited", 429, "Too many payments of this account";
    /// The bearer of one token sent more requests than the operator allows it.
    CallerLimited = "caller_limited", 429, "Too many requests with this token";
    /// The account's last payment was granted a moment ago. The payment stays good.
    CoolDown = "cool_down", 429, "The account's last payment was a moment ago";
    /// The client was too slow.
    RequestTimeout = "request_timeout", 408, "The request took too long to arrive";
    /// The request has more header lines or header bytes than are accepted.
    HeadTooLarge = "head_too_large", 431, "The request's headers are too many or too long";
    /// All connections are in use, or all connections of one address.
    TooManyConnections = "too_many_connections", 503, "There are too many connections";
    /// The memory for unpaid request bodies is in use.
    TooManyBodies = "too_many_bodies", 503, "Too many large requests are on their way";

    /// The quote was not made with this server's key.
    QuoteForged = "quote_forged", 402, "The quote is not one of this server's";
    /// The quote has expired, and no payment was made in time.
    QuoteExpired = "quote_expired", 402, "The quote has expired";
    /// The quote is for another request.
    QuoteMismatch = "quote_mismatch", 402, "The quote is for another request";
    /// The proof is a bare transaction hash, and the operator also requires the quote id.
    QuoteRequired = "quote_required", 402, "The quote id must come with the proof";
    /// The payment's reference belongs to no quote for this request.
    ReferenceMismatch = "reference_mismatch", 402, "The payment was made for another request";
    /// The payment is on another chain.
    WrongNetwork = "wrong_network", 402, "The payment is on another chain";
    /// Another asset was paid.
    WrongAsset = "wrong_asset", 402, "Another asset was paid";
    /// Somebody else was paid.
    WrongPayee = "wrong_payee", 402, "Somebody else was paid";
    /// Too little was paid.
    InsufficientPayment = "insufficient_payment", 402, "Too little was paid";
    /// The payment was used for another request or by another server.
    AlreadyClaimed = "already_claimed", 402, "The payment was used before";
    /// The payment pays for several requests, and all of them were used.
    UsesExhausted = "uses_exhausted", 402, "The payment was used for as many requests as it pays for";
    /// The transaction reverted.
    TransactionReverted = "transaction_reverted", 402, "The transaction was reverted and paid nothing";
    /// The transaction holds no payment through the payment contract.
    NoPayment = "no_payment", 402, "The transaction holds no payment";

    /// The transaction holds several payments, and neither quote id nor ordinal says which one is meant. Not a 402, so
    /// that clients do not pay again.
    OrdinalRequired = "ordinal_required", 422, "The proof must say which payment of its transaction is meant";

    /// The transaction may have paid, but cannot be read with certainty. Not a 402, so that clients do not pay again.
    AmbiguousPayment = "ambiguous_payment", 409, "The transaction can be read in two ways";

    /// The transaction cannot be read, usually because its receipt is too long. Its payments are unknown. Not a 402, so
    /// that clients do not pay again.
    PaymentUnreadable = "payment_unreadable", 409, "The transaction cannot be read here yet";

    /// The quote names no service and is below this service's price. Not a 402, so that clients do not pay again.
    QuoteBelowPrice = "quote_below_price", 409, "The quote is over less than the price";

    /// The quote, payment or channel is older than the server's database, so it is unknown whether it was used. Not a
    /// 402, so that clients do not pay again.
    BeforeDatabase = "before_database", 409, "It is from before the server's database";

    /// The quote came from another service, has other terms, has a removed key, or is for another request, and may have
    /// been paid. Not a 402, so that clients do not pay again.
    QuoteNotHonoured = "quote_not_honoured", 409, "The quote is not honoured here, and may have been paid";

    /// Another node contradicts the one that showed the payment. Not a 402, so that clients do not pay again.
    NodesDisagree = "nodes_disagree", 409, "Nodes of the chain contradict each other about the payment";

    /// The payee gave the payment back, or a part of it, or is about to. It buys nothing any more. Not a 402, so that
    /// clients do not pay again before they have their money.
    PaymentRefunded = "payment_refunded", 410, "The payment was given back";

    /// The payment was mined after its quote expired, or is older than the policy allows. Its payee has the money. Not a 402, so that clients
    /// do not pay again before they have it back.
    PaymentExpired = "payment_expired", 410, "The payment is too old or was made too late";

    /// Vouchers are not accepted: the operator did not enable them, or not for this resource.
    VoucherNotAccepted = "voucher_not_accepted", 402, "Vouchers are not accepted for this";
    /// The contract would not accept the voucher's signature from the channel's signer.
    VoucherInvalid = "voucher_invalid", 402, "The voucher's signature is not the channel's";
    /// The channel has no signing key.
    SignerRequired = "signer_required", 402, "The channel names no key that signs";
    /// The channel names an operator that is not the server's. It could close the channel without a voucher.
    OperatorNotAccepted = "operator_not_accepted", 402, "The channel's operator is not the server's";
    /// The channel is closed.
    ChannelClosed = "channel_closed", 402, "The channel is closed";
    /// The channel's payer asked to exit.
    ChannelExiting = "channel_exiting", 402, "The channel's payer is leaving";
    /// The voucher's ceiling exceeds the deposit.
    VoucherAboveDeposit = "voucher_above_deposit", 402, "More is signed than was deposited";
    /// The voucher's ceiling does not cover this request, or does not exceed the last one. The detail says what to
    /// sign.
    VoucherTooLow = "voucher_too_low", 402, "The voucher does not cover this request";
    /// The voucher was used for another request. The detail says what to sign.
    VoucherUsed = "voucher_used", 402, "The voucher was used before";

    /// The voucher is of another channel than the stream that it was sent for.
    WrongChannel = "wrong_channel", 402, "The voucher is of another channel";
    /// The stream is not under way: it has ended, or no voucher came in time that pays for more. Not a 402, so that clients do not pay
    /// again for what was given.
    StreamEnded = "stream_ended", 410, "The stream has ended";

    /// The channel's opening is not indexed yet, or left the chain.
    ChannelNotSeen = "channel_not_seen", 402, "The channel has not been seen yet";
    /// The channel's indexed state is too old, or some of its past was not read yet.
    ChannelNotCurrent = "channel_not_current", 503, "What is known of the channel is not current";
    /// The payment is not indexed yet.
    PaymentNotSeen = "payment_not_seen", 402, "The payment has not been seen yet";
    /// The payment needs more confirmations.
    AwaitingConfirmations = "awaiting_confirmations", 402, "The payment is not deep enough yet";
    /// The amount requires a second node to show the payment, and none shows it yet.
    AwaitingSecondNode = "awaiting_second_node", 402, "A second node has not shown the payment yet";
    /// The payment's block left the chain. Another block may include the payment again.
    PaymentOrphaned = "payment_orphaned", 402, "The payment's block was reorganized away";

    /// The payer has too much granted on payments that are not final. This payment must be final first.
    ExposureExceeded = "exposure_exceeded", 402, "The payment must be final, as the payer's others are not yet";
    /// The chain dropped an earlier granted payment of this payer. This payment must be final first.
    PayerHasLoss = "payer_has_loss", 402, "The payment must be final, as another of its payer was lost";
    /// The chain dropped an earlier granted payment of this payer. Nothing is granted until it is made good.
    PayerRefused = "payer_refused", 402, "Another payment of its payer was lost and is not made good";
    /// The chain reorganized deeper than its finality, or was reset. An operator must decide first.
    ChainHalted = "chain_halted", 503, "Nothing is granted on this chain until its operator acts";
    /// The payment was mined before the server was restored from a backup, and may have been used.
    PaymentBeforeRestore = "payment_before_restore", 402, "The payment was made before the server was restored";
    /// Another live process uses the same claimant name, as a copied folder does. Only one of them may serve.
    IdentityInUse = "identity_in_use", 503, "Another live process has this identity";
    /// The database cannot be written: its disk is full, or another process holds it.
    StorageUnavailable = "storage_unavailable", 503, "Nothing can be stored now";

    /// The request was answered before, and the answer is no longer stored.
    OutcomeGone = "outcome_gone", 410, "The answer was given before and is no longer kept";
    /// The server behind this one failed. Not a 5xx, because clients would then ask again without the proof and pay
    /// again.
    UpstreamFailed = "upstream_failed", 424, "The server behind this one failed";
    /// The paid request will not be served: all attempts failed, or it cannot be served at all.
    NotServed = "not_served", 424, "The payment was made and its request is not served";
    /// The model's server keeps failing, or was never reached. The model is not sold now.
    ModelUnavailable = "model_unavailable", 503, "The model cannot be served now";
    /// A facilitator refused what was signed. No money moved.
    SignatureRefused = "signature_refused", 402, "What was signed does not pay";
    /// What was signed is on its way to the chain. Not a 402, 408, 409, 429 or 5xx, because clients would then sign again.
    SettlementPending = "settlement_pending", 425, "The payment is not settled yet";
    /// What was signed was used for another request or by another server. Not a 402, so that clients do not sign again.
    SignatureUsed = "signature_used", 403, "What was signed was used before";
    /// The facilitator cannot be asked. Nothing of the payment was done.
    FacilitatorUnavailable = "facilitator_unavailable", 503, "Signed payments cannot be settled now";
    /// As many requests run and wait as the server takes on.
    AtCapacity = "at_capacity", 503, "The server is at its capacity";
    /// The server behind a service keeps failing. Nothing is sold of it now.
    ServiceUnavailable = "service_unavailable", 503, "The service cannot be served now";
    /// There is no room or no budget to settle more signed payments now. Nothing of the payment was done.
    FacilitatorBusy = "facilitator_busy", 503, "No more payments can be settled now";
    /// The verifier cannot be reached.
    VerifierUnavailable = "verifier_unavailable", 503, "Payments cannot be verified now";
    /// The index may not be current.
    NotReady = "not_ready", 503, "The service is not ready";
    /// A contract that has to be paid through has no code on the chain. Nothing is sold, and nothing must be sent there.
    ContractMissing = "contract_missing", 503, "The contract to pay through is not on the chain";
    /// An internal error.
    Internal = "internal", 500, "Something failed here";
}

impl Code {
    /// Whether waiting may turn this into a grant. The client should then present the same proof again and pay nothing.
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
