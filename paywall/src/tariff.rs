//! Which path costs what.

use axum::http::HeaderMap;
use salt402_http::{Target, is_method, method_override, unescaped};
use salt402_protocol::api::Usage;
use salt402_protocol::{Amount, Code, Problem, RequestDigest};

use crate::order::{Order, Sold};

/// Prices by method and path; the first rule that matches counts.
#[derive(Clone, Debug, Default)]
pub struct Tariff {
    /// The rules, in the order in which they are tried.
    pub rules: Vec<Rule>,
    /// Whether a request that no rule matches may pass for nothing; else it is refused.
    pub others_pass: bool,
}

/// One price.
#[derive(Clone, Debug)]
pub struct Rule {
    /// A path, or with a `*` at its end everything that begins so, whether it is written with escapes or plainly. The query
    /// has no part in it.
    pub path: String,
    /// The methods it is for; empty for all.
    pub methods: Vec<String>,
    /// What a request costs, in base units; zero for nothing.
    pub amount: Amount,
    /// What is paid for, in words.
    pub description: String,
    /// How many different requests of this rule one payment pays for; 1 is one, and less is the same.
    pub uses: u32,
    /// What an answer costs where that is charged, of whoever authorizes `amount` as the most. `None`: `amount` is charged. A payment
    /// for several requests is charged as it was made.
    pub by_answer: Option<AnswerPrice>,
}

/// What an answer costs, in base units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerPrice {
    /// Each byte of its body.
    pub per_byte: Amount,
    /// Each row of it.
    pub per_row: Amount,
    /// The least.
    pub minimum: Amount,
}

impl AnswerPrice {
    /// What so much costs. `None` if the rows are not known and have a price, or if it is above 2²⁵⁶ − 1.
    pub fn of(&self, bytes: u64, rows: Option<u64>) -> Option<Amount> {
        let rows = if self.per_row.is_zero() { 0 } else { rows? };
        let sum = self.per_byte.checked_mul(bytes)?.checked_add(self.per_row.checked_mul(rows)?)?;
        Some(sum.max(self.minimum))
    }
}

impl Tariff {
    /// These rules, and what none of them matches is refused.
    pub fn new(rules: impl Into<Vec<Rule>>) -> Self {
        Self { rules: rules.into(), others_pass: false }
    }
}

impl Rule {
    /// A price in base units for each request of a path, whatever its method.
    pub fn new(path: impl Into<String>, amount: Amount, description: impl Into<String>) -> Self {
        let (path, description) = (path.into(), description.into());
        Self { path, methods: Vec::new(), amount, description, uses: 1, by_answer: None }
    }

    fn is_for(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|known| known == method)
    }

    fn covers(&self, path: &str) -> bool {
        match self.path.strip_suffix('*') {
            Some(beginning) => path.starts_with(&*unescaped(beginning)),
            None => path == unescaped(&self.path),
        }
    }

    /// Whether some server may take a path for one of this rule's: it may heed neither case nor a slash at the end, and
    /// take what follows a file's name for something said to that file.
    fn may_cover(&self, path: &str) -> bool {
        let path = plain(path);
        match self.path.strip_suffix('*') {
            Some(beginning) => {
                let beginning = unescaped(beginning).to_lowercase();
                path.starts_with(&beginning) || beginning.strip_suffix('/') == Some(&path)
            }
            None => {
                let own = plain(&unescaped(&self.path));
                let behind = path.strip_prefix(&own);
                behind.is_some_and(|rest| rest.is_empty() || (names_file(&own) && rest.starts_with('/')))
            }
        }
    }
}

/// Whether a path ends as a script's does, such as `/ask.php`.
fn names_file(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    last.rsplit_once('.').is_some_and(|(stem, kind)| {
        !stem.is_empty()
            && (1..=5).contains(&kind.len())
            && kind.starts_with(|sign: char| sign.is_ascii_lowercase())
    })
}

/// A path without what some servers do not heed.
fn plain(path: &str) -> String {
    path.strip_suffix('/').unwrap_or(path).to_lowercase()
}

impl Rule {
    /// What the requests have in common where one payment pays for several: this rule.
    ///
    /// A quote for several is bound to this digest instead of a request's. No request has it: a method has no space.
    pub(crate) fn several(&self) -> RequestDigest {
        let methods = if self.methods.is_empty() { "*".to_owned() } else { self.methods.join(",") };
        RequestDigest::of(&format!("several of {methods}"), &self.path, b"")
    }

    /// The order of a request of this rule.
    pub fn order(&self, method: String, target: String, body: &[u8]) -> Order {
        let request = RequestDigest::of(&method, &target, body);
        let one = Sold { digest: request, usage: None };
        let usage = Some(Usage { request_digest: request, most: self.uses.max(1) });
        let several = Sold { digest: self.several(), usage };
        let (sold, before) = if self.uses > 1 { (several, one) } else { (one, several) };
        Order {
            sold,
            by_use: self.by_answer.is_some() && self.uses <= 1,
            before: Some(before),
            amount: self.amount,
            description: self.description.clone(),
            method,
            path: target,
            credit: None,
        }
    }
}

impl Tariff {
    /// The rule for a request; `None` if it may pass for nothing.
    ///
    /// A request that a proxy, a server behind it and this function might read in different ways is refused: by its
    /// target, by a spelling of its path that some server takes for a path of another rule, or by a word of its headers
    /// or its query that makes some servers take it for one of another method, where rules name methods.
    pub fn rule(&self, method: &str, target: &str, headers: &HeaderMap) -> Result<Option<&Rule>, Problem> {
        match self.position(method, target, headers)?.and_then(|found| self.rules.get(found)) {
            Some(rule) => Ok((!rule.amount.is_zero()).then_some(rule)),
            None if self.others_pass => Ok(None),
            None => Err(Problem::new(
                Code::NoPrice,
                "no price is set for this method and path, so it is not served. Whoever has paid for it asks the server's operator to give \
                 it back, and does not pay again",
            )),
        }
    }

    /// Which rule a request is for, also where it is for nothing; `None` if none matches. Refuses what [`Tariff::rule`]
    /// refuses for its readings.
    pub fn position(
        &self,
        method: &str,
        target: &str,
        headers: &HeaderMap,
    ) -> Result<Option<usize>, Problem> {
        let target = Target::read(target)?;
        if !is_method(method) {
            return Err(Problem::new(Code::MalformedHeader, "a method is written in capital letters"));
        }
        let path = target.path();
        self.has_one_method(&path, headers, target.query())?;
        let found = self.rules.iter().position(|rule| rule.is_for(method) && rule.covers(&path));
        let passes = found.is_some() || self.others_pass;
        let first = self.rules.iter().position(|rule| rule.is_for(method) && rule.may_cover(&path));
        if passes && first != found {
            let detail = "some servers take this path for another one, which has a price of its own: write it as they do, \
                          in the same case, and without a slash or more after it";
            return Err(Problem::new(Code::MalformedParameter, detail));
        }
        Ok(found)
    }

    /// Refuses a request that asks to be taken for one of another method, where another method is another rule's.
    fn has_one_method(&self, path: &str, headers: &HeaderMap, query: Option<&str>) -> Result<(), Problem> {
        let first = self.rules.iter().find(|rule| rule.covers(path) || rule.may_cover(path));
        if first.is_none_or(|rule| rule.methods.is_empty()) {
            return Ok(());
        }
        match method_override(headers, query) {
            None => Ok(()),
            Some(word) => {
                let detail = format!(
                    "{word} asks to be taken for a request of another method, and the price depends on the method: send \
                     that method itself"
                );
                Err(Problem::new(Code::MalformedHeader, detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use salt402_protocol::U256;

    use super::*;

    fn rule(path: &str, methods: &[&str], amount: u64) -> Rule {
        Rule {
            path: path.into(),
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
            amount: Amount(U256::from(amount)),
            description: String::new(),
            uses: 1,
            by_answer: None,
        }
    }

    fn tariff() -> Tariff {
        let rules = vec![
            rule("/free/*", &[], 0),
            rule("/paid/dear", &["POST"], 9),
            rule("/paid/*", &["GET", "HEAD"], 5),
        ];
        Tariff { rules, others_pass: false }
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let tariff = tariff();
        let price = |method, path| {
            tariff.rule(method, path, &HeaderMap::new()).map(|rule| rule.map(|rule| rule.amount.to_string()))
        };
        assert_eq!(price("GET", "/paid/x?y=/free/").unwrap(), Some("5".into()));
        assert_eq!(price("POST", "/paid/dear").unwrap(), Some("9".into()));
        assert_eq!(price("GET", "/free/paid/").unwrap(), None);
        assert_eq!(price("DELETE", "/paid/x").unwrap_err().code, Code::NoPrice);
        assert_eq!(price("GET", "/other").unwrap_err().code, Code::NoPrice);
        let open = Tariff { others_pass: true, ..tariff.clone() };
        assert!(open.rule("GET", "/other", &HeaderMap::new()).unwrap().is_none());
    }

    #[test]
    fn rules_for_several_requests_are_told_apart_from_each_other_and_from_any_request() {
        let several = |path, methods: &[&str], uses| Rule { uses, ..rule(path, methods, 5) }.several();
        let one = several("/paid/*", &["GET"], 3);
        assert_eq!(several("/paid/*", &["GET"], 9), one, "how many is written down with the first use");
        for (path, methods) in [("/paid/*", vec!["GET", "HEAD"]), ("/paid/*", vec![]), ("/paid", vec!["GET"])]
        {
            assert_ne!(several(path, &methods, 3), one, "{path} {methods:?}");
        }
        let order =
            |uses| Rule { uses, ..rule("/paid/*", &["GET"], 5) }.order("GET".into(), "/paid/x".into(), b"");
        let request_digest = RequestDigest::of("GET", "/paid/x", b"");
        let single = Sold { digest: request_digest, usage: None };
        let of = |most| Sold { digest: one, usage: Some(Usage { request_digest, most }) };
        assert_eq!((order(3).sold, order(3).before), (of(3), Some(single)));
        assert_eq!((order(1).sold, order(1).before), (single, Some(of(1))));
    }

    fn priced(rules: Vec<Rule>, method: &str, target: &str) -> Result<Option<u64>, Code> {
        let tariff = Tariff { rules, others_pass: false };
        let rule = tariff.rule(method, target, &HeaderMap::new()).map_err(|problem| problem.code)?;
        Ok(rule.map(|rule| rule.amount.0.to()))
    }

    #[test]
    fn a_path_costs_the_same_however_it_is_written_or_is_refused() {
        let rules =
            || vec![rule("/paid/caf%C3%A9+a", &[], 9), rule("/paid/b c/*", &[], 8), rule("/*", &[], 0)];
        let price = |target| priced(rules(), "GET", target);
        for same in ["/paid/caf%C3%A9+a", "/paid/caf%c3%a9%2Ba", "/paid/caf%c3%A9%2ba?x"] {
            assert_eq!(price(same), Ok(Some(9)), "{same}");
        }
        assert_eq!(price("/paid/b%20c/d"), Ok(Some(8)));
        for other in ["/%70aid/caf%C3%A9+a", "/paid/./b%20c/d", "/free;/x", "/paid/%62%20c/d"] {
            assert_eq!(price(other), Err(Code::MalformedParameter), "{other}");
        }
        assert_eq!(price("/paid/other"), Ok(None));
    }

    #[test]
    fn a_path_that_some_server_takes_for_a_dearer_one_is_refused() {
        let rules = || {
            vec![
                rule("/paid/x.php", &[], 9),
                rule("/paid/dear", &[], 8),
                rule("/v1.0", &[], 3),
                rule("/paid/*", &[], 5),
                rule("/*", &[], 0),
            ]
        };
        let price = |target| priced(rules(), "GET", target);
        assert_eq!((price("/v1.0"), price("/v1.0/models")), (Ok(Some(3)), Ok(None)));
        assert_eq!(
            (price("/paid/x.php"), price("/paid/dear"), price("/paid/y")),
            (Ok(Some(9)), Ok(Some(8)), Ok(Some(5)))
        );
        assert_eq!(
            (price("/paid/dear/y"), price("/paid/"), price("/free/x")),
            (Ok(Some(5)), Ok(Some(5)), Ok(None))
        );
        for odd in [
            "/PAID/y",
            "/Paid/dear",
            "/paid/DEAR",
            "/paid/dear/",
            "/paid/x.php/y",
            "/paid/x.PHP",
            "/paid",
            "/paid/X.php/",
        ] {
            assert_eq!(price(odd), Err(Code::MalformedParameter), "{odd}");
        }
        // Where nothing else would be served, it is simply not sold.
        assert_eq!(priced(vec![rule("/paid/*", &[], 5)], "GET", "/PAID/x"), Err(Code::NoPrice));
        let open = Tariff { others_pass: true, ..Tariff::new([rule("/paid/*", &[], 5)]) };
        assert!(open.rule("GET", "/PAID/x", &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_request_for_another_method_is_refused_where_methods_have_prices() {
        let asks = |rules: Vec<Rule>, target: &str, header: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header, "POST".parse().unwrap());
            Tariff::new(rules).rule("GET", target, &headers).map(|_| ()).map_err(|problem| problem.code)
        };
        let by_method = || vec![rule("/a/*", &["POST"], 5), rule("/*", &[], 1)];
        assert_eq!(asks(by_method(), "/a/x", "accept"), Ok(()));
        assert_eq!(asks(by_method(), "/a/x", "x-http-method-override"), Err(Code::MalformedHeader));
        assert_eq!(asks(by_method(), "/a/x?_method=POST", "accept"), Err(Code::MalformedHeader));
        assert_eq!(
            asks(by_method(), "/b/x?_method=POST", "x-http-method-override"),
            Ok(()),
            "one price for all"
        );
    }
}
