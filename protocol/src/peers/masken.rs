//! Masken's 402: a body that names receiver, amount, time and nonce. The paid request has `x402-proof: <chain>:<receiver>:<nonce>:<what
//! paid>`.
//!
//! Here the nonce is the quote's id, the chain is `evm`, and what paid is the hash of a transaction through the payment contract.
//! Masken's own amounts are JSON numbers; here they are texts, because a number loses digits.

use alloy_primitives::{Address, B256};
use serde::Serialize;

use crate::details::PaymentDetails;
use crate::proof::Proof;
use crate::quote::key::QuoteId;
use crate::values::asset::{Asset, checked_address, parse_address};
use crate::values::network::ChainId;
use crate::values::request::parse_hash;

/// The header of a paid request.
pub const PROOF_HEADER: &str = "x402-proof";
/// The first part of it.
const EVM: &str = "evm";

/// The members of `x402` in the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MaskenOffer<'a> {
    /// The payee.
    #[serde(with = "checked_address")]
    receiver: Address,
    /// In whole units.
    amount: String,
    /// How long the quote lives, in seconds.
    ttl: u64,
    /// The quote's id.
    nonce: &'a QuoteId,
    /// Where it is paid.
    chain: ChainId,
    /// What is paid.
    token: Asset,
    /// The contract that it is paid through. What is sent to the receiver past it pays for nothing.
    #[serde(with = "checked_address")]
    payment_contract: Address,
    /// What is passed to the contract.
    reference: B256,
}

impl<'a> MaskenOffer<'a> {
    /// The offer of a quote, at a second since 1970.
    pub fn of(details: &'a PaymentDetails, now: u64) -> Self {
        Self {
            receiver: details.recipient,
            amount: details.amount.to_units(details.decimals),
            ttl: details.expires_at.saturating_sub(now),
            nonce: &details.quote_id,
            chain: details.chain,
            token: details.asset,
            payment_contract: details.payment_contract,
            reference: details.reference,
        }
    }
}

/// What a payer shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskenProof {
    /// The transaction that paid.
    pub proof: Proof,
    /// The quote that it paid.
    pub quote: QuoteId,
}

/// Why a header holds no proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskenProofError {
    /// It has another form.
    #[error(
        "it is evm:<receiver>:<nonce>:<0x hash of the transaction>, with the receiver and the nonce of the 402"
    )]
    Form,
    /// It is for another receiver than the quote.
    #[error("the receiver is another than the one of the 402 whose nonce this is")]
    Receiver,
}

impl MaskenProof {
    /// Reads a header's value.
    ///
    /// # Errors
    /// See [`MaskenProofError`].
    pub fn read(value: &str) -> Result<Self, MaskenProofError> {
        let parts: Vec<_> = value.splitn(5, ':').collect();
        let [EVM, receiver, nonce, paid] = parts[..] else { return Err(MaskenProofError::Form) };
        let receiver = parse_address(receiver).ok_or(MaskenProofError::Form)?;
        let quote: QuoteId = nonce.parse().map_err(|_| MaskenProofError::Form)?;
        let hash = parse_hash(paid).ok_or(MaskenProofError::Form)?;
        if quote.payee() != Some(receiver) {
            return Err(MaskenProofError::Receiver);
        }
        Ok(Self { proof: Proof::transaction(hash), quote })
    }
}
