// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "../../../contracts/interfaces/ISaltPay.sol";
import {SaltPay, newSaltPay} from "../support/Contracts.sol";
import {Test} from "forge-std/Test.sol";

/// @notice What all tests of SaltPay stand on: the contract, a payer with coins, a payee, a reference.
abstract contract SaltPayTest is Test {
    bytes32 internal constant REFERENCE = keccak256("quote");
    bytes32 internal constant OTHER_REFERENCE = keccak256("another quote");
    address internal constant NATIVE = address(0);

    SaltPay internal saltPay;
    address internal payer = makeAddr("payer");
    address internal payee = makeAddr("payee");

    function setUp() public virtual {
        saltPay = newSaltPay();
        vm.deal(payer, 100 ether);
    }

    /// @dev The next call must log exactly this payment.
    function expectPayment(bytes32 paymentReference, address from, address to, address asset, uint256 amount) internal {
        vm.expectEmit(address(saltPay));
        emit ISaltPay.Payment(paymentReference, from, to, asset, amount);
    }

    /// @dev Any account that can be paid: not one that the test or the EVM uses for itself.
    function assumePayee(address account) internal view {
        vm.assume(account != address(0) && account != payer && account.code.length == 0);
        assumeNotPrecompile(account);
        assumeNotForgeAddress(account);
    }
}
