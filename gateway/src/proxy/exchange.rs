//! One request to a service, and what its answer means to whoever paid.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use salt402_http::clock::now;
use salt402_protocol::api::PaymentView;
use url::Url;

use crate::execution::{Answered, PassedHead};
use crate::proxy::headers;
use crate::services::Service;
use crate::upstream::failure::{Failure, UpstreamError};
use crate::upstream::frames::Frames;
use crate::upstream::openai::retry_after;
use crate::upstream::payload::Payload;

/// Who paid for the request, and its payment's id: the same if the request is sent again.
const PAYER_HEADER: HeaderName = HeaderName::from_static("x-x402-payer");
const PAYMENT_HEADER: HeaderName = HeaderName::from_static("x-x402-payment");
/// From where a request comes, where that is known.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A request as a service is sent it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) target: Uri,
    pub(super) headers: HeaderMap,
}

impl Asked {
    /// What goes on of a client's request. `client`: from where it comes, if that is known.
    pub(super) fn of(
        service: &Service,
        request: &axum::http::request::Parts,
        client: Option<std::net::IpAddr>,
    ) -> Self {
        let mut passed = headers::of_request(&request.headers, service.options.passes_credentials);
        if let Some(client) = client.and_then(|client| HeaderValue::from_str(&client.to_string()).ok()) {
            passed.insert(FORWARDED_FOR, client);
        }
        Self { method: request.method.clone(), target: request.uri.clone(), headers: passed }
    }

    /// The same, and who paid for it.
    pub(super) fn paid_by(mut self, payment: &PaymentView) -> Self {
        for (name, text) in
            [(PAYER_HEADER, payment.payer.to_string()), (PAYMENT_HEADER, payment.payment_id.to_string())]
        {
            if let Ok(value) = HeaderValue::from_str(&text) {
                self.headers.insert(name, value);
            }
        }
        self
    }

    fn with(self, payload: Payload) -> Request<Payload> {
        let mut request = Request::new(payload);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.target;
        *request.headers_mut() = self.headers;
        request
    }
}

/// The answer to a request that is free, whatever its status.
pub(super) async fn free(
    service: &Service,
    asked: Asked,
    payload: Payload,
) -> Result<(PassedHead, Frames), UpstreamError> {
    let (head, body) = service.transport.send(asked.with(payload)).await?.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::BrokenOff.into());
    }
    Ok((passed(service, head.status, &head.headers, false), body))
}

/// The answer to a request that was paid for. What says that the service did not do its work is a failure, so that its
/// payer is served another time; any other status is an answer.
pub(super) async fn paid(service: &Service, asked: Asked, body: Bytes) -> Result<Answered, UpstreamError> {
    let permit = service.admission.enter().await;
    let response = service.transport.send(asked.with(Payload::Whole(body))).await?;
    let (head, body) = response.into_parts();
    if let Some(kind) = failure(head.status, service.options.passes_credentials) {
        tracing::warn!(
            service = service.name(),
            status = head.status.as_u16(),
            "a service failed a paid request"
        );
        return Err(UpstreamError { kind, after: retry_after(&head.headers, now()) });
    }
    let head = passed(service, head.status, &head.headers, true);
    match service.options.keep_answers {
        Some(longest) if may_be_kept(&head, &body, longest) => {
            let (begun, rest) = read(body, longest).await?;
            Ok(match rest {
                None => Answered::Whole(head, begun),
                Some(rest) => Answered::Stream(head, begun, rest, permit),
            })
        }
        _ => Ok(Answered::Stream(head, Bytes::new(), body, permit)),
    }
}

/// What a status means that says that the service did not do its work.
fn failure(status: StatusCode, passes_credentials: bool) -> Option<Failure> {
    match status.as_u16() {
        101 => Some(Failure::BrokenOff),
        // It lets nobody in whom the gateway sends. Its operator must act.
        status @ (401 | 407) if !passes_credentials => Some(Failure::Unserved(status)),
        // Nobody is led to pay a second time.
        402 => Some(Failure::Unserved(402)),
        status @ (408 | 425 | 429 | 503 | 529) => Some(Failure::Busy(status)),
        status @ 500..=599 => Some(Failure::Failed(status)),
        _ => None,
    }
}

/// Whether it is worth waiting for the whole of an answer. Events are read as they come.
fn may_be_kept(head: &PassedHead, body: &Frames, longest: usize) -> bool {
    let kind = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_short = http_body::Body::size_hint(body).lower() <= longest as u64;
    is_short && !kind.to_ascii_lowercase().starts_with(b"text/event-stream")
}

/// An answer up to its end, or as much of it as is more than what is kept, and what comes then.
async fn read(mut body: Frames, longest: usize) -> Result<(Bytes, Option<Frames>), UpstreamError> {
    let mut begun = BytesMut::new();
    while let Some(piece) = body.next().await {
        begun.extend_from_slice(&piece?);
        if begun.len() > longest {
            return Ok((begun.freeze(), Some(body)));
        }
    }
    Ok((begun.freeze(), None))
}

/// What a client gets of an answer's head.
fn passed(service: &Service, status: StatusCode, told: &HeaderMap, paid: bool) -> PassedHead {
    let mut headers = headers::of_answer(told, paid);
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        if let Some(inside) = headers.get(&name).and_then(|value| outside(service, value)) {
            headers.insert(name, inside);
        }
    }
    PassedHead { status, headers }
}

/// An address of the service as its clients know it: without the server and the path that stand before theirs. One that is told from
/// where its client is stays as it is.
fn outside(service: &Service, value: &HeaderValue) -> Option<HeaderValue> {
    let (upstream, text) = (&service.options.upstream, value.to_str().ok()?);
    if !text.starts_with('/') && Url::parse(text).is_err() {
        return None;
    }
    let url = upstream.join(text).ok().filter(|url| url.origin() == upstream.origin())?;
    let before = upstream.path().trim_end_matches('/');
    let path = url.path().strip_prefix(before).filter(|path| path.starts_with('/'))?;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let fragment = url.fragment().map(|fragment| format!("#{fragment}")).unwrap_or_default();
    // A path that begins with two slashes names another server.
    let path = path.trim_start_matches('/');
    HeaderValue::from_str(&format!("/{path}{query}{fragment}")).ok()
}

/// A body that holds its place at the service until it has ended.
pub(super) fn held(body: Frames, permit: crate::upstream::admission::Permit) -> Body {
    Body::new(Held { body, _permit: permit })
}

struct Held {
    body: Frames,
    _permit: crate::upstream::admission::Permit,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, UpstreamError>>> {
        std::pin::Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::ServiceOptions;
    use crate::upstream::transport::Deadlines;

    #[test]
    fn a_place_is_told_as_clients_know_it() {
        let service = Service::new(ServiceOptions {
            name: "shop".into(),
            upstream: "http://127.0.0.1:9/base".parse().unwrap(),
            rules: Vec::new(),
            deadlines: Deadlines::default(),
            at_once: 1,
            queue: 1,
            keep_answers: None,
            body_limit: 1024,
            passes_credentials: false,
            probe: "/".into(),
        })
        .unwrap();
        for (told, known) in [
            ("/base/a/b?c#d", Some("/a/b?c#d")),
            ("http://127.0.0.1:9/base/a", Some("/a")),
            ("//127.0.0.1:9/base//evil.example/a", Some("/evil.example/a")),
            ("/other/a", None),
            ("http://127.0.0.1:8/base/a", None),
            ("https://elsewhere.example/base/a", None),
            // From where its client is, and not from where the service begins.
            ("c", None),
            ("../c", None),
            ("?c", None),
            ("#c", None),
            ("", None),
        ] {
            let inside = outside(&service, &HeaderValue::from_str(told).unwrap());
            assert_eq!(inside.as_ref().map(|value| value.to_str().unwrap()), known, "{told}");
        }
    }
}
