//! A tower layer that makes any axum service a paid one.
//!
//! ```no_run
#![doc = include_str!("../examples/paid_axum.rs")]
//! ```

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, Response};
use salt402_http::{
    BodyBudget, HeldBody, PAYMENT, Target, no_store, problem_response, read_body, server_timing, vary,
};
use salt402_protocol::api::PaymentView;
use salt402_protocol::{Code, Problem};
use tower::{Layer, Service, ServiceExt as _};

use crate::order::Order;
use crate::page::offer_answer;
use crate::paywall::{Decision, Paywall};
use crate::presented::Presented;
use crate::shown::{pays_again, shows_payment};
use crate::signed::{Granted, after_signature, asked_once};
use crate::tariff::Tariff;

/// Largest body of a paid request unless [`PaidLayer::body_limit`] says otherwise, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// Puts a [`Paywall`] before a service. The payment is bound to method, target and body, and lets a request pass once; the
/// service finds who paid as a [`Payer`] in the request's extensions.
#[derive(Clone)]
pub struct PaidLayer(Arc<Terms>);

struct Terms {
    paywall: Paywall,
    tariff: Tariff,
    body_limit: usize,
}

/// Who paid for a request, in its extensions.
#[derive(Clone, Debug)]
pub struct Payer(pub PaymentView);

impl PaidLayer {
    /// A layer with a paywall and prices.
    pub fn new(paywall: Paywall, tariff: Tariff) -> Self {
        Self(Arc::new(Terms { paywall, tariff, body_limit: BODY_LIMIT }))
    }

    /// The same, for bodies of up to so many bytes.
    pub fn body_limit(self, bytes: usize) -> Self {
        let Terms { paywall, tariff, .. } = &*self.0;
        let (paywall, tariff) = (paywall.clone(), tariff.clone());
        Self(Arc::new(Terms { paywall, tariff, body_limit: bytes }))
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
                    if let Some(Paying { took, settled }) = paid {
                        response.headers_mut().extend(settled);
                        no_store(response.headers_mut());
                        vary(response.headers_mut());
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
    /// `None` for what is free.
    paid: Option<Paying>,
}

struct Paying {
    /// How long verification and claim took.
    took: Duration,
    /// What tells a client that its signed payment was settled.
    settled: Option<(HeaderName, HeaderValue)>,
}

impl Terms {
    async fn admit(&self, request: Request<Body>) -> Result<Admitted, Box<Response<Body>>> {
        let refuse = |problem: Problem| Box::new(problem_response(&problem));
        let (signs, shown) = (pays_again(request.headers()), shows_payment(request.headers()));
        // Whoever has signed is not led to sign again.
        let refuse_paid = move |problem: Problem| {
            let problem = if signs { after_signature(problem) } else { problem };
            Box::new(asked_once(shown, problem_response(&problem)))
        };
        let method = request.method().as_str().to_owned();
        let target = Target::of(request.uri(), request.version()).map_err(refuse)?.as_str().to_owned();
        let Some(rule) = self.tariff.rule(&method, &target, request.headers()).map_err(refuse)? else {
            return Ok(Admitted { request, paid: None });
        };
        let (mut parts, body) = request.into_parts();
        let presented = Presented::of(&parts).map_err(refuse)?;
        let budget = BodyBudget::of(&parts.extensions);
        // The memory counts as held until the payment is there, or is not.
        let HeldBody { bytes: body, reservation: _reservation } =
            read_body(body, self.body_limit, &budget).await.map_err(refuse_paid)?;
        // What it answers is not counted here.
        let order = Order { by_use: false, ..rule.order(method, target, &body) };
        let asked = Instant::now();
        match self.paywall.decide(&order, &presented).await.map_err(refuse_paid)? {
            Decision::Granted(Granted { payment, claim, .. }) if claim.first => {
                let settled = presented.receipt(&payment);
                let paid = Some(Paying { took: asked.elapsed(), settled });
                parts.extensions.insert(Payer(*payment));
                Ok(Admitted { request: Request::from_parts(parts, Body::from(body)), paid })
            }
            // Its client would sign again at once.
            Decision::Granted(_) if signs => Err(refuse_paid(Problem::new(
                Code::SignatureUsed,
                "what was signed was used for this request before, and its answer is not kept",
            ))),
            Decision::Granted(_) => {
                let problem = Problem::new(
                    Code::AlreadyClaimed,
                    "the payment was used for this request before, and its answer is not kept: pay again",
                );
                let offer = self.paywall.offer(&order, &presented, problem).await.map_err(refuse)?;
                Err(Box::new(offer_answer(&offer, &parts.headers)))
            }
            Decision::Unpaid(offer) => Err(Box::new(offer_answer(&offer, &parts.headers))),
        }
    }
}
