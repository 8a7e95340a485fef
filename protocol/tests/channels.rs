//! A channel's state is a function of the set of its events.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use proptest::prelude::*;
use salt402_protocol::{Address, Amount, Asset, B256, ChannelChange, ChannelState, Descriptor, U256};

fn amount(value: u64) -> Amount {
    Amount(U256::from(value))
}

fn descriptor() -> Descriptor {
    Descriptor {
        payer: Address::repeat_byte(1),
        payee: Address::repeat_byte(2),
        asset: Asset::Native,
        signer: None,
        operator: None,
        exit_delay: 900,
        salt: B256::repeat_byte(3),
    }
}

/// A life of a channel as the contract allows it, with the height of each event and the state at its end.
fn life(steps: &[(u8, u64, bool)]) -> (Vec<(u64, ChannelChange)>, ChannelState) {
    let mut state = ChannelState {
        descriptor: Some(descriptor()),
        deposit: amount(100),
        claimed: amount(0),
        refunded: amount(0),
        exit_at: None,
        closed: false,
    };
    let mut height = 7;
    let mut events = vec![(height, ChannelChange::Opened { descriptor: descriptor(), deposit: amount(100) })];
    for (kind, value, next_block) in steps {
        height += u64::from(*next_block);
        if state.closed {
            break;
        }
        match kind {
            0 => {
                if state.exit_at.take().is_some() {
                    events.push((height, ChannelChange::ExitCancelled));
                }
                state.deposit = Amount(state.deposit.0 + U256::from(*value));
                events.push((
                    height,
                    ChannelChange::ToppedUp { amount: amount(*value), deposit: state.deposit },
                ));
            }
            1 if state.claimed.0 + U256::from(*value) <= state.deposit.0 => {
                state.claimed = Amount(state.claimed.0 + U256::from(*value));
                events.push((
                    height,
                    ChannelChange::Claimed { amount: amount(*value), claimed: state.claimed },
                ));
            }
            2 if state.exit_at.is_none() => {
                // Equal within a block, as the block's time is.
                let exit_at = height * 1000 + 900;
                state.exit_at = Some(exit_at);
                events.push((height, ChannelChange::ExitRequested { exit_at, amount: None }));
            }
            3 => {
                let refund = Amount(state.deposit.0 - state.claimed.0);
                (state.closed, state.exit_at, state.refunded) = (true, None, refund);
                events.push((height, ChannelChange::Closed { claimed: state.claimed, refund }));
            }
            _ => {}
        }
    }
    (events, state)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn events_fold_to_the_contracts_state_in_any_order(
        steps in prop::collection::vec((prop_oneof![6 => 0u8..3, 1 => Just(3u8)], 1u64..30, any::<bool>()), 0..24),
        seed in any::<u64>(),
    ) {
        let (mut events, state) = life(&steps);
        prop_assert_eq!(ChannelState::fold(events.clone()), Some(state.clone()));
        let mut random = seed;
        for last in (1..events.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            events.swap(last, (random >> 33) as usize % (last + 1));
        }
        prop_assert_eq!(ChannelState::fold(events.clone()), Some(state.clone()));
        // The totals say all of deposits and claims: all but the greatest may be missing.
        let greatest = |of: fn(&ChannelChange) -> Option<Amount>| {
            events.iter().filter_map(|(_, change)| of(change)).max()
        };
        let top = greatest(|change| match change { ChannelChange::Claimed { claimed, .. } => Some(*claimed), _ => None });
        let few = events.into_iter().filter(|(_, change)| match change {
            ChannelChange::Claimed { claimed, .. } => Some(*claimed) == top,
            _ => true,
        });
        prop_assert_eq!(ChannelState::fold(few), Some(state));
    }
}

#[test]
fn a_batch_settlement_channel_adds_up() {
    let events = [
        (1, ChannelChange::Created { descriptor: descriptor() }),
        (1, ChannelChange::Deposited { amount: amount(100) }),
        (2, ChannelChange::Claimed { amount: amount(30), claimed: amount(30) }),
        (3, ChannelChange::Refunded { amount: amount(20) }),
        (4, ChannelChange::ExitRequested { exit_at: 5000, amount: Some(amount(50)) }),
        (5, ChannelChange::Claimed { amount: amount(10), claimed: amount(40) }),
    ];
    let state = ChannelState::fold(events).unwrap();
    assert_eq!((state.available(), state.exit_at, state.claimed), (amount(40), Some(5000), amount(40)));
    let withdrawn = [(6, ChannelChange::Withdrawn { amount: amount(40) })];
    let state = ChannelState::fold(events.into_iter().chain(withdrawn)).unwrap();
    assert_eq!((state.available(), state.exit_at, state.closed), (amount(0), None, false));
    assert_eq!(ChannelState::fold([]), None);
}
