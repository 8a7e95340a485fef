//! What a node says of accounts, in one round trip, and remembered until the next block.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use salt402_chain::Node;
use salt402_protocol::ChainId;
use salt402_store::{ChainState, Store};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::authorization::Authorization;
use crate::policy::{NonceCheck, Policy};
use crate::verify::answers::ask;
use crate::verify::facts::{Facts, FactsError, KnowsAccounts, Nonce, Question};
use crate::verify::remembered::{ChainFacts, Known};

/// For how long an index that goes on is believed to do so: a part of what it may be silent.
const SEEN_FOR: Duration = Duration::from_secs(1);
/// Asks nodes, and remembers.
pub(crate) struct NodeFacts {
    chains: HashMap<ChainId, ChainFacts>,
    store: Store,
    /// Changes with every block that is indexed, in this process or another one.
    progress: watch::Receiver<u64>,
    nonces: NonceCheck,
    facts_for: Duration,
}

impl NodeFacts {
    /// Asks these nodes. `progress` changes with every block that is indexed: what was promised and is in a block then is off the
    /// balance, so the balance must not be an older one.
    pub(crate) fn new(
        policy: &Policy,
        nodes: Vec<(ChainId, Arc<dyn Node>)>,
        store: Store,
        progress: watch::Receiver<u64>,
    ) -> Self {
        let chain = |(chain, node)| {
            let stale_after = policy.network(chain).map_or(Duration::ZERO, |network| network.stale_after);
            let facts = ChainFacts::new(node, stale_after);
            (chain, facts)
        };
        Self {
            chains: nodes.into_iter().map(chain).collect(),
            progress,
            store,
            nonces: policy.nonces,
            facts_for: policy.facts_for,
        }
    }

    fn is_current<T>(&self, known: &Known<T>, now: Instant) -> bool {
        known.progress == *self.progress.borrow() && now.duration_since(known.at) < self.facts_for
    }

    /// How far the index of a chain is, or why it does not go on.
    async fn seen(&self, chain: ChainId) -> Result<ChainState, String> {
        let state = self.store.chain_state(chain).await.map_err(|_| "the index cannot be read".to_owned())?;
        let Some(state) = state.filter(|state| state.cursor.is_some()) else {
            return Err("nothing is indexed yet: is `salt402 index` or `salt402 up` running?".to_owned());
        };
        if state.halt.is_some() {
            return Err("the index stands still until its operator acts".to_owned());
        }
        let stale_after = self.chains.get(&chain).map_or(Duration::ZERO, |chain| chain.stale_after);
        match state.silence() {
            Some(silence) if silence <= stale_after => Ok(state),
            Some(silence) => Err(format!(
                "the indexer last wrote {} s ago: is `salt402 index` or `salt402 up` running?",
                silence.as_secs()
            )),
            None => Err("it is not known when the indexer last wrote: does it run?".to_owned()),
        }
    }

    /// Reads the time of the newest block that is indexed.
    async fn note_head(&self, chain: ChainId, facts: &ChainFacts) -> Result<(), FactsError> {
        let storage = |error: salt402_store::StoreError| FactsError::Storage(error.to_string());
        let cursor = self.store.chain_state(chain).await.map_err(storage)?.and_then(|state| state.cursor);
        let Some(cursor) = cursor else { return Ok(()) };
        let block = self.store.canonical_block(chain, cursor.number).await.map_err(storage)?;
        if let Some(block) = block {
            facts.head_time.store(block.timestamp, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[async_trait]
impl KnowsAccounts for NodeFacts {
    async fn facts(&self, question: &Question<'_>) -> Result<Facts, FactsError> {
        let authorization = question.authorization;
        let chain = self.chains.get(&authorization.chain).ok_or(FactsError::Chain(authorization.chain))?;
        let now = Instant::now();
        let progress = *self.progress.borrow();
        let mut known =
            chain.known(question, |known| self.is_current(known, now), |known| self.is_current(known, now));
        if known.nonce.is_none() {
            if question.is_on_chain {
                known.nonce = Some(Nonce::Used);
            } else if self.nonces == NonceCheck::Index && !question.is_fresh && known.payer.is_some() {
                known.nonce = Some(Nonce::New);
            }
        }
        let asked = ask(question, &known);
        // What is young enough to settle by is young enough to refuse by.
        let is_fresh = question.is_fresh
            || (known.payer.is_none()
                && known.nonce.is_none()
                && (known.token.is_none() || known.is_token_young));
        if asked.is_empty() {
            return known.into_facts(is_fresh);
        }
        if known.payer.is_none() && chain.head_noted.load(Ordering::Relaxed) != progress {
            self.note_head(authorization.chain, chain).await?;
            chain.head_noted.store(progress, Ordering::Relaxed);
        }
        let (parts, questions): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        // A payer's code may be slow, and others must not wait for it.
        let answers = if parts.iter().any(|part| part.runs_payers_code()) {
            chain.node.ask_alone(&questions).await
        } else {
            chain.node.ask(questions).await
        };
        let answers = answers.map_err(|error| FactsError::Node(error.to_string()))?;
        if answers.len() != parts.len() {
            return Err(FactsError::Node("the node left answers out".to_owned()));
        }
        let read = known.read(question, parts.iter().copied().zip(answers))?;
        chain.keep(question, &read, &parts, progress, now);
        read.into_facts(is_fresh)
    }

    fn has_code(&self, authorization: &Authorization) -> Option<bool> {
        let chain = self.chains.get(&authorization.chain)?;
        let known = chain.payer(authorization.token, authorization.payer)?;
        self.is_current(&known, Instant::now()).then_some(known.value.facts.has_code)
    }

    async fn blind(&self, chain: ChainId) -> Option<String> {
        let facts = self.chains.get(&chain)?;
        let now = Instant::now();
        let seen_at = *facts.seen_at.lock().unwrap_or_else(PoisonError::into_inner);
        if seen_at.is_some_and(|at| now.duration_since(at) < SEEN_FOR) {
            return None;
        }
        let blind = self.seen(chain).await.err();
        if blind.is_none() {
            *facts.seen_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
        blind
    }

    async fn complaint(&self, chain: ChainId) -> Option<String> {
        match self.seen(chain).await {
            Ok(state) => state.behind().map(|blocks| format!("the index is {blocks} blocks behind its node")),
            Err(blind) => Some(blind),
        }
    }

    fn head_time(&self, chain: ChainId) -> u64 {
        self.chains.get(&chain).map_or(0, |chain| chain.head_time.load(Ordering::Relaxed))
    }
}
