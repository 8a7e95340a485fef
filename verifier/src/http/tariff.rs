//! Which path costs what.

use salt402_protocol::api::Usage;
use salt402_protocol::{Amount, Code, Problem, RequestDigest};

use super::door::{Order, Sold};

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
    /// A path, or with a `*` at its end everything that begins so. The query has no part in it.
    pub path: String,
    /// The methods it is for; empty for all.
    pub methods: Vec<String>,
    /// What a request costs, in base units; zero for nothing.
    pub amount: Amount,
    /// What is paid for, in words.
    pub description: String,
    /// How many different requests of this rule one payment pays for; 1 is one, and less is the same.
    pub uses: u32,
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
        Self { path, methods: Vec::new(), amount, description, uses: 1 }
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        let path_matches = match self.path.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => path == self.path,
        };
        path_matches && (self.methods.is_empty() || self.methods.iter().any(|known| known == method))
    }
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
    pub(crate) fn order(&self, method: String, target: String, body: &[u8]) -> Order {
        let request = RequestDigest::of(&method, &target, body);
        let one = Sold { digest: request, usage: None };
        let usage = Some(Usage { request_digest: request, most: self.uses.max(1) });
        let several = Sold { digest: self.several(), usage };
        let (sold, before) = if self.uses > 1 { (several, one) } else { (one, several) };
        Order {
            sold,
            before: Some(before),
            amount: self.amount,
            description: self.description.clone(),
            method,
            path: target,
        }
    }
}

impl Tariff {
    /// The rule for a request; `None` if it may pass for nothing.
    ///
    /// A path that a proxy, a file system and this function might read in different ways is refused: one with dot
    /// segments, empty segments, backslashes, or percent signs before what would be any of these.
    pub fn rule(&self, method: &str, target: &str) -> Result<Option<&Rule>, Problem> {
        let path = target.split(['?', '#']).next().unwrap_or_default();
        if !has_one_reading(path) {
            let detail = "the path has more than one reading: send it without dot segments, empty segments and \
                          escaped slashes, dots or backslashes";
            return Err(Problem::new(Code::MalformedParameter, detail));
        }
        match self.rules.iter().find(|rule| rule.matches(method, path)) {
            Some(rule) => Ok((!rule.amount.is_zero()).then_some(rule)),
            None if self.others_pass => Ok(None),
            None => Err(Problem::new(
                Code::NoPrice,
                "no price is set for this method and path, so it is not served",
            )),
        }
    }
}

fn has_one_reading(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    path.starts_with('/')
        && path.bytes().all(|byte| byte.is_ascii_graphic())
        && !path.contains("//")
        && !path.contains('\\')
        && !path.split('/').any(|segment| segment == "." || segment == "..")
        && !["%2f", "%2e", "%5c", "%00", "%25"].iter().any(|escape| lower.contains(escape))
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
        let price =
            |method, path| tariff.rule(method, path).map(|rule| rule.map(|rule| rule.amount.to_string()));
        assert_eq!(price("GET", "/paid/x?y=/free/").unwrap(), Some("5".into()));
        assert_eq!(price("POST", "/paid/dear").unwrap(), Some("9".into()));
        assert_eq!(price("GET", "/free/paid/").unwrap(), None);
        assert_eq!(price("DELETE", "/paid/x").unwrap_err().code, Code::NoPrice);
        assert_eq!(price("GET", "/other").unwrap_err().code, Code::NoPrice);
        let open = Tariff { others_pass: true, ..tariff.clone() };
        assert!(open.rule("GET", "/other").unwrap().is_none());
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

    #[test]
    fn a_path_with_two_readings_is_refused() {
        for path in [
            "/free/../paid/x",
            "/free/./x",
            "/free//x",
            "/free/%2e%2e/paid",
            "/free/..%2fpaid",
            "/free/..%5Cpaid",
            "/free\\..\\paid",
            "paid/x",
            "",
            "/free/%252e",
            "/free/ä",
            "/free/a b",
        ] {
            assert_eq!(tariff().rule("GET", path).unwrap_err().code, Code::MalformedParameter, "{path}");
        }
    }
}
