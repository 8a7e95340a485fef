use proptest::prelude::*;

use super::*;

/// What passed, and what was seen.
fn through(mut beside: Beside, pieces: &[&[u8]]) -> (Vec<u8>, Seen) {
    let mut passed = Vec::new();
    for piece in pieces {
        passed.extend(beside.push(Bytes::copy_from_slice(piece)).concat());
    }
    (passed, beside.end())
}

fn stream(api: Api, strips: bool, text: &str) -> (String, Seen) {
    let (passed, seen) = through(Beside::new(api, true, strips), &[text.as_bytes()]);
    (String::from_utf8(passed).unwrap(), seen)
}

fn document(api: Api, text: &str) -> Seen {
    let (passed, seen) = through(Beside::new(api, false, false), &[text.as_bytes()]);
    assert_eq!(passed, text.as_bytes());
    seen
}

/// Prompt, completion, cached, reasoning.
fn four(seen: &Seen) -> [Option<u64>; 4] {
    let usage = seen.usage.unwrap_or_default();
    [usage.prompt, usage.completion, usage.cached, usage.reasoning]
}

fn failure(seen: &Seen) -> Failure {
    assert!(!seen.finished && seen.rest.is_none());
    seen.error.as_ref().expect("a failure").kind
}

const FIRST: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n";
const LAST: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":0,\"total_tokens\":7,\
    \"prompt_tokens_details\":{\"cached_tokens\":5},\"completion_tokens_details\":{\"reasoning_tokens\":0}}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn g3_the_usage_is_stripped_where_nobody_asked_for_it_and_zero_is_a_count() {
    let text = format!("{FIRST}{LAST}{USAGE}{DONE}");
    let (passed, seen) = stream(Api::Chat, true, &text);
    assert_eq!(passed, format!("{FIRST}{LAST}"));
    assert_eq!(seen.rest.as_deref(), Some(DONE.as_bytes()));
    assert!(seen.finished && seen.error.is_none());
    assert_eq!(four(&seen), [Some(7), Some(0), Some(5), Some(0)]);
    let (passed, seen) = stream(Api::Chat, false, &text);
    assert_eq!(passed, format!("{FIRST}{LAST}{USAGE}"));
    assert_eq!(four(&seen), [Some(7), Some(0), Some(5), Some(0)]);
}

#[test]
fn g3_usage_on_a_chunk_with_choices_passes_and_the_last_count_is_kept() {
    let both = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n";
    let (passed, seen) = stream(Api::Chat, true, &format!("{both}{LAST}{DONE}"));
    assert_eq!(passed, format!("{both}{LAST}"));
    assert_eq!(four(&seen), [Some(3), Some(1), None, None]);
    // A server that tells none; the filter's results of Azure are no usage.
    let filter = "data: {\"choices\":[],\"prompt_filter_results\":[{}],\"usage\":null}\n\n";
    let (passed, seen) = stream(Api::Chat, true, &format!("{filter}{FIRST}{LAST}{DONE}"));
    assert_eq!(passed, format!("{filter}{FIRST}{LAST}"));
    assert_eq!(seen.usage, None);
}

#[test]
fn a_stream_without_its_last_word_ends_by_the_reasons_of_all_its_choices() {
    let (passed, seen) = stream(Api::Chat, true, &format!("{FIRST}{LAST}"));
    assert_eq!((passed, seen.finished, seen.rest.is_none()), (format!("{FIRST}{LAST}"), true, true));
    let second = "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"hi\"}}]}\n\n";
    let (_, seen) = stream(Api::Chat, true, &format!("{FIRST}{second}{LAST}"));
    assert_eq!(failure(&seen), Failure::BrokenOff);
    let (_, seen) = stream(Api::Chat, true, FIRST);
    assert_eq!(failure(&seen), Failure::BrokenOff);
    let (_, seen) = stream(Api::Chat, true, "");
    assert_eq!(failure(&seen), Failure::BrokenOff);
    // Cut within an event: what was whole has passed.
    let (passed, seen) = stream(Api::Chat, true, &format!("{FIRST}{}", &LAST[..40]));
    assert_eq!((passed.as_str(), failure(&seen)), (FIRST, Failure::Unreadable));
    // The end without its empty line.
    let (_, seen) = stream(Api::Chat, true, &format!("{FIRST}{LAST}data: [DONE]"));
    assert_eq!((seen.finished, seen.rest.as_deref()), (true, Some(&b"data: [DONE]"[..])));
}

#[test]
fn what_comes_after_the_end_is_held_back_with_it() {
    let late = ": bye\n\ndata: {\"error\":{}}\n\ndata: half";
    let (passed, seen) = stream(Api::Chat, true, &format!("{FIRST}{LAST}{DONE}{late}"));
    assert_eq!(passed, format!("{FIRST}{LAST}"));
    assert!(seen.finished);
    assert_eq!(seen.rest.as_deref(), Some(format!("{DONE}{late}").as_bytes()));
    let mut beside = Beside::new(Api::Chat, true, false);
    assert_eq!(beside.push(Bytes::from(format!("{FIRST}{DONE}"))).concat(), FIRST.as_bytes());
    assert!(beside.has_ended());
    for _ in 0..200 {
        assert!(beside.push(Bytes::from(vec![b'x'; 64 * 1024])).is_empty());
    }
    let seen = beside.end();
    assert!(seen.finished && seen.rest.is_some_and(|rest| rest.len() <= LONGEST_REST));
}

#[test]
fn messages_and_responses_end_by_their_own_events() {
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[],\"usage\":\
        {\"input_tokens\":10,\"cache_read_input_tokens\":4,\"cache_creation_input_tokens\":2,\"output_tokens\":1}}}\n\n";
    let delta = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\n";
    let stop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let (passed, seen) = stream(Api::Messages, true, &format!("{start}: ping\n\n{delta}{stop}"));
    assert_eq!(passed, format!("{start}: ping\n\n{delta}"));
    assert_eq!((seen.finished, seen.rest.as_deref()), (true, Some(stop.as_bytes())));
    assert_eq!(four(&seen), [Some(16), Some(9), Some(4), None]);
    let (_, seen) = stream(Api::Messages, true, &format!("{start}{delta}"));
    assert_eq!(failure(&seen), Failure::BrokenOff);

    let created = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\",\"error\":null,\"usage\":null}}\n\n";
    for end in ["completed", "incomplete"] {
        let last = format!(
            "event: response.{end}\ndata: {{\"type\":\"response.{end}\",\"response\":{{\"status\":\"{end}\",\"output\":[],\"usage\":\
             {{\"input_tokens\":3,\"input_tokens_details\":{{\"cached_tokens\":1}},\"output_tokens\":2,\
             \"output_tokens_details\":{{\"reasoning_tokens\":2}},\"total_tokens\":5}}}}}}\n\n"
        );
        let (passed, seen) = stream(Api::Responses, false, &format!("{created}{last}"));
        assert_eq!(passed, created);
        assert_eq!((seen.finished, seen.rest.as_deref()), (true, Some(last.as_bytes())));
        assert_eq!(four(&seen), [Some(3), Some(2), Some(1), Some(2)]);
    }
    let failed = "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"x\"}}}\n\n";
    let (passed, seen) = stream(Api::Responses, false, &format!("{created}{failed}"));
    assert_eq!((passed.as_str(), failure(&seen)), (created, Failure::Failed(500)));
}

#[test]
fn an_error_within_a_stream_ends_it_and_its_words_do_not_pass() {
    for (text, kind) in [
        ("data: {\"error\":{\"message\":\"at 10.0.0.7\",\"code\":500}}\n\n", Failure::Failed(500)),
        ("data: {\"error\":\"oops\"}\n\n", Failure::SaidError),
        ("error: {\"message\":\"oops\"}\n\n", Failure::SaidError),
        ("data: {\"object\":\"error\",\"message\":\"no\",\"code\":400}\n\n", Failure::Refused(400)),
        (
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n",
            Failure::Busy(529),
        ),
        ("data: {\"choices\":[{\"index\":0,\"finish_reason\":\"error\"}]}\n\n", Failure::SaidError),
        ("data: <html>\n\n", Failure::Unreadable),
    ] {
        let (passed, seen) = stream(Api::Chat, false, &format!("{FIRST}{text}{LAST}{DONE}"));
        assert_eq!(passed, FIRST, "{text}");
        assert_eq!(failure(&seen), kind, "{text}");
    }
    // A document in the place of a stream.
    for (text, kind) in [
        ("{\"error\":{\"code\":503}}", Failure::Busy(503)),
        ("{\"choices\":[{}]}", Failure::Unreadable),
        ("{\"error\":{\"code\":503", Failure::Unreadable),
        ("<html>", Failure::BrokenOff),
    ] {
        assert_eq!(failure(&stream(Api::Chat, false, text).1), kind, "{text}");
    }
    let mut beside = Beside::new(Api::Chat, true, false);
    beside.push(Bytes::from_static(b"data: {\"error\":1}\n\n"));
    assert!(beside.failure().is_some() && beside.push(Bytes::from_static(b"data: {}\n\n")).is_empty());
}

#[test]
fn documents_are_read_for_each_api() {
    let usage = r#""usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}"#;
    let seen = document(
        Api::Chat,
        &format!(r#"{{"choices":[{{"message":{{"content":"\ud83d"}},"logprob":NaN}}],{usage}}}"#),
    );
    assert!(seen.finished && seen.error.is_none());
    assert_eq!(four(&seen), [Some(3), Some(2), None, None]);
    let seen = document(
        Api::Embeddings,
        r#"{"object":"list","data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":3,"total_tokens":3}}"#,
    );
    assert!(seen.finished && four(&seen) == [Some(3), None, None, None]);
    let seen = document(
        Api::Messages,
        r#"{"type":"message","content":[],"usage":{"input_tokens":3,"output_tokens":0}}"#,
    );
    assert!(seen.finished && four(&seen) == [Some(3), Some(0), None, None]);
    let seen =
        document(Api::Responses, r#"{"object":"response","status":"completed","error":null,"output":[]}"#);
    assert!(seen.finished && seen.usage.is_none());
    assert!(document(Api::Rerank, r#"{"results":[]}"#).finished);
    assert!(document(Api::Images, r#"{"created":1,"data":[{"b64_json":"aa"}]}"#).finished);
    for (api, text, kind) in [
        (Api::Chat, r#"{"error":{"code":"context_length_exceeded"}}"#, Failure::ContextTooLong),
        (Api::Chat, r#"{"choices":[]}"#, Failure::Unreadable),
        (Api::Chat, r#"{"choices":[{"message":{"#, Failure::Unreadable),
        (Api::Chat, r#"{"choices":[{}]} {}"#, Failure::Unreadable),
        (Api::Embeddings, r#"{"choices":[{}]}"#, Failure::Unreadable),
        (Api::Responses, r#"{"status":"failed","error":null,"output":[]}"#, Failure::SaidError),
        (
            Api::Messages,
            r#"{"type":"error","error":{"type":"authentication_error"}}"#,
            Failure::Unserved(401),
        ),
        (Api::Chat, "", Failure::Unreadable),
        (Api::Chat, "[]", Failure::Unreadable),
    ] {
        assert_eq!(failure(&document(api, text)), kind, "{text}");
    }
    let deep = format!("{{\"x\":{}", "[".repeat(500_000));
    assert_eq!(failure(&document(Api::Chat, &deep)), Failure::Unreadable);
}

proptest! {
    #[test]
    fn any_split_gives_the_same_answer_and_no_byte_that_did_not_come(
        parts in proptest::collection::vec(
            prop_oneof![
                Just(FIRST), Just(LAST), Just(USAGE), Just(DONE), Just(": ping\n\n"), Just("\r\n"), Just("data: "),
                Just("data: {\"error\":{\"code\":500}}\r\n\r\n"), Just("\u{feff}"), Just("{"), Just("data: {\"type\":\"message_stop\"}\n\n"),
            ],
            0..12,
        ),
        size in 1usize..50,
        api in prop_oneof![Just(Api::Chat), Just(Api::Messages), Just(Api::Responses)],
        strips: bool,
    ) {
        let text = parts.concat();
        let read = |pieces: &[&[u8]]| {
            let (passed, seen) = through(Beside::new(api, true, strips), pieces);
            (passed, seen.rest, seen.usage, seen.finished, seen.error)
        };
        let whole = read(&[text.as_bytes()]);
        for size in [1, size] {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            prop_assert_eq!(&read(&pieces), &whole);
        }
        prop_assert_eq!(whole.3, whole.4.is_none());
        if !strips && whole.3 {
            let mut all = whole.0.clone();
            all.extend_from_slice(whole.1.as_deref().unwrap_or_default());
            prop_assert_eq!(all, text.as_bytes());
        }
    }
}
