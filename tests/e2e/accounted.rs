//! Requests of every kind at once, by every way of paying, with kills: in the end each is served for what it paid, and every base
//! unit is accounted for, on the chain and in the rows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy_primitives::U256;
use futures::future::join_all;
use reqwest::StatusCode;
use salt402_protocol::{Address, Asset};
use salt402_tests::x402::{Token, X402Payer};
use salt402_tests::{
    Answer, Facilitating, FacilitatorOptions, PAYEE, StackOptions, TestChannel, TestPayer, TestService,
    payment_details,
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::SALT402;
use crate::charging::{CHAT, chat, sign_ceiling};
use crate::keys::figure;
use crate::keys_bought::{buy, paid as bought_by, pairs};
use crate::signed::{SIGNATURES, required, sign};
use crate::vouchers::{accounts, opened};

/// How many requests there are, beside those by vouchers. `make test-long` has a thousand.
const REQUESTS: u64 = 54;
/// How much the key's balance is made of.
const CREDIT: u64 = 100_000_000;
/// What a request to the model costs that is charged its bound.
const BOUND: u64 = 1016;
const CHANNELS: u8 = 3;
/// Within which time they begin.
const BEGINNING: Duration = Duration::from_secs(5);
/// For how long somebody asks again.
const PATIENCE: Duration = Duration::from_secs(240);

/// By what is paid, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Transaction,
    TransactionForAStream,
    TransactionForABatch,
    TransactionForARoute,
    SignatureForAStream,
    SignatureForAService,
    CeilingForAnAnswer,
    CeilingForAStream,
    Key,
    Voucher,
}

const KINDS: [Kind; 9] = [
    Kind::Transaction,
    Kind::TransactionForAStream,
    Kind::TransactionForABatch,
    Kind::TransactionForARoute,
    Kind::SignatureForAStream,
    Kind::SignatureForAService,
    Kind::CeilingForAnAnswer,
    Kind::CeilingForAStream,
    Kind::Key,
];

const BY_TRANSACTION: [Kind; 4] =
    [Kind::Transaction, Kind::TransactionForAStream, Kind::TransactionForABatch, Kind::TransactionForARoute];

const BY_SIGNATURE: [Kind; 4] = [
    Kind::SignatureForAStream,
    Kind::SignatureForAService,
    Kind::CeilingForAnAnswer,
    Kind::CeilingForAStream,
];

/// A request with what pays for it.
struct Paid {
    kind: Kind,
    path: &'static str,
    body: Value,
    headers: Vec<(&'static str, String)>,
    /// What was paid, or may be charged.
    authorized: u64,
}

/// What became of it.
struct Served {
    paid: Paid,
    answer: Answer,
}

fn options() -> StackOptions {
    let sections = "
[gateway.models.bound]
upstream = \"UPSTREAM\"
price_per_request = \"1000\"
price_per_token = \"1\"
default_tokens = 16
max_tokens = 4096

[[gateway.routes]]
name = \"auto\"
candidates = [\"bound\"]

[[gateway.services]]
name = \"rows\"
upstream = \"SERVICE\"
keep_answers_bytes = 4096

[[gateway.services.paths]]
path = \"/rows/*\"
price = \"5000\"
";
    StackOptions {
        chain: "vouchers = true".into(),
        payment: format!("{SIGNATURES}upto = true\n"),
        model: "charge = \"used\"\nprice_per_prompt_token = \"10\"".into(),
        gateway: "leave_grace_s = 5\nmax_runs = 100\nkeys = { least = \"1000\", most = \"100000000000\" }"
            .into(),
        sections: sections.into(),
        ..StackOptions::default()
    }
}

/// Asks again, through every kill, until the payment is served. Nothing may lead the payer to pay again meanwhile.
async fn persist(client: &reqwest::Client, gateway: &str, paid: &Paid) -> Answer {
    let give_up = Instant::now() + PATIENCE;
    let streamed = paid.body["stream"] == true || paid.path == "/v1/inference/stream";
    let mut last = String::new();
    while Instant::now() < give_up {
        let mut request = client.post(format!("{gateway}{}", paid.path)).json(&paid.body);
        for (name, value) in &paid.headers {
            request = request.header(*name, value);
        }
        let mut pause = Duration::from_millis(50);
        if let Ok(response) = request.send().await {
            let (status, headers) = (response.status(), response.headers().clone());
            match response.text().await {
                Ok(body) if status.is_success() && (!streamed || body.contains("data: [DONE]")) => {
                    return Answer { status, headers, body };
                }
                Ok(body) => {
                    let answer = Answer { status, headers, body };
                    for name in ["payment-required", "x-payment-details", "www-authenticate"] {
                        assert!(
                            !answer.headers.contains_key(name),
                            "{:?} is led to pay again: {}",
                            paid.kind,
                            answer.body
                        );
                    }
                    last = format!("{status} {}", answer.body);
                    let told: Value = serde_json::from_str(&answer.body).unwrap_or_default();
                    let after = told["retry_after_ms"].as_u64().unwrap_or(200);
                    pause = Duration::from_millis(after.clamp(50, 3000));
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep(pause).await;
    }
    panic!("{:?} was paid for and not served: {last}", paid.kind);
}

/// What is asked for a request, through every kill.
async fn asked(client: &reqwest::Client, url: &str, body: &Value) -> Answer {
    let give_up = Instant::now() + PATIENCE;
    while Instant::now() < give_up {
        if let Ok(response) = client.post(url).json(body).send().await {
            let (status, headers) = (response.status(), response.headers().clone());
            if let Ok(body) = response.text().await
                && status == StatusCode::PAYMENT_REQUIRED
            {
                return Answer { status, headers, body };
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{url} offered nothing");
}

/// Those who pay.
struct Payers {
    client: reqwest::Client,
    gateway: String,
    /// One after another, for the nonces of its account.
    sender: Mutex<TestPayer>,
    signer: X402Payer,
    wrapped: Token,
    key: String,
}

impl Payers {
    /// Asks for a request of a kind, and pays for it.
    async fn pay(&self, kind: Kind, number: u64) -> Paid {
        let text = format!("request {number}");
        let chat = |model: &str, stream: bool| {
            let mut body = chat(&text, stream);
            body["model"] = json!(model);
            body
        };
        let inference = |end: &str| json!({ "model": "bound", "prompt": format!("{text}{end}") });
        let (path, body) = match kind {
            Kind::Transaction | Kind::Voucher => ("/v1/inference", inference("")),
            Kind::TransactionForAStream => ("/v1/inference/stream", inference("")),
            Kind::TransactionForABatch => {
                ("/v1/inference/batch", json!({ "requests": [inference(" one"), inference(" two")] }))
            }
            Kind::TransactionForARoute => {
                ("/v1/inference/routed", json!({ "model": "auto", "prompt": text }))
            }
            Kind::SignatureForAStream => (CHAT, chat("bound", true)),
            Kind::SignatureForAService => ("/rows/x", json!({ "query": text })),
            Kind::CeilingForAnAnswer | Kind::Key => (CHAT, chat("counted", false)),
            Kind::CeilingForAStream => (CHAT, chat("counted", true)),
        };
        let paid = Paid { kind, path, body, headers: Vec::new(), authorized: 0 };
        match kind {
            Kind::Voucher => Paid { authorized: BOUND, ..paid },
            Kind::Key => {
                let authorization = format!("Bearer {}", self.key);
                let headers =
                    vec![("authorization", authorization), ("idempotency-key", format!("request-{number}"))];
                Paid { headers, authorized: CREDIT, ..paid }
            }
            _ => self.offered(paid, number).await,
        }
    }

    /// Pays what is asked for a request.
    async fn offered(&self, paid: Paid, number: u64) -> Paid {
        let offer = asked(&self.client, &format!("{}{}", self.gateway, paid.path), &paid.body).await;
        if BY_TRANSACTION.contains(&paid.kind) {
            let details = payment_details(&offer);
            let hash = self.sender.lock().await.pay(&details).await;
            let headers = vec![
                ("x-payment-proof", hash.to_string()),
                ("x-payment-quote", details.quote_id.as_str().to_owned()),
            ];
            return Paid { headers, authorized: details.amount.0.to(), ..paid };
        }
        let mut required = required(&offer);
        let is_ceiling = matches!(paid.kind, Kind::CeilingForAnAnswer | Kind::CeilingForAStream);
        let scheme = if is_ceiling { "upto" } else { "exact" };
        let accepts = required["accepts"].as_array_mut().unwrap();
        accepts.retain(|offered| offered["scheme"] == scheme);
        let authorized = accepts[0]["amount"].as_str().unwrap().parse().unwrap();
        let signed = if is_ceiling {
            sign_ceiling(&self.wrapped, &self.signer, &required, number, u64::MAX)
        } else {
            sign(&self.signer, &self.wrapped, &required, number)
        };
        Paid { headers: vec![("payment-signature", signed)], authorized, ..paid }
    }

    /// A request of a kind, until it is served.
    async fn served(&self, kind: Kind, number: u64) -> Served {
        let paid = self.pay(kind, number).await;
        self.shown(paid).await
    }

    async fn shown(&self, paid: Paid) -> Served {
        let answer = persist(&self.client, &self.gateway, &paid).await;
        Served { paid, answer }
    }

    /// Requests by the vouchers of a channel, one after another.
    async fn by_vouchers(&self, channel: &TestChannel, first: u64, requests: u64) -> Vec<Served> {
        let mut served = Vec::new();
        for number in 0..requests {
            let mut paid = self.pay(Kind::Voucher, first + number).await;
            paid.headers = vec![("x-payment-proof", channel.proof((number + 1) * BOUND))];
            served.push(self.shown(paid).await);
        }
        served
    }
}

/// Kills the process again and again, at moments that a seed draws, until everything is served.
async fn kill(stand: &mut Facilitating, ended: &AtomicBool, mut drawn: u64) -> u32 {
    let mut kills = 0;
    while !ended.load(Ordering::SeqCst) {
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tokio::time::sleep(Duration::from_millis(100 + (drawn >> 33) % 900)).await;
        stand.stack.kill();
        stand.up().await;
        kills += 1;
    }
    kills
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What a model server was asked for, by what the client wrote.
fn asked_for(served: &Served) -> Vec<String> {
    let body = &served.paid.body;
    let text = |body: &Value| {
        let chat = body["messages"][0]["content"].as_str();
        chat.or_else(|| body["prompt"].as_str()).map(str::to_owned)
    };
    match body["requests"].as_array() {
        Some(parts) => parts.iter().filter_map(text).collect(),
        None => text(body).into_iter().collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_base_unit_is_accounted_for_after_requests_of_all_kinds_with_kills() {
    let requests = number("ACCOUNTED_REQUESTS", REQUESTS);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("ACCOUNTED_SEED", now);
    println!("ACCOUNTED_SEED={seed} ACCOUNTED_REQUESTS={requests}");
    let service = TestService::start().await;
    let mut stack = options();
    stack.sections = stack.sections.replace("SERVICE", &service.url());
    let mut stand =
        Facilitating::start_with(SALT402, FacilitatorOptions { stack, ..Default::default() }).await;
    let signer = X402Payer::new();
    stand.fund(signer.address, 1_000_000_000_000_000_000).await;
    stand.approve(signer.address, &stand.wrapped, U256::MAX).await;
    let by_channel = requests / 10;
    let mut channels = Vec::new();
    for salt in 1..=CHANNELS {
        channels.push(opened(&mut stand.stack, Asset::Native, BOUND * by_channel, salt).await);
    }
    let credit = json!({ "amount": CREDIT.to_string() });
    let told = buy(&stand.stack, &credit, &pairs(&bought_by(&stand.stack, &credit).await)).await.json();
    let payers = Payers {
        client: stand.stack.client.clone(),
        gateway: stand.stack.gateway.clone(),
        sender: Mutex::new(stand.stack.payer()),
        signer,
        wrapped: stand.wrapped.clone(),
        key: told["key"].as_str().unwrap().to_owned(),
    };
    let payee: Address = PAYEE.parse().unwrap();
    let before = stand.stack.anvil.balance(payee, Asset::Native).await;

    let ended = AtomicBool::new(false);
    let serving = async {
        // They begin within some seconds, so that kills fall among them on a fast machine too.
        let by_kind = (0..requests).map(|number| {
            let payers = &payers;
            async move {
                tokio::time::sleep(BEGINNING * number as u32 / requests as u32).await;
                payers.served(KINDS[number as usize % KINDS.len()], number).await
            }
        });
        let by_voucher = channels
            .iter()
            .zip(1..)
            .map(|(channel, lane)| payers.by_vouchers(channel, lane * 1_000_000, by_channel));
        let (mut served, by_voucher) = tokio::join!(join_all(by_kind), join_all(by_voucher));
        served.extend(by_voucher.into_iter().flatten());
        ended.store(true, Ordering::SeqCst);
        served
    };
    let (served, kills) = tokio::join!(serving, kill(&mut stand, &ended, seed));
    println!("{kills} kills while {} requests were served", served.len());
    assert!(kills > 1, "hardly anything was killed: ask for more requests");

    // Shown once more, each is answered as it was, and nothing runs. What a stream cost is told here.
    let (runs, asked) = (stand.stack.upstream.asked(), service.asked());
    let mut sums: BTreeMap<Kind, u64> = BTreeMap::new();
    for Served { paid, answer } in &served {
        let again = persist(&payers.client, &payers.gateway, paid).await;
        assert_eq!(again.body, answer.body, "{:?}", paid.kind);
        let told = again.headers.get("x-payment-charge").map(|told| told.to_str().unwrap().parse().unwrap());
        let charged = told.unwrap_or(paid.authorized);
        assert!(charged <= paid.authorized, "{:?}: {charged} of {}", paid.kind, paid.authorized);
        *sums.entry(paid.kind).or_default() += charged;
    }
    assert_eq!((stand.stack.upstream.asked(), service.asked()), (runs, asked));
    // Each was run for the request that paid for it, and again only where a kill had cut it off.
    for text in served.iter().flat_map(asked_for) {
        let runs = stand.stack.upstream.asked_for(&text);
        assert!((1..=1 + kills).contains(&runs), "{text} was run {runs} times, with {kills} kills");
    }

    let sum = |kinds: &[Kind]| kinds.iter().filter_map(|kind| sums.get(kind)).sum::<u64>();
    println!("{sums:?}");
    let native = stand.stack.anvil.balance(payee, Asset::Native).await - before;
    assert_eq!(native, U256::from(sum(&BY_TRANSACTION)), "by transactions");
    let signed = u128::from(sum(&BY_SIGNATURE));
    let give_up = Instant::now() + Duration::from_secs(60);
    while stand.paid(&stand.wrapped).await < signed && Instant::now() < give_up {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(stand.paid(&stand.wrapped).await, signed, "by signatures");
    assert_eq!(figure(&stand.stack, &payers.key, "balance").await, CREDIT - sum(&[Kind::Key]), "by the key");
    assert_eq!(figure(&stand.stack, &payers.key, "reserved").await, 0);
    let rows = accounts(&stand.stack).await;
    let spent: U256 = channels.iter().map(|channel| rows[&channel.id].account.spent.0).sum();
    assert_eq!(spent, U256::from(sum(&[Kind::Voucher])), "by vouchers");
    // Nobody is owed anything, and nobody owes.
    assert_eq!(stand.command(&["charges", "list"]).1, "no charge is open\n");
    assert_eq!(stand.command(&["unserved", "list"]).1, "no payment is without its answer\n");
}
