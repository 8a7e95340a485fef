//! A channel that vouchers are granted on, shown by a second node.
//!
//! Which node the channel's events are from is not known any more, and one node can make a deposit up, or leave an exit
//! out. So two nodes must say now, each by its own state at its own head, that the contract covers what is signed. A node
//! that does not have the block at which the index stands, that is on another fork, or that does not answer, says nothing;
//! one where the payer leaves or the channel is closed may only know more than the index does. One that has that block and
//! less deposited than the index contradicts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, B256};
use futures::future::BoxFuture;
use salt402_chain::{At, Node, Work};
use salt402_store::Cursor;
use tokio::time::{Instant, timeout};

use crate::second::{self, Word};
use crate::{ChannelQuestion, Confirmation, Confirmed, IndexError, ReceiptLookup};

/// How long the nodes are waited for, all together.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an answer that is no confirmation is given again, so that nobody can have the nodes asked as often as it likes.
const REST: Duration = Duration::from_millis(900);
/// Channels whose answers are remembered; beyond it all are forgotten, and asked for again as they are needed.
const REMEMBERED: usize = 16_384;

/// The last answers, each with a turn of its own.
#[derive(Default)]
pub(crate) struct ChannelsAsked(Mutex<HashMap<(Address, B256), Place>>);

/// A channel's last answer; held while the nodes are asked, and by nobody who asks about another.
type Place = Arc<tokio::sync::Mutex<Option<Answer>>>;

struct Answer {
    /// When the nodes were asked: what happened since is not in it.
    at: Instant,
    asked: ChannelQuestion,
    said: Confirmation,
}

impl Answer {
    /// A confirmation counts for what was covered then, and for less. Anything else rests for a moment, whatever is asked.
    fn counts(&self, asked: &ChannelQuestion) -> bool {
        match self.said {
            Confirmation::Confirmed => asked.least <= self.asked.least && self.at.elapsed() < asked.most_age,
            _ => self.at.elapsed() < REST,
        }
    }
}

impl ChannelsAsked {
    fn place(&self, asked: &ChannelQuestion) -> Place {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (asked.contract, asked.channel);
        if places.len() >= REMEMBERED && !places.contains_key(&key) {
            places.clear();
        }
        Arc::clone(places.entry(key).or_default())
    }
}

impl ReceiptLookup {
    /// Whether two nodes show that a channel covers what is asked. They are asked again when the last confirmation is as old
    /// as it may be or covers less, and no more often than about once a second otherwise; whoever asks meanwhile is told the
    /// same. Waits for some seconds at most.
    pub async fn confirm_channel(&self, asked: &ChannelQuestion) -> Confirmed {
        let place = self.0.channels_asked.place(asked);
        let mut answer = place.lock().await;
        if let Some(kept) = answer.as_ref().filter(|kept| kept.counts(asked)) {
            return Confirmed { said: kept.said.clone(), fresh: false };
        }
        let at = Instant::now();
        if !self.0.channels.has_room(asked.known, at) {
            let said = Confirmation::Unanswered("too many channels are asked about just now".into());
            return Confirmed { said, fresh: false };
        }
        let late = || Confirmation::Unanswered(format!("nothing was heard in {} s", PATIENCE.as_secs()));
        let said = timeout(PATIENCE, self.ask_each_of_channel(asked)).await.unwrap_or_else(|_| late());
        let (chain, outcome) = (self.0.options.chain.to_string(), said.name());
        metrics::counter!("salt402_second_node_total", "chain" => chain, "outcome" => outcome).increment(1);
        *answer = Some(Answer { at, asked: *asked, said: said.clone() });
        Confirmed { said, fresh: true }
    }

    async fn ask_each_of_channel(&self, asked: &ChannelQuestion) -> Confirmation {
        let state = self.0.store.chain_state(self.0.options.chain).await;
        let Some(cursor) = state.ok().flatten().and_then(|state| state.cursor) else {
            return Confirmation::Unanswered("nothing is indexed yet".into());
        };
        let mut words: Vec<BoxFuture<'_, (String, Word)>> = Vec::new();
        for (name, node) in self.0.node.each(Work::LookUp).await {
            words.push(Box::pin(self.ask_one_of_channel(name, node, asked, cursor)));
        }
        second::settled(words).await
    }

    async fn ask_one_of_channel(
        &self,
        name: String,
        node: Arc<dyn Node>,
        asked: &ChannelQuestion,
        cursor: Cursor,
    ) -> (String, Word) {
        let word = self.word_of_channel(&*node, asked, cursor).await.unwrap_or_else(|error| {
            let (chain, channel) = (self.0.options.chain, asked.channel);
            tracing::debug!(%chain, node = name, %channel, %error, "a channel could not be confirmed");
            Word::Nothing("could not be asked".into())
        });
        (name, word)
    }

    /// What the node shows of the channel.
    async fn word_of_channel(
        &self,
        node: &dyn Node,
        asked: &ChannelQuestion,
        cursor: Cursor,
    ) -> Result<Word, IndexError> {
        if !has(node, cursor).await? {
            return Ok(Word::Nothing(format!(
                "does not show the block {} at which the index stands",
                cursor.number
            )));
        }
        let Some(now) = Self::state_of(node, asked).await? else {
            return Ok(Word::Nothing("answers as no SaltChannels does".into()));
        };
        Ok(if now.covers(asked.least) {
            Word::Same
        } else if now.closed {
            Word::Nothing("says that the channel is closed".into())
        } else if let Some(exit_at) = now.exit_at {
            Word::Nothing(format!("says that the channel's payer leaves at {exit_at}"))
        } else if has(node, cursor).await? {
            // The block did not leave the node's chain while it was asked: there is no deposit that it could be waiting for.
            Word::Other(format!(
                "has {} deposited in channel {} where the index has {}",
                now.deposit, asked.channel, asked.least
            ))
        } else {
            Word::Nothing("is on another fork".into())
        })
    }
}

async fn has(node: &dyn Node, block: Cursor) -> Result<bool, IndexError> {
    let header = node.header(At::Number(block.number)).await?;
    Ok(header.is_some_and(|header| header.hash == block.hash))
}

#[cfg(test)]
mod tests {
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
        let kept = |said| Answer { at: Instant::now(), asked: asked(10), said };
        let good = kept(Confirmation::Confirmed);
        let bad =
            [Confirmation::Unanswered(String::new()), Confirmation::Contradicted(String::new())].map(kept);
        assert!(good.counts(&asked(10)) && good.counts(&asked(1)) && !good.counts(&asked(11)));
        assert!(bad.iter().all(|kept| kept.counts(&asked(10)) && kept.counts(&asked(11))));
        tokio::time::advance(REST).await;
        assert!(good.counts(&asked(10)) && !bad.iter().any(|kept| kept.counts(&asked(10))));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!good.counts(&asked(10)));
        let places = ChannelsAsked::default();
        for index in 0..2 * REMEMBERED as u64 {
            places.place(&ChannelQuestion {
                channel: B256::left_padding_from(&index.to_be_bytes()),
                ..asked(1)
            });
        }
        assert!(places.0.lock().unwrap().len() <= REMEMBERED);
    }
}
