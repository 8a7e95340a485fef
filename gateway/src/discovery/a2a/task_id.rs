//! The id of a task. It is the request itself with a secret beside it, so that nothing has to be kept of a task until it is paid, and nobody
//! but whoever has its id is told how it stands.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// How an id begins. Those of before are the body alone, which begins with a brace.
const FORM: u8 = 1;
const SECRET: usize = 16;
/// The longest name of a context, in bytes.
pub(super) const LONGEST_CONTEXT: usize = u8::MAX as usize;
/// The most bytes that an id has besides the body.
pub(super) const BESIDE_BODY: usize = 2 + SECRET + LONGEST_CONTEXT;

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskId {
    secret: Option<[u8; SECRET]>,
    context: String,
    /// The body of the request.
    pub body: String,
}

impl TaskId {
    /// A new one, in the context that its agent names, or in its own. A context has [`LONGEST_CONTEXT`] bytes at the most.
    pub(super) fn new(context: Option<String>, body: String) -> Self {
        let secret = rand::random::<[u8; SECRET]>();
        Self { secret: Some(secret), context: context.unwrap_or_else(|| hashed("context", &secret)), body }
    }

    /// Reads one that was given here.
    pub(super) fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        if bytes.first() == Some(&b'{') {
            let context = hashed("context", text.as_bytes());
            return Some(Self { secret: None, context, body: String::from_utf8(bytes).ok()? });
        }
        let (secret, rest) = bytes.strip_prefix(&[FORM])?.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (context, body) = rest.split_at_checked(usize::from(*length))?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        Some(Self { secret: Some(*secret), context: text(context)?, body: text(body)? })
    }

    /// How it is written.
    pub(super) fn text(&self) -> String {
        let Some(secret) = &self.secret else { return URL_SAFE_NO_PAD.encode(&self.body) };
        let length = u8::try_from(self.context.len()).unwrap_or(u8::MAX);
        let parts = [&[FORM][..], secret, &[length], self.context.as_bytes(), self.body.as_bytes()];
        URL_SAFE_NO_PAD.encode(parts.concat())
    }

    /// The name of its context.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// A name of something of it.
    pub(super) fn name_of(&self, what: &str) -> String {
        hashed(what, self.text().as_bytes())
    }
}

fn hashed(what: &str, of: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest([what.as_bytes(), of].concat())[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_two_tasks_of_the_same_request_differ() {
        let body = r#"{"model":"m","prompt":"x"}"#.to_owned();
        let (one, other) = (TaskId::new(None, body.clone()), TaskId::new(None, body.clone()));
        assert_eq!(TaskId::read(&one.text()).as_ref(), Some(&one));
        assert_ne!(one.text(), other.text());
        assert_ne!(one.context(), other.context());
        for context in [String::new(), "c".into(), "c".repeat(LONGEST_CONTEXT)] {
            let named = TaskId::new(Some(context.clone()), body.clone());
            assert_eq!((TaskId::read(&named.text()).as_ref(), named.context()), (Some(&named), &*context));
            assert!(named.text().len() <= (body.len() + BESIDE_BODY) * 4 / 3 + 1);
        }
    }

    #[test]
    fn one_of_before_is_read_and_what_is_none_is_not() {
        let body = r#"{"model":"m","prompt":"x"}"#;
        let text = URL_SAFE_NO_PAD.encode(body);
        let read = TaskId::read(&text).unwrap();
        assert_eq!((read.text(), &*read.body), (text, body));
        for none in ["", "x", "eyJ", "not base64!", &URL_SAFE_NO_PAD.encode([FORM, 2, 3])] {
            assert_eq!(TaskId::read(none).filter(|_| none != "eyJ"), None, "{none}");
        }
        let mut bytes = [&[FORM][..], &[7; SECRET], &[5], b"abc"].concat();
        assert_eq!(TaskId::read(&URL_SAFE_NO_PAD.encode(&bytes)), None, "its context is cut off");
        bytes.extend([0xff; 9]);
        assert_eq!(TaskId::read(&URL_SAFE_NO_PAD.encode(&bytes)), None, "it is no text");
    }
}
