//! `salt402 price`: what a request would cost, and why.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use salt402_gateway::{
    Api, Catalogue, Cost, Passed, PricedBatch, PricedRequest, Quantities, RouteCost, USD_DECIMALS,
};
use salt402_protocol::{Amount, Problem};
use serde_json::{Value, json};

use crate::args::PriceArgs;
use crate::config::Config;
use crate::out::say;
use crate::wire::ask_rate;

/// The exit code for a request that would be refused.
const REFUSED: u8 = 2;

/// The paths of salt402's own form, which costs the same plain and streamed.
const INFERENCE: [&str; 2] = ["/v1/inference", "/v1/inference/stream"];

/// The path of many requests at once.
const BATCH: &str = "/v1/inference/batch";

/// The path of a route's best.
const ROUTED: &str = "/v1/inference/routed";

/// Prints what a request would cost.
pub(crate) async fn price(args: &PriceArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let Some(gateway) = &config.gateway else { bail!("gateway: nothing is sold by this configuration") };
    let unit = config.unit()?;
    let rate = gateway.usd.as_ref().map(|usd| usd.rate(&unit)).transpose()?;
    if let (Some(usd), Some(rate)) = (&gateway.usd, &rate)
        && !usd.command.is_empty()
    {
        rate.tell(ask_rate(usd, &unit).await?);
    }
    let catalogue = gateway.price_list(&unit, rate.as_ref())?;
    let body = body(args.body.as_deref(), gateway.max_body_bytes)?;
    let routes = gateway.routes(&unit, rate.as_ref())?;
    let of_route = if routes.0.is_empty() && args.path != ROUTED {
        None
    } else {
        RouteCost::read(&routes, &catalogue, &args.path, &body).transpose()
    };
    let told = if let Some(cost) = of_route {
        cost.map(|cost| {
            of_route_told(&cost, routes.get(&cost.name).is_some_and(|own| own.price.is_some()), &unit)
        })
    } else if args.path == BATCH {
        costs_of_batch(gateway.batches().most, &catalogue, &body)?
            .map(|batch| (batch.lines(&unit), batch.json(&unit)))
    } else {
        costs(&args.path, &catalogue, &body)?.map(|costs| (costs.lines(&unit), costs.json(&unit)))
    };
    match told {
        Ok((lines, json)) => {
            if args.json {
                say!("{json}");
            } else {
                for line in lines {
                    say!("{line}");
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(problem) => {
            if args.json {
                say!("{}", serde_json::to_string(&problem)?);
            } else {
                say!("refused ({}): {}", problem.code.as_str(), problem.detail);
            }
            Ok(ExitCode::from(REFUSED))
        }
    }
}

/// The body, which is no longer than the gateway takes.
fn body(file: Option<&Path>, longest: usize) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    match file.filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let file = std::fs::File::open(path).with_context(|| format!("{}", path.display()))?;
            file.take(longest as u64 + 1).read_to_end(&mut body)?
        }
        None => std::io::stdin().lock().take(longest as u64 + 1).read_to_end(&mut body)?,
    };
    if body.len() > longest {
        bail!("the body has more than the {longest} bytes that gateway.max_body_bytes allows");
    }
    Ok(body)
}

/// A request, and what it costs.
struct Costs {
    model: String,
    of: Quantities,
    in_dollars: bool,
    cost: Cost,
}

/// What a body costs at a path, or why it is refused.
fn costs(path: &str, catalogue: &Catalogue, body: &[u8]) -> anyhow::Result<Result<Costs, Problem>> {
    let (method, target) = ("POST".to_owned(), path.to_owned());
    let (model, name, of) = if INFERENCE.contains(&path) {
        match PricedRequest::read(catalogue, method, target, body) {
            Ok(request) => return Costs::of(request).map(Ok),
            Err(problem) => return Ok(Err(problem)),
        }
    } else {
        let Some((api, named)) = catalogue.asked_at(path) else {
            let known: Vec<_> =
                Api::ALL.into_iter().map(Api::path).chain(INFERENCE).chain([BATCH, ROUTED]).collect();
            bail!("--path: expected one of {}, or a model's endpoint, found {path:?}", known.join(", "));
        };
        match Passed::read(api, named, catalogue, method, target, body) {
            Ok(request) => (request.model, request.name, request.of),
            Err(problem) => return Ok(Err(problem)),
        }
    };
    let cost = model.cost(&name, &of)?;
    Ok(Ok(Costs { model: name, of, in_dollars: model.rate.is_some(), cost }))
}

/// What a request for a route costs, in lines and in JSON. `own`: whether the route has a price of its own.
fn of_route_told(cost: &RouteCost, own: bool, (symbol, decimals): &(String, u8)) -> (Vec<String>, Value) {
    let paid = |amount: Amount| format!("{} {symbol}", amount.to_units(*decimals));
    let RouteCost { name, amount, by_use, candidates } = cost;
    let why = match (own, by_use) {
        (true, _) => "the route's own price",
        (false, true) => "the most that a candidate costs; a voucher or a ceiling is charged what is used",
        (false, false) => "the most that a candidate costs",
    };
    let mut lines = vec![format!("{name}: {}  ({why})", paid(*amount))];
    lines.extend(candidates.iter().map(|(model, alone)| format!("  at {model} alone: {}", paid(*alone))));
    let candidates: Vec<_> =
        candidates.iter().map(|(model, alone)| json!({"model": model, "amount": alone})).collect();
    let json = json!({
        "route": name, "amount": amount, "asset": symbol, "decimals": decimals, "own_price": own, "by_use": by_use,
        "candidates": candidates,
    });
    (lines, json)
}

/// A batch, and what it costs.
struct BatchCosts {
    requests: Vec<Costs>,
    /// What its requests would cost alone.
    alone: Amount,
    amount: Amount,
}

/// What a batch costs, or why it is refused.
fn costs_of_batch(
    most: usize,
    catalogue: &Catalogue,
    body: &[u8],
) -> anyhow::Result<Result<BatchCosts, Problem>> {
    let batch = match PricedBatch::read(most, catalogue, "POST".to_owned(), BATCH.to_owned(), body) {
        Ok(batch) => batch,
        Err(problem) => return Ok(Err(problem)),
    };
    let requests = batch.entries.into_iter().filter_map(|entry| entry.request).map(Costs::of);
    let requests = requests.collect::<Result<Vec<_>, _>>()?;
    let alone = requests.iter().try_fold(Amount::ZERO, |sum, request| sum.checked_add(request.cost.amount));
    let alone = alone.context("the sum of all requests is above 2^256 - 1")?;
    Ok(Ok(BatchCosts { requests, alone, amount: batch.order.amount }))
}

impl BatchCosts {
    fn lines(&self, unit: &(String, u8)) -> Vec<String> {
        let paid = |amount: Amount| format!("{} {}", amount.to_units(unit.1), unit.0);
        let count = self.requests.len();
        let mut lines = vec![
            format!("a batch of {count} requests: {}", paid(self.amount)),
            format!("  {} for each alone, less 5 %, rounded up to a base unit", paid(self.alone)),
        ];
        for (place, request) in self.requests.iter().enumerate() {
            let told = request.lines(unit);
            lines.extend(told.into_iter().enumerate().map(|(at, line)| {
                if at == 0 { format!("  requests[{place}] {line}") } else { format!("  {line}") }
            }));
        }
        lines
    }

    fn json(&self, unit: &(String, u8)) -> Value {
        let requests: Vec<_> = self.requests.iter().map(|request| request.json(unit)).collect();
        json!({
            "amount": self.amount,
            "alone": self.alone,
            "asset": unit.0,
            "decimals": unit.1,
            "requests": requests,
        })
    }
}

impl Costs {
    /// What a request of salt402's own form costs.
    fn of(request: PricedRequest) -> anyhow::Result<Self> {
        let of = request.quantities();
        let cost = request.model.cost(&request.name, &of)?;
        Ok(Self { model: request.name, of, in_dollars: request.model.rate.is_some(), cost })
    }

    /// A sum before it is converted, in words.
    fn sum(&self, amount: Amount, (symbol, decimals): &(String, u8)) -> String {
        if self.in_dollars {
            format!("{} USD", amount.to_units(USD_DECIMALS))
        } else {
            format!("{} {symbol}", amount.to_units(*decimals))
        }
    }

    fn lines(&self, unit: &(String, u8)) -> Vec<String> {
        let Self { model, of, cost, .. } = self;
        let paid = |amount: Amount| format!("{} {}", amount.to_units(unit.1), unit.0);
        let mut lines = vec![format!("{model}: {}", paid(cost.amount))];
        for part in &cost.parts {
            let each = self.sum(part.each, unit);
            lines.push(format!(
                "  {} × {each} = {}  ({})",
                part.count,
                self.sum(part.amount, unit),
                part.what
            ));
        }
        for applied in &cost.applied {
            let sum = self.sum(applied.amount, unit);
            lines.push(format!("  × {} = {sum}  (where {})", applied.multiplier, applied.when));
        }
        if let Some(minimum) = cost.minimum {
            lines.push(format!("  at least {}  (minimum_price)", self.sum(minimum, unit)));
        }
        if let Some(rate) = cost.rate {
            lines.push(format!("  1 USD is {}  (gateway.usd)", paid(rate)));
        }
        lines.push(format!(
            "  it reads up to {} tokens and writes up to {}{}",
            of.prompt_tokens,
            of.max_tokens,
            if of.choices > 1 { format!(", {} times", of.choices) } else { String::new() }
        ));
        lines
    }

    fn json(&self, (symbol, decimals): &(String, u8)) -> Value {
        let Self { model, of, cost, in_dollars } = self;
        let parts: Vec<_> = cost
            .parts
            .iter()
            .map(|part| json!({"what": part.what, "count": part.count, "each": part.each, "amount": part.amount}))
            .collect();
        let applied: Vec<_> = cost
            .applied
            .iter()
            .map(|own| json!({"when": own.when, "multiplier": own.multiplier.to_string(), "amount": own.amount}))
            .collect();
        json!({
            "model": model,
            "amount": cost.amount,
            "asset": symbol,
            "decimals": decimals,
            "currency": if *in_dollars { "USD" } else { symbol.as_str() },
            "prompt_tokens": of.prompt_tokens,
            "max_tokens": of.max_tokens,
            "n": of.choices,
            "images": of.images,
            "parts": parts,
            "adjustments": applied,
            "minimum": cost.minimum,
            "per_usd": cost.rate,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &str = r#"
        [chains.c]
        rpc = "http://127.0.0.1:1"
        contract = "0x1111111111111111111111111111111111111112"
        start_block = 0
        profile = "local"

        [payment]
        chain = "c"
        payee = "0x2222222222222222222222222222222222222223"

        [gateway.models.demo]
        upstream = "demo"
        price_per_token = "0.001 SALT"
        price_per_prompt_token = "0.0001 SALT"
        minimum_price = "0.02 SALT"
        max_tokens = 100
        default_tokens = 100

        [[gateway.models.demo.adjustments]]
        when = "max_tokens > 50"
        multiplier = "2"

        [gateway.models.usd]
        endpoint = "/nano"
        upstream = "demo"
        price_per_request = "0.01 USD"

        [gateway.usd]
        rate = "4.2 SALT"
    "#;

    fn told(path: &str, body: &str) -> (Vec<String>, Value) {
        let config = Config::read(SALT, Path::new("salt402.toml"), false).unwrap();
        let (gateway, unit) = (config.gateway.as_ref().unwrap(), config.unit().unwrap());
        let rate = gateway.usd.as_ref().map(|usd| usd.rate(&unit).unwrap());
        let catalogue = gateway.price_list(&unit, rate.as_ref()).unwrap();
        match costs(path, &catalogue, body.as_bytes()).unwrap() {
            Ok(costs) => (costs.lines(&unit), costs.json(&unit)),
            Err(problem) => (vec![problem.detail], Value::Null),
        }
    }

    #[test]
    fn each_part_of_a_sum_is_told() {
        let chat = |tokens: u32| {
            format!(
                r#"{{"model":"demo","max_tokens":{tokens},"messages":[{{"role":"user","content":"hi"}}]}}"#
            )
        };
        // Two bytes, the role with its quotes, 16 for the message and 32 for the template.
        let (lines, json) = told("/v1/chat/completions", &chat(100));
        assert_eq!(
            lines,
            [
                "demo: 0.2112 SALT",
                "  56 × 0.0001 SALT = 0.0056 SALT  (price_per_prompt_token)",
                "  100 × 0.001 SALT = 0.1 SALT  (price_per_token)",
                "  × 2 = 0.2112 SALT  (where max_tokens > 50)",
                "  it reads up to 56 tokens and writes up to 100",
            ]
        );
        assert_eq!(json["amount"], "211200000000000000");
        assert_eq!((&json["prompt_tokens"], &json["parts"][1]["count"]), (&json!(56), &json!(100)));
        let (lines, json) = told("/v1/chat/completions", &chat(1));
        assert!(
            lines[0] == "demo: 0.02 SALT" && lines.contains(&"  at least 0.02 SALT  (minimum_price)".into()),
            "{lines:?}"
        );
        assert_eq!(json["minimum"], "20000000000000000");
        let (lines, json) = told("/v1/inference", r#"{"model":"usd","prompt":"hi"}"#);
        assert!(
            lines[0] == "usd: 0.042 SALT" && lines.contains(&"  1 USD is 4.2 SALT  (gateway.usd)".into()),
            "{lines:?}"
        );
        assert_eq!((&json["currency"], &json["amount"]), (&json!("USD"), &json!("42000000000000000")));
        let named = told("/nano", r#"{"messages":[{"role":"user","content":"hi"}]}"#);
        assert_eq!((&named.1["model"], &named.1["amount"]), (&json!("usd"), &json!("42000000000000000")));
        assert_eq!(told("/v1/inference/stream", r#"{"model":"usd","prompt":"hi"}"#).1, json);
    }

    #[test]
    fn a_route_costs_its_own_price_or_the_most_of_those_that_take_the_request() {
        let told = |own: &str, path: &str, body: &str| {
            let text = format!(
                "{SALT}\n[[gateway.routes]]\nname = \"auto\"\ncandidates = [\"demo\", \"usd\"]\n{own}"
            );
            let config = Config::read(&text, Path::new("salt402.toml"), false).unwrap();
            let (gateway, unit) = (config.gateway.as_ref().unwrap(), config.unit().unwrap());
            let rate = gateway.usd.as_ref().map(|usd| usd.rate(&unit).unwrap());
            let catalogue = gateway.price_list(&unit, rate.as_ref()).unwrap();
            let routes = gateway.routes(&unit, rate.as_ref()).unwrap();
            let cost = RouteCost::read(&routes, &catalogue, path, body.as_bytes());
            cost.map(|cost| cost.map(|cost| of_route_told(&cost, !own.is_empty(), &unit).0))
        };
        let body = r#"{"prompt":"hi","max_tokens":20}"#;
        let lines = told("", "/v1/inference/routed", body).unwrap().unwrap();
        assert_eq!(lines[0], "auto: 0.042 SALT  (the most that a candidate costs)");
        assert_eq!(lines[1..], ["  at demo alone: 0.0234 SALT", "  at usd alone: 0.042 SALT"]);
        // A hundred tokens are the most of one of them, which is left out beyond.
        let long = r#"{"model":"auto","prompt":"hi","max_tokens":101}"#;
        let lines = told("price_per_token = \"1\"\nprice_per_request = \"7\"", "/v1/inference", long);
        let lines = lines.unwrap().unwrap();
        assert_eq!(
            lines,
            ["auto: 0.000000000000000108 SALT  (the route's own price)", "  at usd alone: 0.042 SALT"]
        );
        let chat = |tokens: u32| {
            format!(
                r#"{{"model":"auto","max_tokens":{tokens},"messages":[{{"role":"user","content":"hi"}}]}}"#
            )
        };
        assert!(told("", "/v1/chat/completions", &chat(5)).unwrap().is_some());
        let refused = told("", "/v1/chat/completions", &chat(1_000_000)).unwrap_err();
        assert!(refused.detail.contains("demo: max_tokens") && refused.detail.contains("usd: max_tokens"));
        assert_eq!(told("", "/v1/inference", r#"{"model":"demo","prompt":"hi"}"#).unwrap(), None);
    }

    #[test]
    fn a_batch_is_told_with_each_of_its_requests() {
        let config = Config::read(SALT, Path::new("salt402.toml"), false).unwrap();
        let (gateway, unit) = (config.gateway.as_ref().unwrap(), config.unit().unwrap());
        let rate = gateway.usd.as_ref().map(|usd| usd.rate(&unit).unwrap());
        let catalogue = gateway.price_list(&unit, rate.as_ref()).unwrap();
        let body =
            r#"{"requests":[{"model":"usd","prompt":"hi"},{"model":"demo","prompt":"hi","max_tokens":20}]}"#;
        let batch = costs_of_batch(2, &catalogue, body.as_bytes()).unwrap().unwrap();
        let lines = batch.lines(&unit);
        // 0.042 and 0.0034 with 0.02, less 5 %.
        assert_eq!(lines[0], "a batch of 2 requests: 0.06213 SALT", "{lines:?}");
        assert_eq!(lines[1], "  0.0654 SALT for each alone, less 5 %, rounded up to a base unit");
        assert_eq!(lines[2], "  requests[0] usd: 0.042 SALT");
        assert_eq!(batch.json(&unit)["requests"][1]["model"], "demo");
        let few = costs_of_batch(1, &catalogue, body.as_bytes()).unwrap();
        assert!(few.err().unwrap().detail.contains("at most 1"));
        let unknown = costs_of_batch(2, &catalogue, br#"{"requests":[{"model":"x","prompt":"y"}]}"#).unwrap();
        assert!(unknown.err().unwrap().detail.starts_with("requests[0].model"));
    }

    #[test]
    fn what_would_be_refused_is_told() {
        for (path, body, words) in [
            ("/v1/chat/completions", r#"{"model":"demo","messages":[],"n_predict":5}"#, "n_predict"),
            ("/v1/chat/completions", r#"{"model":"other","messages":[]}"#, "other"),
            ("/v1/embeddings", r#"{"model":"demo","input":"a"}"#, "/v1/chat/completions"),
            ("/v1/inference", r#"{"model":"demo","prompt":""}"#, "prompt"),
        ] {
            let (lines, json) = told(path, body);
            assert!(json.is_null(), "{lines:?}");
            assert!(lines[0].contains(words) || words == "other", "{lines:?}");
        }
        assert!(costs("/elsewhere", &Catalogue::default(), b"{}").is_err());
        let free = SALT.replace("price_per_request = \"0.01 USD\"", "");
        assert!(Config::read(&free, Path::new("salt402.toml"), false).is_err(), "a model without a price");
        let no_rate = SALT.replace("[gateway.usd]", "").replace("rate = \"4.2 SALT\"", "");
        assert!(Config::read(&no_rate, Path::new("salt402.toml"), false).is_err(), "dollars without a rate");
    }
}
