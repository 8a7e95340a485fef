//! An error of a node in whatever form it comes: JSON-RPC's, a proxy's object, a list, or plain text. What it means is not
//! told here.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A refusal is short. What is longer is an answer, and not read twice.
const LONGEST: usize = 16 << 10;

/// An error object, or whatever else a proxy puts in its place.
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
        // Some say in `data` what the message leaves out.
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

/// The error that stands in a list in place of an answer to a single question.
pub(crate) fn in_list(body: &[u8]) -> Option<RpcError> {
    if body.trim_ascii_start().first() != Some(&b'[') {
        return None;
    }
    whole(body)
}

/// The error that a whole request was refused with: one alone, or nothing but errors in a list. Of several that are not
/// the same, each is of its own question.
pub(crate) fn whole(body: &[u8]) -> Option<RpcError> {
    if body.len() > LONGEST {
        return None;
    }
    let mut errors = match serde_json::from_slice(body).ok()? {
        Value::Array(list) => list.into_iter().map(error_of).collect::<Option<Vec<_>>>()?,
        alone => vec![error_of(alone)?],
    };
    let first = errors.pop()?;
    errors.iter().all(|error| *error == first).then(|| first.into())
}

/// What an answer under another status than 2xx says, if it says anything.
pub(crate) fn under_a_status(body: &[u8]) -> Option<RpcError> {
    if body.len() > LONGEST {
        return None;
    }
    if let Some(error) = whole(body) {
        return Some(error);
    }
    match serde_json::from_slice(body) {
        // Of a batch in which some were answered, the error is what the status is about.
        Ok(Value::Array(list)) => list.into_iter().find_map(error_of).map(RpcError::from),
        // Gateways before nodes have objects of their own.
        Ok(object) => object.get("message").is_some().then(|| object.into()),
        // A page for people says nothing of the question.
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
