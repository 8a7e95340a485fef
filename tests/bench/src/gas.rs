//! B9: gas of whole transactions. `snapshots/` holds the figures, and `forge test` holds them to the contracts, so that they
//! are read here and not measured again. What is aimed at stands in `tools/gas-floors.json`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::figures::{at_most, beside};

/// What is known of an operation.
#[derive(Deserialize)]
struct Known {
    /// The same transaction without one instruction of ours.
    floor: Option<u32>,
    /// What is aimed at.
    target: Option<u32>,
    /// What x402's own contract takes.
    x402: Option<String>,
}

pub(crate) async fn run() -> anyhow::Result<()> {
    let known: BTreeMap<String, BTreeMap<String, Known>> = read("tools/gas-floors.json")?;
    for (contract, operations) in known {
        let spent: BTreeMap<String, String> = read(&format!("snapshots/{contract}.json"))?;
        for (operation, Known { floor, target, x402 }) in operations {
            let Some(target) = target else { continue };
            let spent = spent.get(&operation).with_context(|| format!("{contract} has no {operation:?}"))?;
            let spent: u32 = spent.parse().with_context(|| format!("{contract}, {operation}: {spent:?}"))?;
            at_most("B9", spent.into(), "gas", target.into(), &format!("{contract}: {operation}"));
            if let Some(floor) = floor {
                beside(floor.into(), "gas", "without one instruction of ours");
            }
            if let Some(x402) = x402 {
                println!("    {x402} gas  x402's own");
            }
        }
    }
    Ok(())
}

fn read<T: DeserializeOwned>(path: &str) -> anyhow::Result<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}
