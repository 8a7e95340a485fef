// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Vm} from "forge-std/Vm.sol";

/// @notice One contract of a deployment.
/// @param name The contract's name in this repository.
/// @param at Where it stands, or where it will.
/// @param initCodeHash keccak256 of the code that creates it, or zero if it is not deployed from here.
/// @param isThere Whether it stands there already.
struct PlannedContract {
    string name;
    address at;
    bytes32 initCodeHash;
    bool isThere;
}

/// @notice One transaction that is sent.
/// @param name The contract that it is for.
/// @param from Who signs it and pays for its gas; zero if the account is not known.
/// @param to Who gets it; zero where it creates the contract by itself.
/// @param value How much it carries, in base units of the chain's coin.
/// @param size The length of its calldata, in bytes.
/// @param gas What it uses.
/// @param gasPrice In base units, where its signer has fixed it; otherwise zero.
struct PlannedTransaction {
    string name;
    address from;
    address to;
    uint256 value;
    uint256 size;
    uint256 gas;
    uint256 gasPrice;
}

/// @title DeploymentPlan
/// @notice Writes down what a deployment will send, for `tools/deploy.mjs`: as JSON, amounts as decimal texts.
library DeploymentPlan {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @param path The file.
    /// @param account Who deploys; zero if it is not known.
    function write(
        string memory path,
        address account,
        PlannedContract[] memory contracts,
        PlannedTransaction[] memory transactions
    ) internal {
        string memory listed = "";
        for (uint256 i = 0; i < contracts.length; ++i) {
            listed = string.concat(listed, i == 0 ? "\n" : ",\n", entry(contracts[i]));
        }
        string memory sent = "";
        for (uint256 i = 0; i < transactions.length; ++i) {
            sent = string.concat(sent, i == 0 ? "\n" : ",\n", entry(transactions[i]));
        }
        string memory head = string.concat(
            "{\n\"chainId\": ",
            vm.toString(block.chainid),
            ",\n\"block\": ",
            vm.toString(block.number),
            ",\n\"account\": ",
            addressOrNull(account)
        );
        vm.writeFile(
            path, string.concat(head, ",\n\"contracts\": [", listed, "\n],\n\"transactions\": [", sent, "\n]\n}\n")
        );
    }

    function entry(PlannedContract memory planned) private pure returns (string memory) {
        return string.concat(
            "{\"name\": \"",
            planned.name,
            "\", \"address\": ",
            addressOrNull(planned.at),
            ", \"initCodeHash\": ",
            planned.initCodeHash == bytes32(0) ? "null" : string.concat("\"", vm.toString(planned.initCodeHash), "\""),
            ", \"isThere\": ",
            planned.isThere ? "true}" : "false}"
        );
    }

    function entry(PlannedTransaction memory planned) private pure returns (string memory) {
        string memory parties = string.concat(
            "{\"name\": \"",
            planned.name,
            "\", \"from\": ",
            addressOrNull(planned.from),
            ", \"to\": ",
            addressOrNull(planned.to)
        );
        string memory amounts = string.concat(
            ", \"value\": \"",
            vm.toString(planned.value),
            "\", \"size\": ",
            vm.toString(planned.size),
            ", \"gas\": ",
            vm.toString(planned.gas)
        );
        string memory price =
            planned.gasPrice == 0 ? "null}" : string.concat("\"", vm.toString(planned.gasPrice), "\"}");
        return string.concat(parties, amounts, ", \"gasPrice\": ", price);
    }

    function addressOrNull(address account) private pure returns (string memory) {
        return account == address(0) ? "null" : string.concat("\"", vm.toString(account), "\"");
    }
}
