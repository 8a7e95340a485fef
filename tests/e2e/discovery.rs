//! What is sold is found by whoever knows nothing of a server, and what is found there is so.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use reqwest::header::ACCEPT;
use salt402_tests::x402::{Terms, X402Payer};
use salt402_tests::{
    Answer, Facilitating, FacilitatorOptions, PAYEE, Scripted, Stack, StackOptions, TestService,
};
use serde_json::{Value, json};

use crate::SALT402;
use crate::services::{FREE, PAID, selling};
use crate::signed::{SIGNATURES, required};

async fn stand() -> Facilitating {
    stand_with(String::new()).await
}

/// The same that sells more.
async fn stand_with(sections: String) -> Facilitating {
    let stack = StackOptions {
        payment: SIGNATURES.into(),
        model: "apis = [\"chat\"]\nendpoint = \"/nano\"".into(),
        sections,
        ..StackOptions::default()
    };
    let stand = Facilitating::start_with(SALT402, FacilitatorOptions { stack, ..Default::default() }).await;
    stand.fund(X402Payer::new().address, 1_000_000_000_000_000_000).await;
    stand
}

async fn get(stack: &Stack, path: &str) -> Answer {
    let answer = stack.get(&format!("{}{path}", stack.gateway)).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    answer
}

/// An empty request.
async fn probe(stack: &Stack, method: reqwest::Method, path: &str) -> Answer {
    let response = stack.client.request(method, format!("{}{path}", stack.gateway)).send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, body: response.text().await.unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_is_sold_and_a_probe_without_a_body_gets_a_402_that_nothing_is_lost_by() {
    let stand = stand().await;
    let stack = &stand.stack;
    let listed = get(stack, "/.well-known/x402").await.json();
    assert_eq!(listed["version"], 1);
    let resources: Vec<_> =
        listed["resources"].as_array().unwrap().iter().map(|url| url.as_str().unwrap()).collect();
    for path in ["/v1/inference", "/v1/chat/completions", "/nano"] {
        assert!(resources.contains(&format!("{}{path}", stack.gateway).as_str()), "{path} in {resources:?}");
    }
    assert!(
        !resources.iter().any(|url| url.ends_with("/v1/embeddings")),
        "nobody sells embeddings: {resources:?}"
    );
    let document = get(stack, "/openapi.json").await.json();
    for url in &resources {
        let path = url.strip_prefix(&stack.gateway).unwrap();
        let probed = probe(stack, reqwest::Method::POST, path).await;
        let required = required(&probed);
        assert_eq!(required["resource"]["url"], **url);
        assert_ne!(required["accepts"][0]["amount"], "0");
        assert!(required["accepts"][0]["extra"].get("quoteId").is_none());
        assert_eq!(required["extensions"]["bazaar"]["info"]["input"]["method"], "POST", "{required}");
        // Nobody is told a contract: what is sent through it would pay for nothing.
        assert!(
            !probed.headers.contains_key("x-payment-details")
                && !probed.headers.contains_key("www-authenticate")
        );
        assert!(probed.json().get("paymentContract").is_none(), "{}", probed.body);
        // The example in it is a request that is sold.
        let example = &required["extensions"]["bazaar"]["info"]["input"]["body"];
        let asked = stack.post(url, example, &[]).await;
        assert_eq!(asked.status, StatusCode::PAYMENT_REQUIRED, "{path} {example}: {}", asked.body);
        assert!(asked.headers.contains_key("x-payment-details"), "{path}");
        let info = &document["paths"][path]["post"]["x-payment-info"];
        assert_eq!(info["protocols"], json!(["x402", "mpp"]), "{path}: {info}");
        assert_eq!(info["offers"][0]["currency"], stand.wrapped.address.to_string());
        assert!(document["paths"][path]["post"]["responses"]["402"].is_object());
    }
    let priced = document["paths"].as_object().unwrap().iter().filter(|(path, item)| {
        item["post"].get("x-payment-info").is_some()
            && !resources.contains(&format!("{}{path}", stack.gateway).as_str())
    });
    assert_eq!(priced.count(), 0);

    // What is signed for a probe is not settled.
    let probed = required(&probe(stack, reqwest::Method::POST, "/v1/inference").await);
    let amount = probed["accepts"][0]["amount"].as_str().unwrap().parse().unwrap();
    let terms = Terms::new(PAYEE.parse().unwrap(), amount, 1);
    let mut payload = X402Payer::new().eip3009(&stand.wrapped, &terms)["paymentPayload"].take();
    payload["accepted"] = probed["accepts"][0].clone();
    let signed = STANDARD.encode(payload.to_string());
    let url = format!("{}/v1/inference", stack.gateway);
    let answer = stack.client.post(url).header("payment-signature", signed).send().await.unwrap();
    assert!(
        answer.status().is_client_error() && answer.status() != StatusCode::PAYMENT_REQUIRED,
        "{}",
        answer.status()
    );
    assert_eq!(stand.paid(&stand.wrapped).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_path_is_so_of_what_is_sold_there() {
    // The first by its name and the cheapest, and no model of texts.
    let vectors = "[gateway.models.a-vectors]\nupstream = \"UPSTREAM\"\nprice_per_request = \"1\"\napis = [\"embeddings\"]\n";
    let route =
        "[[gateway.routes]]\nname = \"auto\"\ncandidates = [\"counted\"]\nprice_per_request = \"5\"\n";
    let stand = stand_with(format!("{route}{vectors}")).await;
    let stack = &stand.stack;
    let told = get(stack, "/").await.json();
    let of = |path: &str| {
        let sold = told["sold"].as_array().unwrap().iter();
        sold.clone()
            .find(|sold| sold["url"].as_str().unwrap().ends_with(path))
            .unwrap_or_else(|| panic!("{path}"))
            .clone()
    };
    for path in ["/v1/inference", "/v1/inference/stream", "/v1/inference/batch"] {
        assert_eq!(of(path)["models"], json!(["counted", "demo"]), "{path}");
    }
    assert_eq!(of("/v1/embeddings")["models"], json!(["a-vectors"]));
    assert!(told["copy"].as_str().unwrap().contains("\"counted\""), "{told}");

    let least = async |path: &str| {
        let required = required(&probe(stack, reqwest::Method::POST, path).await);
        let example = required["extensions"]["bazaar"]["info"]["input"]["body"].clone();
        let asked = stack.post(&format!("{}{path}", stack.gateway), &example, &[]).await;
        assert_eq!(asked.status, StatusCode::PAYMENT_REQUIRED, "{path} {example}: {}", asked.body);
        let amount = |value: &Value| value.as_str().unwrap().parse::<u128>().unwrap();
        let least = amount(&required["accepts"][0]["amount"]);
        assert!(least <= amount(&asked.json()["amount"]), "{path}: {least}");
        least
    };
    let one = least("/v1/inference").await;
    assert!(one > 1, "the price of a model of texts: {one}");
    assert_eq!(least("/v1/inference/batch").await, one - one / 20);
    assert_eq!(least("/v1/inference/routed").await, 5);
    assert_eq!(least("/v1/embeddings").await, 1);

    // An agent that names no model asks one of texts. What could not be paid for is refused before it is.
    let said = |text: String| {
        json!({ "jsonrpc": "2.0", "id": 1, "method": "message/send",
            "params": { "message": { "messageId": "1", "role": "user", "parts": [{ "kind": "text", "text": text }] } } })
    };
    let url = format!("{}/a2a", stack.gateway);
    let task = stack.post(&url, &said("x".into()), &[]).await.json();
    assert_eq!(task["result"]["status"]["state"], "input-required", "{task}");
    let long = stack.post(&url, &said("x".repeat(190_000)), &[]).await;
    assert_eq!(long.json()["error"]["code"], -32602, "{}", &long.body[..long.body.len().min(300)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_front_is_a_page_for_people_and_json_for_programs_with_a_line_to_copy() {
    let stand = stand().await;
    let stack = &stand.stack;
    let page = stack.client.get(&stack.gateway).header(ACCEPT, "text/html,*/*;q=0.8").send().await.unwrap();
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(page.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    let page = page.text().await.unwrap();
    assert!(
        page.contains("/v1/chat/completions") && page.contains("SALT") && !page.contains("<script"),
        "{page}"
    );
    let told = get(stack, "/").await.json();
    assert_eq!(told["payment"]["payee"], PAYEE);
    // The line, as curl would send it.
    let line = told["copy"].as_str().unwrap();
    let url = line.split_whitespace().find(|word| word.starts_with("http")).unwrap();
    let body: Value = serde_json::from_str(line.split('\'').nth(3).unwrap()).unwrap();
    assert_eq!(stack.post(url, &body, &[]).await.status, StatusCode::PAYMENT_REQUIRED);

    let text = get(stack, "/llms.txt").await;
    assert!(text.body.starts_with("# 127.0.0.1:") && text.body.contains("`counted`"), "{}", text.body);
    assert!(get(stack, "/robots.txt").await.body.starts_with("User-agent: *"));
    assert_eq!(get(stack, "/models").await.body, get(stack, "/v1/models").await.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_finds_the_card_and_pays_by_messages() {
    let stand = stand().await;
    let stack = &stand.stack;
    let card = get(stack, "/.well-known/agent-card.json").await.json();
    assert_eq!(get(stack, "/.well-known/agent.json").await.json(), card);
    let interface = &card["supportedInterfaces"][0];
    assert_eq!(
        (&interface["protocolBinding"], &interface["protocolVersion"]),
        (&json!("JSONRPC"), &json!("1.0"))
    );
    let extension = &card["capabilities"]["extensions"][0];
    assert!(extension["uri"].as_str().unwrap().ends_with("a2a-x402/blob/main/spec/v0.2"), "{card}");
    let url = interface["url"].as_str().unwrap();
    let extensions = [("a2a-extensions", extension["uri"].as_str().unwrap())];
    let ask = async |method: &str, params: Value, headers: &[(&str, &str)]| {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let answer = stack.post(url, &body, headers).await;
        assert_eq!((answer.status, &answer.json()["id"]), (StatusCode::OK, &json!(7)), "{}", answer.body);
        answer.json()
    };
    let call =
        async |method: &str, message: Value| ask(method, json!({ "message": message }), &extensions).await;
    for (number, method, get, input_required, completed) in [
        (1, "SendMessage", "GetTask", "TASK_STATE_INPUT_REQUIRED", "TASK_STATE_COMPLETED"),
        (2, "message/send", "tasks/get", "input-required", "completed"),
    ] {
        let task = |answer: &Value| match method {
            "SendMessage" => answer["result"]["task"].clone(),
            _ => answer["result"].clone(),
        };
        let said = json!({
            "messageId": "1", "role": "ROLE_USER", "parts": [{ "text": format!("by {method}") }],
            "metadata": { "model": "counted" }, "contextId": "a talk",
        });
        let asked = task(&call(method, said.clone()).await);
        assert_eq!(asked["status"]["state"], input_required, "{asked}");
        assert_eq!(asked["contextId"], "a talk");
        let metadata = &asked["status"]["message"]["metadata"];
        assert_eq!(metadata["x402.payment.status"], "payment-required");
        let stands = async || ask(get, json!({ "id": asked["id"] }), &[]).await["result"].clone();
        let unpaid = stands().await;
        assert_eq!((&unpaid["id"], &unpaid["status"]["state"]), (&asked["id"], &json!(input_required)));
        let way = &metadata["x402.payment.required"]["accepts"][0];
        let terms =
            Terms::new(PAYEE.parse().unwrap(), way["amount"].as_str().unwrap().parse().unwrap(), number);
        let mut payload = X402Payer::new().eip3009(&stand.wrapped, &terms)["paymentPayload"].take();
        payload["accepted"] = way.clone();
        let before = stand.paid(&stand.wrapped).await;
        let pays = json!({
            "messageId": "2", "role": "ROLE_USER", "taskId": asked["id"], "parts": [{ "text": "pay" }],
            "metadata": { "x402.payment.status": "payment-submitted", "x402.payment.payload": payload },
        });
        let paid = task(&call(method, pays.clone()).await);
        assert_eq!((&paid["id"], &paid["status"]["state"]), (&asked["id"], &json!(completed)), "{paid}");
        let metadata = &paid["status"]["message"]["metadata"];
        assert_eq!(metadata["x402.payment.status"], "payment-completed");
        assert_eq!(metadata["x402.payment.receipts"][0]["success"], true, "{paid}");
        assert!(paid["artifacts"][0]["parts"][0]["text"].is_string());
        assert_eq!(stand.paid(&stand.wrapped).await - before, terms.amount);
        // Whoever has its id is told the answer; what a task of the same words has for an id, nobody can know.
        assert_eq!(stands().await, paid);
        assert_eq!(ask("CancelTask", json!({ "id": asked["id"] }), &[]).await["error"]["code"], -32002);
        let same = task(&call(method, said.clone()).await);
        assert_eq!(same["status"]["state"], input_required, "{same}");
        assert_ne!(same["id"], asked["id"]);
        // The same again is the same answer, and another task is not paid by it.
        let again = task(&call(method, pays.clone()).await);
        assert_eq!(again["artifacts"], paid["artifacts"]);
        let mut other = said.clone();
        other["parts"][0]["text"] = json!(format!("another by {method}"));
        let other = task(&call(method, other).await);
        let mut stolen = pays;
        stolen["taskId"] = other["id"].clone();
        let refused = task(&call(method, stolen).await);
        let metadata = &refused["status"]["message"]["metadata"];
        assert_eq!(metadata["x402.payment.status"], "payment-failed", "{refused}");
        assert_eq!(metadata["x402.payment.error"], "signature_used");
        assert_eq!(stand.paid(&stand.wrapped).await - before, terms.amount);
    }
    assert_eq!(stack.upstream.asked(), 2);
    let (said, unknown) = (json!({ "parts": [{ "text": "x" }] }), json!({ "id": "eyJhIjoxfQ" }));
    for (method, params, headers, code) in [
        ("SendMessage", json!({ "message": said }), &[][..], -32008),
        ("SendMessage", json!({ "message": said }), &[extensions[0], ("a2a-version", "2.0")], -32009),
        ("SendMessage", json!({ "message": { "parts": [{ "data": {} }] } }), &extensions, -32602),
        (
            "SendMessage",
            json!({ "message": { "parts": [], "metadata": { "x402.payment.status": "payment-submitted" } } }),
            &extensions,
            -32602,
        ),
        ("GetTask", unknown.clone(), &extensions, -32001),
        ("CancelTask", unknown.clone(), &extensions, -32001),
        ("SendStreamingMessage", json!({ "message": said }), &extensions, -32004),
        ("SubscribeToTask", unknown.clone(), &extensions, -32004),
        ("CreateTaskPushNotificationConfig", unknown.clone(), &extensions, -32003),
        ("GetExtendedAgentCard", json!({}), &extensions, -32004),
        ("Nothing", unknown, &extensions, -32601),
    ] {
        assert_eq!(ask(method, params, headers).await["error"]["code"], code, "{method}");
    }
    assert_eq!(ask("ListTasks", json!({}), &[]).await["result"]["tasks"], json!([]));
}

/// An agent whose model server fails is led to send the same payment again, and to no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_paid_for_and_not_answered_yet_is_working_and_one_that_never_will_be_says_that_it_was_paid()
 {
    let stand = stand().await;
    let stack = &stand.stack;
    let url = format!("{}/a2a", stack.gateway);
    let ask = async |method: &str, params: Value| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        stack.post(&url, &body, &[]).await.json()["result"].clone()
    };
    let call = async |message: Value| ask("message/send", json!({ "message": message })).await;
    for (number, ends) in [(1, "completed"), (2, "failed")] {
        let parts = json!([{ "kind": "text", "text": format!("question {number}") }]);
        let asked = call(json!({ "messageId": "1", "role": "user", "parts": parts })).await;
        let way = asked["status"]["message"]["metadata"]["x402.payment.required"]["accepts"][0].clone();
        let terms =
            Terms::new(PAYEE.parse().unwrap(), way["amount"].as_str().unwrap().parse().unwrap(), number);
        let mut payload = X402Payer::new().eip3009(&stand.wrapped, &terms)["paymentPayload"].take();
        payload["accepted"] = way;
        let before = stand.paid(&stand.wrapped).await;
        match ends {
            "completed" => stack.upstream.fail(1),
            _ => stack.upstream.script(Scripted::json(400, r#"{"error":{"message":"no such question"}}"#)),
        }
        let pays = json!({
            "messageId": "2", "role": "user", "taskId": asked["id"], "parts": [{ "kind": "text", "text": "pay" }],
            "metadata": { "x402.payment.status": "payment-submitted", "x402.payment.payload": payload },
        });
        let mut waited = 0;
        let ended = loop {
            let told = call(pays.clone()).await;
            if told["status"]["state"] != "working" {
                break told;
            }
            assert_eq!(told["status"]["message"]["metadata"]["x402.payment.status"], "payment-submitted");
            waited += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
            // To ask for it is as good as to send it again.
            let told = ask("tasks/get", json!({ "id": asked["id"] })).await;
            assert!(told["status"]["message"]["metadata"].get("x402.payment.required").is_none(), "{told}");
            if told["status"]["state"] != "working" {
                break told;
            }
        };
        assert_eq!(waited > 0, ends == "completed", "{ended}");
        assert_eq!(ended["status"]["state"], ends, "{ended}");
        let metadata = &ended["status"]["message"]["metadata"];
        assert_eq!(metadata["x402.payment.status"], "payment-completed", "{ended}");
        if ends == "failed" {
            assert_eq!(metadata["x402.payment.error"], "not_served", "{ended}");
        }
        assert_eq!(stand.paid(&stand.wrapped).await - before, terms.amount);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_has_at_its_own_paths_is_the_services() {
    let service = TestService::start().await;
    let stack = Stack::start_with(SALT402, selling(&service, "", &[FREE, PAID])).await;
    let listed = get(&stack, "/.well-known/x402").await.json();
    let listed = listed["resources"].as_array().unwrap();
    assert!(listed.iter().all(|url| !url.as_str().unwrap().ends_with('*')), "{listed:?}");
    let text = get(&stack, "/llms.txt").await.body;
    assert!(text.contains("/paid/*") && !text.contains("/free/"), "{text}");
    // Without signatures nobody could be told how to pay for a probe, and no agent could pay.
    let probed = probe(&stack, reqwest::Method::POST, "/v1/inference").await;
    assert!(!probed.headers.contains_key("payment-required"), "{}", probed.body);
    let card = get(&stack, "/.well-known/agent-card.json").await.json();
    assert_eq!(card["supportedInterfaces"][0]["protocolBinding"], "OPENAPI");
    assert_eq!(card["capabilities"]["extensions"], json!([]));
    assert!(service.received().is_empty());

    // Only what it has: a service may sell another method of a path where this server tells of itself.
    let posts = "price = \"777\"\nmethods = [\"POST\"]";
    let paths = ["/", "/models", "/llms.txt", "/.well-known/agent.json"].map(|path| (path, posts));
    let stack = Stack::start_with(SALT402, selling(&service, "", &paths)).await;
    for (path, _) in paths {
        assert_eq!(probe(&stack, reqwest::Method::GET, path).await.status, StatusCode::OK, "{path}");
        let unpaid = probe(&stack, reqwest::Method::POST, path).await;
        assert_eq!(unpaid.status, StatusCode::PAYMENT_REQUIRED, "{path}: {}", unpaid.body);
        assert_eq!(unpaid.json()["amount"], "777");
        assert!(!unpaid.headers.contains_key("allow"));
        assert_eq!(probe(&stack, reqwest::Method::PUT, path).await.status, StatusCode::NOT_FOUND);
    }

    let all = selling(&service, "", &[("/*", "price = \"0\"")]);
    let stack = Stack::start_with(SALT402, all).await;
    assert_eq!(get(&stack, "/").await.body, "well", "the service's own, which it does not count");
    for path in ["/robots.txt", "/llms.txt", "/.well-known/agent.json"] {
        let before = service.received().len();
        let answer = probe(&stack, reqwest::Method::GET, path).await;
        assert_eq!(service.received().len(), before + 1, "{path}: {answer:?}");
    }
    assert_eq!(get(&stack, "/v1/models").await.json()["object"], "list");
}
