//! Charges: what is under way is not given up, what comes too late is, and each is moved by one at a time.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use salt402_http::clock;
use salt402_paywall::{AnswerPrice, VerifierClient};
use salt402_protocol::api::{
    CaptureRequest, CaptureResponse, LeaseRequest, LeaseResponse, QuoteRequest, QuoteResponse, Reservation,
    ReservationOutcome, ReserveRequest, Verdict, VerifyRequest,
};
use salt402_protocol::{Asset, B256, ChainId, U256};
use salt402_store::Options;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::execution::{
    Answered, Delivered, Deliveries, ExecutionLimits, Executions, Given, Head, PassedHead, Purchase, Recorder,
};
use crate::meter::Meter;
use crate::upstream::admission::Admission;
use crate::upstream::payload::Payload;
use crate::upstream::transport::{Deadlines, Transport};

const PAYMENT: PaymentId = PaymentId(B256::repeat_byte(1));
const CEILING: Amount = Amount(U256::from_limbs([100, 0, 0, 0]));

/// A verifier that captures what it is asked to, once it may.
#[derive(Clone)]
struct Verifier {
    may: Arc<Semaphore>,
    captures: Arc<AtomicU32>,
}

fn none<T>() -> Result<T, Problem> {
    Err(Problem::new(Code::VerifierUnavailable, "it captures alone"))
}

#[async_trait]
impl VerifierClient for Verifier {
    async fn quote(&self, _: &QuoteRequest) -> Result<QuoteResponse, Problem> {
        none()
    }

    async fn verify(&self, _: &VerifyRequest) -> Result<Verdict, Problem> {
        none()
    }

    async fn lease(&self, _: &LeaseRequest) -> Result<LeaseResponse, Problem> {
        none()
    }

    async fn reserve(&self, _: &ReserveRequest) -> Result<Reservation, Problem> {
        none()
    }

    async fn conclude_reservation(&self, _: &ReservationOutcome) -> Result<(), Problem> {
        none()
    }

    async fn capture(&self, request: &CaptureRequest) -> Result<CaptureResponse, Problem> {
        self.may.acquire().await.unwrap().forget();
        self.captures.fetch_add(1, Ordering::SeqCst);
        Ok(CaptureResponse { amount: request.amount, settled: false })
    }

    async fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}

struct Stand {
    charging: Charging,
    deliveries: Deliveries,
    verifier: Verifier,
    store: Store,
    /// A second that stands still until another is set.
    start_s: u64,
    folder: tempfile::TempDir,
}

impl Stand {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(folder.path().join("outcomes.db"))).await.unwrap();
        let verifier = Verifier { may: Arc::new(Semaphore::new(0)), captures: Arc::default() };
        let mut paywall = Paywall::new(verifier.clone(), ChainId::CITRATE, Default::default(), "shop");
        paywall.wait = Duration::from_millis(50);
        let charged = Arc::<Notify>::default();
        let grace = Duration::from_secs(1);
        let start_s = clock::now_s();
        clock::set(Duration::from_secs(start_s));
        Self {
            charging: Charging::new(store.clone(), paywall, Arc::clone(&charged)),
            deliveries: Deliveries::new(store.clone(), 3, grace, charged),
            verifier,
            store,
            start_s,
            folder,
        }
    }

    /// So many seconds after the start.
    fn at(&self, seconds: u64) {
        clock::set(Duration::from_secs(self.start_s + seconds));
    }

    /// Reserves the ceiling, which is good for so many seconds after the start.
    async fn reserve(&self, good_for_s: u64) -> Result<May, Problem> {
        let authorized = Authorized {
            question: None,
            ends_at: Some(self.start_s + good_for_s),
            is_secret: true,
            kept_ms: 0,
        };
        self.charging.reserve(&payment(), RequestDigest(B256::ZERO), &authorized).await
    }

    /// The same, where it is run. Returns whether that is for the first time, and what counts it, by the byte.
    async fn run(&self, good_for_s: u64) -> (bool, Arc<Meter>) {
        let Ok(May::Run { first, hold }) = self.reserve(good_for_s).await else { panic!("it is not run") };
        let price = AnswerPrice { per_byte: Amount::ONE, ..AnswerPrice::default() };
        (first, Arc::new(Meter::of_answer(price, CEILING).holding(Some(hold))))
    }

    async fn stands(&self) -> (ChargeState, Option<u64>) {
        let charge = self.store.charge(PAYMENT).await.unwrap().unwrap();
        (charge.state, charge.amount.map(|amount| amount.0.to()))
    }
}

fn payment() -> PaymentView {
    PaymentView {
        payment_id: PAYMENT,
        chain: ChainId::CITRATE,
        transaction: B256::ZERO,
        contract: Default::default(),
        reference: B256::ZERO,
        payer: Default::default(),
        payee: Default::default(),
        asset: Asset::Native,
        amount: CEILING,
        block_number: 0,
        block_hash: B256::ZERO,
        block_timestamp: 0,
        confirmations: 0,
        canonical: false,
        claimed: false,
        refunded: None,
    }
}

/// An answer of which two bytes have come, and five are to come: these.
async fn answer(rest: &'static str) -> Answered {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{rest}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let transport = Transport::new(&url, Deadlines::default()).unwrap();
    let request = Request::get("/").body(Payload::Whole(Bytes::new())).unwrap();
    let rest = transport.send(request).await.unwrap().into_body();
    let head = PassedHead { status: StatusCode::OK, headers: HeaderMap::new() };
    let permit = Admission::new(1, 1).enter().await;
    Answered::Stream(head, Bytes::from_static(b"be"), rest, permit)
}

/// Whoever reads slowly until the authorization has ended gets nothing for nothing.
#[tokio::test]
async fn an_answer_that_is_still_passed_on_when_its_authorization_ends_is_charged() {
    for (leaves, charge) in [(false, 7), (true, 2)] {
        let stand = Stand::new().await;
        let (first, meter) = stand.run(31).await;
        let purchase = Purchase::new(Box::new(payment()), first, "an answer".into()).charged(Some(meter));
        let given = stand.deliveries.outcome(purchase, false, || async { Ok(answer("gun..").await) }).await;
        let Ok(Delivered::Once(_, body)) = given else { panic!("it is given once") };
        stand.at(1000);
        stand.charging.give_up().await;
        assert_eq!(stand.stands().await, (ChargeState::Running, None), "it is under way");
        // Whoever shows it again is not told that it was given up.
        assert!(matches!(stand.reserve(31).await, Ok(May::Run { first: false, .. })));
        if leaves {
            drop(body);
        } else {
            assert_eq!(body.collect().await.unwrap().to_bytes(), "begun..");
        }
        stand.deliveries.finish().await;
        assert_eq!(stand.stands().await, (ChargeState::Charged, Some(charge)));
        stand.charging.give_up().await;
        assert_eq!(stand.stands().await, (ChargeState::Charged, Some(charge)));
    }
}

/// What passes is charged while that can be settled, whether its client asks for more or not; and nothing passes after that.
#[tokio::test]
async fn an_answer_is_passed_on_no_longer_than_it_can_be_charged() {
    // By the end of the authorization, and by the time in which a payer can leave its channel.
    for (good_for_s, within_s) in [(40, None), (1000, Some(30))] {
        let stand = Stand::new().await;
        let (first, meter) = stand.run(good_for_s).await;
        let purchase = Purchase::new(Box::new(payment()), first, "an answer".into())
            .charged(Some(meter))
            .within(within_s.map(Duration::from_secs));
        let given = stand.deliveries.outcome(purchase, false, || async { Ok(answer("gun..").await) }).await;
        let Ok(Delivered::Once(_, mut body)) = given else { panic!("it is given once") };
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "be");
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(29)).await;
        tokio::time::resume();
        tokio::task::yield_now().await;
        assert_eq!(stand.stands().await, (ChargeState::Running, None));
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::time::resume();
        let give_up = std::time::Instant::now() + Duration::from_secs(20);
        while stand.stands().await.1.is_none() && std::time::Instant::now() < give_up {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(stand.stands().await, (ChargeState::Charged, Some(2)));
        assert!(body.frame().await.unwrap().is_err(), "nothing more is given");
        assert!(body.frame().await.is_none());
        drop(body);
        stand.deliveries.finish().await;
        assert_eq!(stand.stands().await, (ChargeState::Charged, Some(2)));
        assert!(stand.store.outcome(PAYMENT).await.unwrap().is_some(), "it was given, and is not run again");
    }
}

/// Who signs for a minute and reads for two would have it for nothing.
#[tokio::test]
async fn a_stream_ends_while_what_it_used_can_be_settled() {
    let stand = Stand::new().await;
    let (first, meter) = stand.run(40).await;
    let limits = ExecutionLimits {
        runs: 3,
        leave_grace: Duration::from_secs(1),
        longest: Duration::from_secs(3600),
        least_rate: 0,
        largest_kept: 1 << 20,
        folder: stand.folder.path().to_owned(),
    };
    let executions = Executions::new(stand.store.clone(), limits);
    meter.begin(&HeaderMap::new());
    meter.pass(b"seven..");
    let purchase = Purchase::new(Box::new(payment()), first, "a stream".into()).charged(Some(meter));
    let run = |recorder: Recorder| async move {
        recorder.head(Head::events);
        recorder.write(Bytes::from_static(b"seven..")).await.unwrap();
        std::future::pending().await
    };
    let Ok(Given::Stream(_, mut reader)) = executions.stream(purchase, run).await else {
        panic!("it is a stream")
    };
    assert_eq!(reader.next().await.unwrap().unwrap(), "seven..");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    let told = reader.next().await.unwrap().unwrap_err();
    assert!(told.detail.contains("had to be settled"), "{}", told.detail);
    assert_eq!(stand.stands().await, (ChargeState::Charged, Some(7)));
}

/// What cannot be settled any more is not given, and its payer owes nothing for it.
#[tokio::test]
async fn a_whole_answer_that_comes_too_late_to_be_settled_is_not_given_and_charges_nothing() {
    for (seconds, is_given) in [(89, true), (91, false), (1000, false)] {
        let stand = Stand::new().await;
        let (first, meter) = stand.run(100).await;
        let purchase = Purchase::new(Box::new(payment()), first, "an answer".into()).charged(Some(meter));
        stand.at(seconds);
        let head = PassedHead { status: StatusCode::OK, headers: HeaderMap::new() };
        let whole = || async { Ok(Answered::Whole(head, Bytes::from_static(b"answer"))) };
        let given = stand.deliveries.outcome(purchase, true, whole).await;
        assert_eq!(stand.stands().await, (ChargeState::Charged, Some(if is_given { 6 } else { 0 })));
        assert_eq!(stand.store.outcome(PAYMENT).await.unwrap().is_some(), is_given);
        match given {
            Ok(_) => assert!(is_given),
            Err(problem) => assert!(!is_given && problem.code == Code::SignatureUsed),
        }
    }
}

/// A service breaks off what nobody reads. Whoever brings that about would have most of it for nothing.
#[tokio::test]
async fn whoever_keeps_a_service_waiting_until_it_breaks_off_pays_for_what_has_passed() {
    for is_slow in [false, true] {
        let stand = Stand::new().await;
        let (first, meter) = stand.run(100).await;
        let purchase = Purchase::new(Box::new(payment()), first, "an answer".into()).charged(Some(meter));
        let given = stand.deliveries.outcome(purchase, false, || async { Ok(answer("gu").await) }).await;
        let Ok(Delivered::Once(_, mut body)) = given else { panic!("it is given once") };
        let mut passed = 0;
        while passed < 4 {
            passed += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
        }
        if is_slow {
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(6)).await;
            tokio::time::resume();
        }
        assert!(body.frame().await.unwrap().is_err());
        stand.deliveries.finish().await;
        if is_slow {
            assert_eq!(stand.stands().await, (ChargeState::Charged, Some(4)));
            assert!(stand.store.outcome(PAYMENT).await.unwrap().is_some(), "it was given");
        } else {
            assert_eq!(stand.stands().await, (ChargeState::Running, None), "it is run again");
            assert!(stand.store.outcome(PAYMENT).await.unwrap().is_none());
        }
    }
}

#[tokio::test]
async fn what_nobody_has_run_until_it_ends_is_given_up_and_what_comes_too_late_is_not_begun() {
    let stand = Stand::new().await;
    drop(stand.run(100).await);
    stand.at(100);
    stand.charging.give_up().await;
    assert_eq!(stand.stands().await, (ChargeState::Charged, Some(0)));
    assert_eq!(stand.reserve(100).await.err().unwrap().code, Code::SignatureRefused);

    // It is not run again so late that what it uses could not be settled.
    let stand = Stand::new().await;
    assert!(stand.run(100).await.0);
    stand.at(70);
    let (first, meter) = stand.run(100).await;
    assert!(!first);
    stand.at(71);
    assert!(!stand.run(100).await.0, "what runs goes on");
    drop(meter);
    let late = stand.reserve(100).await.err().unwrap();
    assert!(late.code == Code::SignatureRefused && late.detail.contains("Sign anew"), "{}", late.detail);
    assert_eq!(stand.stands().await, (ChargeState::Charged, Some(0)));

    // Nothing of one that was never begun is left either, so that its payer can sign another.
    let stand = Stand::new().await;
    assert_eq!(stand.reserve(29).await.err().unwrap().code, Code::SignatureRefused);
    assert_eq!(stand.stands().await, (ChargeState::Charged, Some(0)));
    assert_eq!(stand.reserve(29).await.err().unwrap().code, Code::SignatureRefused);
}

/// Whoever asks again and again while a settlement takes its time leaves nothing behind.
#[tokio::test]
async fn a_charge_is_moved_by_one_at_a_time_whoever_waits_for_it() {
    let stand = Stand::new().await;
    drop(stand.run(100).await);
    stand.store.put_charged_outcome_unkept(PAYMENT, Some(Amount::ONE)).await.unwrap();
    for _ in 0..3 {
        let asked = (0..50).map(|_| stand.charging.moved(PAYMENT));
        for moved in futures::future::join_all(asked).await {
            assert!(matches!(moved, Ok((Amount::ONE, Moved::Pending(_)))), "{moved:?}");
        }
        assert_eq!(stand.charging.tasks.len(), 1);
    }
    stand.verifier.may.add_permits(1);
    while !stand.charging.tasks.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(stand.verifier.captures.load(Ordering::SeqCst), 1);
    assert_eq!(stand.stands().await, (ChargeState::Settled, Some(1)));
    stand.verifier.may.add_permits(1);
    assert!(matches!(stand.charging.moved(PAYMENT).await, Ok((Amount::ONE, Moved::Done(None)))));
}
