//! `[[gateway.services]]`: HTTP services that are sold by path.

use std::time::Duration;

use salt402_gateway::{Deadlines, ServiceOptions};
use salt402_http::Target;
use serde::Deserialize;
use url::Url;

use super::error::ConfigError;
use super::route::RouteConfig;

/// An HTTP service that is sold by path.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceConfig {
    /// Its name, for logs and metrics. Another for each service.
    name: String,
    /// Its address, such as `http://127.0.0.1:9000`. A path in it stands before the path of each request.
    upstream: String,
    /// What it is, in words, which payers are told. Left out: the path that is paid for.
    #[serde(default)]
    description: Option<String>,
    /// How long a connection to it may take: 1 to 3600000.
    #[serde(default = "connect")]
    connect_timeout_ms: u64,
    /// How long it may take to begin its answer: 1 to 86400.
    #[serde(default = "answer")]
    answer_timeout_s: u64,
    /// How long it may pause in the middle of an answer: 1 to 86400.
    #[serde(default = "pause")]
    pause_timeout_s: u64,
    /// How many requests it is sent at once. `0`: no limit.
    #[serde(default = "at_once")]
    at_once: usize,
    /// How many more requests may wait for their turn. Beyond, nothing is sold.
    #[serde(default = "queue")]
    queue: usize,
    /// The longest answer that is kept for whoever shows the payment again: 1 to 67108864. It is given once it is whole.
    /// Left out: answers are passed on as they come and given once, and a payment is shown with its quote id.
    #[serde(default)]
    keep_answers_bytes: Option<usize>,
    /// The largest body of a priced request: 1024 to 67108864. Left out: `max_body_bytes` of `[gateway]`.
    #[serde(default)]
    max_body_bytes: Option<usize>,
    /// Whether the headers `Authorization` and `Cookie` of a client are passed on.
    #[serde(default)]
    pass_credentials: bool,
    /// The path that is asked with `GET` to know whether it works. A status below 500 says that it does.
    #[serde(default = "probe")]
    probe: String,
    /// What is sold, by path. The paths of all services are tried in their order, and the first match counts.
    paths: Vec<RouteConfig>,
}

fn connect() -> u64 {
    5_000
}
fn answer() -> u64 {
    120
}
fn pause() -> u64 {
    60
}
fn at_once() -> usize {
    64
}
fn queue() -> usize {
    256
}
fn probe() -> String {
    "/".to_owned()
}

impl ServiceConfig {
    /// The largest body that it takes, where the gateway's is `otherwise`.
    pub(super) fn largest_body(&self, otherwise: usize) -> usize {
        self.max_body_bytes.unwrap_or(otherwise)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What the gateway sells of it; prices are in `unit`. `index`: its place among the services.
    pub(super) fn options(
        &self,
        index: usize,
        unit: &(String, u8),
        otherwise: usize,
    ) -> Result<ServiceOptions, ConfigError> {
        let key = |field: &str| format!("gateway.services[{index}].{field}");
        let within = |field: &str, value: u64, least: u64, most: u64| {
            ConfigError::unless_within(key(field), value, least..=most)
        };
        let plain = !self.name.is_empty() && self.name.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain {
            return Err(ConfigError::value(key("name"), "expected a name of visible ASCII"));
        }
        within("connect_timeout_ms", self.connect_timeout_ms, 1, 3_600_000)?;
        within("answer_timeout_s", self.answer_timeout_s, 1, 86_400)?;
        within("pause_timeout_s", self.pause_timeout_s, 1, 86_400)?;
        let body = self.largest_body(otherwise);
        within("max_body_bytes", body as u64, 1024, 64 * 1024 * 1024)?;
        if let Some(bytes) = self.keep_answers_bytes {
            within("keep_answers_bytes", bytes as u64, 1, 64 * 1024 * 1024)?;
        }
        let upstream = Url::parse(&self.upstream).map_err(|_| {
            let what =
                format!("expected an address such as http://127.0.0.1:9000, found {:?}", self.upstream);
            ConfigError::value(key("upstream"), what)
        })?;
        if Target::read(&self.probe).is_err() {
            let what = format!("expected a path such as /healthz, found {:?}", self.probe);
            return Err(ConfigError::value(key("probe"), what));
        }
        if self.paths.is_empty() {
            let what = "expected at least one [[gateway.services.paths]] with path and price";
            return Err(ConfigError::value(key("paths"), what));
        }
        let rules = self.paths.iter().enumerate().map(|(place, route)| {
            route.rule(unit, self.description.as_deref(), |field| key(&format!("paths[{place}].{field}")))
        });
        Ok(ServiceOptions {
            name: self.name.clone(),
            upstream,
            rules: rules.collect::<Result<_, _>>()?,
            deadlines: Deadlines {
                connect: Duration::from_millis(self.connect_timeout_ms),
                first_byte: Duration::from_secs(self.answer_timeout_s),
                between: Duration::from_secs(self.pause_timeout_s),
            },
            at_once: self.at_once,
            queue: self.queue,
            keep_answers: self.keep_answers_bytes,
            body_limit: body,
            passes_credentials: self.pass_credentials,
            probe: self.probe.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of a service with these lines, in a gateway whose bodies have 4096 bytes.
    fn service(lines: &str) -> Result<ServiceOptions, String> {
        let text = format!("name = \"shop\"\nupstream = \"http://127.0.0.1:9000/api\"\n{lines}");
        let config: ServiceConfig = toml::from_str(&text).map_err(|error| error.to_string())?;
        config.options(3, &("SALT".to_owned(), 18), 4096).map_err(|error| error.to_string())
    }

    const PATH: &str = "[[paths]]\npath = \"/paid/*\"\nprice = \"0.001 SALT\"\n";

    #[test]
    fn a_service_has_paths_with_prices_and_limits_that_may_be_left_out() {
        let plain = service(PATH).unwrap();
        assert_eq!((plain.rules.len(), plain.body_limit, plain.keep_answers), (1, 4096, None));
        assert_eq!(plain.rules[0].amount.to_string(), "1000000000000000");
        assert_eq!(plain.rules[0].description, "one request of /paid/*");
        let own = service(&format!(
            "description = \"a page\"\nmax_body_bytes = 2048\nkeep_answers_bytes = 9\n{PATH}"
        ));
        let own = own.unwrap();
        assert_eq!((own.rules[0].description.as_str(), own.body_limit), ("a page", 2048));
        assert_eq!(own.keep_answers, Some(9));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (lines, place) in [
            ("paths = []".to_owned(), "gateway.services[3].paths"),
            (format!("probe = \"healthz\"\n{PATH}"), "gateway.services[3].probe"),
            (format!("answer_timeout_s = 0\n{PATH}"), "gateway.services[3].answer_timeout_s"),
            (format!("max_body_bytes = 1\n{PATH}"), "gateway.services[3].max_body_bytes"),
            (format!("keep_answers_bytes = 0\n{PATH}"), "gateway.services[3].keep_answers_bytes"),
            (format!("{PATH}uses = 0\n"), "gateway.services[3].paths[0].uses"),
            (format!("{PATH}{}", PATH.replace("/paid/*", "/a//b")), "gateway.services[3].paths[1].path"),
            (PATH.replace("0.001 SALT", "much"), "gateway.services[3].paths[0].price"),
            (format!("{PATH}price_per_row = \"5\"\nuses = 2\n"), "gateway.services[3].paths[0].price"),
            (format!("{PATH}minimum_price = \"5\"\n"), "gateway.services[3].paths[0].minimum_price"),
            (format!("{PATH}price_per_byte = \"x\"\n"), "gateway.services[3].paths[0].price_per_byte"),
        ] {
            let error = service(&lines).unwrap_err();
            assert!(error.contains(place), "{lines}: {error}");
        }
    }
}
