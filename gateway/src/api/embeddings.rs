//! OpenAI's `POST /v1/embeddings`. Only what is read has a price.

use crate::api::counted::Counted;
use crate::api::forms::Form;
use crate::api::json::Object;
use crate::api::members::{ALL, Fault, Member, OPENAI, Rule, VLLM, member, never, sift};
use crate::api::prompts::Prompts;
use crate::api::reading::Asked;
use crate::kinds::Server;

pub(super) const MEMBERS: &[Member] = &[
    member("model", ALL, Rule::Priced),
    member("input", ALL, Rule::Priced),
    member("encoding_format", ALL, Rule::Harmless(Form::OneOf(&["float", "base64"]))),
    member("dimensions", OPENAI.and(VLLM), Rule::Harmless(Form::Integer(1, 65_536))),
    member("user", ALL, Rule::Dropped(Form::Word)),
    member("stream", ALL, Rule::Refused("embeddings are answered at once: leave it out")),
    member("messages", ALL, Rule::Refused("send input")),
    member("content", ALL, Rule::Refused("send input")),
    member("truncate_prompt_tokens", ALL, Rule::Refused("send what is to be read: all of it is priced")),
    member("chat_template", ALL, Rule::Refused("the text is embedded as it is: leave it out")),
    member("priority", ALL, Rule::Refused("it reaches into the server: leave it out")),
    member("keep_alive", ALL, Rule::Refused("it reaches into the server: leave it out")),
    member("options", ALL, Rule::Refused("it reaches into the server: leave it out")),
];

/// Reads a body. What stays in it is passed on.
pub(super) fn read(object: Object, server: Server) -> Result<(Object, Asked), Fault> {
    let mut counted = Counted::default();
    let body = sift(&[MEMBERS], server, object, "", &mut counted)?;
    let input = body.get("input").ok_or_else(|| never("input: it is missing"))?;
    let prompts = Prompts::read(input, "input")?;
    if prompts.count == 0 {
        return Err(never("input: it is empty"));
    }
    counted.bytes = prompts.bytes;
    counted.messages = prompts.count;
    Ok((body, Asked { longest: prompts.longest, ..Asked::one(counted) }))
}
