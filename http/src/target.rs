//! What a request asks for, read one way.
//!
//! A proxy asks about a request and hands it on as it came, and the server behind reads it once more. Whatever the two may
//! read differently has two readings and is refused: then no spelling of a path is sold at another path's price.

use std::borrow::Cow;

use axum::http::{Uri, Version};
use salt402_protocol::{Code, Problem};

/// Marks that may stand in a path as they are beside letters and digits: RFC 3986's `pchar` without `;`, which servlets
/// take for the beginning of parameters.
const MARKS: &[u8] = b"-._~!$&'()*+,=:@/";
/// What an escape may not stand for: what some server takes for a separator, or undoes a second time.
const SEPARATORS: &[u8] = b"/\\.;#?%";

/// A request target that has one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a>(&'a str);

impl<'a> Target<'a> {
    /// Reads a target: an absolute path, and a query where there is one.
    ///
    /// The path has `pchar` and `/` alone, no empty segment and none of dots, and its escapes are UTF-8 text and stand for
    /// nothing that is written plainly or could be a separator. The query is nobody's business here: it has visible ASCII
    /// and no `#`.
    pub fn read(target: &'a str) -> Result<Self, Problem> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query_is_plain = query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if query_is_plain && has_one_reading(path) {
            return Ok(Self(target));
        }
        let detail = "the target has more than one reading: send a path that begins with /, without dot segments, empty \
                      segments, ; and \\, with an escape only for what cannot be written plainly and is no separator, \
                      and after it a query at most, without #";
        Err(Problem::new(Code::MalformedParameter, detail))
    }

    /// Reads the target of a request as a listener got it. In HTTP/1 it may not name a server of its own.
    pub fn of(uri: &'a Uri, version: Version) -> Result<Self, Problem> {
        let names_server = uri.scheme().is_some() || uri.authority().is_some();
        if names_server && version < Version::HTTP_2 {
            let detail = "the target names a server: send the path alone, and the server in the header Host";
            return Err(Problem::new(Code::MalformedParameter, detail));
        }
        Self::read(uri.path_and_query().map_or("/", |target| target.as_str()))
    }

    /// The target as it was sent. Quotes are bound to it.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The path with its escapes undone, which is what prices are set for.
    pub fn path(self) -> Cow<'a, str> {
        unescaped(self.0.split_once('?').map_or(self.0, |(path, _)| path))
    }

    /// The query, where there is one.
    pub fn query(self) -> Option<&'a str> {
        self.0.split_once('?').map(|(_, query)| query)
    }
}

/// A method as HTTP has them: `get` is another than `GET`, and a server behind may or may not see it so.
pub fn is_method(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

fn has_one_reading(path: &str) -> bool {
    let Some(decoded) = decode(path) else { return false };
    path.starts_with('/')
        && !path.contains("//")
        && !path.split('/').any(|segment| segment == "." || segment == "..")
        && std::str::from_utf8(&decoded).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// A path's escapes undone; `None` where it holds what it may not, or an escape of that.
fn decode(path: &str) -> Option<Vec<u8>> {
    let mut bytes = path.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let byte = digit(bytes.next())? << 4 | digit(bytes.next())?;
            let unreserved = byte.is_ascii_alphanumeric() || b"-_~".contains(&byte);
            if unreserved || SEPARATORS.contains(&byte) {
                return None;
            }
            decoded.push(byte);
        } else if byte.is_ascii_alphanumeric() || MARKS.contains(&byte) {
            decoded.push(byte);
        } else {
            return None;
        }
    }
    Some(decoded)
}

fn digit(byte: Option<u8>) -> Option<u8> {
    char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// A path with its escapes undone where they are good ones; else as it is.
pub fn unescaped(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let decoded = decode(path).and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.map_or(Cow::Borrowed(path), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_with_two_readings_is_refused() {
        for target in [
            "/free/../paid/x",
            "/free/./x",
            "/free/..",
            "/free//x",
            "/free/%2e%2e/paid",
            "/free/..%2fpaid",
            "/free/..%5Cpaid",
            "/free\\..\\paid",
            "paid/x",
            "",
            "?x",
            "*",
            "/free/%252e",
            "/free/ä",
            "/free/a b",
            "/free/a\tb",
            "/free/a\0b",
            "/free/a\u{7f}b",
            // What one cuts off and another follows.
            "/free/#/../../paid/x",
            "/free/x#",
            "/free/x?y#/../paid",
            "/free/%23/x",
            "/free/..;/paid/x",
            "/free;/x",
            "/free/%3b/x",
            "/free/%3Fx",
            // What one undoes and another does not.
            "/%70aid/x",
            "/p%61id/x",
            "/paid/%7Ex",
            "/paid/%2dx",
            "/paid/%39",
            // What is no escape, and what is no text.
            "/paid/%",
            "/paid/%2",
            "/paid/%zz",
            "/paid/%u002e",
            "/paid/%+1",
            "/paid/%c0%ae",
            "/paid/%e9",
            "/paid/%00",
            "/paid/%0a",
            "/paid/%7f",
            "/paid/%C2%85",
            "/paid/[x]",
            "/paid/\"x\"",
            "/paid/{x}",
            // What names a server.
            "http://h/paid/x",
            "//h/paid/x",
            "h:443",
            // A query is not read, but it ends where the request line does.
            "/paid/x?a\u{1}",
            "/paid/x?a b",
            "/paid/x?ä",
        ] {
            let refused = Target::read(target).unwrap_err();
            assert_eq!(refused.code, Code::MalformedParameter, "{target:?}");
        }
    }

    #[test]
    fn what_cannot_be_written_otherwise_is_read() {
        for (target, path) in [
            ("/", "/"),
            ("/paid/x", "/paid/x"),
            ("/paid/x/?", "/paid/x/"),
            ("/paid/a%20file.txt?q=%2e%2e/;a[]=1&b?c", "/paid/a file.txt"),
            ("/paid/caf%C3%A9/%e6%b5%b7", "/paid/café/海"),
            ("/paid/...", "/paid/..."),
            ("/paid/.well-known/~me/a+b,c=d:e@f!(g)*'$&", "/paid/.well-known/~me/a+b,c=d:e@f!(g)*'$&"),
            ("/paid/a%2Bb%40%5Bc%5D", "/paid/a+b@[c]"),
        ] {
            let read = Target::read(target).unwrap();
            assert_eq!((read.as_str(), read.path().as_ref()), (target, path));
        }
    }

    #[test]
    fn a_listener_takes_no_target_that_names_a_server() {
        let of =
            |text: &str, version| Target::of(&text.parse().unwrap(), version).map(Target::as_str).is_ok();
        assert!(of("/paid/x", Version::HTTP_11));
        assert!(!of("http://h/paid/x", Version::HTTP_11));
        assert!(!of("h:443", Version::HTTP_11));
        assert!(!of("*", Version::HTTP_11));
        // There the server is named beside the path, in every request.
        assert!(of("http://h/paid/x", Version::HTTP_2));
    }
}
