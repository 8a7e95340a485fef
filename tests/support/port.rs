//! Ports for processes that need a fixed one.

use std::fs::File;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Below the ephemeral ports, which outgoing connections could take.
const PORTS: std::ops::Range<u16> = 10_240..32_000;

/// The locks of this process's ports, held until it ends.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A free port that no other test run on this machine gets meanwhile.
///
/// A port that was free a moment ago may be taken when it is used. So each port has a lock file, which the system
/// releases when the process ends.
pub fn free_port() -> u16 {
    let locks = std::env::temp_dir().join("salt402-test-ports");
    std::fs::create_dir_all(&locks).expect("a folder for the locks of ports");
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    // Runs that start at the same port would compete for the same ports.
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let count = u32::from(PORTS.end - PORTS.start);
    let start = nanos.wrapping_mul(2_654_435_761).wrapping_add(std::process::id()) % count;
    for step in 0..count {
        let place = u16::try_from((start + step) % count).expect("less than there are ports");
        let port = PORTS.start + place;
        // The lock file of another user cannot be opened.
        let Ok(file) = File::create(locks.join(port.to_string())) else { continue };
        if file.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            held.push(file);
            return port;
        }
    }
    panic!("no port of {PORTS:?} is free on loopback");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice_nor_one_that_somebody_listens_on() {
        let taken = free_port();
        let _listener = TcpListener::bind(("127.0.0.1", taken)).unwrap();
        let ports: HashSet<u16> = (0..100).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 100);
        assert!(!ports.contains(&taken));
        // Another process finds the lock held. A second opening of the file behaves the same.
        let file =
            File::open(std::env::temp_dir().join("salt402-test-ports").join(taken.to_string())).unwrap();
        assert!(file.try_lock().is_err());
    }
}
