//! What a body shows its model, counted in bytes: each token of a byte-level vocabulary stands for one byte at least.
//!
//! This is a bound. To count, a tokenizer would need seconds for some megabytes, and nobody has paid for that yet.

use crate::api::json::{Json, Object};

/// How many bytes a template may put around a member of JSON besides its indentation: tags, quotes, commas.
const AROUND_MEMBER: u64 = 16;
/// How deep templates indent JSON for each level.
const INDENT: u64 = 4;
/// How long a character beyond ASCII, a control character or one of HTML is if it is escaped.
const ESCAPED: u64 = 6;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Bytes that the model is shown.
    pub(super) bytes: u64,
    /// How often the template puts something around a part of it.
    pub(super) messages: u64,
    /// Whether the template tells how tools are called, or which form an answer has.
    pub(super) tools: bool,
    /// Images.
    pub(super) images: u64,
}

impl Counted {
    /// A text that is shown as it is.
    pub(super) fn text(&mut self, text: &str) {
        self.bytes = self.bytes.saturating_add(text.len() as u64);
    }

    /// A value that is shown as JSON, or in a form that the template makes of it: indented, escaped, or with tags that
    /// name each member twice.
    pub(super) fn json(&mut self, value: &Json) {
        self.bytes = self.bytes.saturating_add(shown(value, 0));
    }
}

/// The most bytes that a value takes where it is shown. The parser bounds how deep it is.
fn shown(value: &Json, depth: u64) -> u64 {
    let line = |depth: u64| AROUND_MEMBER + INDENT * depth;
    match value {
        Json::Null | Json::Bool(_) => 5,
        // Also where a float is written without an exponent that its sender had written.
        Json::Number(number) => number.to_string().len() as u64 + 2,
        Json::Text(text) => escaped(text) + 2,
        Json::List(items) => items
            .iter()
            .map(|item| shown(item, depth + 1) + line(depth + 1))
            .fold(line(depth), u64::saturating_add),
        Json::Object(Object(members)) => members
            .iter()
            .map(|(name, value)| 2 * escaped(name) + shown(value, depth + 1) + line(depth + 1))
            .fold(line(depth), u64::saturating_add),
    }
}

/// The bytes of a text whose characters are escaped in the longest way that templates have.
fn escaped(text: &str) -> u64 {
    let length = |character: char| match character {
        '"' | '\\' => 2,
        '<' | '>' | '&' | '\'' => ESCAPED,
        ' '..='~' => 1,
        other => ESCAPED * other.len_utf16() as u64,
    };
    text.chars().map(length).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(text: &str) -> u64 {
        let mut counted = Counted::default();
        counted.json(&Json::Object(Object::read(text.as_bytes()).unwrap()));
        counted.bytes
    }

    #[test]
    fn json_is_counted_as_the_longest_way_to_show_it() {
        let text = r#"{"type":"function","function":{"name":"f","parameters":{"properties":{"a":{"type":"string"}}}}}"#;
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let mut pretty = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        serde::Serialize::serialize(
            &value,
            &mut serde_json::Serializer::with_formatter(&mut pretty, formatter),
        )
        .unwrap();
        assert!(counted(text) >= pretty.len() as u64, "{} {}", counted(text), pretty.len());
        // A lone character that is shown as a pair of escapes.
        assert!(counted(r#"{"a":"😀"}"#) >= r#"{"a":"\ud83d\ude00"}"#.len() as u64);
        assert!(counted(r#"{"<":"<&>"}"#) >= r#"{"\u003c":"\u003c\u0026\u003e"}"#.len() as u64);
    }

    proptest! {
        #[test]
        fn a_text_within_json_never_counts_less_than_its_escaped_form(text in ".{0,40}") {
            let ascii: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let plain = serde_json::to_string(&text).unwrap();
            prop_assert!(escaped(&text) + 2 >= plain.len() as u64);
            let beyond = text.chars().filter(|character| !character.is_ascii()).count();
            prop_assert!(beyond != text.chars().count() || escaped(&text) >= ascii.len() as u64);
        }
    }
}
