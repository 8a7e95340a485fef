//! Makes a completion from the documents of a model server's answer.

use crate::upstream::completion::{Completion, Task, Usage};
use crate::upstream::failure::{Failure, UpstreamError};
use crate::upstream::json::{self, Choice, Tokens};
use crate::upstream::wire::Documents;

/// How many bytes count as a token if nobody counted.
const BYTES_A_TOKEN: usize = 4;

/// The completion of an answer with a good status. The documents may contradict the status.
pub(super) fn completion(documents: &Documents, task: &Task<'_>) -> Result<Completion, UpstreamError> {
    let mut whole: Option<Choice> = None;
    let mut counted = Tokens::default();
    for text in &documents.texts {
        let said = json::read(text).map_err(|error| {
            tracing::warn!(%error, "the model server's answer was not understood");
            UpstreamError::from(Failure::Unreadable)
        })?;
        if let Some(status) = said.error {
            return Err(UpstreamError::said(status, text));
        }
        if let Some(piece) = said.choice {
            whole.get_or_insert_default().add(piece);
        }
        counted = said.usage.over(counted);
    }
    let whole = whole.ok_or(Failure::Unreadable)?;
    if whole.finish_reason.as_deref() == Some("error") {
        return Err(Failure::SaidError.into());
    }
    if !documents.whole && whole.finish_reason.is_none() {
        return Err(Failure::BrokenOff.into());
    }
    let usage = counted.usage(task, whole.output.len() + whole.reasoning.len() + whole.refusal.len());
    let given = |text: String| (!text.is_empty()).then_some(text);
    Ok(Completion {
        output: whole.output,
        reasoning: given(whole.reasoning),
        refusal: given(whole.refusal),
        finish_reason: whole.finish_reason.unwrap_or_else(|| "stop".into()),
        usage,
    })
}

impl Choice {
    fn add(&mut self, piece: Self) {
        self.output.push_str(&piece.output);
        self.reasoning.push_str(&piece.reasoning);
        self.refusal.push_str(&piece.refusal);
        self.finish_reason = piece.finish_reason.or(self.finish_reason.take());
    }
}

impl Tokens {
    /// These values, and the earlier ones where these say nothing.
    fn over(self, before: Self) -> Self {
        Self {
            prompt: self.prompt.or(before.prompt),
            completion: self.completion.or(before.completion),
            total: self.total.or(before.total),
        }
    }

    /// What was used. What was not counted follows from the other numbers or is estimated.
    fn usage(self, task: &Task<'_>, written: usize) -> Usage {
        let rest = |part: Option<u64>| self.total?.checked_sub(part?);
        let estimate = |bytes: usize| bytes.div_ceil(BYTES_A_TOKEN) as u64;
        let (prompt, completion) =
            (self.prompt.or(rest(self.completion)), self.completion.or(rest(self.prompt)));
        let prompt_tokens = prompt.unwrap_or_else(|| estimate(task.prompt.len()));
        let completion_tokens =
            completion.unwrap_or_else(|| estimate(written).min(u64::from(task.max_tokens)));
        Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: match (self.total, prompt, completion) {
                (Some(total), Some(_), Some(_)) => total,
                _ => prompt_tokens + completion_tokens,
            },
            estimated: prompt.is_none() || completion.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::wire::{documents, text};

    const TASK: Task<'_> =
        Task { prompt: "twelve bytes", max_tokens: 16, temperature: None, payer: None, hurried: false };

    fn read(body: &[u8]) -> Result<Completion, UpstreamError> {
        completion(&documents(&text(body.to_vec(), None, 1 << 20)?), &TASK)
    }

    /// An answer with this message, finish reason and usage.
    fn answer(message: &str, finish: &str, usage: &str) -> Vec<u8> {
        format!(
            r#"{{"choices":[{{"index":0,"message":{message},"finish_reason":{finish}}}],"usage":{usage}}}"#
        )
        .into_bytes()
    }

    const USED: &str = r#"{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}"#;

    #[test]
    fn content_in_every_form_is_read_and_none_is_an_empty_output() {
        for (message, finish, output, reason) in [
            (r#"{"content":"hi"}"#, r#""stop""#, "hi", "stop"),
            (r#"{"content":"hi"}"#, "null", "hi", "stop"),
            (r#"{"content":null,"reasoning_content":"hm"}"#, r#""length""#, "", "length"),
            (r#"{"role":"assistant"}"#, r#""length""#, "", "length"),
            (r#"{"content":null,"tool_calls":[{"id":"x"}]}"#, r#""tool_calls""#, "", "tool_calls"),
            (r#"{"content":null,"refusal":"I will not"}"#, r#""stop""#, "", "stop"),
            (
                r#"{"content":[{"type":"text","text":"a"},{"type":"thinking","text":"no"},"b",{"text":"c"},7]}"#,
                r#""stop""#,
                "abc",
                "stop",
            ),
            (r#"{"content":"first","content":"last"}"#, r#""stop""#, "last", "stop"),
            (r#"{"content":{"odd":[1]}}"#, r#"17"#, "", "stop"),
            (r#"{"content":"lone \ud83d half"}"#, r#""stop""#, "lone \u{fffd} half", "stop"),
            ("null", r#""content_filter""#, "", "content_filter"),
        ] {
            let read =
                read(&answer(message, finish, USED)).unwrap_or_else(|error| panic!("{message}: {error}"));
            assert_eq!((read.output.as_str(), read.finish_reason.as_str()), (output, reason), "{message}");
            assert!(!read.usage.estimated);
        }
        let thought = read(&answer(r#"{"content":null,"reasoning_content":"hm"}"#, "null", USED)).unwrap();
        assert_eq!((thought.reasoning.as_deref(), thought.refusal), (Some("hm"), None));
        let refused = read(&answer(r#"{"refusal":"I will not"}"#, "null", USED)).unwrap();
        assert_eq!(refused.refusal.as_deref(), Some("I will not"));
        let legacy = br#"{"choices":[{"text":"old","finish_reason":"stop"},{"text":"other"}]}"#;
        assert_eq!(read(legacy).unwrap().output, "old");
    }

    #[test]
    fn tokens_that_the_server_did_not_count_are_estimated_and_said_to_be() {
        let usage = |text: &str| {
            let usage = read(&answer(r#"{"content":"12345"}"#, "null", text)).unwrap().usage;
            (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.estimated)
        };
        assert_eq!(usage(USED), (3, 2, 5, false));
        assert_eq!(
            usage(r#"{"prompt_tokens":3.0,"completion_tokens":0,"total_tokens":3}"#),
            (3, 0, 3, false)
        );
        assert_eq!(usage(r#"{"prompt_tokens":3,"total_tokens":5}"#), (3, 2, 5, false));
        assert_eq!(usage(r#"{"prompt_tokens":3,"completion_tokens":2}"#), (3, 2, 5, false));
        for odd in ["null", "{}", "[]", r#""many""#, r#"{"prompt_tokens":null,"completion_tokens":NaN}"#] {
            assert_eq!(usage(odd), (3, 2, 5, true), "{odd}");
        }
        for odd in
            ["-1", "1.5", "1e2", "99999999999999999999999", "NaN", "Infinity", "-Infinity", "\"4\"", "true"]
        {
            let text = format!(r#"{{"prompt_tokens":{odd},"completion_tokens":9}}"#);
            assert_eq!(usage(&text), (3, 9, 12, true), "{odd}");
        }
        assert_eq!(usage(r#"{"completion_tokens":9,"total_tokens":4}"#), (3, 9, 12, true));
    }

    #[test]
    fn numbers_that_are_none_and_doubled_members_do_not_hide_an_answer() {
        let odd = br#"{"choices":[],"choices":[{"logprobs":{"content":[{"logprob":NaN},{"logprob":-Infinity}]},
            "message":{"content":"here"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"prompt_tokens":2},
            "usage":{"prompt_tokens":3,"completion_tokens":4}}
            "#;
        let read = read(odd).unwrap();
        assert_eq!(
            (read.output.as_str(), read.usage.prompt_tokens, read.usage.estimated),
            ("here", 3, false)
        );
    }

    #[test]
    fn a_stream_that_nobody_asked_for_is_put_together_and_must_end() {
        let begun = ": OPENROUTER PROCESSING\n\n\
            data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
            data: {\"choices\":[{\"delta\":{\"content\":\"he\"}}]}\n\n\
            data: {\"choices\":[{\"delta\":{\"content\":\"re\"},\"finish_reason\":null}]}\n\n";
        assert_eq!(read(begun.as_bytes()).unwrap_err().kind, Failure::BrokenOff);
        let rest = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n\
            data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\n\
            data: [DONE]\n\n";
        let read = read(format!("{begun}{rest}").as_bytes()).unwrap();
        assert_eq!((read.output.as_str(), read.finish_reason.as_str()), ("here", "length"));
        assert_eq!(read.usage.total_tokens, 3);
    }

    #[test]
    fn an_error_in_a_good_answer_is_a_failure() {
        let kind = |body: &[u8]| read(body).unwrap_err().kind;
        assert_eq!(kind(&answer(r#"{"content":"half"}"#, r#""error""#, USED)), Failure::SaidError);
        assert_eq!(kind(br#"{"error":{"message":"oops"}}"#), Failure::SaidError);
        assert_eq!(kind(br#"{"error":"oops"}"#), Failure::SaidError);
        assert_eq!(kind(br#"{"error":{"code":502,"message":"oops"}}"#), Failure::Failed(502));
        assert_eq!(kind(br#"{"error":{"code":"429"}}"#), Failure::Busy(429));
        assert_eq!(kind(br#"{"error":{"code":"context_length_exceeded"}}"#), Failure::ContextTooLong);
        assert_eq!(kind(br#"{"object":"error","message":"no","code":400}"#), Failure::Refused(400));
        let in_choice =
            br#"{"choices":[{"message":{"content":"half"},"error":{"code":503},"finish_reason":"error"}]}"#;
        assert_eq!(kind(in_choice), Failure::Busy(503));
        let late =
            "data: {\"choices\":[{\"delta\":{\"content\":\"he\"}}]}\n\ndata: {\"error\":{\"code\":500}}\n\n";
        assert_eq!(kind(late.as_bytes()), Failure::Failed(500));
        assert_eq!(read(&answer(r#"{"content":"hi"}"#, "null", r#"{},"error":null"#)).unwrap().output, "hi");
    }

    #[test]
    fn what_is_no_completion_is_told_so_whatever_it_is() {
        for body in [
            &b""[..],
            b"null",
            b"[]",
            b"<html>busy</html>",
            b"{}",
            br#"{"choices":[]}"#,
            br#"{"choices":[{"message":{"content":"cut of"#,
            br#"{"choices":{"0":{}}}"#,
            b"data: [DONE]\n\n",
        ] {
            assert_eq!(
                read(body).unwrap_err().kind,
                Failure::Unreadable,
                "{}",
                String::from_utf8_lossy(body)
            );
        }
        let deep = format!("{{\"x\":{}", "[".repeat(500_000));
        assert_eq!(read(deep.as_bytes()).unwrap_err().kind, Failure::Unreadable);
    }
}
