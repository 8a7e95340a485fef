// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISalt} from "../../../contracts/interfaces/ISalt.sol";
import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {ISaltPay} from "../../../contracts/interfaces/ISaltPay.sol";
import {IWrappedSalt} from "../../../contracts/interfaces/IWrappedSalt.sol";
import {
    IX402ExactPermit2Proxy,
    IX402Permit2Proxy,
    IX402UptoPermit2Proxy
} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {IERC5267} from "@openzeppelin/contracts/interfaces/IERC5267.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Vm} from "forge-std/Vm.sol";

// The contracts are compiled by way of Yul, which is slow, and tests are not: they see the interfaces, and get the code
// that was compiled for production from here. A test that imported a contract would be compiled in its way.

interface Salt is ISalt, IERC20Metadata, IERC20Permit, IERC5267 {}

interface WrappedSalt is IWrappedSalt, IERC20Metadata {}

interface SaltPay is ISaltPay {}

interface SaltChannels is ISaltChannels, IERC5267 {}

interface X402ExactPermit2Proxy is IX402Permit2Proxy, IX402ExactPermit2Proxy {}

interface X402UptoPermit2Proxy is IX402Permit2Proxy, IX402UptoPermit2Proxy {}

Vm constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

function newSalt(address holder, uint256 supply) returns (Salt) {
    return Salt(create("Salt", abi.encode(holder, supply)));
}

function newWrappedSalt() returns (WrappedSalt) {
    return WrappedSalt(create("WrappedSalt", ""));
}

function newSaltPay() returns (SaltPay) {
    return SaltPay(create("SaltPay", ""));
}

function newSaltChannels() returns (SaltChannels) {
    return SaltChannels(create("SaltChannels", ""));
}

function newX402ExactPermit2Proxy(address permit2) returns (X402ExactPermit2Proxy) {
    return X402ExactPermit2Proxy(create("X402ExactPermit2Proxy", abi.encode(permit2)));
}

function newX402UptoPermit2Proxy(address permit2) returns (X402UptoPermit2Proxy) {
    return X402UptoPermit2Proxy(create("X402UptoPermit2Proxy", abi.encode(permit2)));
}

/// @notice The creation code of a contract of this repository, without its constructor's arguments.
function creationCodeOf(string memory name) view returns (bytes memory) {
    return VM.getCode(string.concat(name, ".sol:", name));
}

/// @dev Created by the calling test, as `new` would. What the constructor reverts with is passed on.
function create(string memory name, bytes memory arguments) returns (address created) {
    bytes memory code = bytes.concat(creationCodeOf(name), arguments);
    assembly ("memory-safe") {
        created := create(0, add(code, 0x20), mload(code))
        if iszero(created) {
            let at := mload(0x40)
            returndatacopy(at, 0, returndatasize())
            revert(at, returndatasize())
        }
    }
}
