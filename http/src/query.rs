//! What a request says after the `?`: every field is known, said once, and in its bounds.

use axum::extract::Query;
use axum::http::Uri;
use salt402_protocol::{Code, Problem};
use serde::de::DeserializeOwned;

/// Reads the fields of a request's query. The hint says how they are written.
pub fn read_query<T: DeserializeOwned>(uri: &Uri, hint: &str) -> Result<T, Problem> {
    Query::try_from_uri(uri)
        .map(|Query(query)| query)
        .map_err(|error| malformed_parameter(format!("{hint} ({})", error.body_text())))
}

/// What is said of a parameter that is not understood.
pub fn malformed_parameter(detail: String) -> Problem {
    Problem::new(Code::MalformedParameter, detail)
}
