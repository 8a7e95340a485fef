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

/// Where the usage of a document ends, before its brace, and whether it has no members. `None` if it has no usage, or names its cost
/// itself.
fn place(document: &[u8]) -> JiterResult<Option<(usize, bool)>> {
    let mut json = Jiter::new(document).with_allow_inf_nan();
    let (mut found, mut twice) = (None, false);
    let peek = json.peek()?;
    members(&mut json, peek, &mut |json, name, peek| {
        if name != "usage" || peek != Peek::Object {
            return json.known_skip(peek);
        }
        let mut empty = true;
        members(json, peek, &mut |json, name, peek| {
            empty = false;
            twice |= name == "cost";
            json.known_skip(peek)
        })?;
        twice |= found.is_some();
        // The brace was read.
        found = Some((json.current_index() - 1, empty));
        Ok(())
    })?;
    json.finish()?;
    Ok(found.filter(|(at, _)| !twice && document.get(*at) == Some(&b'}')))
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
