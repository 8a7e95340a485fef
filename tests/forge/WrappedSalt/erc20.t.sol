// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {WrappedSaltTest} from "./WrappedSaltTest.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

/// @notice The ERC-20 half is OpenZeppelin's; here is what salt402 counts on.
contract WrappedSalt_erc20 is WrappedSaltTest {
    function testFuzz_transferFrom_takesFromTheAllowance(uint256 allowance, uint256 amount) external {
        allowance = bound(allowance, 0, type(uint256).max - 1);
        amount = bound(amount, 0, allowance < FUNDS ? allowance : FUNDS);
        vm.prank(holder.addr);
        token.approve(relayer, allowance);

        vm.prank(relayer);
        assertTrue(token.transferFrom(holder.addr, payee, amount));

        assertEq(token.balanceOf(payee), amount);
        assertEq(token.allowance(holder.addr, relayer), allowance - amount);
    }

    function test_transferFrom_leavesTheLargestAllowanceAsItIs() external {
        vm.prank(holder.addr);
        token.approve(relayer, type(uint256).max);

        vm.prank(relayer);
        assertTrue(token.transferFrom(holder.addr, payee, 1 ether));

        assertEq(token.allowance(holder.addr, relayer), type(uint256).max);
    }

    function test_transferFrom_reverts_withoutAllowance() external {
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, relayer, 0, 1));
        vm.prank(relayer);
        assertFalse(token.transferFrom(holder.addr, payee, 1));
    }
}
