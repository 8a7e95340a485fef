//! Services that are sold, and which of them a request is for.

use std::sync::Arc;

use axum::http::HeaderMap;
use salt402_paywall::{Rule, Tariff};
use salt402_protocol::{Code, Problem};
use url::Url;

use crate::circuit::{Asked, Circuits, Sold};
use crate::upstream::admission::Admission;
use crate::upstream::transport::{Deadlines, Transport, TransportError};

/// A service that is sold by path.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// Its name, for logs and metrics. Another for each.
    pub name: String,
    /// Where it is. A path in it stands before the path of each request.
    pub upstream: Url,
    /// What is sold, and for how much.
    pub rules: Vec<Rule>,
    /// How long it may take.
    pub deadlines: Deadlines,
    /// How many requests it is sent at once; zero for no limit.
    pub at_once: usize,
    /// How many more may wait for their turn.
    pub queue: usize,
    /// The longest answer that is kept, in bytes. `None` if none is.
    pub keep_answers: Option<usize>,
    /// The largest body of a priced request, in bytes.
    pub body_limit: usize,
    /// Whether `Authorization` and `Cookie` of a client are passed on.
    pub passes_credentials: bool,
    /// The path that is asked to know whether it works.
    pub probe: String,
}

/// A service that can be asked.
#[derive(Debug)]
pub struct Service {
    pub(crate) options: ServiceOptions,
    pub(crate) transport: Transport,
    pub(crate) admission: Admission,
}

impl Service {
    /// A service. Nothing is asked of it yet.
    pub fn new(options: ServiceOptions) -> Result<Self, TransportError> {
        let transport = Transport::new(&options.upstream, options.deadlines)?;
        let admission = Admission::new(options.at_once, options.queue);
        Ok(Self { options, transport, admission })
    }

    pub(crate) fn name(&self) -> &str {
        &self.options.name
    }
}

/// All services, in the order in which their rules are tried.
#[derive(Debug, Default)]
pub struct Services {
    services: Vec<Arc<Service>>,
    /// The rules of all, so that none is overlooked where a path may be read as another service's.
    tariff: Tariff,
    /// The service of each rule.
    of_rule: Vec<usize>,
}

impl Services {
    /// These services.
    pub fn new(services: Vec<Service>) -> Self {
        let services: Vec<_> = services.into_iter().map(Arc::new).collect();
        let (mut rules, mut of_rule) = (Vec::new(), Vec::new());
        for (index, service) in services.iter().enumerate() {
            rules.extend(service.options.rules.iter().cloned());
            of_rule.resize(rules.len(), index);
        }
        Self { services, tariff: Tariff::new(rules), of_rule }
    }

    /// The rules, each with its service's name.
    pub fn rules(&self) -> impl Iterator<Item = (&str, &Rule)> {
        let named = self.of_rule.iter().filter_map(|index| self.services.get(*index));
        named.map(|service| service.name()).zip(&self.tariff.rules)
    }

    /// Whether nothing is sold by path.
    pub(crate) fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Which of them work.
    pub(crate) fn circuits(&self) -> Circuits {
        let asked = |service: &Arc<Service>| {
            let (transport, path) = (service.transport.clone(), service.options.probe.clone());
            (service.name().to_owned(), Asked::Service { transport, path })
        };
        Circuits::of(Sold::Service, self.services.iter().map(asked))
    }

    /// The service that a request is for, and what it costs there.
    pub(crate) fn find(
        &self,
        method: &str,
        target: &str,
        headers: &HeaderMap,
    ) -> Result<(&Arc<Service>, &Rule), Problem> {
        let found = self.tariff.position(method, target, headers)?.and_then(|found| {
            let service = self.of_rule.get(found).and_then(|index| self.services.get(*index))?;
            Some((service, self.tariff.rules.get(found)?))
        });
        found.ok_or_else(|| Problem::new(Code::NotFound, "nothing is sold at this path with this method"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use salt402_protocol::{Amount, U256};

    use super::*;

    fn service(name: &str, rules: &[(&str, u64)]) -> Service {
        let rule = |(path, amount): &(&str, u64)| Rule::new(*path, Amount(U256::from(*amount)), "");
        let second = Duration::from_secs(1);
        let options = ServiceOptions {
            name: name.into(),
            upstream: "http://127.0.0.1:1".parse().unwrap(),
            rules: rules.iter().map(rule).collect(),
            deadlines: Deadlines { connect: second, first_byte: second, between: second },
            at_once: 1,
            queue: 1,
            keep_answers: None,
            body_limit: 1024,
            passes_credentials: false,
            probe: "/".into(),
        };
        Service::new(options).unwrap()
    }

    #[test]
    fn the_first_path_of_all_services_counts_and_none_is_taken_for_anothers() {
        let one = service("one", &[("/dear/x", 9), ("/free/*", 0)]);
        let two = service("two", &[("/dear/*", 5), ("/*", 0)]);
        let services = Services::new(vec![one, two]);
        let find = |target: &str| {
            let found = services.find("GET", target, &HeaderMap::new());
            let found = found.map(|(service, rule)| (service.name().to_owned(), rule.path.clone()));
            found.map_err(|problem| problem.code)
        };
        for (target, name, path) in [
            ("/dear/x", "one", "/dear/x"),
            ("/dear/y?z", "two", "/dear/*"),
            ("/free/x", "one", "/free/*"),
            ("/other", "two", "/*"),
        ] {
            assert_eq!(find(target), Ok((name.to_owned(), path.to_owned())), "{target}");
        }
        for target in ["/DEAR/x", "/dear/x/", "/dear/../free/x", "/dear//x", "/dear;/x"] {
            assert_eq!(find(target), Err(Code::MalformedParameter), "{target}");
        }
        let names: Vec<_> = services.rules().map(|(name, rule)| format!("{name} {}", rule.path)).collect();
        assert_eq!(names, ["one /dear/x", "one /free/*", "two /dear/*", "two /*"]);
        let narrow = Services::new(vec![service("one", &[("/a", 1)])]);
        assert_eq!(narrow.find("GET", "/b", &HeaderMap::new()).unwrap_err().code, Code::NotFound);
    }
}
