//! A task, as agents are told of it.

use serde_json::{Map, Value, json};

use super::asked::Edition;
use super::task_id::TaskId;

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    InputRequired,
    Working,
    Completed,
    Failed,
}

impl Stands {
    const fn name(self, edition: Edition) -> &'static str {
        match (edition, self) {
            (Edition::One, Self::InputRequired) => "TASK_STATE_INPUT_REQUIRED",
            (Edition::One, Self::Working) => "TASK_STATE_WORKING",
            (Edition::One, Self::Completed) => "TASK_STATE_COMPLETED",
            (Edition::One, Self::Failed) => "TASK_STATE_FAILED",
            (Edition::Before, Self::InputRequired) => "input-required",
            (Edition::Before, Self::Working) => "working",
            (Edition::Before, Self::Completed) => "completed",
            (Edition::Before, Self::Failed) => "failed",
        }
    }
}

/// What is told of a task.
pub(super) struct Told {
    pub(super) stands: Stands,
    /// The answer, or why there is none.
    pub(super) text: String,
    /// What the extension tells of its payment.
    pub(super) payment: Map<String, Value>,
}

/// The task in the words of an edition.
pub(super) fn written(edition: Edition, id: &TaskId, told: Told) -> Value {
    let Told { stands, text, payment } = told;
    let state = stands.name(edition);
    let is_answered = stands == Stands::Completed;
    let part = |text: &str| match edition {
        Edition::One => json!({ "text": text }),
        Edition::Before => json!({ "kind": "text", "text": text }),
    };
    let said = if is_answered { "" } else { &text };
    let mut message = json!({
        "messageId": id.name_of(state), "taskId": id.text(), "contextId": id.context(), "metadata": payment, "parts": [part(said)],
    });
    let mut task = json!({ "id": id.text(), "contextId": id.context() });
    if is_answered {
        task["artifacts"] = json!([{ "artifactId": "answer", "parts": [part(&text)] }]);
    }
    match edition {
        Edition::One => message["role"] = "ROLE_AGENT".into(),
        Edition::Before => {
            (message["role"], message["kind"], task["kind"]) =
                ("agent".into(), "message".into(), "task".into());
        }
    }
    task["status"] = json!({ "state": state, "message": message });
    task
}
