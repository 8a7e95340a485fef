//! Runs whose answers are passed on.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;
use crate::execution::{Answered, Delivered, Deliveries, PassedHead};
use crate::upstream::admission::Admission;
use crate::upstream::frames::Frames;
use crate::upstream::payload::Payload;
use crate::upstream::transport::{Deadlines, Transport};

async fn deliveries() -> (Deliveries, Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(folder.path().join("outcomes.db"))).await.unwrap();
    (Deliveries::new(store.clone(), 3, GRACE, Default::default()), store, folder)
}

fn head() -> PassedHead {
    let headers = [(header::ETAG, HeaderValue::from_static("\"1\""))];
    PassedHead { status: StatusCode::CREATED, headers: HeaderMap::from_iter(headers) }
}

/// What an upstream answers, in bytes after its head, before it closes the connection.
async fn upstream(body: &'static str) -> Frames {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
    });
    let transport = Transport::new(&url, Deadlines::default()).unwrap();
    let request = axum::http::Request::get("/").body(Payload::Whole(Bytes::new())).unwrap();
    transport.send(request).await.unwrap().into_body()
}

async fn passing(begun: &'static str, rest: &'static str) -> Result<Answered, Failed> {
    let permit = Admission::new(1, 1).enter().await;
    Ok(Answered::Stream(head(), Bytes::from_static(begun.as_bytes()), upstream(rest).await, permit))
}

fn again() -> std::future::Ready<Result<Answered, Failed>> {
    panic!("run again")
}

async fn once(given: Result<Delivered, Problem>) -> Result<Bytes, axum::Error> {
    match given.unwrap() {
        Delivered::Once(_, body) => body.collect().await.map(|all| all.to_bytes()),
        Delivered::Kept(..) => panic!("it is kept"),
    }
}

fn code(given: Result<Delivered, Problem>) -> Code {
    given.err().unwrap().code
}

#[tokio::test]
async fn an_answer_that_is_passed_on_is_given_once_and_that_is_on_disk_before() {
    let (deliveries, store, _folder) = deliveries().await;
    let given = deliveries.outcome(purchase(true), false, || passing("be", "gun..")).await;
    assert_eq!(
        store.outcome(PAYMENT).await.unwrap(),
        Some(StoredOutcome::Evicted),
        "before any of it is read"
    );
    assert_eq!(once(given).await.unwrap(), "begun..");
    assert_eq!(code(deliveries.outcome(purchase(false), false, again).await), Code::OutcomeGone);
}

#[tokio::test]
async fn a_whole_answer_is_kept_with_its_head() {
    let (deliveries, _store, _folder) = deliveries().await;
    let whole = || async { Ok(Answered::Whole(head(), Bytes::from_static(b"all"))) };
    for run in [true, false] {
        let given = if run {
            deliveries.outcome(purchase(true), true, whole).await
        } else {
            deliveries.outcome(purchase(false), true, again).await
        };
        let Delivered::Kept(PassedHead { status, headers }, body) = given.unwrap() else { panic!("once") };
        assert_eq!(
            (status, headers, body),
            (StatusCode::CREATED, head().headers, Bytes::from_static(b"all"))
        );
    }
}

#[tokio::test]
async fn an_answer_that_broke_off_was_not_given_and_counts_as_a_run() {
    let (deliveries, store, _folder) = deliveries().await;
    for runs in 1..=3 {
        let given = deliveries.outcome(purchase(runs == 1), false, || passing("", "half")).await;
        assert!(once(given).await.is_err());
        assert_eq!(
            store.outcome(PAYMENT).await.unwrap(),
            None,
            "it is taken back before the payer sees the end"
        );
        let known = store.unserved(PAYMENT).await.unwrap().unwrap();
        assert_eq!((known.runs, known.ended), (runs, runs == 3));
        store.put_unserved(Unserved { not_before_ms: 0, ..known }).await.unwrap();
    }
    assert_eq!(code(deliveries.outcome(purchase(false), false, again).await), Code::NotServed);
}

#[tokio::test]
async fn copies_at_once_are_one_run_and_the_first_has_the_answer() {
    let (deliveries, _store, _folder) = deliveries().await;
    let (begun, go) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let copies: Vec<_> = (0..20)
        .map(|_| {
            let (deliveries, begun, go) = (deliveries.clone(), begun.clone(), go.clone());
            tokio::spawn(async move {
                let run = || async move {
                    begun.fetch_add(1, Ordering::SeqCst);
                    go.notified().await;
                    passing("", "hello").await
                };
                match deliveries.outcome(purchase(true), false, run).await {
                    Ok(given) => once(Ok(given)).await.map(|body| body == "hello").ok(),
                    Err(problem) => (problem.code == Code::OutcomeGone).then_some(false),
                }
            })
        })
        .collect();
    while begun.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    go.notify_one();
    let mut given = 0;
    for copy in copies {
        given += u32::from(copy.await.unwrap().expect("the answer, or that it is given"));
    }
    assert_eq!((given, begun.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_waits_for_is_dropped_after_a_while_and_one_that_is_kept_is_not() {
    let (deliveries, store, _folder) = deliveries().await;
    let never = deliveries.outcome(purchase(true), false, std::future::pending);
    assert!(tokio::time::timeout(Duration::from_secs(1), never).await.is_err());
    // Whoever is back in time waits for the same run.
    tokio::time::sleep(GRACE / 2).await;
    let back = deliveries.outcome(purchase(false), false, again);
    assert!(tokio::time::timeout(GRACE * 2, back).await.is_err());
    tokio::time::sleep(GRACE * 2).await;
    deliveries.finish().await;
    let known = store.unserved(PAYMENT).await.unwrap().unwrap();
    assert_eq!((known.runs, known.ended), (1, false));
    assert!(known.detail.contains("left before the answer began"), "{}", known.detail);

    let other = || {
        let mut other = purchase(true);
        other.payment.payment_id = PaymentId(B256::repeat_byte(9));
        other
    };
    let slow = || async {
        tokio::time::sleep(GRACE * 3).await;
        Ok(Answered::Whole(head(), Bytes::from_static(b"late")))
    };
    let left = deliveries.outcome(other(), true, slow);
    assert!(tokio::time::timeout(Duration::from_secs(1), left).await.is_err());
    tokio::time::sleep(GRACE * 4).await;
    assert!(
        matches!(deliveries.outcome(other(), true, again).await, Ok(Delivered::Kept(_, body)) if body == "late")
    );
}

#[tokio::test]
async fn an_answer_that_nobody_takes_was_not_given() {
    let (deliveries, store, _folder) = deliveries().await;
    let go = Arc::new(Notify::new());
    let waits = {
        let go = go.clone();
        || async move {
            go.notified().await;
            passing("", "hello").await
        }
    };
    let mut left = Box::pin(deliveries.outcome(purchase(true), false, waits));
    assert!(futures::poll!(left.as_mut()).is_pending());
    go.notify_one();
    // It is noted as given while its payer waits, who then leaves without it.
    while store.outcome(PAYMENT).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    drop(left);
    deliveries.finish().await;
    assert_eq!(store.outcome(PAYMENT).await.unwrap(), None);
    let known = store.unserved(PAYMENT).await.unwrap().unwrap();
    assert!(known.detail.contains("before the answer reached it"), "{}", known.detail);
}

/// What is on disk is taken back a moment after its payer has left.
#[tokio::test]
async fn whoever_is_back_the_moment_an_answer_was_left_is_not_told_that_it_was_given() {
    for _ in 0..20 {
        let (deliveries, store, _folder) = deliveries().await;
        let go = Arc::new(Notify::new());
        let waits = {
            let go = go.clone();
            || async move {
                go.notified().await;
                passing("", "hello").await
            }
        };
        let mut left = Box::pin(deliveries.outcome(purchase(true), false, waits));
        assert!(futures::poll!(left.as_mut()).is_pending());
        go.notify_one();
        while store.outcome(PAYMENT).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        // The run has ended, and its answer is offered.
        tokio::task::yield_now().await;
        drop(left);
        tokio::task::yield_now().await;
        let back = deliveries.outcome(purchase(false), false, || passing("", "again")).await;
        match back {
            Ok(given) => drop(once(Ok(given)).await.unwrap()),
            Err(problem) => assert_eq!(problem.code, Code::UpstreamFailed, "{}", problem.detail),
        }
    }
}
