//! Reads what imports what in the crates of a workspace, and names what a reader would have to follow in a circle.
//!
//! Three things are refused:
//!
//! - a **circle of files**: files of one crate that import each other, directly or through others;
//! - a **circle of rooms**: folders of one crate that do;
//! - an **import up a floor**: a crate that depends on one of its own floor or of a higher one. The floors stand in the
//!   workspace's `Cargo.toml`, under `[workspace.metadata] floors`, the lowest first.
//!
//! An import is a `use`, or a path in code. It counts for the file that defines the name: a name that another file
//! re-exports is followed to where it is written. A re-export by itself is no import, unless its own file uses the name.
//! What is compiled for tests alone (`#[cfg(test)]`) is left out. Method calls are not seen, as they name no file.

mod circle;
mod floors;
mod imports;
mod modules;
mod paths;

use std::path::Path;

use anyhow::Context as _;

pub use circle::{Circle, circles};
pub use floors::{Floors, floors};
pub use imports::{Import, imports};
pub use modules::Modules;

/// All faults of the workspace at `root`, each a text of some lines.
///
/// # Errors
///
/// When a `Cargo.toml` or a source file cannot be read or parsed.
pub fn faults(root: &Path) -> anyhow::Result<Vec<String>> {
    let floors = floors(root)?;
    let mut faults = floors.faults.clone();
    for package in &floors.packages {
        let source = root.join(package).join("src");
        let modules = Modules::read(&source).with_context(|| format!("the crate {package}"))?;
        let found = imports(&modules);
        faults.extend(circles(&found).iter().map(|circle| circle.describe(&format!("{package}/src"))));
    }
    Ok(faults)
}
