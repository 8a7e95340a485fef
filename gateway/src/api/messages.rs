//! Anthropic's `POST /v1/messages`.

use crate::api::counted::Counted;
use crate::api::forms::Form;
use crate::api::json::{Json, Object};
use crate::api::members::{ALL, Fault, LLAMA_CPP, Member, OLLAMA, Rule, VLLM, member, never, sift};
use crate::api::reading::{
    Asked, base64, content, list_of, local_schema, object_of, take, take_bool, take_tokens, word_of,
};
use crate::kinds::Server;

const CACHE: Member = member("cache_control", ALL, Rule::Dropped(Form::Object));

pub(super) const MEMBERS: &[Member] = &[
    member("model", ALL, Rule::Priced),
    member("messages", ALL, Rule::Priced),
    member("max_tokens", ALL, Rule::Priced),
    member("system", ALL, Rule::Priced),
    member("stream", ALL, Rule::Priced),
    member("tools", ALL, Rule::Priced),
    member(
        "tool_choice",
        ALL,
        Rule::Shown(Form::Members(&[
            ("type", Form::OneOf(&["auto", "any", "tool", "none"])),
            ("name", Form::Word),
            ("disable_parallel_tool_use", Form::Bool),
        ])),
    ),
    member("temperature", ALL, Rule::Harmless(Form::Number(0, 1))),
    member("top_p", ALL, Rule::Harmless(Form::Number(0, 1))),
    member("top_k", LLAMA_CPP.and(VLLM).and(OLLAMA), Rule::Harmless(Form::Integer(0, 1_000_000))),
    member("stop_sequences", ALL, Rule::Harmless(Form::Texts)),
    // It is within max_tokens.
    member(
        "thinking",
        ALL,
        Rule::Harmless(Form::Members(&[
            ("type", Form::OneOf(&["enabled", "disabled", "adaptive"])),
            ("budget_tokens", Form::Integer(1, 1_000_000)),
            ("display", Form::Word),
        ])),
    ),
    member("metadata", ALL, Rule::Dropped(Form::Object)),
    member("service_tier", ALL, Rule::Dropped(Form::OneOf(&["auto", "standard_only"]))),
    CACHE,
    member("mcp_servers", ALL, Rule::Refused("nothing is called from here: run tools at the client")),
    member("container", ALL, Rule::Refused("nothing is run here: leave it out")),
    member("context_management", ALL, Rule::Refused("all that is sent is read: leave it out")),
    member("output_config", ALL, Rule::Refused("it has no price here: leave it out")),
    member("max_completion_tokens", ALL, Rule::Refused("send max_tokens: it is what the price counts")),
    member("n_predict", ALL, Rule::Refused("send max_tokens: it is what the price counts")),
    member("n", ALL, Rule::Refused("one message is written: leave it out")),
    member(
        "chat_template",
        ALL,
        Rule::Refused("the model's own template is used, whose length is in the price: leave it out"),
    ),
    member("priority", ALL, Rule::Refused("it reaches into the server: leave it out")),
    member("kv_transfer_params", ALL, Rule::Refused("it reaches into the server: leave it out")),
    member("id_slot", ALL, Rule::Refused("it reaches into the server: leave it out")),
    member("lora", ALL, Rule::Refused("it reaches into the server: leave it out")),
];

const MESSAGE: &[Member] = &[
    member("role", ALL, Rule::Shown(Form::OneOf(&["user", "assistant", "system"]))),
    member("content", ALL, Rule::Priced),
];

const TEXT: &[Member] = &[
    member("type", ALL, Rule::Priced),
    member("text", ALL, Rule::Shown(Form::Text)),
    member("citations", ALL, Rule::Dropped(Form::EmptyList)),
    CACHE,
];
const IMAGE: &[Member] = &[member("type", ALL, Rule::Priced), member("source", ALL, Rule::Priced), CACHE];
const SOURCE: &[Member] = &[
    member("type", ALL, Rule::Priced),
    member(
        "media_type",
        ALL,
        Rule::Harmless(Form::OneOf(&["image/png", "image/jpeg", "image/webp", "image/gif"])),
    ),
    member("data", ALL, Rule::Priced),
    member("url", ALL, Rule::Refused("nothing is fetched: send the image itself, as base64")),
    member("file_id", ALL, Rule::Refused("no files are kept here: send the image itself, as base64")),
];
const TOOL_USE: &[Member] = &[
    member("type", ALL, Rule::Priced),
    member("id", ALL, Rule::Shown(Form::Word)),
    member("name", ALL, Rule::Shown(Form::Word)),
    member("input", ALL, Rule::Shown(Form::Object)),
    member("caller", ALL, Rule::Dropped(Form::Object)),
    CACHE,
];
const TOOL_RESULT: &[Member] = &[
    member("type", ALL, Rule::Priced),
    member("tool_use_id", ALL, Rule::Shown(Form::Word)),
    member("is_error", ALL, Rule::Harmless(Form::Bool)),
    member("content", ALL, Rule::Priced),
    CACHE,
];
const THINKING: &[Member] = &[
    member("type", ALL, Rule::Priced),
    member("thinking", ALL, Rule::Shown(Form::Text)),
    member("signature", ALL, Rule::Shown(Form::Text)),
    member("data", ALL, Rule::Shown(Form::Text)),
];
const TOOL: &[Member] = &[
    member("type", ALL, Rule::Harmless(Form::OneOf(&["custom"]))),
    member("name", ALL, Rule::Harmless(Form::Word)),
    member("description", ALL, Rule::Harmless(Form::Text)),
    member("input_schema", ALL, Rule::Harmless(Form::Object)),
    member("strict", ALL, Rule::Harmless(Form::Bool)),
    CACHE,
];

/// Reads a body. What stays in it is passed on.
pub(super) fn read(object: Object, server: Server) -> Result<(Object, Asked), Fault> {
    let mut counted = Counted::default();
    let mut body = sift(&[MEMBERS], server, object, "", &mut counted)?;
    let tokens = take_tokens(&mut body, &["max_tokens"])?;
    let streamed = take_bool(&mut body, "stream")?;
    body.set("stream", streamed);
    if let Some(value) = body.take("system") {
        counted.messages += 1;
        let value = content(value, "system", &mut counted, &mut text_alone)?;
        body.set("system", value);
    }
    let messages = body.take("messages").ok_or_else(|| never("messages: it is missing"))?;
    let messages = list_of(messages, "messages")?;
    if messages.is_empty() {
        return Err(never("messages: it is empty"));
    }
    let mut kept = Vec::with_capacity(messages.len());
    for (at, value) in messages.into_iter().enumerate() {
        let path = format!("messages[{at}].");
        counted.messages += 1;
        let object = object_of(value, path.trim_end_matches('.'))?;
        let mut message = sift(&[MESSAGE], server, object, &path, &mut counted)?;
        word_of(&message, &path, "role")?;
        let value = message.take("content").ok_or_else(|| never(format!("{path}content: it is missing")))?;
        let value = content(value, &format!("{path}content"), &mut counted, &mut block)?;
        message.set("content", value);
        kept.push(Json::Object(message));
    }
    body.set("messages", Json::List(kept));
    if let Some(value) = body.take("tools") {
        let value = tools(list_of(value, "tools")?, server, &mut counted)?;
        body.set("tools", value);
    }
    Ok((body, Asked { tokens, streamed, ..Asked::one(counted) }))
}

fn text_alone(object: Object, path: &str, counted: &mut Counted) -> Result<Json, Fault> {
    let inner = format!("{path}.");
    let part = sift(&[TEXT], Server::Any, object, &inner, counted)?;
    match word_of(&part, &inner, "type")? {
        "text" => Ok(Json::Object(part)),
        other => Err(never(format!("{inner}type: {other:?}: expected text"))),
    }
}

/// A block of a message.
fn block(object: Object, path: &str, counted: &mut Counted) -> Result<Json, Fault> {
    let inner = format!("{path}.");
    let kind = word_of(&object, &inner, "type")?.to_owned();
    let table = match kind.as_str() {
        "text" => TEXT,
        "image" => IMAGE,
        "tool_use" => TOOL_USE,
        "tool_result" => TOOL_RESULT,
        "thinking" | "redacted_thinking" => THINKING,
        other => {
            let what = "it has no price here: send text, images, tool_use or tool_result";
            return Err(never(format!("{inner}type: {other:?}: {what}")));
        }
    };
    let mut block = sift(&[table], Server::Any, object, &inner, counted)?;
    match kind.as_str() {
        "image" => {
            let path = format!("{inner}source");
            let source = block.take("source").ok_or_else(|| never(format!("{path}: it is missing")))?;
            block.set("source", image_source(object_of(source, &path)?, &path, counted)?);
        }
        "tool_use" => counted.messages += 1,
        "tool_result" => {
            counted.messages += 1;
            if let Some(value) = block.take("content") {
                let path = format!("{inner}content");
                let value = content(value, &path, counted, &mut result_block)?;
                block.set("content", value);
            }
        }
        _ => {}
    }
    Ok(Json::Object(block))
}

/// A block of what a tool answered.
fn result_block(object: Object, path: &str, counted: &mut Counted) -> Result<Json, Fault> {
    match object.get("type").and_then(Json::as_text) {
        Some("text" | "image") => block(object, path, counted),
        _ => Err(never(format!("{path}.type: expected text or image"))),
    }
}

fn image_source(object: Object, path: &str, counted: &mut Counted) -> Result<Json, Fault> {
    let inner = format!("{path}.");
    let source = sift(&[SOURCE], Server::Any, object, &inner, counted)?;
    if word_of(&source, &inner, "type")? != "base64" {
        return Err(never(format!("{inner}type: send the image itself, as base64; nothing is fetched")));
    }
    word_of(&source, &inner, "media_type")?;
    let data = source.get("data").and_then(Json::as_text).unwrap_or_default();
    base64(data, &format!("{inner}data"))?;
    counted.images += 1;
    Ok(Json::Object(source))
}

fn tools(list: Vec<Json>, server: Server, counted: &mut Counted) -> Result<Json, Fault> {
    let mut kept = Vec::with_capacity(list.len());
    for (at, value) in list.into_iter().enumerate() {
        let path = format!("tools[{at}]");
        let mut none = Counted::default();
        let object = object_of(value, &path)?;
        if object.get("type").and_then(Json::as_text).is_some_and(|kind| kind != "custom") {
            let what = "only tools that the client runs have a price here: send name and input_schema";
            return Err(never(format!("{path}.type: {what}")));
        }
        let mut tool = sift(&[TOOL], server, object, &format!("{path}."), &mut none)?;
        let _ = take(&mut tool, &format!("{path}."), "type", Form::Word)?;
        word_of(&tool, &format!("{path}."), "name")?;
        let tool = Json::Object(tool);
        local_schema(&tool, &path)?;
        kept.push(tool);
    }
    let tools = Json::List(kept);
    counted.json(&tools);
    counted.tools = true;
    Ok(tools)
}
