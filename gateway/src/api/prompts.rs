//! Texts, or lists of them, or of tokens: the prompts of completions and the inputs of embeddings.

use crate::api::json::Json;
use crate::api::members::{Fault, never};

/// The largest number of a token.
const MOST_TOKEN: u64 = u32::MAX as u64;

/// What a value holds of prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prompts {
    /// How many prompts. At least 1.
    pub(super) count: u64,
    /// The bytes of all of them. A token that is sent as a number counts as one.
    pub(super) bytes: u64,
    /// The bytes of the longest.
    pub(super) longest: u64,
}

impl Prompts {
    /// Reads a text, a list of texts, a list of tokens, or a list of such lists. None may be empty.
    pub(super) fn read(value: &Json, path: &str) -> Result<Self, Fault> {
        let mut prompts = Self::default();
        match value {
            Json::List(items) if items.iter().any(|item| !matches!(item, Json::Number(_))) => {
                for (at, item) in items.iter().enumerate() {
                    prompts.add(length(item, &format!("{path}[{at}]"))?);
                }
            }
            other => prompts.add(length(other, path)?),
        }
        Ok(prompts)
    }

    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.longest = self.longest.max(bytes);
    }
}

/// The length of one prompt.
fn length(value: &Json, path: &str) -> Result<u64, Fault> {
    let length = match value {
        Json::Text(text) => text.len(),
        Json::List(tokens) => {
            let is_token = |item: &Json| matches!(item, Json::Number(number) if number.as_u64().is_some_and(|token| token <= MOST_TOKEN));
            if !tokens.iter().all(is_token) {
                return Err(never(format!("{path}: expected a text, or a list of tokens: integers from 0")));
            }
            tokens.len()
        }
        other => {
            let what = "expected a text, a list of texts, or a list of tokens";
            return Err(never(format!("{path}: {what}, found {}", other.kind())));
        }
    };
    if length == 0 {
        return Err(never(format!("{path}: it is empty")));
    }
    Ok(length as u64)
}
