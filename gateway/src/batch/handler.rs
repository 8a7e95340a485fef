//! The route, and the sale that it makes.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use salt402_paywall::Order;
use salt402_paywall::openapi::PaymentHeaders;
use salt402_protocol::{Amount, Code, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::batch::answer::answer;
use crate::batch::parts::Runs;
use crate::batch::request::{BatchRequest, PricedBatch};
use crate::catalogue::Catalogue;
use crate::dialect::Dialect;
use crate::execution::{Given, Purchase};
use crate::gateway::{Gateway, Inner};
use crate::inference::InferenceResponse;
use crate::meter::Meter;
use crate::paid::Sale;
use crate::priced_request::PricedRequest;
use crate::serving::serve;

/// What a client is answered.
#[derive(Serialize, ToSchema)]
struct BatchResponse<'a> {
    /// For each request, in their order, its answer or its error.
    results: Vec<BatchResult<'a>>,
}

/// What stands in the place of a request.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "answers are put together from what is kept; this says what comes of it")]
enum BatchResult<'a> {
    /// What `POST /v1/inference` answers.
    Answered(InferenceResponse<'a>),
    /// Why there is no answer.
    NotServed {
        /// The same document as of a single request.
        error: Problem,
        /// What it is worth of what was paid, in base units, if it is given up.
        owed: Option<salt402_protocol::Amount>,
    },
}

/// Answers to many requests, for one payment
#[utoipa::path(post, path = "/v1/inference/batch", tag = "inference", request_body = BatchRequest,
    params(PaymentHeaders),
    responses((status = 200, description = "In the place of each request its answer, or its error with what is owed of the payment. It costs 5 % less than the requests alone. While something is to be run yet, the answer is 424 with what there is in `results`, and the same proof runs the rest alone. The same body with the same proof and quote id gets the same answers again.",
        body = BatchResponse<'_>,
        headers(
            ("X-Payment-Receipt" = String, description = "PaymentView as one line of JSON."),
            ("Server-Timing" = String, description = "What verification and the models took."),
            ("Cache-Control" = String, description = "`no-store, private`"),
            ("Vary" = String, description = "The payment headers.")))))]
pub(crate) async fn handle(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let most = gateway.0.batches.most;
    let read = |catalogue: &Catalogue, method, path, body: &[u8]| {
        PricedBatch::understand(most, catalogue, method, path, body)
    };
    serve(&gateway.0, request, Dialect::Problem, read).await
}

impl PricedBatch {
    fn requests(&self) -> impl Iterator<Item = &PricedRequest> {
        self.entries.iter().filter_map(|entry| entry.request.as_ref())
    }
}

impl Sale for PricedBatch {
    fn unsold(&self, gateway: &Inner) -> Option<Problem> {
        self.requests().find_map(|request| request.unsold(gateway))
    }

    fn order(&self) -> &Order {
        &self.order
    }

    fn names(&self) -> Vec<String> {
        let names: BTreeSet<_> = self.requests().map(|request| request.name.clone()).collect();
        names.into_iter().collect()
    }

    /// What its requests use is not counted: it costs less by being paid for at once.
    fn meter(&self, ceiling: Amount) -> Meter {
        Meter::of_all(ceiling)
    }

    fn has_parts(&self) -> bool {
        true
    }

    fn full(&self) -> Option<Problem> {
        self.requests().find_map(Sale::full)
    }

    /// What was begun goes on when the caller is dropped.
    async fn outcome(self, gateway: &Inner, purchase: Purchase) -> Result<Given, Problem> {
        let runs = Runs::new(gateway, purchase);
        let parts = gateway.executions.go_on(runs.all(self.entries)).await.map_err(|error| {
            tracing::error!(%error, "a batch broke off");
            Problem::new(Code::Internal, "the batch broke off; show the same proof again").retry_after(1000)
        })??;
        Ok(Given::Several(answer(&gateway.store, parts)))
    }
}
