// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {PoliteToken} from "../mocks/PoliteToken.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

contract SaltChannels_exitMany is SaltChannelsTest {
    ISaltChannels.Channel[] private many;

    function test_exitMany_refundsPayersInAnyAsset() external {
        many.push(salted(NATIVE, 1));
        many.push(salted(address(token), 2));
        claim(many[0], 1 ether);
        requestExit(many[0]);
        requestExit(many[1]);
        vm.warp(block.timestamp + DELAY);

        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelClosed(
            channels.channelId(many[0]), payer.addr, payee.addr, 1 ether, DEPOSIT - 1 ether
        );
        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelClosed(channels.channelId(many[1]), payer.addr, payee.addr, 0, DEPOSIT);
        exitMany();

        assertEq(payer.addr.balance, FUNDS - 1 ether);
        assertEq(token.balanceOf(payer.addr), FUNDS);
    }

    function test_exitMany_tellsWhatItSkips() external {
        ISaltChannels.Channel memory due = salted(NATIVE, 1);
        requestExit(due);
        vm.warp(block.timestamp + DELAY);
        ISaltChannels.Channel memory early = salted(NATIVE, 2);
        requestExit(early);
        ISaltChannels.Channel memory staying = salted(NATIVE, 3);
        ISaltChannels.Channel memory closed = salted(NATIVE, 4);
        close(closed, 0);
        ISaltChannels.Channel memory unknown = channelIn(NATIVE);
        many.push(early);
        many.push(staying);
        many.push(closed);
        many.push(unknown);
        many.push(due);
        // Closed by the row before.
        many.push(due);

        expectSkipped(early, ISaltChannels.SkipReason.ExitNotDue);
        expectSkipped(staying, ISaltChannels.SkipReason.ExitNotDue);
        expectSkipped(closed, ISaltChannels.SkipReason.NotOpen);
        expectSkipped(unknown, ISaltChannels.SkipReason.NotOpen);
        expectSkipped(due, ISaltChannels.SkipReason.NotOpen);
        exitMany();

        assertEq(payer.addr.balance, FUNDS - 2 * DEPOSIT);
        assertTrue(stateOf(due).closed);
        assertFalse(stateOf(early).closed || stateOf(staying).closed);
    }

    function test_exitMany_creditsAPayerThatRefuses_andPaysTheOthers() external {
        ISaltChannels.Channel memory refusing = channelIn(NATIVE);
        refusing.payer = address(new RefusingReceiver());
        vm.deal(refusing.payer, DEPOSIT);
        open(refusing, DEPOSIT);
        many.push(refusing);
        many.push(salted(NATIVE, 1));
        requestExit(many[0]);
        requestExit(many[1]);
        vm.warp(block.timestamp + DELAY);
        exitMany();

        assertEq(channels.creditOf(refusing.payer, NATIVE), DEPOSIT);
        assertEq(payer.addr.balance, FUNDS);
    }

    /// @dev Made, used and destroyed in one transaction (EIP-6780), or an account's delegation (EIP-7702) that was cleared.
    function test_exitMany_creditsInATokenThatIsGone_andPaysTheOthers() external {
        many.push(salted(address(token), 1));
        many.push(salted(NATIVE, 2));
        requestExit(many[0]);
        requestExit(many[1]);
        vm.warp(block.timestamp + DELAY);
        vm.etch(address(token), "");
        exitMany();

        assertEq(channels.creditOf(payer.addr, address(token)), DEPOSIT);
        assertEq(payer.addr.balance, FUNDS);
    }

    function test_exitMany_reverts_andNamesTheRow_whenATokenSaysFalse() external {
        PoliteToken polite = new PoliteToken();
        fund(polite);
        many.push(salted(NATIVE, 1));
        many.push(salted(address(polite), 2));
        requestExit(many[0]);
        requestExit(many[1]);
        vm.warp(block.timestamp + DELAY);
        polite.setRefused(payer.addr, true);

        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.UnclearTransfer.selector, polite, payer.addr, DEPOSIT));
        exitMany();
        assertFalse(stateOf(many[0]).closed || stateOf(many[1]).closed);

        // Without that row it goes.
        many.pop();
        exitMany();
        assertEq(payer.addr.balance, FUNDS);
    }

    /// @dev A field with dirty bits names no channel, and moves nothing.
    function test_exitMany_movesNothing_whenAFieldHasDirtyBits() external {
        many.push(salted(NATIVE, 1));
        requestExit(many[0]);
        vm.warp(block.timestamp + DELAY);
        bytes memory data = abi.encodeCall(channels.exitMany, (many));
        for (uint256 field = 0; field < 6; ++field) {
            bytes memory dirty = bytes.concat(data);
            dirty[4 + 64 + field * 32] = 0x01;
            // It reads as a channel that was never opened.
            (bool done,) = address(channels).call(dirty);
            assertTrue(done);
            assertEq(address(channels).balance, DEPOSIT);
        }
        exitMany();
        assertEq(payer.addr.balance, FUNDS);
    }

    function exitMany() private {
        vm.prank(anyone);
        channels.exitMany(many);
    }

    function expectSkipped(ISaltChannels.Channel memory channel, ISaltChannels.SkipReason reason) private {
        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelSkipped(channels.channelId(channel), reason);
    }
}
