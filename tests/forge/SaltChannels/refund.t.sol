// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {BlacklistingToken} from "../mocks/BlacklistingToken.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

contract SaltChannels_refund is SaltChannelsTest {
    function test_refund_givesNativeCoinsBackAndLeavesTheChannelAsItIs() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        claim(channel, 3 ether);

        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelRefunded(channels.channelId(channel), payer.addr, payee.addr, 1 ether);
        refund(channel, 1 ether);

        assertState(channel, DEPOSIT, 3 ether, 0, false);
        assertEq(payee.addr.balance, 2 ether);
        assertEq(payer.addr.balance, FUNDS - DEPOSIT + 1 ether);
        assertEq(address(channels).balance, DEPOSIT - 3 ether);
        // Vouchers go on to mean what they did.
        assertEq(claim(channel, 4 ether), 1 ether);
    }

    function test_refund_givesTokensBackFromTheAllowance() external {
        ISaltChannels.Channel memory channel = opened(address(token));
        claim(channel, 3 ether);
        refund(channel, 1 ether);

        assertEq(token.balanceOf(payee.addr), 2 ether);
        assertEq(token.balanceOf(payer.addr), FUNDS - DEPOSIT + 1 ether);
        assertEq(token.balanceOf(address(channels)), DEPOSIT - 3 ether);
    }

    function test_refund_givesBackOfAClosedChannel() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        close(channel, 3 ether);
        refund(channel, 3 ether);

        assertEq(payer.addr.balance, FUNDS);
        assertState(channel, DEPOSIT, 3 ether, 0, true);
    }

    function test_refund_keepsAPendingExit() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        claim(channel, 3 ether);
        requestExit(channel);
        refund(channel, 1 ether);
        assertState(channel, DEPOSIT, 3 ether, block.timestamp + DELAY, false);
    }

    function test_refund_creditsAPayerThatRefuses() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.payer = address(new RefusingReceiver());
        vm.deal(channel.payer, DEPOSIT);
        open(channel, DEPOSIT);
        claim(channel, 3 ether);
        refund(channel, 1 ether);
        assertEq(channels.creditOf(channel.payer, NATIVE), 1 ether);

        BlacklistingToken listing = new BlacklistingToken();
        channel = opened(fund(listing));
        claim(channel, 3 ether);
        listing.setBlacklisted(payer.addr, true);
        refund(channel, 1 ether);
        assertEq(channels.creditOf(payer.addr, address(listing)), 1 ether);
    }

    /// @dev There is no place to remember it by: who calls twice pays twice.
    function test_refund_paysTwice_whenItIsCalledTwice() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        claim(channel, 3 ether);
        vm.deal(payee.addr, 6 ether);
        refund(channel, 3 ether);
        refund(channel, 3 ether);
        assertEq(payer.addr.balance, FUNDS - DEPOSIT + 6 ether);
    }

    function test_refund_reverts_whenItIsMoreThanWasClaimed() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        vm.deal(payee.addr, DEPOSIT);
        expectTooLarge(channel, 1, 0);
        open(channel, DEPOSIT);
        expectTooLarge(channel, 1, 0);
        claim(channel, 3 ether);
        expectTooLarge(channel, 3 ether + 1, 3 ether);
    }

    function test_refund_reverts_whenCallerIsNotThePayee() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        claim(channel, 3 ether);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.NotPayee.selector, payer.addr, payee.addr));
        vm.prank(payer.addr);
        channels.refund{value: 1}(channel, 1);
    }

    function test_refund_reverts_whenAmountIsZero() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        vm.expectRevert(ISaltChannels.ZeroAmount.selector);
        vm.prank(payee.addr);
        channels.refund(channel, 0);
    }

    function test_refund_reverts_whenValueIsNotTheAmount() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        claim(channel, 3 ether);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InexactValue.selector, 1, 2));
        vm.prank(payee.addr);
        channels.refund{value: 1}(channel, 2);

        ISaltChannels.Channel memory inTokens = opened(address(token));
        claim(inTokens, 3 ether);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InexactValue.selector, 1, 0));
        vm.prank(payee.addr);
        channels.refund{value: 1}(inTokens, 1);
    }

    function test_refund_reverts_whenThePayeeHasApprovedTooLittle() external {
        ISaltChannels.Channel memory channel = opened(address(token));
        claim(channel, 3 ether);
        vm.expectRevert(
            abi.encodeWithSelector(ISaltChannels.TransferRefused.selector, address(token), payee.addr, 1 ether)
        );
        vm.prank(payee.addr);
        channels.refund(channel, 1 ether);
    }

    function testFuzz_refund_movesThePayeesMoneyAlone(uint256 claimed, uint256 amount, bool native) external {
        ISaltChannels.Channel memory channel = opened(native ? NATIVE : address(token));
        claimed = bound(claimed, 1, DEPOSIT);
        amount = bound(amount, 1, claimed);
        claim(channel, claimed);
        uint256 held = balanceOf(channel.asset, address(channels));
        refund(channel, amount);

        assertEq(balanceOf(channel.asset, address(channels)), held);
        assertEq(balanceOf(channel.asset, payee.addr), claimed - amount);
        assertEq(balanceOf(channel.asset, payer.addr), FUNDS - DEPOSIT + amount);
        assertState(channel, DEPOSIT, claimed, 0, false);
    }

    function refund(ISaltChannels.Channel memory channel, uint256 amount) private {
        vm.startPrank(payee.addr);
        if (channel.asset != NATIVE) PlainToken(channel.asset).approve(address(channels), amount);
        channels.refund{value: channel.asset == NATIVE ? amount : 0}(channel, amount);
        vm.stopPrank();
    }

    function expectTooLarge(ISaltChannels.Channel memory channel, uint256 amount, uint256 claimed) private {
        vm.expectRevert(
            abi.encodeWithSelector(ISaltChannels.RefundTooLarge.selector, channels.channelId(channel), amount, claimed)
        );
        vm.prank(payee.addr);
        channels.refund{value: amount}(channel, amount);
    }
}
