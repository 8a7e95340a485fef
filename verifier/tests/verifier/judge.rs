//! The decision, case by case and against random changes.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::time::Duration;

use proptest::prelude::*;
use salt402_protocol::api::Requirement;
use salt402_protocol::quote::QuoteClock;
use salt402_protocol::{
    Address, Amount, Asset, B256, ChainId, Code, Payment, PaymentId, Proof, Quote, QuoteId, QuoteKey,
    QuoteKeys, RequestDigest, Service, SignedNonce, Terms, U256,
};
use salt402_store::{ClaimRow, IndexedPayment, PlacedPayment};
use salt402_verifier::{
    ChainPolicy, Depth, Derived, Judgement, MOST_BY_HASH, PaymentRules, Policy, Question, judge,
};

const NOW: u64 = 1_800_000_000;
/// Which transaction it is matters to the judge only where a place in it is named: it is given its payments.
const SHOWN: Proof = Proof::transaction(B256::ZERO);

fn key() -> QuoteKey {
    QuoteKey::new(&[42; 32]).unwrap()
}

fn chain() -> ChainPolicy {
    ChainPolicy {
        chain: ChainId::CITRATE,
        network: "citrate".into(),
        contract: Address::repeat_byte(0xc0),
        other_contracts: Vec::new(),
        channels: None,
        past_channels: Vec::new(),
        operators: Vec::new(),
        least_exit_delay: None,
        rules: PaymentRules::new(1, 101),
        symbol: "SALT".into(),
        decimals: 18,
        block_time: Duration::from_secs(2),
        steady_blocks: false,
        stale_after: Duration::from_secs(10),
    }
}

fn requirement() -> Requirement {
    Requirement {
        chain: ChainId::CITRATE,
        payee: Address::repeat_byte(0xaa),
        asset: Asset::Native,
        amount: Amount(U256::from(1000)),
        request_digest: RequestDigest(B256::repeat_byte(0x11)),
        confirmations: None,
    }
}

fn terms(requirement: &Requirement) -> Terms {
    Terms {
        chain: requirement.chain,
        contract: chain().contract,
        payee: requirement.payee,
        asset: requirement.asset,
        amount: requirement.amount,
        request: requirement.request_digest,
        service: None,
    }
}

fn paid(reference: B256) -> IndexedPayment {
    IndexedPayment {
        placed: PlacedPayment {
            payment: Payment {
                id: PaymentId(B256::repeat_byte(1)),
                chain: ChainId::CITRATE,
                contract: chain().contract,
                transaction: B256::repeat_byte(2),
                reference,
                payer: Address::repeat_byte(0xbb),
                payee: requirement().payee,
                asset: Asset::Native,
                amount: requirement().amount,
            },
            position: 0,
            block_number: 10,
            block_hash: B256::repeat_byte(3),
            block_timestamp: NOW,
        },
        canonical: true,
        confirmations: 1,
        refunded: None,
        claim: None,
    }
}

/// The shared quote that a server gives for the requirement now, and the payment of it.
fn bare() -> (Requirement, IndexedPayment) {
    let quote = Policy::default().clock.derived(terms(&requirement()), NOW);
    (requirement(), paid(key().seal(&quote).reference()))
}

fn decide(
    requirement: &Requirement,
    quote: Option<(&QuoteId, &Quote)>,
    payments: &[IndexedPayment],
) -> Judgement {
    decide_at(NOW, &Policy::default(), requirement, quote, payments)
}

fn decide_at(
    now: u64,
    policy: &Policy,
    requirement: &Requirement,
    quote: Option<(&QuoteId, &Quote)>,
    payments: &[IndexedPayment],
) -> Judgement {
    let question = Question { requirement, quote, proof: SHOWN, claimant: "me", reserved: None, now };
    judge(&question, policy, &chain(), &mut Derived::new(&key().into()), payments)
}

fn code(judgement: &Judgement) -> Option<Code> {
    match judgement {
        Judgement::Paid(_) => None,
        Judgement::Pending(code, _) | Judgement::Rejected(code, _) | Judgement::Unasked(code, _) => {
            Some(*code)
        }
    }
}

fn claimed_by(request: RequestDigest, claimant: &str) -> Option<ClaimRow> {
    Some(ClaimRow { request, claimant: claimant.into(), claimed_at_ms: 1 })
}

#[test]
fn what_was_quoted_and_paid_is_paid() {
    let (requirement, payment) = bare();
    assert_eq!(decide(&requirement, None, &[payment]), Judgement::Paid(0));
}

#[test]
fn more_than_was_asked_is_paid_too() {
    let (requirement, mut payment) = bare();
    payment.placed.payment.amount = Amount(U256::MAX);
    assert_eq!(decide(&requirement, None, &[payment]), Judgement::Paid(0));
}

#[test]
fn every_difference_has_its_code() {
    type Change = fn(&mut IndexedPayment);
    let cases: [(Change, Code); 8] = [
        (|p| p.placed.payment.contract = Address::ZERO, Code::WrongNetwork),
        (|p| p.placed.payment.payee = Address::ZERO, Code::WrongPayee),
        (|p| p.placed.payment.asset = Asset::Token(Address::repeat_byte(5)), Code::WrongAsset),
        (|p| p.placed.payment.amount = Amount(U256::from(999)), Code::InsufficientPayment),
        (|p| p.placed.payment.reference = B256::repeat_byte(9), Code::ReferenceMismatch),
        (|p| p.placed.block_timestamp = NOW + 100_000, Code::ReferenceMismatch),
        (|p| (p.canonical, p.confirmations) = (false, 0), Code::PaymentOrphaned),
        (|p| p.claim = claimed_by(RequestDigest(B256::ZERO), "me"), Code::AlreadyClaimed),
    ];
    for (change, expected) in cases {
        let (requirement, mut payment) = bare();
        change(&mut payment);
        assert_eq!(code(&decide(&requirement, None, &[payment])), Some(expected));
    }
}

#[test]
fn a_claim_is_found_again_by_its_request_and_claimant_alone() {
    let (requirement, mut payment) = bare();
    payment.claim = claimed_by(requirement.request_digest, "me");
    assert_eq!(decide(&requirement, None, std::slice::from_ref(&payment)), Judgement::Paid(0));
    payment.claim = claimed_by(requirement.request_digest, "another gateway");
    assert_eq!(code(&decide(&requirement, None, &[payment])), Some(Code::AlreadyClaimed));
}

#[test]
fn of_several_payments_the_one_that_serves_best_is_taken() {
    let (requirement, free) = bare();
    let mut taken = free.clone();
    taken.claim = claimed_by(RequestDigest(B256::ZERO), "me");
    let mut ours = free.clone();
    ours.claim = claimed_by(requirement.request_digest, "me");
    let stranger = paid(B256::repeat_byte(9));
    assert_eq!(
        decide(&requirement, None, &[stranger.clone(), taken.clone(), free.clone()]),
        Judgement::Paid(2)
    );
    assert_eq!(decide(&requirement, None, &[free, ours, taken.clone()]), Judgement::Paid(1));
    assert_eq!(code(&decide(&requirement, None, &[stranger, taken])), Some(Code::AlreadyClaimed));
}

#[test]
fn depth_is_the_larger_of_policy_and_requirement() {
    let (mut requirement, mut payment) = bare();
    requirement.confirmations = Some(3);
    payment.confirmations = 2;
    assert_eq!(
        code(&decide(&requirement, None, std::slice::from_ref(&payment))),
        Some(Code::AwaitingConfirmations)
    );
    payment.confirmations = 3;
    assert_eq!(decide(&requirement, None, std::slice::from_ref(&payment)), Judgement::Paid(0));
    requirement.confirmations = Some(0);
    payment.confirmations = 1;
    assert_eq!(decide(&requirement, None, &[payment]), Judgement::Paid(0));
}

#[test]
fn a_larger_amount_must_be_deeper() {
    let mut policy = chain();
    let native = |from: u64, confirmations| Depth {
        asset: Asset::Native,
        from: Amount(U256::from(from)),
        confirmations,
    };
    policy.rules.depths = vec![
        native(1000, 3),
        native(5000, 12),
        Depth { asset: Asset::Token(Address::repeat_byte(1)), ..native(1, 99) },
    ];
    for (amount, depth) in [(999, 1), (1000, 3), (4999, 3), (5000, 12)] {
        assert_eq!(policy.confirmations_for(Asset::Native, Amount(U256::from(amount))), depth);
    }
    let (requirement, mut payment) = bare();
    let question = Question {
        requirement: &requirement,
        quote: None,
        proof: SHOWN,
        claimant: "me",
        reserved: None,
        now: NOW,
    };
    let decide = |payment: &IndexedPayment| {
        judge(
            &question,
            &Policy::default(),
            &policy,
            &mut Derived::new(&key().into()),
            std::slice::from_ref(payment),
        )
    };
    payment.confirmations = 2;
    assert_eq!(code(&decide(&payment)), Some(Code::AwaitingConfirmations));
    payment.confirmations = 3;
    assert_eq!(decide(&payment), Judgement::Paid(0));
}

#[test]
fn an_old_payment_is_refused() {
    let (requirement, payment) = bare();
    let late = NOW + Policy::default().max_age.as_secs() + 1;
    let judgement = decide_at(late, &Policy::default(), &requirement, None, &[payment]);
    assert_eq!(code(&judgement), Some(Code::PaymentExpired));
}

#[test]
fn a_chain_may_take_younger_payments_than_others() {
    let (requirement, payment) = bare();
    let mut strict = chain();
    strict.rules.max_age = Some(Duration::from_secs(60));
    let question = Question {
        requirement: &requirement,
        quote: None,
        proof: SHOWN,
        claimant: "me",
        reserved: None,
        now: NOW + 61,
    };
    let judgement = judge(
        &question,
        &Policy::default(),
        &strict,
        &mut Derived::new(&key().into()),
        std::slice::from_ref(&payment),
    );
    assert_eq!(code(&judgement), Some(Code::PaymentExpired));
    assert_eq!(decide_at(NOW + 61, &Policy::default(), &requirement, None, &[payment]), Judgement::Paid(0));
}

#[test]
fn what_was_granted_is_answered_however_old_it_is() {
    let (requirement, mut payment) = bare();
    let late = NOW + 10 * Policy::default().max_age.as_secs();
    payment.claim = claimed_by(requirement.request_digest, "me");
    let decide = |payment: &IndexedPayment| {
        decide_at(late, &Policy::default(), &requirement, None, std::slice::from_ref(payment))
    };
    assert_eq!(decide(&payment), Judgement::Paid(0));
    payment.claim = claimed_by(requirement.request_digest, "another");
    assert_eq!(code(&decide(&payment)), Some(Code::PaymentExpired));
}

#[test]
fn a_bare_payment_at_the_price_that_was_quoted_is_good_after_the_price_changed() {
    let (requirement, (_, _, payment)) = (requirement(), of_service("me", 1000, false));
    for price in [1, 999, 1001, 500_000] {
        let changed = Requirement { amount: Amount(U256::from(price)), ..requirement };
        assert_eq!(decide(&changed, None, std::slice::from_ref(&payment)), Judgement::Paid(0), "{price}");
        // Another amount was not quoted, and proves nothing.
        let mut other = payment.clone();
        other.placed.payment.amount = Amount(U256::from(998));
        let expected = if price <= 998 { Code::ReferenceMismatch } else { Code::InsufficientPayment };
        assert_eq!(code(&decide(&changed, None, &[other])), Some(expected), "{price}");
    }
    // A quote that had ended before the payment was mined is no price any more.
    let mut late = payment;
    late.placed.block_timestamp = NOW + 1000;
    let changed = Requirement { amount: Amount(U256::from(999)), ..requirement };
    assert_eq!(
        code(&decide_at(NOW + 1000, &Policy::default(), &changed, None, &[late])),
        Some(Code::ReferenceMismatch)
    );
}

#[test]
fn a_bare_payment_for_a_quote_of_an_older_key_is_found() {
    let (requirement, payment) = bare();
    let question = Question {
        requirement: &requirement,
        quote: None,
        proof: SHOWN,
        claimant: "me",
        reserved: None,
        now: NOW,
    };
    let new = QuoteKey::new(&[7; 32]).unwrap();
    let decide = |keys: QuoteKeys| {
        judge(
            &question,
            &Policy::default(),
            &chain(),
            &mut Derived::new(&keys),
            std::slice::from_ref(&payment),
        )
    };
    assert_eq!(decide(QuoteKeys::new(new.clone(), vec![key()])), Judgement::Paid(0));
    assert_eq!(code(&decide(new.into())), Some(Code::ReferenceMismatch));
}

#[test]
fn a_presented_quote_binds_alone() {
    let policy = Policy::default();
    let (id, quote, payment) = of_service("me", 1000, true);
    let presented = Some((&id, &quote));
    assert_eq!(decide(&requirement(), presented, std::slice::from_ref(&payment)), Judgement::Paid(0));
    // Without it the payment cannot be used: whoever reads the chain does not have it.
    assert_eq!(
        code(&decide(&requirement(), None, std::slice::from_ref(&payment))),
        Some(Code::ReferenceMismatch)
    );
    // With it, the shared quote's payment cannot.
    assert_eq!(code(&decide(&requirement(), presented, &[bare().1])), Some(Code::ReferenceMismatch));
    // The price is the quote's, whatever is asked now.
    let mut dearer = requirement();
    dearer.amount = Amount(U256::from(5000));
    assert_eq!(decide(&dearer, presented, std::slice::from_ref(&payment)), Judgement::Paid(0));

    let mut late = payment.clone();
    late.placed.block_timestamp = quote.expires_at + policy.clock_skew.as_secs() + 1;
    assert_eq!(code(&decide(&requirement(), presented, &[late])), Some(Code::PaymentExpired));
    let after = quote.expires_at + 3 * policy.clock_skew.as_secs();
    assert_eq!(code(&decide_at(after, &policy, &requirement(), presented, &[])), Some(Code::QuoteExpired));
    assert_eq!(decide_at(after, &policy, &requirement(), presented, &[payment]), Judgement::Paid(0));

    let strict = Policy { bare_hashes: false, ..policy };
    assert_eq!(code(&decide_at(NOW, &strict, &requirement(), None, &[bare().1])), Some(Code::QuoteRequired));
}

proptest! {
    /// Whatever is changed between the quote and the question, only what was quoted is served.
    #[test]
    fn no_other_request_is_served(
        payee in any::<[u8; 20]>(), token: Option<[u8; 20]>, amount in 1u64..5000, digest in any::<[u8; 32]>(),
        random: bool, present: bool,
    ) {
        let policy = Policy::default();
        let original = requirement();
        let quote = if random {
            policy.clock.random(terms(&original), NOW, [9; 16])
        } else {
            policy.clock.derived(terms(&original), NOW)
        };
        let id = key().seal(&quote);
        let payment = paid(id.reference());
        let other = Requirement {
            payee: payee.into(),
            asset: token.map_or(Asset::Native, |token| Asset::from_address(token.into())),
            amount: Amount(U256::from(amount)),
            request_digest: RequestDigest(digest.into()),
            ..original
        };
        let presented = present.then_some((&id, &quote));
        prop_assert!(!matches!(decide(&other, presented, &[payment]), Judgement::Paid(_)));
    }
}

#[test]
fn f26_a_clock_that_is_set_back_or_forward_takes_no_payment_away_and_grants_none_twice() {
    let (requirement, payment) = bare();
    let policy = Policy::default();
    let at = |now, payment: &IndexedPayment| {
        decide_at(now, &policy, &requirement, None, std::slice::from_ref(payment))
    };
    // What was paid in its quote's time stays paid, whatever our clock says meanwhile: the block's time decides. Only
    // a jump beyond the oldest payment that is accepted refuses.
    for now in [0, NOW - 86_400, NOW - 3600, NOW - 1, NOW, NOW + 3600, NOW + policy.max_age.as_secs()] {
        assert_eq!(at(now, &payment), Judgement::Paid(0), "at {now}");
        let mine = IndexedPayment { claim: claimed_by(requirement.request_digest, "me"), ..payment.clone() };
        assert_eq!(at(now, &mine), Judgement::Paid(0), "a claim is found again at {now}");
        let other =
            IndexedPayment { claim: claimed_by(requirement.request_digest, "other"), ..payment.clone() };
        assert_eq!(code(&at(now, &other)), Some(Code::AlreadyClaimed), "at {now}");
    }
    assert_eq!(code(&at(NOW + policy.max_age.as_secs() + 1, &payment)), Some(Code::PaymentExpired));
    // A quote that is presented binds alike.
    let quote = policy.clock.random(terms(&requirement), NOW, [7; 16]);
    let id = key().seal(&quote);
    let payment = paid(id.reference());
    for now in [0, NOW - 3600, NOW, NOW + 3600] {
        let judged =
            decide_at(now, &policy, &requirement, Some((&id, &quote)), std::slice::from_ref(&payment));
        assert_eq!(judged, Judgement::Paid(0), "at {now}");
    }
}

/// A payment through another contract counts where the operator follows it, and there as strictly as any.
#[test]
fn a_payment_through_another_contract_counts_only_where_it_is_followed() {
    let (requirement, mut payment) = bare();
    let token = Address::repeat_byte(0xc1);
    payment.placed.payment.contract = token;
    let decide = |chain: &ChainPolicy, payment: &IndexedPayment| {
        let question = Question {
            requirement: &requirement,
            quote: None,
            proof: SHOWN,
            claimant: "me",
            reserved: None,
            now: NOW,
        };
        judge(
            &question,
            &Policy::default(),
            chain,
            &mut Derived::new(&key().into()),
            std::slice::from_ref(payment),
        )
    };
    assert_eq!(code(&decide(&chain(), &payment)), Some(Code::WrongNetwork));
    let followed = ChainPolicy { other_contracts: vec![token], ..chain() };
    assert_eq!(decide(&followed, &payment), Judgement::Paid(0));
    // The payment contract counts as before, and what does not fit does not.
    assert_eq!(decide(&followed, &bare().1), Judgement::Paid(0));
    let mut other = payment.clone();
    other.placed.payment.reference = B256::repeat_byte(0x99);
    assert_eq!(code(&decide(&followed, &other)), Some(Code::ReferenceMismatch));
    let mut other = payment.clone();
    other.placed.payment.payee = Address::repeat_byte(0x99);
    assert_eq!(code(&decide(&followed, &other)), Some(Code::WrongPayee));
    let mut other = payment;
    other.placed.payment.asset = Asset::Token(token);
    assert_eq!(code(&decide(&followed, &other)), Some(Code::WrongAsset));
}

#[test]
fn of_several_payments_the_one_that_is_named_is_judged_and_no_other() {
    let (requirement, first) = bare();
    let shown = first.placed.payment.transaction;
    let mut other = first.clone();
    (other.placed.position, other.placed.payment.payee) = (1, Address::repeat_byte(0x77));
    let mut last = first.clone();
    last.placed.position = 2;
    let payments = [first, other, last];
    let named = |ordinal| {
        let proof = Proof::Transaction { hash: shown, ordinal };
        let question = Question {
            requirement: &requirement,
            quote: None,
            proof,
            claimant: "me",
            reserved: None,
            now: NOW,
        };
        judge(&question, &Policy::default(), &chain(), &mut Derived::new(&key().into()), &payments)
    };
    assert_eq!(named(None), Judgement::Paid(0));
    assert_eq!(named(Some(0)), Judgement::Paid(0));
    assert_eq!(code(&named(Some(1))), Some(Code::WrongPayee));
    assert_eq!(named(Some(2)), Judgement::Paid(2));
    assert_eq!(code(&named(Some(3))), Some(Code::NoPayment));
    let nothing = Question {
        reserved: None,
        requirement: &requirement,
        quote: None,
        proof: Proof::Transaction { hash: shown, ordinal: Some(1) },
        claimant: "me",
        now: NOW,
    };
    let nothing = judge(&nothing, &Policy::default(), &chain(), &mut Derived::new(&key().into()), &[]);
    assert_eq!(code(&nothing), Some(Code::PaymentNotSeen));
}

/// A transaction with so many payments to the payee, each of another amount, for nothing that was quoted.
fn many(count: u32) -> Vec<IndexedPayment> {
    let placed = |place: u32| {
        let mut payment = paid(B256::repeat_byte(9));
        payment.placed.position = place;
        payment.placed.payment.id = PaymentId(B256::left_padding_from(&place.to_be_bytes()));
        payment.placed.payment.amount = Amount(U256::from(2000 + place));
        payment
    };
    (0..count).map(placed).collect()
}

/// Anybody may show any hash, so what that costs must be known, however many payments the transaction holds and however
/// long quotes live.
#[test]
fn d25_a_hash_costs_few_hashes_whatever_its_transaction_holds() {
    let keys = QuoteKeys::from(key());
    let requirement = requirement();
    for lifetime in [300, 3600, 24 * 3600] {
        let policy = Policy { clock: QuoteClock::living(lifetime), ..Policy::default() };
        let windows = policy.clock.derived_for(terms(&requirement), NOW, policy.clock_skew.as_secs()).count();
        assert!(windows <= 20, "{windows} quotes of {lifetime} s");
        for (count, expected) in [
            (1, Code::ReferenceMismatch),
            (16, Code::ReferenceMismatch),
            (17, Code::OrdinalRequired),
            (1000, Code::OrdinalRequired),
        ] {
            let payments = many(count);
            let quote = policy.clock.random(terms(&requirement), NOW, [7; 16]);
            let id = key().seal(&quote);
            let named = Proof::Transaction { hash: payments[0].placed.payment.transaction, ordinal: Some(0) };
            let made = |proof, quote, now| {
                let mut derived = Derived::new(&keys);
                let question =
                    Question { requirement: &requirement, quote, proof, claimant: "me", reserved: None, now };
                let first = judge(&question, &policy, &chain(), &mut derived, &payments);
                let made = derived.made();
                // A question that waits is judged again at each commit.
                assert_eq!(judge(&question, &policy, &chain(), &mut derived, &payments), first);
                assert_eq!(derived.made(), made, "nothing is made twice for one question");
                (code(&first).unwrap(), made)
            };
            let (code, hashes) = made(SHOWN, None, NOW);
            assert_eq!(code, expected);
            // Of the service that asks, and of none.
            let most = if expected == Code::OrdinalRequired { 0 } else { 2 * (count as usize + 1) * windows };
            assert!(hashes <= most, "{hashes} hashes for {count} payments, {lifetime} s");
            // The place makes it one payment, the quote id none that has to be guessed, age and payee come first.
            assert_eq!(made(named, None, NOW), (Code::ReferenceMismatch, 4 * windows));
            assert_eq!(made(SHOWN, Some((&id, &quote)), NOW), (Code::ReferenceMismatch, 0));
            if count as usize <= MOST_BY_HASH {
                let late = NOW + policy.max_age.as_secs() + 1;
                assert_eq!(made(SHOWN, None, late), (Code::PaymentExpired, 0));
            }
        }
    }
}

#[test]
fn d25_strangers_payments_cost_nothing_and_hide_none() {
    let keys = QuoteKeys::from(key());
    let (requirement, mine) = bare();
    let mut payments = many(15);
    for payment in &mut payments {
        payment.placed.payment.payee = Address::repeat_byte(0x77);
    }
    payments.push(mine.clone());
    let question = Question {
        requirement: &requirement,
        quote: None,
        proof: SHOWN,
        claimant: "me",
        reserved: None,
        now: NOW,
    };
    let mut derived = Derived::new(&keys);
    assert_eq!(judge(&question, &Policy::default(), &chain(), &mut derived, &payments), Judgement::Paid(15));
    assert!(derived.made() <= 20, "{}", derived.made());
    // In several blocks over time it is still the same sixteen.
    let mut orphaned = payments.clone();
    orphaned.iter_mut().for_each(|payment| payment.canonical = false);
    payments.extend(orphaned);
    assert_eq!(judge(&question, &Policy::default(), &chain(), &mut derived, &payments), Judgement::Paid(15));
    // Among more, it is found by its place or its quote, and the answer without says so and asks for no money.
    let mut payments = many(1000);
    payments[500] = IndexedPayment { placed: PlacedPayment { position: 500, ..mine.placed.clone() }, ..mine };
    let hash = payments[500].placed.payment.transaction;
    let named = Question { proof: Proof::Transaction { hash, ordinal: Some(500) }, ..question };
    assert_eq!(judge(&named, &Policy::default(), &chain(), &mut derived, &payments), Judgement::Paid(500));
    let quote = Policy::default().clock.derived(terms(&requirement), NOW);
    let id = key().seal(&quote);
    let quoted = Question { quote: Some((&id, &quote)), ..question };
    assert_eq!(judge(&quoted, &Policy::default(), &chain(), &mut derived, &payments), Judgement::Paid(500));
    let unnamed = judge(&question, &Policy::default(), &chain(), &mut derived, &payments);
    let Judgement::Unasked(Code::OrdinalRequired, detail) = &unnamed else { panic!("{unnamed:?}") };
    assert!(detail.contains("do not pay again") && detail.contains("X-Payment-Quote"), "{detail}");
    assert_ne!(Code::OrdinalRequired.status(), 402);
}

#[test]
fn a_nonce_that_was_not_seen_is_waited_for_and_never_said_to_have_paid_nothing() {
    let token = Address::repeat_byte(0xc1);
    let followed = ChainPolicy { other_contracts: vec![token], ..chain() };
    let authorization = |token| {
        Proof::Nonce(SignedNonce::Eip3009 { token, authorizer: Address::repeat_byte(1), nonce: B256::ZERO })
    };
    let permit = Proof::Nonce(SignedNonce::Permit2 { owner: Address::repeat_byte(1), nonce: U256::ZERO });
    let requirement = requirement();
    let quote = Policy::default().clock.derived(terms(&requirement), NOW);
    let id = key().seal(&quote);
    let decide = |proof, quote, now| {
        let question =
            Question { requirement: &requirement, quote, proof, claimant: "me", reserved: None, now };
        judge(&question, &Policy::default(), &followed, &mut Derived::new(&key().into()), &[])
    };
    for proof in [authorization(token), permit] {
        let unseen = decide(proof, None, NOW);
        let Judgement::Pending(Code::PaymentNotSeen, detail) = &unseen else { panic!("{unseen:?}") };
        assert!(detail.contains("do not pay again") && detail.contains("no transaction"), "{detail}");
        // A transaction is refused when its quote has ended, after a look at its receipt. Here is none to look at.
        let late = decide(proof, Some((&id, &quote)), NOW + 10_000);
        let Judgement::Pending(Code::PaymentNotSeen, detail) = &late else { panic!("{late:?}") };
        assert!(detail.contains("its quote ended"), "{detail}");
    }
    let other = decide(authorization(Address::repeat_byte(0xc2)), None, NOW);
    assert!(
        matches!(&other, Judgement::Rejected(Code::NoPayment, detail) if detail.contains("not followed")),
        "{other:?}"
    );
}

/// A quote of a service over an amount, and the payment of just that.
fn of_service(name: &str, amount: u64, secret: bool) -> (QuoteId, Quote, IndexedPayment) {
    let amount = Amount(U256::from(amount));
    let terms = Terms { amount, service: Service::named(name), ..terms(&requirement()) };
    let clock = Policy::default().clock;
    let quote = if secret { clock.random(terms, NOW, [7; 16]) } else { clock.derived(terms, NOW) };
    let id = key().seal(&quote);
    let mut payment = paid(id.reference());
    payment.placed.payment.amount = amount;
    (id, quote, payment)
}

/// What is asked costs 1,000.
#[test]
fn a_quote_of_another_service_pays_for_nothing_whatever_it_was_over() {
    for amount in [1, 1000, 5000] {
        let (id, quote, payment) = of_service("another", amount, true);
        let judged = decide(&requirement(), Some((&id, &quote)), std::slice::from_ref(&payment));
        assert!(matches!(judged, Judgement::Unasked(Code::QuoteNotHonoured, _)), "{amount}: {judged:?}");
        let (_, _, payment) = of_service("another", amount, false);
        let judged = decide(&requirement(), None, std::slice::from_ref(&payment));
        let code = if amount < 1000 { Code::InsufficientPayment } else { Code::ReferenceMismatch };
        assert!(matches!(&judged, Judgement::Rejected(told, _) if *told == code), "{amount}: {judged:?}");
    }
}

#[test]
fn what_this_service_quoted_is_good_at_its_price_shown_with_the_quote_or_bare() {
    for amount in [1, 1000, 5000] {
        let (id, quote, payment) = of_service("me", amount, true);
        let judged = decide(&requirement(), Some((&id, &quote)), std::slice::from_ref(&payment));
        assert_eq!(judged, Judgement::Paid(0), "{amount}");
        let (_, _, payment) = of_service("me", amount, false);
        assert_eq!(
            decide(&requirement(), None, std::slice::from_ref(&payment)),
            Judgement::Paid(0),
            "{amount}"
        );
    }
}

#[test]
fn a_quote_that_names_no_service_pays_for_no_more_than_it_was_over() {
    for (amount, good) in [(1, false), (999, false), (1000, true), (5000, true)] {
        let (id, quote, payment) = of_service("", amount, true);
        let (_, _, bare) = of_service("", amount, false);
        let shown = decide(&requirement(), Some((&id, &quote)), std::slice::from_ref(&payment));
        for judged in [shown, decide(&requirement(), None, std::slice::from_ref(&bare))] {
            match good {
                true => assert_eq!(judged, Judgement::Paid(0), "{amount}"),
                false => assert!(
                    matches!(judged, Judgement::Unasked(Code::QuoteBelowPrice, _)),
                    "{amount}: {judged:?}"
                ),
            }
        }
    }
}
