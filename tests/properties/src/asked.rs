//! What is asked for: bodies, query parameters, and who asks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use salt402_gateway::{Api, Catalogue, Model, Price, PricedBatch, PricedRequest, Server, Upstream};
use salt402_http::client_address;
use salt402_protocol::{Amount, Code, RequestDigest, U256};
use salt402_verifier::http::{AmbiguitiesQuery, IncidentsQuery, PaymentsQuery};
use serde_json::Value;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A body that is sold holds what is sold and nothing else, each once, and costs what the model's price says.
pub(crate) fn inference(data: &[u8]) {
    let price = Price {
        per_request: Amount(U256::from(7)),
        per_token: Amount(U256::from(3)),
        per_prompt_token: Amount(U256::from(2)),
        ..Price::default()
    };
    let upstream = Arc::new(Upstream::Demo);
    let description = String::new();
    let (max_prompt_bytes, template_tokens) = (1 << 16, 5);
    let model = Model {
        description,
        price,
        by_use: false,
        continuous_usage: true,
        adjustments: [].into(),
        rate: None,
        image_size: None,
        default_tokens: 16,
        max_tokens: 4096,
        max_prompt_bytes,
        template_tokens,
        message_tokens: 0,
        tools_tokens: 0,
        server: Server::Any,
        apis: [Api::Chat].into(),
        endpoint: None,
        upstream,
    };
    let catalogue = Catalogue(BTreeMap::from([("demo".to_owned(), model)]));
    let request = PricedRequest::read(&catalogue, "POST".into(), "/v1/inference".into(), data);
    // Two of it in a batch are sold if one alone is, for 5 % less than both.
    let twice = [b"{\"requests\":[", data, b",", data, b"]}"].concat();
    let batch = PricedBatch::read(2, &catalogue, "POST".into(), "/v1/inference/batch".into(), &twice);
    let batch = batch.ok().map(|batch| (batch.entries.len(), batch.order.amount.0));
    let both = request.as_ref().ok().map(|request| request.order.amount.0 * U256::from(2));
    assert_eq!(batch, both.map(|sum| (2, sum - sum / U256::from(20))));
    let request = match request {
        Ok(request) => request,
        Err(problem) => {
            let known = [Code::MalformedJson, Code::UnknownModel, Code::InvalidRequest];
            return assert!(known.contains(&problem.code) && (400..500).contains(&problem.status));
        }
    };
    let Ok(Value::Object(body)) = serde_json::from_slice(data) else { panic!("an object was read") };
    let text = std::str::from_utf8(data).unwrap();
    let mut count = 0;
    for (name, value) in &body {
        count += 1;
        match name.as_str() {
            "model" => assert_eq!(value, &request.name),
            "prompt" => assert_eq!(value, &request.prompt),
            "max_tokens" => assert!(value.is_null() || value.as_u64() == Some(request.tokens.into())),
            "temperature" => assert_eq!(value.as_f64().map(|number| number as f32), request.temperature),
            other => panic!("{other:?} was passed over in {text}"),
        }
    }
    // A `Value` keeps the last of two fields of one name: written again with all of them, none is missing.
    assert_eq!(Fields::of(text).0.len(), count, "a field came twice in {text}");
    assert!(!request.prompt.is_empty() && (1..=4096).contains(&request.tokens));
    let read = request.prompt.len() as u64 + 5;
    assert_eq!(request.order.amount, Amount(U256::from(7 + 3 * u64::from(request.tokens) + 2 * read)));
    assert_eq!(request.order.sold.digest, RequestDigest::of("POST", "/v1/inference", data));
}

/// The names of an object's fields, those that come twice twice.
struct Fields(Vec<String>);

impl Fields {
    fn of(text: &str) -> Self {
        serde_json::from_str(text).unwrap()
    }
}

impl<'de> serde::Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> serde::de::Visitor<'de> for Names {
            type Value = Vec<String>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut names = Vec::new();
                while let Some((name, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                    names.push(name);
                }
                Ok(names)
            }
        }
        deserializer.deserialize_map(Names).map(Self)
    }
}

/// Query parameters that are taken are known, came once, and are what was read.
pub(crate) fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(uri) = format!("/v1/incidents?{text}").parse::<Uri>() else { return };
    let parts: Vec<_> = uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()).collect();
    let names: Vec<_> = parts.iter().map(|part| part.split('=').next().unwrap_or_default()).collect();
    let plain = names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let once = names.iter().collect::<BTreeSet<_>>().len() == names.len();
    let value = |name: &str| {
        parts.iter().find_map(|part| part.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')))
    };
    let same = |name: &str, read: Option<u64>| {
        let Some(sent) = value(name).filter(|sent| sent.bytes().all(|byte| byte.is_ascii_digit())) else {
            return;
        };
        assert_eq!(read, sent.parse().ok(), "{name} in {text:?}");
    };
    let known = |names: &[&str], known: &[&str]| !plain || names.iter().all(|name| known.contains(name));
    if let Ok((filter, limit)) = IncidentsQuery::read(&uri) {
        assert!(once && (1..=1000).contains(&limit), "{text:?}");
        assert!(known(&names, &["open", "kind", "chain", "since", "limit", "cursor"]), "{text:?}");
        same("since", filter.since_ms);
        same("cursor", filter.before);
        if let Some(kind) = filter.kind.filter(|_| plain) {
            assert!(value("kind").is_some_and(|sent| sent.contains('%') || sent == kind.name()), "{text:?}");
        }
    }
    if let Ok(query) = AmbiguitiesQuery::read(&uri) {
        assert!(once && (1..=1000).contains(&query.limit), "{text:?}");
        assert!(known(&names, &["chain", "limit", "cursor"]), "{text:?}");
        same("cursor", query.cursor);
    }
    if let Ok(query) = PaymentsQuery::read(&uri) {
        assert!(once && known(&names, &["chain"]), "{text:?}");
        let named = query.chain.to_string();
        let sent = value("chain").filter(|_| plain);
        assert!(sent.is_none_or(|sent| sent.contains(['%', '+']) || sent == named), "{text:?}");
    }
}

/// The first byte says who is connected, the rest are lines of `X-Forwarded-For`. Who is no proxy speaks for itself,
/// and nothing that a client writes before what its proxy appends changes who it is.
pub(crate) fn forwarded_for(data: &[u8]) {
    let Some((who, rest)) = data.split_first() else { return };
    let peer: Option<IpAddr> = match who % 4 {
        0 => None,
        1 => Some(IpAddr::from([127, 0, 0, 1])),
        2 => Some(IpAddr::from([9, 9, 9, 9])),
        _ => Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])),
    };
    let proxies = ["127.0.0.0/8", "10.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap());
    let lines: Vec<_> = rest
        .split(|byte| *byte == b'\n')
        .take(16)
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .collect();
    let client = |lines: &[HeaderValue]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.clone());
        }
        client_address(&proxies, &headers, peer)
    };
    let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.contains(&address));
    let told = client(&lines);
    if let Some(speaks) = peer.filter(|peer| !is_proxy(*peer)) {
        return assert_eq!(told, Some(speaks));
    }
    if let Some(told) = told {
        assert!(!is_proxy(told) && told == told.to_canonical());
    }
    // A proxy appends whom it sees: to a line of its own, or to the last that came.
    let appended = Some(IpAddr::from([1, 2, 3, 4]));
    let mut more = lines.clone();
    more.push(HeaderValue::from_static("1.2.3.4, 10.0.0.7"));
    assert_eq!(client(&more), appended);
    let mut joined = lines;
    if let Some(last) = joined.pop() {
        joined.push(HeaderValue::from_bytes(&[last.as_bytes(), b", 1.2.3.4"].concat()).unwrap());
        assert_eq!(client(&joined), appended);
    }
}
