//! Counts the rows of an answer beside its bytes as they pass, wherever they are cut.
//!
//! A row is an element of a JSON array, or the one document that is none; a line of NDJSON that is not empty; a record of CSV, whose
//! quotes may hold line feeds. The names of columns are a record too.

use axum::http::{HeaderMap, header};

/// Counts rows.
#[derive(Debug)]
pub(crate) struct Rows {
    form: Form,
    rows: u64,
}

#[derive(Debug)]
enum Form {
    Json(Json),
    /// Whether the line so far has a byte that is no space.
    Lines(bool),
    Csv {
        quoted: bool,
        begun: bool,
    },
    /// Nobody knows what a row is.
    Other,
}

/// Where in a JSON text it is.
#[derive(Debug, Default)]
struct Json {
    depth: u64,
    in_text: bool,
    escaped: bool,
    /// Whether the document is an array. `None` until its first byte.
    is_array: Option<bool>,
    /// Whether an element has begun since the last comma of the array.
    in_element: bool,
}

impl Rows {
    /// For an answer with this head. What is compressed is counted by nobody.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind =
            text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let plain = matches!(text(header::CONTENT_ENCODING), "" | "identity");
        let form = match kind.as_str() {
            _ if !plain => Form::Other,
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines" => Form::Lines(false),
            "text/csv" => Form::Csv { quoted: false, begun: false },
            kind if kind == "application/json" || kind.ends_with("+json") => Form::Json(Json::default()),
            _ => Form::Other,
        };
        Self { form, rows: 0 }
    }

    /// Reads a piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        for byte in piece {
            let ended = match &mut self.form {
                Form::Json(json) => json.begins_row(*byte),
                Form::Lines(begun) => {
                    let ended = *byte == b'\n' && *begun;
                    *begun = *byte != b'\n' && (*begun || !byte.is_ascii_whitespace());
                    ended
                }
                Form::Csv { quoted, begun } => {
                    // A quote within quotes is written twice, which changes nothing in the end.
                    *quoted ^= *byte == b'"';
                    let ended = *byte == b'\n' && !*quoted && *begun;
                    *begun = (*byte != b'\n' || *quoted) && (*begun || !matches!(byte, b'\r' | b'\n'));
                    ended
                }
                Form::Other => return,
            };
            self.rows += u64::from(ended);
        }
    }

    /// The rows so far, with one that has begun. `None` where nobody knows what a row is.
    pub(crate) fn count(&self) -> Option<u64> {
        match self.form {
            Form::Other => None,
            Form::Lines(begun) | Form::Csv { begun, .. } => Some(self.rows + u64::from(begun)),
            Form::Json(_) => Some(self.rows),
        }
    }
}

impl Json {
    /// Whether a row begins with a byte.
    fn begins_row(&mut self, byte: u8) -> bool {
        if self.in_text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return false;
        }
        if byte.is_ascii_whitespace() {
            return false;
        }
        let Some(is_array) = self.is_array else {
            self.is_array = Some(byte == b'[');
            self.enter(byte);
            return byte != b'[';
        };
        // The comma between elements, and the bracket that ends them, begin none.
        let between = self.depth == 1 && matches!(byte, b',' | b']');
        let begins = is_array && self.depth == 1 && !between && !self.in_element;
        if self.depth == 1 {
            self.in_element = !between;
        }
        self.enter(byte);
        begins
    }

    fn enter(&mut self, byte: u8) {
        match byte {
            b'"' => self.in_text = true,
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn rows(kind: &'static str, text: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let mut whole = Rows::of(&headers);
        whole.push(text.as_bytes());
        // Wherever it is cut.
        for cut in 0..=text.len() {
            let mut parts = Rows::of(&headers);
            parts.push(&text.as_bytes()[..cut]);
            parts.push(&text.as_bytes()[cut..]);
            assert_eq!(parts.count(), whole.count(), "{text:?} cut at {cut}");
        }
        whole.count()
    }

    #[test]
    fn elements_lines_and_records_are_rows_wherever_they_are_cut() {
        for (text, count) in [
            ("", 0),
            ("[]", 0),
            (" [ ] ", 0),
            ("[1]", 1),
            ("[1, 23 ,\"a,]\\\"b\"]", 3),
            ("[{\"a\":[1,2,{}]}, [3,4], null]", 3),
            ("[\"\",\"\"]", 2),
            ("{\"rows\":[1,2,3]}", 1),
            ("12", 1),
            ("\"a[\"", 1),
        ] {
            assert_eq!(rows("application/json; charset=utf-8", text), Some(count), "{text:?}");
        }
        for (text, count) in [("", 0), ("{}\n{}\n", 2), ("{}\n\n \n{}", 2), ("{}\r\n{}\r\n", 2)] {
            assert_eq!(rows("application/x-ndjson", text), Some(count), "{text:?}");
        }
        for (text, count) in [
            ("", 0),
            ("a,b\r\n1,2\r\n", 2),
            ("a\n\"1\n2\"\n3", 3),
            ("a\n\"say \"\"x\"\"\n\"\n", 2),
            ("a\n\n\nb\n", 2),
        ] {
            assert_eq!(rows("text/csv", text), Some(count), "{text:?}");
        }
        assert_eq!(rows("text/html", "<p>\n</p>\n"), None);
        let mut packed = HeaderMap::new();
        packed.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        packed.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(Rows::of(&packed).count(), None);
    }
}
