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

    /// What `make deploy` runs, or `make deploy-dry`: `run` or `dry`.
    fn tool(&self, mode: &str, flags: &[&str], environment: &[(&str, &str)]) -> Output {
        let _lock = forge_lock();
        let mut command = Command::new("node");
        command
            .args(["tools/deploy.mjs", mode, "--slow"])
            .args(flags)
            .current_dir(root())
            .env("ETH_RPC_URL", self.anvil.http())
            .env("SALT402_DEPLOYMENTS", self.folder.join("deployments"))
            .env("FOUNDRY_BROADCAST", self.folder.join("broadcast"))
            .env("SALT402_SALT_HOLDER", signing::PAYER)
            .env("SALT402_SALT_SUPPLY", "1000000000000000000000000");
        for name in ["SALT402_DEPLOYER_KEY", "ETH_KEYSTORE_ACCOUNT", "ETH_KEYSTORE", "ETH_FROM"] {
            command.env_remove(name);
        }
        command.envs(environment.iter().copied());
        command.output().expect("node")
    }

    fn deploy(&self, key: Option<&str>) -> Output {
        let environment = key.map(|key| ("SALT402_DEPLOYER_KEY", key));
        self.tool("run", &[], environment.as_slice())
    }

    /// Deploys as [`Anvil::deploy`] does: anvil says now and then of an account with 10,000 coins that it has none, and
    /// the next run sends what is still missing.
    fn deploy_all(&self, flags: &[&str]) {
        self.deploy_all_by(flags, &[("SALT402_DEPLOYER_KEY", DEPLOYER_KEY)]);
    }

    fn deploy_all_by(&self, flags: &[&str], environment: &[(&str, &str)]) {
        for _ in 0..3 {
            let output = self.tool("run", flags, environment);
            let said = String::from_utf8_lossy(&output.stderr);
            if !said.contains("Insufficient funds") && !said.contains("It has 0 coins") {
                return succeeded(&output);
            }
            eprintln!("the deployment is tried again: {said}");
            std::thread::sleep(Duration::from_millis(500));
        }
        panic!("anvil does not let its rich account pay");
    }

    async fn give(&self, account: Address, units: u128) {
        self.anvil.ask("anvil_setBalance", json!([account, format!("{units:#x}")])).await;
    }

    async fn balance(&self, account: Address) -> u128 {
        let balance = self.anvil.ask("eth_getBalance", json!([account, "latest"])).await;
        u128::from_str_radix(text(&balance).trim_start_matches("0x"), 16).unwrap()
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

    site.deploy_all(&[]);
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
async fn what_is_missing_is_not_deployed_without_a_key_and_no_file_names_it() {
    let site = Site::on(ChainId::CITRATE).await;
    let untouched = site.traces().await;

    let output = site.deploy(None);

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("Contracts are missing, and nobody can sign for them. Nothing was sent."),
        "{said}"
    );
    for way in ["ETH_KEYSTORE_ACCOUNT=", "ETH_KEYSTORE=", "--ledger", "--trezor", "SALT402_DEPLOYER_KEY="] {
        assert!(said.contains(way), "{said}");
    }
    assert_eq!(site.traces().await, untouched);
    assert!(!site.path(ChainId::CITRATE).exists());
}

/// The account is told what it needs; with exactly that it deploys everything, and pays what it was told.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_too_little_is_told_what_it_needs_and_with_that_it_deploys() {
    let site = Site::on(ChainId::CITRATE).await;
    let untouched = site.traces().await;
    site.give(DEPLOYER, 0).await;

    let output = site.deploy(Some(DEPLOYER_KEY));

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(&format!("{DEPLOYER} has too little to deploy on chain 40204")), "{said}");
    assert!(said.contains("0.1 for Multicall3"), "{said}");
    let (_, need) = said.split_once("It has 0 coins, and needs ").expect("what it needs");
    let need = units(need.split_once(':').expect("an amount").0);
    // The coins for Multicall3, and more than ten million gas for at least a base fee of anvil's.
    assert!(need > 110_000_000_000_000_000, "{said}");
    assert_eq!(site.traces().await, untouched);
    assert!(!site.path(ChainId::CITRATE).exists());

    let dry = site.tool("dry", &[], &[("ETH_FROM", &DEPLOYER.to_string())]);
    let said_before = String::from_utf8_lossy(&dry.stderr);
    assert!(!dry.status.success(), "{said_before}");
    assert_eq!(said_before, said, "a dry run says what a run says");

    site.give(DEPLOYER, need - 1).await;
    let output = site.deploy(Some(DEPLOYER_KEY));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Send it at least 0.000000000000000001 more"), "{said}");
    assert_eq!(site.traces().await, untouched);
    assert!(!site.path(ChainId::CITRATE).exists());

    site.give(DEPLOYER, need).await;
    let output = site.deploy(Some(DEPLOYER_KEY));
    succeeded(&output);
    let file: Value = serde_json::from_str(&site.file(ChainId::CITRATE)).unwrap();
    for name in CONTRACTS {
        site.confirm(name, &file["contracts"][name]).await;
    }
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, sum) = told.split_once("Sum: ").expect("the sum");
    let sum = units(sum.split_once(' ').expect("an amount").0);
    let spent = need - site.balance(DEPLOYER).await;
    assert!(spent <= sum && sum <= need, "spent {spent}, told {sum}, needed {need}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_needs_an_address_alone_and_says_to_the_unit_of_gas_what_a_run_then_uses() {
    let site = Site::on(ChainId::CITRATE).await;
    let untouched = site.traces().await;
    let from = DEPLOYER.to_string();

    let output = site.tool("dry", &["--gas-price", "5gwei"], &[("ETH_FROM", &from)]);

    succeeded(&output);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("Nothing was sent."), "{told}");
    assert!(told.contains("The gas costs at most 5 gwei."), "{told}");
    assert!(told.contains(&format!("coins from {DEPLOYER}.")), "{told}");
    assert_eq!(site.traces().await, untouched);
    assert!(!site.path(ChainId::CITRATE).exists());

    site.deploy_all(&["--gas-price=5gwei"]);
    let file: Value = serde_json::from_str(&site.file(ChainId::CITRATE)).unwrap();
    for name in CONTRACTS.into_iter().filter(|name| *name != "Multicall3") {
        let hash = &file["contracts"][name]["transaction"];
        let receipt = site.anvil.ask("eth_getTransactionReceipt", json!([hash])).await;
        let sent = site.anvil.ask("eth_getTransactionByHash", json!([hash])).await;
        assert_eq!(number(&sent["maxFeePerGas"]), 5_000_000_000, "{name}");
        let line = told.lines().find(|line| line.split_whitespace().take(2).eq([name, &from])).expect(name);
        assert!(line.contains(&with_commas(number(&receipt["gasUsed"]))), "{line}");
    }
    let again = site.tool("dry", &[], &[]);
    succeeded(&again);
    assert!(String::from_utf8_lossy(&again.stdout).contains("Nothing is missing: nothing to send."));
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_are_passed_on_and_a_key_among_them_is_refused_and_not_repeated() {
    let site = Site::on(ChainId::CITRATE).await;
    let untouched = site.traces().await;

    let output = site.tool("run", &["--private-key", DEPLOYER_KEY], &[]);
    let (said, told) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("--private-key is not taken"), "{said}");
    assert!(!said.contains(&DEPLOYER_KEY[4..]) && !told.contains(&DEPLOYER_KEY[4..]), "{said}{told}");
    assert_eq!(site.traces().await, untouched);

    site.deploy_all(&["--legacy", "--gas-price", "7gwei"]);
    let file: Value = serde_json::from_str(&site.file(ChainId::CITRATE)).unwrap();
    let hash = &file["contracts"]["SaltPay"]["transaction"];
    let sent = site.anvil.ask("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!((text(&sent["type"]), number(&sent["gasPrice"])), ("0x0", 7_000_000_000), "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keystore_deploys_and_only_as_the_account_that_was_named() {
    let site = Site::on(ChainId::CITRATE).await;
    let untouched = site.traces().await;
    let keys = site.folder.join("keys");
    std::fs::create_dir_all(&keys).unwrap();
    let password = keys.join("password");
    std::fs::write(&password, "salt\n").unwrap();
    let imported = Command::new(root().join("tools/cast"))
        .args(["wallet", "import", "deployer", "--private-key", DEPLOYER_KEY])
        .args(["--unsafe-password", "salt", "--keystore-dir"])
        .arg(&keys)
        .output()
        .unwrap();
    succeeded(&imported);
    let keystore = keys.join("deployer");
    let flags = ["--keystore", keystore.to_str().unwrap(), "--password-file", password.to_str().unwrap()];

    // Another account has the money, and the keystore cannot sign for it.
    let other = signing::PAYER.to_string();
    let output = site.tool("run", &flags, &[("ETH_FROM", &other)]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("forge did not send everything"), "{said}");
    assert_eq!(site.traces().await, untouched);
    assert!(!site.path(ChainId::CITRATE).exists());

    site.deploy_all_by(&flags, &[]);
    let file: Value = serde_json::from_str(&site.file(ChainId::CITRATE)).unwrap();
    let hash = &file["contracts"]["SaltPay"]["transaction"];
    let receipt = site.anvil.ask("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(text(&receipt["from"]).parse::<Address>().unwrap(), DEPLOYER);
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

/// Coins as base units.
fn units(coins: &str) -> u128 {
    let (whole, fraction) = coins.split_once('.').unwrap_or((coins, ""));
    format!("{whole}{fraction:0<18}").parse().expect("an amount of coins")
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap());
    groups.collect::<Vec<_>>().join(",")
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
