//! A stack with a facilitator, and payments that are shown to it.

use std::time::{Duration, Instant};

use alloy_primitives::{U256, hex};
use alloy_sol_types::{SolCall as _, sol};
use salt402_protocol::typed_data::{PERMIT2, X402_EXACT_PROXY, X402_UPTO_PROXY};
use salt402_protocol::{Address, B256};
use serde_json::{Value, json};

use crate::x402::{FACILITATOR_KEY, Token};
use crate::{Answer, PAYEE, Stack, StackOptions, free_port};

sol! {
    function balanceOf(address account) external view returns (uint256);
    function deposit() external payable;
    function approve(address spender, uint256 amount) external returns (bool);
    function transfer(address to, uint256 amount) external returns (bool);
}

/// The options of a facilitator.
#[derive(Clone, Debug, Default)]
pub struct FacilitatorOptions {
    /// Lines for `[facilitator]`. `keys` is there already.
    pub facilitator: String,
    /// Lines for `[facilitator.chains.local]`. `tokens` and `payees` are there already. `SALT_TOKEN` and `WRAPPED_SALT` are
    /// replaced.
    pub chain: String,
    /// Tokens beside wrapped SALT and Salt.
    pub tokens: Vec<Address>,
    /// More keys than one.
    pub keys: Vec<String>,
    /// The rest of the stack.
    pub stack: StackOptions,
}

/// A running stack with a facilitator, x402's proxies at their own addresses, and a payer with money.
pub struct Facilitating {
    /// The stack.
    pub stack: Stack,
    /// The facilitator's address.
    pub url: String,
    /// Wrapped SALT.
    pub wrapped: Token,
    /// Salt.
    pub salt: Token,
    options: FacilitatorOptions,
}

impl Facilitating {
    /// Starts `salt402 up` with a facilitator.
    pub async fn start(binary: &str) -> Self {
        Self::start_with(binary, FacilitatorOptions::default()).await
    }

    /// The same with options.
    pub async fn start_with(binary: &str, options: FacilitatorOptions) -> Self {
        let mut this = Self::prepare(binary, options).await;
        this.up().await;
        this
    }

    /// Everything but the process.
    pub async fn prepare(binary: &str, options: FacilitatorOptions) -> Self {
        let stack = Stack::start_with(binary, StackOptions { idle: true, ..options.stack.clone() }).await;
        let text =
            std::fs::read_to_string(stack.folder().join("deployments/40204.json")).expect("a deployment");
        let deployed: Value = serde_json::from_str(&text).expect("JSON");
        for (name, at) in
            [("X402ExactPermit2Proxy", X402_EXACT_PROXY), ("X402UptoPermit2Proxy", X402_UPTO_PROXY)]
        {
            // Clients sign for x402's own addresses alone.
            let code = stack
                .anvil
                .ask("eth_getCode", json!([deployed["contracts"][name]["address"], "latest"]))
                .await;
            stack.anvil.ask("anvil_setCode", json!([at, code])).await;
        }
        let this = Self {
            url: format!("http://127.0.0.1:{}", free_port()),
            wrapped: Token::wrapped_salt(stack.deployment.wrapped_salt),
            salt: Token::salt(stack.deployment.salt),
            stack,
            options,
        };
        this.configure(&this.options);
        this.fund(crate::signing::PAYER.parse().expect("the payer"), 1_000_000_000_000).await;
        this
    }

    /// Writes the configuration.
    pub fn configure(&self, options: &FacilitatorOptions) {
        let folder = self.stack.folder();
        let given =
            if options.keys.is_empty() { vec![FACILITATOR_KEY.to_owned()] } else { options.keys.clone() };
        let mut keys = Vec::new();
        for (index, key) in given.iter().enumerate() {
            std::fs::write(folder.join(format!("settle{index}.key")), key).expect("a key file");
            keys.push(format!("{{ file = \"settle{index}.key\" }}"));
        }
        let mut tokens = vec![self.wrapped.address, self.salt.address];
        tokens.extend(&options.tokens);
        let tokens: Vec<_> = tokens.iter().map(|token| format!("{{ contract = \"{token}\" }}")).collect();
        let named = |lines: &str| {
            lines
                .replace("WRAPPED_SALT", &self.wrapped.address.to_string())
                .replace("SALT_TOKEN", &self.salt.address.to_string())
        };
        // Tests run beside each other, with the same key on chains of the same id.
        let locks = if options.facilitator.contains("locks") {
            options.facilitator.clone()
        } else {
            format!("locks = \".\"\n{}", options.facilitator)
        };
        // Tables of the lines come last, so that keys of the table above them stay in it.
        let sections = format!(
            "{}\n[facilitator]\nlisten = \"{}\"\nkeys = [{}]\n{}\n[facilitator.chains.local]\ntokens = [{}]\n{}\n{}",
            options.stack.sections,
            self.url.trim_start_matches("http://"),
            keys.join(", "),
            locks,
            tokens.join(", "),
            if options.chain.contains("payees") { "" } else { "payees = [\"*\"]" },
            named(&options.chain),
        );
        self.stack.configure(&StackOptions { sections, ..options.stack.clone() });
    }

    /// Starts the process and waits until the facilitator is ready.
    pub async fn up(&mut self) {
        self.stack.up().await;
        self.ready().await;
    }

    /// Waits until the facilitator is ready.
    pub async fn ready(&mut self) {
        let url = format!("{}/health", self.url);
        self.stack.until(&url, |answer| answer.status.is_success()).await;
    }

    /// `POST /verify`.
    pub async fn verify(&self, body: &Value) -> Value {
        judged(self.stack.post(&format!("{}/verify", self.url), body, &[]).await)
    }

    /// `POST /settle`.
    pub async fn settle(&self, body: &Value) -> Value {
        let headers = [("idempotency-key", &*key(body))];
        judged(self.stack.post(&format!("{}/settle", self.url), body, &headers).await)
    }

    /// `POST /settle` without a key: a request of which nobody can say that it is a retry.
    pub async fn settle_copy(&self, body: &Value) -> Value {
        judged(self.stack.post(&format!("{}/settle", self.url), body, &[]).await)
    }

    /// `POST /settle`, where nobody may answer.
    pub fn try_settle(&self, body: &Value) -> impl Future<Output = Option<Value>> + use<> {
        let sent = self
            .stack
            .client
            .post(format!("{}/settle", self.url))
            .header("idempotency-key", key(body))
            .json(body)
            .send();
        async move { sent.await.ok()?.json().await.ok() }
    }

    /// Settles until the outcome is known.
    pub async fn settle_until_known(&self, body: &Value) -> Value {
        let give_up = Instant::now() + Duration::from_secs(60);
        loop {
            let told = self.settle(body).await;
            if told["errorReason"] != "settlement_pending" {
                return told;
            }
            assert!(Instant::now() < give_up, "it is pending for too long: {told}");
        }
    }

    /// What an account has of a token.
    pub async fn balance(&self, token: &Token, account: Address) -> u128 {
        let data = hex::encode_prefixed(balanceOfCall { account }.abi_encode());
        let answer =
            self.stack.anvil.ask("eth_call", json!([{ "to": token.address, "data": data }, "latest"])).await;
        answer.as_str().expect("hexadecimal").parse::<U256>().expect("a number").to()
    }

    /// What the payee has of a token.
    pub async fn paid(&self, token: &Token) -> u128 {
        self.balance(token, PAYEE.parse().expect("the payee")).await
    }

    /// Has an account send a call, which anvil signs for it, and waits until it is mined.
    pub async fn call_as(&self, from: Address, to: Address, data: Vec<u8>, value: u128) -> B256 {
        let anvil = &self.stack.anvil;
        anvil.ask("anvil_setBalance", json!([from, "0x56bc75e2d63100000"])).await;
        anvil.ask("anvil_impersonateAccount", json!([from])).await;
        let call = json!({
            "from": from, "to": to, "data": hex::encode_prefixed(data), "value": format!("{value:#x}"), "gas": "0x493e0",
        });
        let hash: B256 =
            serde_json::from_value(anvil.ask("eth_sendTransaction", json!([call])).await).expect("a hash");
        anvil.ask("anvil_stopImpersonatingAccount", json!([from])).await;
        if anvil.ask("anvil_getAutomine", json!([])).await == false {
            anvil.mine(1).await;
        }
        let give_up = Instant::now() + Duration::from_secs(10);
        while anvil.block_of(hash).await.is_none() {
            assert!(Instant::now() < give_up, "anvil does not mine {hash}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        hash
    }

    /// Gives an account wrapped SALT.
    pub async fn fund(&self, account: Address, amount: u128) {
        self.call_as(account, self.wrapped.address, depositCall {}.abi_encode(), amount).await;
    }

    /// Lets Permit2 move an account's tokens.
    pub async fn approve(&self, account: Address, token: &Token, amount: U256) {
        let data = approveCall { spender: PERMIT2, amount }.abi_encode();
        self.call_as(account, token.address, data, 0).await;
    }

    /// The nonce of an account: how many of its transactions were mined.
    pub async fn nonce(&self, account: &str) -> u64 {
        let answer = self.stack.anvil.ask("eth_getTransactionCount", json!([account, "latest"])).await;
        let text = answer.as_str().expect("a quantity").trim_start_matches("0x").to_owned();
        u64::from_str_radix(&text, 16).expect("a quantity")
    }

    /// Runs a command over the same configuration. Returns its exit code and what it printed.
    pub fn command(&self, arguments: &[&str]) -> (i32, String) {
        let output = std::process::Command::new(self.stack.binary())
            .args(arguments)
            .arg("--config")
            .arg(self.stack.config())
            .output()
            .expect("salt402");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().expect("a code"), String::from_utf8_lossy(&said).into_owned())
    }
}

/// An answer that says what was judged: always 200.
fn judged(answer: Answer) -> Value {
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    let told = answer.json();
    if told.get("success").is_some() {
        assert!(told["transaction"].is_string() && told["network"].is_string(), "{told}");
    }
    told
}

/// The key of a request: the same where it is repeated.
fn key(body: &Value) -> String {
    alloy_primitives::keccak256(body.to_string()).to_string()
}
