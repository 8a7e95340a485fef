//! The references of quotes that a bare hash may have paid.

use std::collections::{HashMap, HashSet};

use alloy_primitives::B256;
use salt402_protocol::{Amount, QuoteKeys, Service, Terms};

use crate::verify::policy::Policy;

/// The quotes that can be derived for one question. Each is derived once, however many payments it is compared with and
/// however often the index is read, since anybody can ask and each quote costs two hashes.
///
/// Use it for one question only, because the quotes are for the request that its terms name.
#[derive(Debug)]
pub struct Derived<'a> {
    keys: &'a QuoteKeys,
    /// By the time of a block, the service that quoted, and an amount.
    known: HashMap<(u64, Option<Service>, Amount), HashSet<B256>>,
    made: usize,
}

impl<'a> Derived<'a> {
    /// Nothing yet.
    pub fn new(keys: &'a QuoteKeys) -> Self {
        Self { keys, known: HashMap::new(), made: 0 }
    }

    /// How many references were made so far.
    pub fn made(&self) -> usize {
        self.made
    }

    /// Whether a reference is of a quote with these terms that was valid when a payment was mined.
    pub(crate) fn has(&mut self, policy: &Policy, terms: Terms, mined_at: u64, reference: B256) -> bool {
        let references = self.known.entry((mined_at, terms.service, terms.amount)).or_insert_with(|| {
            let skew = policy.clock_skew.as_secs();
            let quotes =
                policy.clocks_at(mined_at).flat_map(|clock| clock.derived_for(terms, mined_at, skew));
            let references: HashSet<B256> =
                quotes.flat_map(|quote| self.keys.references(&quote).collect::<Vec<_>>()).collect();
            self.made += references.len();
            references
        });
        references.contains(&reference)
    }
}
