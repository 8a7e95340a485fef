//! A request as one model would run it.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use salt402_paywall::Order;
use salt402_protocol::{Address, Amount};

use crate::api::Passed;
use crate::catalogue::Model;
use crate::circuit::Circuits;
use crate::execution::{Failed, Head, Recorder};
use crate::meter::Meter;
use crate::paid::Sale;
use crate::priced_request::PricedRequest;
use crate::pricing::{Cost, Quantities};
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

    /// What it costs there at the most. `None` if it has no price now.
    fn cost(&self) -> Option<&Cost>;

    /// What a stream of it costs at its beginning, which can be paid as it goes. `None`: it cannot.
    fn begins(&self) -> Option<Amount>;

    /// The same, not waiting for a server that is busy.
    fn hurried(self, hurried: bool) -> Self;

    /// Runs it. Returns all of the answer.
    fn whole(
        self,
        circuits: Circuits,
        payer: Address,
        meter: Option<Arc<Meter>>,
    ) -> impl Future<Output = Result<(Head, Bytes), Failed>> + Send + 'static;

    /// Runs it, and writes the answer as it comes. Returns the last piece.
    fn stream(
        self,
        circuits: Circuits,
        payer: Address,
        meter: Option<Arc<Meter>>,
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

    fn cost(&self) -> Option<&Cost> {
        self.cost.as_ref()
    }

    fn begins(&self) -> Option<Amount> {
        inference_stream::begins(self)
    }

    fn hurried(self, hurried: bool) -> Self {
        Self { hurried, ..self }
    }

    async fn whole(
        self,
        circuits: Circuits,
        payer: Address,
        meter: Option<Arc<Meter>>,
    ) -> Result<(Head, Bytes), Failed> {
        inference::run(self, circuits, payer, meter).await
    }

    async fn stream(
        self,
        circuits: Circuits,
        payer: Address,
        meter: Option<Arc<Meter>>,
        recorder: Recorder,
    ) -> Result<Bytes, Failed> {
        inference_stream::run(self, circuits, payer, meter, recorder).await
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

    fn cost(&self) -> Option<&Cost> {
        self.cost.as_ref()
    }

    fn begins(&self) -> Option<Amount> {
        Sale::begins(self)
    }

    fn hurried(self, hurried: bool) -> Self {
        Self { hurried, ..self }
    }

    async fn whole(
        self,
        circuits: Circuits,
        payer: Address,
        meter: Option<Arc<Meter>>,
    ) -> Result<(Head, Bytes), Failed> {
        passed::document(self, circuits, payer, meter).await
    }

    async fn stream(
        self,
        circuits: Circuits,
        payer: Address,
        meter: Option<Arc<Meter>>,
        recorder: Recorder,
    ) -> Result<Bytes, Failed> {
        passed::stream(self, circuits, payer, meter, recorder).await
    }
}
