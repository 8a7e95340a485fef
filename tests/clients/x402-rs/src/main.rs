//! The facilitator of x402-rs, put together from its crates as its own binary does: a peer that ours is measured against.
//!
//!     salt402-clients-x402-rs PORT
//!
//! `FACILITATOR_CHAINS` is JSON, `[{"id": 40204, "rpc": "http://…"}]`, and `FACILITATOR_KEY` the key that pays for gas. Its
//! own start refuses a chain without Permit2, x402's proxy and the validator of ERC-6492.

use std::collections::HashMap;
use std::env::{args, var};
use std::error::Error;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use x402_chain_eip155::V2Eip155Exact;
use x402_chain_eip155::chain::config::{Eip155ChainConfig, Eip155ChainConfigInner};
use x402_chain_eip155::chain::{Eip155ChainProvider, Eip155ChainReference};
use x402_facilitator_local::{FacilitatorLocal, handlers};
use x402_types::chain::{ChainId, ChainProviderOps, ChainRegistry, FromConfig};
use x402_types::scheme::{
    SchemeBlueprints, SchemeConfig, SchemeRegistry, X402SchemeFacilitator, X402SchemeFacilitatorBuilder,
    X402SchemeId,
};

#[derive(Deserialize)]
struct Named {
    id: u64,
    rpc: String,
}

/// A chain with its provider.
struct Chain(Arc<Eip155ChainProvider>);

impl ChainProviderOps for Chain {
    fn signer_addresses(&self) -> Vec<String> {
        self.0.signer_addresses()
    }

    fn chain_id(&self) -> ChainId {
        self.0.chain_id()
    }
}

/// Its scheme `exact` of version 2, for our type of chains.
struct Exact;

impl X402SchemeId for Exact {
    fn namespace(&self) -> &str {
        V2Eip155Exact.namespace()
    }

    fn scheme(&self) -> &str {
        V2Eip155Exact.scheme()
    }
}

impl X402SchemeFacilitatorBuilder<&Chain> for Exact {
    fn build(
        &self,
        chain: &Chain,
        config: Option<Value>,
    ) -> Result<Box<dyn X402SchemeFacilitator>, Box<dyn Error>> {
        V2Eip155Exact.build(Arc::clone(&chain.0), config)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = args().nth(1).ok_or("the port is missing")?.parse()?;
    let named: Vec<Named> = serde_json::from_str(&var("FACILITATOR_CHAINS")?)?;
    let key = var("FACILITATOR_KEY")?;
    let mut chains = HashMap::new();
    for Named { id, rpc } in named {
        let inner: Eip155ChainConfigInner =
            serde_json::from_value(json!({ "signers": [key], "rpc": [{ "http": rpc }] }))?;
        let config = Eip155ChainConfig { chain_reference: Eip155ChainReference::new(id), inner };
        let chain = Chain(Arc::new(Eip155ChainProvider::from_config(&config).await?));
        chains.insert(chain.chain_id(), chain);
    }
    let schemes: Vec<SchemeConfig> =
        serde_json::from_value(json!([{ "id": Exact.id(), "chains": "eip155:*" }]))?;
    let registry = SchemeRegistry::build(
        ChainRegistry::new(chains),
        SchemeBlueprints::new().and_register(Exact),
        &schemes,
    );
    let facilitator = Arc::new(FacilitatorLocal::new(registry));
    let app = handlers::routes().with_state(facilitator);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("Facilitator listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
