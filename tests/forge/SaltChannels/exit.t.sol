// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {BlacklistingToken} from "../mocks/BlacklistingToken.sol";
import {MoodyToken} from "../mocks/MoodyToken.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

contract SaltChannels_exit is SaltChannelsTest {
    function test_exit_refundsWhatWasNotClaimed() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        claim(channel, 3 ether);
        awaitExit(channel);
        exit(channel);

        assertState(channel, DEPOSIT, 3 ether, 0, true);
        assertEq(payer.addr.balance, FUNDS - 3 ether);
        assertEq(address(channels).balance, 0);
    }

    function test_exit_refundsTokens() external {
        ISaltChannels.Channel memory channel = opened(address(token));
        awaitExit(channel);
        exit(channel);

        assertEq(token.balanceOf(payer.addr), FUNDS);
    }

    function test_exit_closesAChannelThatIsUsedUp() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        claim(channel, DEPOSIT);
        awaitExit(channel);
        exit(channel);

        assertState(channel, DEPOSIT, DEPOSIT, 0, true);
        assertEq(payer.addr.balance, FUNDS - DEPOSIT);
    }

    function test_exit_saysSo() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        awaitExit(channel);

        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelClosed(channels.channelId(channel), payer.addr, payee.addr, 0, DEPOSIT);
        exit(channel);
    }

    function test_exit_creditsAPayerThatRefuses() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.payer = address(new RefusingReceiver());
        vm.deal(channel.payer, DEPOSIT);
        open(channel, DEPOSIT);
        awaitExit(channel);
        exit(channel);

        assertEq(channels.creditOf(channel.payer, NATIVE), DEPOSIT);
    }

    function test_exit_creditsAPayerThatTheTokenRefuses() external {
        BlacklistingToken listing = new BlacklistingToken();
        ISaltChannels.Channel memory channel = opened(fund(listing));
        listing.setBlacklisted(payer.addr, true);
        awaitExit(channel);
        exit(channel);

        assertEq(channels.creditOf(payer.addr, address(listing)), DEPOSIT);
    }

    function test_exit_creditsThePayer_whenTheTokenAnswersNothing() external {
        MoodyToken moody = new MoodyToken();
        ISaltChannels.Channel memory channel = opened(fund(moody));
        awaitExit(channel);
        moody.setMood(MoodyToken.Mood.Unreadable);
        exit(channel);

        assertEq(channels.creditOf(payer.addr, address(moody)), DEPOSIT);
    }

    function test_exit_reverts_whenNobodyAskedForIt() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        expectNotDue(channel, 0);
    }

    function test_exit_reverts_beforeTheDelayIsOver() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        requestExit(channel);
        uint256 exitAt = block.timestamp + DELAY;
        vm.warp(exitAt - 1);
        expectNotDue(channel, exitAt);
        vm.warp(exitAt);
        exit(channel);
    }

    function test_exit_reverts_whenChannelIsNotOpen() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        bytes memory reason = abi.encodeWithSelector(ISaltChannels.ChannelNotOpen.selector, channels.channelId(channel));
        vm.expectRevert(reason);
        channels.exit(channel);

        open(channel, DEPOSIT);
        awaitExit(channel);
        exit(channel);
        vm.expectRevert(reason);
        channels.exit(channel);
    }

    function testFuzz_exit_isDueAfterTheDelayOfTheChannel(uint32 delay, uint256 waited) external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        // forge-lint: disable-next-line(unsafe-typecast)
        channel.exitDelay = uint32(bound(delay, 15 minutes, 30 days));
        waited = bound(waited, 0, 60 days);
        open(channel, DEPOSIT);
        requestExit(channel);
        uint256 exitAt = block.timestamp + channel.exitDelay;
        vm.warp(block.timestamp + waited);

        if (waited < channel.exitDelay) {
            expectNotDue(channel, exitAt);
        } else {
            exit(channel);
            assertEq(payer.addr.balance, FUNDS);
        }
    }

    function exit(ISaltChannels.Channel memory channel) private {
        vm.prank(anyone);
        channels.exit(channel);
    }

    function expectNotDue(ISaltChannels.Channel memory channel, uint256 exitAt) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                ISaltChannels.ExitNotDue.selector, channels.channelId(channel), exitAt, vm.getBlockTimestamp()
            )
        );
        channels.exit(channel);
    }
}
