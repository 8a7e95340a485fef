// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {PoliteToken} from "../mocks/PoliteToken.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {Splitter} from "../mocks/Splitter.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

/// @notice Who can claim and close for a payee, beside it. Whoever it is, the payee gets the money.
contract SaltChannels_operator is SaltChannelsTest {
    address private operator = makeAddr("operator");
    ISaltChannels.Claim[] private rows;

    function test_operator_claimsForThePayee_whereTheChannelNamesIt() external {
        ISaltChannels.Channel memory channel = naming(operator, 1);
        bytes memory voucher = voucherOf(channel, 1 ether);

        vm.prank(operator);
        assertEq(channels.claim(channel, 1 ether, 1 ether, voucher), 1 ether);
        assertEq(payee.addr.balance, 1 ether);
        assertEq(operator.balance, 0);
    }

    function test_operator_closesForThePayee_whereTheChannelNamesIt() external {
        ISaltChannels.Channel memory channel = naming(operator, 1);
        bytes memory voucher = voucherOf(channel, 1 ether);

        vm.prank(operator);
        channels.close(channel, 1 ether, 1 ether, voucher);
        assertEq(payee.addr.balance, 1 ether);
        assertEq(payer.addr.balance, FUNDS - 1 ether);
        assertEq(operator.balance, 0);
    }

    function test_operator_claimsAndClosesManyForThePayee_whereTheChannelsNameIt() external {
        rows.push(rowOf(naming(operator, 1), 1 ether));
        rows.push(rowOf(naming(operator, 2), 2 ether));
        vm.startPrank(operator);
        assertEq(channels.claimMany(payee.addr, NATIVE, rows), 3 ether);
        assertEq(channels.closeMany(payee.addr, NATIVE, rows), 0);
        vm.stopPrank();

        assertEq(payee.addr.balance, 3 ether);
        assertEq(payer.addr.balance, FUNDS - 3 ether);
    }

    function test_operator_claimsPackedRowsForThePayee_whereTheChannelsNameIt() external {
        bytes memory packedRows =
            bytes.concat(packed(rowOf(naming(operator, 1), 1 ether)), packed(rowOf(naming(operator, 2), 2 ether)));
        vm.prank(operator);
        assertEq(channels.claimRows(payee.addr, NATIVE, operator, packedRows), 3 ether);
        assertEq(payee.addr.balance, 3 ether);
    }

    function test_operator_isNobody_whereTheChannelNamesAnother() external {
        expectNoRight(operator, naming(anyone, 1));
        expectNoRight(operator, naming(address(0), 2));
    }

    /// @dev The payer wrote the name down, and the payee can say that it does not hold.
    function test_operator_isNobody_onceThePayeeHasRevokedIt() external {
        ISaltChannels.Channel memory channel = naming(operator, 1);
        setOperator(operator, ISaltChannels.OperatorRight.Revoked);
        expectNoRight(operator, channel);

        setOperator(operator, ISaltChannels.OperatorRight.Named);
        claimAs(operator, channel, 1 ether);
    }

    function test_operator_claimsOfAllChannels_onceThePayeeSaysSo() external {
        ISaltChannels.Channel memory nobodys = naming(address(0), 1);
        ISaltChannels.Channel memory anothers = naming(anyone, 2);
        setOperator(operator, ISaltChannels.OperatorRight.All);

        claimAs(operator, nobodys, 1 ether);
        claimAs(operator, anothers, 1 ether);
        rows.push(rowOf(nobodys, 2 ether));
        rows.push(rowOf(anothers, 2 ether));
        vm.startPrank(operator);
        assertEq(channels.claimMany(payee.addr, NATIVE, rows), 2 ether);
        assertEq(channels.claimRows(payee.addr, NATIVE, anyone, packed(rowOf(anothers, 3 ether))), 1 ether);
        channels.closeMany(payee.addr, NATIVE, rows);
        vm.stopPrank();
        assertTrue(stateOf(nobodys).closed && stateOf(anothers).closed);
        assertEq(payee.addr.balance, 5 ether);
    }

    function test_operator_isOfOnePayeeAlone() external {
        setOperator(operator, ISaltChannels.OperatorRight.All);
        ISaltChannels.Channel memory others = naming(address(0), 1);
        others.payee = anyone;
        open(others, DEPOSIT);
        expectNoRight(operator, others);
    }

    /// @dev One row that names another is the caller's mistake, and the whole is refused.
    function test_operator_isRefusedForAllRows_whenOneNamesAnother() external {
        rows.push(rowOf(naming(operator, 1), 1 ether));
        rows.push(rowOf(naming(anyone, 2), 1 ether));
        bytes memory reason = abi.encodeWithSelector(ISaltChannels.NotPayee.selector, operator, payee.addr);

        vm.expectRevert(reason);
        vm.prank(operator);
        channels.claimMany(payee.addr, NATIVE, rows);
        vm.expectRevert(reason);
        vm.prank(operator);
        channels.closeMany(payee.addr, NATIVE, rows);
    }

    /// @dev The operator is part of the identifier: naming oneself names other channels.
    function test_operator_getsNothing_whenItNamesItselfInAnothersRow() external {
        ISaltChannels.Channel memory channel = naming(address(0), 1);
        ISaltChannels.Claim memory row = rowOf(channel, 1 ether);
        row.operator = operator;
        rows.push(row);
        channel.operator = operator;

        vm.startPrank(operator);
        assertEq(channels.claimMany(payee.addr, NATIVE, rows), 0);
        assertEq(channels.claimRows(payee.addr, NATIVE, operator, packed(row)), 0);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.ChannelNotOpen.selector, channels.channelId(channel)));
        channels.claim(channel, 1 ether, 1 ether, row.voucher);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.ChannelNotOpen.selector, channels.channelId(channel)));
        channels.close(channel, 0, 0, NO_SIGNATURE);
        vm.stopPrank();
        assertEq(payee.addr.balance, 0);
    }

    /// @dev What is credited is the payee's, and the operator cannot withdraw it.
    function test_operator_hasNoPartInTheCredit() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.payee = address(new RefusingReceiver());
        channel.operator = operator;
        open(channel, DEPOSIT);
        claimAs(operator, channel, 1 ether);

        assertEq(channels.creditOf(channel.payee, NATIVE), 1 ether);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.NoCredit.selector, operator, NATIVE));
        vm.prank(operator);
        channels.withdraw(NATIVE, operator);
    }

    /// @dev The payee cannot call, and the token says false of it. Else the payer would leave with what it signed away.
    function test_operator_creditsThePayee() external {
        PoliteToken polite = new PoliteToken();
        fund(polite);
        ISaltChannels.Channel memory channel = channelIn(address(polite));
        channel.payee = address(new Splitter());
        channel.operator = operator;
        open(channel, DEPOSIT);
        polite.setRefused(channel.payee, true);
        bytes memory voucher = voucherOf(channel, 5 ether);

        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.UnclearTransfer.selector, polite, channel.payee, 5 ether));
        channels.claim(channel, 5 ether, 5 ether, voucher);
        vm.expectEmit(address(channels));
        emit ISaltChannels.Credited(channel.payee, address(polite), 5 ether);
        assertEq(channels.claimToCredit(channel, 5 ether, 5 ether, voucher), 5 ether);
        vm.stopPrank();
        assertEq(channels.creditOf(operator, address(polite)), 0);

        awaitExit(channel);
        channels.exit(channel);
        assertEq(polite.balanceOf(payer.addr), FUNDS - 5 ether);
        polite.setRefused(channel.payee, false);
        channels.withdrawFor(channel.payee, address(polite));
        assertEq(polite.balanceOf(channel.payee), 5 ether);
    }

    /// @dev A node that is not told who calls says zero, and a channel without an operator names zero.
    function test_operator_isNotTheZeroSender() external {
        expectNoRight(address(0), naming(address(0), 1));
    }

    function test_operator_cannotRefund() external {
        ISaltChannels.Channel memory channel = naming(operator, 1);
        claimAs(operator, channel, 1 ether);
        bytes memory reason = abi.encodeWithSelector(ISaltChannels.NotPayee.selector, operator, payee.addr);
        vm.deal(operator, 1 ether);

        vm.startPrank(operator);
        vm.expectRevert(reason);
        channels.refund{value: 1}(channel, 1);
        vm.stopPrank();
    }

    function test_setOperator_saysSo() external {
        assertEq(rightOf(operator), uint256(ISaltChannels.OperatorRight.Named));
        vm.expectEmit(address(channels));
        emit ISaltChannels.OperatorSet(payee.addr, operator, ISaltChannels.OperatorRight.All);
        setOperator(operator, ISaltChannels.OperatorRight.All);

        assertEq(rightOf(operator), uint256(ISaltChannels.OperatorRight.All));
        assertEq(uint256(channels.operatorRight(operator, payee.addr)), 0);
    }

    function test_setOperator_reverts_whenItIsZeroOrThePayee() external {
        vm.startPrank(payee.addr);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidOperator.selector, address(0)));
        channels.setOperator(address(0), ISaltChannels.OperatorRight.All);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidOperator.selector, payee.addr));
        channels.setOperator(payee.addr, ISaltChannels.OperatorRight.Revoked);
        vm.stopPrank();
    }

    /// @dev For every caller, name and right: it acts exactly where it is the payee, has all, or is named and not revoked.
    function testFuzz_operator_actsWhereItMay(uint256 caller, uint256 named, uint256 right) external {
        address[4] memory accounts = [payee.addr, operator, anyone, session.addr];
        address sender = accounts[caller % 4];
        address name = accounts[named % 4];
        ISaltChannels.OperatorRight given = ISaltChannels.OperatorRight(right % 3);
        setOperator(operator, given);
        ISaltChannels.Channel memory channel = naming(name, 1);
        bytes memory voucher = voucherOf(channel, 1 ether);

        bool may = sender == payee.addr || (sender == name && sender != operator)
            || (sender == operator
                && (given == ISaltChannels.OperatorRight.All
                    || (given == ISaltChannels.OperatorRight.Named && name == operator)));
        if (!may) {
            expectNoRight(sender, channel);
        } else {
            vm.prank(sender);
            assertEq(channels.claim(channel, 1 ether, 1 ether, voucher), 1 ether);
        }
    }

    function naming(address name, uint256 salt) private returns (ISaltChannels.Channel memory channel) {
        channel = channelIn(NATIVE);
        channel.operator = name;
        channel.salt = bytes32(salt);
        open(channel, DEPOSIT);
    }

    function setOperator(address account, ISaltChannels.OperatorRight right) private {
        vm.prank(payee.addr);
        channels.setOperator(account, right);
    }

    function rightOf(address account) private view returns (uint256) {
        return uint256(channels.operatorRight(payee.addr, account));
    }

    function claimAs(address sender, ISaltChannels.Channel memory channel, uint256 total) private {
        bytes memory voucher = voucherOf(channel, total);
        vm.prank(sender);
        channels.claim(channel, total, total, voucher);
    }

    /// @dev In each of the six functions.
    function expectNoRight(address sender, ISaltChannels.Channel memory channel) private {
        ISaltChannels.Claim[] memory row = new ISaltChannels.Claim[](1);
        row[0] = rowOf(channel, 1 ether);
        bytes memory reason = abi.encodeWithSelector(ISaltChannels.NotPayee.selector, sender, channel.payee);

        vm.startPrank(sender);
        vm.expectRevert(reason);
        channels.claim(channel, 1 ether, 1 ether, row[0].voucher);
        vm.expectRevert(reason);
        channels.claimToCredit(channel, 1 ether, 1 ether, row[0].voucher);
        vm.expectRevert(reason);
        channels.close(channel, 1 ether, 1 ether, row[0].voucher);
        vm.expectRevert(reason);
        channels.claimMany(channel.payee, NATIVE, row);
        vm.expectRevert(reason);
        channels.closeMany(channel.payee, NATIVE, row);
        vm.expectRevert(reason);
        channels.claimRows(channel.payee, NATIVE, channel.operator, packed(row[0]));
        vm.stopPrank();
        assertState(channel, DEPOSIT, 0, 0, false);
    }
}
