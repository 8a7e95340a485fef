//! A body of an API that is passed on: what it asks for, its price, and what the model server is sent.

use bytes::Bytes;
use salt402_paywall::Order;
use salt402_protocol::{Amount, Code, Problem, U256};

use crate::api::json::{Json, Object};
use crate::api::members::Fault;
use crate::api::reading::{Asked, ask_for_usage, readings};
use crate::api::{chat, completions, embeddings, images, messages, rerank, responses};
use crate::catalogue::{Catalogue, Model};
use crate::kinds::{Api, Server, invalid};
use crate::ordered::{charged_as, ordered};
use crate::pricing::{Cost, Quantities, Unpriced};

/// The price if none is known: more than any payment, so that only a quote counts.
const PRICELESS: Amount = Amount(U256::MAX);

/// A request of an API that is passed on, and what it costs.
#[derive(Clone, Debug)]
pub struct Passed {
    /// Its API.
    pub api: Api,
    /// The model's name.
    pub name: String,
    /// The model.
    pub model: Model,
    /// What the model server is sent.
    pub body: Bytes,
    /// The same, which has each event of a stream tell what was used up to there: for whoever is charged what is used.
    pub counting: Option<Bytes>,
    /// Whether the answer is a stream of events.
    pub streamed: bool,
    /// Whether the client did not ask for the usage that the stream will tell.
    pub strips_usage: bool,
    /// What it reads and writes at most, as it is priced.
    pub of: Quantities,
    /// What that costs. `None` if it is not sold now.
    pub cost: Option<Cost>,
    /// What must be paid, for exactly the bytes that the client sent.
    pub order: Order,
    /// Whether a server that is busy is not waited for, because others may be asked.
    pub(crate) hurried: bool,
}

/// What a body asks for, and whether it is sold.
#[derive(Debug)]
pub(crate) enum PassedReading {
    /// It is.
    Sold(Box<Passed>),
    /// It is not sold now. It may have been sold, and paid for, earlier.
    Unsold(Box<PassedUnsold>),
}

/// A request for something that is not sold now.
#[derive(Debug)]
pub(crate) struct PassedUnsold {
    /// Why.
    pub(crate) problem: Problem,
    /// What may have been paid for. Only the price of a quote can count, since no price is quoted now.
    pub(crate) order: Order,
    /// What can still be run for those who paid. `None` if the model is gone, or its server would not take it.
    pub(crate) request: Option<Passed>,
}

impl Passed {
    /// Reads a body. It must have exactly one meaning, and what it asks for must be sold; otherwise it is refused.
    pub fn read(
        api: Api,
        named: Option<&str>,
        catalogue: &Catalogue,
        method: String,
        path: String,
        body: &[u8],
    ) -> Result<Self, Problem> {
        match Self::understand(api, named, catalogue, method, path, body)? {
            PassedReading::Sold(request) => Ok(*request),
            PassedReading::Unsold(unsold) => Err(unsold.problem),
        }
    }

    /// Reads a body. It must have exactly one meaning; otherwise it is refused. What only the operator's limits refuse
    /// is told apart from what was never sold. `named` is the model of an endpoint that has one.
    pub(crate) fn understand(
        api: Api,
        named: Option<&str>,
        catalogue: &Catalogue,
        method: String,
        path: String,
        body: &[u8],
    ) -> Result<PassedReading, Problem> {
        let order = ordered(method, path, body);
        let body = Body::read(named, body)?;
        let order = charged_as(catalogue, &body.model, order);
        let name = body.model.clone();
        Self::of_model(api, name, catalogue, body, order)
    }

    /// What a body asks of a model, whichever it names. `order` makes what must be paid of a description and a price.
    pub(crate) fn of_model(
        api: Api,
        name: String,
        catalogue: &Catalogue,
        body: Body,
        order: impl Fn(String, Amount) -> Order,
    ) -> Result<PassedReading, Problem> {
        let Body { object, length, .. } = body;
        let description = format!("one answer of {name} to {}", api.path());
        let gone = |code, detail: String, order| {
            let problem = Problem::new(code, detail);
            Ok(PassedReading::Unsold(Box::new(PassedUnsold { problem, order, request: None })))
        };
        let Some(model) = catalogue.get(&name).cloned() else {
            let detail = format!("model: there is no such model here; there are: {}", catalogue.names());
            return gone(Code::UnknownModel, detail, order(description, PRICELESS));
        };
        if !model.apis.contains(&api) {
            let served: Vec<_> = model.apis.iter().map(|api| api.path()).collect();
            let detail = format!("model: {name} is served by {} alone", served.join(", "));
            return gone(Code::InvalidRequest, detail, order(description, PRICELESS));
        }
        let (mut object, asked) = match read(api, object, model.server) {
            Ok(read) => read,
            Err(Fault::Never(problem)) => return Err(problem),
            Err(Fault::NotNow(detail)) => {
                return gone(Code::InvalidRequest, detail, order(description, PRICELESS));
            }
        };
        let of = quantities(api, &model, &asked);
        let cost = model.cost(&name, &of);
        // What is counted may be more than what was sent: it is a bound.
        let longest = asked.longest.min(length);
        let beyond = beyond(api, &model, longest, &of).or_else(|| cost.as_ref().err().map(Unpriced::problem));
        let price = match (&beyond, &cost) {
            (None, Ok(cost)) => cost.amount,
            _ => PRICELESS,
        };
        object.set("model", model.upstream.model().unwrap_or(&name));
        if let Some(member) = tokens_member(api, model.server) {
            object.set(member, u64::from(of.max_tokens));
        }
        if let Some((_, size)) = of.made.as_ref().filter(|(_, size)| !size.is_empty()) {
            object.set("size", size.as_str());
        }
        let written = |body: &Json| {
            let body = body.written().map_err(|error| {
                tracing::error!(%error, "a body could not be written");
                Problem::new(Code::Internal, "the body could not be written anew")
            });
            body.map(Bytes::from)
        };
        let mut document = Json::Object(object);
        let body = written(&document)?;
        let of_chunks = asked.streamed && matches!(api, Api::Chat | Api::Completions);
        let counts = of_chunks && model.by_use && model.tells_continuous_usage(asked.choices);
        let counting = match &mut document {
            Json::Object(object) if counts => {
                ask_for_usage(object, true);
                Some(written(&document)?)
            }
            _ => None,
        };
        let order = order(words(description, &of), price);
        let request = Self {
            api,
            name,
            model,
            body,
            counting,
            streamed: asked.streamed,
            strips_usage: asked.strips_usage,
            of,
            cost: cost.ok(),
            order: order.clone(),
            hurried: false,
        };
        Ok(match beyond {
            None => PassedReading::Sold(Box::new(request)),
            Some(problem) => {
                let request = Some(request);
                PassedReading::Unsold(Box::new(PassedUnsold { problem, order, request }))
            }
        })
    }
}

/// A body that was read, and of which nothing is priced yet.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    /// The model that it names, or the endpoint that it was sent to.
    pub(crate) model: String,
    object: Object,
    /// Its length in bytes.
    length: u64,
}

impl Body {
    /// Reads a body, whose members must each be there once.
    pub(crate) fn read(named: Option<&str>, body: &[u8]) -> Result<Self, Problem> {
        let object = Object::read(body)?;
        let model = model_name(&object, named)?;
        Ok(Self { model, object, length: body.len() as u64 })
    }
}

/// The model that is asked for: the body's, or that of the endpoint. Both must agree.
fn model_name(object: &Object, named: Option<&str>) -> Result<String, Problem> {
    match (object.get("model"), named) {
        (Some(Json::Text(name)), None) => Ok(name.clone()),
        (Some(Json::Text(name)), Some(named)) if name == named => Ok(name.clone()),
        (Some(Json::Text(_)), Some(named)) => {
            Err(invalid(format!("model: this endpoint is that of {named}: send this name, or leave it out")))
        }
        (None | Some(Json::Null), Some(named)) => Ok(named.to_owned()),
        (None | Some(Json::Null), None) => {
            Err(invalid("model: it is missing: GET /v1/models tells which there are"))
        }
        (Some(other), _) => Err(invalid(format!("model: expected a text, found {}", other.kind()))),
    }
}

fn read(api: Api, object: Object, server: Server) -> Result<(Object, Asked), Fault> {
    match api {
        Api::Chat => chat::read(object, server),
        Api::Completions => completions::read(object, server),
        Api::Embeddings => embeddings::read(object, server),
        Api::Messages => messages::read(object, server),
        Api::Responses => responses::read(object, server),
        Api::Rerank => rerank::read(object, server),
        Api::Images => images::read(object, server),
    }
}

/// The member that says how many tokens an answer may have, at a server.
const fn tokens_member(api: Api, server: Server) -> Option<&'static str> {
    match api {
        Api::Chat => Some(chat::tokens_member(server)),
        Api::Completions | Api::Messages => Some("max_tokens"),
        Api::Responses => Some("max_output_tokens"),
        Api::Embeddings | Api::Rerank | Api::Images => None,
    }
}

/// What is read and written at most.
fn quantities(api: Api, model: &Model, asked: &Asked) -> Quantities {
    let counted = asked.counted;
    let readings = readings(model.server, asked.choices);
    let once = model.shown_tokens(counted.bytes, counted.messages, counted.tools);
    let max_tokens = if api.writes_tokens() { asked.tokens.unwrap_or(model.default_tokens) } else { 0 };
    let made = asked.made.as_ref().map(|made| {
        let size = made.size.as_ref().or(model.image_size.as_ref());
        (made.count, size.cloned().unwrap_or_default())
    });
    Quantities {
        api: Some(api),
        prompt_tokens: once.saturating_mul(readings),
        max_tokens,
        choices: asked.choices,
        images: counted.images.saturating_mul(readings),
        made,
        streamed: asked.streamed,
    }
}

/// Why the operator's limits refuse it.
fn beyond(api: Api, model: &Model, longest: u64, of: &Quantities) -> Option<Problem> {
    let most = model.max_prompt_bytes as u64;
    if longest > most {
        return Some(invalid(format!("the prompt: at most {most} bytes for this model, found {longest}")));
    }
    if api.writes_tokens() && of.max_tokens > model.max_tokens {
        return Some(invalid(format!("max_tokens: from 1 to {} for this model", model.max_tokens)));
    }
    None
}

/// What is sold, in words.
fn words(begun: String, of: &Quantities) -> String {
    let mut words = begun;
    if of.max_tokens > 0 {
        words.push_str(&format!(" with up to {} tokens", of.max_tokens));
    }
    if of.choices > 1 {
        words.push_str(&format!(", {} times", of.choices));
    }
    words.push_str(&format!(", to up to {} tokens", of.prompt_tokens));
    if of.images > 0 {
        words.push_str(&format!(" and {} images", of.images));
    }
    if let Some((count, size)) = &of.made {
        words.push_str(&format!(": {count} images of {size}"));
    }
    words
}
