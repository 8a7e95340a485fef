//! The operator's policy, by a verifier over a real store: what it accepts, from whom, how often, and how deep.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures::stream::BoxStream;
use salt402_chain::{At, Header, Log, LogQuery, Node, NodeError, Profile, Receipt, Span};
use salt402_indexer::{FollowerOptions, Missing};
use salt402_protocol::api::{QuoteRequest, QuoteResponse, Requirement, Usage, Verdict, VerifyRequest};
use salt402_protocol::{
    Address, Amount, Asset, B256, ChainId, Code, Payment, PaymentId, Problem, Proof, QuoteKey, QuoteKeys,
    RequestDigest, U256,
};
use salt402_store::{Batch, Block, Cursor, Options, PlacedPayment, Store};
use salt402_verifier::{
    AccountLimits, AfterLoss, ChainPolicy, ExposureCap, Policy, Rate, Verifier, VerifierChain,
    VerifierOptions, Waker, Watch,
};
use tempfile::TempDir;

const CHAIN: ChainId = ChainId::CITRATE;
const CONTRACT: Address = Address::repeat_byte(0xc0);
const PAYEE: Address = Address::repeat_byte(0xaa);

/// A node that knows headers as the index does, and one receipt.
#[derive(Default)]
struct Told {
    receipt: Mutex<Option<Receipt>>,
    headers: Mutex<Vec<Header>>,
}

struct Fake(Arc<Told>, Profile);

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
        Ok(self.0.receipt.lock().unwrap().clone().filter(|receipt| receipt.transaction == transaction))
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
struct Operator {
    chain: ChainPolicy,
    accounts: AccountLimits,
    keys: QuoteKeys,
}

fn key(byte: u8) -> QuoteKey {
    QuoteKey::new(&[byte; 32]).unwrap()
}

fn operator() -> Operator {
    let chain = ChainPolicy {
        chain: CHAIN,
        network: "local".into(),
        contract: CONTRACT,
        confirmations: 1,
        depths: Vec::new(),
        final_at: 3,
        max_age: None,
        assets: None,
        payees: None,
        exposure: Vec::new(),
        after_loss: AfterLoss::default(),
        symbol: "SALT".into(),
        decimals: 18,
        block_time: Duration::from_secs(1),
        patience: Duration::from_secs(10),
    };
    Operator { chain, accounts: AccountLimits::default(), keys: key(1).into() }
}

/// A verifier, its database, and a chain to put payments on.
struct Shop {
    folder: TempDir,
    store: Store,
    verifier: Verifier,
    told: Arc<Told>,
}

impl Shop {
    async fn open(operator: &Operator) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(folder.path().join("shop.db"))).await.unwrap();
        store.pin_chain(CHAIN, B256::ZERO).await.unwrap();
        let told = Arc::new(Told::default());
        let verifier = verifier(operator, &store, &told).await;
        Self { folder, store, verifier, told }
    }

    /// The process ends and another begins, with what the operator has written meanwhile.
    async fn restart(&mut self, operator: &Operator) {
        self.store.clone().close().await;
        self.store = Store::open(Options::new(self.folder.path().join("shop.db"))).await.unwrap();
        self.verifier = verifier(operator, &self.store, &self.told).await;
    }

    fn quote(&self, request: u8, amount: u64, secret: bool) -> QuoteResponse {
        self.verifier.quote(&question(request, amount, secret)).unwrap()
    }

    /// One block upon the chain, with payments in it.
    async fn mine(&self, payments: &[Payment]) {
        let expected = self.store.chain_state(CHAIN).await.unwrap().unwrap().cursor;
        self.put(expected, None, 1, payments).await;
    }

    /// The newest block is replaced by another.
    async fn replace(&self, payments: &[Payment]) {
        let expected = self.store.chain_state(CHAIN).await.unwrap().unwrap().cursor.unwrap();
        self.put(Some(expected), Some(expected.number - 1), 2, payments).await;
    }

    async fn put(&self, expected: Option<Cursor>, keep: Option<u64>, branch: u8, payments: &[Payment]) {
        let parent = match (keep, expected) {
            (Some(kept), _) => kept,
            (None, at) => at.map_or(0, |at| at.number),
        };
        let on = self.store.canonical_block(CHAIN, parent).await.unwrap();
        let (number, timestamp) = (parent + 1, now());
        let hash = B256::from(U256::from(number * 256 + u64::from(branch)));
        let block = Block { number, hash, parent_hash: on.map_or(B256::ZERO, |on| on.hash), timestamp };
        let placed = |payment: &Payment| PlacedPayment {
            payment: payment.clone(),
            position: 0,
            block_number: number,
            block_hash: hash,
            block_timestamp: timestamp,
        };
        let batch = Batch {
            chain: CHAIN,
            expected,
            keep_through: keep,
            blocks: vec![block],
            payments: payments.iter().map(placed).collect(),
            cursor: Cursor { number, hash },
            head: number,
            prune_below: None,
        };
        self.store.apply(batch).await.unwrap();
        let mut headers = self.told.headers.lock().unwrap();
        headers.retain(|header| header.number != number);
        headers.push(Header { number, hash, parent_hash: block.parent_hash, timestamp });
    }

    /// Shows a proof with a bare hash, to claim it.
    async fn show(&self, transaction: u8, request: u8, amount: u64) -> Result<Verdict, Problem> {
        self.verifier.verify(&proof(transaction, request, amount)).await
    }
}

async fn verifier(operator: &Operator, store: &Store, told: &Arc<Told>) -> Verifier {
    let Operator { chain, accounts, keys } = operator.clone();
    let options = FollowerOptions { chain: CHAIN, contract: CONTRACT, start_block: 0 };
    let node = Fake(Arc::clone(told), Profile::named("local").unwrap());
    let missing = Missing::new(Arc::new(node), store.clone(), options);
    let verifier = Verifier::new(VerifierOptions {
        waker: Waker::inside(store),
        store: store.clone(),
        keys,
        policy: Policy::default(),
        accounts,
        chains: vec![VerifierChain { policy: chain, watch: Watch::Store, missing }],
        version: "test".into(),
    });
    verifier.prepare().await.unwrap();
    verifier
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn units(amount: u64) -> Amount {
    Amount(U256::from(amount))
}

fn question(request: u8, amount: u64, secret: bool) -> QuoteRequest {
    QuoteRequest {
        chain: CHAIN,
        payee: PAYEE,
        asset: Asset::Native,
        amount: units(amount),
        request_digest: RequestDigest(B256::repeat_byte(request)),
        secret,
    }
}

fn proof(transaction: u8, request: u8, amount: u64) -> VerifyRequest {
    VerifyRequest {
        proof: Proof { transaction: B256::repeat_byte(transaction) },
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
        again_only: false,
    }
}

/// A payment of a quote, in the transaction of a number, by the payer of a number.
fn paid(transaction: u8, payer: u8, amount: u64, quote: &QuoteResponse) -> Payment {
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

/// Whether it was granted for the first time; a code otherwise.
fn granted(verdict: Result<Verdict, Problem>) -> Result<bool, Code> {
    match verdict {
        Ok(Verdict::Accepted { claim, .. }) => Ok(claim.expect("a claim").first),
        Ok(Verdict::Pending { code, .. } | Verdict::Rejected { code, .. }) => Err(code),
        Err(problem) => Err(problem.code),
    }
}

#[tokio::test]
async fn another_asset_or_payee_is_refused_before_anything_is_looked_up() {
    let mut operator = operator();
    operator.chain.assets = Some(vec![Asset::Native]);
    operator.chain.payees = Some(vec![PAYEE]);
    let shop = Shop::open(&operator).await;
    let good = question(1, 5, false);
    assert!(shop.verifier.quote(&good).is_ok());
    let token = Asset::Token(Address::repeat_byte(9));
    let other = Address::repeat_byte(9);
    let refused = |question: QuoteRequest| shop.verifier.quote(&question).unwrap_err().code;
    assert_eq!(refused(QuoteRequest { asset: token, ..good.clone() }), Code::AssetNotAccepted);
    assert_eq!(refused(QuoteRequest { payee: other, ..good.clone() }), Code::PayeeNotAccepted);
    // A closed store answers nothing: it is not asked.
    shop.store.clone().close().await;
    let mut asked = proof(1, 1, 5);
    asked.requirement.asset = token;
    assert_eq!(granted(shop.verifier.verify(&asked).await), Err(Code::AssetNotAccepted));
    let mut asked = proof(1, 1, 5);
    asked.requirement.payee = other;
    assert_eq!(granted(shop.verifier.verify(&asked).await), Err(Code::PayeeNotAccepted));
    assert_eq!(granted(shop.show(1, 1, 5).await), Err(Code::Internal));
}

#[tokio::test]
async fn beyond_its_cap_a_payer_waits_for_finality_and_is_never_refused() {
    let mut operator = operator();
    let mut shop = Shop::open(&operator).await;
    let quotes: Vec<_> = (1..=3).map(|request| shop.quote(request, 60, false)).collect();
    let payments: Vec<_> =
        (1..=3).map(|number| paid(number, 7, 60, &quotes[usize::from(number) - 1])).collect();
    shop.mine(&payments[0..=0]).await;
    assert_eq!(granted(shop.show(1, 1, 60).await), Ok(true));
    // The cap is set afterwards, and counts what was granted before.
    operator.chain.exposure = vec![ExposureCap { asset: Asset::Native, most: units(100) }];
    shop.restart(&operator).await;
    shop.mine(&payments[1..=1]).await;
    let refused = shop.show(2, 2, 60).await.unwrap();
    let Verdict::Pending { code: Code::ExposureExceeded, detail, .. } = &refused else {
        panic!("{refused:?}")
    };
    assert!(
        detail.contains("60 base units were granted") && detail.contains("1 of 3 confirmations"),
        "{detail}"
    );
    assert_eq!(granted(shop.show(1, 1, 60).await), Ok(false), "what was granted is answered");
    // Somebody who waits is granted as soon as the first payment is final.
    let patient = VerifyRequest { wait_ms: 20_000, ..proof(2, 2, 60) };
    let (verdict, ()) = tokio::join!(shop.verifier.verify(&patient), shop.mine(&payments[2..=2]));
    assert_eq!(granted(verdict), Ok(true));
    assert_eq!(granted(shop.show(3, 3, 60).await), Err(Code::ExposureExceeded));
    shop.mine(&[]).await;
    assert_eq!(granted(shop.show(3, 3, 60).await), Ok(true));
    shop.verifier.tend().await.unwrap();
}

/// A payer of two payments, the first of which was granted on and then lost.
async fn after_a_loss(operator: &Operator) -> Shop {
    let shop = Shop::open(operator).await;
    let (one, two) = (shop.quote(1, 5, false), shop.quote(2, 5, false));
    shop.mine(&[]).await;
    shop.mine(&[paid(1, 7, 5, &one)]).await;
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
    shop.replace(&[paid(2, 7, 5, &two), paid(3, 8, 5, &two)]).await;
    assert_eq!(shop.verifier.status().await.unwrap().open_incidents, 1);
    shop
}

#[tokio::test]
async fn a_payer_whose_granted_payment_was_lost_pays_by_finality_until_that_is_settled() {
    let mut operator = operator();
    let mut shop = after_a_loss(&operator).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Err(Code::PayerHasLoss));
    shop.restart(&operator).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Err(Code::PayerHasLoss), "a restart forgets nothing");
    assert_eq!(granted(shop.show(3, 2, 5).await), Ok(true), "others are not concerned");
    shop.mine(&[]).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Err(Code::PayerHasLoss));

    operator.chain.after_loss = AfterLoss::Refuse;
    shop.restart(&operator).await;
    shop.mine(&[]).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Err(Code::PayerRefused), "not even when it is final");
    operator.chain.after_loss = AfterLoss::RequireFinal;
    shop.restart(&operator).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Ok(true));
}

#[tokio::test]
async fn an_operator_may_settle_a_loss_or_ignore_it() {
    let mut operator = operator();
    operator.chain.after_loss = AfterLoss::Refuse;
    let shop = after_a_loss(&operator).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Err(Code::PayerRefused));
    let incident = shop.verifier.incidents(true, 1).await.unwrap().incidents.remove(0);
    assert_eq!(incident.payer, Some(Address::repeat_byte(7)));
    // Somebody who waits is granted when it is settled.
    let patient = VerifyRequest { wait_ms: 20_000, ..proof(2, 2, 5) };
    let settle = async { shop.store.settle_incident(incident.id, "paid by hand".into()).await.unwrap() };
    let (verdict, settled) = tokio::join!(shop.verifier.verify(&patient), settle);
    assert_eq!((granted(verdict), settled), (Ok(true), true));
    let incident = shop.verifier.incidents(false, 1).await.unwrap().incidents.remove(0);
    assert_eq!(incident.settled.as_deref(), Some("paid by hand"));

    operator.chain.after_loss = AfterLoss::Ignore;
    let shop = after_a_loss(&operator).await;
    assert_eq!(granted(shop.show(2, 2, 5).await), Ok(true));
}

#[tokio::test]
async fn payments_of_an_account_are_limited_and_stay_good() {
    let mut operator = operator();
    operator.accounts =
        AccountLimits { rate: Some(Rate { per_minute: 600, burst: 2 }), cool_down: Duration::ZERO };
    let shop = Shop::open(&operator).await;
    let quotes: Vec<_> = (1..=4).map(|request| shop.quote(request, 5, false)).collect();
    let payments: Vec<_> = (1..=4)
        .map(|number| paid(number, if number == 4 { 8 } else { 7 }, 5, &quotes[usize::from(number) - 1]))
        .collect();
    shop.mine(&payments).await;
    // What is refused otherwise takes nothing from the limit.
    let deep = |number| {
        let mut asked = proof(number, number, 5);
        asked.requirement.confirmations = Some(2);
        asked
    };
    for _ in 0..5 {
        assert_eq!(granted(shop.verifier.verify(&deep(1)).await), Err(Code::AwaitingConfirmations));
    }
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
    assert_eq!(granted(shop.show(2, 2, 5).await), Ok(true));
    let problem = shop.show(3, 3, 5).await.unwrap_err();
    assert_eq!((problem.code, problem.status), (Code::AccountLimited, 429));
    assert!(problem.retry_after_ms.is_some_and(|wait| (1..=101).contains(&wait)), "{problem:?}");
    assert_eq!(
        granted(shop.show(1, 1, 5).await),
        Ok(false),
        "a retry of what was granted is always answered"
    );
    assert_eq!(granted(shop.show(4, 4, 5).await), Ok(true), "another account");
    tokio::time::sleep(Duration::from_millis(problem.retry_after_ms.unwrap())).await;
    assert_eq!(granted(shop.show(3, 3, 5).await), Ok(true));
}

#[tokio::test]
async fn between_two_payments_of_an_account_passes_the_cool_down() {
    let mut operator = operator();
    operator.accounts = AccountLimits { rate: None, cool_down: Duration::from_secs(3600) };
    let shop = Shop::open(&operator).await;
    let (one, two) = (shop.quote(1, 5, false), shop.quote(2, 5, false));
    shop.mine(&[paid(1, 7, 5, &one), paid(2, 7, 5, &two)]).await;
    // Copies of one proof are one payment: one is first, and none is refused.
    let copies = futures::future::join_all((0..20).map(|_| shop.show(1, 1, 5))).await;
    let firsts = copies.into_iter().filter(|copy| granted(copy.clone()).unwrap()).count();
    assert_eq!(firsts, 1);
    let problem = shop.show(2, 2, 5).await.unwrap_err();
    assert_eq!(problem.code, Code::CoolDown);
    assert!(problem.retry_after_ms.is_some_and(|wait| wait > 3_000_000), "{problem:?}");
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(false));
}

#[tokio::test]
async fn where_only_claims_are_given_again_none_is_made() {
    let shop = Shop::open(&operator()).await;
    shop.mine(&[paid(1, 7, 5, &shop.quote(1, 5, false))]).await;
    let again = VerifyRequest { again_only: true, wait_ms: 20_000, ..proof(1, 1, 5) };
    assert_eq!(granted(shop.verifier.verify(&again).await), Err(Code::AddressLimited));
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
    assert_eq!(granted(shop.verifier.verify(&again).await), Ok(false));
}

#[tokio::test]
async fn a_key_is_replaced_and_what_was_quoted_before_is_still_accepted() {
    let mut shop = Shop::open(&operator()).await;
    let (bare, secret) = (shop.quote(1, 5, false), shop.quote(2, 5, true));
    let rotated = Operator { keys: QuoteKeys::new(key(2), vec![key(1)]), ..operator() };
    shop.restart(&rotated).await;
    shop.mine(&[paid(1, 7, 5, &bare), paid(2, 7, 5, &secret)]).await;
    assert_eq!(granted(shop.show(1, 1, 5).await), Ok(true));
    let presented = VerifyRequest { quote_id: Some(secret.quote_id.clone()), ..proof(2, 2, 5) };
    assert_eq!(granted(shop.verifier.verify(&presented).await), Ok(true));
    let new = shop.quote(1, 5, false);
    assert_ne!(new.quote_id, bare.quote_id);
    assert!(
        key(2).open(&new.quote_id).is_ok() && key(1).open(&new.quote_id).is_err(),
        "new quotes use the new key"
    );
    let forgotten = Operator { keys: key(2).into(), ..operator() };
    shop.restart(&forgotten).await;
    assert_eq!(granted(shop.verifier.verify(&presented).await), Err(Code::QuoteForged));
}

#[tokio::test]
async fn a_price_that_changed_after_the_quote_spoils_no_bare_payment() {
    let mut shop = Shop::open(&operator()).await;
    let quotes: Vec<_> = (1..=3).map(|request| shop.quote(request, 100, false)).collect();
    shop.mine(&[paid(1, 7, 100, &quotes[0]), paid(2, 7, 100, &quotes[1]), paid(3, 7, 99, &quotes[2])]).await;
    shop.restart(&operator()).await;
    assert_eq!(granted(shop.show(1, 1, 150).await), Ok(true), "the price was raised");
    assert_eq!(granted(shop.show(2, 2, 50).await), Ok(true), "the price was lowered");
    assert_eq!(granted(shop.show(1, 1, 7).await), Ok(false), "and again: the retry is an answer");
    assert_eq!(granted(shop.show(3, 3, 150).await), Err(Code::InsufficientPayment), "less than was quoted");
    assert_eq!(
        granted(shop.show(3, 3, 99).await),
        Err(Code::ReferenceMismatch),
        "nor by luck of today's price"
    );
}

#[tokio::test]
async fn one_payment_for_several_requests_grants_each_once_and_no_more() {
    let mut shop = Shop::open(&operator()).await;
    let quote = shop.quote(1, 5, true);
    shop.mine(&[paid(1, 7, 5, &quote)]).await;
    let use_of = |request: u8| {
        let usage = Usage { request_digest: RequestDigest(B256::repeat_byte(request)), most: 2 };
        VerifyRequest { quote_id: Some(quote.quote_id.clone()), usage: Some(usage), ..proof(1, 1, 5) }
    };
    let bare = VerifyRequest { quote_id: None, ..use_of(10) };
    assert_eq!(
        granted(shop.verifier.verify(&bare).await),
        Err(Code::QuoteRequired),
        "a hash can be read off the chain"
    );
    assert_eq!(granted(shop.verifier.verify(&use_of(10)).await), Ok(true));
    assert_eq!(granted(shop.verifier.verify(&use_of(11)).await), Ok(true));
    shop.restart(&operator()).await;
    assert_eq!(granted(shop.verifier.verify(&use_of(12)).await), Err(Code::UsesExhausted));
    assert_eq!(granted(shop.verifier.verify(&use_of(11)).await), Ok(false));
}

/// A receipt of a transaction that paid nothing.
fn receipt(number: u64, branch: u8, success: bool) -> Receipt {
    Receipt {
        transaction: B256::repeat_byte(1),
        block_number: number,
        block_hash: B256::from(U256::from(number * 256 + u64::from(branch))),
        success,
        from: Address::ZERO,
        to: None,
        logs: Vec::new(),
    }
}

#[tokio::test]
async fn a_receipt_that_shows_no_payment_is_a_refusal_only_once_it_is_deep() {
    for (success, code) in [(false, Code::TransactionReverted), (true, Code::NoPayment)] {
        let mut operator = operator();
        operator.chain.confirmations = 2;
        let shop = Shop::open(&operator).await;
        shop.mine(&[]).await;
        *shop.told.receipt.lock().unwrap() = Some(receipt(1, 1, success));
        let verdict = shop.show(1, 1, 5).await.unwrap();
        let Verdict::Pending { code: Code::AwaitingConfirmations, detail, .. } = &verdict else {
            panic!("{verdict:?}");
        };
        assert!(detail.contains("with 2 confirmations and has 1"), "{detail}");
        shop.mine(&[]).await;
        // A hash that was looked up rests a while.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(granted(shop.show(1, 1, 5).await), Err(code));
    }
}

#[tokio::test]
async fn a_receipt_of_another_fork_than_the_index_is_on_shows_nothing() {
    let shop = Shop::open(&operator()).await;
    for _ in 0..5 {
        shop.mine(&[]).await;
    }
    *shop.told.receipt.lock().unwrap() = Some(receipt(2, 2, false));
    assert_eq!(granted(shop.show(1, 1, 5).await), Err(Code::PaymentNotSeen));
    // Nor where the whole node is on that fork.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for header in shop.told.headers.lock().unwrap().iter_mut() {
        header.hash = B256::from(U256::from(header.number * 256 + 2));
    }
    assert_eq!(granted(shop.show(1, 1, 5).await), Err(Code::PaymentNotSeen));
}
