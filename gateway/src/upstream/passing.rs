//! A request that is passed on, and its answer as the client gets it.

use std::collections::VecDeque;
use std::time::Duration;

use axum::http::Response;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use bytes::Bytes;
use futures::StreamExt as _;
use salt402_protocol::{Address, Amount};

use crate::kinds::Api;
use crate::upstream::beside::{Beside, Passed};
use crate::upstream::cost::{event_with_cost, in_event, with_cost};
use crate::upstream::failure::{Failure, UpstreamError};
use crate::upstream::frames::Frames;
use crate::upstream::usage::Counts;
use crate::upstream::wire;

/// How long a stream may take to end after its last event. Its connection can be used again then.
const LINGER: Duration = Duration::from_millis(500);
/// The longest answer in the place of a stream, and the longest whole answer, in bytes.
const LONGEST: usize = 64 * 1024 * 1024;

/// What a model server is sent.
#[derive(Clone, Debug)]
pub(crate) struct PassedOn {
    pub(crate) api: Api,
    /// The body, with the model's name at the server.
    pub(crate) body: Bytes,
    /// Whether a stream of events is asked for.
    pub(crate) streamed: bool,
    /// Whether the usage is taken out of the stream.
    pub(crate) strips_usage: bool,
    /// Whether each event tells what was used up to there, for us alone.
    pub(crate) continuous_usage: bool,
    /// Whether the usage that the client asked for is given with its cost, at the end.
    pub(crate) tells_cost: bool,
    /// Who has paid. `None` for the gateway's own questions.
    pub(crate) payer: Option<Address>,
    /// Whether a server that is busy is not waited for, because others may be asked.
    pub(crate) hurried: bool,
}

/// An answer on its way.
#[derive(Debug)]
pub(crate) struct Passing {
    api: Api,
    source: Source,
    /// `None` once the answer has ended.
    beside: Option<Beside>,
    /// Pieces that can be given.
    ready: VecDeque<Passed>,
    /// What was seen up to the last piece that was given.
    given: (Option<Counts>, u64),
    /// What comes last: the event that ends a stream, or all of an answer that is none.
    last: Vec<Bytes>,
    encoding: Option<String>,
    is_stream: bool,
    /// What was seen, once the answer has ended.
    seen: Option<(Option<Counts>, u64)>,
    /// The document of the event that has the usage, which is given with its cost.
    usage_event: Option<Bytes>,
    /// The event that tells what was counted, which is given with the cost.
    held: Option<Bytes>,
}

enum Source {
    Server(Box<Frames>),
    Demo(VecDeque<Bytes>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Server(_) => "Server",
            Self::Demo(_) => "Demo",
        })
    }
}

impl Source {
    async fn next(&mut self) -> Option<Result<Bytes, UpstreamError>> {
        match self {
            Self::Server(frames) => frames.next().await,
            Self::Demo(pieces) => pieces.pop_front().map(Ok),
        }
    }
}

impl Passing {
    /// A server's answer with a good status.
    pub(super) fn of(asked: &PassedOn, response: Response<Frames>) -> Result<Self, UpstreamError> {
        let (head, frames) = response.into_parts();
        let is_stream = asked.streamed && is_events(&head.headers);
        let encoding = head.headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        let encoding = encoding.filter(|encoding| !encoding.eq_ignore_ascii_case("identity"));
        if is_stream && encoding.is_some() {
            tracing::warn!(?encoding, "the model server compresses a stream though it was asked not to");
            return Err(Failure::Unreadable.into());
        }
        Ok(Self::new(asked, Source::Server(Box::new(frames)), is_stream, encoding.map(str::to_owned)))
    }

    /// The built-in model's answer: these pieces of a stream, or of a document.
    pub(super) fn demo(asked: &PassedOn, pieces: Vec<Bytes>) -> Self {
        Self::new(asked, Source::Demo(pieces.into()), asked.streamed, None)
    }

    fn new(asked: &PassedOn, source: Source, is_stream: bool, encoding: Option<String>) -> Self {
        let beside = Beside::new(asked.api, is_stream, asked.strips_usage)
            .holding_usage(asked.tells_cost)
            .keeping_continuous_usage(asked.continuous_usage);
        Self {
            api: asked.api,
            source,
            beside: Some(beside),
            ready: VecDeque::new(),
            given: (None, 0),
            last: Vec::new(),
            encoding,
            is_stream,
            seen: None,
            usage_event: None,
            held: None,
        }
    }

    /// Whether it is a stream of events. If not, all of it comes last, although a stream may have been asked for.
    pub(crate) fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// The tokens that the server has counted up to what was given, how many pieces of a stream it has written, and whether it has ended.
    pub(crate) fn so_far(&self) -> (Option<Counts>, u64, bool) {
        match (&self.beside, self.seen) {
            (Some(_), _) => (self.given.0, self.given.1, false),
            (None, seen) => {
                let (counts, pieces) = seen.unwrap_or_default();
                (counts, pieces, true)
            }
        }
    }

    /// The next piece that the client gets. `None` at the end; then [`Passing::last`] has the rest.
    ///
    /// # Errors
    /// If the server failed, or its answer says that it did.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        loop {
            if let Some(Passed { bytes, counts, pieces }) = self.ready.pop_front() {
                self.given = (counts, pieces);
                return Ok(Some(bytes));
            }
            let Some(beside) = &mut self.beside else { return Ok(None) };
            if let Some(error) = beside.failure() {
                return Err(error.clone());
            }
            let (piece, broken) = if beside.has_ended() {
                match tokio::time::timeout(LINGER, self.source.next()).await {
                    Ok(Some(Ok(piece))) => (Some(piece), None),
                    _ => (None, None),
                }
            } else {
                match self.source.next().await {
                    Some(Ok(piece)) => (Some(piece), None),
                    Some(Err(error)) => (None, Some(error)),
                    None => (None, None),
                }
            };
            match piece {
                Some(piece) => self.take(piece)?,
                None => self.end(broken)?,
            }
        }
    }

    /// What comes last.
    pub(crate) fn last(self) -> Bytes {
        match <[Bytes; 1]>::try_from(self.last) {
            Ok([last]) => last,
            Err(parts) => parts.concat().into(),
        }
    }

    /// What comes last, with what the answer cost where its usage is told.
    pub(crate) fn last_with_cost(mut self, cost: Amount) -> Bytes {
        if !self.is_stream {
            return with_cost(self.last(), cost);
        }
        let event = self.usage_event.take().map(|document| event_with_cost(document, cost));
        let event = event.or_else(|| self.held.take().map(|event| in_event(&event, cost)));
        let ends_with_usage = self.api == Api::Responses;
        let last = self.last();
        let last = if ends_with_usage { in_event(&last, cost) } else { last };
        match event {
            Some(event) => [event, last].concat().into(),
            None => last,
        }
    }

    /// All of an answer that is no stream, and the tokens that the server counted.
    ///
    /// # Errors
    /// If the server failed, or its answer says that it did.
    pub(super) async fn document(mut self) -> Result<(Bytes, Option<Counts>), UpstreamError> {
        while self.next().await?.is_some() {}
        let (counts, ..) = self.so_far();
        Ok((self.last(), counts))
    }

    fn take(&mut self, piece: Bytes) -> Result<(), UpstreamError> {
        let Some(beside) = &mut self.beside else { return Ok(()) };
        if self.is_stream {
            self.ready.extend(beside.read(piece));
            return Ok(());
        }
        // It may still say that it is none, and then nobody may have got a part of it.
        self.last.push(piece);
        let length: usize = self.last.iter().map(Bytes::len).sum();
        if length > LONGEST { Err(Failure::TooLong(LONGEST).into()) } else { Ok(()) }
    }

    /// The server has ended it, or it broke off. What is whole all the same is an answer.
    fn end(&mut self, broken: Option<UpstreamError>) -> Result<(), UpstreamError> {
        let Some(mut beside) = self.beside.take() else { return Ok(()) };
        if !self.is_stream {
            if let Some(broken) = broken {
                return Err(broken);
            }
            let mut body = Bytes::from(std::mem::take(&mut self.last).concat());
            if let Some(encoding) = &self.encoding {
                body = wire::text(body.to_vec(), Some(encoding), LONGEST)?.into();
            }
            beside.push(body.clone());
            self.last = vec![body];
        }
        let (_, pieces) = beside.so_far();
        let seen = beside.end();
        count(self.api, seen.usage.as_ref());
        self.seen = Some((seen.usage, pieces));
        match (seen.error, broken) {
            (Some(_), Some(broken)) => return Err(broken),
            (Some(error), None) => return Err(error),
            (None, _) => {}
        }
        self.usage_event = seen.usage_event;
        self.held = seen.held;
        self.last.extend(seen.rest);
        Ok(())
    }
}

/// Counts the tokens that a server says it read and wrote.
fn count(api: Api, usage: Option<&Counts>) {
    let Some(usage) = usage else { return };
    let kinds = [
        ("prompt", usage.prompt),
        ("completion", usage.completion),
        ("cached", usage.cached),
        ("reasoning", usage.reasoning),
    ];
    for (kind, tokens) in kinds {
        if let Some(tokens) = tokens {
            metrics::counter!("salt402_gateway_tokens_total", "api" => api.name(), "kind" => kind)
                .increment(tokens);
        }
    }
}

/// Whether an answer says that it is a stream of events.
fn is_events(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}
