//! What several nodes say of the same thing, each for itself.
//!
//! Which node a row of the index is from is not known any more. So two nodes must show it now: one of them at least is not the
//! one that made it up, if it was made up. A node that says nothing, because it is behind, on another fork or does not answer,
//! neither confirms nor contradicts.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};
use salt402_chain::{Node, Work};
use tokio::time::timeout;

use crate::limits::memo::{Answer, Untold};
use crate::state::indexed::Indexed;

/// How many nodes must show it.
const NEEDED: usize = 2;
/// How long the nodes are waited for, all together.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What other nodes say of a payment or a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Two nodes show it as the index has it.
    Confirmed,
    /// Too few of them show it, and none contradicts: they are behind, on another fork, or do not answer. In words, why.
    Unanswered(String),
    /// Too few of them show it, and one has its block and something else. In words, which and what it shows.
    Contradicted(String),
}

/// What other nodes say of a payment or a channel, and whether they were asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// What they say.
    pub said: Confirmation,
    /// Whether nobody else was told it before. Otherwise whatever is worth noting of it was noted then.
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
    /// What is told of a question to the nodes that all who ask share.
    pub(crate) fn of(said: Result<Answer<Confirmation>, Untold>) -> Self {
        let unanswered = |why: &str| Self { said: Confirmation::Unanswered(why.to_owned()), fresh: false };
        match said {
            Ok(Answer { value, first, .. }) => Self { said: value, fresh: first },
            Err(Untold::Left) => unanswered("the nodes were asked a moment ago"),
            Err(Untold::NoRoom) => unanswered("too many are asked about just now"),
        }
    }
}

/// Asks all nodes of a chain that can be asked, for some seconds at most: `ask` says what one of them, by its name, shows.
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

/// Hears two at once, and further ones while it is not settled.
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
