// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {ContractWallet} from "../mocks/ContractWallet.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

contract SaltChannels_claimRows is SaltChannelsTest {
    uint256 private constant ROW = 167;

    bytes private rows;

    function test_claimRows_paysAllInOneTransfer() external {
        ISaltChannels.Channel memory first = salted(address(token), 1);
        ISaltChannels.Channel memory second = salted(address(token), 2);
        push(rowOf(first, 1 ether));
        push(rowOf(second, 2 ether));
        assertEq(rows.length, 2 * ROW);

        vm.expectCall(address(token), abi.encodeCall(token.transfer, (payee.addr, 3 ether)), 1);
        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelClaimed(channels.channelId(first), 1 ether, 1 ether);
        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelClaimed(channels.channelId(second), 2 ether, 2 ether);
        assertEq(claimRows(address(token)), 3 ether);

        assertState(first, DEPOSIT, 1 ether, 0, false);
        assertState(second, DEPOSIT, 2 ether, 0, false);
        assertEq(token.balanceOf(payee.addr), 3 ether);
    }

    function test_claimRows_doesNothing_whenThereAreNoRows() external {
        vm.recordLogs();
        assertEq(claimRows(NATIVE), 0);
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_claimRows_reverts_whenAByteIsMissingOrTooMany() external {
        push(rowOf(salted(NATIVE, 1), 1 ether));
        bytes memory row = rows;

        for (uint256 length = 1; length <= 2 * ROW; ++length) {
            if (length % ROW == 0) continue;
            bytes memory cut = new bytes(length);
            for (uint256 i = 0; i < length; ++i) {
                cut[i] = row[i % ROW];
            }
            vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidRows.selector, length));
            vm.prank(payee.addr);
            channels.claimRows(payee.addr, NATIVE, address(0), cut);
        }
    }

    function test_claimRows_tellsWhatItSkips() external {
        ISaltChannels.Channel memory stale = salted(NATIVE, 1);
        claim(stale, 2 ether);
        ISaltChannels.Channel memory closed = salted(NATIVE, 2);
        close(closed, 1 ether);
        ISaltChannels.Channel memory unknown = channelIn(NATIVE);
        ISaltChannels.Channel memory unsigned_ = keyless(address(new ContractWallet(anyone)));
        push(rowOf(stale, 1 ether));
        push(rowOf(closed, 5 ether));
        push(rowOf(unknown, 1 ether));
        push(rowOf(unsigned_, 1 ether));
        push(rowOf(salted(NATIVE, 3), 1 ether));

        expectSkipped(stale, ISaltChannels.SkipReason.NothingToClaim);
        expectSkipped(closed, ISaltChannels.SkipReason.NotOpen);
        expectSkipped(unknown, ISaltChannels.SkipReason.NotOpen);
        expectSkipped(unsigned_, ISaltChannels.SkipReason.NotSigned);
        assertEq(claimRows(NATIVE), 1 ether);
    }

    function test_claimRows_paysWhatThePayersKeyOrItsWalletSigned() external {
        ISaltChannels.Channel memory keys = keyless(payer.addr);
        ISaltChannels.Claim memory row = rowOf(keys, 1 ether);
        row.voucher = sign(payer, voucherDigest(keys, 1 ether));
        push(row);
        push(rowOf(keyless(address(new ContractWallet(session.addr))), 2 ether));

        assertEq(claimRows(NATIVE), 3 ether);
    }

    function test_claimRows_reverts_whenTheNamedKeyDidNotSign() external {
        ISaltChannels.Channel memory channel = salted(NATIVE, 1);
        ISaltChannels.Claim memory row = rowOf(channel, 1 ether);
        bytes32 digest = voucherDigest(channel, 1 ether);
        row.voucher = sign(payer, digest);
        push(rowOf(salted(NATIVE, 2), 1 ether));
        push(row);

        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidSignature.selector, session.addr, digest));
        vm.prank(payee.addr);
        channels.claimRows(payee.addr, NATIVE, address(0), rows);
    }

    /// @dev ecrecover answers nothing for what is no signature. That is nobody's key, and not the zero address's.
    function test_claimRows_skipsWhatIsNoSignature_whenNoSignerIsNamed() external {
        ISaltChannels.Channel memory channel = keyless(payer.addr);
        ISaltChannels.Claim memory row = rowOf(channel, 1 ether);
        row.voucher = new bytes(65);
        push(row);

        expectSkipped(channel, ISaltChannels.SkipReason.NotSigned);
        assertEq(claimRows(NATIVE), 0);
    }

    function test_claimRows_reverts_whenTheSignatureHasAHighS() external {
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        ISaltChannels.Channel memory channel = salted(NATIVE, 1);
        ISaltChannels.Claim memory row = rowOf(channel, 1 ether);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(session, voucherDigest(channel, 1 ether));
        row.voucher = abi.encodePacked(r, bytes32(order - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        push(row);

        vm.expectPartialRevert(ISaltChannels.InvalidSignature.selector);
        vm.prank(payee.addr);
        channels.claimRows(payee.addr, NATIVE, address(0), rows);
    }

    function test_claimRows_reverts_whenATotalIsAboveItsCeiling() external {
        ISaltChannels.Channel memory channel = salted(NATIVE, 1);
        ISaltChannels.Claim memory row = rowOf(channel, 1 ether);
        row.total += 1;
        push(row);

        vm.expectRevert(
            abi.encodeWithSelector(
                ISaltChannels.AboveCeiling.selector, channels.channelId(channel), 1 ether + 1, 1 ether
            )
        );
        vm.prank(payee.addr);
        channels.claimRows(payee.addr, NATIVE, address(0), rows);
    }

    function test_claimRows_takesTheGreatestAmountsThatFit() external {
        vm.deal(payer.addr, type(uint104).max);
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        open(channel, type(uint104).max);
        push(rowOf(channel, type(uint104).max));

        assertEq(claimRows(NATIVE), type(uint104).max);
        assertEq(payee.addr.balance, type(uint104).max);
    }

    /// @dev Of whatever fields: a packed row is of the channel that the unpacked one is of, and pays the same.
    function testFuzz_claimRows_paysAsClaimManyWould(
        address[3] memory payers,
        uint32[3] memory delays,
        bytes32[3] memory salts,
        uint256[3] memory totals,
        address operator
    ) external {
        ISaltChannels.Claim[] memory claims = new ISaltChannels.Claim[](3);
        for (uint256 i = 0; i < 3; ++i) {
            ISaltChannels.Channel memory channel = channelIn(NATIVE);
            channel.payer = address(uint160(bound(uint160(payers[i]), 1 << 32, type(uint160).max)));
            channel.operator = operator;
            channel.exitDelay = uint32(bound(delays[i], 15 minutes, 30 days));
            channel.salt = salts[i];
            vm.assume(channel.payer != payee.addr && channel.payer != operator && channel.payer.code.length == 0);
            vm.assume(stateOf(channel).deposit == 0);
            vm.deal(channel.payer, DEPOSIT);
            open(channel, DEPOSIT);
            claims[i] = rowOf(channel, bound(totals[i], 0, 2 * DEPOSIT));
            rows = bytes.concat(rows, packed(claims[i]));
        }
        uint256 before = vm.snapshotState();
        vm.recordLogs();
        vm.prank(payee.addr);
        uint256 unpacked = channels.claimMany(payee.addr, NATIVE, claims);
        bytes32 told = keccak256(abi.encode(vm.getRecordedLogs()));
        bytes memory packedRows = rows;
        vm.revertToState(before);

        vm.recordLogs();
        vm.prank(payee.addr);
        assertEq(channels.claimRows(payee.addr, NATIVE, operator, packedRows), unpacked);
        assertEq(keccak256(abi.encode(vm.getRecordedLogs())), told);
        assertEq(payee.addr.balance, unpacked);
    }

    /// @dev Whatever bit of a good row is changed, it pays nothing that was not signed.
    function testFuzz_claimRows_paysNothing_whenAnyBitIsChanged(uint256 bit) external {
        ISaltChannels.Channel memory channel = salted(NATIVE, 1);
        bytes memory row = packed(rowOf(channel, 1 ether));
        bit = bound(bit, 0, ROW * 8 - 1);
        row[bit / 8] ^= bytes1(uint8(2 ** (bit % 8)));

        vm.prank(payee.addr);
        try channels.claimRows(payee.addr, NATIVE, address(0), row) returns (uint256 amount) {
            // A lower total is what the payee may want.
            assertLe(amount, 1 ether);
            assertTrue(amount == 0 || (bit / 8 >= 89 && bit / 8 < 102));
        } catch {}
        assertLe(payee.addr.balance, 1 ether);
    }

    function push(ISaltChannels.Claim memory row) private {
        rows = bytes.concat(rows, packed(row));
    }

    function claimRows(address asset) private returns (uint256) {
        vm.prank(payee.addr);
        return channels.claimRows(payee.addr, asset, address(0), rows);
    }

    function expectSkipped(ISaltChannels.Channel memory channel, ISaltChannels.SkipReason reason) private {
        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelSkipped(channels.channelId(channel), reason);
    }
}
