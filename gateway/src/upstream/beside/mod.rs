//! What an answer says, read beside its bytes as they pass: its usage, its end, and the failure that it tells although its
//! status was good.
//!
//! Of a stream, whole events pass, as they came. The event that ends it is held back, so that it can be given once the outcome is on
//! disk. An event that tells a failure is not passed, since it holds the server's words; nor is what comes after it.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::kinds::Api;
use crate::upstream::continuous_usage;
use crate::upstream::events::{Event, Events, LONGEST_EVENT};
use crate::upstream::failure::{Failure, UpstreamError};
use crate::upstream::note::{self, Note};
use crate::upstream::usage::Counts;
use crate::upstream::wire;

/// The longest answer that is no stream, in bytes.
const LONGEST: usize = 64 * 1024 * 1024;
/// The most bytes that are kept of what comes after a stream's end.
const LONGEST_REST: usize = 64 * 1024;

/// Reads an answer as it passes.
#[derive(Debug)]
pub struct Beside {
    api: Api,
    strips_usage: bool,
    /// Whether the event that has the usage alone is held back, to be given with its cost.
    holds_usage: bool,
    /// Whether events that tell what was counted are held back until the end, to be given with the cost.
    tells_cost: bool,
    /// Whether the usage of events that bring a piece of the answer is for us alone.
    keeps_continuous_usage: bool,
    form: Form,
    usage: Counts,
    error: Option<UpstreamError>,
}

#[derive(Debug)]
enum Form {
    /// A document, of which all pieces are kept.
    Whole { pieces: Vec<Bytes>, length: usize },
    /// A stream of events.
    Stream { events: Box<Events>, progress: Progress },
}

/// How far a stream is.
#[derive(Debug, Default)]
struct Progress {
    /// Each choice that has begun, and whether it has ended.
    choices: BTreeMap<u64, bool>,
    /// How many events have brought a piece of the answer.
    pieces: u64,
    /// The document of the event that has the usage, which is held back.
    usage: Option<Bytes>,
    /// An event that tells what was counted, as it came, which is held back.
    held: Option<Bytes>,
    /// The event that ends it, and what came after.
    rest: Option<Vec<u8>>,
}

/// A piece that passes.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) bytes: Bytes,
    /// The tokens that the server has counted up to it.
    pub(crate) counts: Option<Counts>,
    /// How many pieces of the answer it has streamed, with this one.
    pub(crate) pieces: u64,
}

/// What an answer said.
#[derive(Debug, Default)]
pub struct Seen {
    /// What was held back: the event that ends a stream, and what came after it.
    pub rest: Option<Bytes>,
    /// The document of the event that has the usage alone, where that is held back.
    pub(crate) usage_event: Option<Bytes>,
    /// The event that tells what was counted, as it came, where that is held back.
    pub(crate) held: Option<Bytes>,
    /// The tokens that the server counted.
    pub(crate) usage: Option<Counts>,
    /// Whether the answer came to its end.
    pub finished: bool,
    /// Why the answer is none, although its status was good.
    pub(crate) error: Option<UpstreamError>,
}

/// What becomes of an event.
enum Verdict {
    Passes,
    /// It is the usage that the client did not ask for.
    Stripped,
    /// It tells what was counted, and waits for the cost.
    Held,
    /// It ends the stream.
    Ends,
}

impl Beside {
    /// For an answer of an API. `streamed` is whether it is a stream of events, by its content type; `strips_usage` takes
    /// the usage out that its client did not ask for.
    pub fn new(api: Api, streamed: bool, strips_usage: bool) -> Self {
        let form = if streamed {
            Form::Stream { events: Box::default(), progress: Progress::default() }
        } else {
            Form::Whole { pieces: Vec::new(), length: 0 }
        };
        Self {
            api,
            strips_usage,
            holds_usage: false,
            tells_cost: false,
            keeps_continuous_usage: false,
            form,
            usage: Counts::default(),
            error: None,
        }
    }

    /// The same, where the usage that the client asked for is held back, to be given with its cost.
    #[must_use]
    pub(crate) fn holding_usage(mut self, holds: bool) -> Self {
        self.holds_usage = holds && !self.strips_usage;
        self.tells_cost = holds;
        self
    }

    /// The same, where each event tells what was used up to there, because the gateway asked for it: the client gets `null` in its
    /// place, as it does from OpenAI.
    #[must_use]
    pub(crate) fn keeping_continuous_usage(mut self, keeps: bool) -> Self {
        self.keeps_continuous_usage = keeps;
        self
    }

    /// Reads a piece. Returns what the client gets now: bytes as they came, but for a usage that only the gateway asked for.
    pub fn push(&mut self, piece: Bytes) -> Vec<Bytes> {
        self.read(piece).into_iter().map(|passed| passed.bytes).collect()
    }

    /// The same, each with what was seen up to there.
    pub(crate) fn read(&mut self, piece: Bytes) -> Vec<Passed> {
        if self.error.is_some() {
            return Vec::new();
        }
        let mut read = Vec::new();
        match &mut self.form {
            Form::Whole { pieces, length } => {
                *length += piece.len();
                if *length > LONGEST {
                    self.error = Some(Failure::TooLong(LONGEST).into());
                    return Vec::new();
                }
                pieces.push(piece.clone());
                return vec![Passed { bytes: piece, counts: None, pieces: 0 }];
            }
            Form::Stream { events, .. } => {
                if events.push(&piece, &mut read).is_err() {
                    // Those before it count first.
                    let passed = self.pass(read);
                    if !self.has_ended() {
                        self.error.get_or_insert(Failure::TooLong(LONGEST_EVENT).into());
                    }
                    return passed;
                }
            }
        }
        self.pass(read)
    }

    /// The failure that the answer told so far. Nothing passes any more.
    pub(crate) fn failure(&self) -> Option<&UpstreamError> {
        self.error.as_ref()
    }

    /// The tokens that the server has counted so far, and how many pieces of the answer it has streamed.
    pub(crate) fn so_far(&self) -> (Option<Counts>, u64) {
        let pieces = match &self.form {
            Form::Stream { progress, .. } => progress.pieces,
            Form::Whole { .. } => 0,
        };
        (self.usage.ended(), pieces)
    }

    /// Whether the stream has told its end. Nothing of what still comes is needed.
    pub fn has_ended(&self) -> bool {
        matches!(&self.form, Form::Stream { progress, .. } if progress.rest.is_some())
    }

    /// The server has ended the answer.
    pub fn end(mut self) -> Seen {
        let form = std::mem::replace(&mut self.form, Form::Whole { pieces: Vec::new(), length: 0 });
        match form {
            Form::Whole { pieces, .. } => self.end_document(&pieces.concat()),
            Form::Stream { events, progress } => self.end_stream(*events, progress),
        }
    }

    /// Judges events. Returns the bytes of those that pass.
    fn pass(&mut self, events: Vec<Event>) -> Vec<Passed> {
        let mut passed = Vec::new();
        for event in events {
            let Form::Stream { progress, .. } = &mut self.form else { break };
            if let Some(rest) = &mut progress.rest {
                hold(rest, &event.raw);
                continue;
            }
            // Nobody but the gateway speaks so.
            if event.is_ours {
                continue;
            }
            let strips = (self.strips_usage || self.holds_usage, self.tells_cost);
            match judge(self.api, strips, &event, progress, &mut self.usage) {
                Ok(Verdict::Held) => {
                    // Another came before.
                    let before = progress.held.replace(event.raw.concat().into());
                    let (counts, pieces) = (self.usage.ended(), progress.pieces);
                    passed.extend(before.map(|bytes| Passed { bytes, counts, pieces }));
                }
                Ok(Verdict::Passes) => {
                    let held = progress.held.take();
                    let (counts, pieces) = (self.usage.ended(), progress.pieces);
                    let without =
                        self.keeps_continuous_usage.then(|| continuous_usage::without(&event)).flatten();
                    let raw = held.into_iter().chain(without.map_or(event.raw, |raw| vec![raw]));
                    passed.extend(raw.map(|bytes| Passed { bytes, counts, pieces }));
                }
                Ok(Verdict::Stripped) => progress.usage = event.data,
                Ok(Verdict::Ends) => hold(progress.rest.insert(Vec::new()), &event.raw),
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
        passed
    }

    fn end_stream(mut self, events: Events, mut progress: Progress) -> Seen {
        let mut last = None;
        if self.error.is_none()
            && let Some(event) = events.end().filter(|event| !event.is_ours)
        {
            match &mut progress.rest {
                Some(rest) => hold(rest, &event.raw),
                None => match judge(
                    self.api,
                    (self.strips_usage || self.holds_usage, false),
                    &event,
                    &mut progress,
                    &mut self.usage,
                ) {
                    Ok(Verdict::Stripped) => progress.usage = event.data,
                    Ok(_) => {
                        let without =
                            self.keeps_continuous_usage.then(|| continuous_usage::without(&event)).flatten();
                        last = Some(without.map_or_else(|| event.raw.concat(), |raw| raw.to_vec()));
                    }
                    Err(error) => self.error = Some(error),
                },
            }
        }
        let ended = !progress.choices.is_empty() && progress.choices.values().all(|ended| *ended);
        let finished = self.error.is_none() && (progress.rest.is_some() || ended);
        if !finished && self.error.is_none() {
            self.error = Some(Failure::BrokenOff.into());
        }
        let rest = progress.rest.into_iter().chain(last).flatten().collect::<Vec<u8>>();
        let rest = (finished && !rest.is_empty()).then(|| rest.into());
        let usage_event = progress.usage.filter(|_| self.holds_usage);
        let held = progress.held;
        Seen { rest, usage_event, held, usage: self.usage.ended(), finished, error: self.error }
    }

    fn end_document(self, body: &[u8]) -> Seen {
        let failed = |error: UpstreamError| Seen { error: Some(error), ..Seen::default() };
        if let Some(error) = self.error {
            return failed(error);
        }
        let text = wire::lenient(body);
        let note = match note::read(&text) {
            Ok(note) => note,
            Err(error) => {
                tracing::warn!(%error, "the model server's answer was not understood");
                return failed(Failure::Unreadable.into());
            }
        };
        if let Some(error) = told_failure(&note, &text) {
            return failed(error);
        }
        let whole = match self.api {
            Api::Chat | Api::Completions => note.choices.is_some_and(|choices| !choices.is_empty()),
            Api::Messages | Api::Responses => note.has_content,
            Api::Embeddings | Api::Rerank | Api::Images => note.has_results,
        };
        if !whole {
            return failed(Failure::Unreadable.into());
        }
        Seen { usage: note.usage.ended(), finished: true, ..Seen::default() }
    }
}

/// Keeps bytes of what comes at a stream's end, as far as there is room.
fn hold(rest: &mut Vec<u8>, raw: &[Bytes]) {
    // The event that ends a response holds all of it again.
    let most = if rest.is_empty() { LONGEST_EVENT } else { LONGEST_REST.max(rest.len()) };
    for part in raw {
        if rest.len() + part.len() <= most {
            rest.extend_from_slice(part);
        }
    }
}

fn judge(
    api: Api,
    (strips_usage, holds_usage): (bool, bool),
    event: &Event,
    progress: &mut Progress,
    usage: &mut Counts,
) -> Result<Verdict, UpstreamError> {
    let Some(data) = &event.data else {
        // A server that answers with one document in the place of a stream tells an error, mostly.
        let raw = event.raw.concat();
        if raw.trim_ascii_start().first() == Some(&b'{') {
            let text = wire::lenient(&raw);
            let note = note::read(&text).unwrap_or_default();
            return Err(told_failure(&note, &text).unwrap_or_else(|| Failure::Unreadable.into()));
        }
        return Ok(Verdict::Passes);
    };
    let text = wire::lenient(data);
    let text = text.trim();
    if text == "[DONE]" {
        return Ok(Verdict::Ends);
    }
    if text.is_empty() {
        return Ok(Verdict::Passes);
    }
    let note = note::read(text).map_err(|error| {
        tracing::warn!(%error, "an event of the model server was not understood");
        UpstreamError::from(Failure::Unreadable)
    })?;
    if let Some(error) = told_failure(&note, text) {
        return Err(error);
    }
    if event.is_error {
        return Err(UpstreamError::said(None, text));
    }
    let counts = !note.usage.is_empty();
    *usage = note.usage.over(*usage);
    match api {
        Api::Messages if note.kind.as_deref() == Some("message_stop") => return Ok(Verdict::Ends),
        Api::Responses
            if matches!(note.kind.as_deref(), Some("response.completed" | "response.incomplete")) =>
        {
            return Ok(Verdict::Ends);
        }
        _ => {}
    }
    let choices = note.choices.unwrap_or_default();
    let of_kind = |kind: &str| kind.ends_with("delta") && kind != "message_delta";
    if note.brings || note.kind.as_deref().is_some_and(of_kind) {
        progress.pieces += 1;
    }
    // It tells what was counted, and is told with the cost.
    if holds_usage && api == Api::Messages && counts && note.kind.as_deref() == Some("message_delta") {
        return Ok(Verdict::Held);
    }
    if choices.is_empty() && counts && strips_usage && matches!(api, Api::Chat | Api::Completions) {
        return Ok(Verdict::Stripped);
    }
    for (index, reason) in choices {
        *progress.choices.entry(index).or_default() |= reason.is_some();
    }
    Ok(Verdict::Passes)
}

/// The failure that a document tells.
fn told_failure(note: &Note, text: &str) -> Option<UpstreamError> {
    if let Some(status) = note.error {
        return Some(UpstreamError::said(status, text));
    }
    let failed = matches!(note.kind.as_deref(), Some("error" | "response.failed"))
        || matches!(note.status.as_deref(), Some("failed" | "cancelled"))
        || note.choices.iter().flatten().any(|(_, reason)| reason.as_deref() == Some("error"));
    failed.then(|| UpstreamError::said(None, text))
}
