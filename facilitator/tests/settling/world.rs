//! A chain in memory, with a pool of transactions, and an index that follows it when it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_consensus::transaction::SignerRecoverable as _;
use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::eip2718::Decodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use salt402_chain::{Header, Log, Mined, Profile, Receipt};
use salt402_protocol::ChainId;
use salt402_store::{Batch, Block, Cursor, Store};

use crate::ledger::{Ledger, Said, carried};

pub(crate) const CHAIN: ChainId = ChainId::CITRATE;
pub(crate) const START: u64 = 1_700_000_000;

/// A transaction that a node took.
#[derive(Clone, Debug)]
pub(crate) struct Pooled {
    pub(crate) hash: B256,
    pub(crate) from: Address,
    pub(crate) nonce: u64,
    pub(crate) to: Address,
    pub(crate) input: Bytes,
    pub(crate) max_fee: u128,
}

/// A block with what it did.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) header: Header,
    pub(crate) transactions: Vec<(Pooled, Mined)>,
    /// What the contracts held before it.
    before: Ledger,
}

/// How a node misbehaves: chances in 100.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// A question fails.
    pub(crate) errors: u32,
    /// A transaction is taken, and the answer is an error.
    pub(crate) taken_and_failed: u32,
    /// A transaction is said to be taken, and forgotten.
    pub(crate) dropped: u32,
    /// A receipt is not shown.
    pub(crate) hidden: u32,
    /// What is pending is made up.
    pub(crate) lies: u32,
    /// By how many blocks the state is older that is told.
    pub(crate) behind: usize,
    /// An account that has next to nothing.
    pub(crate) poor: Option<Address>,
    /// How often whoever asks for an account panics.
    pub(crate) panics: u32,
    /// It is not said what gas anything needs.
    pub(crate) estimates_nothing: bool,
    /// After how long nothing is said of a transaction that was sent.
    pub(crate) silent: Option<Duration>,
}

pub(crate) struct State {
    pub(crate) blocks: Vec<Made>,
    pub(crate) ledger: Ledger,
    pub(crate) pool: BTreeMap<(Address, u64), Pooled>,
    pub(crate) faults: Faults,
    pub(crate) rng: SmallRng,
    /// Less is not mined.
    pub(crate) least_fee: u128,
    pub(crate) base_fee: u64,
    pub(crate) has_multicall: bool,
    /// Payers that have code.
    pub(crate) coded: BTreeSet<Address>,
    /// How many transactions were sent, the same one each time.
    pub(crate) submitted: u64,
    /// In which slots each authorization was ever sent.
    pub(crate) slots: BTreeMap<B256, BTreeSet<(Address, u64)>>,
    branch: u64,
    pub(crate) seconds_a_block: u64,
}

pub(crate) struct World {
    state: Mutex<State>,
    pub(crate) profile: Profile,
}

impl World {
    pub(crate) fn new(seed: u64, finality_depth: u64) -> Self {
        let header =
            Header { number: 0, hash: B256::repeat_byte(0xee), parent_hash: B256::ZERO, timestamp: START };
        let genesis = Made { header, transactions: Vec::new(), before: Ledger::default() };
        let state = State {
            blocks: vec![genesis],
            ledger: Ledger::default(),
            pool: BTreeMap::new(),
            faults: Faults::default(),
            rng: SmallRng::seed_from_u64(seed),
            least_fee: 0,
            base_fee: 10,
            has_multicall: true,
            coded: BTreeSet::new(),
            submitted: 0,
            slots: BTreeMap::new(),
            branch: 0,
            seconds_a_block: 2,
        };
        let profile = Profile {
            chain_id: CHAIN,
            finality_depth,
            reorg_window: 64,
            max_fee_per_gas: 100_000,
            merges_blocks: false,
            ..Profile::named("local").unwrap()
        };
        Self { state: Mutex::new(state), profile }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn give(&self, account: Address, amount: u64) {
        self.state().ledger.balances.insert(account, U256::from(amount));
    }

    pub(crate) fn held(&self, account: Address) -> U256 {
        self.state().ledger.balances.get(&account).copied().unwrap_or_default()
    }

    /// The transaction of the chain that a hash names.
    pub(crate) fn mined(&self, hash: B256) -> Option<Mined> {
        self.state().mined(hash)
    }

    /// A block with all that can be mined, and the index follows it.
    pub(crate) async fn block(&self, store: &Store) {
        self.state().make();
        self.index(store, None).await;
    }

    /// Replaces the last blocks by as many and one more, without what was in them; `kept` puts their transactions back into the
    /// pool.
    pub(crate) async fn reorganize(&self, store: &Store, depth: usize, kept: bool) {
        let height = {
            let mut state = self.state();
            for _ in 0..depth {
                let Some(gone) = state.blocks.pop() else { break };
                state.ledger = gone.before;
                if kept {
                    for (pooled, _) in gone.transactions {
                        state.pool.insert((pooled.from, pooled.nonce), pooled);
                    }
                }
            }
            let height = state.blocks.last().unwrap().header.number;
            state.branch += 1;
            for _ in 0..=depth {
                if kept { state.make() } else { state.make_empty() }
            }
            height
        };
        self.index(store, Some(height)).await;
    }

    /// The index takes up some blocks that it does not have.
    pub(crate) async fn catch_up(&self, store: &Store, blocks: usize) {
        self.index_some(store, None, blocks).await;
    }

    /// The index takes up what it does not have.
    async fn index(&self, store: &Store, keep_through: Option<u64>) {
        self.index_some(store, keep_through, usize::MAX).await;
    }

    async fn index_some(&self, store: &Store, keep_through: Option<u64>, most: usize) {
        let expected = store.chain_state(CHAIN).await.unwrap().unwrap().cursor;
        let from = keep_through.or(expected.map(|cursor| cursor.number));
        let blocks: Vec<Block> = {
            let state = self.state();
            let new = state.blocks.iter().map(|made| made.header);
            let new = new.filter(|header| from.is_none_or(|from| header.number > from) && header.number > 0);
            new.take(most)
                .map(|header| Block {
                    number: header.number,
                    hash: header.hash,
                    parent_hash: header.parent_hash,
                    timestamp: header.timestamp,
                })
                .collect()
        };
        let Some(top) = blocks.last().copied() else { return };
        store
            .apply(Batch {
                chain: CHAIN,
                expected,
                keep_through,
                blocks,
                payments: Vec::new(),
                extras: Default::default(),
                undecoded: Vec::new(),
                cursor: Cursor { number: top.number, hash: top.hash },
                head: Some(top.number),
                prune_below: None,
            })
            .await
            .unwrap();
    }
}

impl State {
    pub(crate) fn happens(&mut self, chance: u32) -> bool {
        chance > 0 && self.rng.random_range(0..100) < chance
    }

    pub(crate) fn head(&self) -> Header {
        self.blocks.last().unwrap().header
    }

    /// The height and the state that a node tells.
    pub(crate) fn as_seen(&self) -> (u64, &Ledger) {
        let behind = self.faults.behind;
        match behind.checked_sub(1).and_then(|above| self.blocks.iter().rev().nth(above)) {
            Some(made) => (made.header.number - 1, &made.before),
            None => (self.head().number, &self.ledger),
        }
    }

    pub(crate) fn mined(&self, hash: B256) -> Option<Mined> {
        let all = self.blocks.iter().flat_map(|made| made.transactions.iter());
        all.into_iter().find(|(pooled, _)| pooled.hash == hash).map(|(_, mined)| mined.clone())
    }

    /// A node takes a transaction, if its nonce is free and nothing with a fee as high has it.
    pub(crate) fn take(&mut self, raw: &Bytes) {
        let envelope = TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap();
        let pooled = Pooled {
            hash: *envelope.tx_hash(),
            from: envelope.recover_signer().unwrap(),
            nonce: envelope.nonce(),
            to: envelope.to().unwrap(),
            input: envelope.input().clone(),
            max_fee: envelope.max_fee_per_gas(),
        };
        for nonce in carried(pooled.to, &pooled.input) {
            self.slots.entry(nonce).or_default().insert((pooled.from, pooled.nonce));
        }
        if pooled.nonce < self.ledger.nonces.get(&pooled.from).copied().unwrap_or(0) {
            return;
        }
        let slot = (pooled.from, pooled.nonce);
        let is_better = self.pool.get(&slot).is_none_or(|known| pooled.max_fee * 8 >= known.max_fee * 9);
        if is_better {
            self.pool.insert(slot, pooled);
        }
    }

    /// Somebody else's transaction.
    pub(crate) fn strange(&mut self, from: Address, to: Address, input: Bytes) -> B256 {
        let nonce = self.ledger.nonces.get(&from).copied().unwrap_or(0);
        let hash = keccak256([from.as_slice(), &nonce.to_be_bytes(), &input, b"strange"].concat());
        self.pool.insert((from, nonce), Pooled { hash, from, nonce, to, input, max_fee: u128::MAX / 16 });
        hash
    }

    pub(crate) fn make(&mut self) {
        let mut chosen = Vec::new();
        let mut nonces = self.ledger.nonces.clone();
        for ((from, nonce), pooled) in &self.pool {
            let next = nonces.entry(*from).or_default();
            if nonce == next && pooled.max_fee >= self.least_fee {
                *next += 1;
                chosen.push(pooled.clone());
            }
        }
        self.put(chosen);
    }

    fn make_empty(&mut self) {
        self.put(Vec::new());
    }

    fn put(&mut self, chosen: Vec<Pooled>) {
        let parent = self.head();
        let number = parent.number + 1;
        let hash =
            keccak256([parent.hash.as_slice(), &number.to_be_bytes(), &self.branch.to_be_bytes()].concat());
        let timestamp = parent.timestamp + self.seconds_a_block;
        let header = Header { number, hash, parent_hash: parent.hash, timestamp };
        let before = self.ledger.clone();
        let mut transactions = Vec::new();
        for pooled in chosen {
            *self.ledger.nonces.entry(pooled.from).or_default() += 1;
            let unchanged = self.ledger.clone();
            let said = self.ledger.run(pooled.to, &pooled.input, timestamp);
            if said.is_none() {
                self.ledger = unchanged;
            }
            let receipt = receipt(&pooled, header, said);
            self.pool.remove(&(pooled.from, pooled.nonce));
            transactions.push((pooled, Mined { receipt, gas_used: Some(60_000), gas_price: Some(10) }));
        }
        let nonces = self.ledger.nonces.clone();
        self.pool.retain(|(from, nonce), _| nonces.get(from).is_none_or(|next| nonce >= next));
        self.blocks.push(Made { header, transactions, before });
    }
}

fn receipt(pooled: &Pooled, header: Header, said: Option<Vec<Said>>) -> Receipt {
    let success = said.is_some();
    let log = |(contract, content): Said| Log {
        contract,
        content,
        transaction: pooled.hash,
        block_number: header.number,
        block_hash: header.hash,
        block_timestamp: Some(header.timestamp),
    };
    Receipt {
        transaction: pooled.hash,
        block_number: header.number,
        block_hash: header.hash,
        success,
        from: pooled.from,
        to: Some(pooled.to),
        logs: said.unwrap_or_default().into_iter().map(log).collect(),
    }
}
