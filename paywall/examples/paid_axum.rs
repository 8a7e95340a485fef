//! An axum service of your own, paid for each request. Beside `make up`: cargo run -p salt402-paywall --example paid_axum
use std::error::Error;
use std::time::Duration;

use axum::routing::post;
use axum::{Extension, Router};
use salt402_paywall::{PaidLayer, Payer, Paywall, RemoteVerifier, Rule, Tariff};
use salt402_protocol::ChainId;

/// Runs once for each payment, and knows who paid.
async fn ask(Extension(Payer(payment)): Extension<Payer>, question: String) -> String {
    format!("{} asked: {question}\n", payment.payer)
}

/// The service, behind the verifier at an address.
pub(crate) fn app(verifier: &str) -> Result<Router, Box<dyn Error>> {
    let verifier = RemoteVerifier::new(verifier.parse()?, None, Duration::from_secs(10))?;
    let payee = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC".parse()?;
    let paywall = Paywall::new(verifier, ChainId::CITRATE, payee, "my-service");
    let price = "1000000000000000".parse()?; // in base units: 0.001 SALT
    let tariff = Tariff::new([Rule::new("/ask", price, "an answer")]);
    Ok(Router::new().route("/ask", post(ask)).layer(PaidLayer::new(paywall, tariff)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:4022").await?;
    axum::serve(listener, app("http://127.0.0.1:4020")?).await?;
    Ok(())
}
