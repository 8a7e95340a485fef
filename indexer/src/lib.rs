//! Follows chains into the store.
//!
//! A [`Follower`] follows one chain. At each new head it fetches headers by hash until they join a stored block. Then
//! it fetches the logs of exactly the new blocks, and commits undo, payments and cursor in one transaction. Far behind
//! the head it reads ranges of blocks instead. The past of a contract that was added later is read beside this. Nothing
//! is kept in memory between two steps. So a failed step, or a killed process, starts again from what is stored.
//!
//! The rooms. Each imports only those below it:
//!
//! ```text
//! follow                 one chain, step by step
//! backfill   lookup      the past by ranges · one transaction, one channel
//! dag                    blocks beside the selected chain
//! decode     limits      logs into what they hold · no more questions than a node can bear
//! state                  what is followed, how far it is, what failed
//! ```

mod backfill;
mod dag;
mod decode;
mod follow;
mod limits;
mod lookup;
mod state;

pub use dag::channel_state::{ChannelAnswer, ChannelNow, ChannelQuestion};
pub use follow::compare::{Comparison, compare};
pub use follow::deployment::{Deployment, DeploymentCheck, DeploymentFault};
pub use follow::follower::Follower;
pub use lookup::asker::Asker;
pub use lookup::confirm::{Confirmation, Confirmed};
pub use lookup::outcome::Look;
pub use lookup::receipt::ReceiptLookup;
pub use lookup::unaccounted::Unaccounted;
pub use state::error::IndexError;
pub use state::health::{Health, Phase};
pub use state::options::FollowerOptions;
