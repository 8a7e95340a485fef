// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {BlacklistingToken} from "../mocks/BlacklistingToken.sol";
import {GasBurningReceiver} from "../mocks/GasBurningReceiver.sol";
import {MoodyToken} from "../mocks/MoodyToken.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {ReenteringReceiver} from "../mocks/ReenteringReceiver.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {ReturnBombReceiver} from "../mocks/ReturnBombReceiver.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {CommonBase} from "forge-std/Base.sol";
import {StdUtils} from "forge-std/StdUtils.sol";
import {Vm} from "forge-std/Vm.sol";

/// @notice Uses SaltChannels at random: opens, opens again, tops up, signs, claims old and new vouchers on right and wrong
/// channels, closes, leaves, waits, reenters, and lets accounts and tokens refuse. It keeps what the events said and what
/// was signed, to be held against the contract.
/// @dev Every account has a key, and most of them have code as well, as EIP-7702 allows.
contract SaltChannelsHandler is CommonBase, StdUtils {
    using SafeCast for uint256;

    uint256 public constant FUNDS = 1_000_000 ether;

    ISaltChannels private immutable channels;

    Vm.Wallet[] private wallets;
    Vm.Wallet private session;

    /// @notice The native coin as the zero address, then the tokens.
    address[] public assets;

    ISaltChannels.Channel[] private opened;

    struct Voucher {
        uint256 channel;
        uint256 ceiling;
        bytes signature;
    }

    Voucher[] private vouchers;

    /// @notice What an event told of a channel, and what was signed for it.
    struct Ghost {
        uint256 deposited;
        uint256 claimed;
        uint256 refunded;
        uint256 greatestCeiling;
        bool closed;
        bool known;
    }

    mapping(bytes32 channel => Ghost ghost) private ghosts;

    /// @notice Deposits less claims, refunds and withdrawals, with credits added, as the events told.
    mapping(address asset => int256 amount) public held;

    /// @notice What an account got less what it gave, as the events told.
    mapping(address asset => mapping(address account => int256 amount)) public net;

    /// @notice How often the functions did what they are for.
    mapping(bytes32 topic => uint256 count) public counts;

    constructor(ISaltChannels channels_) {
        channels = channels_;
        session = vm.createWallet("session key");
        assets.push(address(0));
        assets.push(address(new PlainToken()));
        assets.push(address(new BlacklistingToken()));
        assets.push(address(new MoodyToken()));

        addWallet("first", "");
        addWallet("second", "");
        addWallet("refusing", address(new RefusingReceiver()).code);
        addWallet("burning", address(new GasBurningReceiver()).code);
        addWallet("bombing", address(new ReturnBombReceiver(true)).code);
        addWallet("reentering", address(new ReenteringReceiver()).code);
    }

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

    function topUp(uint256 which, uint256 amount, bool bySignature) external {
        if (opened.length == 0) return;
        ISaltChannels.Channel memory channel = channelOf(which);
        amount = bound(amount, 0, FUNDS / 100);

        start();
        if (bySignature && channel.asset != address(0)) {
            bytes32 id = channels.channelId(channel);
            uint256 before = channels.stateOf(id).deposit;
            bytes32 digest = channels.depositDigest(id, amount, before, block.timestamp);
            bytes memory signature = sign(walletOf(channel.payer), digest);
            try channels.depositFor(channel, amount, before, block.timestamp, signature) {}
            catch {
                start();
            }
            read();
            // Nor once more.
            try channels.depositFor(channel, amount, before, block.timestamp, signature) {
                revert("a deposit was made twice");
            } catch {
                start();
            }
        } else {
            vm.prank(channel.payer);
            try channels.topUp{value: channel.asset == address(0) ? amount : 0}(channel, amount) {}
            catch {
                start();
            }
            read();
        }
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

    function assetCount() external view returns (uint256) {
        return assets.length;
    }

    function accountCount() external view returns (uint256) {
        return wallets.length;
    }

    function account(uint256 index) external view returns (address) {
        return wallets[index].addr;
    }

    function openedCount() external view returns (uint256) {
        return opened.length;
    }

    function channelAt(uint256 index) external view returns (ISaltChannels.Channel memory) {
        return opened[index];
    }

    function ghostOf(bytes32 id) external view returns (Ghost memory) {
        return ghosts[id];
    }

    function addWallet(string memory name, bytes memory code) private {
        Vm.Wallet memory wallet = vm.createWallet(name);
        wallets.push(wallet);
        vm.deal(wallet.addr, FUNDS);
        if (code.length != 0) vm.etch(wallet.addr, code);
        // The bomb's flag is in storage, which etching does not bring along.
        vm.store(wallet.addr, bytes32(0), code.length != 0 && wallets.length == 5 ? bytes32(uint256(1)) : bytes32(0));
        for (uint256 i = 1; i < assets.length; ++i) {
            PlainToken(assets[i]).mint(wallet.addr, FUNDS);
            vm.prank(wallet.addr);
            PlainToken(assets[i]).approve(address(channels), type(uint256).max);
        }
    }

    /// @dev Also after a call that reverted: its events are recorded, and never were.
    function start() private {
        vm.recordLogs();
        vm.getRecordedLogs();
    }

    function read() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(channels)) readOne(logs[i]);
        }
    }

    function readOne(Vm.Log memory log) private {
        bytes32 topic = log.topics[0];
        ++counts[topic];
        if (topic == ISaltChannels.Credited.selector || topic == ISaltChannels.CreditWithdrawn.selector) {
            readCredit(log);
            return;
        }

        Ghost storage ghost = ghosts[log.topics[1]];
        if (topic == ISaltChannels.ChannelOpened.selector) {
            require(!ghost.known, "a channel was opened twice");
            (address asset,,,, uint256 deposit) = abi.decode(log.data, (address, address, uint32, bytes32, uint256));
            ghost.known = true;
            ghost.deposited = deposit;
            note(asset, addressOf(log.topics[2]), -deposit.toInt256());
        } else {
            require(ghost.known && !ghost.closed, "something came of a channel that is not open");
            ISaltChannels.Channel memory channel = channelWith(log.topics[1]);
            if (topic == ISaltChannels.ChannelToppedUp.selector) {
                (uint256 amount, uint256 deposit) = abi.decode(log.data, (uint256, uint256));
                ghost.deposited += amount;
                require(ghost.deposited == deposit, "a top-up does not add up");
                note(channel.asset, channel.payer, -amount.toInt256());
            } else if (topic == ISaltChannels.ChannelClaimed.selector) {
                (uint256 amount, uint256 claimed) = abi.decode(log.data, (uint256, uint256));
                require(amount != 0, "an empty claim");
                ghost.claimed += amount;
                require(ghost.claimed == claimed, "a claim does not add up");
                note(channel.asset, channel.payee, amount.toInt256());
            } else if (topic == ISaltChannels.ChannelClosed.selector) {
                (uint256 claimed, uint256 refund) = abi.decode(log.data, (uint256, uint256));
                require(claimed + refund == ghost.deposited, "a close does not add up");
                ghost.refunded = refund;
                ghost.closed = true;
                note(channel.asset, channel.payer, refund.toInt256());
            }
        }
    }

    function readCredit(Vm.Log memory log) private {
        (address owner, address asset) = (addressOf(log.topics[1]), addressOf(log.topics[2]));
        uint256 amount = abi.decode(log.data, (uint256));
        if (log.topics[0] == ISaltChannels.Credited.selector) {
            note(asset, owner, -amount.toInt256());
        } else {
            note(asset, addressOf(log.topics[3]), amount.toInt256());
        }
    }

    /// @dev An account got so much from the contract, or gave it.
    function note(address asset, address to, int256 amount) private {
        net[asset][to] += amount;
        held[asset] -= amount;
    }

    function channelWith(bytes32 id) private view returns (ISaltChannels.Channel memory channel) {
        for (uint256 i = 0; i < opened.length; ++i) {
            if (channels.channelId(opened[i]) == id) return opened[i];
        }
        revert("an event of an unknown channel");
    }

    function sign(Vm.Wallet memory wallet, bytes32 digest) private returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(wallet, digest);
        return abi.encodePacked(r, s, v);
    }

    function walletOf(address owner) private view returns (Vm.Wallet memory) {
        for (uint256 i = 0; i < wallets.length; ++i) {
            if (wallets[i].addr == owner) return wallets[i];
        }
        revert("no such wallet");
    }

    function accountOf(uint256 index) private view returns (address) {
        return wallets[bound(index, 0, wallets.length - 1)].addr;
    }

    function assetOf(uint256 index) private view returns (address) {
        return assets[bound(index, 0, assets.length - 1)];
    }

    function channelOf(uint256 index) private view returns (ISaltChannels.Channel memory) {
        return opened[bound(index, 0, opened.length - 1)];
    }

    function voucherOf(uint256 index) private view returns (Voucher memory) {
        return vouchers[bound(index, 0, vouchers.length - 1)];
    }

    function addressOf(bytes32 topic) private pure returns (address) {
        return address(uint160(uint256(topic)));
    }
}
