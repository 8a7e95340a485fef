//! `make deploy` on a fresh chain: what it sends, what it writes down, and that it does both once.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use alloy_primitives::{Address, B256, address, hex, keccak256};
use salt402_protocol::ChainId;
use salt402_tests::{Anvil, DEPLOYER_KEY, forge_lock, free_port, root, signing};
use serde_json::{Value, json};

/// Creates by CREATE2 what it is sent: the salt, and the init code behind it. It stands on every chain.
const FACTORY: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");
/// The account of [`DEPLOYER_KEY`].
const DEPLOYER: Address = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");

/// What a local chain gets, in the order in which it is created.
const CONTRACTS: [&str; 8] = [
    "SaltPay",
    "SaltChannels",
    "WrappedSalt",
    "Salt",
    "Permit2",
    "X402ExactPermit2Proxy",
    "X402UptoPermit2Proxy",
    "Multicall3",
];

/// A chain, and a folder below `scratch`, where alone the script may write; gone with it.
struct Site {
    anvil: Anvil,
    folder: PathBuf,
}

impl Site {
    async fn on(chain: ChainId) -> Self {
        let anvil = Anvil::start_as(chain, free_port()).await;
        // As on every chain that is used, there is a block before the one that the contracts are created in.
        anvil.mine(1).await;
        let folder = root().join("scratch/tests").join(format!("deploying-{}", anvil.port));
        // Another run's, on the same port.
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        Self { anvil, folder }
    }

    /// What `make deploy` runs.
    fn deploy(&self, key: Option<&str>) -> Output {
        let _lock = forge_lock();
        let mut command = Command::new(root().join("tools/deploy.sh"));
        command
            .arg("--slow")
            .env("ETH_RPC_URL", self.anvil.http())
            .env("SALT402_DEPLOYMENTS", self.folder.join("deployments"))
            .env("FOUNDRY_BROADCAST", self.folder.join("broadcast"))
            .env("SALT402_SALT_HOLDER", signing::PAYER)
            .env("SALT402_SALT_SUPPLY", "1000000000000000000000000")
            .env_remove("SALT402_DEPLOYER_KEY")
            .env_remove("ETH_KEYSTORE_ACCOUNT");
        if let Some(key) = key {
            command.env("SALT402_DEPLOYER_KEY", key);
        }
        command.output().expect("the script; run `make setup`")
    }

    /// Deploys as [`Anvil::deploy`] does: anvil says now and then of an account with 10,000 coins that it has none, and
    /// the next run sends what is still missing.
    fn deploy_all(&self) {
        for _ in 0..3 {
            let output = self.deploy(Some(DEPLOYER_KEY));
            if !String::from_utf8_lossy(&output.stderr).contains("Insufficient funds") {
                return succeeded(&output);
            }
            eprintln!("the deployment is tried again: {}", String::from_utf8_lossy(&output.stderr));
            std::thread::sleep(Duration::from_millis(500));
        }
        panic!("anvil does not let its rich account pay");
    }

    fn path(&self, chain: ChainId) -> PathBuf {
        self.folder.join("deployments").join(format!("{}.json", chain.get()))
    }

    fn file(&self, chain: ChainId) -> String {
        std::fs::read_to_string(self.path(chain)).expect("the deployment's file")
    }

    /// The height, the hash of the newest block, how many transactions all blocks hold, the deployer's nonce, and what
    /// waits to be mined.
    async fn traces(&self) -> (u64, Value, usize, u64, Value) {
        let height = self.anvil.height().await;
        let mut sent = 0;
        let mut head = Value::Null;
        for number in 0..=height {
            let block = self.anvil.ask("eth_getBlockByNumber", json!([quantity(number), false])).await;
            sent += block["transactions"].as_array().unwrap().len();
            head = block["hash"].clone();
        }
        let nonce = self.anvil.ask("eth_getTransactionCount", json!([DEPLOYER, "pending"])).await;
        let waiting = self.anvil.ask("txpool_status", json!([])).await;
        (height, head, sent, number(&nonce), waiting)
    }

    /// The chain confirms what the file says of one contract: the transaction, its block, the code that it carried, the
    /// address that follows from it, and that the code stands there since that block.
    async fn confirm(&self, name: &str, contract: &Value) {
        let at: Address = text(&contract["address"]).parse().unwrap();
        let init_code_hash: B256 = text(&contract["initCodeHash"]).parse().unwrap();
        let hash = &contract["transaction"];
        let block = contract["block"].as_u64().unwrap();

        let receipt = self.anvil.ask("eth_getTransactionReceipt", json!([hash])).await;
        assert_eq!(receipt["status"], "0x1", "{name}: {receipt}");
        assert_eq!(number(&receipt["blockNumber"]), block, "{name}");
        let found = self.anvil.ask("eth_getBlockByNumber", json!([quantity(block), false])).await;
        assert_eq!(receipt["blockHash"], found["hash"], "{name}");
        assert!(found["transactions"].as_array().unwrap().contains(hash), "{name}: {found}");

        let transaction = self.anvil.ask("eth_getTransactionByHash", json!([hash])).await;
        let input = hex::decode(text(&transaction["input"])).unwrap();
        if name == "Multicall3" {
            assert_eq!(keccak256(&input), init_code_hash, "{name}");
            assert_eq!(text(&receipt["contractAddress"]).parse::<Address>().unwrap(), at, "{name}");
        } else {
            assert_eq!(text(&transaction["to"]).parse::<Address>().unwrap(), FACTORY, "{name}");
            assert_eq!(number(&transaction["value"]), 0, "{name}");
            let (salt, init_code) = input.split_at(32);
            assert_eq!(keccak256(init_code), init_code_hash, "{name}");
            assert_eq!(FACTORY.create2(B256::from_slice(salt), init_code_hash), at, "{name}");
        }

        let before = self.anvil.ask("eth_getCode", json!([at, quantity(block - 1)])).await;
        assert_eq!(before, "0x", "{name} was there before its block");
        let code = self.anvil.ask("eth_getCode", json!([at, quantity(block)])).await;
        assert_ne!(code, "0x", "{name} is not there");
        assert_eq!(self.anvil.ask("eth_getCode", json!([at, "latest"])).await, code, "{name}");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deploying_again_sends_nothing_and_leaves_the_file_as_it_is() {
    let site = Site::on(ChainId::CITRATE).await;
    let untouched = site.traces().await;
    assert_eq!((untouched.0, untouched.2, untouched.3), (1, 0, 0), "the chain is not fresh");

    site.deploy_all();
    let (file, traces) = (site.file(ChainId::CITRATE), site.traces().await);
    let written: Value = serde_json::from_str(&file).unwrap();
    assert_eq!(written["chainId"], ChainId::CITRATE.get());
    let contracts = written["contracts"].as_object().unwrap();
    assert_eq!(contracts.len(), CONTRACTS.len(), "{file}");
    for name in CONTRACTS {
        site.confirm(name, &contracts[name]).await;
    }
    // One for each contract, and the coins with which Multicall3's author pays for his. That one alone is not ours.
    assert_eq!(traces.2, CONTRACTS.len() + 1);
    assert_eq!(traces.3, CONTRACTS.len() as u64);

    // With the key, and without it, which it then does not need.
    for key in [Some(DEPLOYER_KEY), None] {
        succeeded(&site.deploy(key));
        assert_eq!(site.traces().await, traces);
        assert_eq!(site.file(ChainId::CITRATE), file);
    }

    // Whoever lost the file gets it back, from the chain and from what forge wrote down.
    std::fs::remove_file(site.path(ChainId::CITRATE)).unwrap();
    succeeded(&site.deploy(None));
    assert_eq!(site.traces().await, traces);
    assert_eq!(site.file(ChainId::CITRATE), file);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_not_deployed_without_a_key() {
    let site = Site::on(ChainId::CITRATE).await;
    let untouched = site.traces().await;

    let output = site.deploy(None);

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("Neither SALT402_DEPLOYER_KEY nor ETH_KEYSTORE_ACCOUNT is set"), "{said}");
    assert_eq!(site.traces().await, untouched);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_without_a_profile_is_refused_by_its_id_and_sent_nothing() {
    let chain = ChainId::new(1).unwrap();
    let site = Site::on(chain).await;
    let untouched = site.traces().await;

    let output = site.deploy(Some(DEPLOYER_KEY));

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("UnsupportedChain(1)"), "{said}");
    let explained = String::from_utf8_lossy(&output.stdout);
    assert!(explained.contains("There is no profile for chain 1, and nothing was sent."), "{explained}");
    assert!(explained.contains("Citrate (40204), Base (8453), Base Sepolia (84532)"), "{explained}");
    let key = DEPLOYER_KEY.trim_start_matches("0x");
    assert!(!said.contains(key) && !explained.contains(key), "the key is in what the script says");
    assert_eq!(site.traces().await, untouched);
    assert!(!site.path(chain).exists());
}

fn succeeded(output: &Output) {
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the deployment failed:\n{said}{complained}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

fn number(quantity: &Value) -> u64 {
    u64::from_str_radix(text(quantity).trim_start_matches("0x"), 16).unwrap()
}
