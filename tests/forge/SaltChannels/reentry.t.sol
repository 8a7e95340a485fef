// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {ReenteringReceiver} from "../mocks/ReenteringReceiver.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

/// @notice While one function of SaltChannels moves money, none that writes can be called, whatever it would do.
contract SaltChannels_reentry is SaltChannelsTest {
    ReenteringReceiver private receiver;
    ISaltChannels.Channel private channel;
    bytes[] private calls;

    function setUp() public override {
        super.setUp();
        receiver = new ReenteringReceiver();
        channel = channelIn(NATIVE);
        channel.payee = address(receiver);
        open(channel, DEPOSIT);

        ISaltChannels.Claim[] memory none = new ISaltChannels.Claim[](0);
        calls.push(abi.encodeCall(channels.open, (channel, 0)));
        calls.push(abi.encodeCall(channels.topUp, (channel, 0)));
        calls.push(abi.encodeCall(channels.depositFor, (channel, 0, 0, 0, "")));
        calls.push(abi.encodeCall(channels.depositWithPermit, (channel, 0, 0, 0, "", 0, 0, 0)));
        calls.push(abi.encodeCall(channels.depositWithAuthorization, (channel, 0, 0, 0, 0, 0, 0, 0)));
        calls.push(abi.encodeCall(channels.depositWithWalletAuthorization, (channel, 0, 0, 0, 0, "")));
        calls.push(abi.encodeCall(channels.depositWithPermit2, (channel, 0, 0, 0, 0, "")));
        calls.push(abi.encodeCall(channels.claim, (channel, 0, 0, "")));
        calls.push(abi.encodeCall(channels.claimMany, (address(receiver), NATIVE, none)));
        calls.push(abi.encodeCall(channels.claimManyFor, (address(receiver), NATIVE, none, "")));
        calls.push(abi.encodeCall(channels.close, (channel, 0, 0, "")));
        calls.push(abi.encodeCall(channels.closeFor, (channel, 0, 0, "", 0, "")));
        calls.push(abi.encodeCall(channels.closeMany, (address(receiver), NATIVE, none)));
        calls.push(abi.encodeCall(channels.claimRows, (address(receiver), NATIVE, address(0), "")));
        calls.push(abi.encodeCall(channels.claimToCredit, (channel, 0, 0, "")));
        calls.push(abi.encodeCall(channels.refund, (channel, 0)));
        calls.push(abi.encodeCall(channels.setOperator, (anyone, ISaltChannels.OperatorRight.All)));
        calls.push(abi.encodeCall(channels.requestExit, (channel)));
        calls.push(abi.encodeCall(channels.requestExitFor, (channel, 0, "")));
        calls.push(abi.encodeCall(channels.exit, (channel)));
        calls.push(abi.encodeCall(channels.exitToCredit, (channel)));
        calls.push(abi.encodeCall(channels.exitMany, (new ISaltChannels.Channel[](0))));
        calls.push(abi.encodeCall(channels.withdraw, (NATIVE, address(receiver))));
        calls.push(abi.encodeCall(channels.withdrawFor, (address(receiver), NATIVE)));
    }

    function test_reentry_isRefusedByEveryFunctionThatWrites() external {
        for (uint256 i = 0; i < calls.length; ++i) {
            receiver.reenter(address(channels), calls[i]);

            claim(channel, (i + 1) * 0.1 ether);

            assertFalse(receiver.called());
            assertEq(receiver.answer(), abi.encodeWithSelector(ISaltChannels.Reentered.selector));
            assertEq(address(receiver).balance, (i + 1) * 0.1 ether);
        }
        assertState(channel, DEPOSIT, calls.length * 0.1 ether, 0, false);
    }

    /// @dev Outside of another call, none of them says so: it was the guard that refused them.
    function test_reentry_isNoMatterOfTheCallsThemselves() external {
        for (uint256 i = 0; i < calls.length; ++i) {
            // What it answers is what is looked at.
            // forge-lint: disable-next-line(unchecked-call)
            (, bytes memory answer) = address(channels).call(calls[i]);
            assertNotEq(answer, abi.encodeWithSelector(ISaltChannels.Reentered.selector));
        }
    }
}
