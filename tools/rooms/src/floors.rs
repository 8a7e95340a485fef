//! Which crate may depend on which.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

/// What the workspace's `Cargo.toml` says of its floors, held against the crates' own.
#[derive(Clone, Debug)]
pub struct Floors {
    /// The folders of all crates that have a floor, the lowest first.
    pub packages: Vec<String>,
    /// Dependencies that do not lead down.
    pub faults: Vec<String>,
}

/// Reads the floors of the workspace at `root`.
///
/// # Errors
///
/// When a `Cargo.toml` cannot be read, or says nothing of floors.
pub fn floors(root: &Path) -> anyhow::Result<Floors> {
    let workspace = read(&root.join("Cargo.toml"))?;
    let listed =
        workspace.get("workspace").and_then(|table| table.get("metadata")?.get("floors")?.as_array());
    let listed =
        listed.context("Cargo.toml: [workspace.metadata] floors is missing: a list of lists of folders")?;
    let mut floor = BTreeMap::new();
    let mut packages = Vec::new();
    for (height, folders) in listed.iter().enumerate() {
        for folder in folders.as_array().context("Cargo.toml: each of the floors is a list of folders")? {
            let folder = folder.as_str().context("Cargo.toml: a folder of the floors is a string")?;
            floor.insert(format!("salt402-{folder}"), height);
            packages.push(folder.to_owned());
        }
    }
    let mut faults = Vec::new();
    for package in &packages {
        let manifest = read(&root.join(package).join("Cargo.toml"))?;
        let here = floor[&format!("salt402-{package}")];
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
        for name in dependencies.into_iter().flat_map(toml::Table::keys) {
            match floor.get(name) {
                Some(below) if *below < here => {}
                Some(_) => faults.push(format!(
                    "{package}/Cargo.toml: depends on {name}, which is not below it: imports go down the floors"
                )),
                None if name.starts_with("salt402-") => faults.push(format!(
                    "{package}/Cargo.toml: depends on {name}, which has no floor: add it under [workspace.metadata] floors"
                )),
                None => {}
            }
        }
    }
    Ok(Floors { packages, faults })
}

fn read(path: &Path) -> anyhow::Result<toml::Table> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}
