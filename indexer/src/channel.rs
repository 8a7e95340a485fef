//! Where a channel stands by its contract, asked of a node.
//!
//! On a chain whose blocks form a graph (Citrate) a channel's event can be in a block beside the selected chain, which no
//! question about heights ever reaches. What it did is in the contract's state all the same once its block is merged. Asking
//! is limited, so that nobody can wear a node out: one question at a time for each channel, whose answer all get who ask
//! meanwhile, and so many a second for all channels together. Channels that the index does not know are limited apart from
//! those that it knows, since anybody can make them up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall as _;
use salt402_chain::{At, Node, Work};
use salt402_protocol::Amount;
use salt402_protocol::contracts::ISaltChannels;
use tokio::time::{Instant, timeout};

use crate::{IndexError, ReceiptLookup};

/// How long a node is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an answer is given again that is not good enough, so that a node is not asked as often as somebody likes.
const REST: Duration = Duration::from_millis(900);
/// Channels whose answers are remembered; beyond it all are forgotten, and asked for again as they are needed.
const REMEMBERED: usize = 16_384;
/// Questions for all channels that the index knows: so many at once, and so many a second. With the header that comes with
/// each, this is less than a quarter of what Citrate's public node allows.
const KNOWN: Rate = Rate { burst: 40, per_second: 20 };
/// The same for all others.
const UNKNOWN: Rate = Rate { burst: 10, per_second: 2 };

/// Where a channel stands by its contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelNow {
    /// All that was ever deposited, in base units. Zero if it was never opened, and only then.
    pub deposit: Amount,
    /// All that was ever claimed, in base units.
    pub claimed: Amount,
    /// From when the payer can leave, in seconds since 1970 UTC; `None` while it has not asked.
    pub exit_at: Option<u64>,
    /// Whether it is closed for ever.
    pub closed: bool,
}

impl ChannelNow {
    /// Whether vouchers up to a ceiling, in base units, can be claimed while nothing else happens.
    pub fn covers(&self, ceiling: Amount) -> bool {
        !self.closed && self.exit_at.is_none() && self.deposit >= ceiling
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelQuestion {
    /// The contract, a `SaltChannels`.
    pub contract: Address,
    /// The channel's identifier in it.
    pub channel: B256,
    /// Whether the index knows the channel.
    pub known: bool,
    /// What the channel must cover, in base units, for its last answer to count as long as `most_age`.
    pub least: Amount,
    /// How old that answer may be. One that does not cover so much counts for a moment only.
    pub most_age: Duration,
}

/// What the contract says of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelAnswer {
    /// It stands so, at the head of a node that has the block at which the index stands.
    Stands(ChannelNow),
    /// It cannot be asked now. In words, why.
    Unanswered(String),
}

impl ChannelAnswer {
    fn covers(&self, ceiling: Amount) -> bool {
        matches!(self, Self::Stands(now) if now.covers(ceiling))
    }
}

/// What was asked of channels that the index knows, and of others.
#[derive(Default)]
pub(crate) struct Channels {
    known: Answers,
    unknown: Answers,
}

/// The last answers, each with a turn of its own, and what may still be asked.
#[derive(Default)]
struct Answers {
    // Std mutexes, because nothing is awaited while they are held.
    places: Mutex<HashMap<(Address, B256), Place>>,
    spent: Mutex<Option<Spent>>,
}

/// A channel's last answer; held while its contract is asked, and by nobody who asks about another.
type Place = Arc<tokio::sync::Mutex<Option<Kept>>>;

struct Kept {
    /// When it was asked for: what happened since is not in it.
    at: Instant,
    said: ChannelAnswer,
    /// Whether it was good enough for the question that it answered.
    enough: bool,
}

#[derive(Clone, Copy)]
struct Rate {
    burst: u32,
    per_second: u32,
}

struct Spent {
    left: u32,
    filled: Instant,
}

impl Kept {
    fn new(at: Instant, said: ChannelAnswer, asked: &ChannelQuestion) -> Self {
        let enough = said.covers(asked.least);
        Self { at, said, enough }
    }

    /// One that was enough and is not any more is asked for anew at once: there may have been a top-up. Where the new one is
    /// not enough either, it rests, however much the next question wants.
    fn counts(&self, asked: &ChannelQuestion) -> bool {
        match (self.said.covers(asked.least), self.enough) {
            (true, _) => self.at.elapsed() < asked.most_age,
            (false, true) => false,
            (false, false) => self.at.elapsed() < REST,
        }
    }
}

impl Channels {
    /// Whether there is room for one more question, about a channel that the index knows or another.
    pub(crate) fn has_room(&self, known: bool, now: Instant) -> bool {
        if known { self.known.spend(KNOWN, now) } else { self.unknown.spend(UNKNOWN, now) }
    }
}

impl Answers {
    fn place(&self, asked: &ChannelQuestion) -> Place {
        let mut places = lock(&self.places);
        let key = (asked.contract, asked.channel);
        if places.len() >= REMEMBERED && !places.contains_key(&key) {
            places.clear();
        }
        Arc::clone(places.entry(key).or_default())
    }

    /// Whether there is room for one more question.
    fn spend(&self, rate: Rate, now: Instant) -> bool {
        let mut spent = lock(&self.spent);
        let spent = spent.get_or_insert(Spent { left: rate.burst, filled: now });
        let each = Duration::from_secs(1) / rate.per_second;
        let due = u32::try_from(now.duration_since(spent.filled).as_nanos() / each.as_nanos());
        let due = due.unwrap_or(u32::MAX);
        if due > 0 {
            spent.left = spent.left.saturating_add(due).min(rate.burst);
            spent.filled = now;
        }
        let room = spent.left > 0;
        spent.left = spent.left.saturating_sub(1);
        room
    }
}

impl ReceiptLookup {
    /// Whether this chain has blocks whose events are in no logs.
    pub fn merges_blocks(&self) -> bool {
        self.0.node.profile().merges_blocks
    }

    /// Where a channel stands by its contract. It is asked when the last answer does not count any more, and is waited for
    /// some seconds at most.
    pub async fn channel(&self, asked: &ChannelQuestion) -> ChannelAnswer {
        let (answers, rate) = match asked.known {
            true => (&self.0.channels.known, KNOWN),
            false => (&self.0.channels.unknown, UNKNOWN),
        };
        let place = answers.place(asked);
        let mut kept = place.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.counts(asked)) {
            return kept.said.clone();
        }
        let at = Instant::now();
        if !answers.spend(rate, at) {
            self.count(asked, "limited");
            return ChannelAnswer::Unanswered("too many channels are asked about just now".into());
        }
        let said = match timeout(PATIENCE, self.stand(asked)).await {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => {
                tracing::debug!(chain = %self.0.options.chain, channel = %asked.channel, %error, "a contract could not be asked");
                ChannelAnswer::Unanswered("its node could not be asked".into())
            }
            Err(_) => ChannelAnswer::Unanswered(format!("nothing was heard in {} s", PATIENCE.as_secs())),
        };
        self.count(
            asked,
            match &said {
                ChannelAnswer::Unanswered(_) => "unanswered",
                ChannelAnswer::Stands(now) if now.closed => "closed",
                ChannelAnswer::Stands(now) if now.exit_at.is_some() => "exiting",
                ChannelAnswer::Stands(_) => "open",
            },
        );
        *kept = Some(Kept::new(at, said.clone(), asked));
        said
    }

    /// The state at the head of a node that has the block at which the index stands: what is older than the index would say
    /// less than the index does.
    async fn stand(&self, asked: &ChannelQuestion) -> Result<ChannelAnswer, IndexError> {
        let no = |why: &str| Ok(ChannelAnswer::Unanswered(why.into()));
        let state = self.0.store.chain_state(self.0.options.chain).await?;
        let Some(cursor) = state.and_then(|state| state.cursor) else { return no("nothing is indexed yet") };
        let pinned = self.0.node.pin(Work::LookUp).await?;
        let node = pinned.as_deref().unwrap_or(&*self.0.node);
        match node.header(At::Number(cursor.number)).await? {
            Some(header) if header.hash == cursor.hash => {}
            _ => return no("its node does not show the block at which the index stands"),
        }
        Ok(match Self::state_of(node, asked).await? {
            Some(now) => ChannelAnswer::Stands(now),
            None => return no("the contract answers as no SaltChannels does"),
        })
    }

    /// The state of a channel at the head of a node; `None` where the contract answers as no `SaltChannels` does.
    pub(crate) async fn state_of(
        node: &dyn Node,
        asked: &ChannelQuestion,
    ) -> Result<Option<ChannelNow>, IndexError> {
        let call = ISaltChannels::stateOfCall { channel: asked.channel };
        let answer = node.view(asked.contract, Bytes::from(call.abi_encode())).await?;
        let Ok(state) = ISaltChannels::stateOfCall::abi_decode_returns_validate(&answer) else {
            return Ok(None);
        };
        let exit_at: u64 = state.exitAt.to();
        Ok(Some(ChannelNow {
            deposit: Amount(U256::from(state.deposit)),
            claimed: Amount(U256::from(state.claimed)),
            exit_at: (exit_at > 0).then_some(exit_at),
            closed: state.closed,
        }))
    }

    fn count(&self, asked: &ChannelQuestion, outcome: &'static str) {
        let (chain, known) = (self.0.options.chain.to_string(), if asked.known { "yes" } else { "no" });
        metrics::counter!(
            "salt402_channel_questions_total", "chain" => chain, "known" => known, "outcome" => outcome
        )
        .increment(1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(amount: u64) -> Amount {
        Amount(U256::from(amount))
    }

    #[tokio::test(start_paused = true)]
    async fn made_up_channels_cannot_wear_a_node_out() {
        let answers = Answers::default();
        let ask = |count: u64| {
            let now = Instant::now();
            (0..count).filter(|_| answers.spend(UNKNOWN, now)).count()
        };
        assert_eq!(ask(10_000), UNKNOWN.burst as usize);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(ask(10_000), UNKNOWN.per_second as usize);
        let question = |index: u64| ChannelQuestion {
            contract: Address::ZERO,
            channel: B256::left_padding_from(&index.to_be_bytes()),
            known: false,
            least: Amount::ZERO,
            most_age: REST,
        };
        for index in 0..2 * REMEMBERED as u64 {
            answers.place(&question(index));
        }
        assert!(lock(&answers.places).len() <= REMEMBERED);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_while_it_is_good_and_young_and_any_other_for_a_moment() {
        let asked = ChannelQuestion {
            contract: Address::ZERO,
            channel: B256::ZERO,
            known: true,
            least: units(10),
            most_age: Duration::from_secs(60),
        };
        let open = ChannelNow { deposit: units(10), claimed: Amount::ZERO, exit_at: None, closed: false };
        let kept = |now| Kept::new(Instant::now(), ChannelAnswer::Stands(now), &asked);
        let good = kept(open);
        let bad = [
            kept(ChannelNow { deposit: units(9), ..open }),
            kept(ChannelNow { exit_at: Some(1), ..open }),
            kept(ChannelNow { closed: true, ..open }),
            Kept::new(Instant::now(), ChannelAnswer::Unanswered(String::new()), &asked),
        ];
        assert!(good.counts(&asked) && bad.iter().all(|kept| kept.counts(&asked)));
        // More was deposited since, by the index; and nobody has the node asked without end by asking for ever more.
        let more = ChannelQuestion { least: units(11), ..asked };
        assert!(!good.counts(&more));
        let short = Kept::new(Instant::now(), good.said.clone(), &more);
        assert!(short.counts(&more) && short.counts(&ChannelQuestion { least: units(12), ..asked }));
        assert!(short.counts(&asked));
        tokio::time::advance(REST).await;
        assert!(good.counts(&asked) && !bad.iter().any(|kept| kept.counts(&asked)));
        assert!(!short.counts(&more) && short.counts(&asked));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!good.counts(&asked));
    }
}
