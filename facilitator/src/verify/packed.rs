//! Many views of contracts as one call of Multicall3. A node needs more time to begin a call than to run such a view.
//!
//! What a view says inside is what it says alone. One that fails inside may have failed by the others, which share the call's
//! gas: it is asked again alone, and nothing is concluded from the failure.

use alloy_primitives::{Bytes, U256};
use alloy_sol_types::{SolCall as _, sol};
use salt402_chain::{Call, NodeError, StateQuestion};
use salt402_protocol::foreign::MULTICALL3;

sol! {
    /// Multicall3, with what it answers.
    interface IPacking {
        struct Call3 { address target; bool allowFailure; bytes callData; }
        struct Answer { bool success; bytes returnData; }
        function aggregate3(Call3[] calls) external payable returns (Answer[] answers);
    }
}

/// What Multicall3 itself needs for each call, in gas.
const EACH: u64 = 10_000;

/// Answers to questions, in their order. `None`: it must be asked alone.
pub(super) type Opened = Vec<Option<Result<Bytes, NodeError>>>;

/// Questions of which the views are one call.
pub(super) struct Packed {
    /// What to ask: that call first, then what is no view.
    pub(super) questions: Vec<StateQuestion>,
    /// Which of the questions are in the call.
    inside: Vec<bool>,
}

impl Packed {
    /// Puts views together, where there are at least two that fit into so much gas. `None`: there are not.
    pub(super) fn of(asked: &[StateQuestion], most_gas: u64) -> Option<Self> {
        let mut inside = vec![false; asked.len()];
        let (mut calls, mut gas) = (Vec::new(), 0_u64);
        for (question, is_inside) in asked.iter().zip(&mut inside) {
            let StateQuestion::View { from: None, call } = question else { continue };
            let Some(limit) = call.gas_limit.filter(|_| call.value.is_zero()) else { continue };
            let more = gas.saturating_add(limit).saturating_add(EACH);
            if more > most_gas {
                continue;
            }
            gas = more;
            *is_inside = true;
            let call = IPacking::Call3 { target: call.to, allowFailure: true, callData: call.data.clone() };
            calls.push(call);
        }
        if calls.len() < 2 {
            return None;
        }
        let data = IPacking::aggregate3Call { calls }.abi_encode().into();
        let call = Call { to: MULTICALL3, value: U256::ZERO, data, gas_limit: Some(gas) };
        let others = asked.iter().zip(&inside).filter(|(_, inside)| !**inside);
        let mut questions = vec![StateQuestion::View { from: None, call }];
        questions.extend(others.map(|(question, _)| question.clone()));
        Some(Self { questions, inside })
    }

    /// The answer to each of the questions that were put together. `None`: Multicall3 did not answer.
    pub(super) fn open(self, answers: Vec<Result<Bytes, NodeError>>) -> Option<Opened> {
        let number = self.inside.iter().filter(|inside| **inside).count();
        let mut answers = answers.into_iter();
        let said = answers.next()?.ok()?;
        let said = IPacking::aggregate3Call::abi_decode_returns(&said).ok()?;
        if said.len() != number {
            return None;
        }
        let mut said = said.into_iter().map(|answer| answer.success.then_some(Ok(answer.returnData)));
        let of = |inside: bool| if inside { said.next().flatten() } else { answers.next() };
        Some(self.inside.iter().copied().map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use alloy_sol_types::SolValue as _;
    use proptest::prelude::*;

    use super::*;

    fn view(number: u8, gas_limit: Option<u64>, from: Option<Address>) -> StateQuestion {
        let call = Call {
            to: Address::repeat_byte(number),
            value: U256::ZERO,
            data: vec![number].into(),
            gas_limit,
        };
        StateQuestion::View { from, call }
    }

    fn any_question() -> impl Strategy<Value = StateQuestion> {
        prop_oneof![
            4 => any::<u8>().prop_map(|number| view(number, Some(100_000), None)),
            1 => any::<u8>().prop_map(|number| view(number, None, None)),
            1 => any::<u8>().prop_map(|number| view(number, Some(1), Some(Address::ZERO))),
            1 => any::<u8>().prop_map(|number| StateQuestion::Code(Address::repeat_byte(number))),
            1 => Just(StateQuestion::Height),
        ]
    }

    /// What each says alone. Those with an odd number fail.
    fn alone(question: &StateQuestion) -> Result<Bytes, NodeError> {
        match question {
            StateQuestion::View { call, .. } if call.to[0] % 2 == 1 => {
                Err(NodeError::Rpc { code: 3, message: "execution reverted".to_owned() })
            }
            StateQuestion::View { call, .. } => Ok(call.data.clone()),
            StateQuestion::Code(account) => Ok(Bytes::copy_from_slice(account.as_slice())),
            _ => Ok(Bytes::new()),
        }
    }

    fn by_node(question: &StateQuestion) -> Result<Bytes, NodeError> {
        let StateQuestion::View { call, .. } = question else { return alone(question) };
        if call.to != MULTICALL3 {
            return alone(question);
        }
        let calls = IPacking::aggregate3Call::abi_decode(&call.data).unwrap().calls;
        let answers = calls.into_iter().map(|one| {
            assert!(one.allowFailure);
            let answer = alone(&StateQuestion::View {
                from: None,
                call: Call { to: one.target, value: U256::ZERO, data: one.callData, gas_limit: None },
            });
            (answer.is_ok(), answer.unwrap_or_default())
        });
        Ok(answers.collect::<Vec<_>>().abi_encode().into())
    }

    proptest! {
        #[test]
        fn each_question_gets_its_own_answer_or_is_asked_alone(
            asked in proptest::collection::vec(any_question(), 0..40), most_gas in 0..3_000_000_u64,
        ) {
            let Some(packed) = Packed::of(&asked, most_gas) else { return Ok(()) };
            prop_assert!(packed.questions.len() < asked.len());
            let StateQuestion::View { call, .. } = &packed.questions[0] else { panic!() };
            prop_assert!(call.gas_limit.is_some_and(|gas| gas <= most_gas));
            let said = packed.questions.iter().map(by_node).collect();
            let opened = packed.open(said).unwrap();
            prop_assert_eq!(opened.len(), asked.len());
            for (question, answer) in asked.iter().zip(opened) {
                match answer {
                    Some(answer) => prop_assert_eq!(answer, alone(question)),
                    None => prop_assert!(alone(question).is_err()),
                }
            }
        }
    }

    #[test]
    fn an_answer_that_is_none_of_multicall3_is_none() {
        let asked = [view(2, Some(1), None), view(4, Some(1), None)];
        let none = NodeError::Rpc { code: 3, message: "execution reverted".to_owned() };
        let one = vec![(true, Bytes::new())].abi_encode();
        for said in [Ok(Bytes::new()), Ok(vec![7; 100].into()), Ok(one.into()), Err(none)] {
            assert!(Packed::of(&asked, 1_000_000).unwrap().open(vec![said]).is_none());
        }
        assert!(Packed::of(&asked, 1_000_000).unwrap().open(Vec::new()).is_none());
        assert!(Packed::of(&asked[..1], 1_000_000).is_none(), "one alone is asked alone");
    }
}
