//! How much of requests' bodies is held at once, before anybody has paid.
//!
//! What is held is counted by capacity and not by what has arrived, and given back when the body is dropped. The first
//! bytes of each body are not counted, so that small requests get in while large ones fill the budget: how many there are
//! is bounded by the connections. One client has a share of the budget, where it is known who asks.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use salt402_protocol::{Code, Problem};

use crate::address::Caller;
use crate::serve::limits::Limits;

/// What each body may hold beside the budget that all share, in bytes.
pub(crate) const FREE: usize = 4096;

/// The budget of a request whose listener is not ours.
static ELSEWHERE: LazyLock<BodyBudget> = LazyLock::new(|| BodyBudget::new("elsewhere", &Limits::default()));

/// How a request's body is received. In a request's extensions, put there by the listener.
#[derive(Clone, Debug)]
pub struct BodyBudget {
    /// How long it may take to arrive.
    pub(crate) timeout: Duration,
    /// How long it may take to go on.
    pub(crate) pause: Duration,
    listener: &'static str,
    shared: Arc<Shared>,
    /// Who asks, where that is known.
    client: Option<IpAddr>,
}

/// What all bodies of a listener share.
#[derive(Debug)]
struct Shared {
    /// Bytes in all, and of one client.
    most: usize,
    most_of_one: usize,
    /// A std mutex, because nothing is awaited while it is held.
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    /// Who holds nothing is not in it.
    by_client: HashMap<IpAddr, usize>,
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes so many bytes, or says why not.
    fn take(&self, client: Option<IpAddr>, bytes: usize) -> Result<(), &'static str> {
        let mut held = self.held();
        if held.all.saturating_add(bytes) > self.most {
            return Err("other requests fill the memory for bodies");
        }
        if let Some(client) = client.filter(|_| bytes > 0) {
            let of_one = held.by_client.get(&client).copied().unwrap_or(0).saturating_add(bytes);
            if of_one > self.most_of_one {
                return Err("other requests of your address fill its share of the memory for bodies");
            }
            held.by_client.insert(client, of_one);
        }
        held.all += bytes;
        Ok(())
    }

    fn give_back(&self, client: Option<IpAddr>, bytes: usize) {
        let mut held = self.held();
        held.all = held.all.saturating_sub(bytes);
        if let Some(client) = client
            && let Some(of_one) = held.by_client.get_mut(&client)
        {
            *of_one = of_one.saturating_sub(bytes);
            if *of_one == 0 {
                held.by_client.remove(&client);
            }
        }
    }
}

impl BodyBudget {
    /// A listener's.
    pub(crate) fn new(listener: &'static str, limits: &Limits) -> Self {
        let shared = Shared {
            most: limits.bodies_bytes,
            most_of_one: limits.bodies_per_address_bytes,
            held: Mutex::default(),
        };
        Self {
            timeout: limits.body,
            pause: limits.body_pause,
            listener,
            shared: Arc::new(shared),
            client: None,
        }
    }

    /// The budget of a request.
    pub fn of(extensions: &axum::http::Extensions) -> Self {
        extensions.get::<Self>().unwrap_or(&ELSEWHERE).clone().for_client(Caller::of(extensions))
    }

    /// The same, for what somebody sends.
    pub(crate) fn for_client(self, client: Option<IpAddr>) -> Self {
        Self { client, ..self }
    }

    /// Bytes that are held of it, by those who are known and in all.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        let held = self.shared.held();
        held.all + held.by_client.len()
    }

    /// The reservation of a body of which nothing has arrived.
    pub(crate) fn reserve(&self) -> BodyReservation {
        BodyReservation {
            listener: self.listener,
            shared: Arc::clone(&self.shared),
            client: self.client,
            held: 0,
        }
    }
}

/// What a body holds of its listener's budget; given back when dropped.
#[derive(Debug)]
pub struct BodyReservation {
    listener: &'static str,
    shared: Arc<Shared>,
    client: Option<IpAddr>,
    held: usize,
}

impl BodyReservation {
    /// Holds `bytes` in all, or says that there is no memory for them.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let more = bytes.saturating_sub(FREE).saturating_sub(self.held);
        if let Err(why) = self.shared.take(self.client, more) {
            metrics::counter!("salt402_bodies_refused_total", "listener" => self.listener).increment(1);
            let detail = format!("{why}: come back in a moment, or send a smaller one");
            return Err(Problem::new(Code::TooManyBodies, detail).retry_after(1000));
        }
        self.held += more;
        metrics::gauge!("salt402_bodies_bytes", "listener" => self.listener).increment(more as f64);
        Ok(())
    }
}

impl Drop for BodyReservation {
    fn drop(&mut self) {
        self.shared.give_back(self.client, self.held);
        metrics::gauge!("salt402_bodies_bytes", "listener" => self.listener).decrement(self.held as f64);
    }
}
