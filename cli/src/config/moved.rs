//! Keys that were moved or renamed. They are refused, and the error says what to write instead.

use toml::{Table, Value};

use super::error::ConfigError;

/// The old place of a key, with `*` for a name of the operator's choice, and what to write instead.
const MOVED: [(&[&str], &str); 3] = [
    (&["verifier", "connections", "trusted"], PROXIES),
    (&["gateway", "connections", "trusted"], PROXIES),
    (&["chains", "*", "patience_s"], "is stale_after_s now, with the same meaning: rename it"),
];
const PROXIES: &str = "proxies are named once: write their addresses in trusted_proxies in [limits], and leave this out. Their \
                       X-Forwarded-For is believed, so let each of them set that header itself";

/// Refuses the first key that has moved. `name` writes a key as the operator did.
pub(super) fn refuse(written: &Table, name: impl Fn(&[String]) -> String) -> Result<(), ConfigError> {
    for (place, instead) in MOVED {
        if let Some(path) = find(written, place) {
            return Err(ConfigError::value(name(&path), instead));
        }
    }
    Ok(())
}

/// The path of a key at a place.
fn find(table: &Table, place: &[&str]) -> Option<Vec<String>> {
    let (first, rest) = place.split_first()?;
    let mut here = table.iter().filter(|(key, _)| *first == "*" || first == key);
    here.find_map(|(key, value)| {
        let inner = match (rest, value) {
            ([], _) => Vec::new(),
            (rest, Value::Table(inner)) => find(inner, rest)?,
            _ => return None,
        };
        Some([vec![key.clone()], inner].concat())
    })
}
