//! Server-sent events (WHATWG HTML, section 9.2), read beside their bytes.
//!
//! Each event keeps the bytes that it came in, so that what passes is what came. Where a stream is cut into pieces changes
//! nothing: the same bytes make the same events.

use bytes::Bytes;
use memchr::memchr2;

/// The longest event, in bytes.
pub(crate) const LONGEST_EVENT: usize = 8 * 1024 * 1024;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// An event, a comment, or an empty line.
#[derive(Debug, Default)]
pub(crate) struct Event {
    /// Its bytes as they came, with all that ends it.
    pub(crate) raw: Vec<Bytes>,
    /// Its data, the lines joined by line feeds. `None` if it has none.
    pub(crate) data: Option<Bytes>,
    /// Whether its data stood in a field `error`, as some servers write it.
    pub(crate) is_error: bool,
    /// Whether its name is one of ours, with which no server may speak.
    pub(crate) is_ours: bool,
}

/// Events with such names tell what a stream is paid with.
const OURS: &[u8] = b"payment-";

/// An event is longer than [`LONGEST_EVENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The data of an event so far. That of one line is not copied.
#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    Line(Bytes),
    Lines(Vec<u8>),
}

impl Data {
    fn add(&mut self, value: Bytes) {
        *self = match std::mem::take(self) {
            Self::None => Self::Line(value),
            Self::Line(first) => Self::Lines([&first[..], b"\n", &value].concat()),
            Self::Lines(mut lines) => {
                lines.push(b'\n');
                lines.extend_from_slice(&value);
                Self::Lines(lines)
            }
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        match std::mem::take(self) {
            Self::None => None,
            Self::Line(line) => Some(line),
            Self::Lines(lines) => Some(lines.into()),
        }
    }
}

/// Reads events out of pieces.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// The bytes of the event so far.
    raw: Vec<Bytes>,
    length: usize,
    /// The line so far, as far as it came in earlier pieces.
    line: Vec<u8>,
    /// The line that has ended, if more is to be known of its end.
    ended: Bytes,
    data: Data,
    is_error: bool,
    is_ours: bool,
    /// Whether the event has a line that is no comment.
    has_fields: bool,
    /// Whether the line ended with a carriage return. A line feed that follows belongs to it.
    after_return: bool,
    /// Whether a line was read. The first may begin with a byte order mark.
    begun: bool,
}

impl Events {
    /// Reads a piece. The events that it completes are added to `events`.
    ///
    /// # Errors
    /// If an event is too long. Those before it are in `events`.
    pub(crate) fn push(&mut self, piece: &Bytes, events: &mut Vec<Event>) -> Result<(), TooLong> {
        // Where the event's part of this piece begins, and how far it is read.
        let (mut start, mut at) = (0, 0);
        while at < piece.len() {
            if self.after_return {
                at += usize::from(piece[at] == b'\n');
            } else {
                let rest = &piece[at..];
                let Some(end) = memchr2(b'\n', b'\r', rest) else {
                    self.line.extend_from_slice(rest);
                    break;
                };
                self.ended = if self.line.is_empty() {
                    piece.slice(at..at + end)
                } else {
                    self.line.extend_from_slice(&rest[..end]);
                    std::mem::take(&mut self.line).into()
                };
                at += end + 1;
                if rest[end] == b'\r' {
                    self.after_return = true;
                    continue;
                }
            }
            self.after_return = false;
            if self.ends_event() {
                self.keep(piece.slice(start..at))?;
                start = at;
                events.push(self.event());
            }
        }
        self.keep(piece.slice(start..))
    }

    /// What was left when the stream ended: an event whose end is missing, if it has any bytes.
    pub(crate) fn end(mut self) -> Option<Event> {
        if !self.after_return {
            self.ended = std::mem::take(&mut self.line).into();
        }
        if !self.ended.is_empty() || self.after_return {
            self.ends_event();
        }
        (self.length > 0).then(|| self.event())
    }

    fn keep(&mut self, part: Bytes) -> Result<(), TooLong> {
        self.length += part.len();
        if self.length > LONGEST_EVENT {
            return Err(TooLong);
        }
        if !part.is_empty() {
            self.raw.push(part);
        }
        Ok(())
    }

    fn event(&mut self) -> Event {
        self.length = 0;
        self.has_fields = false;
        Event {
            raw: std::mem::take(&mut self.raw),
            data: self.data.take(),
            is_error: std::mem::take(&mut self.is_error),
            is_ours: std::mem::take(&mut self.is_ours),
        }
    }

    /// Reads the line that has ended. Returns whether the event ends with it. A comment outside of an event is one by itself.
    fn ends_event(&mut self) -> bool {
        let line = std::mem::take(&mut self.ended);
        let mut text = &line[..];
        if !std::mem::replace(&mut self.begun, true) {
            text = text.strip_prefix(BOM).unwrap_or(text);
        }
        let Some(first) = text.first() else { return true };
        if *first == b':' {
            return !self.has_fields;
        }
        self.has_fields = true;
        let (name, value) = match memchr::memchr(b':', text) {
            Some(colon) => (&text[..colon], &text[colon + 1..]),
            None => (text, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if name == b"event" {
            self.is_ours = value.starts_with(OURS);
        }
        if matches!(name, b"data" | b"error") {
            self.is_error |= name == b"error";
            self.data.add(line.slice_ref(value));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The data of each event and its bytes, and whether one was too long.
    type Read = (Vec<(Option<String>, Vec<u8>)>, bool);

    fn read(pieces: &[&[u8]]) -> Read {
        let (mut events, mut read) = (Events::default(), Vec::new());
        let mut too_long = false;
        for piece in pieces {
            if events.push(&Bytes::copy_from_slice(piece), &mut read).is_err() {
                too_long = true;
                break;
            }
        }
        if !too_long {
            read.extend(events.end());
        }
        let view = |event: Event| {
            (event.data.map(|data| String::from_utf8_lossy(&data).into_owned()), event.raw.concat())
        };
        (read.into_iter().map(view).collect(), too_long)
    }

    fn data(stream: &[u8]) -> Vec<String> {
        read(&[stream]).0.into_iter().filter_map(|(data, _)| data).collect()
    }

    #[test]
    fn lines_end_in_three_ways_and_data_has_many_lines() {
        assert_eq!(data(b"data: a\n\ndata:b\n\n"), ["a", "b"]);
        assert_eq!(data(b"data: a\r\n\r\ndata: b\r\n\r\n"), ["a", "b"]);
        assert_eq!(data(b"data: a\r\rdata: b\r\r"), ["a", "b"]);
        assert_eq!(data(b"\xef\xbb\xbfdata: {\ndata:  1}\n\n"), ["{\n 1}"]);
        assert_eq!(data(b": ping\n\nevent: x\nid: 1\nretry: 5\ndata\ndata:\n\n: data: no\n\n"), ["\n"]);
        assert_eq!(data(b"data: whole\n\ndata: [DONE]"), ["whole", "[DONE]"]);
        assert_eq!(data(b"datax: a\n\n data: b\n\nerror: {}\n\n"), ["{}"]);
    }

    #[test]
    fn a_comment_passes_at_once_and_one_within_an_event_with_it() {
        let raw = |stream: &[u8]| -> Vec<Vec<u8>> {
            let mut events = Vec::new();
            Events::default().push(&Bytes::copy_from_slice(stream), &mut events).unwrap();
            events.into_iter().map(|event| event.raw.concat()).collect()
        };
        assert_eq!(raw(b": ping\n"), [b": ping\n"]);
        assert_eq!(raw(b"data: a\n: ping\n"), Vec::<Vec<u8>>::new());
        assert_eq!(raw(b"data: a\n: ping\n\n"), [b"data: a\n: ping\n\n"]);
        // A carriage return may have a line feed behind it.
        assert_eq!(raw(b"data: a\r\n\r"), Vec::<Vec<u8>>::new());
        assert_eq!(raw(b"data: a\r\n\r\n"), [b"data: a\r\n\r\n"]);
    }

    #[test]
    fn g2_an_event_without_end_is_bounded() {
        let long = vec![b'x'; LONGEST_EVENT + 1];
        assert_eq!(
            read(&[b"data: a\n\ndata: ", &long]),
            (vec![(Some("a".into()), b"data: a\n\n".into())], true)
        );
        let lines = b"data: x\n".repeat(LONGEST_EVENT / 8 + 1);
        assert!(read(&[&lines]).1);
        // Comments are no part of an event.
        let comments = [&b": "[..], &[b'p'; 1000], b"\n"].concat().repeat(LONGEST_EVENT / 900);
        assert!(!read(&[&comments]).1);
    }

    proptest! {
        #[test]
        fn any_split_makes_the_same_events_and_loses_no_byte(
            stream in proptest::collection::vec(
                proptest::sample::select(vec![
                    &b"\n"[..], b"\r", b"\r\n", b"data: ", b"data:", b":", b"event: x", b"a", b"\xef\xbb\xbf",
                    b"\xf0\x9f", b"error: ",
                ]),
                0..60,
            ),
            cuts in proptest::collection::vec(0usize..400, 0..8),
        ) {
            let stream = stream.concat();
            let whole = read(&[&stream]);
            let single: Vec<&[u8]> = stream.chunks(1).collect();
            prop_assert_eq!(&read(&single), &whole);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
            prop_assert_eq!(&read(&pieces), &whole);
            let bytes: Vec<u8> = whole.0.iter().flat_map(|(_, raw)| raw.clone()).collect();
            prop_assert_eq!(bytes, stream);
        }
    }
}
