//! The state of a channel as its contract tells it to a node.
//!
//! On a chain whose blocks form a graph (Citrate), a channel's event can be in a block beside the selected chain. No
//! question about heights finds it. But once its block is merged, the contract's state shows what it did. Questions are
//! limited, so that nobody can overload a node. There is one question at a time per channel, and everybody who asks
//! meanwhile gets its answer. All channels together have a rate. Channels that the index does not know have a rate of
//! their own, because anybody can invent them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall as _;
use salt402_chain::{At, Node};
use salt402_http::{Bucket, Rate};
use salt402_protocol::contracts::ISaltChannels;
use salt402_protocol::{Amount, ChainId};
use tokio::time::{Instant, timeout};

use crate::limits::memo::{Memo, REST, Untold};
use crate::state::{IndexError, Indexed};

/// How long a node is waited for.
const TIMEOUT: Duration = Duration::from_secs(3);
/// For how many channels the answer is kept. One that was dropped is asked for again.
const REMEMBERED: usize = 16_384;
/// The rate of questions for all known channels. With the header that comes with each, it is less than a quarter of
/// what Citrate's public node allows.
const KNOWN: Rate = Rate { burst: 40, per_minute: 1200 };
/// The same for all others.
const UNKNOWN: Rate = Rate { burst: 10, per_minute: 120 };
/// What a caller is told if there is no room for one more question.
pub(crate) const TOO_MANY: &str = "too many channels are asked about just now";
/// What a caller is told of a question that everybody else stopped waiting for.
pub(crate) const JUST_ASKED: &str = "it was asked a moment ago";

/// A channel's state by its contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelNow {
    /// All that was ever deposited, in base units. Zero means that it was never opened.
    pub deposit: Amount,
    /// All that was ever claimed, in base units.
    pub claimed: Amount,
    /// From when on the payer can leave, in seconds since 1970 UTC. `None` if no exit was asked for.
    pub exit_at: Option<u64>,
    /// Whether it is closed for ever.
    pub closed: bool,
}

impl ChannelNow {
    /// Whether vouchers up to a ceiling, in base units, can be claimed if nothing else happens.
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
    /// How much the channel must cover, in base units, so that the last answer counts for `most_age`.
    pub least: Amount,
    /// How old that answer may be. An answer that covers less counts only for a moment.
    pub most_age: Duration,
}

/// What the contract says of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelAnswer {
    /// This is its state, at the head of a node that has the index's newest block.
    Stands(ChannelNow),
    /// It cannot be asked now. The text says why.
    Unanswered(String),
}

impl ChannelAnswer {
    fn covers(&self, ceiling: Amount) -> bool {
        matches!(self, Self::Stands(now) if now.covers(ceiling))
    }
}

/// What the contracts said of channels, and how many questions may still be asked.
pub(crate) struct Channels {
    chain: Arc<Indexed>,
    /// The limit for channels that the index knows.
    known: Asked,
    /// Of others.
    unknown: Asked,
}

struct Asked {
    answers: Memo<(Address, B256), Kept>,
    rate: Rate,
    // A std mutex, because nothing is awaited while it is held.
    bucket: Mutex<Bucket>,
}

/// A channel's last answer.
#[derive(Clone)]
struct Kept {
    /// When it was asked for. It does not show what happened since.
    at: Instant,
    said: ChannelAnswer,
    /// Whether it was good enough for the question that it answered.
    enough: bool,
}

impl Kept {
    fn new(at: Instant, said: ChannelAnswer, asked: &ChannelQuestion) -> Self {
        let enough = said.covers(asked.least);
        Self { at, said, enough }
    }

    /// An answer that covers what is asked counts for as long as the question says. Another one counts for a moment,
    /// unless it was good enough for an earlier question that needed less.
    fn counts(&self, asked: &ChannelQuestion) -> bool {
        match (self.said.covers(asked.least), self.enough) {
            (true, _) => self.at.elapsed() < asked.most_age,
            (false, true) => false,
            (false, false) => self.at.elapsed() < REST,
        }
    }
}

impl Asked {
    fn new(rate: Rate) -> Self {
        Self { answers: Memo::new(REMEMBERED), rate, bucket: Mutex::default() }
    }

    /// Whether there is room for one more question.
    fn has_room(&self) -> bool {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(self.rate, Instant::now()).is_ok()
    }
}

impl Channels {
    pub(crate) fn new(chain: Arc<Indexed>) -> Self {
        Self { chain, known: Asked::new(KNOWN), unknown: Asked::new(UNKNOWN) }
    }

    /// Whether there is room for one more question. `known` says whether the index knows the channel.
    pub(crate) fn has_room(&self, known: bool) -> bool {
        self.of(known).has_room()
    }

    /// A channel's state as its contract tells it. It is asked for if the last answer no longer counts. Waits for some
    /// seconds at most.
    pub(crate) async fn ask(&self, asked: &ChannelQuestion) -> ChannelAnswer {
        let of = self.of(asked.known);
        let answer = heard(Arc::clone(&self.chain), *asked);
        let room = || of.has_room().then_some(());
        let counts = |kept: &Kept| kept.counts(asked);
        match of.answers.ask((asked.contract, asked.channel), counts, room, true, answer).await {
            Ok(answer) => answer.value.said,
            Err(Untold::NoRoom) => {
                count(self.chain.chain(), asked, "limited");
                ChannelAnswer::Unanswered(TOO_MANY.into())
            }
            Err(Untold::Left) => ChannelAnswer::Unanswered(JUST_ASKED.into()),
        }
    }

    fn of(&self, known: bool) -> &Asked {
        if known { &self.known } else { &self.unknown }
    }
}

/// What a contract says, with a time limit.
async fn heard(chain: Arc<Indexed>, asked: ChannelQuestion) -> Kept {
    let at = Instant::now();
    let said = match timeout(TIMEOUT, stand(&chain, &asked)).await {
        Ok(Ok(said)) => said,
        Ok(Err(error)) => {
            tracing::debug!(chain = %chain.chain(), channel = %asked.channel, %error, "a contract could not be asked");
            ChannelAnswer::Unanswered("its node could not be asked".into())
        }
        Err(_) => ChannelAnswer::Unanswered(format!("nothing was heard in {} s", TIMEOUT.as_secs())),
    };
    let outcome = match &said {
        ChannelAnswer::Unanswered(_) => "unanswered",
        ChannelAnswer::Stands(now) if now.closed => "closed",
        ChannelAnswer::Stands(now) if now.exit_at.is_some() => "exiting",
        ChannelAnswer::Stands(_) => "open",
    };
    count(chain.chain(), &asked, outcome);
    Kept::new(at, said, &asked)
}

/// The state at the head of a node that has the index's newest block. An older state would say less than the index.
async fn stand(chain: &Indexed, asked: &ChannelQuestion) -> Result<ChannelAnswer, IndexError> {
    let no = |why: &str| Ok(ChannelAnswer::Unanswered(why.into()));
    let Some(cursor) = chain.cursor().await? else { return no("nothing is indexed yet") };
    let node = chain.pinned().await?;
    match node.header(At::Number(cursor.number)).await? {
        Some(header) if header.hash == cursor.hash => {}
        _ => return no("its node does not show the block at which the index stands"),
    }
    Ok(match state_of(&*node, asked).await? {
        Some(now) => ChannelAnswer::Stands(now),
        None => return no("the contract answers as no SaltChannels does"),
    })
}

/// The state of a channel at the head of a node. `None` if the contract does not answer as a `SaltChannels` does.
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

fn count(chain: ChainId, asked: &ChannelQuestion, outcome: &'static str) {
    let (chain, known) = (chain.to_string(), if asked.known { "yes" } else { "no" });
    metrics::counter!("salt402_channel_questions_total", "chain" => chain, "known" => known, "outcome" => outcome)
        .increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(amount: u64) -> Amount {
        Amount(U256::from(amount))
    }

    #[tokio::test(start_paused = true)]
    async fn made_up_channels_cannot_wear_a_node_out() {
        let asked = Asked::new(UNKNOWN);
        let ask = |count: u64| (0..count).filter(|_| asked.has_room()).count();
        assert_eq!(ask(10_000), UNKNOWN.burst as usize);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(ask(10_000), 2);
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
        // By the index, more was deposited since. And nobody can make the node be asked without end by asking for more
        // each time.
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
