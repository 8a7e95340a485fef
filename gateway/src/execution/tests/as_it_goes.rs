//! Streams that are paid as they go: what a voucher allows is given, whoever noted it first, and slow readers hold no place.

use async_trait::async_trait;
use salt402_paywall::{Begun, Paywall, VerifierClient};
use salt402_protocol::api::{
    CaptureRequest, CaptureResponse, ClaimView, LeaseRequest, LeaseResponse, QuoteRequest, QuoteResponse,
    Reservation, ReservationOutcome, ReserveRequest, TabView, Verdict, VerifyRequest,
};
use salt402_protocol::{ChainId, RequestDigest, U256, Voucher};
use salt402_store::NewCharge;
use tokio::time::sleep;

use super::*;
use crate::meter::Meter;
use crate::tab::{NotGiven, Piece, Tab, Tabs};

fn units(amount: u64) -> Amount {
    Amount(U256::from(amount))
}

/// What a stream may cost at the most.
const MOST: u64 = 100;
/// What its first voucher allows.
const FIRST: u64 = 5;

/// A verifier that says how a channel stands.
#[derive(Clone)]
struct Verifier {
    allowed: u64,
    highest: u64,
}

fn none<T>() -> Result<T, Problem> {
    Err(Problem::new(Code::VerifierUnavailable, "it says how a channel stands"))
}

#[async_trait]
impl VerifierClient for Verifier {
    async fn quote(&self, _: &QuoteRequest) -> Result<QuoteResponse, Problem> {
        none()
    }

    async fn verify(&self, request: &VerifyRequest) -> Result<Verdict, Problem> {
        assert!(request.again_only, "no voucher is sent");
        let payment = PaymentView { amount: units(self.allowed), ..*purchase(false).payment };
        Ok(Verdict::Accepted { payment: Box::new(payment), claim: Some(claim(self.highest)) })
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

    async fn capture(&self, _: &CaptureRequest) -> Result<CaptureResponse, Problem> {
        none()
    }

    async fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}

fn view(highest: u64) -> TabView {
    TabView { most: units(MOST), highest: units(highest), ..TabView::default() }
}

fn claim(highest: u64) -> ClaimView {
    let tab = Some(Box::new(view(highest)));
    ClaimView { first: false, claimed_at_ms: 0, by_use: true, tab, exit_delay_s: None }
}

/// A stream that was begun by a voucher over 5, with which the highest ceiling was 9.
async fn begun(executions: &Executions, verifier: Verifier) -> Arc<Tab> {
    let charge = NewCharge {
        payment: PAYMENT,
        chain: ChainId::CITRATE,
        payer: Default::default(),
        request: B256::ZERO,
        ceiling: units(FIRST),
        question: None,
        most_open: None,
        most_open_requests: 1,
        ends_at_ms: u64::MAX / 4,
        too_late: false,
        now_ms: 1,
    };
    executions.store.begin_charge(charge).await.unwrap();
    let paywall = Paywall::new(verifier, ChainId::CITRATE, Default::default(), "shop");
    let voucher = Voucher { channel: B256::ZERO, ceiling: units(9), signature: [0; 65] };
    let request = RequestDigest(B256::ZERO);
    let begun = Begun { payment: PAYMENT, voucher, request, most: units(MOST) };
    let tabs = Tabs::new(executions.store.clone(), paywall, Duration::from_secs(60));
    tabs.open(begun, units(FIRST), view(9))
}

fn piece(bytes: &Bytes, cost: u64) -> Piece<'_> {
    Piece { bytes, headers: Head::events().headers(), cost: units(cost), keeps: true }
}

/// Whoever sends a voucher may leave between the verifier's answer and the row here.
#[tokio::test]
async fn what_a_voucher_allows_is_given_where_the_verifier_alone_knows_of_it() {
    let (executions, _folder) = executions().await;
    let tab = begun(&executions, Verifier { allowed: 10, highest: 14 }).await;
    let bytes = Bytes::from_static(b"data: a\n\n");
    tab.give(piece(&bytes, 8)).await.unwrap();
    assert_eq!((tab.standing().allowed, tab.charged()), (units(10), units(8)));
    assert!(executions.store.end_delivery(PAYMENT).await.unwrap());
    assert_eq!(executions.store.charge(PAYMENT).await.unwrap().unwrap().amount, Some(units(8)));
}

#[tokio::test]
async fn how_a_channel_stood_before_the_last_voucher_is_not_told() {
    let (executions, _folder) = executions().await;
    let tab = begun(&executions, Verifier { allowed: FIRST, highest: 7 }).await;
    let bytes = Bytes::from_static(b"data: a\n\n");
    let giving = tokio::spawn({
        let tab = Arc::clone(&tab);
        async move { tab.give(piece(&bytes, 8)).await }
    });
    while tab.standing().waiting.is_none() {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(tab.standing().channel.highest, units(9));
    giving.abort();
}

/// It would hold a place at the model server for as long as a stream may take.
#[tokio::test]
async fn a_stream_whose_reader_is_too_slow_ends_and_costs_what_was_given() {
    let (executions, _folder) = executions_with(LONGEST, 1024).await;
    let tab = begun(&executions, Verifier { allowed: FIRST, highest: 9 }).await;
    let meter = Arc::new(Meter::of_all(units(MOST)).on(Some(Arc::clone(&tab))));
    let run = move |recorder: Recorder| async move {
        recorder.head(Head::events);
        let bytes = Bytes::from_static(b"data: a\n\n");
        for cost in 1..=FIRST {
            match recorder.give(&tab, units(cost), &bytes).await {
                Ok(()) => recorder.write(bytes.clone()).await.unwrap(),
                Err(NotGiven::Stopped(problem)) => return Ok(problem.detail.into()),
                Err(NotGiven::Store(error)) => panic!("{error}"),
            }
        }
        Ok(Bytes::from_static(b"all of it"))
    };
    let given = executions.stream(purchase(true).charged(Some(meter)), run).await.unwrap();
    let Given::Stream(_, mut slow) = given else { panic!("whole") };
    assert_eq!(slow.next().await.unwrap().unwrap(), "data: a\n\n");
    // The second one was written, and waits to be read. Time stands still while nothing but time is waited for.
    let recording = Arc::clone(executions.running.lock().unwrap().get(&PAYMENT).unwrap());
    while recording.length(b"") < 18 {
        sleep(Duration::from_millis(1)).await;
    }
    tokio::time::pause();
    while executions.running.lock().unwrap().contains_key(&PAYMENT) {
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(slow.next().await.unwrap().unwrap(), "data: a\n\n");
    let told = slow.next().await.unwrap().unwrap();
    let told = std::str::from_utf8(&told).unwrap();
    assert!(told.contains("more slowly than 1024 bytes a second") && told.contains("2 base units"), "{told}");
    assert_eq!(executions.store.charge(PAYMENT).await.unwrap().unwrap().amount, Some(units(2)));
}
