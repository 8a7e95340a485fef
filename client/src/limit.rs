//! The limit of what a payer pays for one request.

use alloy_primitives::Address;
use salt402_protocol::details::PaymentDetails;
use salt402_protocol::{Amount, Asset, ChainId};

use crate::PayError;

/// The most that one request may cost, and in which asset. There is no default: the payer must choose.
#[derive(Clone, Debug)]
pub struct Limit {
    /// The highest price, in base units.
    pub amount: Amount,
    /// The asset to pay with.
    pub asset: Asset,
    /// The chain to pay on.
    pub chain: ChainId,
    /// The only accepted payment contract, if set. It must be known to pass money on.
    pub contract: Option<Address>,
    /// The only accepted recipient, if set.
    pub recipient: Option<Address>,
}

impl Limit {
    /// Whether a 402 is within the limit.
    pub fn allows(&self, details: &PaymentDetails) -> Result<(), PayError> {
        if details.chain != self.chain {
            return Err(PayError::OtherChain { asked: details.chain, allowed: self.chain });
        }
        if details.asset != self.asset {
            return Err(PayError::OtherAsset { asked: details.asset, allowed: self.asset });
        }
        if details.amount > self.amount {
            return Err(PayError::TooDear { asked: details.amount, allowed: self.amount });
        }
        if let Some(allowed) = self.contract.filter(|contract| *contract != details.payment_contract) {
            return Err(PayError::OtherContract { asked: details.payment_contract, allowed });
        }
        if let Some(allowed) = self.recipient.filter(|recipient| *recipient != details.recipient) {
            return Err(PayError::OtherRecipient { asked: details.recipient, allowed });
        }
        Ok(())
    }
}
