//! What several APIs read in the same way.

use crate::api::counted::Counted;
use crate::api::forms::Form;
use crate::api::json::{Json, Object};
use crate::api::members::{ALL, Fault, Member, OPENAI, Rule, VLLM, member, never, sift};
use crate::kinds::Server;

/// The most answers to one request.
const MOST_CHOICES: i64 = 16;
/// Bytes that a template may put between the parts of a message.
const BETWEEN_PARTS: u64 = 4;
/// How images are sent.
const IMAGES: &str = "send the image itself as data:image/png;base64,… (or jpeg, webp, gif); nothing is fetched from elsewhere";

/// What a body asks for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// What the model reads for one answer.
    pub(super) counted: Counted,
    /// The longest prompt, in bytes.
    pub(super) longest: u64,
    /// The most tokens of one answer, if the body says so.
    pub(super) tokens: Option<u32>,
    /// How many answers are written. At least 1.
    pub(super) choices: u64,
    /// Whether the answer is a stream.
    pub(super) streamed: bool,
    /// Whether the client did not ask for the usage in its stream.
    pub(super) strips_usage: bool,
    /// Images that are made, and their size, if the body says so.
    pub(super) made: Option<Made>,
}

/// Images that are made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) count: u64,
    pub(super) size: Option<String>,
}

impl Asked {
    /// One answer to one prompt.
    pub(super) fn one(counted: Counted) -> Self {
        Self { longest: counted.bytes, counted, choices: 1, ..Self::default() }
    }
}

/// Takes a member of a form out. `path` is where its object stands, with a dot at its end.
pub(super) fn take(object: &mut Object, path: &str, name: &str, form: Form) -> Result<Option<Json>, Fault> {
    let Some(value) = object.take(name) else { return Ok(None) };
    form.check(&value).map_err(|what| never(format!("{path}{name}: {what}")))?;
    Ok(Some(value))
}

/// Takes an integer out.
pub(super) fn take_integer(
    object: &mut Object,
    name: &str,
    least: i64,
    most: i64,
) -> Result<Option<u64>, Fault> {
    let value = take(object, "", name, Form::Integer(least, most))?;
    Ok(value.and_then(|value| match value {
        Json::Number(number) => number.as_u64(),
        _ => None,
    }))
}

/// Takes true or false out. What is not said is false.
pub(super) fn take_bool(object: &mut Object, name: &str) -> Result<bool, Fault> {
    Ok(take(object, "", name, Form::Bool)? == Some(Json::Bool(true)))
}

/// Takes the most tokens of an answer out, which may have one of some names.
pub(super) fn take_tokens(object: &mut Object, names: &[&str]) -> Result<Option<u32>, Fault> {
    let mut found: Option<(&str, u32)> = None;
    for name in names {
        let Some(tokens) = take_integer(object, name, 1, u32::MAX.into())? else { continue };
        if let Some((other, _)) = found {
            let why = format!("{name}: {other} is there too, and one of both is meant: send one");
            return Err(never(why));
        }
        found = Some((name, u32::try_from(tokens).unwrap_or(u32::MAX)));
    }
    Ok(found.map(|(_, tokens)| tokens))
}

/// Takes out how many answers are written. One is what every server writes.
pub(super) fn take_choices(object: &mut Object, server: Server) -> Result<u64, Fault> {
    let choices = take_integer(object, "n", 1, MOST_CHOICES)?.unwrap_or(1);
    if choices == 1 {
        return Ok(1);
    }
    if !OPENAI.and(VLLM).has(server) {
        let why = "this model's server is not known to write several answers: send 1, or ask several times";
        return Err(Fault::NotNow(format!("n: {why}")));
    }
    object.set("n", choices);
    Ok(choices)
}

/// How often a server reads a prompt for so many answers.
pub(super) const fn readings(server: Server, choices: u64) -> u64 {
    match server {
        // It counts the prompt once. Others may read it for each answer.
        Server::OpenAi => 1,
        _ => choices,
    }
}

const STREAM_OPTIONS: &[Member] = &[
    member("include_usage", ALL, Rule::Priced),
    member("include_obfuscation", ALL, Rule::Dropped(Form::Bool)),
    member("continuous_usage_stats", ALL, Rule::Dropped(Form::False)),
];

/// Reads `stream` and `stream_options`, and asks for the usage of a stream in any case: whether the answer is a stream, and whether its usage
/// is for us alone.
pub(super) fn take_stream(object: &mut Object) -> Result<(bool, bool), Fault> {
    let streamed = take_bool(object, "stream")?;
    let options = take(object, "", "stream_options", Form::Object)?;
    let mut asked = false;
    if let Some(Json::Object(options)) = options {
        if !streamed {
            return Err(never("stream_options: it is for streams: send \"stream\": true, or leave it out"));
        }
        let mut none = Counted::default();
        let mut options = sift(&[STREAM_OPTIONS], Server::Any, options, "stream_options.", &mut none)?;
        asked = take_bool(&mut options, "include_usage")?;
    }
    object.set("stream", streamed);
    if streamed {
        ask_for_usage(object, false);
    }
    Ok((streamed, streamed && !asked))
}

/// Has a stream tell its usage at its end, or in each event: what was used up to there.
pub(super) fn ask_for_usage(object: &mut Object, running: bool) {
    let mut options = Object::default();
    options.set("include_usage", true);
    if running {
        options.set("continuous_usage_stats", true);
    }
    object.set("stream_options", options);
}

/// The object that a value must be.
pub(super) fn object_of(value: Json, path: &str) -> Result<Object, Fault> {
    match value {
        Json::Object(object) => Ok(object),
        other => Err(never(format!("{path}: expected an object, found {}", other.kind()))),
    }
}

/// The list that a value must be.
pub(super) fn list_of(value: Json, path: &str) -> Result<Vec<Json>, Fault> {
    match value {
        Json::List(list) => Ok(list),
        other => Err(never(format!("{path}: expected a list, found {}", other.kind()))),
    }
}

/// The word that a member must be.
pub(super) fn word_of<'a>(object: &'a Object, path: &str, name: &str) -> Result<&'a str, Fault> {
    let Some(value) = object.get(name) else {
        return Err(never(format!("{path}{name}: it is missing")));
    };
    Form::Word.check(value).map_err(|what| never(format!("{path}{name}: {what}")))?;
    value.as_text().ok_or_else(|| never(format!("{path}{name}: expected a text")))
}

/// Counts an image. It must hold all of itself.
pub(super) fn image(url: &str, path: &str, counted: &mut Counted) -> Result<(), Fault> {
    let refused = || never(format!("{path}: {IMAGES}"));
    let rest = url.strip_prefix("data:image/").ok_or_else(refused)?;
    let (kind, data) = rest.split_once(";base64,").ok_or_else(refused)?;
    if !matches!(kind, "png" | "jpeg" | "jpg" | "webp" | "gif") {
        return Err(refused());
    }
    base64(data, path)?;
    counted.images += 1;
    Ok(())
}

/// Whether a text is base64, and not empty.
pub(super) fn base64(data: &str, path: &str) -> Result<(), Fault> {
    let digits = data.trim_end_matches('=');
    let padding = data.len() - digits.len();
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    if digits.is_empty() || padding > 2 || !data.len().is_multiple_of(4) || !digits.bytes().all(digit) {
        return Err(never(format!("{path}: the image is not base64 with padding, on one line: {IMAGES}")));
    }
    Ok(())
}

/// A content: a text, or a list of parts, each read by `part`.
pub(super) fn content(
    value: Json,
    path: &str,
    counted: &mut Counted,
    part: &mut dyn FnMut(Object, &str, &mut Counted) -> Result<Json, Fault>,
) -> Result<Json, Fault> {
    match value {
        Json::Text(text) => {
            counted.text(&text);
            Ok(Json::Text(text))
        }
        Json::List(parts) => {
            let mut kept = Vec::with_capacity(parts.len());
            for (at, value) in parts.into_iter().enumerate() {
                let path = format!("{path}[{at}]");
                counted.bytes = counted.bytes.saturating_add(BETWEEN_PARTS);
                kept.push(part(object_of(value, &path)?, &path, counted)?);
            }
            Ok(Json::List(kept))
        }
        other => Err(never(format!("{path}: expected a text or a list of parts, found {}", other.kind()))),
    }
}

/// The text of the arguments of a call, which a template may show as JSON.
pub(super) fn arguments(text: &str, counted: &mut Counted) {
    match Object::read(text.as_bytes()) {
        Ok(object) => {
            // Some templates show the text, and some the object that it means.
            counted.json(&Json::Object(object));
            counted.text(text);
        }
        Err(_) => counted.json(&Json::from(text)),
    }
}

/// A schema may not name what is elsewhere.
pub(super) fn local_schema(value: &Json, path: &str) -> Result<(), Fault> {
    match value {
        Json::Object(Object(members)) => members.iter().try_for_each(|(name, value)| {
            let elsewhere = matches!((name.as_str(), value), ("$ref" | "$dynamicRef", Json::Text(to)) if !to.starts_with('#'));
            if elsewhere {
                return Err(never(format!("{path}: $ref names something elsewhere: put it into the schema")));
            }
            local_schema(value, path)
        }),
        Json::List(items) => items.iter().try_for_each(|item| local_schema(item, path)),
        _ => Ok(()),
    }
}
