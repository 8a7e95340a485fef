// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {ContractWallet} from "../mocks/ContractWallet.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

/// @notice `requestExit` and `requestExitFor`.
contract SaltChannels_requestExit is SaltChannelsTest {
    uint256 private deadline;

    function setUp() public override {
        super.setUp();
        deadline = block.timestamp + 60;
    }

    function test_requestExit_startsTheDelayAndSaysSo() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        uint256 exitAt = block.timestamp + DELAY;

        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelExitRequested(channels.channelId(channel), payer.addr, payee.addr, exitAt);
        requestExit(channel);

        assertState(channel, DEPOSIT, 0, exitAt, false);
    }

    function test_requestExit_movesNoMoney() external {
        requestExit(opened(NATIVE));
        assertEq(address(channels).balance, DEPOSIT);
    }

    function test_requestExit_reverts_whenCallerIsNotThePayer() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.NotPayer.selector, session.addr, payer.addr));
        vm.prank(session.addr);
        channels.requestExit(channel);
    }

    function test_requestExit_reverts_whenOneIsPending() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        requestExit(channel);
        uint256 exitAt = block.timestamp + DELAY;
        vm.warp(block.timestamp + 1);

        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.ExitPending.selector, channels.channelId(channel), exitAt));
        requestExit(channel);
    }

    function test_requestExit_reverts_whenChannelIsNotOpen() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        bytes memory reason = abi.encodeWithSelector(ISaltChannels.ChannelNotOpen.selector, channels.channelId(channel));
        vm.expectRevert(reason);
        requestExit(channel);

        open(channel, DEPOSIT);
        close(channel, 0);
        vm.expectRevert(reason);
        requestExit(channel);
    }

    function test_requestExitFor_startsTheDelay_whenThePayerSigned() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        vm.prank(anyone);
        channels.requestExitFor(channel, deadline, sign(payer, digestOf(channel, DEPOSIT)));

        assertState(channel, DEPOSIT, 0, block.timestamp + DELAY, false);
    }

    function test_requestExitFor_takesAWalletsSignature() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.payer = address(new ContractWallet(payer.addr));
        vm.deal(channel.payer, DEPOSIT);
        open(channel, DEPOSIT);

        channels.requestExitFor(channel, deadline, sign(payer, digestOf(channel, DEPOSIT)));
    }

    function test_requestExitFor_reverts_whenThePayerDidNotSign() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes32 digest = digestOf(channel, DEPOSIT);
        bytes memory signature = sign(session, digest);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidSignature.selector, payer.addr, digest));
        channels.requestExitFor(channel, deadline, signature);
    }

    /// @dev A signature that came late must not undo the top-up that came after it.
    function test_requestExitFor_reverts_whenThePayerHasToppedUpSince() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes memory signature = sign(payer, digestOf(channel, DEPOSIT));
        channels.requestExitFor(channel, deadline, signature);
        topUp(channel, 1);

        vm.expectPartialRevert(ISaltChannels.InvalidSignature.selector);
        channels.requestExitFor(channel, deadline, signature);
    }

    function test_requestExitFor_reverts_whenChannelIsNotOpen() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        bytes memory signature = sign(payer, digestOf(channel, 0));
        vm.expectPartialRevert(ISaltChannels.ChannelNotOpen.selector);
        channels.requestExitFor(channel, deadline, signature);
    }

    function test_requestExitFor_holdsUntilTheDeadlineAndNoLonger() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes memory signature = sign(payer, digestOf(channel, DEPOSIT));
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.SignatureExpired.selector, deadline, deadline + 1));
        channels.requestExitFor(channel, deadline, signature);

        vm.warp(deadline);
        channels.requestExitFor(channel, deadline, signature);
    }

    function test_requestExitFor_reverts_whenTheDeadlineIsAnother() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes memory signature = sign(payer, digestOf(channel, DEPOSIT));
        vm.expectPartialRevert(ISaltChannels.InvalidSignature.selector);
        channels.requestExitFor(channel, deadline + 1, signature);
    }

    function digestOf(ISaltChannels.Channel memory channel, uint256 deposit) private view returns (bytes32) {
        return channels.exitDigest(channels.channelId(channel), deposit, deadline);
    }
}
