//! JSON of a body, as it was written: members in their order, each once at any depth, numbers as they were read.

use std::collections::HashSet;
use std::fmt;

use salt402_protocol::{Code, Problem};
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Deserializer, Serialize, Serializer};

/// The most values of one body. Each takes more memory than the two bytes that it may be written with.
const MOST_VALUES: usize = 262_144;
/// How many members of an object are compared one by one before a table of their names is made.
const FEW: usize = 16;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Json>),
    Object(Object),
}

/// An object: its members in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Object(pub(super) Vec<(String, Json)>);

impl Object {
    /// Reads a body. It must be one object, and no object in it may have a member twice.
    pub(super) fn read(body: &[u8]) -> Result<Self, Problem> {
        let malformed = |detail: String| {
            Problem::new(Code::MalformedJson, format!("the body was not understood: {detail}"))
        };
        let mut left = MOST_VALUES;
        let mut json = serde_json::Deserializer::from_slice(body);
        let value = Reader { left: &mut left }.deserialize(&mut json).and_then(|value| {
            json.end()?;
            Ok(value)
        });
        match value.map_err(|error| malformed(error.to_string()))? {
            Json::Object(object) => Ok(object),
            other => Err(malformed(format!("expected an object, found {}", other.kind()))),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Takes a member out.
    pub(super) fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// Sets a member: in its place, or as the last.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Json>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

impl Json {
    /// What it is, in words.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes that are sent.
    pub(super) fn written(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        Self::Number(value.into())
    }
}

impl From<&str> for Json {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<Object> for Json {
    fn from(value: Object) -> Self {
        Self::Object(value)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => value.serialize(serializer),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|value| list.serialize_element(value))?;
                list.end()
            }
            Self::Object(Object(members)) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

/// Reads a value, as long as there is room for more.
struct Reader<'a> {
    left: &'a mut usize,
}

impl Reader<'_> {
    fn next<E: de::Error>(&mut self) -> Result<Reader<'_>, E> {
        *self.left = self.left.checked_sub(1).ok_or_else(|| {
            E::custom(format_args!("it has more than {MOST_VALUES} values: send less at once"))
        })?;
        Ok(Reader { left: self.left })
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json, E> {
        serde_json::Number::from_f64(value)
            .map(Json::Number)
            .ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(self.next()?)? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Json, A::Error> {
        let mut members: Vec<(String, Json)> = Vec::new();
        let mut names: HashSet<String> = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let twice = if members.len() < FEW {
                members.iter().any(|(known, _)| *known == name)
            } else {
                if names.is_empty() {
                    names.extend(members.iter().map(|(known, _)| known.clone()));
                }
                !names.insert(name.clone())
            };
            if twice {
                return Err(de::Error::custom(format_args!(
                    "the member {name:?} is there twice: send it once"
                )));
            }
            let value = map.next_value_seed(self.next()?)?;
            members.push((name, value));
        }
        Ok(Json::Object(Object(members)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Object, Problem> {
        Object::read(text.as_bytes())
    }

    #[test]
    fn what_is_read_is_what_is_written_in_its_order() {
        let text = r#"{"b":1,"a":[null,true,-2,0.5,"é\n",{"z":{},"y":[]}],"big":18446744073709551615}"#;
        let value = Json::Object(read(text).unwrap());
        assert_eq!(String::from_utf8(value.written().unwrap()).unwrap(), text);
    }

    #[test]
    fn g2_a_member_that_is_there_twice_is_refused_at_any_depth() {
        let many: Vec<String> = (0..40).map(|n| format!("\"m{n}\":0")).collect();
        for body in [
            r#"{"model":"a","model":"b"}"#.to_owned(),
            r#"{"a":[{"b":{"c":1,"c":1}}]}"#.to_owned(),
            r#"{"mod\u0065l":"a","model":"b"}"#.to_owned(),
            format!("{{{},\"m3\":0}}", many.join(",")),
            format!("{{{},\"m39\":0}}", many.join(",")),
        ] {
            let problem = read(&body).unwrap_err();
            assert_eq!(problem.code, Code::MalformedJson, "{body}");
            assert!(problem.detail.contains("twice"), "{}", problem.detail);
        }
        assert!(read(&format!("{{{}}}", many.join(","))).is_ok());
    }

    #[test]
    fn what_is_no_object_or_has_no_end_is_refused_with_words() {
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        let wide = format!("{{\"a\":[{}0]}}", "0,".repeat(MOST_VALUES));
        for body in [
            "",
            "[]",
            "null",
            "{} {}",
            "{",
            r#"{"a":"\ud83d"}"#,
            r#"{"a":1e999}"#,
            r#"{"a":NaN}"#,
            "{\"a\":\"\u{1}\"}",
            &deep,
            &wide,
        ] {
            let problem = read(body).unwrap_err();
            assert_eq!(problem.code, Code::MalformedJson);
        }
        assert!(Object::read(b"{\"a\":\"\xff\"}").is_err());
        assert!(read(&format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100))).is_ok());
    }
}
