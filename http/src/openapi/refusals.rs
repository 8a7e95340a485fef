//! Which refusals a route knows, in a document.

use std::collections::BTreeMap;

use salt402_protocol::Code;
use salt402_protocol::problem::PROBLEM_JSON;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Header, OpenApi as Document, Ref, RefOr, ResponseBuilder};

/// What any route may answer beside its own refusals.
pub const ANYWHERE: &[Code] = &[Code::HeadTooLarge, Code::TooManyConnections, Code::Internal];
/// What any route with a body may answer.
pub const WITH_BODY: &[Code] = &[
    Code::MalformedJson,
    Code::RequestTimeout,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::TooManyBodies,
];

/// Describes the refusals of a route that is in the document already; of one that is not, nothing. The codes are the route's
/// own; those of any route are added.
pub fn refuse(document: &mut Document, path: &str, method: &str, codes: &[Code]) {
    let Some(operation) = operation(document, path, method) else { return };
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes.iter().chain(ANYWHERE) {
        by_status.entry(code.status()).or_default().push(*code);
    }
    for (status, codes) in by_status {
        describe(operation, status, &codes);
    }
}

/// A route of a document, by its path and its method in small letters.
pub fn operation<'a>(document: &'a mut Document, path: &str, method: &str) -> Option<&'a mut Operation> {
    let item = document.paths.paths.get_mut(path)?;
    match method {
        "get" => item.get.as_mut(),
        "post" => item.post.as_mut(),
        _ => None,
    }
}

fn describe(operation: &mut Operation, status: u16, codes: &[Code]) {
    let lines: Vec<_> = codes.iter().map(|code| format!("`{code}`: {}.", code.title())).collect();
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new()
        .description(lines.join(" "))
        .content(PROBLEM_JSON, content)
        .header("Cache-Control", text_header("`no-store, private`"))
        .header("X-Payment-Code", text_header("The code, for proxies that hand on headers and no bodies."))
        .header("Retry-After", text_header("When to ask again, in whole seconds, where that may help."));
    operation.responses.responses.insert(status.to_string(), RefOr::T(response.build()));
}

/// A header of an answer that holds text.
pub fn text_header(description: &str) -> Header {
    let text = ObjectBuilder::new().schema_type(Type::String);
    HeaderBuilder::new().schema(Some(text)).description(Some(description)).build()
}
