// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Salt, newSalt} from "../support/Contracts.sol";
import {Test, Vm} from "forge-std/Test.sol";

/// @notice What all tests of Salt stand on: the token, a holder with a key, a payee; and EIP-712 written out a second
/// time, so that the contract's hashes are not checked against themselves.
abstract contract SaltTest is Test {
    uint256 internal constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint256 internal constant FUNDS = 100 ether;
    uint256 internal constant NOW = 1_800_000_000;

    Salt internal token;
    Vm.Wallet internal holder;
    address internal payee = makeAddr("payee");
    address internal relayer = makeAddr("relayer");

    function setUp() public virtual {
        vm.warp(NOW);
        holder = vm.createWallet("holder");
        token = newSalt(holder.addr, FUNDS);
    }

    function domainSeparator(address verifyingContract, uint256 chainId) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Salt"),
                keccak256("1"),
                chainId,
                verifyingContract
            )
        );
    }

    /// @dev The key's signature as r, s, v.
    function sign(uint256 privateKey, bytes32 separator, bytes32 structHash) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(privateKey, keccak256(abi.encodePacked(hex"1901", separator, structHash)));
        return abi.encodePacked(r, s, v);
    }

    function split(bytes memory signature) internal pure returns (uint8 v, bytes32 r, bytes32 s) {
        require(signature.length == 65, "not 65 bytes");
        assembly ("memory-safe") {
            r := mload(add(signature, 0x20))
            s := mload(add(signature, 0x40))
            v := byte(0, mload(add(signature, 0x60)))
        }
    }

    /// @dev The other signature that plain ecrecover takes for the same key and message.
    function malleated(bytes memory signature) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = split(signature);
        return abi.encodePacked(r, bytes32(CURVE_ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
    }
}
