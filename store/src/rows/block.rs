//! Blocks: headers, heights, what stands in a block, and where an index stands.

use std::fmt;

use salt402_protocol::B256;

/// A block's header, as far as the store keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its parent's hash.
    pub parent_hash: B256,
    /// Its time, in seconds since 1970 UTC.
    pub timestamp: u64,
}

/// Where an index stands: the newest block whose payments are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// That block's height.
    pub number: u64,
    /// That block's hash.
    pub hash: B256,
}

impl Cursor {
    pub(crate) fn tell(cursor: Option<Self>) -> String {
        cursor.map_or_else(
            || "its beginning".into(),
            |Self { number, hash }| format!("block {number} ({hash})"),
        )
    }
}

/// A range of heights. Both ends are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stretch {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

/// Something, and the block it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// What it is.
    pub what: T,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// The time of its block, in seconds since 1970 UTC. 0 in a row that does not know it.
    pub block_timestamp: u64,
}

/// Where an index stands, and where its node shows a lower fork.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) cursor: Option<u64>,
    /// See [`Store::note_lower_fork`](crate::Store::note_lower_fork).
    pub(crate) lower_fork_at: Option<u64>,
}

impl Stand {
    /// The depth of a block: how many blocks contain or follow it. 0 if the block is above a lower fork.
    pub(crate) fn depth(self, block_number: u64) -> u64 {
        match self.lower_fork_at {
            Some(fork) if block_number > fork => 0,
            _ => depth(self.cursor, block_number),
        }
    }
}

/// How many blocks contain or follow a block, if the index stands at `cursor`.
fn depth(cursor: Option<u64>, block_number: u64) -> u64 {
    cursor.and_then(|cursor| cursor.checked_sub(block_number)).map_or(0, |above| above + 1)
}

/// Why a chain is not followed further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HaltKind {
    /// The node's chain leaves the stored one below blocks that count as final.
    Fork,
    /// The node's chain begins with another block, so it is another chain.
    Genesis,
}

impl HaltKind {
    /// Its name in the database and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Genesis => "genesis",
        }
    }

    /// What has happened and what to do, in words for the operator.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Fork => {
                "the chain was reorganized deeper than what counts as final: nothing more is granted on it; check the node, \
                 then `salt402 chain resume` shows what would leave the chain and accepts it"
            }
            Self::Genesis => {
                "the node's chain begins with another block than the stored one, so the node is on another chain or the \
                 chain was reset: nothing more is granted on it; `salt402 chain resume` says what to do"
            }
        }
    }
}

impl fmt::Display for HaltKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
