//! T18: floods against the running service. They cost the node a bounded number of questions, and the database nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use reqwest::StatusCode;
use salt402_protocol::B256;
use salt402_tests::{NodeProxy, Stack, StackOptions, TestPayer, inference, payment_details};
use serde_json::json;

use crate::SALT402;

/// Requests of a flood, and how many of them are under way at once.
const FLOOD: usize = 1500;
const AT_ONCE: usize = 32;
/// Look-ups that the service makes for hashes that it does not know: so many at once, and so many a second.
const BURST: u64 = 40;
const PER_SECOND: u64 = 20;

/// A stack whose only node counts what it is asked.
async fn counted(options: StackOptions) -> (Stack, NodeProxy) {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    let proxy = NodeProxy::before(stack.anvil.http()).await;
    stack.configure(&StackOptions {
        nodes: format!("[[chains.local.nodes]]\nrpc = \"{}\"", proxy.http()),
        ..options
    });
    stack.up().await;
    (stack, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn t18_a_flood_of_made_up_hashes_costs_the_node_little_and_hides_no_payment() {
    let (stack, proxy) = counted(StackOptions { gateway: "wait_ms = 0".into(), ..Default::default() }).await;
    let (mut details, mut bodies) = (Vec::new(), Vec::new());
    for number in 0..3 {
        bodies.push(inference(&format!("genuine {number}")));
        details.push(stack.quote(&bodies[number]).await);
    }
    let before = proxy.calls();
    let started = Instant::now();
    let flood = async {
        let made_up = (0..FLOOD).map(|number| {
            // Every fifth is the same one, and the others are new.
            let number = if number % 5 == 0 { 0 } else { number };
            let hash = B256::left_padding_from(&(number as u64 + 1).to_be_bytes());
            let (stack, body) = (&stack, inference("made up"));
            async move { stack.infer_with(&body, hash).await }
        });
        futures::stream::iter(made_up).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await
    };
    let genuine = async {
        let mut answers = Vec::new();
        for (body, details) in bodies.iter().zip(&details) {
            let proof = stack.payer().pay(details).await;
            let mut answer = stack.infer_with(body, proof).await;
            while answer.status == StatusCode::PAYMENT_REQUIRED && answer.code() == "payment_not_seen" {
                answer = stack.infer_with(body, proof).await;
            }
            answers.push(answer);
        }
        answers
    };
    let (refused, answers) = tokio::join!(flood, genuine);
    let took = started.elapsed().as_secs() + 1;
    for answer in &refused {
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.body);
        assert_eq!(answer.code(), "payment_not_seen");
    }
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    assert_eq!(stack.upstream.asked(), 3);
    let asked = since(&before, &proxy.calls());
    let allowed = BURST + PER_SECOND * took;
    eprintln!("{FLOOD} made-up hashes in {took} s or less: {asked:?}, {allowed} look-ups allowed");
    let receipts = asked.get("eth_getTransactionReceipt").copied().unwrap_or(0);
    assert!(receipts <= allowed, "{receipts} look-ups in {took} s");
    assert!(receipts < FLOOD as u64 / 2, "the flood was too slow to show anything: {receipts}");
    // Nothing else is asked for them: what remains is the follower's, which asks as often without a flood.
    let following =
        ["eth_getBlockByNumber", "eth_getBlockByHash", "eth_getLogs", "eth_getBlockReceipts", "eth_chainId"];
    let others: u64 = asked
        .iter()
        .filter(|(method, _)| !following.contains(&method.as_str()) && *method != "eth_getTransactionReceipt")
        .map(|(_, calls)| calls)
        .sum();
    assert_eq!(others, 0, "{asked:?}");
}

/// One unpaid 402 gives an authentic quote id, and with it made-up hashes: they take none of the looks of whoever has paid and
/// whose log the node leaves out.
#[tokio::test(flavor = "multi_thread")]
async fn t18_a_flood_of_clients_that_show_quotes_and_hang_up_hides_no_payment() {
    let options = StackOptions {
        gateway: "wait_ms = 0".into(),
        chain: "completeness = \"off\"".into(),
        ..Default::default()
    };
    let (mut stack, proxy) = counted(options).await;
    let own = |from| [("x-payment-binding", "quote"), ("x-forwarded-for", from)];
    let (payer, stranger) = ("203.0.113.2", "203.0.113.1");
    let body = inference("paid for");
    let details = payment_details(&stack.infer(&body, &own(payer)).await);
    let made_up = inference("made up");
    let mut quotes = Vec::new();
    for _ in 0..20 {
        quotes.push(payment_details(&stack.infer(&made_up, &own(stranger)).await).quote_id);
    }
    proxy.answers(|method, told| if method == "eth_getLogs" { json!([]) } else { told });
    let proof = stack.payer().pay(&details).await.to_string();
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.status().await["chains"][0]["payments"], 0);

    let (before, started) = (proxy.calls(), Instant::now());
    let flood = async {
        let shown = (0..FLOOD as u64).map(|number| {
            let hash = B256::left_padding_from(&(number + 1).to_be_bytes()).to_string();
            let (stack, made_up, quotes) = (&stack, &made_up, &quotes);
            async move {
                let quote = quotes[number as usize % quotes.len()].as_str();
                let headers = [
                    ("x-payment-proof", hash.as_str()),
                    ("x-payment-quote", quote),
                    ("x-forwarded-for", stranger),
                ];
                let asked = stack.infer(made_up, &headers);
                if let Ok(answer) = tokio::time::timeout(Duration::from_millis(20), asked).await {
                    assert_eq!(answer.code(), "payment_not_seen", "{}", answer.body);
                }
            }
        });
        futures::stream::iter(shown).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.len()
    };
    let mut tries = 0;
    let genuine = async {
        // In the middle of it.
        while since(&before, &proxy.calls()).get("eth_getTransactionReceipt").is_none_or(|asked| *asked < 5) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let quote = details.quote_id.as_str();
        let headers =
            [("x-payment-proof", proof.as_str()), ("x-payment-quote", quote), ("x-forwarded-for", payer)];
        loop {
            tries += 1;
            let answer = stack.infer(&body, &headers).await;
            if answer.status == StatusCode::OK || answer.code() != "payment_not_seen" {
                return answer;
            }
        }
    };
    let (_, answer) = tokio::join!(flood, genuine);
    let took = started.elapsed().as_secs() + 1;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let looks = since(&before, &proxy.calls())["eth_getTransactionReceipt"];
    eprintln!(
        "{FLOOD} clients in {took} s or less: {looks} look-ups; the payer showed its proof {tries} times"
    );
    // What one address may have, and what the payer and the second reading of its receipt took.
    assert!(looks <= 10 + 2 * took + 2 * tries, "{looks} look-ups in {took} s, {tries} tries");
}

fn since(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let more =
        |(method, calls): (&String, &u64)| (method.clone(), calls - before.get(method).copied().unwrap_or(0));
    after.iter().map(more).filter(|(_, calls)| *calls > 0).collect()
}

/// The rows of every table of every database of a stack.
fn rows(stack: &Stack) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    for file in std::fs::read_dir(stack.folder().join("data")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "db") {
            continue;
        }
        let database =
            rusqlite::Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut tables =
            database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
        let tables: Vec<String> =
            tables.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        for table in tables {
            let counted = database
                .query_row(&format!("SELECT COUNT(*) FROM \"{table}\""), [], |row| row.get::<_, i64>(0));
            let name = format!("{}:{table}", path.file_name().unwrap().to_string_lossy());
            rows.insert(name, u64::try_from(counted.unwrap()).unwrap());
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn t18_a_flood_of_unpaid_requests_and_quotes_stores_nothing() {
    let mut stack = Stack::start_with(SALT402, crate::proxies::priced()).await;
    stack.indexed(stack.anvil.height().await).await;
    let before = rows(&stack);
    assert!(before.keys().any(|name| name.ends_with(":payments")), "{before:?}");
    let asked = (0..FLOOD).map(|number| {
        let stack = &stack;
        async move {
            match number % 4 {
                // Bodies that differ, with quotes that can be derived again and with random ones.
                0 => stack.infer(&inference(&format!("unpaid {number}")), &[]).await.status,
                1 => {
                    let own = [("x-payment-binding", "quote")];
                    stack.infer(&inference(&format!("unpaid {number}")), &own).await.status
                }
                2 => {
                    let uri = format!("/paid/{number}");
                    let headers = [("x-forwarded-method", "GET"), ("x-forwarded-uri", uri.as_str())];
                    let mut request = stack.client.get(format!("{}/v1/forward-auth", stack.verifier));
                    for (name, value) in headers {
                        request = request.header(name, value);
                    }
                    request.send().await.unwrap().status()
                }
                _ => {
                    let terms = json!({
                        "chain": "eip155:40204", "payee": salt402_tests::PAYEE, "asset": "native",
                        "amount": (number + 1).to_string(), "request_digest": B256::repeat_byte(7),
                    });
                    stack.post(&format!("{}/v1/quotes", stack.verifier), &terms, &[]).await.status
                }
            }
        }
    });
    let answers: Vec<StatusCode> = futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!(
        (count(StatusCode::PAYMENT_REQUIRED), count(StatusCode::OK)),
        (FLOOD - FLOOD / 4, FLOOD / 4),
        "{answers:?}"
    );
    assert_eq!(rows(&stack), before);
    assert_eq!(stack.upstream.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn t18_an_account_is_held_to_its_limit_however_many_of_its_payments_are_shown_at_once() {
    let sections = "[limits]\nper_account = { per_minute = 1, burst = 2 }";
    let options =
        StackOptions { sections: sections.into(), gateway: "wait_ms = 0".into(), ..Default::default() };
    let mut stack = Stack::start_with(SALT402, options).await;
    let mut paid = Vec::new();
    for number in 0..6 {
        let body = inference(&format!("of one account {number}"));
        let details = stack.quote(&body).await;
        let proof = stack.payer().pay(&details).await;
        paid.push((body, proof));
    }
    stack.indexed(stack.anvil.height().await).await;
    let shown = paid.iter().map(|(body, proof)| stack.infer_with(body, *proof));
    let answers = futures::future::join_all(shown).await;
    let granted: Vec<usize> =
        (0..paid.len()).filter(|place| answers[*place].status == StatusCode::OK).collect();
    assert_eq!(granted.len(), 2, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != StatusCode::OK) {
        assert_eq!((answer.status, answer.code()), (StatusCode::TOO_MANY_REQUESTS, "account_limited".into()));
        assert!(
            answer.headers.contains_key("retry-after") && !answer.headers.contains_key("x-payment-details")
        );
    }
    assert_eq!(stack.upstream.asked(), 2);
    // What was granted is answered, and another account has a limit of its own.
    for place in granted {
        let (body, proof) = &paid[place];
        assert_eq!(stack.infer_with(body, *proof).await.body, answers[place].body);
    }
    let body = inference("of another account");
    let details = payment_details(&stack.infer(&body, &[]).await);
    let proof = TestPayer::submitter(&stack.anvil).pay(&details).await;
    stack.indexed(stack.anvil.height().await).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!((stack.upstream.asked(), stack.status().await["claims"].as_u64()), (3, Some(3)));
}
