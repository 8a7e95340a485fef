//! Which refusals a route knows, in a document.

use std::collections::BTreeMap;

use salt402_protocol::Code;
use salt402_protocol::problem::PROBLEM_JSON;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Header, OpenApi as Document, Ref, RefOr, ResponseBuilder};

use super::ANYWHERE;

/// The refusals of a route.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refusals<'a> {
    /// Its own codes; those of any route are added.
    pub codes: &'a [Code],
    /// Whether a 402 says how to pay.
    pub paid: bool,
}

/// Describes the refusals of a route that is in the document already; of one that is not, nothing.
pub fn refuse(document: &mut Document, path: &str, method: &str, refusals: &Refusals<'_>) {
    let Some(item) = document.paths.paths.get_mut(path) else { return };
    let operation = match method {
        "get" => item.get.as_mut(),
        "post" => item.post.as_mut(),
        _ => None,
    };
    let Some(operation) = operation else { return };
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in refusals.codes.iter().chain(ANYWHERE) {
        by_status.entry(code.status()).or_default().push(*code);
    }
    for (status, codes) in by_status {
        describe(operation, status, &codes, refusals);
    }
}

fn describe(operation: &mut Operation, status: u16, codes: &[Code], refusals: &Refusals<'_>) {
    let lines: Vec<_> = codes.iter().map(|code| format!("`{code}`: {}.", code.title())).collect();
    let pays = status == 402 && refusals.paid;
    // What only time stands in the way of comes as a problem without details: nobody is led to pay twice.
    let schema = if pays { "PaymentProblem" } else { "Problem" };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    let mut response = ResponseBuilder::new()
        .description(lines.join(" "))
        .content(PROBLEM_JSON, content)
        .header("Cache-Control", header("`no-store, private`"))
        .header("X-Payment-Code", header("The code, for proxies that hand on headers and no bodies."))
        .header("Retry-After", header("When to ask again, in whole seconds, where that may help."));
    if pays {
        response = response
            .header(
                "X-Payment-Details",
                header("PaymentDetails as one line of ASCII JSON, unless only time is missing."),
            )
            .header("Vary", header("The payment headers."));
    }
    operation.responses.responses.insert(status.to_string(), RefOr::T(response.build()));
}

fn header(description: &str) -> Header {
    let text = ObjectBuilder::new().schema_type(Type::String);
    HeaderBuilder::new().schema(Some(text)).description(Some(description)).build()
}
