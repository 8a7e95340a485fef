//! What is remembered of a chain's accounts, and until when it is believed.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::Address;
use salt402_chain::Node;
use salt402_http::Recent;
use salt402_protocol::PaymentId;
use tokio::time::Instant;

use crate::verify::answers::{Part, Parts, Payer};
use crate::verify::facts::{Nonce, Question, TokenFacts};
use crate::verify::joined::Joined;
use crate::verify::judge::is_permit2;

/// For how long a contract's code and domain are believed.
const CONTRACTS_FOR: Duration = Duration::from_secs(15 * 60);
/// For how long they are, if a payment was refused by them.
const DOUBTED_FOR: Duration = Duration::from_secs(10);

/// What is remembered of the latest that were asked for.
type Memory<K, V> = Recent<K, Option<Known<V>>>;

/// What is known of one chain.
pub(super) struct ChainFacts {
    pub(super) node: Joined,
    pub(super) head_time: AtomicU64,
    /// At which progress of the index that time was read.
    pub(super) head_noted: AtomicU64,
    pub(super) stale_after: Duration,
    /// When the index was last seen to go on.
    pub(super) seen_at: Mutex<Option<Instant>>,
    // Std mutexes, because nothing is awaited while one is held.
    /// By token and payer.
    payers: Mutex<Memory<(Address, Address), Payer>>,
    nonces: Mutex<Memory<PaymentId, Nonce>>,
    tokens: Mutex<HashMap<Address, (Instant, TokenFacts)>>,
    proxies: Mutex<HashMap<Address, Instant>>,
}

/// Something that was true at a moment.
#[derive(Clone, Copy)]
pub(super) struct Known<T> {
    pub(super) value: T,
    pub(super) progress: u64,
    pub(super) at: Instant,
}

impl ChainFacts {
    /// Nothing is known yet.
    pub(super) fn new(node: Arc<dyn Node>, stale_after: Duration) -> Self {
        Self {
            node: Joined::new(node),
            stale_after,
            head_time: AtomicU64::new(0),
            head_noted: AtomicU64::new(u64::MAX),
            seen_at: Mutex::default(),
            payers: Mutex::default(),
            nonces: Mutex::default(),
            tokens: Mutex::default(),
            proxies: Mutex::default(),
        }
    }

    /// What is remembered of a payer of a token.
    pub(super) fn payer(&self, token: Address, payer: Address) -> Option<Known<Payer>> {
        let mut payers = self.payers.lock().unwrap_or_else(PoisonError::into_inner);
        payers.known(&(token, payer)).copied().flatten()
    }

    /// What of a question's answers is remembered and still believed.
    pub(super) fn known(
        &self,
        question: &Question<'_>,
        is_current: impl Fn(&Known<Payer>) -> bool,
        is_current_nonce: impl Fn(&Known<Nonce>) -> bool,
    ) -> Parts {
        let authorization = question.authorization;
        let mut parts = Parts::default();
        if !question.is_fresh {
            let needs_allowance = is_permit2(authorization);
            parts.payer = self
                .payer(authorization.token, authorization.payer)
                .filter(|known| is_current(known) && (known.value.has_allowance || !needs_allowance))
                .map(|known| known.value);
            let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
            let nonce = nonces.known(&question.id).copied().flatten();
            drop(nonces);
            parts.nonce = nonce.filter(is_current_nonce).map(|known| known.value);
        }
        let believed = if question.is_fresh { DOUBTED_FOR } else { CONTRACTS_FOR };
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, facts)) = tokens.get(&authorization.token).filter(|(at, _)| at.elapsed() < believed)
        {
            parts.is_token_young = at.elapsed() < DOUBTED_FOR;
            parts.token = Some(facts.clone());
        }
        drop(tokens);
        parts.has_proxy = match question.proxy {
            None => Some(true),
            Some(proxy) => {
                let proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
                proxies.get(&proxy).filter(|at| at.elapsed() < CONTRACTS_FOR).map(|_| true)
            }
        };
        parts
    }

    /// Remembers what was asked, and only that: what was remembered before does not become younger. What is not there
    /// may come, and is not remembered.
    pub(super) fn keep(
        &self,
        question: &Question<'_>,
        parts: &Parts,
        asked: &[Part],
        progress: u64,
        at: Instant,
    ) {
        let authorization = question.authorization;
        if let Some(value) = parts.payer.filter(|_| asked.contains(&Part::PayerCode)) {
            let mut payers = self.payers.lock().unwrap_or_else(PoisonError::into_inner);
            *payers.of_key((authorization.token, authorization.payer)) = Some(Known { value, progress, at });
        }
        if let Some(value) = parts.nonce.filter(|_| asked.contains(&Part::Nonce)) {
            let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
            *nonces.of_key(question.id) = Some(Known { value, progress, at });
        }
        let token = parts.token.as_ref().filter(|token| token.has_code && asked.contains(&Part::TokenCode));
        if let Some(token) = token {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.insert(authorization.token, (at, token.clone()));
        }
        if let (Some(proxy), Some(true), true) =
            (question.proxy, parts.has_proxy, asked.contains(&Part::ProxyCode))
        {
            self.proxies.lock().unwrap_or_else(PoisonError::into_inner).insert(proxy, at);
        }
    }
}
