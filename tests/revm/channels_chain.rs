//! An EVM in memory on which time passes, and keys that sign on it.

use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex, keccak256};
use alloy_sol_types::SolCall;
use revm::context::result::{ExecutionResult, Output};
use revm::context::{Context, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::handler::{MainContext as _, MainnetContext, MainnetEvm};
use revm::primitives::hardfork::SpecId;
use revm::state::AccountInfo;
use revm::{Database as _, ExecuteCommitEvm as _, MainBuilder as _};
use salt402_protocol::ChainId;

use crate::machine::TIME;

/// A chain in memory with Citrate's id and hard fork (Cancun), and a clock.
pub(crate) struct Chain {
    evm: MainnetEvm<MainnetContext<CacheDB<EmptyDB>>>,
    /// The time of the next block, in seconds since 1970 UTC.
    pub(crate) time: u64,
}

impl Chain {
    pub(crate) fn new() -> Self {
        let evm = Context::mainnet()
            .with_db(CacheDB::new(EmptyDB::default()))
            .modify_cfg_chained(|cfg| {
                cfg.chain_id = ChainId::CITRATE.get();
                cfg.set_spec_and_mainnet_gas_params(SpecId::CANCUN);
            })
            .modify_block_chained(|block| block.basefee = 0)
            .build_mainnet();
        Self { evm, time: TIME }
    }

    /// Gives an account native coins.
    pub(crate) fn fund(&mut self, account: Address, amount: U256) {
        self.evm.ctx.journaled_state.database.insert_account_info(account, AccountInfo::from_balance(amount));
    }

    /// What an account has in native coins.
    pub(crate) fn balance(&mut self, account: Address) -> U256 {
        self.evm.ctx.journaled_state.database.basic(account).unwrap().unwrap_or_default().balance
    }

    /// Deploys a contract as forge compiled it.
    pub(crate) fn deploy(&mut self, name: &str) -> Address {
        let path = salt402_tests::root().join(format!("out/{name}.sol/{name}.json"));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; run `make contracts`", path.display()));
        let artifact: serde_json::Value = serde_json::from_str(&text).unwrap();
        let code = hex::decode(artifact["bytecode"]["object"].as_str().unwrap()).unwrap();
        match self.run(Address::repeat_byte(0xde), TxKind::Create, U256::ZERO, code.into()) {
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
    ) -> Result<Bytes, Bytes> {
        match self.run(from, TxKind::Call(to), value, call.abi_encode().into()) {
            ExecutionResult::Success { output, .. } => Ok(output.into_data()),
            ExecutionResult::Revert { output, .. } => Err(output),
            ExecutionResult::Halt { reason, .. } => panic!("halted: {reason:?}"),
        }
    }

    fn run(&mut self, from: Address, kind: TxKind, value: U256, data: Bytes) -> ExecutionResult {
        let account = self.evm.ctx.journaled_state.database.basic(from).unwrap().unwrap_or_default();
        self.evm.ctx.block.timestamp = U256::from(self.time);
        let transaction = TxEnv::builder()
            .caller(from)
            .kind(kind)
            .value(value)
            .data(data)
            .gas_limit(10_000_000)
            .gas_price(0)
            .nonce(account.nonce)
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

    /// 65 bytes: r, s, v.
    pub(crate) fn sign(&self, digest: B256) -> Bytes {
        let (signature, recovery) = self.key.sign_prehash_recoverable(digest.as_slice()).unwrap();
        Signature::from((signature, recovery)).as_bytes().into()
    }
}
