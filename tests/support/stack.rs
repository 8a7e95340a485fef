//! Everything together: a chain, the contracts, a model server, `salt402 up`.

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

/// What a stack may be given beside its defaults.
#[derive(Clone, Debug, Default)]
pub struct StackOptions {
    /// Lines for `[chains.local]`; `WRAPPED_SALT`, `SALT_TOKEN` and `EXACT_PROXY` in them stand for addresses.
    pub chain: String,
    /// Lines in place of the node's addresses; `ANVIL` in them stands for the chain's, `CITRATE` for that of the node with
    /// Citrate's habits.
    pub nodes: String,
    /// Lines for `[verifier]`.
    pub verifier: String,
    /// Lines for `[gateway]`.
    pub gateway: String,
    /// Lines for `[payment]`, with the same names.
    pub payment: String,
    /// Sections of their own.
    pub sections: String,
    /// Whether to leave `salt402` unstarted.
    pub idle: bool,
    /// Whether its database is made when it starts first, and not long before anything happens.
    pub new_database: bool,
    /// Whether `salt402` sees the chain through a node with Citrate's habits, under Citrate's profile.
    pub citrate: bool,
}

/// A chain, the contracts, a model server and a running `salt402`.
pub struct Stack {
    /// The chain.
    pub anvil: Anvil,
    /// The node with Citrate's habits, if there is one before the chain.
    pub citrate: Option<CitrateNode>,
    /// The contracts.
    pub deployment: Deployment,
    /// The model server.
    pub upstream: CountingUpstream,
    /// The process, if it runs.
    pub process: Option<Salt402>,
    /// The verifier's address.
    pub verifier: String,
    /// The gateway's address.
    pub gateway: String,
    /// A client that goes nowhere else.
    pub client: reqwest::Client,
    folder: TempDir,
    binary: PathBuf,
    new_database: bool,
}

/// An HTTP answer, read to its end.
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

    /// A problem document's code.
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

/// The details of a 402.
pub fn payment_details(answer: &Answer) -> PaymentDetails {
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.body);
    let header = answer.headers.get(DETAILS_HEADER).unwrap_or_else(|| panic!("no details: {}", answer.body));
    PaymentDetails::from_header(header.to_str().expect("ASCII")).expect("payment details")
}

impl Stack {
    /// Starts everything with its defaults.
    pub async fn start(binary: &str) -> Self {
        Self::start_with(binary, StackOptions::default()).await
    }

    /// Starts everything.
    pub async fn start_with(binary: &str, options: StackOptions) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let anvil = Anvil::start().await;
        let deployment = anvil.deploy(&folder.path().join("deployments"));
        let citrate = if options.citrate { Some(CitrateNode::before(anvil.http()).await) } else { None };
        let upstream = CountingUpstream::start().await;
        let (verifier, gateway) = (free_port(), free_port());
        let mut stack = Self {
            verifier: format!("http://127.0.0.1:{verifier}"),
            gateway: format!("http://127.0.0.1:{gateway}"),
            client: reqwest::Client::builder()
                .no_proxy()
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

    /// Writes the configuration anew.
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
            sections = options.sections,
            payment = self.named(&options.payment),
            upstream = self.upstream.url(),
        );
        std::fs::write(self.config(), config).expect("the configuration");
    }

    /// Lines with the addresses of the contracts in place of their names.
    fn named(&self, lines: &str) -> String {
        let Deployment { wrapped_salt, salt, exact_proxy, .. } = &self.deployment;
        lines
            .replace("WRAPPED_SALT", &wrapped_salt.to_string())
            .replace("SALT_TOKEN", &salt.to_string())
            .replace("EXACT_PROXY", &exact_proxy.to_string())
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("salt402.toml")
    }

    /// The folder of configuration and data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The command.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Starts one role.
    pub fn role(&self, role: &str) -> Salt402 {
        Salt402::start(&self.binary, role, &self.config())
    }

    /// The database.
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

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.take().expect("a running process").kill();
    }

    /// A payer with money on the chain.
    pub fn payer(&self) -> TestPayer {
        TestPayer::new(&self.anvil)
    }

    /// Asks for an address until the answer is as wished; fails after half a minute.
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

    /// Waits until the indexer stands at a height.
    pub async fn indexed(&mut self, height: u64) {
        let url = format!("{}/v1/status", self.verifier);
        self.until(&url, |answer| answer.json()["chains"][0]["indexed"].as_u64() >= Some(height)).await;
    }

    /// `GET /v1/status`.
    pub async fn status(&self) -> Value {
        self.get(&format!("{}/v1/status", self.verifier)).await.json()
    }

    /// GET.
    pub async fn get(&self, url: &str) -> Answer {
        read(self.client.get(url).send().await.expect("an answer")).await
    }

    /// POST of JSON, with headers.
    pub async fn post(&self, url: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.post(url).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send().await.expect("an answer")).await
    }

    /// `POST /v1/inference` with headers.
    pub async fn infer(&self, body: &Value, headers: &[(&str, &str)]) -> Answer {
        self.post(&format!("{}/v1/inference", self.gateway), body, headers).await
    }

    /// `POST /v1/inference` with a bare proof.
    pub async fn infer_with(&self, body: &Value, proof: B256) -> Answer {
        self.infer(body, &[("x-payment-proof", &proof.to_string())]).await
    }

    /// Asks for a quote for a request, by its 402.
    pub async fn quote(&self, body: &Value) -> PaymentDetails {
        payment_details(&self.infer(body, &[]).await)
    }
}

/// The bytes of a database that was made long ago. Of what is paid soon after a database was made, it is not known whether an
/// earlier one had quoted it, and that is told instead of what most tests ask about.
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
