//! A tower layer that makes any axum service a paid one.
//!
//! ```no_run
#![doc = include_str!("../../examples/paid_axum.rs")]
//! ```

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response};
use salt402_protocol::api::PaymentView;
use salt402_protocol::{Code, Problem};
use tower::{Layer, Service, ServiceExt as _};

use super::answer::{no_store, problem_response};
use super::door::{Door, Passage};
use super::input::{HeldBody, read_body};
use super::offer;
use super::presented::Presented;
use super::serve::BodyRoom;
use super::target::Target;
use super::tariff::Tariff;
use super::timing::{PAYMENT, server_timing};

/// Largest body of a paid request unless [`PaidLayer::body_limit`] says otherwise, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// Puts a [`Door`] before a service. The payment is bound to method, target and body, and lets a request pass once; the
/// service finds who paid as a [`Payer`] in the request's extensions.
#[derive(Clone)]
pub struct PaidLayer(Arc<Terms>);

struct Terms {
    door: Door,
    tariff: Tariff,
    body_limit: usize,
}

/// Who paid for a request, in its extensions.
#[derive(Clone, Debug)]
pub struct Payer(pub PaymentView);

impl PaidLayer {
    /// A layer with a door and prices.
    pub fn new(door: Door, tariff: Tariff) -> Self {
        Self(Arc::new(Terms { door, tariff, body_limit: BODY_LIMIT }))
    }

    /// The same, for bodies of up to so many bytes.
    pub fn body_limit(self, bytes: usize) -> Self {
        let Terms { door, tariff, .. } = &*self.0;
        Self(Arc::new(Terms { door: door.clone(), tariff: tariff.clone(), body_limit: bytes }))
    }
}

impl<S> Layer<S> for PaidLayer {
    type Service = Paid<S>;

    fn layer(&self, inner: S) -> Paid<S> {
        Paid { terms: Arc::clone(&self.0), inner }
    }
}

/// A service behind a [`PaidLayer`].
#[derive(Clone)]
pub struct Paid<S> {
    terms: Arc<Terms>,
    inner: S,
}

impl<S> Service<Request<Body>> for Paid<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (terms, inner) = (Arc::clone(&self.terms), self.inner.clone());
        Box::pin(async move {
            match terms.admit(request).await {
                Ok(Admitted { request, paid }) => {
                    let mut response = inner.oneshot(request).await?;
                    if let Some(took) = paid {
                        no_store(response.headers_mut());
                        offer::vary(response.headers_mut());
                        server_timing(response.headers_mut(), &[(PAYMENT, took)]);
                    }
                    Ok(response)
                }
                Err(refusal) => Ok(*refusal),
            }
        })
    }
}

struct Admitted {
    request: Request<Body>,
    /// How long verification and claim took; `None` for what is free.
    paid: Option<Duration>,
}

impl Terms {
    async fn admit(&self, request: Request<Body>) -> Result<Admitted, Box<Response<Body>>> {
        let refuse = |problem: Problem| Box::new(problem_response(&problem));
        let method = request.method().as_str().to_owned();
        let target = Target::of(request.uri(), request.version()).map_err(refuse)?.as_str().to_owned();
        let Some(rule) = self.tariff.rule(&method, &target, request.headers()).map_err(refuse)? else {
            return Ok(Admitted { request, paid: None });
        };
        let (mut parts, body) = request.into_parts();
        let presented = Presented::of(&parts).map_err(refuse)?;
        let room = BodyRoom::of(&parts.extensions);
        // The room is kept until the payment is there, or is not.
        let HeldBody { bytes: body, place: _place } =
            read_body(body, self.body_limit, &room).await.map_err(refuse)?;
        let order = rule.order(method, target, &body);
        let asked = Instant::now();
        match self.door.pass(&order, &presented).await.map_err(refuse)? {
            Passage::Granted { payment, claim } if claim.first => {
                let paid = Some(asked.elapsed());
                parts.extensions.insert(Payer(*payment));
                Ok(Admitted { request: Request::from_parts(parts, Body::from(body)), paid })
            }
            Passage::Granted { .. } => {
                let problem = Problem::new(
                    Code::AlreadyClaimed,
                    "the payment was used for this request before, and its answer is not kept: pay again",
                );
                Err(Box::new(self.door.refuse(&order, &presented, &problem).await.map_err(refuse)?))
            }
            Passage::Refused(response) => Err(Box::new(response)),
        }
    }
}
