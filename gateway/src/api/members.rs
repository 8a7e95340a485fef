//! Tables of members: which of a body's members are priced, passed on or refused, for each kind of server.
//!
//! What is not in a table is refused. So nothing that a server reads can change what a request costs without a price.

use salt402_protocol::Problem;

use crate::api::counted::Counted;
use crate::api::forms::Form;
use crate::api::json::{Json, Object};
use crate::kinds::{Server, invalid};

/// A set of kinds of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Servers(u8);

pub(super) const LLAMA_CPP: Servers = Servers(1);
pub(super) const VLLM: Servers = Servers(2);
pub(super) const OLLAMA: Servers = Servers(4);
pub(super) const OPENAI: Servers = Servers(8);
pub(super) const ALL: Servers = Servers(15);

impl Servers {
    /// These and those.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a kind is among them. What is not known is among them only if all are.
    pub(super) const fn has(self, server: Server) -> bool {
        let bit = match server {
            Server::Any => return self.0 == ALL.0,
            Server::LlamaCpp => LLAMA_CPP.0,
            Server::Vllm => VLLM.0,
            Server::Ollama => OLLAMA.0,
            Server::OpenAi => OPENAI.0,
        };
        self.0 & bit != 0
    }

    /// Their names.
    pub(super) fn names(self) -> String {
        let names: Vec<_> =
            Server::NAMED.into_iter().filter(|server| self.has(*server)).map(Server::name).collect();
        names.join(", ")
    }
}

/// A member of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) name: &'static str,
    /// Which servers know it.
    pub(super) by: Servers,
    pub(super) rule: Rule,
}

/// What is done with a member.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// It is in the price, or decides what is. Its API reads it.
    Priced,
    /// It is passed on. The model may be shown it, so its text is in the price.
    Shown(Form),
    /// It is passed on. It changes neither what the model reads nor how much it may write.
    Harmless(Form),
    /// It is taken and not passed on: it says nothing to the model.
    Dropped(Form),
    /// It is refused, for a reason.
    Refused(&'static str),
}

/// A member of a table.
pub(super) const fn member(name: &'static str, by: Servers, rule: Rule) -> Member {
    Member { name, by, rule }
}

/// Why a body is not sold.
#[derive(Debug)]
pub(super) enum Fault {
    /// It never was.
    Never(Problem),
    /// The model's configuration does not let it. With another it may have been sold.
    NotNow(String),
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Never(problem)
    }
}

/// A fault of a member that no configuration sells.
pub(super) fn never(detail: impl Into<String>) -> Fault {
    Fault::Never(invalid(detail))
}

/// Holds an object against its table. Members that stay are those that are passed on or that its API reads. `path` is where the object
/// stands in the body, with a dot at its end.
pub(super) fn sift(
    tables: &[&[Member]],
    server: Server,
    object: Object,
    path: &str,
    counted: &mut Counted,
) -> Result<Object, Fault> {
    let mut kept = Object::default();
    for (name, value) in object.0 {
        let rows = || tables.iter().copied().flatten().filter(|row| row.name == name);
        let Some(row) = rows().find(|row| row.by.has(server)) else {
            let Some(other) = rows().next() else {
                return Err(never(format!(
                    "{path}{name}: it is not known here, so it has no price: leave it out"
                )));
            };
            if let Rule::Refused(why) = other.rule {
                return Err(never(format!("{path}{name}: {why}")));
            }
            if value == Json::Null {
                continue;
            }
            let of = other.by.names();
            return Err(Fault::NotNow(format!(
                "{path}{name}: it is for models on {of}, and this one is not known to be: leave it out"
            )));
        };
        // Null is as good as nothing, and not every server knows that.
        if value == Json::Null {
            continue;
        }
        let misread = |what: String| never(format!("{path}{name}: {what}"));
        match row.rule {
            Rule::Priced => kept.0.push((name, value)),
            Rule::Shown(form) => {
                form.check(&value).map_err(misread)?;
                counted.json(&value);
                kept.0.push((name, value));
            }
            Rule::Harmless(form) => {
                form.check(&value).map_err(misread)?;
                kept.0.push((name, value));
            }
            Rule::Dropped(form) => form.check(&value).map_err(misread)?,
            Rule::Refused(why) => return Err(misread(why.to_owned())),
        }
    }
    Ok(kept)
}
