//! Bodies read one way only.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{Extensions, header};
use bytes::Bytes;
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
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Problem::new(Code::MalformedJson, format!("the body was not understood: {error}")).into()
        })
    }
}

/// Reads a body that declares itself JSON, up to `limit` bytes, within its listener's [`BodyPatience`].
pub async fn read_json(request: Request<Body>, limit: usize) -> Result<Bytes, Fault> {
    let mut kinds = request.headers().get_all(header::CONTENT_TYPE).iter();
    let json = match (kinds.next(), kinds.next()) {
        (Some(kind), None) => kind.to_str().is_ok_and(is_json),
        _ => false,
    };
    if !json {
        let detail = "send one header Content-Type: application/json";
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

fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}
