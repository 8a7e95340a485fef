// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWrappedSalt} from "../../../contracts/interfaces/IWrappedSalt.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {ReturnBombReceiver} from "../mocks/ReturnBombReceiver.sol";
import {RewrappingReceiver} from "../mocks/RewrappingReceiver.sol";
import {WrappedSaltTest} from "./WrappedSaltTest.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

contract WrappedSalt_withdraw is WrappedSaltTest {
    function test_withdraw_saysSo() external {
        vm.expectEmit(address(token));
        emit IWrappedSalt.Withdrawal(holder.addr, 1 ether);
        vm.expectEmit(address(token));
        emit IERC20.Transfer(holder.addr, address(0), 1 ether);
        vm.prank(holder.addr);
        token.withdraw(1 ether);
    }

    function test_withdraw_reverts_whenBalanceIsTooSmall() external {
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, holder.addr, FUNDS, FUNDS + 1)
        );
        vm.prank(holder.addr);
        token.withdraw(FUNDS + 1);
    }

    function test_withdraw_reverts_whenReceiverRefuses() external {
        address refusing = address(new RefusingReceiver());
        give(refusing, 1 ether);

        vm.expectRevert(abi.encodeWithSelector(IWrappedSalt.WithdrawalRefused.selector, refusing, 1 ether));
        vm.prank(refusing);
        token.withdraw(1 ether);
    }

    function test_withdraw_copiesNothing_whenReceiverReturnsABomb() external {
        address bomb = address(new ReturnBombReceiver(false));
        give(bomb, 1 ether);

        vm.prank(bomb);
        token.withdraw{gas: 2_400_000}(1 ether);

        assertEq(bomb.balance, 1 ether);
    }

    function test_withdraw_reverts_whenReceiverDepositsMeanwhile() external {
        expectRefusalOf(new RewrappingReceiver{value: 1 ether}(token, false));
    }

    function test_withdraw_reverts_whenReceiverSendsItBackMeanwhile() external {
        expectRefusalOf(new RewrappingReceiver{value: 1 ether}(token, true));
    }

    function testFuzz_withdraw_unwrapsTheAmount(uint256 amount) external {
        amount = bound(amount, 0, FUNDS);

        vm.prank(holder.addr);
        token.withdraw(amount);

        assertEq(holder.addr.balance, amount);
        assertEq(token.balanceOf(holder.addr), FUNDS - amount);
        assertEq(token.totalSupply(), FUNDS - amount);
        assertEq(address(token).balance, FUNDS - amount);
    }

    function expectRefusalOf(RewrappingReceiver receiver) private {
        vm.expectRevert(abi.encodeWithSelector(IWrappedSalt.WithdrawalRefused.selector, receiver, 1 ether));
        receiver.withdraw(1 ether);
    }

    function give(address to, uint256 amount) private {
        vm.prank(holder.addr);
        assertTrue(token.transfer(to, amount));
    }
}
