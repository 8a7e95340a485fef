//! Makes what a remote says harmless to print.
//!
//! A terminal obeys escape sequences: they move the cursor, rename the window and overwrite text. Other characters turn
//! the direction of the text after them. All of these are shown as visible characters.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with everything visible that a terminal would obey, except line ends and tabs.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\r' if rest.peek() == Some(&'\n') => {}
            _ if obeyed(character) => escape(character, &mut shown),
            _ => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// [`visible`] for text on one line, so that a remote cannot add lines of its own.
pub(crate) fn visible_line(text: &str) -> String {
    visible(text).replace('\n', "\\u000a")
}

/// As an escape of JSON, so that JSON stays JSON.
fn escape(character: char, shown: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(shown, "\\u{:04x}", u32::from(character));
}

/// Control characters of both kinds, and characters that change the direction or the lines of a text.
fn obeyed(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' => true,
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => character.is_control(),
    }
}

/// [`visible`] for bytes that come in parts. A part may end in the middle of a character.
#[derive(Debug, Default)]
pub(crate) struct VisibleStream {
    /// The beginning of a character or of a line end.
    held: Vec<u8>,
}

impl VisibleStream {
    /// What can be shown of the bytes so far.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut shown = String::with_capacity(held.len());
        let mut rest = held.as_slice();
        while !rest.is_empty() {
            let (good, bad) = match std::str::from_utf8(rest) {
                Ok(good) => (good, None),
                Err(error) => {
                    let (good, from) = rest.split_at(error.valid_up_to());
                    (std::str::from_utf8(good).unwrap_or_default(), Some((from, error.error_len())))
                }
            };
            let last = bad.is_none() && good.ends_with('\r');
            let (good, kept) = if last { good.split_at(good.len() - 1) } else { (good, "") };
            shown.push_str(&visible(good));
            self.held.extend_from_slice(kept.as_bytes());
            rest = match bad {
                None => &[],
                // The character is not complete yet.
                Some((from, None)) => {
                    self.held.extend_from_slice(from);
                    &[]
                }
                Some((from, Some(length))) => {
                    from[..length].iter().for_each(|byte| {
                        let _ = write!(shown, "\\x{byte:02x}");
                    });
                    &from[length..]
                }
            };
        }
        shown
    }

    /// What is left at the end.
    pub(crate) fn end(self) -> String {
        let mut shown = String::new();
        for byte in self.held {
            let _ = match byte {
                b'\r' => write!(shown, "\\u000d"),
                byte => write!(shown, "\\x{byte:02x}"),
            };
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_and_not_sent() {
        for (text, shown) in [
            ("plain, ä and 中\n\tindented\r\n", "plain, ä and 中\n\tindented\n"),
            ("\u{1b}[2Jgone", "\\u001b[2Jgone"),
            ("\u{1b}]0;title\u{7}", "\\u001b]0;title\\u0007"),
            ("paid 1\rpaid 9", "paid 1\\u000dpaid 9"),
            ("\u{9b}31m", "\\u009b31m"),
            ("abc\u{202e}def\u{2066}", "abc\\u202edef\\u2066"),
            ("\u{7f}\u{8}", "\\u007f\\u0008"),
        ] {
            assert_eq!(visible(text), shown, "{text:?}");
        }
    }

    #[test]
    fn no_remote_begins_a_line_of_its_own() {
        assert_eq!(visible_line("not yet\r\npaid\u{1b}[1m"), "not yet\\u000apaid\\u001b[1m");
        // JSON keeps its meaning.
        let json = serde_json::json!({ "detail": "a\u{9b}b\u{202e}c\n" });
        let shown = visible_line(&json.to_string());
        assert!(!shown.contains('\u{9b}') && !shown.contains('\u{202e}'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).ok(), Some(json));
    }

    proptest! {
        /// However the bytes are cut, the same is shown, and nothing that a terminal obeys.
        #[test]
        fn bytes_in_parts_are_shown_as_the_whole_is(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0x1b), Just(b'\r'), Just(b'\n'), Just(0xc2)], 0..40),
            text in any::<String>(), cuts in proptest::collection::vec(0usize..60, 0..5),
        ) {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let mut whole = VisibleStream::default();
                let shown = whole.push(bytes) + &whole.end();
                prop_assert!(!shown.chars().any(obeyed), "{shown:?}");
                let (mut parts, mut seen, mut at) = (VisibleStream::default(), String::new(), 0);
                let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
                cuts.sort_unstable();
                for cut in cuts.into_iter().chain([bytes.len()]) {
                    seen += &parts.push(&bytes[at..cut]);
                    at = cut;
                }
                prop_assert_eq!(seen + &parts.end(), shown);
            }
            let whole = VisibleStream::default().push(text.as_bytes());
            prop_assert!(text.ends_with('\r') || whole == visible(&text));
        }
    }
}
