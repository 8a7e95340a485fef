// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// @title BatchSettlement
/// @notice Channels with the calls, the ids and the events of x402's `x402BatchSettlement`, whose code is in no package. No
/// signature is checked: who calls is believed, and a deposit is taken from an allowance instead of by a collector.
contract BatchSettlement is EIP712("x402 Batch Settlement", "1") {
    struct ChannelConfig {
        address payer;
        address payerAuthorizer;
        address receiver;
        address receiverAuthorizer;
        address token;
        uint40 withdrawDelay;
        bytes32 salt;
    }

    struct Voucher {
        ChannelConfig channel;
        uint128 maxClaimableAmount;
    }

    struct VoucherClaim {
        Voucher voucher;
        bytes signature;
        uint128 totalClaimed;
    }

    struct Channel {
        uint128 balance;
        uint128 totalClaimed;
    }

    struct Withdrawal {
        uint128 amount;
        uint40 initiatedAt;
    }

    bytes32 private constant CONFIG_TYPEHASH = keccak256(
        "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
    );

    mapping(bytes32 id => Channel) public channels;
    mapping(bytes32 id => Withdrawal) public pendingWithdrawals;
    mapping(address receiver => mapping(address token => uint128)) private unsettled;

    event ChannelCreated(bytes32 indexed channelId, ChannelConfig config);
    event ChannelClosed(bytes32 indexed channelId, ChannelConfig config);
    event Deposited(bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 newBalance);
    event Claimed(bytes32 indexed channelId, address indexed sender, uint128 claimAmount, uint128 newTotalClaimed);
    event Settled(address indexed receiver, address indexed token, address indexed sender, uint128 amount);
    event Refunded(bytes32 indexed channelId, address indexed sender, uint128 amount);
    event WithdrawInitiated(bytes32 indexed channelId, uint128 amount, uint40 finalizeAfter);

    error ClaimExceedsBalance();

    function deposit(ChannelConfig calldata config, uint128 amount, address, bytes calldata) external {
        bytes32 id = getChannelId(config);
        Channel storage channel = channels[id];
        channel.balance += amount;
        require(IERC20(config.token).transferFrom(config.payer, address(this), amount));
        if (channel.balance == amount && channel.totalClaimed == 0) emit ChannelCreated(id, config);
        emit Deposited(id, msg.sender, amount, channel.balance);
    }

    function claim(VoucherClaim[] calldata claims) external {
        for (uint256 i = 0; i < claims.length; i++) {
            ChannelConfig calldata config = claims[i].voucher.channel;
            bytes32 id = getChannelId(config);
            Channel storage channel = channels[id];
            uint128 total = claims[i].totalClaimed;
            if (total <= channel.totalClaimed) continue;
            if (total > channel.balance) revert ClaimExceedsBalance();
            uint128 more = total - channel.totalClaimed;
            channel.totalClaimed = total;
            unsettled[config.receiver][config.token] += more;
            emit Claimed(id, msg.sender, more, total);
        }
    }

    function settle(address receiver, address token) external {
        uint128 amount = unsettled[receiver][token];
        if (amount == 0) return;
        unsettled[receiver][token] = 0;
        require(IERC20(token).transfer(receiver, amount));
        emit Settled(receiver, token, msg.sender, amount);
    }

    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external {
        bytes32 id = getChannelId(config);
        pendingWithdrawals[id] = Withdrawal(amount, uint40(block.timestamp));
        emit WithdrawInitiated(id, amount, uint40(block.timestamp) + config.withdrawDelay);
    }

    function refund(ChannelConfig calldata config, uint128 amount) external {
        bytes32 id = getChannelId(config);
        Channel storage channel = channels[id];
        channel.balance -= amount;
        require(IERC20(config.token).transfer(config.payer, amount));
        emit Refunded(id, msg.sender, amount);
        if (channel.balance == 0 && channel.totalClaimed == 0) emit ChannelClosed(id, config);
    }

    function getChannelId(ChannelConfig calldata config) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(CONFIG_TYPEHASH, config)));
    }
}
