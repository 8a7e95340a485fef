//! Nobody is granted on another's money: whole transactions of a thief, who may call anything in any order, with tokens and
//! contracts of his own, and submit whatever others signed. What is read of them is held against a chain that knows who
//! really paid whom, and for which reference.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]
#![allow(non_snake_case, reason = "the fields of Solidity's events")]

mod world;

use proptest::prelude::*;
use salt402_protocol::log::Decoded;
use salt402_protocol::permit2::Call;
use salt402_protocol::source::ProxyScheme;
use salt402_protocol::transaction::{Whole, decode_whole};
use salt402_protocol::{Address, Asset, B256, ChainId, Source, SourceKind, U256};
use world::{
    Act, Ask, BATCH, Batch, FACILITATOR, HOSTILE, Hostile, MESSAGES, OWNERS, PAYEE, PAYWALL, SALT_PAY,
    SILENT, SILENT_UPTO, TELLING, TOKEN, World, amount, nonce, owner,
};

fn sources() -> Vec<Source> {
    let source = |contract, kind| Source { contract, kind, start_block: 0 };
    let (tokens, payees) = (vec![TOKEN], vec![PAYEE]);
    let proxy = |scheme| SourceKind::X402Proxy { scheme, tokens: tokens.clone(), payees: payees.clone() };
    vec![
        source(SALT_PAY, SourceKind::SaltPay),
        source(TOKEN, SourceKind::Eip3009Token { payees: payees.clone() }),
        source(SILENT, proxy(ProxyScheme::Exact)),
        source(SILENT_UPTO, proxy(ProxyScheme::Upto)),
        source(TELLING, proxy(ProxyScheme::Exact)),
        source(
            FACILITATOR,
            SourceKind::CitrateFacilitator { tokens: tokens.clone(), payees: payees.clone() },
        ),
        source(PAYWALL, SourceKind::CitratePaywall { tokens: tokens.clone(), payees: payees.clone() }),
        source(BATCH, SourceKind::X402BatchSettlement),
    ]
}

fn read(sources: &[Source], world: &World, act: &Act) -> Decoded {
    let logs: Vec<_> = world.logs.iter().map(|(contract, content)| (*contract, content)).collect();
    let (to, input) = act.call();
    let call = Some(Call { to: Some(to), input: &input });
    decode_whole(ChainId::CITRATE, sources, Whole { transaction: B256::repeat_byte(9), logs: &logs, call })
}

fn ask(hostile: impl Strategy<Value = Option<Hostile>>) -> impl Strategy<Value = Ask> {
    let proxy = prop_oneof![3 => Just(SILENT), 1 => Just(SILENT_UPTO), 1 => Just(TELLING)];
    let terms = (0..OWNERS, prop_oneof![4 => Just(None), 1 => (0..OWNERS).prop_map(Some)], 0..MESSAGES);
    let odd = (0u8..8, 0u8..8, 0u8..8);
    (proxy, terms, odd, any::<bool>(), hostile).prop_map(
        |(proxy, (owner, other, message), (odd_amount, odd_payee, permit), forged, hostile)| Ask {
            proxy,
            // What nobody signed is signed by nobody, and names whatever its sender likes.
            owner: if hostile.is_some() { OWNERS - 1 } else { owner },
            nonce_of: if hostile.is_some() { OWNERS - 1 } else { other.unwrap_or(owner) },
            message,
            amount: if odd_amount == 0 { 3 } else { 1 + message % 2 },
            forged: forged && other.is_some(),
            to_payee: odd_payee != 0,
            with_permit: permit == 0,
            hostile,
        },
    )
}

fn leaf() -> impl Strategy<Value = Act> {
    let (whose, message) = (0..OWNERS, 0..MESSAGES);
    prop_oneof![
        8 => ask(Just(None)).prop_map(Act::Settle),
        5 => (whose.clone(), message.clone(), 0u8..5, 0u8..4).prop_map(|(owner, message, forged, facilitated)| {
            Act::Authorize { owner, message, forged: forged == 0, facilitated: facilitated == 0 }
        }),
        1 => (whose.clone(), message.clone()).prop_map(|(owner, message)| Act::Nothing { owner, message }),
        1 => (whose, message.clone()).prop_map(|(owner, message)| Act::Access { owner, message }),
        2 => message.prop_map(|reference| Act::SaltPay { reference, hostile: None }),
        2 => (1u8..3).prop_map(|amount| Act::Earnings { amount }),
        1 => (1u8..3).prop_map(|amount| Act::Plain { amount }),
    ]
}

fn hostile(acts: impl Strategy<Value = Act>) -> impl Strategy<Value = Hostile> {
    let acts = prop::collection::vec(acts, 0..3);
    (acts, any::<bool>(), 0u8..6).prop_map(|(acts, shows, reverts)| Hostile {
        acts,
        shows,
        reverts: reverts == 0,
    })
}

fn act() -> impl Strategy<Value = Act> {
    leaf().prop_recursive(3, 24, 5, |inner| {
        let several = prop::collection::vec(inner.clone(), 1..6);
        prop_oneof![
            2 => leaf(),
            4 => ask(hostile(inner.clone()).prop_map(Some)).prop_map(Act::Settle),
            1 => (0..MESSAGES, hostile(inner))
                .prop_map(|(reference, hostile)| Act::SaltPay { reference, hostile: Some(hostile) }),
            1 => several.clone().prop_map(|acts| Act::Withdraw { acts }),
            1 => several.clone().prop_map(|acts| Act::Wrapped { acts }),
            5 => (0u8..6, any::<bool>(), several)
                .prop_map(|(function, lenient, acts)| Act::Together(Batch { function, lenient, acts })),
        ]
    })
}

/// What a thief needs for a theft, in any order: settlements that fail and name what he wants paid, money of others that
/// really moves, and settlements of his own token that succeed; each may stand inside of another call.
fn theft() -> impl Strategy<Value = Act> {
    let proxy = prop_oneof![5 => Just(SILENT), 1 => Just(SILENT_UPTO)];
    let failing = (proxy.clone(), 0..OWNERS - 1, 0..MESSAGES, 0..MESSAGES).prop_map(
        |(proxy, victim, message, wanted)| {
            let amount = 1 + message % 2;
            let nonce_of = OWNERS - 1;
            Act::Settle(Ask { nonce_of, amount, ..plain(proxy, victim, wanted, false) })
        },
    );
    let moving = prop_oneof![
        3 => (0..OWNERS - 1, 0..MESSAGES, prop::bool::weighted(0.2)).prop_map(
            |(owner, message, facilitated)| Act::Authorize { owner, message, forged: false, facilitated }
        ),
        1 => (0..OWNERS - 1, 0..MESSAGES)
            .prop_map(|(owner, message)| Act::Settle(plain(TELLING, owner, message, false))),
        1 => (1u8..3).prop_map(|amount| Act::Earnings { amount }),
        1 => (0..MESSAGES).prop_map(|reference| Act::SaltPay { reference, hostile: None }),
    ];
    let moves = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(moving.clone(), 1..3),
    ];
    let behind =
        (proxy, 0..MESSAGES, moves, prop::bool::weighted(0.2)).prop_map(|(proxy, message, acts, shows)| {
            let hostile = Some(Hostile { acts, shows, reverts: false });
            Act::Settle(Ask { hostile, ..plain(proxy, OWNERS - 1, message, false) })
        });
    let inside = (any::<bool>(), moving.clone(), behind.clone()).prop_map(|(known, moving, behind)| {
        let acts = vec![moving, behind];
        if known { Act::Withdraw { acts } } else { Act::Wrapped { acts } }
    });
    let some = |least: usize, acts: BoxedStrategy<Act>| prop::collection::vec(acts, least..3);
    let parts = (
        some(1, failing.boxed()),
        some(0, moving.boxed()),
        some(0, prop_oneof![3 => behind, 1 => inside].boxed()),
    );
    let acts = parts.prop_map(|(a, b, c)| [a, b, c].concat()).prop_shuffle();
    (2u8..6, acts).prop_map(|(function, acts)| Act::Together(Batch { function, lenient: true, acts }))
}

/// What a thief sends: mostly many calls, since one alone steals nothing.
fn transaction() -> impl Strategy<Value = Act> {
    let batch = (0u8..6, prop::bool::weighted(0.8), prop::collection::vec(act(), 1..7));
    prop_oneof![
        4 => theft(),
        3 => batch.prop_map(|(function, lenient, acts)| Act::Together(Batch { function, lenient, acts })),
        1 => act(),
    ]
}

/// What is found does not depend on how the sources are ordered.
fn in_any_order(decoded: Decoded) -> Decoded {
    let mut decoded = decoded;
    decoded.settlements.sort_by_key(|settlement| settlement.payment);
    decoded
}

/// Each payment in the token is one movement of its payer's, once, for what the payer signed.
fn assert_nobody_is_robbed(decoded: &Decoded, world: &World) {
    let mut left = world.moves.clone();
    for payment in decoded.payments.iter().filter(|payment| payment.asset != Asset::Token(HOSTILE)) {
        assert_eq!(payment.asset, Asset::Token(TOKEN));
        let reference: U256 = payment.reference.into();
        let own = |payer: Address| (0..OWNERS).find(|o| owner(*o) == payer);
        // Whoever also signs over nothing may be understood to have paid for that.
        let signed = || {
            let messages =
                own(payment.payer).into_iter().flat_map(|o| (0..MESSAGES).map(move |m| nonce(o, m)));
            world.spent_nothing.contains(&payment.payer) && messages.into_iter().any(|n| n == reference)
        };
        let same = |one: &world::Move| {
            (one.from, one.to, one.value) == (payment.payer, payment.payee, payment.amount.0)
        };
        let exact = left.iter().position(|one| same(one) && one.reference == Some(reference));
        let found = exact.or_else(|| signed().then(|| left.iter().position(same)).flatten());
        let found = found.unwrap_or_else(|| panic!("nobody made this payment: {payment:?}"));
        left.swap_remove(found);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn nobody_is_granted_on_anothers_money(
        act in transaction(),
        order in Just(sources()).prop_shuffle(),
        followed in prop::collection::vec(prop::bool::weighted(0.8), 8),
    ) {
        let Some(world) = World::run(&act) else { return Ok(()) };
        let some: Vec<_> = order.into_iter().zip(followed).filter(|(_, f)| *f).map(|(s, _)| s).collect();
        let decoded = read(&some, &world, &act);
        assert_nobody_is_robbed(&decoded, &world);
        let mut sorted = some;
        sorted.sort_by_key(|source| source.contract);
        prop_assert_eq!(in_any_order(read(&sorted, &world, &act)), in_any_order(decoded));
    }

    /// So that not everything is called ambiguous: what honest people send is found, all of it.
    #[test]
    fn what_is_paid_honestly_is_found(
        acts in prop::collection::vec(honest(), 1..6),
        (function, lenient) in (0u8..6, any::<bool>()),
        order in Just(sources()).prop_shuffle(),
    ) {
        let alone: Vec<_> = acts.iter().map(|act| vec![act.clone()]).collect();
        for acts in alone.into_iter().chain([through_multicall(acts)]) {
            let act = match acts.as_slice() {
                [one] => one.clone(),
                _ => Act::Together(Batch { function, lenient, acts }),
            };
            let world = World::run(&act).expect("honest calls succeed");
            let decoded = read(&order, &world, &act);
            assert_nobody_is_robbed(&decoded, &world);
            let paid = world.moves.iter().filter(|one| one.reference.is_some()).count();
            prop_assert_eq!((decoded.payments.len(), decoded.ambiguities), (paid, vec![]));
        }
    }
}

/// A payment as a client makes it.
fn honest() -> impl Strategy<Value = Act> {
    let proxy = prop_oneof![Just(SILENT), Just(SILENT_UPTO), Just(TELLING)];
    let (whose, message) = (0..OWNERS, 0..MESSAGES);
    prop_oneof![
        3 => (proxy, whose.clone(), message.clone(), any::<bool>())
            .prop_map(|(proxy, owner, message, permit)| Act::Settle(plain(proxy, owner, message, permit))),
        2 => (whose.clone(), message.clone(), any::<bool>()).prop_map(|(owner, message, facilitated)| {
            Act::Authorize { owner, message, forged: false, facilitated }
        }),
        1 => (whose, message.clone()).prop_map(|(owner, message)| Act::Access { owner, message }),
        1 => message.prop_map(|reference| Act::SaltPay { reference, hostile: None }),
    ]
}

fn plain(proxy: Address, owner: u8, message: u8, with_permit: bool) -> Ask {
    let (nonce_of, amount) = (owner, amount(message).to());
    let (forged, to_payee, hostile) = (false, true, None);
    Ask { proxy, owner, nonce_of, message, amount, forged, to_payee, with_permit, hostile }
}

/// Those of some payments that one transaction holds and can be told of: each message once, where a silent proxy is among
/// them only what leaves it alone, and access for all authorizations of a payer or for none.
fn through_multicall(mut acts: Vec<Act>) -> Vec<Act> {
    let mut seen = std::collections::HashSet::new();
    acts.retain(|act| match act {
        Act::Settle(ask) => seen.insert(("permit2", ask.owner, ask.message)),
        Act::Authorize { owner, message, .. } | Act::Access { owner, message } => {
            seen.insert(("token", *owner, *message))
        }
        _ => true,
    });
    let access = acts.iter().any(|act| matches!(act, Act::Access { .. }));
    acts.retain(|act| !(access && matches!(act, Act::Authorize { .. })));
    let silent = acts.iter().find_map(|act| match act {
        Act::Settle(ask) if ask.proxy != TELLING => Some(ask.proxy),
        _ => None,
    });
    if let Some(silent) = silent {
        acts.retain(|act| match act {
            Act::Settle(ask) => ask.proxy == silent,
            Act::Authorize { facilitated, .. } => !facilitated,
            _ => false,
        });
    }
    acts
}

/// The thief's transaction as it was sent: a settlement that fails and names what he wants paid, the victim's own
/// authorization, and a settlement of a silent token of his, which succeeds.
#[test]
fn a_settlement_that_failed_is_not_believed() {
    let (thief, victim) = (OWNERS - 1, 0);
    let silent_token = Hostile { acts: Vec::new(), shows: false, reverts: false };
    let failing = Ask { forged: true, nonce_of: thief, ..plain(SILENT, victim, 0, false) };
    let behind = Ask { hostile: Some(silent_token), ..plain(SILENT, thief, 1, false) };
    let paid = Act::Authorize { owner: victim, message: 0, forged: false, facilitated: false };
    for function in 2..6 {
        let acts = vec![Act::Settle(failing.clone()), paid.clone(), Act::Settle(behind.clone())];
        let act = Act::Together(Batch { function, lenient: true, acts });
        let world = World::run(&act).unwrap();
        let decoded = read(&sources(), &world, &act);
        assert_nobody_is_robbed(&decoded, &world);
        let references: Vec<U256> = decoded.payments.iter().map(|payment| payment.reference.into()).collect();
        // The victim's payment is the victim's, and what the thief put behind it hides nothing.
        assert_eq!((references, decoded.ambiguities), (vec![nonce(victim, 0)], vec![]));
    }
    // The payee's own earnings, moved by the token while it is settled.
    let owner_is_batch = Ask { forged: true, nonce_of: thief, ..plain(SILENT, victim, 0, false) };
    let moves = Hostile { acts: vec![Act::Earnings { amount: 1 }], shows: false, reverts: false };
    let acts = vec![
        Act::Settle(owner_is_batch),
        Act::Settle(Ask { hostile: Some(moves), ..plain(SILENT, thief, 1, false) }),
    ];
    let act = Act::Together(Batch { function: 4, lenient: true, acts });
    let world = World::run(&act).unwrap();
    assert_eq!(read(&sources(), &world, &act).payments, []);
}
