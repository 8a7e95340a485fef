//! The lifetime of quotes, and which quotes a payment may have been made for.

use crate::quote::terms::{DatabaseMark, MARK_BYTES, Quote, Terms};

/// The most windows in a quote's lifetime.
pub(super) const MAX_WINDOWS: u64 = 16;
/// The shortest window of derived quotes, in seconds.
const MIN_WINDOW_S: u64 = 60;

/// How much older than its quote a payment's block may be, in seconds, besides clock skew. No quote is given while the
/// newest block is older than this.
pub const BEHIND: u64 = 120;

/// The lifetime of quotes, and the windows of derived quotes.
///
/// A derived quote has no random part. The same request at the same price in the same window gets the same quote, and
/// the server derives it again without storing it. The quote is valid from the start of its window until `lifetime`
/// after the end, so a client always has at least `lifetime` to pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuoteClock {
    /// The time that a client has to pay, in seconds.
    pub lifetime: u64,
    /// The length of a window, in seconds; never zero.
    pub window: u64,
    /// The database whose mark new quotes carry. `None`: quotes carry no mark.
    pub database: Option<DatabaseMark>,
    /// When the database was made, in seconds since 1970 UTC. Payments for quotes of earlier databases are unknown. 0:
    /// nothing is unknown.
    pub since: u64,
    /// Quotes without a mark that were given before this moment also belong to the database, in seconds since 1970 UTC.
    pub unmarked_until: u64,
}

impl QuoteClock {
    /// A clock for a lifetime in seconds, without a database mark. Windows grow with the lifetime, so a payment matches
    /// few derived quotes: each of them costs two hashes to check.
    pub fn living(lifetime: u64) -> Self {
        let window = lifetime.div_ceil(MAX_WINDOWS).max(MIN_WINDOW_S);
        Self { lifetime, window, database: None, since: 0, unmarked_until: 0 }
    }

    /// The derived quote for the terms at `now`, in seconds since 1970 UTC.
    pub fn derived(&self, terms: Terms, now: u64) -> Quote {
        let window = self.window.max(1);
        let start = now / window * window;
        let expires_at = start.saturating_add(window).saturating_add(self.lifetime);
        Quote { terms, issued_at: start, expires_at, nonce: None, database: self.database }
    }

    /// A quote that nobody else can get, from 16 random bytes. Only the first eight are used if the quote carries a
    /// database mark.
    pub fn random(&self, terms: Terms, now: u64, mut nonce: [u8; 16]) -> Quote {
        if self.database.is_some() {
            nonce[16 - MARK_BYTES..].fill(0);
        }
        let expires_at = now.saturating_add(self.lifetime);
        Quote { terms, issued_at: now, expires_at, nonce: Some(nonce), database: self.database }
    }

    /// Whether the current database gave a quote, and so knows whether it was paid and used. The mark decides, not the
    /// time: clocks can be set back.
    pub fn gave(&self, quote: &Quote) -> bool {
        quote.database == self.database || (quote.database.is_none() && quote.issued_at < self.unmarked_until)
    }

    /// Whether a payment mined at `mined_at` may be for a quote of an earlier database, as far as time tells.
    pub fn is_early(&self, mined_at: u64, skew: u64) -> bool {
        let last = [self.window, self.lifetime, skew].into_iter().fold(self.since, u64::saturating_add);
        self.since > 0 && mined_at <= last
    }

    /// Every derived quote that a payment mined at `mined_at` may have been made for, newest first.
    ///
    /// `skew` is the largest difference between the chain's clock and ours, in seconds. The chain's clock may be
    /// [`BEHIND`] further behind, because it lags after a halt.
    pub fn derived_for(&self, terms: Terms, mined_at: u64, skew: u64) -> impl Iterator<Item = Quote> + '_ {
        let window = self.window.max(1);
        let newest = mined_at.saturating_add(skew).saturating_add(BEHIND) / window;
        (0..=newest)
            .rev()
            .map(move |index| self.derived(terms, index * window))
            .take_while(move |quote| quote.pays_in_time(mined_at, skew))
            .flat_map(move |quote| {
                let unmarked = Quote { database: None, ..quote };
                let earlier = (unmarked != quote && self.gave(&unmarked)).then_some(unmarked);
                std::iter::once(quote).chain(earlier)
            })
    }
}
