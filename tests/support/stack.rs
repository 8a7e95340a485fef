//! The whole system: a chain, the contracts, a model server, and `salt402 up`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use salt402_protocol::B256;
use salt402_protocol::details::{DETAILS_HEADER, PaymentDetails};
use salt402_store::{Options, Store};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::{Anvil, CitrateNode, CountingUpstream, Deployment, PAYEE, Salt402, TestPayer, free_port};

/// The options of a stack.
#[derive(Clone, Debug, Default)]
pub struct StackOptions {
    /// Lines for `[chains.local]`. `WRAPPED_SALT`, `SALT_TOKEN` and `EXACT_PROXY` are replaced by addresses.
    pub chain: String,
    /// Lines instead of the node's addresses. `ANVIL` is replaced by the chain's address, `CITRATE` by the Citrate-like
    /// node's.
    pub nodes: String,
    /// Lines for `[verifier]`.
    pub verifier: String,
    /// Lines for `[gateway]`.
    pub gateway: String,
    /// Lines for `[payment]`, with the same replacements.
    pub payment: String,
    /// Lines for the model `counted`.
    pub model: String,
    /// Additional sections. `UPSTREAM` is replaced by the model server's address.
    pub sections: String,
    /// Whether to leave `salt402` stopped.
    pub idle: bool,
    /// Whether `salt402` creates its database at its first start. Otherwise it gets an old one.
    pub new_database: bool,
    /// Whether `salt402` uses the Citrate-like node and Citrate's profile.
    pub citrate: bool,
}

/// A chain, the contracts, a model server and a running `salt402`.
pub struct Stack {
    /// The chain.
    pub anvil: Anvil,
    /// The Citrate-like node in front of the chain, if any.
    pub citrate: Option<CitrateNode>,
    /// The deployed contracts.
    pub deployment: Deployment,
    /// The model server.
    pub upstream: CountingUpstream,
    /// The process, if it is running.
    pub process: Option<Salt402>,
    /// The verifier's address.
    pub verifier: String,
    /// The gateway's address.
    pub gateway: String,
    /// An HTTP client that uses no proxy.
    pub client: reqwest::Client,
    folder: TempDir,
    binary: PathBuf,
    new_database: bool,
}

/// An HTTP answer with its whole body.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {} {}", self.status, self.body))
    }

    /// The code of a problem document.
    pub fn code(&self) -> String {
        self.json()["code"]
            .as_str()
            .unwrap_or_else(|| panic!("no problem: {} {}", self.status, self.body))
            .to_owned()
    }
}

/// The body of an inference request.
pub fn inference(prompt: &str) -> Value {
    json!({ "model": "counted", "prompt": prompt })
}

/// The payment details of a 402.
pub fn payment_details(answer: &Answer) -> PaymentDetails {
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.body);
    let header = answer.headers.get(DETAILS_HEADER).unwrap_or_else(|| panic!("no details: {}", answer.body));
    PaymentDetails::from_header(header.to_str().expect("ASCII")).expect("payment details")
}

impl Stack {
    /// Starts everything with the default options.
    pub async fn start(binary: &str) -> Self {
        Self::start_with(binary, StackOptions::default()).await
    }

    /// Starts everything.
    pub async fn start_with(binary: &str, options: StackOptions) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let anvil = Anvil::start().await;
        let deployment = anvil.deploy(&folder.path().join("deployments")).await;
        let citrate = if options.citrate { Some(CitrateNode::before(anvil.http()).await) } else { None };
        let upstream = CountingUpstream::start().await;
        let (verifier, gateway) = (free_port(), free_port());
        let mut stack = Self {
            verifier: format!("http://127.0.0.1:{verifier}"),
            gateway: format!("http://127.0.0.1:{gateway}"),
            client: reqwest::Client::builder()
                .no_proxy()
                // The server closes connections that were idle for 75 seconds, which may cross a request.
                .pool_idle_timeout(Duration::from_secs(30))
                .timeout(Duration::from_secs(60))
                .build()
                .expect("a client"),
            anvil,
            citrate,
            deployment,
            upstream,
            process: None,
            folder,
            binary: binary.into(),
            new_database: options.new_database,
        };
        stack.configure(&options);
        if !options.idle {
            stack.up().await;
        }
        stack
    }

    /// Writes the configuration.
    pub fn configure(&self, options: &StackOptions) {
        let node = match &self.citrate {
            Some(citrate) => {
                format!("profile = \"citrate\"\nrpc = \"{}\"\nws = \"{}\"", citrate.http(), citrate.ws())
            }
            None => format!("rpc = \"{}\"\nws = \"ws://127.0.0.1:{}\"", self.anvil.http(), self.anvil.port),
        };
        let node = if options.nodes.is_empty() { node } else { String::new() };
        let beside = self.citrate.as_ref().map(CitrateNode::http).unwrap_or_default();
        let nodes = options.nodes.replace("ANVIL", &self.anvil.http()).replace("CITRATE", &beside);
        let config = format!(
            r#"
data = "data"

[chains.local]
{node}
deployments = "deployments"
{chain}
{nodes}

[verifier]
listen = "{verifier}"
{verifier_lines}

[payment]
chain = "local"
payee = "{PAYEE}"
{payment}

{sections}

[gateway]
listen = "{gateway}"
verifier = "http://{verifier}"
{gateway_lines}

[gateway.models.counted]
upstream = "{upstream}"
price_per_request = "1000"
price_per_token = "1"
default_tokens = 16
max_tokens = 4096
{model}

[gateway.models.demo]
upstream = "demo"
price_per_request = "1000000000000000"
default_tokens = 64
max_tokens = 64
"#,
            chain = self.named(&options.chain),
            verifier = self.verifier.trim_start_matches("http://"),
            verifier_lines = options.verifier,
            gateway = self.gateway.trim_start_matches("http://"),
            gateway_lines = options.gateway,
            sections = options.sections.replace("UPSTREAM", &self.upstream.url()),
            model = options.model,
            payment = self.named(&options.payment),
            upstream = self.upstream.url(),
        );
        std::fs::write(self.config(), config).expect("the configuration");
    }

    /// Replaces the contracts' names in lines by their addresses.
    fn named(&self, lines: &str) -> String {
        let Deployment { wrapped_salt, salt, exact_proxy, .. } = &self.deployment;
        lines
            .replace("WRAPPED_SALT", &wrapped_salt.to_string())
            .replace("SALT_TOKEN", &salt.to_string())
            .replace("EXACT_PROXY", &exact_proxy.to_string())
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("salt402.toml")
    }

    /// The folder of configuration and data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The `salt402` binary.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Starts one role.
    pub fn role(&self, role: &str) -> Salt402 {
        Salt402::start(&self.binary, role, &self.config())
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("data/salt402.db")
    }

    /// Starts `salt402 up` and waits until it is ready.
    pub async fn up(&mut self) {
        if !self.new_database && !self.database().exists() {
            std::fs::create_dir_all(self.folder.path().join("data")).expect("a folder");
            std::fs::write(self.database(), old_database().await).expect("a database");
        }
        self.process = Some(self.role("up"));
        self.ready().await;
    }

    /// Waits until verifier and gateway are ready.
    pub async fn ready(&mut self) {
        for base in [self.verifier.clone(), self.gateway.clone()] {
            self.until(&format!("{base}/readyz"), |answer| answer.status == StatusCode::OK).await;
        }
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) {
        self.process.take().expect("a running process").kill();
    }

    /// A payer with money on the chain.
    pub fn payer(&self) -> TestPayer {
        TestPayer::new(&self.anvil)
    }

    /// Requests a URL until the answer is as wished. Fails after 30 seconds.
    pub async fn until(&mut self, url: &str, wished: impl Fn(&Answer) -> bool) -> Answer {
        let give_up = Instant::now() + Duration::from_secs(30);
        let mut last = None;
        while Instant::now() < give_up {
            if let Ok(response) = self.client.get(url).send().await {
                let answer = read(response).await;
                if wished(&answer) {
                    return answer;
                }
                last = Some(answer);
            }
            if let Some(process) = &mut self.process {
                assert!(process.runs(), "salt402 ended:\n{}", process.log());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{url} did not become as wished; last: {last:?}");
    }

    /// Waits until the index reaches a height.
    pub async fn indexed(&mut self, height: u64) {
        let url = format!("{}/v1/status", self.verifier);
        self.until(&url, |answer| answer.json()["chains"][0]["indexed"].as_u64() >= Some(height)).await;
    }

    /// `GET /v1/status`.
    pub async fn status(&self) -> Value {
        self.get(&format!("{}/v1/status", self.verifier)).await.json()
    }

    /// Sends a GET request.
    pub async fn get(&self, url: &str) -> Answer {
        read(self.client.get(url).send().await.expect("an answer")).await
    }

    /// Sends a POST request with JSON and headers.
    pub async fn post(&self, url: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.post(url).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send().await.expect("an answer")).await
    }

    /// Sends a POST request with JSON and headers. Returns the answer as it begins.
    pub async fn open(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> reqwest::Response {
        let mut request = self.client.post(format!("{}{path}", self.gateway)).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("an answer")
    }

    /// Pays for a request of any path. Returns the headers that show the payment.
    pub async fn pay_for(&self, path: &str, body: &Value) -> [(&'static str, String); 2] {
        let unpaid = self.post(&format!("{}{path}", self.gateway), body, &[]).await;
        let details = payment_details(&unpaid);
        let proof = self.payer().pay(&details).await;
        [("x-payment-proof", proof.to_string()), ("x-payment-quote", details.quote_id.as_str().to_owned())]
    }

    /// Sends `POST /v1/inference` with headers.
    pub async fn infer(&self, body: &Value, headers: &[(&str, &str)]) -> Answer {
        self.post(&format!("{}/v1/inference", self.gateway), body, headers).await
    }

    /// Sends `POST /v1/inference` with a bare transaction hash.
    pub async fn infer_with(&self, body: &Value, proof: B256) -> Answer {
        self.infer(body, &[("x-payment-proof", &proof.to_string())]).await
    }

    /// Gets a quote for a request from its 402.
    pub async fn quote(&self, body: &Value) -> PaymentDetails {
        payment_details(&self.infer(body, &[]).await)
    }
}

/// The bytes of an old database. Payments soon after a database was made may be for quotes of an earlier one; that
/// refusal would hide the results that most tests check.
async fn old_database() -> &'static [u8] {
    static MADE: OnceCell<Vec<u8>> = OnceCell::const_new();
    let make = || async {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("old.db");
        Store::open(Options::new(&place)).await.expect("a database").close().await;
        let database = rusqlite::Connection::open(&place).expect("a database");
        let earlier = "UPDATE meta SET value = '1600000000' WHERE name = 'made_at'";
        assert_eq!(database.execute(earlier, ()).expect("SQL"), 1);
        database.close().expect("a file");
        std::fs::read(&place).expect("its bytes")
    };
    MADE.get_or_init(make).await
}

async fn read(response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.text().await.expect("a body");
    Answer { status, headers, body }
}
