//! Which tasks of agents are known, and what was shown to pay for them, so that whoever asks for a task is told how it stands.
//!
//! It is in memory alone, and the oldest make room: whoever asks for a task that was forgotten is told to send its message again, which costs
//! nothing twice.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use axum::http::HeaderValue;
use sha2::{Digest as _, Sha256};

/// The most bytes that all of it takes.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// The most payments that are remembered of one task. An agent shows one.
const MOST_PAYMENTS: usize = 4;
/// What a task takes beside what was shown for it.
const TASK_BYTES: usize = 128;

/// A header that shows a payment.
pub(crate) type Shown = (&'static str, HeaderValue);

/// Tasks, each under the hash of its id.
#[derive(Debug, Default)]
pub(crate) struct AgentTasks(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    tasks: HashMap<[u8; 32], Vec<Shown>>,
    /// The oldest first.
    order: VecDeque<[u8; 32]>,
    bytes: usize,
}

impl AgentTasks {
    /// A task is told to an agent, or paid for by it. What is shown for it is remembered before it is judged.
    pub(crate) fn told(&self, id: &str, shown: Option<&Shown>) {
        let key = key(id);
        self.with(|known| {
            let Known { tasks, order, bytes } = known;
            let payments = tasks.entry(key).or_insert_with(|| {
                order.push_back(key);
                *bytes += TASK_BYTES;
                Vec::new()
            });
            if let Some(shown) = shown.filter(|shown| !payments.contains(shown))
                && payments.len() < MOST_PAYMENTS
            {
                payments.push(shown.clone());
                *bytes += shown.1.len();
            }
            while known.bytes > MOST_BYTES {
                let Some(oldest) = known.order.pop_front() else { return };
                let payments = known.tasks.remove(&oldest).unwrap_or_default();
                known.bytes -= TASK_BYTES + payments.iter().map(|(_, value)| value.len()).sum::<usize>();
            }
        });
    }

    /// What was shown for a task pays nothing.
    pub(crate) fn is_unpaid(&self, id: &str, shown: &Shown) {
        self.with(|known| {
            let Some(payments) = known.tasks.get_mut(&key(id)) else { return };
            if let Some(at) = payments.iter().position(|other| other == shown) {
                known.bytes -= payments.remove(at).1.len();
            }
        });
    }

    /// What was shown first for a task, if anything was. `None`: the task is not known.
    pub(crate) fn shown(&self, id: &str) -> Option<Option<Shown>> {
        self.with(|known| known.tasks.get(&key(id)).map(|payments| payments.first().cloned()))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn key(id: &str) -> [u8; 32] {
    Sha256::digest(id).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(byte: u8, length: usize) -> Shown {
        ("payment-signature", HeaderValue::from_bytes(&vec![byte; length]).unwrap())
    }

    #[test]
    fn the_first_payment_of_a_task_that_is_not_refused_is_remembered() {
        let tasks = AgentTasks::default();
        assert_eq!(tasks.shown("a"), None);
        tasks.told("a", None);
        assert_eq!(tasks.shown("a"), Some(None));
        for byte in [b'1', b'1', b'2'] {
            tasks.told("a", Some(&shown(byte, 10)));
        }
        assert_eq!(tasks.shown("a"), Some(Some(shown(b'1', 10))));
        tasks.is_unpaid("a", &shown(b'1', 10));
        assert_eq!(tasks.shown("a"), Some(Some(shown(b'2', 10))));
        tasks.is_unpaid("a", &shown(b'3', 10));
        tasks.is_unpaid("b", &shown(b'2', 10));
        assert_eq!((tasks.shown("a"), tasks.shown("b")), (Some(Some(shown(b'2', 10))), None));
    }

    #[test]
    fn the_oldest_make_room_and_it_is_never_larger_than_that() {
        let tasks = AgentTasks::default();
        let count = MOST_BYTES / (TASK_BYTES + 20_000) + 10;
        for number in 0..count {
            tasks.told(&number.to_string(), Some(&shown(b'1', 20_000)));
        }
        let bytes = tasks.with(|known| (known.bytes, known.order.len(), known.tasks.len()));
        assert!(bytes.0 <= MOST_BYTES && bytes.1 == bytes.2, "{bytes:?}");
        assert_eq!(tasks.shown("0"), None);
        assert!(tasks.shown(&(count - 1).to_string()).is_some());
        for number in 0..count {
            tasks.is_unpaid(&number.to_string(), &shown(b'1', 20_000));
        }
        assert_eq!(tasks.with(|known| known.bytes), bytes.1 * TASK_BYTES);
    }
}
