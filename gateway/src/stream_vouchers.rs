//! `POST /v1/streams/{payment}`: the next voucher of a stream that is paid as it goes.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use salt402_http::{address_limited, no_store, problem_response, vary};
use salt402_paywall::openapi::{PAID, PaymentHeaders};
use salt402_paywall::{Presented, asked_once};
use salt402_protocol::{Amount, B256, Code, PaymentId, Problem, Proof, Voucher};
use serde::Serialize;
use utoipa::ToSchema;

use crate::gateway::{Gateway, Inner};
use crate::paid::unkept;
use crate::tab::{Standing, Tab};

/// The codes that refuse it.
pub(crate) fn refusals() -> Vec<Code> {
    let own = [Code::WrongChannel, Code::StreamEnded, Code::NotFound, Code::MalformedParameter];
    [PAID, &own].concat()
}

/// How a stream stands after a voucher was taken.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RaiseResponse {
    /// The channel.
    #[schema(value_type = String)]
    channel_id: B256,
    /// The highest ceiling that was accepted of it, in base units.
    accepted_cumulative: Amount,
    /// What the stream may cost, by the vouchers so far, in base units.
    authorized: Amount,
    /// What was given of it costs so much, in base units.
    charged: Amount,
    /// Whether it has ended meanwhile. What it did not use of the voucher pays for the channel's next request.
    ended: bool,
}

/// The next voucher of a stream that is paid as it goes
#[utoipa::path(post, path = "/v1/streams/{payment}", tag = "inference", params(
        ("payment" = String, Path, description = "The payment of the voucher that began the stream, as its `X-Payment-Receipt` and each event `payment-need-voucher` name it."),
        PaymentHeaders),
    responses((status = 200, description = "The voucher was taken, and the stream goes on if that is enough. The same voucher is answered so again. A stream whose vouchers allow all of it already takes none: then the voucher stays good for another request.",
        body = RaiseResponse,
        headers(("Cache-Control" = String, description = "`no-store, private`")))))]
pub(crate) async fn raise(
    State(gateway): State<Gateway>,
    Path(payment): Path<String>,
    request: Request,
) -> Response {
    let answered = match taken(&gateway.0, &payment, request).await {
        Ok(response) => {
            let mut response = Json(response).into_response();
            no_store(response.headers_mut());
            vary(response.headers_mut());
            response
        }
        Err(problem) => problem_response(&problem),
    };
    asked_once(true, answered)
}

async fn taken(gateway: &Arc<Inner>, payment: &str, request: Request) -> Result<RaiseResponse, Problem> {
    let (parts, _) = request.into_parts();
    let presented = Presented::of(&parts)?;
    let Some(Proof::Voucher(voucher)) = presented.proof else {
        let detail = "the next voucher of the stream's channel must come in X-Payment-Proof: voucher:0x<channel>:<ceiling>:0x<signature>";
        return Err(Problem::new(Code::MalformedProof, detail));
    };
    if let Some(wait) = presented.too_soon {
        return Err(address_limited(wait));
    }
    gateway.lease.check()?;
    let payment = payment.parse::<B256>().map(PaymentId).map_err(|error| {
        Problem::new(
            Code::MalformedParameter,
            format!("payment: expected 0x and 64 hexadecimal digits: {error}"),
        )
    })?;
    let Some(tab) = gateway.tabs.of(payment).filter(|tab| tab.goes_on()) else {
        return Err(not_under_way(gateway, payment).await);
    };
    if let Some(problem) = unkept(gateway) {
        return Err(problem);
    }
    check_channel(&tab, &voucher)?;
    let standing = tab.raise(voucher, &presented).await?;
    Ok(answer(&tab, &standing))
}

/// Nobody else's voucher pays for it, and none is asked about that does not.
fn check_channel(tab: &Tab, voucher: &Voucher) -> Result<(), Problem> {
    if voucher.channel == tab.channel() {
        return Ok(());
    }
    let detail = format!(
        "the stream is paid from channel {}, and the voucher is of {}: nothing was taken of it",
        tab.channel(),
        voucher.channel
    );
    Err(Problem::new(Code::WrongChannel, detail))
}

async fn not_under_way(gateway: &Inner, payment: PaymentId) -> Problem {
    match gateway.store.charge(payment).await {
        Ok(Some(_)) => Problem::new(
            Code::StreamEnded,
            "the stream is not under way, and takes no voucher any more: what was signed for it and not used pays for other requests of the \
             channel; show the voucher that began the stream, with its request, to have what was given of it",
        ),
        Ok(None) => Problem::new(Code::NotFound, "no stream was begun by this payment here"),
        Err(error) => {
            tracing::error!(%error, "what is known of a stream could not be read");
            Problem::new(
                Code::Internal,
                "what is known of the stream could not be read: send the same voucher again",
            )
            .retry_after(1000)
        }
    }
}

fn answer(tab: &Tab, standing: &Standing) -> RaiseResponse {
    RaiseResponse {
        channel_id: tab.channel(),
        accepted_cumulative: standing.channel.highest,
        authorized: standing.allowed,
        charged: standing.charged,
        ended: standing.end.is_some(),
    }
}
