//! Bodies and headers, read one way only.

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use salt402_protocol::object::Object;
use salt402_protocol::{Code, Problem};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::answer::Fault;
use crate::serve::bodies::{BodyBudget, BodyReservation, FREE};

/// Largest body of the verifier's API, in bytes. The largest request it knows has under 1 KiB.
const LIMIT: usize = 16 * 1024;

/// A JSON body of at most 16 KiB: UTF-8, declared as JSON, no unknown or repeated field.
#[derive(Debug)]
pub struct StrictJson<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for StrictJson<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Fault> {
        let body = read_json(request, LIMIT).await?;
        serde_json::from_slice(&body.bytes).map(|Object(value)| Self(value)).map_err(|error| {
            Problem::new(Code::MalformedJson, format!("the body was not understood: {error}")).into()
        })
    }
}

/// A body that was read, and the memory that it holds until it is dropped or let go.
#[derive(Debug)]
pub struct HeldBody {
    /// The body.
    pub bytes: Bytes,
    /// Its share of the listener's budget: to be kept for as long as what was read of it is, and nobody has paid for that.
    pub reservation: BodyReservation,
}

/// Reads a body that declares itself JSON, up to `limit` bytes, within its listener's [`BodyBudget`].
pub async fn read_json(request: Request<Body>, limit: usize) -> Result<HeldBody, Fault> {
    read_declared(request, limit, |kind| kind.is_some_and(is_json)).await
}

/// The same of a request that shows a payment. Some clients lose the headers of the request when they send it again with one
/// (`x402-fetch`, thirdweb): then the body is called text, or nothing.
pub async fn read_json_of_payer(request: Request<Body>, limit: usize) -> Result<HeldBody, Fault> {
    read_declared(request, limit, |kind| kind.is_none_or(|kind| is_json(kind) || is_text(kind))).await
}

async fn read_declared(
    request: Request<Body>,
    limit: usize,
    is_taken: fn(Option<&str>) -> bool,
) -> Result<HeldBody, Fault> {
    let headers = request.headers();
    let kind = one_value(headers, header::CONTENT_TYPE.as_str());
    if !kind.is_ok_and(is_taken) {
        let detail = "send one header Content-Type: application/json; the text is UTF-8 and no other";
        return Err(Problem::new(Code::UnsupportedMediaType, detail).into());
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "send the body as it is, without Content-Encoding";
        return Err(Problem::new(Code::UnsupportedMediaType, detail).into());
    }
    let budget = BodyBudget::of(request.extensions());
    Ok(read_body(request.into_body(), limit, &budget).await?)
}

/// Reads a body up to `limit` bytes, within the time and the memory that there is.
pub async fn read_body(mut body: Body, limit: usize, budget: &BodyBudget) -> Result<HeldBody, Problem> {
    let too_large = || Problem::new(Code::BodyTooLarge, format!("the body may have at most {limit} bytes"));
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let (mut bytes, mut reservation) = (Vec::new(), budget.reserve());
    let deadline = Instant::now() + budget.timeout;
    loop {
        let pause = Instant::now() + budget.pause;
        let Ok(frame) = tokio::time::timeout_at(deadline.min(pause), body.frame()).await else {
            let detail = if pause < deadline {
                format!("nothing of the body arrived for {} ms", budget.pause.as_millis())
            } else {
                format!("the body did not arrive within {} ms", budget.timeout.as_millis())
            };
            return Err(Problem::new(Code::RequestTimeout, detail));
        };
        let Some(frame) = frame else { return Ok(HeldBody { bytes: bytes.into(), reservation }) };
        let frame =
            frame.map_err(|_| Problem::new(Code::MalformedJson, "the body ended before it was complete"))?;
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > limit {
            return Err(too_large());
        }
        if length > bytes.capacity() {
            // No more than twice what has arrived, and nothing for what was only announced.
            let capacity = length.next_power_of_two().max(FREE).min(limit.max(FREE));
            reservation.grow(capacity)?;
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
}

/// A body as it arrives, whose length has no limit here. It breaks off where its client pauses for too long.
pub fn paced_body(body: Body, budget: &BodyBudget) -> Body {
    let pause = budget.pause;
    Body::from_stream(futures::stream::try_unfold(body, move |mut body| async move {
        loop {
            let frame = tokio::time::timeout(pause, body.frame()).await;
            let frame = frame
                .map_err(|_| BodyError(format!("nothing of it arrived for {} ms", pause.as_millis())))?;
            match frame.transpose().map_err(|error| BodyError(error.to_string()))? {
                None => return Ok::<_, BodyError>(None),
                Some(frame) => {
                    // Trailers say nothing here.
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some((data, body)));
                    }
                }
            }
        }
    }))
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
#[error("the body broke off: {0}")]
struct BodyError(String);

/// A header's one value. Given twice it has two readings, and a proxy may have chosen another than we would.
pub fn one_value<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::new(
            Code::MalformedHeader,
            format!("the header {name} was sent more than once"),
        ));
    }
    value.to_str().map(Some).map_err(|_| {
        Problem::new(Code::MalformedHeader, format!("the header {name} holds more than visible ASCII"))
    })
}

/// JSON is UTF-8 (RFC 8259). A charset that says so is superfluous, and one that says otherwise is another reading.
fn is_json(kind: &str) -> bool {
    is_utf8(kind, "application/json")
}

fn is_text(kind: &str) -> bool {
    is_utf8(kind, "text/plain")
}

fn is_utf8(kind: &str, wanted: &str) -> bool {
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case(wanted)
        && parts.all(|parameter| {
            let charset = parameter.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("charset"));
            charset.is_none_or(|(_, value)| value.trim_matches('"').eq_ignore_ascii_case("utf-8"))
        })
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;
    use crate::serve::limits::Limits;

    fn budget(bodies_bytes: usize, pause_ms: u64) -> BodyBudget {
        let body_pause = std::time::Duration::from_millis(pause_ms);
        BodyBudget::new("test", &Limits { bodies_bytes, body_pause, ..Default::default() })
    }

    /// A body of which so many bytes arrive, and then nothing, for ever.
    fn stalled(bytes: usize) -> Body {
        use futures::StreamExt as _;
        let chunks =
            (0..bytes.div_ceil(1000)).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1000])));
        Body::from_stream(futures::stream::iter(chunks).chain(futures::stream::pending()))
    }

    #[tokio::test]
    async fn bodies_that_stall_share_a_bounded_room_and_small_ones_need_none_of_it() {
        let budget = budget(100_000, 60_000);
        let three_of = async |bodies: usize| {
            let (mut reading, mut refused) = (Vec::new(), 0);
            for _ in 0..bodies {
                let mut read = Box::pin(read_body(stalled(30_000), 64 * 1024, &budget));
                match futures::poll!(read.as_mut()) {
                    Poll::Ready(ended) => {
                        assert_eq!(ended.unwrap_err().code, Code::TooManyBodies);
                        refused += 1;
                    }
                    Poll::Pending => reading.push(read),
                }
            }
            // Each holds 32 KiB without its first 4.
            assert_eq!((reading.len(), refused), (3, bodies - 3));
            let small = read_body(Body::from(vec![b' '; FREE]), 64 * 1024, &budget).await.unwrap();
            assert_eq!(small.bytes.len(), FREE);
        };
        three_of(40).await;
        // They are gone, and have left all of it.
        three_of(40).await;
    }

    #[tokio::test]
    async fn one_address_holds_its_share_of_the_room_and_leaves_the_rest_to_others() {
        let limits = Limits { bodies_bytes: 200_000, bodies_per_address_bytes: 60_000, ..Default::default() };
        let budget = BodyBudget::new("test", &limits);
        let from = |last: u8| budget.clone().for_client(Some([203, 0, 113, last].into()));
        let mut reading = Vec::new();
        let mut stall = async |budget: BodyBudget| {
            let mut read = Box::pin(async move { read_body(stalled(30_000), 64 * 1024, &budget).await });
            match futures::poll!(read.as_mut()) {
                Poll::Ready(ended) => Err(ended.unwrap_err()),
                Poll::Pending => {
                    reading.push(read);
                    Ok(())
                }
            }
        };
        // Each holds 32 KiB without its first 4.
        for _ in 0..2 {
            stall(from(1)).await.unwrap();
        }
        for _ in 0..50 {
            let refused = stall(from(1)).await.unwrap_err();
            assert_eq!(refused.code, Code::TooManyBodies);
            assert!(refused.detail.contains("your address"), "{}", refused.detail);
        }
        stall(from(2)).await.unwrap();
        // Whom nobody can tell apart shares what is there.
        stall(budget.clone()).await.unwrap();
        let small = read_body(Body::from(vec![b' '; FREE]), 64 * 1024, &from(1)).await.unwrap();
        assert_eq!(small.bytes.len(), FREE);
        // All of it comes back.
        drop(reading);
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test]
    async fn a_body_that_is_announced_too_large_or_does_not_go_on_is_not_waited_for() {
        let large = read_body(Body::from(vec![b' '; 1001]), 1000, &budget(0, 60_000)).await;
        assert_eq!(large.unwrap_err().code, Code::BodyTooLarge);
        let large = read_body(stalled(2000), 1000, &budget(0, 60_000)).await;
        assert_eq!(large.unwrap_err().code, Code::BodyTooLarge);
        let stopped = read_body(stalled(1000), 2000, &budget(0, 20)).await.unwrap_err();
        assert_eq!(stopped.code, Code::RequestTimeout);
        assert!(stopped.detail.contains("nothing of the body arrived for 20 ms"), "{}", stopped.detail);
    }

    #[tokio::test]
    async fn a_body_that_is_passed_on_has_any_length_and_breaks_off_where_it_does_not_go_on() {
        let budget = budget(0, 20);
        let whole = paced_body(Body::from(vec![b' '; 100_000]), &budget).collect().await.unwrap();
        assert_eq!(whole.to_bytes().len(), 100_000);
        let stalled = paced_body(stalled(2000), &budget).collect().await.unwrap_err();
        assert!(stalled.to_string().contains("nothing of it arrived for 20 ms"), "{stalled}");
    }

    #[test]
    fn json_is_declared_one_way() {
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            "text/json",
            "application/json, text/plain",
            "application/jsonl",
            "application/json; charset=utf-16",
            "application/json; charset=utf-8; charset=latin1",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
