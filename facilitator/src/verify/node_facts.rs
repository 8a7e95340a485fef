//! What a node says of accounts, in one round trip, and remembered until the next block.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, sol};
use async_trait::async_trait;
use salt402_chain::{Call, Node, NodeError, StateQuestion};
use salt402_http::Recent;
use salt402_protocol::typed_data::PERMIT2;
use salt402_protocol::x402::digest::Domain;
use salt402_protocol::{B256, ChainId, PaymentId, SignedNonce};
use salt402_store::{ChainState, Store};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::authorization::Authorization;
use crate::metrics;
use crate::policy::{NonceCheck, Policy};
use crate::verify::facts::{Facts, FactsError, KnowsAccounts, Nonce, PayerFacts, Question, TokenFacts};
use crate::verify::judge::is_permit2;

sol! {
    /// What is asked of tokens, of Permit2 and of payers' contracts.
    interface IAsked {
        function balanceOf(address account) external view returns (uint256 balance);
        function allowance(address owner, address spender) external view returns (uint256 remaining);
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool isUsed);
        function nonceBitmap(address owner, uint256 word) external view returns (uint256 bits);
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4 magic);
        function name() external view returns (string text);
        function version() external view returns (string text);
        function DOMAIN_SEPARATOR() external view returns (bytes32 separator);
    }
}

/// The most gas that a view of a token may use.
const VIEW_GAS: u64 = 300_000;
/// For how long an index that goes on is believed to do so: a part of what it may be silent.
const SEEN_FOR: Duration = Duration::from_secs(1);
/// For how long a contract's code and domain are believed.
const CONTRACTS_FOR: Duration = Duration::from_secs(15 * 60);
/// For how long they are, if a payment was refused by them.
const DOUBTED_FOR: Duration = Duration::from_secs(10);

/// What nodes say of code that failed otherwise than by a revert, in lower case.
const CODE_FAILED: [&str; 10] =
    ["gas", "evm", "halt", "opcode", "instruction", "stack", "jump", "execution", "out of bounds", "depth"];

/// What nodes say that did not run it to its end.
const GAVE_UP: [&str; 3] = ["timeout", "timed out", "deadline"];

/// Asks nodes, and remembers.
pub(crate) struct NodeFacts {
    chains: HashMap<ChainId, ChainFacts>,
    store: Store,
    /// Changes with every block that is indexed, in this process or another one.
    progress: watch::Receiver<u64>,
    nonces: NonceCheck,
    facts_for: Duration,
}

/// What is remembered of the latest that were asked for.
type Memory<K, V> = Recent<K, Option<Known<V>>>;

struct ChainFacts {
    node: Arc<dyn Node>,
    head_time: AtomicU64,
    stale_after: Duration,
    /// When the index was last seen to go on.
    seen_at: Mutex<Option<Instant>>,
    // Std mutexes, because nothing is awaited while one is held.
    /// By token and payer.
    payers: Mutex<Memory<(Address, Address), Payer>>,
    nonces: Mutex<Memory<PaymentId, Nonce>>,
    tokens: Mutex<HashMap<Address, (Instant, TokenFacts)>>,
    proxies: Mutex<HashMap<Address, Instant>>,
}

#[derive(Clone, Copy)]
struct Payer {
    facts: PayerFacts,
    has_allowance: bool,
}

/// Something that was true at a moment.
#[derive(Clone, Copy)]
struct Known<T> {
    value: T,
    progress: u64,
    at: Instant,
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
            let facts = ChainFacts {
                node,
                stale_after,
                head_time: AtomicU64::new(0),
                seen_at: Mutex::default(),
                payers: Mutex::default(),
                nonces: Mutex::default(),
                tokens: Mutex::default(),
                proxies: Mutex::default(),
            };
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

    /// What the index knows: true if the payment is in a block of the chain.
    async fn is_indexed(&self, chain: ChainId, payment: PaymentId) -> Result<bool, FactsError> {
        let payments = self.store.signed_payments(chain, payment).await;
        let payments = payments.map_err(|error| FactsError::Storage(error.to_string()))?;
        Ok(payments.iter().any(|payment| payment.canonical))
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
            if self.is_indexed(authorization.chain, authorization.id()).await? {
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
        if known.payer.is_none() {
            self.note_head(authorization.chain, chain).await?;
        }
        let (parts, questions): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        metrics::asked();
        let answers =
            chain.node.state(&questions).await.map_err(|error| FactsError::Node(error.to_string()))?;
        if answers.len() != parts.len() {
            return Err(FactsError::Node("the node left answers out".to_owned()));
        }
        let read = known.read(question, parts.iter().copied().zip(answers))?;
        chain.keep(question, &read, &parts, progress, now);
        read.into_facts(is_fresh)
    }

    fn has_code(&self, authorization: &Authorization) -> Option<bool> {
        let chain = self.chains.get(&authorization.chain)?;
        let mut payers = chain.payers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = payers.of_key((authorization.token, authorization.payer)).as_ref()?;
        self.is_current(known, Instant::now()).then_some(known.value.facts.has_code)
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

/// What one answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    PayerCode,
    Balance,
    Allowance,
    Nonce,
    TokenCode,
    Name,
    Version,
    Domain,
    ProxyCode,
    ContractSignature,
    Simulation,
}

/// What is known so far.
#[derive(Default)]
struct Parts {
    payer: Option<Payer>,
    token: Option<TokenFacts>,
    is_token_young: bool,
    has_proxy: Option<bool>,
    nonce: Option<Nonce>,
    contract_signature: Option<bool>,
    simulation: Option<Result<(), String>>,
}

impl ChainFacts {
    fn known(
        &self,
        question: &Question<'_>,
        is_current: impl Fn(&Known<Payer>) -> bool,
        is_current_nonce: impl Fn(&Known<Nonce>) -> bool,
    ) -> Parts {
        let authorization = question.authorization;
        let mut parts = Parts::default();
        if !question.is_fresh {
            let needs_allowance = is_permit2(authorization);
            let mut payers = self.payers.lock().unwrap_or_else(PoisonError::into_inner);
            let payer = *payers.of_key((authorization.token, authorization.payer));
            drop(payers);
            parts.payer = payer
                .filter(|known| is_current(known) && (known.value.has_allowance || !needs_allowance))
                .map(|known| known.value);
            let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
            let nonce = *nonces.of_key(authorization.id());
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
    fn keep(&self, question: &Question<'_>, parts: &Parts, asked: &[Part], progress: u64, at: Instant) {
        let authorization = question.authorization;
        if let Some(value) = parts.payer.filter(|_| asked.contains(&Part::PayerCode)) {
            let mut payers = self.payers.lock().unwrap_or_else(PoisonError::into_inner);
            *payers.of_key((authorization.token, authorization.payer)) = Some(Known { value, progress, at });
        }
        if let Some(value) = parts.nonce.filter(|_| asked.contains(&Part::Nonce)) {
            let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
            *nonces.of_key(authorization.id()) = Some(Known { value, progress, at });
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

/// What is not known yet, as questions.
fn ask(question: &Question<'_>, known: &Parts) -> Vec<(Part, StateQuestion)> {
    let authorization = question.authorization;
    let Authorization { token, payer, .. } = *authorization;
    let view = |to: Address, data: Vec<u8>| {
        let call = Call { to, value: U256::ZERO, data: data.into(), gas_limit: Some(VIEW_GAS) };
        StateQuestion::View { from: None, call }
    };
    let mut asked = Vec::new();
    if known.payer.is_none() {
        asked.push((Part::PayerCode, StateQuestion::Code(payer)));
        asked.push((Part::Balance, view(token, IAsked::balanceOfCall { account: payer }.abi_encode())));
        if is_permit2(authorization) {
            let allowance = IAsked::allowanceCall { owner: payer, spender: PERMIT2 };
            asked.push((Part::Allowance, view(token, allowance.abi_encode())));
        }
    }
    if known.nonce.is_none() {
        asked.push((
            Part::Nonce,
            match authorization.signed_nonce() {
                SignedNonce::Eip3009 { token, authorizer, nonce } => {
                    view(token, IAsked::authorizationStateCall { authorizer, nonce }.abi_encode())
                }
                SignedNonce::Permit2 { owner, nonce } => {
                    view(PERMIT2, IAsked::nonceBitmapCall { owner, word: nonce >> 8 }.abi_encode())
                }
            },
        ));
    }
    if known.token.is_none() {
        asked.push((Part::TokenCode, StateQuestion::Code(token)));
        asked.push((Part::Name, view(token, IAsked::nameCall {}.abi_encode())));
        asked.push((Part::Version, view(token, IAsked::versionCall {}.abi_encode())));
        asked.push((Part::Domain, view(token, IAsked::DOMAIN_SEPARATORCall {}.abi_encode())));
    }
    if let (None, Some(proxy)) = (known.has_proxy, question.proxy) {
        asked.push((Part::ProxyCode, StateQuestion::Code(proxy)));
    }
    if let Some(hash) = question.digest {
        let signature = authorization.signature.clone();
        let data = IAsked::isValidSignatureCall { hash, signature }.abi_encode().into();
        let call = Call { to: payer, value: U256::ZERO, data, gas_limit: Some(question.most_gas) };
        asked.push((Part::ContractSignature, StateQuestion::View { from: None, call }));
    }
    if let Some((from, call)) = &question.simulate {
        asked.push((Part::Simulation, StateQuestion::View { from: *from, call: call.clone() }));
    }
    asked
}

impl Parts {
    /// Adds the answers.
    fn read(
        mut self,
        question: &Question<'_>,
        answers: impl Iterator<Item = (Part, Result<Bytes, NodeError>)>,
    ) -> Result<Self, FactsError> {
        let mut payer = self.payer.unwrap_or(Payer {
            facts: PayerFacts { has_code: false, balance: None, allowance: None },
            has_allowance: false,
        });
        let mut token = self.token.clone().unwrap_or_default();
        for (part, answer) in answers {
            match part {
                Part::PayerCode => {
                    payer.facts.has_code = has_code(answer)?;
                    self.payer = Some(payer);
                }
                Part::Balance => payer.facts.balance = number(said(answer)?),
                Part::Allowance => {
                    payer.facts.allowance = number(said(answer)?);
                    payer.has_allowance = true;
                }
                Part::Nonce => self.nonce = Some(nonce(question.authorization, said(answer)?)),
                Part::TokenCode => {
                    token.has_code = has_code(answer)?;
                    self.token = Some(TokenFacts::default());
                }
                Part::Name => token.name = text::<IAsked::nameCall>(ran(answer)?.ok()),
                Part::Version => token.version = text::<IAsked::versionCall>(ran(answer)?.ok()),
                Part::Domain => token.domain = word(ran(answer)?.ok()).map(Domain),
                Part::ProxyCode => self.has_proxy = Some(has_code(answer)?),
                Part::ContractSignature => {
                    let magic = ran(answer)?.is_ok_and(|bytes| is_magic(&bytes));
                    self.contract_signature = Some(magic);
                }
                Part::Simulation => self.simulation = Some(ran(answer)?.map(drop)),
            }
        }
        self.payer = self.payer.map(|_| payer);
        self.token = self.token.map(|_| token);
        Ok(self)
    }

    fn into_facts(self, is_fresh: bool) -> Result<Facts, FactsError> {
        let missing = || FactsError::Node("the node left answers out".to_owned());
        Ok(Facts {
            payer: self.payer.ok_or_else(missing)?.facts,
            token: self.token.ok_or_else(missing)?,
            has_proxy: self.has_proxy.ok_or_else(missing)?,
            nonce: self.nonce.ok_or_else(missing)?,
            contract_signature: self.contract_signature,
            is_fresh,
            simulation: self.simulation,
        })
    }
}

/// What a contract said. `None`: it reverted. Any other failure is the node's.
fn said(answer: Result<Bytes, NodeError>) -> Result<Option<Bytes>, FactsError> {
    match answer {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_revert() => Ok(None),
        Err(error) => Err(FactsError::Node(error.to_string())),
    }
}

fn has_code(answer: Result<Bytes, NodeError>) -> Result<bool, FactsError> {
    answer.map(|code| !code.is_empty()).map_err(|error| FactsError::Node(error.to_string()))
}

/// What code of others did that was run: it may fail in more ways than by a revert, such as without gas. A failure that may
/// pass is the node's.
fn ran(answer: Result<Bytes, NodeError>) -> Result<Result<Bytes, String>, FactsError> {
    match answer {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(error) if error.is_revert() || is_of_the_call(&error) => {
            Ok(Err(error.to_string().chars().take(300).collect()))
        }
        Err(error) => Err(FactsError::Node(error.to_string())),
    }
}

/// Whether a node's own error is about the code that it ran. Of any other, such as an account of a provider that is used up, it
/// is not known what the code would have done.
fn is_of_the_call(error: &NodeError) -> bool {
    let NodeError::Rpc { message, .. } = error else { return false };
    let words = message.to_ascii_lowercase();
    let says = |known: &[&str]| known.iter().any(|word| words.contains(word));
    says(&CODE_FAILED) && !says(&GAVE_UP)
}

/// The first word of an answer. Contracts may add others.
fn word(answer: Option<Bytes>) -> Option<B256> {
    answer.and_then(|bytes| bytes.get(..32).map(B256::from_slice))
}

fn number(answer: Option<Bytes>) -> Option<U256> {
    word(answer).map(|word| U256::from_be_bytes(word.0))
}

fn nonce(authorization: &Authorization, answer: Option<Bytes>) -> Nonce {
    match (number(answer), is_permit2(authorization)) {
        (None, _) => Nonce::Unsupported,
        (Some(bits), true) => {
            let bit = usize::from(authorization.nonce.byte(0));
            if bits.bit(bit) { Nonce::Used } else { Nonce::New }
        }
        (Some(state), false) => {
            if state.is_zero() {
                Nonce::New
            } else {
                Nonce::Used
            }
        }
    }
}

fn text<C: SolCall<Return = String>>(answer: Option<Bytes>) -> Option<String> {
    answer.and_then(|bytes| C::abi_decode_returns(&bytes).ok())
}

/// A contract answers with the selector of `isValidSignature`, and zeros after it.
fn is_magic(answer: &[u8]) -> bool {
    answer.len() >= 32 && answer.get(..4) == Some(IAsked::isValidSignatureCall::SELECTOR.as_slice())
}
