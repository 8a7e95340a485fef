//! Network profiles: what is peculiar to each chain and its nodes, as data.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use salt402_protocol::ChainId;
use serde::{Deserialize, Serialize};
use url::Url;

const PROFILES: &str = include_str!("../profiles.toml");

/// The networks in the order of listing. Citrate is first, because the project is made for it.
const NAMES: [&str; 4] = ["citrate", "base", "base-sepolia", "local"];

/// A network: everything that is assumed about a chain and its nodes.
///
/// [`Profile::named`] returns the built-in ones. Operators change single fields with [`ProfileOverrides`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The name of the network in the configuration, such as `citrate`.
    #[serde(skip_deserializing)]
    pub name: String,
    /// The chain, as `eip155:<id>`.
    pub chain_id: ChainId,
    /// The symbol of the native coin, such as `SALT`.
    pub native_symbol: String,
    /// The decimals of the native coin: one coin is 10 to this power of base units.
    pub native_decimals: u8,
    /// The usual time between two blocks, in milliseconds. Only timeouts and pauses depend on it.
    pub block_time_ms: u64,
    /// `true` if a block comes about every `block_time_ms`, even without transactions. Then an old newest block shows
    /// that the node has lost touch with its chain, and no vouchers are granted on. `false` in a network that does not
    /// say.
    #[serde(default)]
    pub steady_blocks: bool,
    /// The most blocks that one `eth_getLogs` may span. More are never asked for, because some nodes answer for fewer
    /// blocks than they were asked about and do not say so.
    pub logs_range: u64,
    /// `true` if the nodes answer `eth_getLogs` for a block named by its hash. `false`: the block is asked for by its
    /// height, between two reads of its hash.
    pub logs_by_hash: bool,
    /// `true` if blocks form a graph: a transaction in a block that was merged from beside the selected chain counts,
    /// although no question by height finds it. `false`: a receipt of a block that is not at its height is of a block
    /// that left the chain, which a lagging node may still show.
    pub merges_blocks: bool,
    /// `true` if the nodes announce new blocks over WebSocket.
    pub new_heads: bool,
    /// `receipts`: the logs of new blocks are taken from all their receipts, whose root must be the one in the header.
    /// `off`: the node's logs are believed. `off` in a network that does not say.
    #[serde(default)]
    pub completeness: Completeness,
    /// How many units per second every node of the network allows a client. `None`: no limit is known.
    #[serde(default)]
    pub units_per_second: Option<u64>,
    /// The same for the public node at `rpc`. `None`: as `units_per_second`.
    #[serde(default)]
    pub public_units_per_second: Option<u64>,
    /// The cost of each method, in units. A method that is not listed costs 1. Each call of a batch counts.
    #[serde(default)]
    pub costs: BTreeMap<String, u64>,
    /// The most calls in one batch. 100 in a network that does not say. This program never sends more than 6, but for a
    /// facilitator, which sends as many as this allows.
    #[serde(default = "batch")]
    pub max_batch: usize,
    /// The most contracts in one `eth_getLogs`. 100 in a network that does not say. 1 if it is not known that the nodes
    /// read a list of them: a node that does not would leave logs out without a word.
    #[serde(default = "addresses")]
    pub max_addresses: usize,
    /// How often to ask for the newest block, in milliseconds. Blocks that are announced come in addition.
    pub poll_ms: u64,
    /// How many blocks must follow a block to make it final. Only this depth decides: the tags `safe` and `finalized`
    /// mean different things on different chains.
    pub finality_depth: u64,
    /// How many blocks a payment needs if the policy says nothing, with its own block. 1 accepts it as soon as its
    /// block is there.
    pub confirmations: u64,
    /// How many headers are kept, in blocks, to find the way back after a reorganization. At least `finality_depth`.
    pub reorg_window: u64,
    /// For how long a fork that is lower than the index must be shown until it is followed, in milliseconds. Until then
    /// the node may only be behind, and nothing is granted on payments that the fork does not have. A fork that is as
    /// high as the index is followed at once. 60000 in a network that does not say.
    #[serde(default = "shorter_fork")]
    pub shorter_fork_ms: u64,
    /// The most that an account offers for one unit of gas, in base units. Whatever a node says, the gas of one
    /// transaction never costs more than this times `max_gas_limit`.
    pub max_fee_per_gas: u64,
    /// The most gas that an account buys for one transaction if the caller sets no limit, in units of gas.
    pub max_gas_limit: u64,
    /// The most gas of a transaction that claims from many channels or closes them, in units of gas.
    #[serde(default = "max_batch_gas")]
    pub max_batch_gas: u64,
    /// The hash of block 0. `None`: whatever the first contact finds is stored, and must stay the same.
    #[serde(default)]
    pub genesis_hash: Option<B256>,
    /// The HTTP address of the node that is asked if the operator names none. `None`: the operator must name one.
    #[serde(default)]
    pub rpc: Option<Url>,
    /// The WebSocket address of the same node. `None`: it is only polled.
    #[serde(default)]
    pub ws: Option<Url>,
    /// The address of the ERC-20 token that wraps the native coin. `None`: none is known.
    #[serde(default)]
    pub wrapped_native: Option<Address>,
}

fn shorter_fork() -> u64 {
    60_000
}

/// 380 claims of 20,000 gas, well below the gas of a block, and of a transaction where that is bounded.
fn max_batch_gas() -> u64 {
    8_000_000
}

fn batch() -> usize {
    100
}

fn addresses() -> usize {
    100
}

/// The largest batch that is ever sent.
const LARGEST_BATCH: usize = 6;

/// How to ensure that a node omits no log of a new block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Completeness {
    /// The node is believed.
    #[default]
    Off,
    /// All receipts of the block are read, and must have the receipts root of the block's header.
    Receipts,
}

/// Why a network does not exist or has invalid values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No profile has this name.
    #[error("there is no network {name:?}; the known networks are {}", NAMES.join(", "))]
    Unknown {
        /// The requested name.
        name: String,
    },
    /// A field has an invalid value, or two fields contradict each other.
    #[error("the network {name:?} is invalid: {what}")]
    Invalid {
        /// The network's name.
        name: String,
        /// The field, its value, and the requirement.
        what: String,
    },
    /// The built-in profiles cannot be parsed: this build is broken.
    #[error("the built-in networks cannot be read ({0}): this build of salt402 is broken")]
    Embedded(String),
}

impl Profile {
    /// The names of the built-in networks.
    pub const fn names() -> &'static [&'static str] {
        &NAMES
    }

    /// A built-in network.
    ///
    /// # Errors [`ProfileError::Unknown`] lists the existing names.
    pub fn named(name: &str) -> Result<Self, ProfileError> {
        let mut all: BTreeMap<String, Self> =
            toml::from_str(PROFILES).map_err(|error| ProfileError::Embedded(error.to_string()))?;
        let (name, mut profile) = all
            .remove_entry(name)
            .ok_or_else(|| ProfileError::Unknown { name: name.chars().take(64).collect() })?;
        profile.name = name;
        Ok(profile)
    }

    /// The usual time until a block is final. A reorganization can delay a transaction by as much.
    pub fn finality_time(&self) -> Duration {
        Duration::from_millis(self.block_time_ms.saturating_mul(self.finality_depth))
    }

    /// Applies an operator's overrides.
    ///
    /// Related values change together: another `chain_id` drops the genesis hash, the nodes' addresses and the wrapped
    /// coin; another `rpc` drops the old `ws`. Overrides can set them again.
    ///
    /// # Errors [`ProfileError::Invalid`] if the result contradicts itself.
    pub fn apply(mut self, overrides: ProfileOverrides) -> Result<Self, ProfileError> {
        if overrides.chain_id.is_some_and(|id| id != self.chain_id) {
            (self.genesis_hash, self.rpc, self.ws, self.wrapped_native) = (None, None, None, None);
        }
        if overrides.rpc.is_some() && overrides.rpc != self.rpc {
            (self.ws, self.public_units_per_second) = (None, None);
        }
        overrides.replace(&mut self);
        self.check()?;
        Ok(self)
    }

    /// Checks that the values are consistent.
    ///
    /// # Errors [`ProfileError::Invalid`] names the first wrong field.
    pub fn check(&self) -> Result<(), ProfileError> {
        let positive = [
            ("block_time_ms", self.block_time_ms),
            ("logs_range", self.logs_range),
            ("poll_ms", self.poll_ms),
            ("finality_depth", self.finality_depth),
            ("confirmations", self.confirmations),
            ("max_fee_per_gas", self.max_fee_per_gas),
        ];
        if let Some((field, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(self.invalid(format!("{field} = 0: it must be at least 1")));
        }
        if self.units_per_second == Some(0) || self.public_units_per_second == Some(0) {
            return Err(self.invalid("units_per_second = 0: it must be at least 1".to_owned()));
        }
        if self.max_batch < LARGEST_BATCH {
            let batch = self.max_batch;
            return Err(self.invalid(format!("max_batch = {batch}: it must be at least {LARGEST_BATCH}")));
        }
        if self.max_addresses == 0 {
            return Err(self.invalid("max_addresses = 0: it must be at least 1".to_owned()));
        }
        if self.reorg_window < self.finality_depth {
            let (window, depth) = (self.reorg_window, self.finality_depth);
            return Err(self
                .invalid(format!("reorg_window = {window}: it must be at least finality_depth = {depth}")));
        }
        if self.max_gas_limit < 21_000 {
            let limit = self.max_gas_limit;
            return Err(self.invalid(format!("max_gas_limit = {limit}: it must be at least 21000")));
        }
        if self.native_decimals > 36 {
            let decimals = self.native_decimals;
            return Err(self.invalid(format!("native_decimals = {decimals}: it must be at most 36")));
        }
        Ok(())
    }

    fn invalid(&self, what: String) -> ProfileError {
        ProfileError::Invalid { name: self.name.clone(), what }
    }
}

/// Declares [`ProfileOverrides`] from a profile's required and optional fields.
macro_rules! overrides {
    (always { $($field:ident: $kind:ty,)+ } sometimes { $($maybe:ident: $of:ty,)+ }) => {
        /// An operator's values for a network. Fields that are left out keep the built-in value.
        ///
        /// The fields are those of [`Profile`].
        #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        #[allow(missing_docs)] // Each field is documented where it is defined.
        pub struct ProfileOverrides {
            pub costs: Option<BTreeMap<String, u64>>,
            $(pub $field: Option<$kind>,)+
            $(pub $maybe: Option<$of>,)+
        }

        impl ProfileOverrides {
            fn replace(self, profile: &mut Profile) {
                // Costs are overridden one by one.
                profile.costs.extend(self.costs.unwrap_or_default());
                $(if let Some(value) = self.$field { profile.$field = value; })+
                $(if self.$maybe.is_some() { profile.$maybe = self.$maybe; })+
            }
        }
    };
}

overrides! {
    always {
        chain_id: ChainId,
        native_symbol: String,
        native_decimals: u8,
        block_time_ms: u64,
        steady_blocks: bool,
        logs_range: u64,
        logs_by_hash: bool,
        merges_blocks: bool,
        new_heads: bool,
        completeness: Completeness,
        max_batch: usize,
        max_addresses: usize,
        poll_ms: u64,
        finality_depth: u64,
        confirmations: u64,
        reorg_window: u64,
        shorter_fork_ms: u64,
        max_fee_per_gas: u64,
        max_gas_limit: u64,
        max_batch_gas: u64,
    }
    sometimes {
        units_per_second: u64,
        public_units_per_second: u64,
        genesis_hash: B256,
        rpc: Url,
        ws: Url,
        wrapped_native: Address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_network_is_sound_and_listed() {
        let all: BTreeMap<String, toml::Value> = toml::from_str(PROFILES).unwrap();
        assert_eq!(all.len(), NAMES.len());
        for name in Profile::names() {
            let profile = Profile::named(name).unwrap();
            assert_eq!(profile.name, *name);
            profile.check().unwrap();
        }
    }

    #[test]
    fn citrate_is_as_its_node_describes_itself() {
        let citrate = Profile::named("citrate").unwrap();
        assert_eq!(citrate.chain_id, ChainId::CITRATE);
        assert_eq!((citrate.logs_range, citrate.logs_by_hash, citrate.finality_depth), (1000, false, 100));
        assert_eq!((citrate.native_symbol.as_str(), citrate.native_decimals), ("SALT", 18));
        assert_eq!((citrate.units_per_second, citrate.max_batch), (Some(1000), 100));
        let costs = ["eth_getLogs", "eth_call", "eth_getBlockByNumber"]
            .map(|method| citrate.costs.get(method).copied());
        assert_eq!(costs, [Some(10), Some(10), None]);
        assert_eq!(citrate.completeness, Completeness::Off);
        assert!(citrate.new_heads && citrate.genesis_hash.is_none() && citrate.wrapped_native.is_some());
    }

    #[test]
    fn an_unknown_network_is_answered_with_those_that_exist() {
        let message = Profile::named("mainnet").unwrap_err().to_string();
        assert!(
            message.contains("\"mainnet\"") && message.contains("citrate, base, base-sepolia, local"),
            "{message}"
        );
    }

    #[test]
    fn an_operator_changes_a_field_and_keeps_the_rest() {
        let overrides: ProfileOverrides = toml::from_str("poll_ms = 250\nconfirmations = 6").unwrap();
        let citrate = Profile::named("citrate").unwrap();
        let changed = citrate.clone().apply(overrides).unwrap();
        assert_eq!(changed, Profile { poll_ms: 250, confirmations: 6, ..citrate });
        assert!(
            toml::from_str::<ProfileOverrides>("pol_ms = 250").is_err(),
            "a misspelt field was swallowed"
        );
    }

    #[test]
    fn another_node_or_chain_does_not_keep_what_belonged_to_the_old_one() {
        let rpc: Url = "http://10.0.0.1:8545".parse().unwrap();
        let own = ProfileOverrides { rpc: Some(rpc.clone()), ..ProfileOverrides::default() };
        let citrate = Profile::named("citrate").unwrap().apply(own).unwrap();
        assert_eq!((citrate.rpc.as_ref(), citrate.ws), (Some(&rpc), None));

        let chain_id = ChainId::new(31337);
        let fork = ProfileOverrides { chain_id, ..ProfileOverrides::default() };
        let base = Profile::named("base").unwrap().apply(fork).unwrap();
        assert_eq!((base.genesis_hash, base.rpc, base.chain_id), (None, None, chain_id.unwrap()));
    }

    #[test]
    fn values_that_contradict_each_other_are_refused_by_name() {
        for (text, field) in [
            ("reorg_window = 50", "reorg_window"),
            ("logs_range = 0", "logs_range"),
            ("confirmations = 0", "confirmations"),
            ("max_gas_limit = 20000", "max_gas_limit"),
            ("units_per_second = 0", "units_per_second"),
            ("max_batch = 2", "max_batch"),
            ("max_addresses = 0", "max_addresses"),
        ] {
            let overrides: ProfileOverrides = toml::from_str(text).unwrap();
            let message = Profile::named("citrate").unwrap().apply(overrides).unwrap_err().to_string();
            assert!(message.contains(field) && message.contains("citrate"), "{message}");
        }
    }
}
