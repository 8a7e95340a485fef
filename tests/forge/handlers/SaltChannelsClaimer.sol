// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {SaltChannelsDepositor} from "./SaltChannelsDepositor.sol";
import {Vm} from "forge-std/Vm.sol";

/// @notice What payees and their operators do: take vouchers, claim old and new ones on right and wrong channels, one by
/// one and many at once, close, give back, and name operators. Who acts is the payee, or anybody; then it must have the right.
abstract contract SaltChannelsClaimer is SaltChannelsDepositor {
    struct Voucher {
        uint256 channel;
        uint256 ceiling;
        bytes signature;
    }

    Voucher[] private vouchers;

    /// @notice How often somebody acted for a payee without being it.
    uint256 public actedFor;

    constructor(ISaltChannels channels_) SaltChannelsDepositor(channels_) {}

    /// @dev The payer, or its session key, allows so much more.
    function signVoucher(uint256 which, uint256 more) external {
        if (opened.length == 0) return;
        which = bound(which, 0, opened.length - 1);
        ISaltChannels.Channel memory channel = opened[which];
        bytes32 id = channels.channelId(channel);
        uint256 ceiling = ghosts[id].greatestCeiling + bound(more, 0, FUNDS / 100);
        ghosts[id].greatestCeiling = ceiling;
        bytes32 digest = channels.voucherDigest(id, channel.payee, channel.asset, ceiling);
        Vm.Wallet memory signer = channel.signer == address(0) ? walletOf(channel.payer) : session;
        vouchers.push(Voucher({channel: which, ceiling: ceiling, signature: sign(signer, digest)}));
    }

    /// @param who The payee if even, or else any account.
    function claim(uint256 which, uint256 total, uint256 who) external {
        if (vouchers.length == 0) return;
        Voucher memory voucher = voucherOf(which);
        ISaltChannels.Channel memory channel = opened[voucher.channel];
        total = total % 3 == 0 ? voucher.ceiling : bound(total, 0, voucher.ceiling);
        address sender = senderFor(channel.payee, who);

        start();
        vm.prank(sender);
        try channels.claim(channel, voucher.ceiling, total, voucher.signature) {
            requireRight(sender, channel.payee, channel.operator);
            require(!isDenied(channel), "a voucher was taken that its signer denies");
            ++done[channels.claim.selector];
        } catch {
            start();
        }
        read();
    }

    /// @param who The payee if even, or else any account.
    function claimToCredit(uint256 which, uint256 who) external {
        if (vouchers.length == 0) return;
        Voucher memory voucher = voucherOf(which);
        ISaltChannels.Channel memory channel = opened[voucher.channel];
        ISaltChannels.State memory state = channels.stateOf(channels.channelId(channel));
        bool claimable =
            !state.closed && state.claimed < state.deposit && state.claimed < voucher.ceiling && !isDenied(channel);
        address sender = senderFor(channel.payee, who);

        start();
        vm.prank(sender);
        try channels.claimToCredit(channel, voucher.ceiling, voucher.ceiling, voucher.signature) {
            require(claimable, "something came of nothing");
            requireRight(sender, channel.payee, channel.operator);
            ++done[channels.claimToCredit.selector];
        } catch {
            // No token can hold this up, whatever it answers.
            require(!claimable || sender != channel.payee, "a payee could not claim");
            start();
        }
        read();
    }

    function changeMind(bool wavers_) external {
        wavers = wavers_;
        if (wavers) wavering.close();
        else wavering.reopen();
    }

    /// @dev A voucher on a channel that it was not signed for, or above its ceiling.
    function abuse(uint256 which, uint256 on, uint256 ceiling) external {
        if (vouchers.length == 0) return;
        Voucher memory voucher = voucherOf(which);
        on = bound(on, 0, opened.length - 1);
        if (on == voucher.channel) ceiling = voucher.ceiling + bound(ceiling, 1, FUNDS);
        else ceiling = voucher.ceiling;
        // The same channel may have been pushed twice only if it was opened twice, which the invariants deny.
        vm.prank(opened[on].payee);
        try channels.claim(opened[on], ceiling, ceiling, voucher.signature) {
            revert("a voucher was abused");
        } catch {}
    }

    function claimMany(uint256 first, uint256 count, bool bySignature, uint256 who) external {
        if (vouchers.length == 0) return;
        (ISaltChannels.Channel memory common, ISaltChannels.Claim[] memory rows) = rowsFrom(first, count);
        address sender = senderFor(common.payee, who);

        start();
        if (bySignature) {
            bytes memory signature =
                sign(walletOf(common.payee), channels.claimsDigest(common.payee, common.asset, rows));
            try channels.claimManyFor(common.payee, common.asset, rows, signature) returns (uint256 amount) {
                if (amount != 0) ++done[channels.claimManyFor.selector];
            } catch {
                start();
            }
        } else {
            vm.prank(sender);
            try channels.claimMany(common.payee, common.asset, rows) returns (uint256 amount) {
                requireRights(sender, common.payee, rows);
                if (amount != 0) ++done[channels.claimMany.selector];
            } catch {
                start();
            }
        }
        read();
    }

    /// @dev The rows are packed, and all are said to name the first one's operator.
    function claimRows(uint256 first, uint256 count, uint256 who) external {
        if (vouchers.length == 0) return;
        (ISaltChannels.Channel memory common, ISaltChannels.Claim[] memory rows) = rowsFrom(first, count);
        address sender = senderFor(common.payee, who);
        bytes memory packed;
        for (uint256 i = 0; i < rows.length; ++i) {
            // Deposits and ceilings are far below.
            // forge-lint: disable-next-item(unsafe-typecast)
            packed = bytes.concat(
                packed,
                abi.encodePacked(
                    rows[i].payer,
                    rows[i].signer,
                    rows[i].exitDelay,
                    rows[i].salt,
                    uint104(rows[i].ceiling),
                    uint104(rows[i].total),
                    rows[i].voucher
                )
            );
        }

        start();
        vm.prank(sender);
        try channels.claimRows(common.payee, common.asset, common.operator, packed) returns (uint256 amount) {
            requireRight(sender, common.payee, common.operator);
            if (amount != 0) ++done[channels.claimRows.selector];
        } catch {
            start();
        }
        read();
    }

    function close(uint256 which, bool bySignature, uint256 who) external {
        if (vouchers.length == 0) return;
        Voucher memory voucher = voucherOf(which);
        ISaltChannels.Channel memory channel = opened[voucher.channel];
        address sender = senderFor(channel.payee, who);

        start();
        if (bySignature) {
            uint256 deadline = vm.getBlockTimestamp();
            bytes memory signature = closeSignature(channel, voucher.ceiling, deadline);
            try channels.closeFor(channel, voucher.ceiling, voucher.ceiling, voucher.signature, deadline, signature) {
                ++done[channels.closeFor.selector];
            } catch {
                start();
            }
        } else {
            vm.prank(sender);
            try channels.close(channel, voucher.ceiling, voucher.ceiling, voucher.signature) {
                requireRight(sender, channel.payee, channel.operator);
                ++done[channels.close.selector];
            } catch {
                start();
            }
        }
        read();
    }

    function closeMany(uint256 first, uint256 count, uint256 who) external {
        if (vouchers.length == 0) return;
        (ISaltChannels.Channel memory common, ISaltChannels.Claim[] memory rows) = rowsFrom(first, count);
        address sender = senderFor(common.payee, who);

        start();
        vm.prank(sender);
        try channels.closeMany(common.payee, common.asset, rows) returns (uint256 amount) {
            requireRights(sender, common.payee, rows);
            if (amount != 0) ++done[channels.closeMany.selector];
        } catch {
            start();
        }
        read();
    }

    function refund(uint256 which, uint256 amount) external {
        if (opened.length == 0) return;
        ISaltChannels.Channel memory channel = channelOf(which);
        amount = bound(amount, 0, 2 * channels.stateOf(channels.channelId(channel)).claimed);

        start();
        vm.prank(channel.payee);
        try channels.refund{value: channel.asset == address(0) ? amount : 0}(channel, amount) {
            ++done[channels.refund.selector];
        } catch {
            start();
        }
        read();
    }

    function setOperator(uint256 payee, uint256 operator, uint256 right) external {
        start();
        vm.prank(accountOf(payee));
        try channels.setOperator(accountOf(operator), ISaltChannels.OperatorRight(bound(right, 0, 2))) {
            ++done[channels.setOperator.selector];
        } catch {
            start();
        }
        read();
    }

    /// @dev Whatever comes next to the first voucher: also rows of other payees and assets, which are skipped.
    function rowsFrom(uint256 first, uint256 count)
        private
        view
        returns (ISaltChannels.Channel memory common, ISaltChannels.Claim[] memory rows)
    {
        first = bound(first, 0, vouchers.length - 1);
        common = opened[vouchers[first].channel];
        rows = new ISaltChannels.Claim[](bound(count, 1, 4));
        for (uint256 i = 0; i < rows.length; ++i) {
            Voucher memory voucher = vouchers[(first + i) % vouchers.length];
            ISaltChannels.Channel memory channel = opened[voucher.channel];
            rows[i] = ISaltChannels.Claim({
                payer: channel.payer,
                signer: channel.signer,
                operator: channel.operator,
                exitDelay: channel.exitDelay,
                salt: channel.salt,
                ceiling: voucher.ceiling,
                total: voucher.ceiling,
                voucher: voucher.signature
            });
        }
    }

    function closeSignature(ISaltChannels.Channel memory channel, uint256 total, uint256 deadline)
        private
        returns (bytes memory)
    {
        bytes32 id = channels.channelId(channel);
        return sign(walletOf(channel.payee), channels.closeDigest(id, total, channels.stateOf(id).deposit, deadline));
    }

    /// @dev Whether vouchers of a channel are its payer's own, and the payer says no to them.
    function isDenied(ISaltChannels.Channel memory channel) private view returns (bool) {
        return wavers && channel.signer == address(0) && channel.payer == address(wavering);
    }

    function senderFor(address payee, uint256 who) private view returns (address) {
        return who % 2 == 0 ? payee : accountOf(who / 2);
    }

    function requireRights(address sender, address payee, ISaltChannels.Claim[] memory rows) private {
        for (uint256 i = 0; i < rows.length; ++i) {
            requireRight(sender, payee, rows[i].operator);
        }
    }

    function requireRight(address sender, address payee, address named) private {
        if (sender == payee) return;
        ISaltChannels.OperatorRight right = rights[payee][sender];
        if (right == ISaltChannels.OperatorRight.Named) require(sender == named, "who is not named acted");
        require(right != ISaltChannels.OperatorRight.Revoked, "who was revoked acted");
        ++actedFor;
    }

    function voucherOf(uint256 index) private view returns (Voucher memory) {
        return vouchers[bound(index, 0, vouchers.length - 1)];
    }
}
