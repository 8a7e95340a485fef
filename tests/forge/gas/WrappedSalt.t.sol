// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {WrappedSalt, newWrappedSalt} from "../support/Contracts.sol";
import {Test, Vm} from "forge-std/Test.sol";

/// @notice What wrapped SALT costs, as whole transactions. The figures are kept in `snapshots/`.
contract WrappedSaltGas is Test {
    uint256 private constant AMOUNT = 0.0015 ether;
    uint256 private constant VALID_BEFORE = 1_800_000_060;

    WrappedSalt private wrappedSalt;
    Vm.Wallet private payer;
    address private payee = makeAddr("payee");
    address private treasury = makeAddr("treasury");

    function setUp() external {
        vm.warp(1_800_000_000);
        wrappedSalt = newWrappedSalt();
        payer = vm.createWallet("payer");

        address[3] memory accounts = [payer.addr, payee, treasury];
        for (uint256 i = 0; i < accounts.length; ++i) {
            vm.deal(accounts[i], 10 ether);
            vm.prank(accounts[i]);
            wrappedSalt.deposit{value: 1 ether}();
        }
    }

    function test_gas_deposit() external {
        vm.prank(payer.addr);
        wrappedSalt.deposit{value: AMOUNT}();
        vm.snapshotGasLastCall("WrappedSalt", "deposit");
    }

    function test_gas_withdraw() external {
        vm.prank(payer.addr);
        wrappedSalt.withdraw(AMOUNT);
        vm.snapshotGasLastCall("WrappedSalt", "withdraw");
    }

    function test_gas_transfer() external {
        vm.prank(payer.addr);
        assertTrue(wrappedSalt.transfer(payee, AMOUNT));
        vm.snapshotGasLastCall("WrappedSalt", "transfer");
    }

    function test_gas_transferWithAuthorization() external {
        bytes32 nonce = keccak256("nonce");
        (uint8 v, bytes32 r, bytes32 s) = sign(
            abi.encode(
                wrappedSalt.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(), payer.addr, payee, AMOUNT, 0, VALID_BEFORE, nonce
            )
        );
        wrappedSalt.transferWithAuthorization(payer.addr, payee, AMOUNT, 0, VALID_BEFORE, nonce, v, r, s);
        vm.snapshotGasLastCall("WrappedSalt", "transferWithAuthorization");
    }

    function test_gas_receiveWithAuthorization() external {
        bytes32 nonce = keccak256("nonce");
        (uint8 v, bytes32 r, bytes32 s) = sign(
            abi.encode(
                wrappedSalt.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(), payer.addr, payee, AMOUNT, 0, VALID_BEFORE, nonce
            )
        );
        vm.prank(payee);
        wrappedSalt.receiveWithAuthorization(payer.addr, payee, AMOUNT, 0, VALID_BEFORE, nonce, v, r, s);
        vm.snapshotGasLastCall("WrappedSalt", "receiveWithAuthorization");
    }

    function test_gas_transferWithFeeAuthorization() external {
        bytes32 nonce = keccak256("nonce");
        (uint8 v, bytes32 r, bytes32 s) = sign(
            abi.encode(
                wrappedSalt.TRANSFER_WITH_FEE_AUTHORIZATION_TYPEHASH(),
                payer.addr,
                payee,
                AMOUNT,
                treasury,
                AMOUNT / 100,
                0,
                VALID_BEFORE,
                nonce
            )
        );
        wrappedSalt.transferWithFeeAuthorization(
            payer.addr, payee, treasury, AMOUNT, AMOUNT / 100, 0, VALID_BEFORE, nonce, v, r, s
        );
        vm.snapshotGasLastCall("WrappedSalt", "transferWithFeeAuthorization");
    }

    function sign(bytes memory encoded) private returns (uint8 v, bytes32 r, bytes32 s) {
        return
            vm.sign(payer, keccak256(abi.encodePacked(hex"1901", wrappedSalt.DOMAIN_SEPARATOR(), keccak256(encoded))));
    }
}
