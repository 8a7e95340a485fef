//! Which model a session is with. A model server that has read a conversation before reads the next of it faster.
//!
//! It is in memory alone: after a restart, or where there are too many, a session is somewhere else, and nothing is lost.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use salt402_protocol::Address;
use tokio::time::Instant;

/// For how long a session is remembered in which nothing is asked.
const FOR: Duration = Duration::from_secs(3600);
/// The most sessions that are remembered.
const MOST: usize = 65_536;

/// A session of a payer. Nobody else's can have the same key, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey(u64);

/// Sessions, each with the name of the model that answered last.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    hasher: RandomState,
    // A std mutex, because nothing is awaited while it is held.
    with: Mutex<HashMap<SessionKey, (Arc<str>, Instant)>>,
}

impl Sessions {
    /// The key of a payer's session at a route.
    pub(crate) fn key(&self, route: &str, payer: Address, session: &[u8]) -> SessionKey {
        SessionKey(self.hasher.hash_one((route, payer, session)))
    }

    /// The model that a session is with.
    pub(crate) fn with(&self, key: SessionKey, now: Instant) -> Option<Arc<str>> {
        let with = self.with.lock().unwrap_or_else(PoisonError::into_inner);
        let (model, at) = with.get(&key)?;
        (now.saturating_duration_since(*at) < FOR).then(|| Arc::clone(model))
    }

    /// A session was answered by a model.
    pub(crate) fn answered(&self, key: SessionKey, model: &str, now: Instant) {
        let mut with = self.with.lock().unwrap_or_else(PoisonError::into_inner);
        if with.len() >= MOST && !with.contains_key(&key) {
            with.retain(|_, (_, at)| now.saturating_duration_since(*at) < FOR);
            if with.len() >= MOST {
                return;
            }
        }
        with.insert(key, (model.into(), now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_stays_with_its_model_for_a_while_and_is_one_payers_alone() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let (one, other) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let key = sessions.key("auto", one, b"talk");
        assert_eq!(sessions.with(key, start), None);
        sessions.answered(key, "fast", start);
        assert_eq!(sessions.with(key, start).as_deref(), Some("fast"));
        assert_eq!(sessions.with(sessions.key("auto", other, b"talk"), start), None);
        assert_eq!(sessions.with(sessions.key("slow", one, b"talk"), start), None);
        assert_eq!(sessions.with(key, start + FOR), None);
        // There are never more than so many, and old ones make room.
        for number in 0..MOST as u64 + 10 {
            sessions.answered(sessions.key("auto", other, &number.to_be_bytes()), "fast", start);
        }
        assert!(sessions.with.lock().unwrap().len() <= MOST);
        let late = sessions.key("auto", one, b"late");
        sessions.answered(late, "fast", start);
        assert_eq!(sessions.with(late, start), None);
        sessions.answered(late, "fast", start + FOR);
        assert_eq!(sessions.with(late, start + FOR).as_deref(), Some("fast"));
    }
}
