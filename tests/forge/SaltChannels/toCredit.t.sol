// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {MoodyToken} from "../mocks/MoodyToken.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

/// @notice `claimToCredit` and `exitToCredit`: the way out of a channel in a token whose answer nobody understands.
contract SaltChannels_toCredit is SaltChannelsTest {
    MoodyToken private moody;
    ISaltChannels.Channel private channel;

    function setUp() public override {
        super.setUp();
        moody = new MoodyToken();
        channel = opened(fund(moody));
    }

    function test_claimToCredit_andWithdraw_payOnce_whateverTheTokenSaysOfIt() external {
        moody.setMood(MoodyToken.Mood.SaysFalseAndTransfers);
        claimToCredit(1 ether);
        assertEq(channels.creditOf(payee.addr, address(moody)), 1 ether);
        assertState(channel, DEPOSIT, 1 ether, 0, false);

        vm.prank(payee.addr);
        channels.withdraw(address(moody), payee.addr);
        assertEq(moody.balanceOf(payee.addr), 1 ether);
        assertEq(channels.creditOf(payee.addr, address(moody)), 0);
        assertEq(moody.balanceOf(address(channels)), DEPOSIT - 1 ether);
    }

    /// @dev Nobody tries to send it, and the event says no more than that it was not sent.
    function test_claimToCredit_doesNotCallThePayee() external {
        channel = salted(NATIVE, 1);
        vm.expectCall(payee.addr, 1 ether, "", 0);
        vm.expectEmit(address(channels));
        emit ISaltChannels.Credited(payee.addr, NATIVE, 1 ether);
        claimToCredit(1 ether);
        assertEq(channels.creditOf(payee.addr, NATIVE), 1 ether);
    }

    function test_exitToCredit_andWithdraw_payOnce_whateverTheTokenSaysOfIt() external {
        moody.setMood(MoodyToken.Mood.SaysFalseAndTransfers);
        awaitExit(channel);
        vm.expectRevert(
            abi.encodeWithSelector(ISaltChannels.UnclearTransfer.selector, address(moody), payer.addr, DEPOSIT)
        );
        channels.exit(channel);

        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelClosed(channels.channelId(channel), payer.addr, payee.addr, 0, DEPOSIT);
        vm.expectEmit(address(channels));
        emit ISaltChannels.Credited(payer.addr, address(moody), DEPOSIT);
        vm.startPrank(payer.addr);
        channels.exitToCredit(channel);
        channels.withdraw(address(moody), payer.addr);
        vm.stopPrank();
        assertEq(moody.balanceOf(payer.addr), FUNDS);
        assertEq(moody.balanceOf(address(channels)), 0);
    }

    function test_withdraw_reverts_whenATokenMovesNothingOrAnotherAmount() external {
        claimToCredit(1 ether);
        moody.setMood(MoodyToken.Mood.SaysFalse);
        expectRefused(abi.encodeWithSelector(ISaltChannels.WithdrawalRefused.selector, moody, payee.addr, 1 ether));
        bytes4 selector = ISaltChannels.InexactTransfer.selector;
        moody.setMood(MoodyToken.Mood.SaysFalseAndTransfersHalf);
        expectRefused(abi.encodeWithSelector(selector, moody, 1 ether, DEPOSIT, DEPOSIT - 0.5 ether));
        moody.setMood(MoodyToken.Mood.SaysFalseAndPays);
        expectRefused(abi.encodeWithSelector(selector, moody, 1 ether, DEPOSIT, DEPOSIT + 1));
        moody.setMood(MoodyToken.Mood.Unreadable);
        expectRefused(abi.encodeWithSelector(ISaltChannels.WithdrawalRefused.selector, moody, payee.addr, 1 ether));
        assertEq(channels.creditOf(payee.addr, address(moody)), 1 ether);
    }

    function test_exitToCredit_creditsNothing_whenAllWasClaimed() external {
        claim(channel, DEPOSIT);
        awaitExit(channel);
        vm.recordLogs();
        vm.prank(payer.addr);
        channels.exitToCredit(channel);
        assertEq(vm.getRecordedLogs().length, 1);
        assertEq(channels.creditOf(payer.addr, address(moody)), 0);
    }

    function test_exitToCredit_reverts_whenItIsNotDue() external {
        vm.expectPartialRevert(ISaltChannels.ExitNotDue.selector);
        vm.prank(payer.addr);
        channels.exitToCredit(channel);
    }

    /// @dev Else anybody could make a payer withdraw what it would have been sent.
    function test_toCredit_reverts_whenCallerIsAnother() external {
        bytes memory voucher = voucherOf(channel, 1 ether);
        awaitExit(channel);
        vm.startPrank(anyone);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.NotPayer.selector, anyone, payer.addr));
        channels.exitToCredit(channel);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.NotPayee.selector, anyone, payee.addr));
        channels.claimToCredit(channel, 1 ether, 1 ether, voucher);
        vm.stopPrank();
    }

    function test_claimToCredit_reverts_asClaimDoes() external {
        bytes memory voucher = voucherOf(channel, 1 ether);
        vm.startPrank(payee.addr);
        vm.expectPartialRevert(ISaltChannels.AboveCeiling.selector);
        channels.claimToCredit(channel, 1 ether, 2 ether, voucher);
        vm.expectPartialRevert(ISaltChannels.InvalidSignature.selector);
        channels.claimToCredit(channel, 2 ether, 2 ether, voucher);
        channels.claimToCredit(channel, 1 ether, 1 ether, voucher);
        vm.expectPartialRevert(ISaltChannels.NothingToClaim.selector);
        channels.claimToCredit(channel, 1 ether, 1 ether, voucher);
        vm.stopPrank();
    }

    function claimToCredit(uint256 total) private {
        bytes memory voucher = voucherOf(channel, total);
        vm.prank(payee.addr);
        assertEq(channels.claimToCredit(channel, total, total, voucher), total);
    }

    function expectRefused(bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(payee.addr);
        channels.withdraw(address(moody), payee.addr);
    }
}
