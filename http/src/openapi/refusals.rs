//! Which refusals a route knows, in a document.

use std::collections::BTreeMap;

use salt402_protocol::Code;
use salt402_protocol::problem::PROBLEM_JSON;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Paths};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Header, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::UtoipaMethodRouter;

/// What any route may answer in addition to its own refusals.
pub const ANYWHERE: &[Code] = &[Code::HeadTooLarge, Code::TooManyConnections, Code::Internal];
/// What any route that wants the token may answer.
pub const GUARDED: &[Code] = &[Code::Unauthorized, Code::MalformedHeader];
/// What any route with a body may answer.
pub const WITH_BODY: &[Code] = &[
    Code::MalformedJson,
    Code::RequestTimeout,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::TooManyBodies,
];

/// A route with its refusals in its document. The codes are its own; those of any route are added.
pub fn refusing<S>(mut route: UtoipaMethodRouter<S>, codes: &[Code]) -> UtoipaMethodRouter<S> {
    refuse(&mut route.1, codes);
    route
}

/// Describes the refusals of all these routes.
pub fn refuse(paths: &mut Paths, codes: &[Code]) {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes.iter().chain(ANYWHERE) {
        by_status.entry(code.status()).or_default().push(*code);
    }
    for operation in operations(paths) {
        for (status, codes) in &by_status {
            describe(operation, *status, codes);
        }
    }
}

/// What all these routes do.
pub fn operations(paths: &mut Paths) -> impl Iterator<Item = &mut Operation> {
    paths.paths.values_mut().flat_map(|item| [&mut item.get, &mut item.post]).flatten()
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
