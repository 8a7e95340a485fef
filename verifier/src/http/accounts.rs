//! The routes of API keys and their balances.

use axum::Json;
use axum::extract::State;
use salt402_http::{Fault, StrictJson};
use salt402_protocol::api::{
    AccountRequest, AccountView, CreditOfRequest, CreditView, DrawRequest, Drawn, OpenDrawsRequest,
    OpenDrawsResponse,
};

use crate::verify::verifier::Verifier;

/// What a payment bought, where that is a balance
#[utoipa::path(post, path = "/v1/credits", tag = "accounts", request_body = CreditOfRequest,
    responses((status = 200, description = "The account, and its key if the payment made both.", body = CreditView)), security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn credits(
    State(verifier): State<Verifier>,
    StrictJson(request): StrictJson<CreditOfRequest>,
) -> Result<Json<CreditView>, Fault> {
    Ok(Json(verifier.credit(&request).await?))
}

/// Reserve what a request may cost of the balance of a key
#[utoipa::path(post, path = "/v1/draws", tag = "accounts", request_body = DrawRequest,
    responses((status = 200, description = "Whether it is reserved. It is on disk before it is told.", body = Drawn)), security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn draws(
    State(verifier): State<Verifier>,
    StrictJson(request): StrictJson<DrawRequest>,
) -> Result<Json<Drawn>, Fault> {
    Ok(Json(verifier.draw(&request).await?))
}

/// What is reserved of balances, and not charged yet
#[utoipa::path(post, path = "/v1/draws/open", tag = "accounts", request_body = OpenDrawsRequest,
    responses((status = 200, description = "The oldest.", body = OpenDrawsResponse)), security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn open_draws(
    State(verifier): State<Verifier>,
    StrictJson(request): StrictJson<OpenDrawsRequest>,
) -> Result<Json<OpenDrawsResponse>, Fault> {
    Ok(Json(verifier.open_draws(&request).await?))
}

/// An account with a balance, and a part of its history
#[utoipa::path(post, path = "/v1/accounts", tag = "accounts", request_body = AccountRequest,
    responses((status = 200, description = "How it stands.", body = AccountView)), security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn accounts(
    State(verifier): State<Verifier>,
    StrictJson(request): StrictJson<AccountRequest>,
) -> Result<Json<AccountView>, Fault> {
    Ok(Json(verifier.account(&request).await?))
}
