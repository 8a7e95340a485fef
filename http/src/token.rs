//! Who may ask: those who know the token, where one is set.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use salt402_protocol::{Code, Problem};
use sha2::{Digest, Sha256};

use crate::answer::Fault;
use crate::input::one_value;

/// Where a proxy that hands on its client's `Authorization` sends the token.
const TOKEN_HEADER: &str = "x-salt402-token";

/// A token that callers must send, as `Authorization: Bearer <token>` or as `X-Salt402-Token: <token>`.
///
/// Kept as its digest, and compared by digests, so that neither a core dump nor the time of an answer tells it.
#[derive(Clone)]
pub struct Token(Arc<[u8; 32]>);

impl Token {
    /// A token from its text.
    pub fn new(text: &str) -> Self {
        Self(Arc::new(Sha256::digest(text.as_bytes()).into()))
    }

    fn is(&self, text: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        given == *self.0
    }

    /// Whether a request sends the token; an error where it sends it in two ways.
    pub fn admits(&self, headers: &HeaderMap) -> Result<bool, Problem> {
        if let Some(text) = one_value(headers, TOKEN_HEADER)? {
            return Ok(self.is(text));
        }
        let bearer =
            one_value(headers, header::AUTHORIZATION.as_str())?.and_then(|text| text.split_once(' '));
        Ok(bearer.is_some_and(|(scheme, text)| scheme.eq_ignore_ascii_case("bearer") && self.is(text)))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(secret)")
    }
}

/// Lets a request through if it has the token, or if none is set.
pub async fn check_token(State(token): State<Option<Token>>, request: Request, next: Next) -> Response<Body> {
    let admitted = token.map_or(Ok(true), |token| token.admits(request.headers()));
    match admitted {
        Ok(true) => next.run(request).await,
        Ok(false) => {
            let detail = "send the verifier's token as Authorization: Bearer, or as X-Salt402-Token";
            Fault(Problem::new(Code::Unauthorized, detail)).into_response()
        }
        Err(problem) => Fault(problem).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_admits() {
        let token = Token::new("open sesame");
        let admits = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            token.admits(&headers)
        };
        assert_eq!(admits(&[("authorization", "Bearer open sesame")]), Ok(true));
        assert_eq!(admits(&[("authorization", "bearer open sesame")]), Ok(true));
        assert_eq!(admits(&[("x-salt402-token", "open sesame"), ("authorization", "Basic x")]), Ok(true));
        for bad in
            ["Bearer open", "Bearer", "open sesame", "Basic open sesame", "Bearer  ", "Bearer  open sesame"]
        {
            assert_eq!(admits(&[("authorization", bad)]), Ok(false), "{bad}");
        }
        assert_eq!(admits(&[]), Ok(false));
        let twice = [("authorization", "Bearer open sesame"), ("authorization", "Bearer other")];
        assert!(admits(&twice).is_err());
        assert_eq!(format!("{token:?}"), "Token(secret)");
    }
}
