//! How many tokens an answer says that it took, in the words of each API.

use jiter::{Jiter, JiterResult, Peek};

use crate::upstream::json::{members, whole};

/// Tokens, as far as a server counted them. Zero is a count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tokens read, with those of a cache.
    pub(crate) prompt: Option<u64>,
    /// Tokens written, with those of reasoning.
    pub(crate) completion: Option<u64>,
    /// Both.
    pub(crate) total: Option<u64>,
    /// Those of `prompt` that a cache held.
    pub(crate) cached: Option<u64>,
    /// Those of `completion` that are reasoning.
    pub(crate) reasoning: Option<u64>,
    /// Anthropic's: those that were read and put into a cache. They are not in its `input_tokens`.
    pub(super) cache_written: Option<u64>,
    /// Whether what a cache held is not in `prompt`, as Anthropic counts.
    pub(super) apart: bool,
}

impl Counts {
    /// What was read, what was written, and both.
    pub(crate) fn of(prompt: Option<u64>, completion: Option<u64>, total: Option<u64>) -> Self {
        Self { prompt, completion, total, ..Self::default() }
    }

    /// Whether nothing was counted.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These counts, and earlier ones where these say nothing.
    pub(super) fn over(self, before: Self) -> Self {
        Self {
            prompt: self.prompt.or(before.prompt),
            completion: self.completion.or(before.completion),
            total: self.total.or(before.total),
            cached: self.cached.or(before.cached),
            reasoning: self.reasoning.or(before.reasoning),
            cache_written: self.cache_written.or(before.cache_written),
            apart: self.apart || before.apart,
        }
    }

    /// The counts of a whole answer, in one way for all APIs. `None` if nothing was counted.
    pub(super) fn ended(mut self) -> Option<Self> {
        if std::mem::take(&mut self.apart) {
            let beside = self.cached.unwrap_or_default() + self.cache_written.unwrap_or_default();
            self.prompt = self.prompt.map(|prompt| prompt.saturating_add(beside));
        }
        self.cache_written = None;
        (!self.is_empty()).then_some(self)
    }
}

/// Reads a member `usage`.
pub(super) fn counts(json: &mut Jiter<'_>, peek: Peek) -> JiterResult<Counts> {
    let mut counts = Counts::default();
    members(json, peek, &mut |json, name, peek| {
        match name {
            "prompt_tokens" | "input_tokens" => counts.prompt = whole(json, peek)?.or(counts.prompt),
            "completion_tokens" | "output_tokens" => {
                counts.completion = whole(json, peek)?.or(counts.completion);
            }
            "total_tokens" => counts.total = whole(json, peek)?.or(counts.total),
            "prompt_tokens_details" | "input_tokens_details" => {
                counts.cached = detail(json, peek, "cached_tokens")?.or(counts.cached);
            }
            "completion_tokens_details" | "output_tokens_details" => {
                counts.reasoning = detail(json, peek, "reasoning_tokens")?.or(counts.reasoning);
            }
            "cache_read_input_tokens" => {
                counts.apart = true;
                counts.cached = whole(json, peek)?.or(counts.cached);
            }
            "cache_creation_input_tokens" => {
                counts.apart = true;
                counts.cache_written = whole(json, peek)?;
            }
            _ => json.known_skip(peek)?,
        }
        Ok(())
    })?;
    Ok(counts)
}

fn detail(json: &mut Jiter<'_>, peek: Peek, wanted: &str) -> JiterResult<Option<u64>> {
    let mut found = None;
    members(json, peek, &mut |json, name, peek| {
        if name == wanted {
            found = whole(json, peek)?;
            return Ok(());
        }
        json.known_skip(peek)
    })?;
    Ok(found)
}
