//! A person opens a paid address in a browser, pays with the wallet that is in it, and gets the answer.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use salt402_tests::signing::PAYER;
use salt402_tests::x402::X402Payer;
use salt402_tests::{Browser, Facilitating, FacilitatorOptions, Stack, StackOptions};
use serde_json::{Value, json};

use crate::SALT402;
use crate::proxies::{Files, caddy, priced};
use crate::signed::SIGNATURES;

/// What browsers accept of an address that a person opens.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// A wallet as it stands in a page (EIP-1193, EIP-6963). What it is asked is answered by the test.
const WALLET: &str = r#"
    (() => {
        const waiting = new Map();
        let number = 0;
        window.answer = (id, error, result) => {
            const { done, fail } = waiting.get(id);
            waiting.delete(id);
            if (error) fail(error); else done(result);
        };
        const provider = {
            request: ({ method, params }) => new Promise((done, fail) => {
                waiting.set(++number, { done, fail });
                askWallet(JSON.stringify({ id: number, method, params: params ?? [] }));
            }),
        };
        const detail = Object.freeze({ info: { uuid: '1', name: 'Wallet', icon: '', rdns: 'example.wallet' }, provider });
        const announce = () => dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail }));
        addEventListener('eip6963:requestProvider', announce);
    })();
"#;

/// A wallet's owner.
struct Person {
    browser: Browser,
    /// What the wallet was asked for.
    asked: Vec<String>,
}

impl Person {
    async fn new(stack: &Stack) -> Self {
        let mut browser = Browser::start(&stack.folder().join("browser")).await;
        browser.inject("askWallet", WALLET).await;
        Self { browser, asked: Vec::new() }
    }

    async fn open(&mut self, url: &str) {
        self.browser.open(url).await;
        self.browser.until("document.readyState === 'complete' && !!document.getElementById('said')").await;
    }

    async fn click(&mut self, beginning: &str) {
        let found = format!(
            "[...document.querySelectorAll('button')].find((one) => one.textContent.startsWith({beginning:?}))"
        );
        self.browser.until(&format!("!!{found}")).await;
        self.browser.evaluate(&format!("{found}.click()")).await;
    }

    /// Lets the wallet do what it is asked, until the page says something. `refuses`: methods that its owner refuses.
    async fn uses_the_wallet(&mut self, stack: &Stack, says: &str, refuses: &[&str]) {
        let give_up = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let said = self.browser.evaluate("document.getElementById('said').textContent").await;
            if said.as_ref().and_then(Value::as_str).is_some_and(|said| said.contains(says)) {
                return;
            }
            assert!(
                tokio::time::Instant::now() < give_up,
                "it says {said:?}, and not {says:?}: {:?}",
                self.asked
            );
            let Some(call) = self.browser.called(Duration::from_millis(50)).await else { continue };
            let call: Value = serde_json::from_str(&call).unwrap();
            let method = call["method"].as_str().unwrap();
            self.asked.push(method.to_owned());
            let (error, result) = if refuses.contains(&method) {
                (json!({ "code": 4001, "message": "the user refused" }), Value::Null)
            } else {
                let result = match method {
                    "eth_requestAccounts" => json!([PAYER]),
                    "wallet_switchEthereumChain" => Value::Null,
                    // Wallets take what is signed as a text, and anvil as it is.
                    "eth_signTypedData_v4" => {
                        let typed: Value = serde_json::from_str(call["params"][1].as_str().unwrap()).unwrap();
                        stack.anvil.ask(method, json!([call["params"][0], typed])).await
                    }
                    // anvil has the payer's key, and waits for blocks as any chain does.
                    _ => stack.anvil.ask(method, call["params"].clone()).await,
                };
                (Value::Null, result)
            };
            let answer = format!("answer({}, {error}, {result})", call["id"]);
            self.browser.evaluate(&answer).await;
        }
    }

    async fn reads(&mut self) -> String {
        self.browser.until("!!document.querySelector('#answer pre')").await;
        let text = self.browser.evaluate("document.querySelector('#answer pre').textContent").await;
        text.unwrap().as_str().unwrap().to_owned()
    }

    fn sent(&self, method: &str) -> usize {
        self.asked.iter().filter(|asked| *asked == method).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_pays_by_a_transaction_once_and_a_page_that_is_loaded_again_pays_nothing() {
    let mut stack = Stack::start_with(SALT402, priced()).await;
    let files = Files::start(stack.folder());
    let proxy = caddy(stack.folder(), &stack.verifier, files.port);
    let paid = format!("{}/paid/file.txt", proxy.base);
    stack.until(&format!("{}/free/file.txt", proxy.base), |answer| answer.status == StatusCode::OK).await;

    // Programs get what they got before.
    let problem = stack.client.get(&paid).send().await.unwrap();
    assert_eq!(problem.headers()[CONTENT_TYPE], "application/problem+json");
    let page = stack.client.get(&paid).header(ACCEPT, BROWSER).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::PAYMENT_REQUIRED);
    assert!(page.headers().contains_key("x-payment-details"));
    let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(page.text().await.unwrap().starts_with("<!doctype html>"));
    // Asked for by another method, or by a program that names JSON first, there is no page.
    let shown = stack
        .client
        .get(&paid)
        .header(ACCEPT, BROWSER)
        .header("x-payment-proof", format!("0x{}", "ab".repeat(32)));
    assert_eq!(
        shown.send().await.unwrap().headers()[CONTENT_TYPE],
        "application/problem+json",
        "it shows a payment"
    );
    for (method, accept) in [("HEAD", BROWSER), ("GET", "application/json, text/html")] {
        let request = stack.client.request(method.parse().unwrap(), &paid).header(ACCEPT, accept);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json", "{method} {accept}");
    }

    let mut person = Person::new(&stack).await;
    person.open(&paid).await;
    let shown = person.browser.evaluate("document.body.textContent").await.unwrap();
    assert!(shown.as_str().unwrap().contains("a file"), "{shown}");
    // Refused in the wallet, nothing is paid and nothing is remembered.
    person.click("Pay with Wallet").await;
    person.uses_the_wallet(&stack, "Nothing was paid", &["eth_sendTransaction"]).await;
    assert_eq!(person.browser.evaluate("localStorage.length").await, Some(json!(0)));

    // Another tab asks its wallet before this one does: this one pays nothing beside it.
    let other = "kept.write({ headers: { 'X-Payment-Proof': UNKNOWN, 'X-Payment-Quote': details.quoteId }, end: details.expiresAt })";
    person.browser.evaluate(other).await;
    let asked = person.sent("eth_sendTransaction");
    person.click("Pay with Wallet").await;
    person.uses_the_wallet(&stack, "Did you confirm", &[]).await;
    assert_eq!(person.sent("eth_sendTransaction"), asked, "it was paid in two tabs");
    person.browser.evaluate("kept.forget()").await;
    person.open(&paid).await;

    // The page is closed before its wallet says what it sent.
    stack.anvil.automine(false).await;
    person.click("Pay with Wallet").await;
    loop {
        let call = person.browser.called(Duration::from_secs(30)).await.expect("the wallet is asked");
        let call: Value = serde_json::from_str(&call).unwrap();
        let result = match call["method"].as_str().unwrap() {
            "eth_requestAccounts" => json!([PAYER]),
            "eth_sendTransaction" => {
                stack.anvil.ask("eth_sendTransaction", call["params"].clone()).await;
                break;
            }
            method => stack.anvil.ask(method, call["params"].clone()).await,
        };
        person.browser.evaluate(&format!("answer({}, null, {result})", call["id"])).await;
    }
    person.open(&paid).await;
    person.uses_the_wallet(&stack, "Did you confirm", &[]).await;
    stack.anvil.automine(true).await;
    stack.anvil.mine(1).await;
    person.uses_the_wallet(&stack, "Paid and answered", &[]).await;
    assert_eq!(person.reads().await, "a paid file\n");
    assert_eq!((files.served(), person.sent("eth_sendTransaction")), (1, 1), "one was refused, one was sent");

    // Loaded again, it asks for nothing before its person says so.
    person.open(&paid).await;
    person.uses_the_wallet(&stack, "You have paid for this before", &[]).await;
    assert_eq!(files.served(), 1);
    person.click("Pay for a new one").await;
    person.click("Pay with Wallet").await;
    person.uses_the_wallet(&stack, "Paid and answered", &[]).await;
    assert_eq!((files.served(), person.sent("eth_sendTransaction")), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_without_coins_pays_by_a_signature() {
    let stack =
        StackOptions { payment: SIGNATURES.into(), sections: priced().sections, ..Default::default() };
    let mut stand =
        Facilitating::start_with(SALT402, FacilitatorOptions { stack, ..Default::default() }).await;
    stand.fund(X402Payer::new().address, 1_000_000_000_000_000_000).await;
    let files = Files::start(stand.stack.folder());
    let proxy = caddy(stand.stack.folder(), &stand.stack.verifier, files.port);
    stand
        .stack
        .until(&format!("{}/free/file.txt", proxy.base), |answer| answer.status == StatusCode::OK)
        .await;
    let before = stand.nonce(PAYER).await;

    let mut person = Person::new(&stand.stack).await;
    person.open(&format!("{}/paid/file.txt", proxy.base)).await;
    // Another tab pays while this one's wallet is asked: what is signed here is shown to nobody.
    let other = "kept.write({ headers: { 'X-Payment-Proof': UNKNOWN, 'X-Payment-Quote': details.quoteId }, end: details.expiresAt })";
    person.click("Sign with Wallet").await;
    person.browser.evaluate(other).await;
    person.uses_the_wallet(&stand.stack, "Did you confirm", &[]).await;
    assert_eq!((person.sent("eth_signTypedData_v4"), stand.paid(&stand.wrapped).await), (1, 0));
    person.browser.evaluate("kept.forget()").await;
    person.open(&format!("{}/paid/file.txt", proxy.base)).await;
    person.click("Sign with Wallet").await;
    person.uses_the_wallet(&stand.stack, "Paid and answered", &[]).await;
    assert_eq!(person.reads().await, "a paid file\n");
    assert_eq!((files.served(), stand.paid(&stand.wrapped).await), (1, 777));
    assert_eq!((person.sent("eth_sendTransaction"), stand.nonce(PAYER).await), (0, before));
}
