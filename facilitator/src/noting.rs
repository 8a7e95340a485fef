//! Writes down what is called valid, of many callers in one commit.
//!
//! Answers of a node come to many callers at once. So the first who has something to write lets the others come, and all of it is one piece
//! of work for the database, with one wait for the disk. Nobody is told before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use salt402_store::ValidCall;
use tokio::sync::oneshot;

use crate::settler::{SettleFault, Settler};

/// The most that are written together.
const TOGETHER: usize = 512;

/// Writes for many callers. Clones are one.
#[derive(Clone)]
pub(crate) struct Noting(Arc<Inner>);

struct Inner {
    settler: Arc<dyn Settler>,
    // A std mutex, because nothing is awaited while it is held.
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    calls: Vec<(ValidCall, Reply)>,
    is_writing: bool,
}

type Reply = oneshot::Sender<Result<bool, SettleFault>>;

impl Noting {
    pub(crate) fn new(settler: Arc<dyn Settler>) -> Self {
        Self(Arc::new(Inner { settler, waiting: Mutex::default() }))
    }

    /// Has it on disk that a payment is called valid. `false`: it was called so to another caller, and is exclusive.
    pub(crate) async fn note(&self, call: ValidCall) -> Result<bool, SettleFault> {
        let (reply, answer) = oneshot::channel();
        let begins = {
            let mut waiting = self.waiting();
            waiting.calls.push((call, reply));
            !std::mem::replace(&mut waiting.is_writing, true)
        };
        if begins {
            // Not in the caller's own future: one that goes away must not take along those who wait with it.
            tokio::spawn(Writing { noting: self.clone(), has_ended: false }.run());
        }
        let lost = || SettleFault::Storage("what was to be written was lost".to_owned());
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One commit after another, until nobody waits.
struct Writing {
    noting: Noting,
    has_ended: bool,
}

impl Writing {
    async fn run(mut self) {
        loop {
            // Those who were woken with the first come now.
            tokio::task::yield_now().await;
            let Some((calls, replies)) = self.next() else { return };
            let number = calls.len();
            let written = self.noting.0.settler.call_valid(calls).await.and_then(|written| {
                let missing = || SettleFault::Storage("answers are missing".to_owned());
                if written.len() == number { Ok(written) } else { Err(missing()) }
            });
            for (place, reply) in replies.into_iter().enumerate() {
                let own = written.as_ref().map(|all| all.get(place).is_some_and(|is_noted| *is_noted));
                // The caller may have gone.
                let _ = reply.send(own.map_err(Clone::clone));
            }
        }
    }

    /// What is written next, and who waits for it. `None`: nobody does, and the next one begins anew.
    fn next(&mut self) -> Option<(Vec<ValidCall>, Vec<Reply>)> {
        let mut waiting = self.noting.waiting();
        if waiting.calls.is_empty() {
            waiting.is_writing = false;
            drop(waiting);
            self.has_ended = true;
            return None;
        }
        let number = waiting.calls.len().min(TOGETHER);
        Some(waiting.calls.drain(..number).unzip())
    }
}

/// One that ended badly, such as by a panic: those who wait are told so, and the next one begins anew.
impl Drop for Writing {
    fn drop(&mut self) {
        if !self.has_ended {
            let mut waiting = self.noting.waiting();
            waiting.calls.clear();
            waiting.is_writing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use futures::future::join_all;
    use salt402_protocol::{B256, ChainId, PaymentId};
    use salt402_store::CalledValid;

    use super::*;
    use crate::testing::Memory;

    fn call(number: u8, caller: &str) -> ValidCall {
        let payment = PaymentId(B256::repeat_byte(number));
        let (signed, caller) = (B256::ZERO, Some(caller.to_owned()));
        ValidCall {
            valid: CalledValid { chain: ChainId::CITRATE, payment, signed, caller },
            is_exclusive: true,
        }
    }

    #[tokio::test]
    async fn those_who_come_at_once_are_written_at_once_and_each_gets_its_own_answer() {
        let settler = Arc::new(Memory::default());
        let noting = Noting::new(settler.clone());
        let asked = (0..100).map(|number| noting.note(call(number, "shop")));
        assert!(join_all(asked).await.into_iter().all(|noted| noted == Ok(true)));
        assert_eq!(settler.commits.load(Ordering::Relaxed), 1);
        let asked = [(7, "blog"), (7, "shop"), (200, "blog")];
        let noted = join_all(asked.map(|(number, caller)| noting.note(call(number, caller)))).await;
        assert_eq!(noted, [Ok(false), Ok(true), Ok(true)]);
        assert_eq!(settler.commits.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_fault_is_told_to_all_of_them_and_the_next_one_is_written() {
        let settler = Arc::new(Memory::default());
        let noting = Noting::new(settler.clone());
        settler.forgets.store(true, Ordering::Relaxed);
        let asked = (0..3).map(|number| noting.note(call(number, "shop")));
        assert!(join_all(asked).await.into_iter().all(|noted| noted.is_err()));
        settler.forgets.store(false, Ordering::Relaxed);
        assert_eq!(noting.note(call(1, "shop")).await, Ok(true));
    }
}
