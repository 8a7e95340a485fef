//! Signed payments of x402 at a paywall over a real verifier and store: what a facilitator says, and what becomes of the payment.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::shop::{CHAIN, Operator, PAYEE, Shop, operator, units};
use async_trait::async_trait;
use axum::body::Bytes;
use salt402_paywall::{
    Decision, FacilitatorClient, Order, Paywall, Presented, SettleFault, Settlement, SignedMethod,
    SignedPayment, SignedWay, Sold,
};
use salt402_protocol::details::Names;
use salt402_protocol::x402::required::{Offered, SignedHeader, to_header};
use salt402_protocol::{Address, Asset, B256, Code, Payment, PaymentId, Problem, RequestDigest, SignedNonce};
use serde_json::json;
use tokio::sync::Notify;

const TOKEN: Address = Address::repeat_byte(0xc1);
const PAYER: Address = Address::repeat_byte(0x07);

/// A facilitator that says what it was told to say, in turn.
#[derive(Default)]
struct Scripted {
    verdicts: Mutex<VecDeque<Result<(), SettleFault>>>,
    settlements: Mutex<VecDeque<Result<Settlement, SettleFault>>>,
    /// The keys with which it was asked to settle.
    keys: Mutex<Vec<String>>,
    /// Where there is one, it settles only after that.
    go: Mutex<Option<Arc<Notify>>>,
}

#[async_trait]
impl FacilitatorClient for Scripted {
    async fn verify(&self, _question: &Bytes) -> Result<(), SettleFault> {
        self.verdicts.lock().unwrap().pop_front().expect("nothing is to be verified")
    }

    async fn settle(&self, _question: &Bytes, key: &str) -> Result<Settlement, SettleFault> {
        self.keys.lock().unwrap().push(key.to_owned());
        let go = self.go.lock().unwrap().take();
        if let Some(go) = go {
            go.notified().await;
        }
        self.settlements.lock().unwrap().pop_front().expect("nothing is to be settled")
    }
}

/// A paywall in front of one request.
struct Stand {
    shop: Shop,
    facilitator: Arc<Scripted>,
    paywall: Paywall,
}

impl Stand {
    async fn open() -> Self {
        let shop = Shop::open(&following()).await;
        shop.mine(&[]).await;
        let facilitator = Arc::new(Scripted::default());
        let way = SignedWay {
            facilitator: facilitator.clone(),
            token: TOKEN,
            method: SignedMethod::Eip3009,
            domain_name: "Wrapped SALT".into(),
            domain_version: "1".into(),
            timeout_s: 300,
            upto: None,
            most_open: None,
            public_url: None,
            names: names(),
            facilitator_url: None,
        };
        let paywall = Paywall::new(shop.verifier.clone(), CHAIN, PAYEE, "shop");
        let paywall = Paywall { keeps_answers: true, needs_quote: false, signed: Some(way), ..paywall };
        Self { shop, facilitator, paywall }
    }

    fn says(&self, verdicts: &[Result<(), SettleFault>], settlements: &[Result<Settlement, SettleFault>]) {
        self.facilitator.verdicts.lock().unwrap().extend(verdicts.iter().cloned());
        self.facilitator.settlements.lock().unwrap().extend(settlements.iter().cloned());
    }

    /// What a 402 asks for.
    async fn offered(&self) -> Offered {
        match self.paywall.decide(&order(), &presented(None)).await.unwrap() {
            Decision::Unpaid(offer) => offer.signed.unwrap().ways.remove(0),
            Decision::Granted(_) => panic!("nothing was paid"),
        }
    }

    async fn show(&self, signed: &str) -> Result<Decision, Problem> {
        let decided = self.paywall.decide(&order(), &presented(Some(signed))).await;
        assert!(self.facilitator.verdicts.lock().unwrap().is_empty(), "not all was verified");
        assert!(self.facilitator.settlements.lock().unwrap().is_empty(), "not all was settled");
        decided
    }

    /// The payment of a number moves the money, in a block.
    async fn moves(&self, number: u8) {
        let payment = Payment {
            id: id(number),
            chain: CHAIN,
            contract: TOKEN,
            transaction: B256::repeat_byte(number),
            reference: B256::repeat_byte(number),
            payer: PAYER,
            payee: PAYEE,
            asset: Asset::Token(TOKEN),
            amount: units(5),
        };
        self.shop.mine(&[payment]).await;
    }
}

fn names() -> Names {
    Names { network: "citrate".into(), symbol: "Wrapped SALT".into(), decimals: 18 }
}

fn following() -> Operator {
    let mut operator = operator();
    operator.chain.other_contracts = vec![TOKEN];
    operator
}

fn order() -> Order {
    Order {
        method: "POST".into(),
        path: "/".into(),
        sold: Sold::one(RequestDigest(B256::repeat_byte(1))),
        before: None,
        amount: units(5),
        by_use: false,
        description: String::new(),
        credit: None,
    }
}

fn presented(signed: Option<&str>) -> Presented {
    Presented {
        proof: None,
        quote: None,
        secret: false,
        too_soon: None,
        client: None,
        signed: signed.map(|signed| Arc::new(SignedPayment::X402(SignedHeader::read(signed).unwrap()))),
        receipt: None,
        base: None,
        as_it_goes: false,
        at_least: None,
    }
}

fn id(number: u8) -> PaymentId {
    let nonce = B256::repeat_byte(number);
    SignedNonce::Eip3009 { token: TOKEN, authorizer: PAYER, nonce }.payment_id(CHAIN)
}

/// What the payer signs for an offer, with the nonce of a number.
fn sign(offered: &Offered, number: u8) -> String {
    let authorization = json!({
        "from": PAYER, "to": PAYEE, "value": offered.amount, "validAfter": "0", "validBefore": "9999999999",
        "nonce": B256::repeat_byte(number),
    });
    let payload = json!({ "signature": format!("0x{}", "11".repeat(65)), "authorization": authorization });
    to_header(&json!({ "x402Version": 2, "accepted": offered, "payload": payload })).unwrap()
}

fn refused(reason: &str) -> SettleFault {
    SettleFault::refused(reason.into(), String::new())
}

fn code(decided: Result<Decision, Problem>) -> Code {
    match decided {
        Ok(Decision::Unpaid(offer)) => offer.problem.code,
        Ok(Decision::Granted(_)) => panic!("it was granted"),
        Err(problem) => problem.code,
    }
}

fn granted(decided: Result<Decision, Problem>) -> (PaymentId, bool) {
    match decided.unwrap() {
        Decision::Granted(granted) => (granted.payment.payment_id, granted.claim.first),
        Decision::Unpaid(offer) => panic!("{:?}", offer.problem),
    }
}

#[tokio::test]
async fn what_was_kept_is_served_after_the_operator_has_changed_what_is_asked_for() {
    let mut stand = Stand::open().await;
    let signed = sign(&stand.offered().await, 1);
    stand.says(&[Ok(())], &[Ok(Settlement::Pending)]);
    assert_eq!(code(stand.show(&signed).await), Code::SettlementPending);
    let way = stand.paywall.signed.as_mut().unwrap();
    (way.timeout_s, way.domain_name) = (60, "Wrapped SALT (new)".into());
    stand.moves(1).await;
    stand.says(&[], &[Ok(Settlement::Done)]);
    assert_eq!(granted(stand.show(&signed).await), (id(1), true));
    assert_eq!(granted(stand.show(&signed).await), (id(1), false));
}

#[tokio::test]
async fn t5_what_moved_no_money_here_and_was_settled_by_somebody_else_since_is_served() {
    let stand = Stand::open().await;
    let signed = sign(&stand.offered().await, 1);
    stand.says(&[Ok(())], &[Err(refused("invalid_exact_evm_transaction_failed"))]);
    assert_eq!(code(stand.show(&signed).await), Code::SignatureRefused);
    // Whoever saw the transaction that failed has the signature too.
    stand.moves(1).await;
    let used = refused("invalid_exact_evm_nonce_already_used");
    stand.says(&[Err(used.clone())], &[Ok(Settlement::Done)]);
    assert_eq!(granted(stand.show(&signed).await), (id(1), true));
    let keys = stand.facilitator.keys.lock().unwrap().clone();
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");

    // Where the facilitator has told somebody else, it pays for nothing here.
    let signed = {
        let stand = Stand::open().await;
        let signed = sign(&stand.offered().await, 2);
        stand.says(&[Ok(())], &[Err(refused("invalid_exact_evm_transaction_failed"))]);
        assert_eq!(code(stand.show(&signed).await), Code::SignatureRefused);
        stand.moves(2).await;
        stand.says(&[Err(used.clone())], &[Err(used.clone())]);
        assert_eq!(code(stand.show(&signed).await), Code::SignatureUsed);
        signed
    };
    // And what was never kept here, and was used, is not even asked to be settled.
    let other = Stand::open().await;
    other.says(&[Err(used)], &[]);
    assert_eq!(code(other.show(&signed).await), Code::SignatureUsed);
}

#[tokio::test]
async fn what_is_being_settled_for_somebody_else_leads_nobody_to_sign_again() {
    let stand = Stand::open().await;
    let signed = sign(&stand.offered().await, 1);
    stand.says(&[Err(refused("settlement_pending"))], &[]);
    let problem = stand.show(&signed).await.expect_err("no 402");
    assert_eq!(problem.code, Code::SignatureUsed);
}

/// Most facilitators say once that the money moved, and clients leave after a while.
#[tokio::test]
async fn a_settlement_whose_client_left_while_it_was_made_is_written_down() {
    let stand = Stand::open().await;
    let signed = sign(&stand.offered().await, 1);
    let go = Arc::new(Notify::new());
    *stand.facilitator.go.lock().unwrap() = Some(go.clone());
    stand.says(&[Ok(())], &[Ok(Settlement::Done)]);
    {
        let shown = presented(Some(&signed));
        let asked = order();
        let mut leaving = Box::pin(stand.paywall.decide(&asked, &shown));
        while stand.facilitator.keys.lock().unwrap().is_empty() {
            assert!(futures::poll!(leaving.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
    }
    stand.moves(1).await;
    go.notify_one();
    while stand.shop.store.settled_reservation(id(1)).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    // Nobody has to be asked for it any more.
    assert_eq!(granted(stand.show(&signed).await), (id(1), true));
}

#[tokio::test]
async fn whoever_shows_what_only_the_payer_has_is_told_from_those_who_read_the_chain() {
    let bare = |decided: Result<Decision, Problem>| match decided.unwrap() {
        Decision::Granted(granted) => granted.bare,
        Decision::Unpaid(offer) => panic!("{:?}", offer.problem),
    };
    let stand = Stand::open().await;
    let offered = stand.offered().await;
    stand.says(&[Ok(())], &[Ok(Settlement::Pending)]);
    assert_eq!(code(stand.show(&sign(&offered, 1)).await), Code::SettlementPending);
    stand.moves(1).await;
    stand.says(&[], &[Ok(Settlement::Done)]);
    assert!(bare(stand.show(&sign(&offered, 1)).await), "everybody who asks gets this quote id");
    // Another signature of its payer, which is on no chain and is not settled.
    stand.says(&[Ok(())], &[]);
    assert!(!bare(stand.show(&sign(&offered, 2)).await));
    // A quote id that nobody else is given.
    let mut stand = Stand::open().await;
    stand.paywall.needs_quote = true;
    let signed = sign(&stand.offered().await, 1);
    stand.says(&[Ok(())], &[Ok(Settlement::Pending)]);
    assert_eq!(code(stand.show(&signed).await), Code::SettlementPending);
    stand.moves(1).await;
    stand.says(&[], &[Ok(Settlement::Done)]);
    assert!(!bare(stand.show(&signed).await) && !bare(stand.show(&signed).await));
    let mut without = stand.offered().await;
    without.extra.quote_id = None;
    assert_eq!(code(stand.show(&sign(&without, 2)).await), Code::SignatureRefused);
}

/// Some clients lose a body that is a stream, and send the paid request without it.
#[tokio::test]
async fn a_signature_for_another_request_is_refused_also_after_its_quote_has_ended() {
    let stand = Stand::open().await;
    let mut offered = stand.offered().await;
    offered.extra.quote_id = Some(stand.shop.given(&following(), 100_000));
    let signed = sign(&offered, 1);
    let other = Order { sold: Sold::one(RequestDigest(B256::repeat_byte(2))), ..order() };
    stand.says(&[Ok(())], &[]);
    let refused = stand.paywall.decide(&other, &presented(Some(&signed))).await;
    assert_eq!(code(refused), Code::QuoteMismatch);
    // For its own it pays at the price of the moment.
    stand.says(&[Ok(())], &[Ok(Settlement::Pending)]);
    assert_eq!(code(stand.show(&signed).await), Code::SettlementPending);
}

#[tokio::test]
async fn copies_that_come_at_once_are_all_answered_whoever_was_told() {
    let stand = Stand::open().await;
    let signed = sign(&stand.offered().await, 1);
    let presented = presented(Some(&signed));
    let order = order();
    let copy = || stand.paywall.decide(&order, &presented);
    stand.says(&[Ok(())], &[Ok(Settlement::Pending)]);
    assert_eq!(code(copy().await), Code::SettlementPending);
    stand.moves(1).await;

    // The facilitator tells one copy, while another that looked before waits to ask.
    let go = Arc::new(Notify::new());
    *stand.facilitator.go.lock().unwrap() = Some(Arc::clone(&go));
    stand.says(&[], &[Ok(Settlement::Done), Err(SettleFault::Used)]);
    let told = async {
        while stand.facilitator.keys.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        let told = copy().await;
        go.notify_one();
        told
    };
    let (waited, told) = tokio::join!(copy(), told);
    assert_eq!(granted(told), (id(1), true));
    assert_eq!(granted(waited), (id(1), false));

    // One that was settled by a server elsewhere stays refused.
    let signed = sign(&stand.offered().await, 2);
    stand.says(&[Err(SettleFault::Used)], &[]);
    assert_eq!(code(stand.show(&signed).await), Code::SignatureUsed);
}
