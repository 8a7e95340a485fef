//! A payment on chain, and its id.

use std::fmt;

use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::values::asset::Asset;
use crate::values::money::Amount;
use crate::values::network::ChainId;

/// The id of a payment. It hashes only what is on chain, never how it was queried.
///
/// A payment that its payer signed with a nonce has an id made from the nonce, because the chain accepts a nonce once
/// ([`crate::transaction`]). A `SaltPay` payment is one log, and its id is:
///
/// ```text
/// keccak256( "salt402-payment-v1" ‖ chain id (8 bytes) ‖ contract (20) ‖ transaction hash (32)
///            ‖ keccak256(topics ‖ data) (32) ‖ k (4) )
/// ```
///
/// `k` counts, from zero, the logs of this transaction with the same contract, topics and data. Such logs are
/// interchangeable, and no filter returns only some of them. So the id is the same in `eth_getLogs` over any range and
/// filter, in the receipt, and after the transaction moved to another block. The log index is not part of it: Citrate
/// numbers logs within the answer, not within the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaymentId(pub B256);

impl PaymentId {
    /// The id under which the answer to one of a payment's requests is kept, where one payment pays for several at once: by its place
    /// among them, from 0.
    ///
    /// ```text
    /// keccak256( "salt402-part-v1" ‖ payment id (32 bytes) ‖ place (4) )
    /// ```
    pub fn part(self, place: u32) -> Self {
        let mut text = b"salt402-part-v1".to_vec();
        text.extend_from_slice(self.0.as_slice());
        text.extend_from_slice(&place.to_be_bytes());
        Self(keccak256(text))
    }

    /// The `Idempotency-Key` with which a signed payment is settled that a verifier has kept for a request of a claimant. A facilitator
    /// over the verifier's database settles it for no other key: what was signed can be read on its way to the chain.
    ///
    /// ```text
    /// keccak256( claimant ‖ request digest (32 bytes) ‖ payment id (32 bytes) ), as 0x and 64 digits
    /// ```
    pub fn settlement_key(self, claimant: &str, request: B256) -> String {
        keccak256([claimant.as_bytes(), request.as_slice(), self.0.as_slice()].concat()).to_string()
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One payment: one movement of money from a payer to a payee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The payment's id.
    pub id: PaymentId,
    /// The chain of the payment.
    pub chain: ChainId,
    /// The contract: `SaltPay`, the token that an authorization moved, or the proxy that settled.
    pub contract: Address,
    /// The transaction of the payment. One transaction may hold many payments.
    pub transaction: B256,
    /// The reference that was paid for: the hash of a quote's id, or the nonce of a signature.
    pub reference: B256,
    /// The payer.
    pub payer: Address,
    /// The payee.
    pub payee: Address,
    /// The asset that was paid.
    pub asset: Asset,
    /// The amount that reached the payee, in base units.
    pub amount: Amount,
}

/// The token movement of a payment that has more than one log.
///
/// The movement's id comes from the token's `Transfer`. So two payments cannot count the same transfer unnoticed, even
/// if the followed sources changed in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settlement {
    /// The payment's id.
    pub payment: PaymentId,
    /// The transaction of the payment.
    pub transaction: B256,
    /// The movement's id.
    pub movement: B256,
}

/// Money that a payee gave back for a payment, told by one `Refund` event of `SaltPay`. It is never a payment.
///
/// It belongs to the payments with the same reference, payer, payee and asset, of whatever contract. Only the payee's
/// account can emit it, so nobody else can say that a payment was given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// The refund's id: as a [`PaymentId`], under another tag.
    pub id: B256,
    /// The chain of the refund.
    pub chain: ChainId,
    /// The `SaltPay` that it went through.
    pub contract: Address,
    /// The transaction of the refund.
    pub transaction: B256,
    /// The reference of the payment.
    pub reference: B256,
    /// The account that gave it back: the payee of the payment.
    pub payee: Address,
    /// The account that got it: the payer of the payment.
    pub payer: Address,
    /// The asset that was given back.
    pub asset: Asset,
    /// The amount that reached the payer, in base units.
    pub amount: Amount,
}

/// A possible payment that cannot be read with certainty. It does not count as a payment, and an operator must look at
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguity {
    /// Its id: a hash of chain, transaction, contract, and the log's number among the contract's logs.
    pub id: B256,
    /// The transaction's hash.
    pub transaction: B256,
    /// The contract whose event cannot be matched.
    pub contract: Address,
    /// The reason, for people.
    pub reason: &'static str,
}
