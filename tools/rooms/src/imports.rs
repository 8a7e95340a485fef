//! Which file takes a name from which.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::modules::Modules;

/// A file that takes a name from another of its crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The file that takes it, from the crate's source folder.
    pub from: PathBuf,
    /// The file that defines it.
    pub to: PathBuf,
    /// What is written.
    pub path: String,
    /// The first line where it is, from 1.
    pub line: usize,
}

/// The imports of a crate, one for each pair of files.
pub fn imports(modules: &Modules) -> Vec<Import> {
    let mut found: BTreeMap<(PathBuf, PathBuf), (usize, String)> = BTreeMap::new();
    for (here, module) in modules.all.iter().enumerate() {
        let mut take = |path: &[String], line: usize| {
            for to in modules.resolve(here, path) {
                if to != module.file {
                    let first = found.entry((module.file.clone(), to)).or_insert((line, path.join("::")));
                    if line < first.0 {
                        *first = (line, path.join("::"));
                    }
                }
            }
        };
        for named in &module.named {
            take(&named.path, named.line);
        }
        // What is shown to others counts where they use it. What is taken for this module alone counts here.
        for binding in module.bound.values().flatten().filter(|binding| !binding.shown) {
            take(&binding.path, binding.line);
        }
    }
    found.into_iter().map(|((from, to), (line, path))| Import { from, to, path, line }).collect()
}
