//! Whether every contract is followed that there is something left to claim from.

use anyhow::bail;
use salt402_store::Store;

use crate::config::ResolvedChain;

/// Refuses a database with vouchers that are not claimed yet, of a contract that is followed no more: nobody would see the
/// payer of such a channel leave with what is owed.
pub(crate) async fn follows_all_claimable(store: &Store, chain: &ResolvedChain) -> anyhow::Result<()> {
    let id = chain.profile.chain_id;
    for contract in store.voucher_contracts(id).await? {
        if chain.sources.iter().any(|source| source.contract == contract) {
            continue;
        }
        let count = store.unclaimed_channels(id, contract).await?.len();
        if count > 0 {
            let name = &chain.name;
            bail!(
                "chains.{name}: of {count} channels of the contract {contract} something was accepted and is not claimed, \
                 and the contract is followed no more: add [[chains.{name}.sources]] with kind = \"past-salt-channels\" and \
                 contract = \"{contract}\"; `salt402 channel claim --all` then claims from it, see \
                 docs/vouchers.md#another-contract"
            );
        }
    }
    Ok(())
}
