// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "../../../contracts/interfaces/ISaltPay.sol";
import {OpenZeppelinToken} from "../mocks/OpenZeppelinToken.sol";
import {SoladyToken} from "../mocks/SoladyToken.sol";
import {Salt, SaltPay, WrappedSalt, newSalt, newSaltPay, newWrappedSalt} from "../support/Contracts.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
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
        // A time as long as those of today are.
        vm.warp(1_800_000_000);
        saltPay = newSaltPay();
        wrappedSalt = newWrappedSalt();

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

    function test_gas_payOnTime() external {
        saltPay.payOnTime{value: AMOUNT}(REFERENCE, (block.timestamp + 60) << 160 | uint160(payee));
        vm.snapshotGasLastCall("SaltPay", "payOnTime");
    }

    function test_gas_payTokenOnTime() external {
        saltPay.payTokenOnTime(address(wrappedSalt), AMOUNT, (block.timestamp + 60) << 160 | uint160(payee), REFERENCE);
        vm.snapshotGasLastCall("SaltPay", "payTokenOnTime wSALT");
    }

    function test_gas_refund() external {
        saltPay.refund{value: AMOUNT}(REFERENCE, payee);
        vm.snapshotGasLastCall("SaltPay", "refund");
    }

    function test_gas_refundToken() external {
        saltPay.refundToken(REFERENCE, payee, address(wrappedSalt), AMOUNT);
        vm.snapshotGasLastCall("SaltPay", "refundToken wSALT");
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

    /// @dev As others measure: with a token of a library, that does nothing else.
    function test_gas_payToken_ofLibraries() external {
        payTokenOf("OpenZeppelin", address(new OpenZeppelinToken(payer, 1 ether)));
        payTokenOf("Solady", address(new SoladyToken(payer, 1 ether)));
    }

    function test_gas_payWithPermit() external {
        Vm.Wallet memory owner = vm.createWallet("payer");
        Salt salt = newSalt(payer, 1 ether);
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

    function payTokenOf(string memory library_, address token) private {
        assertTrue(IERC20(token).transfer(payee, 0.1 ether));
        IERC20(token).approve(address(saltPay), type(uint256).max);
        saltPay.payToken(REFERENCE, payee, token, AMOUNT);
        vm.snapshotGasLastCall("SaltPay", string.concat("payToken, token of ", library_));

        address spender = makeAddr("spender");
        IERC20(token).approve(spender, type(uint256).max);
        vm.stopPrank();
        vm.prank(spender);
        assertTrue(IERC20(token).transferFrom(payer, payee, AMOUNT));
        vm.snapshotGasLastCall("SaltPay", string.concat("transferFrom, token of ", library_, ", for comparison"));
        vm.startPrank(payer);
    }
}
