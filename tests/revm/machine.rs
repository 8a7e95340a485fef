//! An EVM in memory, with Citrate's rules, and keys that sign on it.

use alloy_primitives::{Address, B256, Bytes, Log, Signature, TxKind, U256, address, hex, keccak256};
use alloy_sol_types::SolCall;
use revm::context::result::{ExecutionResult, Output};
use revm::context::{Context, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::handler::{MainContext as _, MainnetContext, MainnetEvm};
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, Bytecode};
use revm::{Database as _, ExecuteCommitEvm as _, MainBuilder as _};
use salt402_protocol::ChainId;
use salt402_protocol::foreign::MULTICALL3;
use salt402_protocol::typed_data::PERMIT2;

/// The time of the first block, in seconds since 1970 UTC.
pub(crate) const TIME: u64 = 1_800_000_000;

/// A chain in memory with Citrate's id and hard fork (Cancun).
pub(crate) struct Machine {
    evm: MainnetEvm<MainnetContext<CacheDB<EmptyDB>>>,
    /// The time of the next block, in seconds since 1970 UTC.
    pub(crate) time: u64,
}

/// What a call did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) output: Bytes,
    pub(crate) logs: Vec<Log>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let evm = Context::mainnet()
            .with_db(CacheDB::new(EmptyDB::default()))
            .modify_cfg_chained(|cfg| {
                cfg.chain_id = ChainId::CITRATE.get();
                cfg.set_spec_and_mainnet_gas_params(SpecId::CANCUN);
            })
            .modify_block_chained(|block| {
                block.basefee = 0;
                // SaltChannels takes the block before its own into its identifiers.
                block.number = U256::from(1);
            })
            .build_mainnet();
        Self { evm, time: TIME }
    }

    /// Gives an account native coins.
    pub(crate) fn fund(&mut self, account: Address, amount: U256) {
        self.evm.ctx.journaled_state.database.insert_account_info(account, AccountInfo::from_balance(amount));
    }

    /// What an account has in native coins.
    pub(crate) fn balance(&mut self, account: Address) -> U256 {
        self.account(account).balance
    }

    /// Deploys a contract as forge compiled it.
    pub(crate) fn deploy(&mut self, name: &str) -> Address {
        self.deploy_with(name, &[])
    }

    /// Deploys a contract as forge compiled it, with its constructor's arguments as ABI-encoded bytes.
    pub(crate) fn deploy_with(&mut self, name: &str, arguments: &[u8]) -> Address {
        let path = salt402_tests::root().join(format!("out/{name}.sol/{name}.json"));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; run `make contracts`", path.display()));
        let artifact: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut code = hex::decode(artifact["bytecode"]["object"].as_str().unwrap()).unwrap();
        code.extend_from_slice(arguments);
        let deployer = Address::repeat_byte(0xde);
        match self.run(deployer, TxKind::Create, U256::ZERO, code.into()) {
            ExecutionResult::Success { output: Output::Create(_, Some(address)), .. } => address,
            other => panic!("{name} was not deployed: {other:?}"),
        }
    }

    /// Sends a transaction. `Err` holds what it reverted with.
    pub(crate) fn send<C: SolCall>(
        &mut self,
        from: Address,
        to: Address,
        value: U256,
        call: &C,
    ) -> Result<Done, Bytes> {
        match self.run(from, TxKind::Call(to), value, call.abi_encode().into()) {
            ExecutionResult::Success { output, logs, .. } => Ok(Done { output: output.into_data(), logs }),
            ExecutionResult::Revert { output, .. } => Err(output),
            ExecutionResult::Halt { reason, .. } => panic!("halted: {reason:?}"),
        }
    }

    /// Puts Permit2 at its own address, by the factory and the init code that put it there on every chain.
    pub(crate) fn deploy_permit2(&mut self) {
        let factory = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");
        let code = hex!(
            "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
        );
        let account = AccountInfo::default().with_code(Bytecode::new_raw(code.into()));
        self.evm.ctx.journaled_state.database.insert_account_info(factory, account);
        let path = salt402_tests::root().join("script/initcode/Permit2.hex");
        let mut data = hex!("0000000000000000000000000000000000000000d3af2663da51c10215000000").to_vec();
        data.extend(hex::decode(std::fs::read_to_string(&path).unwrap().trim()).unwrap());
        match self.run(Address::repeat_byte(0xde), TxKind::Call(factory), U256::ZERO, data.into()) {
            ExecutionResult::Success { output, .. } => {
                assert_eq!(output.into_data().as_ref(), PERMIT2.as_slice());
            }
            other => panic!("Permit2 was not deployed: {other:?}"),
        }
    }

    /// Puts Multicall3 at its own address. The transaction that created it everywhere ends with its init code and a
    /// signature, which the code does not read.
    pub(crate) fn deploy_multicall3(&mut self) {
        let path = salt402_tests::root().join("script/initcode/Multicall3.tx.hex");
        let sent = hex::decode(std::fs::read_to_string(&path).unwrap().trim()).unwrap();
        let begins = sent.windows(5).position(|bytes| bytes == hex!("6080604052")).unwrap();
        let deployer = Address::repeat_byte(0xde);
        let done = self.run(deployer, TxKind::Create, U256::ZERO, sent[begins..].to_vec().into());
        let ExecutionResult::Success { output: Output::Create(code, Some(_)), .. } = done else {
            panic!("Multicall3 was not deployed: {done:?}")
        };
        let account = AccountInfo::default().with_code(Bytecode::new_raw(code));
        self.evm.ctx.journaled_state.database.insert_account_info(MULTICALL3, account);
    }

    fn account(&mut self, address: Address) -> AccountInfo {
        self.evm.ctx.journaled_state.database.basic(address).unwrap().unwrap_or_default()
    }

    fn run(&mut self, from: Address, kind: TxKind, value: U256, data: Bytes) -> ExecutionResult {
        let nonce = self.account(from).nonce;
        self.evm.ctx.block.timestamp = U256::from(self.time);
        let transaction = TxEnv::builder()
            .caller(from)
            .kind(kind)
            .value(value)
            .data(data)
            .gas_limit(10_000_000)
            .gas_price(0)
            .nonce(nonce)
            .chain_id(Some(ChainId::CITRATE.get()))
            .build()
            .unwrap();
        self.evm.transact_commit(transaction).unwrap()
    }
}

/// A key drawn from a seed, and its address.
pub(crate) struct Key {
    key: k256::ecdsa::SigningKey,
    pub(crate) address: Address,
}

impl Key {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let key = k256::ecdsa::SigningKey::from_slice(keccak256(seed).as_slice()).unwrap();
        let address = Address::from_public_key(key.verifying_key());
        Self { key, address }
    }

    pub(crate) fn sign(&self, digest: B256) -> Signature {
        self.key.sign_prehash_recoverable(digest.as_slice()).unwrap().into()
    }
}

/// A signature in 65 bytes: r, s, v.
pub(crate) fn bytes(signature: Signature) -> Bytes {
    signature.as_bytes().into()
}

/// A signature as functions take it that have a parameter for each part: v, r, s.
pub(crate) fn parts(signature: Signature) -> (u8, B256, B256) {
    (27 + u8::from(signature.v()), signature.r().into(), signature.s().into())
}
