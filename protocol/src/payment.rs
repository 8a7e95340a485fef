//! A payment as the chain tells it, and its identity.

use std::fmt;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::values::asset::Asset;
use crate::values::money::Amount;
use crate::values::network::ChainId;

/// The name of a payment: a function of what is on chain and never of how it was asked for.
///
/// A payment that its payer signed with a nonce is named by the nonce, since the chain takes it once
/// ([`crate::transaction`]). One of `SaltPay` is one log, and is named by it:
///
/// ```text
/// keccak256( "salt402-payment-v1" ‖ chain id (8 bytes) ‖ contract (20) ‖ transaction hash (32)
///            ‖ keccak256(topics ‖ data) (32) ‖ k (4) )
/// ```
///
/// `k` counts, from zero, the logs of this transaction that are equal in contract, topics and data. Such logs are
/// interchangeable, and no filter can return some of them without the others, so the name is the same by
/// `eth_getLogs` over any range and any filter, by receipt, and after the transaction moved to another block. A log
/// index has no part in it: on Citrate it is a position in the answer, not in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaymentId(pub B256);

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One payment: one movement of money from a payer to a payee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its name.
    pub id: PaymentId,
    /// The chain it is on.
    pub chain: ChainId,
    /// The contract whose event it is: `SaltPay`, the token that an authorization moved, or the proxy that settled it.
    pub contract: Address,
    /// The transaction that holds it; one transaction may hold many.
    pub transaction: B256,
    /// What it was paid for: the hash of a quote's id. Of a payment by a signature, its nonce.
    pub reference: B256,
    /// Who paid.
    pub payer: Address,
    /// Who was paid.
    pub payee: Address,
    /// What was paid.
    pub asset: Asset,
    /// How much arrived at the payee, in base units.
    pub amount: Amount,
}

/// A payment that is more than one log: which movement of money it is.
///
/// The movement is named by the token's `Transfer` in its transaction, so two payments that would count one transfer
/// show themselves, also when the sources that are followed have changed between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settlement {
    /// The payment.
    pub payment: PaymentId,
    /// The transaction that holds it.
    pub transaction: B256,
    /// The name of the movement.
    pub movement: B256,
}

/// Something that may be a payment and can be read in two ways. It is no payment, and a person must look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguity {
    /// Its name: chain, transaction, contract, and which of its logs in the transaction.
    pub id: B256,
    /// The transaction.
    pub transaction: B256,
    /// The contract whose event cannot be matched.
    pub contract: Address,
    /// Why, in words.
    pub reason: &'static str,
}
