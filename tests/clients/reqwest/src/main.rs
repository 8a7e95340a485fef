//! Pays with the crate `x402-reqwest`, unmodified.
//!
//! Reads JSON from standard input: `{"key": "0x…", "urls": ["http://…"]}`, and `body` where one is to be posted, or `bodies`. Asks each
//! address in turn, and writes one line of JSON for each: the status, the body, and the header `PAYMENT-RESPONSE`, or the error.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;

use alloy_signer_local::PrivateKeySigner;
use serde::Deserialize;
use serde_json::{Value, json};
use x402_chain_eip155::{V2Eip155ExactClient, V2Eip155UptoClient};
use reqwest_middleware::{ClientWithMiddleware, RequestBuilder};
use x402_reqwest::{ReqwestWithPayments as _, ReqwestWithPaymentsBuild as _, X402Client};

/// What is to be paid, and by whom.
#[derive(Deserialize)]
struct Orders {
    /// The payer's private key, as hex. Public keys of a test chain alone.
    key: String,
    /// What to ask.
    urls: Vec<String>,
    /// What is posted to each, as JSON. `None`: they are asked by GET.
    body: Option<String>,
    /// The same, where each address has its own.
    bodies: Option<Vec<Option<String>>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let orders: Orders = serde_json::from_reader(std::io::stdin())?;
    let signer: Arc<PrivateKeySigner> = Arc::new(orders.key.parse()?);
    let schemes = X402Client::new()
        .register(V2Eip155ExactClient::new(signer.clone()))
        .register(V2Eip155UptoClient::new(signer));
    let client = reqwest::Client::builder().no_proxy().build()?.with_payments(schemes).build();
    for (index, url) in orders.urls.into_iter().enumerate() {
        let own = orders.bodies.as_ref().map(|bodies| bodies.get(index).and_then(Option::as_ref));
        let answer = match asked(&client, &url, own.unwrap_or(orders.body.as_ref())).send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                let header = |name: &str| -> Option<String> {
                    response.headers().get(name)?.to_str().ok().map(str::to_owned)
                };
                let (paid, reason) = (header("payment-response"), header("payment-required"));
                let body = response.text().await.unwrap_or_default();
                json!({ "url": url, "status": status, "body": body, "paymentResponse": paid, "paymentRequired": reason })
            }
            Err(error) => json!({ "url": url, "error": describe(&error) }),
        };
        writeln!(std::io::stdout(), "{}", Value::to_string(&answer))?;
    }
    Ok(())
}

/// A request, with its body if it has one.
fn asked(client: &ClientWithMiddleware, url: &str, body: Option<&String>) -> RequestBuilder {
    match body {
        Some(body) => client.post(url).header("content-type", "application/json").body(body.clone()),
        None => client.get(url),
    }
}

/// An error with what caused it.
fn describe(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}
