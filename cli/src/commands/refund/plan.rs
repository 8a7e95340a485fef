//! How much is given back: never more than was paid, and nothing twice unless somebody says so.

use salt402_protocol::{Amount, Asset};
use salt402_store::{RefundOrder, Refunds};

use super::amounts::told;
use crate::config::ResolvedChain;

/// Why nothing is to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nothing is left of it.
    Nothing { back: Amount },
    /// Some was given back, and nobody said that more is to be.
    Before { back: Amount, left: Amount },
    /// It is more than is left.
    TooMuch { asked: Amount, left: Amount },
    /// Nothing is asked.
    Zero,
}

impl Refusal {
    pub(super) fn said(self, chain: &ResolvedChain, asset: Asset) -> String {
        let told = |amount| told(chain, asset, amount);
        match self {
            Self::Nothing { back } => {
                format!("{} was given back before, which is all that was paid: nothing was sent", told(back))
            }
            Self::Before { back, left } => format!(
                "{} was given back before, or is on its way, and {} is left: nothing was sent; use --again to give back more",
                told(back),
                told(left)
            ),
            Self::TooMuch { asked, left } => format!(
                "{} is asked for and {} is left of what was paid: nothing was sent; use --force to give back more",
                told(asked),
                told(left)
            ),
            Self::Zero => "--amount: nothing is to be given back; name more than 0".to_owned(),
        }
    }
}

/// How much is given back now, of a payment of `own` base units where all with its reference paid `paid`.
pub(super) fn plan(
    own: Amount,
    paid: Amount,
    known: &Refunds,
    asked: Option<Amount>,
    again: bool,
    force: bool,
) -> Result<Amount, Refusal> {
    let back = known.committed();
    let left = Amount(paid.0.saturating_sub(back.0));
    let amount = asked.unwrap_or(own.min(left));
    if asked.is_some_and(|asked| asked.is_zero()) {
        return Err(Refusal::Zero);
    }
    if left.is_zero() && !(force && again && asked.is_some()) {
        return Err(Refusal::Nothing { back });
    }
    if !back.is_zero() && !again {
        return Err(Refusal::Before { back, left });
    }
    if amount > left && !force {
        return Err(Refusal::TooMuch { asked: amount, left });
    }
    Ok(amount)
}

/// The block of a refund where the index has it on the chain.
pub(super) fn on_chain(known: &Refunds, order: &RefundOrder) -> Option<u64> {
    let mut on_chain = known.indexed.iter().filter(|refund| refund.canonical);
    on_chain.find(|refund| refund.transaction == order.transaction).map(|refund| refund.block_number)
}

#[cfg(test)]
mod tests {
    use salt402_protocol::{Address, B256, ChainId, U256};
    use salt402_store::{IndexedRefund, RefundState, Refunded};

    use super::*;

    fn units(amount: u64) -> Amount {
        Amount(U256::from(amount))
    }

    fn given_back(amount: u64) -> Refunds {
        let refund = IndexedRefund {
            id: B256::repeat_byte(1),
            contract: Address::ZERO,
            transaction: B256::repeat_byte(2),
            amount: units(amount),
            block_number: 1,
            block_hash: B256::ZERO,
            block_timestamp: 1,
            canonical: true,
        };
        Refunds { indexed: vec![refund], orders: Vec::new() }
    }

    fn ordered(amount: u64, state: RefundState) -> Refunds {
        let of = Refunded {
            chain: ChainId::CITRATE,
            reference: B256::ZERO,
            channels: None,
            payer: Address::ZERO,
            payee: Address::ZERO,
            asset: Asset::Native,
        };
        let order = RefundOrder {
            of,
            contract: Address::ZERO,
            amount: units(amount),
            transaction: B256::repeat_byte(3),
            nonce: 0,
            raw: Vec::new(),
            state,
            overtaken_at: None,
            mined_in: None,
        };
        Refunds { indexed: Vec::new(), orders: vec![order] }
    }

    /// What the index shows on the chain needs no node to say so.
    #[test]
    fn a_refund_that_the_index_has_on_the_chain_is_mined() {
        let mut known = ordered(4, RefundState::Open);
        let order = known.orders[0].clone();
        known.indexed = given_back(4).indexed;
        assert_eq!(on_chain(&known, &order), None, "it is another transaction");
        known.indexed[0].transaction = order.transaction;
        assert_eq!(on_chain(&known, &order), Some(1));
        known.indexed[0].canonical = false;
        assert_eq!(on_chain(&known, &order), None);
    }

    #[test]
    fn no_more_is_given_back_than_was_paid_and_nothing_twice_unless_somebody_says_so() {
        let (none, paid) = (Refunds::default(), units(10));
        let plan = |known: &Refunds, asked: Option<u64>, again, force| {
            plan(paid, paid, known, asked.map(units), again, force)
        };
        assert_eq!(plan(&none, None, false, false), Ok(units(10)));
        assert_eq!(plan(&none, Some(3), false, false), Ok(units(3)));
        assert_eq!(plan(&none, Some(0), false, true), Err(Refusal::Zero));
        let too_much = Refusal::TooMuch { asked: units(11), left: units(10) };
        assert_eq!(plan(&none, Some(11), false, false), Err(too_much));
        assert_eq!(plan(&none, Some(11), false, true), Ok(units(11)));
        for part in [given_back(4), ordered(4, RefundState::Mined), ordered(4, RefundState::Open)] {
            let before = Refusal::Before { back: units(4), left: units(6) };
            for force in [false, true] {
                assert_eq!(plan(&part, None, false, force), Err(before), "the same command again");
                assert_eq!(plan(&part, Some(4), false, force), Err(before));
            }
            assert_eq!(plan(&part, None, true, false), Ok(units(6)));
            let too_much = Refusal::TooMuch { asked: units(7), left: units(6) };
            assert_eq!(plan(&part, Some(7), true, false), Err(too_much));
        }
        assert_eq!(plan(&ordered(4, RefundState::Void), None, false, false), Ok(units(10)));
        for (again, force) in [(false, false), (true, false), (false, true), (true, true)] {
            assert_eq!(plan(&given_back(10), None, again, force), Err(Refusal::Nothing { back: units(10) }));
        }
        assert_eq!(plan(&given_back(10), Some(1), true, true), Ok(units(1)));
        // Of two payments for one reference, one is given back at a time.
        let two = |known: &Refunds, again| super::plan(paid, units(20), known, None, again, true);
        assert_eq!(two(&none, false), Ok(units(10)));
        assert_eq!(two(&given_back(10), true), Ok(units(10)));
        assert_eq!(two(&given_back(15), true), Ok(units(5)));
    }
}
