// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {BlacklistingToken} from "../mocks/BlacklistingToken.sol";
import {GrabbingToken} from "../mocks/GrabbingToken.sol";
import {ReenteringReceiver} from "../mocks/ReenteringReceiver.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {WalletReceiver} from "../mocks/WalletReceiver.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

contract SaltChannels_withdraw is SaltChannelsTest {
    address private refuser;

    function setUp() public override {
        super.setUp();
        refuser = address(new RefusingReceiver());
    }

    function test_withdraw_sendsTheCreditAnywhere() external {
        credit(1 ether);

        vm.expectEmit(address(channels));
        emit ISaltChannels.CreditWithdrawn(refuser, NATIVE, anyone, 1 ether);
        vm.prank(refuser);
        channels.withdraw(NATIVE, anyone);

        assertEq(anyone.balance, 1 ether);
        assertEq(channels.creditOf(refuser, NATIVE), 0);
    }

    function test_withdraw_sendsToAWalletThatNeedsGas() external {
        credit(1 ether);
        address wallet = address(new WalletReceiver());
        vm.prank(refuser);
        channels.withdraw(NATIVE, wallet);
        assertEq(wallet.balance, 1 ether);
    }

    function test_withdraw_sendsTokensPastTheBlacklist() external {
        BlacklistingToken listing = new BlacklistingToken();
        ISaltChannels.Channel memory channel = opened(fund(listing));
        listing.setBlacklisted(payee.addr, true);
        claim(channel, 1 ether);

        vm.prank(payee.addr);
        channels.withdraw(address(listing), anyone);
        assertEq(listing.balanceOf(anyone), 1 ether);
    }

    function test_withdraw_reverts_whenThereIsNoCredit() external {
        expectNoCredit(anyone, NATIVE);
        credit(1 ether);
        expectNoCredit(anyone, NATIVE);
        expectNoCredit(refuser, address(token));
        vm.prank(refuser);
        channels.withdraw(NATIVE, anyone);
        expectNoCredit(refuser, NATIVE);
    }

    function test_withdraw_reverts_whenTheRecipientRefuses() external {
        credit(1 ether);
        expectRefused(refuser);
        assertEq(channels.creditOf(refuser, NATIVE), 1 ether);
    }

    function test_withdraw_reverts_whenTheRecipientIsZeroOrTheContract() external {
        credit(1 ether);
        expectRefused(address(0));
        expectRefused(address(channels));
    }

    function test_withdraw_paysOnce_whenTheRecipientReenters() external {
        ReenteringReceiver receiver = new ReenteringReceiver();
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.payee = address(receiver);
        open(channel, DEPOSIT);
        vm.etch(address(receiver), refuser.code);
        claim(channel, 1 ether);
        vm.etch(address(receiver), address(new ReenteringReceiver()).code);
        receiver.reenter(address(channels), abi.encodeCall(channels.withdraw, (NATIVE, address(receiver))));

        vm.prank(address(receiver));
        channels.withdraw(NATIVE, address(receiver));

        assertEq(receiver.answer(), abi.encodeWithSelector(ISaltChannels.Reentered.selector));
        assertEq(address(receiver).balance, 1 ether);
    }

    /// @dev What a token does beside what it says is between it and those who use it.
    function test_withdraw_believesATokenThatSaysTrue() external {
        GrabbingToken grabbing = new GrabbingToken();
        ISaltChannels.Channel memory channel = opened(fund(grabbing));
        bytes memory voucher = voucherOf(channel, 1 ether);
        vm.startPrank(payee.addr);
        channels.claimToCredit(channel, 1 ether, 1 ether, voucher);
        grabbing.setMore(0.5 ether);
        channels.withdraw(address(grabbing), payee.addr);
        vm.stopPrank();
        assertEq(grabbing.balanceOf(payee.addr), 1 ether);
        assertEq(channels.creditOf(payee.addr, address(grabbing)), 0);
    }

    function test_withdraw_reverts_whileTheTokenIsGone() external {
        ISaltChannels.Channel memory channel = opened(address(token));
        bytes memory voucher = voucherOf(channel, 1 ether);
        vm.prank(payee.addr);
        channels.claimToCredit(channel, 1 ether, 1 ether, voucher);
        bytes memory code = address(token).code;
        vm.etch(address(token), "");

        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidAsset.selector, token));
        vm.prank(payee.addr);
        channels.withdraw(address(token), payee.addr);

        vm.etch(address(token), code);
        vm.prank(payee.addr);
        channels.withdraw(address(token), payee.addr);
        assertEq(token.balanceOf(payee.addr), 1 ether);
    }

    function credit(uint256 amount) private {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.payee = refuser;
        open(channel, DEPOSIT);
        claim(channel, amount);
    }

    function expectNoCredit(address account, address asset) private {
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.NoCredit.selector, account, asset));
        vm.prank(account);
        channels.withdraw(asset, anyone);
    }

    function expectRefused(address to) private {
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.WithdrawalRefused.selector, NATIVE, to, 1 ether));
        vm.prank(refuser);
        channels.withdraw(NATIVE, to);
    }
}
