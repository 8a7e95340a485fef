//! The card by which agents of A2A 1.0 find what is sold.
//!
//! A card names where an agent is spoken to. Where models are sold and x402's signatures are taken, that is [`a2a`]; else it is HTTP as
//! OpenAPI describes it, which is a binding of its own and none of A2A's. Nothing is promised that is not there.

use serde_json::{Value, json};

use crate::discovery::a2a;
use crate::discovery::words::line;
use crate::gateway::Inner;

/// The name of the binding: HTTP, as the OpenAPI document says.
const BINDING: &str = "OPENAPI";

/// The card.
pub(super) fn card(gateway: &Inner, base: &str) -> Value {
    let listed = gateway.listed();
    let skills: Vec<_> = listed
        .iter()
        .map(|listed| {
            let method = listed.methods.first().map(String::as_str).unwrap_or("GET");
            json!({
                "id": format!("{method} {}", listed.path),
                "name": line(&listed.what),
                "description": format!("{}. {}", line(&listed.what), listed.price),
                "tags": ["paid"],
                "examples": [format!("{method} {base}{}", listed.path)],
            })
        })
        .collect();
    let http = json!({ "url": format!("{base}/openapi.json"), "protocolBinding": BINDING, "protocolVersion": "1.0" });
    let (interfaces, extensions) = if a2a::is_spoken(gateway) {
        let url = format!("{base}{}", a2a::PATH);
        let spoken = json!({ "url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0" });
        let payments = json!({
            "uri": a2a::X402_EXTENSION, "description": "Each message is paid for with x402.", "required": true,
        });
        (json!([spoken, http]), json!([payments]))
    } else {
        (json!([http]), json!([]))
    };
    json!({
        "name": base.split_once("://").map_or(base, |(_, host)| host),
        "description": format!(
            "Paid per request in {} on {} ({}). No account, no key.",
            gateway.names.symbol, gateway.names.network, gateway.paywall.chain
        ),
        "version": env!("CARGO_PKG_VERSION"),
        "documentationUrl": format!("{base}/llms.txt"),
        "supportedInterfaces": interfaces,
        "capabilities": { "streaming": false, "pushNotifications": false, "extensions": extensions },
        "defaultInputModes": ["text/plain", "application/json"],
        "defaultOutputModes": ["text/plain", "application/json"],
        "skills": skills,
    })
}
