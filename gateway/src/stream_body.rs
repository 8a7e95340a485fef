//! The body of a stream's answer: what its run has written, from the start, and what its client is told beside that.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;

use crate::dialect::Dialect;
use crate::execution::Reader;
use crate::tab::{End, Told};

/// A stream's body. If it breaks off, it says so in the stream's own form, and ends. `told` is where its client asked to pay as it goes.
pub(crate) fn streamed(reader: Reader, dialect: Dialect, told: Option<Told>) -> Body {
    let passing = Passing { reader, dialect, told, ends: Ends::default(), ready: VecDeque::new() };
    let pieces = stream::unfold(passing, |mut passing| async move {
        let piece = passing.next().await?;
        Some((Ok::<_, Infallible>(piece), passing))
    });
    Body::from_stream(pieces)
}

struct Passing {
    reader: Reader,
    dialect: Dialect,
    told: Option<Told>,
    ends: Ends,
    ready: VecDeque<Bytes>,
}

impl Passing {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(piece) = self.ready.pop_front() {
            return Some(piece);
        }
        let piece = match &mut self.told {
            None => self.reader.next().await,
            // Whatever was written comes first.
            Some(told) => tokio::select! {
                biased;
                piece = self.reader.next() => piece,
                word = told.next(), if !self.ends.within_event() => return Some(word),
            },
        };
        let receipt = self.told.as_mut().filter(|_| self.reader.has_ended()).and_then(Told::receipt);
        match (piece, receipt) {
            (Some(Ok(piece)), None) => {
                self.ends.with(&piece);
                Some(piece)
            }
            // It is the last piece. A client may read no further than the end of a stream that it knows.
            (Some(Ok(piece)), Some((receipt, End::Whole))) => {
                self.ready.push_back(piece);
                Some(receipt)
            }
            (Some(Ok(piece)), Some((receipt, End::Cut))) => {
                self.ready.push_back(receipt);
                Some(piece)
            }
            (Some(Err(problem)), receipt) => {
                self.ready.extend(receipt.map(|(receipt, _)| receipt));
                Some(self.dialect.broken_event(&problem, self.ends.within_event()))
            }
            (None, receipt) => receipt.map(|(receipt, _)| receipt),
        }
    }
}

/// The last bytes that were given.
#[derive(Default)]
struct Ends([u8; 4]);

impl Ends {
    fn with(&mut self, piece: &[u8]) {
        for byte in piece.iter().skip(piece.len().saturating_sub(4)) {
            self.0.rotate_left(1);
            self.0[3] = *byte;
        }
    }

    /// Whether an event has begun and not ended.
    fn within_event(&self) -> bool {
        !matches!(
            self.0,
            [0, 0, 0, 0] | [_, _, b'\n', b'\n'] | [_, _, b'\r', b'\r'] | [_, b'\n', b'\r', b'\n']
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_ended_where_an_empty_line_was_given_however_it_was_cut() {
        for (text, within) in [
            ("", false),
            ("data: x", true),
            ("data: x\n", true),
            ("data: x\n\n", false),
            ("data: x\r\n\r\n", false),
            ("data: x\r\n", true),
            ("data: x\r\r", false),
            ("data: x\n\r\n", false),
            ("data: x\r", true),
            ("\n", true),
        ] {
            for cut in 0..=text.len() {
                let mut ends = Ends::default();
                ends.with(&text.as_bytes()[..cut]);
                ends.with(&text.as_bytes()[cut..]);
                assert_eq!(ends.within_event(), within, "{text:?} cut at {cut}");
            }
        }
    }
}
