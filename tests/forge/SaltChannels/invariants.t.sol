// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {SaltChannelsDepositor} from "../handlers/SaltChannelsDepositor.sol";
import {SaltChannelsHandler} from "../handlers/SaltChannelsHandler.sol";
import {SaltChannelsLedger} from "../handlers/SaltChannelsLedger.sol";
import {SaltChannels, newSaltChannels} from "../support/Contracts.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Test} from "forge-std/Test.sol";

/// @notice For every channel c, with D(c) deposited, C(c) claimed and R(c) refunded; and for every asset a and account x,
/// with K(a, x) credited and not withdrawn.
contract SaltChannels_invariants is Test {
    SaltChannels private channels;
    SaltChannelsHandler private handler;

    function setUp() external {
        vm.warp(1_800_000_000);
        channels = newSaltChannels();
        handler = new SaltChannelsHandler(channels);
        targetContract(address(handler));

        // `leave` ends a run; it is no step of one.
        bytes4[] memory left = new bytes4[](1);
        left[0] = handler.leave.selector;
        excludeSelector(FuzzSelector({addr: address(handler), selectors: left}));
    }

    /// @dev For every a: balance(a) = sum of D - C - R over its channels + sum of K(a, x), as the events told it.
    function invariant_balancesAreWhatTheEventsSay() external view {
        for (uint256 i = 0; i < handler.assetCount(); ++i) {
            address asset = handler.assets(i);
            assertEq(int256(balanceOf(asset, address(channels))), handler.held(asset));
        }
    }

    /// @dev For every a: balance(a) = sum of D - C over its open channels + sum of K(a, x), as the contract holds it.
    function invariant_everythingHeldIsOwedToSomebody() external view {
        for (uint256 i = 0; i < handler.assetCount(); ++i) {
            address asset = handler.assets(i);
            uint256 owed = 0;
            for (uint256 j = 0; j < handler.openedCount(); ++j) {
                ISaltChannels.Channel memory channel = handler.channelAt(j);
                ISaltChannels.State memory state = channels.stateOf(channels.channelId(channel));
                if (channel.asset == asset && !state.closed) owed += state.deposit - state.claimed;
            }
            for (uint256 j = 0; j < handler.accountCount(); ++j) {
                owed += channels.creditOf(handler.account(j), asset);
            }
            assertEq(balanceOf(asset, address(channels)), owed);
        }
    }

    /// @dev For every c: C(c) <= D(c), and C(c) <= the greatest ceiling that was signed for c.
    function invariant_nobodyGetsMoreThanWasSignedOrDeposited() external view {
        for (uint256 i = 0; i < handler.openedCount(); ++i) {
            bytes32 id = channels.channelId(handler.channelAt(i));
            ISaltChannels.State memory state = channels.stateOf(id);
            assertLe(state.claimed, state.deposit);
            assertLe(state.claimed, handler.ghostOf(id).greatestCeiling);
        }
    }

    /// @dev For every c: the contract's D, C and end are those of the events, and D(c) = C(c) + R(c) once c is closed.
    function invariant_statesAreWhatTheEventsSay() external view {
        for (uint256 i = 0; i < handler.openedCount(); ++i) {
            bytes32 id = channels.channelId(handler.channelAt(i));
            ISaltChannels.State memory state = channels.stateOf(id);
            SaltChannelsLedger.Ghost memory ghost = handler.ghostOf(id);
            assertTrue(ghost.known);
            assertEq(state.deposit, ghost.deposited);
            assertEq(state.claimed, ghost.claimed);
            assertEq(state.closed, ghost.closed);
            if (state.closed) assertEq(ghost.claimed + ghost.refunded, ghost.deposited);
        }
    }

    /// @dev For every a and x: balance(a, x) = start(a, x) + what the events say that x got - what they say that x gave.
    function invariant_accountsHaveWhatTheEventsSay() external view {
        for (uint256 i = 0; i < handler.assetCount(); ++i) {
            address asset = handler.assets(i);
            for (uint256 j = 0; j < handler.accountCount(); ++j) {
                address account = handler.account(j);
                assertEq(int256(balanceOf(asset, account)), int256(handler.FUNDS()) + handler.net(asset, account));
            }
        }
    }

    /// @dev Every payer gets out and every credit can be withdrawn: at the end of every run, balance(a) = 0 for every a.
    function afterInvariant() external {
        handler.leave();
        for (uint256 i = 0; i < handler.assetCount(); ++i) {
            assertEq(balanceOf(handler.assets(i), address(channels)), 0);
        }
    }

    /// @dev If the handler could do nothing, the invariants would hold of nothing.
    function test_handler_doesEverything() external {
        for (uint256 asset = 0; asset < 4; ++asset) {
            // Of the first to the second account, which refuses nothing, and to the third, which does.
            handler.open(0, 1, asset, 0, 0, false, 0, 10 ether);
            handler.open(0, 2, asset, 1, 0, true, 7, 10 ether);
        }
        assertEq(handler.counts(ISaltChannels.ChannelOpened.selector), 8);
        handler.open(0, 1, 0, 0, 0, false, 0, 10 ether);
        assertEq(handler.counts(ISaltChannels.ChannelOpened.selector), 8);

        for (uint256 i = 0; i < 8; ++i) {
            handler.signVoucher(i, 1 ether);
            handler.claim(i, 0, 0);
        }
        for (uint256 i = 0; i < 8; ++i) {
            handler.signVoucher(i, 1 ether);
        }
        assertEq(handler.counts(ISaltChannels.ChannelClaimed.selector), 8);
        assertEq(handler.counts(ISaltChannels.Credited.selector), 1);
        handler.abuse(0, 1, 1);
        handler.abuse(0, 0, 1);
        handler.claimMany(8, 1, false, 0);
        handler.claimMany(11, 1, true, 0);
        assertEq(handler.counts(ISaltChannels.ChannelClaimed.selector), 10);

        handler.topUpFor(2, 0, 1 ether, false);
        handler.topUp(0, 1 ether);
        assertEq(handler.counts(ISaltChannels.ChannelToppedUp.selector), 2);

        handler.close(12, false, 0);
        handler.close(14, true, 0);
        assertEq(handler.counts(ISaltChannels.ChannelClosed.selector), 2);

        handler.requestExit(0, false);
        handler.requestExit(1, true);
        assertEq(handler.counts(ISaltChannels.ChannelExitRequested.selector), 2);
        handler.topUp(0, 1 ether);
        assertEq(handler.counts(ISaltChannels.ChannelExitCancelled.selector), 1);
        handler.wait(15 minutes);
        handler.exit(1);
        assertEq(handler.counts(ISaltChannels.ChannelClosed.selector), 3);

        handler.withdraw(2, 0, 0);
        assertEq(handler.counts(ISaltChannels.CreditWithdrawn.selector), 1);
        this.invariant_balancesAreWhatTheEventsSay();
        this.invariant_everythingHeldIsOwedToSomebody();
        this.invariant_accountsHaveWhatTheEventsSay();
        this.invariant_statesAreWhatTheEventsSay();
        this.afterInvariant();
    }

    function test_handler_actsForPayees() external {
        // The second and the third of three channels name the fourth account.
        for (uint256 salt = 0; salt < 3; ++salt) {
            handler.open(0, 1, 1, salt, 0, false, salt == 0 ? 0 : 7, 10 ether);
            handler.signVoucher(salt, 1 ether);
        }
        handler.claim(0, 0, 7);
        assertEq(handler.counts(ISaltChannels.ChannelClaimed.selector), 0);
        handler.claim(1, 0, 7);
        handler.claimMany(2, 1, false, 7);
        assertEq(handler.counts(ISaltChannels.ChannelClaimed.selector), 2);
        assertEq(handler.actedFor(), 2);

        handler.setOperator(1, 3, 1);
        assertEq(handler.counts(ISaltChannels.OperatorSet.selector), 1);
        handler.claimRows(0, 1, 7);
        assertEq(handler.counts(ISaltChannels.ChannelClaimed.selector), 3);
        assertEq(handler.actedFor(), 3);
        handler.claimRows(0, 3, 7);
        assertEq(handler.counts(ISaltChannels.ChannelSkipped.selector), 3);

        handler.refund(0, 1 ether);
        assertEq(handler.counts(ISaltChannels.ChannelRefunded.selector), 1);
        handler.signVoucher(0, 1 ether);
        handler.claimToCredit(3, 0);
        assertEq(handler.counts(ISaltChannels.Credited.selector), 1);
        handler.closeMany(1, 2, 7);
        assertEq(handler.counts(ISaltChannels.ChannelClosed.selector), 2);
        handler.setOperator(1, 3, 2);
        handler.close(0, false, 7);
        assertEq(handler.counts(ISaltChannels.ChannelClosed.selector), 2);

        handler.open(0, 1, 3, 0, 0, false, 0, 10 ether);
        handler.requestExit(0, false);
        handler.requestExit(3, false);
        handler.topUpFor(0, 0, 1 ether, false);
        assertEq(handler.counts(ISaltChannels.ChannelExitCancelled.selector), 0);
        handler.changeMood(2);
        handler.wait(15 minutes);
        // The one that is due, one that is closed, another, and the moody token's, which holds up all.
        handler.exitMany(0, 4);
        assertEq(handler.counts(ISaltChannels.ChannelClosed.selector), 2);
        handler.exitToCredit(3);
        assertEq(handler.done(channels.exitToCredit.selector), 1);
        handler.exitMany(0, 4);
        assertEq(handler.counts(ISaltChannels.ChannelClosed.selector), 4);
        this.invariant_balancesAreWhatTheEventsSay();
        this.invariant_everythingHeldIsOwedToSomebody();
        this.invariant_accountsHaveWhatTheEventsSay();
        this.invariant_statesAreWhatTheEventsSay();
        this.afterInvariant();
    }

    function test_handler_changesItsMind() external {
        // Of the account that signs by code, which signs vouchers itself.
        handler.open(6, 1, 1, 0, 0, true, 0, 10 ether);
        handler.openFor(6, 1, 4, 0, 3, true, 10 ether, false);
        assertEq(handler.openedCount(), 2);
        handler.signVoucher(0, 1 ether);
        handler.changeMind(true);
        handler.claim(0, 0, 0);
        handler.claimToCredit(0, 0);
        handler.topUpFor(1, 0, 1 ether, false);
        handler.claimMany(0, 1, false, 0);
        assertEq(handler.counts(ISaltChannels.ChannelClaimed.selector), 0);
        assertEq(handler.counts(ISaltChannels.ChannelToppedUp.selector), 0);
        assertEq(handler.counts(ISaltChannels.ChannelSkipped.selector), 1);

        handler.changeMind(false);
        handler.claimToCredit(0, 0);
        assertEq(handler.counts(ISaltChannels.ChannelClaimed.selector), 1);
        handler.withdrawFor(1, 1);
        assertEq(handler.counts(ISaltChannels.CreditWithdrawn.selector), 1);
        this.invariant_balancesAreWhatTheEventsSay();
        this.invariant_everythingHeldIsOwedToSomebody();
        this.invariant_accountsHaveWhatTheEventsSay();
        this.invariant_statesAreWhatTheEventsSay();
        this.afterInvariant();
    }

    function test_handler_depositsInEveryWay() external {
        for (uint256 way = 0; way < 5; ++way) {
            handler.openFor(0, 1, 4, way % 4, way, way < 4, 10 ether, way == 1);
            handler.topUpFor(way, way, 1 ether, false);
            assertEq(handler.deposits(SaltChannelsDepositor.Way(way)), 2);
        }
        assertEq(handler.openedCount(), 5);
        // Native coins cannot be pulled, and a plain token knows neither permits nor authorizations.
        for (uint256 way = 0; way < 5; ++way) {
            handler.openFor(0, 1, 0, 0, way, true, 10 ether, false);
            handler.openFor(0, 1, 1, 0, way, true, 10 ether, false);
        }
        assertEq(handler.openedCount(), 6);
        this.invariant_balancesAreWhatTheEventsSay();
        this.invariant_everythingHeldIsOwedToSomebody();
        this.invariant_accountsHaveWhatTheEventsSay();
        this.invariant_statesAreWhatTheEventsSay();
        this.afterInvariant();
    }

    function balanceOf(address asset, address account) private view returns (uint256) {
        return asset == address(0) ? account.balance : IERC20(asset).balanceOf(account);
    }
}
