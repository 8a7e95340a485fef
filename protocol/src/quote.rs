//! Quotes: what a server asks for a request, authenticated so that none need be stored.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{Address, B256, U256, keccak256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::{Amount, Asset, ChainId, RequestDigest};

/// The request header in which a payer presents the id of the quote it paid.
pub const QUOTE_HEADER: &str = "x-payment-quote";

/// Bytes of a quote's authentication code.
const CODE: usize = 32;
/// Bytes of a quote that names no service, before its code.
const UNNAMED: usize = 166;
/// Bytes of a quote that names its service, before its code.
const NAMED: usize = UNNAMED + SERVICE;
/// Bytes of a service in a quote: a multiple of three, as all of an id is, so that it is written without padding.
const SERVICE: usize = 18;
/// Bytes of the mark of a database. It stands in the second half of the nonce, so that ids have the length that they had.
const MARK: usize = 8;
/// Bits of a quote's second byte.
const RANDOM: u8 = 1;
const MARKED: u8 = 2;
/// Layout versions of the bytes.
const UNNAMED_VERSION: u8 = 1;
const NAMED_VERSION: u8 = 2;
/// Characters of an id, by what the quote names.
const UNNAMED_LENGTH: usize = (UNNAMED + CODE) / 3 * 4;
const NAMED_LENGTH: usize = (NAMED + CODE) / 3 * 4;

/// Who gives a quote: the beginning of the SHA-256 of the name under which the payment will be claimed.
///
/// Names are chosen by the operator, so nobody looks for two that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Service([u8; SERVICE]);

impl Service {
    /// The service of a name; none of an empty one.
    pub fn named(name: &str) -> Option<Self> {
        let digest = Sha256::digest(name);
        let service = digest.first_chunk().copied().map(Self);
        service.filter(|_| !name.is_empty())
    }
}

/// Which database's server gave a quote: drawn when the database is made. Another one has forgotten what this one granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DatabaseMark(pub [u8; MARK]);

/// What is to be paid, to whom, for which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The chain to pay on.
    pub chain: ChainId,
    /// The payment contract to pay through.
    pub contract: Address,
    /// Who is to be paid.
    pub payee: Address,
    /// What is to be paid.
    pub asset: Asset,
    /// How much, in base units; never zero in a quote that a server gives.
    pub amount: Amount,
    /// The request that is paid for.
    pub request: RequestDigest,
    /// Whose price this is; `None` where whoever asked for the quote did not say who it is.
    pub service: Option<Service>,
}

/// Terms, their validity, and what makes them unguessable or found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// What is asked.
    pub terms: Terms,
    /// When it was given, in seconds since 1970 UTC.
    pub issued_at: u64,
    /// The last second in which a payment for it may be mined, in seconds since 1970 UTC.
    pub expires_at: u64,
    /// Sixteen random bytes, or `None` for a quote that can be derived again from the request alone. Of those that name a
    /// database the last eight are zero.
    pub nonce: Option<[u8; 16]>,
    /// The database of the server that gave it; `None` where that kept no mark, as none did at first.
    pub database: Option<DatabaseMark>,
}

/// The id of a quote: its bytes and a code that only the server's key can make, in base64url: 264 characters, or 288 where
/// the quote names its service.
///
/// It is known to the client that asked and to the server. On chain appears only [`QuoteId::reference`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct QuoteId(String);

/// Why a text is not the id of a quote of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// Not 264 or 288 characters of base64url, or of a layout this version does not know.
    #[error("a quote id is the 264 or 288 characters of base64url that came with the 402, unchanged")]
    Malformed,
    /// The authentication code is not one this server's key makes.
    #[error("this quote id was not given by this server, or was changed: ask for a new quote")]
    Forged,
}

/// The secret that authenticates quotes: at least 32 bytes.
#[derive(Clone)]
pub struct QuoteKey(Hmac<Sha256>);

/// A quote key was too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quote key needs at least 32 bytes, this one has {0}")]
pub struct QuoteKeyError(pub usize);

impl QuoteKey {
    /// A key from secret bytes.
    pub fn new(secret: &[u8]) -> Result<Self, QuoteKeyError> {
        if secret.len() < 32 {
            return Err(QuoteKeyError(secret.len()));
        }
        Hmac::new_from_slice(secret).map(Self).map_err(|_| QuoteKeyError(secret.len()))
    }

    /// The id of a quote. The same quote has the same id under the same key.
    pub fn seal(&self, quote: &Quote) -> QuoteId {
        let mut bytes = Vec::with_capacity(NAMED + CODE);
        quote.write(&mut bytes);
        let code = self.0.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&code);
        QuoteId(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The quote of an id, if this key made it. Comparison takes the same time wherever the codes differ.
    pub fn open(&self, id: &QuoteId) -> Result<Quote, QuoteError> {
        let bytes = URL_SAFE_NO_PAD.decode(&id.0).map_err(|_| QuoteError::Malformed)?;
        let (body, code) = bytes.split_last_chunk::<CODE>().ok_or(QuoteError::Malformed)?;
        self.0.clone().chain_update(body).verify_slice(code).map_err(|_| QuoteError::Forged)?;
        Quote::read(body).ok_or(QuoteError::Malformed)
    }
}

/// The key that quotes are made with, and older ones whose quotes are still accepted.
///
/// With it a key is replaced and nobody is refused: the new one becomes the current, the old one stays until everything
/// that was quoted with it is paid, shown and over.
#[derive(Clone, Debug)]
pub struct QuoteKeys {
    current: QuoteKey,
    old: Vec<QuoteKey>,
}

impl QuoteKeys {
    /// A key for new quotes, and those of older ones, the newest first.
    pub fn new(current: QuoteKey, old: Vec<QuoteKey>) -> Self {
        Self { current, old }
    }

    /// The id of a new quote.
    pub fn seal(&self, quote: &Quote) -> QuoteId {
        self.current.seal(quote)
    }

    /// The quote of an id, if one of the keys made it.
    pub fn open(&self, id: &QuoteId) -> Result<Quote, QuoteError> {
        let opened = self.current.open(id);
        if opened != Err(QuoteError::Forged) {
            return opened;
        }
        self.old.iter().find_map(|key| key.open(id).ok()).ok_or(QuoteError::Forged)
    }

    /// What appears on chain of a quote, by each key that it may have been made with.
    pub fn references<'a>(&'a self, quote: &'a Quote) -> impl Iterator<Item = B256> + 'a {
        std::iter::once(&self.current).chain(&self.old).map(|key| key.seal(quote).reference())
    }
}

impl From<QuoteKey> for QuoteKeys {
    fn from(current: QuoteKey) -> Self {
        Self::new(current, Vec::new())
    }
}

impl fmt::Debug for QuoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuoteKey(secret)")
    }
}

impl QuoteId {
    /// What appears on chain: keccak256 of the id's characters.
    pub fn reference(&self) -> B256 {
        keccak256(self.0.as_bytes())
    }

    /// The characters, as a client presents them.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The request that it says it was given for. Nobody has checked that: only who has the key can.
    pub fn request(&self) -> Option<RequestDigest> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.0).ok()?;
        let (body, _) = bytes.split_last_chunk::<CODE>()?;
        Some(Quote::read(body)?.terms.request)
    }
}

impl fmt::Debug for QuoteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QuoteId(reference {})", self.reference())
    }
}

impl FromStr for QuoteId {
    type Err = QuoteError;

    fn from_str(text: &str) -> Result<Self, QuoteError> {
        let known = [UNNAMED_LENGTH, NAMED_LENGTH].contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if known { Ok(Self(text.to_owned())) } else { Err(QuoteError::Malformed) }
    }
}

impl Serialize for QuoteId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for QuoteId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Quote {
    fn write(&self, out: &mut Vec<u8>) {
        let version = if self.terms.service.is_some() { NAMED_VERSION } else { UNNAMED_VERSION };
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.extend_from_slice(&[
            version,
            flag(self.nonce.is_some(), RANDOM) | flag(self.database.is_some(), MARKED),
        ]);
        out.extend_from_slice(&self.terms.chain.get().to_be_bytes());
        out.extend_from_slice(self.terms.contract.as_slice());
        out.extend_from_slice(self.terms.payee.as_slice());
        out.extend_from_slice(self.terms.asset.address().as_slice());
        out.extend_from_slice(&self.terms.amount.0.to_be_bytes::<32>());
        out.extend_from_slice(&self.issued_at.to_be_bytes());
        out.extend_from_slice(&self.expires_at.to_be_bytes());
        out.extend_from_slice(self.terms.request.0.as_slice());
        let mut nonce = self.nonce.unwrap_or_default();
        if let Some(DatabaseMark(mark)) = &self.database {
            nonce[16 - MARK..].copy_from_slice(mark);
        }
        out.extend_from_slice(&nonce);
        if let Some(Service(service)) = self.terms.service {
            out.extend_from_slice(&service);
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (bytes, service) = match (bytes.first()?, bytes.len()) {
            (&UNNAMED_VERSION, UNNAMED) => (bytes, None),
            (&NAMED_VERSION, NAMED) => {
                bytes.split_last_chunk().map(|(rest, name)| (rest, Some(Service(*name))))?
            }
            _ => return None,
        };
        let mut rest = &bytes[1..UNNAMED];
        let mut take = |length: usize| {
            let (head, tail) = rest.split_at(length);
            rest = tail;
            head
        };
        let [flags @ 0..=3] = *take(1) else { return None };
        let chain = ChainId::new(u64::from_be_bytes(take(8).try_into().ok()?))?;
        let contract = Address::from_slice(take(20));
        let payee = Address::from_slice(take(20));
        let asset = Asset::from_address(Address::from_slice(take(20)));
        let amount = Amount(U256::from_be_slice(take(32)));
        let issued_at = u64::from_be_bytes(take(8).try_into().ok()?);
        let expires_at = u64::from_be_bytes(take(8).try_into().ok()?);
        let request = RequestDigest(B256::from_slice(take(32)));
        let mut nonce: [u8; 16] = take(16).try_into().ok()?;
        let mark = nonce.last_chunk().copied().map(DatabaseMark).filter(|_| flags & MARKED != 0);
        if mark.is_some() {
            nonce[16 - MARK..].fill(0);
        }
        Some(Self {
            terms: Terms { chain, contract, payee, asset, amount, request, service },
            issued_at,
            expires_at,
            nonce: (flags & RANDOM != 0).then_some(nonce),
            database: mark,
        })
    }
}

/// Windows in a quote's life, at most.
const WINDOWS: u64 = 16;
/// The shortest window of derived quotes, in seconds.
const LEAST_WINDOW: u64 = 60;

/// By how many seconds more than the clocks differ a payment may be dated before its quote: nothing is quoted while the newest
/// block is older.
pub const BEHIND: u64 = 120;

/// How long quotes live, and the windows that derived ones are made in.
///
/// A derived quote has no random part: whoever asks for the same request at the same price in the same window gets
/// the same quote, and the server finds it again with nothing stored. It lives from its window's start until
/// `lifetime` after the window's end, so that a client always has at least `lifetime` to pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuoteClock {
    /// How long a client has to pay, in seconds.
    pub lifetime: u64,
    /// Length of a window, in seconds; never zero.
    pub window: u64,
    /// The database that quotes are given by; `None` where they name none.
    pub database: Option<DatabaseMark>,
    /// When that database was made, in seconds since 1970 UTC: nothing is known of what was paid for quotes of any before it.
    /// 0 where all is known.
    pub since: u64,
    /// Quotes that name no database were this one's too if they were given before this moment, in seconds since 1970 UTC.
    pub unmarked_until: u64,
}

impl QuoteClock {
    /// For quotes that live so long, in seconds, and name no database. Windows grow with the life, so that however long it is,
    /// few derived quotes can be those of one payment: each costs a look at a bare hash two hashes.
    pub fn living(lifetime: u64) -> Self {
        let window = lifetime.div_ceil(WINDOWS).max(LEAST_WINDOW);
        Self { lifetime, window, database: None, since: 0, unmarked_until: 0 }
    }

    /// The derived quote for these terms at a moment (seconds since 1970 UTC).
    pub fn derived(&self, terms: Terms, now: u64) -> Quote {
        let window = self.window.max(1);
        let begun = now / window * window;
        let expires_at = begun.saturating_add(window).saturating_add(self.lifetime);
        Quote { terms, issued_at: begun, expires_at, nonce: None, database: self.database }
    }

    /// A quote that nobody else can be given, from random bytes: sixteen, or the first eight where it names a database.
    pub fn random(&self, terms: Terms, now: u64, mut nonce: [u8; 16]) -> Quote {
        if self.database.is_some() {
            nonce[16 - MARK..].fill(0);
        }
        let expires_at = now.saturating_add(self.lifetime);
        Quote { terms, issued_at: now, expires_at, nonce: Some(nonce), database: self.database }
    }

    /// Whether a quote was given with the database at hand, which knows whether it was paid and used. Not told by times: clocks
    /// step back.
    pub fn gave(&self, quote: &Quote) -> bool {
        quote.database == self.database || (quote.database.is_none() && quote.issued_at < self.unmarked_until)
    }

    /// Whether a payment mined at `mined_at` may have been made for a quote of an earlier database, as far as time tells.
    pub fn is_early(&self, mined_at: u64, skew: u64) -> bool {
        let last = [self.window, self.lifetime, skew].into_iter().fold(self.since, u64::saturating_add);
        self.since > 0 && mined_at <= last
    }

    /// Every derived quote for these terms that a payment mined at `mined_at` may have been made for, newest first.
    ///
    /// `skew` is by how many seconds the chain's clock may run before or behind ours; behind, [`BEHIND`] more, as it does while
    /// it catches up after a halt.
    pub fn derived_for(&self, terms: Terms, mined_at: u64, skew: u64) -> impl Iterator<Item = Quote> + '_ {
        let window = self.window.max(1);
        let newest = mined_at.saturating_add(skew).saturating_add(BEHIND) / window;
        (0..=newest)
            .rev()
            .map(move |index| self.derived(terms, index * window))
            .take_while(move |quote| quote.pays_in_time(mined_at, skew))
            .flat_map(move |quote| {
                let unmarked = Quote { database: None, ..quote };
                let other = (unmarked != quote && self.gave(&unmarked)).then_some(unmarked);
                std::iter::once(quote).chain(other)
            })
    }
}

impl Quote {
    /// Whether a payment mined at `mined_at` came before the quote's end, give or take `skew` seconds.
    ///
    /// There is no beginning to hold it against: nobody knows a reference before it was given, so a payment that carries it and
    /// is dated before it is dated by a chain whose clock is behind.
    pub fn pays_in_time(&self, mined_at: u64, skew: u64) -> bool {
        mined_at <= self.expires_at.saturating_add(skew)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        // As the version that named no services made it, so that what was quoted before an update stays good.
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
            assert_eq!((key(1).open(&id), id.as_str().len()), (Ok(given), UNNAMED_LENGTH));
            assert_eq!((one.gave(&given), other.gave(&given), unmarked.gave(&given)), (true, false, false));
        }
        assert_ne!(key(1).seal(&one.derived(terms, 1025)), key(1).seal(&other.derived(terms, 1025)));
        assert_ne!(one.random(terms, 1025, [9; 16]), one.random(terms, 1025, [8; 16]));
        // The clock was set back between the two: what tells them apart is no time.
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
            assert_eq!(
                QuoteKeys::from(key(2)).open(&old),
                Err(QuoteError::Forged),
                "once the old one is gone"
            );
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

        /// Whoever asked within the life of a derived quote and was mined before it ended is found again.
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

        /// However long quotes live, few of them can be those of one payment, and what was asked for is among them.
        #[test]
        fn a_long_life_makes_no_more_quotes_to_try(
            lifetime in 1u64..=86_400, asked in 1_000_000u64..2_000_000, part in 0u64..=1000, skew in 0u64..=600,
        ) {
            let clock = QuoteClock::living(lifetime);
            let terms = quote(1, None).terms;
            let given = clock.derived(terms, asked);
            let tried: Vec<_> = clock.derived_for(terms, asked + lifetime * part / 1000, skew).collect();
            prop_assert!(tried.contains(&given));
            prop_assert!(tried.len() as u64 <= WINDOWS + 4 + (2 * skew + BEHIND) / clock.window, "{} quotes", tried.len());
        }
    }
}
