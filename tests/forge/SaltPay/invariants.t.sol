// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {SaltPayHandler} from "../handlers/SaltPayHandler.sol";
import {SaltPay, newSaltPay} from "../support/Contracts.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Test} from "forge-std/Test.sol";

contract SaltPay_invariants is Test {
    SaltPay private saltPay;
    SaltPayHandler private handler;

    function setUp() external {
        saltPay = newSaltPay();
        handler = new SaltPayHandler(saltPay);
        targetContract(address(handler));
    }

    /// @dev For every asset a: balance(a, SaltPay) = 0.
    function invariant_saltPayHoldsNothing() external view {
        for (uint256 i = 0; i < handler.assetCount(); ++i) {
            assertEq(balanceOf(handler.assets(i), address(saltPay)), 0);
        }
    }

    /// @dev For every asset a and account x:
    /// balance(a, x) = start(a, x) + sum of payments to x in a - sum of payments by x in a.
    function invariant_balancesAreWhatTheEventsSay() external view {
        for (uint256 i = 0; i < handler.assetCount(); ++i) {
            address asset = handler.assets(i);
            for (uint256 j = 0; j < handler.accountCount(); ++j) {
                address account = handler.accounts(j);
                assertEq(int256(balanceOf(asset, account)), int256(handler.FUNDS()) + handler.net(asset, account));
            }
        }
    }

    /// @dev If the handler could pay nothing, the invariants would hold of nothing.
    function test_handler_paysInEveryWay() external {
        handler.pay(0, 1, keccak256("quote"), 1 ether);
        assertEq(handler.payments(), 1);
        // The receiver at 7 pays half of it on.
        handler.pay(0, 7, keccak256("quote"), 1 ether);
        assertEq(handler.payments(), 3);
        // Of the tokens, only the plain one and the rebasing one, while it does not rebase, can be paid with.
        for (uint256 i = 1; i < handler.assetCount(); ++i) {
            handler.payToken(0, 1, i, keccak256("quote"), 1 ether, 0);
        }
        assertEq(handler.payments(), 5);
        handler.payWithPermit(0, 1, 1, keccak256("quote"), 1 ether);
        assertEq(handler.payments(), 6);
        for (uint256 i = 0; i < 20; ++i) {
            handler.payMany(0, [i, i + 20, i + 40, i + 60], 2, 1);
        }
        assertGt(handler.payments(), 10);
    }

    function balanceOf(address asset, address account) private view returns (uint256) {
        return asset == address(0) ? account.balance : IERC20(asset).balanceOf(account);
    }
}
