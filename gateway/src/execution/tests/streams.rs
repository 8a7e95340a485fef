//! Streams: who gets what, and what is left where somebody or something stops.

use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::*;
use crate::execution::reader::Reader;
use crate::execution::recording::AHEAD;
use crate::execution::spool::BLOCK;

/// A run that writes what it is sent, and ends with what it is told last.
struct Script {
    pieces: mpsc::Sender<Bytes>,
    end: oneshot::Sender<Result<Bytes, Failed>>,
}

type Run = std::pin::Pin<Box<dyn Future<Output = Result<Bytes, Failed>> + Send>>;

fn scripted() -> (Script, impl FnOnce(Recorder) -> Run) {
    let (pieces, mut sent) = mpsc::channel::<Bytes>(1);
    let (end, ended) = oneshot::channel();
    let run = move |recorder: Recorder| -> Run {
        Box::pin(async move {
            while let Some(piece) = sent.recv().await {
                recorder.head(Head::events);
                recorder.write(piece).await.map_err(|error| Failed::ran(error.to_string()))?;
            }
            ended.await.unwrap()
        })
    };
    (Script { pieces, end }, run)
}

impl Script {
    async fn write(&self, text: &str) {
        self.pieces.send(Bytes::copy_from_slice(text.as_bytes())).await.unwrap();
    }

    fn end(self, last: Result<&'static str, Failed>) {
        drop(self.pieces);
        let last = last.map(|text| Bytes::from_static(text.as_bytes()));
        assert!(self.end.send(last).is_ok());
    }
}

/// A run of these pieces, the last of which is the last of the stream.
fn pieces(all: &[&'static str]) -> impl FnOnce(Recorder) -> Run + use<> {
    let all: Vec<_> = all.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
    move |recorder: Recorder| -> Run {
        Box::pin(async move {
            let (last, before) = all.split_last().unwrap();
            for piece in before {
                recorder.head(Head::events);
                recorder.write(piece.clone()).await.unwrap();
            }
            Ok(last.clone())
        })
    }
}

fn never(_: Recorder) -> Run {
    Box::pin(async { panic!("run again") })
}

fn reader(given: Result<Given, Problem>) -> Reader {
    match given.unwrap() {
        Given::Stream(head, reader) => {
            assert_eq!(head, Head::events());
            reader
        }
        other => panic!("whole: {other:?}"),
    }
}

/// The bytes up to the end, and how it broke off if it did.
async fn rest(reader: &mut Reader) -> (Vec<u8>, Option<Code>) {
    let mut all = Vec::new();
    while let Some(piece) = reader.next().await {
        match piece {
            Ok(piece) => {
                assert!(piece.len() <= BLOCK);
                all.extend_from_slice(&piece);
            }
            Err(problem) => {
                assert!(reader.next().await.is_none());
                return (all, Some(problem.code));
            }
        }
    }
    (all, None)
}

async fn next(reader: &mut Reader) -> String {
    String::from_utf8(reader.next().await.unwrap().unwrap().to_vec()).unwrap()
}

async fn kept(executions: &Executions) -> Option<String> {
    match executions.store.outcome(PAYMENT).await.unwrap()? {
        StoredOutcome::Kept { outcome, .. } => {
            assert_eq!(outcome.headers[0].1, Head::events().content_type);
            Some(String::from_utf8(outcome.body).unwrap())
        }
        StoredOutcome::Evicted => Some("evicted".into()),
    }
}

#[tokio::test]
async fn pieces_are_given_as_they_come_and_the_last_one_once_the_outcome_is_on_disk() {
    let (executions, _folder) = executions().await;
    let (script, run) = scripted();
    let stream = tokio::spawn({
        let executions = executions.clone();
        async move { executions.stream(purchase(true), run).await }
    });
    script.write("one,").await;
    let mut first = reader(stream.await.unwrap());
    assert_eq!(next(&mut first).await, "one,");
    script.write("two,").await;
    assert_eq!(next(&mut first).await, "two,");
    // Whoever comes in between reads the same run from its start.
    let mut second = reader(executions.stream(purchase(false), never).await);
    assert_eq!(next(&mut second).await, "one,two,");
    assert_eq!(kept(&executions).await, None);
    script.end(Ok("done"));
    assert_eq!(next(&mut first).await, "done");
    assert_eq!(kept(&executions).await.as_deref(), Some("one,two,done"), "before the last piece was given");
    assert!(first.next().await.is_none());
    assert_eq!(rest(&mut second).await, (b"done".to_vec(), None));
    executions.finish().await;
    // And whoever comes later gets the same bytes.
    let later = executions.stream(purchase(false), never).await.unwrap().whole().unwrap();
    assert_eq!((later.head, &later.body[..]), (Head::events(), &b"one,two,done"[..]));
    assert_eq!(executions.store.unserved(PAYMENT).await.unwrap(), None);
}

#[tokio::test]
async fn a_failure_before_the_first_byte_is_told_by_the_status_and_one_after_it_in_the_stream() {
    let (executions, _folder) = executions().await;
    for (attempt, class, runs) in [(0, FailureClass::NotRun, 0), (1, FailureClass::Ran, 1)] {
        let fail = move |_: Recorder| -> Run {
            Box::pin(async move { Err(Failed { class, detail: "no".into(), after: None }) })
        };
        let told = executions.stream(purchase(attempt == 0), fail).await.unwrap_err();
        assert_eq!(told.code, Code::UpstreamFailed);
        assert_eq!(without_pause(&executions).await.runs, runs);
    }
    let (script, run) = scripted();
    let stream = tokio::spawn({
        let executions = executions.clone();
        async move { executions.stream(purchase(false), run).await }
    });
    script.write("half").await;
    let mut broken = reader(stream.await.unwrap());
    script.end(Err(Failed::ran("broke off")));
    assert_eq!(rest(&mut broken).await, (b"half".to_vec(), Some(Code::UpstreamFailed)));
    executions.finish().await;
    assert_eq!(kept(&executions).await, None);
    assert_eq!(without_pause(&executions).await.runs, 2);
    // The same payment has it run again, from the start.
    let mut again = reader(executions.stream(purchase(false), pieces(&["whole,", "done"])).await);
    assert_eq!(rest(&mut again).await, (b"whole,done".to_vec(), None));
    assert_eq!(executions.store.unserved(PAYMENT).await.unwrap(), None);
}

#[tokio::test]
async fn a_stream_is_the_same_bytes_wherever_it_is_cut_and_whenever_its_readers_come() {
    let text = "data: {\"a\":\"é\"}\n\ndata: [DONE]\n\n";
    for cut in 0..=text.len() {
        let (executions, _folder) = executions().await;
        let (front, back) = text.as_bytes().split_at(cut);
        let (script, run) = scripted();
        let stream = tokio::spawn({
            let executions = executions.clone();
            async move { executions.stream(purchase(true), run).await }
        });
        script.pieces.send(Bytes::copy_from_slice(front)).await.unwrap();
        let mut early = reader(stream.await.unwrap());
        let mut second = reader(executions.stream(purchase(false), never).await);
        drop(script.pieces);
        script.end.send(Ok(Bytes::copy_from_slice(back))).unwrap();
        assert_eq!(rest(&mut early).await, (text.as_bytes().to_vec(), None), "{cut}");
        executions.finish().await;
        assert_eq!(rest(&mut second).await, (text.as_bytes().to_vec(), None), "{cut}");
        assert_eq!(kept(&executions).await.as_deref(), Some(text), "{cut}");
    }
}

/// A run that writes so many bytes in pieces of so many, and counts those it has written.
fn long(bytes: u64, piece: usize, written: Arc<AtomicU32>) -> impl FnOnce(Recorder) -> Run {
    move |recorder: Recorder| -> Run {
        Box::pin(async move {
            recorder.head(Head::events);
            let mut done = 0;
            while done < bytes {
                let next: Vec<u8> = (0..piece.min((bytes - done) as usize) as u64)
                    .map(|index| numbered(done + index))
                    .collect();
                done += next.len() as u64;
                recorder.write(next.into()).await.unwrap();
                written.store(done as u32, Ordering::SeqCst);
            }
            Ok(Bytes::from_static(b"!"))
        })
    }
}

fn numbered(index: u64) -> u8 {
    (index / BLOCK as u64 * 31 + index) as u8
}

fn is_numbered(bytes: &[u8], from: u64) -> bool {
    bytes.iter().zip(from..).all(|(byte, index)| *byte == numbered(index))
}

/// Waits until a number has not changed for a while.
async fn settled(written: &AtomicU32) -> u64 {
    loop {
        let before = written.load(Ordering::SeqCst);
        sleep(Duration::from_millis(60)).await;
        if written.load(Ordering::SeqCst) == before {
            return before.into();
        }
    }
}

/// A reader that takes a byte now and then holds no place at a model server.
#[tokio::test(start_paused = true)]
async fn readers_that_are_too_slow_are_waited_for_no_more_and_get_all_of_it() {
    const ALL: u64 = LARGEST - 1;
    let (executions, _folder) = executions_with(LONGEST, 1024).await;
    let written = Arc::new(AtomicU32::new(0));
    let mut slow = reader(executions.stream(purchase(true), long(ALL, BLOCK, Arc::clone(&written))).await);
    // As much as it must take lets the run wait for it.
    let first = slow.next().await.unwrap().unwrap();
    let is_running = || executions.running.lock().unwrap().contains_key(&PAYMENT);
    sleep(Duration::from_secs(9 + first.len() as u64 / 1024)).await;
    assert!(is_running());
    while is_running() {
        sleep(Duration::from_secs(1)).await;
    }
    let (rest, end) = rest(&mut slow).await;
    assert_eq!((first.len() + rest.len(), end), (ALL as usize + 1, None));
    assert!(is_numbered(&rest[..rest.len() - 1], first.len() as u64));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_takes_too_long_after_it_has_begun_ends_and_is_run_again() {
    let short = Duration::from_secs(5);
    // The payer of the second one can leave with what is not charged soon after that.
    for (longest, within) in [(short, None), (LONGEST, Some(short))] {
        let (executions, _folder) = executions_with(longest, 0).await;
        let (script, run) = scripted();
        let streamed = executions.stream(purchase(true).within(within), run);
        let written = async {
            // It has not begun.
            sleep(Duration::from_secs(60)).await;
            script.write("one").await;
            script
        };
        let (given, script) = tokio::join!(streamed, written);
        let mut given = reader(given);
        assert_eq!(given.next().await.unwrap().unwrap(), "one");
        let told = given.next().await.unwrap().unwrap_err();
        assert!(
            told.code == Code::UpstreamFailed && told.detail.contains("longer than 5 s"),
            "{}",
            told.detail
        );
        assert!(script.pieces.is_closed(), "it is stopped");
        without_pause(&executions).await;
        assert_eq!(
            rest(&mut reader(executions.stream(purchase(false), pieces(&["a", "b"])).await)).await.0,
            b"ab"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_a_bounded_number_of_bytes_ahead_of_its_fastest_reader_and_waits_for_no_slower_one() {
    const ALL: u64 = LARGEST - 1;
    for piece in [100, 7000, BLOCK, 3 * BLOCK + 1] {
        let (executions, _folder) = executions().await;
        let written = Arc::new(AtomicU32::new(0));
        let mut fast =
            reader(executions.stream(purchase(true), long(ALL, piece, Arc::clone(&written))).await);
        let mut slow = reader(executions.stream(purchase(false), never).await);
        let recording = Arc::clone(executions.running.lock().unwrap().get(&PAYMENT).unwrap());
        settled(&written).await;
        let mut read = 0;
        assert!(recording.length(b"") <= AHEAD && recording.length(b"") + BLOCK as u64 >= AHEAD, "{piece}");
        while read < ALL / 2 {
            let bytes = fast.next().await.unwrap().unwrap();
            assert!(is_numbered(&bytes, read));
            read += bytes.len() as u64;
            assert!(recording.length(b"") <= read + AHEAD);
        }
        // The slow one goes on where it is.
        let bytes = slow.next().await.unwrap().unwrap();
        assert!(is_numbered(&bytes, 0));
        // When the fast one leaves, the slow one is the fastest.
        drop(fast);
        settled(&written).await;
        assert!(recording.length(b"") <= read + AHEAD + BLOCK as u64);
        let (rest, end) = rest(&mut slow).await;
        assert_eq!((bytes.len() + rest.len(), end), (ALL as usize + 1, None), "{piece}");
        assert!(is_numbered(&rest[..rest.len() - 1], bytes.len() as u64));
        executions.finish().await;
        let again = body(executions.stream(purchase(false), never).await);
        assert!(again.len() as u64 == ALL + 1 && is_numbered(&again[..ALL as usize], 0), "{piece}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_is_stopped_after_a_while_and_its_payment_may_run_it_again() {
    let (executions, _folder) = executions().await;
    let (script, run) = scripted();
    let stream = tokio::spawn({
        let executions = executions.clone();
        async move { executions.stream(purchase(true), run).await }
    });
    script.write("one,").await;
    let first = reader(stream.await.unwrap());
    drop(first);
    sleep(GRACE - Duration::from_secs(1)).await;
    // Whoever comes back in time finds it running.
    let mut back = reader(executions.stream(purchase(false), never).await);
    assert_eq!(next(&mut back).await, "one,");
    sleep(2 * GRACE).await;
    script.write("two,").await;
    assert_eq!(next(&mut back).await, "two,");
    let left = tokio::time::Instant::now();
    drop(back);
    script.pieces.closed().await;
    assert_eq!(left.elapsed(), GRACE, "its connection to the model server is closed");
    executions.finish().await;
    assert!(executions.running.lock().unwrap().is_empty());
    let known = without_pause(&executions).await;
    assert_eq!((known.runs, known.ended), (1, false));
    assert!(known.detail.contains("the payer left"));
    let mut again = reader(executions.stream(purchase(false), pieces(&["whole,", "done"])).await);
    assert_eq!(rest(&mut again).await, (b"whole,done".to_vec(), None));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_before_the_first_byte_stops_the_run_too_and_leaving_has_a_limit() {
    let (executions, _folder) = executions().await;
    for attempt in 1..=3u64 {
        let (script, run) = scripted();
        let asked = executions.stream(purchase(attempt == 1), run);
        assert!(timeout(Duration::from_secs(1), asked).await.is_err());
        script.pieces.closed().await;
        while !executions.running.lock().unwrap().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        let known = without_pause(&executions).await;
        assert_eq!((known.runs, known.ended), (attempt, attempt == 3));
    }
    let told = executions.stream(purchase(false), never).await.unwrap_err();
    assert_eq!(told.code, Code::NotServed);
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_is_run_to_its_end_whoever_leaves() {
    let (executions, _folder) = executions().await;
    let slow = || async {
        sleep(10 * GRACE).await;
        whole("slow")
    };
    assert!(timeout(Duration::from_secs(1), executions.outcome(purchase(true), slow)).await.is_err());
    executions.finish().await;
    assert_eq!(body(executions.outcome(purchase(false), || async { panic!("run again") }).await), "slow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_too_long_to_be_kept_is_given_once_and_takes_no_more_room() {
    const ALL: u64 = 4 * LARGEST;
    let (executions, _folder) = executions().await;
    let written = Arc::new(AtomicU32::new(0));
    let mut first = reader(executions.stream(purchase(true), long(ALL, 5000, written)).await);
    let mut slow = reader(executions.stream(purchase(false), never).await);
    let mut read = 0;
    while read <= LARGEST {
        read += first.next().await.unwrap().unwrap().len() as u64;
    }
    // It has no start any more.
    let told = executions.stream(purchase(false), never).await.unwrap_err();
    assert_eq!(told.code, Code::OutcomeGone);
    let (bytes, end) = rest(&mut first).await;
    assert_eq!((read + bytes.len() as u64, end), (ALL + 1, None));
    assert!(is_numbered(&bytes[..bytes.len() - 1], read));
    // Who was too slow is told so, and gets nothing wrong.
    let (bytes, end) = rest(&mut slow).await;
    assert!(is_numbered(&bytes, 0) && (bytes.len() as u64) < ALL);
    assert_eq!(end, Some(Code::OutcomeGone));
    executions.finish().await;
    assert_eq!(kept(&executions).await.as_deref(), Some("evicted"));
    let told = executions.stream(purchase(false), never).await.unwrap_err();
    assert_eq!(told.code, Code::OutcomeGone, "it is not run again");
}

#[tokio::test]
async fn a_run_that_panics_in_mid_stream_breaks_it_off_and_counts() {
    let (executions, _folder) = executions().await;
    let run = |recorder: Recorder| -> Run {
        Box::pin(async move {
            recorder.head(Head::events);
            recorder.write(Bytes::from_static(b"half")).await.unwrap();
            tokio::task::yield_now().await;
            panic!("a bug");
        })
    };
    let given = executions.stream(purchase(true), run).await;
    match given {
        Ok(Given::Stream(_, mut broken)) => {
            assert_eq!(rest(&mut broken).await, (b"half".to_vec(), Some(Code::Internal)));
        }
        Ok(other) => panic!("{other:?}"),
        // It panicked before anybody looked.
        Err(problem) => assert_eq!(problem.code, Code::Internal),
    }
    executions.finish().await;
    let mut again = reader(executions.stream(purchase(false), pieces(&["whole,", "done"])).await);
    assert_eq!(executions.store.unserved(PAYMENT).await.unwrap().unwrap().runs, 2);
    assert_eq!(rest(&mut again).await, (b"whole,done".to_vec(), None));
}

#[tokio::test]
async fn what_a_killed_process_left_of_a_stream_is_run_again_until_the_outcome_is_on_disk() {
    let (executions, _folder) = executions().await;
    // Killed in mid-stream: what was begun counts, and nothing is kept.
    for runs in 2..=3 {
        let (script, run) = scripted();
        let stream = tokio::spawn({
            let executions = executions.clone();
            async move { executions.stream(purchase(false), run).await }
        });
        script.write("half").await;
        let mut reader = reader(stream.await.unwrap());
        assert_eq!(next(&mut reader).await, "half");
        assert_eq!(executions.store.unserved(PAYMENT).await.unwrap().unwrap().runs, runs);
        assert_eq!(kept(&executions).await, None);
        // As in a new process, which knows of no run. The old one's never ends.
        executions.running.lock().unwrap().clear();
        std::mem::forget((script, reader));
    }
    // Killed between the last piece and the commit: as above, since nobody has the last piece. Killed after it: kept.
    let other = PaymentId(B256::repeat_byte(7));
    let mut bought = purchase(true);
    bought.payment.payment_id = other;
    let mut read = reader(executions.stream(bought.clone(), pieces(&["whole,", "done"])).await);
    assert_eq!(rest(&mut read).await.0, b"whole,done");
    executions.running.lock().unwrap().clear();
    let again = body(executions.stream(bought, never).await);
    assert_eq!(again, "whole,done");
}
