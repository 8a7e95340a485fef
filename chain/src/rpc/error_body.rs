//! Extracts an error from an answer: a JSON-RPC error, a proxy's object, a list, or plain text. Does not interpret it.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The longest refusal, in bytes. A longer body is an answer and is not parsed again.
const MAX_REFUSAL_BYTES: usize = 16 << 10;

/// A JSON-RPC error object, or a proxy's replacement for it.
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: String,
}

impl From<Value> for RpcError {
    fn from(error: Value) -> Self {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let code = error.get("code").unwrap_or(&Value::Null);
        let code = code.as_i64().or_else(|| code.as_str()?.parse().ok()).unwrap_or_default();
        let message = text(error.get("message").unwrap_or(&error));
        // Some nodes put the details into `data`.
        let message = match error.get("data").and_then(Value::as_str) {
            Some(data) if !data.starts_with("0x") && error.get("message").is_some() => {
                format!("{message} ({data})")
            }
            _ => message,
        };
        Self { code, message }
    }
}

impl<'de> Deserialize<'de> for RpcError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

/// The error in a list that answers a single request.
pub(crate) fn in_list(body: &[u8]) -> Option<RpcError> {
    if body.trim_ascii_start().first() != Some(&b'[') {
        return None;
    }
    whole(body)
}

/// The error that refuses a whole request: a single error, or a list of equal errors. Different errors belong to single
/// calls.
pub(crate) fn whole(body: &[u8]) -> Option<RpcError> {
    if body.len() > MAX_REFUSAL_BYTES {
        return None;
    }
    let mut errors = match serde_json::from_slice(body).ok()? {
        Value::Array(list) => list.into_iter().map(error_of).collect::<Option<Vec<_>>>()?,
        alone => vec![error_of(alone)?],
    };
    let first = errors.pop()?;
    errors.iter().all(|error| *error == first).then(|| first.into())
}

/// The error in a body with a status other than 2xx, if there is one.
pub(crate) fn under_a_status(body: &[u8]) -> Option<RpcError> {
    if body.len() > MAX_REFUSAL_BYTES {
        return None;
    }
    if let Some(error) = whole(body) {
        return Some(error);
    }
    match serde_json::from_slice(body) {
        // If some calls of a batch were answered, the status is about the error.
        Ok(Value::Array(list)) => list.into_iter().find_map(error_of).map(RpcError::from),
        // Gateways use their own error objects.
        Ok(object) => object.get("message").is_some().then(|| object.into()),
        // An HTML page says nothing about the request.
        Err(_) => std::str::from_utf8(body)
            .ok()
            .filter(|text| !text.trim().is_empty() && !text.contains('<'))
            .map(|text| Value::from(text.trim()).into()),
    }
}

fn error_of(mut envelope: Value) -> Option<Value> {
    let error = envelope.get_mut("error")?.take();
    (!error.is_null()).then_some(error)
}
