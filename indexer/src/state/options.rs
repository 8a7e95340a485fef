//! Which chain is followed, and what counts on it.

use salt402_protocol::{ChainId, Source};

/// What a follower follows.
#[derive(Clone, Debug)]
pub struct FollowerOptions {
    /// The chain.
    pub chain: ChainId,
    /// The contracts whose events count; each once.
    pub sources: Vec<Source>,
}

impl FollowerOptions {
    /// The first block that may hold anything of a source.
    pub fn start_block(&self) -> u64 {
        self.sources.iter().map(|source| source.start_block).min().unwrap_or(0)
    }
}
