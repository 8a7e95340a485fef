//! OpenAI's `POST /v1/images/generations`. Each image has the price of its size.

use crate::api::counted::Counted;
use crate::api::forms::Form;
use crate::api::json::{Json, Object};
use crate::api::members::{ALL, Fault, Member, OPENAI, Rule, member, never, sift};
use crate::api::reading::{Asked, Made, take, take_integer};
use crate::kinds::Server;

const QUALITY: &str = "the price knows sizes alone: leave it out";

pub(super) const MEMBERS: &[Member] = &[
    member("model", ALL, Rule::Priced),
    member("prompt", ALL, Rule::Priced),
    member("n", ALL, Rule::Priced),
    member("size", ALL, Rule::Priced),
    member("response_format", ALL, Rule::Priced),
    member("output_format", OPENAI, Rule::Harmless(Form::OneOf(&["png", "jpeg", "webp"]))),
    member("output_compression", OPENAI, Rule::Harmless(Form::Integer(0, 100))),
    member("background", OPENAI, Rule::Harmless(Form::OneOf(&["auto", "opaque", "transparent"]))),
    member("user", ALL, Rule::Dropped(Form::Word)),
    member("quality", ALL, Rule::Refused(QUALITY)),
    member("style", ALL, Rule::Refused(QUALITY)),
    member("moderation", ALL, Rule::Refused("the server's own is used: leave it out")),
    member("stream", ALL, Rule::Refused("images are answered at once: leave it out")),
    member("partial_images", ALL, Rule::Refused("images are answered at once: leave it out")),
    member("steps", ALL, Rule::Refused(QUALITY)),
    member("num_inference_steps", ALL, Rule::Refused(QUALITY)),
];

/// Reads a body. What stays in it is passed on.
pub(super) fn read(object: Object, server: Server) -> Result<(Object, Asked), Fault> {
    let mut counted = Counted::default();
    let mut body = sift(&[MEMBERS], server, object, "", &mut counted)?;
    let Some(Json::Text(prompt)) = body.get("prompt") else {
        return Err(never("prompt: expected a text"));
    };
    if prompt.is_empty() {
        return Err(never("prompt: it is empty"));
    }
    counted.text(prompt);
    counted.messages = 1;
    let count = take_integer(&mut body, "n", 1, 16)?.unwrap_or(1);
    body.set("n", count);
    let size = match take(&mut body, "", "size", Form::Word)? {
        Some(Json::Text(size)) => Some(size),
        _ => None,
    };
    if let Some(value) = take(&mut body, "", "response_format", Form::OneOf(&["b64_json"])).map_err(|_| {
        never("response_format: send \"b64_json\": an address would be one of the model server's")
    })? {
        body.set("response_format", value);
    } else if server != Server::OpenAi {
        // Others answer with an address of their own if nothing is said.
        body.set("response_format", "b64_json");
    }
    Ok((body, Asked { made: Some(Made { count, size }), ..Asked::one(counted) }))
}
