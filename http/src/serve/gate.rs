//! How many connections there are, in all and of each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::serve::limits::Limits;

/// Counts connections, and admits no more than the limits allow.
#[derive(Clone)]
pub(super) struct Gate(Arc<Inner>);

struct Inner {
    name: &'static str,
    limits: Limits,
    /// A std mutex, because nothing is awaited while it is held.
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    All,
    Address,
}

/// The place of a connection; given back when dropped.
pub(super) struct Pass {
    gate: Gate,
    counted: Option<IpAddr>,
}

impl Full {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Address => "address",
        }
    }

    pub(super) const fn detail(self) -> &'static str {
        match self {
            Self::All => "all connections are taken: come back in a moment",
            Self::Address => {
                "your address has as many connections as one may have: close some, or use them for several requests"
            }
        }
    }
}

impl Gate {
    pub(super) fn new(name: &'static str, limits: &Limits) -> Self {
        Self(Arc::new(Inner { name, limits: limits.clone(), inside: Mutex::default() }))
    }

    /// A place for a connection. A peer without an address is counted among all alone.
    pub(super) fn enter(&self, peer: Option<IpAddr>) -> Result<Pass, Full> {
        let counted = peer.and_then(|peer| self.0.limits.counted(peer));
        let mut inside = self.0.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.all >= self.0.limits.connections {
            return Err(Full::All);
        }
        if let Some(address) = counted {
            let count = inside.by_address.entry(address).or_default();
            if *count >= self.0.limits.per_address {
                return Err(Full::Address);
            }
            *count += 1;
        }
        inside.all += 1;
        metrics::gauge!("salt402_connections", "listener" => self.0.name).increment(1);
        Ok(Pass { gate: self.clone(), counted })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.0.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.all = inside.all.saturating_sub(1);
        if let Some(address) = self.counted
            && let Some(count) = inside.by_address.get_mut(&address)
        {
            *count = count.saturating_sub(1);
            // Addresses that are gone leave nothing behind, or a walk through all of them would fill memory.
            if *count == 0 {
                inside.by_address.remove(&address);
            }
        }
        metrics::gauge!("salt402_connections", "listener" => self.gate.0.name).decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_places_and_gives_its_own_back() {
        let gate = Gate::new("test", &Limits { connections: 3, per_address: 2, ..Limits::default() });
        let (one, two) = (Some("203.0.113.1".parse().unwrap()), Some("203.0.113.2".parse().unwrap()));
        let first = gate.enter(one).unwrap();
        let _second = gate.enter(one).unwrap();
        assert_eq!(gate.enter(one).err(), Some(Full::Address));
        let third = gate.enter(two).unwrap();
        assert_eq!(gate.enter(two).err(), Some(Full::All));
        drop(third);
        assert_eq!(gate.enter(one).err(), Some(Full::Address));
        drop(first);
        let _again = gate.enter(one).unwrap();
        assert_eq!(gate.0.inside.lock().unwrap().by_address.len(), 1, "nothing is kept of who is gone");
    }

    #[test]
    fn loopback_is_counted_among_all_alone() {
        let gate = Gate::new("test", &Limits { connections: 3, per_address: 1, ..Limits::default() });
        let here = Some("127.0.0.1".parse().unwrap());
        let _all = [gate.enter(here).unwrap(), gate.enter(here).unwrap(), gate.enter(None).unwrap()];
        assert_eq!(gate.enter(here).err(), Some(Full::All));
    }
}
