//! Ports for processes that must be told theirs.

use std::fs::File;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Below the ports that systems give to connections that go out, so that none of these takes one of ours.
const PORTS: std::ops::Range<u16> = 10_240..32_000;

/// The locks of the ports that this process was given, until it ends.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port that is free, and that no other run of the tests on this machine is given while this one lasts.
///
/// A port that was free a moment ago may be somebody else's by the time it is used. So each is a file that is locked by
/// whoever has it; the system lets go of it when the process ends, however it ends.
pub fn free_port() -> u16 {
    let locks = std::env::temp_dir().join("salt402-test-ports");
    std::fs::create_dir_all(&locks).expect("a folder for the locks of ports");
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    // Anywhere to begin with: runs that begin in the same place would try the same ports.
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let count = u32::from(PORTS.end - PORTS.start);
    let start = nanos.wrapping_mul(2_654_435_761).wrapping_add(std::process::id()) % count;
    for step in 0..count {
        let place = u16::try_from((start + step) % count).expect("less than there are ports");
        let port = PORTS.start + place;
        // Another user's lock cannot be opened, and is not ours to have.
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
        // Another process finds the lock held, as another opening of the file does.
        let file =
            File::open(std::env::temp_dir().join("salt402-test-ports").join(taken.to_string())).unwrap();
        assert!(file.try_lock().is_err());
    }
}
