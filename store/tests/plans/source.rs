//! The statements of the crate, read from its source, so that one that is added tomorrow is among them.

use std::collections::HashMap;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Expr, ExprLit, ExprMacro, Item, Lit, Macro, Token};

/// A statement, and where it is: `room/file.rs::function`, or the constant's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Statement {
    pub(crate) place: String,
    pub(crate) sql: String,
}

/// Every text of the crate that begins as a statement does, without its tests. What a `format!` takes from a variable is
/// filled by `fills`, one statement for each.
pub(crate) fn statements(source: &Path, fills: &[(&str, &[&str])]) -> Vec<Statement> {
    let mut files = Vec::new();
    gather(source, source, &mut files);
    let mut names = Names::default();
    for (file, parsed) in &files {
        names.file.clone_from(file);
        names.visit_file(parsed);
    }
    let mut found = Vec::new();
    for (file, parsed) in &files {
        let mut texts = Texts { names: &names, fills, file, within: Vec::new(), found: Vec::new() };
        texts.visit_file(parsed);
        found.append(&mut texts.found);
    }
    found.sort();
    found.dedup();
    found
}

fn gather(root: &Path, folder: &Path, files: &mut Vec<(String, syn::File)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            files.push((name, syn::parse_file(&std::fs::read_to_string(&path).unwrap()).unwrap()));
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

fn is_statement(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    ["SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "REPLACE"].contains(&first)
}

/// What constants and macros of text stand for.
#[derive(Default)]
struct Names {
    file: String,
    /// By file and name.
    constants: HashMap<(String, String), Expr>,
    /// The one arm of a macro: its parameters, and what it becomes.
    macros: HashMap<String, (Vec<String>, TokenStream)>,
}

impl Names {
    /// The constant of that name in a file; of another file, where only one has such a name or the path says which.
    fn constant(&self, file: &str, path: &syn::Path) -> Option<(&str, &Expr)> {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let name = segments.last()?;
        let module = segments.len().checked_sub(2).and_then(|place| segments.get(place));
        let named = || self.constants.iter().filter(|((_, known), _)| known == name);
        let fitting = |wanted: &str| named().find(|((known, _), _)| known == wanted);
        let found = match module {
            Some(module) => named().find(|((known, _), _)| {
                let file = known.rsplit('/').next();
                file.and_then(|file| file.strip_suffix(".rs")) == Some(module)
            }),
            None => fitting(file).or_else(|| named().next().filter(|_| named().count() == 1)),
        };
        found.map(|((file, _), expression)| (file.as_str(), expression))
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.constants.insert((self.file.clone(), item.ident.to_string()), (*item.expr).clone());
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        let Some(name) = &item.ident else { return };
        let mut groups = item.mac.tokens.clone().into_iter().filter_map(|token| match token {
            TokenTree::Group(group) => Some(group.stream()),
            _ => None,
        });
        let (Some(parameters), Some(body)) = (groups.next(), groups.next()) else { return };
        let mut names = Vec::new();
        let mut tokens = parameters.into_iter();
        while let Some(token) = tokens.next() {
            if matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '$') {
                names.extend(tokens.next().map(|name| name.to_string()));
            }
        }
        self.macros.insert(name.to_string(), (names, body));
    }
}

/// Collects texts; knows in which function it is.
struct Texts<'n> {
    names: &'n Names,
    fills: &'n [(&'n str, &'n [&'n str])],
    file: &'n str,
    within: Vec<String>,
    found: Vec<Statement>,
}

impl Texts<'_> {
    fn place(&self) -> String {
        format!("{}::{}", self.file, self.within.last().map_or("", String::as_str))
    }

    /// The texts that an expression may be; none where it is no text.
    fn texts(&self, file: &str, expression: &Expr) -> Vec<String> {
        match expression {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => vec![text.value()],
            Expr::Reference(reference) => self.texts(file, &reference.expr),
            Expr::Path(path) => match self.names.constant(file, &path.path) {
                Some((file, constant)) => self.texts(file, constant),
                None => Vec::new(),
            },
            Expr::Macro(ExprMacro { mac, .. }) => self.of_macro(file, mac),
            Expr::Call(call) => self.fill(&quoted(&call.func)),
            _ => Vec::new(),
        }
    }

    fn of_macro(&self, file: &str, mac: &Macro) -> Vec<String> {
        let name = mac.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        match name.as_str() {
            "concat" => {
                let parts =
                    Punctuated::<Expr, Token![,]>::parse_terminated.parse2(mac.tokens.clone()).unwrap();
                parts.iter().fold(vec![String::new()], |texts, part| product(&texts, &self.texts(file, part)))
            }
            "format" => self.formatted(file, mac),
            _ => self.expanded(mac).map(|expression| self.texts(file, &expression)).unwrap_or_default(),
        }
    }

    /// What a macro of the crate becomes, where that is an expression.
    fn expanded(&self, mac: &Macro) -> Option<Expr> {
        let name = mac.path.segments.last()?.ident.to_string();
        let (parameters, body) = self.names.macros.get(&name)?;
        let arguments = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(mac.tokens.clone()).unwrap();
        let arguments: HashMap<&String, &Expr> = parameters.iter().zip(&arguments).collect();
        syn::parse2(substituted(body.clone(), &arguments)).ok()
    }

    fn formatted(&self, file: &str, mac: &Macro) -> Vec<String> {
        let parts = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(mac.tokens.clone());
        let Ok(parts) = parts else { return Vec::new() };
        let mut parts = parts.iter();
        let Some(template) = parts.next().and_then(|template| self.texts(file, template).pop()) else {
            return Vec::new();
        };
        if !is_statement(&template) {
            return Vec::new();
        }
        let mut texts = vec![String::new()];
        let mut rest = template.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap();
            let value = match name {
                "" => parts.next().map(|part| self.value(file, part)).unwrap_or_default(),
                name => self.value(file, &syn::parse_str(name).unwrap()),
            };
            assert!(!value.is_empty(), "{}: what may {{{name}}} be? Say it in FILLS.", self.place());
            texts = product(&product(&texts, &[before.to_owned()]), &value);
            rest = after;
        }
        product(&texts, &[rest.to_owned()])
    }

    fn value(&self, file: &str, part: &Expr) -> Vec<String> {
        let texts = self.texts(file, part);
        if texts.is_empty() { self.fill(&quoted(part)) } else { texts }
    }

    fn fill(&self, name: &str) -> Vec<String> {
        let known = self.fills.iter().find(|(known, _)| *known == name);
        known.map(|(_, values)| values.iter().map(|value| (*value).to_owned()).collect()).unwrap_or_default()
    }

    fn note(&mut self, texts: Vec<String>) {
        let place = self.place();
        // A text may hold several statements, each on lines of its own.
        self.found.extend(
            texts
                .iter()
                .flat_map(|text| text.split_inclusive(";\n").flat_map(|text| text.split("; ")))
                .filter(|text| is_statement(text))
                .map(|sql| Statement { place: place.clone(), sql: sql.to_owned() }),
        );
    }
}

impl<'ast> Visit<'ast> for Texts<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if let Item::Mod(module) = item
            && is_test(&module.attrs)
        {
            return;
        }
        visit::visit_item(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within.push(item.sig.ident.to_string());
        visit::visit_item_fn(self, item);
        self.within.pop();
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.within.push(item.sig.ident.to_string());
        visit::visit_impl_item_fn(self, item);
        self.within.pop();
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.within.push(item.ident.to_string());
        visit::visit_item_const(self, item);
        self.within.pop();
    }

    fn visit_item_macro(&mut self, _: &'ast syn::ItemMacro) {}

    fn visit_macro(&mut self, mac: &'ast Macro) {
        let texts = self.of_macro(self.file, mac);
        self.note(texts);
        if let Some(Expr::Struct(fields)) = self.expanded(mac) {
            let mut inner = Texts { found: Vec::new(), within: self.within.clone(), ..*self };
            inner.visit_expr_struct(&fields);
            self.found.append(&mut inner.found);
        }
        // What is handed to another macro, as to `vec!`.
        let parts = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(mac.tokens.clone());
        if !["concat", "format"].iter().any(|name| mac.path.is_ident(name))
            && let Ok(parts) = parts
        {
            for part in &parts {
                let texts = self.texts(self.file, part);
                self.note(texts);
            }
        }
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.note(vec![text.value()]);
    }
}

fn quoted(expression: &Expr) -> String {
    match expression {
        Expr::Path(path) => {
            path.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default()
        }
        Expr::Call(call) => quoted(&call.func),
        _ => String::new(),
    }
}

/// Each of some texts before each of others.
fn product(before: &[String], after: &[String]) -> Vec<String> {
    before.iter().flat_map(|before| after.iter().map(move |after| format!("{before}{after}"))).collect()
}

/// A macro's body with its arguments in the place of its parameters.
fn substituted(body: TokenStream, arguments: &HashMap<&String, &Expr>) -> TokenStream {
    let mut out = TokenStream::new();
    let mut tokens = body.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '$' => {
                let name = tokens.next().map(|name| name.to_string()).unwrap_or_default();
                if let Some(argument) = arguments.get(&name) {
                    out.extend(quote::quote!(#argument));
                }
            }
            TokenTree::Group(group) => {
                let inner = substituted(group.stream(), arguments);
                out.extend([TokenTree::Group(proc_macro2::Group::new(group.delimiter(), inner))]);
            }
            other => out.extend([other]),
        }
    }
    out
}
