//! A real chain: anvil, stopped by its process id.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use salt402_chain::{Endpoint, Profile, RpcNode};
use salt402_protocol::{Address, B256, ChainId};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{free_port, replay, root};

/// Anvil's publicly known first key. It deploys the contracts.
pub const DEPLOYER_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// A running anvil with Citrate's chain id. By default it mines a block for each transaction.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    /// Anvil's state files, removed with it.
    _states: TempDir,
    /// The port it listens on.
    pub port: u16,
    chain: ChainId,
    client: reqwest::Client,
}

/// The deployed contracts. An address is zero if the chain does not need the contract.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The folder with the deployment file.
    pub folder: PathBuf,
    /// `SaltPay`.
    pub salt_pay: Address,
    /// Wrapped SALT.
    pub wrapped_salt: Address,
    /// Salt. The payer owns all of it.
    pub salt: Address,
    /// `SaltChannels`.
    pub salt_channels: Address,
    /// The domain of its channels' identifiers, as it answers it.
    pub channel_domain: B256,
    /// The proxy for x402's scheme `exact`.
    pub exact_proxy: Address,
}

impl Anvil {
    /// Starts an anvil on a free port, so that it can be restarted on the same port.
    pub async fn start() -> Self {
        Self::start_on(free_port()).await
    }

    /// Starts an anvil on a port; 0 means any free port.
    ///
    /// Its own output tells when it listens. Probing the port could reach another anvil and deploy to a foreign chain.
    pub async fn start_on(port: u16) -> Self {
        Self::start_as(ChainId::CITRATE, port).await
    }

    /// Starts one on a port whose first block is of no chain that was started before: chains that begin in the same second have the
    /// same one.
    pub async fn start_another_on(port: u16) -> Self {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        Self::start_on(port).await
    }

    /// Starts an anvil with another chain id.
    pub async fn start_as(chain: ChainId, port: u16) -> Self {
        let binary = root().join("tools/anvil");
        // By default anvil writes old states, megabytes per block, into the home folder, and leaves them when killed.
        // No test reads states older than the 500 in memory.
        let states = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(&binary)
            .args(["--chain-id", &chain.get().to_string(), "--port", &port.to_string()])
            .args(["--max-persisted-states", "0", "--cache-path"])
            .arg(states.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; run `make setup`", binary.display()));
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (tell, told) = tokio::sync::oneshot::channel();
        // The output must be read to the end, because anvil logs every request and would block on a full pipe.
        std::thread::spawn(move || {
            let mut tell = Some(tell);
            for line in output.lines().map_while(Result::ok) {
                let port = line.strip_prefix("Listening on 127.0.0.1:").and_then(|port| port.parse().ok());
                if let Some((tell, port)) = tell.take_if(|_| port.is_some()).zip(port) {
                    let _ = tell.send(port);
                }
            }
        });
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut anvil = Self { child, _states: states, port, chain, client };
        let told = tokio::time::timeout(Duration::from_secs(30), told).await.expect("anvil listens in time");
        anvil.port = told.unwrap_or_else(|_| panic!("anvil ended: is port {port} somebody else's?"));
        let give_up = Instant::now() + Duration::from_secs(20);
        while anvil.try_ask("eth_chainId", json!([])).await.is_none() {
            assert!(Instant::now() < give_up, "anvil does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anvil
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The HTTP address.
    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A node client for it.
    pub fn node(&self) -> RpcNode {
        let profile = Profile::named("local").expect("the local profile");
        let profile = Profile { chain_id: self.chain, ..profile };
        RpcNode::connect(Endpoint::new(self.http().parse().expect("an address")), profile).expect("a node")
    }

    /// A JSON-RPC call that must succeed.
    pub async fn ask(&self, method: &str, params: Value) -> Value {
        self.try_ask(method, params).await.unwrap_or_else(|| panic!("anvil does not answer {method}"))
    }

    async fn try_ask(&self, method: &str, params: Value) -> Option<Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer: Value = self.client.post(self.http()).json(&body).send().await.ok()?.json().await.ok()?;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer.get("result").cloned()
    }

    /// Mines a number of blocks.
    pub async fn mine(&self, blocks: u64) {
        for _ in 0..blocks {
            self.ask("evm_mine", json!([])).await;
        }
    }

    /// Sets whether each transaction is mined at once.
    pub async fn automine(&self, on: bool) {
        self.ask("evm_setAutomine", json!([on])).await;
    }

    /// Replaces the newest `depth` blocks with empty ones. Their transactions are dropped.
    pub async fn reorg(&self, depth: u64) {
        self.ask("anvil_reorg", json!([depth, []])).await;
    }

    /// Replaces the newest `depth` blocks. The first new one holds a signed transaction.
    pub async fn reorg_with(&self, depth: u64, raw: &[u8]) {
        let raw = alloy_primitives::hex::encode_prefixed(raw);
        self.ask("anvil_reorg", json!([depth, [[raw, 0]]])).await;
    }

    /// The height of the newest block.
    pub async fn height(&self) -> u64 {
        let text = self.ask("eth_blockNumber", json!([])).await;
        let text = text.as_str().expect("a quantity").trim_start_matches("0x").to_owned();
        u64::from_str_radix(&text, 16).expect("a quantity")
    }

    /// The block of a transaction, if it is mined.
    pub async fn block_of(&self, transaction: B256) -> Option<u64> {
        let receipt = self.ask("eth_getTransactionReceipt", json!([transaction])).await;
        let text = receipt.get("blockNumber")?.as_str()?.trim_start_matches("0x").to_owned();
        u64::from_str_radix(&text, 16).ok()
    }

    /// Deploys the contracts as the forge script does, and writes the deployment file into a folder.
    pub async fn deploy(&self, folder: &Path) -> Deployment {
        let text = match self.height().await {
            0 => replay::deploy_once(self, self.chain, async || self.run_forge().await).await,
            _ => self.run_forge().await,
        };
        std::fs::create_dir_all(folder).expect("the deployments folder");
        std::fs::write(folder.join(format!("{}.json", self.chain.get())), &text)
            .expect("the deployment's file");
        let deployed: Value = serde_json::from_str(&text).expect("JSON");
        let address = |name: &str| {
            let text = deployed["contracts"][name]["address"].as_str();
            text.map_or(Address::ZERO, |text| text.parse().expect("an address"))
        };
        let salt_channels = address("SaltChannels");
        Deployment {
            channel_domain: self.channel_domain(salt_channels).await,
            folder: folder.to_owned(),
            salt_pay: address("SaltPay"),
            wrapped_salt: address("WrappedSalt"),
            salt: address("Salt"),
            salt_channels,
            exact_proxy: address("X402ExactPermit2Proxy"),
        }
    }

    /// Deploys the contracts with the forge script. Returns the deployment file.
    #[expect(clippy::print_stdout, reason = "a test that fails later shows it")]
    async fn run_forge(&self) -> String {
        // forge runs the script in the newest block, and SaltChannels reads the hash of the block before its own.
        if self.height().await == 0 {
            self.mine(1).await;
        }
        let root = root();
        // The script may only write below `scratch`, so the file is moved afterwards.
        let scratch = root.join("scratch/tests").join(self.port.to_string());
        std::fs::create_dir_all(&scratch).expect("a folder below scratch");
        let plan = scratch.join("plan.json");
        let lock = forge_lock();
        // What `make deploy` does without its first step, which finds out what it costs.
        let step = |program: &str, arguments: &[&str]| {
            Command::new(program)
                .args(arguments)
                .current_dir(&root)
                .env("ETH_RPC_URL", self.http())
                .env("SALT402_DEPLOYER_KEY", DEPLOYER_KEY)
                .env("SALT402_DEPLOYMENTS", &scratch)
                .env("SALT402_PLAN", &plan)
                .env("FOUNDRY_BROADCAST", scratch.join("broadcast"))
                .env("SALT402_SALT_HOLDER", crate::signing::PAYER)
                .env("SALT402_SALT_SUPPLY", "1000000000000000000000000")
                .output()
                .expect("forge and node; run `make setup`")
        };
        let forge = root.join("tools/forge");
        let script = || {
            let forge = forge.to_str().expect("a path in UTF-8");
            let sent =
                step(forge, &["script", "script/Deploy.s.sol", "--broadcast", "--rpc-url", "deployment"]);
            if !sent.status.success() {
                return sent;
            }
            step("node", &["tools/deploy.mjs", "record", plan.to_str().expect("a path in UTF-8")])
        };
        let mut output = script();
        // About once in several hundred deployments, anvil reports a zero balance for a funded account. The script
        // sends only what is missing, so it is repeated.
        for _ in 0..3 {
            let said = String::from_utf8_lossy(&output.stderr);
            // The second is said of what the first try sent and did not see mined.
            let passes = ["Insufficient funds", "nonce too low"].iter().any(|reason| said.contains(reason));
            if output.status.success() || !passes {
                break;
            }
            println!("the deployment is tried again: {}", String::from_utf8_lossy(&output.stderr));
            std::thread::sleep(Duration::from_millis(500));
            output = script();
        }
        drop(lock);
        assert!(
            output.status.success(),
            "the deployment failed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let file = scratch.join(format!("{}.json", self.chain.get()));
        let text = std::fs::read_to_string(file).expect("the deployment's file");
        std::fs::remove_dir_all(&scratch).expect("the scratch folder");
        text
    }

    /// Deploys one of the test contracts, with its constructor arguments as encoded words.
    pub async fn create(&self, contract: &str, arguments: &[u8]) -> Address {
        let code = artifact(contract, "bytecode");
        self.create_code(&format!("{code}{}", alloy_primitives::hex::encode(arguments))).await
    }

    /// Deploys init code.
    pub async fn create_code(&self, data: &str) -> Address {
        let sender = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        let hash = self.ask("eth_sendTransaction", json!([{ "from": sender, "data": data }])).await;
        let give_up = Instant::now() + Duration::from_secs(10);
        loop {
            let receipt = self.ask("eth_getTransactionReceipt", json!([hash])).await;
            if let Some(address) = receipt["contractAddress"].as_str() {
                assert_eq!(receipt["status"], "0x1", "it was not created: {receipt}");
                return address.parse().expect("an address");
            }
            assert!(Instant::now() < give_up, "anvil does not mine");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Places the code of a test contract at an address. The contract must have no immutable values.
    pub async fn place(&self, contract: &str, at: Address) {
        self.ask("anvil_setCode", json!([at, artifact(contract, "deployedBytecode")])).await;
    }

    /// Stops it.
    pub fn stop(self) {
        drop(self);
    }
}

/// A lock for running forge. Two concurrent runs in one project damage each other's build.
pub fn forge_lock() -> File {
    let folder = root().join("scratch/tests");
    std::fs::create_dir_all(&folder).expect("a folder below scratch");
    let lock = File::create(folder.join("forge.lock")).expect("a lock file");
    lock.lock().expect("the forge lock");
    lock
}

/// The code of a contract, from the output of `forge build`.
fn artifact(contract: &str, which: &str) -> String {
    let path = root().join(format!("out/{contract}.sol/{contract}.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `make contracts`", path.display()));
    let artifact: Value = serde_json::from_str(&text).expect("JSON");
    artifact[which]["object"].as_str().expect("code").to_owned()
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
