//! Tests of quotes, their ids and their lifetime together.

use alloy_primitives::{Address, B256, U256};
use proptest::prelude::*;

use super::*;
use crate::quote::clock::MAX_WINDOWS;
use crate::values::asset::Asset;
use crate::values::money::Amount;
use crate::values::network::ChainId;
use crate::values::request::RequestDigest;

fn quote(seed: u8, nonce: Option<[u8; 16]>) -> Quote {
    Quote {
        terms: Terms {
            chain: ChainId::CITRATE,
            contract: Address::repeat_byte(seed),
            payee: Address::repeat_byte(2),
            asset: Asset::Native,
            amount: Amount(U256::from(seed)),
            request: RequestDigest(B256::repeat_byte(3)),
            service: None,
        },
        issued_at: 100,
        expires_at: 400,
        nonce,
        database: None,
    }
}

fn of_service(name: &str, nonce: Option<[u8; 16]>) -> Quote {
    let quote = quote(7, nonce);
    Quote { terms: Terms { service: Service::named(name), ..quote.terms }, ..quote }
}

fn key(byte: u8) -> QuoteKey {
    QuoteKey::new(&[byte; 32]).unwrap()
}

#[test]
fn a_short_key_is_refused() {
    assert_eq!(QuoteKey::new(&[1; 31]).unwrap_err(), QuoteKeyError(31));
}

#[test]
fn only_the_key_that_sealed_opens() {
    let id = key(1).seal(&quote(7, None));
    assert_eq!(key(1).open(&id), Ok(quote(7, None)));
    assert_eq!(key(2).open(&id), Err(QuoteError::Forged));
}

#[test]
fn a_quote_names_its_service_and_one_from_before_names_none() {
    let (one, other) = (of_service("one", None), of_service("other", None));
    let (id, unnamed) = (key(1).seal(&one), key(1).seal(&quote(7, None)));
    assert_eq!((id.as_str().len(), unnamed.as_str().len()), (288, 264));
    assert_eq!(id.as_str().parse(), Ok(id.clone()));
    assert_eq!((key(1).open(&id), key(1).open(&unnamed)), (Ok(one), Ok(quote(7, None))));
    assert_ne!(key(1).seal(&other), id);
    assert_eq!(Service::named(""), None);
    // Written by the version that named no services. Quotes given before an update must stay valid.
    let before = concat!(
        "AQAAAAAAAACdDAcHBwcHBwcHBwcHBwcHBwcHBwcHAgICAgICAgICAgICAgICAgICAgIAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAHAAAAAAAAAGQAAAAAAAABkAMDAwMDAwMDAwMDAwMD",
        "AwMDAwMDAwMDAwMDAwMDAwMDAAAAAAAAAAAAAAAAAAAAAGwn8RTdOSAaslinpKHDAmrZEEHbO5fpLuMfVfXHyhhP",
    );
    assert_eq!(unnamed.as_str(), before);
}

#[test]
fn c11_a_quote_names_its_database_and_another_database_gave_none_of_its_quotes() {
    let terms = quote(7, None).terms;
    let unmarked = QuoteClock::living(300);
    let of = |mark| QuoteClock { database: Some(DatabaseMark([mark; 8])), ..unmarked };
    let (one, other) = (of(1), of(2));
    for given in [one.derived(terms, 1025), one.random(terms, 1025, [9; 16])] {
        let id = key(1).seal(&given);
        assert_eq!((key(1).open(&id), id.as_str().len()), (Ok(given), 264));
        assert_eq!((one.gave(&given), other.gave(&given), unmarked.gave(&given)), (true, false, false));
    }
    assert_ne!(key(1).seal(&one.derived(terms, 1025)), key(1).seal(&other.derived(terms, 1025)));
    assert_ne!(one.random(terms, 1025, [9; 16]), one.random(terms, 1025, [8; 16]));
    // The mark distinguishes the databases, even if the clock was set back in between.
    assert!(!QuoteClock { since: 900, ..other }.gave(&one.derived(terms, 1025)));
}

#[test]
fn c11_a_database_that_was_there_before_marks_were_goes_on_with_the_quotes_that_it_gave() {
    let terms = quote(7, None).terms;
    let before = QuoteClock::living(300);
    let since = QuoteClock { database: Some(DatabaseMark([1; 8])), unmarked_until: 2000, ..before };
    for (given_at, gave) in [(1999, true), (2100, false)] {
        for given in [before.derived(terms, given_at), before.random(terms, given_at, [7; 16])] {
            assert_eq!(since.gave(&given), gave, "{given:?}");
        }
        let found: Vec<_> = since.derived_for(terms, given_at, 30).collect();
        assert_eq!(found.contains(&before.derived(terms, given_at)), gave);
        assert!(found.contains(&since.derived(terms, given_at)));
    }
}

#[test]
fn c11_what_was_mined_while_a_quote_of_before_lived_may_be_for_one() {
    let clock = QuoteClock { since: 1000, ..QuoteClock::living(300) };
    let early = |mined_at| clock.is_early(mined_at, 30);
    assert_eq!((early(1), early(1000), early(1390), early(1391)), (true, true, true, false));
    assert!(!QuoteClock::living(300).is_early(0, 30), "where all is known");
}

#[test]
fn a_key_can_be_replaced_without_refusing_what_was_quoted() {
    let (before, after) = (QuoteKeys::from(key(1)), QuoteKeys::new(key(2), vec![key(1)]));
    for nonce in [None, Some([5; 16])] {
        let quote = quote(7, nonce);
        let old = before.seal(&quote);
        assert_eq!(after.open(&old), Ok(quote));
        let made =
            |keys: &QuoteKeys, id: &QuoteId| keys.references(&quote).any(|made| made == id.reference());
        assert!(made(&after, &old) && made(&before, &old));
        let new = after.seal(&quote);
        assert_eq!((new == key(2).seal(&quote), new == old), (true, false));
        assert!(made(&after, &new) && !made(&before, &new));
        assert_eq!(before.open(&new), Err(QuoteError::Forged));
        assert_eq!(QuoteKeys::from(key(2)).open(&old), Err(QuoteError::Forged), "once the old one is gone");
    }
    assert_eq!(after.open(&key(3).seal(&quote(7, None))), Err(QuoteError::Forged));
}

#[test]
fn the_id_is_not_printed() {
    let id = key(1).seal(&quote(7, None));
    assert!(!format!("{id:?}").contains(&id.as_str()[..20]));
    assert_eq!(format!("{:?}", key(1)), "QuoteKey(secret)");
}

proptest! {
    #[test]
    fn a_changed_id_is_forged_or_malformed(
        at in 0usize..264, to in "[A-Za-z0-9_-]", random: Option<[u8; 16]>, name in "[a-z]{0,2}",
        mark: Option<[u8; 8]>,
    ) {
        let (database, zeros) = (mark.map(DatabaseMark), [0; 8]);
        let random = random.map(|mut random| {
            random[8..].copy_from_slice(if mark.is_some() { &zeros } else { &[7; 8] });
            random
        });
        let quote = Quote { database, ..of_service(&name, random) };
        let id = key(1).seal(&quote);
        prop_assert_eq!(key(1).open(&id), Ok(quote));
        let mut text = id.as_str().to_owned();
        text.replace_range(at..=at, &to);
        if text != id.as_str() {
            let changed: QuoteId = text.parse().unwrap();
            prop_assert!(key(1).open(&changed).is_err());
            prop_assert_ne!(changed.reference(), id.reference());
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,300}|[A-Za-z0-9_-]{264}|[A-Za-z0-9_-]{288}") {
        if let Ok(id) = text.parse::<QuoteId>() {
            prop_assert!(key(1).open(&id).is_err());
        }
    }

    /// A derived quote is found again for a payment within its lifetime.
    #[test]
    fn a_derived_quote_is_found_again(asked in 10_000u64..1_000_000, waited in 0u64..=300, skew in 0u64..10) {
        let clock = QuoteClock::living(300);
        let terms = quote(1, None).terms;
        let given = clock.derived(terms, asked);
        prop_assert!(given.issued_at <= asked && given.expires_at >= asked + 300);
        let tried: Vec<_> = clock.derived_for(terms, asked + waited, skew).collect();
        prop_assert!(tried.contains(&given), "{given:?} not among {tried:?}");
        prop_assert!(tried.len() <= 10);
        let early: Vec<_> = clock.derived_for(terms, asked - BEHIND - skew, skew).collect();
        prop_assert!(early.contains(&given));
        let late: Vec<_> = clock.derived_for(terms, given.expires_at + skew + 1, skew).collect();
        prop_assert!(!late.contains(&given));
    }

    /// Few derived quotes match a payment, however long quotes live, and the given quote is among them.
    #[test]
    fn a_long_life_makes_no_more_quotes_to_try(
        lifetime in 1u64..=86_400, asked in 1_000_000u64..2_000_000, part in 0u64..=1000, skew in 0u64..=600,
    ) {
        let clock = QuoteClock::living(lifetime);
        let terms = quote(1, None).terms;
        let given = clock.derived(terms, asked);
        let tried: Vec<_> = clock.derived_for(terms, asked + lifetime * part / 1000, skew).collect();
        prop_assert!(tried.contains(&given));
        prop_assert!(tried.len() as u64 <= MAX_WINDOWS + 4 + (2 * skew + BEHIND) / clock.window, "{} quotes", tried.len());
    }
}
