//! Charges under `upto`: the work was done, and the payer takes its money away before they are mined.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, U256};
use salt402_chain::Account;
use salt402_facilitator::{Approved, Engine, Method, SettleFault, Settled, Settler as _};
use salt402_protocol::X402Reason;
use salt402_store::SettlementState;

use crate::shop::{KEYS, PAYEE, Shop, approved, outcome, payer, settle};
use crate::world::CHAIN;

/// In how many transactions a charge may be.
const MOST: u64 = 5;

/// A charge of 7 of 10.
fn charge(nonce: u64) -> Approved {
    let facilitator: Address = Account::from_key(KEYS[0]).unwrap().address();
    let mut one = approved(payer(1), nonce, 10);
    one.authorization.method = Method::Permit2Upto { facilitator, permit: None };
    one.charge = U256::from(7);
    one
}

/// Has a charge settled whose payer has the money until it is sent, and not when it is mined.
async fn taken_away(shop: &Shop, engine: &Arc<Engine>, one: &Approved) -> Settled {
    shop.world.give(payer(1), 10);
    let before = shop.row_of(one).await.map_or(0, |row| row.slots);
    let task = settle(engine, one);
    while shop.row_of(one).await.is_none_or(|row| row.slots == before) || shop.world.state().pool.is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    shop.world.give(payer(1), 1);
    match shop.finish(task).await {
        Settled::Pending { .. } => outcome(shop, engine, one).await,
        settled => settled,
    }
}

fn reason(settled: &Settled) -> X402Reason {
    match settled {
        Settled::Failed { reason, .. } => *reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn t4_t8_a_charge_that_reverted_is_made_good_by_its_payers_balance() {
    let shop = Shop::new(60).await;
    let engine = shop.engine();
    let one = charge(1);
    assert_eq!(reason(&taken_away(&shop, &engine, &one).await), X402Reason::UptoTransactionFailed);
    assert_eq!(shop.world.held(PAYEE), U256::ZERO);
    // Nobody does work for it once more, and whoever asks to settle it again claims it anew, over the same charge.
    let id = one.authorization.id();
    let known = engine.known(CHAIN, id).await.unwrap().unwrap();
    assert_eq!(reason(&known.settled), X402Reason::UptoTransactionFailed);
    assert_eq!(engine.outcome(CHAIN, id).await.unwrap(), None);
    let less = Approved { charge: U256::from(6), ..one.clone() };
    let refused = engine.settle(less).await.unwrap_err();
    assert!(
        matches!(refused, SettleFault::Refused { reason: X402Reason::Permit2InvalidNonce, .. }),
        "{refused}"
    );
    // While the money is missing nothing is sent.
    assert_eq!(reason(&outcome(&shop, &engine, &one).await), X402Reason::Permit2SimulationFailed);
    assert_eq!(shop.row(&one).await.slots, 1);
    shop.world.give(payer(1), 10);
    // Also the next process.
    drop(engine);
    let engine = shop.next_engine().await;
    let settled = outcome(&shop, &engine, &one).await;
    assert!(matches!(settled, Settled::Done { amount, .. } if amount == U256::from(7)), "{settled:?}");
    assert_eq!(shop.world.held(PAYEE), U256::from(7));
    assert_eq!(outcome(&shop, &engine, &one).await, settled, "and once");
    let row = shop.row(&one).await;
    assert_eq!((row.state, row.slots, row.gas_used), (SettlementState::Settled, 2, 120_000));
}

/// Each of its transactions costs gas.
#[tokio::test]
async fn t8_a_charge_that_reverts_again_and_again_fails_for_good() {
    let shop = Shop::new(61).await;
    let engine = shop.engine();
    let one = charge(2);
    for sent in 1..=MOST {
        assert_eq!(reason(&taken_away(&shop, &engine, &one).await), X402Reason::UptoTransactionFailed);
        let row = shop.row(&one).await;
        assert_eq!((row.slots, row.again), (sent, sent < MOST));
    }
    shop.world.give(payer(1), 10);
    assert_eq!(reason(&outcome(&shop, &engine, &one).await), X402Reason::UptoTransactionFailed);
    assert_eq!((shop.row(&one).await.slots, shop.world.held(PAYEE)), (MOST, U256::ZERO));
    // What anybody can settle, and whose payer signs another one, is not tried again.
    let exact = approved(payer(1), 3, 10);
    assert_eq!(reason(&taken_away(&shop, &engine, &exact).await), X402Reason::ExactTransactionFailed);
    shop.world.give(payer(1), 10);
    assert_eq!(reason(&outcome(&shop, &engine, &exact).await), X402Reason::ExactTransactionFailed);
}

/// A block with a charge that reverted leaves the chain, while the charge was claimed anew.
#[tokio::test]
async fn a_charge_that_was_claimed_anew_is_settled_once_whatever_becomes_of_the_block_of_before() {
    for kept in [false, true] {
        let shop = Shop::new(62).await;
        let engine = shop.engine();
        let one = charge(4);
        assert_eq!(reason(&taken_away(&shop, &engine, &one).await), X402Reason::UptoTransactionFailed);
        let block = shop.row(&one).await.block.unwrap();
        let depth = shop.world.state().head().number - block + 1;
        let task = settle(&engine, &one);
        shop.world.give(payer(1), 10);
        shop.world.reorganize(&shop.store, usize::try_from(depth).unwrap(), kept).await;
        // What the state of before held is there again.
        shop.world.give(payer(1), 10);
        shop.finish(task).await;
        let settled = outcome(&shop, &engine, &one).await;
        let settled = if matches!(settled, Settled::Failed { .. }) {
            outcome(&shop, &engine, &one).await
        } else {
            settled
        };
        assert!(matches!(settled, Settled::Done { .. }), "{settled:?}");
        assert_eq!((shop.world.held(PAYEE), shop.world.held(payer(1))), (U256::from(7), U256::from(3)));
    }
}
