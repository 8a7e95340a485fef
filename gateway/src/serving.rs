//! A request of something that is sold, by whatever it is paid.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use salt402_paywall::{after_signature, asked_once, pays_again, shows_payment};

use crate::dialect::Dialect;
use crate::gateway::Inner;
use crate::keyed;
use crate::keys::is_shown;
use crate::paid::{self, Reads, Sale};

/// Answers a request, in the words of a dialect.
pub(crate) async fn serve<S: Sale>(
    gateway: &Arc<Inner>,
    request: Request,
    dialect: Dialect,
    read: impl Reads<S>,
) -> Response<Body> {
    let shown = shows_payment(request.headers());
    let signs = shown && pays_again(request.headers());
    if let Some(keys) = gateway.keys.as_ref().filter(|_| is_shown(request.headers())) {
        let answered = Box::pin(keyed::walk(gateway, keys, request, dialect, read)).await;
        return asked_once(shown, answered.unwrap_or_else(|problem| dialect.problem(&problem)));
    }
    let answered = Box::pin(paid::walk(gateway, request, dialect, read)).await;
    let answered = answered
        .unwrap_or_else(|problem| dialect.problem(&if signs { after_signature(problem) } else { problem }));
    asked_once(shown, answered)
}
