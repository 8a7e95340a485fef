//! The state of a node, for status and metrics.

use serde::Deserialize;

/// Whether a node is asked first, or only as a fallback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Asked first.
    #[default]
    Primary,
    /// Asked only while no primary is ready.
    Fallback,
}

/// The state of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeState {
    /// The node can be asked.
    Ready,
    /// The node fails often, or its head stands still.
    Suspect,
    /// The node's head is behind the other nodes' heads.
    Lagging,
    /// The node failed a moment ago, or asked for a pause.
    Resting,
    /// The node is on another chain. Only its chain is checked from time to time.
    Ejected,
}

impl NodeState {
    /// The state as one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Suspect => "suspect",
            Self::Lagging => "lagging",
            Self::Resting => "resting",
            Self::Ejected => "ejected",
        }
    }
}

/// The state of one node of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// The node's name: host and port, without parts of the address that may be a key.
    pub host: String,
    /// Primary or fallback.
    pub role: Role,
    /// What it is good for now.
    pub state: NodeState,
    /// Whether the node served the newest unit of work.
    pub serving: bool,
    /// The newest block that the node has shown.
    pub head: Option<u64>,
    /// Why the node is not ready.
    pub reason: Option<String>,
    /// Whether the node's logs are accepted without the proof that the profile requires.
    pub logs_unproved: bool,
}
