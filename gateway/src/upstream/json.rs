//! What a document of an answer says, as far as it can be read.
//!
//! Members are read one by one. Members that are not needed are skipped, however large. NaN is accepted as a number. Of
//! doubled members the last counts. A member of an unexpected type counts as missing.

use jiter::{Jiter, JiterResult, Peek};

/// How long a server's word may be, such as the reason why it stopped.
const LONGEST_WORD: usize = 64;

/// What a document says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// What its first choice says. `None` if it has no choice.
    pub(super) choice: Option<Choice>,
    pub(super) usage: Tokens,
    /// Whether it reports an error, and the status that it names.
    pub(super) error: Option<Option<u16>>,
}

/// A choice, or a piece of one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) output: String,
    pub(super) reasoning: String,
    pub(super) refusal: String,
    pub(super) finish_reason: Option<String>,
}

/// Tokens, as far as the server counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) prompt: Option<u64>,
    pub(super) completion: Option<u64>,
    pub(super) total: Option<u64>,
}

/// Reads a document. What comes after it is skipped.
pub(super) fn read(text: &str) -> JiterResult<Said> {
    let mut json = Jiter::new(text.as_bytes()).with_allow_inf_nan();
    let mut said = Said::default();
    let (mut object, mut code) = (None, None);
    let peek = json.peek()?;
    if peek != Peek::Object {
        // Whatever it is, it is not a completion.
        return Ok(said);
    }
    members(&mut json, peek, &mut |json, name, peek| {
        match name {
            "choices" => said.choice = first_choice(json, peek, &mut said.error)?,
            "usage" => said.usage = tokens(json, peek)?,
            "error" => error(json, peek, &mut said.error)?,
            // In older versions of vLLM, the document itself is the error.
            "object" => object = word(json, peek)?,
            "code" => code = status(json, peek)?,
            _ => json.known_skip(peek)?,
        }
        Ok(())
    })?;
    if object.as_deref() == Some("error") {
        said.error.get_or_insert(code);
    }
    Ok(said)
}

fn first_choice(
    json: &mut Jiter<'_>,
    peek: Peek,
    failed: &mut Option<Option<u16>>,
) -> JiterResult<Option<Choice>> {
    let mut first = None;
    items(json, peek, &mut |json, peek| {
        if first.is_some() || peek != Peek::Object {
            return json.known_skip(peek);
        }
        let choice = first.insert(Choice::default());
        members(json, peek, &mut |json, name, peek| {
            match name {
                "message" | "delta" => message(json, peek, choice)?,
                "text" => set(&mut choice.output, parts(json, peek)?),
                "finish_reason" => choice.finish_reason = word(json, peek)?,
                "error" => error(json, peek, failed)?,
                _ => json.known_skip(peek)?,
            }
            Ok(())
        })
    })?;
    Ok(first)
}

fn message(json: &mut Jiter<'_>, peek: Peek, choice: &mut Choice) -> JiterResult<()> {
    members(json, peek, &mut |json, name, peek| {
        match name {
            "content" => set(&mut choice.output, parts(json, peek)?),
            "reasoning_content" | "reasoning" => set(&mut choice.reasoning, parts(json, peek)?),
            "refusal" => set(&mut choice.refusal, parts(json, peek)?),
            _ => json.known_skip(peek)?,
        }
        Ok(())
    })
}

fn set(place: &mut String, text: Option<String>) {
    if let Some(text) = text {
        *place = text;
    }
}

/// A text, or the text parts of a list, joined. `None` for anything else.
fn parts(json: &mut Jiter<'_>, peek: Peek) -> JiterResult<Option<String>> {
    match peek {
        Peek::String => json.known_str().map(|text| Some(text.to_owned())),
        Peek::Array => {
            let mut joined = String::new();
            items(json, peek, &mut |json, peek| {
                match peek {
                    Peek::String => joined.push_str(json.known_str()?),
                    _ => joined.push_str(&part(json, peek)?),
                }
                Ok(())
            })?;
            Ok(Some(joined))
        }
        _ => json.known_skip(peek).map(|()| None),
    }
}

/// A part of a list, if it is text.
fn part(json: &mut Jiter<'_>, peek: Peek) -> JiterResult<String> {
    let (mut kind, mut text) = (None, String::new());
    members(json, peek, &mut |json, name, peek| {
        match (name, peek) {
            ("type", _) => kind = word(json, peek)?,
            ("text", Peek::String) => json.known_str()?.clone_into(&mut text),
            _ => json.known_skip(peek)?,
        }
        Ok(())
    })?;
    let is_text = kind.is_none_or(|kind| matches!(kind.as_str(), "text" | "output_text"));
    Ok(if is_text { text } else { String::new() })
}

fn tokens(json: &mut Jiter<'_>, peek: Peek) -> JiterResult<Tokens> {
    let mut tokens = Tokens::default();
    members(json, peek, &mut |json, name, peek| {
        match name {
            "prompt_tokens" => tokens.prompt = whole(json, peek)?,
            "completion_tokens" => tokens.completion = whole(json, peek)?,
            "total_tokens" => tokens.total = whole(json, peek)?,
            _ => json.known_skip(peek)?,
        }
        Ok(())
    })?;
    Ok(tokens)
}

/// An error: anything except null, false, an empty text and an empty list.
pub(super) fn error(json: &mut Jiter<'_>, peek: Peek, told: &mut Option<Option<u16>>) -> JiterResult<()> {
    match peek {
        Peek::Null | Peek::False => json.known_skip(peek),
        Peek::String => {
            if !json.known_str()?.is_empty() {
                told.get_or_insert(None);
            }
            Ok(())
        }
        Peek::Object => {
            let (mut any, mut code) = (false, None);
            members(json, peek, &mut |json, name, peek| {
                any = true;
                match name {
                    "code" | "status" => code = status(json, peek)?.or(code),
                    _ => json.known_skip(peek)?,
                }
                Ok(())
            })?;
            if any {
                *told = Some(code);
            }
            Ok(())
        }
        _ => {
            told.get_or_insert(None);
            json.known_skip(peek)
        }
    }
}

/// A status of HTTP, as a number or as text.
pub(super) fn status(json: &mut Jiter<'_>, peek: Peek) -> JiterResult<Option<u16>> {
    let status = match peek {
        Peek::String => json.known_str()?.parse().ok(),
        _ => whole(json, peek)?.and_then(|number| u16::try_from(number).ok()),
    };
    Ok(status.filter(|status| (400..600).contains(status)))
}

/// A count: an integer of 0 or more, also if it is written as `5.0`.
pub(super) fn whole(json: &mut Jiter<'_>, peek: Peek) -> JiterResult<Option<u64>> {
    if !(peek.is_num() || peek == Peek::Minus) {
        return json.known_skip(peek).map(|()| None);
    }
    let digits = std::str::from_utf8(json.known_number_bytes(peek)?).unwrap_or_default();
    let digits = digits
        .split_once('.')
        .map_or(digits, |(whole, rest)| if rest.bytes().all(|digit| digit == b'0') { whole } else { digits });
    // A number that no run can reach is not a count.
    Ok(digits.parse().ok().filter(|count| *count <= u64::from(u32::MAX)))
}

/// A short word of visible ASCII. `None` for anything else.
pub(super) fn word(json: &mut Jiter<'_>, peek: Peek) -> JiterResult<Option<String>> {
    if peek != Peek::String {
        return json.known_skip(peek).map(|()| None);
    }
    let word = json.known_str()?;
    let plain = (1..=LONGEST_WORD).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_graphic());
    Ok(plain.then(|| word.to_owned()))
}

pub(super) type Member<'a> = &'a mut dyn FnMut(&mut Jiter<'_>, &str, Peek) -> JiterResult<()>;
pub(super) type Item<'a> = &'a mut dyn FnMut(&mut Jiter<'_>, Peek) -> JiterResult<()>;

/// The longest name of a member that anybody looks for.
const LONGEST_NAME: usize = 32;

/// A member's name, beside the document that it stands in. A longer one than [`LONGEST_NAME`] is no name here.
struct Name {
    bytes: [u8; LONGEST_NAME],
    length: usize,
}

impl Name {
    fn of(name: &str) -> Self {
        let mut bytes = [0; LONGEST_NAME];
        let length = match bytes.get_mut(..name.len()) {
            Some(place) => {
                place.copy_from_slice(name.as_bytes());
                name.len()
            }
            None => 0,
        };
        Self { bytes, length }
    }

    fn as_str(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// Visits the members of an object. Anything else has none.
pub(super) fn members(json: &mut Jiter<'_>, peek: Peek, visit: Member<'_>) -> JiterResult<()> {
    if peek != Peek::Object {
        return json.known_skip(peek);
    }
    let mut next = json.known_object()?.map(Name::of);
    while let Some(name) = next {
        let peek = json.peek()?;
        visit(json, name.as_str(), peek)?;
        next = json.next_key()?.map(Name::of);
    }
    Ok(())
}

/// Visits the items of a list. Anything else has none.
pub(super) fn items(json: &mut Jiter<'_>, peek: Peek, visit: Item<'_>) -> JiterResult<()> {
    if peek != Peek::Array {
        return json.known_skip(peek);
    }
    let mut next = json.known_array()?;
    while let Some(peek) = next {
        visit(json, peek)?;
        next = json.array_step()?;
    }
    Ok(())
}
