// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {SaltTest} from "../Salt/SaltTest.sol";

/// @notice What Salt costs, as whole transactions. The figures are kept in `snapshots/`.
contract SaltGas is SaltTest {
    uint256 private constant AMOUNT = 0.0015 ether;
    bytes32 private constant NONCE = keccak256("nonce");

    function setUp() public override {
        super.setUp();
        vm.prank(holder.addr);
        assertTrue(token.transfer(payee, 1 ether));
    }

    function test_gas_transfer() external {
        vm.prank(holder.addr);
        assertTrue(token.transfer(payee, AMOUNT));
        vm.snapshotGasLastCall("Salt", "transfer");
    }

    function test_gas_transferWithAuthorization() external {
        (uint8 v, bytes32 r, bytes32 s) = split(signed(token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH()));
        vm.prank(relayer);
        token.transferWithAuthorization(holder.addr, payee, AMOUNT, 0, NOW + 60, NONCE, v, r, s);
        vm.snapshotGasLastCall("Salt", "transferWithAuthorization");
    }

    function test_gas_transferWithAuthorization_bytes() external {
        bytes memory signature = signed(token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH());
        vm.prank(relayer);
        token.transferWithAuthorization(holder.addr, payee, AMOUNT, 0, NOW + 60, NONCE, signature);
        vm.snapshotGasLastCall("Salt", "transferWithAuthorization, bytes");
    }

    function test_gas_receiveWithAuthorization_bytes() external {
        bytes memory signature = signed(token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH());
        vm.prank(payee);
        token.receiveWithAuthorization(holder.addr, payee, AMOUNT, 0, NOW + 60, NONCE, signature);
        vm.snapshotGasLastCall("Salt", "receiveWithAuthorization, bytes");
    }

    function signed(bytes32 typeHash) private view returns (bytes memory) {
        return sign(
            holder.privateKey,
            domainSeparator(address(token), block.chainid),
            keccak256(abi.encode(typeHash, holder.addr, payee, AMOUNT, 0, NOW + 60, NONCE))
        );
    }
}
