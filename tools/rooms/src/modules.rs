//! The modules of a crate: what each defines, which names it takes from elsewhere, and which paths its code names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use quote::ToTokens as _;
use syn::spanned::Spanned as _;

use crate::paths::{Named, named_in};

/// A `use` of one name.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    /// The path that is written, such as `crate`, `rows`, `block`, `Block`; a glob's path ends before its star.
    pub(crate) path: Vec<String>,
    /// Whether others may take the name from here.
    pub(crate) shown: bool,
    /// The line in its file, from 1.
    pub(crate) line: usize,
}

/// A module: a file, or a part of one between braces.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Its file, from the crate's source folder.
    pub(crate) file: PathBuf,
    /// The module that it stands in; none for the crate's root.
    pub(crate) parent: Option<usize>,
    /// The modules in it.
    pub(crate) children: BTreeMap<String, usize>,
    /// Names that are defined here.
    pub(crate) defined: BTreeSet<String>,
    /// Names that are taken from elsewhere.
    pub(crate) bound: BTreeMap<String, Vec<Binding>>,
    /// What is taken from elsewhere by a star.
    pub(crate) globs: Vec<Binding>,
    /// Paths in the code, `use` left out.
    pub(crate) named: Vec<Named>,
}

/// All modules of one crate.
#[derive(Debug)]
pub struct Modules {
    /// The crate's root is the first.
    pub(crate) all: Vec<Module>,
}

impl Modules {
    /// Reads the crate whose source folder is `source`, from `lib.rs` or else `main.rs`.
    ///
    /// # Errors
    ///
    /// When there is neither, or a file cannot be read or parsed.
    pub fn read(source: &Path) -> anyhow::Result<Self> {
        let root = ["lib.rs", "main.rs"].into_iter().find(|name| source.join(name).exists());
        let root = root.with_context(|| format!("{}: neither lib.rs nor main.rs", source.display()))?;
        let mut modules = Self { all: Vec::new() };
        modules.read_file(source, Path::new(root), Path::new(""), None)?;
        Ok(modules)
    }

    /// Reads a file as a module; `folder` is where the files of its own modules are. Returns its place.
    fn read_file(
        &mut self,
        source: &Path,
        file: &Path,
        folder: &Path,
        parent: Option<usize>,
    ) -> anyhow::Result<usize> {
        let path = source.join(file);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let parsed = syn::parse_file(&text).with_context(|| path.display().to_string())?;
        self.read_items(source, file, folder, parent, &parsed.items)
    }

    fn read_items(
        &mut self,
        source: &Path,
        file: &Path,
        folder: &Path,
        parent: Option<usize>,
        items: &[syn::Item],
    ) -> anyhow::Result<usize> {
        let here = self.all.len();
        self.all.push(Module { file: file.to_path_buf(), parent, ..Module::default() });
        for item in items.iter().filter(|item| !for_tests(item)) {
            match item {
                syn::Item::Use(item) => {
                    let shown = !matches!(item.vis, syn::Visibility::Inherited);
                    self.bind(here, &item.tree, Vec::new(), shown, item.span().start().line);
                }
                syn::Item::Mod(item) => {
                    let name = item.ident.to_string();
                    let inner = folder.join(&name);
                    let child = match &item.content {
                        Some((_, items)) => self.read_items(source, file, &inner, Some(here), items)?,
                        None => {
                            let flat = folder.join(format!("{name}.rs"));
                            let file = if source.join(&flat).exists() { flat } else { inner.join("mod.rs") };
                            self.read_file(source, &file, &inner, Some(here))?
                        }
                    };
                    self.all[here].children.insert(name, child);
                }
                _ => {
                    if let Some(name) = defines(item) {
                        self.all[here].defined.insert(name);
                    }
                    named_in(item.to_token_stream(), &mut self.all[here].named);
                }
            }
        }
        Ok(here)
    }

    fn bind(&mut self, here: usize, tree: &syn::UseTree, mut before: Vec<String>, shown: bool, line: usize) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.bind(here, &path.tree, before, shown, line);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.bind(here, tree, before.clone(), shown, line);
                }
            }
            syn::UseTree::Glob(_) => self.all[here].globs.push(Binding { path: before, shown, line }),
            syn::UseTree::Name(_) | syn::UseTree::Rename(_) => {
                let (written, name) = match tree {
                    syn::UseTree::Rename(rename) => (rename.ident.to_string(), rename.rename.to_string()),
                    syn::UseTree::Name(name) => (name.ident.to_string(), name.ident.to_string()),
                    _ => return,
                };
                // `a::{self}` takes `a` itself.
                let name = if written == "self" && name == "self" {
                    before.last().cloned().unwrap_or_default()
                } else {
                    name
                };
                if written != "self" {
                    before.push(written);
                }
                self.all[here].bound.entry(name).or_default().push(Binding { path: before, shown, line });
            }
        }
    }

    /// Which files a path that is written in the module `from` leads to. More than one where a name means several things (a
    /// type and a function, say); none where it leads out of the crate, or is a module and no name in one.
    pub(crate) fn resolve(&self, from: usize, path: &[String]) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        self.follow(from, path, true, &mut BTreeSet::new(), &mut found);
        found
    }

    /// `first`: the path stands in the code of `here`, so that it may begin with `crate`, `self` and `super`.
    fn follow(
        &self,
        here: usize,
        path: &[String],
        first: bool,
        seen: &mut BTreeSet<(usize, Vec<String>)>,
        found: &mut BTreeSet<PathBuf>,
    ) {
        let Some((name, rest)) = path.split_first() else { return };
        if !seen.insert((here, path.to_vec())) {
            return;
        }
        let module = &self.all[here];
        match name.as_str() {
            "crate" if first => return self.follow(0, rest, false, seen, found),
            "self" if first => return self.follow(here, rest, false, seen, found),
            "super" => {
                if let Some(parent) = module.parent {
                    self.follow(parent, rest, false, seen, found);
                }
                return;
            }
            _ => {}
        }
        let explicit = self.explicit(here, name);
        if let Some(child) = module.children.get(name) {
            self.follow(*child, rest, false, seen, found);
            // What is within a module is not within a function of its name, which `use x::x` takes from it.
            if !rest.is_empty() {
                return;
            }
        }
        if module.defined.contains(name) {
            found.insert(module.file.clone());
        }
        let through = |binding: &Binding, rest: &[String]| [&binding.path, rest].concat();
        // `use name::name` takes it from another crate.
        for binding in module.bound.get(name).into_iter().flatten().filter(|binding| binding.path[0] != *name)
        {
            self.follow(here, &through(binding, rest), true, seen, found);
        }
        // What is named outright hides what a star brings; a star on another crate brings nothing of this one.
        for glob in module.globs.iter().filter(|_| !explicit) {
            if glob.path.first().is_some_and(|first| self.explicit(here, first)) {
                self.follow(here, &through(glob, path), true, seen, found);
            }
        }
    }

    /// Whether a path in `here` may begin with this name without a star's help.
    fn explicit(&self, here: usize, name: &str) -> bool {
        let module = &self.all[here];
        matches!(name, "crate" | "self" | "super")
            || module.children.contains_key(name)
            || module.defined.contains(name)
            || module.bound.contains_key(name)
    }
}

/// The name that an item brings into its module.
fn defines(item: &syn::Item) -> Option<String> {
    let name = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::TraitAlias(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        syn::Item::Macro(item) => return item.ident.as_ref().map(ToString::to_string),
        _ => return None,
    };
    Some(name.to_string())
}

/// Whether an item is compiled for tests alone.
fn for_tests(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}
