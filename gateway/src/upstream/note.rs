//! What one document of an answer says of the answer: its usage, its end, its failure. The text of the answer is skipped.

use jiter::{Jiter, JiterResult, Peek};

use crate::upstream::json::{error, items, members, status, whole, word};
use crate::upstream::usage::{Counts, counts};

/// The most answers of one request that are told apart.
const MOST_CHOICES: u64 = 128;

/// Choices by their numbers, with the reason for which each has ended.
type Choices = Vec<(u64, Option<String>)>;

/// What a document says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// Its `type`, as events of Anthropic's and of OpenAI's responses have it.
    pub(super) kind: Option<String>,
    /// Its `status`, as responses have it.
    pub(super) status: Option<String>,
    /// Its choices, if it has a list of them: which they are, and the reason for which each has ended.
    pub(super) choices: Option<Choices>,
    /// Whether one of them brings a piece of the answer.
    pub(super) brings: bool,
    /// Whether it has a list of results: embeddings, images, or what was ranked.
    pub(super) has_results: bool,
    /// Whether it holds the content of a message or the output of a response.
    pub(super) has_content: bool,
    /// What it counted.
    pub(super) usage: Counts,
    /// Whether it reports an error, and the status that it names.
    pub(super) error: Option<Option<u16>>,
}

/// Reads a document. It must be whole.
pub(super) fn read(text: &str) -> JiterResult<Note> {
    let mut json = Jiter::new(text.as_bytes()).with_allow_inf_nan();
    let mut note = Note::default();
    let peek = json.peek()?;
    document(&mut json, peek, &mut note, false)?;
    json.finish()?;
    Ok(note)
}

/// Reads the document, or the message or response within it.
fn document(json: &mut Jiter<'_>, peek: Peek, note: &mut Note, inner: bool) -> JiterResult<()> {
    let (mut object, mut code) = (None, None);
    let mut kind = None;
    members(json, peek, &mut |json, name, peek| {
        match name {
            "type" => kind = word(json, peek)?,
            "object" => object = word(json, peek)?,
            "status" => note.status = word(json, peek)?,
            "code" => code = status(json, peek)?,
            "choices" => note.choices = choices(json, peek, (&mut note.error, &mut note.brings))?,
            "data" | "results" => {
                note.has_results |= peek == Peek::Array;
                json.known_skip(peek)?;
            }
            "content" | "output" => {
                note.has_content |= peek == Peek::Array;
                json.known_skip(peek)?;
            }
            "usage" => note.usage = counts(json, peek)?.over(note.usage),
            "error" => failure(json, peek, &mut note.error)?,
            "message" | "response" if !inner => document(json, peek, note, true)?,
            _ => json.known_skip(peek)?,
        }
        Ok(())
    })?;
    if !inner {
        // In older versions of vLLM, the document itself is the error. So it is in an event of OpenAI's responses.
        if object.as_deref() == Some("error") || kind.as_deref() == Some("error") {
            note.error.get_or_insert(code);
        }
        note.kind = kind;
    }
    Ok(())
}

/// An error, whose status may stand in a word.
fn failure(json: &mut Jiter<'_>, peek: Peek, told: &mut Option<Option<u16>>) -> JiterResult<()> {
    if peek != Peek::Object {
        return error(json, peek, told);
    }
    let (mut any, mut code, mut named) = (false, None, None);
    members(json, peek, &mut |json, name, peek| {
        any = true;
        match (name, peek) {
            ("code" | "type", Peek::String) => {
                let said = word(json, peek)?.unwrap_or_default();
                code = said.parse().ok().filter(|status| (400..600).contains(status)).or(code);
                named = of_word(&said).or(named);
            }
            ("code" | "status", _) => code = status(json, peek)?.or(code),
            _ => json.known_skip(peek)?,
        }
        Ok(())
    })?;
    if any {
        *told = Some(code.or(named));
    }
    Ok(())
}

/// The status that a word for an error means, in Anthropic's and OpenAI's answers.
fn of_word(word: &str) -> Option<u16> {
    Some(match word {
        "overloaded_error" => 529,
        "rate_limit_error" | "rate_limit_exceeded" | "insufficient_quota" => 429,
        "api_error" | "server_error" => 500,
        "authentication_error" | "invalid_api_key" => 401,
        "permission_error" => 403,
        "not_found_error" | "model_not_found" => 404,
        "request_too_large" => 413,
        "invalid_request_error" | "invalid_prompt" => 400,
        _ => return None,
    })
}

fn choices(
    json: &mut Jiter<'_>,
    peek: Peek,
    (failed, brings): (&mut Option<Option<u16>>, &mut bool),
) -> JiterResult<Option<Choices>> {
    if peek != Peek::Array {
        json.known_skip(peek)?;
        return Ok(None);
    }
    let mut found = Vec::new();
    items(json, peek, &mut |json, peek| {
        let (mut index, mut reason) = (0, None);
        members(json, peek, &mut |json, name, peek| {
            match name {
                "index" => index = whole(json, peek)?.unwrap_or_default(),
                "finish_reason" => reason = word(json, peek)?,
                "error" => failure(json, peek, failed)?,
                "text" => *brings |= is_something(json, peek)?,
                "delta" if peek == Peek::Object => delta(json, peek, brings)?,
                _ => json.known_skip(peek)?,
            }
            Ok(())
        })?;
        if index < MOST_CHOICES && (found.len() as u64) < MOST_CHOICES {
            found.push((index, reason));
        }
        Ok(())
    })?;
    Ok(Some(found))
}

/// What a choice adds: all but the role of who speaks is a piece of the answer.
fn delta(json: &mut Jiter<'_>, peek: Peek, brings: &mut bool) -> JiterResult<()> {
    members(json, peek, &mut |json, name, peek| {
        if name == "role" {
            return json.known_skip(peek);
        }
        *brings |= is_something(json, peek)?;
        Ok(())
    })
}

/// Whether a value is not empty.
fn is_something(json: &mut Jiter<'_>, peek: Peek) -> JiterResult<bool> {
    match peek {
        Peek::String => json.known_str().map(|text| !text.is_empty()),
        Peek::Array => {
            let mut any = false;
            items(json, peek, &mut |json, peek| {
                any = true;
                json.known_skip(peek)
            })?;
            Ok(any)
        }
        peek => {
            json.known_skip(peek)?;
            Ok(peek == Peek::Object)
        }
    }
}
