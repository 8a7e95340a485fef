// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {SaltPayHandler} from "../handlers/SaltPayHandler.sol";
import {SaltPay, newSaltPay} from "../support/Contracts.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Test} from "forge-std/Test.sol";

contract SaltPay_invariants is Test {
    SaltPay private saltPay;
    SaltPayHandler private handler;
    address[] private assets;
    address[] private accounts;

    function setUp() external {
        saltPay = newSaltPay();
        handler = new SaltPayHandler(saltPay);
        assets = handler.allAssets();
        accounts = handler.allAccounts();
        targetContract(address(handler));
    }

    /// @dev For every asset a: balance(a, SaltPay) = 0.
    function invariant_saltPayHoldsNothing() external view {
        for (uint256 i = 0; i < assets.length; ++i) {
            assertEq(balanceOf(assets[i], address(saltPay)), 0);
        }
    }

    /// @dev For every asset a and account x:
    /// balance(a, x) = start(a, x) + sum of payments and refunds to x in a - sum of those by x in a.
    function invariant_balancesAreWhatTheEventsSay() external view {
        int256 funds = int256(handler.FUNDS());
        for (uint256 i = 0; i < assets.length; ++i) {
            address asset = assets[i];
            for (uint256 j = 0; j < accounts.length; ++j) {
                address account = accounts[j];
                assertEq(int256(balanceOf(asset, account)), funds + handler.net(asset, account));
            }
        }
    }

    /// @dev No history closes a way of paying: at the end of every run all are open, and what must be refused is. So
    /// every run has also seen each of them succeed.
    function afterInvariant() external {
        paysInEveryWay();
        this.invariant_saltPayHoldsNothing();
        this.invariant_balancesAreWhatTheEventsSay();
    }

    /// @dev If the handler could pay nothing, the invariants would hold of nothing.
    function test_handler_paysInEveryWay() external {
        paysInEveryWay();
        this.invariant_saltPayHoldsNothing();
        this.invariant_balancesAreWhatTheEventsSay();
    }

    function test_handler_paysByPermit_ofTwoKindsAlone() external {
        for (uint256 kind = 0; kind <= uint256(type(SaltPayHandler.Permit).max); ++kind) {
            handler.payBySignature(0, 1, keccak256("quote"), 1 ether, kind);
        }
        assertEq(handler.payments(), 2);
        assertEq(handler.paymentsBy(SaltPayHandler.Permit.Good), 1);
        assertEq(handler.paymentsBy(SaltPayHandler.Permit.Overtaken), 1);
    }

    function test_handler_blacklistsAndForgives() external {
        uint256 which = handler.BLACKLISTING();
        handler.blacklist(1, true);
        handler.payToken(0, 1, which, keccak256("quote"), 1 ether, 0);
        handler.payToken(1, 0, which, keccak256("quote"), 1 ether, 0);
        assertEq(handler.payments(), 0);
        handler.blacklist(1, false);
        handler.payToken(0, 1, which, keccak256("quote"), 1 ether, 0);
        assertEq(handler.payments(), 1);
    }

    /// @dev Every kind of call, each of which must pay as often as it can.
    function paysInEveryWay() private {
        for (uint256 i = 0; i < accounts.length; ++i) {
            handler.blacklist(i, false);
        }
        replenish();
        uint256 before = handler.payments();
        handler.pay(0, 1, keccak256("quote"), 1 ether);
        assertEq(handler.payments(), before + 1);
        // The receiver at 7 pays half of it on.
        handler.pay(0, 7, keccak256("quote"), 1 ether);
        assertEq(handler.payments(), before + 3);

        // Of the tokens, these can be paid with: the plain one; the rebasing one, while it does not rebase; the one with
        // a blacklist; the one that returns nothing; the one that refuses permits; Salt.
        for (uint256 i = 1; i < assets.length; ++i) {
            handler.payToken(0, 1, i, keccak256("quote"), 1 ether, 0);
            handler.payWithPermit(0, 1, i, keccak256("quote"), 1 ether);
        }
        assertEq(handler.payments(), before + 3 + 2 * 6);

        uint256 permits = handler.paymentsBy(SaltPayHandler.Permit.Good);
        uint256 overtaken = handler.paymentsBy(SaltPayHandler.Permit.Overtaken);
        for (uint256 kind = 0; kind <= uint256(type(SaltPayHandler.Permit).max); ++kind) {
            handler.payBySignature(0, 1, keccak256("quote"), 1 ether, kind);
        }
        assertEq(handler.paymentsBy(SaltPayHandler.Permit.Good), permits + 1);
        assertEq(handler.paymentsBy(SaltPayHandler.Permit.Overtaken), overtaken + 1);

        before = handler.payments();
        uint256 refunds = handler.refunds();
        handler.payOnTime(0, 1, 0, keccak256("quote"), 1 ether, true);
        handler.payOnTime(0, 1, 1, keccak256("quote"), 1 ether, true);
        assertEq(handler.payments(), before);
        handler.payOnTime(0, 1, 0, keccak256("quote"), 1 ether, false);
        handler.payOnTime(0, 1, 1, keccak256("quote"), 1 ether, false);
        assertEq(handler.payments(), before + 2);
        handler.refund(1, 0, 0, keccak256("quote"), 1 ether);
        handler.refund(1, 0, 1, keccak256("quote"), 1 ether);
        assertEq(handler.refunds(), refunds + 2);

        before = handler.payments();
        for (uint256 i = 0; i < 8; ++i) {
            handler.payMany(0, [i, i + 20, i + 40, i + 60], 2, 1);
        }
        assertGt(handler.payments(), before);
    }

    /// @dev Whoever has most of an asset pays the first account, which may have nothing left, what it will pay here.
    function replenish() private {
        for (uint256 i = 0; i < assets.length; ++i) {
            uint256 richest = 0;
            for (uint256 j = 1; j < accounts.length; ++j) {
                uint256 most = balanceOf(assets[i], accounts[richest]);
                if (balanceOf(assets[i], accounts[j]) > most) richest = j;
            }
            if (richest == 0) continue;
            if (i == 0) handler.pay(richest, 0, keccak256("quote"), 100_000 ether);
            else handler.payToken(richest, 0, i, keccak256("quote"), 100_000 ether, 0);
        }
    }

    function balanceOf(address asset, address account) private view returns (uint256) {
        return asset == address(0) ? account.balance : IERC20(asset).balanceOf(account);
    }
}
