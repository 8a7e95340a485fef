//! Confirms a channel by a second node before vouchers of it are granted on.
//!
//! One node can invent a deposit or leave an exit out. So two nodes must say now, each by its own state at its own
//! head, that the contract covers what is signed. A node that lacks the index's newest block, is on another fork or
//! does not answer says nothing. If a node shows an exit or a closed channel, it may only know more than the index. A
//! node that has that block and a smaller deposit than the index contradicts.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use salt402_chain::{At, Node};
use salt402_store::Cursor;
use tokio::time::Instant;

use crate::dag::channel_state::{ChannelQuestion, Channels, state_of};
use crate::limits::memo::{Memo, REST};
use crate::lookup::confirm::{Confirmation, Confirmed, Word, heard};
use crate::state::{IndexError, Indexed};

/// For how many channels the answer is kept. One that was dropped is asked for again.
const REMEMBERED: usize = 16_384;

/// What nodes said of channels.
pub(crate) struct ConfirmedChannels {
    chain: Arc<Indexed>,
    answers: Memo<(Address, B256), Kept>,
}

/// A channel's last answer.
#[derive(Clone)]
struct Kept {
    /// When the nodes were asked. It does not show what happened since.
    at: Instant,
    asked: ChannelQuestion,
    said: Confirmation,
}

impl Kept {
    /// A confirmation counts for what was covered then, and for less. Any other answer counts for a moment, whatever is
    /// asked.
    fn counts(&self, asked: &ChannelQuestion) -> bool {
        match self.said {
            Confirmation::Confirmed => asked.least <= self.asked.least && self.at.elapsed() < asked.most_age,
            _ => self.at.elapsed() < REST,
        }
    }
}

impl ConfirmedChannels {
    pub(crate) fn new(chain: Arc<Indexed>) -> Self {
        Self { chain, answers: Memo::new(REMEMBERED) }
    }

    /// Whether two nodes show that a channel covers what is asked. They are asked again if the last confirmation is too
    /// old or covers less, and otherwise about once a second at most. Everybody who asks meanwhile gets the same
    /// answer. `channels` limits all questions about channels. Waits for some seconds at most.
    pub(crate) async fn confirm(&self, channels: &Channels, asked: &ChannelQuestion) -> Confirmed {
        let (chain, question) = (Arc::clone(&self.chain), *asked);
        let answer = async move {
            let at = Instant::now();
            Kept { at, asked: question, said: ask_each(&chain, &question).await }
        };
        let key = (asked.contract, asked.channel);
        let room = || channels.has_room(asked.known).then_some(());
        let told = self.answers.ask(key, |kept| kept.counts(asked), room, true, answer).await;
        Confirmed::of(told.map(|told| told.map(|kept| kept.said)))
    }
}

async fn ask_each(chain: &Indexed, asked: &ChannelQuestion) -> Confirmation {
    let Some(cursor) = chain.cursor().await.ok().flatten() else {
        return Confirmation::Unanswered("nothing is indexed yet".into());
    };
    heard(chain, |name, node| Box::pin(ask_one(chain, name, node, asked, cursor))).await
}

async fn ask_one(
    chain: &Indexed,
    name: String,
    node: Arc<dyn Node>,
    asked: &ChannelQuestion,
    cursor: Cursor,
) -> (String, Word) {
    let word = word(&*node, asked, cursor).await.unwrap_or_else(|error| {
        let (chain, channel) = (chain.chain(), asked.channel);
        tracing::debug!(%chain, node = name, %channel, %error, "a channel could not be confirmed");
        Word::Nothing("could not be asked".into())
    });
    (name, word)
}

/// What the node shows of the channel.
async fn word(node: &dyn Node, asked: &ChannelQuestion, cursor: Cursor) -> Result<Word, IndexError> {
    if !has(node, cursor).await? {
        return Ok(Word::Nothing(format!(
            "does not show the block {} at which the index stands",
            cursor.number
        )));
    }
    let Some(now) = state_of(node, asked).await? else {
        return Ok(Word::Nothing("answers as no SaltChannels does".into()));
    };
    Ok(if now.covers(asked.least) {
        Word::Same
    } else if now.closed {
        Word::Nothing("says that the channel is closed".into())
    } else if let Some(exit_at) = now.exit_at {
        Word::Nothing(format!("says that the channel's payer leaves at {exit_at}"))
    } else if has(node, cursor).await? {
        // The block was on the node's chain all the time. So the node does not lack a deposit that is still to come.
        Word::Other(format!(
            "has {} deposited in channel {} where the index has {}",
            now.deposit, asked.channel, asked.least
        ))
    } else {
        Word::Nothing("is on another fork".into())
    })
}

async fn has(node: &dyn Node, block: Cursor) -> Result<bool, IndexError> {
    let header = node.header(At::Number(block.number)).await?;
    Ok(header.is_some_and(|header| header.hash == block.hash))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use alloy_primitives::U256;
    use salt402_protocol::Amount;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_confirmation_counts_for_what_it_covered_and_anything_else_for_a_moment() {
        let asked = |least: u64| ChannelQuestion {
            contract: Address::ZERO,
            channel: B256::ZERO,
            known: true,
            least: Amount(U256::from(least)),
            most_age: Duration::from_secs(60),
        };
        let kept = |said| Kept { at: Instant::now(), asked: asked(10), said };
        let good = kept(Confirmation::Confirmed);
        let bad =
            [Confirmation::Unanswered(String::new()), Confirmation::Contradicted(String::new())].map(kept);
        assert!(good.counts(&asked(10)) && good.counts(&asked(1)) && !good.counts(&asked(11)));
        assert!(bad.iter().all(|kept| kept.counts(&asked(10)) && kept.counts(&asked(11))));
        tokio::time::advance(REST).await;
        assert!(good.counts(&asked(10)) && !bad.iter().any(|kept| kept.counts(&asked(10))));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!good.counts(&asked(10)));
    }
}
