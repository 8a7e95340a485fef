// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Salt} from "../../../contracts/Salt.sol";
import {SaltPay} from "../../../contracts/SaltPay.sol";
import {WrappedSalt} from "../../../contracts/WrappedSalt.sol";
import {ISaltPay} from "../../../contracts/interfaces/ISaltPay.sol";
import {Test, Vm} from "forge-std/Test.sol";

/// @notice What payments cost, as whole transactions: with the 21,000, the calldata and a reference of 32 random bytes.
/// The figures are kept in `snapshots/`; a change of one fails here.
contract SaltPayGas is Test {
    bytes32 private constant REFERENCE = keccak256("quote");
    uint256 private constant AMOUNT = 0.0015 ether;

    SaltPay private saltPay;
    WrappedSalt private wrappedSalt;
    address private payer = makeAddr("payer");
    address private payee = makeAddr("payee");

    function setUp() external {
        saltPay = new SaltPay();
        wrappedSalt = new WrappedSalt();

        vm.deal(payer, 10 ether);
        vm.deal(payee, 10 ether);
        vm.prank(payee);
        wrappedSalt.deposit{value: 1 ether}();
        vm.startPrank(payer);
        wrappedSalt.deposit{value: 1 ether}();
        wrappedSalt.approve(address(saltPay), type(uint256).max);
    }

    function test_gas_pay() external {
        saltPay.pay{value: AMOUNT}(REFERENCE, payee);
        vm.snapshotGasLastCall("SaltPay", "pay");
    }

    function test_gas_pay_firstCoinsOfThePayee() external {
        saltPay.pay{value: AMOUNT}(REFERENCE, makeAddr("new payee"));
        vm.snapshotGasLastCall("SaltPay", "pay, first coins of the payee");
    }

    function test_gas_pay_shortReference() external {
        saltPay.pay{value: AMOUNT}(bytes32(uint256(1)), payee);
        vm.snapshotGasLastCall("SaltPay", "pay, reference of one byte");
    }

    function test_gas_payToken() external {
        saltPay.payToken(REFERENCE, payee, address(wrappedSalt), AMOUNT);
        vm.snapshotGasLastCall("SaltPay", "payToken wSALT");
    }

    function test_gas_payToken_firstTokensOfThePayee() external {
        saltPay.payToken(REFERENCE, makeAddr("new payee"), address(wrappedSalt), AMOUNT);
        vm.snapshotGasLastCall("SaltPay", "payToken wSALT, first tokens of the payee");
    }

    function test_gas_payToken_shortReference() external {
        saltPay.payToken(bytes32(uint256(1)), payee, address(wrappedSalt), AMOUNT);
        vm.snapshotGasLastCall("SaltPay", "payToken wSALT, reference of one byte");
    }

    function test_gas_payWithPermit() external {
        Vm.Wallet memory owner = vm.createWallet("payer");
        Salt salt = new Salt(payer, 1 ether);
        vm.startPrank(payer);
        assertTrue(salt.transfer(payee, 0.1 ether));
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                payer,
                address(saltPay),
                AMOUNT,
                0,
                block.timestamp
            )
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(owner.privateKey, keccak256(abi.encodePacked(hex"1901", salt.DOMAIN_SEPARATOR(), structHash)));
        saltPay.payWithPermit(REFERENCE, payee, address(salt), AMOUNT, block.timestamp, v, r, s);
        vm.snapshotGasLastCall("SaltPay", "payWithPermit Salt, first permit");
    }

    function test_gas_payMany() external {
        uint256[3] memory counts = [uint256(1), 2, 10];
        for (uint256 i = 0; i < counts.length; ++i) {
            ISaltPay.Order[] memory orders = new ISaltPay.Order[](counts[i]);
            for (uint256 j = 0; j < counts[i]; ++j) {
                orders[j] = ISaltPay.Order({
                    paymentReference: keccak256(abi.encode(j)), payee: payee, asset: address(0), amount: AMOUNT
                });
            }
            saltPay.payMany{value: counts[i] * AMOUNT}(orders);
            vm.snapshotGasLastCall("SaltPay", string.concat("payMany, native to one payee, ", vm.toString(counts[i])));
        }
    }

    /// @dev For comparison: the same transfer without SaltPay, from an allowance.
    function test_gas_transferFrom() external {
        address spender = makeAddr("spender");
        wrappedSalt.approve(spender, type(uint256).max);
        vm.startPrank(spender);
        assertTrue(wrappedSalt.transferFrom(payer, payee, AMOUNT));
        vm.snapshotGasLastCall("SaltPay", "wSALT transferFrom, for comparison");
    }
}
