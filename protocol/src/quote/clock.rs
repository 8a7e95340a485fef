//! How long quotes live, and which of them a payment may have been made for.

use crate::quote::terms::{DatabaseMark, MARK, Quote, Terms};

/// Windows in a quote's life, at most.
pub(super) const WINDOWS: u64 = 16;
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
