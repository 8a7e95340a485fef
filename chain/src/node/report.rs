//! How a node is, for those who watch.

use serde::Deserialize;

/// Whether a node is asked first, or only while those that are cannot be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Asked first.
    #[default]
    Primary,
    /// Asked while no primary is ready.
    Fallback,
}

/// What a node is good for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeState {
    /// It is asked, or would be.
    Ready,
    /// It fails often, or its head stands still.
    Suspect,
    /// Its head is behind that of the others.
    Lagging,
    /// It failed a moment ago, or wants rest.
    Resting,
    /// It is on another chain, and is asked for nothing but whether it still is.
    Ejected,
}

impl NodeState {
    /// The state in one word.
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

/// How one of several nodes is, for those who watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// Its name: host and port, and nothing of its address that may be a key.
    pub host: String,
    /// Primary or fallback.
    pub role: Role,
    /// What it is good for now.
    pub state: NodeState,
    /// Whether the newest unit of work was its own.
    pub serving: bool,
    /// The newest block that it has shown.
    pub head: Option<u64>,
    /// Why it is not simply ready.
    pub reason: Option<String>,
    /// Whether its logs are taken without the proof that the profile asks for.
    pub logs_unproved: bool,
}
