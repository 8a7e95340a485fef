//! What a payer is willing to pay, for one request.

use alloy_primitives::Address;
use salt402_protocol::details::PaymentDetails;
use salt402_protocol::{Amount, Asset, ChainId};

use crate::PayError;

/// The most that one request may cost, and in what. There is no default: whoever pays says how much.
#[derive(Clone, Debug)]
pub struct Limit {
    /// The most to pay, in base units.
    pub amount: Amount,
    /// What to pay with.
    pub asset: Asset,
    /// The chain to pay on.
    pub chain: ChainId,
    /// The payment contract that is known to pass money on; any other is refused.
    pub contract: Option<Address>,
    /// The only recipient to pay, if one is known.
    pub recipient: Option<Address>,
}

impl Limit {
    /// Whether a 402 stays within the limit.
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
