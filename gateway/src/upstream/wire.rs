//! Turns an answer's bytes into text, and the text into documents. Nothing is refused for the way it is written.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::upstream::failure::Failure;

/// How every gzip stream begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const BOM: char = '\u{feff}';
/// What JSON contains in the place of something that is not text.
const NO_TEXT: &str = "\\ufffd";

/// The text of an answer, at most `longest` bytes of it. What is not text becomes U+FFFD.
pub(super) fn text(body: Vec<u8>, encoding: Option<&str>, longest: usize) -> Result<String, Failure> {
    let encoding = encoding.unwrap_or("identity").trim();
    // Also if the header was lost on the way, since no JSON begins like this.
    let body = if body.starts_with(&GZIP) {
        inflated(MultiGzDecoder::new(body.as_slice()), longest)?
    } else if encoding.eq_ignore_ascii_case("deflate") {
        inflated(ZlibDecoder::new(body.as_slice()), longest)?
    } else {
        body
    };
    let text = String::from_utf8_lossy(&body);
    Ok(mended(text.trim_start_matches(BOM)).into_owned())
}

/// The text of a part of an answer. What is not text becomes U+FFFD.
pub(super) fn lenient(bytes: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => mended(text.trim_start_matches(BOM)),
        Cow::Owned(text) => Cow::Owned(mended(text.trim_start_matches(BOM)).into_owned()),
    }
}

fn inflated(compressed: impl std::io::Read, longest: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let read = compressed.take(longest as u64 + 1).read_to_end(&mut body);
    if body.len() > longest {
        return Err(Failure::TooLong(longest));
    }
    read.map(|_| body).map_err(|_| Failure::Unreadable)
}

/// The JSON with each half of a surrogate pair, which is no text, replaced by U+FFFD.
fn mended(json: &str) -> Cow<'_, str> {
    if !json.contains("\\ud") && !json.contains("\\uD") {
        return Cow::Borrowed(json);
    }
    let mut whole = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        whole.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match unit(rest) {
            Some(0xd800..=0xdbff) if matches!(rest.get(6..).and_then(unit), Some(0xdc00..=0xdfff)) => {
                whole.push_str(&rest[..12]);
                12
            }
            Some(0xd800..=0xdfff) => {
                whole.push_str(NO_TEXT);
                6
            }
            _ => {
                // The backslash and the character that it escapes, which may be a backslash.
                let taken = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                whole.push_str(&rest[..taken]);
                taken
            }
        };
        rest = &rest[taken..];
    }
    whole.push_str(rest);
    Cow::Owned(whole)
}

/// The UTF-16 unit of the escape that a text begins with.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

/// The documents of an answer, and whether the answer says that it is complete.
pub(super) struct Documents {
    pub(super) texts: Vec<String>,
    pub(super) whole: bool,
}

/// One document, also after comments that keep a connection open, or those of an event stream that nobody asked for.
pub(super) fn documents(text: &str) -> Documents {
    let mut rest = text.trim_start();
    while rest.starts_with(':') {
        rest = rest.split_once(['\n', '\r']).map_or("", |(_, rest)| rest).trim_start();
    }
    let field = rest.split([':', '\n', '\r']).next().unwrap_or_default();
    if !matches!(field, "data" | "event" | "id" | "retry") {
        return Documents { texts: vec![rest.to_owned()], whole: true };
    }
    let mut documents = Documents { texts: Vec::new(), whole: false };
    let mut data: Option<String> = None;
    for line in rest.split('\n').chain([""]).map(|line| line.trim_end_matches('\r')) {
        if let Some(part) = line.strip_prefix("data:") {
            let part = part.strip_prefix(' ').unwrap_or(part);
            match &mut data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(part);
                }
                None => data = Some(part.to_owned()),
            }
        } else if line.is_empty()
            && let Some(data) = data.take()
        {
            if data.trim() == "[DONE]" {
                documents.whole = true;
                return documents;
            }
            documents.texts.push(data);
        }
    }
    documents
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_no_text_becomes_a_replacement_character_and_the_rest_stays() {
        for (sent, read) in [
            (&b"\xef\xbb\xbf{}"[..], "{}"),
            (b"\"a\xffb\"", "\"a\u{fffd}b\""),
            (br#""\ud83d\ude00 \uD83D""#, r#""\ud83d\ude00 \ufffd""#),
            (br#""\ude00\ud83d\ud83d\ude00""#, r#""\ufffd\ufffd\ud83d\ude00""#),
            (br#""\\ud83d stays, \\\ud83d does not, \ud8""#, r#""\\ud83d stays, \\\ufffd does not, \ud8""#),
            (b"\"\\ud83d", "\"\\ufffd"),
            (b"\\ud\xc3\xa9\\", "\\ud\u{e9}\\"),
        ] {
            assert_eq!(text(sent.to_vec(), None, 100).unwrap(), read);
        }
    }

    #[test]
    fn a_compressed_answer_is_read_within_bounds() {
        assert_eq!(text(gzip(b"{\"a\":1}"), Some("gzip"), 100).unwrap(), "{\"a\":1}");
        assert_eq!(text(gzip(b"{}"), None, 100).unwrap(), "{}");
        assert_eq!(text(b"{}".to_vec(), Some("gzip"), 100).unwrap(), "{}");
        assert_eq!(text(gzip(&[b'a'; 100_000]), Some("gzip"), 1000), Err(Failure::TooLong(1000)));
        let mut cut = gzip(&[b'a'; 500]);
        cut.truncate(12);
        assert_eq!(text(cut, Some("gzip"), 1000), Err(Failure::Unreadable));
    }

    #[test]
    fn comments_are_passed_over_and_events_are_documents() {
        let of = |text: &str| {
            let documents = documents(text);
            (documents.texts, documents.whole)
        };
        assert_eq!(of(": wait\n\n: wait\r\n\r\n {}"), (vec!["{}".into()], true));
        assert_eq!(of(" {}\n"), (vec!["{}\n".into()], true));
        let events =
            ": hi\n\ndata: {\"a\":\ndata: 1}\n\nevent: x\r\ndata:{}\r\n\r\ndata: [DONE]\n\ndata: late\n\n";
        assert_eq!(of(events), (vec!["{\"a\":\n1}".into(), "{}".into()], true));
        assert_eq!(of("data: {}"), (vec!["{}".into()], false));
        assert_eq!(of(": only"), (vec![String::new()], true));
    }
}
