// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWrappedSalt} from "../../../contracts/interfaces/IWrappedSalt.sol";
import {WrappedSaltTest} from "./WrappedSaltTest.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

contract WrappedSalt_deposit is WrappedSaltTest {
    function test_deposit_saysSo() external {
        vm.deal(payee, 1 ether);

        vm.expectEmit(address(token));
        emit IWrappedSalt.Deposit(payee, 1 ether);
        vm.expectEmit(address(token));
        emit IERC20.Transfer(address(0), payee, 1 ether);
        vm.prank(payee);
        token.deposit{value: 1 ether}();
    }

    function test_deposit_reverts_whenValueIsZero() external {
        vm.expectRevert(IWrappedSalt.ZeroDeposit.selector);
        token.deposit();
    }

    function test_receive_acceptsZero() external {
        vm.expectEmit(address(token));
        emit IWrappedSalt.Deposit(payee, 0);
        vm.prank(payee);
        (bool accepted,) = address(token).call("");

        assertTrue(accepted);
    }

    function testFuzz_deposit_wrapsTheValue(uint256 value, bool plain) external {
        value = bound(value, 1, type(uint128).max);
        vm.deal(payee, value);

        vm.prank(payee);
        if (plain) {
            (bool accepted,) = address(token).call{value: value}("");
            assertTrue(accepted);
        } else {
            token.deposit{value: value}();
        }

        assertEq(payee.balance, 0);
        assertEq(token.balanceOf(payee), value);
        assertEq(token.totalSupply(), FUNDS + value);
        assertEq(address(token).balance, FUNDS + value);
    }
}
