// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {HungryReceiver} from "../mocks/HungryReceiver.sol";
import {MoodyToken} from "../mocks/MoodyToken.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {Splitter} from "../mocks/Splitter.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

/// @notice Credit is sent to whom it belongs, whoever asks for it.
contract SaltChannels_withdrawFor is SaltChannelsTest {
    MoodyToken private moody;
    address private splitter;

    function setUp() public override {
        super.setUp();
        moody = new MoodyToken();
        fund(moody);
        splitter = address(new Splitter());
    }

    /// @dev It can take money, and cannot call `withdraw`. What its operator claimed while the token refused is not lost.
    function test_withdrawFor_paysASplitterThatWasCredited() external {
        credit(address(moody), splitter);
        assertEq(channels.creditOf(splitter, address(moody)), 1 ether);

        vm.expectEmit(address(channels));
        emit ISaltChannels.CreditWithdrawn(splitter, address(moody), splitter, 1 ether);
        vm.prank(anyone);
        channels.withdrawFor(splitter, address(moody));

        assertEq(moody.balanceOf(splitter), 1 ether);
        assertEq(moody.balanceOf(anyone), 0);
        assertEq(channels.creditOf(splitter, address(moody)), 0);
    }

    function test_withdrawFor_paysNativeCoins() external {
        credit(NATIVE, splitter);
        vm.prank(anyone);
        channels.withdrawFor(splitter, NATIVE);
        assertEq(splitter.balance, 1 ether);
    }

    /// @dev More than it has when it is paid.
    function test_withdrawFor_givesAllTheGasThatIsLeft() external {
        credit(NATIVE, splitter);
        vm.etch(splitter, address(new HungryReceiver(150_000)).code);
        vm.prank(anyone);
        channels.withdrawFor(splitter, NATIVE);
        assertEq(splitter.balance, 1 ether);
    }

    function test_withdrawFor_reverts_whenThereIsNoCredit() external {
        credit(address(moody), splitter);
        expectNoCredit(anyone, address(moody));
        expectNoCredit(splitter, NATIVE);
        channels.withdrawFor(splitter, address(moody));
        expectNoCredit(splitter, address(moody));
    }

    function test_withdrawFor_reverts_whenTheAccountRefuses() external {
        credit(NATIVE, splitter);
        vm.etch(splitter, address(new RefusingReceiver()).code);
        expectRefused(NATIVE);
    }

    function test_withdrawFor_reverts_whenTheTokenStillRefuses() external {
        credit(address(moody), splitter);
        moody.setMood(MoodyToken.Mood.Refuses);
        expectRefused(address(moody));
        moody.setMood(MoodyToken.Mood.SaysFalse);
        expectRefused(address(moody));
    }

    /// @dev The operator claims what cannot be sent at that time.
    function credit(address asset, address to) private {
        ISaltChannels.Channel memory channel = channelIn(asset);
        channel.payee = to;
        channel.operator = anyone;
        open(channel, DEPOSIT);
        bytes memory code = to.code;
        vm.etch(to, address(new RefusingReceiver()).code);
        moody.setMood(MoodyToken.Mood.Refuses);
        bytes memory voucher = voucherOf(channel, 1 ether);
        vm.prank(anyone);
        channels.claim(channel, 1 ether, 1 ether, voucher);
        vm.etch(to, code);
        moody.setMood(MoodyToken.Mood.Honest);
    }

    function expectNoCredit(address account, address asset) private {
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.NoCredit.selector, account, asset));
        channels.withdrawFor(account, asset);
    }

    function expectRefused(address asset) private {
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.WithdrawalRefused.selector, asset, splitter, 1 ether));
        vm.prank(anyone);
        channels.withdrawFor(splitter, asset);
        assertEq(channels.creditOf(splitter, asset), 1 ether);
    }
}
