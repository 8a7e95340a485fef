// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {BlacklistingToken} from "../mocks/BlacklistingToken.sol";
import {GasBurningReceiver} from "../mocks/GasBurningReceiver.sol";
import {MoodyToken} from "../mocks/MoodyToken.sol";
import {NoReturnToken} from "../mocks/NoReturnToken.sol";
import {ReenteringReceiver} from "../mocks/ReenteringReceiver.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {ReturnBombReceiver} from "../mocks/ReturnBombReceiver.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

contract SaltChannels_claim is SaltChannelsTest {
    function test_claim_paysNativeCoins() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);

        assertEq(claim(channel, 1 ether), 1 ether);
        assertState(channel, DEPOSIT, 1 ether, 0, false);
        assertEq(payee.addr.balance, 1 ether);
        assertEq(address(channels).balance, DEPOSIT - 1 ether);
    }

    function test_claim_paysTokens() external {
        ISaltChannels.Channel memory channel = opened(address(token));

        assertEq(claim(channel, 1 ether), 1 ether);
        assertState(channel, DEPOSIT, 1 ether, 0, false);
        assertEq(token.balanceOf(payee.addr), 1 ether);
    }

    /// @dev As USDT on Ethereum: what it does is a transfer, though it does not say so.
    function test_claim_paysTokensThatReturnNothing() external {
        NoReturnToken noReturn = new NoReturnToken();
        noReturn.mint(payer.addr, DEPOSIT);
        vm.prank(payer.addr);
        noReturn.approve(address(channels), DEPOSIT);
        ISaltChannels.Channel memory channel = opened(address(noReturn));

        assertEq(claim(channel, 1 ether), 1 ether);
        close(channel, 3 ether);

        assertEq(noReturn.balanceOf(payee.addr), 3 ether);
        assertEq(noReturn.balanceOf(payer.addr), DEPOSIT - 3 ether);
        assertEq(channels.creditOf(payee.addr, address(noReturn)), 0);
        assertEq(channels.creditOf(payer.addr, address(noReturn)), 0);
    }

    function test_claim_paysTheDifferenceToTheLastClaim() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        claim(channel, 1 ether);

        assertEq(claim(channel, 3 ether), 2 ether);
        assertEq(payee.addr.balance, 3 ether);
    }

    function test_claim_paysLessThanTheCeilingIfThePayeeWantsLess() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes memory voucher = voucherOf(channel, 5 ether);

        vm.startPrank(payee.addr);
        assertEq(channels.claim(channel, 5 ether, 2 ether, voucher), 2 ether);
        // And the rest of it later, by the same voucher.
        assertEq(channels.claim(channel, 5 ether, 5 ether, voucher), 3 ether);
    }

    function test_claim_paysWhatIsLeft_whenVoucherIsAboveTheDeposit() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);

        assertEq(claim(channel, DEPOSIT + 1 ether), DEPOSIT);
        assertState(channel, DEPOSIT, DEPOSIT, 0, false);

        topUp(channel, 5 ether);
        assertEq(claim(channel, DEPOSIT + 1 ether), 1 ether);
    }

    function test_claim_paysWhatIsLeft_whenVoucherIsTheGreatest() external {
        assertEq(claim(opened(NATIVE), type(uint256).max), DEPOSIT);
    }

    function test_claim_saysSo() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        claim(channel, 1 ether);

        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelClaimed(channels.channelId(channel), 2 ether, 3 ether);
        claim(channel, 3 ether);
    }

    function test_claim_paysWhileAnExitIsPending() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        requestExit(channel);
        uint256 exitAt = block.timestamp + DELAY;

        claim(channel, 1 ether);
        assertState(channel, DEPOSIT, 1 ether, exitAt, false);
    }

    function test_claim_paysUntilTheExitIsExecuted() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        awaitExit(channel);
        vm.warp(block.timestamp + 365 days);

        assertEq(claim(channel, 1 ether), 1 ether);
        channels.exit(channel);
        assertEq(payer.addr.balance, FUNDS - 1 ether);
    }

    function test_claim_reverts_whenCallerIsNotThePayee() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes memory voucher = voucherOf(channel, 1 ether);

        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.NotPayee.selector, anyone, payee.addr));
        vm.prank(anyone);
        channels.claim(channel, 1 ether, 1 ether, voucher);
    }

    function test_claim_reverts_whenTotalIsAboveTheCeiling() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes memory voucher = voucherOf(channel, 1 ether);

        vm.expectRevert(
            abi.encodeWithSelector(
                ISaltChannels.AboveCeiling.selector, channels.channelId(channel), 1 ether + 1, 1 ether
            )
        );
        vm.prank(payee.addr);
        channels.claim(channel, 1 ether, 1 ether + 1, voucher);
    }

    function test_claim_reverts_whenVoucherWasClaimedBefore() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        claim(channel, 2 ether);
        expectNothing(channel, 2 ether, 2 ether);
        expectNothing(channel, 1 ether, 2 ether);
    }

    function test_claim_reverts_whenTotalIsZero() external {
        expectNothing(opened(NATIVE), 0, 0);
    }

    function test_claim_reverts_whenTheDepositIsUsedUp() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        claim(channel, DEPOSIT);
        expectNothing(channel, DEPOSIT + 1, DEPOSIT);
    }

    function test_claim_reverts_whenChannelWasNeverOpened() external {
        expectNotOpen(channelIn(NATIVE));
    }

    function test_claim_reverts_whenThePayerHasLeft() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        awaitExit(channel);
        channels.exit(channel);
        expectNotOpen(channel);
    }

    /// @dev Another voucher of another channel: of another payer, payee, asset, signer, delay or salt.
    function test_claim_reverts_whenVoucherIsOfAnotherChannel() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        ISaltChannels.Channel memory other = channelIn(NATIVE);
        other.salt = keccak256("another salt");
        bytes memory voucher = voucherOf(other, 1 ether);

        expectInvalidVoucher(channel, 1 ether, voucher);
    }

    function test_claim_reverts_whenAnOldVoucherIsShownToTheNextChannel() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes memory voucher = voucherOf(channel, 5 ether);
        close(channel, 1 ether);

        // The same can never be opened again, and what can be is another channel.
        channel.salt = keccak256("the next");
        open(channel, DEPOSIT);
        expectInvalidVoucher(channel, 5 ether, voucher);
    }

    function test_claim_creditsAPayeeThatRefuses() external {
        expectCredit(address(new RefusingReceiver()));
    }

    function test_claim_creditsAPayeeThatBurnsAllGas() external {
        expectCredit(address(new GasBurningReceiver()));
    }

    function test_claim_creditsAPayeeThatRefusesWithABomb() external {
        expectCredit(address(new ReturnBombReceiver(true)));
    }

    function test_claim_creditsAPayeeThatTheTokenRefuses() external {
        BlacklistingToken listing = new BlacklistingToken();
        ISaltChannels.Channel memory channel = opened(fund(listing));
        listing.setBlacklisted(payee.addr, true);

        claim(channel, 1 ether);

        assertEq(channels.creditOf(payee.addr, address(listing)), 1 ether);
        assertEq(listing.balanceOf(address(channels)), DEPOSIT);
    }

    function test_claim_creditsWhatATokenRefusesToTransfer() external {
        MoodyToken moody = new MoodyToken();
        ISaltChannels.Channel memory channel = opened(fund(moody));
        moody.setMood(MoodyToken.Mood.Refuses);
        claim(channel, 1 ether);

        assertEq(channels.creditOf(payee.addr, address(moody)), 1 ether);
        assertEq(moody.balanceOf(address(channels)), DEPOSIT);
    }

    /// @dev It may have paid, or not. Neither may be taken for granted: who is right would pay for who is wrong.
    function test_claim_reverts_whenATokenAnswersNeitherTrueNorNothing() external {
        MoodyToken moody = new MoodyToken();
        ISaltChannels.Channel memory channel = opened(fund(moody));
        bytes memory voucher = voucherOf(channel, 1 ether);
        bytes memory reason = abi.encodeWithSelector(ISaltChannels.UnclearTransfer.selector, moody, payee.addr, 1 ether);

        for (uint256 mood = 2; mood < 6; ++mood) {
            moody.setMood(MoodyToken.Mood(mood));
            vm.expectRevert(reason);
            vm.prank(payee.addr);
            channels.claim(channel, 1 ether, 1 ether, voucher);
        }
        assertState(channel, DEPOSIT, 0, 0, false);
        assertEq(moody.balanceOf(address(channels)), DEPOSIT);
    }

    /// @dev A call of an address without code succeeds and returns nothing, as that of a token may. It has paid nobody.
    function test_claim_creditsThePayee_whenTheTokenIsGone() external {
        ISaltChannels.Channel memory channel = opened(address(token));
        bytes memory voucher = voucherOf(channel, 1 ether);
        bytes memory code = address(token).code;
        vm.etch(address(token), "");

        vm.expectEmit(address(channels));
        emit ISaltChannels.Credited(payee.addr, address(token), 1 ether);
        vm.prank(payee.addr);
        channels.claim(channel, 1 ether, 1 ether, voucher);
        assertEq(channels.creditOf(payee.addr, address(token)), 1 ether);

        vm.etch(address(token), code);
        channels.withdrawFor(payee.addr, address(token));
        assertEq(token.balanceOf(payee.addr), 1 ether);
    }

    function test_claim_reverts_whenThePayeeReenters() external {
        ReenteringReceiver receiver = new ReenteringReceiver();
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.payee = address(receiver);
        open(channel, DEPOSIT);
        receiver.reenter(
            address(channels), abi.encodeCall(channels.claim, (channel, 2 ether, 2 ether, voucherOf(channel, 2 ether)))
        );

        claim(channel, 1 ether);

        assertFalse(receiver.called());
        assertEq(receiver.answer(), abi.encodeWithSelector(ISaltChannels.Reentered.selector));
        assertEq(address(receiver).balance, 1 ether);
    }

    function testFuzz_claim_neverPaysMoreThanSignedOrDeposited(uint256 deposit, uint256[8] memory ceilings) external {
        deposit = bound(deposit, 1, FUNDS);
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        open(channel, deposit);

        uint256 greatest = 0;
        for (uint256 i = 0; i < ceilings.length; ++i) {
            uint256 ceiling = bound(ceilings[i], 0, 2 * deposit);
            bytes memory voucher = voucherOf(channel, ceiling);
            vm.prank(payee.addr);
            try channels.claim(channel, ceiling, ceiling, voucher) {} catch {}
            if (ceiling > greatest) greatest = ceiling;
            assertEq(payee.addr.balance, greatest < deposit ? greatest : deposit);
            assertEq(address(channels).balance, deposit - payee.addr.balance);
        }
    }

    function expectNothing(ISaltChannels.Channel memory channel, uint256 total, uint256 claimed) private {
        bytes memory voucher = voucherOf(channel, total);
        vm.expectRevert(
            abi.encodeWithSelector(ISaltChannels.NothingToClaim.selector, channels.channelId(channel), total, claimed)
        );
        vm.prank(payee.addr);
        channels.claim(channel, total, total, voucher);
    }

    function expectNotOpen(ISaltChannels.Channel memory channel) private {
        bytes memory voucher = voucherOf(channel, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.ChannelNotOpen.selector, channels.channelId(channel)));
        vm.prank(payee.addr);
        channels.claim(channel, 1 ether, 1 ether, voucher);
    }

    function expectInvalidVoucher(ISaltChannels.Channel memory channel, uint256 ceiling, bytes memory voucher) private {
        bytes32 digest = voucherDigest(channel, ceiling);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidSignature.selector, session.addr, digest));
        vm.prank(payee.addr);
        channels.claim(channel, ceiling, ceiling, voucher);
    }

    function expectCredit(address to) private {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.payee = to;
        open(channel, DEPOSIT);

        bytes memory voucher = voucherOf(channel, 1 ether);
        vm.expectEmit(address(channels));
        emit ISaltChannels.Credited(to, NATIVE, 1 ether);
        vm.prank(to);
        channels.claim{gas: 500_000}(channel, 1 ether, 1 ether, voucher);

        assertEq(channels.creditOf(to, NATIVE), 1 ether);
        assertEq(to.balance, 0);
        assertEq(address(channels).balance, DEPOSIT);
        // Twice: credits add up.
        claim(channel, 3 ether);
        assertEq(channels.creditOf(to, NATIVE), 3 ether);
    }
}
