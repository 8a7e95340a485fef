use proptest::prelude::*;

use super::*;

#[test]
fn g1_another_name_for_the_number_of_tokens_is_refused() {
    for name in ["n_predict", "num_predict", "max_new_tokens", "max_output_tokens"] {
        never(Api::Chat, &chat(json!({name: 9_999})), name);
        never(Api::Completions, &json!({"model": "m", "prompt": "a", name: 9_999}), name);
    }
    never(
        Api::Messages,
        &json!({"model": "m", "messages": [{"role": "user", "content": "a"}], "n_predict": 9}),
        "n_predict",
    );
    never(Api::Responses, &json!({"model": "m", "input": "a", "max_tokens": 9}), "max_tokens");
}

#[test]
fn g1_max_tokens_and_max_completion_tokens_together_are_refused() {
    never(Api::Chat, &chat(json!({"max_tokens": 5, "max_completion_tokens": 50})), "max_completion_tokens");
    never(Api::Chat, &chat(json!({"max_tokens": 5, "max_completion_tokens": 5})), "max_completion_tokens");
    for name in ["max_tokens", "max_completion_tokens"] {
        let passed = sold(Server::Vllm, Api::Chat, &chat(json!({name: 5})));
        assert_eq!((passed.of.max_tokens, amount(&passed) / 1000 % 1000), (5, 5));
        let sent: Value = serde_json::from_slice(&passed.body).unwrap();
        assert_eq!((&sent["max_tokens"], sent.get("max_completion_tokens")), (&json!(5), None));
        let sent = super::sent(Server::OpenAi, Api::Chat, &chat(json!({name: 5})));
        assert_eq!((sent.get("max_tokens"), &sent["max_completion_tokens"]), (None, &json!(5)));
    }
    // Null is nothing.
    let passed = sold(Server::Any, Api::Chat, &chat(json!({"max_tokens": null, "max_completion_tokens": 5})));
    assert_eq!(passed.of.max_tokens, 5);
}

#[test]
fn g1_numbers_of_any_size_are_refused_with_what_was_expected() {
    for tokens in
        ["0", "-1", "1.5", "1e3", "4294967296", "99999999999999999999999", "1e400", "\"5\"", "[5]", "true"]
    {
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":"a"}}],"max_tokens":{tokens}}}"#);
        let problem = understand(Server::Any, Api::Chat, &body).unwrap_err();
        assert!(matches!(problem.code, Code::InvalidRequest | Code::MalformedJson), "{tokens}");
    }
    never(Api::Chat, &chat(json!({"seed": 1.5})), "seed");
    never(Api::Chat, &chat(json!({"temperature": 3})), "temperature");
}

#[test]
fn g1_several_answers_are_paid_for_where_they_are_written_and_refused_elsewhere() {
    let body = chat(json!({"n": 3, "max_tokens": 10}));
    let one = sold(Server::Vllm, Api::Chat, &chat(json!({"n": 1, "max_tokens": 10})));
    let three = sold(Server::Vllm, Api::Chat, &body);
    assert_eq!(amount(&three) - 1_000_000, 3 * (amount(&one) - 1_000_000));
    assert_eq!(sent(Server::Vllm, Api::Chat, &body)["n"], 3);
    // OpenAI reads the prompt once.
    let there = sold(Server::OpenAi, Api::Chat, &body);
    assert_eq!(amount(&there) - amount(&one), 2 * 10 * 1_000);
    for server in [Server::Any, Server::LlamaCpp, Server::Ollama] {
        not_now(server, Api::Chat, &body, "n:");
        // The one that all write is not sent on.
        assert_eq!(sent(server, Api::Chat, &chat(json!({"n": 1}))).get("n"), None);
    }
    for bad in [json!(0), json!(17), json!(-1), json!(1.5)] {
        never(Api::Chat, &chat(json!({"n": bad})), "n:");
    }
}

#[test]
fn g1_n_cmpl_best_of_and_beams_are_refused() {
    for name in ["n_cmpl", "best_of", "use_beam_search", "length_penalty"] {
        never(Api::Chat, &chat(json!({name: 2})), name);
        never(Api::Completions, &json!({"model": "m", "prompt": "a", name: 2}), name);
    }
}

#[test]
fn g1_lists_of_prompts_are_one_prompt_or_refused() {
    let completion = |prompt: Value| json!({"model": "m", "prompt": prompt});
    never(Api::Completions, &completion(json!(["a", "b"])), "prompt");
    never(Api::Completions, &completion(json!([[1, 2], [3]])), "prompt");
    never(Api::Completions, &completion(json!([1, "a"])), "prompt");
    for empty in
        [json!([]), json!(""), json!([[]]), json!([""]), json!({}), json!(5), json!([1.5]), json!([-1])]
    {
        never(Api::Completions, &completion(empty), "prompt");
    }
    assert_eq!(sent(Server::Any, Api::Completions, &completion(json!(["a"])))["prompt"], "a");
    let tokens = sold(Server::Any, Api::Completions, &completion(json!([1, 2, 3])));
    assert_eq!(tokens.of.prompt_tokens, 3 + 32 + 16);
    // Each input of embeddings is paid for.
    let embeddings =
        |input: Value| sold(Server::Any, Api::Embeddings, &json!({"model": "m", "input": input}));
    assert_eq!(embeddings(json!("abc")).of.prompt_tokens, 3 + 16 + 32);
    assert_eq!(embeddings(json!(["abc", "de"])).of.prompt_tokens, 5 + 32 + 32);
    assert_eq!(embeddings(json!([[1, 2], [3]])).of.prompt_tokens, 3 + 32 + 32);
    assert_eq!(embeddings(json!("abc")).of.max_tokens, 0);
    never(Api::Embeddings, &json!({"model": "m", "input": []}), "input");
}

#[test]
fn g1_images_from_elsewhere_and_files_are_refused() {
    let with = |url: Value| {
        chat(json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]}))
    };
    for url in [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "http://10.0.0.1/a.png",
        "https://example.com/a.png",
        "data:text/html;base64,aaaa",
        "data:image/png,raw",
        "data:image/png;base64,",
        "data:image/png;base64,aa aa",
        "data:image/png;base64,aaaaa",
        "data:image/svg+xml;base64,aaaa",
        "data:image/png;charset=x;base64,aaaa",
        "",
    ] {
        never(Api::Chat, &with(json!({"url": url})), "image_url");
        never(Api::Chat, &with(json!(url)), "image_url");
        never(
            Api::Responses,
            &json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]}),
            "image_url",
        );
    }
    for source in [
        json!({"type": "url", "url": "https://example.com/a.png"}),
        json!({"type": "file", "file_id": "f"}),
        json!({"type": "base64", "media_type": "image/png", "data": "file:///etc/passwd"}),
        json!({"type": "base64", "media_type": "text/html", "data": "aaaa"}),
    ] {
        never(
            Api::Messages,
            &json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}),
            "source",
        );
    }
    for part in [
        json!({"type": "input_audio", "input_audio": {"data": "aaaa", "format": "wav"}}),
        json!({"type": "file", "file": {"file_id": "f"}}),
        json!({"type": "video_url", "video_url": {"url": "https://example.com"}}),
        json!({"type": "text", "text": "a", "image_url": {"url": DOT}}),
    ] {
        never(
            Api::Chat,
            &chat(json!({"messages": [{"role": "user", "content": [part]}]})),
            "messages[0].content[0]",
        );
    }
    let one = sold(Server::Any, Api::Chat, &with(json!({"url": DOT, "detail": "low"})));
    assert_eq!(one.of.images, 1);
    assert!(one.of.prompt_tokens < 100, "the image's bytes are in its own price");
    let sent: Value = serde_json::from_slice(&one.body).unwrap();
    assert_eq!(sent["messages"][0]["content"][0]["image_url"]["url"], DOT);
    // Without a price.
    let mut blind = model(Server::Any);
    blind.price.per_image = None;
    let body = with(json!(DOT)).to_string();
    let read = Passed::read(Api::Chat, None, &catalogue(blind), "POST".into(), "/".into(), body.as_bytes());
    assert!(read.unwrap_err().detail.contains("image"));
}

#[test]
fn g1_templates_are_the_servers_own() {
    for name in [
        "chat_template",
        "add_generation_prompt",
        "continue_final_message",
        "documents",
        "add_special_tokens",
    ] {
        never(Api::Chat, &chat(json!({name: "{{ messages * 1000 }}"})), name);
    }
    let thinking = chat(json!({"chat_template_kwargs": {"enable_thinking": false}}));
    assert_eq!(
        sent(Server::Vllm, Api::Chat, &thinking)["chat_template_kwargs"],
        json!({"enable_thinking": false})
    );
    not_now(Server::Ollama, Api::Chat, &thinking, "chat_template_kwargs");
    for inner in [json!({"chat_template": "x"}), json!({"tokenize": true}), json!({"enable_thinking": "yes"})]
    {
        let body = chat(json!({"chat_template_kwargs": inner})).to_string();
        assert!(understand(Server::Vllm, Api::Chat, &body).is_err());
    }
}

#[test]
fn g1_what_reaches_into_the_server_is_refused() {
    for name in [
        "priority",
        "kv_transfer_params",
        "id_slot",
        "lora",
        "cache_salt",
        "cache_prompt",
        "request_id",
        "vllm_xargs",
        "mm_processor_kwargs",
        "keep_alive",
        "options",
        "prompt_logprobs",
        "return_prompt_text",
        "return_token_ids",
        "echo",
        "grammar",
        "json_schema",
        "guided_json",
        "structured_outputs",
        "response_fields",
        "truncate_prompt_tokens",
    ] {
        never(Api::Chat, &chat(json!({name: 1})), name);
        never(Api::Completions, &json!({"model": "m", "prompt": "a", name: 1}), name);
    }
    for name in ["previous_response_id", "conversation", "prompt"] {
        never(Api::Responses, &json!({"model": "m", "input": "a", name: "x"}), name);
    }
    never(Api::Responses, &json!({"model": "m", "input": "a", "background": true}), "background");
    never(Api::Responses, &json!({"model": "m", "input": "a", "store": true}), "store");
    never(
        Api::Messages,
        &json!({"model": "m", "messages": [{"role": "user", "content": "a"}], "mcp_servers": []}),
        "mcp_servers",
    );
}

#[test]
fn g1_a_member_that_nobody_knows_is_refused_by_its_name_at_any_depth() {
    never(Api::Chat, &chat(json!({"speculative.n_max": 100})), "speculative.n_max");
    never(Api::Chat, &chat(json!({"Max_Tokens": 100})), "Max_Tokens");
    let message = |message: Value| chat(json!({"messages": [message]}));
    never(Api::Chat, &message(json!({"role": "user", "content": "a", "prefix": true})), "messages[0].prefix");
    never(Api::Chat, &message(json!({"role": "root", "content": "a"})), "messages[0].role");
    never(Api::Chat, &message(json!({"content": "a"})), "messages[0].role");
    never(Api::Chat, &chat(json!({"tools": [{"type": "web_search"}]})), "tools[0].type");
    never(
        Api::Chat,
        &chat(json!({"tools": [{"type": "function", "function": {"name": "f", "x": 1}}]})),
        "tools[0].function.x",
    );
    never(Api::Embeddings, &json!({"model": "m", "input": "a", "late_chunking": true}), "late_chunking");
    never(Api::Rerank, &json!({"model": "m", "query": "a", "documents": ["b"], "x": 1}), "x");
    never(Api::Images, &json!({"model": "m", "prompt": "a", "lora": 1}), "lora");
    for (api, body) in [
        (Api::Responses, json!({"model": "m", "input": "a", "tools": [{"type": "code_interpreter"}]})),
        (
            Api::Responses,
            json!({"model": "m", "input": "a", "tools": [{"type": "mcp", "server_url": "https://x"}]}),
        ),
        (
            Api::Messages,
            json!({"model": "m", "messages": [{"role": "user", "content": "a"}], "tools": [{"type": "web_search_20250305", "name": "w"}]}),
        ),
    ] {
        never(api, &body, "tools[0].type");
    }
}

#[test]
fn g1_a_schema_names_nothing_elsewhere() {
    let with = |schema: Value| {
        chat(
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}}),
        )
    };
    for to in ["https://10.0.0.1/x.json", "file:///etc/passwd", "other.json"] {
        never(Api::Chat, &with(json!({"properties": {"a": {"$ref": to}}})), "$ref");
        never(
            Api::Chat,
            &chat(
                json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"$ref": to}}}]}),
            ),
            "$ref",
        );
    }
    sold(
        Server::Any,
        Api::Chat,
        &with(json!({"$defs": {"a": {}}, "properties": {"a": {"$ref": "#/$defs/a"}}})),
    );
}

#[test]
fn g2_doubled_members_are_refused_wherever_they_are() {
    let plain = r#""messages":[{"role":"user","content":"a"}]"#;
    for body in [
        format!(r#"{{"model":"m","model":"m",{plain}}}"#),
        format!(r#"{{"model":"m",{plain},"max_tokens":1,"max_tokens":100}}"#),
        format!(r#"{{"model":"m",{plain},{plain}}}"#),
        r#"{"model":"m","messages":[{"role":"user","content":"a","content":"b"}]}"#.to_owned(),
        format!(
            r#"{{"model":"m",{plain},"stream_options":{{"include_usage":true,"include_usage":false}},"stream":true}}"#
        ),
        format!(
            r#"{{"model":"m",{plain},"tools":[{{"type":"function","function":{{"name":"f","parameters":{{"a":1,"a":2}}}}}}]}}"#
        ),
    ] {
        let problem = understand(Server::Any, Api::Chat, &body).unwrap_err();
        assert_eq!(problem.code, Code::MalformedJson, "{body}");
    }
}

#[test]
fn g3_the_usage_of_a_stream_is_asked_for_in_any_case() {
    for (members, strips) in [
        (json!({"stream": true}), true),
        (json!({"stream": true, "stream_options": {"include_usage": false}}), true),
        (json!({"stream": true, "stream_options": null}), true),
        (json!({"stream": true, "stream_options": {"include_usage": true}}), false),
    ] {
        let passed = sold(Server::Any, Api::Chat, &chat(members));
        assert_eq!((passed.streamed, passed.strips_usage), (true, strips));
        let sent: Value = serde_json::from_slice(&passed.body).unwrap();
        assert_eq!(
            (&sent["stream"], &sent["stream_options"]),
            (&json!(true), &json!({"include_usage": true}))
        );
    }
    // vLLM tells it on the way, where what is used is charged and one answer is written.
    let streamed = chat(json!({"stream": true}));
    let completion = json!({"model": "m", "prompt": "a", "stream": true});
    let message = json!({"model": "m", "messages": [{"role": "user", "content": "a"}], "max_tokens": 9, "stream": true});
    let vllm = || Model { by_use: true, ..model(Server::Vllm) };
    for (model, api, body, counts) in [
        (vllm(), Api::Chat, &streamed, true),
        (vllm(), Api::Completions, &completion, true),
        (vllm(), Api::Messages, &message, false),
        (vllm(), Api::Chat, &chat(json!({"stream": true, "n": 2})), false),
        (vllm(), Api::Chat, &chat(json!({"stream": false})), false),
        (Model { continuous_usage: false, ..vllm() }, Api::Chat, &streamed, false),
        (model(Server::Vllm), Api::Chat, &streamed, false),
        (Model { by_use: true, ..model(Server::Any) }, Api::Chat, &streamed, false),
    ] {
        let passed = sold_of(model, api, body);
        assert_eq!(passed.counting.is_some(), counts, "{body}");
        let mut sent: Value = serde_json::from_slice(&passed.body).unwrap();
        assert!(sent["stream_options"].get("continuous_usage_stats").is_none(), "{sent}");
        if let Some(counting) = passed.counting {
            sent["stream_options"]["continuous_usage_stats"] = json!(true);
            assert_eq!(serde_json::from_slice::<Value>(&counting).unwrap(), sent);
        }
    }
    let whole = sold(Server::Any, Api::Chat, &chat(json!({"stream": false})));
    assert!(!whole.streamed && !whole.strips_usage);
    never(Api::Chat, &chat(json!({"stream_options": {"include_usage": true}})), "stream_options");
    never(Api::Chat, &chat(json!({"stream": "yes"})), "stream");
    never(
        Api::Chat,
        &chat(json!({"stream": true, "stream_options": {"continuous_usage_stats": true}})),
        "continuous_usage_stats",
    );
}

/// Bodies that are read, to be damaged.
const BODIES: [&str; 6] = [
    r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"n":2,"stream":true,"max_tokens":5}"#,
    r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"a\":1}"}}]}],"tools":[{"function":{"name":"f"}}]}"#,
    r#"{"model":"m","prompt":["a"],"input":[["1",2],[3]],"query":"q","documents":[{"text":"a"}],"stop":["x"]}"#,
    r#"{"model":"m","system":"s","messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aaaa"}}]}]}"#,
    r#"{"model":"m","input":[{"role":"user","content":"hi"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}],"text":{"format":{"type":"text"}}}"#,
    r##"{"model":"m","response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"$ref":"#"}}},"messages":[{"role":"user","content":"a"}]}"##,
];

proptest! {
    #[test]
    fn g1_what_is_sent_on_is_priced_as_what_was_sent_however_a_body_is_damaged(
        body in proptest::sample::select(BODIES.to_vec()),
        api in proptest::sample::select(Api::ALL.to_vec()),
        server in proptest::sample::select(vec![Server::Any, Server::LlamaCpp, Server::Vllm, Server::Ollama, Server::OpenAi]),
        edits in proptest::collection::vec((0usize..200, prop_oneof![Just(None), any::<u8>().prop_map(Some)]), 0..4),
    ) {
        let mut body = body.as_bytes().to_vec();
        for (at, byte) in edits {
            let at = at % body.len().max(1);
            match byte {
                Some(byte) if at < body.len() => body[at] = byte,
                _ => body.truncate(at.max(1)),
            }
        }
        let catalogue = catalogue(model(server));
        let read = |body: &[u8]| Passed::read(api, None, &catalogue, "POST".into(), "/".into(), body);
        if let Ok(passed) = read(&body) {
            let again = read(&passed.body).unwrap();
            prop_assert_eq!((&again.of, again.order.amount, &again.body), (&passed.of, passed.order.amount, &passed.body));
        }
    }
}
