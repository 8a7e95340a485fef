// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {BlacklistingToken} from "../mocks/BlacklistingToken.sol";
import {MoodyToken} from "../mocks/MoodyToken.sol";
import {ReenteringReceiver} from "../mocks/ReenteringReceiver.sol";
import {SaltChannelsDepositor} from "./SaltChannelsDepositor.sol";
import {Vm} from "forge-std/Vm.sol";

/// @notice Uses SaltChannels at random: opens and tops up in every way, opens again, signs, claims old and new vouchers
/// on right and wrong channels, closes, leaves, waits, reenters, and lets accounts and tokens refuse.
contract SaltChannelsHandler is SaltChannelsDepositor {
    struct Voucher {
        uint256 channel;
        uint256 ceiling;
        bytes signature;
    }

    Voucher[] private vouchers;

    constructor(ISaltChannels channels_) SaltChannelsDepositor(channels_) {}

    function open(uint256 from, uint256 to, uint256 which, uint256 salt, uint256 delay, bool keyless, uint256 amount)
        external
    {
        ISaltChannels.Channel memory channel = ISaltChannels.Channel({
            payer: accountOf(from),
            payee: accountOf(to),
            asset: assetOf(which),
            signer: keyless ? address(0) : session.addr,
            exitDelay: delay % 2 == 0 ? 15 minutes : 30 days,
            salt: bytes32(bound(salt, 0, 3))
        });
        amount = bound(amount, 0, FUNDS / 100);

        start();
        vm.prank(channel.payer);
        try channels.open{value: channel.asset == address(0) ? amount : 0}(channel, amount) {
            opened.push(channel);
        } catch {
            start();
        }
        read();
    }

    function topUp(uint256 which, uint256 amount) external {
        if (opened.length == 0) return;
        ISaltChannels.Channel memory channel = channelOf(which);
        amount = bound(amount, 0, FUNDS / 100);

        start();
        vm.prank(channel.payer);
        try channels.topUp{value: channel.asset == address(0) ? amount : 0}(channel, amount) {}
        catch {
            start();
        }
        read();
    }

    /// @dev The payer, or its session key, allows so much more.
    function signVoucher(uint256 which, uint256 more) external {
        if (opened.length == 0) return;
        which = bound(which, 0, opened.length - 1);
        ISaltChannels.Channel memory channel = opened[which];
        bytes32 id = channels.channelId(channel);
        uint256 ceiling = ghosts[id].greatestCeiling + bound(more, 0, FUNDS / 100);
        ghosts[id].greatestCeiling = ceiling;
        bytes32 digest = channels.voucherDigest(id, ceiling);
        Vm.Wallet memory signer = channel.signer == address(0) ? walletOf(channel.payer) : session;
        vouchers.push(Voucher({channel: which, ceiling: ceiling, signature: sign(signer, digest)}));
    }

    function claim(uint256 which, uint256 total) external {
        if (vouchers.length == 0) return;
        Voucher memory voucher = voucherOf(which);
        ISaltChannels.Channel memory channel = opened[voucher.channel];
        total = total % 3 == 0 ? voucher.ceiling : bound(total, 0, voucher.ceiling);

        start();
        vm.prank(channel.payee);
        try channels.claim(channel, voucher.ceiling, total, voucher.signature) {}
        catch {
            start();
        }
        read();
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

    function claimMany(uint256 first, uint256 count, bool bySignature) external {
        if (vouchers.length == 0) return;
        first = bound(first, 0, vouchers.length - 1);
        count = bound(count, 1, 4);
        ISaltChannels.Channel memory common = opened[vouchers[first].channel];

        ISaltChannels.Claim[] memory rows = new ISaltChannels.Claim[](count);
        for (uint256 i = 0; i < count; ++i) {
            // Whatever comes next: also rows of other payees and assets, which are skipped.
            Voucher memory voucher = vouchers[(first + i) % vouchers.length];
            ISaltChannels.Channel memory channel = opened[voucher.channel];
            rows[i] = ISaltChannels.Claim({
                payer: channel.payer,
                signer: channel.signer,
                exitDelay: channel.exitDelay,
                salt: channel.salt,
                ceiling: voucher.ceiling,
                total: voucher.ceiling,
                voucher: voucher.signature
            });
        }

        start();
        if (bySignature) {
            bytes memory signature =
                sign(walletOf(common.payee), channels.claimsDigest(common.payee, common.asset, rows));
            try channels.claimManyFor(common.payee, common.asset, rows, signature) {}
            catch {
                start();
            }
        } else {
            vm.prank(common.payee);
            try channels.claimMany(common.asset, rows) {}
            catch {
                start();
            }
        }
        read();
    }

    function close(uint256 which, bool bySignature) external {
        if (vouchers.length == 0) return;
        Voucher memory voucher = voucherOf(which);
        ISaltChannels.Channel memory channel = opened[voucher.channel];

        start();
        if (bySignature) {
            bytes32 digest = channels.closeDigest(channels.channelId(channel), voucher.ceiling);
            bytes memory signature = sign(walletOf(channel.payee), digest);
            try channels.closeFor(channel, voucher.ceiling, voucher.ceiling, voucher.signature, signature) {}
            catch {
                start();
            }
        } else {
            vm.prank(channel.payee);
            try channels.close(channel, voucher.ceiling, voucher.ceiling, voucher.signature) {}
            catch {
                start();
            }
        }
        read();
    }

    function requestExit(uint256 which, bool bySignature) external {
        if (opened.length == 0) return;
        ISaltChannels.Channel memory channel = channelOf(which);

        start();
        if (bySignature) {
            bytes32 id = channels.channelId(channel);
            bytes memory signature =
                sign(walletOf(channel.payer), channels.exitDigest(id, channels.stateOf(id).deposit));
            try channels.requestExitFor(channel, signature) {}
            catch {
                start();
            }
        } else {
            vm.prank(channel.payer);
            try channels.requestExit(channel) {}
            catch {
                start();
            }
        }
        read();
    }

    // forge-lint: disable-next-item(block-timestamp)
    function exit(uint256 which) external {
        if (opened.length == 0) return;
        ISaltChannels.Channel memory channel = channelOf(which);
        ISaltChannels.State memory state = channels.stateOf(channels.channelId(channel));
        bool due = !state.closed && state.exitAt != 0 && block.timestamp >= state.exitAt;

        start();
        try channels.exit(channel) {
            require(due, "an exit came too early");
        } catch {
            // A moody token alone can hold it up, by moving another amount than it was told.
            require(!due || channel.asset == assets[3], "a payer could not get out");
            start();
        }
        read();
    }

    function withdraw(uint256 from, uint256 to, uint256 which) external {
        start();
        vm.prank(accountOf(from));
        try channels.withdraw(assetOf(which), accountOf(to)) {}
        catch {
            start();
        }
        read();
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, 20 days));
    }

    function blacklist(uint256 which, bool listed) external {
        BlacklistingToken(assets[2]).setBlacklisted(accountOf(which), listed);
    }

    function changeMood(uint256 mood) external {
        // Not the last: the invariants read balances.
        MoodyToken(assets[3]).setMood(MoodyToken.Mood(bound(mood, 0, 5)));
    }

    /// @dev What the reentering account will try when it is next sent coins.
    function plan(uint256 which, uint256 what) external {
        if (opened.length == 0) return;
        ISaltChannels.Channel memory channel = channelOf(which);
        address schemer = wallets[5].addr;
        bytes memory data = abi.encodeCall(channels.exit, (channel));
        if (what % 3 == 1) data = abi.encodeCall(channels.withdraw, (channel.asset, schemer));
        if (what % 3 == 2) data = abi.encodeCall(channels.close, (channel, 0, 0, ""));
        ReenteringReceiver(payable(schemer)).reenter(address(channels), data);
    }

    /// @notice Everybody leaves, and withdraws to an account that refuses nothing. Nothing may remain.
    function leave() external {
        for (uint256 i = 0; i < wallets.length; ++i) {
            BlacklistingToken(assets[2]).setBlacklisted(wallets[i].addr, false);
        }
        MoodyToken(assets[3]).setMood(MoodyToken.Mood.Honest);

        for (uint256 i = 0; i < opened.length; ++i) {
            ISaltChannels.Channel memory channel = opened[i];
            ISaltChannels.State memory state = channels.stateOf(channels.channelId(channel));
            if (state.closed) continue;
            if (state.exitAt == 0) {
                vm.prank(channel.payer);
                channels.requestExit(channel);
            }
            vm.warp(vm.getBlockTimestamp() + 30 days);
            channels.exit(channel);
        }
        for (uint256 i = 0; i < wallets.length; ++i) {
            for (uint256 j = 0; j < assets.length; ++j) {
                if (channels.creditOf(wallets[i].addr, assets[j]) == 0) continue;
                vm.prank(wallets[i].addr);
                channels.withdraw(assets[j], address(uint160(uint256(keccak256("haven")))));
            }
        }
    }

    function voucherOf(uint256 index) private view returns (Voucher memory) {
        return vouchers[bound(index, 0, vouchers.length - 1)];
    }
}
