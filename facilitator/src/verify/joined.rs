//! Questions of many callers in one round trip. A round trip costs node and process more than the questions in it.
//!
//! Nobody waits for others while nothing is on its way. What comes meanwhile goes together, when the first is back or after a moment,
//! or as soon as there is enough for a round trip: so a node nearby is asked once for many, and one far away is not waited for. Questions
//! that run a payer's code are not asked here, since one that is slow would hold up the others.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::Bytes;
use salt402_chain::{Node, NodeError, StateQuestion};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::metrics;
use crate::verify::packed::Packed;

/// The most questions of one round trip. A caller's own are never divided.
const TOGETHER: usize = 64;
/// How many questions are on their way at once, in as many round trips as that takes.
const ON_THEIR_WAY: usize = 256;
/// The most round trips at once, where a node takes few questions together.
const AT_ONCE: usize = 64;

/// For how long a round trip keeps those waiting who came after it. A node nearby answers sooner, unless it has much to do, and then fewer
/// and larger calls are what helps.
const PATIENCE: Duration = Duration::from_millis(8);

/// The most gas of one call of Multicall3. Nodes run calls of 50 million and more.
const MOST_GAS: u64 = 20_000_000;
/// For how long it is not asked after it did not answer: it is not on every chain.
const APART_FOR: Duration = Duration::from_secs(60);

/// The answers to a caller's questions, in their order, or why none came.
type Answers = Result<Vec<Result<Bytes, NodeError>>, NodeError>;

/// Asks a node, together with whoever else asks.
#[derive(Clone)]
pub(crate) struct Joined(Arc<Inner>);

struct Inner {
    node: Arc<dyn Node>,
    // A std mutex, because nothing is awaited while it is held.
    waiting: Mutex<Waiting>,
    apart_until: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Waiting {
    callers: VecDeque<Caller>,
    /// How many questions they have.
    questions: usize,
    on_their_way: usize,
    /// How many of those have taken no callers yet.
    beginning: usize,
    /// When one began last.
    begun: Option<Instant>,
}

impl Waiting {
    /// Takes room for one more round trip where one is due: none is on its way, the last one is long under way, or there is enough for
    /// another. `false`: none is, or there is no room.
    fn take_room(&mut self, together: usize) -> bool {
        let is_long = self.begun.is_none_or(|begun| begun.elapsed() >= PATIENCE);
        let is_enough = self.questions >= together * (self.beginning + 1);
        let is_due = !self.callers.is_empty() && (self.on_their_way == 0 || is_long || is_enough);
        let takes = is_due && self.on_their_way < (ON_THEIR_WAY / together).min(AT_ONCE);
        if takes {
            self.on_their_way += 1;
            self.beginning += 1;
            self.begun = Some(Instant::now());
        }
        takes
    }
}

struct Caller {
    questions: Vec<StateQuestion>,
    reply: oneshot::Sender<Answers>,
}

impl Joined {
    pub(crate) fn new(node: Arc<dyn Node>) -> Self {
        Self(Arc::new(Inner { node, waiting: Mutex::default(), apart_until: Mutex::default() }))
    }

    /// Asks together with others. The answers are those of one round trip.
    pub(crate) async fn ask(&self, questions: Vec<StateQuestion>) -> Answers {
        let (reply, answer) = oneshot::channel();
        if self.enter(Caller { questions, reply }) {
            self.begin();
        }
        let lost = || NodeError::Malformed { what: "a question to the node was lost".to_owned() };
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Asks with the views as one call of Multicall3, and those that fail in it once more.
    async fn ask_packed(&self, questions: &[StateQuestion]) -> Answers {
        if self.is_apart() {
            return self.ask_alone(questions).await;
        }
        let Some(packed) = Packed::of(questions, MOST_GAS) else { return self.ask_alone(questions).await };
        let said = self.ask_alone(&packed.questions).await?;
        let Some(mut found) = packed.open(said) else {
            *self.apart_until() = Some(Instant::now() + APART_FOR);
            return self.ask_alone(questions).await;
        };
        if found.iter().any(Option::is_none) {
            // Those are of a later block, and a height is of no earlier one than what was asked before it.
            let heights =
                found.iter_mut().zip(questions).filter(|(_, asked)| **asked == StateQuestion::Height);
            heights.for_each(|(answer, _)| *answer = None);
        }
        let failed =
            |(answer, question): (&Option<_>, &StateQuestion)| answer.is_none().then(|| question.clone());
        let again: Vec<_> = found.iter().zip(questions).filter_map(failed).collect();
        if !again.is_empty() {
            let mut again = self.ask_alone(&again).await?.into_iter();
            for place in found.iter_mut().filter(|answer| answer.is_none()) {
                *place = again.next();
            }
        }
        // Where some are missing, the number of all is wrong, and nobody gets another's.
        Ok(found.into_iter().flatten().collect())
    }

    /// Whether Multicall3 did not answer lately.
    fn is_apart(&self) -> bool {
        self.apart_until().is_some_and(|until| Instant::now() < until)
    }

    fn apart_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.apart_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks alone.
    pub(crate) async fn ask_alone(&self, questions: &[StateQuestion]) -> Answers {
        metrics::asked();
        self.0.node.state(questions).await
    }

    /// The most questions of one round trip to this node.
    fn together(&self) -> usize {
        self.0.node.most_together().map_or(TOGETHER, |most| most.clamp(1, TOGETHER))
    }

    /// Begins a round trip for which there is room.
    fn begin(&self) {
        // Not in the caller's own future: a caller that goes away must not take along those who wait with it.
        tokio::spawn(Trips { joined: self.clone(), has_ended: false }.run());
    }

    /// Puts a caller into the queue. Returns whether to begin one more round trip.
    fn enter(&self, caller: Caller) -> bool {
        let together = self.together();
        let mut waiting = self.waiting();
        waiting.questions += caller.questions.len();
        waiting.callers.push_back(caller);
        waiting.take_room(together)
    }

    /// Notes that one that was to begin takes its callers now.
    fn has_begun(&self) {
        let mut waiting = self.waiting();
        waiting.beginning = waiting.beginning.saturating_sub(1);
    }

    /// Begins one more round trip for those who have waited for a moment.
    fn overtake(&self) {
        let together = self.together();
        if self.waiting().take_room(together) {
            self.begin();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One round trip after another, until nobody waits.
struct Trips {
    joined: Joined,
    has_ended: bool,
}

impl Trips {
    async fn run(mut self) {
        self.joined.has_begun();
        while let Some(callers) = self.next() {
            let questions: Vec<StateQuestion> =
                callers.iter().flat_map(|caller| caller.questions.iter().cloned()).collect();
            let answers = {
                let mut asked = pin!(self.joined.ask_packed(&questions));
                match tokio::time::timeout(PATIENCE, &mut asked).await {
                    Ok(answers) => answers,
                    Err(_) => {
                        self.joined.overtake();
                        asked.await
                    }
                }
            };
            share(callers, answers, questions.len());
        }
    }

    /// The callers of the next round trip. `None`: nobody waits, and this room is free.
    fn next(&mut self) -> Option<Vec<Caller>> {
        let together = self.joined.together();
        let mut waiting = self.joined.waiting();
        let (mut next, mut number) = (Vec::new(), 0);
        while let Some(first) = waiting.callers.front() {
            let first_questions = first.questions.len();
            number += first_questions;
            if !next.is_empty() && number > together {
                break;
            }
            waiting.questions = waiting.questions.saturating_sub(first_questions);
            // Whoever has gone is left out.
            next.extend(waiting.callers.pop_front().filter(|caller| !caller.reply.is_closed()));
        }
        if next.is_empty() {
            // At the same moment as the look: whoever comes now begins a round trip.
            waiting.on_their_way = waiting.on_their_way.saturating_sub(1);
            drop(waiting);
            self.has_ended = true;
            return None;
        }
        waiting.begun = Some(Instant::now());
        drop(waiting);
        Some(next)
    }
}

/// A round trip that ended badly, such as by a panic in the node: those who wait are told so, and nobody waits for ever.
impl Drop for Trips {
    fn drop(&mut self) {
        if !self.has_ended {
            let mut waiting = self.joined.waiting();
            waiting.on_their_way = waiting.on_their_way.saturating_sub(1);
            waiting.callers.clear();
            waiting.questions = 0;
        }
    }
}

/// Gives each caller its own answers.
fn share(callers: Vec<Caller>, answers: Answers, asked: usize) {
    let answers = answers.and_then(|answers| {
        let missing = || NodeError::Malformed { what: "the node left answers out".to_owned() };
        if answers.len() == asked { Ok(answers) } else { Err(missing()) }
    });
    match answers {
        Ok(answers) => {
            let mut answers = answers.into_iter();
            for caller in callers {
                let own = answers.by_ref().take(caller.questions.len()).collect();
                // The caller may have gone.
                let _ = caller.reply.send(Ok(own));
            }
        }
        Err(error) => {
            for caller in callers {
                let _ = caller.reply.send(Err(error.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
