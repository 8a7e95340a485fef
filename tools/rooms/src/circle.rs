//! Circles of imports: of files, and of the rooms (folders) that they stand in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::imports::Import;

/// The shortest way round a circle.
#[derive(Clone, Debug)]
pub struct Circle {
    /// Files or rooms of the circle, beyond those of the way too.
    pub places: BTreeSet<PathBuf>,
    /// The imports that lead once around.
    pub way: Vec<Import>,
}

impl Circle {
    /// The circle in words: its places, and the lines that close it. `source` is what stands before each file's name.
    pub fn describe(&self, source: &str) -> String {
        let places: Vec<_> = self.places.iter().map(|place| place.display().to_string()).collect();
        let mut text = format!("{source}: {} import each other: {}", places.len(), places.join(", "));
        for Import { from, to, path, line } in &self.way {
            let _ = write!(text, "\n  {source}/{}:{line}: {path} (of {})", from.display(), to.display());
        }
        text
    }
}

/// Circles of files, then, where the files of two rooms form none, those of rooms.
pub fn circles(imports: &[Import]) -> Vec<Circle> {
    let mut found = within(imports, |import| Some((import.from.clone(), import.to.clone())));
    let files: BTreeSet<_> = found.iter().flat_map(|circle| circle.places.iter().cloned()).collect();
    let rest: Vec<_> = imports
        .iter()
        .filter(|import| !(files.contains(&import.from) && files.contains(&import.to)))
        .cloned()
        .collect();
    let folders: BTreeSet<PathBuf> = imports
        .iter()
        .flat_map(|import| [&import.from, &import.to])
        .flat_map(|file| place(file).ancestors().skip(1).map(Path::to_path_buf).collect::<Vec<_>>())
        .collect();
    for folder in folders {
        let circles = within(&rest, |import| {
            let from = entry(&folder, &place(&import.from))?;
            let to = entry(&folder, &place(&import.to))?;
            (from != to).then_some((from, to))
        });
        found.extend(circles);
    }
    found
}

/// Where a file stands: `a/mod.rs` and `a.rs` are `a/mod.rs` both, so that what `a` holds is in the room `a`.
fn place(file: &Path) -> PathBuf {
    match file.file_name().and_then(|name| name.to_str()) {
        Some("mod.rs" | "lib.rs" | "main.rs") | None => file.to_path_buf(),
        Some(_) => file.with_extension("").join("mod.rs"),
    }
}

/// What of `folder` holds `file`: a room in it, or its own `mod.rs`.
fn entry(folder: &Path, file: &Path) -> Option<PathBuf> {
    let below = file.strip_prefix(folder).ok()?;
    below.components().next().map(|first| folder.join(first))
}

fn within(imports: &[Import], ends: impl Fn(&Import) -> Option<(PathBuf, PathBuf)>) -> Vec<Circle> {
    let mut next: BTreeMap<PathBuf, BTreeMap<PathBuf, Import>> = BTreeMap::new();
    for import in imports {
        if let Some((from, to)) = ends(import) {
            next.entry(from).or_default().entry(to).or_insert_with(|| import.clone());
        }
    }
    let reach: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        next.keys().map(|from| (from, reached(&next, from))).collect();
    let mut done = BTreeSet::new();
    let mut found = Vec::new();
    for from in next.keys() {
        if done.contains(from) || !reach[from].contains(from) {
            continue;
        }
        let places: BTreeSet<PathBuf> = reach[from]
            .iter()
            .filter(|to| reach.get(**to).is_some_and(|back| back.contains(from)))
            .map(|place| (*place).clone())
            .collect();
        let way =
            places.iter().filter_map(|place| round(&next, place)).min_by_key(Vec::len).unwrap_or_default();
        done.extend(places.iter().cloned());
        found.push(Circle { places, way });
    }
    found
}

fn reached<'a>(
    next: &'a BTreeMap<PathBuf, BTreeMap<PathBuf, Import>>,
    from: &PathBuf,
) -> BTreeSet<&'a PathBuf> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<_> = next.get(from).into_iter().flat_map(BTreeMap::keys).collect();
    while let Some(place) = open.pop() {
        if seen.insert(place) {
            open.extend(next.get(place).into_iter().flat_map(BTreeMap::keys));
        }
    }
    seen
}

/// The shortest way from a place back to it.
fn round(next: &BTreeMap<PathBuf, BTreeMap<PathBuf, Import>>, start: &PathBuf) -> Option<Vec<Import>> {
    let mut open = VecDeque::from([(start, Vec::new())]);
    let mut seen = BTreeSet::new();
    while let Some((place, way)) = open.pop_front() {
        for (to, import) in next.get(place).into_iter().flatten() {
            let mut way = way.clone();
            way.push(import.clone());
            if to == start {
                return Some(way);
            }
            if seen.insert(to) {
                open.push_back((to, way));
            }
        }
    }
    None
}
