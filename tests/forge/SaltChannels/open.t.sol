// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {BlindToken} from "../mocks/BlindToken.sol";
import {FalseReturnToken} from "../mocks/FalseReturnToken.sol";
import {FeeOnTransferToken} from "../mocks/FeeOnTransferToken.sol";
import {NoReturnToken} from "../mocks/NoReturnToken.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {QuietToken} from "../mocks/QuietToken.sol";
import {RebasingToken} from "../mocks/RebasingToken.sol";
import {ReenteringToken} from "../mocks/ReenteringToken.sol";
import {RevertingToken} from "../mocks/RevertingToken.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

contract SaltChannels_open is SaltChannelsTest {
    function test_open_takesNativeCoins() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);

        assertState(channel, DEPOSIT, 0, 0, false);
        assertEq(address(channels).balance, DEPOSIT);
        assertEq(payer.addr.balance, FUNDS - DEPOSIT);
    }

    function test_open_takesTokensFromTheAllowance() external {
        ISaltChannels.Channel memory channel = opened(address(token));

        assertState(channel, DEPOSIT, 0, 0, false);
        assertEq(token.balanceOf(address(channels)), DEPOSIT);
        assertEq(token.balanceOf(payer.addr), FUNDS - DEPOSIT);
    }

    function test_open_takesTokensThatReturnNothing() external {
        NoReturnToken noReturn = new NoReturnToken();
        noReturn.mint(payer.addr, DEPOSIT);
        vm.prank(payer.addr);
        noReturn.approve(address(channels), DEPOSIT);

        opened(address(noReturn));

        assertEq(noReturn.balanceOf(address(channels)), DEPOSIT);
    }

    function test_open_writesTheDescriptorDown() external {
        ISaltChannels.Channel memory channel = channelIn(address(token));
        channel.operator = anyone;
        bytes32 id = channels.channelId(channel);

        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelOpened(
            id, payer.addr, payee.addr, address(token), session.addr, anyone, DELAY, keccak256("salt"), DEPOSIT
        );
        open(channel, DEPOSIT);
    }

    function test_open_opensChannelsThatDifferInTheirSaltAlone() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        channel.salt = keccak256("another salt");
        open(channel, 1);

        assertState(channel, 1, 0, 0, false);
        assertState(channelIn(NATIVE), DEPOSIT, 0, 0, false);
    }

    function test_open_takesTheShortestAndTheLongestDelay() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.exitDelay = 15 minutes;
        open(channel, 1);
        channel.exitDelay = 30 days;
        open(channel, 1);
    }

    function test_open_takesTheLargestDeposit() external {
        vm.deal(payer.addr, type(uint104).max);
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        open(channel, type(uint104).max);

        assertState(channel, type(uint104).max, 0, 0, false);
        close(channel, type(uint104).max);
        assertState(channel, type(uint104).max, type(uint104).max, 0, true);
        assertEq(payee.addr.balance, type(uint104).max);
    }

    function test_open_takesTheWholeSupplyOfSalt() external {
        vm.deal(payer.addr, 1e30);
        open(channelIn(NATIVE), 1e30);
    }

    function test_open_reverts_whenAmountIsTooLarge() external {
        uint256 amount = uint256(type(uint104).max) + 1;
        vm.deal(payer.addr, amount);

        expectRevert(
            NATIVE,
            amount,
            amount,
            abi.encodeWithSelector(ISaltChannels.DepositTooLarge.selector, 0, amount, type(uint104).max)
        );
    }

    function test_open_reverts_whenAmountIsGreatest() external {
        expectRevert(
            address(token),
            type(uint256).max,
            0,
            abi.encodeWithSelector(ISaltChannels.DepositTooLarge.selector, 0, type(uint256).max, type(uint104).max)
        );
    }

    function test_open_reverts_whenAmountIsZero() external {
        expectRevert(NATIVE, 0, 0, abi.encodeWithSelector(ISaltChannels.ZeroAmount.selector));
    }

    function test_open_reverts_whenCallerIsNotThePayer() external {
        vm.deal(anyone, DEPOSIT);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.NotPayer.selector, anyone, payer.addr));
        vm.prank(anyone);
        channels.open{value: DEPOSIT}(channelIn(NATIVE), DEPOSIT);
    }

    function test_open_reverts_whenChannelIsOpen() external {
        bytes32 id = channels.channelId(opened(NATIVE));

        expectRevert(NATIVE, 1, 1, abi.encodeWithSelector(ISaltChannels.ChannelUsed.selector, id));
    }

    function test_open_reverts_whenChannelWasClosedByThePayee() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        close(channel, 1 ether);

        bytes32 id = channels.channelId(channel);
        expectRevert(NATIVE, 1, 1, abi.encodeWithSelector(ISaltChannels.ChannelUsed.selector, id));
    }

    function test_open_reverts_whenThePayerHasLeft() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        awaitExit(channel);
        channels.exit(channel);

        bytes32 id = channels.channelId(channel);
        expectRevert(NATIVE, 1, 1, abi.encodeWithSelector(ISaltChannels.ChannelUsed.selector, id));
    }

    function test_open_reverts_whenPayeeIsZero() external {
        expectInvalidPayee(address(0));
    }

    function test_open_reverts_whenPayeeIsTheContract() external {
        expectInvalidPayee(address(channels));
    }

    function test_open_reverts_whenPayeeIsThePayer() external {
        expectInvalidPayee(payer.addr);
    }

    /// @dev A payer that could close its channel without a voucher would have been served for nothing.
    function test_open_reverts_whenThePayerIsTheOperator() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.operator = payer.addr;
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidOperator.selector, payer.addr));
        vm.prank(payer.addr);
        channels.open{value: DEPOSIT}(channel, DEPOSIT);
    }

    function test_open_reverts_whenDelayIsTooShort() external {
        expectInvalidDelay(15 minutes - 1);
    }

    function test_open_reverts_whenDelayIsTooLong() external {
        expectInvalidDelay(30 days + 1);
        expectInvalidDelay(type(uint32).max);
    }

    function test_open_reverts_whenValueIsNotTheAmount() external {
        bytes4 selector = ISaltChannels.InexactValue.selector;
        expectRevert(NATIVE, DEPOSIT, DEPOSIT - 1, abi.encodeWithSelector(selector, DEPOSIT - 1, DEPOSIT));
        expectRevert(NATIVE, DEPOSIT, DEPOSIT + 1, abi.encodeWithSelector(selector, DEPOSIT + 1, DEPOSIT));
        expectRevert(NATIVE, DEPOSIT, 0, abi.encodeWithSelector(selector, 0, DEPOSIT));
    }

    function test_open_reverts_whenCoinsComeWithTokens() external {
        expectRevert(address(token), DEPOSIT, 1, abi.encodeWithSelector(ISaltChannels.InexactValue.selector, 1, 0));
    }

    function test_open_reverts_whenAssetHasNoCode() external {
        address asset = makeAddr("no code");
        expectRevert(asset, DEPOSIT, 0, abi.encodeWithSelector(ISaltChannels.InvalidAsset.selector, asset));
    }

    function test_open_reverts_whenAssetIsTheContract() external {
        address asset = address(channels);
        expectRevert(asset, DEPOSIT, 0, abi.encodeWithSelector(ISaltChannels.InvalidAsset.selector, asset));
    }

    function test_open_reverts_whenAssetStopsAnsweringBalances() external {
        expectInexact(fund(new BlindToken()), 0, 0);
    }

    function test_open_reverts_whenAllowanceIsTooSmall() external {
        vm.prank(payer.addr);
        token.approve(address(channels), DEPOSIT - 1);
        expectRefused(address(token));
    }

    function test_open_reverts_whenTokenReverts() external {
        expectRefused(fund(new RevertingToken()));
    }

    function test_open_reverts_whenTokenReturnsFalse() external {
        expectRefused(fund(new FalseReturnToken()));
    }

    function test_open_reverts_whenTokenTakesAFee() external {
        expectInexact(fund(new FeeOnTransferToken()), 0, DEPOSIT - 1);
    }

    function test_open_reverts_whenTokenMovesNothing() external {
        expectInexact(fund(new QuietToken()), 0, 0);
    }

    function test_open_reverts_whenTokenRebases() external {
        RebasingToken rebasing = new RebasingToken();
        fund(rebasing);
        rebasing.mint(address(channels), FUNDS);
        rebasing.setRebase(1);
        expectInexact(address(rebasing), FUNDS, FUNDS + DEPOSIT + 1);
        // The contract ends with less than before: a difference that wraps around must not be taken for an amount.
        // forge-lint: disable-next-line(unsafe-typecast)
        rebasing.setRebase(-int256(DEPOSIT + 1));
        expectInexact(address(rebasing), FUNDS, FUNDS - 1);
    }

    function test_open_reverts_whenTokenOpensAnotherChannelOfOneTransfer() external {
        ReenteringToken reentering = new ReenteringToken();
        fund(reentering);
        ISaltChannels.Channel memory other = channelIn(NATIVE);
        other.payer = address(reentering);
        reentering.reenter(address(channels), abi.encodeCall(channels.open, (other, 0)));

        opened(address(reentering));

        assertFalse(reentering.called());
        assertEq(reentering.answer(), abi.encodeWithSelector(ISaltChannels.Reentered.selector));
    }

    /// @dev Solidity would refuse such an argument; the call is made by hand.
    function test_open_reverts_whenFieldsHaveDirtyBits() external {
        bytes memory call = abi.encodeCall(channels.open, (channelIn(NATIVE), DEPOSIT));
        for (uint256 field = 0; field < 6; ++field) {
            bytes memory dirty = bytes.concat(call);
            // The highest byte of the field.
            dirty[4 + field * 32] = 0x01;
            vm.prank(payer.addr);
            (bool done,) = address(channels).call{value: DEPOSIT}(dirty);
            assertFalse(done);
        }
        vm.prank(payer.addr);
        (bool opened_,) = address(channels).call{value: DEPOSIT}(call);
        assertTrue(opened_);
    }

    function testFuzz_open_depositsExactlyTheAmount(ISaltChannels.Channel memory channel, uint256 amount, bool native)
        external
    {
        assumeNotForgeAddress(channel.payer);
        assumeNotPrecompile(channel.payer);
        vm.assume(channel.payer != address(0) && channel.payer != address(channels) && channel.payer.code.length == 0);
        vm.assume(channel.payee != address(0) && channel.payee != address(channels) && channel.payee != channel.payer);
        vm.assume(channel.operator != channel.payer);
        channel.asset = native ? NATIVE : address(token);
        channel.exitDelay = uint32(bound(channel.exitDelay, 15 minutes, 30 days));
        amount = bound(amount, 1, type(uint104).max);
        vm.deal(channel.payer, amount);
        token.mint(channel.payer, amount);
        vm.prank(channel.payer);
        token.approve(address(channels), amount);
        uint256 before = balanceOf(channel.asset, channel.payer);

        open(channel, amount);

        assertState(channel, amount, 0, 0, false);
        assertEq(balanceOf(channel.asset, address(channels)), amount);
        assertEq(balanceOf(channel.asset, channel.payer), before - amount);
    }

    function expectInvalidPayee(address to) private {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.payee = to;
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidPayee.selector, to));
        vm.prank(payer.addr);
        channels.open{value: DEPOSIT}(channel, DEPOSIT);
    }

    function expectInvalidDelay(uint32 delay) private {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.exitDelay = delay;
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidExitDelay.selector, delay, 15 minutes, 30 days));
        vm.prank(payer.addr);
        channels.open{value: DEPOSIT}(channel, DEPOSIT);
    }

    function expectRefused(address asset) private {
        expectRevert(
            asset,
            DEPOSIT,
            0,
            abi.encodeWithSelector(ISaltChannels.TransferRefused.selector, asset, payer.addr, DEPOSIT)
        );
    }

    function expectInexact(address asset, uint256 balanceBefore, uint256 balanceAfter) private {
        expectRevert(
            asset,
            DEPOSIT,
            0,
            abi.encodeWithSelector(ISaltChannels.InexactTransfer.selector, asset, DEPOSIT, balanceBefore, balanceAfter)
        );
    }

    function expectRevert(address asset, uint256 amount, uint256 value, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(payer.addr);
        channels.open{value: value}(channelIn(asset), amount);
    }
}
