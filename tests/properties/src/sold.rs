//! What is sold beside answers: balances, and tasks of agents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use salt402_gateway::a2a::{Asked, Called, TaskId};
use salt402_gateway::{AskedBalance, KeyOptions, KeyPlan};
use salt402_protocol::{Amount, Code, RequestDigest, U256};
use serde_json::Value;

const LIMIT: usize = 64 * 1024;

fn units(value: u64) -> Amount {
    Amount(U256::from(value))
}

/// A body of `POST /v1/balance` that is taken says what is credited for how much, each once, and nothing else.
pub(crate) fn balance(data: &[u8]) {
    let plan =
        KeyPlan { name: "more".into(), least: Some(units(1000)), bonus_percent: 10, ..KeyPlan::default() };
    let options = KeyOptions { least: units(10), most: units(1_000_000), plans: vec![plan] };
    let asked = match AskedBalance::read(&options, 1_764_014_400, "/v1/balance".into(), data) {
        Ok(asked) => asked,
        Err(problem) => {
            return assert!(
                [Code::MalformedJson, Code::InvalidRequest].contains(&problem.code),
                "{problem:?}"
            );
        }
    };
    let Ok(Value::Object(body)) = serde_json::from_slice(data) else { panic!("an object was read") };
    for name in body.keys() {
        assert!(["amount", "account", "key_sha256", "plan", "order"].contains(&&**name), "{name:?}");
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    assert_eq!(text("amount"), Some(&*asked.order.amount.to_string()));
    assert_eq!(asked.order.sold.digest, RequestDigest::of("POST", "/v1/balance", data));
    let credit = asked.order.credit.expect("what is credited");
    assert!(text("account").is_none() || text("key_sha256").is_none());
    assert_eq!(
        credit.account.map(|account| account.0),
        text("account").map(|account| account.parse().unwrap())
    );
    assert_eq!(credit.key_hash, text("key_sha256").map(|hash| hash.parse().unwrap()));
    let tenth = asked.order.amount.0 / U256::from(10);
    assert_eq!(credit.bonus.0, if credit.plan == "more" { tenth } else { U256::ZERO });
    if asked.unsold.is_some() {
        assert!(credit.bonus == Amount::ZERO && credit.plan.is_empty());
    } else {
        assert_eq!(text("plan").unwrap_or_default(), credit.plan);
        let least = if credit.plan == "more" { 1000 } else { 10 };
        assert!((units(least)..=units(1_000_000)).contains(&asked.order.amount));
    }
}

/// What an agent asks is one request, whose text is what its message says; and what it pays with is what it showed, for the task that it named.
pub(crate) fn a2a(data: &[u8]) {
    let called = Called::read(Some("demo"), LIMIT, data);
    let asked = match called.asked {
        Ok(asked) => asked,
        Err(error) => {
            let known = [-32700, -32600, -32601, -32602, -32001, -32003, -32004];
            return assert!(known.contains(&error.code) && !error.message.is_empty(), "{error:?}");
        }
    };
    // What is passed over may hold what no value can.
    let Ok(call) = serde_json::from_slice::<Value>(data) else { return };
    assert_eq!(call["id"], called.id);
    let (params, message) = (&call["params"], &call["params"]["message"]);
    let same = |task: &TaskId, named: &Value| {
        let again = serde_json::json!({ "method": "GetTask", "params": { "id": named } }).to_string();
        let Ok(Asked::Get(again)) = Called::read(None, LIMIT, again.as_bytes()).asked else {
            panic!("{named}")
        };
        assert_eq!(&again, task);
    };
    match asked {
        Asked::New { context, body } => {
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body.as_object().unwrap().len(), 2);
            assert_eq!(body["model"], message["metadata"]["model"].as_str().unwrap_or("demo"));
            let texts =
                message["parts"].as_array().unwrap().iter().map(|part| part["text"].as_str().unwrap());
            assert_eq!(body["prompt"], texts.collect::<Vec<_>>().join("\n"));
            assert_eq!(context.as_deref(), message["contextId"].as_str().filter(|name| !name.is_empty()));
        }
        Asked::Paid { task, shown: (name, value) } => {
            same(&task, &message["taskId"]);
            let payload = &message["metadata"]["x402.payment.payload"];
            let sent: Value = serde_json::from_slice(&STANDARD.decode(value.as_bytes()).unwrap()).unwrap();
            assert_eq!(&sent, payload);
            assert_eq!(payload["x402Version"], if name == "x-payment" { 1 } else { 2 });
            let context = message["contextId"].as_str().unwrap_or_default();
            assert!(context.is_empty() || context == task.context());
        }
        Asked::Get(task) | Asked::Cancel(task) => same(&task, &params["id"]),
        Asked::List => {}
    }
}
