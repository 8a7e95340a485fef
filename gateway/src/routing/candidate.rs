//! A request as one model would run it.

use std::future::Future;

use bytes::Bytes;
use salt402_paywall::Order;
use salt402_protocol::Address;

use crate::api::Passed;
use crate::catalogue::Model;
use crate::circuit::Circuits;
use crate::execution::{Failed, Head, Recorder};
use crate::priced_request::PricedRequest;
use crate::pricing::Quantities;
use crate::{inference, inference_stream, passed};

/// A request as one model would run it.
pub(crate) trait Run: Send + Sync + Sized + 'static {
    /// The model's name.
    fn name(&self) -> &str;

    /// The model.
    fn model(&self) -> &Model;

    /// What it costs there.
    fn order(&self) -> &Order;

    /// What it reads and writes there at most.
    fn quantities(&self) -> Quantities;

    /// The same, not waiting for a server that is busy.
    fn hurried(self, hurried: bool) -> Self;

    /// Runs it. Returns all of the answer.
    fn whole(
        self,
        circuits: Circuits,
        payer: Address,
    ) -> impl Future<Output = Result<(Head, Bytes), Failed>> + Send + 'static;

    /// Runs it, and writes the answer as it comes. Returns the last piece.
    fn stream(
        self,
        circuits: Circuits,
        payer: Address,
        recorder: Recorder,
    ) -> impl Future<Output = Result<Bytes, Failed>> + Send + 'static;
}

impl Run for PricedRequest {
    fn name(&self) -> &str {
        &self.name
    }

    fn model(&self) -> &Model {
        &self.model
    }

    fn order(&self) -> &Order {
        &self.order
    }

    fn quantities(&self) -> Quantities {
        Self::quantities(self)
    }

    fn hurried(self, hurried: bool) -> Self {
        Self { hurried, ..self }
    }

    async fn whole(self, circuits: Circuits, payer: Address) -> Result<(Head, Bytes), Failed> {
        inference::run(self, circuits, payer, None).await
    }

    async fn stream(self, circuits: Circuits, payer: Address, recorder: Recorder) -> Result<Bytes, Failed> {
        inference_stream::run(self, circuits, payer, None, recorder).await
    }
}

impl Run for Passed {
    fn name(&self) -> &str {
        &self.name
    }

    fn model(&self) -> &Model {
        &self.model
    }

    fn order(&self) -> &Order {
        &self.order
    }

    fn quantities(&self) -> Quantities {
        self.of.clone()
    }

    fn hurried(self, hurried: bool) -> Self {
        Self { hurried, ..self }
    }

    async fn whole(self, circuits: Circuits, payer: Address) -> Result<(Head, Bytes), Failed> {
        passed::document(self, circuits, payer, None).await
    }

    async fn stream(self, circuits: Circuits, payer: Address, recorder: Recorder) -> Result<Bytes, Failed> {
        passed::stream(self, circuits, payer, None, recorder).await
    }
}
