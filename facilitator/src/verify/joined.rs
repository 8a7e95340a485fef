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
mod tests {
    use alloy_primitives::{Address, B256, U256};
    use alloy_sol_types::SolValue as _;
    use async_trait::async_trait;
    use futures::future::join_all;
    use futures::stream::BoxStream;
    use salt402_chain::{At, Call, Header, Log, LogQuery, Profile, Receipt, Span, Transaction};
    use tokio::sync::Semaphore;

    use super::*;

    /// Answers with the account that was asked for, as soon as it is let.
    struct Echo {
        profile: Profile,
        most: Option<usize>,
        trips: Mutex<Vec<usize>>,
        let_go: Semaphore,
        fails: Mutex<Vec<Option<NodeError>>>,
    }

    #[async_trait]
    impl Node for Echo {
        async fn chain_id(&self) -> Result<u64, NodeError> {
            Ok(1)
        }
        async fn header(&self, _: At) -> Result<Option<Header>, NodeError> {
            Ok(None)
        }
        async fn logs(&self, _: &LogQuery, _: Span) -> Result<Vec<Log>, NodeError> {
            Ok(Vec::new())
        }
        async fn receipt(&self, _: B256) -> Result<Option<Receipt>, NodeError> {
            Ok(None)
        }
        async fn transaction(&self, _: B256) -> Result<Option<Transaction>, NodeError> {
            Ok(None)
        }
        async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
            Ok(None)
        }
        fn profile(&self) -> &Profile {
            &self.profile
        }
        fn most_together(&self) -> Option<usize> {
            self.most
        }
        async fn state(&self, asked: &[StateQuestion]) -> Result<Vec<Result<Bytes, NodeError>>, NodeError> {
            self.trips.lock().unwrap().push(asked.len());
            self.let_go.acquire().await.unwrap().forget();
            let fault = self.fails.lock().unwrap().pop().flatten();
            match fault {
                Some(NodeError::Behind) => panic!("the node's client has a fault"),
                Some(error) => return Err(error),
                None => {}
            }
            let of = |question: &StateQuestion| match question {
                StateQuestion::Code(account) => Ok(Bytes::copy_from_slice(account.as_slice())),
                _ => Err(NodeError::Behind),
            };
            Ok(asked.iter().map(of).collect())
        }
    }

    fn node(most: Option<usize>) -> Arc<Echo> {
        let profile = Profile::named("citrate").unwrap();
        Arc::new(Echo {
            profile,
            most,
            trips: Mutex::default(),
            let_go: Semaphore::new(0),
            fails: Mutex::default(),
        })
    }

    fn account(number: usize) -> Address {
        Address::left_padding_from(&number.to_be_bytes())
    }

    fn of(number: usize) -> Vec<StateQuestion> {
        vec![StateQuestion::Code(account(2 * number)), StateQuestion::Code(account(2 * number + 1))]
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_while_others_are_asked_goes_together_and_gets_its_own_answers() {
        let node = node(None);
        let joined = Joined::new(node.clone());
        let asked: Vec<_> = (0..200)
            .map(|number| {
                let joined = joined.clone();
                tokio::spawn(async move { joined.ask(of(number)).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(node.trips.lock().unwrap().len(), ON_THEIR_WAY / TOGETHER);
        // One who went away is not asked for.
        asked[199].abort();
        node.let_go.add_permits(1000);
        let answers = join_all(asked.into_iter().take(199)).await;
        for (number, answer) in answers.into_iter().enumerate() {
            let answer: Vec<_> = answer.unwrap().unwrap().into_iter().map(Result::unwrap).collect();
            assert_eq!(answer, [account(2 * number).to_vec(), account(2 * number + 1).to_vec()]);
        }
        let trips = node.trips.lock().unwrap().clone();
        assert!(trips.iter().all(|asked| *asked <= TOGETHER), "{trips:?}");
        assert!(trips.len() <= 20, "{trips:?}");
        assert_eq!(trips.iter().sum::<usize>(), 398);
        assert_eq!(joined.waiting().on_their_way, 0);
        // Whoever asks alone does not wait.
        node.trips.lock().unwrap().clear();
        assert!(joined.ask(of(1)).await.is_ok());
        assert_eq!(*node.trips.lock().unwrap(), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_trip_that_takes_long_keeps_nobody_waiting() {
        let node = node(None);
        let joined = Joined::new(node.clone());
        let ask = |number| {
            let joined = joined.clone();
            tokio::spawn(async move { joined.ask(of(number)).await })
        };
        let begun = || node.trips.lock().unwrap().len();
        let mut asked = vec![ask(0)];
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!(begun(), 1);
        // Those who come a moment later go together, after a moment.
        asked.extend([ask(1), ask(2)]);
        tokio::time::sleep(PATIENCE / 2).await;
        assert_eq!(begun(), 1);
        tokio::time::sleep(PATIENCE).await;
        assert_eq!(*node.trips.lock().unwrap(), [2, 4]);
        // Whoever comes when both are long under way goes at once.
        tokio::time::sleep(2 * PATIENCE).await;
        asked.push(ask(3));
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!(begun(), 3);
        node.let_go.add_permits(1000);
        assert!(join_all(asked).await.into_iter().all(|answer| answer.unwrap().is_ok()));
        assert_eq!(joined.waiting().on_their_way, 0);
        assert_eq!(joined.waiting().questions, 0);
        assert_eq!(joined.waiting().beginning, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_trip_that_fails_or_breaks_is_told_to_those_in_it_and_the_next_one_goes_on() {
        let node = node(None);
        let joined = Joined::new(node.clone());
        node.let_go.add_permits(1000);
        let refused = NodeError::Malformed { what: "a test".to_owned() };
        *node.fails.lock().unwrap() = vec![Some(NodeError::Behind), Some(refused)];
        assert!(joined.ask(of(1)).await.is_err());
        assert!(joined.ask(of(1)).await.is_err(), "a panic is no answer");
        assert!(joined.ask(of(1)).await.is_ok());
        assert_eq!(joined.waiting().on_their_way, 0);
    }

    /// A chain that has one more block at each look, and says of each view in which block it was asked. In Multicall3 some fail.
    struct Growing(Profile, Mutex<u64>);

    #[async_trait]
    impl Node for Growing {
        async fn chain_id(&self) -> Result<u64, NodeError> {
            Ok(1)
        }
        async fn header(&self, _: At) -> Result<Option<Header>, NodeError> {
            Ok(None)
        }
        async fn logs(&self, _: &LogQuery, _: Span) -> Result<Vec<Log>, NodeError> {
            Ok(Vec::new())
        }
        async fn receipt(&self, _: B256) -> Result<Option<Receipt>, NodeError> {
            Ok(None)
        }
        async fn transaction(&self, _: B256) -> Result<Option<Transaction>, NodeError> {
            Ok(None)
        }
        async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
            Ok(None)
        }
        fn profile(&self) -> &Profile {
            &self.0
        }
        async fn state(&self, asked: &[StateQuestion]) -> Result<Vec<Result<Bytes, NodeError>>, NodeError> {
            let height = {
                let mut height = self.1.lock().unwrap();
                *height += 1;
                *height
            };
            let word: Bytes = B256::left_padding_from(&height.to_be_bytes()).into();
            let of = |question: &StateQuestion| match question {
                StateQuestion::View { call, .. } if call.to == salt402_protocol::foreign::MULTICALL3 => {
                    Ok(vec![(true, word.clone()), (false, Bytes::new())].abi_encode().into())
                }
                _ => Ok(word.clone()),
            };
            Ok(asked.iter().map(of).collect())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_height_is_of_no_earlier_block_than_what_was_asked_again() {
        let node = Growing(Profile::named("citrate").unwrap(), Mutex::new(0));
        let joined = Joined::new(Arc::new(node));
        let view = |number| {
            let call =
                Call { to: account(number), value: U256::ZERO, data: Bytes::new(), gas_limit: Some(1000) };
            StateQuestion::View { from: None, call }
        };
        let asked = vec![view(1), view(2), StateQuestion::Height];
        let answers = joined.ask(asked).await.unwrap();
        let blocks: Vec<_> = answers.into_iter().map(|answer| answer.unwrap()[31]).collect();
        assert_eq!(blocks, [1, 2, 2], "the second view was asked again, and the height after it");
    }

    /// A node that takes one question at a time would answer what is put together one after another.
    #[tokio::test(start_paused = true)]
    async fn what_a_node_does_not_take_together_is_asked_at_once_beside_each_other() {
        let node = node(Some(1));
        let joined = Joined::new(node.clone());
        let asked: Vec<_> = (0..100)
            .map(|number| {
                let joined = joined.clone();
                tokio::spawn(async move { joined.ask(vec![StateQuestion::Code(account(number))]).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(*node.trips.lock().unwrap(), [1; AT_ONCE]);
        node.let_go.add_permits(1000);
        assert!(join_all(asked).await.into_iter().all(|answer| answer.unwrap().is_ok()));
        assert_eq!(*node.trips.lock().unwrap(), [1; 100]);
    }
}
