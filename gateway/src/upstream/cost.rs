//! Tells what an answer cost, beside the usage that its server tells: `usage.cost`, in base units. Nothing else of it changes.

use bytes::Bytes;
use jiter::{Jiter, JiterResult, Peek};
use salt402_protocol::Amount;

use crate::upstream::json::members;

/// A document with its cost. One without a usage stays as it came.
pub(crate) fn with_cost(document: Bytes, cost: Amount) -> Bytes {
    match place(&document) {
        Ok(Some((at, empty))) => {
            let (before, after) = document.split_at(at);
            let comma = if empty { "" } else { "," };
            [before, format!("{comma}\"cost\":\"{cost}\"").as_bytes(), after].concat().into()
        }
        Ok(None) | Err(_) => document,
    }
}

/// The event of a stream that holds this document, with its cost.
pub(crate) fn event_with_cost(document: Bytes, cost: Amount) -> Bytes {
    [b"data: ", &*with_cost(document, cost), b"\n\n"].concat().into()
}

/// An event of a stream as it came, with the cost beside the usage of its document, or of the response within that. One without a usage
/// stays as it came.
pub(crate) fn in_event(event: &Bytes, cost: Amount) -> Bytes {
    const DATA: &[u8] = b"data:";
    let mut told = Vec::with_capacity(event.len() + 32);
    for line in event.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_prefix(DATA) {
            Some(document) => {
                let length = document.trim_ascii_end().len();
                let (document, end) = document.split_at(length);
                told.extend_from_slice(DATA);
                told.extend_from_slice(&with_cost(Bytes::copy_from_slice(document), cost));
                told.extend_from_slice(end);
            }
            None => told.extend_from_slice(line),
        }
    }
    told.into()
}

/// Where the usage of a document ends, before its brace, and whether it has no members. `None` if it has no usage, or names its cost
/// itself.
fn place(document: &[u8]) -> JiterResult<Option<(usize, bool)>> {
    let mut json = Jiter::new(document).with_allow_inf_nan();
    let mut place = Place::default();
    let peek = json.peek()?;
    usage(&mut json, peek, &mut place, false)?;
    json.finish()?;
    Ok(place.found.filter(|(at, _)| !place.twice && document.get(*at) == Some(&b'}')))
}

/// Where a usage ends.
#[derive(Default)]
struct Place {
    found: Option<(usize, bool)>,
    /// Whether there is another, or it names its cost itself.
    twice: bool,
}

/// Reads the usage of a document, or of the response within it.
fn usage(json: &mut Jiter<'_>, peek: Peek, place: &mut Place, inner: bool) -> JiterResult<()> {
    members(json, peek, &mut |json, name, peek| match (name, peek) {
        ("response", Peek::Object) if !inner => usage(json, peek, place, true),
        ("usage", Peek::Object) => {
            let mut empty = true;
            members(json, peek, &mut |json, name, peek| {
                empty = false;
                place.twice |= name == "cost";
                json.known_skip(peek)
            })?;
            place.twice |= place.found.is_some();
            // The brace was read.
            place.found = Some((json.current_index() - 1, empty));
            Ok(())
        }
        _ => json.known_skip(peek),
    })
}

#[cfg(test)]
mod tests {
    use salt402_protocol::U256;

    use super::*;

    fn told(document: &str) -> String {
        let told = with_cost(Bytes::copy_from_slice(document.as_bytes()), Amount(U256::from(7)));
        String::from_utf8(told.to_vec()).unwrap()
    }

    #[test]
    fn an_event_has_the_cost_in_its_document_and_all_else_as_it_came() {
        let told =
            |event: &'static str| in_event(&Bytes::from_static(event.as_bytes()), Amount(U256::from(7)));
        for (event, with) in [
            (
                "event: a\ndata: {\"usage\":{\"a\":1}}\n\n",
                "event: a\ndata: {\"usage\":{\"a\":1,\"cost\":\"7\"}}\n\n",
            ),
            (
                "data:{\"response\":{\"usage\":{}}}\r\n\r\n",
                "data:{\"response\":{\"usage\":{\"cost\":\"7\"}}}\r\n\r\n",
            ),
            (": x\ndata: [DONE]\n\n", ": x\ndata: [DONE]\n\n"),
            ("data: {\"x\":{\"response\":{\"usage\":{}}}}", "data: {\"x\":{\"response\":{\"usage\":{}}}}"),
            (
                "data: {\"usage\":{},\"response\":{\"usage\":{}}}\n\n",
                "data: {\"usage\":{},\"response\":{\"usage\":{}}}\n\n",
            ),
        ] {
            assert_eq!(std::str::from_utf8(&told(event)).unwrap(), with);
        }
    }

    #[test]
    fn the_cost_stands_beside_the_usage_and_all_else_stays_as_it_came() {
        for (document, with) in [
            (r#"{"usage":{"a":1}}"#, r#"{"usage":{"a":1,"cost":"7"}}"#),
            (r#"{ "usage" : {} , "x": 1.50}"#, r#"{ "usage" : {"cost":"7"} , "x": 1.50}"#),
            (
                "{\"a\":{\"usage\":{}},\"usage\":{\"d\":{\"e\":[1]} }\n}",
                "{\"a\":{\"usage\":{}},\"usage\":{\"d\":{\"e\":[1]} ,\"cost\":\"7\"}\n}",
            ),
        ] {
            assert_eq!(told(document), with);
        }
        for same in [
            r#"{"usage":null}"#,
            r#"{"a":1}"#,
            "no json",
            "[]",
            r#"{"usage":{"cost":3}}"#,
            r#"{"usage":{},"usage":{}}"#,
            r#"{"usage":{"a":1}"#,
        ] {
            assert_eq!(told(same), same);
        }
    }
}
