//! The paths that stand in code, macros included: `a::b::c`, and a name alone.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its parts.
    pub(crate) path: Vec<String>,
    /// The line in its file, from 1.
    pub(crate) line: usize,
}

/// Adds all paths of `tokens` to `named`. Groups in a path (`use` within a function) are written out.
pub(crate) fn named_in(tokens: TokenStream, named: &mut Vec<Named>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => {
                named_in(group.stream(), named);
                at += 1;
            }
            TokenTree::Ident(first) => {
                let line = first.span().start().line;
                let mut path = vec![first.to_string()];
                at += 1;
                while separator(&tokens, at) {
                    match tokens.get(at + 2) {
                        Some(TokenTree::Ident(next)) => {
                            path.push(next.to_string());
                            at += 3;
                        }
                        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                            let mut inner = Vec::new();
                            named_in(group.stream(), &mut inner);
                            named.extend(inner.into_iter().map(|inner| Named {
                                path: path.iter().cloned().chain(inner.path).collect(),
                                line: inner.line,
                            }));
                            at += 3;
                            break;
                        }
                        // A turbofish, or the star of a glob.
                        _ => break,
                    }
                }
                named.push(Named { path, line });
            }
            _ => at += 1,
        }
        // What follows a dot is a field or a method, and no path.
        while dot(&tokens, at) && matches!(tokens.get(at + 1), Some(TokenTree::Ident(_))) {
            at += 2;
        }
    }
}

fn separator(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(at) && colon(at + 1)
}

fn dot(tokens: &[TokenTree], at: usize) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == '.')
}
