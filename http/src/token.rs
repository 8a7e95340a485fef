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
        Ok(sent(headers)?.is_some_and(|text| self.is(text)))
    }
}

/// The token that a request sends.
fn sent(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    if let Some(text) = one_value(headers, TOKEN_HEADER)? {
        return Ok(Some(text));
    }
    let bearer = one_value(headers, header::AUTHORIZATION.as_str())?.and_then(|text| text.split_once(' '));
    Ok(bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, text)| text))
}

/// Several tokens, each with who has it.
#[derive(Clone, Debug)]
pub struct Tokens<T>(Arc<[(Token, T)]>);

impl<T> Tokens<T> {
    /// Tokens, each with who has it.
    pub fn new(tokens: Vec<(Token, T)>) -> Self {
        Self(tokens.into())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token a request sends. `None`: it sends none of them.
    ///
    /// All of them are compared, so that the time of an answer does not tell which one is near.
    ///
    /// # Errors
    /// It sends one in two ways.
    pub fn bearer(&self, headers: &HeaderMap) -> Result<Option<&T>, Problem> {
        let Some(text) = sent(headers)? else { return Ok(None) };
        let given: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let mut found = None;
        for (token, bearer) in self.0.iter() {
            if given == *token.0 {
                found = Some(bearer);
            }
        }
        Ok(found)
    }
}

impl<T> Default for Tokens<T> {
    /// No token.
    fn default() -> Self {
        Self::new(Vec::new())
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

    #[test]
    fn each_token_has_its_bearer() {
        let tokens = Tokens::new(vec![(Token::new("one"), 1), (Token::new("two"), 2)]);
        let whose = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", value.parse().unwrap());
            tokens.bearer(&headers).unwrap().copied()
        };
        assert_eq!(
            (whose("Bearer one"), whose("Bearer two"), whose("bearer two")),
            (Some(1), Some(2), Some(2))
        );
        assert_eq!((whose("Bearer onetwo"), whose("Basic one"), whose("Bearer ")), (None, None, None));
        assert_eq!(tokens.bearer(&HeaderMap::new()), Ok(None));
        assert!(!format!("{tokens:?}").contains("one"));
    }
}
