//! A verifier over a real store, a chain to put payments on, and a node that says what it is told.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Bytes, keccak256};
use async_trait::async_trait;
use futures::stream::BoxStream;
use salt402_chain::{At, Header, Log, LogQuery, Node, NodeError, Profile, Receipt, Span, Transaction};
use salt402_indexer::{FollowerOptions, ReceiptLookup};
use salt402_protocol::api::{QuoteRequest, QuoteResponse, Requirement, Verdict, VerifyRequest};
use salt402_protocol::quote::QuoteClock;
use salt402_protocol::{
    Address, Amount, Asset, B256, ChainId, Code, Payment, PaymentId, Problem, Proof, QuoteId, QuoteKey,
    QuoteKeys, RequestDigest, Settlement, Source, SourceKind, Terms, U256,
};
use salt402_store::{Batch, Block, Cursor, Extras, Options, PlacedPayment, Store};
use salt402_verifier::{
    AccountLimits, ChainPolicy, Freshness, IndexChanges, PaymentRules, Policy, Verifier, VerifierChain,
    VerifierOptions,
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

pub(crate) const CHAIN: ChainId = ChainId::CITRATE;
pub(crate) const CONTRACT: Address = Address::repeat_byte(0xc0);
pub(crate) const PAYEE: Address = Address::repeat_byte(0xaa);

/// A node that knows headers as the index does, and one receipt.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) receipt: Mutex<Option<Receipt>>,
    /// What every transaction is said to be.
    pub(crate) transaction: Mutex<Option<Transaction>>,
    /// Transactions whose receipts say what the index knows of them, and where they are.
    pub(crate) mined: Mutex<HashMap<B256, Header>>,
    /// Whether it gives no receipts.
    pub(crate) away: AtomicBool,
    /// Transactions whose receipts are longer than what is read.
    pub(crate) too_long: Mutex<Vec<B256>>,
    /// How often it was asked for one.
    pub(crate) receipts_asked: AtomicU64,
    pub(crate) headers: Mutex<Vec<Header>>,
    /// How many blocks there ever were.
    pub(crate) blocks: AtomicU64,
    /// Whether its chain merges blocks; read when a verifier is made.
    pub(crate) merges_blocks: AtomicBool,
    /// What a contract returns, or nothing where the node cannot be asked.
    pub(crate) state: Mutex<Option<Bytes>>,
    /// How often contracts were asked.
    pub(crate) viewed: AtomicU64,
}

/// The hash of a block: that many were made before it.
pub(crate) fn hash(number: u64, made_before: u64) -> B256 {
    B256::from(U256::from(number << 32 | made_before))
}

pub(crate) struct Fake(Arc<Told>, Profile);

#[async_trait]
impl Node for Fake {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        Ok(CHAIN.get())
    }
    async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        let headers = self.0.headers.lock().unwrap();
        Ok(headers.iter().copied().find(|header| match at {
            At::Number(number) => header.number == number,
            At::Hash(hash) => header.hash == hash,
            At::Latest => false,
        }))
    }
    async fn logs(&self, _query: &LogQuery, _span: Span) -> Result<Vec<Log>, NodeError> {
        Ok(Vec::new())
    }
    async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, NodeError> {
        self.0.receipts_asked.fetch_add(1, Ordering::SeqCst);
        if self.0.away.load(Ordering::SeqCst) {
            return Err(NodeError::Unreachable { node: "node".into(), reason: "it is gone".into() });
        }
        if self.0.too_long.lock().unwrap().contains(&transaction) {
            return Err(NodeError::AnswerTooLong { limit: 1 << 20, announced: None });
        }
        let told = self.0.receipt.lock().unwrap().clone();
        if let Some(receipt) = told.filter(|receipt| receipt.transaction == transaction) {
            return Ok(Some(receipt));
        }
        let place = self.0.mined.lock().unwrap().get(&transaction).copied();
        Ok(place.map(|place| receipt(transaction, place, Vec::new())))
    }
    async fn transaction(&self, _hash: B256) -> Result<Option<Transaction>, NodeError> {
        Ok(self.0.transaction.lock().unwrap().clone())
    }
    /// After a moment, in which others may ask.
    async fn view(&self, _contract: Address, _data: Bytes) -> Result<Bytes, NodeError> {
        self.0.viewed.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let state = self.0.state.lock().unwrap().clone();
        state.ok_or_else(|| NodeError::Unreachable { node: "node".into(), reason: "it is gone".into() })
    }
    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
        Ok(None)
    }
    fn profile(&self) -> &Profile {
        &self.1
    }
}

/// What an operator has written.
#[derive(Clone)]
pub(crate) struct Operator {
    pub(crate) chain: ChainPolicy,
    pub(crate) accounts: AccountLimits,
    pub(crate) keys: QuoteKeys,
    pub(crate) policy: Policy,
}

pub(crate) fn key(byte: u8) -> QuoteKey {
    QuoteKey::new(&[byte; 32]).unwrap()
}

pub(crate) fn operator() -> Operator {
    let chain = ChainPolicy {
        chain: CHAIN,
        network: "local".into(),
        contract: CONTRACT,
        other_contracts: Vec::new(),
        channels: None,
        past_channels: Vec::new(),
        operators: Vec::new(),
        least_exit_delay: None,
        rules: PaymentRules::new(1, 3),
        symbol: "SALT".into(),
        decimals: 18,
        block_time: Duration::from_secs(1),
        steady_blocks: false,
        stale_after: Duration::from_secs(10),
    };
    Operator { chain, accounts: AccountLimits::default(), keys: key(1).into(), policy: Policy::default() }
}

/// A verifier, its database, and a chain to put payments on.
pub(crate) struct Shop {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
    pub(crate) verifier: Verifier,
    pub(crate) told: Arc<Told>,
}

impl Shop {
    /// With a database that was made long before anything that happens.
    pub(crate) async fn open(operator: &Operator) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("shop.db"), old_database().await).unwrap();
        Self::over(operator, folder).await
    }

    /// With a database that is made now.
    pub(crate) async fn begin(operator: &Operator) -> Self {
        Self::over(operator, tempfile::tempdir().unwrap()).await
    }

    /// The folder is emptied and another process begins in it; it indexes the chain anew.
    pub(crate) async fn begin_anew(&mut self, operator: &Operator) {
        self.store.clone().close().await;
        std::fs::remove_file(self.folder.path().join("shop.db")).unwrap();
        self.told.headers.lock().unwrap().clear();
        self.restart(operator).await;
        self.store.pin_chain(CHAIN, B256::ZERO).await.unwrap();
    }

    /// Puts SQL to the database between two processes.
    pub(crate) async fn meddle(&mut self, operator: &Operator, sql: &str) {
        self.store.clone().close().await;
        let database = rusqlite::Connection::open(self.folder.path().join("shop.db")).unwrap();
        database.execute_batch(sql).unwrap();
        database.close().unwrap();
        self.restart(operator).await;
    }

    /// The id of a quote that nobody else has, which was given here so many seconds ago.
    pub(crate) fn given(&self, operator: &Operator, ago: u64) -> QuoteId {
        let asked = question(1, 5, true);
        let terms = Terms {
            chain: CHAIN,
            contract: CONTRACT,
            payee: asked.payee,
            asset: asked.asset,
            amount: asked.amount,
            request: asked.request_digest,
            service: None,
        };
        let clock = QuoteClock { database: Some(self.store.origin().mark), ..Policy::default().clock };
        operator.keys.seal(&clock.random(terms, now() - ago, [7; 16]))
    }

    async fn over(operator: &Operator, folder: TempDir) -> Self {
        let store = Store::open(Options::new(folder.path().join("shop.db"))).await.unwrap();
        store.pin_chain(CHAIN, B256::ZERO).await.unwrap();
        let told = Arc::new(Told::default());
        let verifier = verifier(operator, &store, &told).await;
        Self { folder, store, verifier, told }
    }

    /// The process ends and another begins, with what the operator has written meanwhile.
    pub(crate) async fn restart(&mut self, operator: &Operator) {
        self.store.clone().close().await;
        self.store = Store::open(Options::new(self.folder.path().join("shop.db"))).await.unwrap();
        self.verifier = verifier(operator, &self.store, &self.told).await;
    }

    pub(crate) fn quote(&self, request: u8, amount: u64, secret: bool) -> QuoteResponse {
        self.verifier.quote(&question(request, amount, secret)).unwrap()
    }

    /// One block upon the chain, with payments in it.
    pub(crate) async fn mine(&self, payments: &[Payment]) {
        self.put(0, now(), payments).await;
    }

    /// The newest block is replaced by another.
    pub(crate) async fn replace(&self, payments: &[Payment]) {
        self.put(1, now(), payments).await;
    }

    /// The newest block is replaced by one whose payments have places in their transactions.
    pub(crate) async fn replace_at(&self, payments: &[(u32, Payment)]) {
        self.put_at(1, now(), payments).await;
    }

    /// The node says that the transaction of a number is in the newest block and was reverted.
    pub(crate) fn reverts(&self, transaction: u8) {
        let newest = *self.told.headers.lock().unwrap().last().unwrap();
        let receipt = receipt(B256::repeat_byte(transaction), newest, Vec::new());
        *self.told.receipt.lock().unwrap() = Some(Receipt { success: false, ..receipt });
    }

    /// Takes so many blocks off the chain, and puts one upon the rest, of a time.
    pub(crate) async fn put(&self, back: u64, timestamp: u64, payments: &[Payment]) {
        let first: Vec<_> = payments.iter().map(|payment| (0, payment.clone())).collect();
        self.put_at(back, timestamp, &first).await;
    }

    async fn put_at(&self, back: u64, timestamp: u64, payments: &[(u32, Payment)]) {
        let expected = self.store.chain_state(CHAIN).await.unwrap().unwrap().cursor;
        let parent = expected.map_or(0, |at| at.number) - back;
        let on = self.store.canonical_block(CHAIN, parent).await.unwrap();
        let number = parent + 1;
        let branch = self.told.blocks.fetch_add(1, Ordering::SeqCst);
        let hash = hash(number, branch);
        let block = Block { number, hash, parent_hash: on.map_or(B256::ZERO, |on| on.hash), timestamp };
        let placed = |(position, payment): &(u32, Payment)| PlacedPayment {
            payment: payment.clone(),
            position: *position,
            block_number: number,
            block_hash: hash,
            block_timestamp: timestamp,
        };
        let batch = Batch {
            chain: CHAIN,
            expected,
            keep_through: (back > 0).then_some(parent),
            blocks: vec![block],
            payments: payments.iter().map(placed).collect(),
            cursor: Cursor { number, hash },
            head: Some(number),
            prune_below: None,
            extras: Extras {
                settlements: payments.iter().filter_map(|(_, payment)| settled(payment)).collect(),
                ..Extras::default()
            },
            undecoded: Vec::new(),
        };
        self.store.apply(batch).await.unwrap();
        let mut headers = self.told.headers.lock().unwrap();
        headers.retain(|header| header.number < number);
        let header = Header { number, hash, parent_hash: block.parent_hash, timestamp };
        headers.push(header);
        let mut mined = self.told.mined.lock().unwrap();
        mined.retain(|_, at| at.number < number);
        mined.extend(payments.iter().map(|(_, payment)| (payment.transaction, header)));
    }

    /// Shows a proof with a bare hash, to claim it.
    pub(crate) async fn show(&self, transaction: u8, request: u8, amount: u64) -> Result<Verdict, Problem> {
        self.verifier.verify(&proof(transaction, request, amount)).await
    }
}

/// The bytes of a database that was made long ago, of a mark that all of them have.
async fn old_database() -> &'static [u8] {
    static MADE: OnceCell<Vec<u8>> = OnceCell::const_new();
    let make = || async {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("old.db");
        Store::open(Options::new(&place)).await.unwrap().close().await;
        let database = rusqlite::Connection::open(&place).unwrap();
        database.execute("UPDATE meta SET value = '1600000000' WHERE name = 'made_at'", ()).unwrap();
        database.close().unwrap();
        std::fs::read(&place).unwrap()
    };
    MADE.get_or_init(make).await
}

pub(crate) async fn verifier(operator: &Operator, store: &Store, told: &Arc<Told>) -> Verifier {
    let Operator { chain, accounts, keys, policy } = operator.clone();
    let salt_pay = Source { contract: CONTRACT, kind: SourceKind::SaltPay, start_block: 0 };
    let options = FollowerOptions { chain: CHAIN, sources: vec![salt_pay] };
    let merges_blocks = told.merges_blocks.load(Ordering::SeqCst);
    let profile = Profile { merges_blocks, ..Profile::named("local").unwrap() };
    let node = Fake(Arc::clone(told), profile);
    let lookup = ReceiptLookup::new(Arc::new(node), store.clone(), options);
    let verifier = Verifier::new(VerifierOptions {
        changes: IndexChanges::of_this_process(store),
        store: store.clone(),
        keys,
        policy,
        accounts,
        chains: vec![VerifierChain {
            policy: chain,
            freshness: Freshness::Store,
            lookup,
            deployment: tokio::sync::watch::channel(salt402_indexer::Deployment::Good {
                seen_at: 0,
                reorganizations: 0,
            })
            .1,
        }],
        version: "test".into(),
    });
    verifier.prepare().await.unwrap();
    verifier
}

/// The receipt of a transaction that succeeded.
pub(crate) fn receipt(transaction: B256, place: Header, logs: Vec<Log>) -> Receipt {
    Receipt {
        transaction,
        block_number: place.number,
        block_hash: place.hash,
        success: true,
        from: Address::ZERO,
        to: None,
        logs,
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn units(amount: u64) -> Amount {
    Amount(U256::from(amount))
}

pub(crate) fn question(request: u8, amount: u64, secret: bool) -> QuoteRequest {
    QuoteRequest {
        chain: CHAIN,
        payee: PAYEE,
        asset: Asset::Native,
        amount: units(amount),
        request_digest: RequestDigest(B256::repeat_byte(request)),
        secret,
        claimant: String::new(),
    }
}

pub(crate) fn proof(transaction: u8, request: u8, amount: u64) -> VerifyRequest {
    VerifyRequest {
        proof: Proof::transaction(B256::repeat_byte(transaction)),
        quote_id: None,
        requirement: Requirement {
            chain: CHAIN,
            payee: PAYEE,
            asset: Asset::Native,
            amount: units(amount),
            request_digest: RequestDigest(B256::repeat_byte(request)),
            confirmations: None,
        },
        claim: true,
        claimant: "shop".into(),
        wait_ms: 0,
        usage: None,
        by_use: false,
        at_least: None,
        raises: None,
        again_only: false,
        instance: None,
        client: None,
        credit: None,
    }
}

/// A payment of a quote, in the transaction of a number, by the payer of a number.
pub(crate) fn paid(transaction: u8, payer: u8, amount: u64, quote: &QuoteResponse) -> Payment {
    Payment {
        id: PaymentId(B256::repeat_byte(transaction)),
        chain: CHAIN,
        contract: CONTRACT,
        transaction: B256::repeat_byte(transaction),
        reference: quote.reference,
        payer: Address::repeat_byte(payer),
        payee: PAYEE,
        asset: Asset::Native,
        amount: units(amount),
    }
}

/// The movement that a payment by signature is; one of `SaltPay` is its log.
fn settled(payment: &Payment) -> Option<Settlement> {
    (payment.contract != CONTRACT).then(|| Settlement {
        payment: payment.id,
        transaction: payment.transaction,
        movement: keccak256([payment.transaction, payment.id.0].concat()),
    })
}

/// Whether it was granted for the first time; a code otherwise.
pub(crate) fn granted(verdict: Result<Verdict, Problem>) -> Result<bool, Code> {
    match verdict {
        Ok(Verdict::Accepted { claim, .. }) => Ok(claim.expect("a claim").first),
        Ok(Verdict::Pending { code, .. } | Verdict::Rejected { code, .. }) => Err(code),
        Err(problem) => Err(problem.code),
    }
}
