//! `POST /v1/rerank`, as Jina, Cohere, vLLM and llama.cpp have it. Only what is read has a price: the query is read with each document.

use crate::api::counted::Counted;
use crate::api::forms::Form;
use crate::api::json::{Json, Object};
use crate::api::members::{ALL, Fault, Member, Rule, member, never, sift};
use crate::api::reading::{Asked, list_of, take};
use crate::kinds::Server;

pub(super) const MEMBERS: &[Member] = &[
    member("model", ALL, Rule::Priced),
    member("query", ALL, Rule::Priced),
    member("documents", ALL, Rule::Priced),
    member("top_n", ALL, Rule::Harmless(Form::Integer(1, i64::MAX))),
    member("return_documents", ALL, Rule::Harmless(Form::Bool)),
    member("user", ALL, Rule::Dropped(Form::Word)),
    member("texts", ALL, Rule::Refused("send documents")),
    member("max_tokens_per_doc", ALL, Rule::Refused("send what is to be read: all of it is priced")),
    member("max_chunks_per_doc", ALL, Rule::Refused("send what is to be read: all of it is priced")),
    member("truncate_prompt_tokens", ALL, Rule::Refused("send what is to be read: all of it is priced")),
    member("priority", ALL, Rule::Refused("it reaches into the server: leave it out")),
    member("mm_processor_kwargs", ALL, Rule::Refused("it reaches into the server: leave it out")),
];

const DOCUMENT: &[Member] = &[member("text", ALL, Rule::Priced)];

/// Reads a body. What stays in it is passed on.
pub(super) fn read(object: Object, server: Server) -> Result<(Object, Asked), Fault> {
    let mut counted = Counted::default();
    let mut body = sift(&[MEMBERS], server, object, "", &mut counted)?;
    let Some(Json::Text(query)) = take(&mut body, "", "query", Form::Text)? else {
        return Err(never("query: it is missing"));
    };
    let documents = body.take("documents").ok_or_else(|| never("documents: it is missing"))?;
    let documents = list_of(documents, "documents")?;
    if query.is_empty() || documents.is_empty() {
        return Err(never("query and documents: neither may be empty"));
    }
    let (mut kept, mut longest) = (Vec::with_capacity(documents.len()), 0);
    for (at, value) in documents.into_iter().enumerate() {
        let path = format!("documents[{at}]");
        let text = match value {
            Json::Text(text) => text,
            Json::Object(object) => {
                let mut object = sift(&[DOCUMENT], server, object, &format!("{path}."), &mut counted)?;
                match object.take("text") {
                    Some(Json::Text(text)) => text,
                    _ => return Err(never(format!("{path}.text: expected a text"))),
                }
            }
            other => return Err(never(format!("{path}: expected a text, found {}", other.kind()))),
        };
        counted.text(&query);
        counted.text(&text);
        longest = longest.max(query.len().saturating_add(text.len()) as u64);
        kept.push(Json::Text(text));
    }
    counted.messages = kept.len() as u64;
    body.set("query", Json::Text(query));
    body.set("documents", Json::List(kept));
    Ok((body, Asked { longest, ..Asked::one(counted) }))
}
