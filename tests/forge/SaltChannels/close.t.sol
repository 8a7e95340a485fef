// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {BlacklistingToken} from "../mocks/BlacklistingToken.sol";
import {GasBurningReceiver} from "../mocks/GasBurningReceiver.sol";
import {ReenteringReceiver} from "../mocks/ReenteringReceiver.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

contract SaltChannels_close is SaltChannelsTest {
    function test_close_paysThePayeeAndRefundsThePayerAtOnce() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        close(channel, 3 ether);

        assertState(channel, DEPOSIT, 3 ether, 0, true);
        assertEq(payee.addr.balance, 3 ether);
        assertEq(payer.addr.balance, FUNDS - 3 ether);
        assertEq(address(channels).balance, 0);
    }

    /// @dev Events of it may follow. They change nothing of what it is.
    function test_close_isTheEnd_whateverFollows() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        close(channel, 3 ether);
        ISaltChannels.Channel[] memory many = new ISaltChannels.Channel[](1);
        many[0] = channel;

        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelSkipped(channels.channelId(channel), ISaltChannels.SkipReason.NotOpen);
        channels.exitMany(many);
        vm.prank(payee.addr);
        channels.refund{value: 1 ether}(channel, 1 ether);
        assertState(channel, DEPOSIT, 3 ether, 0, true);
    }

    function test_close_paysTokens() external {
        close(opened(address(token)), 3 ether);

        assertEq(token.balanceOf(payee.addr), 3 ether);
        assertEq(token.balanceOf(payer.addr), FUNDS - 3 ether);
    }

    function test_close_needsNoVoucher_whenNothingMoreIsClaimed() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        claim(channel, 3 ether);

        vm.prank(payee.addr);
        channels.close(channel, 0, 3 ether, NO_SIGNATURE);

        assertState(channel, DEPOSIT, 3 ether, 0, true);
        assertEq(payer.addr.balance, FUNDS - 3 ether);
    }

    function test_close_paysTheWholeDeposit_whenVoucherIsAboveIt() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        close(channel, DEPOSIT + 1);

        assertState(channel, DEPOSIT, DEPOSIT, 0, true);
        assertEq(payee.addr.balance, DEPOSIT);
        assertEq(payer.addr.balance, FUNDS - DEPOSIT);
    }

    function test_close_saysSo() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes32 id = channels.channelId(channel);
        claim(channel, 1 ether);

        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelClaimed(id, 2 ether, 3 ether);
        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelClosed(id, payer.addr, payee.addr, 3 ether, DEPOSIT - 3 ether);
        close(channel, 3 ether);
    }

    function test_close_endsAPendingExit() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        requestExit(channel);
        close(channel, 1 ether);

        assertState(channel, DEPOSIT, 1 ether, 0, true);
        vm.warp(block.timestamp + DELAY);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.ChannelNotOpen.selector, channels.channelId(channel)));
        channels.exit(channel);
    }

    function test_close_paysThePayee_whenThePayerBurnsAllGas() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.payer = address(new GasBurningReceiver());
        vm.deal(channel.payer, DEPOSIT);
        open(channel, DEPOSIT);

        close(channel, 1 ether);

        assertEq(payee.addr.balance, 1 ether);
        assertEq(channels.creditOf(channel.payer, NATIVE), DEPOSIT - 1 ether);
    }

    function test_close_paysThePayee_whenTheTokenRefusesThePayer() external {
        BlacklistingToken listing = new BlacklistingToken();
        ISaltChannels.Channel memory channel = opened(fund(listing));
        listing.setBlacklisted(payer.addr, true);
        close(channel, 1 ether);

        assertEq(listing.balanceOf(payee.addr), 1 ether);
        assertEq(channels.creditOf(payer.addr, address(listing)), DEPOSIT - 1 ether);
    }

    function test_close_refundsThePayer_whenTheTokenRefusesThePayee() external {
        BlacklistingToken listing = new BlacklistingToken();
        ISaltChannels.Channel memory channel = opened(fund(listing));
        listing.setBlacklisted(payee.addr, true);
        close(channel, 1 ether);

        assertEq(listing.balanceOf(payer.addr), FUNDS - 1 ether);
        assertEq(channels.creditOf(payee.addr, address(listing)), 1 ether);
    }

    function test_close_reverts_whenCallerIsNotThePayee() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.NotPayee.selector, payer.addr, payee.addr));
        vm.prank(payer.addr);
        channels.close(channel, 0, 0, NO_SIGNATURE);
    }

    function test_close_reverts_whenVoucherIsNotSigned() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes memory voucher = voucherOf(channel, 1 ether);
        vm.expectPartialRevert(ISaltChannels.InvalidSignature.selector);
        vm.prank(payee.addr);
        channels.close(channel, 2 ether, 2 ether, voucher);
    }

    function test_close_reverts_whenTotalIsAboveTheCeiling() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes memory voucher = voucherOf(channel, 1 ether);
        vm.expectPartialRevert(ISaltChannels.AboveCeiling.selector);
        vm.prank(payee.addr);
        channels.close(channel, 1 ether, 2 ether, voucher);
    }

    function test_close_reverts_whenChannelWasNeverOpenedOrIsClosed() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        bytes memory reason = abi.encodeWithSelector(ISaltChannels.ChannelNotOpen.selector, channels.channelId(channel));
        vm.expectRevert(reason);
        vm.prank(payee.addr);
        channels.close(channel, 0, 0, NO_SIGNATURE);

        open(channel, DEPOSIT);
        close(channel, 1 ether);
        vm.expectRevert(reason);
        vm.prank(payee.addr);
        channels.close(channel, 0, 0, NO_SIGNATURE);
    }

    function test_close_reverts_whenThePayerReentersAsItIsRefunded() external {
        ReenteringReceiver receiver = new ReenteringReceiver();
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.payer = address(receiver);
        vm.deal(address(receiver), DEPOSIT);
        open(channel, DEPOSIT);
        receiver.reenter(address(channels), abi.encodeCall(channels.requestExit, (channel)));

        close(channel, 1 ether);

        assertFalse(receiver.called());
        assertEq(receiver.answer(), abi.encodeWithSelector(ISaltChannels.Reentered.selector));
        assertEq(address(receiver).balance, DEPOSIT - 1 ether);
    }

    function testFuzz_close_sharesTheDepositOut(uint256 deposit, uint256 claimed, uint256 total) external {
        deposit = bound(deposit, 1, FUNDS);
        claimed = bound(claimed, 0, deposit);
        total = bound(total, 0, 2 * deposit);
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        open(channel, deposit);
        if (claimed != 0) claim(channel, claimed);

        close(channel, total);

        uint256 reached = total < deposit ? total : deposit;
        assertEq(payee.addr.balance, reached > claimed ? reached : claimed);
        assertEq(payer.addr.balance + payee.addr.balance, FUNDS);
        assertEq(address(channels).balance, 0);
    }
}
