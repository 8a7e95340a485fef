//! HTTP messages as text.

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use serde_json::Value;

/// A request as it stands in a file.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    headers: Vec<(String, String)>,
    body: String,
}

impl Asked {
    pub(crate) fn new(headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { headers: headers.collect(), body: body.to_owned() }
    }

    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut with = self.clone();
        with.headers.push((name.to_owned(), value.to_owned()));
        with
    }

    pub(crate) fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").expect("a body");
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("POST /v1/inference HTTP/1.1"));
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line}"));
            (name.to_owned(), value.to_owned())
        };
        Self { headers: lines.map(header).collect(), body: body.trim_end_matches('\n').to_owned() }
    }

    pub(crate) fn text(&self) -> String {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        format!("POST /v1/inference HTTP/1.1\n{headers}\n{}\n", self.body)
    }

    pub(crate) fn request(&self) -> Request<Body> {
        let mut request = Request::post("/v1/inference");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Body::from(self.body.clone())).expect("a request")
    }
}

/// An answer: its status, its headers but the time that it took, and its body.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answered {
    pub(crate) async fn read(response: Response<Body>) -> Self {
        let (mut head, body) = response.into_parts();
        head.headers.remove("server-timing");
        let body = axum::body::to_bytes(body, 64 * 1024).await.expect("a body");
        let body = String::from_utf8(body.to_vec()).expect("UTF-8");
        Self { status: head.status, headers: head.headers, body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().expect("ASCII")
    }

    pub(crate) fn text(&self) -> String {
        let headers =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("ASCII")));
        let headers: String = headers.map(|(name, value)| format!("{name}: {value}\n")).collect();
        let body = serde_json::to_string_pretty(&self.json()).expect("JSON");
        format!("HTTP/1.1 {}\n{headers}\n{body}\n", self.status)
    }
}
