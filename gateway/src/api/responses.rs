//! OpenAI's `POST /v1/responses`, without what a server would keep.

use crate::api::chat::{FUNCTION, JSON_SCHEMA};
use crate::api::counted::Counted;
use crate::api::forms::Form;
use crate::api::json::{Json, Object};
use crate::api::members::{ALL, Fault, LLAMA_CPP, Member, OPENAI, Rule, VLLM, member, never, sift};
use crate::api::reading::{
    Asked, arguments, content, image, list_of, local_schema, object_of, take, take_bool, take_tokens, word_of,
};
use crate::kinds::Server;

const KEPT: &str = "nothing is kept between requests here: send all of the input";

pub(super) const MEMBERS: &[Member] = &[
    member("model", ALL, Rule::Priced),
    member("input", ALL, Rule::Priced),
    member("instructions", ALL, Rule::Shown(Form::Text)),
    member("max_output_tokens", ALL, Rule::Priced),
    member("stream", ALL, Rule::Priced),
    member("tools", ALL, Rule::Priced),
    member("tool_choice", ALL, Rule::Priced),
    member("text", ALL, Rule::Priced),
    member("store", ALL, Rule::Dropped(Form::False)),
    member("temperature", ALL, Rule::Harmless(Form::Number(0, 2))),
    member("top_p", ALL, Rule::Harmless(Form::Number(0, 1))),
    member("top_logprobs", OPENAI.and(VLLM), Rule::Harmless(Form::Integer(0, 20))),
    member("parallel_tool_calls", ALL, Rule::Harmless(Form::Bool)),
    member("truncation", ALL, Rule::Harmless(Form::OneOf(&["disabled"]))),
    member(
        "reasoning",
        ALL,
        Rule::Shown(Form::Members(&[
            ("effort", Form::OneOf(&["none", "minimal", "low", "medium", "high", "xhigh"])),
            ("summary", Form::OneOf(&["auto", "concise", "detailed"])),
            ("generate_summary", Form::OneOf(&["auto", "concise", "detailed"])),
        ])),
    ),
    member(
        "include",
        OPENAI.and(VLLM).and(LLAMA_CPP),
        Rule::Harmless(Form::ListOf(&["reasoning.encrypted_content"])),
    ),
    member("user", ALL, Rule::Dropped(Form::Word)),
    member("safety_identifier", ALL, Rule::Dropped(Form::Word)),
    member("prompt_cache_key", ALL, Rule::Dropped(Form::Word)),
    member("metadata", ALL, Rule::Dropped(Form::Object)),
    member("service_tier", ALL, Rule::Dropped(Form::OneOf(&["auto", "default"]))),
    member("stream_options", ALL, Rule::Dropped(Form::Members(&[("include_obfuscation", Form::Bool)]))),
    member("background", ALL, Rule::Dropped(Form::False)),
    member("previous_response_id", ALL, Rule::Refused(KEPT)),
    member("conversation", ALL, Rule::Refused(KEPT)),
    member("prompt", ALL, Rule::Refused(KEPT)),
    member("max_tool_calls", ALL, Rule::Refused("tools are run by the client: leave it out")),
    member("max_tokens", ALL, Rule::Refused("send max_output_tokens: it is what the price counts")),
    member(
        "max_completion_tokens",
        ALL,
        Rule::Refused("send max_output_tokens: it is what the price counts"),
    ),
    member("n", ALL, Rule::Refused("one response is written: leave it out")),
    member("priority", ALL, Rule::Refused("it reaches into the server: leave it out")),
    member("request_id", ALL, Rule::Refused("it reaches into the server: leave it out")),
    member("mm_processor_kwargs", ALL, Rule::Refused("it reaches into the server: leave it out")),
    member(
        "chat_template",
        ALL,
        Rule::Refused("the model's own template is used, whose length is in the price: leave it out"),
    ),
];

const STATUS: Member = member("status", ALL, Rule::Dropped(Form::Word));
const ID: Member = member("id", ALL, Rule::Harmless(Form::Word));
const TYPE: Member = member("type", ALL, Rule::Harmless(Form::Word));

const MESSAGE: &[Member] = &[
    TYPE,
    ID,
    STATUS,
    member("role", ALL, Rule::Shown(Form::OneOf(&["system", "developer", "user", "assistant"]))),
    member("content", ALL, Rule::Priced),
    member("phase", ALL, Rule::Dropped(Form::Word)),
];
const CALL: &[Member] = &[
    TYPE,
    ID,
    STATUS,
    member("call_id", ALL, Rule::Shown(Form::Word)),
    member("name", ALL, Rule::Shown(Form::Word)),
    member("arguments", ALL, Rule::Priced),
];
const CALL_OUTPUT: &[Member] =
    &[TYPE, ID, STATUS, member("call_id", ALL, Rule::Shown(Form::Word)), member("output", ALL, Rule::Priced)];
const REASONING: &[Member] = &[
    TYPE,
    ID,
    STATUS,
    member("summary", ALL, Rule::Priced),
    member("content", ALL, Rule::Priced),
    member("encrypted_content", ALL, Rule::Shown(Form::Text)),
];
const PART: &[Member] = &[
    member("type", ALL, Rule::Priced),
    member("text", ALL, Rule::Shown(Form::Text)),
    member("refusal", ALL, Rule::Shown(Form::Text)),
    member("image_url", ALL, Rule::Priced),
    member("detail", ALL, Rule::Harmless(Form::OneOf(&["auto", "low", "high"]))),
    member("annotations", ALL, Rule::Dropped(Form::EmptyList)),
    member("logprobs", ALL, Rule::Dropped(Form::EmptyList)),
    member("file_id", ALL, Rule::Refused("no files are kept here: send the image itself")),
    member("file_url", ALL, Rule::Refused("nothing is fetched: send text")),
    member("file_data", ALL, Rule::Refused("files have no price here: send text")),
];
const TEXT: &[Member] = &[
    member("format", ALL, Rule::Priced),
    member("verbosity", OPENAI, Rule::Shown(Form::OneOf(&["low", "medium", "high"]))),
];
const FORMAT: &[Member] =
    &[member("type", ALL, Rule::Harmless(Form::OneOf(&["text", "json_object", "json_schema"])))];
const TOOL: &[Member] = &[member("type", ALL, Rule::Harmless(Form::OneOf(&["function"])))];

/// Reads a body. What stays in it is passed on.
pub(super) fn read(object: Object, server: Server) -> Result<(Object, Asked), Fault> {
    let mut counted = Counted::default();
    let mut body = sift(&[MEMBERS], server, object, "", &mut counted)?;
    let tokens = take_tokens(&mut body, &["max_output_tokens"])?;
    let streamed = take_bool(&mut body, "stream")?;
    body.set("stream", streamed);
    // OpenAI keeps responses unless it is told not to.
    body.set("store", false);
    counted.messages = 1;
    let input = match body.take("input") {
        None => return Err(never("input: it is missing")),
        Some(Json::Text(text)) => {
            counted.text(&text);
            counted.messages += 1;
            Json::Text(text)
        }
        Some(value) => {
            let mut kept = Vec::new();
            for (at, value) in list_of(value, "input")?.into_iter().enumerate() {
                let path = format!("input[{at}]");
                counted.messages += 1;
                kept.push(item(object_of(value, &path)?, &path, server, &mut counted)?);
            }
            Json::List(kept)
        }
    };
    body.set("input", input);
    if let Some(value) = body.take("tools") {
        let value = tools(list_of(value, "tools")?, server, &mut counted)?;
        body.set("tools", value);
    }
    if let Some(value) = body.get("tool_choice") {
        let form = match value {
            Json::Text(_) => Form::OneOf(&["none", "auto", "required"]),
            _ => Form::Members(&[("type", Form::OneOf(&["function"])), ("name", Form::Word)]),
        };
        form.check(value).map_err(|what| never(format!("tool_choice: {what}")))?;
        counted.json(value);
    }
    if let Some(value) = body.take("text") {
        let mut text = sift(&[TEXT], server, object_of(value, "text")?, "text.", &mut counted)?;
        if let Some(value) = text.take("format") {
            let object = object_of(value, "text.format")?;
            let mut none = Counted::default();
            let format = sift(&[FORMAT, JSON_SCHEMA], server, object, "text.format.", &mut none)?;
            let format = Json::Object(format);
            local_schema(&format, "text.format")?;
            counted.json(&format);
            counted.tools = true;
            text.set("format", format);
        }
        body.set("text", text);
    }
    Ok((body, Asked { tokens, streamed, ..Asked::one(counted) }))
}

fn item(object: Object, path: &str, server: Server, counted: &mut Counted) -> Result<Json, Fault> {
    let inner = format!("{path}.");
    let kind = match object.get("type") {
        None => "message".to_owned(),
        Some(_) => word_of(&object, &inner, "type")?.to_owned(),
    };
    let table = match kind.as_str() {
        "message" => MESSAGE,
        "function_call" => CALL,
        "function_call_output" => CALL_OUTPUT,
        "reasoning" => REASONING,
        "item_reference" => return Err(never(format!("{inner}type: {KEPT}"))),
        other => {
            let what =
                "it has no price here: send messages, function_call, function_call_output or reasoning";
            return Err(never(format!("{inner}type: {other:?}: {what}")));
        }
    };
    let mut item = sift(&[table], server, object, &inner, counted)?;
    for name in ["content", "output", "summary"] {
        if let Some(value) = item.take(name) {
            let value = content(value, &format!("{inner}{name}"), counted, &mut part)?;
            item.set(name, value);
        }
    }
    if let Some(value) = take(&mut item, &inner, "arguments", Form::Text)? {
        arguments(value.as_text().unwrap_or_default(), counted);
        item.set("arguments", value);
    }
    Ok(Json::Object(item))
}

fn part(object: Object, path: &str, counted: &mut Counted) -> Result<Json, Fault> {
    let inner = format!("{path}.");
    let part = sift(&[PART], Server::Any, object, &inner, counted)?;
    let known = match word_of(&part, &inner, "type")? {
        "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" => &["text"][..],
        "refusal" => &["refusal"],
        "input_image" => &["image_url", "detail"],
        other => {
            let what = "it has no price here: send input_text, or input_image with the image itself";
            return Err(never(format!("{inner}type: {other:?}: {what}")));
        }
    };
    if let Some((other, _)) =
        part.0.iter().find(|(name, _)| name != "type" && !known.contains(&name.as_str()))
    {
        return Err(never(format!("{inner}{other}: it does not belong to a part of this type")));
    }
    if known.contains(&"image_url") {
        let url = part.get("image_url").and_then(Json::as_text).unwrap_or_default();
        image(url, &format!("{inner}image_url"), counted)?;
    }
    Ok(Json::Object(part))
}

fn tools(list: Vec<Json>, server: Server, counted: &mut Counted) -> Result<Json, Fault> {
    let mut kept = Vec::with_capacity(list.len());
    for (at, value) in list.into_iter().enumerate() {
        let path = format!("tools[{at}]");
        let mut none = Counted::default();
        let object = object_of(value, &path)?;
        if object.get("type").and_then(Json::as_text) != Some("function") {
            let what = "only functions have a price here, which the client runs: send \"function\"";
            return Err(never(format!("{path}.type: {what}")));
        }
        let tool = sift(&[TOOL, FUNCTION], server, object, &format!("{path}."), &mut none)?;
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
