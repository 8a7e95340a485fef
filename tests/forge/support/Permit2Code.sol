// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Vm} from "forge-std/Vm.sol";

/// @title Permit2Code
/// @notice Puts the real Permit2 at its real address, in the way in which it came there on every chain.
library Permit2Code {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    address internal constant FACTORY = 0x4e59b44847b379578588920cA78FbF26c0B4956C;
    address internal constant PERMIT2 = 0x000000000022D473030F116dDEE9F6B43aC78BA3;
    bytes32 private constant SALT = 0x0000000000000000000000000000000000000000d3af2663da51c10215000000;
    bytes32 private constant INIT_CODE_HASH = 0xe2be1e05eedf35dacd66c65c862f8150ff9ab4b6b24b9bbe62be71b6b16cf0f8;

    function deploy() internal returns (address) {
        bytes memory initCode = vm.parseBytes(vm.readFile("script/initcode/Permit2.hex"));
        require(keccak256(initCode) == INIT_CODE_HASH, "not the published Permit2");
        (bool created,) = FACTORY.call(bytes.concat(SALT, initCode));
        require(created && PERMIT2.code.length > 0, "Permit2 is not there");
        return PERMIT2;
    }
}
