//! The built-in model behind OpenAI's APIs of text, whole and streamed.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::kinds::Api;
use crate::upstream::completion::{Completion, Task};
use crate::upstream::demo;
use crate::upstream::failure::{Failure, UpstreamError};
use crate::upstream::passing::PassedOn;

/// The time at which every answer was made: an answer depends on its request alone.
const CREATED: u64 = 1_700_000_000;

/// The pieces of an answer: one document, or the events of a stream.
///
/// # Errors
/// If it does not serve the API, or the body asks for nothing.
pub(super) fn answer(asked: &PassedOn) -> Result<Vec<Bytes>, UpstreamError> {
    let body: Value = serde_json::from_slice(&asked.body).map_err(|_| Failure::Refused(400))?;
    let prompts = match asked.api {
        Api::Chat => vec![chat_prompt(&body["messages"])],
        Api::Completions => prompts(&body["prompt"]),
        _ => return Err(Failure::Unserved(404).into()),
    };
    let tokens = ["max_tokens", "max_completion_tokens"].iter().find_map(|name| body[*name].as_u64());
    let tokens = tokens.and_then(|tokens| u32::try_from(tokens).ok()).unwrap_or(u32::MAX);
    let times = body["n"].as_u64().unwrap_or(1);
    let mut choices = Vec::new();
    for prompt in &prompts {
        for _ in 0..times {
            choices.push(demo::complete(&Task {
                prompt,
                max_tokens: tokens,
                temperature: None,
                payer: None,
                hurried: false,
            }));
        }
    }
    let form = Form { api: asked.api, model: body["model"].as_str().unwrap_or("demo") };
    if !asked.streamed {
        return Ok(vec![form.document(&choices).to_string().into()]);
    }
    Ok(form.events(&choices))
}

/// All texts of all messages: each of them changes the answer.
fn chat_prompt(messages: &Value) -> String {
    let mut texts = Vec::new();
    for message in messages.as_array().into_iter().flatten() {
        match &message["content"] {
            Value::String(text) => texts.push(text.as_str()),
            Value::Array(parts) => texts.extend(parts.iter().filter_map(|part| part["text"].as_str())),
            _ => {}
        }
    }
    texts.join("\n")
}

fn prompts(prompt: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match prompt {
        // A list of numbers is one prompt of tokens.
        Value::Array(list) if list.iter().any(|item| !item.is_number()) => list.iter().map(text).collect(),
        one => vec![text(one)],
    }
}

/// The form of an API's answers.
struct Form<'a> {
    api: Api,
    model: &'a str,
}

impl Form<'_> {
    fn document(&self, choices: &[Completion]) -> Value {
        let choice = |(index, said): (usize, &Completion)| {
            let mut choice = json!({ "index": index, "finish_reason": said.finish_reason, "logprobs": null });
            match self.api {
                Api::Chat => choice["message"] = json!({ "role": "assistant", "content": said.output }),
                _ => choice["text"] = said.output.as_str().into(),
            }
            choice
        };
        let choices_said: Vec<_> = choices.iter().enumerate().map(choice).collect();
        let mut document = self.around(choices_said, false);
        document["usage"] = usage(choices);
        document
    }

    fn events(&self, choices: &[Completion]) -> Vec<Bytes> {
        let mut events = Vec::new();
        let mut push = |document: Value| events.push(Bytes::from(format!("data: {document}\n\n")));
        for (index, said) in choices.iter().enumerate() {
            let piece = |text: Option<&str>, reason: Option<&str>| {
                let mut choice = json!({ "index": index, "finish_reason": reason, "logprobs": null });
                match (self.api, text) {
                    (Api::Chat, Some(text)) => choice["delta"] = json!({ "content": text }),
                    (Api::Chat, None) => choice["delta"] = json!({}),
                    (_, text) => choice["text"] = text.unwrap_or_default().into(),
                }
                self.around(vec![choice], true)
            };
            if self.api == Api::Chat {
                let mut first = piece(Some(""), None);
                first["choices"][0]["delta"]["role"] = "assistant".into();
                push(first);
            }
            for word in said.output.split_inclusive(' ') {
                push(piece(Some(word), None));
            }
            push(piece(None, Some(&said.finish_reason)));
        }
        let mut last = self.around(Vec::new(), true);
        last["usage"] = usage(choices);
        push(last);
        events.push(Bytes::from_static(b"data: [DONE]\n\n"));
        events
    }

    fn around(&self, choices: Vec<Value>, streamed: bool) -> Value {
        let (id, object) = match (self.api, streamed) {
            (Api::Chat, false) => ("chatcmpl-demo", "chat.completion"),
            (Api::Chat, true) => ("chatcmpl-demo", "chat.completion.chunk"),
            _ => ("cmpl-demo", "text_completion"),
        };
        json!({ "id": id, "object": object, "created": CREATED, "model": self.model, "choices": choices })
    }
}

fn usage(choices: &[Completion]) -> Value {
    let read: u64 = choices.iter().map(|said| said.usage.prompt_tokens).sum();
    let written: u64 = choices.iter().map(|said| said.usage.completion_tokens).sum();
    json!({ "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::passing::Passing;

    fn asked(api: Api, streamed: bool, body: &Value) -> PassedOn {
        PassedOn {
            api,
            body: body.to_string().into(),
            streamed,
            strips_usage: false,
            continuous_usage: false,
            tells_cost: false,
            payer: None,
            hurried: false,
        }
    }

    /// The text of each choice of a stream.
    fn texts(events: &[Bytes], choices: usize) -> Vec<String> {
        let mut texts = vec![String::new(); choices];
        for event in events {
            let data = std::str::from_utf8(event).unwrap().trim().strip_prefix("data: ").unwrap();
            let Ok(document) = serde_json::from_str::<Value>(data) else { continue };
            for choice in document["choices"].as_array().unwrap() {
                let text = choice["delta"]["content"].as_str().or(choice["text"].as_str());
                texts[choice["index"].as_u64().unwrap() as usize].push_str(text.unwrap_or_default());
            }
        }
        texts
    }

    #[test]
    fn a_stream_and_a_whole_answer_say_the_same() {
        let parts = json!([{ "type": "text", "text": "why is" }, { "type": "text", "text": "salt?" }]);
        for (api, body, choices) in [
            (Api::Chat, json!({ "messages": [{ "role": "user", "content": "why?" }], "max_tokens": 64 }), 1),
            (Api::Chat, json!({ "messages": [{ "content": parts }], "max_tokens": 5, "n": 2 }), 2),
            (Api::Completions, json!({ "prompt": "why?", "max_tokens": 64 }), 1),
            (Api::Completions, json!({ "prompt": ["a", "b"], "max_tokens": 3, "n": 2 }), 4),
            (Api::Completions, json!({ "prompt": [1, 2, 3], "max_tokens": 3 }), 1),
        ] {
            let whole = answer(&asked(api, false, &body)).unwrap();
            let document: Value = serde_json::from_slice(&whole[0]).unwrap();
            let said: Vec<_> = document["choices"]
                .as_array()
                .unwrap()
                .iter()
                .map(|choice| choice["message"]["content"].as_str().or(choice["text"].as_str()).unwrap())
                .collect();
            assert_eq!(said.len(), choices, "{body}");
            let events = answer(&asked(api, true, &body)).unwrap();
            assert_eq!(texts(&events, choices), said, "{body}");
        }
    }

    #[tokio::test]
    async fn its_answers_pass_as_those_of_a_server() {
        let body = json!({ "messages": [{ "role": "user", "content": "why?" }], "max_tokens": 64 });
        for strips_usage in [false, true] {
            let asked = PassedOn { strips_usage, ..asked(Api::Chat, true, &body) };
            let mut passing = Passing::demo(&asked, answer(&asked).unwrap());
            let mut text = Vec::new();
            while let Some(piece) = passing.next().await.unwrap() {
                text.extend_from_slice(&piece);
            }
            assert_eq!(passing.last(), "data: [DONE]\n\n", "held back until the outcome is on disk");
            assert_eq!(String::from_utf8(text).unwrap().contains("usage"), !strips_usage);
        }
        let whole = asked(Api::Chat, false, &body);
        let (document, _) = Passing::demo(&whole, answer(&whole).unwrap()).document().await.unwrap();
        assert!(serde_json::from_slice::<Value>(&document).unwrap()["usage"]["total_tokens"].is_u64());
    }

    #[test]
    fn apis_that_it_does_not_have_are_refused() {
        for api in Api::ALL {
            let served = matches!(api, Api::Chat | Api::Completions);
            let body = json!({ "messages": [], "prompt": "x", "input": "x", "max_tokens": 1 });
            assert_eq!(answer(&asked(api, false, &body)).is_ok(), served, "{api}");
        }
    }
}
