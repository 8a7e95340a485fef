//! Shared parts of the tests: a real anvil, contracts deployed by the real script, a running `salt402`, and a model
//! server that counts its requests.

#![allow(clippy::print_stderr, reason = "the log of a failed test's process is shown with the test")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot be set up must fail"
)]

mod anvil;
mod browser;
mod channel;
mod citrate;
mod citrate_heads;
mod facilitator;
mod model_stream;
mod node_proxy;
mod payer;
mod port;
mod process;
mod replay;
mod service;
pub mod signing;
mod sources;
mod stack;
mod upstream;
pub mod x402;

pub use anvil::{Anvil, DEPLOYER_KEY, Deployment, forge_lock};
pub use browser::Browser;
pub use channel::{ChannelStanding, TestChannel, session_key, session_signature};
pub use citrate::CitrateNode;
pub use facilitator::{Facilitating, FacilitatorOptions};
pub use model_stream::{CHAT_DONE, StreamScript, chat_chunk, chat_end};
pub use node_proxy::{Fault, NodeProxy};
pub use payer::{PAYEE, PAYEE_KEY, TestPayer};
pub use port::free_port;
pub use process::Salt402;
pub use service::{Act, Received, TestService};
pub use sources::following;
pub use stack::{Answer, Stack, StackOptions, inference, payment_details};
pub use upstream::{AskedModel, CountingUpstream, Scripted};

use std::path::PathBuf;

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the repository").to_owned()
}
