//! JSON-RPC answers: unwraps them and parses the results.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::NodeError;
use crate::rpc::either::ObjectOrList;
use crate::rpc::error_body::RpcError;
use crate::rpc::error_text::FailedRequest;

/// The longest node message that is kept, in characters.
const MESSAGE_CHARS: usize = 300;

/// The unparsed answer to a request or a batch.
pub(crate) struct Answers {
    body: Vec<u8>,
    methods: Vec<&'static str>,
}

impl Answers {
    /// The answer to requests of these methods.
    pub(crate) fn new(body: Vec<u8>, methods: Vec<&'static str>) -> Self {
        Self { body, methods }
    }

    /// The results of a batch of two, an object and a list, in one pass over the text, because log answers are long.
    /// `None` for anything unusual; [`Answers::open`] then finds the error.
    pub(crate) fn object_and_list<O: DeserializeOwned, L: DeserializeOwned>(&self) -> Option<(O, Vec<L>)> {
        let answers: [PairAnswer<O, L>; 2] = serde_json::from_slice(&self.body).ok()?;
        let (mut object, mut list) = (None, None);
        for PairAnswer { id, result, error } in answers {
            match (id, result, error) {
                (1, ObjectOrList::Object(read), None) => object = Some(read),
                (2, ObjectOrList::List(read), None) => list = Some(read),
                _ => return None,
            }
        }
        object.zip(list)
    }

    /// The answers in the order of the requests. `meaning` interprets errors.
    pub(crate) fn open<'a>(
        &'a self,
        meaning: impl Fn(FailedRequest<'_>, RpcError) -> NodeError,
    ) -> Result<Vec<Answer<'a>>, NodeError> {
        let mut envelopes: Vec<Envelope<'a>> = parse(&self.body)?;
        let mut answers = Vec::with_capacity(self.methods.len());
        for (place, method) in self.methods.iter().enumerate() {
            // The node chooses the order of a batch's answers.
            let found = envelopes.iter().position(|envelope| envelope.has_id(place + 1));
            let envelope =
                found.map(|found| envelopes.swap_remove(found)).ok_or_else(|| NodeError::Malformed {
                    what: format!(
                        "{method} is missing from the answers to a batch; does the node allow batches?"
                    ),
                })?;
            let asked = FailedRequest { method, together: self.methods.len() };
            answers.push(Answer { method, result: envelope.open(asked, &meaning) });
        }
        Ok(answers)
    }
}

/// An answer in a usual batch of two.
#[derive(Deserialize)]
#[serde(bound = "O: DeserializeOwned, L: DeserializeOwned")]
struct PairAnswer<O, L> {
    id: u64,
    result: ObjectOrList<O, L>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

/// The answer to one call of a batch.
#[derive(Clone)]
pub(crate) struct Answer<'a> {
    method: &'static str,
    result: Result<&'a RawValue, NodeError>,
}

impl Answer<'_> {
    pub(crate) fn read<T: DeserializeOwned>(self) -> Result<T, NodeError> {
        read(self.method, self.result?)
    }
}

/// A JSON-RPC answer object.
#[derive(Deserialize)]
pub(crate) struct Envelope<'a> {
    #[serde(default)]
    id: Value,
    // A `null` is a result. Only a missing field is not.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<RpcError>,
}

impl<'a> Envelope<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, NodeError> {
        // Serde would read a JSON array as the envelope's fields in order.
        if body.trim_ascii_start().first() == Some(&b'[') {
            return Err(NodeError::Malformed { what: "a batch came for a single question".to_owned() });
        }
        parse(body)
    }

    fn has_id(&self, id: usize) -> bool {
        self.id.as_u64() == u64::try_from(id).ok()
            || self.id.as_str().is_some_and(|text| text == id.to_string())
    }

    /// Refuses an answer with another id. An error may have none, if the node failed before it read the id.
    pub(crate) fn expect_id(&self, id: usize) -> Result<(), NodeError> {
        if self.has_id(id) || self.error.is_some() {
            return Ok(());
        }
        Err(NodeError::Lied { what: "the answer to another question came".to_owned() })
    }

    pub(crate) fn open(
        self,
        asked: FailedRequest<'_>,
        meaning: impl Fn(FailedRequest<'_>, RpcError) -> NodeError,
    ) -> Result<&'a RawValue, NodeError> {
        match (self.error, self.result) {
            (Some(error), _) => Err(meaning(asked, error)),
            (None, Some(result)) => Ok(result),
            (None, None) => {
                let method = asked.method;
                Err(NodeError::Malformed { what: format!("{method} has neither a result nor an error") })
            }
        }
    }
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, NodeError> {
    serde_json::from_slice(body).map_err(|error| NodeError::Malformed {
        what: cut(&format!("not JSON-RPC: {}", safe_message(&error))),
    })
}

pub(crate) fn read<T: DeserializeOwned>(method: &str, result: &RawValue) -> Result<T, NodeError> {
    serde_json::from_str(result.get())
        .map_err(|error| NodeError::Malformed { what: cut(&format!("{method}: {}", safe_message(&error))) })
}

/// The JSON error without the answer's text, which may quote the request's address and so an API key.
fn safe_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match (text.find('"'), text.rfind('"')) {
        (Some(first), Some(last)) if first < last => format!("{}\"…{}", &text[..=first], &text[last..]),
        _ => text,
    }
}

/// The text as one line of limited length.
pub(crate) fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_CHARS).collect()
}
