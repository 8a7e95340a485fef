// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Vm} from "forge-std/Vm.sol";

/// @title DeploymentFile
/// @notice Reads `<directory>/<chain id>.json`, from which everything else learns the addresses. The script only reads
/// it: `tools/deploy.mjs` writes it, from receipts, after the transactions are mined.
library DeploymentFile {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @notice The address and init code hash that the file has for a contract; zero for what it has not.
    function recordedContract(string memory directory, string memory name)
        internal
        returns (address at, bytes32 initCodeHash)
    {
        string memory path = string.concat(directory, "/", vm.toString(block.chainid), ".json");
        if (!vm.exists(path)) return (address(0), bytes32(0));

        string memory json = vm.readFile(path);
        string memory key = string.concat(".contracts.", name);
        if (!vm.keyExistsJson(json, key)) return (address(0), bytes32(0));
        at = vm.parseJsonAddress(json, string.concat(key, ".address"));
        initCodeHash = vm.parseJsonBytes32(json, string.concat(key, ".initCodeHash"));
    }
}
