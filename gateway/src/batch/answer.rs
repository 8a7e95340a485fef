//! What a payer is answered: in the place of each request its answer, or its error.
//!
//! Answers are read from the store one after another while they are sent, so that a batch takes no more memory than its longest
//! answer.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use salt402_http::clock::now_ms;
use salt402_http::problem_response;
use salt402_paywall::after_signature;
use salt402_protocol::{Amount, Code, Problem};
use salt402_store::{Store, StoredOutcome};
use serde_json::{Value, json};

use crate::batch::parts::{Part, gone, unread};
use crate::execution::Several;

/// The answer to a batch. Its status is 200 if nothing is left to be run and something was answered.
pub(super) fn answer(store: &Store, parts: Vec<Part>) -> Several {
    count(&parts);
    let kept_at_ms = parts.iter().filter_map(|part| part.kept.as_ref().ok()).max().copied();
    let served = parts.iter().filter(|part| part.kept.is_ok()).fold(Amount::ZERO, |sum, part| {
        // They are parts of one amount.
        Amount(sum.0.saturating_add(part.worth.0))
    });
    let problem = problem(&parts);
    let (mut response, begun) = match &problem {
        None => (Response::new(Body::empty()), "{\"results\":[".to_owned()),
        Some(problem) => (problem_response(problem), begun(problem)),
    };
    let (parts, store) = (parts.into_iter().enumerate(), store.clone());
    let results = stream::iter(parts).then(move |(place, part)| {
        let store = store.clone();
        async move {
            let result = result(&store, part).await;
            if place == 0 { result } else { [&b","[..], &result].concat().into() }
        }
    });
    let whole = stream::once(async { Bytes::from(begun) })
        .chain(results)
        .chain(stream::once(async { Bytes::from_static(b"]}") }));
    *response.body_mut() = Body::from_stream(whole.map(Ok::<_, std::convert::Infallible>));
    if problem.is_none() {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Several { response, kept_at_ms: kept_at_ms.unwrap_or_else(now_ms), served }
}

/// What the whole answer says if something is to be run yet, or nothing is served.
fn problem(parts: &[Part]) -> Option<Problem> {
    let count = parts.len();
    let failed: Vec<_> = parts.iter().filter_map(|part| part.kept.as_ref().err()).collect();
    let later: Vec<_> = failed.iter().filter(|problem| !is_for_good(problem)).collect();
    if let Some(first) = later.first() {
        let again = later.iter().filter_map(|problem| problem.retry_after_ms).min();
        let detail = format!(
            "{} of {count} requests are not answered yet: {}; what is answered stands in `results`, and the same proof runs the \
             others alone",
            later.len(),
            first.detail
        );
        // Some clients sign anew after a 500 and others.
        return Some(after_signature(Problem::new(first.code, detail).retry_after(again.unwrap_or(1000))));
    }
    let first = failed.first().filter(|_| failed.len() == count)?;
    let detail = format!("none of {count} requests is answered: {}", first.detail);
    Some(after_signature(Problem::new(first.code, detail)))
}

/// Whether the same proof changes nothing.
fn is_for_good(problem: &Problem) -> bool {
    matches!(problem.code, Code::NotServed | Code::OutcomeGone)
}

/// A problem document up to its results.
fn begun(problem: &Problem) -> String {
    let mut document = serde_json::to_value(problem).unwrap_or_default();
    if let Value::Object(members) = &mut document {
        members.remove("results");
    }
    let text = document.to_string();
    format!("{},\"results\":[", text.strip_suffix('}').unwrap_or("{\"code\":\"internal\""))
}

/// What stands in the place of a request.
async fn result(store: &Store, part: Part) -> Bytes {
    let Part { id, worth, kept } = part;
    let problem = match kept {
        Ok(_) => match store.outcome(id).await {
            Ok(Some(StoredOutcome::Kept { outcome, .. })) => return outcome.body.into(),
            Ok(Some(StoredOutcome::Evicted) | None) => gone(),
            Err(error) => unread(&error),
        },
        Err(problem) => problem,
    };
    let mut result = json!({ "error": problem });
    if problem.code == Code::NotServed {
        result["owed"] = json!(worth);
    }
    result.to_string().into()
}

fn count(parts: &[Part]) {
    metrics::counter!("salt402_gateway_batches_total").increment(1);
    for part in parts {
        let outcome = match &part.kept {
            Ok(_) => "answered",
            Err(problem) if is_for_good(problem) => "not_served",
            Err(_) => "later",
        };
        metrics::counter!("salt402_gateway_batch_requests_total", "outcome" => outcome).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use salt402_protocol::{Amount, B256, PaymentId};
    use salt402_store::{Options, Outcome};

    use super::*;

    const PAYMENT: PaymentId = PaymentId(B256::repeat_byte(1));

    fn part(place: u32, kept: Result<u64, Problem>) -> Part {
        Part { id: PAYMENT.part(place), worth: Amount::ONE, kept }
    }

    async fn told(kept: [Result<u64, Problem>; 3]) -> (u16, Option<String>, Value) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(folder.path().join("outcomes.db"))).await.unwrap();
        for place in 0..3 {
            let body = json!({ "output": place }).to_string().into_bytes();
            let outcome = Outcome { status: 200, headers: Vec::new(), body };
            store.put_outcome(PAYMENT.part(place), outcome).await.unwrap();
        }
        let parts = (0..).zip(kept).map(|(place, kept)| part(place, kept)).collect();
        let (head, body) = answer(&store, parts).response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let again = head.headers.get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (head.status.as_u16(), again, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn each_place_has_its_answer_or_its_error_and_what_is_owed() {
        let not_served = || Err(Problem::new(Code::NotServed, "no"));
        let (status, _, body) = told([Ok(1), not_served(), Ok(2)]).await;
        assert_eq!(status, 200);
        let results = body["results"].as_array().unwrap();
        assert_eq!((&results[0]["output"], &results[2]["output"]), (&json!(0), &json!(2)));
        assert_eq!((&results[1]["error"]["code"], &results[1]["owed"]), (&json!("not_served"), &json!("1")));
        // What is left to be run is told by the status, and what there is all the same.
        let later = |ms| Err(Problem::new(Code::UpstreamFailed, "not yet").retry_after(ms));
        let (status, again, body) = told([later(9000), not_served(), Ok(2)]).await;
        assert_eq!((status, again.as_deref()), (424, Some("9")));
        assert_eq!(body["code"], "upstream_failed");
        assert_eq!(body["results"][2]["output"], 2);
        assert!(body["results"][0]["owed"].is_null(), "it may still be answered: {body}");
        assert_eq!(told([later(9000), Ok(1), later(2000)]).await.1.as_deref(), Some("2"));
        // No status is one after which clients pay again.
        for code in [Code::Internal, Code::AtCapacity, Code::AddressLimited] {
            let (status, again, _) =
                told([Err(Problem::new(code, "no").retry_after(3000)), Ok(1), Ok(2)]).await;
            assert_eq!((status, again.as_deref()), (425, Some("3")), "{code}");
        }
        // Nothing is served.
        let (status, again, body) = told([not_served(), not_served(), not_served()]).await;
        assert_eq!((status, again, &body["code"]), (424, None, &json!("not_served")));
    }
}
