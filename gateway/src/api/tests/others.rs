use super::*;

#[test]
fn what_is_passed_on_is_what_was_priced_in_its_order() {
    let body = chat(json!({
        "temperature": 0.5, "top_p": 1, "stop": ["a", "b"], "user": "somebody", "metadata": {"a": "b"}, "store": false,
        "service_tier": "auto", "modalities": ["text"], "seed": -7, "presence_penalty": null,
    }));
    let sent = sent(Server::Any, Api::Chat, &body);
    assert_eq!(
        sent,
        json!({
            "model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5, "top_p": 1,
            "stop": ["a", "b"], "seed": -7, "stream": false, "max_tokens": 16,
        })
    );
    let schema = r#"{"z":1,"a":{"y":2,"b":3}}"#;
    let text = format!(
        r#"{{"messages":[{{"role":"user","content":"a"}}],"model":"m","tools":[{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}]}}"#
    );
    let Ok(PassedReading::Sold(passed)) = understand(Server::Any, Api::Chat, &text) else {
        panic!("it is sold")
    };
    assert!(
        String::from_utf8_lossy(&passed.body).contains(schema),
        "the order of a schema is what the model is shown"
    );
}

#[test]
fn everything_that_the_model_is_shown_is_in_the_price() {
    let base = sold(Server::Any, Api::Chat, &chat(json!({}))).of.prompt_tokens;
    let more = |members: Value| sold(Server::Any, Api::Chat, &chat(members)).of.prompt_tokens - base;
    let long = "x".repeat(1000);
    let messages = |message: Value| json!({"messages": [{"role": "user", "content": "hi"}, message]});
    for shown in [
        messages(json!({"role": "user", "content": long})),
        messages(json!({"role": "user", "content": [{"type": "text", "text": long}]})),
        messages(json!({"role": "assistant", "refusal": long})),
        messages(json!({"role": "assistant", "reasoning_content": long})),
        messages(
            json!({"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": long}}]}),
        ),
        messages(
            json!({"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": json!({"a": long}).to_string()}}]}),
        ),
        messages(json!({"role": "tool", "tool_call_id": "c", "content": long})),
        json!({"tools": [{"type": "function", "function": {"name": "f", "description": long}}]}),
        json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"description": long}}}}}]}),
        json!({"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"title": long}}}}),
    ] {
        assert!(more(shown.clone()) >= 1000, "{shown}");
    }
    assert_eq!(more(messages(json!({"role": "user", "content": ""}))), 16 + 4 + 2);
    assert!(more(json!({"tools": [{"type": "function", "function": {"name": "f"}}]})) >= 512);
    // A lone character beyond ASCII is as many bytes as it has.
    assert_eq!(more(json!({"messages": [{"role": "user", "content": "é€😀"}]})), 9 - 2);
}

#[test]
fn beyond_the_limits_is_not_sold_and_is_served_to_those_who_paid() {
    for (body, words) in [
        (chat(json!({"max_tokens": 101})), "max_tokens"),
        (chat(json!({"messages": [{"role": "user", "content": "x".repeat(10_001)}]})), "10000 bytes"),
    ] {
        let Ok(PassedReading::Unsold(unsold)) = understand(Server::Any, Api::Chat, &body.to_string()) else {
            panic!("it is sold")
        };
        assert!(unsold.problem.detail.contains(words), "{}", unsold.problem.detail);
        assert!(unsold.request.is_some() && unsold.order.amount.0 == U256::MAX);
    }
    let body = r#"{"model":"gone","messages":[]}"#;
    let Ok(PassedReading::Unsold(unsold)) = understand(Server::Any, Api::Chat, body) else {
        panic!("it is sold")
    };
    assert!(unsold.problem.code == Code::UnknownModel && unsold.request.is_none());
    let mut chats = model(Server::Any);
    chats.apis = [Api::Chat].into();
    let embeddings = br#"{"model":"m","input":"a"}"#;
    let read = Passed::read(Api::Embeddings, None, &catalogue(chats), "POST".into(), "/".into(), embeddings);
    assert!(read.unwrap_err().detail.contains("/v1/chat/completions"));
}

#[test]
fn what_a_server_would_refuse_after_the_payment_is_refused_before_it() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (body, member) in [
        (json!({"tool_choice": "auto"}), "tool_choice"),
        (json!({"parallel_tool_calls": true, "tools": []}), "parallel_tool_calls"),
        (json!({"response_format": {"type": "json_schema"}}), "json_schema"),
        (json!({"response_format": {"type": "text", "json_schema": {"name": "s"}}}), "json_schema"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop"),
        (json!({"tools": tools, "tool_choice": "any"}), "tool_choice"),
    ] {
        never(Api::Chat, &chat(body), member);
    }
    sold(
        Server::Any,
        Api::Chat,
        &chat(json!({"tools": tools, "tool_choice": {"type": "function", "function": {"name": "f"}}})),
    );
    for (body, member) in [
        (json!({"top_logprobs": 5}), "top_logprobs"),
        (json!({"min_tokens": 9, "max_tokens": 8}), "min_tokens"),
    ] {
        let problem = understand(Server::Vllm, Api::Chat, &chat(body).to_string()).unwrap_err();
        assert!(problem.detail.contains(member), "{}", problem.detail);
    }
}

#[test]
fn an_endpoint_with_a_name_has_one_model() {
    let catalogue = catalogue(model(Server::Any));
    let read = |named, body: &str| {
        Passed::read(Api::Chat, named, &catalogue, "POST".into(), "/m".into(), body.as_bytes())
    };
    let messages = r#""messages":[{"role":"user","content":"a"}]"#;
    for body in [
        format!("{{{messages}}}"),
        format!("{{{messages},\"model\":\"m\"}}"),
        format!("{{{messages},\"model\":null}}"),
    ] {
        let passed = read(Some("m"), &body).unwrap();
        let sent: Value = serde_json::from_slice(&passed.body).unwrap();
        assert_eq!((passed.name.as_str(), &sent["model"]), ("m", &json!("m")));
    }
    assert!(
        read(Some("m"), &format!("{{{messages},\"model\":\"other\"}}")).unwrap_err().detail.contains("model")
    );
    for bad in [format!("{{{messages}}}"), format!("{{{messages},\"model\":5}}")] {
        assert!(read(None, &bad).unwrap_err().detail.contains("model"));
    }
}

#[test]
fn messages_of_anthropic_are_read() {
    let body = json!({
        "model": "m", "max_tokens": 10, "system": [{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aaaa"}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "42"}]}]},
        ],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "metadata": {"user_id": "u"}, "stream": true, "thinking": {"type": "enabled", "budget_tokens": 5},
    });
    let passed = sold(Server::Any, Api::Messages, &body);
    assert!(passed.streamed && passed.of.images == 1 && passed.of.max_tokens == 10);
    let sent: Value = serde_json::from_slice(&passed.body).unwrap();
    assert_eq!((sent.get("metadata"), sent["system"][0].get("cache_control")), (None, None));
    assert_eq!((&sent["max_tokens"], &sent["messages"][1]), (&json!(10), &body["messages"][1]));
    never(
        Api::Messages,
        &json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "document"}]}]}),
        "document",
    );
}

#[test]
fn responses_are_read_and_kept_nowhere() {
    let body = json!({
        "model": "m", "instructions": "be kind", "max_output_tokens": 10,
        "input": [
            {"role": "user", "content": "hi"},
            {"type": "message", "role": "assistant", "id": "x", "status": "completed", "content": [{"type": "output_text", "text": "yes", "annotations": []}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "42"},
            {"role": "user", "content": [{"type": "input_image", "image_url": DOT}]},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": true}],
        "reasoning": {"effort": "low"}, "text": {"format": {"type": "json_schema", "name": "s", "schema": {}}},
    });
    let passed = sold(Server::Any, Api::Responses, &body);
    let sent: Value = serde_json::from_slice(&passed.body).unwrap();
    assert_eq!(
        (&sent["store"], &sent["max_output_tokens"], &sent["stream"]),
        (&json!(false), &json!(10), &json!(false))
    );
    assert_eq!((passed.of.images, passed.of.max_tokens), (1, 10));
    let text = sold(Server::Any, Api::Responses, &json!({"model": "m", "input": "hi"}));
    assert_eq!((text.of.prompt_tokens, text.of.max_tokens), (2 + 32 + 2 * 16, 16));
    never(
        Api::Responses,
        &json!({"model": "m", "input": [{"type": "item_reference", "id": "x"}]}),
        "input[0]",
    );
    never(Api::Responses, &json!({"model": "m"}), "input");
}

#[test]
fn a_query_is_paid_for_with_each_document() {
    let rerank =
        |documents: Value| json!({"model": "m", "query": "four", "documents": documents, "top_n": 1});
    let two = sold(Server::Any, Api::Rerank, &rerank(json!(["a", {"text": "bc"}])));
    assert_eq!((two.of.prompt_tokens, two.of.max_tokens), (4 + 1 + 4 + 2 + 2 * 16 + 32, 0));
    assert_eq!(sent(Server::Any, Api::Rerank, &rerank(json!([{"text": "bc"}])))["documents"], json!(["bc"]));
    for bad in [json!([]), json!([5]), json!("a"), json!([{"text": 5}]), json!([{"image": DOT}])] {
        never(Api::Rerank, &rerank(bad), "documents");
    }
}

#[test]
fn images_that_are_made_have_the_price_of_their_size() {
    let images = |members: Value| {
        let mut body = json!({"model": "m", "prompt": "salt"});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        body
    };
    let one = sold(Server::Any, Api::Images, &images(json!({})));
    let three = sold(Server::Any, Api::Images, &images(json!({"n": 3, "size": "1x1"})));
    assert_eq!(amount(&three) - amount(&one), 2 * 7_000);
    assert_eq!(
        sent(Server::Any, Api::Images, &images(json!({}))),
        json!({"model": "m", "prompt": "salt", "n": 1, "response_format": "b64_json", "size": "1x1"})
    );
    let Ok(PassedReading::Unsold(unsold)) =
        understand(Server::Any, Api::Images, &images(json!({"size": "2x2"})).to_string())
    else {
        panic!("it is sold")
    };
    assert!(unsold.problem.detail.contains("1x1"), "{}", unsold.problem.detail);
    never(Api::Images, &images(json!({"response_format": "url"})), "response_format");
    never(Api::Images, &images(json!({"quality": "high"})), "quality");
    never(Api::Images, &images(json!({"n": 17})), "n:");
}

#[test]
fn every_table_names_a_member_once_for_each_server() {
    use crate::api::members::Rule;
    for (api, tables) in tables() {
        let mut seen = std::collections::BTreeSet::new();
        for row in tables.into_iter().flatten() {
            assert!(seen.insert(row.name), "{api:?}: {} is there twice", row.name);
            let everywhere = row.by == crate::api::members::ALL;
            assert!(
                everywhere || !matches!(row.rule, Rule::Refused(_) | Rule::Priced),
                "{api:?}: {}",
                row.name
            );
        }
        assert!(seen.contains("model"));
    }
}
