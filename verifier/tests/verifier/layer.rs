//! The tower layer: a service that knows nothing of payments is paid, once for each request.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use axum::routing::post;
use axum::{Extension, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::stream::BoxStream;
use salt402_chain::{At, Header, Log, LogQuery, Node, NodeError, Profile, Receipt, Span, Transaction};
use salt402_indexer::{FollowerOptions, ReceiptLookup};
use salt402_paywall::{ForwardAuth, PaidLayer, Payer, Paywall, Rule, Tariff, forward_auth};
use salt402_protocol::details::{DETAILS_HEADER, PaymentDetails};
use salt402_protocol::{Address, Amount, Asset, B256, ChainId, Payment, PaymentId, QuoteKey, U256};
use salt402_store::{Batch, Block, Cursor, Options, PlacedPayment, Store};
use salt402_verifier::{
    AccountLimits, ChainPolicy, Freshness, IndexChanges, PaymentRules, Policy, Verifier, VerifierChain,
    VerifierOptions,
};
use tower::ServiceExt as _;

const CHAIN: ChainId = ChainId::CITRATE;
const CONTRACT: Address = Address::repeat_byte(0xc0);

/// A node that has nothing to say.
struct Silent(Profile);

#[async_trait]
impl Node for Silent {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        Ok(CHAIN.get())
    }
    async fn header(&self, _at: At) -> Result<Option<Header>, NodeError> {
        Ok(None)
    }
    async fn logs(&self, _query: &LogQuery, _span: Span) -> Result<Vec<Log>, NodeError> {
        Ok(Vec::new())
    }
    async fn receipt(&self, _transaction: B256) -> Result<Option<Receipt>, NodeError> {
        Ok(None)
    }
    async fn transaction(&self, _hash: B256) -> Result<Option<Transaction>, NodeError> {
        Ok(None)
    }
    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
        Ok(None)
    }
    fn profile(&self) -> &Profile {
        &self.0
    }
}

async fn paywall(store: &Store) -> Paywall {
    let profile = Profile::named("local").unwrap();
    let policy = ChainPolicy {
        chain: CHAIN,
        network: "local".into(),
        contract: CONTRACT,
        other_contracts: Vec::new(),
        channels: None,
        past_channels: Vec::new(),
        operators: Vec::new(),
        least_exit_delay: None,
        rules: PaymentRules::new(1, 9),
        symbol: "SALT".into(),
        decimals: 18,
        block_time: Duration::from_secs(1),
        steady_blocks: false,
        stale_after: Duration::from_secs(10),
    };
    let options = FollowerOptions { chain: CHAIN, sources: Vec::new() };
    let lookup = ReceiptLookup::new(Arc::new(Silent(profile)), store.clone(), options);
    let verifier = Verifier::new(VerifierOptions {
        changes: IndexChanges::of_this_process(store),
        store: store.clone(),
        keys: QuoteKey::new(&[1; 32]).unwrap().into(),
        accounts: AccountLimits::default(),
        policy: Policy::default(),
        chains: vec![VerifierChain {
            policy,
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
    Paywall {
        verifier: Arc::new(verifier),
        chain: CHAIN,
        payee: Address::repeat_byte(0xaa),
        asset: Asset::Native,
        token_names: None,
        wait: Duration::ZERO,
        claimant: "layer".into(),
        instance: None,
        keeps_answers: false,
        needs_quote: true,
        signed: None,
        dialects: salt402_paywall::Dialects::default(),
    }
}

/// Puts a payment into the index, as a follower would.
async fn pay(store: &Store, details: &PaymentDetails, transaction: u8) {
    let transaction = B256::repeat_byte(transaction);
    let (hash, now) = (B256::repeat_byte(1), details.expires_at - 360);
    let cursor = Cursor { number: 1, hash };
    let payment = Payment {
        id: PaymentId(transaction),
        chain: CHAIN,
        contract: CONTRACT,
        transaction,
        reference: details.reference,
        payer: Address::repeat_byte(0xbb),
        payee: details.recipient,
        asset: details.asset,
        amount: details.amount,
    };
    let placed =
        PlacedPayment { payment, position: 0, block_number: 1, block_hash: hash, block_timestamp: now };
    let state = store.chain_state(CHAIN).await.unwrap().unwrap();
    let block = Block { number: 1, hash, parent_hash: B256::ZERO, timestamp: now };
    let batch = Batch {
        chain: CHAIN,
        expected: state.cursor,
        keep_through: None,
        blocks: if state.cursor.is_none() { vec![block] } else { Vec::new() },
        payments: vec![placed],
        cursor,
        head: Some(1),
        extras: Default::default(),
        undecoded: Vec::new(),
        prune_below: None,
    };
    store.apply(batch).await.unwrap();
}

async fn ask(
    app: &Router,
    body: &'static str,
    proof: Option<u8>,
    quote: Option<&PaymentDetails>,
) -> (StatusCode, Response<Body>) {
    let mut request = Request::post("/ask?x=1");
    if let Some(proof) = proof {
        request = request.header("x-payment-proof", B256::repeat_byte(proof).to_string());
    }
    if let Some(details) = quote {
        request = request.header("x-payment-quote", details.quote_id.as_str());
    }
    let response = app.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    (response.status(), response)
}

fn details(response: &Response<Body>) -> PaymentDetails {
    PaymentDetails::from_header(response.headers()[DETAILS_HEADER].to_str().unwrap()).unwrap()
}

/// A service that answers with what it was sent and who paid, behind the layer at five units, and how often it was asked.
async fn app(store: &Store) -> (Router, Arc<AtomicU32>) {
    store.pin_chain(CHAIN, B256::ZERO).await.unwrap();
    store.note_head(CHAIN, 0).await.unwrap();
    let served = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&served);
    let handler = move |Extension(Payer(payment)): Extension<Payer>, body: String| async move {
        count.fetch_add(1, Ordering::SeqCst);
        let own = [("cache-control", "public, max-age=600"), ("vary", "Accept-Encoding")];
        (own, format!("{body} from {}", payment.payer))
    };
    let rule = Rule {
        path: "/ask".into(),
        methods: vec!["POST".into()],
        by_answer: None,
        amount: Amount(U256::from(5)),
        description: "a question".into(),
        uses: 1,
    };
    let tariff = Tariff { rules: vec![rule], others_pass: false };
    let layer = PaidLayer::new(paywall(store).await, tariff).body_limit(64);
    (Router::new().route("/ask", post(handler)).layer(layer), served)
}

async fn code(response: Response<Body>) -> String {
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    serde_json::from_slice::<serde_json::Value>(&body).unwrap()["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn whoever_reads_a_hash_off_the_chain_is_not_served_for_it_behind_the_layer() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(folder.path().join("layer.db"))).await.unwrap();
    let (app, served) = app(&store).await;
    let payers = details(&ask(&app, "hello", None, None).await.1);
    let strangers = details(&ask(&app, "hello", None, None).await.1);
    assert_ne!(payers.reference, strangers.reference, "the same request, and another's quote");
    pay(&store, &payers, 7).await;

    let (status, bare) = ask(&app, "hello", Some(7), None).await;
    assert_eq!(status, StatusCode::PAYMENT_REQUIRED);
    assert!(!bare.headers().contains_key(DETAILS_HEADER), "its payer is not led to pay again");
    assert_eq!(code(bare).await, "quote_required");
    let (_, own) = ask(&app, "hello", Some(7), Some(&strangers)).await;
    // No node shows the receipt, which may hold the stranger's payment too.
    assert!(!own.headers().contains_key(DETAILS_HEADER));
    assert_eq!(code(own).await, "payment_not_seen");
    assert_eq!(served.load(Ordering::SeqCst), 0);
    assert_eq!(ask(&app, "hello", Some(7), Some(&payers)).await.0, StatusCode::OK);
    assert_eq!(code(ask(&app, "hello", Some(7), None).await.1).await, "quote_required");
    assert_eq!(served.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_service_behind_the_layer_is_paid_once_for_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(folder.path().join("layer.db"))).await.unwrap();
    let (app, served) = app(&store).await;

    let (status, unpaid) = ask(&app, "hello", None, None).await;
    assert_eq!(status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(unpaid.headers()["cache-control"], "no-store, private");
    let varies = |response: &Response<Body>| {
        let values =
            response.headers().get_all("vary").iter().map(|value| value.to_str().unwrap().to_owned());
        values.collect::<Vec<_>>()
    };
    assert_eq!(varies(&unpaid), [salt402_http::PAYMENT_HEADERS]);
    assert!(!unpaid.headers().contains_key("server-timing"));
    let quote = details(&unpaid);
    pay(&store, &quote, 7).await;
    // Another body is another request, and is no reason to pay for this one again.
    let (status, other) = ask(&app, "other", Some(7), Some(&quote)).await;
    assert_eq!((status, other.headers().contains_key(DETAILS_HEADER)), (StatusCode::CONFLICT, false));
    assert_eq!(code(other).await, "quote_not_honoured");
    let (status, answer) = ask(&app, "hello", Some(7), Some(&quote)).await;
    assert_eq!(status, StatusCode::OK);
    // Whatever the service thinks of caches.
    assert_eq!(answer.headers()["cache-control"], "no-store, private");
    assert_eq!(varies(&answer), ["Accept-Encoding", salt402_http::PAYMENT_HEADERS]);
    assert!(answer.headers()["server-timing"].to_str().unwrap().starts_with("payment;"));
    let text = axum::body::to_bytes(answer.into_body(), 1000).await.unwrap();
    assert!(text.starts_with(b"hello from 0xbBbB"), "{text:?}");
    assert_eq!(ask(&app, "hello", Some(7), Some(&quote)).await.0, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(served.load(Ordering::SeqCst), 1);

    let long: &'static str = Box::leak("x".repeat(65).into_boxed_str());
    assert_eq!(ask(&app, long, None, None).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let other = Request::get("/ask").body(Body::empty()).unwrap();
    assert_eq!(app.clone().oneshot(other).await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(served.load(Ordering::SeqCst), 1);
}

/// What a client of MPP sends once it has sent a transaction for a challenge.
fn credential(details: &PaymentDetails, transaction: u8) -> String {
    let credential = serde_json::json!({
        "challenge": { "id": details.quote_id, "realm": "r", "method": "salt402", "intent": "charge", "request": "e30" },
        "payload": { "type": "hash", "hash": B256::repeat_byte(transaction) },
    });
    format!("Payment {}", URL_SAFE_NO_PAD.encode(credential.to_string()))
}

#[tokio::test]
async fn a_client_that_pays_by_itself_is_not_led_to_pay_twice_by_forward_auth() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(folder.path().join("layer.db"))).await.unwrap();
    store.pin_chain(CHAIN, B256::ZERO).await.unwrap();
    store.note_head(CHAIN, 0).await.unwrap();
    let tariff = Tariff::new([Rule::new("/ask", Amount(U256::from(5)), "a question")]);
    let auth = Arc::new(ForwardAuth { paywall: paywall(&store).await, tariff, again_within: Duration::ZERO });
    let ask = async |shown: &[(&str, String)]| {
        let mut request = Request::get("/v1/forward-auth");
        for (name, value) in [("x-forwarded-method", "POST"), ("x-forwarded-uri", "/ask")] {
            request = request.header(name, value);
        }
        for (name, value) in shown {
            request = request.header(*name, value);
        }
        forward_auth::handle(State(Arc::clone(&auth)), request.body(Body::empty()).unwrap()).await
    };
    let quote = details(&ask(&[]).await);
    let shown = [("authorization", credential(&quote, 7))];
    let early = ask(&shown).await;
    assert_eq!(early.status(), StatusCode::TOO_EARLY, "nobody is led to pay again while a block is awaited");
    pay(&store, &quote, 7).await;
    assert_eq!(ask(&shown).await.status(), StatusCode::OK);
    let again = ask(&shown).await;
    assert_eq!(again.status(), StatusCode::FORBIDDEN);
    assert!(
        !again.headers().contains_key(DETAILS_HEADER) && !again.headers().contains_key("www-authenticate")
    );
    assert_eq!(code(again).await, "signature_used");
    // Whoever reads what is asked is told how to pay for another request.
    let hash = B256::repeat_byte(7).to_string();
    let again =
        ask(&[("x-payment-proof", hash), ("x-payment-quote", quote.quote_id.as_str().to_owned())]).await;
    assert_eq!(again.status(), StatusCode::PAYMENT_REQUIRED);
    assert!(again.headers().contains_key(DETAILS_HEADER));
}
