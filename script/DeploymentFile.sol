// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Vm} from "forge-std/Vm.sol";

/// @notice One contract on one chain.
/// @param name The contract's name in this repository.
/// @param at Where it stands.
/// @param initCodeHash keccak256 of the code that created it, or zero if it was not deployed from here.
/// @param createdFrom A block that is not later than its creation: where an indexer may start. Zero if none is known.
/// @param transaction The transaction that created it, or zero as long as it is not known. forge does not know it while
/// the script runs; `tools/transactions.mjs` adds it afterwards.
struct Deployment {
    string name;
    address at;
    bytes32 initCodeHash;
    uint256 createdFrom;
    bytes32 transaction;
}

/// @title DeploymentFile
/// @notice Reads and writes `<directory>/<chain id>.json`, from which everything else learns the addresses.
library DeploymentFile {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @notice Writes all deployments of this chain, in place of what the file held.
    function write(string memory directory, Deployment[] memory deployments) internal {
        string memory contracts = "";
        for (uint256 i = 0; i < deployments.length; ++i) {
            contracts = string.concat(contracts, i == 0 ? "\n" : ",\n", entry(deployments[i]));
        }

        vm.createDir(directory, true);
        vm.writeFile(
            pathOf(directory),
            string.concat(
                "{\n  \"chainId\": ", vm.toString(block.chainid), ",\n  \"contracts\": {", contracts, "\n  }\n}\n"
            )
        );
    }

    /// @notice The block and the transaction that the file has for a contract that stands on the chain; zero if it has
    /// none that can be right: another address, no entry, no file, or a block of a chain that was reset since.
    function recordedCreation(string memory directory, string memory name, address at)
        internal
        returns (uint256 createdFrom, bytes32 transaction)
    {
        string memory path = pathOf(directory);
        if (!vm.exists(path)) return (0, 0);

        string memory json = vm.readFile(path);
        string memory key = string.concat(".contracts.", name);
        if (!vm.keyExistsJson(json, key)) return (0, 0);
        if (vm.parseJsonAddress(json, string.concat(key, ".address")) != at) return (0, 0);

        createdFrom = vm.parseJsonUint(json, string.concat(key, ".block"));
        if (createdFrom > block.number) return (0, 0);

        // Files that were written before there were transactions have no such key; others may have null.
        string memory transactionKey = string.concat(key, ".transaction");
        if (vm.keyExistsJson(json, transactionKey)) {
            bytes memory value = vm.parseJson(json, transactionKey);
            if (value.length == 32) transaction = abi.decode(value, (bytes32));
        }
    }

    /// @notice The address and init code hash that the file has for a contract; zero for what it has not.
    function recordedContract(string memory directory, string memory name)
        internal
        returns (address at, bytes32 initCodeHash)
    {
        string memory path = pathOf(directory);
        if (!vm.exists(path)) return (address(0), bytes32(0));

        string memory json = vm.readFile(path);
        string memory key = string.concat(".contracts.", name);
        if (!vm.keyExistsJson(json, key)) return (address(0), bytes32(0));
        at = vm.parseJsonAddress(json, string.concat(key, ".address"));
        initCodeHash = vm.parseJsonBytes32(json, string.concat(key, ".initCodeHash"));
    }

    function pathOf(string memory directory) private view returns (string memory) {
        return string.concat(directory, "/", vm.toString(block.chainid), ".json");
    }

    function entry(Deployment memory deployment) private pure returns (string memory) {
        return string.concat(
            "    \"",
            deployment.name,
            "\": {\n      \"address\": \"",
            vm.toString(deployment.at),
            "\",\n      \"initCodeHash\": ",
            hashOrNull(deployment.initCodeHash),
            ",\n      \"block\": ",
            vm.toString(deployment.createdFrom),
            ",\n      \"transaction\": ",
            hashOrNull(deployment.transaction),
            "\n    }"
        );
    }

    function hashOrNull(bytes32 hash) private pure returns (string memory) {
        return hash == bytes32(0) ? "null" : string.concat("\"", vm.toString(hash), "\"");
    }
}
