//! The forms that a member's value may have.

use crate::api::json::{Json, Object};

/// The most texts of a list, such as where to stop: OpenAI takes no more.
const MOST_TEXTS: usize = 4;
/// The most entries of an object of numbers.
const MOST_ENTRIES: usize = 1024;
/// The longest word, in bytes.
const LONGEST_WORD: usize = 256;

/// A form of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// True or false.
    Bool,
    /// False alone.
    False,
    /// A number within two others.
    Number(i32, i32),
    /// An integer within two others.
    Integer(i64, i64),
    /// A text of any length.
    Text,
    /// A short text.
    Word,
    /// One of some words.
    OneOf(&'static [&'static str]),
    /// A text, or a list of texts.
    Texts,
    /// A list of some words.
    ListOf(&'static [&'static str]),
    /// An object of numbers, each within two others.
    Numbers(i32, i32),
    /// A list of integers, of 0 or more.
    Integers,
    /// An object with these members alone, each of its form.
    Members(&'static [(&'static str, Form)]),
    /// An object of whatever.
    Object,
    /// A list without anything in it.
    EmptyList,
}

impl Form {
    /// Whether a value has this form; if not, what was expected.
    pub(super) fn check(self, value: &Json) -> Result<(), String> {
        let fits = match (self, value) {
            (Self::Bool, Json::Bool(_)) | (Self::False, Json::Bool(false)) => true,
            (Self::Number(least, most), Json::Number(number)) => {
                number.as_f64().is_some_and(|number| (f64::from(least)..=f64::from(most)).contains(&number))
            }
            (Self::Integer(least, most), Json::Number(number)) => {
                number.as_i64().is_some_and(|number| (least..=most).contains(&number))
            }
            (Self::Text, Json::Text(_)) => true,
            (Self::Word, Json::Text(text)) => text.len() <= LONGEST_WORD,
            (Self::OneOf(words), Json::Text(text)) => words.contains(&text.as_str()),
            (Self::Texts, Json::Text(_)) => true,
            (Self::Texts, Json::List(list)) => {
                list.len() <= MOST_TEXTS && list.iter().all(|item| item.as_text().is_some())
            }
            (Self::ListOf(words), Json::List(list)) => {
                list.iter().all(|item| item.as_text().is_some_and(|text| words.contains(&text)))
            }
            (Self::Numbers(..), Json::Object(Object(members))) if members.len() > MOST_ENTRIES => false,
            (Self::Numbers(least, most), Json::Object(Object(members))) => {
                members.iter().all(|(_, value)| Self::Number(least, most).check(value).is_ok())
            }
            (Self::Integers, Json::List(list)) => {
                list.len() <= MOST_ENTRIES
                    && list.iter().all(|item| Self::Integer(0, i64::MAX).check(item).is_ok())
            }
            (Self::Members(known), Json::Object(Object(members))) => {
                for (name, value) in members {
                    let Some((_, form)) = known.iter().find(|(known, _)| known == name) else {
                        return Err(format!("its member {name:?} is not known here: leave it out"));
                    };
                    if *value != Json::Null {
                        form.check(value).map_err(|what| format!("{name}: {what}"))?;
                    }
                }
                true
            }
            (Self::Object, Json::Object(_)) => true,
            (Self::EmptyList, Json::List(list)) => list.is_empty(),
            _ => false,
        };
        if fits { Ok(()) } else { Err(format!("expected {}, found {}", self.words(), value.kind())) }
    }

    /// What is expected, in words.
    pub(super) fn words(self) -> String {
        match self {
            Self::Bool => "true or false".into(),
            Self::False => "false, or leave it out".into(),
            Self::Number(least, most) => format!("a number from {least} to {most}"),
            Self::Integer(i64::MIN, i64::MAX) => "an integer of 64 bits".into(),
            Self::Integer(least, i64::MAX) => format!("an integer of {least} or more"),
            Self::Integer(least, most) => format!("an integer from {least} to {most}"),
            Self::Text => "a text".into(),
            Self::Word => format!("a text of at most {LONGEST_WORD} bytes"),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::Texts => format!("a text, or a list of at most {MOST_TEXTS}"),
            Self::ListOf(words) => format!("a list of {} alone", words.join(", ")),
            Self::Numbers(least, most) => {
                format!("an object of at most {MOST_ENTRIES} numbers from {least} to {most}")
            }
            Self::Integers => format!("a list of at most {MOST_ENTRIES} integers of 0 or more"),
            Self::Members(known) => {
                let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
                format!("an object with {} alone", names.join(", "))
            }
            Self::Object => "an object".into(),
            Self::EmptyList => "an empty list, or leave it out".into(),
        }
    }
}
