//! What several nodes say of the same thing, each for itself.
//!
//! The index does not know any more which node a row came from. So two nodes must show it now. If one node invented it,
//! at least one of the two is another. A node that is behind, is on another fork or does not answer neither confirms
//! nor contradicts.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};
use salt402_chain::{Node, Work};
use tokio::time::timeout;

use crate::limits::memo::{Answer, Untold};
use crate::state::Indexed;

/// How many nodes must show it.
const NEEDED: usize = 2;
/// How long the nodes are waited for, all together.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What other nodes say of a payment or a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Two nodes show it as the index has it.
    Confirmed,
    /// Too few nodes show it, and none contradicts: they are behind, on another fork, or do not answer. The text says
    /// why.
    Unanswered(String),
    /// Too few nodes show it, and one has its block and shows something else. The text says which node and what.
    Contradicted(String),
}

/// What other nodes say of a payment or a channel, and whether this caller is told first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// What they say.
    pub said: Confirmation,
    /// Whether nobody was told it before. Otherwise what is worth noting was noted then.
    pub fresh: bool,
}

/// What one node says.
pub(crate) enum Word {
    Same,
    Nothing(String),
    Other(String),
}

impl Confirmation {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Unanswered(_) => "unanswered",
            Self::Contradicted(_) => "contradicted",
        }
    }
}

impl Confirmed {
    /// What a caller is told of a question that all callers share.
    pub(crate) fn of(said: Result<Answer<Confirmation>, Untold>) -> Self {
        let unanswered = |why: &str| Self { said: Confirmation::Unanswered(why.to_owned()), fresh: false };
        match said {
            Ok(Answer { value, first, .. }) => Self { said: value, fresh: first },
            Err(Untold::Left) => unanswered("the nodes were asked a moment ago"),
            Err(Untold::NoRoom) => unanswered("too many are asked about just now"),
        }
    }
}

/// Asks all nodes of a chain that can be asked, for some seconds at most. `ask` returns what one node shows, given its
/// name.
pub(crate) async fn heard<'a>(
    chain: &'a Indexed,
    ask: impl Fn(String, Arc<dyn Node>) -> BoxFuture<'a, (String, Word)>,
) -> Confirmation {
    let asked = async {
        let nodes = chain.node.each(Work::LookUp).await;
        settled(nodes.into_iter().map(|(name, node)| ask(name, node)).collect()).await
    };
    let said = timeout(TIMEOUT, asked).await.unwrap_or_else(|_| {
        Confirmation::Unanswered(format!("nothing was heard in {} s", TIMEOUT.as_secs()))
    });
    let (chain, outcome) = (chain.chain().to_string(), said.name());
    metrics::counter!("salt402_second_node_total", "chain" => chain, "outcome" => outcome).increment(1);
    said
}

/// Asks two nodes at once, and further ones until the answer is certain.
async fn settled(asked: Vec<BoxFuture<'_, (String, Word)>>) -> Confirmation {
    let mut words = stream::iter(asked).buffer_unordered(NEEDED);
    let (mut shown, mut silent, mut other) = (0, Vec::new(), None);
    while let Some((name, word)) = words.next().await {
        match word {
            Word::Same => shown += 1,
            Word::Nothing(why) => silent.push(format!("{name} {why}")),
            Word::Other(what) => other = other.or(Some(format!("{name} {what}"))),
        }
        if shown >= NEEDED {
            return Confirmation::Confirmed;
        }
    }
    if let Some(other) = other {
        return Confirmation::Contradicted(other);
    }
    let silent =
        if silent.is_empty() { "no other node can be asked now".to_owned() } else { silent.join("; ") };
    Confirmation::Unanswered(silent)
}
