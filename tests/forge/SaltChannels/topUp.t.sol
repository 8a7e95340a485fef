// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

contract SaltChannels_topUp is SaltChannelsTest {
    function test_topUp_addsNativeCoins() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        topUp(channel, 1 ether);

        assertState(channel, DEPOSIT + 1 ether, 0, 0, false);
        assertEq(address(channels).balance, DEPOSIT + 1 ether);
    }

    function test_topUp_addsTokens() external {
        ISaltChannels.Channel memory channel = opened(address(token));
        topUp(channel, 1 ether);

        assertState(channel, DEPOSIT + 1 ether, 0, 0, false);
        assertEq(token.balanceOf(address(channels)), DEPOSIT + 1 ether);
    }

    function test_topUp_keepsWhatWasClaimed() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        claim(channel, DEPOSIT);
        topUp(channel, 1 ether);

        assertState(channel, DEPOSIT + 1 ether, DEPOSIT, 0, false);
        assertEq(claim(channel, DEPOSIT + 1 ether), 1 ether);
    }

    function test_topUp_saysSo() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);

        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelToppedUp(
            channels.channelId(channel), payer.addr, payee.addr, 1 ether, DEPOSIT + 1 ether
        );
        topUp(channel, 1 ether);
    }

    function test_topUp_cancelsThePendingExit() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        awaitExit(channel);

        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelExitCancelled(channels.channelId(channel), payer.addr, payee.addr);
        topUp(channel, 1);

        assertState(channel, DEPOSIT + 1, 0, 0, false);
        vm.expectPartialRevert(ISaltChannels.ExitNotDue.selector);
        channels.exit(channel);
    }

    /// @dev A payee that could top up for dust could keep the payer in for ever.
    function test_topUp_reverts_whenCallerIsNotThePayer() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        vm.deal(payee.addr, 1);

        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.NotPayer.selector, payee.addr, payer.addr));
        vm.prank(payee.addr);
        channels.topUp{value: 1}(channel, 1);
    }

    function test_topUp_reverts_whenChannelWasNeverOpened() external {
        expectNotOpen(channelIn(NATIVE));
    }

    function test_topUp_reverts_whenChannelIsClosed() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        close(channel, 0);
        expectNotOpen(channel);
    }

    function test_topUp_reverts_whenAmountIsZero() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        requestExit(channel);

        vm.expectRevert(ISaltChannels.ZeroAmount.selector);
        vm.prank(payer.addr);
        channels.topUp(channel, 0);
    }

    function test_topUp_reverts_whenDepositGetsTooLarge() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        uint256 amount = type(uint104).max - DEPOSIT + 1;
        vm.deal(payer.addr, amount);

        vm.expectRevert(
            abi.encodeWithSelector(ISaltChannels.DepositTooLarge.selector, DEPOSIT, amount, type(uint104).max)
        );
        vm.prank(payer.addr);
        channels.topUp{value: amount}(channel, amount);
    }

    function test_topUp_reverts_whenValueIsNotTheAmount() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InexactValue.selector, 1, 2));
        vm.prank(payer.addr);
        channels.topUp{value: 1}(channel, 2);
    }

    function testFuzz_topUp_addsUp(uint256 first, uint256 second, uint256 claimed) external {
        first = bound(first, 1, type(uint104).max - 1);
        second = bound(second, 1, type(uint104).max - first);
        claimed = bound(claimed, 1, first);
        vm.deal(payer.addr, first + second);
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        open(channel, first);
        claim(channel, claimed);
        topUp(channel, second);

        assertState(channel, first + second, claimed, 0, false);
        assertEq(address(channels).balance, first + second - claimed);
    }

    function expectNotOpen(ISaltChannels.Channel memory channel) private {
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.ChannelNotOpen.selector, channels.channelId(channel)));
        vm.prank(payer.addr);
        channels.topUp{value: 1}(channel, 1);
    }
}
