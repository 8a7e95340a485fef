// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {BlacklistingToken} from "../mocks/BlacklistingToken.sol";
import {MoodyToken} from "../mocks/MoodyToken.sol";
import {ReenteringReceiver} from "../mocks/ReenteringReceiver.sol";
import {SaltChannelsClaimer} from "./SaltChannelsClaimer.sol";

/// @notice Uses SaltChannels at random: opens and tops up in every way, opens again, leaves, waits, reenters, and lets
/// accounts and tokens refuse; and what {SaltChannelsClaimer} does.
contract SaltChannelsHandler is SaltChannelsClaimer {
    constructor(ISaltChannels channels_) SaltChannelsClaimer(channels_) {}

    /// @param naming The operator that the channel names, or nobody.
    function open(
        uint256 from,
        uint256 to,
        uint256 which,
        uint256 salt,
        uint256 delay,
        bool keyless,
        uint256 naming,
        uint256 amount
    ) external {
        ISaltChannels.Channel memory channel = ISaltChannels.Channel({
            payer: accountOf(from),
            payee: accountOf(to),
            asset: assetOf(which),
            signer: keyless ? address(0) : session.addr,
            operator: naming % 2 == 0 ? address(0) : accountOf(naming / 2),
            exitDelay: delay % 2 == 0 ? 15 minutes : 30 days,
            salt: bytes32(bound(salt, 0, 3))
        });
        amount = bound(amount, 0, FUNDS / 100);

        start();
        vm.prank(channel.payer);
        try channels.open{value: channel.asset == address(0) ? amount : 0}(channel, amount) {
            opened.push(channel);
            ++done[channels.open.selector];
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
        try channels.topUp{value: channel.asset == address(0) ? amount : 0}(channel, amount) {
            ++done[channels.topUp.selector];
        } catch {
            start();
        }
        read();
    }

    function requestExit(uint256 which, bool bySignature) external {
        if (opened.length == 0) return;
        ISaltChannels.Channel memory channel = channelOf(which);

        start();
        if (bySignature) {
            bytes32 id = channels.channelId(channel);
            uint256 deadline = vm.getBlockTimestamp();
            bytes32 digest = channels.exitDigest(id, channels.stateOf(id).deposit, deadline);
            bytes memory signature = sign(walletOf(channel.payer), digest);
            try channels.requestExitFor(channel, deadline, signature) {
                ++done[channels.requestExitFor.selector];
            } catch {
                start();
            }
        } else {
            vm.prank(channel.payer);
            try channels.requestExit(channel) {
                ++done[channels.requestExit.selector];
            } catch {
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
            ++done[channels.exit.selector];
        } catch {
            // A moody token alone can hold it up, by an answer that nobody understands.
            require(!due || channel.asset == assets[3], "a payer could not get out");
            start();
        }
        read();
    }

    /// @dev No token can hold this up, whatever it answers.
    // forge-lint: disable-next-item(block-timestamp)
    function exitToCredit(uint256 which) external {
        if (opened.length == 0) return;
        ISaltChannels.Channel memory channel = channelOf(which);
        ISaltChannels.State memory state = channels.stateOf(channels.channelId(channel));
        bool due = !state.closed && state.exitAt != 0 && block.timestamp >= state.exitAt;

        start();
        vm.prank(channel.payer);
        try channels.exitToCredit(channel) {
            require(due, "an exit came too early");
            ++done[channels.exitToCredit.selector];
        } catch {
            require(!due, "a payer could not get out");
            start();
        }
        read();
    }

    /// @dev Whatever comes next, due or not.
    // forge-lint: disable-next-item(block-timestamp)
    function exitMany(uint256 first, uint256 count) external {
        if (opened.length == 0) return;
        first = bound(first, 0, opened.length - 1);
        ISaltChannels.Channel[] memory many = new ISaltChannels.Channel[](bound(count, 1, 4));
        uint256 due;
        bool moody;
        for (uint256 i = 0; i < many.length; ++i) {
            many[i] = opened[(first + i) % opened.length];
            ISaltChannels.State memory state = channels.stateOf(channels.channelId(many[i]));
            bool leaves = !state.closed && state.exitAt != 0 && block.timestamp >= state.exitAt;
            // The same channel may come again, if there are few.
            if (i >= opened.length) leaves = false;
            if (leaves) ++due;
            if (leaves && many[i].asset == assets[3]) moody = true;
        }

        start();
        uint256 before = counts[ISaltChannels.ChannelClosed.selector];
        try channels.exitMany(many) {
            if (due != 0) ++done[channels.exitMany.selector];
        } catch {
            require(moody, "payers could not get out");
            due = 0;
            start();
        }
        read();
        require(counts[ISaltChannels.ChannelClosed.selector] == before + due, "not who was due got out");
    }

    function withdraw(uint256 from, uint256 to, uint256 which) external {
        (address owner, address asset) = creditFrom(from, which);
        start();
        vm.prank(owner);
        try channels.withdraw(asset, accountOf(to)) {
            ++done[channels.withdraw.selector];
        } catch {
            start();
        }
        read();
    }

    function withdrawFor(uint256 owner, uint256 which) external {
        (address account, address asset) = creditFrom(owner, which);
        start();
        try channels.withdrawFor(account, asset) {
            ++done[channels.withdrawFor.selector];
        } catch {
            start();
        }
        read();
    }

    /// @dev The next account and asset with a credit, or these.
    function creditFrom(uint256 owner, uint256 which) private view returns (address, address) {
        owner = bound(owner, 0, wallets.length - 1);
        which = bound(which, 0, assets.length - 1);
        for (uint256 i = 0; i < wallets.length; ++i) {
            address account = wallets[(owner + i) % wallets.length].addr;
            for (uint256 j = 0; j < assets.length; ++j) {
                address asset = assets[(which + j) % assets.length];
                if (channels.creditOf(account, asset) != 0) return (account, asset);
            }
        }
        return (wallets[owner].addr, assets[which]);
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
}
