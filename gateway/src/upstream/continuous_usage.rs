//! Takes the usage out of an event that has it for the gateway alone.

use bytes::Bytes;
use jiter::{Jiter, JiterResult, Peek};
use memchr::memmem;

use crate::upstream::events::Event;
use crate::upstream::json::members;

/// The event with `null` in the place of its usage; all else is as it came. `None` if it has choices of none, since it is the usage's own
/// event then, or if it has no usage.
///
/// Data of several lines stays as it came: no server that tells its usage so writes any.
pub(super) fn without(event: &Event) -> Option<Bytes> {
    let data = event.data.as_ref()?;
    let (usage, brings) = read(data).ok()?;
    let usage = usage.filter(|_| brings)?;
    let raw = event.raw.concat();
    let at = memmem::find(&raw, data)?;
    let (before, after) = (raw.get(..at + usage.start)?, raw.get(at + usage.end..)?);
    Some([before, b"null", after].concat().into())
}

/// Where the document's usage stands, and whether it has choices.
fn read(document: &[u8]) -> JiterResult<(Option<std::ops::Range<usize>>, bool)> {
    let mut json = Jiter::new(document).with_allow_inf_nan();
    let (mut usage, mut brings) = (None, false);
    let peek = json.peek()?;
    members(&mut json, peek, &mut |json, name, peek| {
        let start = json.current_index();
        match (name, peek) {
            ("choices", Peek::Array) => {
                json.known_skip(peek)?;
                let list = json.slice_to_current(start);
                let items = list.strip_prefix(b"[").and_then(|list| list.strip_suffix(b"]"));
                brings = items.is_some_and(|items| !items.trim_ascii().is_empty());
                Ok(())
            }
            ("usage", Peek::Object) => {
                json.known_skip(peek)?;
                usage = Some(start..json.current_index());
                Ok(())
            }
            _ => json.known_skip(peek),
        }
    })?;
    json.finish()?;
    Ok((usage, brings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::events::Events;

    fn told(text: &'static str) -> Option<String> {
        let (mut events, mut read) = (Events::default(), Vec::new());
        events.push(&Bytes::from_static(text.as_bytes()), &mut read).unwrap();
        without(&read[0]).map(|raw| String::from_utf8(raw.to_vec()).unwrap())
    }

    #[test]
    fn the_usage_of_an_event_with_choices_is_null_and_all_else_as_it_came() {
        for (event, with) in [
            (
                "data: {\"choices\":[{\"index\":0}],\"usage\":{\"a\":{\"b\":1}}}\n\n",
                "data: {\"choices\":[{\"index\":0}],\"usage\":null}\n\n",
            ),
            (
                "id: 7\r\ndata:{ \"usage\" : {} , \"choices\" : [ {} ] }\r\n\r\n",
                "id: 7\r\ndata:{ \"usage\" : null , \"choices\" : [ {} ] }\r\n\r\n",
            ),
            (
                "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":{}\"}}],\"usage\":{}}\n\n",
                "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":{}\"}}],\"usage\":null}\n\n",
            ),
        ] {
            assert_eq!(told(event).as_deref(), Some(with));
        }
        for same in [
            "data: {\"choices\":[],\"usage\":{\"a\":1}}\n\n",
            "data: {\"choices\":[ ],\"usage\":{\"a\":1}}\n\n",
            "data: {\"choices\":[{}],\"usage\":null}\n\n",
            "data: {\"choices\":[{\"usage\":{}}]}\n\n",
            "data: [DONE]\n\n",
            ": comment\n\n",
        ] {
            assert_eq!(told(same), None, "{same}");
        }
    }
}
