//! OpenAI's `POST /v1/chat/completions`.

use crate::api::counted::Counted;
use crate::api::forms::Form;
use crate::api::json::{Json, Object};
use crate::api::members::{ALL, Fault, LLAMA_CPP, Member, OPENAI, Rule, VLLM, member, never, sift};
use crate::api::reading::{
    Asked, arguments, content, image, list_of, local_schema, object_of, take, take_choices, take_stream,
    take_tokens, word_of,
};
use crate::api::sampling::SAMPLING;
use crate::kinds::Server;

/// The members that are this API's own.
pub(super) const MEMBERS: &[Member] = &[
    member("model", ALL, Rule::Priced),
    member("messages", ALL, Rule::Priced),
    member("max_tokens", ALL, Rule::Priced),
    member("max_completion_tokens", ALL, Rule::Priced),
    member("n", ALL, Rule::Priced),
    member("stream", ALL, Rule::Priced),
    member("stream_options", ALL, Rule::Priced),
    member("tools", ALL, Rule::Priced),
    member("tool_choice", ALL, Rule::Priced),
    member("response_format", ALL, Rule::Priced),
    member("parallel_tool_calls", ALL, Rule::Harmless(Form::Bool)),
    member(
        "reasoning_effort",
        ALL,
        Rule::Shown(Form::OneOf(&["none", "minimal", "low", "medium", "high", "xhigh"])),
    ),
    member("verbosity", OPENAI, Rule::Shown(Form::OneOf(&["low", "medium", "high"]))),
    member("logprobs", LLAMA_CPP.and(VLLM).and(OPENAI), Rule::Harmless(Form::Bool)),
    member("top_logprobs", LLAMA_CPP.and(VLLM).and(OPENAI), Rule::Harmless(Form::Integer(0, 20))),
    member(
        "chat_template_kwargs",
        LLAMA_CPP.and(VLLM),
        Rule::Shown(Form::Members(&[("enable_thinking", Form::Bool), ("thinking", Form::Bool)])),
    ),
    member(
        "reasoning_format",
        LLAMA_CPP,
        Rule::Harmless(Form::OneOf(&["none", "auto", "deepseek", "deepseek-legacy"])),
    ),
    member("include_reasoning", VLLM, Rule::Harmless(Form::Bool)),
    member("modalities", ALL, Rule::Dropped(Form::ListOf(&["text"]))),
    member("audio", ALL, Rule::Refused("sound has no price here: leave it out")),
    member(
        "prediction",
        ALL,
        Rule::Refused("what is predicted and not used would cost more than the bound: leave it out"),
    ),
    member("web_search_options", ALL, Rule::Refused("searches have no price here: leave it out")),
    member("functions", ALL, Rule::Refused("it is the form of before: send tools")),
    member("function_call", ALL, Rule::Refused("it is the form of before: send tool_choice")),
    member("documents", ALL, Rule::Refused("put documents into a message")),
    member(
        "chat_template",
        ALL,
        Rule::Refused("the model's own template is used, whose length is in the price: leave it out"),
    ),
    member(
        "add_generation_prompt",
        ALL,
        Rule::Refused("the template is used as the server has it: leave it out"),
    ),
    member(
        "continue_final_message",
        ALL,
        Rule::Refused("the template is used as the server has it: leave it out"),
    ),
];

const MESSAGE: &[Member] = &[
    member("role", ALL, Rule::Shown(Form::OneOf(&["system", "developer", "user", "assistant", "tool"]))),
    member("content", ALL, Rule::Priced),
    member("name", ALL, Rule::Shown(Form::Word)),
    member("tool_call_id", ALL, Rule::Shown(Form::Word)),
    member("tool_calls", ALL, Rule::Priced),
    member("refusal", ALL, Rule::Shown(Form::Text)),
    member("reasoning_content", ALL, Rule::Shown(Form::Text)),
    member("reasoning", ALL, Rule::Shown(Form::Text)),
    // Clients send back what they were answered.
    member("annotations", ALL, Rule::Dropped(Form::EmptyList)),
    member("cache_control", ALL, Rule::Dropped(Form::Object)),
    member("audio", ALL, Rule::Refused("sound has no price here: leave it out")),
    member("function_call", ALL, Rule::Refused("it is the form of before: send tool_calls")),
];

const PART: &[Member] = &[
    member("type", ALL, Rule::Priced),
    member("text", ALL, Rule::Priced),
    member("refusal", ALL, Rule::Priced),
    member("image_url", ALL, Rule::Priced),
    member("cache_control", ALL, Rule::Dropped(Form::Object)),
];

const IMAGE: &[Member] = &[
    member("url", ALL, Rule::Priced),
    member("detail", ALL, Rule::Harmless(Form::OneOf(&["auto", "low", "high"]))),
];

const CALL: &[Member] = &[
    member("id", ALL, Rule::Shown(Form::Word)),
    member("type", ALL, Rule::Shown(Form::OneOf(&["function"]))),
    member("function", ALL, Rule::Priced),
    member("index", ALL, Rule::Dropped(Form::Integer(0, 4096))),
];

const CALLED: &[Member] =
    &[member("name", ALL, Rule::Shown(Form::Word)), member("arguments", ALL, Rule::Priced)];

const TOOL: &[Member] = &[
    member("type", ALL, Rule::Harmless(Form::OneOf(&["function"]))),
    member("function", ALL, Rule::Priced),
    member("cache_control", ALL, Rule::Dropped(Form::Object)),
];

pub(super) const FUNCTION: &[Member] = &[
    member("name", ALL, Rule::Harmless(Form::Word)),
    member("description", ALL, Rule::Harmless(Form::Text)),
    member("parameters", ALL, Rule::Harmless(Form::Object)),
    member("strict", ALL, Rule::Harmless(Form::Bool)),
];

const RESPONSE_FORMAT: &[Member] = &[
    member("type", ALL, Rule::Harmless(Form::OneOf(&["text", "json_object", "json_schema"]))),
    member("json_schema", ALL, Rule::Priced),
    member("schema", LLAMA_CPP, Rule::Harmless(Form::Object)),
];

pub(super) const JSON_SCHEMA: &[Member] = &[
    member("name", ALL, Rule::Harmless(Form::Word)),
    member("description", ALL, Rule::Harmless(Form::Text)),
    member("schema", ALL, Rule::Harmless(Form::Object)),
    member("strict", ALL, Rule::Harmless(Form::Bool)),
];

/// Reads a body. What stays in it is passed on.
pub(super) fn read(object: Object, server: Server) -> Result<(Object, Asked), Fault> {
    let mut counted = Counted::default();
    let mut body = sift(&[MEMBERS, SAMPLING], server, object, "", &mut counted)?;
    let tokens = take_tokens(&mut body, &["max_tokens", "max_completion_tokens"])?;
    let choices = take_choices(&mut body, server)?;
    let (streamed, strips_usage) = take_stream(&mut body)?;
    let messages = body.take("messages").ok_or_else(|| never("messages: it is missing"))?;
    let messages = list_of(messages, "messages")?;
    if messages.is_empty() {
        return Err(never("messages: it is empty"));
    }
    let mut kept = Vec::with_capacity(messages.len());
    for (at, value) in messages.into_iter().enumerate() {
        let path = format!("messages[{at}]");
        kept.push(message(object_of(value, &path)?, &path, server, &mut counted)?);
    }
    body.set("messages", Json::List(kept));
    if let Some(value) = body.take("tools") {
        let value = tools(list_of(value, "tools")?, server, &mut counted)?;
        body.set("tools", value);
    }
    if let Some(value) = body.get("tool_choice") {
        tool_choice(value)?;
        counted.json(value);
    }
    consistent(&body, tokens)?;
    if let Some(value) = take(&mut body, "", "response_format", Form::Object)? {
        let value = response_format(object_of(value, "response_format")?, server, &mut counted)?;
        body.set("response_format", value);
    }
    Ok((body, Asked { tokens, choices, streamed, strips_usage, ..Asked::one(counted) }))
}

/// Whether members fit together. A server would refuse what does not, after it was paid for.
fn consistent(body: &Object, tokens: Option<u32>) -> Result<(), Fault> {
    let is_true = |name: &str| body.get(name) == Some(&Json::Bool(true));
    let integer = |name: &str| match body.get(name) {
        Some(Json::Number(number)) => number.as_u64(),
        _ => None,
    };
    if integer("top_logprobs").is_some_and(|count| count > 0) && !is_true("logprobs") {
        return Err(never("top_logprobs: send \"logprobs\": true with it"));
    }
    if let (Some(least), Some(most)) = (integer("min_tokens"), tokens)
        && least > u64::from(most)
    {
        return Err(never("min_tokens: it is more than max_tokens"));
    }
    let has_tools = matches!(body.get("tools"), Some(Json::List(tools)) if !tools.is_empty());
    for name in ["tool_choice", "parallel_tool_calls"] {
        if body.get(name).is_some() && !has_tools {
            return Err(never(format!("{name}: it is for tools: send some, or leave it out")));
        }
    }
    Ok(())
}

fn message(object: Object, path: &str, server: Server, counted: &mut Counted) -> Result<Json, Fault> {
    let inner = format!("{path}.");
    counted.messages += 1;
    let mut message = sift(&[MESSAGE], server, object, &inner, counted)?;
    word_of(&message, &inner, "role")?;
    if let Some(value) = message.take("content") {
        let mut read = |object: Object, path: &str, counted: &mut Counted| part(object, path, counted);
        let value = content(value, &format!("{inner}content"), counted, &mut read)?;
        message.set("content", value);
    }
    if let Some(value) = message.take("tool_calls") {
        let path = format!("{inner}tool_calls");
        let mut kept = Vec::new();
        for (at, value) in list_of(value, &path)?.into_iter().enumerate() {
            let path = format!("{path}[{at}]");
            kept.push(call(object_of(value, &path)?, &path, counted)?);
        }
        message.set("tool_calls", Json::List(kept));
    }
    Ok(Json::Object(message))
}

fn part(object: Object, path: &str, counted: &mut Counted) -> Result<Json, Fault> {
    let inner = format!("{path}.");
    let mut part = sift(&[PART], Server::Any, object, &inner, counted)?;
    let kind = word_of(&part, &inner, "type")?.to_owned();
    let own = match kind.as_str() {
        "text" | "refusal" => {
            let Some(Json::Text(text)) = part.get(&kind) else {
                return Err(never(format!("{inner}{kind}: expected a text")));
            };
            counted.text(text);
            kind.as_str()
        }
        "image_url" => {
            let value = match part.take("image_url") {
                Some(Json::Text(url)) => {
                    image(&url, &format!("{inner}image_url"), counted)?;
                    let mut object = Object::default();
                    object.set("url", Json::Text(url));
                    object
                }
                Some(Json::Object(object)) => {
                    let object = sift(&[IMAGE], Server::Any, object, &format!("{inner}image_url."), counted)?;
                    let url = object.get("url").and_then(Json::as_text).unwrap_or_default();
                    image(url, &format!("{inner}image_url.url"), counted)?;
                    object
                }
                _ => return Err(never(format!("{inner}image_url: expected an object with url"))),
            };
            part.set("image_url", value);
            "image_url"
        }
        other => {
            let what = "it has no price here: send text, or image_url with the image itself";
            return Err(never(format!("{inner}type: {other:?}: {what}")));
        }
    };
    if let Some((other, _)) = part.0.iter().find(|(name, _)| name != "type" && name != own) {
        return Err(never(format!("{inner}{other}: it does not belong to a part of type {kind}")));
    }
    Ok(Json::Object(part))
}

fn call(object: Object, path: &str, counted: &mut Counted) -> Result<Json, Fault> {
    let inner = format!("{path}.");
    let mut call = sift(&[CALL], Server::Any, object, &inner, counted)?;
    let function = call.take("function").ok_or_else(|| never(format!("{inner}function: it is missing")))?;
    let path = format!("{inner}function");
    let mut function =
        sift(&[CALLED], Server::Any, object_of(function, &path)?, &format!("{path}."), counted)?;
    let text = take(&mut function, &format!("{path}."), "arguments", Form::Text)?;
    if let Some(Json::Text(text)) = text {
        arguments(&text, counted);
        function.set("arguments", Json::Text(text));
    }
    call.set("function", function);
    counted.messages += 1;
    Ok(Json::Object(call))
}

fn tools(list: Vec<Json>, server: Server, counted: &mut Counted) -> Result<Json, Fault> {
    let mut kept = Vec::with_capacity(list.len());
    for (at, value) in list.into_iter().enumerate() {
        let path = format!("tools[{at}]");
        let mut none = Counted::default();
        let object = object_of(value, &path)?;
        if object.get("type").and_then(Json::as_text).is_some_and(|kind| kind != "function") {
            let what = "only functions have a price here, which the client runs: send \"function\"";
            return Err(never(format!("{path}.type: {what}")));
        }
        let mut tool = sift(&[TOOL], server, object, &format!("{path}."), &mut none)?;
        let inner = format!("{path}.function");
        let function = tool.take("function").ok_or_else(|| never(format!("{inner}: it is missing")))?;
        let function =
            sift(&[FUNCTION], server, object_of(function, &inner)?, &format!("{inner}."), &mut none)?;
        word_of(&function, &format!("{inner}."), "name")?;
        let function = Json::Object(function);
        local_schema(&function, &inner)?;
        tool.set("function", function);
        kept.push(Json::Object(tool));
    }
    let tools = Json::List(kept);
    counted.json(&tools);
    counted.tools = true;
    Ok(tools)
}

fn tool_choice(value: &Json) -> Result<(), Fault> {
    const CHOICE: Form = Form::Members(&[
        ("type", Form::OneOf(&["function"])),
        ("function", Form::Members(&[("name", Form::Word)])),
    ]);
    let form = match value {
        Json::Text(_) => Form::OneOf(&["none", "auto", "required"]),
        _ => CHOICE,
    };
    form.check(value).map_err(|what| never(format!("tool_choice: {what}")))
}

fn response_format(object: Object, server: Server, counted: &mut Counted) -> Result<Json, Fault> {
    let mut none = Counted::default();
    let mut format = sift(&[RESPONSE_FORMAT], server, object, "response_format.", &mut none)?;
    let wants = word_of(&format, "response_format.", "type")? == "json_schema";
    if wants != format.get("json_schema").is_some() {
        return Err(never(
            "response_format.json_schema: it belongs to the type json_schema, and to no other",
        ));
    }
    if let Some(value) = format.take("json_schema") {
        let path = "response_format.json_schema";
        let schema = sift(&[JSON_SCHEMA], server, object_of(value, path)?, &format!("{path}."), &mut none)?;
        format.set("json_schema", schema);
    }
    let format = Json::Object(format);
    local_schema(&format, "response_format")?;
    counted.json(&format);
    counted.tools = true;
    Ok(format)
}

/// The member that says how many tokens are written at most, at a server.
pub(super) const fn tokens_member(server: Server) -> &'static str {
    match server {
        // Its models that reason refuse the older name.
        Server::OpenAi => "max_completion_tokens",
        _ => "max_tokens",
    }
}
