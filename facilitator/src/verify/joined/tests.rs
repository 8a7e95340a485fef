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
        let call = Call { to: account(number), value: U256::ZERO, data: Bytes::new(), gas_limit: Some(1000) };
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
