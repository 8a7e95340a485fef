//! OpenAI's `POST /v1/completions`: a text goes on.

use crate::api::counted::Counted;
use crate::api::forms::Form;
use crate::api::json::{Json, Object};
use crate::api::members::{ALL, Fault, LLAMA_CPP, Member, OLLAMA, OPENAI, Rule, VLLM, member, never, sift};
use crate::api::prompts::Prompts;
use crate::api::reading::{Asked, take_choices, take_stream, take_tokens};
use crate::api::sampling::SAMPLING;
use crate::kinds::Server;

pub(super) const MEMBERS: &[Member] = &[
    member("model", ALL, Rule::Priced),
    member("prompt", ALL, Rule::Priced),
    member("max_tokens", ALL, Rule::Priced),
    member("n", ALL, Rule::Priced),
    member("stream", ALL, Rule::Priced),
    member("stream_options", ALL, Rule::Priced),
    member("suffix", OPENAI.and(OLLAMA), Rule::Shown(Form::Text)),
    member("logprobs", LLAMA_CPP.and(VLLM).and(OPENAI), Rule::Harmless(Form::Integer(0, 20))),
    member("prompt_embeds", ALL, Rule::Refused("send text: what is embedded elsewhere has no price")),
    member("input_prefix", ALL, Rule::Refused("put it into the prompt")),
    member("input_suffix", ALL, Rule::Refused("put it into the prompt")),
    member("input_extra", ALL, Rule::Refused("put it into the prompt")),
    member("images", ALL, Rule::Refused("send images to /v1/chat/completions")),
    member("system", ALL, Rule::Refused("put it into the prompt")),
    member("template", ALL, Rule::Refused("the prompt is shown as it is: put all of it there")),
    member("context", ALL, Rule::Refused("put all of the text into the prompt")),
    member("response_format", ALL, Rule::Refused("send it to /v1/chat/completions")),
    member("tools", ALL, Rule::Refused("send them to /v1/chat/completions")),
];

/// Reads a body. What stays in it is passed on. One prompt is one request: a list of several would be several answers.
pub(super) fn read(object: Object, server: Server) -> Result<(Object, Asked), Fault> {
    let mut counted = Counted::default();
    let mut body = sift(&[MEMBERS, SAMPLING], server, object, "", &mut counted)?;
    let tokens = take_tokens(&mut body, &["max_tokens"])?;
    let choices = take_choices(&mut body, server)?;
    let (streamed, strips_usage) = take_stream(&mut body)?;
    let prompt = body.take("prompt").ok_or_else(|| never("prompt: it is missing"))?;
    let prompts = Prompts::read(&prompt, "prompt")?;
    if prompts.count != 1 {
        let what = "a list of several prompts is answered for each of them: send one prompt a request";
        return Err(never(format!("prompt: {what}")));
    }
    // A list of one text is that text, for servers that know no lists.
    let prompt = match prompt {
        Json::List(mut list) if matches!(&list[..], [Json::Text(_)]) => list.remove(0),
        other => other,
    };
    body.set("prompt", prompt);
    counted.bytes = counted.bytes.saturating_add(prompts.bytes);
    counted.messages = 1;
    Ok((body, Asked { tokens, choices, streamed, strips_usage, ..Asked::one(counted) }))
}
