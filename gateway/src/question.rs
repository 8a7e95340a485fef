//! One run at a server, and what it says of the server.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

use crate::circuit::Circuits;
use crate::execution::Failed;
use crate::upstream::failure::{FailureClass, UpstreamError};

/// A run at the server of a model or a service.
pub(crate) struct Question<'a> {
    circuits: &'a Circuits,
    /// The name of what is sold.
    name: &'a str,
    started: Instant,
    /// How long it took until the answer began; until all of it was there, where it is no stream.
    answered: OnceLock<Duration>,
    /// Whether the server failed for everybody when it began.
    shut: bool,
}

impl<'a> Question<'a> {
    /// A run that begins now.
    pub(crate) fn begin(circuits: &'a Circuits, name: &'a str) -> Self {
        let (started, shut) = (Instant::now(), circuits.unsold(name).is_some());
        Self { circuits, name, started, answered: OnceLock::new(), shut }
    }

    /// Asks. If the server answers the gateway's own question before and after and refuses only this request, it
    /// refuses the request and not the gateway.
    pub(crate) async fn ask<T, F>(&self, ask: impl Fn() -> F) -> Result<T, UpstreamError>
    where
        F: Future<Output = Result<T, UpstreamError>>,
    {
        let answered = match ask().await {
            Err(error) if error.lets_nobody_in() && self.circuits.answers(self.name).await => {
                ask().await.map_err(UpstreamError::of_this_request)
            }
            answered => answered,
        };
        if answered.is_ok() {
            self.answered.get_or_init(|| self.started.elapsed());
        }
        answered
    }

    /// Notes how it went.
    pub(crate) fn end<T>(self, answered: Result<T, UpstreamError>) -> Result<T, Failed> {
        let name = self.name;
        self.circuits.note(name, answered.as_ref());
        match &answered {
            Ok(_) => self.circuits.measure(name, self.answered.get().copied()),
            // What is wrong with a request says nothing about its server.
            Err(error) if error.class() == FailureClass::Permanent => {}
            Err(_) => self.circuits.measure(name, None),
        }
        metrics::histogram!("salt402_gateway_upstream_seconds", &self.circuits.label(name))
            .record(self.started.elapsed().as_secs_f64());
        let answer = answered.map_err(|error| {
            let class = match error.class() {
                // While the server fails for everybody, a failure here says nothing about this request.
                FailureClass::Ran if self.shut => FailureClass::NotRun,
                class => class,
            };
            // A permanent refusal is not the server's fault.
            if class != FailureClass::Permanent {
                metrics::counter!("salt402_gateway_upstream_failures_total", &self.circuits.label(name))
                    .increment(1);
            }
            Failed { class, detail: self.circuits.words(&error), after: error.after }
        })?;
        metrics::counter!("salt402_gateway_executions_total", &self.circuits.label(name)).increment(1);
        Ok(answer)
    }

    /// Ends it without a word on the server: what failed is here.
    pub(crate) fn failed_here(self, error: &impl std::fmt::Display) -> Failed {
        tracing::error!(%error, model = self.name, "a stream could not be written down");
        Failed::ran("the answer could not be written down")
    }
}
