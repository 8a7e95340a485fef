// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {WrappedSalt, newWrappedSalt} from "../support/Contracts.sol";
import {Test, Vm} from "forge-std/Test.sol";

/// @notice What all tests of WrappedSalt stand on: the token, an account with a key and wSALT, a payee; and EIP-712
/// written out a second time, so that the contract's hashes are not checked against themselves.
abstract contract WrappedSaltTest is Test {
    uint256 internal constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint256 internal constant FUNDS = 100 ether;
    uint256 internal constant NOW = 1_800_000_000;

    WrappedSalt internal token;
    Vm.Wallet internal holder;
    address internal payee = makeAddr("payee");
    address internal treasury = makeAddr("treasury");
    address internal relayer = makeAddr("relayer");

    struct Signature {
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    function setUp() public virtual {
        vm.warp(NOW);
        token = newWrappedSalt();
        holder = vm.createWallet("holder");
        vm.deal(holder.addr, FUNDS);
        vm.prank(holder.addr);
        token.deposit{value: FUNDS}();
    }

    function domainSeparator(address verifyingContract, uint256 chainId) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Wrapped SALT"),
                keccak256("1"),
                chainId,
                verifyingContract
            )
        );
    }

    function sign(uint256 privateKey, bytes32 separator, bytes32 structHash)
        internal
        pure
        returns (Signature memory signature)
    {
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", separator, structHash));
        (signature.v, signature.r, signature.s) = vm.sign(privateKey, digest);
    }

    /// @dev The other signature that plain ecrecover takes for the same key and message.
    function malleated(Signature memory signature) internal pure returns (Signature memory) {
        return
            Signature({v: signature.v == 27 ? 28 : 27, r: signature.r, s: bytes32(CURVE_ORDER - uint256(signature.s))});
    }
}
