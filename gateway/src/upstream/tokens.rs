//! The pieces of text that a chat stream brings.

use bytes::Bytes;

use crate::upstream::events::{Event, Events, LONGEST_EVENT};
use crate::upstream::failure::{Failure, UpstreamError};
use crate::upstream::{json, wire};

/// Reads the text out of the events of a chat stream that was judged to be good.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Events);

impl Tokens {
    /// Reads a piece. Returns the texts of its first choice, each as its event had it.
    ///
    /// # Errors
    /// If an event is too long or cannot be read.
    pub(crate) fn push(&mut self, piece: &Bytes) -> Result<Vec<String>, UpstreamError> {
        let mut events = Vec::new();
        self.0.push(piece, &mut events).map_err(|_| Failure::TooLong(LONGEST_EVENT))?;
        let mut texts = Vec::new();
        for Event { data, .. } in events {
            let Some(data) = data else { continue };
            let text = wire::lenient(&data);
            let text = text.trim();
            if text.is_empty() || text == "[DONE]" {
                continue;
            }
            texts.extend(read(text)?);
        }
        Ok(texts)
    }

    /// The text of a whole chat completion.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn of_document(body: &[u8]) -> Result<Vec<String>, UpstreamError> {
        Ok(read(&wire::lenient(body))?.into_iter().collect())
    }
}

fn read(text: &str) -> Result<Option<String>, UpstreamError> {
    let said = json::read(text).map_err(|error| {
        tracing::warn!(%error, "an event of the model server was not understood");
        UpstreamError::from(Failure::Unreadable)
    })?;
    Ok(said.choice.map(|choice| choice.output).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_events_wherever_the_stream_is_cut() {
        let stream = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n: beat\n\n\
            data: {\"choices\":[{\"delta\":{\"content\":\"The\"}}]}\r\n\r\n\
            data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n\
            data: {\"choices\":[{\"delta\":{\"content\":\" sée\"}}]}\n\n\
            data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[]}\n\ndata: [DONE]\n\n";
        for cut in 0..=stream.len() {
            let mut tokens = Tokens::default();
            let whole = Bytes::from_static(stream.as_bytes());
            let mut texts = tokens.push(&whole.slice(..cut)).unwrap();
            texts.extend(tokens.push(&whole.slice(cut..)).unwrap());
            assert_eq!(texts, ["The", " sée"], "{cut}");
        }
        let document = br#"{"choices":[{"message":{"content":"all"}}]}"#;
        assert_eq!(Tokens::of_document(document).unwrap(), ["all"]);
    }
}
