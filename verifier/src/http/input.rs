//! Bodies read one way only.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{Extensions, HeaderMap, HeaderName, header};
use bytes::Bytes;
use salt402_protocol::object::Object;
use salt402_protocol::{Code, Problem};
use serde::de::DeserializeOwned;

use super::{BodyPatience, Fault};

/// How long a body may take to arrive, where its listener does not say.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest body of the verifier's API, in bytes. The largest request it knows has under 1 KiB.
const LIMIT: usize = 16 * 1024;

/// A JSON body of at most 16 KiB: UTF-8, declared as JSON, no unknown or repeated field.
#[derive(Debug)]
pub struct StrictJson<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for StrictJson<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Fault> {
        let bytes = read_json(request, LIMIT).await?;
        serde_json::from_slice(&bytes).map(|Object(value)| Self(value)).map_err(|error| {
            Problem::new(Code::MalformedJson, format!("the body was not understood: {error}")).into()
        })
    }
}

/// Reads a body that declares itself JSON, up to `limit` bytes, within its listener's [`BodyPatience`].
pub async fn read_json(request: Request<Body>, limit: usize) -> Result<Bytes, Fault> {
    let headers = request.headers();
    let json = sole(headers, header::CONTENT_TYPE).is_ok_and(|kind| kind.is_some_and(is_json));
    if !json {
        let detail = "send one header Content-Type: application/json; the text is UTF-8 and no other";
        return Err(Problem::new(Code::UnsupportedMediaType, detail).into());
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "send the body as it is, without Content-Encoding";
        return Err(Problem::new(Code::UnsupportedMediaType, detail).into());
    }
    let patience = patience(request.extensions());
    Ok(read_body(request.into_body(), limit, patience).await?)
}

/// How long the body of a request may take to arrive.
pub(crate) fn patience(extensions: &Extensions) -> Duration {
    extensions.get::<BodyPatience>().map_or(PATIENCE, |patience| patience.0)
}

/// Reads a body up to `limit` bytes, within `patience`.
pub(crate) async fn read_body(body: Body, limit: usize, patience: Duration) -> Result<Bytes, Problem> {
    let Ok(read) = tokio::time::timeout(patience, axum::body::to_bytes(body, limit)).await else {
        let detail = format!("the body did not arrive within {} ms", patience.as_millis());
        return Err(Problem::new(Code::RequestTimeout, detail));
    };
    read.map_err(|error| {
        let cause = std::error::Error::source(&error);
        if cause.is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>()) {
            Problem::new(Code::BodyTooLarge, format!("the body may have at most {limit} bytes"))
        } else {
            Problem::new(Code::MalformedJson, "the body ended before it was complete")
        }
    })
}

/// The one value of a header, if it has one; more than one, or one that is no text, is an error.
fn sole(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// JSON is UTF-8 (RFC 8259). A charset that says so is superfluous, and one that says otherwise is another reading.
fn is_json(kind: &str) -> bool {
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case("application/json")
        && parts.all(|parameter| {
            let charset = parameter.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("charset"));
            charset.is_none_or(|(_, value)| value.trim_matches('"').eq_ignore_ascii_case("utf-8"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

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
